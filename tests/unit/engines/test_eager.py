"""The eager engine: what runs, when, and what is kept of it."""

from __future__ import annotations

import threading
from datetime import timedelta

import celery
import pytest
from celery import Celery, Task, chain, chord, group, shared_task
from celery.exceptions import Ignore
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import allow_join_result

from pytest_taskprogress import (
    DrainLimitExceeded,
    EagerEngine,
    EngineError,
    EngineNotInstalled,
    ForeignTaskError,
    History,
    ListenerError,
    NotATaskError,
    NotSerializable,
    Observer,
    ProgressTask,
    TaskProgressWarning,
)
from pytest_taskprogress.listeners import Listener


@shared_task(name="tests.shared_double")
def shared_double(number):
    """Twice a number."""
    return 2 * number


@pytest.fixture
def add(app):
    """A task that adds."""

    @app.task(name="add")
    def add(x, y):
        return x + y

    return add


@pytest.fixture
def total(app):
    """A task that sums."""

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    return total


@pytest.fixture
def boom(app):
    """A task that raises."""

    @app.task(name="boom")
    def boom(*args):
        raise ValueError("broken")

    return boom


class TestTasks:
    def test_plain(self, engine, add):
        """A plain task runs, and its result is what a client gets."""
        run = engine.run(add, 2, y=3)
        assert (run.name, run.state, run.result, run.exception) == ("add", "SUCCESS", 5, None)
        assert run.states == ["SUCCESS"]
        assert engine.app.AsyncResult(run.task_id).get() == 5

    def test_track_started_is_the_apps_own(self, app):
        """STARTED is stored if, and only if, the app tracks it; with what a worker stores."""
        app.conf.task_track_started = True

        @app.task
        def nothing():
            return None

        with EagerEngine(app) as engine:
            run = engine.run(nothing)
        assert run.states == ["STARTED", "SUCCESS"]
        assert set(run.history[0].meta) == {"pid", "hostname"}
        assert run.history[0].meta["hostname"].startswith("celery@")

    def test_shared(self, engine):
        """A shared task runs on the engine's app."""
        assert engine.run(shared_double, 4).result == 8
        assert shared_double.delay(5).get() == 10
        assert shared_double.app is engine.app

    def test_bound(self, engine, app):
        """A bound task has a worker's request."""

        @app.task(bind=True)
        def request_of(self):
            request = self.request
            return [request.is_eager, request.called_directly, request.hostname, request.retries]

        is_eager, called_directly, hostname, retries = engine.run(request_of).result
        assert (is_eager, called_directly, retries) == (False, False, 0)
        assert hostname.startswith("celery@")

    def test_class_based(self, engine, app):
        """A class-based task with its own __call__ that calls super() keeps its request."""

        class Greeter(Task):
            name = "greeter"

            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)

            def run(self, whom):
                return f"hello {whom}, {self.request.id is not None}"

        task = app.register_task(Greeter())
        assert engine.run(task, "you").result == "hello you, True"

    def test_delay_and_apply_async(self, engine, add):
        """What the code under test publishes has run when the call returns."""
        assert add.delay(1, 2).get() == 3
        assert add.apply_async((3,), {"y": 4}, task_id="mine").id == "mine"
        assert engine.history.of("mine") == ["SUCCESS"]
        assert len(engine.history) == 2

    def test_send_task(self, engine, app, add):
        """A task that is sent by name runs."""
        assert app.send_task("add", (1, 1)).get() == 2

    def test_arguments_make_the_round_trip(self, engine, app):
        """A task gets its arguments as the wire brings them."""

        @app.task
        def kinds(value, mapping):
            return [type(value).__name__, list(mapping)]

        assert engine.run(kinds, (1, 2), {1: "a"}).result == ["list", ["1"]]

    def test_a_result_makes_the_round_trip(self, engine, app):
        """A result is what a client reads, not what the task returned."""

        @app.task
        def pair():
            return (1, {2: 3})

        assert engine.run(pair).result == [1, {"2": 3}]

    def test_an_exception_is_recorded(self, engine, app):
        """A task's exception is kept, with its traceback, after its handlers and errbacks ran."""
        calls = []

        class Handled(Task):
            def on_failure(self, exc, task_id, args, kwargs, einfo):
                calls.append(("on_failure", repr(exc)))

        @app.task(base=Handled)
        def fails():
            raise KeyError("gone")

        @app.task
        def errback(request, exc, traceback):
            calls.append(("errback", repr(exc)))

        run = engine.run(fails.s().on_error(errback.s()))
        assert run.state == "FAILURE"
        assert isinstance(run.exception, KeyError)
        assert "KeyError: 'gone'" in run.traceback
        assert sorted(calls) == [
            ("errback", "KeyError('gone')"),
            ("on_failure", "KeyError('gone')"),
        ]

    def test_ignored_results_are_not_stored(self, engine, app):
        """ignore_result is the task's own."""

        @app.task(ignore_result=True)
        def silent():
            return 1

        run = engine.run(silent)
        assert (run.state, run.states, run.result) == ("PENDING", [], None)

    def test_a_task_with_a_backend_of_its_own(self, app):
        """A task that was given another backend writes to the engine's all the same."""
        other = Celery("other", backend="cache+memory://", set_as_current=False).backend

        @app.task(backend=other)
        def declared():
            return 1

        @app.task
        def given():
            return 2

        given.backend = other
        with EagerEngine(app) as engine:
            assert engine.run(declared).result == 1
            assert engine.run(given).result == 2
        assert declared.backend is other
        assert given.backend is other


