from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import pytest_taskprogress
from pytest_taskprogress import checks
from pytest_taskprogress.checks import (
    assert_aborted,
    assert_bounded,
    assert_complete,
    assert_contract,
    assert_different_transitions,
    assert_final,
    assert_max_gap,
    assert_max_writes,
    assert_monotonic,
    assert_never,
    assert_no_progress,
    assert_not_aborted,
    assert_not_final,
    assert_not_states,
    assert_progress,
    assert_reached,
    assert_same_transitions,
    assert_states,
    progress,
    state,
)
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.failed import CheckFailed, ContractViolated
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.transitions import History, Transition

#: Each helper, with arguments by which it holds for HALF.
HELPERS = {
    assert_states: ("STARTED PROGRESS* SUCCESS",),
    assert_not_states: ("SUCCESS",),
    assert_same_transitions: (["STARTED", {"percent": 50}, ("SUCCESS", 10)],),
    assert_different_transitions: (["SUCCESS"],),
    assert_progress: ([50],),
    assert_no_progress: (),
    assert_monotonic: (),
    assert_bounded: (),
    assert_complete: (),
    assert_reached: ("STARTED",),
    assert_never: ("FAILURE",),
    assert_final: (),
    assert_not_final: (),
    assert_aborted: (),
    assert_not_aborted: (),
    assert_max_writes: (5,),
    assert_max_gap: (5,),
    assert_contract: (),
}
HALF: list[Any] = ["STARTED", {"percent": 50}, ("SUCCESS", 10)]


def history(*states: str, **changes: Any) -> History:
    """Writes of one task, one each second."""
    values = {"name": "tasks.work", "uuid": "1", **changes}
    return History(
        Transition(
            i,
            "task",
            old_state=states[i - 1] if i else "PENDING",
            state=each,
            meta={"percent": 10 * i} if each == "PROGRESS" else {},
            at=float(i),
            **values,
        )
        for i, each in enumerate(states)
    )


def a_run(own: History, **changes: Any) -> Any:
    """What is asked of a run."""
    values = {
        "task_id": "1",
        "name": "tasks.work",
        "own": own,
        "history": own,
        "children": (),
        "aborts": (),
        "checks_after_abort": 0,
        "starts": (),
        "before": None,
        "ended": True,
        "notes": {},
        "contract": None,
        **changes,
    }
    return SimpleNamespace(**values)


# -- of all of them -------------------------------------------------------------------------------


def test_all_of_them_are_here() -> None:
    """What is public is tested below."""
    public = {name for name in checks.__all__ if name.startswith("assert_")}
    assert public == {helper.__name__ for helper in HELPERS}


@pytest.mark.parametrize("helper", HELPERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "subject", [[], (), History(), iter([]), a_run(History())], ids=lambda each: type(each).__name__
)
def test_of_nothing(helper: Any, subject: Any) -> None:
    """Nothing holds of a history of nothing, also what says `no` or `never`."""
    with pytest.raises(CheckFailed, match="no task ran; did the code under test use another app"):
        helper(subject, *HELPERS[helper])


