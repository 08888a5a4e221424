"""What rules say of a task that was executed more than once: delivered again, or beside itself."""

from __future__ import annotations

import pytest

from pytest_taskprogress.checks import Contract
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import PENDING
from pytest_taskprogress.core.transitions import History, Source, Transition

LINE = Source("tasks.py", 1)


class Run:
    """What is asked of a run."""

    name = "work"
    task_id = "1"
    children = ()
    aborts = ()
    checks_after_abort = 0
    before = None

    def __init__(self, *states, starts, lost=False, ended=True):
        old, made = PENDING, []
        for index, state in enumerate(states):
            # As a key-value backend: the first SUCCESS stays.
            stored = old != "SUCCESS"
            state, _, percent = state.partition(" ")  # noqa: PLW2901 - taken apart
            meta = {"percent": float(percent)} if percent else {}
            source = LINE if state == "PROGRESS" else None
            made.append(
                Transition(
                    *(index, "task", "work", "1", old, state, meta, None, float(index), stored),
                    source,
                )
            )
            old = state if stored else old
        self.own = self.history = History(made)
        self.notes = {}
        self.starts = starts
        self.lost = lost
        self.ended = ended


def found(run, *rules):
    """The rules that a run breaks."""
    contract = Contract().only(*rules) if rules else Contract()
    return [each.rule for each in contract.violations(run)]


BAR = ["PROGRESS 50", "PROGRESS 100", "SUCCESS"]


# -- overlaps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "overlap"),
    [
        ([], False),
        ([Start(0, 0, 9)], False),
        ([Start(0, 0, None)], False),
        ([Start(0, 0, 3), Start(0, 3, 6)], False),
        ([Start(0, 0, 4), Start(0, 3, 6)], True),
        ([Start(0, 0, 0), Start(0, 0, 3)], False),
        ([Start(0, 0, 3), Start(0, 0, 0)], True),
        # A worker died with the first one: it was not under way any more.
        ([Start(0, 0, None), Start(0, 3, 6)], False),
        ([Start(0, 0, 9), Start(0, 3, None), Start(0, 4, 8)], True),
        ([Start(0, 0, 3), Start(0, 4, 8), Start(0, 5, 6)], True),
        ([Start(0, 0, 3), Start(0, 4, None)], False),
    ],
    ids=str,
)
def test_overlaps(starts, overlap):
    """Executions that were under way beside each other."""
    assert JudgedTask("work", [], starts=starts).overlaps is overlap


def test_rules_of_reports_are_silent_where_executions_overlap():
    """Two bars in one are nobody's fault; what else is wrong is told."""
    states = ["PROGRESS 50", "PROGRESS 100", "PROGRESS 50", "PROGRESS 100", "RETRY"]
    mixed = Run(*states, starts=[Start(0, 0, 5), Start(0, 1, 4, again=True)])
    assert found(mixed) == ["terminal"]
    alone = Run(*states, starts=[Start(0, 0, 5)])
    assert set(found(alone)) == {"monotonic", "terminal"}


# -- what comes after the end ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [BAR, ["STARTED", *BAR], ["PROGRESS 50", "FAILURE"], ["RETRY"], ["PROGRESS 50"], ["FAILURE"]],
    ids=str,
)
@pytest.mark.parametrize("end", ["SUCCESS", "FAILURE", "ABORTED"])
def test_a_second_delivery(second, end):
    """Whatever it stores over the first one's end, or tries to, is not told."""
    first = [*BAR[:2], end]
    states = [*first, *second]
    starts = [Start(0, 0, 3), Start(0, 3, len(states), again=True)]
    assert found(Run(*states, starts=starts), "no-zombie") == []


def test_beside_itself():
    """One that ends while the other one still reports."""
    states = ["PROGRESS 50", "PROGRESS 50", "FAILURE", "PROGRESS 100", "SUCCESS"]
    for starts in (
        [Start(0, 0, 3), Start(0, 1, 5, again=True)],
        [Start(0, 0, 5), Start(0, 1, 3, again=True)],
    ):
        assert found(Run(*states, starts=starts), "no-zombie") == []


def test_a_thread_after_the_end():
    """A write when no execution was under way is one too many, however often it was delivered."""
    states = [*BAR, *BAR, "PROGRESS 50"]
    starts = [Start(0, 0, 3), Start(0, 3, 6, again=True)]
    assert found(Run(*states, starts=starts), "no-zombie") == ["no-zombie"]


def test_one_execution_that_reports_after_its_end():
    """It is told, as always."""
    run = Run(*BAR, "PROGRESS 100", starts=[Start(0, 0, 4)])
    assert found(run, "no-zombie") == ["no-zombie"]


def test_an_attempt_after_a_success():
    """A retry that was asked for, of what is stored as done: nobody sees it, and that is told."""
    run = Run(*BAR, "PROGRESS 50", starts=[Start(0, 0, 3), Start(5, 3, 4)])
    assert found(run, "no-zombie") == ["no-zombie"]


def test_an_attempt_after_a_failure():
    """FAILURE that was stored because RETRY could not be: the next attempt takes its place."""
    run = Run("FAILURE", *BAR, starts=[Start(0, 0, 1), Start(5, 1, 4)])
    assert found(run, "no-zombie") == []


def test_zombie_of_the_second_execution_after_a_crash():
    """The one that a worker died with writes no more: what comes is of the one that came back."""
    states = ["PROGRESS 50", *BAR, "PROGRESS 100"]
    starts = [Start(0, 0, None), Start(0, 1, 5, again=True)]
    assert found(Run(*states, starts=starts), "no-zombie") == ["no-zombie"]


def test_what_comes_back_after_a_crash():
    """It may find the end that the dead one has stored."""
    starts = [Start(0, 0, None), Start(0, 3, 6, again=True)]
    assert found(Run(*BAR, *BAR, starts=starts), "no-zombie") == []


@pytest.mark.parametrize("end", ["REVOKED", "FAILURE"])
def test_an_end_before_it_began(end):
    """Revoked, or part of a canvas that failed: whoever stored that, it was not this task."""
    assert found(Run(end, *BAR, starts=[Start(0, 1, 4)]), "no-zombie") == []


def test_what_celery_stores_of_a_canvas():
    """A ChordError of a body that has run, or is not to run: nobody executes it then."""
    assert found(Run(*BAR, "FAILURE", starts=[Start(0, 0, 3)]), "no-zombie") == []


# -- what never ended -----------------------------------------------------------------------------


def test_what_is_lost():
    """A task that a worker died with has no end: that is no fault of it."""
    starts = [Start(0, 0, None)]
    assert found(Run("PROGRESS 50", starts=starts, lost=True)) == []
    assert found(Run("PROGRESS 50", starts=starts)) == ["terminal"]
    falls = Run("PROGRESS 50", "PROGRESS 25", starts=starts, lost=True)
    assert found(falls) == ["monotonic"]


def test_nothing_of_what_is_lost():
    """A contract that is asked to check it finds nothing to judge, and does not complain."""
    Contract().check(Run(starts=[Start(0, 0, None)], lost=True))
