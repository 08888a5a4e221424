"""What a worker writes: the rows of a table, on a live worker of Celery's own and on the engine.

Each case runs on a worker thread over `memory://` with `cache+memory://`, where every call of
`store_result` is recorded, and on the eager engine. Both must write the same.
"""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

import celery
import pytest
from celery import Celery, chain, chord, group
from celery.backends.cache import CacheBackend
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult

from pytest_taskprogress import EagerEngine, Observer, ProgressTask, TaskProgressWarning
from tests.parity.record import has_effect

VERSION = celery.VERSION[:2]


class RecordingBackend(CacheBackend):
    """Celery's memory backend, which remembers what it was asked to store."""

    writes: list[tuple[str, str, bool]] = []  # noqa: RUF012 - made anew by the fixture
    written = threading.Condition()

    def __init__(self, app, **options):
        """Take the memory store."""
        super().__init__(app, **{**options, "backend": "memory://"})

    def store_result(self, task_id, result, state, *args, **kwargs):
        """Store, and remember whether it had an effect."""
        kept = has_effect(self, task_id)
        value = super().store_result(task_id, result, state, *args, **kwargs)
        with self.written:
            self.writes.append((task_id, state, kept))
            self.written.notify_all()
        return value


def make_app(**settings):
    """An app with the task of every case."""
    app = Celery("facts", set_as_current=False, **settings)
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    app.conf.worker_hijack_root_logger = False

    def task(**options):
        return app.task(shared=False, **options)

    @task()
    def returns():
        return 1

    @task(track_started=True)
    def tracked():
        return 1

    @task(bind=True)
    def reports(self):
        for n in range(3):
            self.update_state(state="PROGRESS", meta={"current": n})

    @task(bind=True)
    def retries(self):
        if self.request.retries < 2:
            raise self.retry(countdown=0.01)

    @task(bind=True, max_retries=1)
    def gives_up(self):
        raise self.retry(countdown=0.01, exc=ValueError("gave up"))

    @task(autoretry_for=(ValueError,), retry_backoff=False, default_retry_delay=0, max_retries=1)
    def autoretries():
        raise ValueError("again")

    @task(bind=True)
    def ignores(self):
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Ignore

    @task(bind=True)
    def rejects(self):
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Reject(requeue=False)

    @task()
    def raises():
        raise ValueError("broken")

    @task(bind=True)
    def after_success(self):
        self.update_state(state="SUCCESS", meta={"mine": 1})
        self.update_state(state="PROGRESS", meta={"current": 1})

    @task(bind=True)
    def after_failure(self):
        self.update_state(state="FAILURE", meta=failure("E"))
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Ignore

    @task(bind=True)
    def after_revoked(self):
        self.update_state(state="REVOKED", meta=failure("TaskRevokedError"))
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Ignore

    @task(bind=True)
    def unreadable(self):
        self.update_state(state="FAILURE", meta={"why": "because"})

    @task(bind=True)
    def failure_and_return(self):
        self.update_state(state="FAILURE", meta=failure("E"))

    @task(bind=True)
    def observer_fails(self):
        Observer(self).fail("bad %s", "luck")

    @task(bind=True, base=ProgressTask)
    def progress_task_fails(self):
        observer = Observer(self)
        observer.update("half", current=50)
        observer.fail("bad %s", "luck")

    @task(bind=True, base=ProgressTask)
    def progress_task_succeeds(self):
        observer = Observer(self)
        for _ in observer.track([1, 2], "counting"):
            pass
        observer.success("counted")

    @task()
    def add(x, y):
        return x + y

    @task()
    def total(numbers):
        return sum(numbers)

    @task()
    def silent():
        return 1

    silent.ignore_result = True

    @task(bind=True)
    def request_of(self, *args, **kwargs):
        fields = ("retries", "is_eager", "called_directly", "argsrepr", "kwargsrepr", "group")
        request = {name: getattr(self.request, name, None) for name in (*fields, *RELATIVES)}
        return {**request, "delivery": self.request.delivery_info, "at": self.request.hostname}

    @task()
    def unpicklable():
        raise Unpicklable("broken", lambda: None)

    return app