class TestTime:
    def test_retries_take_no_time(self, engine, app):
        """Every attempt is a transition; the delays pass on the engine's clock only."""

        @app.task(bind=True, max_retries=5)
        def flaky(self):
            if self.request.retries < 2:
                raise self.retry(countdown=60)
            return "done"

        run = engine.run(flaky)
        assert run.states == ["RETRY", "RETRY", "SUCCESS"]
        assert [each.kind for each in run.history] == ["retry", "retry", "task"]
        assert [each.at for each in run.history] == [0.0, 60.0, 120.0]
        assert (run.retries, run.elapsed) == (2, 120.0)

    def test_many_retries_need_no_stack(self, app):
        """More attempts than Python has stack for run one after the other."""

        @app.task(bind=True, max_retries=None)
        def stubborn(self):
            if self.request.retries < 1_500:
                raise self.retry(countdown=1)
            return self.request.retries

        with EagerEngine(app, limit=2_000) as engine:
            run = engine.run(stubborn)
        assert (run.result, run.elapsed) == (1_500, 1_500.0)

    def test_order_of_time_then_of_publication(self, engine, app):
        """What is due earlier runs earlier; at the same time, what was published earlier."""
        order = []

        @app.task
        def note(name):
            order.append(name)

        with engine.paused():
            for name, countdown in [("c", 30), ("a", 10), ("b", 10), ("now", None)]:
                note.apply_async((name,), countdown=countdown)
        assert order == ["now", "a", "b", "c"]
        assert engine.clock.monotonic() == 30.0

    def test_eta(self, engine, app, add):
        """An eta that is computed from the app's time is exact."""
        add.apply_async((1, 2), eta=app.now() + timedelta(hours=1))
        assert engine.clock.monotonic() == 3600.0

    def test_a_fraction_of_a_second(self, engine, add):
        """A countdown is kept to the microsecond."""
        add.apply_async((1, 2), countdown=0.1)
        assert engine.clock.monotonic() == 0.1

    def test_expiry(self, engine, app, add):
        """A task whose time has passed when it is due is revoked; one in time runs."""
        late = add.apply_async((1, 2), countdown=60, expires=30)
        in_time = add.apply_async((1, 2), countdown=20, expires=30)
        assert (late.state, in_time.state) == ("REVOKED", "SUCCESS")

    def test_results_expire(self, app):
        """A stored result is gone when result_expires has passed."""
        app.conf.result_expires = 100

        @app.task
        def one():
            return 1

        with EagerEngine(app) as engine:
            result = one.delay()
            engine.clock.advance(99)
            assert app.AsyncResult(result.id).state == "SUCCESS"
            engine.clock.advance(1)
            assert app.AsyncResult(result.id).state == "PENDING"

    def test_elapsed_of_an_observer(self, engine, app):
        """An Observer goes by the engine's clock."""

        @app.task(bind=True)
        def slow(self):
            observer = Observer(self)
            engine.clock.advance(2.5)
            observer.update("half", current=50)

        assert engine.run(slow).meta["elapsed"] == 2.5


