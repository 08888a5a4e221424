"""Running a function as a task, with the bases that an Observer meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Task

from pytest_taskprogress import EagerEngine, ProgressTask, TaskRun

Run = Callable[[Callable[[Any], object]], TaskRun]


def _runner(engine: EagerEngine, base: type[Task]) -> Run:
    def run(body: Callable[[Any], object]) -> TaskRun:
        name = f"tests.body_{len(engine.app.tasks)}"
        return engine.run(engine.app.task(body, bind=True, base=base, name=name, shared=False))

    return run


@pytest.fixture(params=[Task, ProgressTask], ids=["Task", "ProgressTask"])
def run(request: pytest.FixtureRequest, engine: EagerEngine) -> Run:
    """Run a function as a bound task, with either base."""
    return _runner(engine, request.param)


@pytest.fixture
def run_progress(engine: EagerEngine) -> Run:
    """Run a function as a bound ProgressTask."""
    return _runner(engine, ProgressTask)
