"""The part of an engine that does what a test asks for: scenarios, sweeps, single steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.core.states import TERMINAL_STATES
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines.beside import Beside
from pytest_taskprogress.engines.failing import Failing
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.scenes import Scenes, Watcher
from pytest_taskprogress.engines.stage import EagerStage, Surroundings, checked_task
from pytest_taskprogress.engines.steps import Steps, Walk
from pytest_taskprogress.engines.sweeping import Sweep
from pytest_taskprogress.engines.turns import Turns
from pytest_taskprogress.engines.under import Under
from pytest_taskprogress.scenario import Event, Moment, Occasion, Schedule

__all__ = ["Plays"]


class Plays(ABC):
    """An engine that can be under a scenario, swept, and walked step by step.

    Attributes:
        sweeps: Those that were made since the engine was installed.
    """

    # What the engine that inherits this has.
    app: Any
    backend: Any

    def __init__(self, turns: Turns, clock: VirtualClock) -> None:
        self.sweeps: list[Sweep] = []
        self._turns = turns
        self._clock = clock
        self._failing = Failing(clock, self._refuse)
        self._around = Surroundings(turns.broker, self._failing, turns.places)
        self._scenes = Scenes(self._stage, turns.places, turns.go_by, self._failing)
        self._walks: list[Walk] = []

    def _stage(self, result: Any, occasion: Occasion) -> EagerStage:
        return EagerStage(self.app, self._clock, result, occasion, self._written, self._around)

    def _refuse(self, check: Callable[[str], object] | None) -> None:
        """Let the result backend refuse what tasks and the worker ask of it; None: let it be."""

        def refuse(access: str, record_id: str, state: str | None) -> None:
            if check is None or not self._turns.in_task or self._scenes.is_firing:
                return
            try:
                check(access)
            except Exception:
                if state in TERMINAL_STATES:
                    self._on_end_refused(record_id)
                raise

        self.backend.refuse_with(None if check is None else refuse)

    @property
    @abstractmethod
    def _written(self) -> int:
        """How many transitions there were."""

    @abstractmethod
    def _on_end_refused(self, task_id: str) -> None:
        """Know that the end of a task could not be stored."""

    @abstractmethod
    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun:
        """Publish a task or a canvas, run all that comes of it, and return what happened."""

    @abstractmethod
    def reset(self) -> None:
        """Begin anew."""

    def under(self, *events: Event, schedule: Schedule | None = None) -> Under:
        """Let events happen to what runs, each once, at its moment.

        Args:
            events: Of `pytest_taskprogress.scenario`.
            schedule: What is run next, wherever there is a choice: tasks run beside each other.
                None: one after the other.

        Returns:
            What has `run` and `run_iter`, and is a context manager for code that publishes itself.

        Raises:
            TypeError: If one is no event, or the schedule is none.
            EngineError: When it begins, if it needs greenlet, which is not installed.
        """
        return Under(self, self._scenes, events, schedule)

    def watched_by(self, watcher: Watcher) -> AbstractContextManager[None]:
        """Tell somebody of all that happens to what runs, before it goes on, until left.

        Args:
            watcher: It looks on, or does what no event of a scenario can.
        """
        return self._scenes.told(watcher)

    def sweep(
        self,
        event: Callable[[Moment], Event],
        task_or_signature: Any,
        /,
        *args: Any,
        at_most: int | None = None,
        **kwargs: Any,
    ) -> Sweep:
        """Run once to see which moments there are, and then once with an event at each of them.

        The moments are: before each start, each report, each abort check, each retry. What was
        published and stored before is forgotten; each run begins with a clock at 0.0.

        Args:
            event: A class of events, or whatever makes one of a moment.
            task_or_signature: As for `run`.
            args: As for `run`.
            at_most: How many runs, evenly spread over the moments; None: one for each.
            kwargs: As for `run`.

        Returns:
            The runs; each is made when it is asked for. `len()` tells how many.

        Raises:
            EngineError: If something waits to be run, or no moment is one for the event.
            TypeError: If that makes no events.
            ValueError: If `at_most` is no whole number of 1 or more.
            Exception: What `run` raises.
        """
        self._turns.check_goes_on()
        if self._turns.pending:
            message = (
                "sweep() begins anew for each run, and something waits to be run: drain() it first."
                f" Waiting to be run:\n{self._turns.pending}"
            )
            raise EngineError(message)
        call = (task_or_signature, args, kwargs)
        sweep = Sweep(self, self._scenes, event, call, at_most)
        self.sweeps.append(sweep)
        return sweep

    def run_iter(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> Steps:
        """Run a task or a canvas step by step: it stands still at each transition.

        Args:
            task_or_signature: As for `run`.
            args: As for `run`.
            kwargs: As for `run`.

        Returns:
            The transitions; `run` of it is what came of it.

        Raises:
            EngineError: If greenlet is not installed, or if it is called inside a task.
        """
        return self.walk(lambda: self.run(task_or_signature, *args, **kwargs))

    def walk(self, work: Callable[[], TaskRun]) -> Steps:
        """Make the steps of something that runs tasks on this engine; see `run_iter`."""
        if self._turns.in_task:
            message = "run_iter() inside a task: publish by delay() there; it runs after the task"
            raise EngineError(message)
        self._turns.check_goes_on()
        walk = Walk(work, self._turns.places)
        self._walks = [each for each in self._walks if not each.over or each.error is not None]
        self._walks.append(walk)
        return Steps(walk)

    def finish_walks(self) -> None:
        """Nothing stands still for ever: what a test left goes on to its end."""
        for walk in self._walks:
            walk.leave()
        self._turns.finish()
        self._walks = [each for each in self._walks if each.error is not None]

    def check_walks(self) -> None:
        """Raise, once, what a run that was left early raised, or a suspended one did not come to.

        Raises:
            MomentNotReached: If a run is suspended, and did not come to a moment of its scenario.
            Exception: What the run raised.
        """
        self._scenes.check_left()
        walks, self._walks = self._walks, [each for each in self._walks if not each.over]
        for walk in walks:
            if walk.error is not None:
                raise walk.error

    def _written_here(self, written: History) -> History:
        """Of what was written since a run began, what is about its tasks: others may go on too."""
        walk: Walk | None = self._turns.places.here.walk
        if walk is None:
            others = {each.uuid for run in self._walks if not run.over for each in run.written}
            return (
                History(each for each in written if each.uuid not in others) if others else written
            )
        own = {each.uuid for each in walk.written}
        return History(each for each in written if each.uuid in own)

    # -- what happens -----------------------------------------------------------------------------

    def _play(self, transition: Transition) -> None:
        walk: Walk | None = self._turns.places.here.walk
        if walk is not None:
            walk.note(transition)
        try:
            if self._scenes.watchers:
                occasion = Occasion("write", transition.name, transition.uuid, transition)
                self._scenes.happen(occasion)
        finally:
            # Not in the midst of an event.
            if walk is not None and not self._scenes.is_firing:
                walk.stand_still()
        beside: Beside | None = self._turns.places.here.beside
        if beside is not None and not self._scenes.is_firing:
            beside.pause(transition)

    def _on_start(self, request: Any) -> None:
        if self._scenes.watchers:
            self._scenes.happen(Occasion("start", request.name, request.id))

    def _on_read(self, record_id: str) -> None:
        beside: Beside | None = self._turns.places.here.beside
        if (self._scenes.watchers or beside is not None) and self._turns.in_task:
            checked = checked_task(record_id)
            if checked is not None:
                self._scenes.happen(Occasion("check", *checked))
            if beside is not None and not self._scenes.is_firing:
                # Also where it looks for the result of another: who polls lets that one work.
                beside.pause()
