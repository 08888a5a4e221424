"""What the author of a test should know of beside what runs break: lost messages, threads."""

from __future__ import annotations

import warnings

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.engines.judging import PUBLISHERS

__all__ = ["Findings"]


class Findings:
    """Collects what is found while tasks run, and warns of it when they have.

    Attributes:
        discarded: Why messages were thrown away, one after the other.
    """

    def __init__(self) -> None:
        self.discarded: list[str] = []
        self._told = 0

    def tell(self) -> None:
        """Warn of the messages that were thrown away since the last time."""
        while self._told < len(self.discarded):
            self._told += 1
            _warn(f"a worker threw a message away: {self.discarded[self._told - 1]}")

    def tell_threads(self, names: list[str]) -> None:
        """Warn of threads that tasks left running."""
        if names:
            _warn(
                f"tasks left threads running: {', '.join(names)}. What they write about their tasks"
                " from now on is dropped; join them before the task returns, as a worker's process"
                " may end at any time after that"
            )

    def clear(self) -> None:
        """Forget all of it."""
        self.discarded.clear()
        self._told = 0


def _warn(message: str) -> None:
    frame = frame_outside(PUBLISHERS)
    where = ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    warnings.warn_explicit(message, TaskProgressWarning, *where)