def failure(name):
    """Meta that reads back as an exception."""
    return {"exc_type": name, "exc_message": "m", "exc_module": "celery.exceptions"}


#: Fields of a request that hold an id, or None.
RELATIVES = ("root_id", "parent_id", "correlation_id")


class Unpicklable(Exception):
    """An exception that cannot be pickled."""

    def __init__(self, message, function):
        super().__init__(message)
        self.function = function


class Case(NamedTuple):
    """A row of the table: what is run, and which states are written."""

    name: str
    states: list[str]
    dropped: tuple[str, ...] = ()
    canvas: str = ""
    warns: bool = False


def canvas(app, case):
    """What the case runs."""
    tasks = {name.rpartition(".")[2]: task for name, task in app.tasks.items()}
    add, total, raises = tasks["add"], tasks["total"], tasks["raises"]
    made = {
        "chain": lambda: chain(add.s(1, 2), add.s(3)),
        "chain that fails": lambda: chain(raises.si(), add.si(1, 2)),
        "group": lambda: group(add.s(n, n) for n in range(3)),
        "chord": lambda: chord([add.s(n, n) for n in range(3)], total.s()),
        "chord that fails": lambda: chord([add.s(1, 1), raises.si()], total.s()),
        "link": lambda: add.s(1, 2).set(link=add.s(3)),
    }
    return made[case.name]() if case.name in made else tasks[case.name].s()


PROGRESS3 = ["PROGRESS"] * 3
CASES = [
    Case("returns", ["SUCCESS"]),
    Case("tracked", ["STARTED", "SUCCESS"]),
    Case("reports", [*PROGRESS3, "SUCCESS"]),
    Case("retries", ["RETRY", "RETRY", "SUCCESS"]),
    Case("gives_up", ["RETRY", "FAILURE"]),
    Case("autoretries", ["RETRY", "FAILURE"]),
    Case("ignores", ["PROGRESS"]),
    Case("rejects", ["PROGRESS"] if VERSION < (5, 7) else ["PROGRESS", "FAILURE"]),
    Case("raises", ["FAILURE"]),
    Case("after_success", ["SUCCESS"], dropped=("PROGRESS", "SUCCESS")),
    Case("after_failure", ["FAILURE", "PROGRESS"], warns=True),
    Case("after_revoked", ["REVOKED", "PROGRESS"], warns=True),
    Case("unreadable", ["FAILURE"]),
    Case("failure_and_return", ["FAILURE", "SUCCESS"], warns=True),
    Case("observer_fails", ["FAILURE", "SUCCESS"], warns=True),
    Case("progress_task_fails", ["PROGRESS", "FAILURE"]),
    Case("progress_task_succeeds", ["PROGRESS", "PROGRESS", "SUCCESS"]),
    Case("silent", []),
    Case("chain", ["SUCCESS"] * 2),
    Case("chain that fails", ["FAILURE"] * 2),
    Case("group", ["SUCCESS"] * 3),
    Case("chord", ["SUCCESS"] * 4),
    Case("chord that fails", ["SUCCESS", "FAILURE", "FAILURE"]),
    Case("link", ["SUCCESS"] * 2),
]


