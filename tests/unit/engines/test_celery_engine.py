"""The engine surface of a plain Celery app: what listeners hear of what this process runs."""

from __future__ import annotations

import gc
import inspect
import threading
import traceback
import weakref
from collections import OrderedDict
from types import FunctionType, ModuleType, SimpleNamespace
from uuid import uuid4

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task, _state, chain, chord, current_app, group, signals
from celery.backends.cache import CacheBackend
from celery.events.dispatcher import EventDispatcher
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from pytest_taskprogress import (
    AbortableTask,
    CaptureListener,
    CeleryClaimBoard,
    CeleryEngine,
    CheckingClaimListener,
    DurationListener,
    DynamicLoggingListener,
    EagerEngine,
    EngineError,
    EngineNotInstalled,
    EventTimeListener,
    FailureFormatter,
    Listener,
    ListenerError,
    LoggingListener,
    Observer,
    PrintingListener,
    ProgressTask,
)
from pytest_taskprogress.core.errors import NotFound
from tests.conftest import IsolatedApp

# What listeners raise is logged; the message of a task that broke too.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def keep_the_current_app(monkeypatch):
    """Leave the current app as it was: an app that works makes itself that."""
    monkeypatch.setattr(_state._tls, "current_app", _state._tls.current_app)
    monkeypatch.setattr(_state, "default_app", _state.default_app)


#: What `apply()` runs in a task knows of it: since Celery 5.6 or 5.7, by what is installed.
KNOWS_PARENT = "parent_id" in inspect.getsource(Task.apply)

SIGNALS = [signals.task_prerun, signals.task_postrun, signals.after_task_publish]


class Heard(Listener):
    """Keeps what it is told, in order."""

    def __init__(self, engine):
        super().__init__(engine)
        self.said = []
        self.transitions = []

    def _keep(self, kind, state, details):
        name = details[f"{kind}_name"]
        self.said.append(f"{kind} {name} {details['old_state']} -> {state}")
        self.transitions.append(details["transition"])

    def _flow_receiver(self, state, details):
        self._keep("flow", state, details)

    def _task_receiver(self, state, details):
        self._keep("task", state, details)

    def _retry_receiver(self, state, details):
        self._keep("retry", state, details)

    def of(self, kind):
        """What was said of one kind."""
        return [each.partition(" ")[2] for each in self.said if each.startswith(f"{kind} ")]

    def writes(self):
        """The transitions that were written."""
        return [each for each in self.transitions if each.is_written]


class Worker:
    """Celery's own worker code, a message at a time, in this thread; its broker is in memory."""

    def __init__(self, app):
        self.app = app
        self.connection = app.connection_for_read()
        queue = app.amqp.queues[app.conf.task_default_queue]
        self.queue = queue(self.connection.default_channel)
        self.queue.declare()

    def step(self):
        """Run the next task, if there is one."""
        message = self.queue.get(accept=["json", "pickle"])
        if message is None:
            return False
        done = {"on_ack": lambda *_: None, "on_reject": lambda *_: None}
        Request(message, app=self.app, hostname="w@here", **done).execute()
        message.ack()
        return True

    def drain(self):
        """Run tasks until there are none."""
        while self.step():
            pass

    def close(self):
        """Take away the queue."""
        self.queue.delete()
        self.connection.close()


@pytest.fixture
def make_app():
    """Make an app whose broker and results are in memory, with a queue of its own."""
    made = []

    def make(name="live", backend="cache+memory://", **conf):
        app = IsolatedApp(name, broker="memory://", backend=backend, set_as_current=False)
        app.conf.update(task_default_queue=f"{name}-{uuid4().hex}", **conf)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def make_worker():
    """Make a worker of an app."""
    made = []

    def make(app):
        made.append(Worker(app))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def app(make_app):
    """An app whose broker and results are in memory."""
    return make_app()


@pytest.fixture
def worker(app, make_worker):
    """A worker of the app."""
    return make_worker(app)


def make_jobs(app):
    """Define the tasks that this file is about."""

    @app.task(name="add")
    def add(x=0, y=1):
        return x + y

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    @app.task(name="fails")
    def fails(*args):
        raise ValueError("broken", 3)

    @app.task(name="reports", bind=True)
    def reports(self, n=2):
        for current in range(1, n + 1):
            self.update_state(state="PROGRESS", meta={"current": current, "total": n})
        return n

    @app.task(name="silent", bind=True, ignore_result=True)
    def silent(self):
        return "nobody knows"

    @app.task(name="retries", bind=True, max_retries=1)
    def retries(self, times=1):
        if self.request.retries < times:
            raise self.retry(exc=KeyError("again"), countdown=0)
        return "in the end"

    @app.task(name="ignores")
    def ignores():
        raise Ignore

    @app.task(name="rejects")
    def rejects():
        raise Reject("no", requeue=False)

    @app.task(name="publishes")
    def publishes(n=2):
        for _ in range(n):
            add.delay()

    found = (add, total, fails, reports, silent, retries, ignores, rejects, publishes)
    return SimpleNamespace(**{each.name: each for each in found})


@pytest.fixture
def jobs(app):
    """Tasks of the app."""
    return make_jobs(app)


@pytest.fixture
def live(app):
    """An engine that is attached to the app."""
    with CeleryEngine(app) as live:
        yield live
        live.told_of_listeners()


@pytest.fixture
def heard(live):
    """What is heard of it."""
    with Heard(live) as heard:
        yield heard


def state_of(app):
    """All that attach() may change, each with its name."""
    app.finalize()
    backend, tasks = app.backend, app.tasks
    return _flat(
        app=vars(app),
        backend=vars(backend),
        **{name: vars(task) for name, task in tasks.items()},
        signals={each.name: list(each.receivers) for each in SIGNALS},
        conf=app.conf.changes,
    )


def _flat(**found):
    return {f"{of}.{name}": each for of, names in found.items() for name, each in names.items()}


def changed(before, after):
    """The names of what is another object now."""
    return {
        name
        for name in {*before, *after}
        if before.get(name) is not after.get(name) and before.get(name) != after.get(name)
    }


# -- attach() and detach() -------------------------------------------------------------------------


