"""What happened, read back from a file."""

import csv
import json

import fetching
import pytest
import quickstart
from dumping import COLUMNS, CsvListener, JsonLinesListener
from fetching import Unavailable, fetch
from quickstart import import_abortable, import_users
from talking import cat_dog

from pytest_taskprogress.scenario import Abort, at_percent


@pytest.fixture
def file(tmp_path):
    """A file to write to."""
    with (tmp_path / "events").open("w", newline="", encoding="utf-8") as file:
        yield file


def csv_rows(file):
    """Read a CSV file back."""
    file.flush()
    with open(file.name, newline="", encoding="utf-8") as written:  # noqa: PTH123 - a file's name
        header, *rows = csv.reader(written)
    assert tuple(header) == COLUMNS
    return rows


def json_rows(file, *columns):
    """Read some columns of a file of JSON lines back."""
    with open(file.name, encoding="utf-8") as written:  # noqa: PTH123 - as above
        rows = [json.loads(line) for line in written]
    assert all(tuple(row) == COLUMNS for row in rows)
    return [tuple(row[column] for column in columns) for row in rows]


def test_a_table_of_an_import(taskprogress, file, monkeypatch):
    """A row for each report, with the seconds of the engine's clock; what is not known is empty."""
    monkeypatch.setattr(quickstart, "save", lambda row: taskprogress.clock.advance(1.5))
    with CsvListener(taskprogress, file):
        run = taskprogress.run(import_users, ["ann", "Bob, Jr."])

    of = ("quickstart.import_users", run.task_id)
    assert [tuple(row) for row in csv_rows(file)] == [
        ("flow", *of, "RUNNING", "PENDING", "", "", "0.0"),
        ("task", *of, "RUNNING", "PENDING", "", "", "0.0"),
        ("task", *of, "PROGRESS", "RUNNING", "50.0", "Importing users", "1.5"),
        ("task", *of, "PROGRESS", "PROGRESS", "100.0", "Importing users", "3.0"),
        ("task", *of, "SUCCESS", "PROGRESS", "", "Imported 2 users", "3.0"),
        ("flow", *of, "SUCCESS", "RUNNING", "", "", "3.0"),
    ]


def test_lines_of_a_chain(taskprogress, file):
    """Each task has its id, and the flow has that of the last one."""
    with JsonLinesListener(taskprogress, file):
        run = taskprogress.run(cat_dog())

    cat, dog = (each.uuid for each in run.history)
    assert json_rows(file, "kind", "name", "uuid", "state") == [
        ("flow", "celery.chain", dog, "RUNNING"),
        ("task", "talking.cat_talk", cat, "RUNNING"),
        ("task", "talking.cat_talk", cat, "SUCCESS"),
        ("task", "talking.dog_talk", dog, "RUNNING"),
        ("task", "talking.dog_talk", dog, "SUCCESS"),
        ("flow", "celery.chain", dog, "SUCCESS"),
    ]


def test_lines_of_a_retry(taskprogress, file, monkeypatch):
    """A retry is a line of its own; the next attempt begins a minute later."""
    answers = iter([Unavailable("503"), b"All work"])

    def download(url, observer):
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    monkeypatch.setattr(fetching, "download", download)
    with JsonLinesListener(taskprogress, file, flow_listen_for=()):
        taskprogress.run(fetch, "http://documents.example/report.txt")

    assert json_rows(file, "kind", "state", "old_state", "percent", "seconds") == [
        ("task", "RUNNING", "PENDING", None, 0.0),
        ("task", "PROGRESS", "RUNNING", None, 0.0),
        ("retry", "RETRY", "PROGRESS", None, 0.0),
        ("task", "RUNNING", "RETRY", None, 60.0),
        ("task", "PROGRESS", "RUNNING", None, 60.0),
        ("task", "SUCCESS", "PROGRESS", None, 60.0),
    ]


def test_only_reports(taskprogress, file):
    """As any listener it can be told of some states only: here of no more than the progress."""
    only = {"task_listen_for": ["PROGRESS"], "flow_listen_for": None}
    with JsonLinesListener(taskprogress, file, **only):
        taskprogress.under(Abort(at_percent(50))).run(
            import_abortable, ["ann", "bob", "cyd", "dan"]
        )

    assert json_rows(file, "percent", "description") == [
        (25.0, "Importing users"),
        (50.0, "Importing users"),
    ]
