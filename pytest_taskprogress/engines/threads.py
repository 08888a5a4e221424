"""Which threads run tasks, work for one that does, or were left behind by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from pytest_taskprogress.engines.internals import worker_state
from pytest_taskprogress.engines.keeping import replace

__all__ = ["Step", "Threads", "is_stray"]

_MAIN: Final = threading.main_thread().ident
_strangers: Final[WeakSet[threading.Thread]] = WeakSet()


def is_stray(task_id: str) -> bool:
    """Whether a write comes from a thread that an earlier test left behind, for a task of its own.

    Args:
        task_id: Which task is written about; one that runs now may be written about by any thread.
    """
    # Every report asks: for most of them this is the answer.
    if threading.get_ident() == _MAIN:
        return False
    return threading.current_thread() in _strangers and task_id not in worker_state.requests


class Step:
    """A message that runs now.

    Attributes:
        lock: Held by who runs another message on top of it: its own thread while it waits, or a
            thread that its task started.
        over: Whether it has run.
        place: Where it runs.
        start: Which of the starts of its task it is, as soon as that is known.
        on_lost: Tells the request that the process is gone that ran it, while it runs.
    """

    __slots__ = ("lock", "on_lost", "over", "place", "start")

    def __init__(self, place: Any) -> None:
        self.lock = threading.RLock()
        self.over = False
        self.place = place
        self.start = 0
        self.on_lost: Callable[[Any], object] | None = None


class Threads:
    """Knows, for each thread, the message that it runs or works for.

    It stands for Celery's flag that waiting for a result would block a worker, too: a worker has
    one for its process, in which nothing but tasks runs.
    """

    def __init__(self) -> None:
        self._running = threading.local()
        self._started: WeakKeyDictionary[threading.Thread, Step] = WeakKeyDictionary()

    def install(self, undo: ExitStack) -> None:
        """Note which threads are started by tasks, until a stack is left."""
        original: Callable[[threading.Thread], Any] = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            step = self.step
            if step is not None:
                self._started[thread] = step
            original(thread)

        replace(undo, threading.Thread, "start", start)

    def run(self, work: Callable[[], bool], place: Any) -> bool:
        """Run a message in this thread, at a place of work."""
        steps = self._running.__dict__.setdefault("steps", [])
        step = Step(place)
        steps.append(step)
        try:
            return work()
        finally:
            step.over = True
            steps.pop()

    @property
    def step(self) -> Step | None:
        """What this thread runs; if it runs nothing, what runs that started it. Else None."""
        steps: list[Step] = self._running.__dict__.get("steps", [])
        if steps:
            return steps[-1]
        if not self._started:
            return None
        step = self._started.get(threading.current_thread())
        return None if step is None or step.over else step

    def __bool__(self) -> bool:
        """Whether this thread itself is in a task."""
        return bool(self._running.__dict__.get("steps"))

    def exchange(self, steps: list[Step]) -> list[Step]:
        """Let this thread run other messages than it does; returns those that it does run."""
        before: list[Step] = self._running.__dict__.get("steps", [])
        self._running.steps = steps
        return before

    def leave(self) -> list[str]:
        """Forget the threads that tasks started; those that are alive are strangers from now on.

        Returns:
            Their names, in order.
        """
        alive = [each for each in self._started if each.is_alive()]
        self._started.clear()
        _strangers.update(alive)
        return sorted(each.name for each in alive)
