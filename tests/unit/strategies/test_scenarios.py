"""Strategies of events, scenarios and schedules: what they draw, shrink to, and refuse."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.vendor.pretty import pretty

from pytest_taskprogress import (
    AbortableTask,
    Contract,
    EagerEngine,
    MomentNotReached,
    Observer,
    scenario,
)
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    CrashWorker,
    Delay,
    Event,
    FailRead,
    FailWrite,
    Redeliver,
    Revoke,
    Schedule,
    SoftTimeLimit,
    at_percent,
    at_report,
    at_retry,
    before_start,
    if_reached,
)
from pytest_taskprogress.strategies import events, moments, scenarios, schedules
from pytest_taskprogress.strategies import scenarios as scenarios_function
from tests.conftest import IsolatedApp
from tests.unit.strategies.finding import all_of, smallest

NAMES = {name: getattr(scenario, name) for name in scenario.__all__}
KINDS = [
    Abort,
    Advance,
    Delay,
    Redeliver,
    Revoke,
    SoftTimeLimit,
    FailWrite,
    FailRead,
    CrashWorker,
]


@pytest.fixture
def run(app, engine):
    """A run with two reports."""

    @app.task(bind=True, base=AbortableTask)
    def export(self, rows):
        observer = Observer(self)
        for _ in observer.track(range(rows), "Exporting"):
            pass

    return engine.run(export, 2)


# -- what is drawn --------------------------------------------------------------------------------


@given(scenarios(max_events=2))
def test_a_scenario_is_code(drawn):
    """Each scenario is written as the call that makes it, and no event is equal to another kind."""
    assert isinstance(drawn, tuple)
    assert eval(repr(drawn), NAMES) == drawn  # noqa: S307 - that it is code is the point


@given(scenarios(min_events=1))
def test_moments_need_not_come(drawn):
    """Without a run nobody knows which moments it has: none is an error if it does not come."""
    assert all(each.at.may_miss for each in drawn)
    assert 1 <= len(drawn) <= 3


@given(schedules(max_size=5))
def test_a_schedule_is_code(drawn):
    """Each schedule is written as the call that makes it."""
    assert eval(repr(drawn), NAMES) == drawn  # noqa: S307 - that it is code is the point
    assert len(drawn.choices) <= 5


@pytest.mark.parametrize("strategy", [events(), scenarios(min_events=2), moments(), schedules()])
def test_hypothesis_shows_code(strategy):
    """What Hypothesis shows of a failing example is the same as its repr: code, and no fields."""
    value = smallest(strategy)
    assert pretty(value) == repr(value)
    assert "Abort" in pretty([Abort, Schedule])  # classes are values too


def test_every_kind_is_drawn():
    """All events of the family are drawn."""
    drawn = {type(each) for each in all_of(events(moments=[at_report(1)]))}
    family = {each for each in NAMES.values() if isinstance(each, type) and issubclass(each, Event)}
    assert drawn == set(KINDS) == family - {Event}


def test_what_events_take():
    """Errors are common ones, once, some times or for a time; a child dies in a task only."""
    drawn = all_of(events(kinds=[FailWrite, FailRead, CrashWorker], moments=[at_report(1)]))
    assert len(drawn) == 2 * 3 * 5 + 2
    assert FailWrite(at_report(1), TimeoutError, seconds=60.0) in drawn
    assert CrashWorker(at_report(1), child=True) in drawn
    outside = all_of(events(kinds=[CrashWorker], moments=[before_start()]))
    assert outside == [CrashWorker(before_start())]


def test_a_kind_may_be_what_makes_an_event():
    """A partial has its own arguments, and a class of the user's is made of its moment."""

    class Own(Event):
        def fire(self, stage):
            """Do nothing."""

    kinds = [partial(FailWrite, error=KeyError, times=7), Own]
    assert set(all_of(events(kinds=kinds, moments=[at_report(1)]))) == {
        FailWrite(at_report(1), KeyError, times=7),
        Own(at_report(1)),
    }


def test_an_event_is_only_at_moments_that_fit_it():
    """Of moments in a task and outside, what can only be in one has the former."""
    both = [before_start(), at_report(1)]
    assert all_of(events(kinds=[SoftTimeLimit], moments=both)) == [SoftTimeLimit(at_report(1))]
    drawn = all_of(events(kinds=[SoftTimeLimit, Abort], moments=st.sampled_from(both)))
    assert set(drawn) == {SoftTimeLimit(at_report(1)), Abort(at_report(1)), Abort(before_start())}


def test_without_kinds_those_are_drawn_that_fit():
    """Who asks for no kind in particular gets those that there are at the moments."""
    drawn = {type(each) for each in all_of(events(moments=[at_retry()]))}
    assert drawn == set(KINDS) - {SoftTimeLimit}


# -- what it shrinks to ---------------------------------------------------------------------------


def test_a_scenario_shrinks_to_none():
    """What fails without any event shrinks to no event."""
    assert smallest(scenarios()) == ()


@pytest.mark.parametrize(
    "event",
    [
        Abort(if_reached(at_report(1))),
        Advance(if_reached(at_report(1)), 1.0),
        Delay(if_reached(at_report(1)), 1.0),
        Redeliver(if_reached(at_report(1))),
        Revoke(if_reached(at_report(1))),
        SoftTimeLimit(if_reached(at_report(1))),
        FailWrite(if_reached(at_report(1))),
        FailRead(if_reached(at_report(1))),
        CrashWorker(if_reached(at_report(1))),
    ],
)
def test_a_scenario_shrinks_to_one_event(event):
    """What fails by one kind of event shrinks to it, alone, at the first moment."""
    kind = type(event)
    assert smallest(scenarios(), lambda drawn: any(type(e) is kind for e in drawn)) == (event,)


