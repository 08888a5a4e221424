"""Suspending an engine, and going on."""

from __future__ import annotations

import threading

import pytest
from celery import chain, chord, group
from celery.result import allow_join_result

from pytest_taskprogress import (
    DeadlockError,
    DrainLimitExceeded,
    EagerEngine,
    EngineError,
    EngineNotInstalled,
    Listener,
    MomentNotReached,
    TaskRun,
    abort,
)
from pytest_taskprogress.scenario import Abort, Advance, Revoke, at_report, at_retry

SUSPENDED = ["PENDING -> RUNNING", "RUNNING -> SUSPENDED"]
RESUMED = [*SUSPENDED, "SUSPENDED -> RUNNING", "RUNNING -> SUCCESS"]


class Suspends(Listener):
    """Suspends its engine, once, at the n-th time of a state; keeps what flows were told."""

    def __init__(self, engine, kind="task", state="RUNNING", n=1, times=1):
        super().__init__(engine)
        self.kind, self.state, self.n, self.times = kind, state, n, times
        self.flows = []
        self.tasks = []

    def _hear(self, kind, state):
        if (kind, state) == (self.kind, self.state):
            self.n -= 1
            if self.n == 0:
                for _ in range(self.times):
                    assert self._engine.suspend() is None

    def _flow_receiver(self, state, details):
        self.flows.append(f"{details['old_state']} -> {state}")
        self._hear("flow", state)

    def _task_receiver(self, state, details):
        self.tasks.append(f"{details['task_name']} {state}")
        self._hear("task", state)

    def _retry_receiver(self, state, details):
        self._hear("retry", state)


@pytest.fixture
def three(tasks):
    """A chain of three tasks."""
    return chain(tasks.add.s(1, 1), tasks.add.s(1), tasks.add.s(1))


@pytest.fixture
def suspended(engine, three):
    """A run that was suspended after its first task; the listener is there no more."""
    with Suspends(engine):
        return engine.run(three)


class TestWhere:
    """From wherever it is asked for, the run stops before the next task."""

    @pytest.mark.parametrize("state", ["RUNNING", "SUCCESS"])
    @pytest.mark.parametrize("n", [1, 2])
    def test_from_a_listener(self, engine, three, state, n):
        """In a task's listener: the task goes on to its end, and is the last one."""
        with Suspends(engine, "task", state, n) as listener:
            run = engine.run(three)
            assert run.state == "PENDING"
            assert run.history == ["SUCCESS"] * n
            assert len(engine.pending) == 1
            assert listener.flows == SUSPENDED
            assert engine.storage.get_flow_state() == "SUSPENDED"
            whole = engine.resume()
        assert (whole.state, whole.result) == ("SUCCESS", 4)
        assert whole.history == ["SUCCESS"] * 3
        assert whole.task_id == run.task_id
        assert listener.flows == RESUMED
        assert listener.tasks == ["add RUNNING", "add SUCCESS"] * 3
        assert engine.storage.get_flow_state() == "SUCCESS"

    def test_at_the_beginning_of_the_flow(self, engine, three):
        """In a flow's listener: no task runs."""
        with Suspends(engine, "flow", "RUNNING") as listener:
            run = engine.run(three)
            assert run.history == []
            assert listener.flows == SUSPENDED
            assert engine.resume().result == 4
        assert listener.flows == RESUMED

    def test_at_a_report(self, engine, jobs):
        """In a report's listener: the task goes on to its end."""
        with Suspends(engine, "task", "PROGRESS", 2):
            run = engine.run(chain(jobs.export.s(), jobs.export.s()))
        assert run.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert engine.resume().history == (["PROGRESS"] * 4 + ["SUCCESS"]) * 2

    def test_from_a_task(self, engine, app, tasks):
        """In a task itself."""

        @app.task(name="suspends")
        def suspends():
            engine.suspend()
            return 1

        run = engine.run(chain(suspends.s(), tasks.add.s(1)))
        assert run.history == ["SUCCESS"]
        assert engine.resume().result == 2

    def test_from_a_test(self, engine, three, jobs):
        """While a task stands still in run_iter."""
        steps = engine.run_iter(chain(jobs.export.s(rows=2), jobs.export.s(rows=2)))
        next(steps)
        engine.suspend()
        assert [each.state for each in steps] == ["PROGRESS", "SUCCESS"]
        assert steps.run.state == "PENDING"
        assert engine.storage.get_flow_state() == "SUSPENDED"
        whole = engine.resume()
        assert whole.state == "SUCCESS"
        assert whole.history == ["PROGRESS", "PROGRESS", "SUCCESS"] * 2

    def test_from_another_thread(self, engine, app, tasks):
        """In another thread, while a task runs."""

        @app.task(name="suspends")
        def suspends():
            thread = threading.Thread(target=engine.suspend)
            thread.start()
            thread.join()
            return 1

        run = engine.run(chain(suspends.s(), tasks.add.s(1)))
        assert run.history == ["SUCCESS"]
        assert engine.resume().result == 2

    def test_from_another_thread_while_one_stands_still(self, engine, jobs):
        """In another thread, while a task stands still."""
        steps = engine.run_iter(chain(jobs.export.s(rows=1), jobs.export.s(rows=1)))
        next(steps)
        thread = threading.Thread(target=engine.suspend)
        thread.start()
        thread.join()
        assert steps.run.state == "PENDING"
        assert engine.resume().state == "SUCCESS"

    def test_from_a_signal(self, engine, app, tasks):
        """In whatever Celery calls between two tasks."""
        from celery.signals import task_postrun

        def suspends(**_):
            task_postrun.disconnect(suspends)
            engine.suspend()

        task_postrun.connect(suspends)
        run = engine.run(chain(tasks.add.s(1), tasks.add.s(1)))
        assert run.history == ["SUCCESS"]
        assert engine.resume().state == "SUCCESS"

    def test_before_what_waits(self, engine, tasks):
        """At top level, while something waits in paused()."""
        with engine.paused():
            result = tasks.add.delay(1)
            engine.suspend()
            with pytest.raises(EngineError, match="suspended"):
                engine.drain()
        assert result.state == "PENDING"
        assert engine.resume() is None
        assert result.get() == 2


