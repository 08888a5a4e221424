"""Installing an engine on an app and leaving it: nothing of it stays."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import celery
import kombu.pools
import pytest
from billiard import einfo
from celery import Task, chain, chord, group, signals
from celery._state import _tls
from celery.app import trace
from celery.utils import time as celery_time
from celery.worker import state as worker_state
from kombu import Exchange, Queue
from kombu.utils.uuid import uuid

from pytest_taskprogress import EagerEngine, Observer

FILES = Path("/proc/self/fd")
SIGNALS = {name: each for name, each in vars(signals).items() if hasattr(each, "receivers")}


def snapshot(app):
    """Everything that an engine could leave behind: in the app, in Celery, in the process."""
    gc.collect()
    return {
        "configuration": dict(app.conf.changes),
        "all settings": {key: app.conf[key] for key in app.conf},
        "app": {key: value for key, value in vars(app).items() if key != "_conf"},
        "backend": app._backend_cache,
        "backend of this thread": getattr(app._local, "backend", None),
        "pool": app._pool,
        "amqp": dict(vars(app.amqp)),
        "tasks": {
            name: {**vars(task), "class": dict(vars(type(task)))}
            for name, task in app.tasks.items()
        },
        "base task": dict(vars(Task)),
        "receivers": {name: list(each.receivers or ()) for name, each in SIGNALS.items()},
        "current app": vars(_tls).get("current_app"),
        "default app": celery._state.default_app,
        "current task": celery.current_task._get_current_object(),
        "join blocks": celery._state.task_join_will_block(),
        "patched": dict(trace._patched),
        "warnings of the tracer": trace.warn,
        "code of failed tasks": einfo._Frame.Code,
        "ids": uuid.__defaults__,
        "chance of retries": celery_time.random,
        "localized": list(trace._localized),
        "requests": dict(worker_state.requests),
        "active": list(worker_state.active_requests),
        "reserved": list(worker_state.reserved_requests),
        "revoked": set(worker_state.revoked),
        "revoked stamps": dict(worker_state.revoked_stamps),
        "counts": (dict(worker_state.total_count), list(worker_state.all_total_count)),
        "kombu connections": dict(kombu.pools.connections),
        "kombu producers": dict(kombu.pools.producers),
        "threads": set(threading.enumerate()),
        "open files": sorted(each.name for each in FILES.iterdir()) if FILES.is_dir() else [],
    }


@pytest.fixture
def used(app):
    """The app with tasks of many kinds, configured and finalised; and what runs them all."""

    @app.task(bind=True)
    def reports(self):
        Observer(self).update("half", current=50)

    @app.task(bind=True)
    def retries(self):
        if self.request.retries < 1:
            raise self.retry(countdown=60)

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def total(numbers):
        return sum(numbers)

    @app.task
    def fails():
        raise ValueError("broken")

    class Custom(Task):
        name = "custom"

        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

        def run(self):
            return add.delay(1, 2).id

    custom = app.register_task(Custom())
    reports.backend = object()
    # What Celery makes lazily, whoever asks first: it is no trace of an engine.
    app.finalize()
    assert (app.now(), app.timezone, app.uses_utc_timezone(), app.loader, app.oid) != ()
    for task in app.tasks.values():
        assert (task._get_exec_options(), task.app) != ()
    assert app.amqp.router.route({}, "x")
    for name in ("Producer", "default_exchange", "argsrepr_maxsize", "_event_dispatcher"):
        getattr(app.amqp, name, None)
    assert (app.thread_oid, app.AsyncResult, app.GroupResult, app.annotations) != ()
    assert app.amqp.send_task_message

    def use(engine):
        engine.run(reports)
        engine.run(retries)
        engine.run(fails)
        engine.run(custom)
        engine.run(chain(add.s(1, 2), add.s(3)))
        engine.run(group(add.s(1, 2), add.s(3, 4)))
        engine.run(chord([add.s(1, 2), add.s(3, 4)], total.s()))
        app.AsyncResult("x").state
        with engine.paused():
            add.delay(1, 2)
            add.apply_async((1, 2), countdown=30)
            engine.step()
        add.apply_async((1, 2), expires=1)
        worker_state.revoked.add("some-id")

    with EagerEngine(app) as engine:
        use(engine)  # once, so that what is lazy in Celery's modules and in the tasks is there
    return use


def differences(before, after):
    """What is not as it was, part by part."""
    return {
        part: (before[part], after[part]) for part in before if not _same(before[part], after[part])
    }


def _same(left, right):
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return left is right or left == right


def test_nothing_differs(app, used):
    """Configuration, pools, backend, tasks, signals, apps, threads and files are as before."""
    before = snapshot(app)
    with EagerEngine(app) as engine:
        used(engine)
        assert differences(before, snapshot(app))
    assert differences(before, snapshot(app)) == {}


def test_nothing_differs_after_an_exception(app, used):
    """An exception that leaves the block leaves nothing else."""
    before = snapshot(app)

    def interrupted():
        with EagerEngine(app) as engine:
            used(engine)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert differences(before, snapshot(app)) == {}


def test_nothing_differs_after_bad_input(app, used):
    """What is refused leaves nothing either."""
    before = snapshot(app)
    with EagerEngine(app) as engine, pytest.raises(TypeError):
        engine.run(3)
    with EagerEngine(app) as engine, pytest.raises(Exception, match="cannot encode"):
        engine.run(app.tasks["custom"], object())
    assert differences(before, snapshot(app)) == {}


def test_an_app_that_is_eager_already(app):
    """task_always_eager is off inside, and on again after."""
    app.conf.task_always_eager = True

    @app.task
    def add(x, y):
        return x + y

    with EagerEngine(app) as engine:
        assert not app.conf.task_always_eager
        assert engine.run(add, 1, 2).states == ["SUCCESS"]
    assert app.conf.task_always_eager


def test_settings_that_a_task_changes(app):
    """A task that changes the app's configuration does not change it for the next test."""

    @app.task
    def meddles():
        app.conf.task_track_started = True

    with EagerEngine(app) as engine:
        engine.run(meddles)
        assert app.conf.task_track_started
    assert not app.conf.task_track_started


