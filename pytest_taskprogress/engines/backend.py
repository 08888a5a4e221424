"""The fake result backend: a real Celery key-value backend whose store is in memory.

What it stores, drops and refuses is decided by Celery's own code. Two things are its own: it tells
subscribers each write that it was asked for, and a report of plain values is copied at the write
and encoded only if it is read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from celery import states as celery_states
from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.states import (
    EXCEPTION_STATES,
    PENDING,
    RETRY,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Source, Transition
from pytest_taskprogress.engines.internals import KeyValueStoreBackend
from pytest_taskprogress.engines.refusals import refused_value
from pytest_taskprogress.engines.store import Record, Store

__all__ = ["FakeBackend"]

_URL: Final = "taskprogress://"

#: Values of these exact types cannot be changed by anybody and come back from JSON and pickle as
#: they went in, so that a copy of the dict that holds them is the round trip.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_EXACT_SERIALIZERS: Final = frozenset({"json", "pickle"})

#: Frames of these packages report on behalf of somebody; the first frame above them is the source.
_REPORTERS: Final = ("celery.", "pytest_taskprogress.")
Waiter = Callable[[tuple[str, ...], float | None], bool]
_TRACER: Final = "celery.app.trace"


class FakeBackend(KeyValueStoreBackend):  # type: ignore[misc]
    """A result backend in memory, with the semantics of Celery's key-value backends.

    The first SUCCESS is final; chords, groups, children, `forget`, expiry, `result_extended`, every
    serialiser and `result_compression` work as they do on Redis. Every instance has a store of its
    own, and may be used by many threads. Without an engine: `Celery(backend="taskprogress://")`.

    Attributes:
        clock: What expiry, and everything else that needs the time, goes by.
        reads: Reads of a record, by task id; a write counts as one too, because Celery's key-value
            backends look before they write.
        writes: Writes that were asked for, by task id, dropped ones included.

    Args:
        app: The app whose serialiser and expiry settings apply.
        clock: None: the machine's clock.
        url: `taskprogress://`, or None.

    Raises:
        celery.exceptions.ImproperlyConfigured: If the URL is another one.

    Source:
        `celery.backends.cache.CacheBackend`, which it is tested against.
    """

    supports_native_join = True
    supports_autoexpire = True
    supports_result_compression = True
    supports_failure_expires = True
    implements_incr = True

    def __init__(
        self,
        app: Any,
        *args: Any,
        clock: Clock | None = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        if url is not None and url.rstrip("/") != _URL.rstrip("/"):
            message = f"the fake result backend has one URL: expected {_URL!r}, got url={url!r}"
            raise ImproperlyConfigured(message)
        super().__init__(app, *args, url=url, **kwargs)
        # One instance serves all threads: Celery would else make one for each.
        self.thread_safe = True
        self.clock = clock or Clock()
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        failure_expires = app.conf.get("result_failure_expires")
        self._failure_expires = (
            self.expires if failure_expires is None else self.prepare_expires(failure_expires)
        )
        self._changed = threading.Condition(threading.RLock())
        self._store = Store(self.clock)
        self._subscribers: list[Callable[[Transition], None]] = []
        self._waiter: Waiter | None = None
        self._lazy = (
            self.serializer in _EXACT_SERIALIZERS
            and not getattr(self, "compression", None)
            and not app.conf.find_value_for_key("extended", "result")
        )
        self._keys: dict[str, bytes] = {}
        self._version = 0
        self._waiting = 0
        self._index = 0
        self._epoch = self.clock.monotonic()
        self._writing: Record | None = None

    # -- for engines ------------------------------------------------------------------------------

    def subscribe(self, subscriber: Callable[[Transition], None]) -> None:
        """Call somebody with each write that is asked for, stored or not, after it happened.

        Args:
            subscriber: Called in the thread that wrote, one write at a time.
        """
        self._subscribers.append(subscriber)

    def wait_with(self, waiter: Waiter) -> None:
        """Say what makes results come, instead of waiting for other threads to write them.

        Args:
            waiter: Called with the ids that are waited for, and the seconds that are left (None:
                for ever), while a result is not there; returns False when they have passed, and
                raises if nothing can come.
        """
        self._waiter = waiter

    def peek(self, task_id: str) -> dict[str, Any]:
        """Read a task's record as a client would, without counting it as a read.

        Raises:
            Exception: Whatever Celery raises for a record that cannot be read back.
        """
        with self._changed:
            payload = self._payload(self.get_key_for_task(task_id))
        if payload is None:
            return {"status": PENDING, "result": None}
        meta: dict[str, Any] = self.decode_result(payload)
        return meta

    def clear(self) -> None:
        """Forget every record and count, and begin to number the writes from 0."""
        with self._changed:
            self._store.clear()
            self._keys.clear()
            self._cache.clear()
            self.reads.clear()
            self.writes.clear()
            self._index = 0
            self._epoch = self.clock.monotonic()

    # -- Celery's interface: writing --------------------------------------------------------------

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Store a state, and tell the subscribers; Celery's contract otherwise.

        Raises:
            NotSerializable: If the serialiser refuses the result; nothing is stored.
            ValueError: If there is no task id, or what is stored cannot be read back.
        """
        source = _source() if self._subscribers else None
        key = self._keys.get(task_id) or self._keys.setdefault(
            task_id, self.get_key_for_task(task_id)
        )
        with self._changed:
            old = self._store.get(key)
            old_state = PENDING if old is None else old.state or PENDING
            self.writes[task_id] += 1
            stored = old_state != SUCCESS
            if self._is_plain(result, state, old_state):
                self.reads[task_id] += 1
                value = result.copy() if type(result) is dict else result
                if stored:
                    self._store_plain(key, task_id, value, state, traceback, request)
            else:
                value = self._store_encoded(
                    task_id, result, state, traceback, request, source, kwargs
                )
            self._version += 1
            if self._waiting:
                self._changed.notify_all()
            if self._subscribers:
                self._tell(task_id, value, old_state, state, request, stored, source)
        return result

    def _is_plain(self, result: object, state: str, old_state: str) -> bool:
        if not self._lazy or state in EXCEPTION_STATES or old_state in EXCEPTION_STATES:
            # Exceptions are prepared, and a broken record is found out, by Celery's own code.
            return False
        if type(result) is not dict:
            return type(result) in _PLAIN
        for name, value in result.items():
            if type(name) is not str or type(value) not in _PLAIN:
                return False
        return True

    def _store_plain(
        self,
        key: bytes,
        task_id: str,
        value: Any,
        state: str,
        traceback: str | None,
        request: Any,
    ) -> None:
        # A record is seldom read: what Celery stores with the value is put together when it is. The
        # time, and the children, which grow, are those of the write.
        children = self.current_task_children(request)
        date_done = self.app.now().isoformat() if state in self.READY_STATES else None

        def make() -> dict[str, Any]:
            meta = self._get_result_meta(value, state, traceback, request)
            return {**meta, "children": children, "date_done": date_done, "task_id": task_id}

        self._store.put(key, Record(state, make=make), self.expires)

    def _store_encoded(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None,
        request: Any,
        source: Source | None,
        kwargs: dict[str, Any],
    ) -> Any:
        self._writing = None
        try:
            wire = super().store_result(task_id, result, state, traceback, request, **kwargs)
        except EncodeError as error:
            raise refused_value(
                state,
                result,
                source=source,
                serializer=self.serializer,
                encode=self.encode,
                reason=error,
            ) from error
        if self._writing is not None:
            return self.decode(self._writing.payload)["result"]
        try:
            # Celery dropped it, without a look at the value: this is what it would have been.
            return self.decode(self.encode({"result": wire}))["result"]
        except EncodeError:
            return None

    def _tell(
        self,
        task_id: str,
        value: Any,
        old_state: str,
        state: str,
        request: Any,
        stored: bool,
        source: Source | None,
    ) -> None:
        transition = Transition(
            self._index,
            "retry" if state == RETRY else "task",
            getattr(request, "task", None),
            task_id,
            old_state,
            state,
            value.copy() if type(value) is dict else {},
            value if state in TERMINAL_STATES or state == RETRY else None,
            self.clock.monotonic() - self._epoch,
            stored,
            source,
        )
        self._index += 1
        for subscriber in self._subscribers:
            subscriber(transition)

    # -- Celery's interface: the key-value store --------------------------------------------------

    def get(self, key: bytes) -> Any:
        """Return what is stored under a key, encoded; None if nothing is."""
        with self._changed:
            if key.startswith(self.task_keyprefix):
                self.reads[self._strip_prefix(key)] += 1
            return self._payload(key)

    def _payload(self, key: bytes) -> Any:
        record = self._store.get(key)
        if record is None:
            return None
        if record.payload is None and record.make is not None:
            record.payload = self.encode(record.make())
        return record.payload

    def mget(self, keys: list[bytes]) -> list[Any]:
        """Return what is stored under each of some keys."""
        return [self.get(key) for key in keys]

    def set(self, key: bytes, value: Any) -> None:
        """Store an encoded value under a key."""
        self._set_with_state(key, value, None)

    def _set_with_state(self, key: bytes, value: Any, state: str | None) -> None:
        expires = self._failure_expires if state == celery_states.FAILURE else self.expires
        with self._changed:
            self._writing = self._store.put(key, Record(state, value), expires)

    def delete(self, key: bytes) -> None:
        """Forget a key."""
        with self._changed:
            self._store.delete(key)

    def incr(self, key: bytes) -> int:
        """Add 1 to a counter, which begins at 0, and return it."""
        with self._changed:
            record = self._store.get(key) or self._store.put(key, Record(payload=0), self.expires)
            record.payload += 1
            return int(record.payload)

    def expire(self, key: bytes, value: float | None) -> None:
        """Let a key expire some seconds from now; 0 or None: never."""
        with self._changed:
            self._store.expire(key, value)

    # -- Celery's interface: waiting --------------------------------------------------------------

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> dict[str, Any]:
        """Wait until a task is ready, and return its record.

        Raises:
            celery.exceptions.TimeoutError: If it is not ready in time, by the clock.
            DeadlockError: If an engine runs the tasks, and nothing pending can make it ready.
        """
        deadline = None if timeout is None else self.clock.monotonic() + timeout
        while True:
            version = self._version
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in self.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            self._wait((task_id,), version, deadline)

    def get_many(
        self,
        task_ids: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None,
        READY_STATES: frozenset[str] = celery_states.READY_STATES,  # noqa: N803
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Wait for some tasks, and yield the record of each as it becomes ready."""
        deadline = None if timeout is None else self.clock.monotonic() + timeout
        waiting = dict.fromkeys(task_ids)
        iterations = 0
        while waiting:
            version = self._version
            for task_id in list(waiting):
                meta = self.get_task_meta(task_id)
                if meta["status"] in READY_STATES:
                    del waiting[task_id]
                    if on_message is not None:
                        on_message(meta)
                    yield task_id, meta
            iterations += 1
            if not waiting or (max_iterations and iterations >= max_iterations):
                return
            if on_interval:
                on_interval()
            self._wait(tuple(waiting), version, deadline)

    def _wait(self, task_ids: tuple[str, ...], version: int, deadline: float | None) -> None:
        """Wait for a write after the one that made this version."""
        left = None if deadline is None else deadline - self.clock.monotonic()
        if self._waiter is not None:
            came = self._waiter(task_ids, left)
        else:
            with self._changed:
                self._waiting += 1
                try:
                    came = self._changed.wait_for(lambda: self._version != version, left)
                finally:
                    self._waiting -= 1
        if not came:
            message = "The operation timed out."
            raise CeleryTimeoutError(message)


def _source() -> Source | None:
    """The line that reported; None for what the worker's own code wrote."""
    frame = frame_outside(_REPORTERS, stop=_TRACER)
    return None if frame is None else Source(frame.f_code.co_filename, frame.f_lineno)
