"""Tasks: for each rule of the contract the smallest one that breaks it, and the same put right.

The line that is to blame ends with the name of the rule.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from celery import Celery
from celery.contrib import abortable
from celery.exceptions import Ignore

from pytest_taskprogress import AbortableTask, Observer, ProgressTask
from pytest_taskprogress.scenario import Abort, at_report

app = Celery("shop", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False)


def work(seconds):
    """What takes its time: tests replace it by the engine's clock."""


@app.task(bind=True, base=ProgressTask, shared=False)
def import_users(self, rows):
    """Import users, as one should."""
    observer = Observer(self)
    for _ in observer.track(rows, "Importing users"):
        pass
    _, meta = observer.success("Imported %d users", len(rows))
    return meta


@app.task(bind=True, base=AbortableTask, shared=False)
def send_letters(self, letters):
    """Send letters, and look at what it was asked for only at the end."""
    observer = Observer(self, check_abort=False)
    for number, letter in enumerate(letters, start=1):
        observer.update(letter, current=number, total=len(letters))
    self.raise_if_aborted()


@app.task(bind=True, base=ProgressTask, shared=False)
def read_file(self, name):
    """Fail half way, and say so."""
    Observer(self).update("Reading %s", name, current=50)
    raise FileNotFoundError(f"no such file: {name}")


@app.task(bind=True, shared=False)
def long_one(self, count):
    """Report a great many times."""
    for number in range(1, count + 1):
        self.update_state(state="PROGRESS", meta={"current": number, "total": count})


@app.task(shared=False)
def add(x, y):
    """Report nothing."""
    return x + y


class State(str, Enum):
    """A state of one's own, as people name them."""

    LOADING = "LOADING"


@app.task(bind=True, shared=False)
def odd(self):
    """Store what is not easily carried from one process to another."""
    self.update_state(state=State.LOADING, meta={"percent": 100, "description": "\ud800 \0"})


# -- one for each rule ----------------------------------------------------------------------------


@app.task(bind=True, shared=False)
def falls(self, *, fixed=False):
    """Fall from 50 to 25 %."""
    self.update_state(state="PROGRESS", meta={"percent": 20 if fixed else 50})
    self.update_state(state="PROGRESS", meta={"percent": 25})  # monotonic
    self.update_state(state="PROGRESS", meta={"percent": 100})


@app.task(bind=True, shared=False)
def overshoots(self, *, fixed=False):
    """Come to more than 100 %."""
    percent = 100 if fixed else 166.67
    self.update_state(state="PROGRESS", meta={"percent": percent})  # bounded


@app.task(bind=True, shared=False)
def miscounts(self, *, fixed=False):
    """Say that 1 of 4 is 50 %."""
    meta = {"current": 1, "total": 4, "percent": 25 if fixed else 50}
    self.update_state(state="PROGRESS", meta=meta)  # consistent
    self.update_state(state="PROGRESS", meta={"current": 4, "total": 4})


@app.task(bind=True, shared=False)
def stops_short(self, *, fixed=False):
    """Succeed at 90 %."""
    percent = 100 if fixed else 90
    self.update_state(state="PROGRESS", meta={"percent": percent})  # complete


@app.task(bind=True, shared=False)
def grows(self, *, fixed=False):
    """Find out later that there is more to do."""
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 8 if fixed else 4})
    self.update_state(state="PROGRESS", meta={"current": 8, "total": 8})  # stable-total


@app.task(bind=True, shared=False)
def divides(self, *, fixed=False):
    """Store what is no JSON."""
    meta = {"percent": 100, "rows": {"a second": 0.0 if fixed else float("nan")}}
    self.update_state(state="PROGRESS", meta=meta)  # serializable


@app.task(bind=True, shared=False)
def waits(self, *, fixed=False):
    """Store a RETRY that nobody can read."""
    state = "WAITING" if fixed else "RETRY"
    self.update_state(state=state, meta={"reason": "busy"})  # readable


