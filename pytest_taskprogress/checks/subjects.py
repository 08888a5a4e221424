"""What can be judged: a run, a history, or a list of what was stored elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.failed import NOTHING_RAN
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import PENDING, PROGRESS, RETRY, STARTED
from pytest_taskprogress.core.transitions import History, Transition

__all__ = [
    "Attempt",
    "Judged",
    "JudgedTask",
    "RunLike",
    "Subject",
    "judged",
    "nothing_of",
    "tasks_of",
]


class RunLike(Protocol):
    """What is asked of a run: a `TaskRun` has it."""

    @property
    def task_id(self) -> str: ...  # noqa: D102 - see TaskRun
    @property
    def name(self) -> str | None: ...  # noqa: D102
    @property
    def own(self) -> History: ...  # noqa: D102
    @property
    def history(self) -> History: ...  # noqa: D102
    @property
    def children(self) -> Sequence[RunLike]: ...  # noqa: D102
    @property
    def aborts(self) -> Sequence[AbortRequest]: ...  # noqa: D102
    @property
    def checks_after_abort(self) -> int: ...  # noqa: D102
    @property
    def starts(self) -> Sequence[Start]: ...  # noqa: D102
    @property
    def before(self) -> Transition | None: ...  # noqa: D102
    @property
    def ended(self) -> bool: ...  # noqa: D102
    @property
    def notes(self) -> Mapping[int, str]: ...  # noqa: D102


#: A run; transitions; or, from elsewhere, metas, pairs of state and meta, or names of states.
Subject: TypeAlias = (
    "Judged | RunLike | Iterable[Transition | Mapping[str, Any] | tuple[str, Any] | str]"
)

_SUBJECTS: Final = (
    "a TaskRun, a History, or a list of transitions, of metas (dicts), of pairs (state, meta), or"
    " of state names"
)


@dataclass(frozen=True)
class Judged:
    """What is judged of a subject.

    Attributes:
        name: What it is called in messages.
        history: The transitions that count: of a run, those of the task that it stands for.
        run: The run, if it is one.
    """

    name: str
    history: History
    run: RunLike | None = None

    @cached_property
    def stored(self) -> History:
        """What the backend has not dropped."""
        return History(each for each in self.history if each.stored)

    @cached_property
    def progress(self) -> list[Transition]:
        """The reports."""
        return self.history.progress


def judged(subject: Subject) -> Judged:
    """Take what is to be judged.

    Args:
        subject: See `Subject`; a meta without a state is that of a PROGRESS.

    Raises:
        TypeError: If it is nothing of the kind.
    """
    if isinstance(subject, Judged):
        return subject
    if isinstance(subject, History):
        return Judged("the history", subject)
    # Not by `isinstance`: of a protocol that takes longer than all that is judged of a short run.
    if isinstance(getattr(subject, "own", None), History):
        subject = cast("RunLike", subject)
        return Judged(subject.name or "the canvas", subject.own, subject)
    given: object = subject  # the annotation is a promise that callers break
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        message = f"expected {_SUBJECTS}, got {as_repr(given)}"
        raise TypeError(message)
    return Judged("the list", _history_of(list(given)))


def nothing_of(known: Judged) -> tuple[str]:
    """What is said where there is nothing to be judged."""
    if known.run is not None and known.run.starts:
        return (f"{known.name} ran, and stored nothing: does it ignore its result?",)
    return (f"{known.name} is empty: {NOTHING_RAN}",)


def _history_of(items: list[object]) -> History:
    made: list[Transition] = []
    for index, item in enumerate(items):
        if isinstance(item, Transition):
            made.append(item)
            continue
        state, meta = _state_and_meta(item, index)
        old = made[-1].state if made else PENDING
        values = dict(meta) if isinstance(meta, Mapping) else {}
        made.append(Transition(index, "task", None, "", old, state, values, result=meta))
    return History(made)


def _state_and_meta(item: object, index: int) -> tuple[str, object]:
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping):
        return PROGRESS, item
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):  # noqa: PLR2004
        return item
    message = f"expected {_SUBJECTS}, got {as_repr(item)} at [{index}]"
    raise TypeError(message)


class Attempt(NamedTuple):
    """What one execution of a task stored.

    Attributes:
        began: Seconds of the engine's clock; None if that is not known.
        transitions: In order, at least one.
    """

    began: float | None
    transitions: list[Transition]

    @property
    def reports(self) -> list[Transition]:
        """The reports of progress."""
        return [each for each in self.transitions if each.is_report]


@dataclass
class JudgedTask:
    """All that one task wrote in a run: what rules look at.

    Attributes:
        name: Its name, or its id where no name is known.
        transitions: In order; those that the backend dropped too.
        aborts: When it was asked to abort.
        checks_after_abort: How often it looked for that after it was asked.
        starts: Each time that a worker began with it; empty if that is not known.
        ended: Whether nothing more can come of it.
        before: What was stored last of it before the run; None if nothing was.
    """

    name: str
    transitions: Sequence[Transition]
    aborts: Sequence[AbortRequest] = ()
    checks_after_abort: int = 0
    starts: Sequence[Start] = ()
    ended: bool = False
    before: Transition | None = None
    reports: list[Transition] = field(init=False)

    def __post_init__(self) -> None:
        self.reports = [each for each in self.transitions if each.stored and each.is_report]

    @cached_property
    def attempts(self) -> list[Attempt]:
        """What was stored, an attempt each: a retry, or a message delivered again, begins anew."""
        attempts = [Attempt(None, [])]
        starts = deque(self.starts)
        for each in self.transitions:
            if not each.stored:
                continue
            began = None
            while starts and starts[0].index <= each.index:
                began = starts.popleft().at
            if began is not None:
                attempts.append(Attempt(began, []))
            elif each.state == STARTED and not self.starts:
                attempts.append(Attempt(each.at, []))
            attempts[-1].transitions.append(each)
            if each.state == RETRY:
                attempts.append(Attempt(None, []))
        return [attempt for attempt in attempts if attempt.transitions]

    @cached_property
    def overlaps(self) -> bool:
        """Whether executions were under way beside each other: of a message delivered twice."""
        return any(
            before.ended is not None and before.ended > start.index
            for before, start in pairwise(self.starts)
        )

    @cached_property
    def bars(self) -> list[list[Transition]]:
        """The reports, a list for each attempt, and there for each state of the user's own."""
        bars: dict[tuple[int, str], list[Transition]] = {}
        for number, attempt in enumerate(self.attempts):
            for each in attempt.reports:
                bars.setdefault((number, each.state), []).append(each)
        return list(bars.values())


def tasks_of(subject: Judged) -> list[JudgedTask]:
    """What each task of a subject wrote; in the order of the first write."""
    run = subject.run
    if run is not None:
        runs = [run, *run.children]
        # A group writes nothing by itself: its members are among the children.
        return [_record_of(each) for each in runs if each.own and each.own[0].uuid == each.task_id]
    by_task: dict[str, list[Transition]] = {}
    for each in subject.history:
        by_task.setdefault(each.uuid, []).append(each)
    return [JudgedTask(_name_of(own) or uuid or subject.name, own) for uuid, own in by_task.items()]


def _name_of(own: Sequence[Transition]) -> str | None:
    return next((each.name for each in own if each.name), None)


def _record_of(run: RunLike) -> JudgedTask:
    return JudgedTask(
        name=run.name or run.task_id,
        transitions=run.own,
        aborts=run.aborts,
        checks_after_abort=run.checks_after_abort,
        starts=run.starts,
        # What was killed has not ended, and never will.
        ended=run.ended and not getattr(run, "lost", False),
        before=run.before,
    )
