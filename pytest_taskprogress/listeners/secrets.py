"""Values that are not to be seen: of some tasks, and under some keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pytest_taskprogress.core.messages import as_repr, as_text

__all__ = ["HIDDEN", "Secrets", "masked"]

#: How many characters are looked for.
_MOST: Final = 20_000

#: What is shown instead.
HIDDEN: Final = "***"

#: So many characters in a row of a secret are hidden: messages cut what is long.
_PIECE: Final = 10

#: From this length on a secret is hidden within words and numbers too.
_LONG: Final = 4

#: A text that is longer is not looked for as a quotation within a quotation.
_VERY_LONG: Final = 1_000

#: Values that everybody knows, and that tell nothing.
_COMMON: Final = frozenset({"", "None", "True", "False"})

#: Lines of a traceback that Python made, whatever was raised.
_FRAME: Final = re.compile(
    r'\s*File "[^"]*", line \d+(, in .*)?|Traceback \(most recent call last\):'
)


def masked(value: Any, keys: frozenset[str]) -> Any:
    """A value in whose dicts the values of some keys are hidden.

    Args:
        value: Any; dicts in lists and tuples are found too.
        keys: Keys.
    """
    return _masked(value, keys, frozenset()) if keys else value


def _masked(value: Any, keys: frozenset[str], within: frozenset[int]) -> Any:
    if not isinstance(value, (dict, list, tuple)) or id(value) in within:
        return value
    within |= {id(value)}
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in keys else _masked(each, keys, within)
            for key, each in value.items()
        }
    shown = [_masked(each, keys, within) for each in value]
    return shown if isinstance(value, list) else tuple(shown)


class Secrets:
    """Values that are hidden wherever they are: also in what was given on, and in messages.

    Where there are too many of them, more than 20,000 characters, everything is hidden.

    Args:
        values: The secrets; of containers and objects, all that is in them.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self._pieces: dict[int, set[str]] = {}
        self._left = _MOST
        # By id, and kept: an id is that of a value for as long as it lives.
        self._added: dict[int, Any] = {}
        for each in values:
            self.add(each)

    def __bool__(self) -> bool:
        return bool(self._pieces) or self._left < 0

    def add(self, value: Any) -> None:
        """Hide one more."""
        if id(value) in self._added:
            return
        self._added[id(value)] = value
        for text in _texts(value):
            self._left -= len(text) + 1
            if self._left < 0:
                return
            for form in _forms(text) if text not in _COMMON else ():
                length = min(len(form), _PIECE)
                pieces = self._pieces.setdefault(length, set())
                pieces.update(form[at : at + length] for at in range(len(form) - length + 1))

    def hide(self, text: str) -> str:
        """A text without them."""
        if self._left < 0:
            # Too much to look for, piece by piece, while a task runs.
            return HIDDEN
        if not self._pieces:
            return text
        hidden = bytearray(len(text))
        for length, pieces in list(self._pieces.items()):
            for at in range(len(text) - length + 1):
                end = at + length
                if text[at:end] in pieces and (length >= _LONG or _stands_alone(text, at, end)):
                    hidden[at:end] = b"\1" * length
        return "".join(
            HIDDEN if is_hidden else "".join(character for character, _ in found)
            for is_hidden, found in groupby(zip(text, hidden, strict=True), itemgetter(1))
        )

    def shown(self, value: Any) -> str:
        """The `repr` of a value without them; cut if it is long."""
        return as_repr(_Shown(self.hide(_repr(value))))

    def hide_in_traceback(self, text: str) -> str:
        """The text of a traceback without them; its places in files stay as they are."""
        return "".join(
            line if _FRAME.fullmatch(line.rstrip("\n")) else self.hide(line)
            for line in text.splitlines(keepends=True)
        )


class _Shown:
    """A text that is its own `repr`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _repr(value: Any) -> str:
    try:
        return "".join((repr(value),))
    except Exception:  # noqa: BLE001 - what is wrong with a value must not hide what is said of it
        return as_repr(value)


def _stands_alone(text: str, at: int, end: int) -> bool:
    """Whether a short piece is no part of a longer word or number: 7 is not one of 1970."""
    before, after = text[at - 1 : at], text[end : end + 1]
    return not (_go_together(before, text[at]) or _go_together(text[end - 1], after))


def _go_together(one: str, other: str) -> bool:
    return (one.isalpha() and other.isalpha()) or (one.isdigit() and other.isdigit())


def _texts(value: Any) -> Iterator[str]:
    """A value, and all that it contains, as texts."""
    left, seen = [value], {}
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield as_text(each)
        elif isinstance(each, (bytes, bytearray)):
            yield bytes(each).decode(errors="backslashreplace")
            yield repr(bytes(each))[2:-1]
        elif id(each) not in seen:
            seen[id(each)] = each
            if isinstance(each, Mapping):
                left += [*each.keys(), *each.values()]
            elif isinstance(each, (list, tuple, set, frozenset)):
                left += each
            elif not callable(each) and not isinstance(each, ModuleType):
                left += _attributes(each)
                kind: Any = type(each)
                # One that only tells where it is in memory tells nothing.
                if kind.__repr__ is not object.__repr__:
                    yield _repr(each)
                    yield as_text(each)


def _attributes(value: Any) -> list[Any]:
    try:
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        found = [getattr(value, name, None) for name in slots]
        return [*found, *getattr(value, "__dict__", {}).values()]
    except Exception:  # noqa: BLE001 - a proxy may raise anything
        return []


def _forms(text: str) -> set[str]:
    """A text as it may be found in another one: as it is, or quoted."""
    if text.isascii() and text.isalnum():
        return {text}
    if len(text) < _LONG and not any(map(str.isalnum, text)):
        return set()
    forms = {text}
    # Twice: a message that quotes is quoted itself.
    for _ in range(1 if len(text) > _VERY_LONG else 2):
        forms |= {quoted for form in forms for quoted in _quoted(form)}
    return forms


def _quoted(text: str) -> Iterator[str]:
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    # With both kinds of quotes in what is quoted, one kind is escaped.
    yield repr("\"'" + text)[4:-1]
    yield repr(text.encode(errors="backslashreplace"))[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, safe="", errors="replace")
    yield quote_plus(text, errors="replace")
