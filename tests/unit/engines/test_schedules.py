"""Tasks that run beside each other: what can be, what cannot, and what a schedule leaves alone."""

from __future__ import annotations

import contextvars
import gc
import itertools
import threading

import pytest
from celery import chain, chord, group, uuid
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import allow_join_result

from pytest_taskprogress import (
    AbortableTask,
    DeadlockError,
    DrainLimitExceeded,
    EagerEngine,
    Observer,
)
from pytest_taskprogress.scenario import (
    Abort,
    CrashWorker,
    Schedule,
    SoftTimeLimit,
    at_report,
    before_start,
    if_reached,
)

pytest.importorskip("greenlet")


@pytest.fixture
def steps(app):
    """A task that reports so many times, and says whose step it is."""

    @app.task(name="steps", bind=True)
    def steps(self, who, times=1):
        for step in range(times):
            self.update_state(state="PROGRESS", meta={"step": f"{who}{step}"})
        return who

    return steps


@pytest.fixture
def canvases(app, tasks):
    """Makers of canvases that wait, retry, publish and come together."""

    @app.task(name="work", bind=True, base=AbortableTask)
    def work(self, *args):
        for _ in Observer(self).track(range(3), "Working"):
            pass
        return 3

    @app.task(name="again", bind=True, base=AbortableTask)
    def again(self, *args):
        Observer(self).update("Trying")
        if self.request.retries < 2:
            raise self.retry(countdown=5)
        work.delay()
        return 1

    @app.task(name="asks")
    def asks(*args):
        with allow_join_result():
            return work.delay().get()

    return {
        "solo": work.s,
        "group": lambda: group(work.s(), again.s(), asks.s()),
        "chain": lambda: chain(work.s(), again.s(), asks.s()),
        "chord": lambda: chord([work.s(), asks.s(), again.s()], tasks.total.s()),
        "chord in a chain": lambda: chain(group(work.s(), again.s()), tasks.total.s(), asks.s()),
        "chains in a group": lambda: group(
            chain(work.s(), again.s()), chain(again.s(), work.s()), work.s().set(countdown=3)
        ),
    }


NAMES = ["solo", "group", "chain", "chord", "chord in a chain", "chains in a group"]


def story(run):
    """What was written, without ids."""
    ids = {}
    return [
        (each.name, ids.setdefault(each.uuid, len(ids)), each.state, each.meta, each.at)
        for each in run.history
    ]


def order(run):
    """Who reported, or ended, in order."""
    return [each.meta.get("step") or each.result for each in run.history]


