"""Messages that come twice, or late, as brokers deliver them."""

from __future__ import annotations

import pytest
from celery import chain, chord, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import allow_join_result

from pytest_taskprogress import AbortableTask, EagerEngine, EngineError, Observer
from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    Delay,
    Redeliver,
    Schedule,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    before_start,
    if_reached,
    when,
)

MOMENTS = [
    before_start(),
    at_abort_check(1),
    at_report(1),
    at_report(4),
    at_state("SUCCESS"),
]


class TestTwice:
    @pytest.mark.parametrize("at", MOMENTS, ids=repr)
    def test_at_each_moment(self, engine, jobs, at):
        """The task runs again, after itself; nobody sees it, because the first SUCCESS stays."""
        run = engine.under(Redeliver(at)).run(jobs.export)
        assert run.states == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert [each.state for each in run.history.dropped] == run.states
        assert [(start.index, start.ended) for start in run.starts] == [(0, 5), (5, 10)]
        assert Contract().violations(run) == []

    @pytest.mark.parametrize("acks_late", [True, False])
    def test_whether_it_is_acknowledged_or_not(self, engine, app, acks_late):
        """A broker delivers twice what it pleases; the second time the message says so."""
        seen = []

        @app.task(bind=True, acks_late=acks_late)
        def work(self):
            info = self.request.delivery_info
            seen.append((self.request.id, bool(info["redelivered"])))

        run = engine.under(Redeliver(before_start())).run(work)
        assert seen == [(run.task_id, False), (run.task_id, True)]
        assert engine.pending == []

    def test_behind_what_waits(self, engine, jobs):
        """It comes last."""
        run = engine.under(Redeliver(at_report(1))).run(
            group(jobs.export.s(), jobs.quiet.s(1), jobs.quiet.s(2))
        )
        names = [each.name for each in run.history]
        assert names == ["export"] * 5 + ["quiet"] * 2 + ["export"] * 5

    def test_thrice(self, engine, jobs):
        """Two events are two deliveries more."""
        at = at_report(1)
        run = engine.under(Redeliver(at), Redeliver(at)).run(jobs.export)
        assert len(run.starts) == 3

    def test_one_that_fails(self, engine, app):
        """What was not a success is replaced."""
        attempts = []

        @app.task
        def works_later():
            attempts.append(1)
            if len(attempts) == 1:
                raise ValueError("not yet")
            return "now"

        run = engine.under(Redeliver(before_start())).run(works_later)
        assert run.states == ["FAILURE", "SUCCESS"]
        assert run.result == "now"
        assert Contract().violations(run) == []

    def test_a_countdown(self, engine, jobs):
        """The second delivery has the same eta, which has come."""
        run = engine.under(Redeliver(at_report(1))).run(jobs.export.s().set(countdown=60))
        assert [start.at for start in run.starts] == [60.0, 60.0]

    def test_a_retry(self, engine, jobs):
        """The message of the attempt that runs is the one that comes twice."""
        run = engine.under(Redeliver(before_start())).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]
        assert len(run.starts) == 4
        run = engine.under(Redeliver(at_report(2))).run(jobs.flaky)
        assert len(run.starts) == 3
        run = engine.under(Redeliver(at_retry())).run(jobs.flaky)
        assert len(run.starts) == 4

    def test_a_chain(self, engine, jobs):
        """What comes after it is published again, under the same id."""
        run = engine.under(Redeliver(at_report(1))).run(
            chain(jobs.export.s(), jobs.export.s(), jobs.flaky.s())
        )
        assert run.result == "in the end"
        assert [each.again for each in run.starts] == [False, True, False, True]
        assert Contract().only("no-zombie", "terminal").violations(run) == []

    def test_an_abort(self, engine, jobs):
        """What was aborted is aborted when it comes again: the request lives on."""
        run = engine.under(Redeliver(at_report(1)), Abort(at_report(2))).run(jobs.export)
        assert run.state == "ABORTED"
        assert len(run.starts) == 2
        assert len(run.progress) == 2

    def test_deduplicated(self, app):
        """Celery's own way not to run twice what has succeeded."""
        app.conf.worker_deduplicate_successful_tasks = True
        calls = []

        @app.task(acks_late=True)
        def work():
            calls.append(1)

        @app.task
        def then(_):
            calls.append("then")

        with EagerEngine(app) as engine:
            engine.under(Redeliver(before_start())).run(work)
            assert calls == [1]
            engine.under(Redeliver(before_start(task=work.name))).run(chain(work.s(), then.s()))
            assert calls == [1, 1, "then"]

    def test_what_no_worker_has(self, engine, jobs):
        """A record that a task keeps for another id was delivered by nobody."""

        def is_mine(write: Transition) -> bool:
            return write.uuid == "mine"

        told = pytest.raises(EngineError, match="has no message of mine, which it could deliver")
        with told, engine.under(Redeliver(when(is_mine))):
            engine.backend.store_result("mine", {}, "PROGRESS")

    def test_of_an_earlier_scenario(self, engine, jobs):
        """Each scenario delivers again what was delivered in it."""
        engine.under(Redeliver(at_report(1))).run(jobs.export)
        run = engine.under(Redeliver(at_report(1))).run(jobs.export)
        assert len(run.starts) == 2
        assert len(engine.history) == 20

    def test_a_canvas_of_waits(self, engine, app, jobs):
        """Who waited for it the first time does not wait for the second one."""

        @app.task
        def asks():
            with allow_join_result():
                return jobs.export.delay().get()

        run = engine.under(Redeliver(at_report(1))).run(asks)
        assert run.result == 4
        assert len(run.history.dropped) == 5

    def test_sweep(self, engine, jobs):
        """At each moment of a run."""
        for run in engine.sweep(Redeliver, jobs.export):
            assert run.state == "SUCCESS"
            assert Contract().violations(run) == []


