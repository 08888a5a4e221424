"""The worker side of the eager engine: Celery's own consumer, request and tracer, one at a time.

Every part of a Celery worker that decides what a task's states are is used as it is. What is
replaced is what a worker has around it: the event loop, the timer thread and the process pool.
"""

from __future__ import annotations

import heapq
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from time import monotonic
from types import SimpleNamespace
from typing import Any, Final

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery.app.trace import build_tracer
from celery.exceptions import TaskRevokedError
from celery.utils.imports import symbol_by_name
from celery.utils.nodenames import default_nodename
from kombu.serialization import prepare_accept_content

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.engines.installation import replace
from pytest_taskprogress.engines.internals import Consumer, app_state, worker_state

__all__ = ["InProcessConsumer", "Timer"]

logger = logging.getLogger(__name__)


class Timer:
    """Calls that wait for their time on a virtual clock; in order of time, then of scheduling.

    Args:
        clock: The clock that they wait for.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._calls: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._scheduled = 0

    def call_at(
        self,
        eta: float,
        function: Callable[..., object],
        args: tuple[Any, ...],
        **_: object,
    ) -> None:
        """Schedule a call at the eta of a request; Celery's worker asks for it.

        Args:
            eta: Not used.
            function: What to call.
            args: With what; the first is the request.
        """
        self._scheduled += 1
        at = self.time_of(args[0].eta)
        heapq.heappush(self._calls, (at, self._scheduled, function, args))

    def time_of(self, eta: datetime) -> float:
        """The reading of the clock's `monotonic()` at a date and time."""
        return self._clock.at(eta.timestamp())

    def __bool__(self) -> bool:
        """Whether a call waits."""
        return bool(self._calls)

    @property
    def requests(self) -> list[tuple[float, Any]]:
        """Time and first argument (a worker's request) of all calls, in order."""
        return [(at, args[0]) for at, _, _, args in sorted(self._calls, key=lambda call: call[:2])]

    def take(self) -> Callable[[], None] | None:
        """Take the next call; the clock is at its time when it is made. None if none waits."""
        if not self._calls:
            return None
        at, _, function, args = heapq.heappop(self._calls)

        def call() -> None:
            self._clock.jump_to(at)
            function(*args)

        return call

    def clear(self) -> None:
        """Forget every call."""
        self._calls.clear()


class _Pool:
    """A pool of one process, which is this one.

    Args:
        app: The app of the worker.
        hostname: Node name of the worker.
    """

    def __init__(self, app: Any, hostname: str) -> None:
        # What celery.app.trace keeps in a module global in a real worker's process.
        self._localized = [app._tasks, prepare_accept_content(app.conf.accept_content), hostname]  # noqa: SLF001
        self._pid = os.getpid()

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
        blocks = app_state.task_join_will_block()
        app_state._set_task_join_will_block(True)  # noqa: FBT003, SLF001
        try:
            result = target(*args, _loc=self._localized)
        except SystemExit as exit_:
            # The process of a real pool is gone then, and its parent tells the request.
            _tell(error_callback, _worker_lost(exit_))
        except Exception:  # noqa: BLE001 - what went wrong outside the task's own code
            _tell(error_callback, ExceptionInfo())
        else:
            _tell(callback, result)
        finally:
            app_state._set_task_join_will_block(blocks)  # noqa: SLF001


def _tell(callback: Callable[..., object], result: object) -> None:
    """Tell the request, as `billiard.pool.ApplyResult.safe_apply_callback` does."""
    try:
        callback(result)
    except Exception:
        logger.exception("Pool callback raised exception")


def _worker_lost(exit_: SystemExit) -> ExceptionInfo:
    error = WorkerLostError(f"Worker exited prematurely: exitcode {exit_.code}.")
    error.__cause__ = exit_
    return ExceptionInfo((type(error), error, exit_.__traceback__))


class _Strategies(dict[str, Callable[..., Any]]):
    """Celery's strategy of each task, made when its first message comes."""

    def __init__(self, consumer: InProcessConsumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Callable[..., Any]:
        consumer = self._consumer
        task = consumer.app.tasks[name]
        consumer.trace(task)
        strategy: Callable[..., Any] = task.start_strategy(consumer.app, consumer)
        self[name] = strategy
        return strategy


#: Hub.call_soon of a worker defers acknowledgements to its event loop; there is none.
_HUB: Final = SimpleNamespace(call_soon=lambda callback: callback())


def _ignore(*_: object) -> None:
    """Prefetch counts matter only where messages are fetched ahead."""


class InProcessConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without its connection: messages are handed to it.

    Args:
        app: The app of the worker.
        clock: What `eta` and `countdown` wait for.

    Attributes:
        timer: Requests that wait for their time.
        on_message: Handles one message: Celery's own task handler.

    Source:
        `celery.worker.consumer.Consumer.__init__`, for what a strategy asks of a consumer.
    """

    def __init__(self, app: Any, clock: VirtualClock) -> None:
        self.app = app
        self.hostname = default_nodename("")
        self.pool = _Pool(app, self.hostname)
        self.timer = Timer(clock)
        self.hub = _HUB
        self.controller = SimpleNamespace(state=worker_state)
        self.qos = SimpleNamespace(increment_eventually=_ignore, decrement_eventually=_ignore)
        self.event_dispatcher = None
        self.connection_errors = ()
        self.disable_rate_limits = True
        self.task_buckets: dict[str, Any] = defaultdict(lambda: None)
        self.on_task_message: set[Any] = set()
        self._maximum_prefetch_restored = True
        self._clock = clock
        self._undo = ExitStack()
        self.strategies = _Strategies(self)
        self.on_message: Callable[[Any], None] = self.create_task_handler()

    def trace(self, task: Any) -> None:
        """Give a task the tracer of this worker, as a worker does at its start."""
        tracer = build_tracer(task.name, task, self.app.loader, self.hostname, app=self.app)
        replace(self._undo, task, "__trace__", tracer)
        replace(self._undo, task, "Request", self._request_by_clock(task.Request))

    def _request_by_clock(self, request: Any) -> Any:
        """A request class that expires by the engine's clock: Celery's own asks the machine's."""
        clock = self._clock

        def maybe_expire(request: Any) -> bool | None:
            if request.expires and clock.now() > request.expires:
                worker_state.revoked.add(request.id)
                return True
            return None

        base = symbol_by_name(request)
        return type(base.__name__, (base,), {"maybe_expire": maybe_expire})

    def on_task_request(self, request: Any) -> None:
        """Execute a request; `WorkController._process_task` of a real worker."""
        with suppress(TaskRevokedError):
            request.execute_using_pool(self.pool)

    def close(self) -> None:
        """Take off again what the tasks were given."""
        self._undo.close()
