"""Sweeps: an event at every moment that a run has, one run for each."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
from celery import chain, chord, group
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.exceptions import SoftTimeLimitExceeded

from pytest_taskprogress import (
    AbortableTask,
    DrainLimitExceeded,
    EngineError,
    MomentNotReached,
    Observer,
    ProgressTask,
    TaskAborted,
    TaskProgressWarning,
)
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    Event,
    Revoke,
    SoftTimeLimit,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    before_start,
)


@pytest.fixture
def flickers(app):
    """A task that reports less often each time it is run."""
    left = itertools.count(4, -1)

    @app.task(name="flickers", bind=True, base=AbortableTask)
    def flickers(self):
        for _ in Observer(self).track(range(max(next(left), 0)), "Exporting"):
            pass

    return flickers


class TestMoments:
    def test_of_a_task(self, engine, jobs):
        """Before the start, each check and each report, in order."""
        sweep = engine.sweep(Abort, jobs.export, rows=2)
        assert sweep.moments == [
            before_start(1),
            at_abort_check(1),
            at_report(1),
            at_abort_check(2),
            at_report(2),
        ]
        assert len(sweep) == 5

    def test_of_retries(self, engine, jobs):
        """Each attempt starts; a retry is a moment."""
        assert engine.sweep(Abort, jobs.flaky).moments == [
            before_start(1),
            at_abort_check(1),
            at_report(1),
            at_abort_check(2),
            at_retry(1),
            before_start(2),
            at_abort_check(3),
            at_report(2),
        ]

    def test_of_celerys_own(self, engine, jobs):
        """Looks at the state are checks."""
        assert engine.sweep(Abort, jobs.celerys, rows=1).moments == [
            before_start(1),
            at_abort_check(1),
            at_report(1),
        ]

    def test_of_a_task_without_reports(self, engine, jobs):
        """There is one: before it starts."""
        assert engine.sweep(Advance, jobs.quiet).moments == [before_start(1)]

    @pytest.mark.parametrize("name", ["chain", "group", "chord"])
    def test_of_canvases(self, engine, jobs, name):
        """Those of all tasks, counted over all of them."""
        one = jobs.export.si(rows=1)
        canvas = {
            "chain": chain(one, one),
            "group": group(one, one),
            "chord": chord([one], one),
        }[name]
        sweep = engine.sweep(Abort, canvas)
        assert sweep.moments == [
            moment for n in (1, 2) for moment in (before_start(n), at_abort_check(n), at_report(n))
        ]
        assert "SUCCESS" not in next(iter(sweep)).history.states

    def test_states_of_the_users_own_are_reports(self, engine, app):
        """Whatever it is called."""

        @app.task(bind=True)
        def export(self):
            self.update_state(state="UPLOADING", meta={})

        assert engine.sweep(Revoke, export).moments == [before_start(1), at_report(1)]

    def test_states_of_the_worker_are_none(self, engine, app):
        """STARTED is no moment of its own, nor what ends the task."""
        app.conf.task_track_started = True

        @app.task(name="tracked")
        def tracked():
            raise ValueError

        assert engine.sweep(Revoke, tracked).moments == [before_start(1)]

    def test_the_recorded_run(self, engine, jobs):
        """`recorded` is the run without an event."""
        sweep = engine.sweep(Abort, jobs.export, rows=2)
        assert sweep.recorded.state == "SUCCESS"
        assert sweep.recorded.result == 2
        assert sweep.recorded.under == ()

    def test_arguments(self, engine, tasks):
        """Are those of `run`, for each run."""
        sweep = engine.sweep(functools.partial(Advance, seconds=1), tasks.add, 3, y=4)
        assert [run.result for run in sweep] == [7]
        sweep = engine.sweep(functools.partial(Advance, seconds=1), tasks.add.s(5), 3)
        assert [run.result for run in sweep] == [8]


class TestRuns:
    def test_an_abort_anywhere(self, engine, jobs):
        """One run for each moment; each under its event, and aborted if anybody looks after it."""
        sweep = engine.sweep(Abort, jobs.export, rows=3)
        runs = list(sweep)
        assert [run.under for run in runs] == [(Abort(each),) for each in sweep.moments]
        assert [len(run.progress) for run in runs] == [0, 0, 1, 1, 2, 2, 3]
        assert [run.state for run in runs] == ["ABORTED"] * 6 + ["SUCCESS"]
        assert all(run.reports_after_abort == 0 for run in runs)

    def test_retries(self, engine, jobs):
        """An abort at a retry, or after it."""
        states = [run.history.states for run in engine.sweep(Abort, jobs.flaky)]
        assert states == [
            ["ABORTED"],
            ["ABORTED"],
            ["PROGRESS", "ABORTED"],
            ["PROGRESS", "ABORTED"],
            ["PROGRESS", "RETRY", "ABORTED"],
            ["PROGRESS", "RETRY", "ABORTED"],
            ["PROGRESS", "RETRY", "ABORTED"],
            ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"],
        ]

    def test_lazily(self, engine, app, heard):
        """A run is made when it is asked for."""

        @app.task(bind=True)
        def export(self):
            heard.append("ran")
            self.update_state(state="PROGRESS", meta={})

        sweep = engine.sweep(functools.partial(Advance, seconds=1), export)
        assert heard == ["ran"]
        runs = iter(sweep)
        assert heard == ["ran"]
        next(runs)
        assert heard == ["ran"] * 2
        next(runs)
        assert next(runs, None) is None
        assert heard == ["ran"] * 3

    def test_each_begins_as_a_new_test(self, engine, jobs):
        """The clock is at 0, history and backend have nothing of another run."""
        ids = []
        for run in engine.sweep(functools.partial(Advance, seconds=60), jobs.export, rows=2):
            assert run.elapsed == 60.0
            assert engine.clock.monotonic() == 60.0
            assert engine.history == run.history
            assert [each.index for each in run.history] == [0, 1, 2]
            assert {each.uuid for each in engine.history} == {run.task_id}
            assert engine.pending == []
            assert [engine.backend.get_state(each) for each in ids] == ["PENDING"] * len(ids)
            ids.append(run.task_id)
            jobs.quiet.apply_async(countdown=10)
        assert len(set(ids)) == 5

    def test_nothing_of_before(self, engine, jobs):
        """What ran before the sweep is forgotten."""
        result = jobs.export.delay()
        engine.clock.advance(100)
        sweep = engine.sweep(Abort, jobs.export)
        assert len(engine.history) == 5
        assert engine.clock.monotonic() == 0.0
        assert result.backend.get_state(result.id) == "PENDING"
        assert sweep.recorded.history == engine.history

    def test_the_date_is_the_same(self, engine, app, heard):
        """Each run is at the same date and time."""

        @app.task(bind=True, name="dated")
        def dated(self):
            heard.append(engine.clock.time())
            self.update_state(state="PROGRESS", meta={})

        list(engine.sweep(functools.partial(Advance, seconds=0), dated))
        assert len(set(heard)) == 1
        assert len(heard) == 3

    def test_what_a_run_left_waiting(self, engine, jobs):
        """What the body of the loop published is not run in the next run."""
        names = []
        with engine.paused():
            for run in engine.sweep(Abort, jobs.export, rows=1):
                jobs.quiet.delay()
                assert [each.name for each in engine.pending] == ["quiet"]
                names.append({each.name for each in run.history})
        assert names == [{"export"}] * 3

    @pytest.mark.filterwarnings("ignore:(?s).*REVOKED")  # Celery 5.6
    def test_what_is_revoked_in_one(self, engine, jobs):
        """A revoke does not reach the next run, also with an id that is the same."""
        signature = jobs.export.si(rows=1).set(task_id="the-id")
        states = [run.state for run in engine.sweep(Revoke, signature)]
        assert states[0] == "REVOKED"
        assert "REVOKED" not in states[1:]

    def test_an_abort_of_one(self, engine, jobs):
        """Nor does an abort."""
        signature = jobs.export.si(rows=1).set(task_id="the-id")
        states = [run.state for run in engine.sweep(Abort, signature)]
        assert states == ["ABORTED", "ABORTED", "SUCCESS"]

    def test_the_engine_may_be_used_in_the_loop(self, engine, jobs):
        """Other runs in the body change nothing."""
        states = []
        for run in engine.sweep(Abort, jobs.export, rows=1):
            assert engine.run(jobs.export).state == "SUCCESS"
            states.append(run.state)
        assert states == ["ABORTED", "ABORTED", "SUCCESS"]

    def test_listeners(self, engine, jobs, heard):
        """Listeners hear of every run."""
        engine.atom_notifier.register("SUCCESS", lambda state, details: heard.append(state))
        list(engine.sweep(Revoke, jobs.quiet))
        assert heard == ["SUCCESS"]

    def test_left_in_the_middle(self, engine, jobs):
        """Nothing is left over of one that is left."""
        for run in engine.sweep(Abort, jobs.export):
            assert run.state == "ABORTED"
            break
        assert engine.pending == []
        assert engine.run(jobs.export).state == "SUCCESS"
        assert engine.run(jobs.export).under == ()

    def test_twice(self, engine, jobs):
        """A sweep may be made again, and is the same."""
        sweep = engine.sweep(Abort, jobs.export, rows=1)
        first = [run.history.states for run in sweep]
        assert [run.history.states for run in sweep] == first
        assert len(first) == 3

    def test_two_at_a_time(self, engine, jobs):
        """Two may be gone through in turns: each run begins anew."""
        left = engine.sweep(Abort, jobs.export, rows=1)
        right = engine.sweep(functools.partial(Advance, seconds=5), jobs.export, rows=1)
        seen = [(a.state, b.state) for a, b in zip(left, right, strict=True)]
        assert seen == [("ABORTED", "SUCCESS"), ("ABORTED", "SUCCESS"), ("SUCCESS", "SUCCESS")]

    def test_in_a_scenario(self, engine, jobs):
        """An event of a `with` around it happens once: in the run that finds the moments."""
        with engine.under(Advance(at_report(1), 7)):
            sweep = engine.sweep(Abort, jobs.export, rows=1)
            assert sweep.recorded.elapsed == 7.0
            assert [run.elapsed for run in sweep] == [0.0, 0.0, 0.0]

    def test_canvases(self, engine, jobs):
        """However a canvas is aborted, nothing of it goes on."""
        canvas = chain(jobs.export.si(rows=1), group(jobs.export.si(rows=1), jobs.flaky.si()))
        runs = list(engine.sweep(Abort, canvas))
        assert len(runs) > 10
        assert all(run.reports_after_abort == 0 for run in runs[:-3])
        assert all(engine.pending == [] for _ in runs)


class TestEvents:
    def test_a_factory(self, engine, jobs):
        """Whatever makes an event of a moment."""
        sweep = engine.sweep(functools.partial(Advance, seconds=60), jobs.export, rows=1)
        assert [run.under for run in sweep] == [
            (Advance(each, seconds=60),)
            for each in (before_start(1), at_abort_check(1), at_report(1))
        ]
        assert [run.elapsed for run in engine.sweep(lambda at: Advance(at, 2), jobs.quiet)] == [2.0]

    def test_soft_time_limit(self, engine, jobs):
        """It leaves out what is not in the task."""
        sweep = engine.sweep(SoftTimeLimit, jobs.flaky)
        assert sweep.moments == [
            at_abort_check(1),
            at_report(1),
            at_abort_check(2),
            at_abort_check(3),
            at_report(2),
        ]
        runs = list(sweep)
        assert {run.state for run in runs} == {"FAILURE"}
        assert {type(run.exception) for run in runs} == {SoftTimeLimitExceeded}

    def test_an_event_of_the_users_own(self, engine, jobs):
        """With or without more arguments, it leaves out what does not fit."""

        @dataclass(frozen=True, repr=False)
        class Poke(Event):
            only_in_task: ClassVar[bool] = True
            seconds: float = 1.0

            def fire(self, stage):
                stage.advance(self.seconds)

        fitting = [at_abort_check(1), at_report(1)]
        assert engine.sweep(Poke, jobs.export, rows=1).moments == fitting
        make = functools.partial(functools.partial(Poke), seconds=3)
        sweep = engine.sweep(make, jobs.export, rows=1)
        assert sweep.moments == fitting
        assert [run.elapsed for run in sweep] == [3.0, 3.0]

    def test_one_that_fits_nowhere(self, engine, jobs):
        """A sweep without a moment would test nothing: that is an error, not a test that passes."""
        with pytest.raises((EngineError, ValueError, MomentNotReached), match="moment"):
            engine.sweep(SoftTimeLimit, jobs.quiet)

    def test_an_event_that_raises(self, engine, jobs):
        """A task that cannot be aborted fails the sweep by the reason."""
        with pytest.raises(EngineError, match="cannot be aborted"):
            list(engine.sweep(Abort, jobs.quiet))


class TestAtMost:
    @pytest.mark.parametrize(
        ("at_most", "expected"),
        [
            (1, [0]),
            (2, [0, 20]),
            (3, [0, 10, 20]),
            (5, [0, 5, 10, 15, 20]),
            (6, [0, 4, 8, 12, 16, 20]),
            (20, None),
            (21, list(range(21))),
            (22, list(range(21))),
            (10**9, list(range(21))),
            (None, list(range(21))),
        ],
    )
    def test_evenly(self, engine, jobs, at_most, expected):
        """So many of the 21, evenly, the first and the last included."""
        everything = engine.sweep(Abort, jobs.export, rows=10).moments
        assert len(everything) == 21
        sweep = engine.sweep(Abort, jobs.export, rows=10, at_most=at_most)
        if expected is None:
            assert len(sweep) == at_most
            assert (sweep.moments[0], sweep.moments[-1]) == (everything[0], everything[-1])
        else:
            assert sweep.moments == [everything[each] for each in expected]
        assert len(set(sweep.moments)) == len(sweep)

    def test_for_every_number(self, engine, jobs):
        """As many as are asked for, without one twice, and no gap more than twice another."""
        everything = engine.sweep(Abort, jobs.export, rows=10).moments
        for at_most in range(2, 21):
            moments = engine.sweep(Abort, jobs.export, rows=10, at_most=at_most).moments
            found = [everything.index(each) for each in moments]
            gaps = [b - a for a, b in itertools.pairwise(found)]
            assert len(found) == at_most
            assert (found[0], found[-1]) == (0, 20)
            assert max(gaps) - min(gaps) <= 1

    @pytest.mark.parametrize(
        "at_most", [0, -1, 1.5, math.nan, math.inf, "3", True, False, [1]], ids=repr
    )
    def test_bad_input(self, engine, jobs, at_most):
        """It is a whole number of 1 or more; nothing runs before that is known."""
        with pytest.raises((ValueError, TypeError)) as caught:
            engine.sweep(Abort, jobs.export, at_most=at_most)
        assert f"at_most={at_most!r}" in str(caught.value)
        assert len(engine.history) == 0
        assert engine.sweeps == []

    def test_of_those_that_fit(self, engine, jobs):
        """What does not fit is left out first."""
        sweep = engine.sweep(SoftTimeLimit, jobs.export, rows=2, at_most=2)
        assert sweep.moments == [at_abort_check(1), at_report(2)]


class TestBadInput:
    @pytest.mark.parametrize(
        "event", [None, "Abort", 3, Abort(at_report(1)), at_report(1)], ids=repr
    )
    def test_what_makes_no_event(self, engine, jobs, event):
        """A sweep takes what makes an event: anything else is refused before a task has run."""
        with pytest.raises(TypeError, match=r"sweep\(\) takes") as caught:
            engine.sweep(event, jobs.export)
        assert repr(event) in str(caught.value)
        assert len(engine.history) == 0

    @pytest.mark.parametrize("task", [None, "export", print], ids=repr)
    def test_what_is_no_task(self, engine, task):
        """As `run` refuses it; and no sweep is counted."""
        with pytest.raises(EngineError):
            engine.sweep(Abort, task)
        assert engine.sweeps == []

    def test_something_waits(self, engine, jobs):
        """Who begins anew would forget it: that is said, with what waits."""
        with engine.paused():
            result = jobs.quiet.delay()
            with pytest.raises(EngineError, match=r"drain\(\) it first") as caught:
                engine.sweep(Abort, jobs.export)
            assert f"quiet[{result.id}]" in str(caught.value)
        assert result.state == "SUCCESS"

    def test_inside_a_task(self, engine, app, jobs):
        """A task does not sweep."""

        @app.task
        def sweeps():
            engine.sweep(Abort, jobs.export)

        run = engine.run(sweeps)
        assert isinstance(run.exception, EngineError)
        assert "inside a task" in str(run.exception)

    def test_a_run_that_raises(self, engine, app):
        """What the recording run raises is raised at once; no sweep is counted."""

        @app.task
        def again():
            again.delay()

        engine.limit = 5
        with pytest.raises(DrainLimitExceeded):
            engine.sweep(Advance, again)
        assert engine.sweeps == []
        assert engine.pending == []


class TestNotDeterministic:
    def test_a_moment_that_does_not_come_again(self, engine, flickers):
        """A task that does not do the same each time is found out: the moment is named."""
        sweep = engine.sweep(Abort, flickers)
        assert len(sweep) == 9
        with pytest.raises(MomentNotReached) as caught:
            list(sweep)
        assert "Abort(at_" in str(caught.value)
        assert "flickers" in str(caught.value)
        assert "of 9" in sweep.last

    def test_one_that_reports_more(self, engine, app):
        """More than there were is no error: each of those that were found is there."""
        rows = itertools.count(1)

        @app.task(bind=True, base=ProgressTask)
        def grows(self):
            for _ in Observer(self).track(range(next(rows)), "Growing"):
                pass

        assert len(list(engine.sweep(functools.partial(Advance, seconds=1), grows))) == 2


class TestText:
    def test_before_any_run(self, engine, jobs):
        """None was made."""
        sweep = engine.sweep(Abort, jobs.export, rows=1)
        assert str(sweep) == "0 of 3 runs of export"
        assert sweep.last == ""
        assert engine.sweeps == [sweep]

    def test_in_the_middle(self, engine, jobs):
        """It says which run it is at."""
        sweep = engine.sweep(Abort, jobs.export, rows=1)
        next(iter(sweep))
        assert str(sweep) == "1 of 3 runs of export"
        assert sweep.last == ("the last run of a sweep of export: 1 of 3, Abort(before_start(1))")

    def test_at_the_end(self, engine, jobs):
        """All of them."""
        sweep = engine.sweep(Abort, jobs.export, rows=1)
        list(sweep)
        assert str(sweep) == "3 runs of export"
        assert sweep.last == ""

    def test_of_a_group(self, engine, jobs):
        """A group has no name."""
        sweep = engine.sweep(Abort, group(jobs.export.si(rows=1), jobs.export.si(rows=1)))
        assert str(sweep) == "0 of 6 runs of a group"

    def test_sweeps_of_an_engine(self, engine, app, jobs):
        """The engine has all of them, until it is installed anew."""
        sweeps = [engine.sweep(Abort, jobs.export) for _ in range(3)]
        assert engine.sweeps == sweeps
        engine.reset()
        assert engine.sweeps == sweeps


class TestWithCelerysOwn:
    def test_finds_where_the_abort_is_lost(self, engine, app):
        """A sweep over a task of Celery's own class finds the moments at which an abort is lost."""

        @app.task(name="loses", bind=True, base=CeleryAbortableTask)
        def loses(self):
            for row in range(2):
                if self.is_aborted():
                    return "aborted"
                self.update_state(state="PROGRESS", meta={"current": row})
            return "not aborted"

        with pytest.warns(TaskProgressWarning, match="is lost"):
            results = [run.result for run in engine.sweep(Abort, loses)]
        assert results == ["aborted", "aborted", "aborted", "aborted", "not aborted"]

    def test_and_ours_does_not(self, engine, app):
        """With ours none is lost as long as somebody looks."""

        @app.task(name="keeps", bind=True, base=AbortableTask)
        def keeps(self):
            for row in range(2):
                self.raise_if_aborted()
                self.update_state(state="PROGRESS", meta={"current": row})
            self.raise_if_aborted()

        runs = list(engine.sweep(Abort, keeps))
        assert [run.state for run in runs] == ["ABORTED"] * 6
        assert all(isinstance(run.exception, TaskAborted) for run in runs)
        assert at_state("STARTED") not in engine.sweep(Abort, keeps).moments
