"""Ten tasks, each with a fault that has been shipped; `explore()` finds it from the task alone."""

from collections import Counter
from contextlib import contextmanager
from time import sleep
from typing import Literal

from celery import Celery, Task
from celery.contrib import abortable

from pytest_taskprogress import Observer

app = Celery("faults", backend="redis://results.example", set_as_current=False)


# -- an abort that is lost ------------------------------------------------------------------------


@app.task(bind=True, base=abortable.AbortableTask)
def back_up(self, files: list[str]):
    """Report what is done; with Celery's AbortableTask that erases the request to stop."""
    for number, _ in enumerate(files, start=1):
        if self.is_aborted():
            return "stopped"
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(files)})
    return "all"


# -- progress that falls --------------------------------------------------------------------------


@app.task(bind=True)
def import_files(self, files: list[list[str]]):
    """Count the rows of each file anew."""
    for rows in files:
        for number, _ in enumerate(rows, start=1):
            percent = round(number / len(rows) * 100, 2)
            self.update_state(state="PROGRESS", meta={"percent": percent})


# -- a report after the end -----------------------------------------------------------------------


class BadArchive(Exception):
    """What is unpacked is no archive."""


class TidyTask(Task):
    """Tidies up when it has failed, and says so."""

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        """FAILURE is stored by now."""
        self.update_state(state="PROGRESS", meta={"description": "Removing files"})


@app.task(bind=True, base=TidyTask, throws=(BadArchive,))
def unpack(self, archive: str):
    """Fail, as it says that it may."""
    if not archive.startswith("PK"):
        raise BadArchive(archive)
    self.update_state(state="PROGRESS", meta={"percent": 100})


# -- a retry that counts twice --------------------------------------------------------------------

copied = Counter()  # stands in for a table: it is still there in the next attempt


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=10)
def copy_rows(self, rows: list[str]):
    """Begin anew when the connection was lost, and go on counting."""
    for _ in rows:
        copied[self.request.id] += 1
        update = {"current": copied[self.request.id], "total": len(rows)}
        self.update_state(state="PROGRESS", meta=update)


# -- something that is done twice -----------------------------------------------------------------

accounts = Counter()  # stands in for a table


@app.task(bind=True, acks_late=True)
def pay_in(self, amount: int):
    """Add to what is there: a message that is delivered again adds it again."""
    accounts[self.request.id] += amount
    self.update_state(state="PROGRESS", meta={"percent": 100})
    return accounts[self.request.id]


# -- a failure that becomes a success -------------------------------------------------------------


@app.task(bind=True)
def convert(self, pages: list[str]):
    """Report a failure, and return: with a plain task that is a success."""
    observer = Observer(self)
    if "" in pages:
        observer.fail("Page %d is empty", ValueError, pages.index("") + 1)
        return
    for _ in observer.track(pages, "Converting"):
        pass


# -- 0 of 0 ---------------------------------------------------------------------------------------


@app.task(bind=True)
def clean_up(self, files: list[str]):
    """Report before the loop too, so that there is always a report."""
    for number in range(len(files) + 1):
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(files)})


# -- a first report that comes late ---------------------------------------------------------------


@app.task(bind=True)
def build_index(self, names: list[str]):
    """Load everything, two seconds each, and then report."""
    for _ in names:
        sleep(2)
    for _ in Observer(self).track(names, "Indexing"):
        pass


# -- what no serialiser takes, on one path --------------------------------------------------------


@app.task(bind=True)
def render(self, pages: list[str], quality: Literal["draft", "print"] = "draft"):
    """Tell which colours were used: a set, which is no JSON."""
    for number, page in enumerate(pages, start=1):
        update = {"current": number, "total": len(pages)}
        if quality == "print" and number > 1:
            update["colours"] = set(page)
        self.update_state(state="PROGRESS", meta=update)


# -- two who wait for each other ------------------------------------------------------------------

held = {}  # stands in for locks in a database: who has them


@contextmanager
def lock(name, observer):
    """Wait until nobody else has it."""
    me = observer.task.request.id
    while held.get(name, me) != me:
        observer.update("Waiting for %s", name, increment=False)
    before = held.get(name)
    held[name] = me
    try:
        yield
    finally:
        if before is None:
            del held[name]


@app.task(bind=True)
def transfer(self, source: Literal["ann", "bob"], target: Literal["ann", "bob"]):
    """Lock one account, and then the other one: in the order in which they are given."""
    observer = Observer(self)
    with lock(source, observer):
        observer.update("Has %s", source, current=50)
        with lock(target, observer):
            observer.update("Has both", current=100)
