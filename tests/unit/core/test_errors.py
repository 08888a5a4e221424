from __future__ import annotations

import pytest

from pytest_taskprogress.core import errors
from pytest_taskprogress.core.errors import (
    DeadlockError,
    DrainLimitExceeded,
    EngineError,
    EngineNotInstalled,
    ForeignTaskError,
    ListenerError,
    NotATaskError,
    ProgressValueError,
    TaskProgressError,
    TaskProgressWarning,
)


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"TaskProgressWarning"}))
def test_every_error_is_in_one_tree(name: str) -> None:
    """One except clause catches all that this package raises."""
    assert issubclass(getattr(errors, name), TaskProgressError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ProgressValueError, ValueError),
        (NotATaskError, TypeError),
        (ForeignTaskError, ValueError),
        (EngineNotInstalled, RuntimeError),
        (DeadlockError, RuntimeError),
        (DrainLimitExceeded, RuntimeError),
    ],
)
def test_errors_are_the_builtin_that_one_expects(
    error: type[Exception], builtin: type[Exception]
) -> None:
    """An error is also of the builtin type that says what kind of mistake it is."""
    assert issubclass(error, builtin)


def test_engine_errors_are_told_from_values() -> None:
    """A wrong value is no error of an engine."""
    assert not issubclass(ProgressValueError, EngineError)


def test_warning_is_a_user_warning() -> None:
    """Python shows it by default, and it is no error."""
    assert issubclass(TaskProgressWarning, UserWarning)
    assert not issubclass(TaskProgressWarning, TaskProgressError)


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (
            [ValueError("bad")],
            "A listener raised while tasks ran (the tasks went on):\n  ValueError: bad",
        ),
        (
            [ValueError("bad"), KeyError("k")],
            (
                "2 listener errors while tasks ran (the tasks went on):\n"
                "  ValueError: bad\n  KeyError: 'k'"
            ),
        ),
    ],
    ids=["one", "two"],
)
def test_listener_error_tells_all_of_them(raised: list[Exception], text: str) -> None:
    """Each error is a line of the message, and kept as it was."""
    error = ListenerError(raised)
    assert str(error) == text
    assert error.errors == raised


def test_listener_error_can_be_made_of_an_error_without_a_text() -> None:
    """A listener's error that cannot be printed is named by its type."""

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for this")

    assert "Silent" in str(ListenerError([Silent()]))