class TestAttach:
    def test_returns_the_engine(self, app):
        """It is made, attached and kept in one line."""
        live = CeleryEngine(app)
        assert live.attach() is live
        live.detach()

    def test_leaves_the_app_as_it_was(self, app, jobs):
        """Signals, the app's attributes, those of its backend and tasks, and its settings."""
        before = state_of(app)
        with CeleryEngine(app):
            assert changed(before, state_of(app))
        assert changed(before, state_of(app)) == set()

    def test_leaves_the_app_after_work(self, app, jobs, worker):
        """What ran meanwhile changes nothing in that."""
        jobs.reports.delay()  # what Celery makes when it is first needed is there then
        worker.drain()
        before = state_of(app)
        with CeleryEngine(app):
            jobs.reports.delay()
            worker.drain()
        assert changed(before, state_of(app)) == set()

    def test_leaves_the_app_by_an_error(self, app):
        """Also if what is done with it raises."""
        before = state_of(app)
        with pytest.raises(KeyError, match="mine"), CeleryEngine(app):
            raise KeyError("mine")
        assert changed(before, state_of(app)) == set()

    def test_twice(self, app):
        """An engine that is attached says so, and stays attached."""
        live = CeleryEngine(app).attach()
        try:
            with pytest.raises(EngineError, match="attached already: detach"):
                live.attach()
            assert not live.has_left
        finally:
            live.detach()

    def test_detach_is_idempotent(self, app):
        """Leaving twice, or without having come, is no error."""
        live = CeleryEngine(app)
        live.detach()
        assert not live.has_left
        live.attach().detach()
        live.detach()
        assert live.has_left

    def test_again(self, app, jobs, worker):
        """It can be attached again, and knows what it knew."""
        live = CeleryEngine(app)
        for _ in range(2):
            with live, Heard(live) as heard:
                jobs.add.delay()
                worker.drain()
            assert heard.of("task") == ["add PENDING -> RUNNING", "add RUNNING -> SUCCESS"]
        assert len(live.storage.known()) == 2

    def test_nothing_is_heard_before_and_after(self, app, jobs, worker):
        """Whoever listens to an engine that is not attached hears nothing."""
        live = CeleryEngine(app)
        with Heard(live) as heard:
            jobs.reports.delay()
            worker.drain()
            live.attach().detach()
            jobs.reports.delay()
            worker.drain()
        assert heard.said == []

    def test_detached_while_a_task_runs(self, app, worker):
        """The task goes on, its state is stored."""
        live = CeleryEngine(app).attach()

        @app.task(name="ends_it", bind=True)
        def ends_it(self):
            live.detach()
            self.update_state(state="PROGRESS", meta={"current": 1})
            return "done"

        with Heard(live) as heard:
            result = ends_it.delay()
            worker.drain()
        assert result.get(timeout=1) == "done"
        assert heard.of("task") == ["ends_it PENDING -> RUNNING"]

    def test_a_store_result_that_was_there_before(self, app, jobs, worker):
        """What somebody has put on the backend is called, and is there afterwards."""
        backend, calls = app.backend, []

        def mine(*args, **kwargs):
            calls.append(args[2])
            return type(backend).store_result(backend, *args, **kwargs)

        backend.store_result = mine
        with CeleryEngine(app) as live, Heard(live) as heard:
            jobs.reports.delay()
            worker.drain()
        assert calls == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert len(heard.writes()) == 3
        assert vars(backend)["store_result"] is mine

    def test_a_store_result_that_came_later(self, app, jobs, worker):
        """What somebody puts on the backend meanwhile is left there."""
        backend, calls = app.backend, []
        with CeleryEngine(app) as live, Heard(live) as heard:
            watched = backend.store_result

            def mine(*args, **kwargs):
                calls.append(args[2])
                return watched(*args, **kwargs)

            backend.store_result = mine
            jobs.add.delay()
            worker.drain()
        assert (calls, len(heard.writes())) == (["SUCCESS"], 1)
        assert vars(backend)["store_result"] is mine
        jobs.add.delay()
        worker.drain()
        assert (calls, len(heard.writes())) == (["SUCCESS"] * 2, 1)


class TestBadInput:
    @pytest.mark.parametrize("wrong", [None, "proj", object(), SimpleNamespace(conf={})], ids=type)
    def test_no_app(self, wrong):
        """What is no Celery app is refused at once."""
        with pytest.raises(EngineError, match="Celery app"):
            CeleryEngine(wrong)

    @pytest.mark.parametrize("at_most", [0, -1])
    def test_at_most(self, app, at_most):
        """Less than one task cannot be kept."""
        with pytest.raises(ValueError, match=f"at_most={at_most}"):
            CeleryEngine(app, at_most=at_most)

    def test_a_listener_for_an_engine_that_has_left(self, app):
        """It is told so, with what to do; leaving never raises."""
        live = CeleryEngine(app).attach()
        listener = LoggingListener(live)
        listener.register()
        live.detach()
        with pytest.raises(EngineNotInstalled):
            LoggingListener(live).register()
        listener.deregister()
        listener.deregister()

    def test_a_listener_that_has_left_is_told_what_to_do(self, app):
        """The message names this engine, not another."""
        live = CeleryEngine(app).attach()
        live.detach()
        with pytest.raises(EngineNotInstalled) as raised:
            LoggingListener(live).register()
        assert "CeleryEngine on live" in str(raised.value)

    def test_a_listener_before_the_engine_is_attached(self, app, jobs, worker):
        """The order in which they are made does not matter."""
        live = CeleryEngine(app)
        with Heard(live) as heard, live:
            jobs.add.delay()
            worker.drain()
        assert len(heard.said) == 4


# -- what is told ----------------------------------------------------------------------------------


