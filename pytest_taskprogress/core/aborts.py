"""What is known of a request to abort a task."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_taskprogress.core.transitions import Source

__all__ = ["AbortRequest"]


@dataclass(frozen=True, slots=True)
class AbortRequest:
    """A task was asked to abort.

    Attributes:
        uuid: Id of the task.
        at: Seconds of the engine's clock since its last reset.
        index: How many transitions of all tasks were written before.
        source: The line that asked; None if no code of the user's did.
    """

    uuid: str
    at: float
    index: int
    source: Source | None = None