@pytest.mark.parametrize("helper", HELPERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("subject", [None, 5, "SUCCESS", {"percent": 5}, [5], [("a", 1, 2)]])
def test_of_what_cannot_be_judged(helper: Any, subject: Any) -> None:
    """It is an error of the test, and no failure of the task."""
    with pytest.raises(TypeError, match="expected a TaskRun, a History, or a list"):
        helper(subject, *HELPERS[helper])


@pytest.mark.parametrize("helper", HELPERS, ids=lambda each: each.__name__)
def test_of_what_was_dropped(helper: Any) -> None:
    """Where the backend dropped all that was written, nothing breaks."""
    try:
        helper(history("SUCCESS", stored=False), *HELPERS[helper])
    except CheckFailed as error:
        assert str(error)  # noqa: PT017 - some hold, some do not


def test_of_a_run_that_stored_nothing_itself() -> None:
    """It says that others did."""
    with pytest.raises(CheckFailed, match=r"tasks.work stored nothing: only others did"):
        assert_final(a_run(History(), history=history("SUCCESS")))


# -- sequences ------------------------------------------------------------------------------------


def test_states() -> None:
    """Returns what was stored; what was dropped does not count."""
    stored = history("STARTED", "PROGRESS", "SUCCESS")
    assert assert_states(stored, "STARTED PROGRESS* SUCCESS") == stored
    assert assert_states(a_run(stored), [..., state("SUCCESS")]) == stored
    late = History([*stored, *history("PROGRESS", stored=False)])
    assert assert_states(late, "STARTED PROGRESS SUCCESS") == stored


def test_states_that_differ() -> None:
    """The first transition that does not fit is marked, with what could have come."""
    with pytest.raises(CheckFailed) as caught:
        assert_states(history("STARTED", "PROGRESS", "RETRY"), "STARTED PROGRESS* SUCCESS")
    headline, expected, *rest = str(caught.value).splitlines()
    assert headline == (
        "the history does not match STARTED PROGRESS* SUCCESS: RETRY instead of PROGRESS or SUCCESS"
    )
    assert expected == "Expected: PROGRESS or SUCCESS at #2"
    assert rest[-1].startswith("> 2")


def test_states_that_end_too_early() -> None:
    """The mark is after the end."""
    with pytest.raises(CheckFailed, match="the end instead of PROGRESS or SUCCESS") as caught:
        assert_states(history("STARTED"), "STARTED PROGRESS* SUCCESS")
    assert str(caught.value).splitlines()[-1] == "> (nothing more)"


def test_not_states() -> None:
    """The opposite."""
    stored = history("STARTED")
    assert assert_not_states(stored, "SUCCESS") == stored
    with pytest.raises(CheckFailed, match="the history matches STARTED"):
        assert_not_states(stored, "STARTED")
    with pytest.raises(PatternError, match="did you mean STARTED"):
        assert_not_states(stored, "STRATED")


def test_same_transitions() -> None:
    """But for ids and times; returns what the first one stored."""
    one, two = history("STARTED", "SUCCESS", uuid="a" * 36), history("STARTED", "SUCCESS", uuid="b")
    assert assert_same_transitions(one, two) is one
    with pytest.raises(CheckFailed, match="the runs stored the same"):
        assert_different_transitions(one, two)


def test_transitions_that_differ() -> None:
    """The first difference, with what differs; and which one goes on."""
    one, two = history("STARTED", "SUCCESS"), history("STARTED", "FAILURE")
    assert assert_different_transitions(one, two) is one
    with pytest.raises(CheckFailed, match="differ at position 1: state 'SUCCESS', not 'FAILURE'"):
        assert_same_transitions(one, two)
    longer = history("STARTED", "SUCCESS", "SUCCESS")
    with pytest.raises(CheckFailed, match="of 2 and 3 transitions: the second one goes on"):
        assert_same_transitions(one, longer)
    with pytest.raises(CheckFailed, match="of 3 and 2 transitions: the first one goes on"):
        assert_same_transitions(longer, one)


def test_same_transitions_of_runs() -> None:
    """Of runs all tasks are compared."""
    own = history("SUCCESS")
    with_child = a_run(own, history=History([*own, *history("FAILURE", uuid="2", name="other")]))
    with pytest.raises(CheckFailed, match="of 1 and 2 transitions"):
        assert_same_transitions(a_run(own), with_child)


# -- progress -------------------------------------------------------------------------------------

REPORTS: list[Any] = [
    "STARTED",
    {"current": 0, "total": 4},
    {"current": 2, "total": 4, "description": "half"},
    {"description": "soon"},
    {"current": 4, "total": 4},
    "SUCCESS",
]


@pytest.mark.parametrize(
    "percents",
    [
        [0, 50, None, 100],
        (0.0, 50.0, None, 100.0),
        [pytest.approx(0.001, abs=0.01), mock.ANY, None, 100],
        iter([0, 50, None, 100]),
        mock.ANY,
    ],
    ids=["list", "tuple", "approx", "iterator", "ANY"],
)
def test_progress(percents: Any) -> None:
    """Each percentage, or all of them, may be anything that compares; returns the reports."""
    found = assert_progress(REPORTS, percents)
    assert [each.percent for each in found] == [0, 50, None, 100]


def test_progress_of_any_kind() -> None:
    """Without percentages: that there was any, or one like this."""
    assert len(assert_progress(REPORTS)) == 4
    (half,) = assert_progress(REPORTS, message="half")
    assert half.meta["current"] == 2
    assert len(assert_progress(REPORTS, total=4, percent=lambda value: value >= 50)) == 2
    assert assert_progress(REPORTS, [0, 50, None, 100], current=4)[0].percent == 100
    assert assert_progress([{"percent": 1}], pytest.approx([1.0000001]))


@pytest.mark.parametrize(
    ("percents", "message"),
    [
        ([0, 50, None, 99], "report 4 is 100.0, not 99"),
        ([0, 50], "report 3 is None, not no other report"),
        ([0, 50, None, 100, 100], "report 5 is no other report, not 100"),
        ([], "report 1 is 0.0, not no other report"),
        (pytest.approx([1.0]), r"percents are \[0.0, 50.0, None, 100.0\]"),
        (50, "percents are"),
        (..., "percents are"),
        ("half", "report 1 is 0.0, not 'h'"),
    ],
    ids=str,
)
def test_other_progress(percents: Any, message: str) -> None:
    """The first report that is not as said."""
    with pytest.raises(CheckFailed, match=message):
        assert_progress(REPORTS, percents)


def test_no_such_progress() -> None:
    """None with these values; none at all."""
    with pytest.raises(CheckFailed, match=r"no report is progress\(7, message='x'\)"):
        assert_progress(REPORTS, current=7, message="x")
    with pytest.raises(CheckFailed, match="the list reported no progress"):
        assert_progress(["STARTED", "SUCCESS"])


def test_no_progress() -> None:
    """The opposite."""
    assert_no_progress(["STARTED", ("SUCCESS", {"percent": 5})])
    assert_no_progress(REPORTS, message="whole")
    with pytest.raises(CheckFailed, match="the list reported progress") as caught:
        assert_no_progress(REPORTS)
    assert "> 1" in str(caught.value)
    with pytest.raises(CheckFailed, match=r"reported progress\(message='half'\)"):
        assert_no_progress(REPORTS, message="half")


@pytest.mark.parametrize("helper", [assert_monotonic, assert_bounded, assert_complete])
def test_returns_what_was_given(helper: Any) -> None:
    """A run stays a run."""
    reports = [{"percent": 5}, {"percent": 100}]
    assert helper(reports) is reports
    run = a_run(history(*["PROGRESS"] * 11))
    assert helper(run) is run


@pytest.mark.parametrize("helper", [assert_monotonic, assert_bounded])
def test_of_no_reports(helper: Any) -> None:
    """It would hold of a task that never reports."""
    with pytest.raises(CheckFailed, match="the list reported no progress"):
        helper(["STARTED", "SUCCESS"])


def test_monotonic() -> None:
    """The report that falls is marked; no marker of pytest is offered."""
    with pytest.raises(
        CheckFailed, match="the list is not monotonic:\n  monotonic: 5 % after 9 %"
    ) as caught:
        assert_monotonic([{"percent": 9}, {"percent": 5}])
    assert "> 1" in str(caught.value)
    assert "mark.taskprogress" not in str(caught.value)


def test_monotonic_of_a_run() -> None:
    """Of its own task, with what is known of its attempts, whatever its contract ignores."""
    reports = history("PROGRESS", "PROGRESS", "PROGRESS")
    falling = History([*reports[1:], reports[0]])
    with pytest.raises(CheckFailed, match="0 % after 20 %"):
        assert_monotonic(a_run(falling))
    again = a_run(reports, starts=(Start(0.0, 0), Start(1.0, 1)))
    assert assert_monotonic(again) is again
    child = a_run(falling, task_id="1")
    parent = a_run(history("PROGRESS", uuid="2"), task_id="2", children=(child,))
    assert assert_monotonic(parent) is parent


def test_bounded() -> None:
    """What is out of bounds, and why."""
    with pytest.raises(CheckFailed, match="is not bounded:\n  bounded: percent=101 is more than"):
        assert_bounded([{"percent": 101}])


@pytest.mark.parametrize(
    ("items", "came"),
    [
        ([{"percent": 99.99}, "SUCCESS"], "99.99 %"),
        ([{"percent": math.nan}], "nan %"),
        (["STARTED"], "no percentage"),
        ([{"percent": 100}, ("SUCCESS", {"percent": 50})], "50 %"),
    ],
    ids=str,
)
def test_incomplete(items: list[Any], came: str) -> None:
    """What was said last."""
    with pytest.raises(CheckFailed, match=f"ends at {came}\nExpected: 100 %"):
        assert_complete(items)


@pytest.mark.parametrize("percent", [100, 100.0, 99.99999999, 100.00001, 166])
def test_complete(percent: float) -> None:
    """100 %, or a sum of floats that comes to it; too much is for `assert_bounded`."""
    assert assert_complete([{"percent": percent}, {"description": "tidying up"}, "FAILURE"])


# -- states ---------------------------------------------------------------------------------------


def test_reached() -> None:
    """Returns the first such transition."""
    assert assert_reached(REPORTS, "PROGRESS").index == 1
    assert assert_reached(REPORTS, "PROGRESS", current=2).message == "half"
    assert assert_reached(REPORTS, progress(percent=100)).index == 4
    assert assert_reached(REPORTS, "FAILURE|SUCCESS").state == "SUCCESS"
    with pytest.raises(CheckFailed, match=r"never came to state\('RETRY'\)") as caught:
        assert_reached(REPORTS, "RETRY")
    assert str(caught.value).splitlines()[-1] == "> (nothing more)"


def test_never() -> None:
    """The opposite; what the backend dropped was never stored."""
    assert_never(REPORTS, "RETRY")
    assert_never(REPORTS, "PROGRESS", current=7)
    assert_never(History([*history("SUCCESS"), *history("FAILURE", stored=False)]), "FAILURE")
    with pytest.raises(CheckFailed, match=r"came to state\('PROGRESS'\)\nExpected: that it never"):
        assert_never(REPORTS, "PROGRESS")
    with pytest.raises(CheckFailed, match="came to"):
        assert_never(REPORTS, "FAILURE|PROGRESS")


@pytest.mark.parametrize("helper", [assert_reached, assert_never, assert_final])
@pytest.mark.parametrize(
    "name",
    ["PROGRES", "PENDING", "STARTED SUCCESS", "PROGRESS*", "(SUCCESS)", "", ".", "A|", 5, []],
)
def test_no_name_of_a_state(helper: Any, name: Any) -> None:
    """What can be no state would never be reached: `assert_never` would always hold."""
    with pytest.raises(PatternError):
        helper(["SUCCESS"], name)


@pytest.mark.parametrize("helper", [assert_reached, assert_never])
def test_a_matcher_and_more(helper: Any) -> None:
    """What would be ignored is refused."""
    with pytest.raises(PatternError, match="says itself what is expected"):
        helper(REPORTS, progress(), percent=50)


def test_final() -> None:
    """Returns the last transition."""
    assert assert_final(HALF).result == 10
    assert assert_final(HALF, "SUCCESS", result=10).index == 2
    assert assert_final(HALF, "SUCCESS|ABORTED").index == 2
    assert assert_final(HALF, result=lambda value: value > 5).index == 2
    assert assert_final([("ABORTED", {"percent": 5})]).percent == 5


@pytest.mark.parametrize(
    ("items", "arguments", "message"),
    [
        (["STARTED"], {}, "has not ended: STARTED is stored\nExpected: ABORTED, FAILURE, REVOKED"),
        (["RETRY"], {}, "has not ended: RETRY"),
        (HALF, {"state": "FAILURE"}, "ended in SUCCESS"),
        (HALF, {"state": "SUCCESS", "result": 11}, "ended in SUCCESS with result=10"),
        (HALF, {"result": 11}, "ended in SUCCESS with result=10"),
    ],
    ids=str,
)
def test_another_end(items: list[Any], arguments: dict[str, Any], message: str) -> None:
    """What is stored last, with what was asked for of it."""
    with pytest.raises(CheckFailed, match=message):
        assert_final(items, **arguments)


def test_not_final() -> None:
    """The opposite."""
    assert assert_not_final(["STARTED", {"percent": 5}]).percent == 5
    assert assert_not_final(["RETRY"]).state == "RETRY"
    with pytest.raises(CheckFailed, match="the list has ended"):
        assert_not_final(["ABORTED"])


def test_aborted() -> None:
    """Returns the last transition; says if nobody asked."""
    assert assert_aborted([{"percent": 5}, "ABORTED"]).index == 1
    with pytest.raises(CheckFailed, match="the list ended in SUCCESS\n"):
        assert_aborted(["ABORTED", "SUCCESS"])
    with pytest.raises(CheckFailed, match=r"tasks.work ended in SUCCESS: nobody asked it to abort"):
        assert_aborted(a_run(history("SUCCESS")))


def test_aborted_late() -> None:
    """No more than some reports after it was asked to."""
    states = ["PROGRESS"] * 4 + ["ABORTED"]
    run = a_run(history(*states), aborts=(AbortRequest("1", 1.5, 2),))
    assert assert_aborted(run, reports=2).state == "ABORTED"
    with pytest.raises(CheckFailed, match="wrote 2 reports after it was asked to abort") as caught:
        assert_aborted(run, reports=1)
    assert "> 3" in str(caught.value)


def test_not_aborted() -> None:
    """The opposite: not at any time."""
    assert assert_not_aborted(["STARTED", "FAILURE"]).state == "FAILURE"
    with pytest.raises(CheckFailed, match="the list was aborted"):
        assert_not_aborted(["ABORTED", "SUCCESS"])


# -- how often, and when --------------------------------------------------------------------------


def test_max_writes() -> None:
    """Returns the reports; what the worker writes does not count."""
    assert len(assert_max_writes(REPORTS, 4)) == 4
    assert assert_max_writes(["STARTED", "SUCCESS"], 0) == []
    with pytest.raises(CheckFailed, match="wrote 4 reports\nExpected: 3 at most") as caught:
        assert_max_writes(REPORTS, 3)
    assert "> 4" in str(caught.value)
    with pytest.raises(CheckFailed):
        assert_max_writes(["SUCCESS"], -1)


def test_max_gap() -> None:
    """Returns the longest; of what has no times there is none."""
    stored = history("STARTED", "PROGRESS", "SUCCESS")
    assert assert_max_gap(stored, 1) == 1.0
    assert assert_max_gap(history("SUCCESS"), 0) == 0.0
    with pytest.raises(CheckFailed, match=r"wrote nothing for 1 s\nExpected: 0.5 s at most"):
        assert_max_gap(stored, 0.5)
    with pytest.raises(TypeError, match="the list has no times"):
        assert_max_gap(REPORTS, 5)


# -- contract -------------------------------------------------------------------------------------


def test_contract() -> None:
    """Returns what was given; rules by name, and figures."""
    good = [{"percent": 50}, {"percent": 100}, "SUCCESS"]
    assert assert_contract(good) is good
    assert assert_contract(HALF, "monotonic", "bounded") is HALF
    with pytest.raises(ContractViolated, match="complete: SUCCESS at 50 %"):
        assert_contract(HALF)
    with pytest.raises(ContractViolated, match="described: no description"):
        assert_contract(good, described=3)


def test_the_error_is_shown_at_the_line_of_the_test() -> None:
    """Frames of this package are hidden from pytest's tracebacks."""
    for helper, arguments in HELPERS.items():
        with pytest.raises((CheckFailed, TypeError)) as caught:
            helper([], *arguments)
        home = Path(pytest_taskprogress.__file__).parent
        frames = [each for each in caught.traceback if home in Path(each.path).parents]
        assert frames
        assert all(each.ishidden(caught) for each in frames), helper
