"""Step by step: the test has each transition while the task stands still at it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sqlite3
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter, methodcaller

import pytest
from celery import chain, chord, current_task, group
from celery.exceptions import SoftTimeLimitExceeded

from pytest_taskprogress import (
    AbortableTask,
    DeadlockError,
    DrainLimitExceeded,
    EagerEngine,
    EngineError,
    MomentNotReached,
    Observer,
    ProgressTask,
    TaskAborted,
    TaskProgressWarning,
    TaskRun,
    abort,
)
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    SoftTimeLimit,
    at_abort_check,
    at_report,
    at_retry,
)

WHERE = contextvars.ContextVar("WHERE", default="nowhere")


def states(transitions):
    """The states of some transitions."""
    return [each.state for each in transitions]


class TestStandingStill:
    def test_every_transition(self, engine, jobs):
        """The test gets each, in order; then `run` is what `run()` would have returned."""
        steps = engine.run_iter(jobs.export)
        seen = list(steps)
        assert states(seen) == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert steps.run.history == engine.history
        assert steps.run.history == engine.run(jobs.export).history.states
        assert [each.index for each in seen] == [0, 1, 2, 3, 4]
        assert isinstance(steps.run, TaskRun)

    def test_the_backend_shows_it_and_nothing_later(self, engine, jobs):
        """At each step the backend has what was just stored."""
        for step in engine.run_iter(jobs.export):
            result = jobs.export.AsyncResult(step.uuid)
            assert result.state == step.state
            if step.is_report:
                assert result.info == step.meta
                assert not result.ready()
            assert engine.history[-1] == step

    def test_the_task_does_not_go_on(self, engine, app, heard):
        """No line after the report has run."""

        @app.task(bind=True)
        def export(self):
            for number in range(3):
                self.update_state(state="PROGRESS", meta={})
                heard.append(number)

        assert [(len(heard), each.state) for each in engine.run_iter(export)] == [
            (0, "PROGRESS"),
            (1, "PROGRESS"),
            (2, "PROGRESS"),
            (3, "SUCCESS"),
        ]

    def test_nothing_before_the_first(self, engine, jobs):
        """Nothing is published before the first transition is asked for."""
        steps = engine.run_iter(jobs.export)
        assert len(engine.history) == 0
        assert engine.pending == []
        next(steps)
        assert engine.history == ["PROGRESS"]

    def test_a_task_that_writes_nothing(self, engine, app, heard):
        """A run without a transition has no steps."""

        @app.task(ignore_result=True)
        def silent():
            heard.append("ran")

        steps = engine.run_iter(silent)
        assert list(steps) == []
        assert heard == ["ran"]
        assert steps.run.state == "PENDING"

    def test_after_the_last(self, engine, jobs):
        """There is nothing more, however often it is asked for."""
        steps = engine.run_iter(jobs.export, rows=1)
        assert len(list(steps)) == 2
        assert next(steps, None) is None
        assert list(steps) == []

    def test_abort(self, engine, jobs):
        """The task is aborted while it stands still, and sees that at its next check."""
        steps = engine.run_iter(jobs.export)
        for step in steps:
            if step.is_report and step.percent == 50:
                assert abort(jobs.export.AsyncResult(step.uuid))
                assert jobs.export.AsyncResult(step.uuid).state == "ABORTED"
        assert steps.run.states == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert steps.run.reports_after_abort == 0
        assert isinstance(steps.run.exception, TaskAborted)
        assert steps.run.aborts[0].source.file == __file__

    def test_the_clock(self, engine, jobs):
        """The test moves the clock, and the task is later."""
        steps = engine.run_iter(jobs.export)
        for _ in steps:
            engine.clock.advance(10)
        assert [each.at for each in steps.run.history] == [0.0, 10.0, 20.0, 30.0, 40.0]
        assert [each.meta["elapsed"] for each in steps.run.progress] == [0.0, 10.0, 20.0, 30.0]
        assert steps.run.elapsed == 50.0

    def test_throttle(self, engine, app):
        """A throttled observer lets a report through when the test moved the clock."""

        @app.task(bind=True, base=ProgressTask)
        def export(self):
            observer = Observer(self, throttle=1)
            for _ in range(6):
                observer.update("Exporting", total=12)
                self.update_state(state="TICK", meta={})

        steps = engine.run_iter(export)
        for number, step in enumerate(each for each in steps if each.state == "TICK"):
            engine.clock.advance(number % 2)
            assert step.stored
        reports = [each.meta["current"] for each in steps.run.progress if each.state == "PROGRESS"]
        assert reports == [1, 3, 5, 6]

    def test_revoke(self, engine, jobs):
        """What waits in the run is revoked from outside."""
        waiting = jobs.quiet.si().set(task_id="the-id")
        steps = engine.run_iter(group(jobs.export.si(rows=1), waiting))
        next(steps)
        engine.app.control.revoke("the-id")
        assert "REVOKED" in states(steps)
        assert [each.state for each in steps.run.children] == ["SUCCESS", "REVOKED"]

    def test_retries_and_countdowns(self, engine, jobs):
        """It stands still at a RETRY as well; the clock jumps when it goes on."""
        times = [(each.state, engine.clock.monotonic()) for each in engine.run_iter(jobs.flaky)]
        assert times == [("PROGRESS", 0.0), ("RETRY", 0.0), ("PROGRESS", 30.0), ("SUCCESS", 30.0)]
        countdown = jobs.quiet.si().set(countdown=60)
        assert [engine.clock.monotonic() for _ in engine.run_iter(countdown)] == [90.0]

    def test_abort_at_a_retry(self, engine, jobs):
        """A retry that is aborted has no second attempt."""
        steps = engine.run_iter(jobs.flaky)
        for step in steps:
            if step.state == "RETRY":
                jobs.flaky.AsyncResult(step.uuid).abort()
        assert steps.run.states == ["PROGRESS", "RETRY", "ABORTED"]

    def test_canvases(self, engine, jobs):
        """All transitions of all tasks, in order; the run stands for the last of a chain."""
        canvas = chain(jobs.export.si(rows=1), group(jobs.export.si(rows=1), jobs.quiet.si()))
        steps = engine.run_iter(canvas)
        assert [(each.name, each.state) for each in steps] == [
            ("export", "PROGRESS"),
            ("export", "SUCCESS"),
            ("export", "PROGRESS"),
            ("export", "SUCCESS"),
            ("quiet", "SUCCESS"),
        ]
        assert steps.run.result == [1, "done"]

    def test_chords(self, engine, jobs, tasks):
        """A chord stands still at each of its members, and at its body."""
        steps = engine.run_iter(chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()))
        assert [each.name for each in steps] == ["add", "add", "total"]
        assert steps.run.result == 5

    def test_an_aborted_canvas(self, engine, jobs):
        """A chain whose first task is aborted stops there."""
        steps = engine.run_iter(chain(jobs.export.si(), jobs.export.si()))
        abort(jobs.export.AsyncResult(next(steps).uuid))
        assert states(steps)[0] == "ABORTED"
        assert "SUCCESS" not in steps.run.history.states

    @pytest.mark.filterwarnings("ignore:.*breaks its contract")
    def test_a_write_that_is_dropped(self, engine, app):
        """It stands still there, too: the test sees that it was dropped."""

        @app.task(bind=True)
        def late(self):
            self.update_state(state="SUCCESS", meta={})
            self.update_state(state="PROGRESS", meta={})
            return {}

        seen = [(each.state, each.stored) for each in engine.run_iter(late)]
        assert seen == [("SUCCESS", True), ("PROGRESS", False), ("SUCCESS", False)]

    def test_listeners_have_heard_of_it(self, engine, jobs):
        """When the task stands still, listeners know of the write."""
        heard = []
        for state in ("STARTED", "PROGRESS", "SUCCESS"):
            engine.atom_notifier.register(state, lambda state, details: heard.append(state))
        for number, step in enumerate(engine.run_iter(jobs.export), 1):
            assert len(heard) == number
            assert heard[-1] == step.state

    def test_a_listener_that_raises(self, app, jobs):
        """Its error is raised at the end, and not in the loop."""

        def broken(state, details):
            raise ZeroDivisionError

        engine = EagerEngine(app)
        with pytest.raises(Exception, match="listener") as caught, engine:  # noqa: PT012
            engine.atom_notifier.register("PROGRESS", broken)
            assert len(list(engine.run_iter(jobs.export))) == 5
        assert "ZeroDivisionError" in str(caught.value)

    def test_bad_input(self, engine, app):
        """What `run` refuses is refused, at the first step at the latest."""
        with pytest.raises(EngineError, match=r"takes a Celery task or a signature, got str"):
            next(engine.run_iter("export"))
        with pytest.raises(TypeError):
            engine.run_iter()


class TestLeftEarly:
    def test_by_break(self, engine, jobs):
        """The run goes on to its end at once: also if nobody asks for it."""
        for _ in engine.run_iter(jobs.export):
            break
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert engine.pending == []

    def test_by_break_of_one_that_is_kept(self, engine, jobs):
        """One that somebody keeps stands still, until it is closed or asked for its run."""
        steps = engine.run_iter(jobs.export)
        for _ in steps:
            break
        assert engine.history == ["PROGRESS"]
        assert steps.run.state == "SUCCESS"
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert list(steps) == []

    def test_by_an_exception(self, engine, jobs):
        """An assertion that fails leaves no task behind."""
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is tested
            for _ in engine.run_iter(jobs.export):
                raise ZeroDivisionError
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_by_return(self, engine, jobs):
        """A function that returns from the loop leaves none either."""

        def first():
            for step in engine.run_iter(jobs.export):
                return step
            return None

        assert first().percent == 25.0
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_by_with(self, engine, jobs):
        """A `with` block ends where it ends."""
        with engine.run_iter(jobs.export) as steps:
            next(steps)
            next(steps)
            assert engine.history == ["PROGRESS"] * 2
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert steps.run.state == "SUCCESS"

    def test_by_with_and_an_exception(self, engine, jobs):
        """The exception of a `with` block is not masked."""
        with (  # noqa: PT012 - the block is what is tested
            pytest.raises(ZeroDivisionError),
            engine.run_iter(jobs.export) as steps,
        ):
            next(steps)
            raise ZeroDivisionError
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_by_close(self, engine, jobs):
        """`close` finishes it; twice is once."""
        steps = engine.run_iter(jobs.export)
        next(steps)
        steps.close()
        steps.close()
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert list(steps) == []

    @pytest.mark.parametrize("leave", ["close", "with", "del", "nothing"])
    def test_never_begun(self, engine, jobs, leave):
        """What nobody asked for does not run."""
        steps = engine.run_iter(jobs.export)
        if leave == "close":
            steps.close()
        elif leave == "with":
            with steps:
                pass
        elif leave == "del":
            del steps
            gc.collect()
        engine.reset()
        assert len(engine.history) == 0

    def test_run_of_one_never_begun(self, engine, jobs):
        """Who asks for its run, runs it."""
        assert engine.run_iter(jobs.export).run.state == "SUCCESS"

    def test_abort_and_leave(self, engine, jobs):
        """It comes to its own end: aborted, with all handlers."""
        for step in engine.run_iter(jobs.export):
            abort(jobs.export.AsyncResult(step.uuid))
            break
        assert engine.history == ["PROGRESS", "ABORTED"]

    def test_garbage(self, engine, jobs):
        """Steps in a cycle are found by the garbage collector, and finished."""

        class Cycle:
            pass

        cycle = Cycle()
        cycle.me, cycle.steps = cycle, engine.run_iter(jobs.export)
        next(cycle.steps)
        found = weakref.ref(cycle.steps)
        del cycle
        gc.collect()
        assert found() is None
        assert engine.history == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_nothing_is_kept(self, engine, jobs):
        """A run that has ended is not kept by the engine."""
        steps = engine.run_iter(jobs.export)
        list(steps)
        walk = weakref.ref(steps._walk)
        del steps
        gc.collect()
        assert walk() is None or not walk().stands

    def test_by_reset(self, engine, jobs):
        """A reset finishes what stands still, and forgets it."""
        steps = engine.run_iter(jobs.export)
        next(steps)
        engine.reset()
        assert len(engine.history) == 0
        assert list(steps) == []
        assert steps.run.state == "SUCCESS"

    def test_the_engine_is_left(self, app, jobs):
        """What stands still when the engine is left comes to its end before that."""
        with EagerEngine(app) as engine:
            steps = engine.run_iter(jobs.export)
            next(steps)
        assert steps.run.states == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert list(steps) == []

    def test_the_engine_is_left_before_it_begins(self, app, jobs):
        """One that was never begun cannot begin then."""
        with EagerEngine(app) as engine:
            steps = engine.run_iter(jobs.export)
        with pytest.raises(EngineError):
            next(steps)

    def test_several_when_the_engine_is_left(self, app, jobs):
        """All of them come to their end, whatever one of them raises; that is raised."""

        @app.task(bind=True)
        def breaks(self):
            self.update_state(state="PROGRESS", meta={})
            pytest.fail("in the task")

        engine = EagerEngine(app)
        with pytest.raises(pytest.fail.Exception, match="in the task"), engine:  # noqa: PT012
            runs = [engine.run_iter(each) for each in (jobs.export, breaks, jobs.export)]
            for each in runs:
                next(each)
        assert runs[2].run.state == "SUCCESS"
        with EagerEngine(app) as again:
            assert again.run(jobs.export).state == "SUCCESS"

    def test_an_error_after_the_break_is_not_lost(self, app, jobs):
        """What the rest of a run raises fails the test: nobody waits for it any more."""
        engine = EagerEngine(app)
        with pytest.raises(MomentNotReached), engine:  # noqa: PT012
            for _ in engine.under(Abort(at_report(9))).run_iter(jobs.export):
                break

    def test_an_error_after_the_break_is_raised_once(self, engine, jobs):
        """`check_walks` raises it, once; a reset does not lose it."""
        for _ in engine.under(Abort(at_report(9))).run_iter(jobs.export):
            break
        engine.reset()
        with pytest.raises(MomentNotReached):
            engine.check_walks()
        engine.check_walks()

    def test_a_failed_test_after_the_break(self, app):
        """A `pytest.fail` in the rest of a run is not lost either."""

        @app.task(bind=True)
        def breaks(self):
            self.update_state(state="PROGRESS", meta={})
            pytest.fail("in the task")

        engine = EagerEngine(app)
        with pytest.raises(pytest.fail.Exception, match="in the task"), engine:  # noqa: PT012
            for _ in engine.run_iter(breaks):
                break


class TestInterleaved:
    def test_two_runs(self, engine, jobs):
        """Each goes on by itself, and has its own transitions only."""
        first, second = engine.run_iter(jobs.export, rows=2), engine.run_iter(jobs.export, rows=3)
        names = [(a.state, b.state) for a, b in zip(first, second, strict=False)]
        assert names == [("PROGRESS", "PROGRESS")] * 2 + [("SUCCESS", "PROGRESS")]
        assert states(second) == ["SUCCESS"]
        assert first.run.states == ["PROGRESS"] * 2 + ["SUCCESS"]
        assert second.run.states == ["PROGRESS"] * 3 + ["SUCCESS"]
        assert len(first.run.history) == 3
        assert len(second.run.history) == 4
        assert first.run.task_id != second.run.task_id
        assert len(engine.history) == 7

    def test_canvases_do_not_mix(self, engine, jobs):
        """The messages of one are not run by the other."""
        first = engine.run_iter(chain(jobs.export.si(rows=1), jobs.quiet.si()))
        second = engine.run_iter(group(jobs.flaky.si(), jobs.flaky.si()))
        seen = []
        for left, right in zip(first, second, strict=False):
            seen.append((left.name, right.name))
            assert engine.pending == []
        assert seen == [("export", "flaky"), ("export", "flaky"), ("quiet", "flaky")]
        assert {each.name for each in first.run.history} == {"export", "quiet"}
        assert {each.name for each in second.run.history} == {"flaky"}
        assert second.run.state == "SUCCESS"

    def test_their_clock_is_one(self, engine, jobs):
        """A jump of the one is a jump of the other, and nobody goes back."""
        first, second = engine.run_iter(jobs.flaky), engine.run_iter(jobs.flaky)
        times = [(a.at, b.at) for a, b in zip(first, second, strict=True)]
        assert times == [(0.0, 0.0), (0.0, 0.0), (30.0, 30.0), (30.0, 30.0)]

    def test_the_request_is_each_ones_own(self, engine, app):
        """Two runs of one task see their own requests, at every line."""
        seen = []

        @app.task(bind=True, name="sees")
        def sees(self, name):
            for _ in range(3):
                self.update_state(state="PROGRESS", meta={})
                seen.append((name, self.request.args[0], current_task.request.id, self.request.id))
            return name

        first, second = engine.run_iter(sees, "first"), engine.run_iter(sees, "second")
        for _ in zip(first, second, strict=True):
            assert not current_task
            assert sees.request.id is None
        assert [name for name, *_ in seen] == ["first", "second"] * 3
        for name, argument, current, own in seen:
            run = first.run if name == "first" else second.run
            assert (argument, current, own) == (name, run.task_id, run.task_id)
        assert (first.run.result, second.run.result) == ("first", "second")

    def test_one_is_aborted(self, engine, jobs):
        """An abort is of one run, not of the other."""
        first, second = engine.run_iter(jobs.export), engine.run_iter(jobs.export)
        step = next(first)
        next(second)
        abort(jobs.export.AsyncResult(step.uuid))
        assert states(second) == ["PROGRESS"] * 3 + ["SUCCESS"]
        assert states(first) == ["ABORTED"]
        assert second.run.aborts == ()
        assert len(first.run.aborts) == 1

    def test_many(self, engine, jobs):
        """Fifty of them, in turns."""
        runs = [engine.run_iter(jobs.export) for _ in range(50)]
        rounds = list(zip(*runs, strict=True))
        assert [states(each) for each in rounds] == [["PROGRESS"] * 50] * 4 + [["SUCCESS"] * 50]

    def test_ended_in_another_order(self, engine, jobs):
        """The first that began need not be the last that ends."""
        runs = [engine.run_iter(jobs.export) for _ in range(4)]
        for each in runs:
            next(each)
        for number in (2, 0, 3, 1):
            assert len(list(runs[number])) == 4
        assert engine.run(jobs.export).state == "SUCCESS"

    def test_the_limit_is_each_runs_own(self, engine, jobs):
        """What others run meanwhile does not count."""
        engine.limit = 3
        steps = engine.run_iter(chain(jobs.quiet.si(), jobs.quiet.si(), jobs.quiet.si()))
        next(steps)
        for _ in range(5):
            engine.run(jobs.quiet)
        assert states(steps) == ["SUCCESS", "SUCCESS"]

    def test_the_limit_still_holds(self, engine, app):
        """A task that requeues itself for ever is ended, step by step as well."""

        @app.task
        def again():
            again.delay()

        engine.limit = 4
        steps, seen = engine.run_iter(again), []
        with pytest.raises(DrainLimitExceeded, match="limit=4"):
            seen.extend(steps)
        assert len(seen) >= 4
        assert engine.pending == []


class TestInTheLoop:
    def test_run(self, engine, jobs):
        """`run` in the loop is a run of its own."""
        steps = engine.run_iter(jobs.export)
        for _ in steps:
            assert engine.run(jobs.quiet).history == ["SUCCESS"]
        assert steps.run.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert engine.history.of("quiet") == ["SUCCESS"] * 5

    def test_delay_and_get(self, engine, jobs):
        """What is published in the loop runs at once; its result is there."""
        for _ in engine.run_iter(jobs.export):
            result = jobs.export.delay(rows=2)
            assert result.get() == 2

    def test_a_canvas(self, engine, jobs, tasks):
        """A chord, too."""
        for _ in engine.run_iter(jobs.export):
            result = chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()).delay()
            assert result.get() == 5

    def test_a_countdown(self, engine, jobs):
        """What waits for its time there is run there: the clock jumps."""
        steps = engine.run_iter(jobs.export)
        next(steps)
        jobs.quiet.apply_async(countdown=60)
        assert engine.clock.monotonic() == 60.0
        assert [each.at for each in steps] == [60.0] * 4

    def test_paused(self, engine, jobs):
        """What waits in the test is not run by the task that goes on."""
        steps = engine.run_iter(jobs.export, rows=2)
        next(steps)
        with engine.paused():
            result = jobs.quiet.delay()
            assert states(steps) == ["PROGRESS", "SUCCESS"]
            assert result.state == "PENDING"
            assert [each.uuid for each in engine.pending] == [result.id]
        assert result.state == "SUCCESS"

    def test_begun_in_paused(self, engine, jobs):
        """A run in `paused()` runs all the same, as `run` does."""
        with engine.paused():
            waiting = jobs.quiet.delay()
            steps = engine.run_iter(jobs.export, rows=1)
            assert states(steps) == ["PROGRESS", "SUCCESS"]
            assert steps.run.state == "SUCCESS"
            assert waiting.state == "PENDING"
        assert waiting.state == "SUCCESS"

    def test_drain_and_step(self, engine, jobs):
        """The test's own line is empty: there is nothing to drain."""
        steps = engine.run_iter(group(jobs.export.si(), jobs.export.si()))
        for _ in steps:
            assert engine.pending == []
            assert engine.step() is False
            assert engine.drain() == 0
        assert len(steps.run.history) == 10

    def test_step_by_step_in_step_by_step(self, engine, jobs):
        """A loop in a loop."""
        count = 0
        for outer in engine.run_iter(jobs.export, rows=2):
            for inner in engine.run_iter(jobs.export, rows=2):
                assert outer.uuid != inner.uuid
                count += 1
        assert count == 9

    def test_a_sweep(self, engine, jobs):
        """A sweep begins anew for each run; what stands still is finished first."""
        steps = engine.run_iter(jobs.export)
        next(steps)
        sweep = engine.sweep(Abort, jobs.export, rows=1)
        assert states(run for run in sweep)[0] == "ABORTED"
        assert list(steps) == []

    def test_get_of_the_one_that_stands_still(self, engine, jobs):
        """Who waits for it waits for ever: that is said, with what to do."""
        steps = engine.run_iter(jobs.export)
        step = next(steps)
        with pytest.raises(DeadlockError, match=r"run_iter|stands still"):
            jobs.export.AsyncResult(step.uuid).get()
        assert steps.run.state == "SUCCESS"

    def test_current_task(self, engine, app, jobs):
        """In the test there is no task; in the task there is its own."""
        names = []

        @app.task(bind=True)
        def sees(self):
            for _ in range(2):
                names.append(current_task.name)
                self.update_state(state="PROGRESS", meta={})

        for _ in engine.run_iter(sees):
            assert not current_task
            assert sees.request.id is None
            assert app.current_task is None
        assert names == [sees.name] * 2

    def test_children_of_the_one_that_stands_still(self, engine, app, jobs):
        """What the test publishes is no child of the task; what the task publishes is."""

        @app.task(bind=True)
        def parent(self):
            self.update_state(state="PROGRESS", meta={})
            jobs.quiet.delay()

        steps = engine.run_iter(parent)
        next(steps)
        other = jobs.quiet.delay()
        list(steps)
        result = parent.AsyncResult(steps.run.task_id)
        assert len(result.children) == 1
        assert result.children[0].id != other.id
        assert jobs.quiet.AsyncResult(other.id).state == "SUCCESS"
        assert len(steps.run.history) == 3

    def test_tasks_that_wait(self, engine, app, jobs):
        """A task that waits for another one lets it work; two of them do not mix."""

        @app.task(name="waits", bind=True)
        def waits(self):
            result = jobs.export.delay(rows=1)
            self.update_state(state="WAITING", meta={})
            return result.get(disable_sync_subtasks=False)

        first, second = engine.run_iter(waits), engine.run_iter(waits)
        names = [(a.name, b.name) for a, b in zip(first, second, strict=True)]
        assert names == [(each, each) for each in ("waits", "export", "export", "waits")]
        assert first.run.result == second.run.result == 1
        assert len(first.run.history) == len(second.run.history) == 4

    def test_a_rate_limit(self, engine, app):
        """Interleaved tasks with a rate limit wait for their turns."""

        @app.task(name="rated", rate_limit="1/m")
        def rated():
            return "done"

        first, second = engine.run_iter(rated), engine.run_iter(rated)
        assert [(a.at, b.at) for a, b in zip(first, second, strict=True)] == [(0.0, 60.0)]

    def test_a_coroutine(self, engine, jobs):
        """A test that is a coroutine looks from a thread of its loop's."""

        async def poll():
            seen = []
            for step in engine.run_iter(jobs.export, rows=2):
                await asyncio.sleep(0)
                result = jobs.export.AsyncResult(step.uuid)
                seen.append(await asyncio.to_thread(lambda result=result: result.state))
            return seen

        assert asyncio.run(poll()) == ["PROGRESS", "PROGRESS", "SUCCESS"]

    def test_inspect(self, engine, jobs):
        """The worker has the task as one that runs."""
        steps = engine.run_iter(jobs.export)
        step = next(steps)
        active = engine.app.control.inspect().active()
        assert [each["id"] for tasks in active.values() for each in tasks] == [step.uuid]
        list(steps)
        active = engine.app.control.inspect().active()
        assert [each for tasks in active.values() for each in tasks] == []


