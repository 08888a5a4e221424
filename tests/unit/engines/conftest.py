"""What the tests of canvases have in common."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.exceptions import Ignore

from pytest_taskprogress import AbortableTask, Observer


@pytest.fixture
def heard():
    """What the tasks of a test noted, in order."""
    return []


@pytest.fixture
def tasks(app):
    """Tasks that canvases are made of: `add`, `total` and `fails`."""

    @app.task(name="add")
    def add(x, y=1):
        return x + y

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    @app.task(name="fails")
    def fails(*args):
        raise ValueError("broken")

    return SimpleNamespace(add=add, total=total, fails=fails)


@pytest.fixture
def jobs(app):
    """Tasks that scenarios are played on; each takes anything, so that it fits into any canvas.

    `export` reports four rows, `flaky` reports, retries once and reports again, `celerys` is one of
    Celery's AbortableTask, `quiet` never reports.
    """

    @app.task(name="export", bind=True, base=AbortableTask)
    def export(self, *args, rows=4):
        for _ in Observer(self).track(range(rows), "Exporting"):
            pass
        return rows

    @app.task(name="flaky", bind=True, base=AbortableTask, default_retry_delay=30)
    def flaky(self, *args):
        Observer(self).update("Trying", total=2)
        if not self.request.retries:
            raise self.retry()
        return "in the end"

    @app.task(name="celerys", bind=True, base=CeleryAbortableTask)
    def celerys(self, *args, rows=4):
        for row in range(rows):
            if self.is_aborted():
                raise Ignore
            self.update_state(state="PROGRESS", meta={"current": row + 1, "total": rows})
        return rows

    @app.task(name="quiet")
    def quiet(*args):
        return "done"

    return SimpleNamespace(export=export, flaky=flaky, celerys=celerys, quiet=quiet)
