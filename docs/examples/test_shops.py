"""Apps of every kind."""

from types import SimpleNamespace

import pytest
import shops
from celery import Celery, chord
from shops import pick, sell, warehouse

from pytest_taskprogress import EagerEngine


@pytest.fixture(scope="session")
def taskprogress_app():
    """The app of most tests."""
    return shops.shop


@pytest.fixture
def in_warehouse():
    """An engine for the other app; function scope gives every test a new one."""
    with EagerEngine(warehouse) as engine:
        yield engine


def test_two_apps(taskprogress, in_warehouse):
    """Each engine has a line of messages, results, a history and a clock of its own."""
    run = taskprogress.run(sell, "pen")

    assert pick.AsyncResult(run.result).get() == "pen is packed"
    assert taskprogress.history.of("shops.sell") == ["SUCCESS"]
    assert in_warehouse.history.of("shops.pick") == ["SUCCESS"]
    assert len(taskprogress.history) == len(in_warehouse.history) == 1


def test_a_warehouse_that_is_closed(taskprogress, in_warehouse):
    """One of them may pause while the other goes on."""
    with in_warehouse.paused():
        run = taskprogress.run(sell, "ink")
        assert pick.AsyncResult(run.result).state == "PENDING"
    assert pick.AsyncResult(run.result).state == "SUCCESS"


def test_django_settings():
    """Settings with a prefix, of a project whose tests are in eager mode until now."""
    settings = SimpleNamespace(
        CELERY_TASK_ALWAYS_EAGER=True,
        CELERY_TASK_TRACK_STARTED=True,
    )
    app = Celery("project", set_as_current=False)
    app.config_from_object(settings, namespace="CELERY")

    @app.task(shared=False)
    def publish():
        return "published"

    with EagerEngine(app) as engine:
        assert engine.run(publish).states == ["STARTED", "SUCCESS"]
    assert app.conf.task_always_eager


def test_configured_late():
    """An app may get its settings and tasks while the engine is there; the settings go with it."""
    app = Celery("late", set_as_current=False)
    with EagerEngine(app) as engine:
        app.conf.task_track_started = True

        @app.task(shared=False)
        def publish():
            return "published"

        assert engine.run(publish).states == ["STARTED", "SUCCESS"]
    assert not app.conf.task_track_started


def test_a_chord_needs_a_result_backend():
    """Where the app has none, a chord is refused, as in production; give it one."""
    app = Celery("sums", set_as_current=False)

    @app.task(shared=False)
    def add(*numbers):
        return len(numbers)

    with (
        EagerEngine(app) as engine,
        pytest.raises(NotImplementedError, match="set result_backend"),
    ):
        engine.run(chord([add.s(1), add.s(2)], add.s()))

    app.conf.result_backend = "taskprogress://"
    with EagerEngine(app) as engine:
        assert engine.run(chord([add.s(1), add.s(2)], add.s())).result == 1