class TestErrors:
    def test_a_task_that_fails(self, engine, tasks):
        """What a task raises is recorded, as by `run`."""
        steps = engine.run_iter(tasks.fails)
        assert states(steps) == ["FAILURE"]
        assert isinstance(steps.run.exception, ValueError)

    @pytest.mark.parametrize(
        "go_on",
        [
            next,
            list,
            attrgetter("run"),
            methodcaller("close"),
            methodcaller("__exit__", *[None] * 3),
        ],
        ids=["next", "loop", "run", "close", "with"],
    )
    def test_a_test_that_fails_in_a_task(self, engine, app, tasks, go_on):
        """`pytest.fail` in a task fails the test, wherever that goes on."""

        @app.task(bind=True)
        def breaks(self):
            self.update_state(state="PROGRESS", meta={})
            pytest.fail("in the task")

        steps = engine.run_iter(breaks)
        next(steps)
        with pytest.raises(pytest.fail.Exception, match="in the task"):
            go_on(steps)
        with pytest.raises(EngineError, match="did not come to its end"):
            steps.run
        assert list(steps) == []
        assert engine.run(tasks.add, 1).result == 2

    def test_why_it_did_not_come_to_its_end(self, engine, app):
        """The error names what was raised: as its cause."""

        @app.task
        def breaks():
            pytest.fail("in the task")

        steps = engine.run_iter(breaks)
        with pytest.raises(pytest.fail.Exception):
            next(steps)
        with pytest.raises(EngineError) as caught:
            steps.run
        assert "in the task" in str(caught.value) + repr(caught.value.__cause__)

    def test_inside_a_task(self, engine, app, jobs):
        """A task does not run tasks, step by step neither."""

        @app.task
        def nests():
            return states(engine.run_iter(jobs.quiet))

        run = engine.run(nests)
        assert run.state == "FAILURE"
        assert "inside a task" in str(run.exception)

    def test_steps_asked_for_inside_a_task(self, engine, app, jobs):
        """A task cannot go on with a run that the test began: no matter how, nothing hangs."""
        steps = engine.run_iter(jobs.export)
        next(steps)

        @app.task(name="nests")
        def nests():
            next(steps)

        run = engine.run(nests)
        assert run.state in {"FAILURE", "SUCCESS"}
        assert steps.run.state == "SUCCESS"
        assert engine.run(jobs.export).state == "SUCCESS"

    def test_its_own_steps(self, engine, app):
        """A task that goes on with itself is told so."""
        box = []

        @app.task(name="own", bind=True)
        def own(self):
            self.update_state(state="PROGRESS", meta={})
            next(box[0])

        box.append(engine.run_iter(own))
        assert states(box[0])[-1] == "FAILURE"

    def test_without_greenlet(self, engine, jobs, monkeypatch):
        """The error says what to install; nothing has run."""
        monkeypatch.setitem(sys.modules, "greenlet", None)
        with pytest.raises(EngineError) as caught:
            engine.run_iter(jobs.export)
        assert str(caught.value) == (
            "run_iter(), schedules and CrashWorker let a task stand still by greenlet, which is not"
            " installed: pip install 'pytest-taskprogress[greenlet]'"
        )
        assert engine.run(jobs.export).state == "SUCCESS"
        with pytest.raises(EngineError, match="greenlet"):
            engine.under(Abort(at_report(1))).run_iter(jobs.export)


