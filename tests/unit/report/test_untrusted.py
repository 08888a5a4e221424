from __future__ import annotations

import math

import pytest

from pytest_taskprogress.report.untrusted import (
    block,
    duration,
    items,
    mapping,
    number,
    percentage,
    seconds,
    text,
    whole,
)


class Rude:
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("plain", "plain"),
        (7, "7"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("half \udc80", "half \\udc80"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("é 漢 🎉", "é 漢 🎉"),
        (Rude(), "<unprintable Rude object>"),
    ],
    ids=["none", "str", "int", "escape", "surrogate", "lines", "bidi", "unicode", "rude"],
)
def test_text_is_one_printable_line(value, expected):
    """Whatever it is, text of it can be stored as UTF-8 and takes one line."""
    assert text(value) == expected


def test_long_text_says_how_long():
    """What is left out of a long text is counted."""
    assert text("x" * 1_000_000, 5) == "xxxxx… (+999,995 characters)"


def test_block_keeps_lines():
    """The lines of a failure stay lines, of printable text."""
    assert block("a\tb\r\n\x1b[0m\udc80\n") == "a       b\n\\x1b[0m\\udc80\n"
    assert block(None) == ""


def test_long_block_keeps_its_ends():
    """The middle of a long failure is left out, and counted."""
    cut = block("begin" + "x" * 1_000_000 + "end", 100)
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert "999,908 characters left out" in cut
    assert len(cut) < 200


@pytest.mark.parametrize("value", [None, "7", True, math.nan, math.inf, 10**400, [], {}])
def test_no_number(value):
    """What is no finite number is None, and shown as nothing."""
    assert number(value) is None
    assert whole(value, 3) == 3
    assert seconds(value) == duration(value) == percentage(value) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (25.0, "25"), (100 / 3, "33.33"), (-5, "-5"), (100, "100"), (1e300, "1e+300")],
)
def test_percentage(value, shown):
    """A percentage has at most two decimals, and no zeros at their end."""
    assert percentage(value) == shown


def test_seconds_are_columns_and_durations_are_words():
    """Seconds have three decimals, a duration as many as it needs."""
    assert (seconds(1.5), duration(1.5), duration(0.0)) == ("1.500", "1.5", "0")
    assert (seconds(1e300), duration(1e300), duration(1200)) == ("1e+300", "1e+300", "1200")


def test_whole_is_not_negative():
    """A count that makes no sense is the default."""
    assert (whole(2.9), whole(-1), whole("x", 4)) == (2, 0, 4)


def test_items_and_mapping():
    """Of a list the mappings are taken, of anything else nothing."""
    assert items([{"a": 1}, None, "b"]) == [{"a": 1}]
    assert items("abc") == items(None) == items({"a": 1}) == []
    assert mapping([1]) == {}
