"""Listeners that raise: the tasks go on, the other listeners are told, and nothing is lost."""

from __future__ import annotations

import gc
import io
import logging
import traceback
import weakref

import pytest
from celery import chain
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from pytest_taskprogress import EagerEngine, ListenerError, TaskAborted
from pytest_taskprogress.listeners import (
    CaptureListener,
    CheckingClaimListener,
    DumpingListener,
    DurationListener,
    DynamicLoggingListener,
    EventTimeListener,
    FakeClaimBoard,
    Listener,
    LoggingListener,
    PrintingDurationListener,
    PrintingListener,
    ProgressBarListener,
)

RECEIVERS = {"flow": "_flow_receiver", "task": "_task_receiver", "retry": "_retry_receiver"}


class Broken(Exception):
    """What a listener raises."""


class Dumping(DumpingListener):
    """A dumping listener that dumps nowhere."""

    def _dump(self, message, *args, **kwargs):
        message % args


def claiming(engine):
    """A listener that checks a claim that is never lost."""
    board = FakeClaimBoard()
    job = board.post("job")
    board.claim(job, "me")
    return CheckingClaimListener, (engine, job, board, "me")


#: Each listener class -> its arguments.
LISTENERS = {
    Listener: lambda engine: (engine,),
    Dumping: lambda engine: (engine,),
    CaptureListener: lambda engine: (engine,),
    LoggingListener: lambda engine: (engine,),
    DynamicLoggingListener: lambda engine: (engine,),
    PrintingListener: lambda engine: (engine,),
    DurationListener: lambda engine: (engine,),
    PrintingDurationListener: lambda engine: (engine,),
    EventTimeListener: lambda engine: (engine,),
    CheckingClaimListener: lambda engine: claiming(engine)[1],
    ProgressBarListener: lambda engine: (engine,),
}


def broken(base, receiver):
    """A subclass of a listener, one of whose receivers raises."""

    def raises(self, state, details):
        raise Broken(f"{receiver} {state}")

    return type("BrokenListener", (base,), {receiver: raises})


def errors_of(engine):
    """What listeners raised, which then is raised no more."""
    with pytest.raises(ListenerError) as caught:
        engine.check_listeners()
    engine.check_listeners()
    return caught.value.errors


def last_line(error):
    """Name of the function that raised."""
    return traceback.extract_tb(error.__traceback__)[-1].name


