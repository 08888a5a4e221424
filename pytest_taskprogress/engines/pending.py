"""What waits to be run: messages that can run now, and requests that wait for their time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any, Final

from celery.utils.time import maybe_iso8601
from celery.worker.request import Request

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.engines.base import PendingTask
from pytest_taskprogress.engines.broker import Broker
from pytest_taskprogress.engines.consumer import InProcessConsumer
from pytest_taskprogress.engines.places import Places

__all__ = ["Pending"]

#: Among how many messages one is chosen, where it need not be the first.
_CHOICES: Final = 8


class Pending:
    """The one line of work of an engine.

    Messages run in the order of their publication. Requests with a countdown or an eta run in the
    order of their time, then of their publication, and only when no message can run.

    Args:
        broker: Where messages wait.
        consumer: Where requests wait for their time, and what runs both.
        clock: What time is told by.
        places: Where they wait.
        on_crash: Called when the worker has died, and another one begins.
    """

    def __init__(
        self,
        broker: Broker,
        consumer: InProcessConsumer,
        clock: VirtualClock,
        places: Places,
        on_crash: Callable[[], object],
    ) -> None:
        self._broker = broker
        self._consumer = consumer
        self._clock = clock
        self._places = places
        self._on_crash = on_crash
        self._choosing = threading.RLock()

    def take(self, until: float = math.inf) -> Callable[[], bool] | None:
        """Take the next piece of work; None if there is none until a reading of the clock.

        Returns:
            What does the work; it returns False if nothing was run, but put by for later.
        """
        with self._choosing:
            place, timer = self._places.here, self._consumer.timer
            if place.messages and place.held_until <= min(until, timer.next_at):
                self._clock.jump_to(place.held_until)
                return self.taking()
            if not self.due(until):
                return None
            call = timer.take()
            return lambda: self._consumer.make(call)

    def taking(self, raw: dict[str, Any] | None = None) -> Callable[[], bool]:
        """Take a message; see `take`.

        Args:
            raw: Which one; None: the first.
        """
        message = self._broker.take(raw)
        return lambda: self._consumer.handle(message)

    def ready(self) -> list[dict[str, Any]]:
        """The first messages that can run now."""
        place = self._places.here
        if not place.messages or place.held_until > self._clock.monotonic():
            return []
        return list(islice(place.messages, _CHOICES))

    def exchange_holds(self, depth: int) -> int:
        """Let this thread hold back what it publishes so many times; see `Broker`."""
        return self._broker.exchange_holds(depth)

    def bring_back(self) -> None:
        """Begin with another worker: the one that was there has died, with all that it knew."""
        self._consumer.clear()
        self._broker.bring_back()
        self._on_crash()

    def receive_scheduled(self) -> None:
        """Let the worker have every message with an eta, which it puts by, as a real one does."""
        with self._choosing:
            scheduled = [raw for raw in self._broker.waiting if raw["headers"].get("eta")]
            for raw in scheduled:
                self._consumer.handle(self._broker.take(raw))

    def requests(self) -> list[Any]:
        """A worker's request for each message that could run now, or waits for a rate limit."""
        consumer = self._consumer
        found = [request for bucket in consumer.timer.buckets for request, _ in bucket.contents]
        for message in self._broker.peek(consumer.accept):
            with suppress(Exception):  # what is no task message is no request
                found.append(Request(message, app=consumer.app, hostname=consumer.hostname))
        return found

    def clear(self) -> None:
        """Forget all of it."""
        self._broker.clear()
        self._consumer.clear()

    def due(self, until: float = math.inf) -> bool:
        """Whether something waits that is due by a reading of the clock."""
        place, timer = self._places.here, self._consumer.timer
        if place.messages and place.held_until <= until:
            return True
        return bool(timer) and timer.next_at <= until

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._broker.waiting) + len(self._consumer.timer)

    def __bool__(self) -> bool:
        return self.due()

    def __iter__(self) -> Iterator[PendingTask]:
        timer = self._consumer.timer
        later = [PendingTask(each.name, each.id, at) for at, each in timer.requests]
        for message in self._broker.peek(self._consumer.accept):
            name, uuid, eta = _identity(message)
            if eta is None:
                yield PendingTask(name, uuid)
            else:
                later.append(PendingTask(name, uuid, timer.time_of(eta)))
        yield from sorted(later, key=lambda each: each.at or 0.0)

    def __str__(self) -> str:
        """The first of them, a line each, for messages."""
        waiting = list(self)
        lines = [f"  {each}" for each in waiting[:10]]
        if len(waiting) > len(lines):
            lines.append(f"  and {len(waiting) - len(lines)} more")
        return "\n".join(lines) or "  nothing"


def _identity(message: Any) -> tuple[str, str, datetime | None]:
    """Name, id and eta of a task message; what is no task message has none."""
    fields = message.headers
    with suppress(Exception):
        if "task" not in fields:  # task protocol 1
            fields = message.decode()
        return str(fields["task"]), str(fields.get("id", "?")), maybe_iso8601(fields.get("eta"))
    return "?", "?", None
