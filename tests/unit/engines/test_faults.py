"""Faults of the result backend: what tasks, and the worker, do when it refuses writes and reads."""

from __future__ import annotations

import threading
import warnings
from functools import partial

import pytest
from celery import chain, chord, group
from celery.exceptions import BackendStoreError
from celery.result import allow_join_result

from pytest_taskprogress import AbortableTask, EagerEngine, Observer, abort
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    FailRead,
    FailWrite,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
    if_reached,
)

REFUSED = "the result backend refuses to write, as the scenario says"


class Odd(ConnectionError):
    """An exception whose arguments are not those that it was made with."""

    def __init__(self, host, port):
        super().__init__(f"{host}:{port} is down")


class Wordy(ConnectionError):
    """One that says more each time that it is copied."""

    def __init__(self, host):
        super().__init__(f"no {host}")


class TestWrites:
    @pytest.mark.parametrize(
        ("event", "states"),
        [
            (FailWrite(before_start()), ["FAILURE"]),
            (FailWrite(at_report(1)), ["PROGRESS", "FAILURE"]),
            (FailWrite(at_report(3)), ["PROGRESS"] * 3 + ["FAILURE"]),
            (FailWrite(at_abort_check(2)), ["PROGRESS", "FAILURE"]),
            # Of SUCCESS: the worker stores FAILURE instead.
            (FailWrite(at_report(4)), ["PROGRESS"] * 4 + ["FAILURE"]),
            # The FAILURE too: it is the worker's main process that stores it then.
            (FailWrite(at_report(4), times=2), ["PROGRESS"] * 4 + ["FAILURE"]),
            (FailWrite(at_report(4), times=3), ["PROGRESS"] * 4),
            (FailWrite(at_report(4), seconds=0), ["PROGRESS"] * 4 + ["SUCCESS"]),
            (FailWrite(at_state("SUCCESS"), times=99), ["PROGRESS"] * 4 + ["SUCCESS"]),
        ],
        ids=repr,
    )
    def test_at_each_moment(self, engine, jobs, event, states):
        """What comes next is refused, and Celery's worker code decides what becomes of it."""
        run = engine.under(event).run(jobs.export)
        assert run.states == states
        if states[-1] == "FAILURE":
            assert type(run.exception) is ConnectionError
            assert str(run.exception) == REFUSED

    @pytest.mark.parametrize("times", [1, 2, 3, 4])
    def test_an_end_that_is_stored_is_not_lost(self, engine, jobs, times):
        """The run is lost if its end is told nowhere; not if FAILURE took the place of SUCCESS."""
        run = engine.under(FailWrite(at_report(4), times=times)).run(jobs.export)
        assert run.lost is (times > 2)
        assert run.violations == ()

    def test_started(self, app, engine, jobs):
        """STARTED is a write; the task's function is never called."""
        app.conf.task_track_started = True
        run = engine.under(FailWrite(before_start())).run(jobs.export)
        assert run.states == ["FAILURE"]

    def test_a_task_may_go_on(self, engine, app):
        """The exception is raised where the task reports, and it may catch it."""

        @app.task(bind=True)
        def stubborn(self):
            caught = []
            for row in range(6):
                try:
                    self.update_state(state="PROGRESS", meta={"current": row})
                except TimeoutError as error:
                    caught.append(str(error))
            return caught

        run = engine.under(FailWrite(at_report(2), TimeoutError, times=3)).run(stubborn)
        assert [each.meta["current"] for each in run.progress] == [0, 1, 5]
        assert run.result == [REFUSED] * 3

    def test_for_some_seconds(self, engine, app):
        """However often, until the clock says that it is over."""

        @app.task(bind=True)
        def tick(self):
            refused = 0
            for _ in range(10):
                try:
                    self.update_state(state="PROGRESS", meta={})
                except ConnectionError:
                    refused += 1
                engine.clock.advance(1)
            return refused

        run = engine.under(FailWrite(at_report(2), seconds=4)).run(tick)
        assert run.result == 3
        assert [each.at for each in run.progress] == [0.0, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0]

    def test_both_times_and_seconds(self, engine, app):
        """Whichever is over first."""

        @app.task(bind=True)
        def tick(self):
            refused = []
            for second in range(6):
                try:
                    self.update_state(state="PROGRESS", meta={})
                except ConnectionError:
                    refused.append(second)
                engine.clock.advance(1)
            return refused

        assert engine.under(FailWrite(at_report(1), times=2, seconds=60)).run(tick).result == [1, 2]
        assert engine.under(FailWrite(at_report(1), times=9, seconds=3)).run(tick).result == [1, 2]

    def test_two_at_once(self, engine, app):
        """One is raised, and then the other."""

        @app.task(bind=True)
        def stubborn(self):
            caught = []
            for _ in range(4):
                try:
                    self.update_state(state="PROGRESS", meta={})
                except OSError as error:
                    caught.append(type(error).__name__)
            return caught

        events = FailWrite(at_report(1)), FailWrite(at_report(1), TimeoutError)
        assert engine.under(*events).run(stubborn).result == ["ConnectionError", "TimeoutError"]