class TestChoices:
    def test_all_orders_can_be(self, engine, steps):
        """Three tasks of a report each: all 90 orders that keep each task's own, and no other."""
        seen = set()
        for choices in itertools.product(range(3), repeat=5):
            engine.reset()
            run = engine.under(schedule=Schedule(*choices)).run(group(map(steps.s, "abc")))
            assert run.result == ["a", "b", "c"]
            seen.add(tuple(order(run)))
        assert len(seen) == 90
        for each in seen:
            assert sorted(each) == ["a", "a0", "b", "b0", "c", "c0"]
            assert all(each.index(f"{who}0") < each.index(who) for who in "abc")

    @pytest.mark.parametrize("seed", range(10))
    def test_a_chain_keeps_its_order(self, engine, steps, seed):
        """What comes after a task begins after its end, whatever else runs beside it."""
        run = engine.under(schedule=Schedule(seed=seed)).run(
            group(chain(steps.si("a", 2), steps.si("b", 2)), steps.s("c", 2))
        )
        chained = [each for each in order(run) if each[0] != "c"]
        # A chain's next task is published before the end of the one before is stored.
        assert [each for each in chained if each[0] == "a"] == ["a0", "a1", "a"]
        assert chained.index("a1") < chained.index("b0")

    def test_what_a_choice_says(self, engine, steps):
        """0 goes on; k is the kth other: who stands still, then what waits."""

        def play(*choices):
            run = engine.under(schedule=Schedule(*choices)).run(group(map(steps.s, "abc")))
            return order(run)

        assert play() == ["a0", "a", "b0", "b", "c0", "c"]
        # First of the three messages; then at a0: message b; at b0: a stands still, then c waits.
        assert play(0, 1, 0) == ["a0", "b0", "b", "a", "c0", "c"]
        assert play(0, 1, 1) == ["a0", "b0", "a", "b", "c0", "c"]
        assert play(0, 1, 2) == ["a0", "b0", "c0", "c", "a", "b"]
        assert play(2) == ["c0", "c", "a0", "a", "b0", "b"]

    def test_one_that_is_too_large(self, engine, steps):
        """It begins with 0 again: any numbers are a schedule."""
        runs = [
            order(engine.under(schedule=Schedule(*choices)).run(group(map(steps.s, "abc"))))
            for choices in ((2, 1), (2 + 3 * 10**9, 1 + 3 * 10**9))
        ]
        assert runs[0] == runs[1]

    @pytest.mark.parametrize("name", NAMES)
    def test_no_choices(self, engine, canvases, name):
        """`Schedule()` is what happens without one."""
        plain = story(engine.run(canvases[name]()))
        engine.reset()
        assert story(engine.under(schedule=Schedule()).run(canvases[name]())) == plain

    @pytest.mark.parametrize("name", NAMES)
    def test_the_same_again(self, engine, canvases, name):
        """A schedule is a value: what it makes of a run is the same each time."""
        schedule, stories = Schedule(2, 0, 1, seed=4), []
        for _ in range(2):
            engine.reset()
            stories.append(story(engine.under(schedule=schedule).run(canvases[name]())))
        assert stories[0] == stories[1]

    @pytest.mark.parametrize("name", NAMES)
    def test_any_ends_well(self, engine, canvases, name):
        """Whatever the schedule, a canvas comes to the same results."""
        expected = engine.run(canvases[name]()).result
        for seed in range(5):
            engine.reset()
            run = engine.under(schedule=Schedule(seed=seed)).run(canvases[name]())
            assert (run.result, run.ended, engine.pending) == (expected, True, [])

    def test_a_race_is_found(self, engine, app):
        """Read, report, write: beside each other one of the two is lost."""
        stock = {"left": 2}

        @app.task(bind=True)
        def sell(self):
            left = stock["left"]
            self.update_state(state="PROGRESS", meta={})
            stock["left"] = left - 1

        found = set()
        for choices in itertools.product(range(2), repeat=3):
            stock["left"] = 2
            engine.under(schedule=Schedule(*choices)).run(group(sell.s(), sell.s()))
            found.add(stock["left"])
        assert found == {0, 1}


class TestWaits:
    @pytest.mark.parametrize("schedule", [None, Schedule(), *map(Schedule, range(1, 4))], ids=repr)
    @pytest.mark.parametrize(("timeout", "result"), [(30, "late"), (90, "done")])
    def test_a_timeout(self, engine, app, jobs, schedule, timeout, result):
        """By the engine's clock, which jumps there when nothing else can go on."""

        @app.task
        def asks():
            with allow_join_result():
                try:
                    return jobs.quiet.apply_async(countdown=60).get(timeout=timeout)
                except CeleryTimeoutError:
                    return "late"

        run = engine.under(schedule=schedule).run(group(asks.s(), asks.s()))
        assert run.result == [result, result]
        assert run.elapsed == 60.0

    @pytest.mark.parametrize("seed", [None, 1, 2])
    def test_for_each_other(self, engine, app, seed):
        """Two that wait for each other's result: that is told, to both of them."""

        @app.task
        def asks(of):
            with allow_join_result():
                return app.AsyncResult(of).get()

        one, other = asks.s("b").set(task_id="a"), asks.s("a").set(task_id="b")
        run = engine.under(schedule=Schedule(seed=seed)).run(group(one, other))
        assert {each.state for each in run.children} == {"FAILURE"}
        assert isinstance(run.exception, DeadlockError)
        assert "tasks wait for each other" in str(run.exception)

    def test_for_nothing(self, engine, app):
        """One that waits for what nobody publishes."""

        @app.task
        def asks():
            with allow_join_result():
                return app.AsyncResult("never").get()

        run = engine.under(schedule=Schedule(seed=1)).run(asks)
        assert isinstance(run.exception, DeadlockError)

    @pytest.mark.parametrize("how", ["step", "limit", "until", "suspended"])
    def test_for_what_may_not_begin(self, engine, app, jobs, how):
        """Who waits lets the worker go on, however little of it was asked: as always."""

        @app.task
        def asks():
            if how == "suspended":
                engine.suspend()
            with allow_join_result():
                return jobs.quiet.apply_async(countdown=60).get()

        results = []
        for schedule in (None, Schedule(), Schedule(seed=3)):
            engine.reset()
            with engine.under(schedule=schedule), engine.paused():
                result = asks.delay()
                if how == "step":
                    engine.step()
                else:
                    engine.drain(**{"limit": {"limit": 1}, "until": {"until": 5}}.get(how, {}))
                results.append((result.state, engine.clock.monotonic()))
        assert results == [("SUCCESS", 60.0)] * 3

    def test_of_the_test(self, engine, app, steps):
        """The test waits for one of two that run beside each other, and for one that waits."""

        @app.task
        def asks():
            with allow_join_result():
                return steps.delay("c").get()

        with engine.under(schedule=Schedule(0, 1, 1, 2)), engine.paused():
            one, other, third = steps.delay("a", 3), steps.delay("b", 3), asks.delay()
            assert one.get() == "a"
            assert third.get() == "c"
        assert other.state == "SUCCESS"

    def test_what_is_left_in_flight(self, engine, app):
        """What the test did not wait for goes on to its end with the scenario, or the world."""
        seen = []

        @app.task(bind=True)
        def work(self, who):
            try:
                for step in range(3):
                    self.update_state(state="PROGRESS", meta={"step": step})
                seen.append(who)
            except BaseException:
                seen.append("left")
                raise

        @app.task
        def quick():
            return 1

        def begin():
            work.delay("other")
            result = quick.delay()
            assert result.get() == 1

        with engine.paused():
            with engine.under(schedule=Schedule(0, 1)):
                begin()
                assert seen == []
            assert seen == ["other"]
            with engine.under(schedule=Schedule(0, 1)):
                begin()
                engine.reset()
                assert seen == ["other"] * 2
                assert engine.history == []
        gc.collect()
        assert seen == ["other"] * 2


