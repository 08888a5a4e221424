"""The app of a real worker: a task that looks whether it is to abort, and one that never does."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from celery import Celery

from pytest_taskprogress import AbortableTask

#: Seconds after which a task gives up by itself, should nobody end it.
_PATIENCE: Final = 60.0

app = Celery(
    "graceful",
    broker=os.environ["GRACEFUL_URL"],
    backend=os.environ["GRACEFUL_URL"],
    set_as_current=False,
)
app.conf.task_default_queue = os.environ["GRACEFUL_QUEUE"]


@app.task(bind=True, base=AbortableTask, shared=False)
def polite(self: Any) -> None:
    """Look all the time."""
    print("polite runs", flush=True)  # noqa: T201
    never = threading.Event()
    while not never.wait(0.01):
        self.raise_if_aborted()


@app.task(bind=True, base=AbortableTask, shared=False)
def deaf(self: Any) -> None:
    """Never look."""
    print("deaf runs", flush=True)  # noqa: T201
    threading.Event().wait(_PATIENCE)