class TestNothingIsLeft:
    """Where nothing is left to be run nothing is suspended."""

    @pytest.mark.parametrize("state", ["RUNNING", "SUCCESS"])
    def test_in_the_last_task(self, engine, three, state):
        """In the last task of a run: it has come to its end."""
        with Suspends(engine, "task", state, 3) as listener:
            run = engine.run(three)
        assert (run.state, run.result) == ("SUCCESS", 4)
        assert listener.flows == ["PENDING -> RUNNING", "RUNNING -> SUCCESS"]
        assert engine.run(three.tasks[0]).state == "SUCCESS"

    def test_at_the_end_of_the_flow(self, engine, three, tasks):
        """At the event that ends the flow."""
        with Suspends(engine, "flow", "SUCCESS"):
            assert engine.run(three).state == "SUCCESS"
        assert engine.run(tasks.add, 1).state == "SUCCESS"

    def test_idle(self, engine, tasks):
        """Where nothing runs it does nothing, and is not remembered."""
        assert engine.suspend() is None
        assert engine.run(tasks.add, 1).state == "SUCCESS"
        engine.suspend()
        assert tasks.add.delay(1).get() == 2

    @pytest.mark.parametrize("how", ["step", "get", "drain", "leave"])
    def test_in_the_last_that_was_asked_for(self, engine, tasks, how):
        """In the last message, whichever way it is run."""
        with Suspends(engine):
            with engine.paused():
                result = tasks.add.delay(1)
                if how == "step":
                    assert engine.step()
                elif how == "get":
                    assert result.get() == 2
                elif how == "drain":
                    assert engine.drain() == 1
            assert engine.run(tasks.add, 1).state == "SUCCESS"
        with pytest.raises(EngineError, match="nothing is suspended"):
            engine.resume()

    def test_in_the_last_step_of_another(self, engine, tasks, three):
        """In the last task of one that stands still: it ends, the other one stops."""
        one, other = engine.run_iter(tasks.add, 1), engine.run_iter(three)
        next(one)
        next(other)
        engine.suspend()
        assert one.run.state == "SUCCESS"
        assert other.run.state == "PENDING"
        assert len(other.run.history) == 1
        assert engine.resume().result == 4

    def test_what_else_is_drained(self, engine, three):
        """Draining where nothing waits does not let go on what stands still elsewhere."""
        steps = engine.run_iter(three)
        next(steps)
        engine.suspend()
        with engine.paused():
            pass
        assert steps.run.state == "PENDING"
        assert engine.resume().result == 4

    def test_a_task_that_fails(self, engine, tasks):
        """A chain that ends by a failure has nothing left."""
        with Suspends(engine, "task", "RUNNING"):
            run = engine.run(chain(tasks.fails.s(), tasks.add.s(1)))
        assert run.state == "FAILURE"
        assert engine.storage.get_flow_state() == "FAILURE"


