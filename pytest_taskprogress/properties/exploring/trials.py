"""Trying a task: one way to run it after the other, each in a world as new."""

from __future__ import annotations

import logging
import random
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

from celery import group
from celery.exceptions import SoftTimeLimitExceeded

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.checks.rules import RULES
from pytest_taskprogress.checks.rules.base import Violation
from pytest_taskprogress.core.errors import (
    DrainLimitExceeded,
    EngineError,
    TaskProgressWarning,
)
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.engines.refusals import NotSerializable
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.properties.exploring.alarms import Alarm
from pytest_taskprogress.properties.exploring.guarding import Guard
from pytest_taskprogress.properties.exploring.judging import (
    differing,
    endless,
    ends_of,
    repeated,
    wrong_with,
)
from pytest_taskprogress.properties.exploring.plans import Plan, Recorded, as_happened
from pytest_taskprogress.properties.exploring.sizes import is_large, is_odd, refused
from pytest_taskprogress.properties.exploring.worlds import World
from pytest_taskprogress.scenario import Event, FailRead, FailWrite
from pytest_taskprogress.strategies.arguments import Arguments

__all__ = ["LIMIT", "Fault", "Trials"]

#: Engines judge nothing while a task is explored: what is wrong is collected, and told once.
_SILENT: Final = Contract().having(ignore=list(RULES))
#: How many messages may come of a run.
LIMIT: Final = 250
#: Runs that take too long until no more are made.
_GIVES_UP: Final = 3
#: Runs of a sweep, at most.
_SWEPT: Final = 6


@dataclass(frozen=True)
class Fault:
    """What is wrong with a task, and how it was run.

    Attributes:
        violation: What is wrong.
        plan: How it was run: with the events that took place, at their moments.
        run: The run; None if it did not come to an end.
        sleeps: Where the task slept.
    """

    violation: Violation
    plan: Plan
    run: TaskRun | None
    sleeps: tuple[str, ...] = ()


