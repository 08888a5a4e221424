"""The pool of the worker in this process: it has one process, which is this one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from billiard.common import human_status
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from pytest_taskprogress.core.errors import NeedsRealWorker
from pytest_taskprogress.engines.internals import ExceptionWithTraceback, app_state
from pytest_taskprogress.engines.threads import Threads

__all__ = ["Pool", "cannot_terminate", "tell"]

logger = logging.getLogger(__name__)

#: Modules whose exceptions end a test, and no task; greenlet's ends one whose test has ended.
_TEST_FRAMEWORKS: Final = ("_pytest.", "hypothesis.", "greenlet")


def cannot_terminate() -> NeedsRealWorker:
    """Say why a running task is not terminated."""
    return NeedsRealWorker(
        "a running task is terminated by killing its process, and here that is the process of the"
        " test: revoke(terminate=True) of a running task needs a real worker"
    )


class Pool:
    """A pool of one process, which is this one.

    Args:
        app: The app of the worker.
        hostname: Node name of the worker.
        accept: Content types that it reads.
        threads: Tells whether a thread is in a task.
    """

    def __init__(self, app: Any, hostname: str, accept: set[str], threads: Threads) -> None:
        # What celery.app.trace keeps in a module global in a real worker's process.
        self._localized = [app._tasks, accept, hostname]  # noqa: SLF001
        self._pid = os.getpid()
        self._threads = threads

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Refuse: the process of the task is this one.

        Raises:
            NeedsRealWorker: Always.
        """
        raise cannot_terminate()

    def apply_async(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        accept_callback: Callable[..., object],
        callback: Callable[..., object],
        error_callback: Callable[..., object],
        **_: object,
    ) -> None:
        """Run a task now."""
        accept_callback(self._pid, monotonic())
        step = self._threads.step
        if step is not None:
            step.on_lost = error_callback
        # A task that is allowed to wait lets others run, which are not allowed to for that.
        blocks = app_state.task_join_will_block()
        app_state._set_task_join_will_block(self._threads)  # noqa: SLF001
        try:
            result = target(*args, _loc=self._localized)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or _ends_a_test(error):
                raise
            tell(error_callback, _error_of(error))
        else:
            failed, value, runtime = result
            tell(callback, (failed, _received(value), runtime) if failed else result)
        finally:
            if step is not None:
                step.on_lost = None
            app_state._set_task_join_will_block(blocks)  # noqa: SLF001


def tell(callback: Callable[..., object], result: object) -> None:
    """Tell the request, as `billiard.pool.ApplyResult.safe_apply_callback` does."""
    try:
        callback(result)
    except Exception:
        logger.exception("Pool callback raised exception")


def _ends_a_test(error: BaseException) -> bool:
    """Whether it is how a test framework ends or skips a test; a task may contain asserts."""
    return any(base.__module__.startswith(_TEST_FRAMEWORKS) for base in type(error).__mro__)


def _received(result: Any) -> Any:
    """What a worker gets from its pool: exceptions without what only the process had."""
    if isinstance(result, ExceptionInfo) and isinstance(result.exception, ExceptionWithTraceback):
        result.exception = result.exception.exc
    return result


def _error_of(error: BaseException) -> ExceptionInfo:
    """What a worker hears from its pool of an error that is not in a task's result."""
    if isinstance(error, SystemExit) and not hasattr(Request, "_worker_lost_info"):
        # Celery 5.7 makes this of the exit itself. Before, the pool did, until billiard 4.3 stopped
        # to, with which such a worker stores nothing: remove with 5.6 support.
        code = error.code
        status = 0 if code is None else code if isinstance(code, int) else 1
        lost = WorkerLostError(f"Worker exited prematurely: {human_status(status)}.")
        return ExceptionInfo((type(lost), lost, error.__traceback__))
    info: ExceptionInfo = _received(ExceptionInfo())
    return info
