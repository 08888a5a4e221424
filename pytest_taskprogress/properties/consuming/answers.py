"""What readers of progress answer: numbers, mappings, objects; and what is to be found in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeAlias

from pytest_taskprogress.core.messages import as_repr

__all__ = ["Answer", "Extract", "Questions", "Unanswered"]

#: What takes something from the answer of a reader.
Extract: TypeAlias = Callable[[Any], Any]

_NUMBERS: Final = (int, float, Decimal, Fraction)
#: Where the percentage is, or what has it.
_PERCENTS: Final = ("percent", "percentage", "progress")
#: What says that it has ended.
_ENDS: Final = ("ended", "complete", "completed", "done", "finished", "ready")


class Unanswered(TypeError):
    """A reader answers something in which there is nothing to be found."""


@dataclass(frozen=True)
class Answer:
    """What a reader answered.

    Attributes:
        given: All of it; `...` if there was none.
        percent: The percentage; None if it knows none.
        ended: Whether it says that there is nothing more to come; None if it does not say.
    """

    given: Any = ...
    percent: Any = None
    ended: bool | None = None


@dataclass(frozen=True)
class Questions:
    """What is asked of the answers of a reader.

    Args:
        percent: Takes the percentage from an answer; None: it is where people put it.
        ended: Takes from it whether it says that the task has ended; None: as above.
    """

    percent: Extract | None = None
    ended: Extract | None = None

    def of(self, given: Any) -> Answer:
        """Find what there is in an answer.

        Raises:
            Unanswered: If there is nothing.
        """
        percent, knows = (self.percent(given), True) if self.percent else _percent(given)
        ended = self.ended(given) if self.ended else _ended(given)
        if not knows and ended is None:
            message = (
                f"expected a number, or a mapping or an object with one of {', '.join(_PERCENTS)}"
                f" or of {', '.join(_ENDS)}, got {as_repr(given)}; say where it is, as by"
                ' percent=lambda answer: answer["bar"]["width"]'
            )
            raise Unanswered(message)
        return Answer(given, percent, None if ended is None else bool(ended))


def _percent(given: Any) -> tuple[Any, bool]:
    """The percentage, and whether there is a place for one."""
    if given is None or (isinstance(given, _NUMBERS) and not isinstance(given, bool)):
        return given, True
    for name in _PERCENTS:
        value, found = _part(given, name)
        if found and name == "progress" and not isinstance(value, _NUMBERS):
            value, found = _part(value, "percent")
        if found:
            return value, True
    return None, False


def _ended(given: Any) -> Any:
    if isinstance(given, bool):
        return given
    for name in _ENDS:
        value, found = _part(given, name)
        if found:
            return value() if callable(value) else value
    return None


def _part(given: Any, name: str) -> tuple[Any, bool]:
    if isinstance(given, Mapping):
        return given.get(name), name in given
    if given is None or isinstance(given, (str, bytes, bool, *_NUMBERS)):
        return None, False
    return getattr(given, name, None), hasattr(given, name)
