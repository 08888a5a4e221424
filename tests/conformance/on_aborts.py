"""Celery's tests of its abortable tasks on ours: a pytest plugin.

Loaded by `-p on_aborts --on-aborts ours`. Our classes take the place of Celery's in the modules of
the tests; in Celery itself nothing is changed. `--on-aborts celery` changes nothing at all, and is
what ours are compared with.
"""

from __future__ import annotations

import pytest

import pytest_taskprogress

#: Classes that the modules of tests import.
_REPLACED = ("AbortableTask", "AbortableAsyncResult")


def pytest_addoption(parser):
    """Add the option that chooses the classes."""
    parser.addoption("--on-aborts", choices=["ours", "celery"], required=True)


def pytest_collection_finish(session):
    """Replace the classes in the modules of all tests that were found."""
    if session.config.getoption("--on-aborts") == "celery":
        return
    for module in {item.module for item in session.items}:
        for name in _REPLACED:
            # A test that imports them no more is one to look at.
            assert hasattr(module, name), f"{module.__name__} has no {name}"
            setattr(module, name, getattr(pytest_taskprogress, name))


@pytest.fixture(autouse=True)
def applies(request, record_property):
    """Record whether the task that a test makes is one of ours."""
    yield
    task = getattr(request.instance, "abortable", None)
    ours = isinstance(task, pytest_taskprogress.AbortableTask)
    record_property("ours", ours)
