"""The task base of tasks that can be aborted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NoReturn

from billiard.einfo import ExceptionInfo
from celery.app import trace
from celery.app.task import Context
from celery.contrib import abortable
from celery.exceptions import Ignore
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.errors import TaskAborted
from pytest_taskprogress.core.progress import Number, amount
from pytest_taskprogress.core.states import ABORTED, is_report
from pytest_taskprogress.tasks import aborting
from pytest_taskprogress.tasks.aborting import AbortCheck
from pytest_taskprogress.tasks.attempt import Attempt, Ending, attempt_of
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.knowing import is_over, teach
from pytest_taskprogress.tasks.results import AbortableAsyncResult

__all__ = ["AbortableTask", "abort_check_of"]

logger = logging.getLogger(__name__)

#: Without its type parameters: at run time Celery's class may have none.
_Abortable: Any = abortable.AbortableTask

#: Celery 5.5 has no such function: either of them may say so.
_ignores_result: Final[Callable[[Any, Any], bool]] = vars(trace).get(
    "get_actual_ignore_result", lambda task, request: task.ignore_result or request.ignore_result
)

#: Where a canvas in a message has its parts.
_PARTS: Final = {"chain": ("tasks",), "group": ("tasks",), "chord": ("header", "body")}


class AbortableTask(ProgressTask, _Abortable):  # type: ignore[misc]
    """A task that can be asked to abort, and whose abort is never lost.

    Each report of its Observer looks whether it was asked, and leaves the task by TaskAborted if
    so; a task without reports calls `raise_if_aborted()` now and then. ABORTED is then stored with
    the last progress, `on_abort` and errbacks run, callbacks do not, and a client's `get()` raises
    TaskAborted. A task that was asked before it starts, or before it is retried, does not run.

    ::

        @app.task(bind=True, base=AbortableTask)
        def import_users(self, rows):
            for row in Observer(self).track(rows, "Importing users"):
                save(row)

        import_users.delay(rows).abort()

    A task that has noticed the abort may as well come to an end of its own: by catching
    TaskAborted, or by `is_aborted()`. If it returns, it succeeds.

    Attributes:
        abort_check_interval: Seconds in which the result backend is asked at most once, by the
            clock; 0.0: at every check.

    Source:
        `celery.contrib.abortable.AbortableTask`, of which it is a subclass.
    """

    abstract = True
    abort_check_interval: Number = 0.0
    kept_endings = ProgressTask.kept_endings | {ABORTED}

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Bind the task to an app, whose results know ABORTED from now on.

        Raises:
            ProgressValueError: If `abort_check_interval` is no finite number of 0 or more.
        """
        amount(cls.abort_check_interval, "abort_check_interval")
        teach(app)
        return super().bind(app)

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AbortableAsyncResult:  # noqa: N802
        """The result of a task, by which it is asked to abort."""
        return AbortableAsyncResult(task_id, backend=self.backend, app=self._get_app(), **kwargs)

    # -- whether it is to abort -------------------------------------------------------------------

    def abort_check(self) -> AbortCheck | None:
        """What looks whether this execution is to abort, from any thread; None outside a task."""
        request = self.request
        if request.id is None:
            return None
        attempt = attempt_of(request)
        if attempt.abort_check is None:
            conf = self.app.conf
            # In eager mode nothing is stored, and Celery warns of every look.
            eager = request.is_eager and not conf.task_store_eager_result and conf.task_always_eager
            attempt.abort_check = AbortCheck(
                None if eager else self.backend, request.id, self.abort_check_interval
            )
        return attempt.abort_check

    def is_aborted(self, **kwargs: Any) -> bool:
        """Tell whether the task was asked to abort; False outside a task.

        Args:
            kwargs: `task_id`, to ask for another task.
        """
        task_id = kwargs.get("task_id", self.request.id)
        if task_id is None:
            return False
        if task_id == self.request.id:
            check = self.abort_check()
            return check is not None and check.is_aborted()
        result = self.AsyncResult(task_id)
        return isinstance(result, abortable.AbortableAsyncResult) and result.is_aborted()

    def raise_if_aborted(self) -> None:
        """Leave the task, if it was asked to abort.

        Raises:
            TaskAborted: If it was.
        """
        check = self.abort_check()
        if check is not None:
            check.raise_if_aborted()

    # -- what happens then ------------------------------------------------------------------------

    def on_abort(
        self,
        exc: TaskAborted,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        """Handler of an abort, run by the worker when ABORTED is stored; to be overridden.

        Args:
            exc: With the `task_id`, and the last progress as `meta`.
            task_id: Id of the task.
            args: Its arguments.
            kwargs: Its keyword arguments.
            einfo: With the traceback.
        """

    def _check_again(self, error: object) -> None:
        task_id = self.request.id
        if aborting.is_own(error, task_id) or self.is_aborted():
            raise TaskAborted(task_id)

    def _run_attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = self.request
        # This look is none of the task's own, and does not count as the first of them.
        if not request.is_eager and aborting.is_asked(self.backend, request.id):
            if is_over(self.backend.get_task_meta(request.id, cache=False)):
                message = f"{request.id} was delivered again, and has ended"
                raise Ignore(message)
            raise TaskAborted(request.id)
        check = self.abort_check()
        if check is not None:
            # From here on somebody catches what it raises.
            check.raises = True
        return super()._run_attempt(args, kwargs)

    def _end_attempt_by(self, attempt: Attempt, error: Exception) -> Any:
        if attempt.ending is None and self._is_abort(attempt, error):
            ending = Ending(ABORTED, self._last_progress(attempt), error)
            self._handle(attempt.end, ending)
        if attempt.ending is not None and attempt.ending.state == ABORTED:
            return self._end_attempt(attempt, None)
        return super()._end_attempt_by(attempt, error)

    def _is_abort(self, attempt: Attempt, error: Exception) -> bool:
        """Whether a task ends so for it was asked to: also by Ignore, as with Celery's class."""
        noticed = attempt.abort_check is not None and attempt.abort_check.noticed
        return aborting.is_own(error, self.request.id) or (noticed and isinstance(error, Ignore))

    def _end_attempt(self, attempt: Attempt, value: Any) -> Any:
        ending = attempt.ending
        if ending is not None and ending.state == ABORTED:
            self._abort(ending)
        return super()._end_attempt(attempt, value)

    def _last_progress(self, attempt: Attempt) -> dict[str, Any]:
        held = None if attempt.latest is None else attempt.latest.held()
        return self._stored_progress() if held is None else held

    def _stored_progress(self) -> dict[str, Any]:
        if aborting.keeps_requests(self.backend):
            stored = self.backend.get_task_meta(self.request.id, cache=False)
            if is_report(stored["status"]) and isinstance(stored["result"], dict):
                progress: dict[str, Any] = stored["result"]
                return progress
        return {"pending": False}

    def _abort(self, ending: Ending) -> NoReturn:
        """End the task as Celery ends one that fails, with ABORTED in the place of FAILURE."""
        request, backend = self.request, self.backend
        error = TaskAborted(request.id, ending.meta)
        try:
            raise error from ending.exception
        except TaskAborted:
            if request.is_eager:
                raise
            einfo = ExceptionInfo()
        if not _ignores_result(self, request) or self.store_errors_even_if_ignored:
            try:
                aborting.store(backend, request.id, ending.meta, request)
            except EncodeError:
                # Of a report that was held back, nobody knew until now.
                logger.exception("%s[%s]: its last report is lost", self.name, request.id)
                aborting.store(backend, request.id, self._stored_progress(), request)
            for each in _unpublished(reversed(request.chain or ())):
                aborting.store(backend, str(each.id), {"pending": False}, each)
        # The rest of it: its part in a chord, and errbacks.
        tell = partial(backend.mark_as_failure, request=request, store_result=False)
        self._handle(tell, request.id, error, einfo.traceback)
        logger.info("Task %s[%s] aborted", self.name, request.id)
        call = (request.id, request.args, request.kwargs, einfo)
        self._handle(self.on_abort, error, *call)
        self._handle(self.after_return, ABORTED, error, *call)
        raise Ignore(str(error))

    def _handle(self, handler: Callable[..., object], *args: object) -> None:
        try:
            handler(*args)
        except Exception:
            # The task has ended, whatever its handlers do.
            logger.exception("%s[%s]: %r raised", self.name, self.request.id, handler)


def abort_check_of(task: Any) -> Callable[[], object] | None:
    """What raises if a task is to abort, from any thread; None if it is not abortable.

    Args:
        task: The bound task; something with a `raise_if_aborted` will do.
    """
    check = task.abort_check() if isinstance(task, AbortableTask) else None
    return getattr(task if check is None else check, "raise_if_aborted", None)


def _unpublished(signatures: Any) -> Iterator[Context]:
    """A request for each task of some signatures, as they are in a message."""
    for each in signatures or ():
        parts = _PARTS.get(each.get("subtask_type"))
        if parts is None:
            request = Context(each)
            request.id = each["options"].get("task_id")
            if request.id is not None:
                yield request
            continue
        for name in parts:
            part = (each.get("kwargs") or {}).get(name)
            yield from _unpublished(part if isinstance(part, (list, tuple)) else part and [part])
