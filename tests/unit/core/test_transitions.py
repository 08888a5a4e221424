from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pytest_taskprogress.core.transitions import History, Source, Transition


def a_transition(index: int = 0, state: str = "PROGRESS", **changes: Any) -> Transition:
    """Make a transition of the task `add`."""
    parts: dict[str, Any] = {
        "index": index,
        "kind": "task",
        "name": "add",
        "uuid": "id-1",
        "old_state": "STARTED",
        "state": state,
    }
    return Transition(**{**parts, **changes})


@pytest.fixture
def history() -> History:
    """Two tasks; the last write of the first was dropped."""
    return History(
        [
            a_transition(0, "STARTED", old_state="PENDING"),
            a_transition(1, meta={"percent": 50.0, "description": "half"}),
            a_transition(2, "UPLOADING", uuid="id-2", meta={"percent": None}),
            a_transition(3, "SUCCESS", old_state="PROGRESS", result=7),
            a_transition(4, old_state="SUCCESS", stored=False, meta={"percent": 60.0}),
            a_transition(5, "SUCCESS", name=None, uuid="id-3"),
        ]
    )


def test_source_is_written_as_editors_know_it() -> None:
    """File and line, with a colon between."""
    assert str(Source("tasks.py", 12)) == "tasks.py:12"


def test_transition_is_frozen() -> None:
    """What was recorded does not change."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_transition().state = "SUCCESS"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("state", "is_report"),
    [("PROGRESS", True), ("UPLOADING", True), ("STARTED", False), ("SUCCESS", False)],
)
def test_transition_is_a_report_by_its_state(state: str, is_report: bool) -> None:  # noqa: FBT001
    """A report is PROGRESS or a state of the user's own."""
    assert a_transition(state=state).is_report is is_report


@pytest.mark.parametrize(
    ("meta", "percent"),
    [
        ({"percent": 12.5}, 12.5),
        ({"percent": 12}, 12),
        ({"percent": 0}, 0),
        ({"percent": 12.5, "current": 1, "total": 2}, 12.5),
        ({"percent": "12 %"}, None),
        ({"percent": "12 %", "current": 1, "total": 2}, None),
        ({"percent": None, "current": 1, "total": 4}, 25.0),
        ({"current": 1, "total": 3}, 33.33),
        ({"current": 5, "total": 3}, 166.67),
        ({"current": -1, "total": 3}, -33.33),
        ({"current": 1, "total": 0}, None),
        ({"current": 1, "total": None}, None),
        ({"current": "1", "total": 2}, None),
        ({"current": 1, "total": "2"}, None),
        ({"current": 1}, None),
        ({}, None),
    ],
)
def test_percent_is_stored_or_computed(meta: dict[str, Any], percent: float | None) -> None:
    """The stored percentage comes first, then current and total; a raw report is told as it is."""
    assert a_transition(meta=meta).percent == percent


@pytest.mark.parametrize(
    "meta",
    [
        {"current": 10**400, "total": 10**400},
        {"current": 10**400, "total": 1},
        {"percent": 10**400},
    ],
    ids=["both huge", "huge current", "huge percent"],
)
def test_percent_of_numbers_that_no_float_holds(meta: dict[str, Any]) -> None:
    """A raw report of huge numbers, which JSON carries, can be read and printed."""
    transition = a_transition(meta=meta)
    assert transition.percent is None or transition.percent > 0
    assert "STARTED -> PROGRESS" in str(transition)


@pytest.mark.parametrize(
    ("meta", "message"),
    [({"description": "half"}, "half"), ({"description": 5}, None), ({}, None)],
)
def test_message_is_the_description(meta: dict[str, Any], message: str | None) -> None:
    """The description, where there is one that is text."""
    assert a_transition(meta=meta).message == message


@pytest.mark.parametrize("current", [1e308, 10**308], ids=["float", "int"])
def test_percent_of_a_large_position_is_no_overflow(current: float) -> None:
    """At its total a raw report is at 100 %, however large both are."""
    assert a_transition(meta={"current": current, "total": current}).percent == 100.0


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        ({"meta": {"exc_type": "OSError", "exc_message": "disk"}}, "OSError: disk"),
        ({"meta": {"exc_type": "OSError", "exc_message": ["disk"]}}, "OSError: disk"),
        ({"meta": {"exc_type": "OSError", "exc_message": [2, "disk"]}}, "OSError: [2, 'disk']"),
        ({"result": {"exc_type": "OSError", "exc_message": "disk"}}, "OSError: disk"),
        ({"result": OSError("disk")}, "OSError: disk"),
        ({"result": "exc_type"}, None),
        ({"meta": {"percent": 5}}, None),
        ({}, None),
    ],
)
def test_error_is_the_exception_that_was_stored(stored: dict[str, Any], error: str | None) -> None:
    """As type and message, whether it was stored as a dict or pickled; the text shows it."""
    transition = a_transition(state="FAILURE", **stored)
    assert transition.error == error
    assert error is None or str(transition).endswith(error)


def test_as_dict_has_everything() -> None:
    """Every attribute, with the source as text."""
    transition = a_transition(1, meta={"percent": 1}, at=1.5, source=Source("tasks.py", 3))
    assert transition.as_dict() == {
        "index": 1,
        "kind": "task",
        "name": "add",
        "uuid": "id-1",
        "old_state": "STARTED",
        "state": "PROGRESS",
        "meta": {"percent": 1},
        "result": None,
        "at": 1.5,
        "stored": True,
        "source": "tasks.py:3",
    }
    fields = {each.name for each in dataclasses.fields(Transition)}
    assert set(transition.as_dict()) == fields - {"traceback"}
    assert a_transition().as_dict()["source"] is None


