"""Apps of every kind: two in one test, configured late, in eager mode, with a namespace."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from celery import Celery, current_app, shared_task
from celery._state import _on_app_finalizers

from pytest_taskprogress import EagerEngine


@pytest.fixture
def shared():
    """Decorate tasks as a library does; they are nobody's afterwards."""
    before = set(_on_app_finalizers)
    yield shared_task
    _on_app_finalizers.intersection_update(before)


class TestTwoApps:
    def test_side_by_side(self, app):
        """Each engine has its own line of work, backend, clock and history."""
        other = type(app)("other", backend="redis://", set_as_current=False)

        @app.task
        def here(x):
            return ["here", x]

        @other.task
        def there(x):
            return ["there", x]

        with EagerEngine(app) as engine, EagerEngine(other) as second:
            with second.paused():
                waits = there.apply_async((1,), countdown=5)
                assert here.delay(1).get() == ["here", 1]
                assert waits.state == "PENDING"
            assert waits.get() == ["there", 1]
            assert (len(engine.history), len(second.history)) == (1, 1)
            assert (engine.clock.monotonic(), second.clock.monotonic()) == (0.0, 5.0)

    def test_one_that_calls_the_other(self, app):
        """A task of one app may publish to the other, whose own worker runs it at once."""
        other = type(app)("other", backend="redis://", set_as_current=False)

        @other.task(bind=True)
        def there(self, x):
            return [self.app.main, x]

        @app.task(bind=True)
        def here(self, x):
            result = there.delay(x)
            return [self.app.main, result.get(disable_sync_subtasks=False)]

        with EagerEngine(app) as engine, EagerEngine(other):
            assert engine.run(here, 1).result == ["tests", ["other", 1]]
            assert there.delay(2).get() == ["other", 2]

    def test_both_are_left(self, app):
        """Each app is as it was, and so is the current one."""
        other = type(app)("other", backend="redis://", set_as_current=False)
        before = app.conf.table(), other.conf.table(), current_app._get_current_object()
        with EagerEngine(app):
            with EagerEngine(other):
                assert current_app._get_current_object() is other
            assert current_app._get_current_object() is app
        assert (app.conf.table(), other.conf.table(), current_app._get_current_object()) == before


def one():
    """A task."""
    return 1


class TestLibraries:
    def test_the_current_app(self, app, shared):
        """A library that asks for the current app gets the one that the engine is on."""

        @shared(name="library.current")
        def of_a_library():
            return current_app.main

        with EagerEngine(app) as engine:
            assert of_a_library.delay().get() == "tests"
            assert engine.run(of_a_library).result == "tests"
            assert engine.run(current_app.signature(of_a_library.name)).result == "tests"

    def test_its_tasks_on_two_apps(self, app, shared):
        """A shared task is another task on each app; the inner engine is the current one."""
        other = type(app)("other", backend="redis://", set_as_current=False)

        @shared(name="library.both")
        def of_a_library():
            return current_app.main

        with EagerEngine(app) as engine:
            with EagerEngine(other) as second:
                assert of_a_library.delay().get() == "other"
                assert len(second.history) == 1
            assert of_a_library.delay().get() == "tests"
            assert len(engine.history) == 1


class TestConfiguration:
    def test_later(self):
        """An app may be configured after the engine was put on it; that is gone afterwards."""
        app = Celery("late", set_as_current=False)
        app.task(name="one", shared=False)(one)
        with EagerEngine(app) as engine:
            app.config_from_object(
                {
                    "task_always_eager": True,
                    "task_track_started": True,
                    "result_backend": "redis://",
                }
            )

            @app.task(name="two", shared=False)
            def two():
                return 2

            assert engine.run(app.tasks["two"]).states == ["STARTED", "SUCCESS"]
            assert two.delay().get() == 2
            assert app.conf["task_always_eager"] is True
        assert app.conf.result_backend is None
        assert app.conf.task_always_eager is False

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_eager_mode(self, app, when):
        """Apps whose tests are in eager mode already run on the engine all the same."""

        @app.task(bind=True)
        def task(self):
            return self.request.is_eager

        if when == "before":
            app.conf.task_always_eager = True
            app.conf.task_eager_propagates = True
        with EagerEngine(app) as engine:
            if when == "after":
                app.conf.task_always_eager = True
            assert engine.run(task).result is False
            assert task.delay().get() is False
            assert len(engine.history) == 2
        assert app.conf.task_always_eager is (when == "before")

    def test_a_namespace(self, monkeypatch):
        """Settings with a prefix, as Django projects have them."""
        settings = types.ModuleType("a_django_settings")
        settings.CELERY_RESULT_BACKEND = "redis://nowhere"
        settings.CELERY_TASK_TRACK_STARTED = True
        settings.CELERY_TASK_ALWAYS_EAGER = True
        settings.CELERY_TASK_ROUTES = {"one": {"queue": "slow"}}
        settings.TASK_TRACK_STARTED = False
        monkeypatch.setitem(sys.modules, settings.__name__, settings)
        app = Celery("django-like", set_as_current=False)
        app.config_from_object(settings.__name__, namespace="CELERY")

        @app.task(name="one", bind=True, shared=False)
        def routed(self):
            self.app.conf.task_routes["one"]["queue"] = "changed"
            return self.request.delivery_info["routing_key"]

        with EagerEngine(app) as engine:
            run = engine.run(routed)
        assert run.states == ["STARTED", "SUCCESS"]
        assert run.result == "slow"
        assert settings.CELERY_TASK_ROUTES == {"one": {"queue": "slow"}}
        assert app.conf.task_always_eager is True


PROGRAM = """
from celery import Celery, chain, chord, group
from pytest_taskprogress import EagerEngine, Observer

app = Celery("program", backend="redis://", set_as_current=False)
app.conf.task_track_started = True
app.conf.beat_schedule = {name: {"task": "add", "schedule": 5, "args": (1, 1)} for name in "dcba"}

@app.task(bind=True, name="work", max_retries=2)
def work(self, names):
    observer = Observer(self)
    for name in observer.track(sorted(names), "Working"):
        pass
    if self.request.retries < 2:
        raise self.retry(countdown=10 - self.request.retries)
    return len(names)

@app.task(name="add", rate_limit="1/s")
def add(x, y=0):
    return x + y if not isinstance(x, list) else sum(x)

@app.task(name="fails")
def fails(*args):
    raise ValueError(len(args))

with EagerEngine(app) as engine:
    engine.run(chord([work.s(["a", "b"]), add.s(1, 2), chain(add.s(1), add.s(2))], add.s()))
    run = engine.run(chord([fails.s(), fails.s(1), fails.s(1, 2)], add.s()))
    engine.beat(until=engine.clock.monotonic() + 10)
    group(add.s(n) for n in range(5)).delay().get()
    ids = {}
    for each in engine.history:
        print(ids.setdefault(each.uuid, len(ids)), each.index, each.name, each.old_state)
        print(each.state, sorted(each.meta), each.at, each.stored, each.source and each.source.line)
    print(run.exception, "|", run.state)
"""


def test_the_same_history_in_every_process():
    """Same program, same history: whatever the seed of Python's hashes, and each time anew."""
    histories = set()
    for seed in ("0", "1", "2", "random"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        histories.add(done.stdout)
    assert len(histories) == 1
    assert histories.pop().count("\n") > 40