class TestWhileSuspended:
    @pytest.mark.parametrize(
        "how",
        [
            lambda engine, task: engine.run(task, 1),
            lambda engine, task: engine.step(),
            lambda engine, task: engine.drain(),
            lambda engine, task: engine.drain(limit=1),
            lambda engine, task: engine.drain(until=10),
            lambda engine, task: engine.beat(),
            lambda engine, task: next(engine.run_iter(task, 1)),
            lambda engine, task: engine.run_iter(task, 1).run,
            lambda engine, task: engine.sweep(Advance, task, 1),
            lambda engine, task: engine.under().run(task, 1),
        ],
        ids=[
            "run",
            "step",
            "drain",
            "limit",
            "until",
            "beat",
            "run_iter",
            "whole",
            "sweep",
            "under",
        ],
    )
    def test_refused(self, engine, suspended, tasks, how):
        """Whatever would run something is refused, and says why and how to go on."""
        with pytest.raises(EngineError, match=r"suspended[\s\S]*resume\(\)"):
            how(engine, tasks.add)
        assert engine.resume().result == 4

    def test_what_waits_is_named(self, engine, suspended, tasks):
        """The error names what waits."""
        (waiting,) = engine.pending
        with pytest.raises(EngineError, match=waiting.uuid):
            engine.run(tasks.add, 1)

    def test_the_queue(self, engine, suspended, tasks):
        """What is published waits, after what waited before; all of it runs on resuming."""
        first = [each.uuid for each in engine.pending]
        results = [tasks.add.delay(n) for n in range(2)]
        assert [each.uuid for each in engine.pending] == first + [each.id for each in results]
        assert [each.state for each in results] == ["PENDING", "PENDING"]
        assert engine.resume().result == 4
        assert [each.get() for each in results] == [1, 2]
        assert engine.pending == []

    def test_get(self, engine, suspended, app):
        """Waiting for a result at top level is an error at once, which says why."""
        result = app.AsyncResult(suspended.task_id)
        with pytest.raises(DeadlockError, match=r"suspended[\s\S]*resume\(\)"):
            result.get()
        with pytest.raises(DeadlockError, match="suspended"):
            result.get(timeout=10)
        assert engine.clock.monotonic() == 0.0
        assert engine.resume().result == result.get() == 4

    def test_get_of_what_is_there(self, engine, suspended, app, three):
        """What has come to its end can be read."""
        assert app.AsyncResult(suspended.history[0].uuid).get() == 2

    def test_waiting_in_a_task(self, engine, app, tasks, heard):
        """A task that runs may wait for what it needs to come to its end; no other task begins."""

        @app.task(name="waits")
        def waits():
            engine.suspend()
            with allow_join_result():
                heard.append(tasks.add.delay(1, 2).get())
            return heard[0]

        run = engine.run(chain(waits.s(), tasks.add.s(1)))
        assert run.state == "PENDING"
        assert heard == [3]
        assert engine.resume().result == 4

    def test_twice(self, engine, three, suspended):
        """Suspending what is suspended does nothing."""
        engine.suspend()
        engine.suspend()
        assert engine.resume().result == 4
        assert engine.run(three.tasks[0]).state == "SUCCESS"

    def test_twice_at_once(self, engine, three):
        """Asking twice while it runs is as asking once: one event."""
        with Suspends(engine, times=3) as listener:
            engine.run(three)
            assert listener.flows == SUSPENDED
            assert engine.resume().result == 4

    def test_the_clock_stands_still(self, engine, suspended):
        """Suspending and resuming cost no time, and time may be moved meanwhile."""
        engine.clock.advance(100)
        run = engine.resume()
        assert run.elapsed == 100.0

    def test_revoked_meanwhile(self, engine, suspended, app):
        """What waits may be revoked."""
        app.control.revoke(engine.pending[0].uuid)
        run = engine.resume()
        assert run.history.states[-1] != "SUCCESS"
        assert engine.storage.get_flow_state() == "FAILURE"

    def test_aborted_meanwhile(self, engine, jobs, app):
        """What waits may be aborted."""
        with Suspends(engine):
            run = engine.run(chain(jobs.export.s(), jobs.export.s()))
        abort(jobs.export.AsyncResult(run.task_id))
        whole = engine.resume()
        assert whole.state == "ABORTED"
        assert engine.storage.get_flow_state() == "ABORTED"


