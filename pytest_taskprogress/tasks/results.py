"""Asking tasks to abort: by their results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.contrib import abortable
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, EagerResult, ResultSet

from pytest_taskprogress.core.clock import clock_of
from pytest_taskprogress.core.errors import DeadlockError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.progress import Number, amount
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.tasks import aborting
from pytest_taskprogress.tasks.knowing import KnowsAborted, assert_will_not_block, is_over

__all__ = ["AbortableAsyncResult", "abort", "tasks_of"]

#: Without its type parameters: at run time Celery's class may have none.
_Abortable: Any = abortable.AbortableAsyncResult


class AbortableAsyncResult(KnowsAborted, _Abortable):  # type: ignore[misc]
    """The result of an AbortableTask, by which it is asked to abort.

    Args:
        id: Id of the task.
        backend: Where its result is; None: that of the app.
        app: None: the current app.

    Source:
        `celery.contrib.abortable.AbortableAsyncResult`, whose `abort()` writes over the state.
    """

    @property
    def state(self) -> str:
        """The state of the task; ABORTED from the moment it is asked until it ends otherwise."""
        meta = self._get_task_meta()
        if not is_over(meta) and aborting.is_asked(self.backend, self.id):
            return ABORTED
        return str(meta["status"])

    status = state

    def is_aborted(self) -> bool:
        """Tell whether the task was asked to abort, and has not ended otherwise."""
        return self.state == ABORTED

    def abort(self, grace: Number | None = None) -> bool:
        """Ask the task to abort; see `abort`.

        Args:
            grace: Seconds to wait for it, and then to revoke it. None: do not wait.

        Returns:
            False if it had ended, or was asked before.

        Raises:
            AbortUnsupported: If the result backend does not keep the request.
        """
        return abort(self, grace)


def abort(result: Any, grace: Number | None = None) -> bool:
    """Ask a task, or every task of a canvas, to abort.

    A canvas is walked by its results: the members of groups, and what comes before in a chain. They
    are asked by their ids: also those that are not published yet, so that a chain stops.

    Args:
        result: What `apply_async` returned, or the same made anew: a result of any class.
        grace: Seconds to wait for them to end; what has not by then is revoked with
            `terminate=True`, for which a worker kills the process. None: do not wait.

    Returns:
        True if one was asked; False if all had ended, or were asked before. Only an AbortableTask
        looks whether it was.

    Raises:
        AbortUnsupported: If the result backend does not keep the request.
        ProgressValueError: If `grace` is no finite number of 0 or more.
        RuntimeError: If a task is to wait for others to end; Celery refuses that.
        TypeError: If it is no result.
        Exception: What the backend raises, if it is down.
    """
    if grace is not None:
        grace = amount(grace, "grace")
        assert_will_not_block()
    tasks = list(tasks_of(result))
    asked = [each for each in tasks if _ask(each)]
    if grace is not None:
        for late in _late(tasks, grace):
            late.revoke(terminate=True)
    return bool(asked)


def tasks_of(result: Any) -> Iterator[Any]:
    """The results of the tasks of a canvas, each once."""
    stack, seen = [result], set()
    while stack:
        node = stack.pop()
        if not isinstance(node, (AsyncResult, ResultSet)):
            message = (
                f"abort() takes the result of a task or of a canvas, got {as_repr(node)}; of an id"
                " make one by task.AsyncResult(id)"
            )
            raise TypeError(message)
        key = id(node) if isinstance(node, ResultSet) else node.id
        if key in seen:
            continue
        seen.add(key)
        if node.parent is not None:
            stack.append(node.parent)
        if isinstance(node, ResultSet):
            stack.extend(reversed(node.results or []))
        else:
            yield node


def _ask(result: Any) -> bool:
    """Ask one task; returns False if it has ended, or was asked before."""
    backend = result.backend
    if isinstance(result, EagerResult):
        return False
    if aborting.keeps_requests(backend) and (
        is_over(backend.get_task_meta(result.id, cache=False))
        or aborting.is_asked(backend, result.id)
    ):
        return False
    aborting.ask(backend, result.id)
    if isinstance(result, _Abortable) and not isinstance(result, AbortableAsyncResult):
        # A task of Celery's own class looks at its state.
        result.abort()
    return True


def _late(results: list[Any], grace: Number) -> Iterator[Any]:
    """Those that have not ended after some seconds."""
    results = [each for each in results if not isinstance(each, EagerResult)]
    if not results:
        return
    clock = clock_of(results[0].backend)
    deadline = clock.monotonic() + grace
    for each in results:
        waiting = AbortableAsyncResult(each.id, backend=each.backend, app=each.app)
        try:
            waiting.get(timeout=max(deadline - clock.monotonic(), 0.0), propagate=False)
        except (CeleryTimeoutError, DeadlockError):
            yield each
