"""Tasks of a shop, and who shows how far they are: what property tests try."""

from typing import Literal, TypedDict

from celery import Celery

from pytest_taskprogress import (
    AbortableTask,
    Observer,
    ProgressTask,
    group_progress,
    read_progress,
)

app = Celery("shop", backend="redis://results.example", set_as_current=False)

prices = {}  # these stand in for tables
bookings = {}
stock = {}


class Price(TypedDict):
    """A row of a price list."""

    article: str
    cents: int


# -- tasks ----------------------------------------------------------------------------------------


@app.task(bind=True, base=AbortableTask)
def import_prices(self, rows: list[Price], currency: Literal["EUR", "CHF"] = "EUR"):
    """Import a price list, row by row."""
    observer = Observer(self)
    for row in observer.track(rows, "Importing prices"):
        prices[row["article"], currency] = row["cents"]
    _, meta = observer.success("Imported %d prices", len(rows))
    return meta


@app.task(bind=True, base=ProgressTask, autoretry_for=(ConnectionError,), default_retry_delay=60)
def count_stock(self, shelves: list[str]):
    """Count what is on the shelves; begin anew in a minute where a connection is lost."""
    for _ in Observer(self).track(shelves, "Counting"):
        pass


@app.task(bind=True, base=ProgressTask, acks_late=True, reject_on_worker_lost=True)
def pay(self, cents: int):
    """Book a payment once, however often the message comes: bookings have the id of the task."""
    observer = Observer(self)
    observer.update("Asking the bank", current=50)
    bookings.setdefault(self.request.id, cents)
    observer.update("Booked", current=100)
    return bookings[self.request.id]


@app.task(bind=True, base=ProgressTask)
def reserve(self, article: str):
    """Take one from the shelf: read how many there are, and write how many are left."""
    observer = Observer(self)
    left = stock[article]
    observer.update("Checking", current=50)
    stock[article] = left - 1
    observer.update("Reserved", current=100)


# -- who shows how far they are -------------------------------------------------------------------


def progress_page(result):
    """What the page of a task asks for."""
    return read_progress(result).as_dict()


def order_page(result, shown=0.0):
    """What the page of an order asks for, which is a group: with the percentage that it shows."""
    return group_progress(result, floor=shown).as_dict()


def careless_page(result):
    """What many pages do: read the state, and then the meta, and hope that they fit."""
    if result.state == "PROGRESS":
        return {"percent": result.info["percent"], "ended": False}
    return {"percent": 100 if result.successful() else 0, "ended": result.ready()}