class TestTold:
    def test_a_task_that_reports(self, jobs, worker, heard):
        """The flow, that the task begins, each report, and the end."""
        jobs.reports.delay()
        worker.drain()
        assert heard.said == [
            "flow reports PENDING -> RUNNING",
            "task reports PENDING -> RUNNING",
            "task reports RUNNING -> PROGRESS",
            "task reports PROGRESS -> PROGRESS",
            "task reports PROGRESS -> SUCCESS",
            "flow reports RUNNING -> SUCCESS",
        ]

    def test_writes(self, jobs, worker, heard):
        """Each write has its kind, its names, the state that was stored before, and its place."""
        result = jobs.reports.delay()
        worker.drain()
        first, second, last = heard.writes()
        assert {each.uuid for each in (first, second, last)} == {result.id}
        assert [each.index for each in (first, second, last)] == [0, 1, 2]
        assert [(each.kind, each.old_state, each.state) for each in (first, second, last)] == [
            ("task", "PENDING", "PROGRESS"),
            ("task", "PROGRESS", "PROGRESS"),
            ("task", "PROGRESS", "SUCCESS"),
        ]
        assert [each.percent for each in (first, second, last)] == [50.0, 100.0, None]
        assert (first.result, last.result, last.meta) == (None, 2, {})
        assert first.source.file == __file__
        assert last.source is None
        assert first.at <= second.at <= last.at
        assert all(each.stored for each in (first, second, last))

    def test_retries(self, jobs, worker, heard):
        """A RETRY is told as one, with its reason, and the next attempt begins from it."""
        jobs.retries.delay()
        worker.drain()
        assert heard.said == [
            "flow retries PENDING -> RUNNING",
            "task retries PENDING -> RUNNING",
            "retry retries RUNNING -> RETRY",
            "task retries RETRY -> RUNNING",
            "task retries RUNNING -> SUCCESS",
            "flow retries RUNNING -> SUCCESS",
        ]
        assert [(each.kind, each.error) for each in heard.writes()] == [
            ("retry", "KeyError: again"),
            ("task", None),
        ]

    def test_a_task_that_gives_up(self, jobs, worker, heard):
        """The last attempt fails, and the flow with it."""
        jobs.retries.delay(times=5)
        worker.drain()
        assert heard.said[-2:] == [
            "task retries RUNNING -> FAILURE",
            "flow retries RUNNING -> FAILURE",
        ]

    def test_a_failure(self, jobs, worker, live):
        """Listeners have the exception itself, with its traceback."""
        found = []
        live.atom_notifier.register(
            "FAILURE", lambda state, details: found.append(details["result"])
        )
        jobs.fails.delay()
        worker.drain()
        (failure,) = found
        assert failure.exception.args == ("broken", 3)
        assert failure.check(ValueError) is ValueError
        assert "in fails" in failure.traceback_str
        assert failure.exc_info[2] is not None

    def test_a_chain(self, jobs, worker, heard):
        """Is one flow, which begins and ends once."""
        chain(jobs.add.s(1), jobs.add.s(2), jobs.reports.s()).delay()
        worker.drain()
        assert heard.of("flow") == ["add PENDING -> RUNNING", "add RUNNING -> SUCCESS"]
        assert heard.said[0].startswith("flow")
        assert heard.said[-1].startswith("flow")

    def test_a_chain_that_breaks(self, jobs, worker, heard):
        """Fails with its task; the tasks that never ran are told of by name."""
        chain(jobs.add.s(1), jobs.fails.s(), jobs.total.s(), jobs.add.s()).delay()
        worker.drain()
        assert heard.of("flow") == ["add PENDING -> RUNNING", "add RUNNING -> FAILURE"]
        assert sorted(heard.of("task")[4:]) == [
            "add PENDING -> FAILURE",
            "total PENDING -> FAILURE",
        ]

    @pytest.mark.parametrize("kind", ["group", "chord", "chord of chains", "chain to a group"])
    def test_a_flow_begins_and_ends_once(self, jobs, worker, heard, live, kind):
        """However a canvas is published: a flow that has ended is not begun again."""
        add, total = jobs.add, jobs.total
        canvas = {
            "group": group(add.s(1), add.s(2), add.s(3)),
            "chord": chord([add.s(1), add.s(2)], total.s()),
            "chord of chains": chord([add.s(1) | add.s(2), add.s(3) | add.s(4)], total.s()),
            "chain to a group": add.s(1) | group(add.s(2), add.s(3)) | total.s(),
        }[kind]
        canvas.delay()
        worker.drain()
        told = {}
        for each in heard.transitions:
            if each.kind == "flow":
                told.setdefault(each.uuid, []).append(f"{each.old_state} -> {each.state}")
        assert set(map(tuple, told.values())) == {("PENDING -> RUNNING", "RUNNING -> SUCCESS")}
        assert all(each.flow is not None for each in live.storage.known())

    def test_a_chord_that_breaks(self, jobs, worker, heard):
        """The flow of what failed fails; the body is told of as failed, by name."""
        chord([jobs.fails.s(), jobs.add.s(2)], jobs.total.s()).delay()
        worker.drain()
        assert "fails RUNNING -> FAILURE" in heard.of("flow")
        assert "total PENDING -> FAILURE" in heard.of("task")

    def test_what_a_task_publishes(self, jobs, worker, heard, live):
        """Is part of its flow, which begins and ends once."""
        jobs.publishes.delay(2)
        worker.drain()
        assert heard.of("flow") == ["publishes PENDING -> RUNNING", "publishes RUNNING -> SUCCESS"]
        assert len(heard.of("task")) == 6
        assert len({each.flow.uuid for each in live.storage.known()}) == 1

    def test_two_flows_side_by_side(self, jobs, worker, heard, live):
        """Each has its own beginning and end."""
        for _ in range(2):
            chain(jobs.add.s(1), jobs.add.s(2)).delay()
        worker.drain()
        assert sorted(heard.of("flow")) == [
            *["add PENDING -> RUNNING"] * 2,
            *["add RUNNING -> SUCCESS"] * 2,
        ]
        flows = {each.flow.uuid for each in live.storage.known()}
        assert len(flows) == 2

    def test_results_that_nobody_wants(self, jobs, worker, heard):
        """The end of a task that stores none is told, unwritten."""
        jobs.silent.delay()
        worker.drain()
        assert heard.of("task") == ["silent PENDING -> RUNNING", "silent RUNNING -> SUCCESS"]
        assert heard.of("flow")[-1] == "silent RUNNING -> SUCCESS"
        assert heard.writes() == []

    def test_track_started(self, app, worker, heard):
        """STARTED is a write, after the beginning."""

        @app.task(name="tracked", track_started=True)
        def tracked():
            return 1

        tracked.delay()
        worker.drain()
        assert heard.of("task") == [
            "tracked PENDING -> RUNNING",
            "tracked RUNNING -> STARTED",
            "tracked STARTED -> SUCCESS",
        ]

    def test_a_task_that_is_ignored(self, jobs, worker, heard):
        """Nothing is stored of its end, which is told all the same."""
        jobs.ignores.delay()
        worker.drain()
        assert heard.of("task") == ["ignores PENDING -> RUNNING", "ignores RUNNING -> IGNORED"]
        assert heard.writes() == []
        assert heard.of("flow")[-1] == "ignores RUNNING -> SUCCESS"

    def test_a_task_that_is_rejected(self, jobs, worker, heard):
        """A message that is thrown away is no work that goes on: its flow comes to an end."""
        jobs.rejects.delay()
        worker.drain()
        assert heard.of("task")[-1] == "rejects RUNNING -> REJECTED"
        assert heard.of("flow")[0] == "rejects PENDING -> RUNNING"
        assert len(heard.of("flow")) == 2

    def test_a_task_that_stores_its_end_itself(self, app, worker, heard):
        """What Celery's documentation does to end in a state of its own: one end is told."""

        @app.task(name="by_hand", bind=True)
        def by_hand(self):
            self.update_state(state="FAILURE", meta={"exc_type": "E", "exc_message": "no"})
            raise Ignore

        by_hand.delay()
        worker.drain()
        assert heard.of("task") == ["by_hand PENDING -> RUNNING", "by_hand RUNNING -> FAILURE"]
        assert heard.of("flow")[-1] == "by_hand RUNNING -> FAILURE"

    def test_a_snapshot_of_meta(self, app, worker, heard):
        """What a task changes in its meta afterwards, listeners do not see."""

        @app.task(name="changes", bind=True)
        def changes(self):
            meta = {"current": 1, "rows": [1]}
            self.update_state(state="PROGRESS", meta=meta)
            meta["rows"].append(2)
            meta["current"] = 9
            return meta

        changes.delay()
        worker.drain()
        first, last = heard.writes()
        assert first.meta == {"current": 1, "rows": [1]}
        assert last.result == {"current": 9, "rows": [1, 2]}

    def test_arguments_are_those_of_the_call(self, app, worker, live, heard):
        """What a task does to its arguments is no part of its story, if somebody tells that."""
        FailureFormatter(live)
        found = []

        @app.task(name="eats")
        def eats(rows):
            rows.clear()
            found.append(live.storage.find("eats").args)

        eats.delay([1, 2])
        worker.drain()
        assert list(found[0]) == [[1, 2]]

    @pytest.mark.parametrize(
        "meta", [{"current": 1, "total": 2}, OrderedDict(current=1, total=2)], ids=type
    )
    def test_meta_of_every_kind_of_dict(self, app, worker, heard, meta):
        """What the wire carries as a dict is a report's meta."""

        @app.task(name="reports_it", bind=True)
        def reports_it(self):
            self.update_state(state="PROGRESS", meta=meta)

        reports_it.delay()
        worker.drain()
        assert heard.writes()[0].percent == 50.0

    @pytest.mark.parametrize(
        "error", [ValueError("broken"), ValueError(1, {"a": [1, 2]}), KeyError()], ids=repr
    )
    def test_an_exception_is_told_as_it_is_stored(self, app, worker, heard, error):
        """As EagerEngine tells of it, who reads it back from the wire."""

        @app.task(name="raises")
        def raises():
            raise error

        raises.delay()
        worker.drain()
        (written,) = heard.writes()
        with EagerEngine(app) as engine:
            (stored,) = engine.run(raises).history
        assert (written.error, written.result, written.meta) == (
            stored.error,
            stored.result,
            stored.meta,
        )

    def test_an_exception_that_cannot_be_told(self, app, worker, heard):
        """One whose arguments have no text: the task ends as it would."""

        class Speechless:
            def __repr__(self):
                raise RuntimeError("no words")

        @app.task(name="raises")
        def raises():
            raise ValueError(Speechless())

        result = raises.delay()
        worker.drain()
        assert result.state == "FAILURE"
        assert heard.of("task")[-1] == "raises RUNNING -> FAILURE"

    def test_a_result_is_a_snapshot(self, app, worker, heard):
        """It is told as the task gave it; who changes what was told changes nothing of it."""
        given = {"pair": (1, [2])}

        @app.task(name="pair")
        def pair():
            return given

        result = pair.apply_async()
        worker.drain()
        (written,) = heard.writes()
        assert written.result == given
        written.result["pair"][1].append(3)
        assert given == {"pair": (1, [2])}
        assert result.get(timeout=1) == {"pair": [1, [2]]}

    def test_writes_after_success(self, app, worker, heard, live):
        """What the backend drops is told as dropped, and changes no state."""

        @app.task(name="too_late", bind=True, ignore_result=True)
        def too_late(self):
            self.update_state(state="SUCCESS", meta=1)
            self.update_state(state="PROGRESS", meta={"current": 1})

        result = too_late.delay()
        worker.drain()
        assert [(each.state, each.stored) for each in heard.writes()] == [
            ("SUCCESS", True),
            ("PROGRESS", False),
        ]
        assert live.storage.get_atom_state("too_late") == result.state == "SUCCESS"

    def test_the_state_of_another_task(self, app, worker, heard):
        """A task that writes another one's state: told of the other one."""

        @app.task(name="writes_another", bind=True)
        def writes_another(self):
            self.update_state(task_id="another", state="PROGRESS", meta={"current": 1})

        writes_another.delay()
        worker.drain()
        assert [each.uuid == "another" for each in heard.writes()] == [True, False]

    def test_a_thread_of_the_task(self, app, worker, heard):
        """What is written from another thread is told too."""

        @app.task(name="threaded", bind=True)
        def threaded(self):
            request = self.request.id
            backend = self.backend
            thread = threading.Thread(
                target=backend.store_result, args=(request, {"current": 1}, "PROGRESS")
            )
            thread.start()
            thread.join()

        threaded.delay()
        worker.drain()
        assert heard.of("task") == [
            "threaded PENDING -> RUNNING",
            "threaded RUNNING -> PROGRESS",
            "threaded PROGRESS -> SUCCESS",
        ]

    def test_a_backend_of_another_thread(self, app, jobs, heard, make_worker):
        """A thread that makes its own backend after attach() is watched as well."""

        def elsewhere():
            worker = Worker(app)
            worker.drain()
            worker.close()

        jobs.reports.delay()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(heard.writes()) == 3


