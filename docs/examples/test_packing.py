"""Packing a package of the standard library, and giving it up at every moment."""

import email
from pathlib import Path
from zipfile import ZipFile

import pytest
from packing import cancel, pack

from pytest_taskprogress import TaskAborted, abort
from pytest_taskprogress.scenario import Abort, at_percent, at_report

FOLDER = Path(email.__file__).parent
FILES = len(list(FOLDER.rglob("*.py")))


@pytest.fixture
def archive(tmp_path):
    """Where the archive goes."""
    return tmp_path / "email.zip"


def test_an_archive(taskprogress, archive):
    """A report for each file; the archive can be read, and nothing is beside it."""
    run = taskprogress.run(pack, str(FOLDER), str(archive))

    assert run.history == ["PROGRESS"] * FILES + ["SUCCESS"]
    assert ZipFile(archive).testzip() is None
    assert list(archive.parent.iterdir()) == [archive]


def test_given_up_half_way(taskprogress, archive, caplog):
    """The task ends at its next report: no file is left, and the last progress is kept."""
    caplog.set_level("WARNING", logger="packing")
    run = taskprogress.under(Abort(at_percent(50))).run(pack, str(FOLDER), str(archive))

    assert run.state == "ABORTED"
    assert run.reports_after_abort == 0
    assert run.meta == run.progress[-1].meta
    assert list(archive.parent.iterdir()) == []
    assert caplog.messages == [f"email.zip given up: {run.messages[-1]}"]


def test_given_up_at_any_moment(taskprogress, archive):
    """There is a whole archive if the task succeeded, else nothing at all."""
    sweep = taskprogress.sweep(Abort, pack, str(FOLDER), str(archive))
    archive.unlink()  # of the run that recorded the moments

    ends = set()
    for run in sweep:
        ends.add(run.state)
        assert list(archive.parent.iterdir()) == ([archive] if run.state == "SUCCESS" else [])
        archive.unlink(missing_ok=True)

    assert len(sweep) == 1 + 2 * FILES  # before the start, and the check and the report of each
    assert ends == {"ABORTED", "SUCCESS"}  # after its last report nobody looks any more


def test_what_a_client_sees(taskprogress, archive):
    """The id is enough to cancel; get() raises instead of waiting for a result that never comes."""
    with taskprogress.paused():
        task_id = pack.delay(str(FOLDER), str(archive)).id
        assert cancel(task_id)
        assert not cancel(task_id)
    result = pack.AsyncResult(task_id)

    assert result.state == "ABORTED"
    assert result.ready()
    with pytest.raises(TaskAborted, match="was aborted"):
        result.get()


@pytest.mark.usefixtures("taskprogress")
def test_too_late(archive):
    """What has ended stays what it is."""
    result = pack.delay(str(FOLDER), str(archive))

    assert not cancel(result.id)
    assert result.state == "SUCCESS"


@pytest.mark.usefixtures("taskprogress")
def test_ordered_again(archive):
    """An id can be used again, once it is forgotten that it was aborted."""
    result = pack.AsyncResult("email.zip")
    abort(result)
    pack.apply_async((str(FOLDER), str(archive)), task_id=result.id)
    assert result.state == "ABORTED"

    result.forget()
    pack.apply_async((str(FOLDER), str(archive)), task_id=result.id)
    assert result.state == "SUCCESS"


def test_step_by_step(taskprogress, archive):
    """While the task stands still at a report, the archive has another name."""
    half = archive.with_name("email.zip.part")
    for transition in taskprogress.run_iter(pack, str(FOLDER), str(archive)):
        assert half.exists() == (transition.state == "PROGRESS")
        assert archive.exists() == (transition.state == "SUCCESS")


def test_where_the_abort_comes_from(taskprogress, archive):
    """A run knows when the abort was asked for."""
    run = taskprogress.under(Abort(at_report(3))).run(pack, str(FOLDER), str(archive))

    assert len(run.progress) == 3
    assert [request.uuid for request in run.aborts] == [run.task_id]
    assert run.abort_requested_at == 0.0
