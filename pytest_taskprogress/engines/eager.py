"""The eager engine: Celery's worker code, in this process, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from celery.local import Proxy

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError, EngineNotInstalled, ListenerError
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines import installation
from pytest_taskprogress.engines.backend import FakeBackend
from pytest_taskprogress.engines.base import PendingTask
from pytest_taskprogress.engines.consumer import InProcessConsumer
from pytest_taskprogress.engines.control import controlled
from pytest_taskprogress.engines.findings import Findings
from pytest_taskprogress.engines.internals import app_state
from pytest_taskprogress.engines.keeping import replace
from pytest_taskprogress.engines.outcome import task_run
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.periodic import Beat
from pytest_taskprogress.engines.plays import Plays
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.targets import checked, checked_app, checked_limit, published
from pytest_taskprogress.engines.turns import Turns
from pytest_taskprogress.engines.waits import Wait, Waits
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.notifier import Details, Notifier

__all__ = ["EagerEngine"]


class _Parts(NamedTuple):
    """What an engine has only while it is installed."""

    app: Any
    backend: FakeBackend
    forget_worker: Callable[[], None]


class EagerEngine(Plays):
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
        limit: How many messages may come of what one drain runs, beyond those that waited before:
            what ends a task that requeues itself for ever.

    Raises:
        ValueError: If the limit is less than 1.
    """

    def __init__(self, app: Any = None, *, limit: int = 10_000) -> None:
        self._wanted = app
        self._atom_notifier = Notifier()
        self._capture = CaptureListener(self)
        self._findings = Findings(lambda: self._capture.history)
        clock = VirtualClock()
        super().__init__(Turns(clock, checked_limit(limit), self._findings.tell), clock)
        self._beat: Beat | None = None
        self._aborts: list[AbortRequest] = []
        self._parts: _Parts | None = None
        self._undo = ExitStack()

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
    def limit(self) -> int:
        """How many messages may come of what one drain runs; may be set."""
        return self._turns.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._turns.limit = checked_limit(limit)

    @property
    def _installed(self) -> _Parts:
        if self._parts is None:
            raise EngineNotInstalled
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
        self.sweeps.clear()
        with ExitStack() as undo:
            broker, threads = self._turns.broker, self._turns.threads
            self._turns.places.reset()
            broker.worker_queues = partial(_queues, app)
            undo.callback(broker.reset)
            undo.callback(setattr, self, "_beat", None)
            backend = FakeBackend(checked_app(app), clock=self._clock, replacing=True)
            backend.subscribe(self._on_write)
            backend.watch(self._play, self._aborts.append, self._on_read)
            backend.wait_with(self._turns.wait)
            forget_worker = undo.enter_context(
                installation.installed(app, broker=broker, backend=backend, clock=self._clock)
            )
            consumer = InProcessConsumer(
                app,
                self._clock,
                threads,
                self._turns.places,
                self._findings.discarded.append,
                self._on_start,
            )
            undo.callback(consumer.close)
            threads.install(undo)
            replace(undo, app_state, "_task_join_will_block", threads)
            pending = Pending(broker, consumer)
            undo.enter_context(controlled(app, consumer, pending))
            self._parts = _Parts(app, backend, forget_worker)
            undo.callback(setattr, self, "_parts", None)
            undo.enter_context(self._turns.working_on(pending, self._deadlock))
            self._capture.register()
            undo.callback(self._capture.deregister)
            undo.callback(lambda: self._findings.tell_threads(threads.leave()))
            undo.callback(self._finish_walks)
            yield self
        self.check_walks()
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

    def reset(self) -> None:
        """Begin anew: forget what was published, stored and captured; the clock is at 0.0 again.

        At the same date and time as before, so that one run after a reset is like the other.

        Raises:
            EngineError: If it is called inside a task.
        """
        if self._turns.in_task:
            message = "reset() inside a task: the engine cannot begin anew while it runs one"
            raise EngineError(message)
        self._finish_walks()
        self._turns.pending.clear()
        self._beat = None
        self._forget(start=self._clock.time() - self._clock.monotonic())
        self.backend.clear()
        self._installed.forget_worker()

    def _forget(self, start: float | None = None) -> None:
        self._clock.restart(start)
        self._capture.clear()
        self._aborts.clear()
        self._atom_notifier.errors.clear()
        self._findings.clear()

    # -- running ----------------------------------------------------------------------------------

    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun:
        """Publish a task or a canvas, run all that comes of it, and return what happened.

        What a task raises is recorded, not raised.

        Args:
            task_or_signature: A task of the app, or a signature, chain, group or chord.
            args: Arguments of the task; put before those that a signature has.
            kwargs: Keyword arguments of the task.

        Raises:
            EngineError: If it is called inside a task.
            NotATaskError: If it is neither a task nor a signature, or an empty chain.
            ForeignTaskError: If it is a task of another app.
            UnregisteredTaskError: If it is a signature of a task that the app does not know.
            CircularCanvasError: If it is a canvas that contains itself.
            NotSerializable: If the arguments cannot be encoded.
            DrainLimitExceeded: If it does not come to an end.
        """
        target = self._checked(task_or_signature)
        position, asked, began = len(self._capture), len(self._aborts), self._clock.monotonic()
        # All of it is published before any of it runs: who aborts it knows all of its tasks.
        with self._turns.holding():
            result = published(target, args, kwargs)
        with self._scenes.running(result):
            self.drain()
        return task_run(
            result,
            self._written_here(self._capture.since(position)),
            self.backend,
            self._clock.monotonic() - began,
            aborts=self._aborts[asked:],
            under=self._scenes.events,
        )

    def _checked(self, target: Any) -> Any:
        app = self.app
        if self._turns.in_task:
            message = "run() inside a task: publish by delay() there; it runs after the task"
            raise EngineError(message)
        return checked(target, app)

    @contextmanager
    def paused(self) -> Iterator[EagerEngine]:
        """Let published messages wait for `step()` or `drain()`; on leaving, what waits is run."""
        before, self._turns.paused = self._turns.paused, True
        try:
            yield self
        finally:
            self._turns.paused = before
        self._turns.resume()

    def step(self) -> bool:
        """Run one message: the oldest that can run, else the clock jumps to the next that is due.

        Returns:
            False if none waits, and inside a task, whose messages run after it.
        """
        return self._turns.step()

    def drain(self, *, until: float | None = None, limit: int | None = None) -> int:
        """Run messages until none waits.

        Args:
            until: Reading of the engine's clock, in seconds, up to which messages are due; the
                clock is there afterwards. None: also what is due later, however late.
            limit: How many messages to run at most. None: all of them, but not for ever.

        Returns:
            How many were run. 0 inside a task, whose messages run after it.

        Raises:
            ValueError: If `until` has passed, or `limit` is less than 1.
            DrainLimitExceeded: If more messages came of what was run than the engine's `limit`,
                retries and those that came back included; what waits is forgotten.
        """
        if limit is not None:
            checked_limit(limit)
        last = math.inf if until is None else self._checked_time(until)
        return self._turns.drain(last, math.inf if limit is None else limit)

    def beat(self, *, until: float | None = None) -> int:
        """Publish the periodic tasks of `beat_schedule` that are due, as `celery beat` would.

        Each is run at its time, with all that comes of it and all else that is due by then; in
        `paused()` it waits. Beat counts from 0.0 of the engine's clock.

        Args:
            until: Reading of the engine's clock, in seconds, up to which they are due; the clock is
                there afterwards. None: those due now.

        Returns:
            How many were published. 0 inside a task.

        Raises:
            EngineError: If the app has no periodic tasks.
            ValueError: If `until` has passed.
            DrainLimitExceeded: If they do not come to an end.
        """
        last = self._clock.monotonic() if until is None else self._checked_time(until)
        if self._turns.in_task:
            return 0
        beat = self._beat = self._beat or Beat(self.app, self._clock)
        if not beat:
            message = f"{self.app!r} has no periodic tasks: its beat_schedule is empty"
            raise EngineError(message)
        held, limit = self._turns.broker.held, self.limit
        return beat.run(last, limit=limit, publishing=held, pass_time=self._pass_time)

    def _pass_time(self, until: float) -> None:
        if not self._turns.paused:
            self._turns.drain(until, math.inf)
        self._clock.jump_to(until)

    def _checked_time(self, until: float) -> float:
        now, until = self._clock.monotonic(), round(until, 6)
        if not now <= until < math.inf:
            message = (
                f"the clock only moves forward: expected until >= {now:g}, its reading in seconds,"
                f" got {until=!r}"
            )
            raise ValueError(message)
        return until

    @property
    def pending(self) -> list[PendingTask]:
        """What waits to be run, in order."""
        return list(self._turns.pending)

    # -- what its parts tell it -------------------------------------------------------------------

    def _on_write(self, transition: Transition) -> None:
        self._atom_notifier.notify(transition.state, Details(transition))
        self._findings.note(transition)

    def _deadlock(self, waits: Waits, wait: Wait) -> str:
        parts = [waits.explained(wait, self._state_of)]
        if any(walk.stands for walk in self._walks):
            parts.append("A run stands still in run_iter(): it does not go on by itself.")
        parts += ["Waiting to be run:", str(self._turns.pending)]
        if self._findings.discarded:
            parts += ["Thrown away:", *(f"  {each}" for each in self._findings.discarded)]
        return "\n".join(parts)

    def _state_of(self, task_id: str) -> str:
        try:
            return str(self.backend.peek(task_id)["status"])
        except Exception as error:  # noqa: BLE001 - a record that cannot be read
            return f"unreadable: {as_text(error)}"

    def check_listeners(self) -> None:
        """Raise what listeners raised, once.

        Raises:
            ListenerError: With all of it.
        """
        errors = list(self._atom_notifier.errors)
        self._atom_notifier.errors.clear()
        if errors:
            raise ListenerError(errors) from errors[0]


def _queues(app: Any) -> Iterable[Any]:
    """The queues of an app as they are when they are needed: settings may have changed."""
    return app.amqp.queues.consume_from.values()  # type: ignore[no-any-return]
