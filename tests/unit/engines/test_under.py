"""Scenarios: events happen to what runs, each once, at its moment, at that very moment."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass

import pytest
from celery import chain, chord, group
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError

from pytest_taskprogress import (
    AbortableTask,
    EngineError,
    MomentNotReached,
    NeedsRealWorker,
    Observer,
    ProgressTask,
    TaskAborted,
    TaskProgressWarning,
    abort,
)
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    Event,
    Revoke,
    SoftTimeLimit,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
    when,
)

#: Celery 5.6 stores REVOKED also for what runs, and for what has ended; the engine says so.
WARNS_IN_5_6 = pytest.mark.filterwarnings("ignore:(?s).*REVOKED")

#: Each moment of a run of `export`, and what was stored when the run had been aborted there.
MOMENTS = {
    "before_start()": (before_start(), 0),
    "at_report(1)": (at_report(1), 1),
    "at_report(3)": (at_report(3), 3),
    "at_report(4)": (at_report(4), 4),
    "at_percent(50)": (at_percent(50), 2),
    "at_percent(51)": (at_percent(51), 3),
    "at_percent(100)": (at_percent(100), 4),
    "at_position(2)": (at_position(2), 2),
    "at_position(2.5)": (at_position(2.5), 3),
    "at_state(PROGRESS)": (at_state("PROGRESS"), 1),
    "at_write(2)": (at_write(2), 2),
    "at_abort_check(1)": (at_abort_check(1), 0),
    "at_abort_check(3)": (at_abort_check(3), 2),
    "when(...)": (when(lambda each: each.message and each.percent > 60), 3),
}


@dataclass(frozen=True, repr=False)
class Look(Event):
    """Calls somebody, to see how things are at that moment."""

    call: object = None

    def fire(self, stage):
        """Look."""
        self.call()


@dataclass(frozen=True, repr=False)
class Breaks(Event):
    """An event with a mistake."""

    def fire(self, stage):
        """Raise."""
        raise LookupError("no such thing")


@pytest.fixture
def started(app):
    """The app stores STARTED too."""
    app.conf.task_track_started = True


class TestAbort:
    @pytest.mark.parametrize("name", MOMENTS)
    def test_at_each_moment(self, engine, jobs, name):
        """The task is aborted at that moment: so many reports were stored, then ABORTED."""
        moment, reports = MOMENTS[name]
        run = engine.under(Abort(moment)).run(jobs.export)
        # A task that is asked at its last report comes to its end: nobody looks after it.
        ended = "SUCCESS" if reports == 4 else "ABORTED"
        assert run.states == ["PROGRESS"] * reports + [ended]
        assert run.state == ended
        assert run.under == (Abort(moment),)
        assert run.reports_after_abort == 0
        assert [each.uuid for each in run.aborts] == [run.task_id]
        assert run.abort_requested_at == 0.0

    @pytest.mark.parametrize("name", MOMENTS)
    def test_at_each_moment_of_one_that_is_tracked(self, started, engine, jobs, name):
        """STARTED is a write, and erases no abort."""
        moment, reports = MOMENTS[name]
        run = engine.under(Abort(moment)).run(jobs.export)
        reports -= moment == at_write(2)
        assert run.states == [
            "STARTED",
            *["PROGRESS"] * reports,
            "SUCCESS" if reports == 4 else "ABORTED",
        ]

    @pytest.mark.parametrize(
        "moment", [at_retry(), at_state("RETRY"), when(lambda each: each.state == "RETRY")]
    )
    def test_at_a_retry(self, engine, jobs, moment):
        """A task that waits for its next attempt has none."""
        run = engine.under(Abort(moment)).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "ABORTED"]
        assert run.abort_requested_at == 0.0

    def test_before_the_second_start(self, engine, jobs):
        """Each attempt starts; the second one after the delay."""
        run = engine.under(Abort(before_start(2))).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "ABORTED"]
        assert run.abort_requested_at == 30.0

    def test_reports_are_counted_over_attempts(self, engine, jobs):
        """The second report is that of the second attempt."""
        run = engine.under(Abort(at_report(2))).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]
        assert run.abort_requested_at == 30.0

    def test_at_the_end(self, engine, jobs):
        """What has ended stays what it was: nothing was asked."""
        run = engine.under(Abort(at_state("SUCCESS"))).run(jobs.export)
        assert run.state == "SUCCESS"
        assert run.aborts == ()
        assert run.abort_requested_at is None
        assert run.reports_after_abort == 0

    def test_of_celerys_own(self, engine, jobs):
        """Celery's AbortableTask is asked by its state; the task sees it at its next check."""
        run = engine.under(Abort(at_abort_check(3))).run(jobs.celerys)
        assert run.states == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert [each.uuid for each in run.aborts] == [run.task_id]
        assert run.reports_after_abort == 0

    def test_of_celerys_own_is_lost(self, engine, app):
        """A report after it erases it; that is told."""

        @app.task(bind=True, base=CeleryAbortableTask)
        def export(self):
            for _ in range(3):
                self.update_state(state="PROGRESS", meta={})
                if self.is_aborted():
                    return "aborted"
                self.update_state(state="PROGRESS", meta={})
            return "not aborted"

        with pytest.warns(TaskProgressWarning, match="is lost: PROGRESS was stored over ABORTED"):
            run = engine.under(Abort(at_report(2))).run(export)
        assert run.states[1:4] == ["PROGRESS", "ABORTED", "PROGRESS"]
        assert run.result == "not aborted"
        assert run.reports_after_abort == 4
        assert run.abort_requested_at == 0.0

    def test_checks_of_celerys_own_are_those_of_the_task(self, engine, jobs):
        """A report reads the state, and is no check; nor is what the test reads."""
        run = engine.under(Advance(at_abort_check(4), 60)).run(jobs.celerys)
        assert [each.at for each in run.history] == [0.0, 0.0, 0.0, 60.0, 60.0]
        with pytest.raises(MomentNotReached, match="4 abort checks"):
            engine.under(Advance(at_abort_check(5), 60)).run(jobs.celerys)

    def test_nothing_to_abort(self, engine, jobs):
        """A task that never looks cannot be aborted: that fails the test, and names the task."""
        with pytest.raises(EngineError) as caught:
            engine.under(Abort(before_start())).run(jobs.quiet)
        assert str(caught.value) == (
            "quiet cannot be aborted: no task of this run would look whether it is asked to. Give"
            " it base=AbortableTask"
        )
        assert engine.history == ["SUCCESS"]

    def test_by_the_test_is_told_too(self, engine, jobs):
        """`aborts` has what anybody asked, with the line."""
        with engine.paused():
            result = jobs.export.delay()
            assert abort(result)
        run = engine.under(Look(before_start(), lambda: None)).run(jobs.export)
        assert run.aborts == ()
        assert run.state == "SUCCESS"
        assert result.state == "ABORTED"

    def test_when_it_is_asked_twice(self, engine, jobs):
        """The first request counts."""
        run = engine.under(
            Abort(at_report(1)), Advance(at_report(1), 60), Abort(at_abort_check(2))
        ).run(jobs.export)
        assert run.states == ["PROGRESS", "ABORTED"]
        assert [each.at for each in run.aborts] == [0.0]

    def test_a_task_that_goes_on(self, engine, app):
        """How many reports it wrote after the request is counted."""

        @app.task(bind=True, base=AbortableTask)
        def stubborn(self):
            observer = Observer(self, check_abort=False)
            for _ in range(4):
                observer.update("On and on", total=4)
            return self.is_aborted()

        run = engine.under(Abort(at_report(1)), Advance(at_report(2), 5)).run(stubborn)
        assert run.reports_after_abort == 3
        assert run.result is True
        assert run.state == "SUCCESS"

    def test_on_abort_and_finally(self, engine, app, heard):
        """What a task does at its end, it does."""

        class Noting(AbortableTask):
            def on_abort(self, exc, task_id, args, kwargs, einfo):
                heard.append("on_abort")

        @app.task(bind=True, base=Noting)
        def export(self):
            try:
                for _ in Observer(self).track(range(3), "Exporting"):
                    pass
            finally:
                heard.append("finally")

        run = engine.under(Abort(at_report(1))).run(export)
        assert heard == ["finally", "on_abort"]
        assert isinstance(run.exception, TaskAborted)
        assert run.meta["percent"] == 33.33