@pytest.fixture(scope="module")
def live():
    """An app with a live worker thread; `live(signature)` returns what was written for it."""
    level = logging.getLogger().level  # a worker sets it
    app = make_app(broker="memory://facts", backend=f"{__name__}:RecordingBackend")
    done = threading.Semaphore(0)

    @app.task(name="celery.ping", shared=False)
    def ping():
        return "pong"

    @app.task(name="done", shared=False)
    def mark():
        done.release()

    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="CRITICAL"):

        def run(signature, expected):
            RecordingBackend.writes.clear()
            signature.apply_async()
            with RecordingBackend.written:
                RecordingBackend.written.wait_for(
                    lambda: len(RecordingBackend.writes) >= expected, timeout=20
                )
            # One process works in order: what comes after the last write is over by then.
            mark.apply_async(ignore_result=True)
            assert done.acquire(timeout=20)
            return [each for each in RecordingBackend.writes if each[0] is not None]

        yield app, run
    logging.getLogger().setLevel(level)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_row(case, live, recwarn):
    """The engine writes what a live worker writes, and both write what the table says."""
    live_app, run_live = live
    expected = len(case.states) + len(case.dropped)
    on_worker = run_live(canvas(live_app, case), expected)

    app = make_app(broker="redis://nowhere", backend="redis://nowhere")
    with EagerEngine(app) as engine:
        if case.warns:
            with pytest.warns(TaskProgressWarning):
                engine.run(canvas(app, case))
        else:
            engine.run(canvas(app, case))
        on_engine = engine.history

    assert [state for _, state, kept in on_worker if kept] == case.states
    assert on_engine == case.states
    assert tuple(state for _, state, kept in on_worker if not kept) == case.dropped
    assert tuple(each.state for each in on_engine.dropped) == case.dropped


def test_a_failure_that_cannot_be_read_back():
    """FAILURE without exception information raises Celery's error at every later read and write."""
    app = make_app(broker="redis://nowhere", backend="redis://nowhere")
    with EagerEngine(app) as engine:
        with pytest.warns(RuntimeWarning, match="Exception raised outside body"):
            run = engine.run(app.tasks["tests.parity.test_facts.unreadable"])
        assert run.state == "FAILURE"
        with pytest.raises(ValueError, match="must include the exception type"):
            raise run.exception
        with pytest.raises(ValueError, match="must include the exception type"):
            assert AsyncResult(run.task_id, app=app).state
        with pytest.raises(ValueError, match="must include the exception type"):
            app.backend.store_result(run.task_id, {}, "PROGRESS")


def named(app, name):
    """A task of the module, by the name of its function."""
    return next(task for full, task in app.tasks.items() if full.endswith(f".{name}"))


def test_request_fields(live):
    """A task's request has a worker's fields: no eager marks, its relatives, its delivery."""
    live_app, _ = live
    signature = {"args": (1, "two"), "kwargs": {"three": 3}}
    on_worker = named(live_app, "request_of").apply_async(**signature).get(timeout=20)
    app = make_app(broker="redis://nowhere", backend="redis://nowhere")
    with EagerEngine(app) as engine:
        run = engine.run(named(app, "request_of"), *signature["args"], **signature["kwargs"])
    on_engine = run.result
    # A worker's processes know their node; a worker in a thread only knows its host.
    assert on_engine.pop("at") == f"celery@{on_worker.pop('at').rpartition('@')[2]}"
    for name in RELATIVES:
        assert bool(on_worker.pop(name)) == bool(on_engine[name]), name
    assert on_engine.pop("root_id") == on_engine.pop("correlation_id") == run.task_id
    del on_engine["parent_id"]
    assert on_engine == on_worker


def test_an_exception_that_cannot_be_pickled(live):
    """What a client gets of such an exception is the same."""
    live_app, _ = live
    with pytest.raises(Exception, match="broken") as on_worker:
        named(live_app, "unpicklable").delay().get(timeout=20)
    app = make_app(broker="redis://nowhere", backend="redis://nowhere")
    with EagerEngine(app) as engine:
        on_engine = engine.run(named(app, "unpicklable")).exception
    assert (type(on_engine).__name__, str(on_engine)) == (
        on_worker.type.__name__,
        str(on_worker.value),
    )


def test_settings_that_come_late():
    """A setting that was copied to a task when it was bound is not changed by the app any more."""
    app = make_app(broker="redis://nowhere", backend="redis://nowhere")
    assert not named(app, "returns").track_started
    app.conf.task_track_started = True
    with EagerEngine(app) as engine:
        assert engine.run(named(app, "returns")).states == ["SUCCESS"]
