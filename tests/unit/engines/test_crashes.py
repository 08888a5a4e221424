"""Workers that die: what comes back, what is lost, and that nothing of the dead goes on."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import textwrap
import threading

import pytest
from billiard.exceptions import WorkerLostError
from celery import chain, chord, group
from celery.exceptions import Ignore
from celery.result import allow_join_result

from pytest_taskprogress import AbortableTask, EagerEngine, EngineError, Observer
from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    CrashWorker,
    FailWrite,
    Redeliver,
    Revoke,
    Schedule,
    SoftTimeLimit,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    before_start,
    if_reached,
)

pytest.importorskip("greenlet")


@pytest.fixture
def late(app):
    """`export` of three rows, which is acknowledged when it has run."""

    @app.task(name="late", bind=True, base=AbortableTask, acks_late=True)
    def late(self, *args, rows=3):
        for _ in Observer(self).track(range(rows), "Exporting"):
            pass
        return rows

    return late


@pytest.fixture
def requeued(app):
    """The same, which is delivered again if its process dies."""

    @app.task(
        name="requeued", bind=True, base=AbortableTask, acks_late=True, reject_on_worker_lost=True
    )
    def requeued(self, *args, rows=3):
        for _ in Observer(self).track(range(rows), "Exporting"):
            pass
        return rows

    return requeued


#: Where a worker dies, and how many reports were stored then.
MOMENTS = [
    (at_abort_check(1), 0),
    (at_report(1), 1),
    (at_report(2), 2),
    (at_abort_check(3), 2),
    (at_report(3), 3),
]


class TestTheWorker:
    @pytest.mark.parametrize(("at", "reports"), MOMENTS, ids=repr)
    def test_what_was_acknowledged_is_lost(self, engine, jobs, at, reports):
        """A task is acknowledged before it runs, unless it says otherwise: nobody goes on."""
        run = engine.under(CrashWorker(at)).run(jobs.export)
        assert run.states == ["PROGRESS"] * reports
        assert run.lost
        assert run.ended
        assert engine.pending == []
        assert Contract().violations(run) == []

    @pytest.mark.parametrize(("at", "reports"), MOMENTS, ids=repr)
    def test_acks_late_comes_back(self, engine, late, at, reports):
        """It runs again, from its beginning, and knows that it does."""
        run = engine.under(CrashWorker(at)).run(late)
        assert run.states == ["PROGRESS"] * (reports + 3) + ["SUCCESS"]
        assert [start.ended is None for start in run.starts] == [True, False]
        assert not run.lost
        assert run.violations == ()

    def test_before_it_begins(self, engine, jobs):
        """What was not begun is not acknowledged."""
        run = engine.under(CrashWorker(before_start())).run(jobs.export)
        assert run.states == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_after_the_end_was_stored(self, engine, late, jobs):
        """The message comes again if it was not acknowledged; the first SUCCESS stays."""
        run = engine.under(CrashWorker(at_state("SUCCESS"))).run(late)
        assert run.states == ["PROGRESS"] * 3 + ["SUCCESS"]
        assert len(run.history.dropped) == 4
        run = engine.under(CrashWorker(at_state("SUCCESS"))).run(jobs.export)
        assert (run.state, run.lost) == ("SUCCESS", False)

    def test_it_knows_that_it_was_delivered_again(self, engine, app):
        """`redelivered` of the message, as a broker sets it."""
        redelivered = []

        @app.task(bind=True, acks_late=True)
        def work(self):
            redelivered.append(self.request.delivery_info["redelivered"])
            self.update_state(state="PROGRESS", meta={})

        engine.under(CrashWorker(at_report(1)), CrashWorker(at_report(2))).run(work)
        assert [bool(each) for each in redelivered] == [False, True, True]

    def test_twice_in_a_run(self, engine, late):
        """And a third time, at the last report."""
        events = [CrashWorker(at_report(n)) for n in (1, 3, 6)]
        run = engine.under(*events).run(late)
        assert run.states == ["PROGRESS"] * 9 + ["SUCCESS"]
        assert len(run.starts) == 4

    def test_at_a_retry(self, engine, jobs):
        """The message of the next attempt was published before: the run goes on."""
        run = engine.under(CrashWorker(at_retry())).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]

    def test_at_a_retry_that_is_not_acknowledged(self, engine, app):
        """Then both messages are there: as in production the task runs once too often."""

        @app.task(bind=True, acks_late=True, default_retry_delay=30)
        def flaky(self):
            if not self.request.retries:
                raise self.retry()

        run = engine.under(CrashWorker(at_retry())).run(flaky)
        assert run.states == ["RETRY", "RETRY", "SUCCESS"]
        assert len(run.starts) == 4

    def test_before_the_second_attempt(self, engine, jobs):
        """What waits for its time is not acknowledged: it comes back, at its time."""
        run = engine.under(CrashWorker(before_start(2))).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]
        assert [start.at for start in run.starts] == [0.0, 30.0, 30.0]


class TestWhatWaits:
    def test_messages(self, engine, jobs):
        """What waits behind the dead is run by the next worker, in the same order."""
        run = engine.under(CrashWorker(at_report(2))).run(
            group(jobs.export.s(), *(jobs.quiet.s(number) for number in range(3)))
        )
        assert [each.name for each in run.history] == ["export"] * 2 + ["quiet"] * 3
        assert run.lost

    def test_a_countdown(self, engine, jobs):
        """A worker puts it by unacknowledged: it comes back, and keeps its time."""
        with engine.under(CrashWorker(at_report(2))), engine.paused():
            later = jobs.quiet.apply_async(countdown=60)
            engine.drain(until=1)
            jobs.export.delay()
        assert later.state == "SUCCESS"
        assert engine.history[-1].at == 60.0

    @pytest.mark.parametrize("report", [1, 4, 7])
    def test_a_rate_limit(self, engine, app, report):
        """Those that wait for their turn come back, each once; a new worker has a new limit."""

        @app.task(bind=True, rate_limit="1/m", acks_late=True)
        def slow(self, number):
            for row in range(3):
                self.update_state(state="PROGRESS", meta={"number": number, "row": row})

        run = engine.under(CrashWorker(at_report(report))).run(group(slow.s(n) for n in range(3)))
        assert run.history.states.count("SUCCESS") == 3
        assert len(run.progress) == 10
        assert engine.clock.monotonic() == 120.0
        assert engine.pending == []

    def test_several_at_once(self, engine, late):
        """Under a schedule all processes of the worker die, and all that they ran comes back."""
        run = engine.under(CrashWorker(at_report(5)), schedule=Schedule(seed=1)).run(
            group(late.s() for _ in range(3))
        )
        assert run.state == "SUCCESS"
        died = [each for each in run.children if len(each.starts) > 1]
        assert len(died) > 1

    def test_which_are_lost_at_once(self, engine, jobs):
        """Without `acks_late` none of those that had begun."""
        run = engine.under(CrashWorker(at_report(5)), schedule=Schedule(1, 1, 1, 1, 1, 1, 1)).run(
            group(jobs.export.s() for _ in range(3))
        )
        assert len(run.progress) == 5 + 4 * sum(each.state == "SUCCESS" for each in run.children)
        assert [each.lost for each in run.children] == [
            each.state != "SUCCESS" for each in run.children
        ]

    def test_what_was_revoked_is_forgotten(self, engine, jobs):
        """A worker keeps revoked ids in its memory: the next one runs the task."""
        engine.contract = Contract().only("abort-survives")
        with engine.paused(), engine.under(CrashWorker(at_report(1))):
            jobs.export.delay()
            revoked = jobs.quiet.delay()
            revoked.revoke()
            engine.drain()
        assert revoked.result == "done"


class TestTheDead:
    def test_no_block_of_theirs_is_run(self, engine, app):
        """No `finally`, no `except`, no `with`: not now, not at garbage collection, not later."""
        seen = []

        class Held:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                seen.append("exit")

        @app.task(bind=True)
        def work(self):
            try:
                with Held():
                    self.update_state(state="PROGRESS", meta={})
                    seen.append("went on")
            except BaseException:
                seen.append("except")
                raise
            finally:
                seen.append("finally")

        for event in (CrashWorker(at_report(1)), CrashWorker(at_report(1), child=True)):
            engine.under(event).run(work)
        gc.collect()
        engine.reset()
        gc.collect()
        assert seen == []

    def test_not_at_the_end_of_the_process_either(self):
        """The interpreter of the tests ends as always, and says nothing."""
        code = """
            from celery import Celery
            from pytest_taskprogress import EagerEngine
            from pytest_taskprogress.scenario import CrashWorker, Schedule, at_report

            app = Celery("died", set_as_current=False)

            @app.task(bind=True)
            def work(self):
                try:
                    self.update_state(state="PROGRESS", meta={})
                finally:
                    print("finally")

            with EagerEngine(app) as engine:
                run = engine.under(CrashWorker(at_report(1)), schedule=Schedule(seed=3)).run(work)
                print(run.lost)
        """
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)

    def test_their_handlers(self, engine, app):
        """A dead process calls neither `on_success` nor `after_return`."""
        called = []

        class Noting(AbortableTask):
            def on_success(self, *args):
                called.append("on_success")

            def on_failure(self, *args):
                called.append("on_failure")

            def after_return(self, *args):
                called.append("after_return")

        @app.task(bind=True, base=Noting)
        def work(self):
            self.update_state(state="PROGRESS", meta={})

        engine.under(CrashWorker(at_report(1))).run(work)
        assert called == []

    def test_who_waited_for_a_result(self, engine, app, jobs):
        """A task that waited for another one, when both died: it runs again, and waits again."""

        @app.task(bind=True, acks_late=True)
        def asks(self):
            with allow_join_result():
                return jobs.export.delay().get()

        run = engine.under(CrashWorker(at_report(2))).run(asks)
        assert run.result == 4
        with engine.paused(), engine.under(CrashWorker(at_report(2))):
            assert asks.delay().get() == 4
        assert engine.run(asks).result == 4

    def test_who_waited_is_not_waited_for(self, engine, app, jobs):
        """The dead wait for nobody: whoever waits for them is told of no circle."""

        @app.task(bind=True)
        def asks(self):
            with allow_join_result():
                return jobs.export.delay().get()

        engine.under(CrashWorker(at_report(2))).run(asks)
        with engine.paused():
            result = asks.delay()
            assert result.get() == 4

    def test_their_flags(self, engine, app, jobs):
        """What a task may do after one has died in `allow_join_result()` is what it may always."""

        @app.task(bind=True)
        def allowed(self):
            with allow_join_result():
                self.update_state(state="PROGRESS", meta={})

        @app.task
        def asks():
            return jobs.quiet.delay().get()

        engine.under(CrashWorker(at_report(1))).run(allowed)
        run = engine.run(asks)
        assert "Never call result.get() within a task!" in str(run.exception)

    def test_what_they_held_back(self, engine, app, jobs):
        """A task that dies between publishing and sending: the test publishes as always."""

        @app.task(bind=True)
        def publishes(self):
            with app.producer_or_acquire():
                self.update_state(state="PROGRESS", meta={})

        engine.under(CrashWorker(at_report(1))).run(publishes)
        assert jobs.quiet.delay().state == "SUCCESS"

    def test_their_context(self, engine, app):
        """Context variables that a process has set are gone with it."""
        var = contextvars.ContextVar("var", default=0)

        @app.task(bind=True, acks_late=True)
        def work(self):
            before = var.get()
            var.set(before + 1)
            self.update_state(state="PROGRESS", meta={})
            return before

        assert engine.under(CrashWorker(at_report(1))).run(work).result == 0
        assert var.get() == 0

    def test_listeners(self, engine, late):
        """Listeners hear of what was stored, and of no end of the dead."""
        heard = []
        engine.atom_notifier.register("*", lambda state, details: heard.append(state))
        run = engine.under(CrashWorker(at_report(2))).run(late)
        assert heard[-1] == "SUCCESS"
        assert "FAILURE" not in heard
        assert run.state == "SUCCESS"

    def test_a_thousand_of_them(self, engine, jobs):
        """What is kept of each for ever is little."""
        import tracemalloc

        def die(times):
            for _ in range(times):
                engine.reset()
                engine.under(CrashWorker(at_report(1))).run(jobs.export)

        die(20)
        gc.collect()
        tracemalloc.start()
        die(50)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 50 * 50_000


class TestAProcessOfThePool:
    def test_it_fails(self, engine, jobs):
        """The worker notices, and stores that it was lost."""
        run = engine.under(CrashWorker(at_report(2), child=True)).run(jobs.export)
        assert run.states == ["PROGRESS", "PROGRESS", "FAILURE"]
        assert type(run.exception) is WorkerLostError
        assert not run.lost

    def test_acks_late_alone(self, engine, late):
        """Celery acknowledges it all the same, so that it cannot kill one process after another."""
        run = engine.under(CrashWorker(at_report(2), child=True)).run(late)
        assert run.states == ["PROGRESS", "PROGRESS", "FAILURE"]

    def test_reject_on_worker_lost(self, engine, requeued):
        """It comes back."""
        run = engine.under(CrashWorker(at_report(2), child=True)).run(requeued)
        assert run.states == ["PROGRESS"] * 5 + ["SUCCESS"]
        assert not run.lost

    def test_the_others_live(self, engine, jobs):
        """Under a schedule what runs beside it goes on."""
        run = engine.under(CrashWorker(at_report(4), child=True), schedule=Schedule(seed=2)).run(
            group(jobs.export.s() for _ in range(3))
        )
        assert sorted(each.state for each in run.children) == ["FAILURE", "SUCCESS", "SUCCESS"]

    def test_on_failure_and_errbacks(self, engine, app, jobs, heard):
        """The worker publishes errbacks; `on_failure` is of the process, and is not called."""

        @app.task
        def errback(request, exc, traceback):
            heard.append(type(exc).__name__)

        signature = jobs.export.s().on_error(errback.s())
        engine.under(CrashWorker(at_report(1), child=True)).run(signature)
        assert heard == ["WorkerLostError"]

    def test_what_it_waited_for(self, engine, app, jobs):
        """The process of a task that waits is not the one that runs now."""

        @app.task
        def asks():
            with allow_join_result():
                return str(jobs.export.delay().get(propagate=False))

        run = engine.under(CrashWorker(at_report(2), child=True)).run(asks)
        assert "signal 9" in run.result

    def test_and_the_backend_is_down(self, engine, jobs):
        """What the worker cannot store either is lost, and breaks no test."""
        events = CrashWorker(at_report(2), child=True), FailWrite(at_report(2))
        run = engine.under(*events).run(jobs.export)
        assert run.states == ["PROGRESS"] * 2
        assert run.lost

    def test_where_the_worker_itself_works(self, engine, jobs):
        """REVOKED is stored by the worker: no process runs the task."""
        result = CrashWorker(at_state("REVOKED"), child=True)
        with pytest.raises(EngineError, match="now it is the worker itself that works"):
            engine.under(Revoke(before_start()), result).run(jobs.quiet)

    def test_after_it_was_aborted(self, engine, jobs):
        """The worker says that it was lost, and no rule blames the task for that."""
        engine.contract = Contract()
        events = (Abort(at_report(1)), CrashWorker(at_state("ABORTED"), child=True))
        run = engine.under(*events).run(jobs.export)
        assert run.states[-2:] == ["ABORTED", "FAILURE"]
        assert run.violations == ()

    def test_after_what_it_stored(self, engine, jobs):
        """One that dies after SUCCESS has succeeded, or fails by WorkerLostError: Celery says."""
        run = engine.under(CrashWorker(at_state("SUCCESS"), child=True)).run(jobs.export)
        assert run.state == "SUCCESS"
        assert not run.lost


class TestCanvases:
    def test_a_chain(self, engine, late, jobs):
        """What comes after a task that came back comes after it."""
        run = engine.under(CrashWorker(at_report(2))).run(chain(late.s(), jobs.quiet.s()))
        assert [each.name for each in run.history.dropped] == []
        assert (run.name, run.state) == ("quiet", "SUCCESS")

    def test_a_chain_that_is_lost(self, engine, jobs):
        """Nothing comes after what is lost; nobody waits for ever."""
        run = engine.under(CrashWorker(at_report(2))).run(chain(jobs.export.s(), jobs.quiet.s()))
        assert (run.state, engine.pending) == ("PENDING", [])

    @pytest.mark.parametrize("schedule", [None, Schedule(), Schedule(seed=1), Schedule(seed=2)])
    @pytest.mark.parametrize("report", [1, 4, 6])
    def test_a_chord(self, engine, late, tasks, schedule, report):
        """Each task of the header is counted once, and the body runs once."""
        canvas = chord([late.s(), late.s()], tasks.total.s())
        run = engine.under(CrashWorker(at_report(report)), schedule=schedule).run(canvas)
        assert (run.state, run.result) == ("SUCCESS", 6)
        assert [each.state for each in engine.history if each.name == "total"] == ["SUCCESS"]

    def test_a_chord_between_store_and_count(self, engine, late, tasks):
        """A worker that dies after SUCCESS, and before it has counted: what comes back counts."""
        canvas = chord([late.s(), late.s()], tasks.total.s())
        run = engine.under(CrashWorker(at_state("SUCCESS"))).run(canvas)
        assert run.result == 6

    def test_the_run_of_a_canvas_is_lost_with_its_part(self, engine, late, jobs, tasks):
        """What never begins because what comes before is lost is lost as well."""
        engine.contract = Contract()
        header = [jobs.export.s(), late.s()]
        run = engine.under(CrashWorker(at_report(2))).run(chord(header, tasks.total.s())).check()
        assert run.state == "PENDING"
        assert run.lost

    def test_what_celery_says_of_a_body(self, engine, late, tasks):
        """A body that was revoked with its header fails by ChordError: nobody is blamed."""
        engine.contract = Contract()
        run = engine.under(Revoke(at_report(1))).run(chord([late.s(), late.s()], tasks.total.s()))
        assert run.violations == ()

    def test_a_chord_that_is_lost(self, engine, jobs, tasks):
        """The body never runs."""
        canvas = chord([jobs.export.s(), jobs.export.s()], tasks.total.s())
        run = engine.under(CrashWorker(at_report(2))).run(canvas)
        assert run.state == "PENDING"
        assert engine.run(chord([jobs.export.s()] * 2, tasks.total.s())).result == 8


class TestTogether:
    def test_with_other_events_of_the_moment(self, engine, late):
        """All events of a moment take place, and then the worker dies."""
        at = at_report(2)
        for events in (
            (CrashWorker(at), Advance(at, 5), Abort(at)),
            (Abort(at), Advance(at, 5), CrashWorker(at)),
        ):
            engine.reset()
            run = engine.under(*events).run(late)
            assert run.states == ["PROGRESS", "PROGRESS", "ABORTED"]
            assert engine.clock.monotonic() == 5.0

    def test_with_an_exception(self, engine, jobs):
        """The dead are told of no time limit."""
        events = SoftTimeLimit(at_report(1)), CrashWorker(at_report(1))
        assert engine.under(*events).run(jobs.export).lost

    @pytest.mark.parametrize("child_first", [True, False])
    def test_of_both_kinds(self, engine, requeued, jobs, child_first):
        """Where the worker dies its processes do."""
        events = [CrashWorker(at_report(1), child=True), CrashWorker(at_report(1))]
        run = engine.under(*events[:: 1 if child_first else -1]).run(jobs.export)
        assert run.states == ["PROGRESS"]

    def test_delivered_twice(self, engine, late):
        """A message that is delivered again, and comes back: three executions."""
        run = engine.under(Redeliver(at_report(1)), CrashWorker(at_report(2))).run(late)
        assert len(run.starts) == 3
        assert run.state == "SUCCESS"

    def test_run_iter(self, engine, late):
        """Step by step, with the step at which it dies."""
        steps = engine.under(CrashWorker(at_report(2))).run_iter(late)
        assert [each.state for each in steps] == ["PROGRESS"] * 5 + ["SUCCESS"]
        assert len(steps.run.starts) == 2

    def test_run_iter_within_the_scenario(self, engine, late):
        """A scenario that is entered is that of a run step by step too."""
        with engine.under(CrashWorker(at_report(2))):
            steps = engine.run_iter(late)
            assert [each.state for each in steps] == ["PROGRESS"] * 5 + ["SUCCESS"]

    def test_another_walk_lives(self, engine, jobs, late):
        """A run that stands still elsewhere goes on when this one's worker has died."""
        other = engine.run_iter(jobs.export)
        next(other)
        assert engine.under(CrashWorker(at_report(1))).run(late).state == "SUCCESS"
        assert other.run.states == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_published_by_other_code(self, engine, late):
        """Under `with`, what code under test publishes dies and comes back."""
        with engine.under(CrashWorker(at_report(2))):
            result = late.delay()
        assert result.get() == 3
        assert engine.runs[-1].starts[0].ended is None

    def test_a_task_that_ends_by_ignore(self, engine, app):
        """What comes back may end otherwise."""
        seen = []

        @app.task(bind=True, acks_late=True)
        def once(self):
            if seen:
                raise Ignore
            seen.append(1)
            self.update_state(state="PROGRESS", meta={})

        run = engine.under(CrashWorker(at_report(1))).run(once)
        assert (run.states, run.lost) == (["PROGRESS"], False)

    def test_sweep(self, engine, late):
        """At each moment of a run: a task with `acks_late` always comes to its end."""
        for run in engine.sweep(CrashWorker, late):
            assert run.state == "SUCCESS"
            assert len(run.starts) == 2
            assert run.violations == ()

    def test_where_it_need_not_come(self, engine, jobs):
        """A crash that is not reached is none; nor is one where nothing runs."""
        assert engine.under(CrashWorker(if_reached(at_report(9)))).run(jobs.export).state


class TestWhereNoneRuns:
    def test_in_a_thread_that_helps(self, engine, app):
        """Its moment is in another thread: that is told, and the run goes on."""

        @app.task(bind=True)
        def helped(self):
            def report(task_id):
                self.update_state(task_id=task_id, state="PROGRESS", meta={})

            thread = threading.Thread(target=report, args=(self.request.id,))
            thread.start()
            thread.join()

        with pytest.raises(EngineError, match="in the thread of that task"):
            engine.under(CrashWorker(at_report(1))).run(helped)
        event = CrashWorker(if_reached(at_report(1)))
        assert engine.under(event).run(helped).happened == ()

    def test_another_engine_after_it(self, app, late):
        """An engine that is made anew knows nothing of it."""
        with EagerEngine(app) as engine:
            engine.under(CrashWorker(at_report(1)), schedule=Schedule(seed=1)).run(late)
        with EagerEngine(app) as engine:
            assert engine.run(late).states == ["PROGRESS"] * 3 + ["SUCCESS"]