class TestAtThatMoment:
    @pytest.mark.parametrize(
        ("moment", "state"),
        [
            (before_start(), "PENDING"),
            (at_state("STARTED"), "STARTED"),
            (at_abort_check(1), "STARTED"),
            (at_report(1), "PROGRESS"),
            (at_abort_check(2), "PROGRESS"),
            (at_write(6), "SUCCESS"),
        ],
        ids=repr,
    )
    def test_what_the_backend_has(self, started, engine, jobs, moment, state):
        """An event sees what is stored at its moment, and nothing later."""
        seen = []

        def look():
            seen.append(engine.history[-1].state if len(engine.history) else "PENDING")
            seen.append(engine.backend.get_state("the-id"))

        with engine.under(Look(moment, look)):
            jobs.export.apply_async(task_id="the-id")
        assert seen == [state, state]

    def test_the_meta_is_that_of_the_report(self, engine, jobs):
        """What was stored is there when the event happens."""
        seen = []

        def look():
            seen.append(engine.backend.get_result("the-id")["current"])

        with engine.under(Look(at_report(3), look)):
            jobs.export.apply_async(task_id="the-id")
        assert seen == [3]

    def test_before_the_next_line(self, engine, app, heard):
        """The event is over when the call that reported returns."""

        @app.task(bind=True)
        def export(self):
            heard.append("before")
            self.update_state(state="PROGRESS", meta={})
            heard.append("after")

        engine.under(Look(at_report(1), functools.partial(heard.append, "event"))).run(export)
        assert heard == ["before", "event", "after"]

    def test_before_the_check(self, engine, app, heard):
        """At a check the task has not looked yet: it sees an abort of that moment."""

        @app.task(bind=True, base=AbortableTask)
        def export(self):
            heard.extend([self.is_aborted(), self.is_aborted()])

        engine.under(Abort(at_abort_check(2))).run(export)
        assert heard == [False, True]

    def test_before_the_body(self, engine, app, heard):
        """Before the start no line of the task has run, nor its handler."""

        class Noting(ProgressTask):
            def before_start(self, task_id, args, kwargs):
                heard.append("handler")

        @app.task(base=Noting)
        def export():
            heard.append("body")

        engine.under(Look(before_start(), lambda: heard.append("event"))).run(export)
        assert heard == ["event", "handler", "body"]

    def test_listeners_hear_of_the_write_first(self, engine, jobs, heard):
        """Who listens to a write has heard of it when its event happens."""
        engine.atom_notifier.register("PROGRESS", lambda state, details: heard.append(state))
        engine.under(Look(at_report(1), lambda: heard.append("event"))).run(jobs.export, rows=1)
        assert heard == ["PROGRESS", "event"]

    def test_order_of_events(self, engine, jobs, heard):
        """Several events at one moment happen in the order in which they are given."""
        looks = [Look(at_report(2), functools.partial(heard.append, n)) for n in range(5)]
        engine.under(*looks).run(jobs.export)
        assert heard == [0, 1, 2, 3, 4]

    def test_clock_and_then_abort(self, engine, jobs):
        """Each event sees what those before it did."""
        run = engine.under(Advance(at_report(2), 60), Abort(at_report(2))).run(jobs.export)
        assert run.abort_requested_at == 60.0
        assert [each.at for each in run.history] == [0.0, 0.0, 60.0]
        assert run.elapsed == 60.0

    def test_abort_and_soft_time_limit(self, engine, jobs):
        """Both at once: the task is asked, and leaves by the limit."""
        run = engine.under(Abort(at_report(2)), SoftTimeLimit(at_report(2))).run(jobs.export)
        assert run.states == ["PROGRESS", "PROGRESS", "FAILURE"]
        assert run.abort_requested_at == 0.0

    @pytest.mark.parametrize("moment", [at_report(1), at_percent(25), at_state("PROGRESS")])
    def test_exactly_once(self, engine, jobs, heard, moment):
        """Also if what it waits for happens again."""
        engine.under(Look(moment, lambda: heard.append("event"))).run(jobs.export)
        assert heard == ["event"]

    def test_an_event_given_twice(self, engine, jobs, heard):
        """Happens twice."""
        event = Look(at_report(1), lambda: heard.append("event"))
        run = engine.under(event, event).run(jobs.export)
        assert heard == ["event", "event"]
        assert run.under == (event, event)

    def test_no_events(self, engine, jobs):
        """A scenario in which nothing happens is none."""
        run = engine.under().run(jobs.export)
        assert run.state == "SUCCESS"
        assert run.under == ()

    def test_the_run_names_its_scenario(self, engine, jobs):
        """`str(run)` has the events, as code."""
        run = engine.under(Abort(at_report(1)), Advance(at_report(1), 5)).run(jobs.export)
        headline = str(run).splitlines()[0]
        assert ", under Abort(at_report(1)), Advance(at_report(1), seconds=5)" in headline
        assert engine.run(jobs.export).under == ()

    def test_an_event_that_runs_a_task(self, engine, jobs, heard):
        """An event may publish: it is as if the task had published it."""
        run = engine.under(Look(at_report(2), lambda: heard.append(jobs.quiet.delay().state))).run(
            jobs.export
        )
        assert heard == ["PENDING"]
        assert run.history.states == ["PROGRESS"] * 4 + ["SUCCESS"] * 2
        assert [each.name for each in run.children] == ["quiet"]

    def test_an_event_that_runs_the_engine(self, engine, jobs):
        """While a task runs no other is run: that fails the test, and the task goes on."""
        for run in (engine.run, engine.run_iter, engine.under(Abort(at_report(1))).run):
            look = Look(at_report(1), functools.partial(run, jobs.quiet))
            with pytest.raises(EngineError, match="inside a task"):
                engine.under(look).run(jobs.export)
        with pytest.raises(EngineError, match=r"reset\(\) inside a task"):
            engine.under(Look(before_start(), engine.reset)).run(jobs.export)
        assert engine.history.states.count("SUCCESS") == 4

    def test_an_event_that_writes(self, engine, jobs, heard):
        """What an event writes happens too, and may be a moment of another event."""
        with engine.under(
            Look(at_report(1), lambda: engine.backend.store_result("other", {}, "UPLOADING")),
            Look(at_state("UPLOADING"), lambda: heard.append("seen")),
        ):
            jobs.export.delay()
        assert heard == ["seen"]


