"""Text from whatever a task passes as a message; never an error."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["as_line", "as_repr", "as_text", "columns", "format_message"]

_LONGEST_REPR = 300
#: The end of a text that is cut.
_CUT: Final = "..."


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


def as_line(value: object, longest: int | None = None) -> str:
    """Text for one line of a terminal: what is not printable, as an escape sequence is, is shown.

    Args:
        value: Anything.
        longest: How many columns of a terminal it may take; None: as many as it needs.
    """
    text = as_text(value)
    if longest is not None:
        # One character may take less than a column, though not in numbers: enough is left to cut.
        text = text[: longest * 2 + 8]
    if not text.isprintable():
        text = "".join(map(_shown, text))
    if longest is None or (len(text) <= longest and text.isascii()):
        return text
    return _cut(text, longest)


def _shown(character: str) -> str:
    """A character as it is, or what stands for it in a string literal."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def _cut(text: str, longest: int) -> str:
    widths = list(map(_columns, text))
    if sum(widths) <= longest:
        return text
    kept, left = [], longest - len(_CUT)
    for character, width in zip(text, widths, strict=True):
        left -= width
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + _CUT[: max(longest, 0)]


def columns(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


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