class TestBesideItself:
    def test_reports_of_both(self, engine, jobs):
        """Under a schedule both executions report, in turn: no rule of reports says anything."""
        schedule = Schedule(0, 0, *[1] * 20)
        run = engine.under(Redeliver(at_report(1)), schedule=schedule).run(jobs.export)
        percents = [each.percent for each in run.progress]
        assert percents != sorted(percents)
        assert Contract().violations(run) == []

    @pytest.mark.parametrize("seed", range(10))
    def test_any_schedule(self, engine, jobs, seed):
        """Whoever is first: one SUCCESS, and no violation."""
        run = engine.under(Redeliver(before_start()), schedule=Schedule(seed=seed)).run(jobs.export)
        assert run.states.count("SUCCESS") == 1
        assert Contract().violations(run) == []


class TestChords:
    def test_a_task_of_the_header(self, engine, tasks):
        """It is counted twice, as by Celery's key-value backends: the body comes all the same."""
        engine.contract = Contract().only("abort-survives")
        header = [tasks.add.s(1), tasks.add.s(2)]
        run = engine.under(Redeliver(before_start())).run(chord(header, tasks.total.s()))
        assert run.result == 5
        assert engine.pending == []

    @pytest.mark.parametrize("seed", range(8))
    def test_beside_each_other(self, engine, jobs, tasks, seed):
        """Where the count is reached too early the worker waits for the rest of the header."""
        engine.contract = Contract().only("abort-survives")
        canvas = chord([jobs.export.s(), jobs.export.s()], tasks.total.s())
        event = Redeliver(at_report(1))
        run = engine.under(event, schedule=Schedule(seed=seed)).run(canvas)
        assert run.result == 8
        assert [each.state for each in run.history if each.name == "total" and each.stored]

    def test_a_wait_of_a_task_is_no_count(self, engine, app, jobs, tasks):
        """While the worker waits for a header another task's deadlock is a deadlock."""
        engine.contract = Contract().only("abort-survives")

        @app.task
        def asks():
            with allow_join_result():
                return app.AsyncResult("never").get()

        canvas = group(chord([jobs.export.s()] * 2, tasks.total.s()), asks.s())
        for seed in range(8):
            event = Redeliver(at_report(1))
            run = engine.under(event, schedule=Schedule(seed=seed)).run(canvas.clone())
            error = next(each for each in run.children if each.name == asks.name).exception
            assert type(error).__name__ == "DeadlockError"


