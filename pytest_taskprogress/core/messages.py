"""Text from whatever a task passes as a message; never an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_repr", "as_text", "format_message"]

_LONGEST_REPR = 300


def as_text(value: object) -> str:
    """`str(value)`, a plain one, also of a value whose `__str__` raises."""
    try:
        # Joined, because __str__ may return a subclass of str.
        return "".join((str(value),))
    except Exception:  # noqa: BLE001 - a message must never end the task that it tells of
        return f"<unprintable {type(value).__name__} object>"


def as_repr(value: object) -> str:
    """`repr(value)` for a message: cut if it is long, also of a value whose `__repr__` raises."""
    try:
        text = "".join((repr(value),))
    except Exception:  # noqa: BLE001 - what is wrong with a value must not hide what is said of it
        return f"<unprintable {type(value).__name__} object>"
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}..."


def format_message(msg: object, args: tuple[Any, ...]) -> tuple[str, str | None]:
    """Format a message as `logging` does: `msg % args`, only if there are args.

    Args:
        msg: The message; a single mapping in `args` is its `%(name)s` arguments.
        args: Its arguments.

    Returns:
        The text, and what was wrong: None, or why it is the raw text with its arguments behind it.
    """
    text = as_text(msg)
    if not args:
        return text, None
    try:
        single = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
        return "".join((text % (args[0] if single else args),)), None
    except Exception as error:  # noqa: BLE001 - any __str__ or __format__ may be behind it
        return text, f"{type(error).__name__}: {as_text(error)}"
