"""Waiting for results: one rule, inside and outside tasks; and waiting for nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import ResultSet, allow_join_result

from pytest_taskprogress import DeadlockError, DrainLimitExceeded, EagerEngine


@pytest.fixture
def log():
    """What ran."""
    return []


@pytest.fixture
def add(app, log):
    """A task."""

    @app.task(name="add")
    def add(x, y):
        log.append((x, y))
        return x + y

    return add


class TestTheWorkerWorks:
    def test_until_the_result_is_there(self, engine, add, log):
        """Messages run in their order until the one that is waited for has run, and no further."""
        with engine.paused():
            results = [add.delay(n, n) for n in range(4)]
            assert results[2].get() == 4
            assert log == [(0, 0), (1, 1), (2, 2)]
            assert results[3].state == "PENDING"

    def test_in_a_task(self, engine, app, add, log):
        """The same where a task waits, which only a task that is allowed to may do."""

        @app.task
        def waits():
            with allow_join_result():
                results = [add.delay(n, n) for n in range(4)]
                return results[2].get(), list(log)

        with engine.paused():
            assert engine.run(waits).result == [4, [[0, 0], [1, 1], [2, 2]]]
        assert log[-1] == (3, 3)

    def test_the_clock_moves(self, engine, add):
        """What is due later is waited for in virtual time."""
        with engine.paused():
            assert add.apply_async((1, 2), countdown=60).get(timeout=60) == 3
        assert engine.clock.monotonic() == 60.0

    def test_too_late(self, engine, add):
        """A time-out is one by the engine's clock; the message goes on waiting."""
        with engine.paused():
            result = add.apply_async((1, 2), countdown=60)
            with pytest.raises(CeleryTimeoutError):
                result.get(timeout=59)
            assert engine.clock.monotonic() == 59.0
            assert result.get(timeout=1) == 3

    def test_a_task_that_takes_too_long(self, engine, app):
        """A result that comes later than it was waited for came too late."""

        @app.task
        def long():
            engine.clock.advance(10)
            return "done"

        with engine.paused():
            result = long.delay()
            with pytest.raises(CeleryTimeoutError):
                result.get(timeout=5)
            assert result.get() == "done"

    def test_a_rate_limit_that_takes_too_long(self, engine, app):
        """A message that has to wait for its rate limit does not run before its turn."""

        @app.task(rate_limit="1/m")
        def limited():
            return engine.clock.monotonic()

        with engine.paused():
            first, second = limited.delay(), limited.delay()
            assert first.get(timeout=1) == 0.0
            with pytest.raises(CeleryTimeoutError):
                second.get(timeout=59)
            assert second.get(timeout=1) == 60.0

    @pytest.mark.parametrize("how", ["get", "join", "join_native"])
    def test_groups(self, engine, add, how):
        """Results of groups and sets wait by the same rule."""
        with engine.paused():
            result = group(add.s(n, n) for n in range(3)).delay()
            assert getattr(result, how)(timeout=5) == [0, 2, 4]
            results = ResultSet([add.delay(1, 1), add.delay(2, 2)])
            assert getattr(results, how)() == [2, 4]

    def test_many_results(self, engine, add):
        """Waiting for many results looks at each of them once."""
        with engine.paused():
            result = group(add.s(n, n) for n in range(500)).delay()
            assert sum(result.get()) == 500 * 499
        assert sum(engine.backend.reads.values()) <= 1500

    def test_the_limit(self, engine, app):
        """Waiting while a task requeues itself for ever ends at the limit."""
        engine.limit = 20

        @app.task(bind=True)
        def again(self):
            self.delay()

        with engine.paused():
            again.delay()
            with pytest.raises(DrainLimitExceeded, match=r"limit=20 .*\n  .*again\["):
                app.AsyncResult("never").get()


