"""Scenarios while they are played: which events have been, and how far the run has come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_taskprogress.core.errors import EngineError, MomentNotReached
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import RETRY
from pytest_taskprogress.engines.failing import Failing
from pytest_taskprogress.engines.places import Place, Places
from pytest_taskprogress.engines.processes import greenlets
from pytest_taskprogress.engines.stage import EagerStage
from pytest_taskprogress.scenario import Event, Happened, Occasion, Schedule

__all__ = ["Scene", "Scenes", "Watcher"]

MakeStage = Callable[[Any, Occasion], EagerStage]


class Watcher(Protocol):
    """Who is told of every occasion."""

    @property
    def events(self) -> Sequence[Event]:
        """What is to happen."""
        ...

    @property
    def happened(self) -> Sequence[Happened]:
        """What of that has been."""
        ...

    def happen(self, occasion: Occasion, stage_of: Callable[[], EagerStage]) -> None:
        """Take the news of an occasion.

        Args:
            occasion: What happens.
            stage_of: Makes where an event may take place; seldom one does.
        """


@dataclass(slots=True)
class _Waiting:
    """An event, how many times what it waits for has happened, and whether it has been."""

    event: Event
    count: int = 0
    fired: bool = False


class Scene:
    """A scenario that is played.

    Attributes:
        events: What is to happen.
        errors: What events raised.
        happened: Those that have been.
        end: What ends that tasks run beside each other; None if they do not, because of it.

    Args:
        events: What is to happen.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.end: Callable[[], None] | None = None
        self.events = tuple(events)
        self.errors: list[Exception] = []
        self.happened: list[Happened] = []
        self._waiting = [_Waiting(event) for event in events]
        self._seen: Counter[str] = Counter()
        self._percent: float | None = None
        self._last = ""

    def happen(self, occasion: Occasion, stage_of: Callable[[], EagerStage]) -> None:
        """Let the events take place whose moment it is, each once."""
        self._note(occasion)
        for each in self._waiting:
            try:
                if each.fired or not each.event.at.is_at(occasion):
                    continue
                each.count += 1
                if each.count == each.event.at.n:
                    each.fired = True
                    self._fire(each.event, stage_of())
            except Exception as error:  # noqa: BLE001 - it fails the test, not the task
                each.fired = True
                self.errors.append(error)

    def _fire(self, event: Event, stage: EagerStage) -> None:
        happened = Happened(event, stage.at, stage.index)
        self.happened.append(happened)
        before, stage.by = stage.by, self
        try:
            event.fire(stage)
        except EngineError:
            if not event.at.may_miss:
                raise
            # It cannot be at this moment, and nobody relies on it.
            self.happened.remove(happened)
        finally:
            stage.by = before

    def _note(self, occasion: Occasion) -> None:
        write = occasion.transition
        self._seen[occasion.kind] += 1
        if write is not None:
            self._last = f"{write.name or write.uuid} {write.state}"
            self._seen["retry"] += write.state == RETRY
            if write.is_report and write.stored:
                self._seen["report"] += 1
                if write.percent is not None:
                    self._percent = max(write.percent, self._percent or 0.0)

    def check(self) -> None:
        """Raise what events raised, or that one of them has not been.

        Raises:
            MomentNotReached: If a moment never came.
        """
        __tracebackhide__ = True
        if self.errors:
            raise self.errors[0]
        missed = [
            each.event for each in self._waiting if not each.fired and not each.event.at.may_miss
        ]
        if missed:
            what = ", ".join(map(as_repr, missed))
            message = f"{what} never happened: the moment did not come. {self._how_far()}"
            raise MomentNotReached(message)

    def _how_far(self) -> str:
        counts = [
            f"{self._seen[kind]} {noun if self._seen[kind] == 1 else plural}"
            for kind, noun, plural in (
                ("start", "start", "starts"),
                ("write", "write", "writes"),
                ("report", "report", "reports"),
                ("check", "abort check", "abort checks"),
                ("retry", "retry", "retries"),
            )
        ]
        percent = "" if self._percent is None else f", up to {self._percent:g} %"
        last = f"; the last write was {self._last}" if self._last else ""
        return f"The run got as far as {', '.join(counts)}{percent}{last}"