class TestRetries:
    def test_of_what_is_refused(self, engine, app):
        """A task that retries when the backend is down comes to its end when it is up again."""

        @app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=30)
        def persistent(self):
            self.update_state(state="PROGRESS", meta={"attempt": self.request.retries})
            return self.request.retries

        run = engine.under(FailWrite(before_start(), seconds=20)).run(persistent)
        # RETRY is refused too, and so is the FAILURE: the message of the retry is there.
        assert run.states == ["PROGRESS", "SUCCESS"]
        assert (run.result, run.elapsed) == (1, 30.0)
        assert not run.lost

    def test_of_retry_itself(self, engine, jobs):
        """Where RETRY cannot be stored a worker stores FAILURE; the retry comes all the same."""
        run = engine.under(FailWrite(at_report(1))).run(jobs.flaky)
        assert run.states == ["PROGRESS", "FAILURE", "PROGRESS", "SUCCESS"]
        assert run.elapsed == 30.0
        assert [start.at for start in run.starts] == [0.0, 30.0]

    @pytest.mark.parametrize(("seconds", "states"), [(29, ["PROGRESS", "SUCCESS"]), (31, [])])
    def test_longer_or_shorter_than_the_countdown(self, engine, jobs, seconds, states):
        """The clock jumps to the next attempt: by then it is over, or not."""
        run = engine.under(FailWrite(at_report(1), seconds=seconds)).run(jobs.flaky)
        assert run.states == ["PROGRESS", *states]
        assert run.lost is (not states)

    def test_after_a_retry(self, engine, jobs):
        """What is refused while a task waits for its next attempt is refused in that."""
        run = engine.under(FailWrite(at_retry())).run(jobs.flaky)
        assert run.states == ["PROGRESS", "RETRY", "FAILURE"]


class TestAlwaysRetry:
    @pytest.fixture(autouse=True)
    def _always(self, app):
        app.conf.result_backend_always_retry = True

    def test_it_is_stored_in_the_end(self, engine, jobs):
        """Celery tries again, and sleeps on the engine's clock."""
        run = engine.under(FailWrite(at_report(2), times=3)).run(jobs.export)
        assert run.states == ["PROGRESS"] * 4 + ["SUCCESS"]
        assert 0.0 <= run.elapsed < 60.0

    def test_for_an_hour(self, engine, jobs):
        """Nobody waits for an hour."""
        run = engine.under(FailWrite(at_report(2), seconds=3600)).run(jobs.export)
        assert run.state == "SUCCESS"
        assert run.elapsed >= 3600.0

    def test_so_often_and_no_more(self, app, jobs):
        """After `result_backend_max_retries` it is an error of the task."""
        app.conf.result_backend_max_retries = 2
        with EagerEngine(app) as engine:
            run = engine.under(FailWrite(at_report(1), times=3)).run(jobs.export)
        assert run.states == ["PROGRESS", "FAILURE"]
        assert isinstance(run.exception, BackendStoreError)

    def test_what_is_not_worth_it(self, engine, jobs):
        """Only a server that is down, or slow, is asked again."""
        run = engine.under(FailWrite(at_report(1), PermissionError)).run(jobs.export)
        assert run.states == ["PROGRESS", "FAILURE"]
        assert type(run.exception) is PermissionError

    def test_reads(self, engine, jobs):
        """An abort check waits until the backend answers."""
        events = FailRead(at_abort_check(2), times=2), Abort(at_report(3))
        run = engine.under(*events).run(jobs.export)
        assert run.states == ["PROGRESS"] * 3 + ["ABORTED"]


