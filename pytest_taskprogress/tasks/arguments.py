"""What a report may be called with, checked before anything is stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import EXCEPTION_STATES

__all__ = ["extra_keys", "log_level_number"]

_RESERVED: Final = frozenset(
    {"pending", "description", "current", "total", "percent", "elapsed", "name"}
)
#: In bits: there is no text of a longer one, and nobody who would read at it.
_LONGEST_LEVEL: Final = 63
_RESERVED_OF_EXCEPTIONS: Final = _RESERVED | {"exc_type", "exc_message", "exc_module"}


def extra_keys(meta: object, state: object) -> Mapping[str, Any]:
    """The keys that a caller adds to a report.

    Raises:
        TypeError: If the meta is no mapping, or the state no text.
        ValueError: If a key is one that the Observer stores.
    """
    if not isinstance(state, str) or not state:
        message = f"state must be the name of a state, got state={as_repr(state)}"
        raise TypeError(message)
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        message = f"meta must be a mapping, got meta={as_repr(meta)}"
        raise TypeError(message)
    reserved = (_RESERVED_OF_EXCEPTIONS if state in EXCEPTION_STATES else _RESERVED) & meta.keys()
    if reserved:
        names = ", ".join(sorted(reserved))
        message = f"meta must not override what the Observer stores, got the key(s) {names}"
        raise ValueError(message)
    return meta


def log_level_number(level: int | str) -> int:
    """The number of a log level.

    Raises:
        ValueError: If there is no such level.
    """
    named: int | str = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(named, int) or named.bit_length() > _LONGEST_LEVEL:
        message = f"there is no log level {as_repr(level)}; use a number or a name as in logging"
        raise ValueError(message)
    return named
