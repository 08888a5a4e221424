"""The runs of an engine: each is a flow, which may be suspended and go on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import (
    FAILURE,
    REVOKED,
    RUNNING,
    SUSPENDED,
    TERMINAL_STATES,
)
from pytest_taskprogress.engines.base import PendingTask
from pytest_taskprogress.engines.flows import Flows
from pytest_taskprogress.engines.internals import worker_state
from pytest_taskprogress.engines.judging import Judging
from pytest_taskprogress.engines.outcome import Origin, Outcome
from pytest_taskprogress.engines.places import Place
from pytest_taskprogress.engines.plays import Plays
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.stage import checked_task
from pytest_taskprogress.engines.surfaced import Surfaced
from pytest_taskprogress.engines.targets import checked_limit, published
from pytest_taskprogress.engines.turns import Turns
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.details import Details
from pytest_taskprogress.listeners.storage import Flow, Storage
from pytest_taskprogress.listeners.surface import Surface, end_of
from pytest_taskprogress.tasks.results import tasks_of

__all__ = ["Runs"]

_R = TypeVar("_R", bound="Runs")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of `run` that has not come to its end.

    Attributes:
        result: What Celery returned when it was published.
        flow: What listeners are told of.
        place: Where it runs.
        position: How many writes there were before.
        asked: How many requests to abort there were before.
        began: Seconds of the engine's clock.
    """

    result: Any
    flow: Flow
    place: Place
    position: int
    asked: int
    began: float

    @property
    def since(self) -> tuple[int, int, float]:
        """The moment at which it began."""
        return self.position, self.asked, self.began


