from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_taskprogress.checks.subjects import JudgedTask, judged, tasks_of
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.transitions import History, Transition


def transition(index: int, uuid: str = "1", state: str = "PROGRESS", **changes: Any) -> Transition:
    """A write of a task."""
    values: dict[str, Any] = {"name": f"task-{uuid}", "old_state": "PENDING", **changes}
    return Transition(index=index, kind="task", uuid=uuid, state=state, **values)


# -- what can be judged ---------------------------------------------------------------------------


def test_a_history_is_itself() -> None:
    """Nothing is made anew."""
    history = History([transition(0)])
    known = judged(history)
    assert known.history is history
    assert (known.name, known.run) == ("the history", None)


def test_transitions_are_themselves() -> None:
    """A list of them, or a generator: the same objects."""
    each = transition(0)
    assert judged([each]).history[0] is each
    assert judged(one for one in [each]).history[0] is each


@pytest.mark.parametrize(
    ("items", "states", "metas"),
    [
        ([{"percent": 5}, {}], ["PROGRESS", "PROGRESS"], [{"percent": 5}, {}]),
        (["STARTED", "SUCCESS"], ["STARTED", "SUCCESS"], [{}, {}]),
        ([("BUSY", {"a": 1}), ("SUCCESS", 10)], ["BUSY", "SUCCESS"], [{"a": 1}, {}]),
        ((("PROGRESS", None), {"a": 1}, "SUCCESS"), ["PROGRESS", "PROGRESS", "SUCCESS"], None),
        ({"STARTED": 1}.keys(), ["STARTED"], [{}]),
        ([], [], []),
    ],
    ids=str,
)
def test_what_was_stored_elsewhere(items: Any, states: list[str], metas: Any) -> None:
    """Metas are those of a PROGRESS; pairs and names say their state; each follows the other."""
    history = judged(items).history
    assert history.states == states
    assert metas is None or [each.meta for each in history] == metas
    assert [each.old_state for each in history] == ["PENDING", *states][: len(states)]
    assert [each.index for each in history] == list(range(len(states)))


def test_results_of_pairs() -> None:
    """What goes with a state is its result too, as with a transition."""
    history = judged([("SUCCESS", 10), ("FAILURE", {"exc_type": "E", "exc_message": "m"})]).history
    assert history[0].result == 10
    assert history[1].error == "E: m"


@pytest.mark.parametrize(
    "garbage",
    [None, 5, "SUCCESS", b"x", {"percent": 5}, object, [None], [5], [("a",)], [(1, {})], [[]]],
    ids=lambda each: "an object" if type(each) is object else str(each),
)
def test_what_cannot_be_judged(garbage: Any) -> None:
    """The error says what can, what came, and where."""
    with pytest.raises(TypeError, match="expected a TaskRun, a History, or a list of") as caught:
        judged(garbage)
    assert "got " in str(caught.value)
    if isinstance(garbage, list):
        assert str(caught.value).endswith("at [0]")


# -- the tasks of it ------------------------------------------------------------------------------


def test_each_task_of_a_history() -> None:
    """In the order of the first write, whoever wrote in between."""
    history = [transition(0, "1"), transition(1, "2"), transition(2, "1", name=None)]
    first, second = tasks_of(judged(History(history)))
    assert (first.name, len(first.transitions)) == ("task-1", 2)
    assert (second.name, len(second.transitions)) == ("task-2", 1)
    assert not first.ended


def test_names() -> None:
    """The name that is known, else the id, else what it is."""
    assert tasks_of(judged([transition(0, "7", name=None)]))[0].name == "7"
    assert tasks_of(judged([{"percent": 1}]))[0].name == "the list"


def a_run(own: list[Transition], *children: Any, **changes: Any) -> Any:
    """What is asked of a run."""
    values = {
        "task_id": "1",
        "name": "work",
        "own": History(own),
        "history": History(own),
        "children": children,
        "aborts": (),
        "checks_after_abort": 0,
        "starts": (),
        "before": None,
        "ended": True,
        "notes": {},
        **changes,
    }
    return SimpleNamespace(**values)


