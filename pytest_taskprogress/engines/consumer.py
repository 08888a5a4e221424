"""The worker side of the eager engine: Celery's own consumer, request and tracer, one at a time.

Every part of a Celery worker that decides what a task's states are is used as it is. What is
replaced is what a worker has around it: the event loop, the timer thread and the process pool.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from celery.app.trace import build_tracer
from celery.exceptions import ImproperlyConfigured, TaskRevokedError
from celery.utils.imports import symbol_by_name
from celery.utils.nodenames import default_nodename
from celery.utils.time import rate
from kombu.serialization import prepare_accept_content

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import MalformedMessageError
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.engines.internals import Consumer, worker_state
from pytest_taskprogress.engines.keeping import replace
from pytest_taskprogress.engines.places import Places
from pytest_taskprogress.engines.pool import Pool
from pytest_taskprogress.engines.threads import Threads
from pytest_taskprogress.engines.timer import Bucket, Timer

__all__ = ["InProcessConsumer", "unregistered"]

logger = logging.getLogger(__name__)


class _Strategies(dict[str, Callable[..., Any]]):
    """Celery's strategy of each task, made when its first message comes."""

    def __init__(self, consumer: InProcessConsumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Callable[..., Any]:
        consumer = self._consumer
        task = consumer.app.tasks.get(name)
        if task is None:
            # A plain one, not NotRegistered: the signal task_unknown tells which it was.
            raise KeyError(name)
        consumer.trace(task)
        consumer.task_buckets[name] = consumer.bucket_for_task(task)
        strategy: Callable[..., Any] = task.start_strategy(consumer.app, consumer)
        if task.Strategy == _DEFAULT_STRATEGY:
            strategy = partial(strategy, to_timestamp=consumer.to_timestamp)
        self[name] = strategy
        return strategy


#: The one that all tasks have unless they say otherwise.
_DEFAULT_STRATEGY: Final = "celery.worker.strategy:default"

#: Hub.call_soon of a worker defers acknowledgements to its event loop; there is none.
_HUB: Final = SimpleNamespace(call_soon=lambda callback: callback())


def _ignore(*_: object) -> None:
    """Prefetch counts matter only where messages are fetched ahead."""


class InProcessConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without its connection: messages are handed to it.

    Args:
        app: The app of the worker.
        clock: What `eta`, `countdown`, expiry and rate limits go by.
        threads: Tells whether a thread is in a task.
        places: Where requests wait.
        on_start: Called with a request before it is executed.
        on_end: Called with it when it has been.
        is_expected: Tells whether an error is one that a scenario asked for.
        on_discarded: Called with the reason when a message is thrown away, as a worker does with
            one that it cannot read or whose task it does not know.

    Attributes:
        accept: Content types of the messages that it reads.
        timer: Requests that wait for their time.
        on_message: Handles one message: Celery's own task handler.
        executed: How many requests were executed.

    Source:
        `celery.worker.consumer.Consumer.__init__`, for what a strategy asks of a consumer.
    """

    def __init__(
        self,
        app: Any,
        clock: VirtualClock,
        threads: Threads,
        places: Places,
        on_discarded: Callable[[str], object],
        on_start: Callable[[Any], object],
        on_end: Callable[[Any], object],
        is_expected: Callable[[Exception], bool],
    ) -> None:
        self.app = app
        self.hostname = default_nodename("")
        self.accept: set[str] = prepare_accept_content(app.conf.accept_content) or set()
        self.pool = Pool(app, self.hostname, self.accept, threads)
        self.timer = Timer(clock, places)
        self.hub = _HUB
        self.controller = SimpleNamespace(state=worker_state)
        self.qos = SimpleNamespace(increment_eventually=_ignore, decrement_eventually=_ignore)
        self.event_dispatcher = None
        self.connection_errors = ()
        self.disable_rate_limits = app.conf.worker_disable_rate_limits
        self.task_buckets: dict[str, Any] = defaultdict(lambda: None)
        self.on_task_message: set[Any] = set()
        self.executed = 0
        self._limit_order = 0
        self._maximum_prefetch_restored = True
        self._clock = clock
        self._on_discarded = on_discarded
        self._on_start = on_start
        self._on_end = on_end
        self._is_expected = is_expected
        self._undo = ExitStack()
        self.strategies = _Strategies(self)
        self.on_message: Callable[[Any], None] = self.create_task_handler()

    def handle(self, message: Any) -> bool:
        """Handle one message.

        Returns:
            False if the worker put it by for later: it waits for its eta, or for its rate limit.

        Raises:
            MalformedMessageError: If it names a task and has no id: a worker stops then.
        """
        headers = message.headers
        message.accept = self.accept
        if "task" in headers and "id" not in headers:
            error = (
                f"a message for the task {headers['task']!r} has no id, a real worker stops with"
                " KeyError('id') when it gets one: publish by apply_async or send_task, or give"
                f" the header `id`. Headers: {as_repr(headers)}"
            )
            raise MalformedMessageError(error)
        executed, put_by = self.executed, self.timer.put_by
        self._go_on_after(lambda: self.on_message(message))
        return self.executed > executed or self.timer.put_by == put_by

    def to_timestamp(self, eta: datetime, *_: object) -> float:
        """Say that a request has an eta; the timer asks the request when that is.

        Kombu counts from the boot of the machine, and says 0.0, as if there were none, for what was
        before it: a virtual clock may be there.

        Raises:
            OverflowError: If there is no such time.
        """
        self.timer.time_of(eta)
        return 1.0

    def make(self, call: Callable[[], object]) -> bool:
        """Make a call of the timer.

        Returns:
            False if no request was executed: a bucket had no token, or had nobody to give it to.
        """
        executed = self.executed
        self._go_on_after(call)
        return self.executed > executed

    def _go_on_after(self, call: Callable[[], object]) -> None:
        """Make a call, also if the result backend refuses what the worker itself stores."""
        try:
            call()
        except Exception as error:
            if not self._is_expected(error):
                raise
            logger.exception("The result backend refuses what the worker stores")

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

    def bucket_for_task(self, type: Any) -> Bucket | None:  # noqa: A002 - Celery's name
        """The bucket of a task's rate limit, filled by the engine's clock; None if it has none."""
        wanted: Any = getattr(type, "rate_limit", None)
        try:
            limit = rate(wanted)
        except ValueError as error:
            message = (
                f"the task {type.name!r} has rate_limit={wanted!r}: expected a number of tasks a"
                " second, or '10/s', '10/m', '10/h'"
            )
            raise ImproperlyConfigured(message) from error
        return Bucket(limit, self._clock) if limit else None

    def on_task_request(self, request: Any) -> None:
        """Execute a request; `WorkController._process_task` of a real worker."""
        self.executed += 1
        self._on_start(request)
        with suppress(TaskRevokedError):
            try:
                request.execute_using_pool(self.pool)
            except BaseException:
                # It ended the test, and not only the task: nothing else tells that it is over.
                worker_state.task_ready(request)
                raise
        self._on_end(request)

    # -- messages that a worker throws away -------------------------------------------------------

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Throw away what is no task message."""
        super().on_unknown_message(body, message)
        self._on_discarded(f"it is no task message: headers {as_repr(message.headers)}")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Let the task fail, if the message says which one it is."""
        super().on_unknown_task(body, message, exc)
        self._on_discarded(unregistered(exc.args[0], self.app))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Throw away a task message that lacks something, or has a refused content type."""
        super().on_invalid_task(body, message, exc)
        self._on_discarded(as_text(exc))

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Throw away a message that cannot be decoded."""
        super().on_decode_error(message, exc)
        self._on_discarded(f"it cannot be decoded: {as_text(exc)}")

    # -- its end ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget every request that waits, and when rate limits allow the next one."""
        here = self.timer.buckets
        for bucket in self.task_buckets.values():
            # One that is called at another place has requests there.
            if bucket is not None and (bucket in here or bucket.called_at is None):
                bucket.empty()
        self.timer.clear()

    def close(self) -> None:
        """Take off again what the tasks were given."""
        self._undo.close()


def unregistered(name: str, app: Any) -> str:
    """Say that no task has a name, and which names are near."""
    near = get_close_matches(str(name), app.tasks, n=3, cutoff=0.5)
    hint = f"; the nearest: {', '.join(map(repr, near))}" if near else ""
    return (
        f"no task {name!r} is registered on {app!r}{hint}. Import the module that defines it"
        " before the test runs, or correct the name"
    )