class TestPolling:
    def test_of_what_a_message_will_do(self, engine, app):
        """Who polls lets all begin that waits, whatever the schedule says."""
        done = []

        @app.task(bind=True)
        def polls(self):
            while not done:
                self.update_state(state="PROGRESS", meta={"waiting": True})

        @app.task
        def does():
            done.append(1)

        for seed in (None, 1, 2):
            done.clear()
            engine.reset()
            run = engine.under(schedule=Schedule(seed=seed)).run(
                group(polls.s(), polls.s(), polls.s(), does.s())
            )
            assert run.state == "SUCCESS"

    def test_by_many(self, engine, app):
        """Twenty that poll, and one that they wait for, which reports as they do."""
        done = []

        @app.task(bind=True)
        def polls(self):
            while not done:
                self.update_state(state="PROGRESS", meta={"waiting": True})

        @app.task(bind=True)
        def does(self):
            self.update_state(state="PROGRESS", meta={"waiting": True})
            done.append(1)

        run = engine.under(schedule=Schedule()).run(group(*[polls.s()] * 20, does.s()))
        assert run.state == "SUCCESS"

    @pytest.mark.parametrize("schedule", [Schedule(), Schedule(1, 1), Schedule(seed=4)])
    def test_of_another_result(self, engine, app, schedule):
        """Who looks again and again whether another is ready lets that one run."""

        @app.task
        def other():
            return 5

        @app.task
        def polls(task_id):
            while not app.AsyncResult(task_id).ready():
                pass
            return 1

        task_id = uuid()
        run = engine.under(schedule=schedule).run(
            group(polls.s(task_id), other.s().set(task_id=task_id))
        )
        assert run.result == [1, 5]

    @pytest.mark.parametrize("by", ["report", "check"])
    def test_for_ever(self, engine, app, by):
        """Nobody does what they wait for: that is told, with where they stand."""

        @app.task(name="polls", bind=True, base=AbortableTask)
        def polls(self):
            self.update_state(state="PROGRESS", meta={"description": "Waiting for the lock"})
            while True:
                if by == "report":
                    self.update_state(state="PROGRESS", meta={"description": "Waiting"})
                else:
                    self.is_aborted()

        run = engine.under(schedule=Schedule(seed=1)).run(group(polls.s(), polls.s()))
        assert isinstance(run.exception, DeadlockError)
        assert "none comes any further. Where they stand:\n  polls[" in str(run.exception)
        assert "Waiting" in str(run.exception)

    @pytest.mark.parametrize("beside", [1, 3])
    def test_one_that_looks_often(self, engine, app, beside):
        """A task that works for long between two reports, and looks for an abort at each row."""

        @app.task(bind=True, base=AbortableTask)
        def rows(self):
            return sum(not self.is_aborted() for _ in range(1_500))

        run = engine.under(schedule=Schedule(seed=1)).run(group(*[rows.s()] * beside))
        assert run.result == [1_500] * beside

    def test_one_that_says_the_same(self, engine, app):
        """A report that says nothing new is no standstill, as long as it comes to an end."""

        @app.task(bind=True)
        def beats(self):
            for _ in range(400):
                self.update_state(state="PROGRESS", meta={"alive": True})

        run = engine.under(schedule=Schedule(seed=1)).run(group(beats.s(), beats.s()))
        assert run.state == "SUCCESS"


