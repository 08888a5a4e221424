"""The worker's timer, on a virtual clock: requests with an eta, and buckets of a rate limit."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from datetime import datetime
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

from pytest_taskprogress.core.clock import Clock, VirtualClock
from pytest_taskprogress.engines.internals import TokenBucket
from pytest_taskprogress.engines.places import Places

__all__ = ["Bucket", "Timer"]


class Bucket(TokenBucket):  # type: ignore[misc]
    """Kombu's token bucket, of one token, filled by the engine's clock.

    It keeps the time at which the token is there again: fractions of a token would be off by a
    microsecond now and then.

    Args:
        fill_rate: Tokens a second.
        clock: What fills it.

    Attributes:
        called_at: Seconds of the clock at which the timer looks after it; None: it does not.

    Source:
        `celery.worker.consumer.Consumer.bucket_for_task`, for the capacity of 1.
    """

    def __init__(self, fill_rate: float, clock: Clock) -> None:
        super().__init__(fill_rate, capacity=1)
        self._clock = clock
        self._free_at = 0.0
        self.called_at: float | None = None

    def can_consume(self, tokens: float = 1) -> bool:
        """Take the token, if it is there."""
        now = self._clock.monotonic()
        if now < self._free_at:
            return False
        self._free_at = self.next_after(now)
        return True

    def next_after(self, at: float) -> float:
        """When the token is there again that is taken at a time."""
        period: float = 1 / self.fill_rate
        return round(at + period, 6)

    def empty(self) -> None:
        """Forget who waits, and that the token was taken."""
        self.clear_pending()
        self.called_at = None
        self._free_at = 0.0

    def expected_time(self, tokens: float = 1) -> float:
        """Seconds until the token is there."""
        return max(self._free_at - self._clock.monotonic(), 0.0)


class _Call(NamedTuple):
    """A call that waits; they compare by time, then by the order of scheduling."""

    at: float
    number: int
    function: Callable[..., object]
    args: tuple[Any, ...]
    priority: int


class Timer:
    """Calls that wait for their time on a virtual clock; in order of time, then of scheduling.

    Args:
        clock: The clock that they wait for.
        places: Where.

    Attributes:
        put_by: How many times a request was put by, for its time or for its turn.

    Source:
        `kombu.asynchronous.timer.Timer`, as far as Celery's consumer uses it.
    """

    def __init__(self, clock: VirtualClock, places: Places) -> None:
        self._clock = clock
        self._places = places
        self._limited = False
        self._numbers = count()
        self.put_by = 0

    @property
    def calls(self) -> list[_Call]:
        """Those that wait where this thread works: a heap."""
        return self._places.here.calls

    def call_at(
        self,
        eta: float,
        function: Callable[..., object],
        args: tuple[Any, ...],
        priority: int = 0,
        **_: object,
    ) -> None:
        """Schedule a call at the eta of a request.

        Args:
            eta: Not used: Celery counts it from the machine's monotonic clock.
            function: What to call.
            args: With what; the first is the request.
            priority: What `inspect().scheduled()` says of it.
        """
        self._push(self.time_of(args[0].eta), function, args, priority)
        self.put_by += 1

    def call_after(
        self,
        seconds: float,
        function: Callable[..., object],
        args: tuple[Any, ...],
        priority: int = 0,
    ) -> None:
        """Schedule a call that looks after a bucket some seconds from now.

        Celery asks for one with each request that has to wait; one at a time is enough.
        """
        bucket: Bucket = args[0]
        self._limited = True
        if bucket.called_at is None:
            bucket.called_at = round(self._clock.monotonic() + seconds, 6)
            self._push(bucket.called_at, function, args, priority)
        self.put_by += 1

    def _push(
        self, at: float, function: Callable[..., object], args: tuple[Any, ...], priority: int
    ) -> None:
        heapq.heappush(self.calls, _Call(at, next(self._numbers), function, args, priority))

    def time_of(self, eta: datetime) -> float:
        """The reading of the clock's `monotonic()` at a date and time."""
        return self._clock.at(eta.timestamp())

    def __len__(self) -> int:
        """How many requests wait."""
        if not self._limited:
            return len(self.calls)
        return len(self.calls) + sum(len(bucket.contents) - 1 for bucket in self.buckets)

    def __bool__(self) -> bool:
        """Whether a call waits."""
        return bool(self.calls)

    @property
    def next_at(self) -> float:
        """The reading of the clock at which the next call is due; infinite if none waits."""
        return self.calls[0].at if self.calls else math.inf

    @property
    def buckets(self) -> list[Bucket]:
        """The buckets that somebody waits in: each has a call here."""
        return [call.args[0] for call in self.calls if isinstance(call.args[0], Bucket)]

    @property
    def requests(self) -> list[tuple[float, Any]]:
        """When each request that waits here runs, and the request, in order."""
        found = []
        for call in sorted(self.calls):
            if isinstance(call.args[0], Bucket):
                at = call.at
                for request, _ in call.args[0].contents:
                    found.append((at, request))
                    at = call.args[0].next_after(at)
            else:
                found.append((call.at, call.args[0]))
        return sorted(found, key=lambda each: each[0])

    @property
    def schedule(self) -> Any:
        """What Celery's `inspect().scheduled()` reads."""
        queue = [SimpleNamespace(entry=call, priority=call.priority) for call in sorted(self.calls)]
        return SimpleNamespace(queue=queue)

    def take(self) -> Callable[[], None]:
        """Take the next call; the clock is at its time when it is made."""
        call = heapq.heappop(self.calls)

        def make() -> None:
            self._clock.jump_to(call.at)
            if isinstance(call.args[0], Bucket):
                call.args[0].called_at = None
            call.function(*call.args)

        return make

    def clear(self) -> None:
        """Forget every call."""
        self.calls.clear()