class TestCanvases:
    @pytest.mark.parametrize(
        ("canvas", "states"),
        [
            (lambda t: chain(t.export.si(), t.export.si(), t.export.si()), {"ABORTED": 3}),
            (lambda t: group(t.export.si() for _ in range(3)), {"ABORTED": 3}),
            (
                lambda t: chord([t.export.si(), t.export.si()], t.export.si()),
                {"ABORTED": 2, "FAILURE": 1},
            ),
            (
                lambda t: group(chain(t.export.si(), t.export.si()), group(t.export.si())),
                {"ABORTED": 3},
            ),
            (
                lambda t: chain(t.export.si(), group(t.export.si(), t.export.si()), t.export.si()),
                {"ABORTED": 4},
            ),
        ],
        ids=["chain", "group", "chord", "group of a chain and a group", "chain of a chord"],
    )
    def test_all_of_it_is_aborted(self, engine, jobs, canvas, states):
        """An abort is asked of every task of the canvas: none reports any more."""
        run = engine.under(Abort(at_report(2))).run(canvas(jobs))
        assert run.history.states.count("PROGRESS") == 2
        assert "SUCCESS" not in run.history.states
        ends = [each for each in run.history.states if each != "PROGRESS"]
        assert set(ends) <= {"ABORTED", "FAILURE"}
        assert run.reports_after_abort == 0
        assert run.state in {"ABORTED", "FAILURE"}

    @pytest.mark.parametrize("name", ["chain", "group", "chord"])
    def test_moments_count_over_all_tasks(self, engine, jobs, heard, name):
        """The nth report of a canvas is the nth of all its tasks, in order."""
        canvas = {
            "chain": chain(jobs.export.si(), jobs.export.si()),
            "group": group(jobs.export.si(), jobs.export.si()),
            "chord": chord([jobs.export.si()], jobs.export.si()),
        }[name]
        look = Look(at_report(6), lambda: heard.append(len(engine.history.progress)))
        engine.under(look).run(canvas)
        assert heard == [6]
        assert [each.percent for each in engine.history.progress][5] == 50.0

    def test_a_task_of_it(self, engine, jobs):
        """With `task` the moments of that task only are counted."""
        canvas = chain(jobs.export.si(), jobs.flaky.si(), jobs.quiet.si())
        run = engine.under(Advance(at_report(1, task="flaky"), 7)).run(canvas)
        assert [each.at for each in run.history.of("export")] == [0.0] * 5
        assert [each.at for each in run.history.of("flaky")] == [0.0, 7.0, 37.0, 37.0]

    def test_the_start_of_each(self, engine, jobs):
        """Each task of it starts."""
        canvas = chain(jobs.export.si(), jobs.export.si(rows=1))
        run = engine.under(Abort(before_start(2))).run(canvas)
        assert run.history.states == ["PROGRESS"] * 4 + ["SUCCESS", "ABORTED"]

    def test_a_member_that_is_not_abortable(self, engine, jobs):
        """The others are asked; that one runs."""
        run = engine.under(Abort(at_report(1))).run(group(jobs.export.si(), jobs.quiet.si()))
        assert [each.state for each in run.children] == ["ABORTED", "SUCCESS"]

    def test_a_chain_whose_last_is_not_abortable(self, engine, jobs):
        """A chain stops, whichever of its tasks can be aborted."""
        run = engine.under(Abort(at_report(1))).run(chain(jobs.export.si(), jobs.quiet.si()))
        assert run.history.of("export") == ["PROGRESS", "ABORTED"]
        assert "SUCCESS" not in run.history.states

    def test_celerys_own_in_a_group(self, engine, jobs):
        """Those of Celery's class and ours are asked, each in its way."""
        canvas = group(jobs.celerys.si(), jobs.export.si())
        run = engine.under(Abort(at_report(2, task="celerys"))).run(canvas)
        assert run.history.of("export") == ["ABORTED"]
        assert run.history.of("celerys").states[:2] == ["PROGRESS", "PROGRESS"]

    def test_a_chord_with_retries(self, engine, jobs):
        """At the retry of a member all of it is aborted, what waits and what has not begun."""
        run = engine.under(Abort(at_retry())).run(
            chord([jobs.flaky.si(), jobs.export.si()], jobs.export.si())
        )
        assert run.history.of("flaky").states == ["PROGRESS", "RETRY", "ABORTED"]
        assert "SUCCESS" not in run.history.states

    def test_what_a_task_publishes(self, engine, jobs, app):
        """What a task of the run published is aborted too, when the moment is one of it."""

        @app.task(name="parent")
        def parent():
            jobs.export.delay()

        run = engine.under(Abort(at_report(2, task="export"))).run(parent)
        assert run.history.of("export") == ["PROGRESS", "PROGRESS", "ABORTED"]

    def test_what_a_task_replaces_itself_by(self, engine, jobs, app):
        """What a task replaced itself by is aborted too."""

        @app.task(name="replaces", bind=True, base=AbortableTask)
        def replaces(self):
            raise self.replace(chain(jobs.export.si(), jobs.export.si()))

        run = engine.under(Abort(at_report(2))).run(replaces)
        assert run.history.states.count("PROGRESS") == 2
        assert "SUCCESS" not in run.history.states

    def test_a_task_that_is_waited_for(self, engine, jobs, app):
        """A task that runs while another one waits for it is aborted; who waits hears of it."""

        @app.task(name="waits", bind=True, base=AbortableTask)
        def waits(self):
            return jobs.export.delay().get(disable_sync_subtasks=False)

        run = engine.under(Abort(at_report(2, task="export"))).run(waits)
        assert run.history.of("export") == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert run.state == "FAILURE"
        assert isinstance(run.exception, TaskAborted)
        run = engine.under(SoftTimeLimit(at_report(2, task="export"))).run(waits)
        assert run.history.states == ["PROGRESS", "PROGRESS", "FAILURE", "FAILURE"]

    def test_a_callback(self, engine, jobs):
        """What is run after the task is aborted too, when the moment is one of it."""
        canvas = jobs.quiet.signature(link=jobs.export.si())
        run = engine.under(Abort(at_report(2))).run(canvas)
        assert run.history.of("export") == ["PROGRESS", "PROGRESS", "ABORTED"]


