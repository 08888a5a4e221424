"""Import users from a CSV file into SQLite: all rows that are good, or none if too many are bad."""

import csv
import logging
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

from celery import Celery

from pytest_taskprogress import Observer, ProgressTask

# An app of one's own; it tells when a task has started. It does not become Celery's current app,
# because the other examples, in the same process, have theirs.
app = Celery("importing", backend="rpc://", set_as_current=False)
app.conf.task_track_started = True

logger = logging.getLogger(__name__)

BATCH = 500  # rows for one report
SHOWN = 5  # bad rows that are named in the result

SCHEMA = """
    CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, born TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS failed_imports (task_id TEXT PRIMARY KEY, why TEXT NOT NULL);
"""


class TooManyBadRows(Exception):
    """A file that is likely to be the wrong one."""


class ImportTask(ProgressTask):
    """Leaves a line in the database for every import that failed."""

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        """Note it; Celery calls this when the failure is stored."""
        with closing(connect(args[1])) as db, db:
            db.execute("INSERT INTO failed_imports VALUES (?, ?)", (task_id, str(exc)))


@app.task(bind=True, base=ImportTask)
def import_users(self, source, database, allowed=50):
    """Import a file; more bad rows than are allowed undo everything."""
    observer = Observer(self)
    rows = read(source)
    bad = []
    with closing(connect(database)) as db, db:
        for number, row in enumerate(rows, start=1):
            try:
                db.execute("INSERT INTO users VALUES (?, ?, ?, ?)", parsed(row))
            except (ValueError, sqlite3.IntegrityError) as error:
                bad.append(f"row {number}: {error}")
            if len(bad) > allowed:
                db.rollback()
                observer.fail(
                    "%d of %d rows are bad, the last is %s",
                    TooManyBadRows,
                    len(bad),
                    number,
                    bad[-1],
                )
                return None
            if number % BATCH == 0:
                observer.update(
                    "%d users",
                    number - len(bad),
                    current=number,
                    total=len(rows),
                    meta={"bad": len(bad)},
                )
    _, meta = observer.success("Imported %d users, %d bad rows", len(rows) - len(bad), len(bad))
    return {**meta, "bad": len(bad), "bad_rows": bad[:SHOWN]}


@app.task
def tell_operator(request, exc, traceback):
    """Stand in for a mail to whoever has to look into it."""
    logger.error("%s failed: %s", request.task, exc)


def upload(source, database):
    """What a web view calls; it answers with an id, by which the page asks for the progress."""
    task = import_users.s(str(source), str(database)).on_error(tell_operator.s())
    return task.delay().id


def read(source):
    """Read all rows."""
    with Path(source).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def parsed(row):
    """Check a row, and give its values."""
    if len(row) != 4:
        raise ValueError(f"4 columns expected, got {len(row)}")
    number, name, email, born = row
    if "@" not in email:
        raise ValueError(f"{email!r} is no e-mail address")
    return int(number), name, email, date.fromisoformat(born).isoformat()


def connect(database):
    """Open the database; it has its tables then."""
    db = sqlite3.connect(database)
    db.executescript(SCHEMA)
    return db
