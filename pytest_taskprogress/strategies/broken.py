"""Histories that break one rule of the contract, and say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.sequence import ProgressSequence
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.strategies.breaking import BREAKS
from pytest_taskprogress.strategies.breaking.story import Story
from pytest_taskprogress.strategies.defining import lazily

__all__ = ["Broken", "broken_sequences"]


@dataclass(frozen=True, repr=False)
class Broken:
    """A history that breaks exactly one rule, as a run that a contract can judge.

    ::

        contract = Contract().having(**broken.figures)
        assert {each.rule for each in contract.violations(broken)} == {broken.rule}

    Most rules can be judged by the `history` alone; `terminal` and `abort-honoured` cannot.

    Attributes:
        history: What was stored, by one task.
        rule: Name of the rule that it breaks.
        at: Position in the history at which it does so first; None if what is wrong is at none.
        figures: The figure of the rule, as `Contract.having` takes it; empty if it has one already.
        starts: Each time that a worker began with the task; empty if that is not known.
        ended: Whether nothing more can come of the task.
        aborts: When it was asked to abort.
        checks_after_abort: How often it looked for that after it was asked.
    """

    history: ProgressSequence
    rule: str
    at: int | None
    figures: Mapping[str, Any] = field(default_factory=dict)
    starts: tuple[Start, ...] = ()
    ended: bool = False
    aborts: tuple[AbortRequest, ...] = ()
    checks_after_abort: int = 0

    # What is asked of a run besides.
    @property
    def task_id(self) -> str:
        """Id of the task."""
        return self.history[0].uuid

    @property
    def name(self) -> str:
        """What the task is called in messages: its id."""
        return self.task_id

    @property
    def own(self) -> ProgressSequence:
        """The same as `history`: there is one task."""
        return self.history

    @property
    def children(self) -> tuple[()]:
        """No runs of other tasks."""
        return ()

    @property
    def before(self) -> Transition | None:
        """Nothing was stored before."""
        return None

    @property
    def notes(self) -> Mapping[int, str]:
        """Nothing is said between the transitions."""
        return {}

    def __repr__(self) -> str:
        return f"Broken({', '.join((repr(self.history), *self._given()))})"

    def _given(self) -> list[str]:
        """What there is besides the history, as arguments."""
        given = [f"rule={self.rule!r}", f"at={self.at!r}"]
        for each in fields(self)[3:]:
            value = getattr(self, each.name)
            if value:
                given.append(f"{each.name}={value!r}")
        return given

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001
        # The protocol of IPython, which Hypothesis prints examples by.
        with printer.group(4, "Broken(", ""):
            printer.breakable("")
            printer.pretty(self.history)
            for each in self._given():
                printer.text(",")
                printer.breakable()
                printer.text(each)
        printer.text(")")


@lazily
def broken_sequences(*, rule: str | None = None) -> st.SearchStrategy[Broken]:
    """What one task may write that breaks exactly one rule of the contract, and where it does.

    All other rules are kept, `max-gap`, `first-report` and `write-budget` too if they allow a
    minute and a hundred reports, and `described` if it asks for a character. They shrink to the
    shortest history that breaks the rule.

    Args:
        rule: Name of the rule, such as `"monotonic"`; None: any of all rules.
    """
    if rule is None:
        return _broken(st.sampled_from(tuple(BREAKS)))
    given: object = rule  # the annotation is a promise that callers break
    known = given.strip().replace("_", "-") if isinstance(given, str) else ""
    if known not in BREAKS:
        near = get_close_matches(known, BREAKS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        message = f"There is no rule {as_repr(rule)}: {hint}There are {', '.join(BREAKS)}"
        raise InvalidArgument(message)
    return _broken(st.just(known))


@st.composite
def _broken(draw: st.DrawFn, rules: st.SearchStrategy[str]) -> Broken:
    rule = draw(rules)
    story = Story(draw)
    at = BREAKS[rule](story)
    return Broken(
        ProgressSequence(*story.writes),
        rule,
        at,
        figures=story.figures,
        starts=story.starts,
        ended=bool(story.starts),
        aborts=story.aborts,
        checks_after_abort=story.checks_after_abort,
    )
