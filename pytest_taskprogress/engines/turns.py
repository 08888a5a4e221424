"""Whose turn it is: messages run one at a time, in one order, also while somebody waits."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import (
    DeadlockError,
    DrainLimitExceeded,
    EngineError,
    EngineNotInstalled,
)
from pytest_taskprogress.engines.beside import Beside
from pytest_taskprogress.engines.broker import Broker
from pytest_taskprogress.engines.internals import app_state
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.places import Place, Places
from pytest_taskprogress.engines.threads import Threads
from pytest_taskprogress.engines.waits import Wait, Waits
from pytest_taskprogress.scenario import Schedule

__all__ = ["Turns"]

#: Seconds of the machine's clock; a task that takes longer than that is no task of a test.
_PATIENCE: Final = 30.0


class Turns:
    """The one worker of an engine: what runs, when, and when that has to come to an end.

    One thread works at a time. Who waits for a result lets the worker work until it is there: what
    runs then runs on top of who waits, in the same thread.

    Args:
        clock: What `eta`, `countdown` and rate limits wait for.
        limit: How many messages may come of what one drain runs, beyond those that waited.
        on_idle: Called when a drain is over, and told whether it broke.

    Attributes:
        broker: Where messages come from.
        limit: As given.
        places: At which of them a thread works.
        paused: Whether what is published waits until somebody asks for it.
        threads: Which of them run tasks.
    """

    def __init__(self, clock: VirtualClock, limit: int, on_idle: Callable[..., object]) -> None:
        self.threads = Threads()
        self.places = Places(self.threads)
        self.broker = Broker(self._on_published, self.places)
        self.limit = limit
        self.paused = False
        self._schedule: Schedule | None = None
        self._suspended: list[Place] = []
        self._clock = clock
        self._on_idle = on_idle
        self._pending: Pending | None = None
        self._explain: Callable[[Waits, Wait], str] = lambda _, wait: str(wait)

    @contextmanager
    def working_on(self, pending: Pending, explain: Callable[[Waits, Wait], str]) -> Iterator[None]:
        """Work, until left.

        Args:
            pending: What waits to be run.
            explain: Says why waiting for a result will not end.
        """
        self._pending, self._explain = pending, explain
        self.paused = False
        self.resume_all()
        try:
            yield
        finally:
            self._pending = None

    @property
    def pending(self) -> Pending:
        """What waits to be run.

        Raises:
            EngineNotInstalled: If there is no work to be had.
        """
        if self._pending is None:
            raise EngineNotInstalled
        return self._pending

    @property
    def in_task(self) -> bool:
        """Whether this thread runs a task, or was started by one that runs."""
        return self.threads.step is not None

    # -- running ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Run one message, if any waits; the clock jumps if it has to."""
        if self.in_task:
            return False
        ran = self._step_alone(math.inf)
        self.finish()
        self._forget_suspension()
        return ran

    def drain(self, until: float = math.inf, limit: float = math.inf) -> int:
        """Run at most so many messages that are due by a reading of the clock."""
        if self.in_task:
            return 0
        place = self.places.here
        before = place.ran
        self._allow()
        last = before + limit
        # The lock is tried again after it was released: a thread may have published meanwhile.
        while self._may_run(until, last) and place.draining.acquire(blocking=False):
            try:
                while not place.suspended and place.ran < last and self._step_alone(until):
                    self._check_limit()
                self.finish()
            except BaseException:
                # Nothing of this drain may reach the next one.
                self._throw_away()
                self._on_idle(broken=True)
                raise
            finally:
                place.draining.release()
        self._forget_suspension()
        if until < math.inf and place.ran < last and not place.suspended:
            self._clock.jump_to(until)
        self._on_idle(broken=False)
        return place.ran - before

    def _may_run(self, until: float, last: float) -> bool:
        place = self.places.here
        return not place.suspended and place.ran < last and self.pending.due(until)

    def _step_alone(self, until: float) -> bool:
        with self._turn():
            return self._step(until)

    def _turn(self) -> threading.RLock:
        """Who has it works: at top level, or on top of the task that this thread is in."""
        step = self.threads.step
        return self.places.here.working if step is None else step.lock

    def _step(self, until: float) -> bool:
        place = self.places.here
        beside = self._beside(place)
        if beside is not None:
            return beside.turn(self.pending, place, until)
        while (work := self.pending.take(until)) is not None:
            if self.threads.run(work, place):
                place.ran += 1
                return True
        return False

    # -- beside each other ------------------------------------------------------------------------

    @property
    def seed(self) -> int | None:
        """By which it is chosen what is run next; None: one message runs after the other."""
        return self._schedule.seed if self._schedule else None

    @seed.setter
    def seed(self, seed: int | None) -> None:
        self._schedule = None if seed is None else Schedule(seed=seed)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Begin again with the first choice of the schedule, or of the seed."""
        self.finish()
        self.places.here.beside = None

    def go_by(self, schedule: Schedule | None) -> Callable[[], None]:
        """Let messages run beside each other where this thread works, by a schedule.

        Args:
            schedule: None: by the one that is there, or by the seed, else one after the other.

        Returns:
            What ends that: what is in flight then goes on to its end.
        """
        place = self.places.here
        before = place.schedule, place.beside
        begins = schedule is not None or not (place.schedule or self._schedule)
        if begins:
            place.schedule, place.beside = schedule or Schedule(), None

        def end() -> None:
            with self.places.at(place):
                self.finish()
            if begins:
                place.schedule, place.beside = before

        return end

    def _beside(self, place: Place) -> Beside | None:
        schedule = place.schedule or self._schedule
        if place.beside is None and schedule is not None:
            place.beside = Beside(schedule.chooser(), self.threads, self._clock)
        beside: Beside | None = place.beside
        return beside

    def finish(self) -> None:
        """Let what is in flight come to its end; nothing else begins."""
        place = self.places.here
        if place.beside and not self.in_task:
            with self._turn():
                while place.beside and place.beside.turn(
                    self.pending, place, math.inf, begins=False
                ):
                    pass

    def _throw_away(self) -> None:
        if self.places.here.beside:
            self.places.here.beside.leave()
        # What ended there may have published.
        self.pending.clear()

    def _on_published(self) -> None:
        if self._pending is None or self.in_task:
            return
        if self.paused:
            self._allow()
        else:
            self.drain()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let what is published wait, until left; it waits on after that.

        If it is left by an exception, what was published meanwhile is forgotten.
        """
        before, self.paused = self.paused, True
        waited = len(self.broker.waiting)
        try:
            yield
        except BaseException:
            while len(self.broker.waiting) > waited:
                self.broker.waiting.pop()
            raise
        finally:
            self.paused = before

    def resume(self) -> None:
        """Go on with what waits, unless it is still to wait."""
        self._on_published()

    # -- suspending -------------------------------------------------------------------------------

    def suspend(self, places: Iterable[Place]) -> None:
        """Let nothing more be run at some places, if something runs or waits there."""
        for place in places:
            busy = place.messages or place.calls or place.draining.locked()
            if not place.suspended and (busy or (place is self.places.here and self.in_task)):
                place.suspended = True
                self._suspended.append(place)

    @property
    def suspended(self) -> list[Place]:
        """Where nothing more is run until somebody resumes."""
        self._suspended = [place for place in self._suspended if place.suspended]
        return list(self._suspended)

    def resume_all(self) -> None:
        """Let messages be run again everywhere."""
        for place in self._suspended:
            place.suspended = False
        self._suspended.clear()

    def _forget_suspension(self) -> None:
        """Where nothing is left to be run, nothing was stopped."""
        place = self.places.here
        if place.suspended and not self.in_task and not self.pending:
            place.suspended = False

    def check_goes_on(self) -> None:
        """Refuse to begin anything while something is suspended.

        Raises:
            EngineError: If it is.
        """
        if self.suspended:
            message = (
                "the engine is suspended: resume() goes on with what was stopped; reset() forgets"
                " it. Waiting to be run:"
            )
            waiting = []
            for place in self.suspended:
                with self.places.at(place):
                    waiting.append(str(self.pending))
            raise EngineError("\n".join([message, *waiting]))

    # -- waiting ----------------------------------------------------------------------------------

    def wait(
        self, task_ids: tuple[str, ...], seconds: float | None, changed: Callable[[], bool]
    ) -> bool:
        """Work until something was run, or was written; returns False when the time is over.

        Args:
            task_ids: Whose results are waited for.
            seconds: How long; None: for ever.
            changed: Tells whether something was written since the results were not there.
        """
        turn = self._turn()
        if not turn.acquire(blocking=False) and not turn.acquire(timeout=_PATIENCE):
            message = (
                f"a result is waited for while another thread runs a task, for {_PATIENCE:g} s by"
                " the machine's clock: does that task wait for this thread?"
            )
            raise DeadlockError(message)
        try:
            return changed() or self._work(task_ids, seconds, changed)
        finally:
            turn.release()

    def _work(
        self, task_ids: tuple[str, ...], seconds: float | None, changed: Callable[[], bool]
    ) -> bool:
        deadline = math.inf
        if seconds is not None:
            # The clock counts whole microseconds.
            deadline = round(self._clock.monotonic() + max(seconds, 0.0), 6)
        task = app_state.get_current_task()
        name, uuid = (None, "") if task is None else (task.name, task.request.id)
        waits = self.places.here.waits
        place = self.places.here
        with waits.waiting(name, uuid, task_ids) as wait:
            if place.beside is not None and self.in_task:
                if not place.beside.waits(changed, deadline):
                    raise DeadlockError(self._explain(waits, wait))
                return changed() or self._clock.monotonic() < deadline
            stopped = place.suspended and not self.in_task
            # Of what runs beside each other, who waits is below nobody.
            below = waits.below(wait) and not place.beside
            if stopped or below or not (self.pending or place.beside):
                raise DeadlockError(self._explain(waits, wait))
            if self._step(deadline):
                self._check_limit()
                self._forget_suspension()
                # What comes later than it was waited for came too late.
                return self._clock.monotonic() <= deadline
            if deadline < math.inf:
                self._clock.jump_to(deadline)
            return deadline == math.inf

    # -- what does not come to an end -------------------------------------------------------------

    def _allow(self) -> None:
        place = self.places.here
        place.allowed = place.ran + len(self.pending) + self.limit

    def _check_limit(self) -> None:
        place = self.places.here
        if place.ran < place.allowed or not self.pending:
            return
        message = (
            f"more than limit={self.limit} messages came of what was run, and there are more: does"
            " a task retry or requeue itself for ever? If not, raise the limit (option"
            f" --taskprogress-limit). Waiting to be run:\n{self.pending}"
        )
        if not self.in_task:
            self._throw_away()
        raise DrainLimitExceeded(message)
