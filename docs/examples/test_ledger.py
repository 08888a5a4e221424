"""The page of an export, looked at while the export stands still: after each of its writes."""

import csv
import json
import sqlite3
from contextlib import closing

import pytest
from ledger import BATCH, cancel, export, progress, start

ROWS = 1000


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A thousand bookings."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE bookings (id INTEGER PRIMARY KEY, text TEXT, cents INTEGER)")
        rows = ((number, f"Invoice {number}", number * 7 % 9999) for number in range(ROWS))
        db.executemany("INSERT INTO bookings VALUES (?, ?, ?)", rows)
    return path


@pytest.fixture
def target(tmp_path):
    """Where the bookings go."""
    return tmp_path / "bookings.csv"


def rows_in(path):
    """Read what is in the file."""
    with path.open(newline="") as file:
        return len(list(csv.reader(file)))


def page(task_id):
    """What the page gets."""
    return json.loads(progress(task_id))


def test_the_page_at_every_step(taskprogress, database, target):
    """The bar never shows more than is in the file, and ends when the export does."""
    seen = []
    for transition in taskprogress.run_iter(export, str(database), str(target)):
        shown = page(transition.uuid)
        assert shown["percent"] * ROWS / 100 <= rows_in(target)
        seen.append((shown["percent"], shown["over"]))

    assert seen == [(percent, False) for percent in range(10, 101, 10)] + [(100, True)]


def test_cancelled_in_the_middle(taskprogress, database, target):
    """The page says so at once, the bar stands still, and a second click does nothing."""
    steps = taskprogress.run_iter(export, str(database), str(target))
    for transition in steps:
        if transition.is_report and transition.percent == 40:
            assert cancel(transition.uuid) == 202
            assert page(transition.uuid)["state"] == "ABORTED"
            assert not page(transition.uuid)["over"]
            assert cancel(transition.uuid) == 409

    assert steps.run.states == ["PROGRESS"] * 4 + ["ABORTED"]
    assert page(steps.run.task_id) == {
        "state": "ABORTED",
        "percent": 40.0,
        "text": "400 of 1000 bookings",
        "over": True,
    }
    assert rows_in(target) == 5 * BATCH  # the batch that was under way


def test_two_exports_at_once(taskprogress, database, tmp_path):
    """Two runs, one step of each in turn: neither page shows the other's export."""
    first, second = (
        taskprogress.run_iter(export, str(database), str(tmp_path / f"{number}.csv"))
        for number in (1, 2)
    )
    for percent, one, other in zip([10.0, 20.0, 30.0], first, second, strict=False):
        assert page(one.uuid)["percent"] == page(other.uuid)["percent"] == percent
    assert cancel(one.uuid) == 202

    assert (page(one.uuid)["state"], page(other.uuid)["state"]) == ("ABORTED", "PROGRESS")
    assert (first.run.state, second.run.state) == ("ABORTED", "SUCCESS")
    assert (page(one.uuid)["percent"], page(other.uuid)["percent"]) == (30.0, 100.0)


def test_nobody_looks_any_more(taskprogress, database, target):
    """A run that is left goes on to its end."""
    with taskprogress.run_iter(export, str(database), str(target)) as steps:
        next(steps)
        assert rows_in(target) == BATCH

    assert rows_in(target) == ROWS
    assert steps.run.state == "SUCCESS"


def test_before_the_worker_has_begun(taskprogress, database, target):
    """The page that starts the export may cancel it before a worker has it."""
    with taskprogress.paused():
        task_id = json.loads(start(database, target))["id"]
        assert page(task_id) == {"state": "PENDING", "percent": 0, "text": "", "over": False}
        assert cancel(task_id) == 202

    assert page(task_id) == {"state": "ABORTED", "percent": 0, "text": "", "over": True}
    assert not target.exists()


@pytest.mark.usefixtures("taskprogress")
def test_when_it_is_over(database, target):
    """There is nothing to cancel then."""
    task_id = json.loads(start(database, target))["id"]

    assert cancel(task_id) == 409
    assert page(task_id)["state"] == "SUCCESS"