class TestRevoke:
    @pytest.mark.parametrize("moment", [before_start(), at_retry()], ids=repr)
    def test_what_does_not_run(self, engine, jobs, moment):
        """It will not run, or not again. Since Celery 5.6 REVOKED is stored at once, too."""
        run = engine.under(Revoke(moment)).run(jobs.flaky)
        before = ["PROGRESS", "RETRY"] if moment == at_retry() else []
        assert run.states in ([*before, "REVOKED"], [*before, "REVOKED", "REVOKED"])
        assert isinstance(run.exception, TaskRevokedError)
        assert run.aborts == ()

    @WARNS_IN_5_6
    def test_what_runs(self, engine, jobs):
        """It goes on, as on a worker."""
        run = engine.under(Revoke(at_report(2))).run(jobs.export)
        assert run.state == "SUCCESS"
        assert run.percents == [25.0, 50.0, 75.0, 100.0]

    @WARNS_IN_5_6
    def test_pending_members_of_a_group(self, engine, jobs):
        """Those that wait do not run."""
        run = engine.under(Revoke(at_report(1))).run(group(jobs.export.si() for _ in range(3)))
        assert [each.state for each in run.children] == ["SUCCESS", "REVOKED", "REVOKED"]
        assert run.state == "REVOKED"

    @WARNS_IN_5_6
    def test_the_rest_of_a_chain(self, engine, jobs):
        """Those that are not published yet do not run either."""
        run = engine.under(Revoke(at_report(1))).run(chain(jobs.export.si(), jobs.quiet.si()))
        assert run.state == "REVOKED"
        assert [each.state for each in run.children] == ["SUCCESS"]
        assert run.percents == []

    @pytest.mark.filterwarnings("ignore:(?s).*FAILURE was stored over REVOKED")
    def test_a_pending_member_of_a_chord(self, engine, jobs):
        """The chord does not come to its body."""
        run = engine.under(Revoke(before_start(2, task="export"))).run(
            chord([jobs.export.si(), jobs.export.si()], jobs.quiet.s())
        )
        assert [each.state for each in run.children] == ["SUCCESS", "REVOKED"]
        assert run.state in {"FAILURE", "REVOKED"}

    def test_terminate_what_waits(self, engine, jobs):
        """What does not run need not be killed."""
        canvas = chain(jobs.quiet.si(), jobs.quiet.si())
        run = engine.under(Revoke(before_start(2), terminate=True)).run(canvas)
        assert run.state == "REVOKED"
        assert run.history.states[0] == "SUCCESS"

    def test_terminate_what_runs(self, engine, jobs):
        """There is no process to kill: the test fails, and the task goes on."""
        with pytest.raises(NeedsRealWorker, match="real worker"):
            engine.under(Revoke(at_report(1), terminate=True)).run(jobs.export)
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_does_not_last(self, engine, jobs):
        """Another run of the same task is not revoked."""
        engine.under(Revoke(before_start())).run(jobs.export)
        assert engine.run(jobs.export).state == "SUCCESS"


