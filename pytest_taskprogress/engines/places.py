"""Places of work: what belongs to one line of work, and at which of them a thread works.

Usually there is one. A run that goes step by step has its own: while it stands still, others work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_taskprogress.engines.internals import app_state
from pytest_taskprogress.engines.threads import Step, Threads
from pytest_taskprogress.engines.waits import Waits
from pytest_taskprogress.scenario import Schedule

__all__ = ["Place", "Places"]


@dataclass(slots=True)
class Place:
    """What belongs to one line of work.

    Attributes:
        messages: Those that can run now.
        delivered: Those that were taken and not acknowledged yet, by delivery tag.
        taken: Those that were taken, by id of the task; kept only under a scenario.
        held_until: Seconds of the clock before which no message is delivered.
        calls: Of the timer: a heap.
        draining: Held by the thread that runs what is published.
        working: Held by the thread that works at top level.
        waits: Who waits for whom.
        suspended: Whether no other message is to be run until somebody resumes.
        ran: How many messages have been run.
        allowed: How many may have been run when it has to come to an end.
        watchers: Who is told of what happens.
        flows: Those that began here, and not by `run`.
        result: Of the run; None if somebody else has published.
        walk: The run, if it goes step by step.
        steps: What the thread runs that works here; kept while it stands still.
        blocks: Celery's flag that a task may not wait for results; kept while it stands still.
        schedule: What is run next, wherever there is a choice; None: as the engine does of itself.
        beside: Those that run beside each other; None: there was none yet, or one runs after the
            other.
        crash: Whether the worker is to die as soon as the events of a moment have been, or (True)
            only the process of it that runs the task; None: it is not.
    """

    messages: deque[dict[str, Any]] = field(default_factory=deque)
    delivered: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    held_until: float = 0.0
    calls: list[Any] = field(default_factory=list)
    draining: threading.Lock = field(default_factory=threading.Lock)
    working: threading.RLock = field(default_factory=threading.RLock)
    waits: Waits = field(default_factory=Waits)
    suspended: bool = False
    ran: int = 0
    allowed: int = 0
    watchers: list[Any] = field(default_factory=list)
    flows: list[Any] = field(default_factory=list)
    result: Any = None
    walk: Any = None
    steps: list[Step] = field(default_factory=list)
    blocks: Any = None
    schedule: Schedule | None = None
    beside: Any = None
    crash: bool | None = None


class Places:
    """At which place a thread works: one that it was given, else that of the task that it helps.

    All others work at the common one.

    Args:
        threads: Which of them run, or help, tasks.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.reset()

    def reset(self) -> None:
        """Begin with one place, at which nothing was done."""
        self._common = Place()
        self._given = threading.local()
        self._several = False

    @property
    def common(self) -> Place:
        """Where threads work that were given no other place."""
        return self._common

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Let this thread work at a place, until left."""
        if place is self.here:
            yield
            return
        before = self.exchange(place)
        try:
            yield
        finally:
            self.exchange(before)

    @property
    def here(self) -> Place:
        """Where this thread works."""
        if not self._several:
            return self._common
        given: Place | None = self._given.__dict__.get("place")
        if given is not None:
            return given
        step = self._threads.step
        return self._common if step is None or step.place is None else step.place

    def exchange(self, place: Place | None) -> Place | None:
        """Let this thread work at another place; returns the one that stands still then.

        Args:
            place: None: the one where it works of itself.
        """
        self._several = True
        before: Place | None = self._given.__dict__.get("place")
        left, taken = before or self._common, place or self._common
        self._given.place = place
        left.steps = self._threads.exchange(taken.steps)
        left.blocks = app_state.task_join_will_block()
        blocks = self._threads if taken.blocks is None else taken.blocks
        app_state._set_task_join_will_block(blocks)  # noqa: SLF001
        return before
