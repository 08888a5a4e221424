"""Strategies of moments: which there are, of a run and of none, and what is said of bad ones."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import Contract, scenario
from pytest_taskprogress.scenario import (
    Advance,
    Moment,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
)
from pytest_taskprogress.strategies import moments
from tests.unit.strategies.finding import all_of, smallest

ALL = [
    at_report,
    at_abort_check,
    before_start,
    at_retry,
    at_percent,
    at_position,
    at_write,
    at_state,
]


@pytest.fixture
def run(app, engine):
    """A run with two attempts of three reports each, and a task that came of it."""

    @app.task
    def other():
        pass

    @app.task(bind=True, name="tests.steps")
    def steps(self, metas):
        for meta in metas:
            self.update_state(state="PROGRESS", meta=meta)
        if not self.request.retries:
            self.retry(countdown=60)
        other.delay()

    metas = [{"current": 0, "total": 2}, {"percent": 50.0}, {"percent": 300, "current": "no"}]
    return engine.run(steps, metas)


@given(moments())
def test_a_moment_is_code(moment):
    """Each moment is written as the call that makes it."""
    names = {name: getattr(scenario, name) for name in scenario.__all__}
    assert eval(repr(moment), names) == moment  # noqa: S307 - that it is code is the point


def test_every_kind_is_drawn():
    """Without a run there are some of each kind, as far as they are counted."""
    drawn = all_of(moments(max_n=2))
    names = {repr(each).partition("(")[0] for each in drawn}
    assert names == {kind.__name__ for kind in ALL}
    assert {each for each in drawn if repr(each).startswith("at_report")} == {
        at_report(1),
        at_report(2),
    }


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        (at_report, at_report(1)),
        (at_abort_check, at_abort_check(1)),
        (before_start, before_start(1)),
        (at_retry, at_retry(1)),
        (at_percent, at_percent(50)),
        (at_position, at_position(0)),
        (at_write, at_write(1)),
        (at_state, at_state("PROGRESS")),
    ],
)
def test_each_kind_shrinks_to_its_first(kind, first):
    """The smallest moment of a kind is the one that people name first."""
    assert smallest(moments(kinds=[kind])) == first
    name = f"{kind.__name__}("
    assert smallest(moments(), lambda each: repr(each).startswith(name)) == first


def test_of_a_run_all_have_been(run, engine, app):
    """Every moment of a run comes when it is run again, and those that it has not are not drawn."""
    drawn = all_of(moments(run))
    assert {repr(each) for each in drawn} == {
        *(f"at_report({n})" for n in range(1, 7)),
        *(f"before_start({n})" for n in range(1, 4)),
        "at_retry(1)",
        "at_percent(0.0)",
        "at_percent(50.0)",
        "at_position(0)",
        *(f"at_write({n})" for n in range(1, 10)),
        *(f"at_state({state!r})" for state in ("PROGRESS", "RETRY", "SUCCESS")),
    }
    steps = app.tasks["tests.steps"]
    metas = [{"current": 0, "total": 2}, {"percent": 50.0}, {"percent": 300, "current": "no"}]
    for moment in drawn:
        engine.reset()
        engine.under(Advance(moment, seconds=1.0)).run(steps, metas)  # or: MomentNotReached


def test_of_one_task(run, app, engine):
    """With a task there are only the moments that are about it."""
    drawn = all_of(moments(run, task="tests.steps"))
    assert all(each.task == "tests.steps" for each in drawn)
    assert before_start(2, task="tests.steps") in drawn
    assert before_start(3, task="tests.steps") not in drawn


def test_what_was_dropped_is_no_moment(app, engine):
    """A write that the backend dropped cannot be waited for."""

    @app.task(bind=True)
    def late(self):
        self.backend.mark_as_done(self.request.id, None)
        self.update_state(state="PROGRESS", meta={"percent": 10})

    engine.contract = Contract().having(ignore=["no-zombie"])
    run = engine.run(late)
    assert not run.history[1].stored
    assert not any(repr(each).startswith("at_report") for each in all_of(moments(run)))


def test_of_a_group(app, engine):
    """A group has the moments of all its tasks."""
    from celery import group

    @app.task(bind=True)
    def step(self):
        self.update_state(state="PROGRESS", meta={"percent": 10})

    run = engine.run(group([step.s(), step.s()]))
    assert {at_report(2), before_start(2)} <= set(all_of(moments(run)))
    assert not {at_report(3), before_start(3)} & set(all_of(moments(run)))


def mistakes():
    """Calls that are wrong, each with a part of its message."""
    return {
        "got 3; moments() without one": lambda: moments(3),
        "got max_n=0": lambda: moments(max_n=0),
        "got max_n=True": lambda: moments(max_n=True),
        "got max_n='9'": lambda: moments(max_n="9"),
        "moments(kinds=[]): expected one kind at least": lambda: moments(kinds=[]),
        "takes some of at_report, at_abort_check": lambda: moments(kinds=[len]),
        "takes several, such as [at_report]": lambda: moments(kinds=at_report),
        "got 'at_report'": lambda: moments(kinds="at_report"),
        "takes the name of a task, got 3": lambda: moments(task=3),
        "takes the name of a task, got ''": lambda: moments(task=""),
    }


@pytest.mark.parametrize("message", mistakes())
def test_a_mistake_is_told_when_it_is_made(message):
    """A wrong argument is an error at once, which says what there is."""
    with pytest.raises(InvalidArgument) as caught:
        mistakes()[message]()
    assert message in str(caught.value)


def test_a_run_without_such_moments(run):
    """Moments that a run does not have are an error, and no empty strategy."""
    with pytest.raises(InvalidArgument, match="there are no moments at_abort_check in TaskRun"):
        moments(run, kinds=[at_abort_check])
    with pytest.raises(InvalidArgument, match=r"there are no moments of tests\.none in TaskRun"):
        moments(run, task="tests.none")


@settings(max_examples=20)
@given(st.data())
def test_kinds_may_be_any_iterable(data):
    """Kinds are taken from what gives them once, in any order; partials are none."""
    moment = data.draw(moments(kinds=iter([at_write, at_report])))
    assert isinstance(moment, Moment)
    with pytest.raises(InvalidArgument):
        moments(kinds=[functools.partial(at_report, 1)])