class TestUnder:
    def test_events_happen(self, engine, jobs):
        """Step by step under a scenario."""
        steps = engine.under(Abort(at_report(2))).run_iter(jobs.export)
        assert states(steps) == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert steps.run.under == (Abort(at_report(2)),)

    def test_before_the_test_sees_the_step(self, engine, jobs):
        """At a step the events of that moment have been."""
        steps = engine.under(Advance(at_report(2), 60)).run_iter(jobs.export)
        next(steps)
        assert engine.clock.monotonic() == 0.0
        next(steps)
        assert engine.clock.monotonic() == 60.0

    def test_soft_time_limit(self, engine, jobs):
        """The step of the report comes, and then the failure."""
        steps = engine.under(SoftTimeLimit(at_report(2))).run_iter(jobs.export)
        assert states(steps) == ["PROGRESS", "PROGRESS", "FAILURE"]
        assert isinstance(steps.run.exception, SoftTimeLimitExceeded)

    def test_two_scenarios(self, engine, jobs):
        """Interleaved, each has its own."""
        first = engine.under(Abort(at_report(1))).run_iter(jobs.export)
        second = engine.under(Abort(at_report(3))).run_iter(jobs.export)
        plain = engine.run_iter(jobs.export)
        for each in (first, second, plain):
            next(each)
        assert states(plain)[-1] == "SUCCESS"
        assert states(second) == ["PROGRESS", "PROGRESS", "ABORTED"]
        assert states(first) == ["ABORTED"]
        assert plain.run.under == ()
        assert (first.run.under, second.run.under) == (
            (Abort(at_report(1)),),
            (Abort(at_report(3)),),
        )

    def test_what_runs_in_the_loop_is_not_under_it(self, engine, jobs):
        """The scenario of a run is not that of others, which run while it stands still."""
        steps = engine.under(Abort(at_report(3))).run_iter(jobs.export)
        next(steps)
        assert engine.run(jobs.export).state == "SUCCESS"
        assert jobs.export.delay().state == "SUCCESS"
        assert states(steps)[-1] == "ABORTED"

    def test_a_scenario_in_the_loop(self, engine, jobs):
        """And the other way round."""
        steps = engine.run_iter(jobs.export)
        next(steps)
        assert engine.under(Abort(at_report(1))).run(jobs.export).state == "ABORTED"
        with engine.under(Abort(at_report(1))):
            next(steps)
            assert jobs.export.delay().state == "ABORTED"
        assert states(steps) == ["PROGRESS", "PROGRESS", "SUCCESS"]

    def test_at_a_retry(self, engine, jobs):
        """Retries too."""
        steps = engine.under(Abort(at_retry())).run_iter(jobs.flaky)
        assert states(steps) == ["PROGRESS", "RETRY", "ABORTED"]

    def test_standing_still_inside_an_event(self, engine, jobs):
        """Celery's abort is a write: the run stands still inside the event; others go on."""
        steps = engine.under(Abort(at_report(2))).run_iter(jobs.celerys)
        assert [next(steps).state for _ in range(2)][-1] in {"PROGRESS", "ABORTED"}
        next(steps)
        run = engine.under(Advance(at_abort_check(2), 5)).run(jobs.export)
        assert [each.at for each in run.history] == [0.0, 5.0, 5.0, 5.0, 5.0]
        steps.close()
        assert steps.run.states == ["PROGRESS", "PROGRESS", "ABORTED"]