class TestLate:
    def test_what_waits(self, engine, jobs):
        """What runs goes on; what waits comes when the broker delivers again."""
        run = engine.under(Delay(at_report(1), 60)).run(group(jobs.export.s(), jobs.quiet.s()))
        assert [(each.name, each.at) for each in run.history] == [
            *[("export", 0.0)] * 5,
            ("quiet", 60.0),
        ]

    def test_what_is_published_meanwhile(self, engine, app, jobs):
        """Retries, what comes after in a chain, what a task publishes."""
        run = engine.under(Delay(at_report(1), 60)).run(chain(jobs.export.s(), jobs.quiet.s()))
        assert (run.state, run.elapsed) == ("SUCCESS", 60.0)
        run = engine.under(Delay(at_retry(), 100)).run(jobs.flaky)
        assert [start.at - run.starts[0].at for start in run.starts] == [0.0, 100.0]
        run = engine.under(Delay(at_retry(), 10)).run(jobs.flaky)
        assert [start.at - run.starts[0].at for start in run.starts] == [0.0, 30.0]

    def test_what_the_worker_has(self, engine, jobs):
        """A message that waits for its eta in the worker comes at its time."""
        with engine.under(Delay(at_report(1), 60)), engine.paused():
            soon = jobs.quiet.apply_async(countdown=10)
            engine.drain(until=1)
            jobs.export.delay()
            jobs.quiet.delay()
        assert [(each.name, each.at) for each in engine.history][-2:] == [
            ("quiet", 10.0),
            ("quiet", 61.0),
        ]
        assert soon.state == "SUCCESS"

    def test_until(self, engine, jobs):
        """A drain up to a time before that runs none of it."""
        with engine.under(Delay(at_report(1), 60)), engine.paused():
            for _ in range(3):
                jobs.export.delay()
            assert engine.drain(until=59) == 1
            assert (engine.clock.monotonic(), len(engine.pending)) == (59.0, 2)
            assert engine.drain(until=60) == 2

    def test_steps(self, engine, jobs):
        """A step jumps there."""
        with engine.under(Delay(at_report(1), 60)), engine.paused():
            jobs.export.delay()
            jobs.quiet.delay()
            assert engine.step()
            assert engine.clock.monotonic() == 0.0
            assert engine.step()
            assert engine.clock.monotonic() == 60.0

    def test_a_wait_with_a_timeout(self, engine, app, jobs):
        """What comes too late is not there in time."""

        @app.task(bind=True)
        def asks(self):
            self.update_state(state="PROGRESS", meta={})
            with allow_join_result():
                try:
                    return jobs.quiet.delay().get(timeout=10)
                except CeleryTimeoutError:
                    return "too late"

        for schedule in (None, Schedule(), Schedule(seed=1)):
            engine.reset()
            run = engine.under(Delay(at_report(1), 60), schedule=schedule).run(asks)
            assert run.result == "too late"
            assert run.elapsed == 60.0

    def test_two_of_them(self, engine, jobs):
        """The longer one counts."""
        events = Delay(at_report(1), 60), Delay(at_report(2), 10)
        run = engine.under(*events).run(group(jobs.export.s(), jobs.quiet.s()))
        assert run.elapsed == 60.0

    def test_time_that_passes_meanwhile(self, engine, jobs):
        """The clock may be there before."""
        events = Delay(at_report(1), 60), Advance(at_report(2), 100)
        run = engine.under(*events).run(group(jobs.export.s(), jobs.quiet.s()))
        assert run.history[-1].at == 100.0

    def test_it_ends_with_the_scenario(self, engine, jobs):
        """Where nothing waited for it, the next run need not wait either."""
        engine.under(Delay(at_report(1), 60)).run(jobs.export)
        assert engine.run(jobs.quiet).elapsed == 0.0
        assert engine.clock.monotonic() == 0.0

    def test_reset(self, engine, jobs):
        """In a new world the broker delivers."""
        with engine.under(Delay(at_report(1), 60)):
            jobs.export.delay()
            engine.reset()
            assert engine.run(jobs.quiet).elapsed == 0.0

    def test_again_and_late(self, engine, jobs):
        """What is delivered again is delivered late."""
        run = engine.under(Redeliver(at_report(1)), Delay(at_report(1), 60)).run(jobs.export)
        assert [start.at for start in run.starts] == [0.0, 60.0]

    @pytest.mark.parametrize("seed", range(5))
    def test_under_a_schedule(self, engine, jobs, seed):
        """What began before goes on, beside each other; nothing begins before its time."""
        run = engine.under(Delay(at_report(1), 60), schedule=Schedule(seed=seed)).run(
            group(jobs.export.s() for _ in range(3))
        )
        assert run.state == "SUCCESS"
        assert {start.at for each in run.children for start in each.starts} <= {0.0, 60.0}

    def test_where_it_need_not_come(self, engine, app):
        """`if_reached` of a moment that does not come delays nothing."""

        @app.task(bind=True, base=AbortableTask)
        def one(self):
            Observer(self).update("One", total=1)

        run = engine.under(Delay(if_reached(at_report(3)), 60)).run(group(one.s(), one.s()))
        assert (run.elapsed, run.happened) == (0.0, ())
