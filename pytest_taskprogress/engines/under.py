"""An engine under a scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.scenes import Scene, Scenes
from pytest_taskprogress.engines.steps import Steps
from pytest_taskprogress.scenario import Event, Schedule

__all__ = ["Under"]


class _Engine(Protocol):
    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun: ...

    def walk(self, work: Callable[[], TaskRun]) -> Steps: ...


class Under:
    """An engine under a scenario: events happen to what runs, each once, at its moment.

    ::

        run = taskprogress.under(Abort(at_report(3))).run(export, 10)

        with taskprogress.under(Abort(at_report(3))):
            client.post("/export/")

    Args:
        engine: What runs tasks.
        scenes: Who is told of what happens there.
        events: What is to happen.
        schedule: What is run next; None: as the engine does of itself.

    Raises:
        TypeError: If one is no event, or the schedule is none.
    """

    def __init__(
        self,
        engine: _Engine,
        scenes: Scenes,
        events: Sequence[Event],
        schedule: Schedule | None = None,
    ) -> None:
        if not isinstance(schedule, (Schedule, type(None))):
            message = (
                "under() takes a Schedule of pytest_taskprogress.scenario, got"
                f" schedule={as_repr(schedule)}"
            )
            raise TypeError(message)
        for event in events:
            if not isinstance(event, Event):
                message = (
                    "under() takes events, such as Abort(at_report(3)) of"
                    f" pytest_taskprogress.scenario, got {as_repr(event)}"
                )
                raise TypeError(message)
        self._engine = engine
        self._scenes = scenes
        self._events = events
        self._schedule = schedule
        self._played: list[Scene] = []

    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun:
        """Run a task or a canvas under the scenario; see `EagerEngine.run`.

        Raises:
            MomentNotReached: If the moment of an event never came. If the run was suspended it may
                still come, and `resume()` tells.
        """
        __tracebackhide__ = True
        scene, kept = self._begin(), False
        try:
            run = self._engine.run(task_or_signature, *args, **kwargs)
            kept = self._scenes.keep(scene)
        finally:
            if not kept:
                self._scenes.leave(scene)
        if not kept:
            scene.check()
        return run

    def run_iter(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> Steps:
        """Run step by step under the scenario; see `EagerEngine.run_iter`.

        Raises:
            MomentNotReached: At the end of the run, if the moment of an event never came.
        """
        return self._engine.walk(lambda: self.run(task_or_signature, *args, **kwargs))

    def __enter__(self) -> Under:
        self._played.append(self._begin())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        scene = self._played.pop()
        if exc_val is None and self._scenes.keep(scene):
            return
        self._scenes.leave(scene)
        if exc_val is None:
            scene.check()

    def _begin(self) -> Scene:
        return self._scenes.begin(self._events, self._schedule)