class TestSoftTimeLimit:
    def test_that_is_not_caught(self, engine, app, heard):
        """The task fails, as on a worker; its handler is called."""

        class Noting(ProgressTask):
            def on_failure(self, exc, task_id, args, kwargs, einfo):
                heard.append(type(exc))

        @app.task(bind=True, base=Noting)
        def export(self):
            for _ in Observer(self).track(range(4), "Exporting"):
                pass

        run = engine.under(SoftTimeLimit(at_report(2))).run(export)
        assert run.states == ["PROGRESS", "PROGRESS", "FAILURE"]
        assert isinstance(run.exception, SoftTimeLimitExceeded)
        assert heard == [SoftTimeLimitExceeded]

    def test_that_is_caught(self, engine, app):
        """The task may clean up, and come to an end of its own."""

        @app.task(bind=True, base=ProgressTask)
        def export(self):
            observer = Observer(self)
            try:
                for _ in observer.track(range(4), "Exporting"):
                    pass
            except SoftTimeLimitExceeded:
                observer.update("Cleaning up", increment=False, total=4)
                return "as far as it went"

        run = engine.under(SoftTimeLimit(at_report(2))).run(export)
        assert run.states == ["PROGRESS", "PROGRESS", "PROGRESS", "SUCCESS"]
        assert run.result == "as far as it went"
        assert run.messages[-1] == "Cleaning up"

    def test_a_finally(self, engine, app, heard):
        """`finally` and `with` of the task are left."""

        @app.task(bind=True)
        def export(self):
            try:
                self.update_state(state="PROGRESS", meta={})
                heard.append("not reached")
            finally:
                heard.append("finally")
                self.update_state(state="CLEANING", meta={})

        run = engine.under(SoftTimeLimit(at_report(1))).run(export)
        assert heard == ["finally"]
        assert run.states == ["PROGRESS", "CLEANING", "FAILURE"]

    def test_in_the_finally(self, engine, app, heard):
        """A limit may be exceeded there as well."""

        @app.task(bind=True)
        def export(self):
            try:
                raise ValueError
            finally:
                self.update_state(state="CLEANING", meta={})
                heard.append("not reached")

        run = engine.under(SoftTimeLimit(at_state("CLEANING"))).run(export)
        assert heard == []
        assert run.states == ["CLEANING", "FAILURE"]
        assert isinstance(run.exception, SoftTimeLimitExceeded)

    def test_at_a_check(self, engine, jobs):
        """At a check the task has not looked, and does not go on."""
        run = engine.under(SoftTimeLimit(at_abort_check(2))).run(jobs.export)
        assert run.states == ["PROGRESS", "FAILURE"]

    def test_that_is_retried(self, engine, app):
        """A task that retries by it is run again, once."""

        @app.task(bind=True, autoretry_for=(SoftTimeLimitExceeded,), default_retry_delay=10)
        def export(self):
            self.update_state(state="PROGRESS", meta={})
            return self.request.retries

        run = engine.under(SoftTimeLimit(at_report(1))).run(export)
        assert run.states == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]
        assert run.result == 1

    @pytest.mark.parametrize("state", ["STARTED", "SUCCESS"])
    def test_where_only_the_worker_is(self, started, engine, jobs, state):
        """A state that the worker writes is no moment of the task; the test fails, and says so."""
        with pytest.raises(EngineError, match="exceeded while a task runs, and now the worker"):
            engine.under(SoftTimeLimit(at_state(state))).run(jobs.export)
        assert engine.history == ["STARTED", *["PROGRESS"] * 4, "SUCCESS"]

    def test_in_a_chain(self, engine, jobs):
        """The task that reports is the one that leaves; the rest does not run."""
        canvas = chain(jobs.export.si(), jobs.export.si(), jobs.quiet.si())
        run = engine.under(SoftTimeLimit(at_report(6))).run(canvas)
        assert run.history.states[:8] == ["PROGRESS"] * 4 + ["SUCCESS"] + ["PROGRESS"] * 2 + [
            "FAILURE"
        ]
        assert "quiet" not in {each.name for each in run.history if each.state == "SUCCESS"}

    def test_what_the_backend_has(self, engine, jobs):
        """The report at which it is exceeded is stored."""
        run = engine.under(SoftTimeLimit(at_percent(50))).run(jobs.export)
        assert run.percents == [25.0, 50.0]

    def test_in_a_thread_of_the_task(self, engine, app):
        """It is the task that exceeds a limit, and not a thread that helps it."""
        caught = []

        @app.task(bind=True, base=ProgressTask)
        def export(self):
            observer = Observer(self)

            def work():
                try:
                    observer.update("In a thread", total=2)
                except SoftTimeLimitExceeded as error:
                    caught.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            observer.update("In the task", total=2)

        try:
            run = engine.under(SoftTimeLimit(at_report(1))).run(export)
        except EngineError as error:
            assert "thread" in str(error)  # noqa: PT017 - to refuse it is right, too
        else:
            assert run.state == "FAILURE"
        assert caught == []


