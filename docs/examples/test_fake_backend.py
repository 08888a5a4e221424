"""The result backend in memory, with an engine and without one."""

import pytest
from celery import Celery
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import EncodeError
from reporting import deploy

from pytest_taskprogress import FakeBackend, VirtualClock


@pytest.fixture
def app():
    """An app that stores its results in memory; no engine, no worker."""
    return Celery("shop", backend="taskprogress://", set_as_current=False)


def test_counters(taskprogress, taskprogress_backend):
    """Writes and reads are counted, by task id."""
    run = taskprogress.run(deploy, "v7")

    assert taskprogress_backend.writes[run.task_id] == 4
    before = taskprogress_backend.reads[run.task_id]
    assert deploy.AsyncResult(run.task_id).state == "SUCCESS"
    assert taskprogress_backend.reads[run.task_id] == before + 1


def test_without_an_engine(app):
    """It is a result backend as others are, found by its URL."""
    assert isinstance(app.backend, FakeBackend)
    app.backend.store_result("id-1", {"percent": 50.0}, "PROGRESS")

    result = app.AsyncResult("id-1")
    assert (result.state, result.info) == ("PROGRESS", {"percent": 50.0})


def test_a_subscriber(app):
    """A subscriber is told every write, also one that is dropped because a SUCCESS is final."""
    heard = []
    app.backend.subscribe(heard.append)
    app.backend.store_result("id-1", 42, "SUCCESS")
    app.backend.store_result("id-1", {"percent": 99.0}, "PROGRESS")

    assert [(each.old_state, each.state, each.stored) for each in heard] == [
        ("PENDING", "SUCCESS", True),
        ("SUCCESS", "PROGRESS", False),
    ]
    assert app.AsyncResult("id-1").get() == 42


def test_a_value_that_no_front_end_could_read(app):
    """What the serialiser refuses is refused at the write, with the path to it."""
    with pytest.raises(EncodeError, match=r"\['rows'\]\[1\]"):
        app.backend.store_result("id-1", {"rows": [1, object()]}, "PROGRESS")
    assert app.AsyncResult("id-1").state == "PENDING"


def test_expiry(app):
    """Records expire by the clock that the backend was given."""
    clock = VirtualClock()
    backend = FakeBackend(app, clock=clock)
    backend.store_result("id-1", 42, "SUCCESS")
    assert backend.get_state("id-1") == "SUCCESS"

    clock.advance(app.conf.result_expires.total_seconds() + 1)
    assert backend.get_state("id-1") == "PENDING"


def test_another_url():
    """The URL has no host and no path."""
    app = Celery("shop", backend="taskprogress://localhost", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match="expected 'taskprogress://'"):
        app.backend  # noqa: B018 - it is made when it is asked for
