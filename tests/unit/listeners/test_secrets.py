"""Values that are hidden, wherever they are found."""

from __future__ import annotations

import json
import reprlib
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from pytest_taskprogress.listeners.secrets import Secrets, masked

PASSPHRASE = 'it\'s "Grün" \\ 100%\nand more'  # noqa: S105 - what is to be hidden
KEY = (
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7\n-----END KEY-----"
)


@dataclass
class Account:
    """Something that a task is called with, by pickle."""

    name: str
    pin: int


class Slotted:
    """Something that keeps its values in slots."""

    __slots__ = ("token", "unset")

    def __init__(self, token):
        self.token = token


class Proxy:
    """Something that stands for what is not there."""

    @property
    def __dict__(self):
        """Nothing can be asked."""
        raise RuntimeError("unbound")


class Unprintable:
    """Something whose `repr` raises."""

    def __repr__(self):
        raise ValueError("no")


@pytest.mark.parametrize(
    "quoted",
    [
        str,
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(repr(text)),
        lambda text: repr({"error": f"cannot parse {text!r}"}),
        lambda text: json.dumps({"error": json.dumps({"key": text})}),
        lambda text: repr(text.encode()),
        lambda text: repr([f"'{text}'"]),
        lambda text: f"https://example.org/?{urlencode({'key': text})}",
        lambda text: f"https://example.org/{quote(text)}",
        lambda text: repr(ValueError(f'wrong: "{text}"')),
    ],
)
@pytest.mark.parametrize("secret", [PASSPHRASE, KEY, "päß'1"])
def test_quoted(secret, quoted):
    """A text is hidden however it is quoted, and quoted again."""
    shown = Secrets([secret]).hide(quoted(secret))
    assert "***" in shown
    assert not [word for word in ("Gr", "more", "100", "BEGIN", "MII", "BKc") if word in shown]
    assert "ß" not in shown
    assert "xdf" not in shown


@pytest.mark.parametrize(
    "cut",
    [
        lambda text: text[:40],
        lambda text: f"{text[:12]}...",
        lambda text: f"...{text[-12:]}",
        reprlib.repr,
        lambda text: f"{text[:100]!r:.50}",
    ],
)
def test_cut(cut):
    """What is left of a long text that was cut is hidden too."""
    secret = "correct-horse-battery-staple-" * 9
    shown = Secrets([secret]).hide(cut(secret))
    assert not [word for word in ("corr", "horse", "batt", "staple") if word in shown]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\xffbinary", repr([b"\xffbinary"])),
        ("text", repr(b"text")),
        (b"bytes", "bytes"),
        (bytearray(b"bytes"), repr(bytearray(b"bytes"))),
        (4711, "pin=4711;"),
        (7, "[7, 7]"),
        (Decimal("12.50"), repr(Decimal("12.50"))),
        (UUID(int=5), str(UUID(int=5))),
        (datetime(2020, 5, 17, tzinfo=timezone.utc), "2020-05-17T00:00:00"),
        ({"inner": [("deep", {"s3cret"})]}, "deep in s3cret"),
        ({"the-key": 1}, "KeyError: 'the-key'"),
        ({("joe", "doe"): 1}, "joe doe"),
        (Account("joe", 4711), "joe has 4711"),
        (Account("joe", 4711), repr(Account("joe", 4711))),
        (SimpleNamespace(account=Account("joe", 4711)), "joe has 4711"),
        (Slotted("t0ken"), "t0ken"),
    ],
)
def test_within_a_value(value, text):
    """All that is in a value is hidden, each by itself: items, keys, attributes."""
    shown = Secrets([value]).hide(text)
    assert "***" in shown
    parts = "inary text bytes 4711 7 12.50 0005 2020-05-17 s3cret deep the-key joe doe t0ken"
    assert not [each for each in parts.split() if each in shown]


def test_a_short_value_is_a_whole_word():
    """A short value is hidden where it is no part of a longer word or number."""
    secrets = Secrets(["ab", 7, "x"])
    assert secrets.hide("ab=7, ab7, pin_7, about 1970 by x-ray") == (
        "***=***, ***, pin_***, about 1970 by ***-ray"
    )


def test_what_tells_nothing():
    """What everybody knows, punctuation, and an object that tells nothing, are not hidden."""
    secrets = Secrets([None, True, False, "", ", ", "=", [], object(), dict, test_cut])
    assert not secrets
    assert secrets.hide("a=None, b=True, <object object at 0x7f>") == (
        "a=None, b=True, <object object at 0x7f>"
    )


def test_values_that_are_odd():
    """Values that contain themselves, or cannot be printed, do no harm."""
    loop = ["loop1234"]
    loop.append(loop)
    space = SimpleNamespace(name="space123")
    space.me = space
    secrets = Secrets([loop, space, Unprintable(), Proxy(), "\ud800lone"])
    assert secrets.hide("loop1234 space123 \ud800lone") == "*** *** ***"
    assert secrets.shown(Unprintable()) == "***"


def test_shown_is_cut_afterwards():
    """The `repr` of a long value is cut, and nothing of a secret is left where it was cut."""
    secrets = Secrets(["p" * 20 + "q" * 20])
    shown = secrets.shown("x" * 280 + "p" * 20 + "q" * 20 + "y" * 100)
    assert len(shown) < 310
    assert "p" not in shown
    assert "***" in shown


def test_traceback():
    """In a traceback the places stay as they are; source lines and messages do not."""

    def fails(line):
        try:
            raise KeyError(line)  # noqa: TRY301 - a traceback of two exceptions
        except KeyError as error:
            raise ValueError("File") from error

    try:
        fails("s3cret")
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    shown = Secrets(["s3cret", "line", "test", "call", "File", __file__]).hide_in_traceback(text)
    assert "s3cret" not in shown
    assert "KeyError: '***'" in shown
    assert "ValueError: ***" in shown
    assert "raise KeyError(***)" in shown
    assert f'File "{__file__}", line ' in shown
    assert shown.startswith("Traceback (most recent call last):\n")


def test_what_looks_like_a_place_and_is_none():
    """What only looks like a place in a file is a message."""
    secrets = Secrets(["s3cret"])
    assert "s3cret" not in secrets.hide_in_traceback('  File "s3cret" was not found')
    assert "s3cret" not in secrets.hide_in_traceback('File "x", line 1: s3cret')


def test_added_later():
    """A secret may be added, twice too."""
    secrets = Secrets()
    assert not secrets
    value = ["s3cret"]
    secrets.add(value)
    secrets.add(value)
    assert secrets
    assert secrets.hide("s3cret") == "***"


def test_masked():
    """Values under keys are hidden in dicts, wherever they are; the value itself is unchanged."""
    value = {"password": 1, "rows": [{"password": {"a": 1}}, ({"password": ""},)]}
    assert masked(value, frozenset({"password"})) == {
        "password": "***",
        "rows": [{"password": "***"}, ({"password": "***"},)],
    }
    assert value["password"] == 1
    assert masked(value, frozenset()) is value


def test_masked_loop():
    """A value that contains itself can be masked."""
    loop = {"pin": 1}
    loop["me"] = loop
    assert masked(loop, frozenset({"pin"}))["pin"] == "***"