class TestDeadlocks:
    def test_nothing_pending(self, engine, app):
        """A result that nothing pending can produce is an error at once, time-out or not."""
        with pytest.raises(DeadlockError) as raised:
            app.AsyncResult("nope").get(timeout=3600)
        reason, *lines = str(raised.value).splitlines()
        assert reason.startswith("a result is waited for that nothing will produce: its task was")
        assert lines == [
            "  the test waits for nope (PENDING)",
            "Waiting to be run:",
            "  nothing",
        ]
        assert engine.clock.monotonic() == 0.0

    def test_thrown_away(self, engine, app, add):
        """Messages that the worker threw away are part of the message."""
        with pytest.warns(UserWarning, match="cannot be decoded|Refusing"):
            result = add.apply_async((1, 2), serializer="pickle")
        with pytest.raises(DeadlockError, match=r"Thrown away:\n  .*pickle"):
            result.get()

    def test_two_tasks(self, engine, app):
        """Tasks that wait for each other are named, in a circle."""
        ids = {"ping": "1", "pong": "2"}

        @app.task(name="ping")
        def ping():
            with allow_join_result():
                return app.AsyncResult(ids["pong"]).get()

        @app.task(name="pong")
        def pong():
            with allow_join_result():
                return app.AsyncResult(ids["ping"]).get()

        with engine.paused():
            for name, task_id in ids.items():
                app.tasks[name].apply_async(task_id=task_id)
        reason = r"tasks wait for each other: pong\[2\] -> ping\[1\] -> pong\[2\]"
        # The one that closes the circle fails; what it raised reaches the other one.
        for task_id in ids.values():
            with pytest.raises(DeadlockError, match=reason):
                app.AsyncResult(task_id).get()

    def test_itself(self, engine, app):
        """A task that waits for its own result is a circle of one."""

        @app.task(bind=True, name="me")
        def me(self):
            with allow_join_result():
                return self.AsyncResult(self.request.id).get()

        run = engine.run(me.s().set(task_id="1"))
        assert "tasks wait for each other: me[1] -> me[1]" in str(run.exception)

    def test_on_top(self, engine, app, add):
        """A task that waits for one that waits for something else: one process is not enough."""

        @app.task(name="upper")
        def upper(uuid):
            with allow_join_result():
                return app.AsyncResult(uuid).get()

        @app.task(name="lower", bind=True)
        def lower(self):
            upper.apply_async((self.request.id,), task_id="u")
            with allow_join_result():
                return add.delay(0, 1).get()

        run = engine.run(lower.s().set(task_id="l"))
        assert run.result == 1
        message = str(engine.backend.peek("u")["result"])
        assert message.startswith("lower[l] waits itself, and a worker with one process")
        assert "upper[u] waits for l (PENDING)" in message

    def test_refused_in_a_task(self, engine, app, add):
        """get() in a task is refused, as on a worker, unless it is told not to be."""

        @app.task
        def waits(**options):
            return add.delay(1, 2).get(**options)

        refused = engine.run(waits)
        assert "Never call result.get() within a task" in str(refused.exception)
        assert engine.run(waits, disable_sync_subtasks=False).result == 3


class TestThreads:
    """One thread works at a time; a thread of a test is not in a task because another one is."""

    def test_that_publish_and_wait(self, app, add):
        """Threads of a test may publish and wait at once."""
        with EagerEngine(app), ThreadPoolExecutor(8) as pool:
            sums = list(pool.map(lambda n: add.delay(n, n).get(), range(100)))
        assert sums == [2 * n for n in range(100)]

    def test_that_wait_for_a_running_task(self, engine, app):
        """A thread waits for a task that another thread runs."""
        running, go_on = threading.Event(), threading.Event()

        @app.task
        def slow():
            running.set()
            assert go_on.wait(10)
            return "done"

        with engine.paused():
            result = slow.delay()
            worker = threading.Thread(target=engine.step)
            worker.start()
            assert running.wait(10)
            waiter = ThreadPoolExecutor(1)
            waiting = waiter.submit(result.get)
            go_on.set()
            assert waiting.result(10) == "done"
            worker.join()
            waiter.shutdown()

    def test_nobody_is_in_a_task_by_accident(self, app):
        """Threads that are started while another one runs a task are threads of the test."""
        at_once, most = [], []

        @app.task
        def work(n):
            at_once.append(n)
            most.append(len(at_once))
            at_once.remove(n)
            return n

        for _ in range(5):
            with EagerEngine(app), ThreadPoolExecutor(8) as pool:
                done = list(pool.map(lambda n: work.delay(n).get(), range(40)))
            assert done == list(range(40))
        assert set(most) == {1}

    @pytest.mark.parametrize(("threads", "tasks"), [(2, 4), (8, 24)])
    def test_of_a_task(self, engine, app, add, threads, tasks):
        """A task may wait in threads of its own, and join them: they take turns."""

        @app.task
        def fans_out():
            def wait(n):
                with allow_join_result():
                    return add.delay(n, n).get()

            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(wait, range(tasks)))

        for _ in range(5):
            assert engine.run(fans_out).result == [2 * n for n in range(tasks)]

    def test_a_result_that_comes_meanwhile(self, engine, add):
        """What was written while somebody looked is not waited for."""
        with engine.paused():
            result = add.delay(1, 2)
            assert result.get(on_interval=engine.drain) == 3
