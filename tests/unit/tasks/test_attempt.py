from __future__ import annotations

import dataclasses

import pytest
from celery.app.task import Context

from pytest_taskprogress.tasks.attempt import Attempt, Ending, attempt_of


def test_a_request_has_one_attempt() -> None:
    """Whoever asks first makes it; whoever comes later gets the same."""
    request = Context(id="id-1")
    attempt = attempt_of(request)
    assert attempt_of(request) is attempt
    assert (attempt.entered, attempt.ending) == (False, None)


def test_each_request_has_its_own() -> None:
    """The next attempt of a task, which has a request of its own, begins anew."""
    assert attempt_of(Context(id="id-1")) is not attempt_of(Context(id="id-1"))


def test_attempts_share_nothing() -> None:
    """A new attempt goes on, keeps no ending, and nobody reports in it."""
    one, other = Attempt(), Attempt()
    assert one == other
    assert (one.keeps, one.reporters, one.ending) == (frozenset(), [], None)
    assert one.reporters is not other.reporters


def test_ending_does_not_change() -> None:
    """An outcome is final; one without an exception is a success."""
    ending = Ending("SUCCESS", {})
    assert ending.exception is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        ending.state = "FAILURE"  # type: ignore[misc]