class TestAdvance:
    @pytest.mark.parametrize(
        ("moment", "at"),
        [
            (before_start(), [5.0, 5.0, 5.0]),
            (at_report(1), [0.0, 5.0, 5.0]),
            (at_abort_check(2), [0.0, 5.0, 5.0]),
            (at_write(2), [0.0, 0.0, 5.0]),
        ],
        ids=repr,
    )
    def test_moves_the_clock(self, engine, jobs, moment, at):
        """What comes after is later; `elapsed` of the task too."""
        run = engine.under(Advance(moment, 5)).run(jobs.export, rows=2)
        assert [each.at for each in run.history] == at
        assert run.elapsed == 5.0
        assert engine.clock.monotonic() == 5.0

    def test_elapsed_is_stored(self, engine, jobs):
        """The task itself sees the time."""
        run = engine.under(Advance(at_report(1), 2.5)).run(jobs.export, rows=2)
        assert [each.meta["elapsed"] for each in run.progress] == [0.0, 2.5]

    def test_the_interval_of_checks(self, engine, app):
        """Within `abort_check_interval` nobody looks; when the time is over, the next one does."""

        @app.task(bind=True, base=AbortableTask, abort_check_interval=10)
        def export(self):
            observer = Observer(self)
            for _ in range(6):
                observer.update("Exporting", total=6)

        events = (Abort(at_report(2)), Advance(at_report(4), 9.9), Advance(at_report(5), 0.1))
        run = engine.under(*events).run(export)
        assert run.states == ["PROGRESS"] * 5 + ["ABORTED"]
        assert run.reports_after_abort == 3
        with pytest.raises(MomentNotReached, match="1 abort check,"):
            engine.under(Abort(at_abort_check(2))).run(export)

    def test_throttle(self, engine, app):
        """What is held back is no report; the clock lets the next one through."""

        @app.task(bind=True, base=ProgressTask)
        def export(self):
            observer = Observer(self, throttle=1)
            for _ in range(5):
                observer.update("Exporting", total=10)
                self.update_state(state="TICK", meta={})

        tick = Advance(when(lambda each: each.index == 2), 1)
        run = engine.under(tick).run(export)
        stored = [each.meta["current"] for each in run.progress if each.state == "PROGRESS"]
        assert stored == [1, 3, 5]
        with pytest.raises(MomentNotReached, match="at_percent"):
            engine.under(Advance(at_percent(60), 1)).run(export)

    def test_expires(self, engine, jobs):
        """A task that is late when it starts has expired."""
        signature = jobs.export.si().set(expires=60)
        assert engine.under(Advance(before_start(), 59)).run(signature).state == "SUCCESS"
        assert engine.under(Advance(before_start(), 61)).run(signature).state == "REVOKED"

    def test_a_countdown(self, engine, jobs):
        """What waits for its time comes at its time, or at once when that is over."""
        canvas = group(jobs.export.si(), jobs.quiet.si().set(countdown=30))
        run = engine.under(Advance(at_report(1), 10)).run(canvas)
        assert [each.at for each in run.history.of("quiet")] == [30.0]
        began = engine.clock.monotonic()
        run = engine.under(Advance(at_report(1), 100)).run(canvas)
        assert [each.at - began for each in run.history.of("quiet")] == [100.0]


