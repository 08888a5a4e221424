"""What a task writes, step by step: it keeps the contract where nothing else is said."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.sequence import Write
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import ABORTED, FAILURE, PROGRESS, REVOKED, STARTED, SUCCESS
from pytest_taskprogress.strategies.ends import value_of
from pytest_taskprogress.strategies.shapes import Shape, meta_of
from pytest_taskprogress.strategies.values import messages

__all__ = ["COUNTED", "CURRENT", "ENDS", "PERCENT", "WHOLE", "Story"]

T = TypeVar("T")

#: Which keys tell how far a task has come.
PERCENT: Final = ("percent",)
COUNTED: Final = ("current", "total")
WHOLE: Final = ("current", "total", "percent")
CURRENT: Final = ("current",)
#: How a task may end, from the simplest on.
ENDS: Final = (SUCCESS, FAILURE, REVOKED, ABORTED)

_TOTALS: Final = st.sampled_from((*range(1, 11), 100, 1_000))
_TEXTS: Final = st.just("rows") | messages(max_size=8).map("rows {}".format)
_SOME: Final = st.lists(st.booleans(), max_size=3).map(len)
_EITHER: Final = st.booleans()


class Story:
    """What one task writes.

    Attributes:
        writes: In order.
        figures: The figure of the rule that is broken.
        starts: When a worker began with the task.
        aborts: When it was asked to abort.
        checks_after_abort: How often it looked for that after it was asked.
        keys: Those that tell how far it has come.
        total: At which it is complete.
        position: How far it has come; None: nothing was told in this attempt.

    Args:
        draw: What draws.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.writes: list[Write] = []
        self.figures: dict[str, Any] = {}
        self.starts: tuple[Start, ...] = ()
        self.aborts: tuple[AbortRequest, ...] = ()
        self.checks_after_abort = 0
        self.keys: tuple[str, ...] = PERCENT
        self.total = 0
        self.position: int | None = None
        self._text = "rows"

    # -- what is drawn ----------------------------------------------------------------------------

    def draw(self, strategy: st.SearchStrategy[T]) -> T:
        """Draw what a strategy gives."""
        return self._draw(strategy)

    def number(self, least: int, most: int) -> int:
        """Draw a whole number."""
        return self._draw(st.integers(least, most))

    def choose(self, *choices: T) -> T:
        """Draw one of some; the first is the simplest."""
        return self._draw(st.sampled_from(choices))

    def perhaps(self) -> bool:
        """Draw whether; the simplest is no."""
        return self._draw(_EITHER)

    # -- what is written --------------------------------------------------------------------------

    def begin(self, *keys: tuple[str, ...]) -> None:
        """Begin: maybe the start is tracked.

        Args:
            keys: What may tell how far the task has come; the first is the simplest.
        """
        self.keys = self.choose(*keys) if keys else self.choose(PERCENT, COUNTED, WHOLE)
        self.total = self.draw(_TOTALS)
        self._text = self.draw(_TEXTS)
        if self.perhaps():
            self.write(STARTED)

    def write(self, state: str, value: object = None, *, after: float = 0.0) -> int:
        """Write anything; returns its position in the history."""
        self.writes.append(Write(state, value, after=after))
        return len(self.writes) - 1

    def meta(self, position: int, changed: dict[str, Any] | None = None) -> dict[str, Any]:
        """The meta of a report at a position, with other values of some keys."""
        shape = Shape(self.keys, described=True)
        meta = meta_of(shape, position, self.total, text=self._text, elapsed=0.0)
        return {**meta, **(changed or {})}

    def report(
        self, position: int, changed: dict[str, Any] | None = None, *, after: float = 0.0
    ) -> int:
        """Report a position; returns that of the report in the history."""
        self.position = position
        return self.write(PROGRESS, self.meta(position, changed), after=after)

    def rise(self, most: int | None = None) -> None:
        """Report some positions, none of them less than the last one."""
        least = self.position or 0
        most = self.total if most is None else most
        for position in sorted(self.number(least, most) for _ in range(self.draw(_SOME))):
            self.report(position)

    def complete(self) -> None:
        """Report the total, if anything was reported that is less."""
        if self.position not in (None, self.total) and self.keys != CURRENT:
            self.report(self.total)

    def end(self, *states: str) -> int:
        """End: one that succeeds is complete.

        Args:
            states: Those that it may end in; none: all.
        """
        state = self.choose(*(states or ENDS))
        if state == SUCCESS:
            self.complete()
        return self.write(state, self.value(state))

    def value(self, state: str) -> Any:  # noqa: ANN401 - of any state
        """What a task ends with."""
        return value_of(self._draw, state, None if self.position is None else self._last())

    def _last(self) -> dict[str, Any] | None:
        return next((each.value for each in reversed(self.writes) if each.state == PROGRESS), None)
