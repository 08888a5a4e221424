"""How far a task has come: one value, with all the arithmetic and all the bounds."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Final, TypeAlias

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.messages import as_repr

__all__ = ["Number", "Progress", "amount", "number"]

Number: TypeAlias = int | float

_HUNDRED: Final = 100.0
_LARGEST: Final = sys.float_info.max


def number(value: object, name: str) -> Number:
    """Take a value as a plain, finite number.

    Args:
        value: Any real number; `Decimal`, `Fraction` and NumPy scalars too. No bool.
        name: What the value is, for the message.

    Returns:
        An int for integral numbers, else a float: what every serialiser can carry.

    Raises:
        ProgressValueError: If it is no number, NaN, infinite, or beyond what a float can hold.
    """
    kind = type(value)
    if (kind is int or kind is float) and -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        return value  # type: ignore[return-value] # what nearly every caller gives
    if kind is not bool and isinstance(value, (Real, Decimal)):
        try:
            plain = int(value) if isinstance(value, Integral) else float(value)
            finite = math.isfinite(plain)
        except Exception:  # noqa: BLE001 - a number of somebody else's may raise anything
            finite = False
        if finite:
            return plain
    message = f"{name} must be a finite number, got {name}={as_repr(value)}"
    raise ProgressValueError(message)


def amount(value: object, name: str) -> Number:
    """Take a value as a plain, finite number of 0 or more.

    Raises:
        ProgressValueError: If it is negative, or no such number; see `number`.
    """
    plain = number(value, name)
    if plain < 0:
        message = f"{name} must be 0 or more, got {name}={as_repr(value)}"
        raise ProgressValueError(message)
    return plain


@dataclass(frozen=True, slots=True)
class Progress:
    """A position between 0 and a total.

    A total of 0 is complete: there was nothing to do. A total of None is indeterminate: the
    position counts, the percentage is None.

    Attributes:
        current: Position, 0 <= current <= total; in the units of the caller.
        total: Position at which the task is complete, or None.
        elapsed: Seconds since the task began to report.

    Raises:
        ProgressValueError: If one is negative, NaN, infinite or no number, or current > total.
    """

    current: Number
    total: Number | None = 100
    elapsed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("current", "total", "elapsed"):
            value = getattr(self, name)
            if value is None and name == "total":
                continue
            plain = amount(value, name)
            if plain is not value:
                object.__setattr__(self, name, plain)
        if self.total is not None and self.current > self.total:
            message = (
                f"current must not exceed total, got current={self.current!r} total={self.total!r};"
                " Progress.clamp() puts it within its bounds"
            )
            raise ProgressValueError(message)

    @classmethod
    def clamp(
        cls,
        current: object,
        total: object = 100,
        elapsed: float = 0.0,
        *,
        at_least: Number = 0,
    ) -> Progress:
        """Build the nearest progress that is within its bounds.

        Args:
            current: Any finite number.
            total: Any finite number of 0 or more, or None.
            elapsed: Seconds.
            at_least: Position below which `current` must not fall.

        Raises:
            ProgressValueError: If `current` or `total` is no finite number, or `total` is negative.
        """
        position = max(number(current, "current"), at_least, 0)
        if total is not None:
            position = min(position, max(number(total, "total"), 0))
        return cls(position, total, elapsed)  # type: ignore[arg-type]

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> Progress | None:
        """The progress that a stored meta tells; None if it tells none that can be.

        Args:
            meta: With `current` and maybe `total`, or with `percent`; and maybe `elapsed`.
        """
        current, total = meta.get("current"), meta.get("total")
        if current is None:
            current, total = meta.get("percent"), _HUNDRED
        try:
            elapsed = amount(meta.get("elapsed", 0.0), "elapsed")
            return cls.clamp(current, total, elapsed)
        except ProgressValueError:
            return None

    @property
    def percent(self) -> float | None:
        """0.0 to 100.0 in steps of 0.01; 100.0 only when complete; None when indeterminate."""
        if self.total is None:
            return None
        if self.current == self.total:
            return _HUNDRED
        return min(round(self.current / self.total * 100, 2), 99.99)

    @property
    def complete(self) -> bool:
        """True at the total; an indeterminate progress never is."""
        return self.current == self.total