class TestSameThread:
    def test_a_connection_of_the_test(self, engine, app):
        """A SQLite connection of the test may be used by the task, and what it wrote be seen."""
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("create table rows (number integer)")

            @app.task(bind=True)
            def export(self):
                for number in range(3):
                    connection.execute("insert into rows values (?)", (number,))
                    self.update_state(state="PROGRESS", meta={})

            counts = [
                connection.execute("select count(*) from rows").fetchone()[0]
                for _ in engine.run_iter(export)
            ]
        assert counts == [1, 2, 3, 3]

    def test_the_thread(self, engine, app):
        """One thread, and its thread-locals."""
        local, threads = threading.local(), []
        local.value = "of the test"

        @app.task(bind=True)
        def export(self):
            self.update_state(state="PROGRESS", meta={})
            threads.append(threading.get_ident())
            return local.value

        steps = engine.run_iter(export)
        list(steps)
        assert threads == [threading.get_ident()]
        assert steps.run.result == "of the test"

    def test_context_variables(self, engine, app):
        """The task has those of the test; neither changes those of the other."""
        seen = []

        @app.task(bind=True)
        def export(self):
            seen.append(WHERE.get())
            WHERE.set("in the task")
            self.update_state(state="PROGRESS", meta={})
            seen.append(WHERE.get())

        token = WHERE.set("in the test")
        try:
            for _ in engine.run_iter(export):
                assert WHERE.get() != "in the task"
                WHERE.set("in the loop")
            assert WHERE.get() == "in the loop"
        finally:
            WHERE.reset(token)
        assert seen == ["in the test", "in the task"]

    def test_an_exception_that_is_handled(self, engine, app):
        """What is handled in the test is not what is handled in the task."""
        seen = []

        @app.task(bind=True)
        def export(self):
            self.update_state(state="PROGRESS", meta={})
            seen.append(sys.exc_info()[0])
            try:
                {}["no such key"]
            except KeyError:
                self.update_state(state="PROGRESS", meta={})
                seen.append(sys.exc_info()[0])

        steps = engine.run_iter(export)
        next(steps)
        try:
            1 / 0
        except ZeroDivisionError:
            next(steps)
            assert sys.exc_info()[0] is ZeroDivisionError
        next(steps)
        assert seen == [None, KeyError]