class TestThreads:
    def test_of_a_task(self, engine, app, jobs):
        """A thread that helps a task does not stand still; what it publishes runs."""

        @app.task(bind=True)
        def helped(self):
            def help_it(task_id):
                self.update_state(task_id=task_id, state="PROGRESS", meta={"by": "thread"})
                jobs.quiet.delay()

            thread = threading.Thread(target=help_it, args=(self.request.id,))
            thread.start()
            thread.join()
            self.update_state(state="PROGRESS", meta={"by": "task"})

        for seed in range(3):
            run = engine.under(schedule=Schedule(seed=seed)).run(group(helped.s(), helped.s()))
            assert run.state == "SUCCESS"
            assert len(run.history) == 8

    def test_waits_of_a_thread(self, engine, app, jobs):
        """A thread cannot stand still for a result: that is said."""
        errors = []

        @app.task
        def helped():
            def ask():
                with allow_join_result():
                    try:
                        jobs.quiet.delay().get()
                    except Exception as error:  # noqa: BLE001 - looked at below
                        errors.append(str(error))

            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()

        engine.under(schedule=Schedule(seed=1)).run(helped)
        assert "a thread that helps a task waits for a result" in errors[0]

    def test_context_variables(self, engine, app):
        """Each task has its own, as in a process."""
        who = contextvars.ContextVar("who", default="nobody")
        before = []

        @app.task(bind=True)
        def work(self, name):
            before.append(who.get())
            who.set(name)
            self.update_state(state="PROGRESS", meta={})
            return who.get()

        run = engine.under(schedule=Schedule(seed=2)).run(group(map(work.s, "abc")))
        assert run.result == ["a", "b", "c"]
        assert before == ["nobody"] * 3
        assert who.get() == "nobody"

    def test_the_current_task(self, engine, app):
        """`current_task` and the request are those of who goes on."""
        from celery import current_task

        @app.task(bind=True)
        def work(self):
            mine = self.request.id
            for _ in range(3):
                self.update_state(state="PROGRESS", meta={})
                assert self.request.id == mine == current_task.request.id
            return mine

        run = engine.under(schedule=Schedule(seed=5)).run(group(work.s() for _ in range(4)))
        assert run.state == "SUCCESS"


class TestHowFar:
    """Suspending, steps and limits are about messages, of which several may be in flight."""

    PLAN = Schedule(0, 2, 1, 2, 1, 1)

    def test_step(self, engine, steps):
        """One message runs, to its end."""
        with engine.under(schedule=self.PLAN), engine.paused():
            for who in "abc":
                steps.delay(who, 3)
            for left in (2, 1, 0):
                assert engine.step()
                assert len(engine.pending) == left
                assert engine.history.states.count("SUCCESS") == 3 - left
            assert not engine.step()

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_limit(self, engine, steps, limit):
        """No more than so many."""
        with engine.under(schedule=self.PLAN), engine.paused():
            for who in "abc":
                steps.delay(who, 3)
            assert engine.drain(limit=limit) == limit
            assert len(engine.pending) == 3 - limit
            assert engine.history.states.count("SUCCESS") == limit

    def test_suspend(self, engine, app, steps):
        """What runs goes on to its end, and nothing else begins."""

        @app.task(bind=True)
        def suspends(self):
            engine.suspend()
            for step in range(3):
                self.update_state(state="PROGRESS", meta={"step": step})

        canvas = group(suspends.s(), steps.s("a", 3), steps.s("b", 3))
        run = engine.under(schedule=self.PLAN).run(canvas)
        assert not run.ended
        assert {each.name for each in run.history} == {suspends.name}
        assert len(engine.pending) == 2
        run = engine.resume()
        assert (run.ended, run.state) == (True, "SUCCESS")

    def test_put_by(self, engine, jobs):
        """A message that is put by for its time is not counted as one that was run."""
        with engine.under(schedule=Schedule(seed=1)), engine.paused():
            jobs.quiet.apply_async(countdown=10)
            jobs.quiet.delay()
            assert engine.drain() == 2

    def test_endless(self, engine, app, steps):
        """One that asks for itself for ever is told beside others too; all is thrown away."""
        engine.limit = 20

        @app.task(bind=True, max_retries=None)
        def again(self):
            self.update_state(state="PROGRESS", meta={})
            raise self.retry(countdown=1)

        with pytest.raises(DrainLimitExceeded):
            engine.under(schedule=Schedule(seed=2)).run(group(steps.s("a", 5), again.s()))
        assert engine.pending == []
        assert engine.run(steps, "b").states == ["PROGRESS", "SUCCESS"]


