"""What is raised where a run is not what a test says: errors that tell the whole story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.core.messages import as_line
from pytest_taskprogress.core.timeline import timeline
from pytest_taskprogress.core.transitions import Transition

__all__ = ["NOTHING_RAN", "CheckFailed", "ContractViolated"]

#: What is said of a history of nothing.
NOTHING_RAN: Final = "no task ran; did the code under test use another app?"
#: Columns that are left where pytest prints an error.
_WIDTH: Final = 72


class CheckFailed(TaskProgressError, AssertionError):
    """A run is not what a test says that it is.

    Its text has four parts: a headline, what was expected, the recorded transitions with what is
    wrong marked, and how to allow it.

    Attributes:
        headline: What is wrong.
        expected: What was expected; empty if the headline says it.
        transitions: What was recorded.
        at: Positions in `transitions` of what is wrong, ascending; the length of it: after its end.
        notes: Positions before which something happened, and what.
        allow: How to allow it, or what to do next; empty if that makes no sense.
    """

    def __init__(
        self,
        headline: str,
        *,
        expected: str = "",
        transitions: Sequence[Transition] = (),
        at: Sequence[int] = (),
        notes: Mapping[int, str] | None = None,
        allow: str = "",
    ) -> None:
        super().__init__(headline)
        self.headline = headline
        self.expected = expected
        self.transitions = transitions
        self.at = tuple(at)
        self.notes = notes
        self.allow = allow

    @property
    def shows_runs(self) -> bool:
        """Whether its text has what was recorded, or that there is nothing."""
        return bool(self.transitions) or NOTHING_RAN in self.headline

    def __str__(self) -> str:
        expected = [f"Expected: {self.expected}"] if self.expected else []
        said = "\n".join([self.headline, *expected]).split("\n")
        shown = ""
        if self.transitions:
            lines = timeline(self.transitions, at=self.at, notes=self.notes, width=_WIDTH)
            shown = "\n".join(lines)
        # What a task is called, and stores, must do nothing to a terminal.
        parts = ["\n".join(map(as_line, said)), shown, self.allow]
        return "\n\n".join(filter(None, parts))

    def __reduce__(self) -> Any:  # noqa: ANN401 - what pickle asks for
        return _made_again, (type(self), self.headline, self.__dict__)


def _made_again(cls: type[CheckFailed], headline: str, state: dict[str, Any]) -> CheckFailed:
    made = cls(headline)
    made.__dict__.update(state)
    return made


class ContractViolated(CheckFailed):
    """A run breaks rules of its contract.

    Attributes:
        violations: All of them, of type `Violation`.
        run: The run.
    """

    violations: tuple[Any, ...] = ()
    run: Any = None