@pytest.mark.parametrize(
    ("transition", "text"),
    [
        (a_transition(), "   0     0.000s  add  STARTED -> PROGRESS"),
        (a_transition(name=None), "   0     0.000s  id-1  STARTED -> PROGRESS"),
        (
            a_transition(
                12,
                at=61.25,
                meta={"percent": 50.0, "description": "half"},
                source=Source("tasks.py", 3),
            ),
            "  12    61.250s  add  STARTED -> PROGRESS  50 %  'half'  at tasks.py:3",
        ),
        (
            a_transition(3, "FAILURE", old_state="SUCCESS", stored=False),
            "   3     0.000s  add  SUCCESS -> FAILURE  (dropped by the backend)",
        ),
    ],
    ids=["plain", "by id", "with all", "dropped"],
)
def test_transition_as_text(transition: Transition, text: str) -> None:
    """One line with what there is to tell."""
    assert str(transition) == text


def test_views_are_of_what_was_stored(history: History) -> None:
    """States and reports leave out what the backend dropped."""
    assert history.states == ["STARTED", "PROGRESS", "UPLOADING", "SUCCESS", "SUCCESS"]
    assert [each.index for each in history.progress] == [1, 2]
    assert history.percents == [50.0, None]
    assert history.messages == ["half", None]


def test_dropped_is_the_rest(history: History) -> None:
    """What the backend dropped can be looked at."""
    assert [each.index for each in history.dropped] == [4]


@pytest.mark.parametrize(
    ("task", "indexes"),
    [("add", [0, 1, 2, 3, 4]), ("id-2", [2]), ("id-3", [5]), ("other", [])],
)
def test_of_takes_an_id_or_a_name(history: History, task: str, indexes: list[int]) -> None:
    """By id those of one task, by name those of all tasks of that name."""
    assert [each.index for each in history.of(task)] == indexes


def test_after_is_what_came_later_of_any_task(history: History) -> None:
    """After a transition come those with a higher index, in a filtered history too."""
    assert [each.index for each in history.after(history[2])] == [3, 4, 5]
    assert [each.index for each in history.of("add").after(history[2])] == [3, 4]


def test_is_a_sequence(history: History) -> None:
    """Length, index, slice, iteration, membership and truth are those of a sequence."""
    assert len(history) == 6
    assert history[0].state == "STARTED"
    assert history[-1].uuid == "id-3"
    assert isinstance(history[1:3], History)
    assert [each.index for each in history[1:3]] == [1, 2]
    assert [each.index for each in history] == [0, 1, 2, 3, 4, 5]
    assert [each.index for each in reversed(history)] == [5, 4, 3, 2, 1, 0]
    assert history[1] in history
    assert history.index(history[3]) == 3
    assert history
    assert not History()
    with pytest.raises(IndexError):
        history[6]


def test_equals_a_list_of_states_both_ways(history: History) -> None:
    """A list or tuple of states on either side compares the stored states."""
    states = ["STARTED", "PROGRESS", "UPLOADING", "SUCCESS", "SUCCESS"]
    assert history == states
    assert states == history
    assert history == tuple(states)
    assert history != states[:-1]
    assert states[::-1] != history
    assert History() == []


def test_equals_transitions(history: History) -> None:
    """Another history, or a list of transitions, compares everything."""
    assert history == History(list(history))
    assert history == list(history)
    assert history != history[1:]
    assert history != [*history[:5], a_transition(5, "SUCCESS")]
    assert History([a_transition(at=1.0)]) != History([a_transition(at=2.0)])


@pytest.mark.parametrize("other", [None, 5, "SUCCESS", {"STARTED"}])
def test_equals_nothing_else(history: History, other: object) -> None:
    """What is neither a history nor a list is not equal, and no error."""
    assert history != other


def test_history_of_what_changes_is_not_hashable(history: History) -> None:
    """Something that equals a list has no hash."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(history)


def test_is_a_snapshot() -> None:
    """A history does not change with the list that it was made of."""
    source = [a_transition()]
    history = History(source)
    source.clear()
    assert len(history) == 1


def test_json_is_a_line_each_and_stable(history: History) -> None:
    """Each line is the dict of its transition; the same history gives the same text."""
    lines = history.as_json().splitlines()
    assert [json.loads(line) for line in lines] == [each.as_dict() for each in history]
    assert [list(json.loads(line)) for line in lines] == [list(history[0].as_dict())] * 6
    assert history.as_json() == History(list(history)).as_json()
    assert History().as_json() == ""


def test_json_of_values_that_json_does_not_know() -> None:
    """A pickled exception is told by its repr."""
    line = History([a_transition(0, "FAILURE", result=ValueError("bad"))]).as_json()
    assert json.loads(line)["result"] == "ValueError('bad')"


def test_json_of_what_a_list_holds() -> None:
    """Lists, tuples and huge numbers inside keep their place."""
    meta = {"rows": [1, (2.5, None), {"done": True}, OSError("disk")]}
    line = History([a_transition(meta=meta)]).as_json()
    assert json.loads(line)["meta"]["rows"] == [1, [2.5, None], {"done": True}, "OSError('disk')"]


def test_json_of_keys_that_json_does_not_know() -> None:
    """A pickled meta may have any keys; they do not stop the text form."""
    line = History([a_transition(meta={(1, 2): "cell"})]).as_json()
    assert "cell" in line


def test_history_as_text(history: History) -> None:
    """A line for each transition; an empty one says so; the repr is the list of states."""
    assert str(history).splitlines() == [str(each) for each in history]
    assert str(History()) == "(nothing was written)"
    assert repr(history[:2]) == "History(['STARTED', 'PROGRESS'])"
