"""The in-memory broker: a Kombu virtual transport whose messages wait in one ordered line.

Celery publishes to it as to any broker: messages are built, encoded and routed by Celery and Kombu.
Nothing here is shared between two brokers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from kombu import Connection, Producer
from kombu.exceptions import EncodeError
from kombu.serialization import dumps
from kombu.transport import virtual

from pytest_taskprogress.core.errors import NeedsRealWorker
from pytest_taskprogress.engines.places import Places
from pytest_taskprogress.engines.refusals import NotSerializable, refused_arguments
from pytest_taskprogress.engines.threads import Threads

__all__ = ["Broker"]


class _Channel(virtual.Channel):
    """A channel that puts messages into its broker's line, whatever their queue."""

    do_restore = False
    supports_fanout = True
    # Bodies stay as they were encoded: there is no wire that wants text.
    body_encoding: Any = None
    #: Its transport.
    connection: Any

    def typeof(self, exchange: str, default: str = "direct") -> Any:
        """What an exchange does with messages, by its type."""
        kind = self.connection.broker.state.exchanges.get(exchange, {}).get("type", default)
        if kind not in self.exchange_types:
            message = (
                f"the exchange {exchange!r} is of type {kind!r}, and Kombu's transports in memory"
                f" know {', '.join(sorted(self.exchange_types))}: this needs a real broker"
            )
            raise NeedsRealWorker(message)
        return super().typeof(exchange, default)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        queues = super()._lookup(exchange, routing_key, default)
        if not queues and self.connection.broker.declare_queues():
            queues = super()._lookup(exchange, routing_key, default)
        return list(queues)

    def _put(self, queue: str, message: dict[str, Any], **_: object) -> None:
        self.connection.broker.put(message)

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str, **_: object
    ) -> None:
        self.connection.broker.declare_queues()
        for _key, _pattern, queue in sorted(self.get_table(exchange)):
            # Each queue has a message of its own, which is acknowledged by itself.
            tag = {"delivery_tag": self._next_delivery_tag()}
            self._put(queue, {**message, "properties": {**message["properties"], **tag}})

    def _queue_bind(self, *_: object) -> None:
        """Do nothing: the table of the exchange has it."""

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        refusal = (
            f"nobody but the engine's worker takes messages from its broker, and it has no queues"
            f" of its own: a consumer of {queue!r} needs a real broker"
        )
        raise NeedsRealWorker(refusal)

    def _size(self, queue: str) -> int:
        return len(self.connection.broker.waiting)

    def _purge(self, queue: str) -> int:
        size = self._size(queue)
        self.connection.broker.waiting.clear()
        return size

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        self.connection.broker.delivered.pop(delivery_tag, None)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        message = self.connection.broker.delivered.pop(delivery_tag, None)
        if requeue and message is not None:
            message["properties"]["delivery_info"]["redelivered"] = True
            self.connection.broker.put(message)


