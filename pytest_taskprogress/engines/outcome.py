"""From a Celery result and a history to a `TaskRun`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from celery.result import ResultSet

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.errors import TaskAborted
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    PENDING,
    RETRY,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines.backend import FakeBackend
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.scenario import Event, Happened

__all__ = ["Origin", "Outcome"]


@dataclass(slots=True)
class Origin:
    """How a task came to run.

    Attributes:
        parent: Id of the task that it came of; None if it came of none.
        starts: Each time that a worker began with it.
        attempts: Which of its attempts these were, from 0; one that is retried is the next one.
        refused: Whether the result backend has refused to store its end.
    """

    parent: str | None
    starts: list[Start] = field(default_factory=list)
    attempts: set[int] = field(default_factory=set)
    refused: bool = False

    @property
    def lost(self) -> bool:
        """Whether its end is told nowhere, and that is no fault of its own."""
        return self.refused or (bool(self.starts) and self.starts[-1].ended is None)


_UNKNOWN: Final = Origin(None)


class Outcome:
    """What was written, by task: what came of a call, or of what was published.

    Args:
        history: All that was written since.
        backend: Where it was written.
        elapsed: Seconds of the engine's clock.
        aborts: All that was asked to abort since.
        checks: How often tasks looked for that, by id.
        origins: How tasks came to run, by id.
        under: What was to happen to it.
        happened: What of that has.
        ended: Whether nothing more can come of it.
        earlier: Returns all that was written before.
        contract: What it is judged by.
    """

    def __init__(
        self,
        history: History,
        backend: FakeBackend,
        *,
        elapsed: float = 0.0,
        aborts: Iterable[AbortRequest] = (),
        checks: Mapping[str, int] = MappingProxyType({}),
        origins: Mapping[str, Origin] = MappingProxyType({}),
        under: tuple[Event, ...] = (),
        happened: tuple[Happened, ...] = (),
        ended: bool = True,
        earlier: Callable[[], History] = History,
        contract: Contract | None = None,
    ) -> None:
        self._history = history
        self._backend = backend
        self._elapsed = elapsed
        self._aborts: dict[str, list[AbortRequest]] = {}
        for asked in aborts:
            self._aborts.setdefault(asked.uuid, []).append(asked)
        self._checks = checks
        self._origins = origins
        self._under = under
        self._happened = happened
        self._ended = ended
        self._earlier = earlier
        self._contract = contract or Contract()
        self._by_task: dict[str, list[Transition]] = {}
        for each in history:
            self._by_task.setdefault(each.uuid, []).append(each)

    def of(self, result: Any) -> TaskRun:
        """The run that a result stands for, with those of all other tasks."""
        children = tuple(self._of_task(uuid) for uuid in self._by_task if uuid != result.id)
        if isinstance(result, ResultSet):
            return self._of_group(result, children)
        return self._of_task(result.id, self._history, children)

    def of_published(self) -> TaskRun | None:
        """What stands for what was published: the task that wrote first; None if none did."""
        if not self._by_task:
            return None
        first, *others = self._by_task
        self._elapsed = self._history[-1].at - self._history[0].at
        return self._of_task(first, self._history, tuple(map(self._of_task, others)))

    def _of_task(
        self, task_id: str, history: History | None = None, children: tuple[TaskRun, ...] = ()
    ) -> TaskRun:
        own = History(self._by_task.get(task_id, ()))
        origin = self._origins.get(task_id, _UNKNOWN)
        last = next((each for each in reversed(own) if each.stored), None)
        state = PENDING if last is None else last.state
        # Where nothing was begun with it because what comes before is lost, so is this.
        lost = origin.lost or (not own and any(each.lost for each in children))
        exception: BaseException | None = None
        traceback: str | None = None
        if state == ABORTED and last is not None and last.meta:
            exception = TaskAborted(task_id, last.meta)
        elif state in EXCEPTION_STATES and state != RETRY:
            exception, traceback = _raised(task_id, self._backend)
        return TaskRun(
            task_id=task_id,
            name=next((each.name for each in own if each.name), None),
            state=state,
            result=last.result if last is not None and state == SUCCESS else None,
            exception=exception,
            traceback=traceback,
            own=own,
            history=own if history is None else history,
            aborts=self._asked(own, task_id),
            children=children,
            elapsed=self._elapsed,
            under=self._under,
            happened=self._happened,
            checks_after_abort=self._checks.get(task_id, 0),
            starts=tuple(origin.starts),
            parent=origin.parent,
            lost=self._ended and lost and state not in TERMINAL_STATES,
            ended=self._ended,
            before=self._before(own),
            contract=self._contract,
        )

    def _before(self, own: History) -> Transition | None:
        """What was stored last of a task before; looked for only where it had ended."""
        if not own or own[0].old_state not in TERMINAL_STATES:
            return None
        earlier = (each for each in reversed(self._earlier()) if each.uuid == own[0].uuid)
        return next((each for each in earlier if each.stored), None)

    def _asked(self, own: History, *task_ids: str) -> tuple[AbortRequest, ...]:
        """The requests to abort of some tasks; with Celery's AbortableTask they are states."""
        records = [each for task_id in task_ids for each in self._aborts.get(task_id, ())]
        asked = {each.uuid for each in records}
        states = [
            AbortRequest(each.uuid, each.at, each.index, each.source)
            for each in own
            if each.state == ABORTED and not each.meta and each.uuid not in asked
        ]
        return tuple(sorted([*states, *records], key=lambda each: each.index))

    def _of_group(self, result: Any, children: tuple[TaskRun, ...]) -> TaskRun:
        members = [self._of_member(each) for each in result.results]
        bad = [each for each in members if each.state in TERMINAL_STATES - {SUCCESS}]
        good = all(each.state == SUCCESS for each in members)
        return TaskRun(
            task_id=str(result.id),
            name=None,
            state=bad[0].state if bad else SUCCESS if good else PENDING,
            result=[each.result for each in members] if good else None,
            exception=bad[0].exception if bad else None,
            traceback=bad[0].traceback if bad else None,
            own=self._history,
            history=self._history,
            aborts=self._asked(self._history, *(each.task_id for each in members)),
            lost=any(each.lost for each in members),
            children=children,
            elapsed=self._elapsed,
            under=self._under,
            happened=self._happened,
            ended=self._ended,
            contract=self._contract,
        )

    def _of_member(self, result: Any) -> TaskRun:
        if isinstance(result, ResultSet):
            return self._of_group(result, ())
        return self._of_task(result.id)


def _raised(task_id: str, backend: FakeBackend) -> tuple[BaseException | None, str | None]:
    """What a client's `get()` raises, and the stored traceback."""
    try:
        meta = backend.peek(task_id)
    except Exception as error:  # noqa: BLE001 - a record that cannot be read: `get()` raises this
        return error, None
    return meta["result"], meta.get("traceback")