class Trials:
    """Tries a task on an engine.

    Args:
        engine: What runs it.
        task: The task.
        world: What is put back before each run.
        contract: What it is judged by.
        seed: What ids are made of.

    Attributes:
        runs: How many runs there were.
        ended: How it was called in the runs that were ended, as they took too long.
        odd_is_slow: Whether one that was given a negative or large number was.
        beside_is_slow: Whether one of copies beside each other was.
        ends_differ: Whether it came to another end when it was run twice, nothing done to it.
    """

    def __init__(
        self, engine: EagerEngine, task: Any, world: World, contract: Contract, seed: int
    ) -> None:
        self.runs = 0
        self.ended: list[Arguments] = []
        self.odd_is_slow = False
        self.beside_is_slow = False
        self.ends_differ = False
        self._alarm = Alarm()
        self._engine = engine
        self._task = task
        self._world = world
        self._contract = contract
        self._guarded = True
        self._ids = random.Random(f"ids {seed}")  # noqa: S311 - the same ones again

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let the engine, and those whom it tells, be silent; until left."""
        engine, told = self._engine, list(process.told)
        before, logged = (engine.limit, engine.contract), logging.root.manager.disable
        seed = engine.seed
        with (
            warnings.catch_warnings(),
            self._world.without_sleep(engine.clock.advance),
            self._alarm.on(),
        ):
            warnings.simplefilter("ignore", TaskProgressWarning)
            # Of Celery, where an event is in a handler of the task.
            warnings.filterwarnings("ignore", "Exception raised outside body", RuntimeWarning)
            # A worker logs what goes wrong, a thousand times.
            logging.disable(logging.CRITICAL)
            process.told.clear()
            engine.limit, engine.contract = LIMIT, _SILENT
            engine.seed = None
            try:
                yield
            finally:
                process.told[:] = told
                logging.disable(logged)
                engine.limit, engine.contract = before
                engine.seed = seed
                # What is in flight comes to its end, and may change something.
                engine.reset()
                self._world.begin()

    @property
    def gave_up(self) -> bool:
        """Whether too many runs took too long."""
        return len(self.ended) >= _GIVES_UP

    @property
    def longest(self) -> float:
        """Seconds that a run may take."""
        return self._alarm.seconds

    def faults(self, plan: Plan, *, guarded: bool = True) -> Iterator[Fault]:
        """All that is wrong with the task, run in one way; more runs are made as they are needed.

        Args:
            plan: The way.
            guarded: Whether a run that is too long is ended, and not judged.
        """
        self._guarded = guarded
        is_slow = (self.odd_is_slow and is_odd(plan.calls)) or (
            self.beside_is_slow and len(plan.calls) > 1
        )
        if self.gave_up or is_slow:
            return
        if plan.swept is None:
            yield from self._faults(plan)
            return
        for each in self._swept(plan):
            yield from self._faults(each)

    def _faults(self, plan: Plan) -> list[Fault]:
        try:
            run = self._run(plan)
        except DrainLimitExceeded as error:
            broken = any(isinstance(each, (FailRead, FailWrite)) for each in plan.events)
            # A message for each of a thousand is no endless task.
            broken = broken or is_large(plan.calls)
            return [] if broken else [self._fault(endless(self._task.name, error), plan, None)]
        if run is None:
            return []
        wrong = wrong_with(run, self._contract, self._engine.app, beside=plan.schedule is not None)
        found = self._faults_of(wrong, plan, run)
        if len(plan.calls) > 1:
            return found
        undisturbed = replace(plan, events=(), schedule=None)
        if plan.is_undisturbed:
            again = self._run(undisturbed)
            if again is not None:
                found += self._faults_of(differing(run, again), plan, run)
                self._compare(run, again)
        elif self._task.acks_late and run.happened:
            found += self._faults_of(self._repeated(run, undisturbed), plan, run)
        return found

    def _repeated(self, run: TaskRun, undisturbed: Plan) -> list[Violation]:
        """What a run breaks that came to another end; more runs are made only where needed."""
        alone = None if self.ends_differ else self._run(undisturbed)
        found = list(repeated(run, alone)) if alone else []
        again = self._run(undisturbed) if found else None
        if alone is not None and again is not None:
            self._compare(alone, again)
        return [] if self.ends_differ else found

    def _compare(self, first: TaskRun, second: TaskRun) -> None:
        self.ends_differ = self.ends_differ or ends_of(first) != ends_of(second)

    # -- running ----------------------------------------------------------------------------------

    def _run(self, plan: Plan) -> TaskRun | None:
        """One run; None if it is none that can be judged."""
        self._begin()
        guard = Guard()
        try:
            with self._told(guard), self._limited(plan):
                run = self._under(plan).run(self._target(plan))
        except DrainLimitExceeded:
            if self._alarm.has_rung:
                return None
            raise
        except NotSerializable as error:
            raise refused(self._task, plan.calls, error) from error
        except EngineError:
            # An event that was impossible where the run had come to.
            if plan.events:
                return None
            raise
        except Exception as error:
            # The request to abort is a write, and may be refused.
            if self._alarm.has_rung or any(_raises(each, error) for each in plan.events):
                return None
            raise
        return None if guard.has_ended or self._alarm.has_rung else run

    @contextmanager
    def _limited(self, plan: Plan) -> Iterator[None]:
        """End a run that computes for too long; and note it."""
        try:
            with self._alarm.set():
                yield
        finally:
            if not self._alarm.has_rung:
                pass
            elif len(plan.calls) > 1:
                self.beside_is_slow = True
            elif is_odd(plan.calls):
                self.odd_is_slow = True
            else:
                self.ended.append(plan.calls[0])

    def _under(self, plan: Plan) -> Any:
        return self._engine.under(*plan.events, schedule=plan.schedule)

    def _told(self, guard: Guard) -> AbstractContextManager[None]:
        if not self._guarded:
            return nullcontext()
        return self._engine.watched_by(guard)

    def _begin(self) -> None:
        self.runs += 1
        self._engine.reset()
        self._world.begin()
        self._world.sleeps.clear()

    def _target(self, plan: Plan) -> Any:
        tasks = [self._signature(each) for each in plan.calls]
        return tasks[0] if len(tasks) == 1 else group(tasks).set(task_id=self._new_id())

    def _signature(self, call: Any) -> Any:
        return self._task.signature(call.args, call.kwargs).set(task_id=self._new_id())

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def _swept(self, plan: Plan) -> list[Plan]:
        """A plan for each moment of the task, undisturbed."""
        make, plan = plan.swept, replace(plan, swept=None)
        assert make is not None  # noqa: S101 - that was asked
        self._begin()
        guard = Guard()
        try:
            with self._told(guard), self._limited(plan):
                sweep = self._engine.sweep(make, self._target(plan), at_most=_SWEPT)
        except (DrainLimitExceeded, EngineError):
            # It never ends, which is found otherwise, or has no such moment.
            return []
        except NotSerializable as error:
            raise refused(self._task, plan.calls, error) from error
        except SoftTimeLimitExceeded:
            if self._alarm.has_rung:
                return []
            raise
        finally:
            self._engine.sweeps.clear()
        if guard.has_ended or self._alarm.has_rung:
            return []
        return [replace(plan, events=(make(moment),)) for moment in sweep.moments]

    # -- judging ----------------------------------------------------------------------------------

    def _faults_of(self, found: Iterable[Violation], plan: Plan, run: TaskRun) -> list[Fault]:
        schedule = plan.schedule
        if isinstance(schedule, Recorded):
            schedule = schedule.as_choices
        certain = replace(plan, events=as_happened(run.happened), schedule=schedule)
        return [self._fault(each, certain, run) for each in found]

    def _fault(self, violation: Violation, plan: Plan, run: TaskRun | None) -> Fault:
        return Fault(violation, plan, run, tuple(self._world.sleeps))


def _raises(event: Event, error: Exception) -> bool:
    kind = getattr(event, "error", None)
    return kind is not None and isinstance(error, kind if isinstance(kind, type) else type(kind))