class Scenes:
    """Whoever is told of the occasions of what runs now.

    Args:
        make_stage: Makes the stage of an occasion, for the result of a run (or None).
        places: At which of them something happens.
        go_by: Lets tasks run beside each other; see `Turns.go_by`.
        failing: What the result backend refuses.
    """

    def __init__(
        self,
        make_stage: MakeStage,
        places: Places,
        go_by: Callable[[Schedule | None], Callable[[], None]],
        failing: Failing,
    ) -> None:
        self._make_stage = make_stage
        self._places = places
        self._go_by = go_by
        self._failing = failing
        self._firing: set[int] = set()
        self._left: list[tuple[Place, Scene]] = []

    @property
    def watchers(self) -> list[Watcher]:
        """Who is told of what happens where this thread works."""
        return self._places.here.watchers

    @property
    def is_firing(self) -> bool:
        """Whether this thread does what an event asks for."""
        return threading.get_ident() in self._firing

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to happen to what runs now."""
        return tuple(event for each in self.watchers for event in each.events)

    @property
    def happened(self) -> tuple[Happened, ...]:
        """What has happened to what runs now."""
        return tuple(each for watcher in self.watchers for each in watcher.happened)

    def begin(self, events: Sequence[Event], schedule: Schedule | None) -> Scene:
        """Begin with a scenario.

        Args:
            events: What is to happen.
            schedule: What is run next; None: as before.

        Raises:
            EngineError: If it needs processes, and greenlet is not installed.
        """
        place, scene = self._places.here, Scene(events)
        if schedule is not None or any(each.needs_processes for each in events):
            greenlets()
            scene.end = self._go_by(schedule)
        place.watchers.append(scene)
        return scene

    def leave(self, scene: Scene, place: Place | None = None) -> None:
        """End a scenario; None: at the place where this thread works."""
        place = place or self._places.here
        try:
            if scene.end is not None:
                scene.end()
        finally:
            place.watchers.remove(scene)
        self._failing.clear(scene)
        if not place.messages:
            # What was held back has come: the next one need not wait.
            place.held_until = 0.0

    @contextmanager
    def told(self, watcher: Watcher) -> Iterator[None]:
        """Tell somebody, until left."""
        watchers = self.watchers
        watchers.append(watcher)
        try:
            yield
        finally:
            watchers.remove(watcher)

    @contextmanager
    def running(self, result: Any) -> Iterator[None]:
        """Say what runs now: what events are done to, until left."""
        place = self._places.here
        before, place.result = place.result, result
        try:
            yield
        finally:
            place.result = before

    # -- scenarios of runs that are suspended -----------------------------------------------------

    def keep(self, scene: Scene) -> bool:
        """Let a scenario go on with what it was under, if that is suspended; else returns False."""
        place = self._places.here
        if place.suspended:
            self._left.append((place, scene))
        return place.suspended

    def check_left(self, place: Place | None = None) -> None:
        """End the scenarios that went on at a place; see `Scene.check` for what is raised.

        Args:
            place: None: at all of them.
        """
        ended = [each for each in self._left if place in (None, each[0])]
        self._left = [each for each in self._left if each not in ended]
        for where, scene in ended:
            self.leave(scene, where)
        for _, scene in ended:
            scene.check()

    def forget_left(self) -> None:
        """End them all, whatever they came to."""
        for place, scene in self._left:
            self.leave(scene, place)
        self._left.clear()

    # -- what happens -----------------------------------------------------------------------------

    def happen(self, occasion: Occasion) -> None:
        """Tell everybody.

        Raises:
            Exception: What an event wants to be raised in the task.
        """
        nested, thread = self.is_firing, threading.get_ident()
        if nested and occasion.kind == "check":
            # Somebody else looks: who asks for the abort.
            return
        place = self._places.here
        stage: EagerStage | None = None

        def stage_of() -> EagerStage:
            nonlocal stage
            stage = stage or self._make_stage(place.result, occasion)
            return stage

        self._firing.add(thread)
        try:
            for each in tuple(self.watchers):
                each.happen(occasion, stage_of)
        finally:
            if not nested:
                self._firing.remove(thread)
        if place.crash is not None and not nested:
            child, place.crash = place.crash, None
            place.beside.crash(child=child)
        if stage is not None and stage.raised is not None:
            raise stage.raised
