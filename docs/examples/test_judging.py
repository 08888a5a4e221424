"""Patterns, and assertions that say what was expected."""

import json

import pytest
from quickstart import import_abortable, import_checked, import_users
from reminders import mail

from pytest_taskprogress import (
    PatternError,
    assert_aborted,
    assert_complete,
    assert_final,
    assert_monotonic,
    assert_never,
    assert_no_progress,
    assert_progress,
    assert_reached,
    assert_same_transitions,
    assert_states,
    progress,
    state,
)
from pytest_taskprogress.scenario import Abort, at_percent

ROWS = ["ann", "bob", "cyd", "dan"]


def test_a_pattern_of_states(taskprogress):
    """It is all that was stored, from first to last."""
    run = taskprogress.run(import_users, ROWS)

    assert run.matches("PROGRESS{4} SUCCESS")
    assert run.matches("STARTED? PROGRESS* (SUCCESS|FAILURE)")
    assert not run.matches("PROGRESS")


def test_a_list_says_more(taskprogress):
    """`...` is any number of transitions; values are compared, or judged by a function."""
    run = taskprogress.run(import_users, ROWS)

    assert run.matches(
        [
            progress(1, 4, message="Importing users"),
            ...,
            progress(percent=pytest.approx(75, abs=0.5)),
            "PROGRESS*",
            state("SUCCESS", result=lambda result: result["description"].startswith("Imported")),
        ]
    )


def test_where_it_does_not_match(taskprogress):
    """What is not true says why."""
    match = taskprogress.run(import_users, ROWS).matches("PROGRESS{3} SUCCESS")

    assert (match.at, match.expected, match.got) == (3, "SUCCESS", "PROGRESS")


def test_a_slip_in_a_pattern(taskprogress):
    """A state that there is not would never be found."""
    run = taskprogress.run(import_users, ROWS)
    with pytest.raises(PatternError, match="did you mean PROGRESS"):
        run.matches("PROGRES* SUCCESS")


def test_assertions_return_what_they_found(taskprogress):
    """So a test can go on with it."""
    run = taskprogress.run(import_users, ROWS)

    last = assert_final(run, "SUCCESS")
    assert last.message == "Imported 4 users"
    half = assert_reached(run, progress(percent=50))
    assert run.history.after(half).percents == [75.0, 100.0]
    assert assert_progress(run, [25, 50, 75, 100])[0].meta["current"] == 1
    assert_complete(assert_monotonic(run))


def test_what_does_not_happen(taskprogress):
    """The opposites."""
    run = taskprogress.run(import_checked, ["ann", ""])

    assert_no_progress(run)
    assert_never(run, "SUCCESS|ABORTED")
    assert_final(run, "FAILURE", error="ValueError: Row 1 has no name")


def test_an_aborted_task(taskprogress):
    """It stops at once: without one more report."""
    run = taskprogress.under(Abort(at_percent(50))).run(import_abortable, ROWS)

    aborted = assert_aborted(run, reports=0)
    assert aborted.percent == 50


def test_twice_the_same(taskprogress):
    """Ids, times and line numbers may differ."""
    first, second = (taskprogress.run(import_users, ROWS) for _ in range(2))

    assert first.history != second.history
    assert_same_transitions(first, second)


def test_a_log_of_production():
    """What was stored is judged wherever it was kept."""
    lines = ['{"current": 1, "total": 2}', '{"current": 2, "total": 2}']
    metas = [json.loads(line) for line in lines]

    assert_complete(assert_monotonic(metas))
    assert_states([*metas, ("SUCCESS", None)], [progress(1, 2), ..., "SUCCESS"])


def test_a_task_that_never_ran(taskprogress):
    """Nothing is true of nothing: not even that it never failed."""
    with taskprogress.paused():
        mail.apply_async(("hello",), countdown=60)
        with pytest.raises(
            AssertionError, match="no task ran; did the code under test use another"
        ):
            assert_never(taskprogress.history, "FAILURE")
