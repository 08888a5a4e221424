"""Where the events of a scenario take place, on the eager engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.contrib.abortable import AbortableAsyncResult
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.exceptions import SoftTimeLimitExceeded

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.engines.internals import app_state, worker_state
from pytest_taskprogress.scenario import Occasion
from pytest_taskprogress.tasks.abortable import AbortableTask
from pytest_taskprogress.tasks.aborting import is_request, record_id_of, task_of
from pytest_taskprogress.tasks.attempt import attempt_of
from pytest_taskprogress.tasks.results import abort, tasks_of

__all__ = ["EagerStage", "checked_task"]


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


class EagerStage:
    """What can be done to a run, at an occasion.

    Args:
        app: The app whose tasks run.
        clock: The engine's.
        result: The result of the run; None if somebody else published what runs.
        occasion: What happens.
        index: How many transitions were written before.

    Attributes:
        at: Seconds of the clock.
        index: As given.
        raised: What is to be raised in the task.
    """

    def __init__(
        self, app: Any, clock: VirtualClock, result: Any, occasion: Occasion, index: int
    ) -> None:
        self.at = clock.monotonic()
        self.index = index
        self.raised: Exception | None = None
        self._app = app
        self._clock = clock
        self._result = result
        self._occasion = occasion

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
