"""What is known of the start of a task."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Start"]


@dataclass(frozen=True, slots=True)
class Start:
    """A worker began an attempt of a task.

    Attributes:
        at: Seconds of the engine's clock since its last reset.
        index: How many transitions of all tasks were written before.
        ended: How many there were when it had come to its end; None if it never did: a worker died
            with it.
        again: Whether its message had been delivered, or published, before.
    """

    at: float
    index: int
    ended: int | None = None
    again: bool = False

    def covers(self, index: int) -> bool:
        """Tell whether it was under way when a transition was written."""
        return self.index <= index and (self.ended is None or index < self.ended)