class TestWith:
    def test_code_that_publishes_itself(self, engine, jobs):
        """What is published in the block is under the scenario."""
        with engine.under(Abort(at_report(2))) as under:
            result = jobs.export.delay()
            assert under is not None
        assert result.state == "ABORTED"
        assert engine.history == ["PROGRESS", "PROGRESS", "ABORTED"]

    def test_only_in_the_block(self, engine, jobs):
        """What runs before or after it is not."""
        jobs.export.delay()
        with engine.under(Abort(at_report(1))):
            jobs.export.delay()
        jobs.export.delay()
        assert [each.state for each in engine.history if not each.is_report] == [
            "SUCCESS",
            "ABORTED",
            "SUCCESS",
        ]

    def test_several_messages(self, engine, jobs):
        """Moments are counted over all that is run in the block."""
        with engine.under(Abort(at_report(6))):
            first, second = jobs.export.delay(), jobs.export.delay()
        assert (first.state, second.state) == ("SUCCESS", "ABORTED")

    def test_what_waited_before(self, engine, jobs):
        """What is drained in the block is under the scenario, whenever it was published."""
        with engine.paused():
            result = jobs.export.delay()
            with engine.under(Abort(at_report(2))):
                engine.drain()
        assert result.state == "ABORTED"

    def test_a_run_in_the_block(self, engine, jobs):
        """`run` in the block knows what happened to it."""
        with engine.under(Abort(at_report(2))):
            run = engine.run(group(jobs.export.si(), jobs.export.si()))
        assert run.under == (Abort(at_report(2)),)
        assert [each.state for each in run.children] == ["ABORTED", "ABORTED"]

    def test_steps_in_the_block(self, engine, jobs):
        """`run_iter` in the block too."""
        with engine.under(Abort(at_report(2))):
            steps = engine.run_iter(jobs.export)
            assert [each.state for each in steps] == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert steps.run.under == (Abort(at_report(2)),)

    def test_revoke(self, engine, jobs):
        """A task that somebody else published is revoked as well."""
        with engine.under(Revoke(at_retry())):
            result = jobs.flaky.delay()
        assert result.state == "REVOKED"

    def test_an_exception_is_not_masked(self, engine, jobs):
        """What the block raises is raised, whatever did not happen in it."""
        with (  # noqa: PT012 - the block is what is tested
            pytest.raises(ZeroDivisionError) as caught,
            engine.under(Abort(at_report(9))),
        ):
            jobs.export.delay()
            raise ZeroDivisionError
        assert caught.value.__context__ is None
        assert engine.run(jobs.export).under == ()

    def test_an_exception_before_anything(self, engine, jobs):
        """Nothing of the scenario is left over."""
        with pytest.raises(KeyError), engine.under(Abort(at_report(1))):
            raise KeyError
        assert engine.run(jobs.export).state == "SUCCESS"

    def test_nothing_published(self, engine):
        """An empty block fails, and says that nothing ran."""
        with (
            pytest.raises(MomentNotReached, match="as far as 0 starts, 0 writes, 0 reports"),
            engine.under(Abort(at_report(1))),
        ):
            pass

    def test_group_in_the_block(self, engine, jobs):
        """A canvas that somebody else published: at least the task of the moment is aborted."""
        with engine.under(Abort(at_report(2))):
            result = group(jobs.export.si(), jobs.export.si()).delay()
        assert result.children[0].state == "ABORTED"

    def test_nested(self, engine, jobs, heard):
        """Both scenarios happen, each with a count of its own; the run names both."""
        with engine.under(Look(at_report(5), lambda: heard.append("outer"))):
            engine.run(jobs.export, rows=3)
            with engine.under(Look(at_report(1), lambda: heard.append("inner"))):
                run = engine.under(Advance(at_report(1), 1)).run(jobs.export)
        assert heard == ["inner", "outer"]
        assert [type(each) for each in run.under] == [Look, Look, Advance]

    def test_nested_and_missed(self, engine, jobs):
        """The inner one that did not happen does not keep the outer one from its end."""
        with engine.under(Advance(at_report(1), 1)):
            with pytest.raises(MomentNotReached, match=r"Advance\(at_report\(9\)"):
                engine.under(Advance(at_report(9), 1)).run(jobs.export)
            assert engine.clock.monotonic() == 1.0

    def test_the_same_object_again(self, engine, jobs):
        """What `under` returned may be used again: its events happen anew."""
        under = engine.under(Abort(at_report(2)))
        assert [under.run(jobs.export).state for _ in range(3)] == ["ABORTED"] * 3
        for _ in range(2):
            with under:
                assert jobs.export.delay().state == "ABORTED"
        assert [each.state for each in under.run_iter(jobs.export)][-1] == "ABORTED"

    def test_the_same_object_nested(self, engine, jobs, heard):
        """And in itself."""
        under = engine.under(Look(at_report(1), lambda: heard.append("event")))
        with under, under:
            jobs.export.delay()
        assert heard == ["event", "event"]
        with under, pytest.raises(ZeroDivisionError):  # noqa: PT012 - as above
            jobs.export.delay()
            with under:
                raise ZeroDivisionError
        assert heard == ["event"] * 3


class TestMomentNotReached:
    def test_says_how_far(self, engine, jobs):
        """The whole message: what, how far, and the last write."""
        with pytest.raises(MomentNotReached) as caught:
            engine.under(Abort(at_report(9))).run(jobs.export)
        assert str(caught.value) == (
            "Abort(at_report(9)) never happened: the moment did not come. The run got as far as 1"
            " start, 5 writes, 4 reports, 4 abort checks, 0 retries, up to 100 %; the last write"
            " was export SUCCESS"
        )
        assert isinstance(caught.value, AssertionError)

    def test_all_that_were_missed(self, engine, jobs):
        """Each of them, and none that happened."""
        events = (Advance(at_report(1), 1), Abort(at_report(9)), Revoke(at_retry()))
        with pytest.raises(MomentNotReached) as caught:
            engine.under(*events).run(jobs.export)
        assert str(caught.value).startswith(
            "Abort(at_report(9)), Revoke(at_retry(1)) never happened: the moment"
        )

    def test_of_a_run_that_failed(self, engine, app):
        """A run that ends early says by which state."""

        @app.task(name="breaks", bind=True)
        def breaks(self):
            self.update_state(state="PROGRESS", meta={"percent": 12.5})
            raise ValueError("broken")

        with pytest.raises(MomentNotReached) as caught:
            engine.under(Advance(at_percent(50), 1)).run(breaks)
        assert str(caught.value).endswith(
            "The run got as far as 1 start, 2 writes, 1 report, 0 abort checks, 0 retries, up to"
            " 12.5 %; the last write was breaks FAILURE"
        )

    def test_of_a_run_without_percentages(self, engine, app):
        """Reports without a percentage are no 0 %."""

        @app.task(name="counts", bind=True, base=ProgressTask)
        def counts(self):
            Observer(self).update("Counting", total=None)

        with pytest.raises(MomentNotReached) as caught:
            engine.under(Advance(at_percent(50), 1)).run(counts)
        assert "1 report," in str(caught.value)
        assert "%;" not in str(caught.value)

    def test_a_task_that_is_not_there(self, engine, jobs):
        """A task of another name has no moments."""
        with pytest.raises(MomentNotReached, match=r"at_report\(1, task='exprot'\)"):
            engine.under(Abort(at_report(1, task="exprot"))).run(jobs.export)

    @pytest.mark.filterwarnings("ignore:.*breaks its contract")
    def test_writes_that_were_dropped(self, engine, app):
        """What the backend dropped was not stored: it is no report that the run got to."""

        @app.task(name="late", bind=True)
        def late(self):
            self.update_state(state="SUCCESS", meta={})
            self.update_state(state="PROGRESS", meta={"percent": 99})
            return {}

        with pytest.raises(MomentNotReached) as caught:
            engine.under(Advance(at_report(1), 1)).run(late)
        assert "0 reports" in str(caught.value)
        assert "99 %" not in str(caught.value)

    def test_a_run_that_raises(self, engine, app):
        """What the run raises is raised, and not that its moment did not come."""

        @app.task
        def again():
            again.delay()

        engine.limit = 5
        with pytest.raises(EngineError, match="limit=5"):
            engine.under(Abort(at_report(1))).run(again)

    def test_at_the_end_of_steps(self, engine, jobs):
        """Step by step it is raised after the last one."""
        steps = engine.under(Abort(at_report(9))).run_iter(jobs.export)
        seen = []
        with pytest.raises(MomentNotReached):
            seen.extend(steps)
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]


