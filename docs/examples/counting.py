"""A thousand rounds of work, with checks and reports: what they ask of a result backend."""

from celery import Celery
from celery.contrib import abortable

from pytest_taskprogress import AbortableTask, Observer

ROUNDS = 1000

app = Celery("counting", backend="redis://results.example", set_as_current=False)


def work():
    """Stand in for a millisecond of work."""


@app.task(bind=True, base=abortable.AbortableTask)
def celerys(self):
    """Celery's own class: a check, and a report."""
    for number in range(1, ROUNDS + 1):
        work()
        if self.is_aborted():
            return
        self.update_state(state="PROGRESS", meta={"current": number, "total": ROUNDS})


@app.task(bind=True, base=AbortableTask)
def reports(self):
    """Reports, each of which checks by itself."""
    observer = Observer(self)
    for _ in range(ROUNDS):
        work()
        observer.update("Working", total=ROUNDS)


@app.task(bind=True, base=AbortableTask)
def checks_and_reports(self):
    """Checks, and reports that check by themselves."""
    observer = Observer(self)
    for _ in range(ROUNDS):
        work()
        self.raise_if_aborted()
        observer.update("Working", total=ROUNDS)


@app.task(bind=True, base=AbortableTask, abort_check_interval=0.1)
def seldom_checks(self):
    """At most ten checks in a second reach the backend."""
    observer = Observer(self)
    for _ in range(ROUNDS):
        work()
        observer.update("Working", total=ROUNDS)


@app.task(bind=True, base=AbortableTask, abort_check_interval=0.1)
def seldom_both(self):
    """And so do at most ten reports."""
    observer = Observer(self, throttle=0.1)
    for _ in range(ROUNDS):
        work()
        observer.update("Working", total=ROUNDS)
