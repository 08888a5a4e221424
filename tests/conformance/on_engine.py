"""Celery's integration tests with the engine in place of their worker: a pytest plugin.

Loaded by `-p on_engine` before Celery's own conftest, whose fixtures and tests stay as they are.
Two things are replaced:

* where Celery's fixture `celery_session_worker` starts a worker, the engine is installed on the
  worker's app, and the app that tests publish with is that app: the broker of an engine belongs to
  one app, while on Redis two apps meet by its URL;
* where a test or a task sleeps, or reads the time, it is the engine's. A worker works in the
  background: what is published waits, and is run while the test sleeps or waits for a result.
"""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager

import pytest
from celery.contrib import pytest as celery_fixtures
from celery.contrib.testing import worker

from pytest_taskprogress import EagerEngine


@contextmanager
def engine_as_worker(app, loglevel=worker.WORKER_LOGLEVEL, logfile=None, **_):
    """Install an engine on the worker's app; in place of `start_worker`."""
    worker.setup_app_for_worker(app, loglevel, logfile)
    with EagerEngine(app) as engine:
        yield engine


@pytest.fixture
def celery_app(celery_session_app):
    """The worker's app; what a test configures is taken back after it."""
    changes = celery_session_app.conf.changes
    before = dict(changes)
    yield celery_session_app
    changes.clear()
    changes.update(before)


# Celery's conftest imports the one, its fixture `celery_session_worker` looks up the other.
celery_fixtures.celery_app = celery_app
worker.start_worker = engine_as_worker


class EngineTime:
    """The module `time`, of which a test uses some functions, by the engine's clock."""

    def __init__(self, engine):
        self._engine = engine
        self._readings = 0

    def __getattr__(self, name):
        """What is not about time that passes is the module's own."""
        return getattr(time, name)

    def sleep(self, seconds):
        """Let the worker work for some seconds."""
        self._engine.drain(until=self._engine.clock.monotonic() + seconds)

    def monotonic(self):
        """Seconds; as on a machine, no two readings are the same."""
        self._readings += 1
        return self._engine.clock.monotonic() + self._readings * 1e-9

    perf_counter = monotonic

    def time(self):
        """Seconds since 1970."""
        return self._engine.clock.time()


def datetime_by(clock):
    """A `datetime` that knows what time a clock has."""

    class EngineDatetime(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            """The date and time; naive ones are in local time."""
            local = clock.now().astimezone(tz)
            return local if tz else local.replace(tzinfo=None)

    return EngineDatetime


@pytest.fixture(autouse=True)
def worker_in_background(request, celery_session_worker, monkeypatch):
    """What a test publishes waits until the test does; sleeping takes no time."""
    engine = celery_session_worker
    engine_time = EngineTime(engine)
    # What Celery 5.5 imports from the module, 5.7 looks up in it.
    for name in ("sleep", "monotonic", "perf_counter"):
        if hasattr(request.module, name):
            monkeypatch.setattr(request.module, name, getattr(engine_time, name))
    monkeypatch.setattr(request.module, "time", engine_time, raising=False)
    monkeypatch.setattr(request.module, "datetime", datetime_by(engine.clock))
    # A task's sleep keeps the worker busy; Celery's test manager sleeps between two looks.
    monkeypatch.setattr("t.integration.tasks.sleep", engine.clock.advance)
    monkeypatch.setattr("kombu.utils.functional.sleep", engine_time.sleep)
    with engine.paused():
        yield
