"""Celery's own worker code on an app of the suite: one message at a time, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from celery.worker.request import Request

from pytest_taskprogress import AbortableTask
from tests.servers import close_client

__all__ = ["PATIENCE", "Worker"]

#: Seconds after which a client has hung, not waited; nothing comes near it.
PATIENCE: Final = 20.0

#: More messages than any test publishes: a chord that polls for ever comes to an end here.
_MANY: Final = 40


class Worker:
    """A worker and its queue. A countdown costs no time: what is published is due.

    Args:
        app: An app with the memory broker, whose default queue is its own.

    Attributes:
        backend: The result backend of the app.
        writes: States in the order in which they were stored, with the id; the record of a request
            to abort is "request".
        calls: What the tasks, and their handlers, told.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.backend = app.backend
        self.writes: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self._store = self.backend.store_result
        self.backend.store_result = self._store_result
        self._sessions = getattr(self.backend, "session_manager", None)  # a database has one
        if self._sessions is not None:
            # As in a worker's processes; else it connects anew for each read and write.
            self._sessions.forked = True
        self._connection = app.connection_for_read()
        self._channel = self._connection.default_channel
        self._queue = app.amqp.queues[app.conf.task_default_queue](self._channel)
        self._queue.declare()

    def close(self) -> None:
        """Take away the queue, and whatever is in it."""
        del self.backend.store_result
        self._queue.delete()
        self._queue.exchange.delete()
        self._connection.close()
        if self._sessions is not None:
            for engine in self._sessions._engines.values():
                engine.dispose()

    def _store_result(self, task_id: str, result: Any, state: str, *args: Any, **kw: Any) -> Any:
        task, dot, _ = task_id.partition(".")
        self.writes.append((task, "request" if dot else state))
        return self._store(task_id, result, state, *args, **kw)

    # -- tasks ------------------------------------------------------------------------------------

    def task(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Define an abortable task whose handlers tell that they were called."""
        if function is None:
            return lambda function: self.task(function, **options)
        base = options.pop("base", AbortableTask)
        told = type("Told", (base,), {**_handlers(self.calls.append), "abstract": True})
        options = {"bind": True, "name": function.__name__, "shared": False, **options}
        return self.app.task(base=told, **options)(function)

    def function(self, name: str) -> Any:
        """Define a plain task that tells that it ran."""

        def told(value: Any = None) -> None:
            self.calls.append(name)

        return self.app.task(told, name=name, shared=False)

    def states_of(self, task_id: str) -> list[str]:
        """What was stored for one task."""
        return [state for task, state in self.writes if task == task_id]

    def stored(self, task_id: str) -> dict[str, Any]:
        """The record of a task, past every cache."""
        meta: dict[str, Any] = self.backend.get_task_meta(task_id, cache=False)
        return meta

    # -- messages ---------------------------------------------------------------------------------

    def take(self) -> Any:
        """Take a message from the queue; None if there is none."""
        return self._queue.get(accept=self.app.conf.accept_content)

    def execute(self, message: Any, *, redelivered: bool = False) -> None:
        """Execute the task of a message; also once more, as a broker delivers it again."""
        message.delivery_info["redelivered"] = redelivered
        Request(
            message,
            app=self.app,
            on_ack=lambda *_: None,
            on_reject=lambda *_: None,
        ).execute()
        if not redelivered:
            message.ack()

    def step(self) -> bool:
        """Execute the next task, if there is one."""
        message = self.take()
        if message is None:
            return False
        self.execute(message)
        return True

    def drain(self) -> None:
        """Execute tasks until there are none."""
        done = sum(1 for _ in range(_MANY) if self.step())
        assert done < _MANY, "tasks are published without an end"

    # -- clients ----------------------------------------------------------------------------------

    def client(self, function: Callable[[], Any]) -> Client:
        """Do something as another client: in a thread, which has a backend of its own."""
        return Client(self.app, function)

    def outcome(self, function: Callable[[], Any]) -> Any:
        """What a client gets: a value, or an exception; one that hangs fails the test."""
        return self.client(function).outcome()


class Client(threading.Thread):
    """Somebody else, who may wait."""

    def __init__(self, app: Any, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._app, self._function = app, function
        self._main_backend = app.backend
        self._outcome: Any = None
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self._outcome = self._function()
        except Exception as error:  # noqa: BLE001 - it is what the client gets
            self._outcome = error
        finally:
            if self._app.backend is not self._main_backend:
                close_client(self._app.backend)

    def outcome(self) -> Any:
        """What came of it."""
        self.join(PATIENCE)
        assert not self.is_alive(), "a client waits for ever"
        return self._outcome


def _handlers(tell: Callable[[str], object]) -> dict[str, Any]:
    def on_abort(self: Any, exc: Any, *call: Any) -> None:
        tell("on_abort")

    def on_success(self: Any, *call: Any) -> None:
        tell("on_success")

    def on_retry(self: Any, *call: Any) -> None:
        tell("on_retry")

    def on_failure(self: Any, *call: Any) -> None:
        tell("on_failure")

    def after_return(self: Any, status: str, *call: Any) -> None:
        tell(f"after_return {status}")

    found = (on_abort, on_success, on_retry, on_failure, after_return)
    return {each.__name__: each for each in found}