class TestCanvas:
    def test_chain(self, engine, add):
        """A chain's run is that of its last task; the history has all."""
        run = engine.run(chain(add.s(1, 2), add.s(10)))
        assert (run.result, run.states) == (13, ["SUCCESS"])
        assert run.history == ["SUCCESS", "SUCCESS"]
        assert [each.result for each in run.children] == [3]

    def test_group(self, engine, add):
        """A group's run has the results of its tasks in order."""
        run = engine.run(group(add.s(n, n) for n in range(3)))
        assert (run.state, run.result, run.name) == ("SUCCESS", [0, 2, 4], None)
        assert run.states == ["SUCCESS"] * 3
        assert len(run.children) == 3

    def test_a_group_that_fails(self, engine, add, boom):
        """A group with a failed task has failed, with that task's exception."""
        run = engine.run(group(add.s(1, 1), boom.s()))
        assert (run.state, run.result) == ("FAILURE", None)
        assert isinstance(run.exception, ValueError)
        assert "ValueError: broken" in run.traceback

    def test_a_group_that_is_not_ready(self, engine, app, add):
        """A group with a task that stored nothing is pending."""

        @app.task
        def ignored():
            raise Ignore

        assert engine.run(group(add.s(1, 1), ignored.s())).state == "PENDING"

    def test_a_group_that_is_called(self, engine, add):
        """A group that the code under test applies runs when all of it is published."""
        assert group(add.s(n, 1) for n in range(3))().get() == [1, 2, 3]

    def test_chord(self, engine, add, total):
        """A chord's run is that of its body."""
        run = engine.run(chord([add.s(n, n) for n in range(4)], total.s()))
        assert (run.name, run.result) == ("total", 12)
        assert len(run.history) == 5

    def test_a_chord_whose_header_fails(self, engine, add, boom, total):
        """The body fails with ChordError, the header's exception in its message."""
        run = engine.run(chord([add.s(1, 1), boom.s()], total.s()))
        assert run.state == "FAILURE"
        assert type(run.exception).__name__ == "ChordError"
        assert "broken" in str(run.exception)

    def test_a_chain_of_group_and_task(self, engine, add, total):
        """A group in a chain becomes a chord."""
        assert engine.run(chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(1))).result == 7

    def test_link(self, engine, add):
        """A callback runs with the result."""
        run = engine.run(add.s(1, 2).set(link=add.s(10)))
        assert run.result == 3
        assert [each.result for each in run.children] == [13]

    def test_children_of_a_task(self, engine, app, add):
        """What a task publishes runs after it, knows its parent and root, and is its child."""

        @app.task(bind=True)
        def parent(self):
            child = add.delay(1, 2)
            return [child.id, child.state]

        run = engine.run(parent)
        child_id, state_in_parent = run.result
        assert state_in_parent == "PENDING"
        assert [each.name for each in run.history] == [parent.name, "add"]
        assert run.children[0].task_id == child_id
        meta = app.backend.get_task_meta(child_id)
        assert meta["parent_id"] == run.task_id
        assert [each.id for each in app.AsyncResult(run.task_id).children] == [child_id]