class TestBroken:
    @pytest.mark.parametrize("ends", [pytest.skip, pytest.fail])
    def test_what_ends_the_test(self, engine, app, steps, ends):
        """The others end where they stand, without a word; nothing of it reaches the next run."""
        seen = []

        @app.task
        def errback(*args):
            seen.append("errback")

        @app.task(bind=True)
        def cleans_up(self):
            try:
                for step in range(9):
                    self.update_state(state="PROGRESS", meta={"step": step})
            finally:
                seen.append("finally")
                steps.delay("late")

        @app.task(bind=True)
        def breaks(self):
            self.update_state(state="PROGRESS", meta={})
            ends("of a task")

        canvas = group(cleans_up.s().on_error(errback.s()), breaks.s(), steps.s("a"))
        with pytest.raises(ends.Exception, match="of a task"):
            engine.under(schedule=Schedule(0, 1, 0)).run(canvas)
        assert seen == ["finally"]
        assert engine.pending == []
        assert engine.history == ["PROGRESS", "PROGRESS"]
        assert engine.run(steps, "b").states == ["PROGRESS", "SUCCESS"]
        engine.reset()
        assert engine.run(steps, "c").states == ["PROGRESS", "SUCCESS"]
        assert seen == ["finally"]

    def test_a_time_limit_of_one(self, engine, jobs):
        """What is raised in one task is raised in that one."""
        run = engine.under(SoftTimeLimit(at_report(5)), schedule=Schedule(seed=1)).run(
            group(jobs.export.s() for _ in range(3))
        )
        assert sorted(each.state for each in run.children) == ["FAILURE", "SUCCESS", "SUCCESS"]

    def test_an_abort_of_all(self, engine, jobs):
        """Each is aborted at its next look."""
        run = engine.under(Abort(at_report(4)), schedule=Schedule(0, 1, 1, 1)).run(
            group(jobs.export.s() for _ in range(3))
        )
        assert {each.state for each in run.children} <= {"ABORTED", "SUCCESS"}
        assert sum(each.reports_after_abort for each in run.children) == 0


class TestStepByStep:
    def test_the_same_steps(self, engine, steps):
        """A run that goes step by step goes by its schedule."""
        canvas = group(map(steps.s, "abc"))
        plain = order(engine.under(schedule=Schedule(seed=3)).run(canvas.clone()))
        walk = engine.under(schedule=Schedule(seed=3)).run_iter(canvas.clone())
        assert [each.meta.get("step") or each.result for each in walk] == plain

    def test_within_a_scenario(self, engine, steps):
        """One that is entered counts for runs that are begun in it."""
        canvas = group(map(steps.s, "abc"))
        with engine.under(schedule=Schedule(2)):
            walk = engine.run_iter(canvas)
            assert [each.meta.get("step") or each.result for each in walk][:2] == ["c0", "c"]

    def test_two_of_them(self, engine, steps):
        """Each goes by its own, in turn."""
        canvas = group(steps.s("a", 2), steps.s("b", 2))
        one = engine.under(schedule=Schedule(seed=1)).run_iter(canvas.clone())
        other = engine.under(schedule=Schedule(seed=2)).run_iter(canvas.clone())
        assert len(list(zip(one, other, strict=True))) == 6
        engine.reset()
        alone = engine.under(schedule=Schedule(seed=2)).run(canvas.clone())
        assert order(other.run) == order(alone)

    def test_left_early(self, engine, steps):
        """It goes on to its end, also from within a task that stands still."""
        for left in range(1, 6):
            engine.reset()
            walk = engine.under(schedule=Schedule(seed=1)).run_iter(
                group(steps.s("a", 2), steps.s("b", 2))
            )
            for _ in range(left):
                next(walk)
            del walk
            assert len(engine.history) == 6

    def test_the_test_works_meanwhile(self, engine, steps):
        """Another run, while this one stands still."""
        walk = engine.under(schedule=Schedule(seed=1)).run_iter(
            group(steps.s("a", 2), steps.s("b", 2))
        )
        next(walk)
        assert engine.run(steps, "c").result == "c"
        assert walk.run.state == "SUCCESS"


