"""What waits to be run: messages that can run now, and requests that wait for their time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from celery.utils.time import maybe_iso8601

from pytest_taskprogress.engines.base import PendingTask
from pytest_taskprogress.engines.broker import Broker
from pytest_taskprogress.engines.consumer import InProcessConsumer

__all__ = ["Pending"]


class Pending:
    """The one line of work of an engine.

    Messages run in the order of their publication. Requests with a countdown or an eta run in the
    order of their time, then of their publication, and only when no message can run.

    Args:
        broker: Where messages wait.
        consumer: Where requests wait for their time, and what runs both.
    """

    def __init__(self, broker: Broker, consumer: InProcessConsumer) -> None:
        self._broker = broker
        self._consumer = consumer
        self._choosing = threading.RLock()

    def take(self) -> Callable[[], None] | None:
        """Take the next piece of work; None if there is none."""
        with self._choosing:
            while self._broker.waiting:
                message = self._broker.take()
                if not message.headers.get("eta"):
                    return lambda: self._consumer.on_message(message)
                # A worker that gets it puts it by until its time: nothing is run yet.
                self._consumer.on_message(message)
            due: Callable[[], None] | None = self._consumer.timer.take()
            return due

    @property
    def next_at(self) -> float | None:
        """Seconds of the clock at which work can run; 0.0 for now, None if there is none."""
        for each in self:
            return each.at or 0.0
        return None

    def clear(self) -> None:
        """Forget all of it."""
        self._broker.clear()
        self._consumer.timer.clear()

    def __bool__(self) -> bool:
        return bool(self._broker.waiting) or bool(self._consumer.timer)

    def __iter__(self) -> Iterator[PendingTask]:
        timer = self._consumer.timer
        published = []
        for message in list(self._broker.waiting):
            headers = message["headers"]
            name, uuid, eta = (headers.get(key) for key in ("task", "id", "eta"))
            due = maybe_iso8601(eta)
            if due is None:
                yield PendingTask(name or "?", uuid or "?")
            else:
                published.append(PendingTask(name, uuid, timer.time_of(due)))
        received = [PendingTask(each.name, each.id, at) for at, each in timer.requests]
        yield from sorted(received + published, key=lambda each: each.at or 0.0)

    def __str__(self) -> str:
        """The first of them, a line each, for messages."""
        waiting = list(self)
        lines = [f"  {each}" for each in waiting[:10]]
        if len(waiting) > len(lines):
            lines.append(f"  and {len(waiting) - len(lines)} more")
        return "\n".join(lines) or "  nothing"