class Runs(Plays, Surfaced):
    """An engine that runs canvases, each to its end, or as far as it is asked to."""

    # What the engine that inherits this has.
    backend: Any

    def __init__(self, turns: Turns, clock: VirtualClock) -> None:
        Plays.__init__(self, turns, clock)
        surface: Final = Surface(self, Storage(), clock)
        Surfaced.__init__(self, surface, Flows(surface, loose=lambda: turns.places.here.flows))
        self._capture = CaptureListener(self)
        # Not as a registered listener: whoever resets a notifier means the others.
        surface.first = self._keep
        surface.name_of = self._name_of
        self._judging = Judging(self)
        self._aborts: list[AbortRequest] = []
        self._asked: set[str] = set()
        self._checks: Counter[str] = Counter()
        self._origins: dict[str, Origin] = {}
        self._calls: list[_Call] = []
        # How many writes, and requests to abort, have been judged.
        self._judged = 0, 0

    def _keep(self, kind: str, state: str, details: Details) -> None:
        self._capture.take(kind, state, details.to_keep())

    def _name_of(self, uuid: str) -> str | None:
        request = worker_state.requests.get(uuid)
        if request is not None:
            return str(request.name)
        return next((each.name for each in self._turns.pending if each.uuid == uuid), None)

    def _run(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskRun:
        __tracebackhide__ = True
        self._turns.check_goes_on()
        at = (*self._position, self._clock.monotonic())
        # All of it is published before any of it runs: who aborts it knows all of its tasks.
        with self._turns.holding():
            result = published(target, args, kwargs)
        ids = [each.id for each in tasks_of(result)]
        flow = Flow(target.name, result.id, size=len(ids), members=set(ids))
        return self._go_on(_Call(result, flow, self._turns.places.here, *at))

    def _go_on(self, call: _Call) -> TaskRun:
        __tracebackhide__ = True
        try:
            self._flows.begin(call.flow)
            with self._scenes.running(call.result):
                self._turns.drain()
            run = self._outcome(*call.since).of(call.result)
        except BaseException:
            # Nothing of this run may reach the next one.
            self._turns.pending.clear()
            self._surface.move_flow(call.flow, FAILURE)
            self._judging.keep(self._outcome(*call.since).of(call.result))
            self._judged = self._position
            raise
        if call.place.suspended:
            self._calls.append(call)
        self._surface.move_flow(call.flow, SUSPENDED if call.place.suspended else _end(run, call))
        if not run.ended:
            # Suspended; or another thread runs it, and judges it with what it has published.
            return run
        self._judged = self._position
        return self._judging.judge(run, called=True)

    def _outcome(self, position: int, asked: int, began: float) -> Outcome:
        """What came of what was written, and asked for, since a moment."""
        place = self._turns.places.here
        return Outcome(
            self._written_here(self._capture.since(position)),
            self.backend,
            elapsed=self._clock.monotonic() - began,
            aborts=self._aborts[asked:],
            checks=self._checks,
            origins=self._origins,
            under=self._scenes.events,
            happened=tuple(each for each in self._scenes.happened if each.index >= position),
            ended=not (
                place.suspended or place.draining.locked() or self._turns.pending or place.beside
            ),
            earlier=lambda: self._capture.history[:position],
            contract=self._judging.contract,
        )

    @property
    def _written(self) -> int:
        return len(self._capture)

    @property
    def _position(self) -> tuple[int, int]:
        """How many writes, and requests to abort, there were."""
        return len(self._capture), len(self._aborts)

    # -- judging ----------------------------------------------------------------------------------

    @property
    def contract(self) -> Contract:
        """What every run is judged by; may be set, None: by what the test is marked with."""
        return self._judging.contract

    @contract.setter
    def contract(self, contract: Contract | None) -> None:
        self._judging.contract = contract

    @property
    def runs(self) -> list[TaskRun]:
        """The last runs, at most 20: those that `run` returned, and what else was published."""
        return list(self._judging.runs)

    @property
    def on_run(self) -> list[Callable[[TaskRun], object]]:
        """Who is told of each run when it is over; may be added to."""
        return self._judging.told

    def check_contract(self) -> None:
        """Raise what a run breaks that was published by no call of `run`, once.

        Raises:
            ContractViolated: If the contract is strict, and such a run broke it.
        """
        __tracebackhide__ = True
        self._judging.check()

    def _judge_published(self) -> None:
        """Judge what was published otherwise than by `run`, and has come to its end."""
        judged, self._judged = self._judged, self._position
        run = self._outcome(*judged, 0.0).of_published()
        if run is not None:
            self._judging.judge(run, called=False)

    def _on_asked(self, request: AbortRequest) -> None:
        self._aborts.append(request)
        self._asked.add(request.uuid)

    def _on_start(self, request: Any) -> None:
        origin = self._origins.get(request.id)
        if origin is None:
            origin = self._origins[request.id] = Origin(request.parent_id)
        step = self._turns.threads.step
        if step is not None:
            step.start = len(origin.starts)
        again = bool(request.delivery_info.get("redelivered"))
        # What such an execution publishes, a retry or the next of a chain, is there twice as well.
        attempt = request.request_dict.get("retries") or 0
        again = again or attempt in origin.attempts
        origin.attempts.add(attempt)
        origin.starts.append(Start(self._clock.monotonic(), len(self._capture), again=again))
        super()._on_start(request)

    def _on_end_refused(self, task_id: str) -> None:
        if task_id in self._origins:
            self._origins[task_id].refused = True

    def _on_end(self, request: Any) -> None:
        step, starts = self._turns.threads.step, self._origins[request.id].starts
        if step is not None:
            starts[step.start] = replace(starts[step.start], ended=len(self._capture))

    def _on_read(self, record_id: str) -> None:
        # Who asks for an abort looks too.
        if self._asked and self._turns.in_task and not self._scenes.is_firing:
            checked = checked_task(record_id)
            if checked is not None and checked[1] in self._asked:
                self._checks[checked[1]] += 1
        super()._on_read(record_id)

    @contextmanager
    def paused(self: _R) -> Iterator[_R]:  # noqa: PYI019 - Self is of Python 3.11
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

        Raises:
            EngineError: If the engine is suspended.
        """
        self._turns.check_goes_on()
        ran = self._turns.step()
        self._settle()
        return ran

    def drain(self, *, until: float | None = None, limit: int | None = None) -> int:
        """Run messages until none waits.

        Args:
            until: Reading of the engine's clock, in seconds, up to which messages are due; the
                clock is there afterwards. None: also what is due later, however late.
            limit: How many messages to run at most. None: all of them, but not for ever.

        Returns:
            How many were run. 0 inside a task, whose messages run after it.

        Raises:
            EngineError: If the engine is suspended.
            ValueError: If `until` has passed, or `limit` is less than 1.
            DrainLimitExceeded: If more messages came of what was run than the engine's `limit`,
                retries and those that came back included; what waits is forgotten.
        """
        self._turns.check_goes_on()
        if limit is not None:
            checked_limit(limit)
        last = math.inf if until is None else self._checked_time(until)
        return self._turns.drain(last, math.inf if limit is None else limit)

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

    # -- suspending -------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Let what runs stop before its next task; what waits to be run is kept, for `resume`.

        A task that runs goes on to its end. If none is left then, the run has come to its end too.
        Where nothing runs and nothing waits, nothing happens.
        """
        places = self._turns.places
        walks = [walk.place for walk in self._walks if walk.stands]
        self._turns.suspend([places.here, places.common, *walks])

    def resume(self) -> TaskRun | None:
        """Go on with what was suspended.

        Returns:
            What came of the run that was suspended, from its beginning; of several: of the last
            one. None if nothing of what was suspended had been started by `run`.

        Raises:
            EngineError: If nothing is suspended, or inside a task.
            MomentNotReached: If it was under a scenario, and the moment of an event never came.
            DrainLimitExceeded: If it does not come to an end.
        """
        places = self._turns.suspended
        if self._turns.in_task or not places:
            why = "a task runs" if self._turns.in_task else "nothing is suspended"
            message = f"resume() goes on with what suspend() stopped, and {why}"
            raise EngineError(message)
        run = None
        for place in places:
            place.suspended = False
            with self._turns.places.at(place):
                self._flows.move(RUNNING)
                run = self._resume_at(place) or run
        return run

    def _resume_at(self, place: Place) -> TaskRun | None:
        call = next((each for each in self._calls if each.place is place), None)
        if call is None:
            self._turns.drain()
            return None
        self._calls.remove(call)
        try:
            run = self._go_on(call)
        except BaseException:
            self._scenes.forget_left()
            raise
        if not place.suspended:
            self._scenes.check_left(place)
        return run

    def _forget_runs(self) -> None:
        self._aborts.clear()
        self._asked.clear()
        self._checks.clear()
        self._origins.clear()
        self._judged = 0, 0
        self._scenes.forget_left()
        self._turns.places.common.flows.clear()
        self._calls.clear()
        self._turns.resume_all()

    def _settle(self) -> None:
        """Tell of the flows that nobody else tells of: those that were published."""
        place = self._turns.places.here
        # Another thread may still run what these are about.
        if self._turns.in_task or not place.working.acquire(blocking=False):
            return
        try:
            if place.suspended:
                self._flows.move(SUSPENDED)
            elif not (self._turns.pending or place.beside):
                self._flows.settle()
                if place.result is None and self._position[0] > self._judged[0]:
                    self._judge_published()
        finally:
            place.working.release()


def _end(run: TaskRun, call: _Call) -> str:
    """The state of a flow by that of its run; by those of its tasks if that stored none."""
    if run.state not in TERMINAL_STATES:
        return end_of(call.flow)
    return FAILURE if run.state == REVOKED else run.state
