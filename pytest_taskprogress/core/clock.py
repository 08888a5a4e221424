"""Clocks: the one of the machine, and one that only a test moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

__all__ = ["Clock", "VirtualClock", "clock_of"]


class Clock:
    """The machine's clock.

    Everything in this package that needs the time asks a clock, so that a test can give its own.
    """

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never falls."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970 (unix time)."""
        return time.time()

    def now(self) -> datetime:
        """The date and time, aware, in UTC."""
        return datetime.fromtimestamp(self.time(), timezone.utc)


class VirtualClock(Clock):
    """A clock that stands still until it is told to move.

    `monotonic()` counts from 0.0. `time()` starts at a whole second of unix time, so that an
    `eta` that user code computes from the wall clock still makes sense.

    Args:
        start: Unix time, in seconds, that `monotonic() == 0.0` stands for. None: the machine's time
            now.
    """

    def __init__(self, start: float | None = None) -> None:
        self._followers: list[Callable[[VirtualClock], object]] = []
        self.restart(start)

    @contextmanager
    def followed_by(self, follower: Callable[[VirtualClock], object]) -> Iterator[VirtualClock]:
        """Tell somebody of every move of this clock, until left: one that keeps another clock.

        Args:
            follower: Called with this clock after each move, and when it begins again.
        """
        self._followers.append(follower)
        try:
            yield self
        finally:
            self._followers.remove(follower)

    def _moved(self) -> None:
        for follower in self._followers:
            follower(self)

    def restart(self, start: float | None = None) -> None:
        """Begin at 0.0 again.

        Args:
            start: Unix time, in seconds, that 0.0 stands for. None: the machine's time now.
        """
        self._start = float(int(time.time() if start is None else start))
        self._elapsed = 0.0
        self._moved()

    def monotonic(self) -> float:
        """Seconds that this clock has been moved forward."""
        return self._elapsed

    def time(self) -> float:
        """Unix time, in seconds, of this clock."""
        return self._start + self._elapsed

    def at(self, timestamp: float) -> float:
        """The reading of `monotonic()` at a unix time.

        Args:
            timestamp: Unix time in seconds.

        Returns:
            Seconds, rounded to the microsecond: what a datetime in a message carries.
        """
        return round(timestamp - self._start, 6)

    def advance(self, seconds: float) -> float:
        """Move forward.

        Args:
            seconds: How far; 0.0 or more.

        Returns:
            The new reading of `monotonic()`.

        Raises:
            ValueError: If seconds is negative or no finite number.
        """
        if not 0.0 <= seconds < float("inf"):
            message = (
                f"a clock only moves forward: expected seconds >= 0.0, got seconds={seconds!r}"
            )
            raise ValueError(message)
        self._elapsed = round(self._elapsed + seconds, 6)
        self._moved()
        return self._elapsed

    def jump_to(self, elapsed: float) -> None:
        """Move forward to a reading of `monotonic()`; one that has passed changes nothing."""
        elapsed = round(elapsed, 6)
        if elapsed > self._elapsed:
            self._elapsed = elapsed
            self._moved()

    def __repr__(self) -> str:
        return f"VirtualClock(elapsed={self._elapsed!r})"


def clock_of(owner: object) -> Clock:
    """The clock of something, if it has one (an engine's backend has), or the machine's."""
    clock = getattr(owner, "clock", None)
    return clock if isinstance(clock, Clock) else Clock()