class TestAborts:
    @pytest.fixture
    def aborted(self, app, monkeypatch):
        """A task that is asked to abort while it runs; of the current app."""
        app.set_current()

        @app.task(name="aborted", bind=True, base=AbortableTask)
        def aborted(self, n=3):
            self.AsyncResult(self.request.id).abort()
            for _ in Observer(self).track(range(n), "Working"):
                pass

        return aborted

    def test_requests_are_no_tasks(self, aborted, worker, heard, live):
        """The record of a request is no write that listeners hear, and no task of the storage."""
        result = aborted.delay()
        worker.drain()
        assert {each.uuid for each in heard.writes()} == {result.id}
        assert [each.uuid for each in live.storage.known()] == [result.id]

    def test_a_task_that_was_aborted(self, aborted, worker, heard):
        """The end of it, and of its flow, is ABORTED."""
        aborted.delay()
        worker.drain()
        assert heard.of("task")[-1].endswith("-> ABORTED")
        assert heard.of("flow")[-1] == "aborted RUNNING -> ABORTED"

    def test_a_task_that_stores_no_results(self, aborted, worker, heard):
        """That it was aborted is told, written or not."""
        aborted.ignore_result = True
        aborted.delay()
        worker.drain()
        assert heard.of("task")[-1] == "aborted RUNNING -> ABORTED"
        assert heard.of("flow")[-1] == "aborted RUNNING -> ABORTED"

    def test_claims_are_no_tasks(self, app, worker, heard, live):
        """Nor is the record of a claim."""
        board = CeleryClaimBoard(app)

        @app.task(name="claims", bind=True)
        def claims(self):
            board.abandon(board.claim(self))

        claims.delay()
        worker.drain()
        assert heard.of("task") == ["claims PENDING -> RUNNING", "claims RUNNING -> SUCCESS"]
        assert [each.name for each in live.storage.known()] == ["claims"]

    def test_an_ending_that_the_observer_gave(self, app, worker, heard):
        """A FAILURE of a ProgressTask that stores no results is the end that is told."""

        @app.task(name="gives_up", bind=True, base=ProgressTask, ignore_result=True)
        def gives_up(self):
            Observer(self).fail("out of %s", "paper")

        gives_up.delay()
        worker.drain()
        assert heard.of("task")[-1].endswith("-> FAILURE")
        assert heard.of("flow")[-1] == "gives_up RUNNING -> FAILURE"


# -- what runs here, without a worker --------------------------------------------------------------