class TestResuming:
    def test_nothing(self, engine, tasks):
        """Where nothing is suspended resuming is an error that says so."""
        for _ in range(2):
            with pytest.raises(EngineError, match=r"resume.*nothing is suspended"):
                engine.resume()
            engine.run(tasks.add, 1)

    def test_twice(self, engine, suspended):
        """What was resumed is suspended no more."""
        engine.resume()
        with pytest.raises(EngineError, match="nothing is suspended"):
            engine.resume()

    def test_in_a_task(self, engine, app, tasks, heard):
        """In a task, and in its listeners, it is refused."""

        @app.task(name="resumes")
        def resumes():
            engine.suspend()
            try:
                engine.resume()
            except EngineError as error:
                heard.append(str(error))
            return 1

        engine.run(chain(resumes.s(), tasks.add.s(1)))
        assert len(heard) == 1
        assert "a task runs" in heard[0]
        assert engine.resume().result == 2

    def test_in_a_flows_listener(self, engine, three):
        """At the event that tells that the flow is suspended it goes on at once."""

        class Resumes(Listener):
            def _flow_receiver(self, state, details):
                if state == "SUSPENDED":
                    self._engine.resume()

        with Suspends(engine), Resumes(engine):
            engine.run(three)
        assert engine.storage.get_flow_state() == "SUCCESS"
        assert engine.history == ["SUCCESS"] * 3
        with pytest.raises(EngineError, match="nothing is suspended"):
            engine.resume()

    def test_suspended_again(self, engine, three):
        """A run may be suspended as often as one likes; the last part has all of it."""
        with Suspends(engine, n=1) as listener:
            run = engine.run(three)
            for n in (1, 2):
                assert run.history == ["SUCCESS"] * n
                assert run.state == "PENDING"
                listener.n = 1
                run = engine.resume()
            assert run.state == "SUCCESS"
        assert listener.flows == [
            *SUSPENDED,
            *["SUSPENDED -> RUNNING", "RUNNING -> SUSPENDED"],
            *["SUSPENDED -> RUNNING", "RUNNING -> SUCCESS"],
        ]

    def test_what_delay_published(self, engine, three):
        """Of what delay() published there is no run; its flow is told all the same."""
        with Suspends(engine) as listener:
            result = three.delay()
            assert result.state == "PENDING"
            assert listener.flows == SUSPENDED
            assert engine.storage.get_flow_state() == "SUSPENDED"
            assert engine.resume() is None
        assert result.get() == 4
        assert listener.flows == RESUMED

    def test_what_it_returns(self, engine, suspended):
        """The whole run, from its beginning."""
        run = engine.resume()
        assert isinstance(run, TaskRun)
        assert run.history == engine.history
        assert len(run.children) == 2

    def test_retries(self, engine, jobs):
        """A task that waits for its next attempt has it after resuming."""
        with Suspends(engine, "retry", "RETRY") as listener:
            run = engine.run(jobs.flaky)
            assert run.state == "RETRY"
            assert engine.clock.monotonic() == 0.0
            assert [each.at for each in engine.pending] == [30.0]
            whole = engine.resume()
        assert (whole.state, whole.retries, whole.elapsed) == ("SUCCESS", 1, 30.0)
        assert listener.flows == RESUMED

    def test_countdown(self, engine, tasks):
        """A task with an eta has it after resuming; time does not jump while it is suspended."""
        with Suspends(engine):
            run = engine.run(chain(tasks.add.s(1), tasks.add.s(1).set(countdown=60)))
        assert (run.state, engine.clock.monotonic()) == ("PENDING", 0.0)
        assert [each.at for each in engine.pending] == [60.0]
        whole = engine.resume()
        assert (whole.state, whole.elapsed) == ("SUCCESS", 60.0)

    def test_countdown_that_is_over(self, engine, tasks):
        """Where its time has come meanwhile it runs at once."""
        with Suspends(engine):
            engine.run(chain(tasks.add.s(1), tasks.add.s(1).set(countdown=60)))
        engine.clock.advance(100)
        engine.resume()
        assert engine.clock.monotonic() == 100.0

    def test_expired_meanwhile(self, engine, tasks):
        """Where it has expired meanwhile it does not run."""
        with Suspends(engine):
            engine.run(chain(tasks.add.s(1), tasks.add.s(1).set(expires=60)))
        engine.clock.advance(100)
        assert engine.resume().state == "REVOKED"

    @pytest.mark.parametrize("n", [1, 2])
    def test_group(self, engine, tasks, n):
        """The tasks of a group that have not begun wait."""
        with Suspends(engine, n=n):
            run = engine.run(group(tasks.add.s(each) for each in range(3)))
        assert run.state == "PENDING"
        assert run.history == ["SUCCESS"] * n
        assert len(engine.pending) == 3 - n
        assert engine.resume().result == [1, 2, 3]

    @pytest.mark.parametrize("n", [1, 2])
    def test_chord(self, engine, tasks, n):
        """The header's tasks, or the body, wait."""
        with Suspends(engine, n=n) as listener:
            run = engine.run(chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()))
            assert run.state == "PENDING"
            assert len(run.history) == n
            assert engine.resume().result == 5
        assert listener.flows == RESUMED

    def test_children(self, engine, app, tasks):
        """What a task published waits too, though its result is there."""

        @app.task(name="parent")
        def parent():
            tasks.add.delay(1)
            return "done"

        with Suspends(engine) as listener:
            run = engine.run(parent)
            assert run.state == "SUCCESS"
            assert listener.flows == SUSPENDED
            whole = engine.resume()
        assert len(whole.children) == 1
        assert listener.flows == RESUMED

    def test_that_fails(self, engine, tasks):
        """What fails after resuming ends the flow in FAILURE."""
        with Suspends(engine) as listener:
            engine.run(chain(tasks.add.s(1), tasks.fails.s()))
            assert engine.resume().state == "FAILURE"
        assert listener.flows[-1] == "RUNNING -> FAILURE"

    def test_that_never_ends(self, app):
        """The limit holds after resuming, too; then nothing is suspended."""

        @app.task(name="again")
        def again():
            again.delay()

        with EagerEngine(app, limit=5) as engine:
            with Suspends(engine) as listener:
                engine.run(again)
                with pytest.raises(DrainLimitExceeded):
                    engine.resume()
            assert listener.flows[-1] == "RUNNING -> FAILURE"
            with pytest.raises(EngineError, match="nothing is suspended"):
                engine.resume()