class TestOrder:
    def test_paused(self, engine, add):
        """In paused(), messages wait for step(); on leaving, the rest is run."""
        with engine.paused():
            first, second = add.delay(1, 1), add.delay(2, 2)
            assert [each.uuid for each in engine.pending] == [first.id, second.id]
            assert engine.step()
            assert (first.state, second.state) == ("SUCCESS", "PENDING")
            third = add.apply_async((3, 3), countdown=5)
            assert [each.uuid for each in engine.pending] == [second.id, third.id]
            assert engine.step()
            assert engine.pending == [("add", third.id, 5.0)]
            assert str(engine.pending[0]) == f"add[{third.id}], due at 5 s"
        assert third.get() == 6
        assert not engine.step()

    def test_what_waits_for_its_time(self, engine, add):
        """What was taken from the broker and waits for its time is pending, in order of time."""
        with engine.paused():
            late, early = (add.apply_async((1, 1), countdown=each) for each in (20, 10))
            now = add.delay(2, 2)
            order = [now.id, early.id, late.id]
            assert [each.uuid for each in engine.pending] == order
            assert engine.step()
            assert [each.uuid for each in engine.pending] == order[1:]
            assert engine.step()
            assert engine.clock.monotonic() == 10.0
            assert engine.pending == [("add", late.id, 20.0)]

    def test_drain(self, engine, add):
        """drain() runs what waits, also in paused(), and says how many messages that were."""
        with engine.paused():
            add.delay(1, 1)
            add.delay(2, 2)
            assert engine.drain() == 2
            assert engine.drain() == 0

    def test_run_is_run_in_paused(self, engine, add):
        """run() means now, paused or not."""
        with engine.paused():
            assert engine.run(add, 1, 1).result == 2

    def test_drain_inside_a_task(self, engine, app, add):
        """Inside a task nothing is drained: what it published runs after it."""

        @app.task
        def impatient():
            child = add.delay(1, 2)
            return [engine.drain(), child.state]

        assert engine.run(impatient).result == [0, "PENDING"]

    def test_endless(self, app):
        """A task that requeues itself for ever ends at the limit, and nothing of it stays."""

        @app.task
        def again():
            again.delay()

        with EagerEngine(app, limit=50) as engine:
            with pytest.raises(DrainLimitExceeded, match=r"limit=50 .*\n  .*again\["):
                again.delay()
            assert engine.pending == []

    def test_endless_while_a_task_waits(self, app):
        """The limit also holds for what is run while a task waits for a result."""

        @app.task
        def again():
            again.delay()

        @app.task
        def waits():
            again.delay()
            with allow_join_result():
                return app.AsyncResult("never").get()

        with EagerEngine(app, limit=50) as engine:
            with pytest.raises(DrainLimitExceeded, match="limit=50 "):
                engine.run(waits)
            assert engine.pending == []

    def test_just_at_the_limit(self, app, add):
        """As many messages as the limit are not too many."""
        with EagerEngine(app, limit=3) as engine, engine.paused():
            for _ in range(3):
                add.delay(1, 1)
            assert engine.drain() == 3

    def test_a_long_line_is_cut(self, engine, add):
        """The message about what waits stays readable."""
        engine.limit = 1

        @engine.app.task
        def spawns():
            for _ in range(13):
                add.delay(1, 1)

        with pytest.raises(DrainLimitExceeded, match="and 2 more"):
            spawns.delay()

    def test_threads_publish(self, engine, add):
        """What several threads publish at once all runs."""
        results = []
        threads = [
            threading.Thread(target=lambda: results.append(add.delay(1, 1))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.drain()
        assert [each.state for each in results] == ["SUCCESS"] * 8

    def test_same_test_same_history(self, app, add, total):
        """Two runs of the same tasks give the same transitions, ids aside."""

        def history():
            with EagerEngine(app) as engine:
                engine.run(chord([add.s(n, n) for n in range(3)], total.s()))
                add.apply_async((1, 2), countdown=7)
                return [(each.name, each.state, each.result, each.at) for each in engine.history]

        assert history() == history()


class TestWaiting:
    def test_get_in_a_task(self, engine, app, add):
        """get() in a task is refused, as on a worker."""

        @app.task
        def waits():
            return add.delay(1, 2).get()

        run = engine.run(waits)
        assert isinstance(run.exception, RuntimeError)
        assert "Never call result.get() within a task" in str(run.exception)

    def test_allowed_in_a_task(self, engine, app, add):
        """Where a task may wait, what it waits for is run."""

        @app.task
        def waits():
            with allow_join_result():
                return [add.delay(1, 2).get(), group(add.s(n, n) for n in range(3))().get()]

        assert engine.run(waits).result == [3, [0, 2, 4]]
        assert not celery._state.task_join_will_block()

    def test_time_out(self, engine, app, add):
        """A result that is due too late is a time-out, in virtual time."""

        @app.task
        def waits():
            result = add.apply_async((1, 2), countdown=60)
            with allow_join_result():
                try:
                    result.get(timeout=5)
                except CeleryTimeoutError:
                    return engine.clock.monotonic()

        assert engine.run(waits).result == 5.0
        assert engine.clock.monotonic() == 60.0


class TestBadInput:
    @pytest.mark.parametrize("target", [len, "add", None, 3, Task], ids=repr)
    def test_not_a_task(self, engine, target):
        """What is no task is refused at once, with what to do."""
        with pytest.raises(
            NotATaskError, match=r"takes a Celery task or a signature, got .*@app.task"
        ):
            engine.run(target)

    def test_a_task_of_another_app(self, engine):
        """A task of another app is refused, with both apps named."""
        other = Celery("other", set_as_current=False)

        @other.task
        def foreign():
            return 1

        for target in (foreign, foreign.s()):
            with pytest.raises(ForeignTaskError, match=r"other.*tests.*taskprogress_app"):
                engine.run(target)

    def test_arguments(self, engine, add):
        """Arguments that cannot be encoded are refused, with the path to the culprit."""
        with pytest.raises(
            NotSerializable, match=r"add: .*'json' cannot encode args\[1\]\['a'\]\[0\]"
        ):
            engine.run(add, 1, {"a": [object()]})
        with pytest.raises(NotSerializable, match=r"kwargs\['y'\]"):
            add.delay(1, y=object())
        assert engine.run(add, 1, 2).result == 3

    def test_arguments_of_protocol_1(self, app, add):
        """The older message protocol gets the same message."""
        app.conf.task_protocol = 1
        with EagerEngine(app) as engine:
            with pytest.raises(NotSerializable, match=r"kwargs\['y'\]"):
                add.delay(1, y=object())
            assert engine.run(add, 1, 2).result == 3

    def test_meta(self, engine, app):
        """Meta that cannot be encoded raises inside the task, at the report, as in production."""

        @app.task(bind=True)
        def reports(self):
            try:
                self.update_state(state="PROGRESS", meta={"a": {"b": object()}})
            except NotSerializable as error:
                return str(error)

        message = engine.run(reports).result
        assert "meta['a']['b']" in message
        assert f"(reported at {__file__}:" in message

    def test_a_result(self, engine, app):
        """A result that cannot be encoded fails the task, and the message says where it is."""

        @app.task
        def returns():
            return {"rows": [1, object()]}

        run = engine.run(returns)
        assert run.state == "FAILURE"
        assert "result['rows'][1]" in str(run.exception)

    def test_an_update_without_id(self, engine, add):
        """A task that is called as a function has no id to report for, as in production."""
        with pytest.raises(ValueError, match="task_id must not be empty"):
            add.update_state(state="PROGRESS", meta={})

    def test_not_an_app(self):
        """An engine needs an app."""
        with pytest.raises(EngineError, match="Celery app, got app=3"), EagerEngine(3):
            pass
        with pytest.raises(EngineError, match="which app"), EagerEngine():
            pass

    def test_a_limit_of_nothing(self, app):
        """A limit below 1 is refused."""
        with pytest.raises(ValueError, match="limit >= 1, got limit=0"):
            EagerEngine(app, limit=0)

    def test_not_installed(self, app, add):
        """An engine that is on no app says how to install it."""
        engine = EagerEngine(app)
        with pytest.raises(EngineNotInstalled, match="with EagerEngine"):
            engine.run(add, 1, 2)

    def test_installed_twice(self, engine, app):
        """An engine is on one app at a time."""
        with pytest.raises(EngineError, match="installed already"), engine.installed(app):
            pass

    def test_unregistered(self, engine, app):
        """A message for a task that nobody knows fails with Celery's own error."""
        with pytest.warns(TaskProgressWarning, match="no task 'nobody.knows' is registered"):
            result = app.send_task("nobody.knows")
        with pytest.raises(celery.exceptions.NotRegistered, match=r"nobody\.knows"):
            result.get()

    @pytest.mark.parametrize(
        "interruption", [KeyboardInterrupt, pytest.fail.Exception, pytest.skip.Exception]
    )
    def test_interrupted(self, engine, app, add, interruption):
        """What interrupts the test run reaches the test, and leaves the engine clean."""

        @app.task
        def interrupted():
            add.delay(1, 2)
            raise interruption

        with pytest.raises(interruption):
            engine.run(interrupted)
        assert engine.pending == []
        assert celery.current_task._get_current_object() is None
        assert not celery._state.task_join_will_block()
        assert engine.run(add, 1, 2).result == 3

    def test_system_exit(self, engine, app, add):
        """A task that leaves its process is lost, as on a pool of processes."""

        @app.task
        def leaves():
            raise SystemExit(3)

        run = engine.run(leaves)
        assert run.state == "FAILURE"
        assert type(run.exception).__name__ == "WorkerLostError"
        assert "3" in str(run.exception)
        assert engine.run(add, 1, 2).result == 3


class TestTransitions:
    def test_source_is_the_users_line(self, engine, app):
        """The line that reported is kept; what the worker wrote has none."""

        @app.task(bind=True)
        def reports(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})

        code = reports.run.__code__
        report, success = engine.run(reports).history
        assert (report.source.file, report.source.line) == (__file__, code.co_firstlineno + 2)
        assert success.source is None
        assert str(report.source) == f"{__file__}:{report.source.line}"

    def test_meta_is_a_snapshot(self, engine, app):
        """A dict that is reused by the task is kept as it was at each report."""

        @app.task(bind=True)
        def reuses(self):
            meta = {"n": 0, "nested": {"n": 0}}
            for n in range(3):
                meta["n"] = meta["nested"]["n"] = n
                self.update_state(state="PROGRESS", meta=meta)

        metas = [each.meta for each in engine.run(reuses).progress]
        assert metas == [{"n": n, "nested": {"n": n}} for n in range(3)]

    def test_a_state_of_ones_own_is_a_report(self, engine, app):
        """Custom states count as reports."""

        @app.task(bind=True)
        def uploads(self):
            self.update_state(state="UPLOADING", meta={"percent": 5})

        run = engine.run(uploads)
        assert (run.percents, run.states) == ([5], ["UPLOADING", "SUCCESS"])

    def test_equality_works_both_ways(self, engine, add):
        """A history equals a list of states, from either side."""
        history = engine.run(add, 1, 2).history
        assert history == ["SUCCESS"]
        assert ["SUCCESS"] == history  # noqa: SIM300 - that is what is tested
        assert history != ["STARTED", "SUCCESS"]
        assert isinstance(engine.history, History)

    def test_text(self, engine, app):
        """A run tells its story."""

        @app.task(bind=True, name="story")
        def story(self):
            Observer(self).update("chapter %d", 1, current=50)

        text = str(engine.run(story))
        assert "SUCCESS after 0 s" in text
        assert "PENDING -> PROGRESS ####---- 50% chapter 1 test_eager.py:" in text


class TestFindings:
    def test_failure_replaced_by_success(self, engine, app):
        """A FAILURE that a plain task loses is recorded, and a warning names its line."""

        @app.task(bind=True, name="loses")
        def loses(self):
            Observer(self).fail("bad %s", "luck")
            return 1

        with pytest.warns(
            TaskProgressWarning, match=r"loses breaks .*\n.*FAILURE was stored, at .*ProgressTask"
        ):
            run = engine.run(loses)
        assert run.states == ["FAILURE", "SUCCESS"]

    def test_the_warning_is_at_the_users_line(self, engine, app):
        """The warning is shown where the report was written."""

        @app.task(bind=True)
        def loses(self):
            Observer(self).fail("bad luck")

        with pytest.warns(TaskProgressWarning) as caught:
            engine.run(loses)
        assert (caught[0].filename, caught[0].lineno) == (
            __file__,
            loses.run.__code__.co_firstlineno + 2,
        )

    def test_a_report_after_the_end(self, engine, app):
        """A report that brings a failed task back to life is a finding."""

        @app.task(bind=True)
        def zombie(self):
            self.update_state(
                state="FAILURE", meta={"exc_type": "E", "exc_message": "m", "exc_module": "e"}
            )
            self.update_state(state="PROGRESS", meta={"current": 1})
            raise Ignore

        with pytest.warns(TaskProgressWarning, match="looks alive"):
            assert engine.run(zombie).states == ["FAILURE", "PROGRESS"]

    def test_a_result_that_is_lost(self, engine, app):
        """What a plain task returns after success() is dropped, and a warning says so."""

        @app.task(bind=True)
        def returns(self):
            Observer(self).success("done")
            return 42

        with pytest.warns(TaskProgressWarning, match=r"returned, 42, is lost"):
            run = engine.run(returns)
        assert run.result["description"] == "done"
        assert run.history.dropped[0].result == 42

    def test_returning_the_meta_is_fine(self, engine, app):
        """A plain task that returns what success() gave it loses nothing."""

        @app.task(bind=True)
        def returns(self):
            _, meta = Observer(self).success("done")
            return meta

        assert engine.run(returns).states == ["SUCCESS"]

    def test_raising_after_success(self, engine, app):
        """A plain task that raises after success() keeps SUCCESS, and a warning says so."""

        @app.task(bind=True)
        def raises(self):
            Observer(self).success("done")
            raise ValueError("late")

        with pytest.warns(TaskProgressWarning, match="dropped the FAILURE"):
            assert engine.run(raises).states == ["SUCCESS"]

    @pytest.mark.filterwarnings("ignore:.*breaks its contract")
    def test_a_report_after_success(self, engine, app):
        """A report after SUCCESS is dropped by the backend and kept as not stored."""

        @app.task(bind=True)
        def reports(self):
            Observer(self).success("done")
            self.update_state(state="PROGRESS", meta={"current": 1})
            raise Ignore

        run = engine.run(reports)
        assert run.states == ["SUCCESS"]
        assert [each.state for each in run.history.dropped] == ["PROGRESS"]

    def test_redelivery_of_a_failure_is_no_finding(self, engine, app):
        """A failure that is told twice is one failure."""

        @app.task(bind=True, base=ProgressTask)
        def fails(self):
            Observer(self).fail("bad luck")

        assert engine.run(fails).states == ["FAILURE"]


class TestAborts:
    def test_celerys_abort_flag(self, engine, app):
        """A run says when an abort was asked for, and how many reports came after it."""

        @app.task(bind=True)
        def aborted(self):
            self.update_state(state="ABORTED")
            engine.clock.advance(3)
            self.update_state(state="PROGRESS", meta={"current": 1})
            raise Ignore

        with pytest.warns(TaskProgressWarning, match="PROGRESS was stored over ABORTED"):
            run = engine.run(aborted)
        assert (run.abort_requested_at, run.reports_after_abort) == (0.0, 1)

    def test_no_abort(self, engine, add):
        """A run without an abort says so."""
        run = engine.run(add, 1, 2)
        assert (run.abort_requested_at, run.reports_after_abort) == (None, 0)


class TestListeners:
    def test_a_listener_that_raises(self, app, add):
        """The task and the other listeners are not disturbed; the error comes out at the end."""
        heard = []

        class Broken(Listener):
            def _task_receiver(self, state, details):
                raise ZeroDivisionError(state)

        class Sound(Listener):
            def _task_receiver(self, state, details):
                heard.append((state, details["task_name"]))

        def listen():
            with EagerEngine(app) as engine, Broken(engine), Sound(engine):
                assert engine.run(add, 1, 2).result == 3

        with pytest.raises(ListenerError, match="ZeroDivisionError: SUCCESS") as caught:
            listen()
        assert heard == [("RUNNING", "add"), ("SUCCESS", "add")]
        assert [str(each) for each in caught.value.exceptions] == ["RUNNING", "SUCCESS"]

    def test_several_errors(self, app, add):
        """All errors are in the message."""

        class Broken(Listener):
            def _task_receiver(self, state, details):
                raise ZeroDivisionError(state)

        engine = EagerEngine(app)
        with engine.installed(app), Broken(engine):
            engine.run(add, 1, 2)
            engine.run(add, 1, 2)
            with pytest.raises(ListenerError, match="4 listener errors") as caught:
                engine.check_listeners()
            engine.check_listeners()
        assert len(caught.value.errors) == 4
