"""What came of one call of an engine."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_taskprogress.checks.contract import Contract, choose
from pytest_taskprogress.checks.patterns import Match, compile_pattern
from pytest_taskprogress.checks.rules.base import Violation
from pytest_taskprogress.checks.snapshots import snapshot
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.messages import as_line, as_text
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import ABORTED, RETRY, SUCCESS
from pytest_taskprogress.core.timeline import file_and_line, timeline
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.scenario import Event, Happened

__all__ = ["TaskRun"]


#: Columns of a terminal that a headline takes at most.
_HEADLINE: Final = 300


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One call of an engine: the task that was run, and everything that came of it.

    `states`, `progress`, `percents`, `messages`, `meta` and `retries` are those of the task that
    the result stands for: the last of a chain, the body of a chord. A group has no task of its own;
    there they are those of all its tasks. `history` always has those of all tasks.

    Attributes:
        task_id: Id of the result: of the task, or of the group.
        name: Name of the task; None for a group.
        under: The events of the scenario that it was under.
        happened: Those of them that took place, and when.
        state: The stored state; of a group: the first bad one, or SUCCESS when all have it.
        result: What `result.get()` returns; None unless the state is SUCCESS.
        exception: What `result.get()` raises; None if it raises nothing.
        traceback: The stored traceback, as text.
        own: The transitions of the task that the result stands for; of a group: of all its tasks.
        history: The transitions of all tasks.
        aborts: The requests to abort of the tasks in `own`, in order.
        children: A run for each other task that wrote something, in the order of their first write.
        elapsed: Seconds of the engine's clock.
        parent: Id of the task that it came of; None if it came of none.
        starts: Each time that a worker began with it; of a group: none.
        ended: Whether nothing more can come of it.
        lost: Whether a worker died with it and no other one began with it again, or the result
            backend has refused to store its end, as a scenario said.
        before: What was stored last of the task before the run; None if nothing was.
        checks_after_abort: How often the task looked for an abort after it was asked for.
        contract: What it is judged by.
        violations: What it breaks of that.
        mismatches: What `matches` said no to: a failing test shows the last one.
    """

    task_id: str
    name: str | None
    state: str
    under: tuple[Event, ...] = ()
    result: Any = None
    exception: BaseException | None = None
    traceback: str | None = field(default=None, repr=False)
    own: History = field(default_factory=History, repr=False)
    history: History = field(default_factory=History, repr=False)
    children: tuple[TaskRun, ...] = field(default=(), repr=False)
    aborts: tuple[AbortRequest, ...] = field(default=(), repr=False)
    elapsed: float = 0.0
    parent: str | None = field(default=None, repr=False)
    happened: tuple[Happened, ...] = field(default=(), repr=False)
    starts: tuple[Start, ...] = field(default=(), repr=False)
    ended: bool = field(default=True, repr=False)
    lost: bool = field(default=False, repr=False)
    before: Transition | None = field(default=None, repr=False)
    checks_after_abort: int = field(default=0, repr=False)
    contract: Contract = field(default_factory=Contract, repr=False, compare=False)
    violations: tuple[Violation, ...] = field(default=(), repr=False)
    mismatches: list[Match] = field(default_factory=list, repr=False, compare=False)

    @property
    def states(self) -> list[str]:
        """The states that were stored."""
        return self.own.states

    @property
    def progress(self) -> list[Transition]:
        """The reports that were stored."""
        return self.own.progress

    @property
    def percents(self) -> list[float | None]:
        """The percentage of each report."""
        return self.own.percents

    @property
    def messages(self) -> list[str | None]:
        """The description of each report."""
        return self.own.messages

    @property
    def meta(self) -> dict[str, Any]:
        """The dict that was stored last; empty if none was."""
        metas = [each.meta for each in self.own if each.stored and each.meta]
        return metas[-1] if metas else {}

    @property
    def retries(self) -> int:
        """How many times another attempt was asked for."""
        return self.states.count(RETRY)

    @property
    def abort_requested_at(self) -> float | None:
        """Seconds of the engine's clock at which an abort was asked for; None if none was."""
        return self.aborts[0].at if self.aborts else None

    @property
    def reports_after_abort(self) -> int:
        """How many reports were written after an abort was asked for."""
        if not self.aborts:
            return 0
        return sum(each.index >= self.aborts[0].index for each in self.progress)

    @property
    def went_well(self) -> bool:
        """Whether it ended as it was asked to, broke no rule, and was no mismatch."""
        ended_well = self.state == SUCCESS or (self.state == ABORTED and self.aborts)
        return bool(ended_well) and not self.violations and not self.mismatches

    # -- judging ----------------------------------------------------------------------------------

    def matches(self, pattern: str | Sequence[object]) -> Match:
        """Tell whether what the task stored, from first to last, is as a pattern says.

        ::

            assert run.matches("STARTED PROGRESS* (SUCCESS|FAILURE)")
            assert run.matches([state("STARTED"), progress(0, 10), ..., progress(percent=100),
                                state("SUCCESS", result=10)])

        Args:
            pattern: Names of states with `* + ? {m,n} | ( ) .`; or a list of `state()`,
                `progress()`, `...` for any number, patterns, predicates, and whatever is compared
                with a Transition.

        Returns:
            What is true if it matches, and else tells where it does not.

        Raises:
            PatternError: If the pattern is malformed; shows the place.
        """
        match = compile_pattern(pattern).match(self.own)
        if not match:
            self.mismatches.append(match)
        return match

    def check(self, *rules: str, **figures: Any) -> TaskRun:
        """Raise what it breaks of the contract.

        Args:
            rules: Names of those to judge by; none: all that are on.
            figures: What rules go by, e.g. `max_gap=30`.

        Returns:
            The run.

        Raises:
            ContractViolated: With all that it breaks; or if nothing was written.
            RuleError: If there is no such rule, or it cannot have such a figure.
        """
        __tracebackhide__ = True
        choose(self.contract, rules, figures).check(self)
        return self

    def snapshot(self, *, volatile: Collection[str] = (), sources: bool = True) -> str:
        """What all tasks stored as text that is the same whenever they do the same.

        A line each transition; ids are numbered, times and hostnames are left out. It works with
        inline-snapshot and syrupy: `assert run.snapshot() == snapshot`.

        Args:
            volatile: Keys of metas to be left out, besides those that differ by themselves.
            sources: Whether the files are named that reported.
        """
        return snapshot(self.history, volatile=volatile, sources=sources)

    @property
    def headline(self) -> str:
        """What was run, and what came of it, in one line."""
        name = f"{self.name or 'canvas'}[{self.task_id}]"
        told = f"{name} {self.state} after {self.elapsed:g} s"
        if self.exception is not None and self.state != ABORTED:
            told += f": {type(self.exception).__name__}: {as_text(self.exception)}"
        if self.under:
            told += f", under {', '.join(map(repr, self.under))}"
        return as_line(told, _HEADLINE)

    def timeline(self, *, width: int = 80) -> str:
        """What happened, a line for each transition of all tasks; long ones are cut.

        Args:
            width: Columns of the terminal.
        """
        return "\n".join([self.headline, *timeline(self.history, notes=self.notes, width=width)])

    @property
    def notes(self) -> dict[int, str]:
        """What happened between transitions: the position of the next one, and what it was."""
        if not self.happened and not self.aborts:
            return {}
        indices = [each.index for each in self.history]
        notes: dict[int, dict[str, None]] = {}
        for index, text in [
            *((each.index, repr(each.event)) for each in self.happened),
            *((each.index, _asked(each)) for each in self.aborts),
        ]:
            position = bisect_left(indices, index)
            # Several tasks may be asked at once: it is said once.
            notes.setdefault(position, {})[text] = None
        return {position: ": ".join(texts) for position, texts in notes.items()}

    def __str__(self) -> str:
        return self.timeline()


def _asked(abort: AbortRequest) -> str:
    at = f", at {file_and_line(abort.source)}" if abort.source else ""
    return f"asked to abort{at}"
