"""What the tests of all parts need: an app whose tasks are its own."""

from __future__ import annotations

import inspect

import pytest
from celery import Celery, _state

from pytest_taskprogress import AbortableTask, EagerEngine
from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.engines import judging
from tests.servers import (  # noqa: F401 - fixtures
    mariadb_url,
    memcached_url,
    postgres_url,
    redis_url,
)


def _shares_abortable(finalizer):
    """Whether it brings an AbortableTask to every app: of `shared_task`, or of `app.task`."""
    made_of = inspect.getclosurevars(finalizer).nonlocals
    options = made_of.get("options") or made_of.get("opts") or {}
    return issubclass(options.get("base") or object, AbortableTask)


class IsolatedApp(Celery):
    """A Celery app that shares no tasks, and has no AbortableTask but its own.

    One that any module shares would change the results of every app.
    """

    def __init__(self, *args, **options):
        self._foreign = {each for each in _state._on_app_finalizers if _shares_abortable(each)}
        super().__init__(*args, **options)

    def finalize(self, *args, **kwargs):
        """`Celery.finalize`, without those that modules have shared, such as examples."""
        shared = set(_state._on_app_finalizers)
        _state._on_app_finalizers -= self._foreign
        try:
            super().finalize(*args, **kwargs)
        finally:
            _state._on_app_finalizers |= shared

    def task(self, *args, **options):
        """`Celery.task`, with `shared=False`."""
        return super().task(*args, **{"shared": False, **options})


@pytest.fixture(autouse=True)
def _lenient(monkeypatch):
    """Engines of tests judge by little: tests run tasks that report as no task should.

    What the contract says has tests of its own, which give their engines one.
    """
    lenient = Contract().only("no-zombie", "abort-survives")
    monkeypatch.setattr(judging.process, "contract", lenient)


@pytest.fixture
def no_shared_tasks(monkeypatch):
    """Apps have no `shared_task` of modules that other tests have imported, such as examples."""
    own = {each for each in _state._on_app_finalizers if each.__module__ == "celery.app.builtins"}
    monkeypatch.setattr(_state, "_on_app_finalizers", own)


@pytest.fixture
def app():
    """An app whose broker and backend do not exist."""
    return IsolatedApp(
        "tests", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False
    )


@pytest.fixture
def engine(app):
    """An eager engine on the app."""
    with EagerEngine(app) as engine:
        yield engine
