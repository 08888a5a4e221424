"""Where the events of a scenario take place, on the eager engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from celery.contrib.abortable import AbortableAsyncResult
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.exceptions import SoftTimeLimitExceeded

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.engines.broker import Broker
from pytest_taskprogress.engines.failing import Failing
from pytest_taskprogress.engines.internals import app_state, worker_state
from pytest_taskprogress.engines.places import Places
from pytest_taskprogress.scenario import Occasion
from pytest_taskprogress.scenario.events import Fault
from pytest_taskprogress.tasks.abortable import AbortableTask
from pytest_taskprogress.tasks.aborting import is_request, record_id_of, task_of
from pytest_taskprogress.tasks.attempt import attempt_of
from pytest_taskprogress.tasks.results import abort, tasks_of

__all__ = ["EagerStage", "Surroundings", "checked_task"]


def checked_task(record_id: str) -> tuple[str | None, str] | None:
    """The task that looks whether it was asked to abort, when a record is read in this thread.

    Args:
        record_id: Id of the record.

    Returns:
        Its name and id; None if it is somebody else who reads, or something else that is read.
    """
    task = app_state.get_current_task()
    if task is None:
        # A thread that helps a task has none.
        request = worker_state.requests.get(task_of(record_id))
        return (request.name, request.id) if request and is_request(record_id) else None
    request = task.request
    if is_request(record_id):
        # The look before the start is not one of the task's own.
        check = attempt_of(request).abort_check
        looks = record_id_of(request.id) == record_id and check is not None and check.raises
    else:
        # Celery's own class looks at the state.
        ours = isinstance(task, AbortableTask)
        looks = request.id == record_id and isinstance(task, CeleryAbortableTask) and not ours
    return (task.name, request.id) if looks else None


class Surroundings(NamedTuple):
    """What is around the tasks.

    Attributes:
        broker: Where messages come from.
        failing: What the result backend refuses.
        places: Where the engine's threads work.
    """

    broker: Broker
    failing: Failing
    places: Places


class EagerStage:
    """What can be done to a run, at an occasion.

    Args:
        app: The app whose tasks run.
        clock: The engine's.
        result: The result of the run; None if somebody else published what runs.
        occasion: What happens.
        index: How many transitions were written before.
        around: What else an event may do something to.

    Attributes:
        at: Seconds of the clock.
        index: As given.
        raised: What is to be raised in the task.
        by: Whose event it is that asks.
    """

    def __init__(
        self,
        app: Any,
        clock: VirtualClock,
        result: Any,
        occasion: Occasion,
        index: int,
        around: Surroundings,
    ) -> None:
        self.at = clock.monotonic()
        self.index = index
        self.raised: Exception | None = None
        self.by: object = None
        self._app = app
        self._clock = clock
        self._result = result
        self._occasion = occasion
        self._around = around

    def _tasks(self) -> Iterator[Any]:
        """The tasks of the run, and the one at which the moment is: a task may publish others."""
        known = [] if self._result is None else list(tasks_of(self._result))
        yield from known
        if self._occasion.uuid not in {each.id for each in known}:
            task = self._app.tasks.get(self._occasion.name)
            make = self._app.AsyncResult if task is None else task.AsyncResult
            yield make(self._occasion.uuid)

    def abort(self) -> None:
        """Ask every task of the run to abort.

        Raises:
            EngineError: If none of them would ever look.
        """
        tasks = list(self._tasks())
        if not any(isinstance(each, AbortableAsyncResult) for each in tasks):
            message = (
                f"{self._occasion.name or self._occasion.uuid} cannot be aborted: no task of this"
                " run would look whether it is asked to. Give it base=AbortableTask"
            )
            raise EngineError(message)
        for each in tasks:
            abort(each)

    def revoke(self, *, terminate: bool) -> None:
        """Revoke every task of the run.

        Raises:
            NeedsRealWorker: If one that runs is to be terminated.
        """
        for each in self._tasks():
            each.revoke(terminate=terminate)

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._clock.advance(seconds)

    def exceed_soft_time_limit(self) -> None:
        """Let the soft time limit of the task run out.

        Raises:
            EngineError: If no code of a task runs now, or if it runs in another thread.
        """
        if not self._occasion.in_task:
            message = (
                "a soft time limit is exceeded while a task runs, and now the worker does: use a"
                " moment of the task's own, such as at_report()"
            )
            raise EngineError(message)
        if app_state.get_current_task() is None:
            message = (
                "a soft time limit is exceeded in the thread of the task, and this moment is in"
                " another one that helps it: use a moment of the task's own thread"
            )
            raise EngineError(message)
        self.raised = SoftTimeLimitExceeded()

    def redeliver(self) -> None:
        """Let the broker deliver the message of the task once more.

        Raises:
            EngineError: If no message of it was delivered.
        """
        if not self._around.broker.redeliver(self._occasion.uuid):
            message = (
                f"the broker has no message of {self._occasion.name or self._occasion.uuid}, which"
                " it could deliver once more: use a moment of a task that a worker runs"
            )
            raise EngineError(message)

    def delay(self, seconds: float) -> None:
        """Let the broker deliver nothing for some seconds."""
        place = self._around.places.here
        place.held_until = max(place.held_until, round(self._clock.monotonic() + seconds, 6))

    def fail(self, access: str, error: Fault, times: int | None, seconds: float | None) -> None:
        """Let the result backend refuse writes or reads of tasks and of the worker."""
        self._around.failing.add(access, error, times, seconds, self.by)

    def crash(self, *, child: bool) -> None:
        """Let the worker die, or only the process of it that runs the task.

        Raises:
            EngineError: If none of its processes runs now, or if another thread does.
        """
        place = self._around.places.here
        if place.beside is None or not place.beside.in_process:
            message = (
                "a worker crashes while it runs a task, in the thread of that task: use a moment of"
                " the task's own, such as at_report(), or before_start()"
            )
            raise EngineError(message)
        if child and not place.beside.in_child:
            message = (
                "a process of the pool dies while it runs a task, and now it is the worker itself"
                " that works: use a moment of the task's own, such as at_report()"
            )
            raise EngineError(message)
        # As soon as all events of the moment have been: not in the midst of one. Of a worker that
        # dies its processes die too.
        place.crash = child and place.crash is not False