def test_two_engines_on_two_apps(app):
    """Engines on different apps do not meet; the current app is that of the inner one."""
    other = type(app)("other", set_as_current=False)

    @app.task(name="who")
    def who_here():
        return celery.current_app.main

    @other.task(name="who")
    def who_there():
        return celery.current_app.main

    with EagerEngine(app) as outer:
        with EagerEngine(other) as inner:
            assert inner.run(who_there).result == "other"
            assert len(outer.history) == 0
        assert outer.run(who_here).result == "tests"


def test_real_connections_of_the_app(app, engine):
    """What asks the app for a connection gets one to the engine's broker."""

    @app.task
    def add(x, y):
        return x + y

    with app.connection() as connection:
        result = add.apply_async((1, 2), connection=connection)
    engine.drain()
    assert result.get() == 3
    with app.connection_or_acquire() as connection:
        assert connection.connected
    with app.connection_for_read() as connection:
        connection.default_channel.queue_declare("celery", passive=True)
        assert connection.default_channel.queue_purge("celery") == 0
    with app.connection_or_acquire() as connection:
        assert connection.connection.driver_version() == ""


def test_first_use(app):
    """The first use of an app leaves only what Celery itself makes lazily, and keeps."""

    @app.task(bind=True)
    def reports(self):
        Observer(self).update("half", current=50)

    assert app.amqp  # looked at by the snapshot
    assert app.control
    app.finalize()
    before = snapshot(app)
    with EagerEngine(app) as engine:
        engine.run(reports)
    found = {
        (part, name)
        for part, (old, new) in differences(before, snapshot(app)).items()
        for name in new
        if not _same(old.get(name), new[name])
    }
    assert found <= {("app", "tasks"), ("tasks", reports.name)}
    assert vars(reports._get_current_object()).keys() <= {"__qualname__", "_exec_options"}


