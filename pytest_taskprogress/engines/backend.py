"""The fake result backend: a real Celery key-value backend whose store is in memory.

What it stores, drops and refuses is decided by Celery's own code. Two things are its own: it tells
subscribers each write that it was asked for, and a report of plain values is copied at the write
and encoded only if it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from celery import states as celery_states
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.states import (
    EXCEPTION_STATES,
    PENDING,
    RETRY,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.chords import CountsChords
from pytest_taskprogress.engines.failing import CanFail
from pytest_taskprogress.engines.plain import EXACT_SERIALIZERS, copied, is_plain
from pytest_taskprogress.engines.refusals import NotSerializable, refused_arguments, refused_value
from pytest_taskprogress.engines.sources import source_of_write
from pytest_taskprogress.engines.store import Record, Store, Waiter
from pytest_taskprogress.engines.threads import is_stray
from pytest_taskprogress.tasks.aborting import is_request, task_of
from pytest_taskprogress.tasks.records import is_record

__all__ = ["FakeBackend"]

_URL: Final = "taskprogress://"


def _key(key: bytes | str) -> bytes:
    """A key as it is stored; Celery's key-value backends take text too."""
    return key if type(key) is bytes else str(key).encode()


class FakeBackend(CanFail, CountsChords):
    """A result backend in memory, with the semantics of Celery's key-value backends.

    The first SUCCESS is final; chords, groups, children, `forget`, expiry, `result_extended`, every
    serialiser and `result_compression` work as they do on the cache backend, and `add_to_chord` as
    on Redis. Every instance has a store of its own, and may be used by many threads. Without an
    engine: `Celery(backend="taskprogress://")`.

    Attributes:
        clock: What expiry, and everything else that needs the time, goes by.
        reads: Reads of a record, by task id; a write counts as one too, because Celery's key-value
            backends look before they write.
        writes: Writes that were asked for, by task id, dropped ones included.

    Args:
        app: The app whose serialiser and expiry settings apply.
        clock: None: the machine's clock.
        url: `taskprogress://`, or None.
        store: What it keeps; None: a new one, or with the URL the one of the app.
        replacing: Whether it only takes the place of the app's own backend: where the app has none,
            chords are refused, as they are in production.

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
        store: Store | None = None,
        replacing: bool = False,
        **kwargs: Any,
    ) -> None:
        if url is not None and url.rstrip("/") != _URL.rstrip("/"):
            message = f"the fake result backend has one URL: expected {_URL!r}, got url={url!r}"
            raise ImproperlyConfigured(message)
        super().__init__(app, *args, url=url, **kwargs)
        # One instance serves all threads: Celery would else make one for each.
        self.thread_safe = True
        if store is None:
            store = Store(clock) if url is None else Store.of_app(app)
        self._store = store
        self._keys: dict[str, bytes] = {}
        failure_expires = app.conf.get("result_failure_expires")
        self._failure_expires = (
            self.expires if failure_expires is None else self.prepare_expires(failure_expires)
        )
        self._lazy = (
            self.serializer in EXACT_SERIALIZERS
            and self.content_type in self.accept
            and not getattr(self, "compression", None)
            and not app.conf.find_value_for_key("extended", "result")
        )
        self._writing: Record | None = None
        self._replacing = replacing

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        settings = {
            "url": self.url,
            "expires": self.expires,
            "serializer": self.serializer,
            "store": self._store,
        }
        return super().__reduce__(args, {**settings, **(kwargs or {})})

    @property
    def clock(self) -> Clock:
        """What expiry, and everything else that needs the time, goes by."""
        return self._store.clock

    @property
    def reads(self) -> Counter[str]:
        """Reads of a record, by task id."""
        return self._store.reads

    @property
    def writes(self) -> Counter[str]:
        """Writes that were asked for, by task id."""
        return self._store.writes

    # -- for engines ------------------------------------------------------------------------------

    def subscribe(self, subscriber: Callable[[Transition], None]) -> None:
        """Call somebody with each write that is asked for, stored or not, after it happened.

        Args:
            subscriber: Called in the thread that wrote, one write at a time.
        """
        self._store.subscribers.append(subscriber)

    def watch(
        self,
        on_written: Callable[[Transition], object],
        on_asked: Callable[[AbortRequest], object],
        on_read: Callable[[str], object],
    ) -> None:
        """Say who is told of what happens, and may do something to it.

        Args:
            on_written: Called after each write when others can write again, in the thread that
                wrote; what it raises is raised there.
            on_asked: Called when a task is asked to abort.
            on_read: Called with the id of a record before it is read, in the thread that reads.
        """
        store = self._store
        store.on_written, store.on_asked, store.on_read = on_written, on_asked, on_read

    def wait_with(self, waiter: Waiter) -> None:
        """Say what makes results come, instead of waiting for other threads to write them.

        Args:
            waiter: Called while a result is not there, with the ids that are waited for, the
                seconds that are left (None: for ever), and what tells whether something was written
                meanwhile; returns False when the time is over, and raises if nothing can come.
        """
        self._store.waiter = waiter

    def peek(self, task_id: str) -> dict[str, Any]:
        """Read a task's record as a client would, without counting it as a read.

        Raises:
            Exception: Whatever Celery raises for a record that cannot be read back.
        """
        with self._store.lock:
            payload = self._payload(self.get_key_for_task(task_id))
        if payload is None:
            return {"status": PENDING, "result": None}
        meta: dict[str, Any] = self.decode_result(payload)
        return meta

    def clear(self) -> None:
        """Forget every record and count, and begin to number the writes from 0."""
        with self._store.lock:
            self._store.clear()
            self._cache.clear()
            self._keys.clear()

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
        key = self._key_of(task_id)
        if type(task_id) is not str:
            task_id = self._strip_prefix(key)
        if self._replacing and is_stray(task_id):
            return result
        store, told = self._store, None
        with store.lock:
            source = source_of_write() if store.subscribers else None
            old = store.get(key)
            old_state = PENDING if old is None else old.state or PENDING
            stored = old_state != SUCCESS
            store.writes[task_id] += 1
            readable = old is None or old.readable
            if readable and store.refuse is None and self._may_wait(result, state, old_state):
                store.reads[task_id] += 1
                value = copied(result)
                if stored:
                    self._store_plain(key, task_id, value, state, traceback, request)
            else:
                result, value = self._store_encoded(
                    task_id, result, state, traceback, request, kwargs
                )
            store.changed()
            if is_record(task_id, state):
                # No state of a task, but what somebody asks of it, or says.
                if is_request(task_id):
                    store.tell_asked(task_of(task_id), source)
            elif store.subscribers:
                ended = state in TERMINAL_STATES or state == RETRY
                told = store.tell(
                    "retry" if state == RETRY else "task",
                    getattr(request, "task", None),
                    task_id,
                    old_state,
                    state,
                    value.copy() if type(value) is dict else {},
                    copied(value) if ended else None,
                    stored,
                    source,
                    traceback,
                )
        if told is not None and store.on_written is not None:
            store.on_written(told)
        return result

    def _key_of(self, task_id: str) -> bytes:
        key = self._keys.get(task_id)
        if key is None:
            key = self._keys[task_id] = self.get_key_for_task(task_id)
        return key

    def _may_wait(self, result: object, state: str, old_state: str) -> bool:
        """Whether a value may be encoded later: it is plain, and what is stored can be read."""
        if not self._lazy or state in EXCEPTION_STATES or old_state in EXCEPTION_STATES:
            # Exceptions are prepared, and a broken record is found out, by Celery's own code.
            return False
        return is_plain(result)

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
        now = self.app.now() if state in self.READY_STATES else None

        def make() -> dict[str, Any]:
            meta = self._get_result_meta(value, state, traceback, request)
            done = None if now is None else now.isoformat()
            return {**meta, "children": children, "date_done": done, "task_id": task_id}

        self._store.put(key, Record(state, make=make), self.expires)

    def _store_encoded(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None,
        request: Any,
        kwargs: dict[str, Any],
    ) -> tuple[Any, Any]:
        """Let Celery store a value; returns what it returns, and what the wire carries."""
        self._writing = None
        try:
            prepared = super().store_result(task_id, result, state, traceback, request, **kwargs)
        except EncodeError as error:
            raise self._refusal(result, state, request, error) from error
        try:
            if self._writing is not None:
                return prepared, self.decode(self._writing.payload)["result"]
            # Celery dropped it, without a look at the value: this is what it would have been.
            return prepared, self.decode(self.encode({"result": prepared}))["result"]
        except Exception:  # noqa: BLE001 - what cannot be read back is stored all the same
            if self._writing is not None:
                self._writing.readable = False
            return prepared, None

    def _refusal(
        self, result: Any, state: str, request: Any, reason: EncodeError
    ) -> NotSerializable:
        try:
            self.encode(self.encode_result(result, state))
        except Exception:  # noqa: BLE001 - each serialiser has its own way to refuse
            return refused_value(
                state,
                result,
                source=source_of_write(),
                serializer=self.serializer,
                encode=self.encode,
                reason=reason,
            )
        # The value is fine: with result_extended the record has the task's arguments too.
        return refused_arguments(
            getattr(request, "task", None),
            {"args": request.args, "kwargs": request.kwargs},
            serializer=self.serializer,
            encode=self.encode,
            reason=reason,
        )

    # -- Celery's interface: reading --------------------------------------------------------------

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """Return the record of a task."""
        if self._store.on_read is not None:
            self._store.on_read(task_id)
        meta: dict[str, Any] = super().get_task_meta(task_id, cache)
        return meta

    # -- Celery's interface: the key-value store --------------------------------------------------

    def get(self, key: bytes | str) -> Any:
        """Return what is stored under a key, encoded; None if nothing is."""
        key = _key(key)
        with self._store.lock:
            if key.startswith(self.task_keyprefix):
                self._store.reads[self._strip_prefix(key)] += 1
            return self._payload(key)

    def _payload(self, key: bytes) -> Any:
        record = self._store.get(key)
        if record is None:
            return None
        if record.payload is None and record.make is not None:
            record.payload = self.encode(record.make())
        return record.payload

    def mget(self, keys: list[bytes | str]) -> list[Any]:
        """Return what is stored under each of some keys."""
        return [self.get(key) for key in keys]

    def set(self, key: bytes | str, value: Any) -> None:
        """Store an encoded value under a key."""
        self._set_with_state(key, value, None)

    def _set_with_state(self, key: bytes | str, value: Any, state: str | None) -> None:
        expires = self._failure_expires if state == celery_states.FAILURE else self.expires
        with self._store.lock:
            self._writing = self._store.put(_key(key), Record(state, value), expires)

    def delete(self, key: bytes | str) -> None:
        """Forget a key."""
        with self._store.lock:
            self._store.delete(_key(key))

    def incr(self, key: bytes | str) -> int:
        """Add 1 to a counter, which begins at 0, and return it."""
        key = _key(key)
        with self._store.lock:
            record = self._store.get(key) or self._store.put(key, Record(payload=0), self.expires)
            record.payload += 1
            return int(record.payload)

    def expire(self, key: bytes | str, value: float | None) -> None:
        """Let a key expire some seconds from now; 0 or None: never."""
        with self._store.lock:
            self._store.expire(_key(key), value)