class _Transport(virtual.Transport):
    """A transport of one broker; `Broker` makes a subclass that knows it."""

    Channel = _Channel
    broker: Broker
    driver_type = "memory"
    driver_name = "taskprogress"

    def __init__(self, client: Connection, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        # Exchanges and bindings belong to the broker, as on a real one, not to a connection.
        self.state = self.broker.state

    def driver_version(self) -> str:
        return ""


class _Producer(Producer):
    """A producer that can be entered again; what it published runs when it is left."""

    def __init__(self, connection: Connection, broker: Broker) -> None:
        super().__init__(connection, auto_declare=False)
        self._broker = broker
        self._declared: dict[str, object] = {}

    def publish(self, body: Any, **options: Any) -> Any:  # type: ignore[override]
        # In memory there is nothing to retry, and an entity needs to be declared only once.
        options["retry"] = False
        options["declare"] = [
            entity for entity in options.get("declare") or () if self._is_new(entity)
        ]
        try:
            return super().publish(body, **options)
        except EncodeError as error:
            raise self._refusal(body, options, error) from error

    def _refusal(
        self,
        body: Any,
        options: dict[str, Any],
        reason: EncodeError,
    ) -> NotSerializable:
        serializer = options.get("serializer") or self.serializer or "json"
        return refused_arguments(
            (options.get("headers") or {}).get("task"),
            _parts(body),
            serializer=serializer,
            encode=lambda value: dumps(value, serializer=serializer),
            reason=reason,
        )

    def _is_new(self, entity: Any) -> bool:
        if self._declared.get(entity.name) is entity:
            return False
        self._declared[entity.name] = entity
        return True

    def forget_declared(self) -> None:
        """Declare every entity again when it is used."""
        self._declared.clear()

    def __enter__(self) -> _Producer:
        self._broker.hold()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._broker.release(told=exc_type is None or issubclass(exc_type, Exception))

    def release(self) -> None:
        """Do nothing: the producer lives as long as its broker."""


class _Pool:
    """What Celery expects of a pool of producers or connections, over one that is never used up."""

    def __init__(self, acquire: Callable[[], Any], connections: _Pool | None = None) -> None:
        self._acquire = acquire
        self.connections = connections
        self.limit: int | None = None

    @property
    def connection(self) -> Connection:
        connection: Connection = self._acquire()
        return connection

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        return self._acquire()

    def release(self, resource: object) -> None:
        """Do nothing: nothing is counted."""

    def force_close_all(self, *_: object, **__: object) -> None:
        """Do nothing: there is nothing to close."""


class _PooledConnection(Connection):
    """A connection that outlives the `with` block that uses it."""

    def release(self) -> None:
        """Do nothing: the connection lives as long as its broker."""


class Broker:
    """Messages that wait for an engine.

    Attributes:
        worker_queues: Returns the queues that the worker consumes from.
        connections: Stands for `app.pool`.
        producers: Stands for `app.amqp.producer_pool`.

    Args:
        on_published: Called when a thread has published something: after one message, or after all
            messages of a group.
        places: Where messages wait; None: at one of its own.
    """

    def __init__(self, on_published: Callable[[], None], places: Places | None = None) -> None:
        self._places = Places(Threads()) if places is None else places
        self.worker_queues: Callable[[], Iterable[Any]] = tuple
        self._worker_declared = False
        self.state = virtual.BrokerState()
        self._transport = type("Transport", (_Transport,), {"broker": self})
        self._connection: Any = _PooledConnection(transport=self._transport)
        self._producer = _Producer(self._connection, self)
        self._on_published = on_published
        self._held = threading.local()
        self._channel: Any = self._connection.default_channel
        self.connections = _Pool(lambda: self._connection)
        self.producers = _Pool(lambda: self._producer, self.connections)

    @property
    def waiting(self) -> deque[dict[str, Any]]:
        """Messages as Kombu made them, in the order of publication, where this thread works."""
        return self._places.here.messages

    @property
    def delivered(self) -> dict[str, dict[str, Any]]:
        """Messages that were taken and not acknowledged yet, by delivery tag."""
        return self._places.here.delivered

    def connection(self, *_: object, **__: object) -> Connection:
        """Open a connection to this broker; stands for `app.connection_for_write`."""
        return Connection(transport=self._transport)

    def declare_queues(self) -> bool:
        """Declare the queues of the worker, once; returns whether that was now.

        A worker declares them when it starts. Here that is done when a message is published to an
        exchange that nobody has bound a queue to.
        """
        if self._worker_declared:
            return False
        self._worker_declared = True
        for queue in self.worker_queues():
            if not queue.exchange or queue.exchange.type in self._channel.exchange_types:
                queue(self._channel).declare()
        return True

    def put(self, raw: dict[str, Any]) -> None:
        """Let a message wait, and tell of it unless this thread holds it back."""
        self.waiting.append(raw)
        if not getattr(self._held, "depth", 0):
            # By a producer or a connection that user code brought.
            self._on_published()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Tell nothing of what this thread publishes."""
        self.hold()
        try:
            yield
        finally:
            self.release(told=False)

    def exchange_holds(self, depth: int) -> int:
        """Let this thread hold so many times; returns how often it did: of what stands still."""
        before: int = getattr(self._held, "depth", 0)
        self._held.depth = depth
        return before

    def hold(self) -> None:
        """Tell nothing of what this thread publishes until the last hold is released."""
        self._held.depth = getattr(self._held, "depth", 0) + 1

    def release(self, *, told: bool) -> None:
        """Release a hold; the last one tells that something may have been published, if told."""
        self._held.depth -= 1
        if told and not self._held.depth:
            self._on_published()

    def take(self, raw: dict[str, Any] | None = None) -> Any:
        """Take a waiting message; it is unacknowledged until the worker says otherwise.

        Args:
            raw: Which one; None: the first.
        """
        if raw is None:
            raw = self.waiting.popleft()
        else:
            self.waiting.remove(raw)
        place = self._places.here
        place.delivered[raw["properties"]["delivery_tag"]] = raw
        if place.watchers:
            place.taken[raw["headers"].get("id")] = raw
        return self._message(raw)

    def redeliver(self, task_id: str) -> bool:
        """Let the message of a task wait once more, behind all others; False if there is none."""
        waiting = (each for each in self.waiting if each["headers"].get("id") == task_id)
        raw = self._places.here.taken.get(task_id) or next(waiting, None)
        if raw is None:
            return False
        with self.held():
            self.put(self._again(raw, self._channel._next_delivery_tag()))  # noqa: SLF001
        return True

    def bring_back(self) -> None:
        """Let wait again, before all others, what was taken and not acknowledged."""
        place = self._places.here
        unacknowledged = list(place.delivered.values())
        place.delivered.clear()
        for raw in reversed(unacknowledged):
            place.messages.appendleft(self._again(raw, raw["properties"]["delivery_tag"]))

    def _again(self, raw: dict[str, Any], tag: str) -> dict[str, Any]:
        properties = raw["properties"]
        info = {**properties["delivery_info"], "redelivered": True}
        return {**raw, "properties": {**properties, "delivery_tag": tag, "delivery_info": info}}

    def peek(self, accept: set[str]) -> list[Any]:
        """The waiting messages, which go on waiting.

        Args:
            accept: Content types that may be decoded.
        """
        return [self._message(raw, accept=accept) for raw in list(self.waiting)]

    def _message(self, raw: dict[str, Any], **options: Any) -> Any:
        return self._channel.Message(raw, channel=self._channel, **options)

    def clear(self) -> None:
        """Forget every message."""
        place = self._places.here
        place.messages.clear()
        place.delivered.clear()
        place.taken.clear()
        place.held_until = 0.0

    def reset(self) -> None:
        """Forget every message, and every queue and exchange."""
        self.clear()
        self.state.clear()
        self.worker_queues = tuple
        self._worker_declared = False
        self._connection.declared_entities.clear()
        self._producer.forget_declared()


def _parts(body: Any) -> dict[str, object]:
    """What a task message carries, by the names that its sender knows."""
    if isinstance(body, dict):  # task protocol 1
        fields, canvas = body, body
    elif isinstance(body, tuple) and len(body) == 3:  # noqa: PLR2004 - args, kwargs, embed
        fields, canvas = {"args": body[0], "kwargs": body[1]}, body[2]
    else:
        return {"body": body}
    names = {"callbacks": "link", "errbacks": "link_error", "chain": "chain", "chord": "chord"}
    return {
        "args": fields.get("args"),
        "kwargs": fields.get("kwargs"),
        **{name: canvas[key] for key, name in names.items() if canvas.get(key)},
    }