def test_each_task_of_a_run() -> None:
    """The one that it stands for, and its children, if they wrote anything."""
    child = a_run([transition(1, "2")], task_id="2", name="child", starts=(Start(0.0, 1),))
    silent = a_run([], task_id="3", name="silent")
    records = tasks_of(judged(a_run([transition(0)], child, silent)))
    assert [each.name for each in records] == ["work", "child"]
    assert records[1].starts == (Start(0.0, 1),)
    assert all(each.ended for each in records)


def test_a_group_is_no_task() -> None:
    """What it has are the writes of its members, which are judged by themselves."""
    member = a_run([transition(0, "2")], task_id="2", name="member")
    group = a_run([transition(0, "2")], member, task_id="group", name=None)
    assert judged(group).name == "the canvas"
    assert [each.name for each in tasks_of(judged(group))] == ["member"]


# -- attempts, bars -------------------------------------------------------------------------------


def record(*states: str, starts: tuple[int, ...] = (), dropped: int = -1) -> JudgedTask:
    """A task that wrote states; its n-th start was before the write of that index."""
    transitions = [
        transition(i, state=state, stored=i != dropped, at=float(i))
        for i, state in enumerate(states)
    ]
    return JudgedTask("work", transitions, starts=[Start(n + 0.5, n) for n in starts])


def attempts(task: JudgedTask) -> list[list[int]]:
    """The indices of each attempt."""
    return [[each.index for each in attempt.transitions] for attempt in task.attempts]


@pytest.mark.parametrize(
    ("states", "starts", "expected"),
    [
        ("PROGRESS SUCCESS", (), [[0, 1]]),
        ("STARTED PROGRESS SUCCESS", (), [[0, 1, 2]]),
        ("PROGRESS RETRY PROGRESS", (), [[0, 1], [2]]),
        ("RETRY RETRY SUCCESS", (), [[0], [1], [2]]),
        ("STARTED RETRY STARTED SUCCESS", (), [[0, 1], [2, 3]]),
        ("STARTED PROGRESS STARTED SUCCESS", (), [[0, 1], [2, 3]]),
        ("PROGRESS PROGRESS PROGRESS", (0, 2), [[0, 1], [2]]),
        ("STARTED PROGRESS STARTED SUCCESS", (0, 2), [[0, 1], [2, 3]]),
        ("PROGRESS RETRY PROGRESS", (0, 2), [[0, 1], [2]]),
        ("PROGRESS PROGRESS", (0, 0), [[0, 1]]),
        ("PROGRESS PROGRESS PROGRESS", (0, 1, 1), [[0], [1, 2]]),
        ("PROGRESS PROGRESS", (0, 9), [[0, 1]]),
        ("STARTED", (5,), [[0]]),
    ],
    ids=str,
)
def test_attempts(states: str, starts: tuple[int, ...], expected: list[list[int]]) -> None:
    """By starts where they are known, else by STARTED; a RETRY is the last of its attempt."""
    assert attempts(record(*states.split(), starts=starts)) == expected


def test_when_attempts_began() -> None:
    """The start, or the write of STARTED; else nobody knows."""
    assert [each.began for each in record("STARTED", "RETRY", "PROGRESS").attempts] == [0.0, None]
    known = record("PROGRESS", "RETRY", "PROGRESS", starts=(0, 2))
    assert [each.began for each in known.attempts] == [0.5, 2.5]


def test_dropped_writes_are_of_no_attempt() -> None:
    """Nobody has seen them."""
    assert attempts(record("PROGRESS", "RETRY", "PROGRESS", dropped=1)) == [[0, 2]]
    assert record("PROGRESS", dropped=0).attempts == []
    assert record("PROGRESS", dropped=0).reports == []


def test_bars() -> None:
    """The reports of one state within an attempt, whatever came in between."""
    task = record("STARTED", "LOADING", "SAVING", "LOADING", "RETRY", "LOADING", "SUCCESS")
    assert [[each.index for each in bar] for bar in task.bars] == [[1, 3], [2], [5]]