class TestSeveral:
    @pytest.fixture
    def two(self, engine, three, tasks):
        """Two runs that stood still, and are suspended."""
        steps = engine.run_iter(three), engine.run_iter(chain(tasks.add.s(5), tasks.add.s(5)))
        for each in steps:
            next(each)
        engine.suspend()
        for each in steps:
            assert list(each) == []
        return steps

    def test_both(self, engine, two):
        """Both stop before their next task, and both go on; the last one's run is returned."""
        one, other = (each.run for each in two)
        assert (one.state, other.state) == ("PENDING", "PENDING")
        storage = engine.storage
        states = [storage.get_flow_state(each.task_id) for each in (one, other)]
        assert states == ["SUSPENDED"] * 2
        run = engine.resume()
        assert run.task_id == other.task_id
        assert (run.result, len(run.history)) == (11, 2)
        states = [storage.get_flow_state(each.task_id) for each in (one, other)]
        assert states == ["SUCCESS"] * 2

    def test_the_first_raises(self, engine, two):
        """Where resuming the first raises, the second one can be resumed still."""

        class Stops(Listener):
            def _task_receiver(self, state, details):
                self.deregister()
                raise KeyboardInterrupt

        with Stops(engine), pytest.raises(KeyboardInterrupt):
            engine.resume()
        one, other = (each.run for each in two)
        assert engine.storage.get_flow_state(one.task_id) == "FAILURE"
        assert engine.resume().result == 11
        assert engine.storage.get_flow_state(other.task_id) == "SUCCESS"

    def test_one_that_stands_still_while_another_is_suspended(self, engine, three, jobs):
        """What stands still when another run is suspended goes on to the end of its task."""
        steps = engine.run_iter(chain(jobs.export.s(rows=2), jobs.export.s(rows=1)))
        next(steps)
        with Suspends(engine):
            run = engine.run(three)
        assert run.state == "PENDING"
        assert steps.run.state == "PENDING"
        assert steps.run.history == ["PROGRESS", "PROGRESS", "SUCCESS"]
        engine.resume()
        states = {engine.storage.get_flow_state(each.task_id) for each in (run, steps.run)}
        assert states == {"SUCCESS"}