class TestApply:
    def test_apply(self, jobs, heard):
        """A task that is called by apply() is told of, unwritten, with its reports."""
        jobs.reports.apply()
        assert heard.said == [
            "flow reports PENDING -> RUNNING",
            "task reports PENDING -> RUNNING",
            "task reports RUNNING -> PROGRESS",
            "task reports PROGRESS -> PROGRESS",
            "task reports PROGRESS -> SUCCESS",
            "flow reports RUNNING -> SUCCESS",
        ]

    def test_always_eager(self, app, jobs, heard):
        """`task_always_eager` is apply()."""
        app.conf.task_always_eager = True
        assert jobs.add.delay(1).get() == 2
        assert heard.of("task") == ["add PENDING -> RUNNING", "add RUNNING -> SUCCESS"]

    def test_that_fails(self, jobs, heard):
        """A failure is told, and ends the flow."""
        jobs.fails.apply()
        assert heard.said[-2:] == ["task fails RUNNING -> FAILURE", "flow fails RUNNING -> FAILURE"]

    @pytest.mark.parametrize("how", ["throw", "setting"])
    def test_that_raises(self, app, jobs, heard, how):
        """What propagates to the caller is told as a failure too."""
        app.conf.task_eager_propagates = how == "setting"
        with pytest.raises(ValueError, match="broken"):
            jobs.fails.apply(throw=True if how == "throw" else None)
        assert heard.said[-2:] == ["task fails RUNNING -> FAILURE", "flow fails RUNNING -> FAILURE"]

    def test_that_retries(self, jobs, heard):
        """A retry runs at once; each attempt is told."""
        jobs.retries.apply()
        assert heard.of("task")[-1] == "retries RUNNING -> SUCCESS"
        assert heard.of("retry") == ["retries RUNNING -> RETRY"]
        assert heard.of("flow")[-1] == "retries RUNNING -> SUCCESS"

    def test_inside_a_task(self, app, jobs, worker, heard):
        """What a task applies is part of its flow, and does not end it."""

        @app.task(name="outer")
        def outer():
            jobs.add.apply()

        outer.delay()
        worker.drain()
        flows = [each for each in heard.of("flow") if KNOWS_PARENT or "outer" in each]
        assert flows == ["outer PENDING -> RUNNING", "outer RUNNING -> SUCCESS"]
        assert heard.said[-2:] == ["task outer RUNNING -> SUCCESS", "flow outer RUNNING -> SUCCESS"]


class TestOnEagerEngine:
    @pytest.mark.parametrize("first", ["live", "eager"])
    def test_production_listeners_hear_in_tests(self, app, jobs, first):
        """Whichever came first, and that it was there changes nothing on the app."""
        with EagerEngine(app) as warm:
            warm.run(jobs.reports)
        before = state_of(app)
        live = CeleryEngine(app)
        outer, inner = (live, EagerEngine(app)) if first == "live" else (EagerEngine(app), live)
        with outer as one, inner as two, Heard(live) as heard:
            eager = two if one is live else one
            assert eager.run(jobs.reports).states == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert heard.of("task") == [
            "reports PENDING -> RUNNING",
            "reports RUNNING -> PROGRESS",
            "reports PROGRESS -> PROGRESS",
            "reports PROGRESS -> SUCCESS",
        ]
        assert changed(before, state_of(app)) == set()

    def test_an_engine_that_is_installed_anew(self, app, jobs, live, heard):
        """Each test's engine has a backend of its own, which is heard."""
        for _ in range(3):
            with EagerEngine(app) as eager:
                eager.run(jobs.reports)
        assert len(heard.writes()) == 9

    @pytest.mark.parametrize(
        "kind", ["one", "chain", "group", "chord", "retries", "breaks", "ignores", "rejects"]
    )
    def test_both_hear_the_same_of_tasks(self, app, jobs, live, heard, kind):
        """The engine's own listeners and those of production are told the same transitions."""
        target = {
            "one": jobs.reports.s(),
            "chain": jobs.add.s(1) | jobs.reports.s(),
            "group": group(jobs.add.s(1), jobs.reports.s()),
            "chord": chord([jobs.add.s(1), jobs.add.s(2)], jobs.total.s()),
            "retries": jobs.retries.s(),
            "breaks": jobs.add.s(1) | jobs.fails.s() | jobs.add.s(),
            "ignores": jobs.ignores.s(),
            "rejects": jobs.rejects.s(),
        }[kind]
        with EagerEngine(app) as eager, Heard(eager) as theirs:
            eager.run(target)
        assert heard.of("task") == theirs.of("task")
        assert heard.of("retry") == theirs.of("retry")
        assert [each.as_dict() | {"at": 0, "index": 0} for each in heard.writes()] == [
            each.as_dict() | {"at": 0, "index": 0} for each in theirs.writes()
        ]

    def test_events_go_nowhere(self, make_app):
        """An app that sends events can be tested: they disturb nothing, and are no messages."""
        app = make_app(worker_send_task_events=True, task_send_sent_event=True)
        jobs = make_jobs(app)
        with CeleryEngine(app) as live, Heard(live) as heard, EagerEngine(app) as eager:
            assert eager.run(jobs.reports).states == ["PROGRESS", "PROGRESS", "SUCCESS"]
            assert eager.pending == []
        assert len(heard.writes()) == 3


# -- several engines, other apps, other backends ---------------------------------------------------


