"""What comes of the ways to report."""

import pytest
from reporting import check, deploy, forgetful, miscounted, resize, staged, upload

from pytest_taskprogress import TaskProgressWarning


def test_what_is_stored(taskprogress):
    """A report has these keys; `elapsed` is in seconds of the engine's clock."""
    run = taskprogress.run(deploy, "v7")

    assert run.percents == [60.0, 90.0, 100.0]
    assert run.progress[2].meta == {
        "pending": False,
        "description": "Restarting",
        "current": 100,
        "total": 100,
        "percent": 100.0,
        "elapsed": 0.0,
        "hosts": 3,
    }
    assert run.result["description"] == "v7 is live"


def test_outcomes(taskprogress, tmp_path):
    """Each way to end is what a client gets."""
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.write_text("some")
    empty.touch()

    assert taskprogress.run(check, str(full)).result["description"].endswith("has 4 bytes")
    assert isinstance(taskprogress.run(check, str(empty)).exception, ValueError)
    assert isinstance(taskprogress.run(check, str(tmp_path / "none")).exception, FileNotFoundError)


def test_a_failure_in_the_body_of_a_loop(taskprogress):
    """The part that failed is not counted; the failure is stored once more by Celery."""
    run = taskprogress.run(upload, ["a", "b", None, "d"])

    assert run.percents == [25.0, 50.0]
    assert run.states == ["PROGRESS", "PROGRESS", "FAILURE", "FAILURE"]


def test_threads(taskprogress):
    """Every report arrives, whichever thread makes it."""
    run = taskprogress.run(resize, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])

    assert run.percents == [25.0, 50.0, 75.0, 100.0]
    assert sorted(run.messages) == [f"Resized {name}.jpg" for name in "abcd"]


def test_never_more_than_everything(taskprogress):
    """What is beyond the total is stored as the total, and the author is told the line."""
    with pytest.warns(TaskProgressWarning, match=r"current=5 is out of bounds for total=4"):
        run = taskprogress.run(miscounted, 4)

    assert run.percents == [0.0, 25.0, 50.0, 75.0, 100.0, 100.0]


def test_a_failure_that_does_not_last(taskprogress):
    """With a plain task the observer's FAILURE is replaced; a warning says what to do."""
    with pytest.warns(TaskProgressWarning, match="base=ProgressTask"):
        run = taskprogress.run(forgetful)

    assert run.states == ["FAILURE", "SUCCESS"]


def test_an_observer_of_ones_own(taskprogress):
    """A subclass adds to every report."""
    assert taskprogress.run(staged).progress[0].meta["stage"] == "middle"
