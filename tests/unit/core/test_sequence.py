"""Histories that are written down."""

from __future__ import annotations

import copy
import pickle

import pytest

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.sequence import ProgressSequence, Write
from pytest_taskprogress.core.transitions import History

HALF = {"percent": 50.0}


def test_it_is_a_history():
    """It equals a history with the same transitions, and a list of its states."""
    sequence = ProgressSequence("STARTED", ("PROGRESS", HALF), ("SUCCESS", 3))
    assert sequence == ["STARTED", "PROGRESS", "SUCCESS"]
    assert sequence == History(sequence)
    assert History(sequence) == sequence
    assert sequence.percents == [50.0]
    assert sequence[-1].result == 3


def test_it_is_shown_as_code():
    """Its repr is how it was written, as short as it can be."""
    sequence = ProgressSequence(
        "STARTED",
        ("PROGRESS", HALF),
        Write("PROGRESS", {"left": [float("inf"), float("nan")]}, after=2.5),
        Write("FAILURE", KeyError("id"), task="b"),
        ("SUCCESS", None),
    )
    code = (
        "ProgressSequence('STARTED', ('PROGRESS', {'percent': 50.0}), Write('PROGRESS', {'left':"
        " [float('inf'), float('nan')]}, after=2.5), Write('FAILURE', KeyError('id'), task='b'),"
        " 'SUCCESS')"
    )
    assert repr(sequence) == code
    assert repr(eval(code)) == code  # noqa: S307 - that it is code is what is tested


def test_each_task_has_states_of_its_own():
    """The old state is that of the same task; time goes on for all of them."""
    sequence = ProgressSequence(
        "STARTED", Write("STARTED", task="b", after=1.0), Write("SUCCESS", after=0.5)
    )
    steps = [(each.uuid, each.old_state, each.state, each.at) for each in sequence]
    assert steps == [
        ("task-1", "PENDING", "STARTED", 0.0),
        ("b", "PENDING", "STARTED", 1.0),
        ("task-1", "STARTED", "SUCCESS", 1.5),
    ]


def test_what_comes_after_success_is_dropped():
    """As a key-value backend does; after any other end it is stored."""
    sequence = ProgressSequence("SUCCESS", ("PROGRESS", HALF), "FAILURE")
    assert sequence.states == ["SUCCESS"]
    assert [each.old_state for each in sequence] == ["PENDING", "SUCCESS", "SUCCESS"]
    assert ProgressSequence("FAILURE", "PROGRESS").states == ["FAILURE", "PROGRESS"]


@pytest.mark.parametrize("state", ["FAILURE", "RETRY"])
def test_an_exception_is_stored_as_celery_does(state):
    """Its type, its arguments and its module; and a traceback, which is not compared."""
    (each,) = ProgressSequence((state, ValueError("no such user")))
    assert each.error == "ValueError: no such user"
    assert each.meta == each.result
    assert each.meta["exc_module"] == "builtins"
    assert each.traceback.startswith("Traceback (most recent call last):\n")


def test_what_is_stored_by_hand_has_no_traceback():
    """Nobody raised it; a RETRY without an exception was raised by the worker."""
    by_hand = {"exc_type": "ValueError", "exc_message": "no", "exc_module": "builtins"}
    stored = ProgressSequence("FAILURE", ("FAILURE", by_hand), ("RETRY", by_hand), "RETRY")
    assert [each.traceback is None for each in stored] == [True, True, True, False]
    assert [each.error for each in stored] == [None, "ValueError: no", "ValueError: no", None]


def test_a_revoked_task_may_be_given_its_reason():
    """It is stored as Celery's exception."""
    (each,) = ProgressSequence(("REVOKED", "terminated"))
    assert each.error == "TaskRevokedError: terminated"


def test_what_is_changed_later_is_not_changed_in_it():
    """It holds a copy of each meta."""
    meta = {"rows": [1]}
    sequence = ProgressSequence(("PROGRESS", meta))
    meta["rows"].append(2)
    assert sequence[0].meta == {"rows": [1]}


def test_its_beginning_is_one_too():
    """So that what a reader has seen of it can be shown as code; any other part is a history."""
    sequence = ProgressSequence("STARTED", ("PROGRESS", HALF), "SUCCESS")
    assert repr(sequence[:2]) == "ProgressSequence('STARTED', ('PROGRESS', {'percent': 50.0}))"
    assert sequence[:2] == History(sequence)[:2]
    assert type(sequence[1:]) is History
    assert type(sequence[::2]) is History
    assert sequence[1].percent == 50.0


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301 - its own
)
def test_it_can_be_copied(copied):
    """Also to another process."""
    sequence = ProgressSequence("STARTED", Write("PROGRESS", HALF, after=1.0))
    assert copied(sequence) == sequence
    assert repr(copied(sequence)) == repr(sequence)


@pytest.mark.parametrize(
    "wrong", [3, None, ("PROGRESS",), ("PROGRESS", HALF, 3), {"percent": 50.0}, ["PROGRESS", HALF]]
)
def test_what_is_no_write_is_refused(wrong):
    """The message shows what one is."""
    with pytest.raises(TypeError, match=r"expected the name of a state, a pair such as \('PROG"):
        ProgressSequence(wrong)


def test_a_write_has_a_state_a_task_and_seconds():
    """Anything else is refused with its name."""
    with pytest.raises(TypeError, match=r"expected a text as the state.*got state=3"):
        ProgressSequence((3, HALF))
    with pytest.raises(TypeError, match=r"expected a text as the task.*got task=None"):
        Write("SUCCESS", task=None)
    with pytest.raises(ProgressValueError, match="after must be 0 or more"):
        Write("SUCCESS", after=-1)
