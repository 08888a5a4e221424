"""The engine surface of a plain Celery app: in a worker, in a client, in production."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import Any, Final
from weakref import WeakSet

from billiard.exceptions import SoftTimeLimitExceeded
from celery import signals

from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    PENDING,
    RETRY,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.consuming import Consuming
from pytest_taskprogress.engines.events import EventClock, EventFeed
from pytest_taskprogress.engines.feed import Feed, connect
from pytest_taskprogress.engines.flows import Flows
from pytest_taskprogress.engines.internals import get_current_worker_task
from pytest_taskprogress.engines.sources import source_of_write
from pytest_taskprogress.engines.surfaced import Surfaced
from pytest_taskprogress.engines.targets import checked_app
from pytest_taskprogress.engines.writes import leave, watch, watch_backend
from pytest_taskprogress.listeners.storage import Atom, Storage
from pytest_taskprogress.listeners.surface import Surface
from pytest_taskprogress.tasks.records import is_record

__all__ = ["CeleryEngine"]

logger = logging.getLogger(__name__)

#: The engines that are attached: a test fails with what their listeners raise, too.
attached: Final[WeakSet[CeleryEngine]] = WeakSet()


class CeleryEngine(Surfaced):
    """Lets listeners listen to a Celery app itself: to what this process runs, or to all workers.

    In a worker, where the app is made::

        app = Celery("proj", broker=..., backend=...)
        engine = CeleryEngine(app).attach()
        LoggingListener(engine).register()

    In another process, of workers that send events (`worker_send_task_events`)::

        engine = CeleryEngine(app)
        with PrintingListener(engine):
            engine.receive()

    A process knows of what it runs: of a canvas whose tasks run in several processes each tells of
    its own part. Who receives events is told of all of it.

    Args:
        app: A Celery app; it need not be configured yet.
        at_most: How many tasks, and flows, the storage keeps: the oldest are forgotten.

    Raises:
        EngineError: If it is no Celery app.
        ValueError: If `at_most` is less than 1.
    """

    def __init__(self, app: Any, *, at_most: int = 1_000) -> None:
        if at_most < 1:
            message = (
                f"the storage keeps at least one task: expected at_most >= 1, got {at_most=!r}"
            )
            raise ValueError(message)
        self.app: Final = checked_app(app)
        self._clock = EventClock()
        storage = Storage(at_most=at_most, lookup=self._of_backend)
        # A time limit that is over while a listener works is meant for the task.
        surface = Surface(self, storage, self._clock, passing=(SoftTimeLimitExceeded,))
        super().__init__(surface, Flows(surface, at_most=10 * at_most))
        self._consuming = Consuming(self.app)
        self._undo = ExitStack()
        self._attached = False
        self._was_there = False
        self._numbers = count()
        self._receiving: list[EventFeed] = []
        self._worker_sends = False

    @property
    def clock(self) -> Clock:
        """The machine's clock; while an event is told of, the time at which the worker sent it."""
        return self._clock

    @property
    def has_left(self) -> bool:
        """Whether it was attached, and is not any more."""
        return self._was_there and not self._attached

    def __repr__(self) -> str:
        return f"<CeleryEngine on {self.app.main or 'an app'}>"

    # -- what this process runs -------------------------------------------------------------------

    def attach(self) -> CeleryEngine:
        """Be told of what this process, and those that it forks, run; returns this engine.

        Raises:
            EngineError: If it is attached already.
        """
        if self._attached:
            message = f"{self!r} is attached already: detach() it first"
            raise EngineError(message)
        with ExitStack() as undo:
            # Also of what `apply()` runs, where the app is in eager mode.
            leave_flow = self._flows.leave
            Feed(self.app, self._surface, self._flows, self._is_told, leave_flow).connect(undo)
            connect(undo, signals.worker_init, self._on_worker)
            watch(self.app, self._on_write)
            undo.callback(leave, self.app, self._on_write)
            self._undo = undo.pop_all()
        self._attached = self._was_there = True
        attached.add(self)
        return self

    def detach(self) -> None:
        """Be told of nothing more; the app is as it was. What is not attached is no error."""
        self._attached = False
        attached.discard(self)
        self._undo.close()

    def __enter__(self) -> CeleryEngine:
        return self.attach()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.detach()

    def _on_worker(self, sender: Any, **_: object) -> None:
        # The option -E of a worker is not among the settings.
        if sender.app is self.app:
            self._worker_sends = bool(getattr(sender, "task_events", False))

    def _is_told(self, task: Any) -> bool:
        # It may have a backend of its own.
        watch_backend(self.app, task.backend)
        return True

    def _on_write(
        self, task_id: str, result: Any, state: str, traceback: str | None, request: Any
    ) -> None:
        try:
            transition = self._transition(task_id, result, state, traceback, request)
            if transition is not None:
                self._surface.tell(transition)
                atom = self.storage.atom(task_id)
                if state in TERMINAL_STATES and not atom.begun:
                    # It was revoked, or one before it failed: it will not begin.
                    self._flows.leave(atom, state)
                self._send(transition)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            # The task has stored what it wanted to, and is not to know.
            logger.exception("%r could not tell that %s is %s", self, task_id, state)

    def _transition(
        self, task_id: str, result: Any, state: str, traceback: str | None, request: Any
    ) -> Transition | None:
        if is_record(task_id, state):
            return None
        atom = self.storage.atom(task_id, getattr(request, "task", None))
        value = _stored(result, state)
        return Transition(
            index=next(self._numbers),
            kind="retry" if state == RETRY else "task",
            name=atom.name,
            uuid=task_id,
            old_state=PENDING if atom.last is None else atom.last.state,
            state=state,
            meta=value if isinstance(value, dict) else {},
            result=value if state in TERMINAL_STATES or state == RETRY else None,
            at=self._clock.monotonic(),
            # What comes after it, key-value backends drop.
            stored=atom.last is None or atom.last.state != SUCCESS,
            source=source_of_write(),
            traceback=traceback,
        )

    def _sends(self) -> bool:
        return bool(self._worker_sends or self.app.conf.worker_send_task_events)

    def _send(self, transition: Transition) -> None:
        """Let other processes know what Celery sends no event of."""
        task: Any = get_current_worker_task()
        if task is None or not self._sends():
            return
        if transition.is_report or transition.state == ABORTED:
            kind = "progress" if transition.is_report else "aborted"
            with self.app.events.default_dispatcher(hostname=task.request.hostname) as dispatcher:
                dispatcher.send(
                    f"task-{kind}",
                    # A report does not wait for a broker that is down.
                    retry=False,
                    uuid=transition.uuid,
                    name=transition.name,
                    state=transition.state,
                    meta=transition.meta,
                )

    # -- what workers tell ------------------------------------------------------------------------

    def receive(self, *, limit: int | None = None, timeout: float | None = None) -> int:
        """Take the events that workers send, and tell the listeners.

        Workers send them with `worker_send_task_events`; with `task_send_sent_event` too, a flow is
        known as soon as its tasks are published. Reports are among them where the worker has a
        `CeleryEngine` that is attached.

        Args:
            limit: How many events to take, and those that came in the same message; None: as many
                as there are.
            timeout: Seconds, of the machine's clock, without an event after which it returns; None:
                never, but `stop()` ends it.

        Returns:
            How many were taken.

        Raises:
            ValueError: If `limit` is less than 1, or `timeout` not more than 0.
            Exception: What the broker's client raises if there is no connection.
        """
        if limit is not None and limit < 1:
            message = f"it receives an event or more: expected limit >= 1, got {limit=!r}"
            raise ValueError(message)
        if timeout is not None and not 0 < timeout < math.inf:
            message = f"it waits for events: expected timeout > 0 seconds, got {timeout=!r}"
            raise ValueError(message)
        feed = EventFeed(self.app, self._surface, self._flows, self._clock, self._numbers)
        self._receiving.append(feed)
        try:
            return feed.receive(limit, timeout)
        finally:
            self._receiving.remove(feed)

    def stop(self) -> None:
        """Let `receive()` return, within a second, from another thread."""
        for feed in list(self._receiving):
            feed.stop()

    # -- the worker -------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Let the worker of this process take no more messages; what it has taken, it still runs.

        In a process that is no worker: all workers. The messages stay with the broker, and a
        warning says which workers, and which queues, it was.
        """
        self._consuming.cancel()

    def resume(self) -> None:
        """Let the workers that this engine, in this process, has suspended take messages again."""
        self._consuming.add()

    # -- tasks of other processes -----------------------------------------------------------------

    def _of_backend(self, uuid: str) -> Atom | None:
        """A task that another process ran, as far as the result backend knows it."""
        try:
            meta = self.app.backend.get_task_meta(uuid)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # noqa: BLE001 - what cannot be read is not known
            return None
        state, result = meta["status"], meta.get("result")
        if state == PENDING:
            return None
        last = Transition(
            *(-1, "task", meta.get("name"), uuid, PENDING, state),
            meta=result if isinstance(result, dict) else {},
            result=_stored(result, state) if state in TERMINAL_STATES else None,
            traceback=meta.get("traceback"),
        )
        # `result_extended` keeps the name and the arguments too.
        return Atom(
            *(meta.get("name"), uuid, state),
            args=meta.get("args"),
            kwargs=meta.get("kwargs"),
            last=last,
            parent=meta.get("parent_id"),
        )


def _stored(result: Any, state: str) -> Any:
    """What a worker stores of a result: of an exception, what JSON carries of it."""
    if state not in EXCEPTION_STATES or not isinstance(result, BaseException):
        # A result is the task's last word; who is told gets a copy of it.
        return own(dict(result)) if isinstance(result, dict) else result
    kind = type(result)
    return {
        "exc_type": kind.__name__,
        "exc_message": own(list(result.args), deep=True),
        "exc_module": kind.__module__,
    }
