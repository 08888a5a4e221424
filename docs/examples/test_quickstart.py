"""The tests of the quickstart."""

import pytest
from quickstart import import_abortable, import_checked, import_users

from pytest_taskprogress.scenario import Abort, at_percent


def test_reports_every_row(taskprogress):
    """Every row is reported, and the task ends in SUCCESS."""
    run = taskprogress.run(import_users, ["ann", "bob", "cyd", "dan"])

    assert run.state == "SUCCESS"
    assert run.percents == [25.0, 50.0, 75.0, 100.0]
    assert run.history == ["PROGRESS", "PROGRESS", "PROGRESS", "PROGRESS", "SUCCESS"]
    assert run.result["description"] == "Imported 4 users"


def test_refuses_a_row_without_a_name(taskprogress):
    """What the observer said is final, though the function returned."""
    run = taskprogress.run(import_checked, ["ann", ""])

    assert run.state == "FAILURE"
    assert run.progress == []
    with pytest.raises(ValueError, match="Row 1 has no name"):
        raise run.exception


def test_stops_when_aborted(taskprogress):
    """An abort that is asked for at 50 % is seen by the next report."""
    rows = ["ann", "bob", "cyd", "dan"]
    run = taskprogress.under(Abort(at_percent(50))).run(import_abortable, rows)

    assert run.state == "ABORTED"
    assert run.percents == [25.0, 50.0]
    assert run.reports_after_abort == 0