class TestScenarios:
    def test_as_a_context(self, engine, jobs):
        """Under a scenario that is left after resuming, its events happen to all of it."""
        with Suspends(engine), engine.under(Abort(at_report(6))):
            run = engine.run(chain(jobs.export.s(), jobs.export.s()))
            assert run.state == "PENDING"
            whole = engine.resume()
        assert whole.state == "ABORTED"
        assert whole.reports_after_abort <= 1

    def test_of_one_run(self, engine, jobs):
        """A scenario of one run goes on with it."""
        with Suspends(engine):
            run = engine.under(Abort(at_report(6))).run(chain(jobs.export.s(), jobs.export.s()))
        assert run.state == "PENDING"
        whole = engine.resume()
        assert whole.state == "ABORTED"
        assert len(whole.under) == 1

    def test_that_has_happened(self, engine, jobs):
        """What has happened before happens no second time."""
        with Suspends(engine):
            engine.under(Advance(at_report(1), 5)).run(chain(jobs.export.s(), jobs.export.s()))
        assert engine.resume().elapsed == 5.0

    def test_that_never_happens(self, engine, jobs):
        """A moment that never comes is an error where the run ends."""
        with Suspends(engine):
            engine.under(Abort(at_report(99))).run(chain(jobs.export.s(), jobs.export.s()))
        with pytest.raises(MomentNotReached):
            engine.resume()

    def test_of_another_run(self, engine, jobs, tasks):
        """The scenario of a run that was suspended is not played on the next one."""
        with Suspends(engine):
            engine.under(Abort(at_report(6))).run(chain(jobs.export.s(), jobs.export.s()))
        engine.reset()
        assert engine.run(chain(jobs.export.s(), jobs.export.s())).state == "SUCCESS"

    def test_while_it_waits_for_its_next_attempt(self, engine, jobs):
        """What a scenario revokes while it is suspended stays revoked."""
        with Suspends(engine, "retry", "RETRY"), engine.under(Revoke(at_retry())):
            engine.run(jobs.flaky)
            # Celery 5.5 stores it when the worker comes to the message.
            assert engine.resume().history.states[-1] == "REVOKED"
        assert engine.storage.get_flow_state() == "FAILURE"


class TestItsEnd:
    def test_reset(self, engine, suspended, tasks):
        """A reset forgets that it was suspended, and what waited."""
        engine.reset()
        assert engine.pending == []
        assert engine.run(tasks.add, 1).history == ["SUCCESS"]
        with pytest.raises(EngineError, match="nothing is suspended"):
            engine.resume()

    def test_reset_of_one_that_stands_still(self, engine, three, tasks):
        """So it does with one that stands still."""
        steps = engine.run_iter(three)
        next(steps)
        engine.suspend()
        engine.reset()
        assert engine.run(tasks.add, 1).state == "SUCCESS"

    def test_leaving(self, app, tasks, three):
        """Leaving forgets it; the next installation is not suspended."""
        engine = EagerEngine()
        with engine.installed(app), Suspends(engine):
            engine.run(three)
        for use in (engine.resume, lambda: engine.run(tasks.add, 1)):
            with pytest.raises(EngineNotInstalled):
                use()
        assert engine.suspend() is None
        with engine.installed(app):
            assert engine.pending == []
            assert engine.run(tasks.add, 1).history == ["SUCCESS"]
            with pytest.raises(EngineError, match="nothing is suspended"):
                engine.resume()

    def test_before_it_is_installed(self, app, tasks):
        """Before it is installed nothing is suspended."""
        engine = EagerEngine()
        assert engine.suspend() is None
        with engine.installed(app):
            assert engine.run(tasks.add, 1).state == "SUCCESS"

    def test_paused(self, engine, three, tasks):
        """Leaving paused() does not resume."""
        with Suspends(engine), engine.paused():
            result = three.delay()
            engine.step()
        assert result.state == "PENDING"
        assert engine.resume() is None
        assert result.get() == 4