@app.task(bind=True, shared=False)
def vanishes(self, *, fixed=False):
    """Stop without an end."""
    self.update_state(state="PROGRESS", meta={"percent": 100})  # terminal
    if not fixed:
        raise Ignore


@app.task(bind=True, shared=False)
def rises(self, *, fixed=False):
    """Go on after its end."""
    observer = Observer(self)
    if fixed:
        return observer.success("done")[1]
    return observer.fail("no such file")[1]  # no-zombie


@app.task(bind=True, base=abortable.AbortableTask, shared=False)
def forgets(self, *, fixed=False):
    """Report over the request to abort."""
    self.update_state(state="PROGRESS", meta={"percent": 50})
    if fixed and self.is_aborted():
        raise Ignore
    self.update_state(state="PROGRESS", meta={"percent": 100})  # abort-survives


@app.task(bind=True, base=AbortableTask, shared=False)
def goes_on(self, *, fixed=False):
    """Take no notice of a request to abort."""
    observer = Observer(self, check_abort=fixed)
    observer.update("first", current=1, total=4)
    observer.update("second", current=2, total=4)  # abort-honoured
    observer.update("third", current=3, total=4)
    observer.update("last", current=4, total=4)


@app.task(bind=True, shared=False)
def hesitates(self, *, fixed=False):
    """Say nothing for half a minute."""
    work(1 if fixed else 30)
    self.update_state(state="PROGRESS", meta={"percent": 100})  # first-report


@app.task(bind=True, shared=False)
def pauses(self, *, fixed=False):
    """Say nothing for two minutes, in the middle."""
    self.update_state(state="PROGRESS", meta={"percent": 50})
    work(1 if fixed else 120)
    self.update_state(state="PROGRESS", meta={"percent": 100})  # max-gap


@app.task(bind=True, shared=False)
def chatters(self, *, fixed=False):
    """Write for every row."""
    for row in range(0, 100, 50 if fixed else 1):
        percent = row + 50 if fixed else row + 1
        self.update_state(state="PROGRESS", meta={"percent": percent})  # write-budget


@app.task(bind=True, shared=False)
def mumbles(self, *, fixed=False):
    """Say not what it does."""
    text = "importing users" if fixed else ""
    self.update_state(state="PROGRESS", meta={"percent": 100, "description": text})  # described


class Case(NamedTuple):
    """How a rule is broken: by which task, with which figure, under which events."""

    task: object
    figure: MappingProxyType = MappingProxyType({})
    under: tuple = ()
    #: What follows from it, whatever the task does.
    also: tuple = ()


CASES = {
    "monotonic": Case(falls),
    "bounded": Case(overshoots),
    "consistent": Case(miscounts),
    "complete": Case(stops_short),
    "stable-total": Case(grows),
    "serializable": Case(divides),
    "readable": Case(
        waits, also=("terminal",)
    ),  # nor can Celery read it, when it stores the SUCCESS
    "terminal": Case(vanishes),
    "no-zombie": Case(rises),
    "abort-survives": Case(forgets, under=(Abort(at_report(1)),)),
    "abort-honoured": Case(goes_on, under=(Abort(at_report(1)),)),
    "first-report": Case(hesitates, {"first_report": 10}),
    "max-gap": Case(pauses, {"max_gap": 60}),
    "write-budget": Case(chatters, {"write_budget": (50, 1)}),
    "described": Case(mumbles, {"described": 3}),
}


# -- progress that people have shipped ------------------------------------------------------------


@app.task(bind=True, shared=False)
def shipped(self, metas):
    """Report what others have reported."""
    for meta in metas:
        self.update_state(state="PROGRESS", meta=meta)


SHIPPED = {
    "166.67 %": ("bounded", [{"current": 5, "total": 3}]),
    "-33.33 %": ("bounded", [{"current": -1, "total": 3}, {"percent": 100}]),
    "falling": ("monotonic", [{"percent": 60}, {"percent": 30}, {"percent": 100}]),
    "never 100": ("complete", [{"current": n, "total": 4} for n in range(4)]),
    "total 0": ("bounded", [{"current": 0, "total": 0}]),
}
