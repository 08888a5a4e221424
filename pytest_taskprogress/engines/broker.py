"""The in-memory broker: a Kombu virtual transport whose messages wait in one ordered line.

Celery publishes to it as to any broker: messages are built, encoded and routed by Celery and Kombu.
Nothing here is shared between two brokers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from kombu import Connection, Producer
from kombu.exceptions import EncodeError
from kombu.serialization import dumps
from kombu.transport import virtual

from pytest_taskprogress.engines.refusals import NotSerializable, refused_arguments

__all__ = ["Broker"]


class _Channel(virtual.Channel):
    """A channel that puts messages into its broker's line, whatever their queue."""

    do_restore = False
    # Bodies stay as they were encoded: there is no wire that wants text.
    body_encoding: Any = None
    #: Its transport.
    connection: Any

    def _put(self, queue: str, message: dict[str, Any], **_: object) -> None:
        self.connection.broker.waiting.append(message)

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
            self.connection.broker.waiting.append(message)


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
    """A producer that can be entered again, and tells when the outermost publication is over."""

    def __init__(self, connection: Connection, on_published: Callable[[], None]) -> None:
        super().__init__(connection, auto_declare=False)
        self._on_published = on_published
        self._nesting = threading.local()
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
        args, kwargs = (body["args"], body["kwargs"]) if isinstance(body, dict) else body[:2]
        return refused_arguments(
            (options.get("headers") or {}).get("task"),
            args,
            kwargs,
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
        self._nesting.depth = getattr(self._nesting, "depth", 0) + 1
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._nesting.depth -= 1
        if not self._nesting.depth and (exc_type is None or issubclass(exc_type, Exception)):
            self._on_published()

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
        waiting: Messages as Kombu made them, in the order of publication.
        delivered: Messages that were taken and not acknowledged yet, by delivery tag.
        connections: Stands for `app.pool`.
        producers: Stands for `app.amqp.producer_pool`.

    Args:
        on_published: Called when the outermost publication of a thread is over: after one message,
            or after all messages of a group.
    """

    def __init__(self, on_published: Callable[[], None]) -> None:
        self.waiting: deque[dict[str, Any]] = deque()
        self.delivered: dict[str, dict[str, Any]] = {}
        self.state = virtual.BrokerState()
        self._transport = type("Transport", (_Transport,), {"broker": self})
        self._connection: Any = _PooledConnection(transport=self._transport)
        self._producer = _Producer(self._connection, on_published)
        self._channel: Any = self._connection.default_channel
        self.connections = _Pool(lambda: self._connection)
        self.producers = _Pool(lambda: self._producer, self.connections)

    def connection(self, *_: object, **__: object) -> Connection:
        """Open a connection to this broker; stands for `app.connection_for_write`."""
        return Connection(transport=self._transport)

    def take(self) -> Any:
        """Take the next waiting message; it is unacknowledged until the worker says otherwise."""
        raw = self.waiting.popleft()
        self.delivered[raw["properties"]["delivery_tag"]] = raw
        return self._channel.Message(raw, channel=self._channel)

    def clear(self) -> None:
        """Forget every message."""
        self.waiting.clear()
        self.delivered.clear()

    def reset(self) -> None:
        """Forget every message, and every queue and exchange."""
        self.clear()
        self.state.clear()
        self._connection.declared_entities.clear()
        self._producer.forget_declared()