class TestSeveral:
    def test_two_on_one_app(self, app, jobs, worker):
        """Both hear all of it, once."""
        with CeleryEngine(app) as one, CeleryEngine(app) as two, Heard(one) as a, Heard(two) as b:
            jobs.retries.delay()
            worker.drain()
        assert a.said == b.said
        assert len(a.said) == 6

    @pytest.mark.parametrize("first", [0, 1])
    def test_two_leave_in_any_order(self, app, jobs, worker, first):
        """Who stays goes on to hear everything; in the end the app is as it was."""
        jobs.reports.delay()
        worker.drain()
        before = state_of(app)
        engines = [CeleryEngine(app).attach(), CeleryEngine(app).attach()]
        leaves, stays = engines[first], engines[1 - first]
        with Heard(leaves) as left, Heard(stays) as heard:
            leaves.detach()
            jobs.reports.delay()
            worker.drain()
            stays.detach()
        assert left.said == []
        assert [each.state for each in heard.writes()] == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert changed(before, state_of(app)) == set()

    def test_two_leave_before_a_backend_is_made(self, make_app):
        """Whichever leaves first: who makes backends is the app's own method again."""
        app = make_app()
        one, two = CeleryEngine(app).attach(), CeleryEngine(app).attach()
        one.detach()
        two.detach()
        assert "_get_backend" not in vars(app)

    def test_two_apps(self, make_app, make_worker):
        """Each hears its own app only, also when a task of the one publishes to the other."""
        here, there = make_app("here"), make_app("there")
        jobs, others = make_jobs(here), make_jobs(there)

        @here.task(name="crosses")
        def crosses():
            others.add.delay()

        with (
            CeleryEngine(here) as one,
            CeleryEngine(there) as two,
            Heard(one) as a,
            Heard(two) as b,
        ):
            crosses.delay()
            make_worker(here).drain()
            make_worker(there).drain()
            jobs.add.apply()
        assert a.of("task") == [
            "crosses PENDING -> RUNNING",
            "crosses RUNNING -> SUCCESS",
            "add PENDING -> RUNNING",
            "add RUNNING -> SUCCESS",
        ]
        assert b.of("task") == ["add PENDING -> RUNNING", "add RUNNING -> SUCCESS"]
        assert a.of("flow")[:2] == ["crosses PENDING -> RUNNING", "crosses RUNNING -> SUCCESS"]
        assert b.of("flow") == ["add PENDING -> RUNNING", "add RUNNING -> SUCCESS"]

    def test_the_current_app(self, app, jobs, worker):
        """Celery's proxy of the current app, which libraries have, is the app."""
        app.set_current()
        with CeleryEngine(current_app) as live, Heard(live) as heard:
            jobs.reports.delay()
            worker.drain()
        assert len(heard.writes()) == 3

    def test_configured_later(self, make_worker):
        """Attached when the app is made; nothing is read of its settings before they are there."""
        app = IsolatedApp("late", set_as_current=False)
        live = CeleryEngine(app).attach()
        assert not app.configured
        app.conf.update(
            broker_url="memory://", result_backend="cache+memory://", task_default_queue=uuid4().hex
        )
        jobs = make_jobs(app)
        with Heard(live) as heard:
            jobs.reports.delay()
            make_worker(app).drain()
        live.detach()
        app.close()
        assert len(heard.writes()) == 3

    @pytest.mark.parametrize("backend", ["disabled://", "rpc://"])
    def test_backends_that_keep_nothing(self, make_app, make_worker, backend):
        """What is reported is told, and the task runs as it does without."""
        app = make_app(backend=backend)
        jobs = make_jobs(app)
        with CeleryEngine(app) as live, Heard(live) as heard:
            jobs.reports.delay()
            make_worker(app).drain()
            with pytest.raises(NotFound):
                live.storage.find("unknown")
        assert heard.of("task") == [
            "reports PENDING -> RUNNING",
            "reports RUNNING -> PROGRESS",
            "reports PROGRESS -> PROGRESS",
            "reports PROGRESS -> SUCCESS",
        ]

    def test_a_backend_of_its_own(self, app, worker, heard):
        """A task may have a result backend of its own: its reports are told as any other's."""
        other = CacheBackend(app, backend="memory://")

        @app.task(name="own", bind=True, backend=other)
        def own(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})

        own.delay()
        worker.drain()
        assert [each.state for each in heard.writes()] == ["PROGRESS", "SUCCESS"]

    def test_a_backend_of_its_own_is_left_alone(self, app):
        """Nothing is on it afterwards."""
        other = CacheBackend(app, backend="memory://")

        @app.task(name="own", bind=True, backend=other)
        def own(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})

        with CeleryEngine(app):
            own.apply()
        assert "store_result" not in vars(other)


# -- nothing disturbs the task ---------------------------------------------------------------------


class Raises(Listener):
    """Raises in one of its receivers."""

    def __init__(self, engine, kind, error=RuntimeError):
        super().__init__(engine)
        self.kind, self.error = kind, error

    def _flow_receiver(self, state, details):
        self._raise("flow")

    def _task_receiver(self, state, details):
        self._raise("task")

    def _retry_receiver(self, state, details):
        self._raise("retry")

    def _raise(self, kind):
        if kind == self.kind:
            raise self.error(f"by {kind}")


class TestListenersThatRaise:
    @pytest.mark.parametrize(("kind", "times"), [("flow", 2), ("task", 3), ("retry", 1)])
    def test_the_result_is_unchanged(self, jobs, worker, live, kind, times):
        """Whichever receiver raises: the task ends as it would, later listeners hear all."""
        with Raises(live, kind), Heard(live) as heard:
            result = jobs.retries.delay()
            worker.drain()
        assert result.get(timeout=1) == "in the end"
        assert len(heard.said) == 6
        with pytest.raises(ListenerError) as raised:
            live.check_listeners()
        errors = raised.value.errors
        assert [str(each) for each in errors] == [f"by {kind}"] * times
        assert "_raise" in "".join(traceback.format_exception(errors[0]))
        live.check_listeners()

    def test_what_is_kept_is_bounded(self, jobs, worker, live):
        """A worker that runs for months keeps no more than so many errors."""
        live.atom_notifier.ERRORS_KEPT = 10
        with Raises(live, "task"):
            for _ in range(20):
                jobs.silent.delay()
            worker.drain()
        assert len(live.atom_notifier.errors) == 10
        assert "RuntimeError: by task (10 times)" in live.told_of_listeners()

    def test_a_time_limit_that_is_over_while_a_listener_works(self, app, worker, live):
        """Is meant for the task, and gets to it."""
        found = []

        @app.task(name="cleans", bind=True)
        def cleans(self):
            try:
                self.update_state(state="PROGRESS", meta={"current": 1})
            except SoftTimeLimitExceeded:
                found.append("cleaned")
            return "ended"

        live.atom_notifier.register("PROGRESS", _over)
        result = cleans.delay()
        worker.drain()
        assert (found, result.get(timeout=1)) == (["cleaned"], "ended")

    @pytest.mark.parametrize("where", ["board", "job", "storage", "deep in its work"])
    def test_a_time_limit_that_is_over_in_a_listener_of_ours(
        self, app, worker, live, where, monkeypatch
    ):
        """Listeners that survive what others raise let it through as well."""
        found = []
        board = SimpleNamespace(find_owner=_over if where == "board" else lambda job: "me")

        class Job:
            @property
            def state(self):
                return _over() if where == "job" and found else "CLAIMED"

        @app.task(name="cleans", bind=True)
        def cleans(self):
            found.append("began")
            try:
                self.update_state(state="PROGRESS", meta={"current": 1})
            except SoftTimeLimitExceeded:
                found.append("cleaned")

        listener = {
            "storage": lambda: EventTimeListener(live, ("PROGRESS",), (), ()),
            "deep in its work": lambda: PrintingListener(live, ("PROGRESS",), (), ()),
        }.get(
            where,
            lambda: CheckingClaimListener(
                live, Job(), board, "me", lambda *_: found.append("lost")
            ),
        )()
        if where == "storage":
            monkeypatch.setattr(live.storage, "update_atom_metadata", _over)
        if where == "deep in its work":
            monkeypatch.setattr(listener, "_dump", _over)
        if where in ("board", "job"):
            live.atom_notifier.register("PROGRESS", listener._task_receiver)
        else:
            listener.register()
        cleans.delay()
        worker.drain()
        assert found == ["began", "cleaned"]

    def test_a_time_limit_that_is_over_while_a_task_is_looked_up(self, app, live, monkeypatch):
        """What a backend is asked for in the time of a task is the task's time."""
        monkeypatch.setattr(app.backend, "get_task_meta", _over)
        with pytest.raises(SoftTimeLimitExceeded):
            live.storage.find("unknown")


def _over(*args, **kwargs):
    raise SoftTimeLimitExceeded


