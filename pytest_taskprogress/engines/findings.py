"""What the author of a test should know of beside what runs break: lost messages, threads."""

from __future__ import annotations

from pytest_taskprogress.engines.warning import warn

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
            warn(f"a worker threw a message away: {self.discarded[self._told - 1]}")

    def tell_threads(self, names: list[str]) -> None:
        """Warn of threads that tasks left running."""
        if names:
            warn(
                f"tasks left threads running: {', '.join(names)}. What they write about their tasks"
                " from now on is dropped; join them before the task returns, as a worker's process"
                " may end at any time after that"
            )

    def clear(self) -> None:
        """Forget all of it."""
        self.discarded.clear()
        self._told = 0
