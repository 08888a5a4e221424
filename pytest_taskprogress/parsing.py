"""Values as a user wrote them: in an ini file, on the command line, in a marker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = [
    "RANDOM",
    "directory",
    "names",
    "one_of",
    "path",
    "percent",
    "positive",
    "seed",
    "switch",
]

#: How a seed is asked for that is another one each time.
RANDOM: Final = "random"


def one_of(*values: str) -> Callable[[Any], str]:
    """Make what takes one of some values."""

    def parse(value: Any) -> str:
        if value not in values:
            message = f"expected one of {', '.join(values)}"
            raise ValueError(message)
        return str(value)

    return parse


def positive(value: Any) -> int:
    """Take a whole number of 1 or more."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or isinstance(value, (bool, float)):
        message = "expected a whole number of 1 or more"
        raise ValueError(message)
    return number


def seed(value: Any) -> int | str:
    """Take a whole number, or that it is to be random."""
    if isinstance(value, str) and value.strip().lower() == RANDOM:
        return RANDOM
    try:
        if not isinstance(value, (bool, float)):
            return int(value)
    except (TypeError, ValueError):
        pass
    message = f"expected a whole number, or {RANDOM}"
    raise ValueError(message)


def switch(value: Any) -> bool:
    """Take true or false, in one of the ways to write it."""
    values = {"true": True, "1": True, "yes": True, "on": True}
    values |= {"false": False, "0": False, "no": False, "off": False}
    text = str(value).strip().lower()
    if text not in values:
        message = "expected true or false"
        raise ValueError(message)
    return values[text]


def names(value: Any) -> tuple[str, ...]:
    """Take names, or a text of them with commas or spaces between."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple, set, frozenset)) or not all(
        isinstance(each, str) for each in given
    ):
        message = "expected names of rules"
        raise ValueError(message)
    return tuple(name for each in given for name in each.replace(",", " ").split())


def path(value: Any) -> str:
    """Take a path."""
    if not isinstance(value, str) or not value.strip():
        message = "expected a path"
        raise ValueError(message)
    return value


def directory(value: Any) -> str:
    """Take the path of a directory that exists."""
    text = path(value)
    if not Path(text).is_dir():
        message = f"expected a directory with histories, as --taskprogress-record={text} makes it"
        raise ValueError(message)
    return text


def percent(value: Any) -> float:
    """Take a percentage."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 100.0:  # noqa: PLR2004
        message = "expected a percentage, 0 to 100"
        raise ValueError(message)
    return number