class TestExceptions:
    @pytest.mark.parametrize("error", [Odd("redis", 6379), Wordy("redis"), TimeoutError("5 s")])
    def test_as_it_was_given(self, engine, app, error):
        """It says what it was made with, each time, whatever its constructor takes."""

        @app.task(bind=True)
        def stubborn(self):
            caught = []
            for _ in range(4):
                try:
                    self.update_state(state="PROGRESS", meta={})
                except type(error) as refused:
                    caught.append(str(refused))
            return caught

        run = engine.under(FailWrite(at_report(1), error, times=3)).run(stubborn)
        assert run.result == [str(error)] * 3

    def test_no_traceback_of_before(self, engine, app):
        """One that is raised again does not show where it was raised before."""
        depths = []

        @app.task(bind=True)
        def stubborn(self):
            for _ in range(4):
                try:
                    self.update_state(state="PROGRESS", meta={})
                except Odd as refused:
                    depth, frame = 0, refused.__traceback__
                    while frame is not None:
                        depth, frame = depth + 1, frame.tb_next
                    depths.append(depth)

        engine.under(FailWrite(at_report(1), Odd("redis", 1), times=3)).run(stubborn)
        assert len(depths) == 3
        assert len(set(depths)) == 1

    def test_warnings_that_are_errors(self, engine, jobs):
        """What Celery warns of is not what is stored, nor raised in the test; filters stay."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            before = list(warnings.filters)
            with engine.under(FailWrite(at_report(4))):
                result = jobs.export.delay()
                assert list(warnings.filters) == before
            assert list(warnings.filters) == before
        assert type(result.result) is ConnectionError

    def test_warnings_are_recorded_as_before(self, engine, jobs):
        """A `pytest.warns` that is left before the scenario gets its own, and no more."""

        def work():
            jobs.export.delay()
            warnings.warn("mine", UserWarning, stacklevel=1)

        with engine.under(FailWrite(at_report(4))):
            with pytest.warns(UserWarning, match="mine") as caught:
                work()
            assert len(caught) == 1
        with pytest.warns(UserWarning, match="another") as again:
            warnings.warn("another", UserWarning, stacklevel=1)
        assert (len(caught), len(again)) == (1, 1)

    def test_another_warning_of_celery(self, engine, jobs):
        """What breaks outside a task, and is no fault of the scenario, is warned of as always."""

        def breaks(*_, **__):
            raise LookupError("of the backend")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.backend, "mark_as_done", breaks)
            with pytest.warns(RuntimeWarning, match="outside body"):
                engine.run(jobs.quiet)
            with pytest.warns(RuntimeWarning, match="outside body"):
                engine.under(Advance(before_start(), 1)).run(jobs.quiet)


class TestReads:
    @pytest.mark.parametrize(
        "at", [before_start(), at_abort_check(1), at_abort_check(3), at_report(1)], ids=repr
    )
    def test_of_an_abort_check(self, engine, jobs, at):
        """The next look for an abort raises in the task; no report is refused."""
        run = engine.under(FailRead(at)).run(jobs.export)
        assert run.state == "FAILURE"
        assert str(run.exception) == "the result backend refuses to read, as the scenario says"

    def test_of_celerys_abortable_task(self, engine, jobs):
        """It reads the state."""
        run = engine.under(FailRead(at_abort_check(2))).run(jobs.celerys)
        assert run.states == ["PROGRESS", "FAILURE"]

    def test_the_look_before_a_write_is_none(self, engine, jobs):
        """A write fails by FailWrite: a key-value backend looks first, others do not."""
        run = engine.under(FailRead(before_start(), times=99)).run(jobs.quiet)
        assert run.states == ["SUCCESS"]

    def test_of_anothers_result(self, engine, app, tasks):
        """`get()` in a task raises what the backend raises."""

        @app.task(bind=True)
        def asks(self):
            result = tasks.add.delay(1, 2)
            self.update_state(state="PROGRESS", meta={})
            with allow_join_result():
                try:
                    return result.get()
                except TimeoutError as error:
                    return str(error)

        run = engine.under(FailRead(at_report(1), TimeoutError("down"))).run(asks)
        assert run.result == "down"

    def test_of_a_chords_results(self, engine, tasks):
        """The worker cannot join the header: the body fails with a ChordError, as Celery says."""
        event = FailRead(at_write(2))
        run = engine.under(event).run(chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()))
        assert run.state == "FAILURE"
        assert "refuses to read" in str(run.exception)


class TestCanvases:
    def test_a_group(self, engine, jobs):
        """One member fails, the others do not."""
        run = engine.under(FailWrite(at_report(5))).run(group(jobs.export.s() for _ in range(3)))
        assert sorted(each.state for each in run.children) == ["FAILURE", "SUCCESS", "SUCCESS"]

    def test_a_chain(self, engine, jobs):
        """SUCCESS of the first is refused; what comes after it was published before that.

        Celery says of the first that it failed, newer ones of both; and then the second one runs.
        """
        event = FailWrite(at_report(4))
        run = engine.under(event).run(chain(jobs.export.s(), jobs.quiet.s()))
        told = [(each.name, each.state) for each in run.history[4:]]
        assert told[0] == ("export", "FAILURE")
        assert told[1:] in ([("quiet", "FAILURE"), ("quiet", "SUCCESS")], [("quiet", "SUCCESS")])
        assert run.violations == ()

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_chords_header(self, engine, tasks, times):
        """A member whose SUCCESS is refused fails, and so does the body: it is counted once."""
        event = FailWrite(before_start(2), times=times)
        run = engine.under(event).run(chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()))
        assert run.state == "FAILURE"
        assert [each.state for each in run.history if each.name == "total"] == ["FAILURE"]
        assert engine.pending == []

    def test_all_of_a_chord(self, engine, tasks):
        """A backend that is down for good ends the run all the same."""
        event = FailWrite(before_start(), times=10_000)
        run = engine.under(event).run(chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()))
        assert (run.state, run.history.states) == ("PENDING", [])


class TestWhoIsSpared:
    def test_the_tests_own_reads_and_writes(self, engine, jobs):
        """Who publishes, reads results and asks for aborts is not whom the backend fails."""
        with engine.under(FailRead(at_report(1), times=99), FailWrite(at_report(1), times=99)):
            result = jobs.export.delay()
            assert result.state == "PROGRESS"
            engine.backend.store_result("mine", 1, "SUCCESS")
            assert engine.backend.get_state("mine") == "SUCCESS"
            with engine.paused():
                waits = jobs.export.delay()
                assert abort(waits)

    def test_threads_of_the_test(self, engine, jobs):
        """Nor are threads that the test has started."""
        read = []
        with engine.under(FailRead(at_report(1), times=99), FailWrite(at_report(1), times=99)):
            result = jobs.export.delay()
            thread = threading.Thread(target=lambda: read.append(result.state))
            thread.start()
            thread.join()
        assert read == ["PROGRESS"]

    def test_threads_of_a_task(self, engine, app):
        """A thread that helps a task is."""
        caught = []

        @app.task(bind=True)
        def helped(self):
            self.update_state(state="PROGRESS", meta={})

            def help_it(task_id):
                try:
                    self.update_state(task_id=task_id, state="PROGRESS", meta={})
                except ConnectionError as error:
                    caught.append(error)

            thread = threading.Thread(target=help_it, args=(self.request.id,))
            thread.start()
            thread.join()

        assert engine.under(FailWrite(at_report(1))).run(helped).state == "SUCCESS"
        assert len(caught) == 1

    def test_an_abort_of_the_scenario(self, engine, jobs):
        """An event asks for the abort, whatever the backend refuses to tasks."""
        events = FailWrite(at_report(2), times=99), Abort(at_report(2))
        run = engine.under(*events).run(jobs.export)
        assert len(run.aborts) == 1
        assert run.states == ["PROGRESS"] * 2
        assert run.lost

    def test_between_the_steps_of_a_run(self, engine, jobs):
        """A test that looks at a run that stands still is no task."""
        steps = engine.under(FailRead(at_report(2), times=2)).run_iter(jobs.export)
        seen = [jobs.export.AsyncResult(each.uuid).state for each in steps]
        assert seen == ["PROGRESS", "PROGRESS", "FAILURE"]


class TestHowLong:
    def test_until_the_scenario_is_left(self, engine, jobs):
        """The next run is under none of it."""
        engine.under(FailWrite(at_state("SUCCESS"), times=99)).run(jobs.export)
        assert engine.run(jobs.export).state == "SUCCESS"
        with engine.under(FailWrite(at_report(4), times=99)):
            jobs.export.delay()
        assert engine.run(jobs.export).state == "SUCCESS"

    def test_when_the_run_breaks(self, engine, app, jobs):
        """However the scenario is left."""

        @app.task(bind=True)
        def skips(self):
            self.update_state(state="PROGRESS", meta={})
            pytest.skip("in a task")

        with pytest.raises(pytest.skip.Exception):
            engine.under(FailWrite(at_report(1), times=99)).run(skips)
        assert engine.run(jobs.export).state == "SUCCESS"

    def test_of_the_inner_one(self, engine, jobs):
        """What the inner scenario began ends with it, and the outer one goes on."""
        with engine.under(FailWrite(if_reached(at_report(99)))):
            engine.under(FailWrite(at_report(4), times=99)).run(jobs.export)
            assert engine.run(jobs.export).state == "SUCCESS"

    def test_of_another_walk(self, engine, jobs):
        """Two runs step by step: the end of one scenario does not end the other's."""
        one = engine.under(FailWrite(at_report(2), times=99)).run_iter(jobs.export)
        assert [next(one).state for _ in range(2)] == ["PROGRESS"] * 2
        # The backend is down for both of them.
        other = engine.under(Advance(before_start(), 1), FailWrite(before_start(), times=1))
        assert other.run_iter(jobs.export).run.states == []
        assert one.run.states == ["PROGRESS"] * 2

    def test_nothing_is_slower_after_it(self, engine, jobs):
        """The backend is asked for nothing any more."""
        engine.under(FailWrite(at_report(1))).run(jobs.export)
        assert engine.backend._store.refuse is None

    def test_reset(self, engine, jobs):
        """In a new world nothing has failed yet."""
        with engine.under(FailWrite(at_report(4), times=99)):
            jobs.export.delay()
            engine.reset()
            assert engine.run(jobs.quiet).state == "SUCCESS"


def test_a_sweep(engine, jobs):
    """One write that fails, at each moment of a run: the run always comes to its end."""
    states = [run.state for run in engine.sweep(FailWrite, jobs.flaky)]
    assert set(states) <= {"SUCCESS", "FAILURE"}
    reads = [run.state for run in engine.sweep(partial(FailRead, times=2), jobs.export)]
    assert set(reads) == {"FAILURE", "SUCCESS"}


def test_an_observer(engine, app):
    """An Observer's report is refused as any other; the task may report again."""

    @app.task(bind=True, base=AbortableTask)
    def work(self):
        observer = Observer(self)
        observer.update("One", total=2)
        with pytest.raises(ConnectionError):
            observer.update("Two")
        observer.update("Two", increment=False)
        return "done"

    run = engine.under(FailWrite(at_report(1))).run(work)
    assert run.result == "done"
    assert len(run.progress) == 2
