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
    """

    at: float
    index: int
