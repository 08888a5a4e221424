"""The eager engine: Celery's worker code, in this process, in virtual time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, NamedTuple

from celery import Celery, Task
from celery.canvas import Signature
from celery.local import Proxy

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import (
    DeadlockError,
    DrainLimitExceeded,
    EngineError,
    EngineNotInstalled,
    ForeignTaskError,
    ListenerError,
    NotATaskError,
    TaskProgressWarning,
)
from pytest_taskprogress.core.states import TERMINAL_STATES
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines import installation
from pytest_taskprogress.engines.backend import FakeBackend
from pytest_taskprogress.engines.base import PendingTask
from pytest_taskprogress.engines.broker import Broker
from pytest_taskprogress.engines.consumer import InProcessConsumer
from pytest_taskprogress.engines.findings import finding
from pytest_taskprogress.engines.outcome import task_run
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.notifier import Details, Notifier

__all__ = ["EagerEngine"]


class _Parts(NamedTuple):
    """What an engine has only while it is installed."""

    app: Any
    backend: FakeBackend
    pending: Pending


class EagerEngine:
    """Runs tasks at once, as a worker with one process would, and keeps every transition.

    A message that is published outside a task is run before the call that published it returns; one
    that is published inside a task runs after that task. Time stands still while something can run,
    and jumps to the next `eta` when nothing else can.

    ::

        with EagerEngine(app) as engine:
            run = engine.run(add, 2, 3)
            assert run.states == ["SUCCESS"]

    Args:
        app: The app to install on by `with`; `installed()` takes another.
        limit: How many messages one drain may run: what ends a task that requeues itself for ever.

    Raises:
        ValueError: If the limit is less than 1.
    """

    def __init__(self, app: Any = None, *, limit: int = 10_000) -> None:
        if limit < 1:
            message = f"a drain runs at least one message: expected limit >= 1, got limit={limit!r}"
            raise ValueError(message)
        self.limit = limit
        self._wanted = app
        self._clock = VirtualClock()
        self._atom_notifier = Notifier()
        self._capture = CaptureListener(self)
        self._broker = Broker(self._on_published)
        self._parts: _Parts | None = None
        self._undo = ExitStack()
        self._draining = threading.Lock()
        self._depth = 0
        self._steps = 0
        self._paused = False
        self._suspects: list[Transition] = []

    # -- what it is made of -----------------------------------------------------------------------

    @property
    def app(self) -> Any:
        """The app that it is installed on."""
        return self._installed.app

    @property
    def backend(self) -> FakeBackend:
        """The result backend that tasks write to."""
        return self._installed.backend

    @property
    def current_backend(self) -> FakeBackend:
        """Stands for `backend`, whichever the engine has when it is used."""
        return Proxy(lambda: self.backend)  # type: ignore[return-value]

    @property
    def clock(self) -> VirtualClock:
        """What `countdown`, `eta`, expiry and `elapsed` go by; `advance()` moves it."""
        return self._clock

    @property
    def atom_notifier(self) -> Notifier:
        """Tells listeners of the transitions of tasks and retries."""
        return self._atom_notifier

    @property
    def capture(self) -> CaptureListener:
        """The engine's own listener."""
        return self._capture

    @property
    def history(self) -> History:
        """All transitions since the engine was installed."""
        return self._capture.history

    @property
    def _installed(self) -> _Parts:
        if self._parts is None:
            message = (
                "the engine is not installed on an app: use it inside `with EagerEngine(app) as"
                " engine:`, or by the fixture `taskprogress`"
            )
            raise EngineNotInstalled(message)
        return self._parts

    # -- on an app and off it ---------------------------------------------------------------------

    @contextmanager
    def installed(self, app: Any) -> Iterator[EagerEngine]:
        """Run what an app publishes; on leaving, the app is as it was before.

        Args:
            app: A Celery app.

        Raises:
            EngineError: If the engine is installed already, or this is no Celery app.
            ListenerError: On leaving, if a listener raised.
        """
        if self._parts is not None:
            message = f"the engine is installed already, on {self.app!r}: leave it first"
            raise EngineError(message)
        self._forget()
        with ExitStack() as undo:
            undo.callback(self._broker.reset)
            backend = FakeBackend(_checked_app(app), clock=self._clock)
            backend.subscribe(self._on_write)
            backend.wait_with(self._on_wait)
            undo.enter_context(
                installation.installed(app, broker=self._broker, backend=backend, clock=self._clock)
            )
            consumer = InProcessConsumer(app, self._clock)
            undo.callback(consumer.close)
            self._parts = _Parts(app, backend, Pending(self._broker, consumer))
            undo.callback(setattr, self, "_parts", None)
            self._capture.register()
            undo.callback(self._capture.deregister)
            yield self
        self.check_listeners()

    def __enter__(self) -> EagerEngine:
        if self._wanted is None:
            message = "which app? Write `with EagerEngine(app) as engine:`"
            raise EngineError(message)
        self._undo.enter_context(self.installed(self._wanted))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._undo.__exit__(exc_type, exc_val, exc_tb)

    def _forget(self) -> None:
        self._clock.restart()
        self._capture.clear()
        self._atom_notifier.errors.clear()
        self._suspects.clear()
        self._paused = False

    # -- running ----------------------------------------------------------------------------------

    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun:
        """Publish a task or a canvas, run all that comes of it, and return what happened.

        What a task raises is recorded, not raised.

        Args:
            task_or_signature: A task of the app, or a signature, chain, group or chord.
            args: Arguments of the task; put before those that a signature has.
            kwargs: Keyword arguments of the task.

        Raises:
            NotATaskError: If it is neither a task nor a signature.
            ForeignTaskError: If it is a task of another app.
            NotSerializable: If the arguments cannot be encoded.
            DrainLimitExceeded: If it does not come to an end.
        """
        target = self._checked(task_or_signature)
        position, began = len(self._capture), self._clock.monotonic()
        result = target.apply_async(args, kwargs)
        self.drain()
        history = self._capture.since(position)
        return task_run(result, history, self.backend, self._clock.monotonic() - began)

    def _checked(self, target: Any) -> Any:
        app = self.app
        if not isinstance(target, (Task, Signature)):
            what = f"{type(target).__name__} {getattr(target, '__name__', target)!r}"
            message = (
                f"run() takes a Celery task or a signature, got {what}. Decorate the function with"
                " @app.task or @shared_task, or pass `task.s(...)`"
            )
            raise NotATaskError(message)
        # A signature of a chain finds its app by its first task.
        if target.app is not app:
            message = (
                f"the task {target.name!r} belongs to {target.app!r}, the engine is installed on"
                f" {app!r}. With the fixtures: override `taskprogress_app` to return the task's app"
            )
            raise ForeignTaskError(message)
        return target

    @contextmanager
    def paused(self) -> Iterator[EagerEngine]:
        """Let published messages wait for `step()` or `drain()`; on leaving, what waits is run."""
        before, self._paused = self._paused, True
        try:
            yield self
        finally:
            self._paused = before
        self._on_published()

    def step(self) -> bool:
        """Run one message: the oldest that can run, else the clock jumps to the next that is due.

        Returns:
            False if none waits.
        """
        work = self._installed.pending.take()
        if work is None:
            return False
        self._steps += 1
        self._depth += 1
        try:
            work()
        finally:
            self._depth -= 1
        return True

    def drain(self) -> int:
        """Run messages until none waits.

        Returns:
            How many were run. 0 inside a task, whose messages run after it.

        Raises:
            DrainLimitExceeded: If there are more than `limit`; what waits is forgotten.
        """
        pending = self._installed.pending
        before = self._steps
        # The lock is tried again after it was released: a thread may have published meanwhile.
        while not self._depth and pending and self._draining.acquire(blocking=False):
            try:
                before = self._steps = 0
                while self.step():
                    self._check_limit()
            except BaseException:
                # Nothing of this drain may reach the next one.
                pending.clear()
                raise
            finally:
                self._draining.release()
        if not self._depth:
            self._warn()
        return self._steps - before

    @property
    def pending(self) -> list[PendingTask]:
        """What waits to be run, in order."""
        return list(self._installed.pending)

    # -- what its parts tell it -------------------------------------------------------------------

    def _on_published(self) -> None:
        if not (self._paused or self._depth or self._parts is None):
            self.drain()

    def _on_write(self, transition: Transition) -> None:
        self._atom_notifier.notify(transition.state, Details(transition))
        if transition.old_state in TERMINAL_STATES:
            self._suspects.append(transition)

    def _on_wait(self, task_ids: tuple[str, ...], seconds: float | None) -> bool:
        next_at = self._installed.pending.next_at
        if next_at is None or (self._paused and not self._depth):
            raise self._deadlock(task_ids)
        if seconds is not None and next_at > self._clock.monotonic() + seconds:
            self._clock.advance(max(seconds, 0.0))
            return False
        self.step()
        self._check_limit()
        return True

    # -- what the test is told --------------------------------------------------------------------

    def _check_limit(self) -> None:
        pending = self._installed.pending
        if self._steps >= self.limit and pending:
            message = (
                f"limit={self.limit} messages were run and there are more: does a task retry or"
                " requeue itself for ever? If not, raise the limit (option --taskprogress-limit)."
                f" Waiting:\n{pending}"
            )
            raise DrainLimitExceeded(message)

    def _deadlock(self, task_ids: tuple[str, ...]) -> DeadlockError:
        states = [f"  {each}: {self.backend.peek(each)['status']}" for each in task_ids[:10]]
        advice = (
            "the engine is paused: call step() or drain() first"
            if self._paused
            else "it was never published to this engine, has expired, or ended without a result"
            " (Ignore, ignore_result)"
        )
        return DeadlockError(
            "\n".join(
                [
                    f"a result is waited for that nothing will produce; {advice}. Waited for:",
                    *states,
                    "Waiting to be run:",
                    str(self._installed.pending),
                ]
            )
        )

    def _warn(self) -> None:
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            found = finding(suspect, self._capture.history)
            if found is not None:
                message, source = found
                where = source or (__file__, 1)
                warnings.warn_explicit(message, TaskProgressWarning, where[0], where[1])

    def check_listeners(self) -> None:
        """Raise what listeners raised, once.

        Raises:
            ListenerError: With all of it.
        """
        errors = list(self._atom_notifier.errors)
        self._atom_notifier.errors.clear()
        if errors:
            raise ListenerError(errors) from errors[0]


def _checked_app(app: Any) -> Any:
    if not isinstance(app, Celery):
        message = f"an engine is installed on a Celery app, got app={app!r}"
        raise EngineError(message)
    return app
