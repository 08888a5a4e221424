from __future__ import annotations

import pytest
from celery import states as celery_states

from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    FAILURE,
    KNOWN_STATES,
    PENDING,
    PROGRESS,
    RECEIVED,
    RETRY,
    REVOKED,
    STARTED,
    SUCCESS,
    TERMINAL_STATES,
    TRANSITIONS,
    Outcome,
    check_transition,
    is_report,
)

ALL_PAIRS = [(old, new) for old in sorted(KNOWN_STATES) for new in sorted(KNOWN_STATES)]


def test_names_are_celerys() -> None:
    """Every state of Celery that can be stored has its name here; only two states are our own."""
    stored = celery_states.ALL_STATES - {celery_states.REJECTED, celery_states.IGNORED}
    assert stored == KNOWN_STATES - {PROGRESS, ABORTED}


def test_terminal_states_are_celerys_and_aborted() -> None:
    """A task has ended where Celery says that it is ready, and when it was aborted."""
    assert celery_states.READY_STATES | {ABORTED} == TERMINAL_STATES


def test_exception_states_are_celerys() -> None:
    """The states that are read back as an exception are those of Celery."""
    assert EXCEPTION_STATES == celery_states.EXCEPTION_STATES


@pytest.mark.parametrize(("old_state", "state"), ALL_PAIRS)
def test_every_pair_has_one_outcome(old_state: str, state: str) -> None:
    """After SUCCESS a write is ignored; a pair of the table is allowed; any other is forbidden."""
    if old_state == SUCCESS:
        expected = Outcome.IGNORED
    elif (old_state, state) in TRANSITIONS:
        expected = Outcome.ALLOWED
    else:
        expected = Outcome.FORBIDDEN
    assert check_transition(old_state, state) is expected


def test_table_is_of_known_states_and_names_each_cause() -> None:
    """Each row is a pair of known states with a cause."""
    for (old_state, state), cause in TRANSITIONS.items():
        assert {old_state, state} <= KNOWN_STATES
        assert cause.strip()


def test_table_lets_no_task_that_has_ended_go_on() -> None:
    """From a terminal state only the same state follows; from SUCCESS nothing does."""
    after_the_end = {pair for pair in TRANSITIONS if pair[0] in TERMINAL_STATES}
    assert after_the_end == {(FAILURE, FAILURE), (REVOKED, REVOKED), (ABORTED, ABORTED)}


def test_nothing_leads_back_to_pending() -> None:
    """A task that has written something is never again one that has not."""
    assert not [pair for pair in TRANSITIONS if pair[1] == PENDING]


@pytest.mark.parametrize("old_state", sorted(KNOWN_STATES - TERMINAL_STATES))
@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_every_unended_state_can_end(old_state: str, state: str) -> None:
    """A task can end from wherever it is."""
    assert check_transition(old_state, state) is Outcome.ALLOWED


@pytest.mark.parametrize(
    ("old_state", "state", "outcome"),
    [
        (STARTED, "UPLOADING", Outcome.ALLOWED),
        ("UPLOADING", "UPLOADING", Outcome.ALLOWED),
        ("UPLOADING", PROGRESS, Outcome.ALLOWED),
        ("UPLOADING", SUCCESS, Outcome.ALLOWED),
        (RETRY, "UPLOADING", Outcome.ALLOWED),
        (FAILURE, "UPLOADING", Outcome.FORBIDDEN),
        (REVOKED, "UPLOADING", Outcome.FORBIDDEN),
        (ABORTED, "UPLOADING", Outcome.FORBIDDEN),
        (SUCCESS, "UPLOADING", Outcome.IGNORED),
        ("UPLOADING", PENDING, Outcome.FORBIDDEN),
        ("UPLOADING", RECEIVED, Outcome.FORBIDDEN),
        ("", "", Outcome.ALLOWED),
    ],
)
def test_unknown_state_is_treated_as_progress(old_state: str, state: str, outcome: Outcome) -> None:
    """A state of the user's own may follow, and be followed by, what PROGRESS may."""
    assert check_transition(old_state, state) is outcome


@pytest.mark.parametrize("state", [*sorted(KNOWN_STATES), "UPLOADING", ""])
def test_reports_are_progress_and_states_of_the_users_own(state: str) -> None:
    """A write is a report unless the worker or a producer makes it."""
    assert is_report(state) is (state == PROGRESS or state not in KNOWN_STATES)
