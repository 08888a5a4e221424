"""A user's project, for pytester: an app with tasks, and a conftest that names it."""

from __future__ import annotations

import itertools

import pytest

_NUMBER = itertools.count(1)

TASKS = """
from celery import Celery
from pytest_taskprogress import Observer, ProgressTask

app = Celery("{name}", broker="redis://nowhere", backend="redis://nowhere")

@app.task(bind=True, base=ProgressTask, shared=False)
def import_users(self, rows):
    observer = Observer(self)
    for row in observer.track(rows, "Importing users"):
        pass
    _, meta = observer.success("Imported %d users", len(rows))
    return meta

@app.task(shared=False)
def add(x, y):
    return x + y

@app.task(shared=False)
def again():
    again.delay()
"""

CONFTEST = """
import pytest
from {name} import app

@pytest.fixture(scope="session")
def taskprogress_app():
    return app
"""


@pytest.fixture
def project(pytester):
    """A project with a module of tasks; returns its name. Each has another one."""
    name = f"proj{next(_NUMBER)}"
    pytester.makepyfile(**{name: TASKS.format(name=name)})
    pytester.makeconftest(CONFTEST.format(name=name))
    pytester.syspathinsert()
    return name
