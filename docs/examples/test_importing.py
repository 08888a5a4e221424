"""Importing a CSV file of 4,000 rows, good and bad."""

import csv
import sqlite3
import unittest
from contextlib import closing
from random import Random

import importing
import pytest
from importing import TooManyBadRows, import_users, upload

ROWS = 4000
BAD = {  # row -> what is wrong with it
    17: "4 columns expected, got 2",
    800: "'nobody' is no e-mail address",
    801: "UNIQUE constraint failed: users.id",
    2345: "Invalid isoformat string: '31.12.1999'",
    ROWS: "invalid literal for int() with base 10: ''",
}


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return importing.app


@pytest.fixture(scope="module")
def users_csv(tmp_path_factory):
    """A file as somebody would export it, with five bad rows; the same in every run."""
    random = Random(20)  # noqa: S311 - not a secret
    rows = [
        [
            str(n),
            random.choice(["Ann", "Bob", "Cyd", "Müller, Dan"]),
            f"user{n}@example.org",
            f"{random.randint(1950, 2010)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}",
        ]
        for n in range(1, ROWS + 1)
    ]
    rows[17 - 1] = ["17", "Eve"]
    rows[800 - 1][2] = "nobody"
    rows[801 - 1][0] = "1"
    rows[2345 - 1][3] = "31.12.1999"
    rows[ROWS - 1][0] = ""
    return written(tmp_path_factory.mktemp("csv") / "users.csv", rows)


@pytest.fixture
def wrong_csv(tmp_path):
    """A file that has no users in it."""
    return written(tmp_path / "wrong.csv", [["a", "b"]] * 100)


@pytest.fixture
def database(tmp_path):
    """Where the users go."""
    return tmp_path / "users.db"


def written(path, rows):
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "name", "email", "born"], *rows])
    return path


def query(database, sql):
    """Ask the database for one value."""
    with closing(sqlite3.connect(database)) as db:
        return db.execute(sql).fetchone()[0]


def test_good_rows_are_imported_and_bad_rows_named(taskprogress, users_csv, database):
    """Bad rows are left out, counted in each report, and told in the result."""
    run = taskprogress.run(import_users, str(users_csv), str(database))

    assert run.history == ["STARTED", *["PROGRESS"] * 8, "SUCCESS"]
    assert run.percents == [12.5, 25.0, 37.5, 50.0, 62.5, 75.0, 87.5, 100.0]
    assert [report.meta["bad"] for report in run.progress] == [1, 3, 3, 3, 4, 4, 4, 5]
    assert run.result["description"] == "Imported 3995 users, 5 bad rows"
    assert run.result["bad_rows"] == [f"row {number}: {why}" for number, why in BAD.items()]
    assert query(database, "SELECT count(*) FROM users") == ROWS - len(BAD)


def test_too_many_bad_rows_undo_everything(taskprogress, users_csv, database):
    """What was inserted before the failure is not there after it."""
    run = taskprogress.run(import_users, str(users_csv), str(database), allowed=3)

    assert run.state == "FAILURE"
    assert run.percents == [12.5, 25.0, 37.5, 50.0]
    assert isinstance(run.exception, TooManyBadRows)
    assert str(run.exception) == f"4 of 2345 rows are bad, the last is row 2345: {BAD[2345]}"
    assert query(database, "SELECT count(*) FROM users") == 0


@pytest.mark.usefixtures("taskprogress")
def test_everybody_hears_of_a_failure(wrong_csv, database, caplog):
    """The client's get() raises; on_failure has left its line, and the errback has run."""
    caplog.set_level("ERROR", logger="importing")
    task_id = upload(wrong_csv, database)

    with pytest.raises(TooManyBadRows, match="51 of 51 rows are bad"):
        import_users.AsyncResult(task_id).get()
    assert query(database, "SELECT task_id FROM failed_imports") == task_id
    assert "importing.import_users failed: 51 of 51 rows are bad" in caplog.text


def test_an_upload_is_imported(taskprogress, users_csv, database):
    """Code under test that publishes by itself, with delay(), runs as well."""
    task_id = upload(users_csv, database)

    assert import_users.AsyncResult(task_id).state == "SUCCESS"
    assert taskprogress.history.of(task_id).percents[-1] == 100.0


def test_the_page_asks_before_the_worker_has_begun(taskprogress, users_csv, database):
    """In paused(), what is published waits: step() runs one message, drain() runs all."""
    with taskprogress.paused():
        first, second = (upload(users_csv, database), upload(users_csv, database))
        assert import_users.AsyncResult(first).state == "PENDING"
        assert [waiting.uuid for waiting in taskprogress.pending] == [first, second]

        assert taskprogress.step()
        assert import_users.AsyncResult(first).state == "SUCCESS"
        assert import_users.AsyncResult(second).state == "PENDING"

        assert taskprogress.drain() == 1
        # Every user is there already.
        assert import_users.AsyncResult(second).state == "FAILURE"


@pytest.mark.usefixtures("taskprogress")
class UploadTest(unittest.TestCase):
    """A class of unittest takes the engine by its marker; fixtures are for its setup."""

    @pytest.fixture(autouse=True)
    def _files(self, users_csv, database):
        self.source, self.database = users_csv, database

    def test_result(self):
        """The result can be waited for: it is there."""
        result = import_users.AsyncResult(upload(self.source, self.database))
        assert result.get()["bad"] == len(BAD)
