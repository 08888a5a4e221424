"""The tests of the quickstart."""

import pytest
from quickstart import import_checked, import_users


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