@pytest.fixture(autouse=True)
def bars(request):
    """Skip what draws bars where there is no tqdm."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("kind") is ProgressBarListener:
        pytest.importorskip("tqdm")


class TestEachReceiver:
    @pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("what", RECEIVERS)
    def test_of_each_listener(self, engine, jobs, kind, what):
        """The result is unchanged, later listeners are told all, every error is kept."""
        listener = broken(kind, RECEIVERS[what])(*LISTENERS[kind](engine))
        with listener, CaptureListener(engine) as later:
            run = engine.run(jobs.flaky)
        assert (run.state, run.result) == ("SUCCESS", "in the end")
        assert run.history == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]
        told = [(each, state) for each, state, _ in later.values]
        assert len(told) == 8
        listened = listener._listen_for[f"{what}_listen_for"]
        expected = [
            f"{RECEIVERS[what]} {state}"
            for each, state in told
            if each == what and {"*", state} & set(listened)
        ]
        errors = errors_of(engine) if expected else []
        assert [str(each) for each in errors] == expected
        assert {last_line(each) for each in errors} <= {"raises"}

    @pytest.mark.parametrize("what", RECEIVERS)
    def test_each_event(self, engine, jobs, what):
        """Each error is that of one event, in order, with its traceback."""
        with broken(Listener, RECEIVERS[what])(engine):
            engine.run(jobs.flaky)
        states = {
            "flow": ["RUNNING", "SUCCESS"],
            "task": ["RUNNING", "PROGRESS", "RUNNING", "PROGRESS", "SUCCESS"],
            "retry": ["RETRY"],
        }
        expected = [f"{RECEIVERS[what]} {state}" for state in states[what]]
        assert [str(each) for each in errors_of(engine)] == expected

    def test_all_receivers(self, engine, jobs):
        """Of a listener all of whose receivers raise, all is kept, in the order of the events."""

        class AllBroken(Listener):
            def _flow_receiver(self, state, details):
                raise Broken("flow", state)

            def _task_receiver(self, state, details):
                raise Broken("task", state)

            def _retry_receiver(self, state, details):
                raise Broken("retry", state)

        with AllBroken(engine):
            engine.run(jobs.flaky)
        assert [each.args for each in errors_of(engine)] == [
            ("flow", "RUNNING"),
            ("task", "RUNNING"),
            ("task", "PROGRESS"),
            ("retry", "RETRY"),
            ("task", "RUNNING"),
            ("task", "PROGRESS"),
            ("task", "SUCCESS"),
            ("flow", "SUCCESS"),
        ]

    def test_several_listeners(self, engine, tasks):
        """Of several that raise, all is kept, in the order in which they were told."""

        class Named(Listener):
            def __init__(self, engine, name):
                super().__init__(engine, ["SUCCESS"], ())
                self.name = name

            def _task_receiver(self, state, details):
                raise Broken(self.name)

        with Named(engine, "one"), Named(engine, "two"), Named(engine, "three"):
            engine.run(tasks.add, 1)
        assert [str(each) for each in errors_of(engine)] == ["one", "two", "three"]


class TestTheTask:
    @pytest.mark.parametrize(
        "error",
        [
            *(Ignore(), Reject("no"), Retry(), SoftTimeLimitExceeded(), TaskAborted("1")),
            *(StopIteration(), TimeoutError(), MemoryError(), AssertionError(), LookupError()),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_is_not_told_what_to_do(self, engine, jobs, error):
        """What Celery takes as an instruction is an error as any other in a listener."""

        def callback(event, details):
            raise error

        engine.atom_notifier.register("*", callback)
        engine.notifier.register("*", callback)
        run = engine.run(jobs.export, rows=2)
        assert (run.state, run.result) == ("SUCCESS", 2)
        assert run.history == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert errors_of(engine) == [error] * 6

    def test_a_failure_stays_what_it_is(self, engine, tasks):
        """A task that fails has failed with its own exception."""
        with broken(Listener, "_task_receiver")(engine):
            run = engine.run(tasks.fails)
        assert (run.state, repr(run.exception)) == ("FAILURE", "ValueError('broken')")
        assert "Broken" not in run.traceback
        assert len(errors_of(engine)) == 2

    def test_what_an_error_came_of(self, engine, tasks):
        """What is raised while a failure is told shows what the task raised as its context."""
        with broken(Listener, "_task_receiver")(engine):
            engine.run(tasks.fails)
        first, second = errors_of(engine)
        assert first.__context__ is None
        assert isinstance(second.__context__, ValueError)

    def test_of_a_canvas(self, engine, tasks):
        """Every task of a canvas goes on."""
        with broken(Listener, "_task_receiver")(engine):
            assert engine.run(chain(tasks.add.s(1), tasks.add.s(2), tasks.add.s(3))).result == 7
        assert len(errors_of(engine)) == 6

    def test_of_delay(self, engine, tasks):
        """What delay() ran is no other."""
        with broken(Listener, "_flow_receiver")(engine):
            assert tasks.add.delay(1).get() == 2
        assert len(errors_of(engine)) == 2

    def test_step_by_step(self, engine, jobs):
        """What stands still at each transition does so all the same."""
        with broken(Listener, "_task_receiver")(engine):
            assert len(list(engine.run_iter(jobs.export, rows=2))) == 3
        assert len(errors_of(engine)) == 4

    def test_a_listener_that_misses_a_key(self, engine, tasks):
        """A mistake in a listener is told with its line."""

        class Mistaken(Listener):
            def _task_receiver(self, state, details):
                details["nothing"]

        with Mistaken(engine):
            engine.run(tasks.add, 1)
        (first, _) = errors_of(engine)
        assert repr(first) == "KeyError('nothing')"

    def test_what_ends_the_test(self, engine, tasks):
        """What ends the whole test does, as it would in the task."""

        class Stops(Listener):
            def _task_receiver(self, state, details):
                pytest.fail("stopped by a listener")

        with Stops(engine), pytest.raises(pytest.fail.Exception, match="stopped by a listener"):
            engine.run(tasks.add, 1)


class TestWhereTheyWrite:
    """Listeners whose output is broken."""

    def test_a_file_that_is_closed(self, engine, tasks, monkeypatch):
        """A closed standard output is an error of each message."""
        closed = io.StringIO()
        closed.close()
        with PrintingListener(engine), monkeypatch.context() as patch:
            patch.setattr("sys.stdout", closed)
            assert engine.run(tasks.add, 1).state == "SUCCESS"
        errors = errors_of(engine)
        assert len(errors) == 4
        assert {str(each).rstrip(".") for each in errors} == {"I/O operation on closed file"}

    def test_a_logger_that_raises(self, engine, tasks):
        """A logger that raises is an error of each message."""

        class Rude(logging.Logger):
            def log(self, *args, **kwargs):
                raise Broken("no space left")

        for make in (LoggingListener, DynamicLoggingListener):
            with make(engine, log=Rude("rude", logging.DEBUG)):
                assert engine.run(tasks.add, 1).state == "SUCCESS"
            assert [str(each) for each in errors_of(engine)] == ["no space left"] * 4

    def test_a_printer_that_raises(self, engine, tasks):
        """A printer that raises is an error of each line; durations are recorded all the same."""

        def printer(line):
            raise Broken(line)

        with PrintingDurationListener(engine, printer):
            assert engine.run(tasks.add, 1).state == "SUCCESS"
        assert len(errors_of(engine)) == 4
        assert engine.storage.get_atom_metadata("add") == {"duration": 0.0}

    def test_a_list_that_raises(self, engine, tasks):
        """A list that takes nothing is an error of each event."""

        class Full(list):
            def append(self, value):
                raise Broken("full")

        with CaptureListener(engine, values=Full()):
            assert engine.run(tasks.add, 1).state == "SUCCESS"
        assert len(errors_of(engine)) == 4

    def test_what_is_done_about_a_lost_claim(self, engine, tasks):
        """A handler that raises is an error."""

        def handler(engine, state, details):
            raise Broken(state)

        board = FakeClaimBoard()
        with CheckingClaimListener(engine, board.post("job"), board, "me", handler):
            assert engine.run(tasks.add, 1).state == "SUCCESS"
        assert str(errors_of(engine)[0]) == "RUNNING"

    def test_a_formatter_that_raises(self, engine, tasks):
        """A failure is logged, though its formatter raises."""

        class Rude:
            def format(self, fail, atom_matcher):
                raise Broken("format")

        with DynamicLoggingListener(engine, fail_formatter=Rude()):
            assert engine.run(tasks.fails).state == "FAILURE"
        assert [str(each) for each in errors_of(engine)] == ["format"]


class TestWhatIsRaised:
    def test_on_leaving(self, app, tasks):
        """An engine that is left raises all of it, as a group."""

        def use():
            with EagerEngine(app) as engine, broken(Listener, "_task_receiver")(engine):
                engine.run(tasks.add, 1)

        with pytest.raises(ListenerError) as caught:
            use()
        error = caught.value
        assert [str(each) for each in error.errors] == [
            "_task_receiver RUNNING",
            "_task_receiver SUCCESS",
        ]
        assert isinstance(error, Exception)
        assert str(error).startswith("2 listener errors while tasks ran (the tasks went on):")
        assert "Broken: _task_receiver RUNNING" in str(error)
        text = "".join(traceback.format_exception(error))
        assert text.count("in raises") == 2

    def test_one(self, engine, tasks):
        """A single one is a group, too."""
        engine.notifier.register("SUCCESS", lambda event, details: 1 / 0)
        engine.run(tasks.add, 1)
        with pytest.raises(ListenerError, match=r"^A listener raised while tasks ran") as caught:
            engine.check_listeners()
        assert len(caught.value.errors) == 1

    def test_beside_what_the_body_raised(self, app, tasks):
        """Where the body raises itself, that is raised; the listener errors are told with it."""

        def use():
            with EagerEngine(app) as engine, broken(Listener, "_task_receiver")(engine):
                engine.run(tasks.add, 1)
                raise ZeroDivisionError("the body's own")

        with pytest.raises(ZeroDivisionError, match="the body's own") as caught:
            use()
        assert "_task_receiver SUCCESS" in "".join(traceback.format_exception(caught.value))

    def test_once(self, engine, tasks):
        """What was raised is raised no second time."""
        engine.notifier.register("*", lambda event, details: 1 / 0)
        engine.run(tasks.add, 1)
        assert len(errors_of(engine)) == 2
        engine.notifier.reset()

    def test_a_reset_forgets(self, engine, tasks):
        """A reset forgets what was raised."""
        engine.notifier.register("*", lambda event, details: 1 / 0)
        engine.run(tasks.add, 1)
        engine.notifier.reset()
        engine.reset()
        engine.check_listeners()

    def test_of_the_installation_before(self, app, tasks):
        """What was raised in one installation is nothing to the next one."""
        engine = EagerEngine()

        def use():
            with engine.installed(app):
                engine.notifier.register("*", lambda event, details: 1 / 0)
                engine.run(tasks.add, 1)

        with pytest.raises(ListenerError):
            use()
        with engine.installed(app):
            engine.run(tasks.add, 1)

    def test_of_many(self, engine, tasks):
        """Of very many, the first thousand are kept."""
        engine.atom_notifier.register("*", lambda event, details: 1 / 0)
        for _ in range(600):
            engine.run(tasks.add, 1)
        assert len(errors_of(engine)) == 1_000
        engine.atom_notifier.reset()

    def test_catching_some(self, engine, tasks):
        """The group splits as any does, and pieces are of the same type."""

        def raises(event, details):
            raise KeyError(event) if event == "RUNNING" else ValueError(event)

        engine.atom_notifier.register("*", raises)
        engine.run(tasks.add, 1)
        with pytest.raises(ListenerError) as caught:
            engine.check_listeners()
        matched, rest = caught.value.split(KeyError)
        assert type(matched) is type(rest) is ListenerError
        assert [type(each) for each in rest.errors] == [ValueError]


def test_nothing_of_a_failed_task_is_kept(engine, app, caplog):
    """What a task had in its variables when it failed is gone when its run is over."""
    # pytest keeps what Celery logs of it, with the frames.
    caplog.set_level("CRITICAL", "celery.app.trace")

    class Large:
        """Something that a task works on."""

    kept = []

    @app.task
    def fails():
        large = Large()
        kept.append(weakref.ref(large))
        raise ValueError

    assert engine.run(fails).state == "FAILURE"
    gc.collect()
    assert kept[0]() is None
