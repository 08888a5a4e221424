"""An order: paid, packed and sent, with listeners that a worker has in production."""

import logging

from celery import Celery

from pytest_taskprogress import CeleryEngine, DynamicLoggingListener, ProgressTask

app = Celery("listening", set_as_current=False)

# Each process of a worker that imports this module listens to what it runs.
engine = CeleryEngine(app).attach()
DynamicLoggingListener(
    engine, log=logging.getLogger("orders"), hide_inputs_outputs_of=["listening.pay"]
).register()


@app.task(name="listening.pay")
def pay(card):
    """Return what the bank calls the payment."""
    return f"payment-by-{card}"


@app.task(name="listening.pack", bind=True, base=ProgressTask)
def pack(self, payment, items):
    """Pack an item after the other."""
    for number, item in enumerate(items, 1):
        self.update_state(
            state="PROGRESS",
            meta={"current": number, "total": len(items), "description": f"Packed {item}"},
        )
    return payment


@app.task(name="listening.send")
def send(payment, address):
    """Send it, if there is an address."""
    if not address:
        raise ValueError(f"no address for {payment}")
    return address
