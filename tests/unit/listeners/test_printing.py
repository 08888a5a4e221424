"""The listener that prints."""

from __future__ import annotations

import re

import pytest

from pytest_taskprogress import AbortableTask, Observer
from pytest_taskprogress.listeners import PrintingListener
from pytest_taskprogress.scenario import Abort, at_report


@pytest.fixture
def load(app):
    """A task that reports twice; `total` None: it does not know of how many."""

    @app.task(name="load", bind=True, base=AbortableTask)
    def load(self, total=2):
        observer = Observer(self)
        observer.update("Loading %s", "joe", total=total)
        observer.update("", total=total)
        return total

    return load


@pytest.fixture
def flaky(app):
    """A task that retries once and fails."""

    @app.task(name="flaky", bind=True, max_retries=1)
    def flaky(self):
        raise self.retry(exc=ValueError("broken"), countdown=30)

    return flaky


@pytest.fixture
def printed(engine, capsys):
    """Run something, and return the lines that were printed, without ids and the engine."""

    def printed(*args, stream="out", **options):
        with PrintingListener(engine, **options):
            engine.run(*args)
        text = getattr(capsys.readouterr(), stream)
        return re.sub(r" \([-0-9a-f]{36}\)", "", text.replace(f"{engine!r} has ", "")).splitlines()

    return printed


def test_what_is_printed(printed, load):
    """Each event is a line: of a report percentage and description, of an end the result."""
    result = " with result '2' (failure=False)"
    assert printed(load) == [
        "moved flow 'load' into state 'RUNNING' from state 'PENDING'",
        "moved task 'load' into state 'RUNNING' from state 'PENDING'",
        "moved task 'load' into state 'PROGRESS' from state 'RUNNING': 50 %, Loading joe",
        "moved task 'load' into state 'PROGRESS' from state 'PROGRESS': 100 %",
        f"moved task 'load' into state 'SUCCESS' from state 'PROGRESS'{result}",
        "moved flow 'load' into state 'SUCCESS' from state 'RUNNING'",
    ]


def test_ids(engine, load, capsys):
    """Lines have the engine and the id, which tell tasks of one name apart."""
    with PrintingListener(engine, task_listen_for=("SUCCESS",), flow_listen_for=None):
        run = engine.run(load)
    assert capsys.readouterr().out.startswith(f"{engine} has moved task 'load' ({run.task_id}) ")


def test_reports_only(printed, load):
    """A listener of reports prints percentages and messages, and nothing else."""
    lines = printed(
        load, task_listen_for=("PROGRESS",), flow_listen_for=None, retry_listen_for=None
    )
    assert [each.split(": ")[1] for each in lines] == ["50 %, Loading joe", "100 %"]


def test_without_a_total(printed, load):
    """Of a report that does not tell of how many, it is printed how many are done."""
    lines = printed(load, None, task_listen_for=("PROGRESS",), flow_listen_for=None)
    assert lines[0].endswith(": 1 done, Loading joe")


def test_a_state_of_the_users_own(app, printed):
    """A report under a state of the user's own is printed as one."""

    @app.task(name="uploads", bind=True)
    def uploads(self):
        self.update_state(state="UPLOADING", meta={"current": 1, "total": 8})
        self.update_state(state="CHECKING", meta={"note": "no progress"})

    assert printed(uploads, flow_listen_for=None)[1:3] == [
        "moved task 'uploads' into state 'UPLOADING' from state 'RUNNING': 12.5 %",
        "moved task 'uploads' into state 'CHECKING' from state 'UPLOADING'",
    ]


def test_a_failure(printed, flaky):
    """A failure, and a retry, is printed with its traceback."""
    lines = printed(flaky)
    retried = "moved retry 'flaky' into state 'RETRY' from state 'RUNNING'"
    failed = "moved task 'flaky' into state 'FAILURE' from state 'RUNNING'"
    result = " with result 'Failure: ValueError: broken' (failure=True)"
    assert retried + result in lines
    at = lines.index(failed + result)
    assert lines[at + 1] == "Traceback (most recent call last):"
    assert "ValueError: broken" in lines[at:]
    assert "in flaky" in "".join(lines[at:])
    assert lines[-1] == "moved flow 'flaky' into state 'FAILURE' from state 'RUNNING'"


def test_an_abort(engine, printed, load, capsys):
    """An abort is printed as the end that it is."""
    with PrintingListener(engine, task_listen_for=("ABORTED",), flow_listen_for=("ABORTED",)):
        engine.under(Abort(at_report(1))).run(load)
    task, flow = capsys.readouterr().out.splitlines()
    assert "into state 'ABORTED' from state 'PROGRESS' with result" in task
    assert "(failure=False)" in task
    assert "moved flow 'load'" in flow


def test_standard_error(printed, load):
    """It prints to standard error if that is wanted."""
    assert len(printed(load, stderr=True, stream="err")) == 6
    assert printed(load, stderr=True, stream="out") == []


def test_where_standard_output_is_now(engine, load, monkeypatch, capsys, tmp_path):
    """It prints to what is standard output when it prints, whoever replaced it meanwhile."""
    import sys

    with PrintingListener(engine), (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        engine.run(load)
        monkeypatch.undo()
    assert capsys.readouterr().out == ""
    assert (tmp_path / "out").read_text().count("\n") == 6


def test_percent_signs(app, printed):
    """Whatever is in a message is printed as it is."""

    @app.task(name="says", bind=True)
    def says(self):
        Observer(self).update("100%s of %d", total=None)

    assert printed(says, task_listen_for=("PROGRESS",), flow_listen_for=None)[0].endswith(
        "100%s of %d"
    )
