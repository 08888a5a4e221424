"""Remote control of the worker in this process: `app.control` and `app.control.inspect()`.

Commands are carried out by the handlers of Celery's own worker, at once, also while a task runs or
the engine is paused: as a real worker does. What they are given, and what they answer, makes the
serialiser's round trip.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from celery.utils.collections import AttributeDict
from celery.utils.functional import maybe_list
from kombu.serialization import dumps, loads, prepare_accept_content

from pytest_taskprogress.core.errors import NeedsRealWorker
from pytest_taskprogress.engines.consumer import InProcessConsumer
from pytest_taskprogress.engines.internals import Mailbox, Node, worker_control, worker_state
from pytest_taskprogress.engines.keeping import replace
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.pool import cannot_terminate

__all__ = ["controlled"]

#: What makes sense in one process. Commands that the user registered are carried out too.
_COMMANDS: Final = frozenset(
    {
        *("active", "conf", "ping", "query_task", "rate_limit", "registered", "reserved"),
        *("revoke", "revoke_by_stamped_headers", "revoked", "scheduled", "terminate"),
        # Older names of the same, which `inspect()` of Celery 5 still sends.
        *("dump_active", "dump_conf", "dump_reserved", "dump_revoked", "dump_schedule"),
        "dump_tasks",
    }
)


class _Ordered(frozenset[Any]):
    """A set of requests that is walked in the order in which they were received."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=lambda request: request.time_start or 0.0))


class _Node(Node):  # type: ignore[misc]
    """The worker's end of the mailbox; what cannot be done here is told to who asked for it."""

    pending: Pending
    refused: NeedsRealWorker | None = None

    def handle(self, method: str, arguments: dict[str, Any] | None = None) -> Any:
        self.pending.receive_scheduled()
        try:
            self._check(method, arguments or {})
            return super().handle(method, arguments)
        except NeedsRealWorker as error:
            # Kombu answers with what a handler raises; who asked without a reply has to know too.
            self.refused = error
            raise

    def _check(self, method: str, arguments: dict[str, Any]) -> None:
        handler = self.handlers.get(method)
        built_in = getattr(handler, "__module__", "") == worker_control.__name__
        if built_in and method not in _COMMANDS:
            raise _refusal(method)
        if method == "terminate" or arguments.get("terminate"):
            # Before the handler: Celery 5.6 stores REVOKED first, and then the pool would refuse.
            ids = maybe_list(arguments.get("task_id")) or ()
            if any(request.id in ids for request in worker_state.active_requests):
                raise cannot_terminate()


def _refusal(method: str) -> NeedsRealWorker:
    known = ", ".join(sorted(name for name in _COMMANDS if not name.startswith("dump_")))
    return NeedsRealWorker(
        f"the control command {method!r} needs a real worker: the engine has no process pool, no"
        f" event loop and no queues of its own. In this process work: {known}"
    )


class _Mailbox(Mailbox):  # type: ignore[misc]
    """Celery's mailbox, whose one worker is asked without a broker in between."""

    node_cls = _Node
    node: _Node

    def _publish(
        self,
        type: str,  # noqa: A002
        arguments: dict[str, Any],
        destination: Iterable[str] | None = None,
        reply_ticket: str | None = None,
        channel: Any = None,
        timeout: float | None = None,
        serializer: str | None = None,
        producer: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        message = {
            "method": type,
            "arguments": arguments,
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        }
        if reply_ticket:
            message |= {
                "ticket": reply_ticket,
                "reply_to": {"exchange": self.reply_exchange.name, "routing_key": self.oid},
            }
        self.node.refused = None
        self.node.handle_message(self._over_the_wire(message, serializer))
        if self.node.refused is not None:
            raise self.node.refused

    def _publish_reply(
        self, reply: Any, exchange: str, routing_key: str, ticket: str, **_: Any
    ) -> None:
        self.unclaimed[ticket].append(self._over_the_wire(reply))

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float = 1,
        callback: Callable[[Any], object] | None = None,
        **_: Any,
    ) -> list[Any]:
        responses = list(self.unclaimed.pop(ticket, ()))
        for response in responses:
            if callback is not None:
                callback(response)
        return responses

    def _over_the_wire(self, value: Any, serializer: str | None = None) -> Any:
        content_type, encoding, payload = dumps(value, serializer=serializer or self.serializer)
        accept = prepare_accept_content(self.accept)
        return loads(payload, content_type, encoding, accept=accept)


@contextmanager
def controlled(app: Any, consumer: InProcessConsumer, pending: Pending) -> Iterator[None]:
    """Let `app.control` speak to the worker in this process.

    Args:
        app: A Celery app.
        consumer: The worker.
        pending: What waits for it.
    """
    with ExitStack() as undo:
        # The app keeps its control, which Celery makes when it is first used: of the app's own
        # settings, because that is before a test changes them.
        _open_mailbox(app.control.mailbox, app, consumer, pending, undo)
        yield


def _open_mailbox(
    mailbox: Any, app: Any, consumer: InProcessConsumer, pending: Pending, undo: ExitStack
) -> None:
    def reserved(_: Any, **__: Any) -> list[dict[str, Any]]:
        """What waits to be run, as if the worker had fetched it all; without what has an eta."""
        return [request.info() for request in pending.requests()]

    def rate_limit(state: Any, task_name: str, rate_limit: Any, **kwargs: Any) -> Any:
        """Celery's own; the task has its former limit back when the engine is left."""
        task = state.app.tasks.get(task_name)
        if task is not None:
            replace(undo, task, "rate_limit", task.rate_limit)
        return worker_control.rate_limit(state, task_name, rate_limit, **kwargs)

    own = {"reserved": reserved, "dump_reserved": reserved, "rate_limit": rate_limit}
    state = AttributeDict(app=app, hostname=consumer.hostname, consumer=consumer, tset=_Ordered)
    # In place: whoever has the app's control, or its mailbox, may have it from before.
    if not isinstance(mailbox, _Mailbox):
        undo.callback(setattr, mailbox, "__class__", type(mailbox))
        mailbox.__class__ = type("Mailbox", (_Mailbox, type(mailbox)), {})
    node = mailbox.Node(
        consumer.hostname, state=state, handlers=ChainMap(own, worker_control.Panel.data)
    )
    node.pending = pending
    replace(undo, mailbox, "node", node)