class TestErrors:
    def test_of_an_event(self, engine, jobs):
        """What an event raises fails the test, and not the task."""
        with pytest.raises(LookupError, match="no such thing"):
            engine.under(Breaks(at_report(2))).run(jobs.export)
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_of_an_event_in_a_block(self, engine, jobs):
        """The same when somebody else publishes."""
        with pytest.raises(LookupError), engine.under(Breaks(at_report(2))):
            jobs.export.delay()
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_the_others_happen(self, engine, jobs):
        """One that raises keeps no other from its moment."""
        with pytest.raises(LookupError):
            engine.under(Breaks(at_report(1)), Advance(at_report(1), 5)).run(jobs.export)
        assert engine.clock.monotonic() == 5.0

    def test_the_first_of_several(self, engine, jobs):
        """The first error is raised, before what did not happen."""
        events = (Abort(at_report(9)), Breaks(at_report(2)))
        with pytest.raises(LookupError):
            engine.under(*events).run(jobs.export)

    def test_of_a_predicate(self, engine, jobs):
        """A predicate that raises fails the test by its own error, once."""
        asked = []

        def predicate(each):
            asked.append(each)
            return each.meta["no such key"]

        with pytest.raises(KeyError, match="no such key"):
            engine.under(Abort(when(predicate))).run(jobs.export)
        assert len(asked) == 1
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_shows_the_line(self, engine, jobs):
        """The traceback ends where the mistake is."""
        with pytest.raises(LookupError) as caught:
            engine.under(Breaks(at_report(1))).run(jobs.export)
        assert caught.traceback[-1].name == "fire"

    @pytest.mark.parametrize("event", [None, "Abort", Abort, at_report(1), [Abort(at_report(1))]])
    def test_what_is_no_event(self, engine, event):
        """`under` takes events, and says what it got."""
        with pytest.raises(TypeError, match=r"^under\(\) takes events, such as Abort") as caught:
            engine.under(event)
        assert str(caught.value).endswith(f"got {event!r}")

    def test_inside_a_task(self, engine, jobs, app):
        """A task does not run tasks."""

        @app.task
        def nests():
            with pytest.raises(EngineError, match="inside a task"):
                engine.under(Abort(at_report(1))).run(jobs.export)
            return "refused"

        assert engine.run(nests).result == "refused"


class TestThreads:
    @pytest.fixture
    def helped(self, app):
        """A task in whose place a thread reports, and catches the abort."""

        @app.task(name="helped", bind=True, base=AbortableTask)
        def helped(self):
            observer, caught = Observer(self), []

            def work():
                try:
                    for _ in range(4):
                        observer.update("In a thread", total=4)
                except TaskAborted as error:
                    caught.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            self.raise_if_aborted()
            return len(caught)

        return helped

    @pytest.mark.parametrize(
        ("moment", "reports"),
        [
            (at_report(2), 2),
            (at_report(2, task="helped"), 2),
            (at_percent(50), 2),
            (at_abort_check(3), 2),
            (at_abort_check(3, task="helped"), 2),
            (at_write(1, task="helped"), 1),
        ],
        ids=repr,
    )
    def test_reports_of_a_thread(self, engine, helped, moment, reports):
        """A thread that helps a task is in the task: its reports and checks are those of it."""
        run = engine.under(Abort(moment)).run(helped)
        assert run.states == ["PROGRESS"] * reports + ["ABORTED"]
        assert run.reports_after_abort == 0

    @pytest.mark.parametrize("moment", [at_report(2), at_abort_check(3)], ids=repr)
    def test_in_a_block(self, engine, helped, moment):
        """Also if somebody else published the task."""
        with engine.under(Abort(moment)):
            assert helped.delay().state == "ABORTED"

    def test_an_event_that_asks_another_thread(self, engine, jobs):
        """While an event happens, other threads can read what is stored."""
        seen = []

        def look():
            thread = threading.Thread(
                target=lambda: seen.append(engine.backend.get_state("the-id")), daemon=True
            )
            thread.start()
            thread.join(5)

        with engine.under(Look(at_report(1), look)):
            jobs.export.apply_async(task_id="the-id")
            assert seen == ["PROGRESS"]

    def test_a_check_while_an_event_happens(self, engine, app):
        """An event that happens in one thread hides no check of another one."""
        box = []

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            box.append(self.abort_check())
            self.update_state(state="PROGRESS", meta={})
            self.update_state(state="PROGRESS", meta={})

        def look():
            thread = threading.Thread(target=box[0].is_aborted, daemon=True)
            thread.start()
            thread.join(5)

        events = (Look(at_report(1), look), Advance(at_abort_check(1), 60))
        run = engine.under(*events).run(export)
        assert run.elapsed == 60.0