def test_what_celery_made_of_settings(app):
    """Routes, queues, time zone and protocol of one test are not those of the next one."""

    @app.task(name="a")
    def a():
        return 1

    @app.task(bind=True, name="b")
    def b(self):
        return self.request.delivery_info["routing_key"]

    with EagerEngine(app) as engine:
        app.conf.update(
            task_routes={"b": {"queue": "first"}}, timezone="Europe/Paris", task_protocol=1
        )
        assert engine.run(b).result == "first"
        assert str(app.timezone) == "Europe/Paris"
    assert str(app.timezone) == "UTC"
    assert set(app.amqp.queues) == {"celery"}
    assert app.amqp.create_task_message == app.amqp.as_task_v2
    with EagerEngine(app) as engine:
        assert engine.run(b).result == "celery"
        assert set(app.amqp.queues) == {"celery"}


def test_settings_that_changed_in_between(app):
    """Settings that a fixture changes between two tests are used by the second one."""

    @app.task(bind=True, name="b")
    def b(self):
        return self.request.delivery_info["routing_key"]

    with EagerEngine(app) as engine:
        assert engine.run(b).result == "celery"
    amqp = app.amqp
    app.conf.task_routes = {"b": {"queue": "second"}}
    with EagerEngine(app) as engine:
        assert engine.run(b).result == "second"
    assert app.amqp is amqp


def test_what_a_project_set_on_amqp(app):
    """What a project changed by itself is there in the engine too."""
    app.amqp.argsrepr_maxsize = 10
    app.amqp.queues.add(Queue("mine", Exchange("mine-exchange", "topic"), routing_key="mine"))

    @app.task(bind=True, name="b")
    def b(self):
        return [self.request.delivery_info["exchange"], self.app.amqp.argsrepr_maxsize]

    queues = app.amqp.queues
    with EagerEngine(app) as engine:
        assert engine.run(b.s().set(queue="mine")).result == ["mine-exchange", 10]
        engine.run(b.s().set(queue="made up"))
    assert app.amqp.queues is queues
    assert set(queues) == {"celery", "mine"}


def test_routes_that_were_used_before(app):
    """Routes of a test do not reach a router that the app had before."""
    app.task(lambda_free, name="b")
    assert app.amqp.router
    with EagerEngine(app):
        app.conf.update(task_routes={"b": {"queue": "first"}})
    assert app.amqp.router.route({}, "b")["queue"].name == "celery"


def lambda_free():
    """A task."""


def test_nothing_is_kept(app):
    """An app that had many engines is not larger than one that had few."""

    @app.task
    def add(x, y):
        return x + y

    def objects(times):
        for _ in range(times):
            with EagerEngine(app) as engine:
                engine.run(add, 1, 2)
                left = weakref.ref(engine)
            del engine
        gc.collect()
        assert left() is None
        return len(gc.get_objects())

    objects(5)
    assert abs(objects(5) - objects(30)) < 25


def test_files_of_failed_tasks(app):
    """The same lines of two files are told apart where their tasks fail."""
    seen = []

    class Failing(Task):
        def on_failure(self, exc, task_id, args, kwargs, einfo):
            step = einfo.tb
            while step.tb_next is not None:
                step = step.tb_next
            seen.append(step.tb_frame.f_code.co_filename)

    with EagerEngine(app) as engine:
        for name in ("one.py", "other.py"):
            found = {}
            code = compile("def work():\n    raise ValueError", name, "exec")
            exec(code, found)  # noqa: S102 - of a file that need not be there
            engine.run(app.task(found["work"], name=name, base=Failing))
    assert seen == ["one.py", "other.py"]
