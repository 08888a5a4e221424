"""Values that a copy carries as well as a serialiser would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["EXACT_SERIALIZERS", "copied", "is_plain"]

#: Values of these exact types cannot be changed by anybody and come back from JSON and pickle as
#: they went in, so that a copy of the dict that holds them is the round trip.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_NAMES: Final = frozenset({str})
EXACT_SERIALIZERS: Final = frozenset({"json", "pickle"})
#: Python refuses to write an integer of thousands of digits as text; up to here none does.
_LARGEST: Final = 2**63


def is_plain(value: object) -> bool:
    """Whether a value, or each one in a dict, is plain."""
    if type(value) is not dict:
        return _are_plain((value,))
    return _NAMES.issuperset(map(type, value)) and _are_plain(value.values())


def _are_plain(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind not in _PLAIN or (kind is int and not -_LARGEST < value < _LARGEST):
            return False
    return True


def copied(value: Any) -> Any:
    """A copy of a plain value."""
    return value.copy() if type(value) is dict else value
