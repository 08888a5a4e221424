"""Threads that tasks left running: what they write later belongs to no later test."""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakSet

from pytest_taskprogress.engines.internals import worker_state

__all__ = ["Threads", "is_stray"]

_strangers: Final[WeakSet[threading.Thread]] = WeakSet()


def is_stray(task_id: str) -> bool:
    """Whether a write comes from a thread that an earlier test left behind, for a task of its own.

    Args:
        task_id: Which task is written about; one that runs now may be written about by any thread.
    """
    return (
        bool(_strangers)
        and threading.current_thread() in _strangers
        and task_id not in worker_state.requests
    )


class Threads:
    """The threads that were started while tasks ran: while this is entered."""

    def __init__(self) -> None:
        self._started: WeakSet[threading.Thread] = WeakSet()
        self._before: list[threading.Thread] = []
        self._entered = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Threads:
        """Note the threads that are started until left, and that are still there."""
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._before = threading.enumerate()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered:
                before, self._before = self._before, []
                if threading.active_count() > len(before):
                    self._started.update(set(threading.enumerate()) - set(before))

    def is_of_a_task(self) -> bool:
        """Whether the current thread was started by the tasks that run now."""
        return self._entered > 0 and threading.current_thread() not in self._before

    def leave(self) -> list[str]:
        """From now on they are strangers; returns the names of those that are alive, in order."""
        alive = [each for each in self._started if each.is_alive()]
        self._started.clear()
        _strangers.update(alive)
        return sorted(each.name for each in alive)
