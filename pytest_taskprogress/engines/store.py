"""A key-value store in memory, whose keys expire by a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_taskprogress.core.clock import Clock

__all__ = ["Record", "Store"]


class Record:
    """What is stored under one key.

    Attributes:
        state: The state that it says a task is in; None if it is no record of a task.
        payload: What a real backend would hold. Until somebody reads it, it may be None, and `make`
            makes what is to be encoded.
        expires_at: When it is gone, by the store's clock; None: never.
    """

    __slots__ = ("expires_at", "make", "payload", "state")

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


class Store:
    """Records by key. Not safe under threads by itself.

    Args:
        clock: What expiry goes by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[bytes, Record] = {}

    def get(self, key: bytes) -> Record | None:
        """The record of a key; None if there is none, or if it has expired."""
        record = self._records.get(key)
        if (
            record is not None
            and record.expires_at is not None
            and record.expires_at <= self._clock.monotonic()
        ):
            del self._records[key]
            return None
        return record

    def put(self, key: bytes, record: Record, expires: float | None) -> Record:
        """Store a record for some seconds; 0 or None: for ever."""
        if expires:
            record.expires_at = self._clock.monotonic() + expires
        self._records[key] = record
        return record

    def expire(self, key: bytes, expires: float | None) -> None:
        """Let a key expire some seconds from now; 0 or None: never."""
        record = self.get(key)
        if record is not None:
            record.expires_at = self._clock.monotonic() + expires if expires else None

    def delete(self, key: bytes) -> None:
        """Forget a key; one that is not there is no error."""
        self._records.pop(key, None)

    def clear(self) -> None:
        """Forget every key."""
        self._records.clear()
