"""A run, one transition at a time: the task stands still at each of them."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.places import Place, Places
from pytest_taskprogress.engines.processes import greenlets
from pytest_taskprogress.engines.run import TaskRun

__all__ = ["Steps", "Walk"]


class Walk:
    """A run in a greenlet of its own, all in one thread.

    Attributes:
        run: What came of it; None as long as it has not come to its end.
        written: What it wrote.
        heard: What of that the test was not told yet.
        raised: What it raised.
        error: What it raised after the test had left it.
        silent: Whether the test does not want to be told any more.

    Args:
        work: Runs all of it.
        places: Where the engine's threads work; this run has a place of its own.
    """

    def __init__(self, work: Callable[[], TaskRun], places: Places) -> None:
        self.run: TaskRun | None = None
        self.heard: deque[Transition] = deque()
        self.written: list[Transition] = []
        self.silent = False
        self.error: BaseException | None = None
        self.raised: BaseException | None = None
        self._thread: int | None = None
        self._goes_on = False
        self._stands_in: Any = None
        self._work = work
        self._places = places
        here = places.here
        self._place = Place(watchers=list(here.watchers), schedule=here.schedule, walk=self)
        package = greenlets()
        self._getcurrent = package.getcurrent
        self._greenlet = package.greenlet(self._go)
        self._greenlet.gr_context = contextvars.copy_context()

    def _go(self) -> None:
        try:
            self.run = self._work()
        except BaseException as error:
            self.raised = error
            raise

    @property
    def place(self) -> Place:
        """Where it runs."""
        return self._place

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        return bool(self._greenlet.dead)

    @property
    def stands(self) -> bool:
        """Whether the run has begun, and has not come to its end."""
        return bool(self._greenlet)

    @property
    def may_go_on(self) -> bool:
        """Whether this thread may let it go on; else the engine does, when it is left."""
        return self._thread in (None, threading.get_ident())

    def note(self, transition: Transition) -> None:
        """Keep what was written, for the test to hear of it."""
        self.written.append(transition)
        if not self.silent:
            self.heard.append(transition)

    def stand_still(self) -> None:
        """Wait, until `go_on`."""
        # Another thread that helps the task does not stand still.
        if not self.silent and threading.get_ident() == self._thread:
            # A task that runs beside others is in a greenlet of its own.
            self._stands_in = self._getcurrent()
            self._greenlet.parent.switch()

    def go_on(self) -> None:
        """Begin, or go on, until the run stands still or comes to its end.

        Raises:
            EngineError: In another thread than the one that began it, and in the run itself.
        """
        if self._goes_on:
            message = "a run does not go on by itself: its next step was asked for in the run"
            raise EngineError(message)
        if not self.may_go_on:
            message = "a run that stands still goes on in the thread that began it, not in another"
            raise EngineError(message)
        self._thread = threading.get_ident()
        self._greenlet.parent = self._getcurrent()
        before, self._goes_on = self._places.exchange(self._place), True
        try:
            (self._stands_in or self._greenlet).switch()
        finally:
            self._goes_on = False
            self._places.exchange(before)

    def finish(self, *, begin: bool = False) -> None:
        """Go on to the end of the run, without a stop.

        Args:
            begin: Whether one that has not begun is to be run as well.
        """
        self.silent = True
        while self.stands or (begin and not self.over):
            self.go_on()

    def leave(self) -> None:
        """Go on to the end, where nobody takes what it raises: it is kept."""
        try:
            self.finish()
        except BaseException as error:  # noqa: BLE001 - the engine raises it later
            self.error = error


class Steps(Iterator[Transition]):
    """The transitions of a run; the task stands still at each, until the next one is asked for.

    All in the thread of the test. While the task stands still the test may abort it, move the
    clock, look at the backend, and run other tasks: also another one step by step. Left early, the
    run goes on to its end.

    ::

        for transition in taskprogress.run_iter(export, 10):
            if transition.is_report and transition.percent == 50:
                abort(export.AsyncResult(transition.uuid))

    Args:
        walk: The run.
    """

    def __init__(self, walk: Walk) -> None:
        # The run refers to the walk, and not to this: who leaves a loop over it drops it.
        self._walk = walk

    def __next__(self) -> Transition:
        walk = self._walk
        while not walk.heard and not walk.over:
            walk.go_on()
        if not walk.heard:
            raise StopIteration
        return walk.heard.popleft()

    @property
    def run(self) -> TaskRun:
        """What came of it; it goes on to its end first, if it has not come there.

        Raises:
            EngineError: If it raised, and did not come to its end.
        """
        walk = self._walk
        walk.finish(begin=True)
        if walk.run is None:
            message = f"the run did not come to its end: {as_repr(walk.raised)}"
            raise EngineError(message) from walk.raised
        return walk.run

    def close(self) -> None:
        """Let the run go on to its end, if it has begun."""
        self._walk.finish()

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        walk = getattr(self, "_walk", None)
        if walk is not None and walk.may_go_on:
            walk.leave()
