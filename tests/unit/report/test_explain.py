"""What a failing test shows of its runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_taskprogress.checks.patterns import compile_pattern
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.report.explain import difference, told_of_engines, told_of_runs


def transitions(*states, start=0):
    """Transitions to these states, of one task."""
    old = ["PENDING", *states]
    return History(
        Transition(start + number, "task", "shop.work", "id", old[number], state)
        for number, state in enumerate(states)
    )


@dataclass
class Run:
    """What is asked of a run."""

    headline: str
    history: History = field(default_factory=History)
    notes: dict = field(default_factory=dict)
    mismatches: list = field(default_factory=list)
    went_well: bool = True


@dataclass
class Engine:
    """What is asked of an engine."""

    runs: list = field(default_factory=list)
    history: History = field(default_factory=History)
    sweeps: list = field(default_factory=list)


def test_the_last_run():
    """Its headline, and its timeline."""
    told = told_of_runs([Run("work SUCCESS", transitions("PROGRESS", "SUCCESS"))], History())
    headline, head, *lines = told.split("\n")
    assert headline == "work SUCCESS"
    assert "seconds old -> new" in head
    assert ["PENDING -> PROGRESS" in lines[0], "PROGRESS -> SUCCESS" in lines[1]] == [True, True]


def test_a_note():
    """What happened between transitions is said there."""
    run = Run("work", transitions("PROGRESS", "ABORTED"), notes={1: "asked to abort"})
    lines = told_of_runs([run], run.history).split("\n")
    assert lines[3] == "  -- asked to abort"


def test_no_run():
    """What was written without a run is shown; of nothing it is said what may be wrong."""
    assert told_of_runs([], History()) == "No task ran; did the code under test use another app?"
    assert "PENDING -> SUCCESS" in told_of_runs([], transitions("SUCCESS"))


def test_what_the_error_shows():
    """What an error shows itself is not shown again."""
    history = transitions("SUCCESS")
    run = Run("work SUCCESS", history)
    assert told_of_runs([run], history, CheckFailed("no", transitions=history)) == ""
    assert told_of_runs([run], history, CheckFailed("no")) != ""
    assert told_of_runs([run], history, AssertionError("SUCCESS == FAILURE")) != ""


def test_an_error_that_cannot_be_shown():
    """An error whose text raises is one like any other."""

    class Broken(Exception):
        def __str__(self):
            raise RuntimeError

    assert "PENDING -> SUCCESS" in told_of_runs(
        [Run("work", transitions("SUCCESS"))], History(), Broken()
    )


@pytest.mark.parametrize(
    ("pattern", "marked"),
    [("PROGRESS SUCCESS SUCCESS", "> (nothing more)"), ("STARTED SUCCESS", "> 0 ")],
)
def test_a_pattern_that_did_not_match(pattern, marked):
    """The pattern, and where the run left it."""
    history = transitions("PROGRESS", "SUCCESS")
    match = compile_pattern(pattern).match(history)
    lines = told_of_runs([Run("work", history, mismatches=[match])], history).split("\n")
    assert lines[1] == f"Expected: {pattern}"
    assert lines[2] == f"Instead of {match.expected} came {match.got}"
    assert [line for line in lines if line.startswith(marked)]
    assert len([line for line in lines if line.startswith(">")]) == 1


def test_a_pattern_in_a_canvas():
    """It is marked where it is in the history of all tasks."""
    own = transitions("PROGRESS", "SUCCESS", start=5)
    match = compile_pattern("PROGRESS FAILURE").match(own)
    history = History([*transitions("SUCCESS"), *own])
    lines = told_of_runs([Run("work", history, mismatches=[match])], history).split("\n")
    [marked] = [line for line in lines if line.startswith(">")]
    assert marked.startswith("> 6 ")


def test_several_runs():
    """The last one comes last, with its timeline; how many there were is said."""
    runs = [Run(f"run {number}", transitions("SUCCESS")) for number in range(9)]
    lines = told_of_runs(runs, History()).split("\n")
    assert lines[0] == "before: 3 other runs"
    assert [line for line in lines if line.endswith("run 8")]
    assert not [line for line in lines if line.endswith("run 2")]
    assert "SUCCESS" in lines[-1]


def test_a_run_that_went_wrong_comes_first():
    """Where there is no room for all, that of a run that did not go well is shown."""
    long = transitions(*["PROGRESS"] * 38, "SUCCESS")
    bad = transitions("STARTED", "FAILURE")
    runs = [Run("bad", bad, went_well=False), Run("good", long), Run("last", long)]
    told = told_of_runs(runs, History())
    assert "STARTED -> FAILURE" in told
    assert "before: good" in told
    assert len(told.split("\n")) < 60


def test_many_long_runs():
    """However long and however many they are, it is less than 60 lines."""
    runs = [Run(f"run {n}", transitions(*["PROGRESS"] * 500), went_well=False) for n in range(20)]
    assert len(told_of_runs(runs, History()).split("\n")) < 60


def test_engines():
    """Of each engine what it did; what its last sweep was at comes first."""

    class Sweep:
        last = "last run of a sweep: 2 of 4"

    first = Engine([Run("one", transitions("SUCCESS"))], transitions("SUCCESS"), [Sweep()])
    second = Engine([Run("two", transitions("SUCCESS"))], transitions("SUCCESS"))
    lines = told_of_engines([first, second], None, 80).split("\n")
    assert lines[0] == Sweep.last
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]


def test_an_engine_that_cannot_be_shown():
    """Somebody's values that break it never hide the test's own failure."""

    class Broken(Engine):
        @property
        def runs(self):
            raise RuntimeError("no")

        @runs.setter
        def runs(self, value):
            pass

    told = told_of_engines([Broken(), Engine([Run("two", transitions("SUCCESS"))])], None, 80)
    assert "RuntimeError('no')" in told
    assert "two" in told


# -- comparisons ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "first"),
    [
        (["STARTED", "SUCCESS"], "[0]: expected 'STARTED', got 'PROGRESS'"),
        (["PROGRESS"], "[1]: expected nothing more, got 'SUCCESS'"),
        (["PROGRESS", "SUCCESS", "SUCCESS"], "[2]: expected 'SUCCESS', got nothing more"),
        ([], "[0]: expected nothing more, got 'PROGRESS'"),
        ([["odd"], None], "[0]: expected ['odd'], got 'PROGRESS'"),
    ],
)
def test_difference(expected, first):
    """The first difference is named, and marked."""
    at, lines = difference(transitions("PROGRESS", "SUCCESS").states, expected, 80)
    assert lines[1] == f"First difference at {first}"
    assert first.startswith(f"[{at}]")
    marked = [line for line in lines if line.startswith(">")]
    assert len(marked) == 1
    assert (marked == ["> (nothing more)"]) == first.endswith("got nothing more")


def test_difference_of_nothing():
    """Of a history of nothing that is said."""
    at, lines = difference(History().states, ["SUCCESS"], 80)
    assert at == 0
    assert lines == [
        "[] == ['SUCCESS']",
        "First difference at [0]: expected 'SUCCESS', got nothing more",
        "(nothing was written)",
    ]


def test_difference_of_many():
    """It is as much as pytest shows by default: 8 lines, 640 characters."""
    states = transitions(*["PROGRESS"] * 20_000).states
    _, lines = difference(states, [*states[:9_000], "UPLOADING", *states], 80)
    assert len(lines) <= 8
    assert sum(map(len, lines)) <= 640
    assert sum(line.startswith(">") for line in lines) == 1


def test_the_first_difference_is_marked():
    """In the run that was compared, also if it is not the last one."""
    first, last = transitions("PROGRESS", "SUCCESS"), transitions("SUCCESS")
    at = (first.states.transitions, 1)
    told = told_of_runs([Run("a", first), Run("b", last)], last, None, 80, at).split("\n")
    assert [line[:3] for line in told if line.startswith(">")] == ["> 1"]
    end = (first.states.transitions, 2)
    assert "> (nothing more)" in told_of_runs([Run("a", first)], first, None, 80, end)