class TestThreads:
    @pytest.fixture
    def helped(self, app):
        """A task for which threads report."""

        @app.task(name="helped", bind=True, base=AbortableTask)
        def helped(self, threads=1):
            observer = Observer(self)

            def work():
                for _ in range(3):
                    observer.update("In a thread", total=3 * threads)

            with ThreadPoolExecutor(threads) as pool:
                for each in [pool.submit(work) for _ in range(threads)]:
                    each.result()
            self.update_state(state="JOINED", meta={})
            return "done"

        return helped

    def test_reports_of_a_thread(self, engine, helped):
        """Its reports are told in order; the task stands still at its own."""
        steps = engine.run_iter(helped)
        assert states(steps) == ["PROGRESS"] * 3 + ["JOINED", "SUCCESS"]
        assert steps.run.state == "SUCCESS"
        assert len(steps.run.history) == 5

    def test_of_several_threads(self, engine, helped):
        """All of them."""
        steps = engine.run_iter(helped, threads=4)
        assert states(steps) == ["PROGRESS"] * 12 + ["JOINED", "SUCCESS"]
        assert [each.index for each in steps.run.history] == list(range(14))

    def test_left_early(self, engine, helped):
        """And when the loop is left."""
        for _ in engine.run_iter(helped):
            break
        assert engine.history == ["PROGRESS"] * 3 + ["JOINED", "SUCCESS"]

    def test_a_run_with_threads_in_the_loop(self, engine, jobs, app):
        """While a run stands still, threads of another one report."""
        alive = []

        @app.task(bind=True)
        def helped(self):
            observer = Observer(self)
            thread = threading.Thread(target=observer.update, args=("In a thread",), daemon=True)
            thread.start()
            thread.join(5)
            alive.append(thread.is_alive())

        with contextlib.suppress(TaskProgressWarning):
            steps = engine.run_iter(jobs.export)
            next(steps)
            engine.run(helped)
        assert alive == [False]
        assert len(list(steps)) == 4

    def test_a_thread_that_looks(self, engine, jobs):
        """While a run stands still, other threads read what is stored: a server that is polled."""
        seen = []
        for step in engine.run_iter(jobs.export):
            thread = threading.Thread(
                target=lambda uuid=step.uuid: seen.append(jobs.export.AsyncResult(uuid).state),
                daemon=True,
            )
            thread.start()
            thread.join(5)
        assert seen == ["PROGRESS"] * 4 + ["SUCCESS"]

    def test_a_thread_that_aborts(self, engine, jobs):
        """And ask for an abort."""
        steps = engine.run_iter(jobs.export)
        uuid = next(steps).uuid
        thread = threading.Thread(target=jobs.export.AsyncResult(uuid).abort, daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        assert states(steps) == ["ABORTED"]

    def test_a_thread_that_publishes(self, engine, jobs):
        """And publish: what they publish is run."""
        steps, results = engine.run_iter(jobs.export), []
        next(steps)
        thread = threading.Thread(target=lambda: results.append(jobs.quiet.delay()), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        assert len(list(steps)) == 4
        engine.drain()
        assert results[0].state == "SUCCESS"

    def test_steps_of_another_thread(self, engine, jobs):
        """A run belongs to its thread: another one is refused, and the run goes on here."""
        steps, errors = engine.run_iter(jobs.export), []
        next(steps)

        def work():
            try:
                next(steps)
            except Exception as error:  # noqa: BLE001 - which one is the question
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert [isinstance(each, EngineError) for each in errors] == [True]
        assert "thread" in str(errors[0])
        assert len(list(steps)) == 4
