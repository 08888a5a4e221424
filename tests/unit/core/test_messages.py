from __future__ import annotations

import logging
from types import MappingProxyType
from typing import Any

import pytest

from pytest_taskprogress.core.messages import as_text, format_message


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text for this")

    __repr__ = __str__


class _NotText:
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - that is its point


class _Falsy(dict[str, int]):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


FORMATTED = [
    pytest.param("plain", (), id="no args"),
    pytest.param("100 % done", (), id="a percent sign without args"),
    pytest.param("%s of %d", ("3", 4), id="positional"),
    pytest.param("%(done)d rows", ({"done": 3},), id="a mapping"),
    pytest.param("%(done)d rows", (MappingProxyType({"done": 3}),), id="any mapping"),
    pytest.param("%s", ({},), id="an empty mapping is a value"),
    pytest.param("%s", ((1, 2),), id="a tuple is one value"),
    pytest.param("%s %s", ({"a": 1}, 2), id="a mapping among others is a value"),
    pytest.param(5, (), id="no text"),
    pytest.param(None, (), id="None"),
    pytest.param(b"raw %d", (), id="bytes"),
]


@pytest.mark.parametrize(("msg", "args"), FORMATTED)
def test_formats_as_logging_does(msg: Any, args: tuple[Any, ...]) -> None:
    """The text is the one that a log record has."""
    record = logging.LogRecord("tests", logging.INFO, __file__, 1, msg, args, None)
    assert format_message(msg, args) == (record.getMessage(), None)


@pytest.mark.parametrize(
    ("msg", "args", "reason"),
    [
        ("%d rows", ("many",), "TypeError"),
        ("%s and %s", ("one",), "TypeError"),
        ("no place", ("one",), "TypeError"),
        ("100 %%", ("one",), "TypeError"),
        ("%(name)s", ({"other": 1},), "KeyError"),
        ("%", (1,), "ValueError"),
        ("100 % done: %s", (1,), "TypeError"),
        ("%s", (_Unprintable(),), "RuntimeError: no text for this"),
        ("%r", (_Unprintable(),), "RuntimeError: no text for this"),
        ("%d", (10**5000,), "ValueError"),
        ("%(a)s", (_Falsy(a=1),), "RuntimeError: neither true nor false"),
    ],
)
def test_keeps_the_raw_text_of_what_cannot_be_formatted(
    msg: str, args: tuple[Any, ...], reason: str
) -> None:
    """The raw text comes back with the reason, and nothing is raised."""
    text, wrong = format_message(msg, args)
    assert text == msg
    assert wrong is not None
    assert reason in wrong


def test_reason_without_a_text_is_told_by_its_type() -> None:
    """An error that cannot be printed either is named by its type."""

    class Silent(Exception):
        __str__ = _Unprintable.__str__

    class Raises:
        def __str__(self) -> str:
            raise Silent

    assert format_message("%s", (Raises(),)) == ("%s", "Silent: <unprintable Silent object>")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (5, "5"),
        (b"x", "b'x'"),
        (_Unprintable(), "<unprintable _Unprintable object>"),
        (_NotText(), "<unprintable _NotText object>"),
        (10**5000, "<unprintable int object>"),
    ],
    ids=["text", "int", "bytes", "raises", "returns no text", "int too long"],
)
def test_as_text_never_raises(value: object, text: str) -> None:
    """Whatever has no text is named by its type."""
    assert as_text(value) == text


def test_as_text_is_a_plain_str() -> None:
    """A text of a type of its own might not be encodable: it becomes a plain one."""

    class Loud(str):
        __slots__ = ()

        def __repr__(self) -> str:
            raise RuntimeError("no repr for this")

    class Named:
        def __str__(self) -> str:
            return Loud("named")

    assert type(as_text(Loud("loud"))) is str
    assert type(as_text(Named())) is str


def test_formatted_message_is_a_plain_str() -> None:
    """`"%s" % value` may be a text of a type of its own; what is stored is a plain one."""

    class Loud(str):
        __slots__ = ()

    class Named:
        def __str__(self) -> str:
            return Loud("named")

    text, wrong = format_message("%s", (Named(),))
    assert (text, type(text), wrong) == ("named", str, None)
