"""A long export, and the three requests of the page that shows it: start, progress, cancel."""

import csv
import json
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

from celery import shared_task

from pytest_taskprogress import AbortableTask, Observer

BATCH = 100  # rows for one report


@shared_task(bind=True, base=AbortableTask)
def export(self, database, target):
    """Write all bookings as CSV, and report after each batch."""
    observer = Observer(self)
    with closing(sqlite3.connect(database)) as db, Path(target).open("w", newline="") as file:
        total = db.execute("SELECT count(*) FROM bookings").fetchone()[0]
        rows = db.execute("SELECT * FROM bookings ORDER BY id")
        writer, done = csv.writer(file), 0
        while batch := list(islice(rows, BATCH)):
            writer.writerows(batch)
            file.flush()
            done += len(batch)
            observer.update("%d of %d bookings", done, total, current=done, total=total)
    _, meta = observer.success("%d bookings", done)
    return meta


def start(database, target):
    """POST /exports: answer with the id by which the page asks from now on."""
    return json.dumps({"id": export.delay(str(database), str(target)).id})


def progress(task_id):
    """GET /exports/<id>: what the page draws."""
    result = export.AsyncResult(task_id)
    state, info = result.state, result.info
    # An error has no progress, and a task that has not begun has none yet.
    meta = info if isinstance(info, dict) else {}
    return json.dumps(
        {
            "state": state,
            "percent": meta.get("percent", 0),
            "text": meta.get("description", ""),
            "over": result.ready(),
        }
    )


def cancel(task_id):
    """DELETE /exports/<id>: 202 if it will stop, 409 if there is nothing to stop."""
    return 202 if export.AsyncResult(task_id).abort() else 409
