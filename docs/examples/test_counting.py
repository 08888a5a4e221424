"""How many reads and writes an abortable task costs."""

import counting
import pytest
from counting import celerys, checks_and_reports, reports, seldom_both, seldom_checks


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return counting.app


@pytest.mark.parametrize(
    ("task", "reads", "writes"),
    [
        (celerys, 2001, 1001),
        (reports, 2002, 1001),
        (checks_and_reports, 3002, 1001),
        (seldom_checks, 1012, 1001),
        (seldom_both, 23, 12),
    ],
)
def test_what_a_task_costs(taskprogress, monkeypatch, task, reads, writes):
    """A thousand rounds in a second of the engine's clock; the one more is the end of the task."""
    monkeypatch.setattr(counting, "work", lambda: taskprogress.clock.advance(0.001))
    taskprogress.run(task)

    assert taskprogress.backend.reads.total() == reads
    assert taskprogress.backend.writes.total() == writes
