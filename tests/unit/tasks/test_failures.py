from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
from celery import Celery
from celery.backends.base import Backend
from celery.exceptions import Ignore, Reject, Retry

from pytest_taskprogress.tasks.failures import (
    as_exception,
    exception_info,
    is_failure_type,
    raised_at,
)


class _WantsTwo(Exception):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(one, two)


class _MakesAnother(Exception):
    def __new__(cls, *args: object) -> Any:
        return object()


class _Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for this")


class Shadowed(Exception):
    """Its name in this module is soon that of something else, as under a decorator."""


_Shadowed = Shadowed
Shadowed = object()  # type: ignore[assignment,misc]


@pytest.fixture
def backend() -> Backend:
    """What reads a stored failure back."""
    return Backend(Celery("tests", set_as_current=False))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ValueError, True),
        (KeyboardInterrupt, True),
        (ValueError("bad"), False),
        (int, False),
        ("ValueError", False),
        (None, False),
        (list[int], False),
    ],
)
def test_failure_type_is_an_exception_class(value: object, expected: bool) -> None:  # noqa: FBT001
    """An exception class, not an exception and not another class."""
    assert is_failure_type(value) is expected


@pytest.mark.parametrize(
    "exc_type", [ValueError, RuntimeError, OSError, _Silent, ZeroDivisionError]
)
def test_as_exception_makes_it_of_the_message(exc_type: type[Exception]) -> None:
    """A class that takes a message is used as it is."""
    made = as_exception(exc_type, "bad row")
    assert type(made) is exc_type
    assert made.args == ("bad row",)


@pytest.mark.parametrize(
    "exc_type",
    [
        _WantsTwo,
        UnicodeDecodeError,
        _MakesAnother,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        Ignore,
        Reject,
        Retry,
    ],
)
def test_as_exception_stands_in(exc_type: type[BaseException]) -> None:
    """What cannot be made of a message, or would be taken as a command, is named instead."""
    made = as_exception(exc_type, "bad row")
    assert type(made) is RuntimeError
    assert str(made) == f"{exc_type.__qualname__}: bad row"


@pytest.mark.parametrize(
    "exception",
    [
        pytest.param(ValueError("bad"), id="builtin"),
        pytest.param(ValueError(), id="no message"),
        pytest.param(_Silent("bad"), id="no text"),
        pytest.param(_WantsTwo(1, 2), id="two arguments"),
        pytest.param(type("Local", (Exception,), {})("bad"), id="class that cannot be found"),
        pytest.param(type("Odd", (Exception,), {"__module__": None})("bad"), id="no module"),
        pytest.param(type("Odd", (Exception,), {"__module__": 5})("bad"), id="number as module"),
        pytest.param(type("Odd", (Exception,), {"__module__": []})("bad"), id="list as module"),
        pytest.param(type("Odd.name", (Exception,), {})("bad"), id="odd name"),
        pytest.param(
            type("path", (Exception,), {"__module__": "os"})("bad"), id="name of a module"
        ),
        pytest.param(_Shadowed("bad"), id="name of something else"),
    ],
)
def test_stored_failure_reads_back_as_an_exception(backend: Backend, exception: Exception) -> None:
    """The keys make the round trip of the serialiser, and Celery makes an exception of them."""
    stored = backend.decode(backend.encode(exception_info(exception)))
    assert isinstance(backend.exception_to_python(stored), Exception)


def test_stored_failure_reads_back_as_it_was(backend: Backend) -> None:
    """Type and message are those of the exception."""
    read = backend.exception_to_python(exception_info(ValueError("bad row")))
    assert type(read) is ValueError
    assert str(read) == "bad row"


def test_stored_failure_says_what_its_exception_said(backend: Backend) -> None:
    """A message does not change on its way, where str() of the exception is another."""
    read = backend.exception_to_python(exception_info(KeyError("row")))
    assert read.args == ("row",)


def test_raised_at_gives_the_line_that_reported() -> None:
    """The traceback of an exception that nobody raised has one entry: the frame given."""
    frame = sys._getframe()
    exception = raised_at(ValueError("bad"), frame)
    [entry] = traceback.extract_tb(exception.__traceback__)
    assert entry.name == "test_raised_at_gives_the_line_that_reported"
    assert entry.filename == __file__


def test_raised_at_leaves_a_traceback_as_it_is() -> None:
    """An exception that was raised says itself where."""
    with pytest.raises(ValueError, match="bad") as caught:
        raise ValueError("bad")
    before = caught.value.__traceback__
    assert raised_at(caught.value, sys._getframe()).__traceback__ is before


def test_raised_at_without_a_frame() -> None:
    """Where nobody is known to have reported, there is no traceback."""
    assert raised_at(ValueError("bad"), None).__traceback__ is None


def test_memory_error_is_named_instead() -> None:
    """A worker that is handed a MemoryError ends itself: a task fails by naming it."""
    failure = as_exception(MemoryError, "no room")
    assert (type(failure), str(failure)) == (RuntimeError, "MemoryError: no room")