class TestEvents:
    @pytest.fixture
    def app(self, make_app):
        """An app whose workers send events."""
        return make_app(worker_send_task_events=True)

    @pytest.fixture
    def sent(self, monkeypatch):
        """What was sent: type, id and the rest."""
        sent = []

        def send(self, kind, **fields):
            sent.append((kind, fields.pop("uuid"), fields))

        monkeypatch.setattr(EventDispatcher, "send", send)
        return sent

    def test_reports_are_sent(self, jobs, worker, live, sent):
        """Celery sends no event of a report: this does, with its meta; of nothing else."""
        result = jobs.reports.delay()
        worker.drain()
        assert [(type_, uuid) for type_, uuid, _ in sent] == [("task-progress", result.id)] * 2
        assert [each["meta"]["current"] for _, _, each in sent] == [1, 2]
        assert [(each["name"], each["state"]) for _, _, each in sent] == [
            ("reports", "PROGRESS")
        ] * 2

    def test_only_if_that_is_wanted(self, app, jobs, worker, live, sent):
        """Without `worker_send_task_events`, nothing."""
        app.conf.worker_send_task_events = False
        jobs.reports.delay()
        worker.drain()
        assert sent == []

    def test_of_another_task(self, app, worker, live, sent):
        """A report of another task is sent as that task's."""

        @app.task(name="writes_another", bind=True)
        def writes_another(self):
            self.update_state(task_id="another", state="PROGRESS", meta={"current": 1})

        writes_another.delay()
        worker.drain()
        assert [uuid for _, uuid, _ in sent] == ["another"]

    def test_that_cannot_be_sent(self, jobs, worker, live, monkeypatch):
        """A broker that is down for events is no matter of the task."""

        def down(*args, **kwargs):
            raise ConnectionError("no route")

        monkeypatch.setattr(EventDispatcher, "send", down)
        result = jobs.reports.delay()
        worker.drain()
        assert result.get(timeout=1) == 2

    def test_that_cannot_be_encoded(self, make_app, make_worker):
        """What the result serializer takes and that of events does not does not fail the task."""
        app = make_app(
            worker_send_task_events=True,
            result_serializer="pickle",
            accept_content=["pickle", "json"],
        )

        @app.task(name="pickled", bind=True)
        def pickled(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "kind": IsolatedApp})
            return "done"

        with CeleryEngine(app):
            result = pickled.delay()
            make_worker(app).drain()
        assert result.get(timeout=1) == "done"

    def test_a_time_limit_while_they_are_sent(self, app, worker, live, monkeypatch):
        """Is the task's."""
        monkeypatch.setattr(EventDispatcher, "send", _over)
        found = []

        @app.task(name="cleans", bind=True)
        def cleans(self):
            try:
                self.update_state(state="PROGRESS", meta={"current": 1})
            except SoftTimeLimitExceeded:
                found.append("cleaned")

        cleans.delay()
        worker.drain()
        assert found == ["cleaned"]


# -- memory ----------------------------------------------------------------------------------------


def held(*roots, but):
    """How many objects some hold: without code, and without what is not theirs."""
    seen, found = {id(each) for each in but}, list(roots)
    count = 0
    while found:
        each = found.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(each))
        count += 1
        found += gc.get_referents(each)
    return count


class TestMemory:
    @pytest.fixture
    def live(self, app):
        """An engine that keeps five tasks."""
        with CeleryEngine(app, at_most=5) as live:
            yield live

    @pytest.fixture
    def grows(self, app, worker, live):
        """Tell how many objects more are held when something was done twice as often again."""

        def grows(work, times=60):
            durations = DurationListener(live)
            sizes = []
            with durations:
                for each in (times, 2 * times):
                    for _ in range(each):
                        work()
                    gc.collect()
                    sizes.append(held(live, durations, but=[app]))
                durations._began.clear()
            return sizes[1] - sizes[0]

        return grows

    @pytest.mark.parametrize(
        "kind", ["add", "fails", "retries", "ignores", "rejects", "publishes", "reports"]
    )
    def test_is_bounded(self, jobs, worker, grows, kind):
        """Whatever a worker runs for months, it keeps no more than it was told to."""

        def work():
            getattr(jobs, kind).delay()
            worker.drain()

        assert grows(work) < 60

    def test_of_apply(self, jobs, grows):
        """Nor does a process in eager mode."""
        assert grows(jobs.add.apply) < 60

    def test_of_flows_that_go_on_elsewhere(self, jobs, worker, grows):
        """A chain whose next task another process takes leaves nothing behind in this one."""

        def work():
            chain(jobs.add.s(1), jobs.add.s(2)).delay()
            worker.step()
            worker.queue.purge()

        assert grows(work) < 60

    def test_of_canvases(self, jobs, worker, grows):
        """Families of tasks are forgotten with them."""

        def work():
            chord([jobs.add.s(1) | jobs.add.s(2), jobs.add.s(3)], jobs.total.s()).delay()
            worker.drain()

        assert grows(work, 20) < 60

    def test_of_a_task_that_publishes_thousands(self, app, jobs, worker, live):
        """One flow may be of any size; it is known as far as at_most goes."""
        sizes = []
        for n in (100, 300):
            jobs.publishes.delay(n)
            worker.drain()
            gc.collect()
            sizes.append(held(live, but=[app]))
        assert sizes[1] - sizes[0] < 60

    @pytest.mark.parametrize(("tells", "later"), [(False, 0), (True, 2)])
    def test_values_are_forgotten(self, app, jobs, tells, later):
        """What a task was called with is garbage: at once, or where stories are told, later."""
        alive = []

        class Row:
            def __init__(self):
                alive.append(1)

            def __del__(self):
                alive.pop()

        @app.task(name="reads")
        def reads(row):
            return 1

        with CeleryEngine(app, at_most=2) as live:
            if tells:
                FailureFormatter(live)
            reads.apply((Row(),))
            for _ in range(later):
                jobs.add.apply()
            gc.collect()
            assert alive == []

    @pytest.mark.parametrize(("job", "state"), [("add", "SUCCESS"), ("fails", "FAILURE")])
    def test_results_are_there_while_they_are_told(self, jobs, worker, live, job, state):
        """A listener that is told of an end finds in the storage what it is told."""
        found = []

        def tell(state, details):
            name = details["task_name"]
            found.append((str(live.storage.get_execute_result(name)), str(details["result"])))

        live.atom_notifier.register(state, tell)
        getattr(jobs, job).delay()
        worker.drain()
        ((stored, told),) = found
        # What was stored of an exception has its arguments as JSON does.
        assert stored.replace("[", "(").replace("]", ")") == told

    def test_backends_of_threads(self, app, jobs, live):
        """Each thread has a backend of its own, with its connections: they go with the thread."""
        made = []

        def use():
            app.backend.store_result("some-task", 1, "SUCCESS")
            made.append(weakref.ref(app.backend))

        for _ in range(5):
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
        del thread
        gc.collect()
        assert [each() for each in made] == [None] * 5

    @pytest.mark.parametrize("reports", [False, True])
    def test_a_task_that_runs_is_not_forgotten(self, app, jobs, worker, reports):
        """The oldest go first: of those that have ended."""
        with CeleryEngine(app, at_most=1) as live, Heard(live) as heard:

            @app.task(name="outer", bind=True)
            def outer(self):
                if reports:
                    self.update_state(state="PROGRESS", meta={"current": 1})
                jobs.add.apply()
                jobs.add.apply()

            outer.delay()
            worker.drain()
        before = "PROGRESS" if reports else "RUNNING"
        assert heard.of("task")[-1] == f"outer {before} -> SUCCESS"
        assert [each for each in heard.of("flow") if "outer" in each] == [
            "outer PENDING -> RUNNING",
            "outer RUNNING -> SUCCESS",
        ]

    def test_an_engine_that_left_is_garbage(self, app, jobs, worker):
        """The app holds nothing of it."""
        live = CeleryEngine(app)
        with live:
            jobs.reports.delay()
            worker.drain()
        gone = weakref.ref(live)
        del live
        gc.collect()
        assert gone() is None


