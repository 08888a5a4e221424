"""What a fake result backend keeps: records that expire, counts, and who is told of writes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.transitions import Source, Transition

__all__ = ["Record", "Store", "Waiter"]

#: Is called with the ids that are waited for, the seconds that are left (None: for ever), and what
#: tells whether something was written since they were not there.
Waiter = Callable[[tuple[str, ...], "float | None", Callable[[], bool]], bool]


class Record:
    """What is stored under one key.

    Attributes:
        state: The state that it says a task is in; None if it is no record of a task.
        payload: What a real backend would hold. Until somebody reads it, it may be None, and `make`
            makes what is to be encoded.
        number: Which write of the store it is.
        expires_at: When it is gone, by the store's clock; None: never.
        decoded: What the payload is of, if somebody keeps it here; nobody may change it.
        readable: False if it was found that the payload cannot be decoded.
    """

    __slots__ = ("decoded", "expires_at", "make", "number", "payload", "readable", "state")

    def __init__(
        self,
        state: str | None = None,
        payload: Any = None,
        make: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.state = state
        self.payload = payload
        self.make = make
        self.expires_at: float | None = None
        self.number = 0
        self.decoded: Any = None
        self.readable = True


class Store:
    """Records by key, whose keys expire by a clock.

    Pickled and unpickled in one process it is the same store, so that a result that carries its
    backend goes on reading what is stored.

    Attributes:
        clock: What expiry and waiting go by.
        lock: Held by whoever reads and then writes.
        reads: Reads of a record, by task id.
        writes: Writes that were asked for, by task id.
        subscribers: Who is told of each write.
        on_written: Who is told of each write when the lock is not held any more.
        on_asked: Who is told when a task is asked to abort.
        on_read: Who is told, with the id, before a record is read for somebody.
        refuse: What raises where a record cannot be written, or read; None: all can.
        waiter: What makes results come; None: other threads do.

    Args:
        clock: None: the machine's clock.
    """

    _by_id: Final[WeakValueDictionary[str, Store]] = WeakValueDictionary()
    _by_app: Final[WeakKeyDictionary[Any, Store]] = WeakKeyDictionary()
    _making: Final = threading.Lock()

    def __init__(self, clock: Clock | None = None, store_id: str | None = None) -> None:
        self.clock = clock or Clock()
        self.lock = threading.RLock()
        self._written = threading.Condition(self.lock)
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.subscribers: list[Callable[[Transition], None]] = []
        self.on_written: Callable[[Transition], object] | None = None
        self.on_asked: Callable[[AbortRequest], object] | None = None
        self.on_read: Callable[[str], object] | None = None
        self.refuse: Callable[[str, str, str | None], object] | None = None
        self.waiter: Waiter | None = None
        self.version = 0
        self._records: dict[bytes, Record] = {}
        self._waiting = 0
        self._puts = 0
        self._told = 0
        self._epoch = self.clock.monotonic()
        self._id = store_id or uuid4().hex
        self._by_id[self._id] = self

    @classmethod
    def of_app(cls, app: Any) -> Store:
        """The store of an app that has the fake backend by its URL.

        Celery makes a backend for each thread that asks first: they are one.
        """
        with cls._making:
            return cls._by_app.get(app) or cls._by_app.setdefault(app, cls())

    @classmethod
    def find(cls, store_id: str) -> Store:
        """The store of an id; a new one if it is of another process, or gone."""
        with cls._making:
            return cls._by_id.get(store_id) or cls(store_id=store_id)

    def __reduce__(self) -> tuple[Callable[[str], Store], tuple[str]]:
        return Store.find, (self._id,)

    # -- records ----------------------------------------------------------------------------------

    def get(self, key: bytes) -> Record | None:
        """The record of a key; None if there is none, or if it has expired."""
        record = self._records.get(key)
        if (
            record is not None
            and record.expires_at is not None
            and record.expires_at <= self.clock.monotonic()
        ):
            del self._records[key]
            return None
        return record

    def put(self, key: bytes, record: Record, expires: float | None) -> Record:
        """Store a record for some seconds; 0 or None: for ever."""
        if expires:
            record.expires_at = self.clock.monotonic() + expires
        self._puts += 1
        record.number = self._puts
        # Taken out first: the dict is in the order of writes.
        self._records.pop(key, None)
        self._records[key] = record
        return record

    def written_since(self, number: int) -> list[bytes]:
        """Keys that were written after a write, in order."""
        found = []
        for key, record in reversed(self._records.items()):
            if record.number <= number:
                break
            found.append(key)
        return found[::-1]

    @property
    def puts(self) -> int:
        """How many writes there were."""
        return self._puts

    def expire(self, key: bytes, expires: float | None) -> None:
        """Let a key expire some seconds from now; 0 or None: never."""
        record = self.get(key)
        if record is not None:
            record.expires_at = self.clock.monotonic() + expires if expires else None

    def delete(self, key: bytes) -> None:
        """Forget a key; one that is not there is no error."""
        self._records.pop(key, None)

    def clear(self) -> None:
        """Forget every key and count, and begin to number the writes from 0."""
        self._records.clear()
        self.reads.clear()
        self.writes.clear()
        self._told = 0
        self._epoch = self.clock.monotonic()

    # -- who waits, and who is told ---------------------------------------------------------------

    def changed(self) -> None:
        """Wake up who waits for a write; the lock is held."""
        self.version += 1
        if self._waiting:
            self._written.notify_all()

    def wait(self, version: int, seconds: float | None) -> bool:
        """Wait for a write after the one that made a version; False if the time is over."""
        with self.lock:
            self._waiting += 1
            try:
                return self._written.wait_for(lambda: self.version != version, seconds)
            finally:
                self._waiting -= 1

    def _now(self) -> float:
        return self.clock.monotonic() - self._epoch

    def tell_asked(self, uuid: str, source: Source | None) -> None:
        """Tell that a task was asked to abort; the lock is held."""
        if self.on_asked is not None:
            self.on_asked(AbortRequest(uuid, self._now(), self._told, source))

    def tell(self, kind: str, name: str | None, uuid: str, *parts: Any) -> Transition:
        """Tell the subscribers of a write; the lock is held.

        Args:
            kind: Of the transition.
            name: Of the task.
            uuid: Of the task.
            parts: Old state, state, meta, result, whether it was stored, the source, and the text
                of the traceback.
        """
        old_state, state, meta, result, stored, source, traceback = parts
        at = self._now()
        transition = Transition(
            *(self._told, kind, name, uuid, old_state, state, meta, result, at, stored, source),
            traceback,
        )
        self._told += 1
        for subscriber in self.subscribers:
            subscriber(transition)
        return transition
