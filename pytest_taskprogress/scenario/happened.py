"""An event that has been."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_taskprogress.scenario.events import Event

__all__ = ["Happened"]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that took place.

    Attributes:
        event: Which one.
        at: Seconds of the engine's clock since its last reset.
        index: How many transitions of all tasks were written before.
    """

    event: Event
    at: float
    index: int