class TestWhatElse:
    def test_reset_within(self, engine, steps):
        """In a new world the schedule begins anew."""
        orders = []
        with engine.under(schedule=Schedule(1, 2, 1)):
            for _ in range(3):
                orders.append(order(engine.run(group(map(steps.s, "abc")))))
                engine.reset()
        assert orders[0] == orders[1] == orders[2]
        assert order(engine.run(group(map(steps.s, "ab")))) == ["a0", "a", "b0", "b"]

    def test_the_inner_one_counts(self, engine, steps):
        """And then the outer one goes on where it was."""
        with engine.under(schedule=Schedule(1)):
            inner = order(engine.under(schedule=Schedule(2)).run(group(map(steps.s, "abc"))))
            outer = order(engine.run(group(map(steps.s, "abc"))))
        assert (inner[0], outer[0]) == ("c0", "b0")

    def test_a_crash_takes_the_one_that_is_there(self, engine, steps):
        """A scenario without a schedule changes none."""
        with engine.under(schedule=Schedule(2)):
            event = CrashWorker(if_reached(at_report(99)))
            assert order(engine.under(event).run(group(map(steps.s, "abc"))))[0] == "c0"

    def test_listeners(self, engine, steps):
        """They are told in the order of what happens, each in full."""
        heard = []
        engine.atom_notifier.register(
            "*", lambda state, details: heard.append((details["task_uuid"], state))
        )
        run = engine.under(schedule=Schedule(seed=3)).run(group(map(steps.s, "abc")))
        stored = [(each.uuid, each.state) for each in run.history]
        assert [each for each in heard if each[1] in {"PROGRESS", "SUCCESS"}] == stored

    def test_paused(self, engine, steps):
        """What was published before is scheduled with what came of it."""
        with engine.under(schedule=Schedule(2, 1, 1)), engine.paused():
            for who in "abc":
                steps.delay(who)
            assert engine.history == []
        assert engine.history.progress[0].meta["step"] == "c0"

    def test_what_waits_for_its_time(self, engine, jobs):
        """Time passes only where nothing can go on."""
        run = engine.under(schedule=Schedule(seed=4)).run(
            group(jobs.flaky.s(), jobs.export.s(), jobs.quiet.s().set(countdown=10))
        )
        assert [each.at for each in run.history] == sorted(each.at for each in run.history)
        assert {each.at for each in run.history if each.name == "export"} == {0.0}
        assert run.elapsed == 30.0

    def test_sweep(self, engine, jobs):
        """Each run of a sweep goes by the schedule that it is under."""
        with engine.under(schedule=Schedule(seed=1)):
            sweep = engine.sweep(Abort, group(jobs.export.s(), jobs.export.s()))
            runs = list(sweep)
        assert len(runs) == len(sweep)
        assert all(each.state in {"ABORTED", "SUCCESS"} for each in runs)

    def test_another_engine(self, app, steps):
        """What an engine was under is nothing of the next one."""
        with EagerEngine(app) as engine:
            engine.under(schedule=Schedule(2)).run(group(map(steps.s, "abc")))
        with EagerEngine(app) as engine:
            assert order(engine.run(group(map(steps.s, "ab")))) == ["a0", "a", "b0", "b"]

    def test_a_start_is_no_choice(self, engine, steps):
        """Between a start and the first write nothing else runs."""
        run = engine.under(Abort(if_reached(before_start(9))), schedule=Schedule(seed=1)).run(
            group(map(steps.s, "ab"))
        )
        starts = sorted(start.index for each in run.children for start in each.starts)
        assert starts[0] == 0