def test_an_event_shrinks_to_the_first_moment_that_fails():
    """What fails at later reports shrinks to the first of them, with the simplest arguments."""

    def fails(event):
        return event.at in {at_report(n) for n in range(4, 11)} and isinstance(event, FailWrite)

    assert smallest(events(), fails) == FailWrite(at_report(4))


def test_a_schedule_shrinks():
    """A schedule shrinks to none, to few small choices, or to a small seed."""
    assert smallest(schedules()) == Schedule()
    assert smallest(schedules(seeds=False), lambda each: sum(each.choices) > 3) == Schedule(1, 3)
    assert smallest(schedules(), lambda each: each.seed is not None) == Schedule(seed=0)


# -- of a run -------------------------------------------------------------------------------------


def test_of_a_run_one_event_takes_place(run, engine, app):
    """An event alone is at a moment that the run has: it is an error if that does not come."""
    for (event,) in all_of(scenarios(run, min_events=1, max_events=1, kinds=[Abort])):
        assert not event.at.may_miss
        engine.reset()
        assert engine.under(event).run(app.tasks[run.name], 2).happened
    engine.reset()
    with pytest.raises(MomentNotReached):
        engine.under(Abort(at_report(2))).run(app.tasks[run.name], 1)


def test_of_a_run_others_may_not_come(run):
    """After the first of several events a run may go another way: no moment need come."""
    drawn = all_of(scenarios(run, min_events=2, max_events=2, kinds=[Abort]), examples=200)
    assert all(each.at.may_miss for events in drawn for each in events)


@pytest.fixture(scope="module")
def played():
    """An engine, and a task that reports; both for many examples."""
    app = IsolatedApp("tests", broker="redis://nowhere", set_as_current=False)

    @app.task(bind=True, base=AbortableTask)
    def export(self, rows):
        observer = Observer(self)
        for _ in observer.track(range(rows), "Exporting"):
            pass

    with EagerEngine(app) as engine:
        yield engine, export


@given(drawn=scenarios())
def test_it_is_played(played, drawn):
    """Any scenario can be played on a task, and the engine says which of its events took place."""
    engine, export = played
    engine.reset()
    engine.contract = Contract().only("bounded")  # what is delivered twice reports after its end
    run = engine.under(*drawn).run(export, 3)
    assert {each.event for each in run.happened} <= set(drawn)


# -- what is refused ------------------------------------------------------------------------------


def mistakes():
    """Calls that are wrong, each with a part of its message."""
    outside = [before_start(), at_retry()]
    return {
        "SoftTimeLimit happens while a task runs, and at none of the moments does one, such as"
        " before_start(1), at_retry(1)": lambda: events(kinds=[SoftTimeLimit], moments=outside),
        "such as if_reached(before_start(1)), if_reached(before_start(2))": lambda: scenarios(
            kinds=[Abort, SoftTimeLimit], moments=moments(kinds=[before_start])
        ),
        "functools.partial(": lambda: events(kinds=[partial(SoftTimeLimit)], moments=outside),
        "kinds=[]: expected one kind at least": lambda: events(kinds=[]),
        "takes several kinds, such as [Abort, FailWrite], got <class": lambda: events(kinds=Abort),
        "did you mean Abort?": lambda: events(kinds=[Abort(at_report(1))]),
        "got <class 'int'>": lambda: scenarios(kinds=[int]),
        "got <class 'pytest_taskprogress.scenario.events.Event'>": lambda: events(kinds=[Event]),
        "moments=[]: expected one moment at least": lambda: events(moments=[]),
        "such as [at_report(1), at_percent(50)], got 3": lambda: events(moments=3),
        "such as [at_report(1), at_percent(50)], got 'at'": lambda: events(moments="at"),
        "takes moments, such as at_report(3), got 1": lambda: events(moments=[at_percent(1), 1]),
        "the strategy has no moments": lambda: scenarios(moments=st.nothing()),
        "Cannot have max_events=1 < min_events=2": lambda: scenarios(min_events=2, max_events=1),
        "Invalid size max_events=-1 < 0": lambda: scenarios(max_events=-1),
        "got min_events=True": lambda: scenarios(min_events=True),
        "got max_events=1.5": lambda: scenarios(max_events=1.5),
        "Cannot have max_size=1 < min_size=2": lambda: schedules(min_size=2, max_size=1),
        "moments() takes a run": lambda: scenarios(3),
    }


@pytest.mark.parametrize("message", mistakes())
def test_a_mistake_is_told_when_it_is_made(message):
    """What cannot happen is an error when it is built, and no empty strategy."""
    with pytest.raises(InvalidArgument) as caught:
        mistakes()[message]()
    assert message in str(caught.value)


def test_a_run_has_moments_of_its_own(run):
    """Moments are those of a run, or given: not both."""
    with pytest.raises(InvalidArgument, match="one of them"):
        scenarios(run, moments=moments())


def test_a_strategy_of_something_else_is_told_when_it_draws():
    """A strategy of the user's is known by what it draws."""
    with pytest.raises(InvalidArgument, match=r"draws moments, such as at_report.*, got 3"):
        smallest(events(moments=st.just(3)))


def test_without_greenlet(monkeypatch):
    """What needs greenlet is not drawn where it is not installed; asked for, it is an error."""
    module = scenarios_function.__globals__
    monkeypatch.setitem(module, "find_spec", lambda name: None)
    drawn = {type(each) for each in all_of(events(moments=[at_report(1)]))}
    assert drawn == set(KINDS) - {CrashWorker}
    for make in (lambda: events(kinds=[CrashWorker]), schedules):
        with pytest.raises(InvalidArgument, match=r"pip install 'pytest-taskprogress\[greenlet\]'"):
            make()
