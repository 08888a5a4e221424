"""The worker side: what Celery's consumer does with messages of every kind."""

from __future__ import annotations

import asyncio
import logging

import celery
import pytest
from celery import Task
from celery.exceptions import WorkerLostError
from celery.worker import state as worker_state

from pytest_taskprogress import EagerEngine, TaskProgressWarning


@pytest.fixture
def publish(engine, app):
    """Publish something that need not be a task."""

    def publish(body, **options):
        with app.producer_or_acquire() as producer:
            producer.publish(body, routing_key="celery", serializer="json", **options)

    return publish


def test_a_message_that_is_no_task(engine, publish, caplog):
    """What is no task is logged and dropped, as by a worker."""
    with pytest.warns(TaskProgressWarning, match="it is no task message") as warned:
        publish({"strange": 1})
    assert warned[0].filename == __file__
    assert "Received and deleted unknown message" in caplog.text
    assert engine.history == []


def test_an_invalid_task(engine, app, publish, caplog):
    """A task message with an impossible eta is logged and dropped."""

    @app.task(name="known")
    def known():
        return 1

    with pytest.warns(TaskProgressWarning, match="invalid expires value 'never'"):
        publish([[], {}, {}], headers={"task": "known", "id": "1", "expires": "never"})
    assert "Received invalid task message" in caplog.text


def test_protocol_1(app):
    """Messages of the older protocol are run, with a countdown too."""
    app.conf.task_protocol = 1

    @app.task
    def add(x, y):
        return x + y

    with EagerEngine(app) as engine:
        assert engine.run(add, 1, 2).result == 3
        with engine.paused():
            add.apply_async((1, 2), countdown=5)
            assert [(each.name, each.at) for each in engine.pending] == [(add.name, 5.0)]
        assert engine.clock.monotonic() == 5.0


def test_revoked(engine, app):
    """A task that was revoked before it started never runs."""

    @app.task
    def never():
        raise AssertionError

    with engine.paused():
        result = never.delay()
        worker_state.revoked.add(result.id)
    assert result.state == "REVOKED"


def test_revoked_while_it_waits_for_its_time(engine, app):
    """A task that is revoked between its delivery and its eta does not run either."""

    @app.task
    def never():
        raise AssertionError

    with engine.paused():
        result = never.apply_async(countdown=10)
        assert len(engine.pending) == 1
        now = app.send_task("nobody")
        engine.step()
        with pytest.warns(TaskProgressWarning, match="no task 'nobody' is registered"):
            engine.drain(until=0)
        worker_state.revoked.add(result.id)
    assert (result.state, now.state) == ("REVOKED", "FAILURE")


def test_a_lost_worker_that_acknowledges_late(app):
    """With reject_on_worker_lost the message of a lost process comes back, as from a pool."""
    attempts = []

    @app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
    def leaves_once(self):
        attempts.append(self.request.delivery_info["redelivered"])
        if len(attempts) == 1:
            raise SystemExit(1)
        return "stayed"

    with EagerEngine(app) as engine:
        assert engine.run(leaves_once).result == "stayed"
    assert attempts == [False, True]


def test_a_lost_worker_tells_its_handlers(engine, app):
    """A lost process fails its task with WorkerLostError; errbacks run."""
    heard = []

    @app.task
    def errback(request, exc, traceback):
        heard.append(type(exc))

    @app.task
    def leaves():
        raise SystemExit("bye")

    run = engine.run(leaves.s().on_error(errback.s()))
    assert isinstance(run.exception, WorkerLostError)
    assert heard == [WorkerLostError]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (None, "exitcode 0"),
        (3, "exitcode 3"),
        ("bye", "exitcode 1"),
        (2.5, "exitcode 1"),
        (-1, "signal 1 (SIGHUP)"),
    ],
)
def test_how_a_worker_is_lost(engine, app, code, status):
    """What SystemExit carries becomes the status of a process, as on a pool of processes."""

    @app.task
    def leaves():
        raise SystemExit(code)

    assert str(engine.run(leaves).exception) == f"Worker exited prematurely: {status}."


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize("error", [Odd, GeneratorExit, asyncio.CancelledError])
def test_what_is_no_exception(engine, app, error):
    """A BaseException fails its task; errbacks run, handlers of the task do not, as on a pool."""
    heard = []

    class Handlers(Task):
        def on_failure(self, *args):
            heard.append("on_failure")

    @app.task
    def errback(request, exc, traceback):
        heard.append(type(exc))

    @app.task(base=Handlers)
    def breaks():
        raise error("broken")

    # Before Celery 5.7 no backend can encode it, and the worker logs that.
    state = "FAILURE" if celery.VERSION >= (5, 7) else "PENDING"
    assert engine.run(breaks.s().on_error(errback.s())).state == state
    assert heard == [error] * (state == "FAILURE")


def test_an_error_outside_the_task(engine, app, monkeypatch, caplog):
    """What fails around a task fails the task, and is logged, as by a pool."""

    class Broken(Task):
        def after_return(self, *args):
            raise MemoryError("no room")

    @app.task(base=Broken)
    def fine():
        return 1

    with caplog.at_level(logging.ERROR):
        engine.run(fine)
    assert "Pool callback raised exception" in caplog.text
    assert engine.pending == []


def test_a_tracer_that_was_there_comes_back(app):
    """A task that had a tracer, of a worker in this process, has it again."""

    @app.task
    def add(x, y):
        return x + y

    tracer = object()
    add.__trace__ = tracer
    with EagerEngine(app) as engine:
        assert engine.run(add, 1, 2).result == 3
    assert add.__trace__ is tracer


def test_the_protected_call_of_another_worker_stays(app):
    """The stack protection of a worker in this process is not taken off."""

    @app.task
    def add(x, y):
        return x + y

    with EagerEngine(app):
        protected = Task.__call__
        with EagerEngine(type(app)("other", set_as_current=False)):
            assert Task.__call__ is protected
        assert Task.__call__ is protected
    assert Task.__call__ is not protected


def test_events(app):
    """Tasks may send events, and apps may want task-sent: nobody listens, nothing breaks."""
    app.conf.task_send_sent_event = True

    @app.task(bind=True)
    def tells(self):
        self.send_event("task-progress", percent=50)
        return 1

    with EagerEngine(app) as engine:
        assert engine.run(tells).result == 1
        assert engine.pending == []


def test_a_request_class_of_ones_own(app):
    """A task's own Request class is used."""

    @app.task(bind=True, Request="celery.worker.request:Request")
    def named(self):
        return 1

    with EagerEngine(app) as engine:
        assert engine.run(named).result == 1
    assert named.Request == "celery.worker.request:Request"


class TestTimer:
    def test_clear(self, engine, app):
        """What waits for its time can be forgotten."""

        @app.task
        def add(x, y):
            return x + y

        with engine.paused():
            add.apply_async((1, 2), countdown=5)
            add.delay(1, 2)
            engine.step()
            engine._turns.pending.clear()
            assert engine.pending == []
            assert not engine.step()
