"""The eager engine: Celery's worker code, in this process, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, NamedTuple

from celery.local import Proxy

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError, EngineNotInstalled
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.states import ABORTED, FAILURE
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines import installation
from pytest_taskprogress.engines.backend import FakeBackend
from pytest_taskprogress.engines.consumer import InProcessConsumer
from pytest_taskprogress.engines.control import controlled
from pytest_taskprogress.engines.feed import Feed
from pytest_taskprogress.engines.findings import Findings
from pytest_taskprogress.engines.ids import seeded_ids
from pytest_taskprogress.engines.internals import app_state, trace
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.engines.keeping import replace
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.periodic import Beat
from pytest_taskprogress.engines.processes import greenlets
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.runs import Runs
from pytest_taskprogress.engines.targets import checked, checked_app, checked_limit
from pytest_taskprogress.engines.turns import Turns
from pytest_taskprogress.engines.waits import Wait, Waits
from pytest_taskprogress.engines.writes import watch_backend
from pytest_taskprogress.listeners.capturing import CaptureListener

__all__ = ["EagerEngine"]


class _Parts(NamedTuple):
    """What an engine has only while it is installed."""

    app: Any
    backend: FakeBackend
    forget_worker: Callable[[], None]


class EagerEngine(Runs):
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
        seed: By which it is chosen what is run next; None: one message runs after the other.

    Raises:
        ValueError: If the limit is less than 1, or the seed is no whole number.
    """

    def __init__(self, app: Any = None, *, limit: int = 10_000, seed: int | None = None) -> None:
        self._wanted = app
        self._findings = Findings()
        clock = VirtualClock()
        super().__init__(Turns(clock, checked_limit(limit), self._on_idle), clock)
        self._beat: Beat | None = None
        self._parts: _Parts | None = None
        self._was_there = False
        self._undo = ExitStack()
        self._ids = ExitStack()
        self._sources: dict[int, Random] = {}
        self.seed = seed

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
    def capture(self) -> CaptureListener:
        """The engine's own listener."""
        return self._capture

    @property
    def history(self) -> History:
        """All transitions since the engine was installed."""
        return self._capture.history

    @property
    def has_left(self) -> bool:
        """Whether it was installed on an app, and is not any more."""
        return self._parts is None and self._was_there

    @property
    def limit(self) -> int:
        """How many messages may come of what one drain runs; may be set."""
        return self._turns.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._turns.limit = checked_limit(limit)

    @property
    def seed(self) -> int | None:
        """By which it is random what runs next, and ids, and the jitter of retries; may be set.

        Tasks run beside each other then, as under `Schedule(seed=...)`, anew after each `reset()`;
        no id comes twice. None: one message runs after the other.
        """
        return self._turns.seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        if seed is not None:
            greenlets()
        is_new = seed != self._turns.seed
        self._turns.seed = seed
        if is_new and self._parts is not None:
            self._draw_ids()

    def _draw_ids(self) -> None:
        self._ids.close()
        if self.seed is not None:
            # A seed that is set again goes on: no id comes twice.
            source = self._sources.setdefault(self.seed, Random(self.seed))  # noqa: S311
            self._ids.enter_context(seeded_ids(source))

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
        app = checked_app(app)
        self._forget()
        self._surface.take_errors()
        self._judging.clear()
        self._was_there = True
        process.recent[self] = None
        self.sweeps.clear()
        with ExitStack() as undo:
            broker, threads = self._turns.broker, self._turns.threads
            self._turns.places.reset()
            broker.worker_queues = partial(_queues, app)
            replace(undo, trace, "warn", self._failing.quietened(trace.warn))
            undo.callback(broker.reset)
            undo.callback(setattr, self, "_beat", None)
            backend = FakeBackend(app, clock=self._clock, replacing=True)
            backend.subscribe(self._on_write)
            watch_backend(app, backend)
            backend.watch(self._play, self._on_asked, self._on_read)
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
                self._on_end,
                self._failing.has_raised,
            )
            undo.callback(consumer.close)
            threads.install(undo)
            replace(undo, app_state, "_task_join_will_block", threads)
            pending = Pending(broker, consumer, self._clock, self._turns.places, forget_worker)
            undo.enter_context(controlled(app, consumer, pending))
            self._parts = _Parts(app, backend, forget_worker)
            for notifier in (self.notifier, self.atom_notifier):
                undo.enter_context(notifier.kept())
            Feed(app, self._surface, self._flows, self._runs).connect(undo)
            undo.callback(setattr, self, "_parts", None)
            undo.callback(self._ids.close)
            self._sources.clear()
            self._draw_ids()
            undo.callback(self.on_run.__setitem__, slice(None), list(self.on_run))
            undo.enter_context(self._turns.working_on(pending, self._deadlock))
            undo.callback(lambda: self._findings.tell_threads(threads.leave()))
            undo.callback(self.finish_walks)
            try:
                yield self
            except BaseException as error:
                self._note_listeners(error)
                raise
        self.check_walks()
        self.check_contract()
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
        self.finish_walks()
        self._turns.begin_anew()
        self._turns.pending.clear()
        self._failing.clear()
        self._beat = None
        self._forget(start=self._clock.time() - self._clock.monotonic())
        self.backend.clear()
        self._installed.forget_worker()

    def _forget(self, start: float | None = None) -> None:
        self._clock.restart(start)
        self._capture.clear()
        self._forget_runs()
        self.storage.clear()
        self._flows.clear()
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
            EngineError: If it is called inside a task, or the engine is suspended.
            NotATaskError: If it is neither a task nor a signature, or an empty chain.
            ForeignTaskError: If it is a task of another app.
            UnregisteredTaskError: If it is a signature of a task that the app does not know.
            CircularCanvasError: If it is a canvas that contains itself.
            NotSerializable: If the arguments cannot be encoded.
            DrainLimitExceeded: If it does not come to an end.
        """
        __tracebackhide__ = True
        return self._run(self._checked(task_or_signature), args, kwargs)

    def _checked(self, target: Any) -> Any:
        __tracebackhide__ = True
        app = self.app
        if self._turns.in_task:
            message = "run() inside a task: publish by delay() there; it runs after the task"
            raise EngineError(message)
        return checked(target, app)

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
            EngineError: If the app has no periodic tasks, or the engine is suspended.
            ValueError: If `until` has passed.
            DrainLimitExceeded: If they do not come to an end.
        """
        self._turns.check_goes_on()
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

    # -- what its parts tell it -------------------------------------------------------------------

    def _runs(self, task: Any) -> bool:
        # What `apply()` runs is run by no worker; what another engine runs is none of ours.
        return not task.request.is_eager and task.backend is self.backend

    def _on_idle(self, *, broken: bool) -> None:
        if broken:
            self._flows.settle(FAILURE)
            return
        self._findings.tell()
        self._settle()

    def _on_write(self, transition: Transition) -> None:
        if transition.state == ABORTED and not transition.meta:
            # By Celery's AbortableTask, whose state is the request.
            self._asked.add(transition.uuid)
        self._surface.tell(transition)

    def _deadlock(self, waits: Waits, wait: Wait) -> str:
        if self._turns.places.here.suspended and not self._turns.in_task:
            return (
                f"{wait} waits for a result while the engine is suspended: resume() goes on with"
                f" what waits to be run:\n{self._turns.pending}"
            )
        parts = [waits.explained(wait, self._state_of)]
        if any(walk.stands for walk in self._walks):
            parts.append("A run stands still in run_iter(): it does not go on by itself.")
        parts += ["Waiting to be run:", str(self._turns.pending)]
        if self._findings.discarded:
            parts += ["Thrown away:", *(f"  {each}" for each in self._findings.discarded)]
        return "\n".join(parts)

    def __repr__(self) -> str:
        on = "" if self._parts is None else f" on {self.app.main or 'an app'}"
        return f"<EagerEngine{on}>"

    def _state_of(self, task_id: str) -> str:
        try:
            return str(self.backend.peek(task_id)["status"])
        except Exception as error:  # noqa: BLE001 - a record that cannot be read
            return f"unreadable: {as_text(error)}"


def _queues(app: Any) -> Iterable[Any]:
    """The queues of an app as they are when they are needed: settings may have changed."""
    return app.amqp.queues.consume_from.values()  # type: ignore[no-any-return]
