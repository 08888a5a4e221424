"""Where a task is: a position that neither falls nor exceeds its total in what is stored."""

from __future__ import annotations

from typing import Any, Final

from pytest_taskprogress.core.progress import Number, Progress, amount, number
from pytest_taskprogress.tasks.warning import warn

__all__ = ["NOT_GIVEN", "Position"]

#: What stands for "the own position" in the Observer's signature, which is MASTF's.
NOT_GIVEN: Final = -1

_TOTAL: Final = 100


class Position:
    """A position, and the last progress that was reported of it.

    Attributes:
        value: The position; anybody may set it to any finite number.

    Args:
        start: Where it begins.

    Raises:
        ProgressValueError: If that is no finite number of 0 or more.
    """

    def __init__(self, start: object) -> None:
        self.value: Number = amount(start, "position")
        self._last: Progress | None = None

    def move(self, by: object, name: str) -> Number:
        """Move by a finite number; returns the new position."""
        self.value = number(self.value + number(by, name), "pos")
        return self.value

    def given(self, current: object, *, increment: bool, step: object) -> Number:
        """The position that a report is called with: its own, or the next one."""
        position = number(current, "current")
        if position != NOT_GIVEN:
            return position
        if not increment:
            return self.value
        return number(self.value + (abs(number(step, "step")) or 1), "pos")

    def report(self, position: Number, total: Any, elapsed: float) -> Progress:
        """The progress at a position; one that is out of its bounds is clamped, with a warning."""
        if total is not None:
            total = amount(total, "total")
        last = self._last
        floor = last.current if last is not None and last.total == total else 0
        progress = Progress.clamp(position, total, elapsed, at_least=floor)
        if progress.current != position:
            was = f" after current={floor!r}" if floor else ""
            warn(
                f"current={position!r} is out of bounds for total={total!r}{was}:"
                f" {progress.current!r} is stored"
            )
        return progress

    def keep(self, progress: Progress) -> None:
        """Take note of what was reported; what could not be stored is not."""
        self._last = progress
        self.value = progress.current

    def stay(self, elapsed: float) -> Progress:
        """The progress at the position where it is."""
        return self.report(self.value, self._last.total if self._last else _TOTAL, elapsed)

    def complete(self, elapsed: float) -> Progress:
        """The progress at the total; where none is known the position is it."""
        last = self._last
        if last is None:
            total = max(self.value, _TOTAL)
        else:
            total = max(self.value, last.current) if last.total is None else last.total
        return self.report(total, total, elapsed)