# -- tasks of other processes ----------------------------------------------------------------------


@pytest.mark.parametrize("extended", [False, True])
class TestElsewhere:
    @pytest.fixture
    def app(self, make_app, tmp_path, extended):
        """An app whose results all processes have."""
        return make_app(backend=f"file://{tmp_path}", result_extended=extended)

    def test_a_task_that_has_ended(self, app, jobs, worker, extended):
        """Is found by its id; with `result_extended` its name and arguments too."""
        result = jobs.add.delay(1, y=2)
        worker.drain()
        atom = CeleryEngine(app).storage.find(result.id)
        assert (atom.uuid, atom.state, atom.last.result) == (result.id, "SUCCESS", 3)
        assert atom.name == ("add" if extended else None)
        assert (atom.args, atom.kwargs) == (([1], {"y": 2}) if extended else (None, None))

    def test_a_task_that_failed(self, app, jobs, worker, extended):
        """With what it failed with."""
        result = jobs.fails.delay()
        worker.drain()
        storage = CeleryEngine(app).storage
        failure = storage.get_execute_result(result.id)
        assert failure.exc_type_names[0] == "ValueError"
        assert "in fails" in failure.traceback_str

    def test_a_task_that_runs(self, app, extended):
        """With its last report."""
        app.backend.store_result("running", {"current": 1, "total": 4}, "PROGRESS")
        storage = CeleryEngine(app).storage
        assert storage.get_atom_state("running") == "PROGRESS"
        assert storage.get_task_progress("running") == 0.25

    def test_a_task_that_nobody_knows(self, app, extended):
        """PENDING is what a backend says of any id."""
        with pytest.raises(NotFound):
            CeleryEngine(app).storage.find("unknown")

    @pytest.mark.parametrize("wrong", [None, 5, ""], ids=repr)
    def test_what_is_no_id(self, app, extended, wrong):
        """Is not found."""
        with pytest.raises(NotFound):
            CeleryEngine(app).storage.find(wrong)

    def test_a_backend_that_is_down(self, app, extended, monkeypatch):
        """What cannot be read is not known."""
        monkeypatch.setattr(app.backend, "get_task_meta", _down)
        with pytest.raises(NotFound):
            CeleryEngine(app).storage.find("unknown")

    def test_what_is_recorded_of_it(self, app, jobs, worker, extended):
        """Is kept as of any other task."""
        result = jobs.add.delay(1)
        worker.drain()
        storage = CeleryEngine(app).storage
        storage.update_atom_metadata(result.id, {"seen": True})
        assert storage.get_atom_metadata(result.id) == {"seen": True}

    def test_the_story_of_a_failure(self, app, jobs, worker, extended):
        """Tells of the predecessor that another process ran."""
        chain(jobs.add.s(1), jobs.fails.s()).delay()
        worker.step()
        stories = []
        with CeleryEngine(app) as live:
            formatter = FailureFormatter(live)

            def tell(state, details):
                uuid = details["task_uuid"]
                stories.append(
                    formatter.format(details["result"], lambda node: node.item.uuid == uuid)
                )

            live.atom_notifier.register("FAILURE", tell)
            worker.drain()
        ((exc_info, story),) = stories
        assert exc_info[0] is ValueError
        assert "Failed: Task 'fails'" in story
        assert "1 predecessor" in story
        assert ("Task 'add'" in story) is extended
        assert "result 2" in story

    def test_the_story_hides_what_another_process_gave(self, app, worker, extended, caplog):
        """Arguments that come from a hidden task of another process are seen nowhere."""

        @app.task(name="signs_in")
        def signs_in():
            return "s3cret-token"

        @app.task(name="uses")
        def uses(token):
            raise ValueError(f"{token} has expired")

        chain(signs_in.s(), uses.s()).delay()
        worker.step()
        with (
            CeleryEngine(app) as live,
            DynamicLoggingListener(live, hide_inputs_outputs_of=["signs_in"]),
            caplog.at_level("DEBUG", "pytest_taskprogress"),
        ):
            worker.drain()
        said = "\n".join(
            each.getMessage() + str(each.exc_text)
            for each in caplog.records
            if each.name.startswith("pytest_taskprogress")
        )
        assert "Failed: Task 'uses'" in said
        assert "s3cret-token" not in said


def _down(*args, **kwargs):
    raise ConnectionError("no route")


# -- listeners of production -----------------------------------------------------------------------


def test_logging_and_durations(jobs, worker, live, caplog):
    """LoggingListener and DurationListener serve a plain app."""
    with (
        LoggingListener(live),
        DurationListener(live),
        caplog.at_level("DEBUG", "pytest_taskprogress"),
    ):
        jobs.reports.delay()
        worker.drain()
    said = [each.getMessage() for each in caplog.records if each.name.endswith("listeners.logging")]
    assert len(said) == 6
    assert said[2].startswith("<CeleryEngine on live> has moved task 'reports' (")
    assert said[2].endswith("into state 'PROGRESS' from state 'RUNNING': 50 %")
    assert live.storage.get_atom_metadata("reports")["duration"] >= 0.0
    assert (
        live.storage.flow_meta["duration"] >= live.storage.get_atom_metadata("reports")["duration"]
    )


def test_capture(jobs, worker, live):
    """CaptureListener captures a worker as it does an engine."""
    with CaptureListener(live) as captured:
        jobs.add.delay()
        worker.drain()
    assert len(captured.values) == 4


def test_threads(app, jobs, live):
    """Four workers in threads, one engine: nothing is lost, nothing is told twice."""
    heard = Heard(live)
    heard.register()
    for _ in range(100):
        jobs.reports.delay()

    def work():
        worker = Worker(app)
        worker.drain()
        worker.connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    heard.deregister()
    assert len(heard.said) == 600
    writes = heard.writes()
    assert sorted(each.index for each in writes) == list(range(300))
    assert len({each.uuid for each in writes}) == 100
