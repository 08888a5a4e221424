"""Reading what came from a task: of any type and length, with anything in it; never an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from pytest_taskprogress.core.messages import as_line, as_text

__all__ = [
    "block",
    "duration",
    "items",
    "mapping",
    "number",
    "percentage",
    "seconds",
    "text",
    "whole",
]

#: Characters that one field of the page shows at most.
_LONGEST: Final = 300
#: Characters of a failure's text, half of them from its end.
_LONGEST_BLOCK: Final = 12_000
#: From here on digits say less than a power of ten.
_HUGE: Final = 1e9


def text(value: object, longest: int = _LONGEST) -> str:
    """One line of printable text; empty for None.

    What cannot be printed, as a control character or half a surrogate pair is, is written as in a
    string literal. What is too long ends with the count of what was left out.
    """
    if value is None:
        return ""
    whole_text = as_text(value)
    if len(whole_text) <= longest:
        return as_line(whole_text)
    return f"{as_line(whole_text[:longest])}… (+{len(whole_text) - longest:,} characters)"


def block(value: object, longest: int = _LONGEST_BLOCK) -> str:
    """Lines of printable text, whose middle is left out if they are too long; empty for None."""
    if value is None:
        return ""
    lines = as_text(value)
    if len(lines) > longest:
        half = longest // 2
        left_out = f"\n\n… {len(lines) - 2 * half:,} characters left out …\n\n"
        lines = lines[:half] + left_out + lines[-half:]
    return "\n".join(as_line(each.rstrip("\r").expandtabs()) for each in lines.split("\n"))


def number(value: object) -> float | None:
    """A finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def whole(value: object, default: int = 0) -> int:
    """An integer of zero or more."""
    found = number(value)
    return default if found is None or found < 0 else int(found)


def items(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; nothing if there is no list."""
    if not isinstance(value, (list, tuple)):
        return []
    return [each for each in value if isinstance(each, Mapping)]


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping; an empty one if it is none."""
    return value if isinstance(value, Mapping) else {}


def seconds(value: object) -> str:
    """Seconds with three decimals; empty if they are no number."""
    found = number(value)
    if found is None:
        return ""
    return f"{found:.3f}" if abs(found) < _HUGE else f"{found:.3g}"


def duration(value: object) -> str:
    """Seconds with as many decimals as say something; empty if they are no number."""
    return _without_zeros(seconds(value))


def percentage(value: object) -> str:
    """A percentage without its sign; empty if it is no number."""
    found = number(value)
    if found is None:
        return ""
    return _without_zeros(f"{found:.2f}") if abs(found) < _HUGE else f"{found:.3g}"


def _without_zeros(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits and "e" not in digits else digits
