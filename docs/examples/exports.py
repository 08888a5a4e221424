"""Exports for customers, and the page on which an operator looks after them."""

from celery import Celery
from celery.worker.control import inspect_command

RELEASE = "2026.3"

app = Celery("exports", backend="redis://results.example", set_as_current=False)


@app.task
def export(customer, table):
    """Write a table to a file."""
    return f"{customer}-{table}.csv"


def order(customer, *tables):
    """Publish the exports of a customer; each message has the customer's stamp."""
    signatures = [export.s(customer, table) for table in tables]
    for signature in signatures:
        signature.stamp(customer=customer)
    return [signature.delay() for signature in signatures]


def waiting():
    """List what the workers have not begun."""
    answers = app.control.inspect().reserved() or {}
    return [request["args"] for requests in answers.values() for request in requests]


@app.task(bind=True)
def nightly(self):
    """Export everything, unless that is being done."""
    answers = app.control.inspect().active() or {}
    active = [request for requests in answers.values() for request in requests]
    ids = [request["id"] for request in active if request["name"] == self.name]
    return "begun" if ids == [self.request.id] else "another one runs"


def cancel(customer):
    """Let no worker begin what a customer has ordered."""
    app.control.revoke_by_stamped_headers({"customer": [customer]})


def slow_down(per_minute):
    """Limit all exports from now on."""
    app.control.rate_limit(export.name, f"{per_minute}/m")


@inspect_command()
def release(state, **_):
    """Answer which release a worker runs: a command of one's own."""
    return RELEASE
