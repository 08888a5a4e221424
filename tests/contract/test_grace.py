"""`abort(grace=...)` on a real worker, whose processes can be killed: prefork, over Redis."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import group
from celery.exceptions import TaskRevokedError

from pytest_taskprogress import TaskAborted, abort
from tests.servers import close_client

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

WaitFor = Callable[[str], None]


@pytest.fixture(scope="module")
def worker(redis_url: str) -> Iterator[tuple[Any, WaitFor]]:
    """The app of a worker of two processes, and what waits for a line that it prints."""
    environment = {"GRACEFUL_URL": redis_url, "GRACEFUL_QUEUE": f"graceful-{uuid4().hex}"}
    command = [sys.executable, "-m", "celery", "-A", "tests.contract.graceful", "worker"]
    options = ["-c", "2", "-P", "prefork", "--without-gossip", "--without-mingle", "-l", "info"]
    process = subprocess.Popen(
        [*command, *options],
        env={**os.environ, **environment, "C_FORCE_ROOT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def wait_for(text: str) -> None:
        assert any(text in line for line in process.stdout or ()), f"the worker ended before {text}"

    with process, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        app = importlib.import_module("tests.contract.graceful").app
        try:
            wait_for(" ready.")
            yield app, wait_for
        finally:
            process.terminate()
            process.communicate()
            close_client(app.backend)
            app.close()


def test_a_task_that_looks_ends_in_its_grace(worker: tuple[Any, WaitFor]) -> None:
    """Who aborts goes on as soon as it has ended."""
    app, wait_for = worker
    result = app.tasks["tests.contract.graceful.polite"].delay()
    wait_for("polite runs")
    assert result.abort(grace=30)
    assert (result.state, result.ready()) == ("ABORTED", True)
    with pytest.raises(TaskAborted):
        result.get(timeout=30)
    result.forget()


def test_a_task_that_does_not_look_is_killed(worker: tuple[Any, WaitFor]) -> None:
    """Of a group only the one that had not ended by then."""
    app, wait_for = worker
    tasks = [app.tasks[f"tests.contract.graceful.{name}"] for name in ("deaf", "polite")]
    result = group(task.si() for task in tasks).apply_async()
    wait_for(" runs")
    wait_for(" runs")
    assert abort(result, grace=1)
    deaf, polite = result.results
    with pytest.raises(TaskRevokedError):
        deaf.get(timeout=30)
    assert (deaf.state, polite.state) == ("REVOKED", "ABORTED")
    result.forget()
