"""The parts of Celery that engines touch and that are private, or unknown to its type stubs.

Each with the reason. They are `Any` on purpose: that they are used rightly is shown by the tests on
every supported version of Celery, not by types.
"""

from __future__ import annotations

from typing import Any, Final

from celery import _state
from celery.app import task
from celery.app import trace as app_trace
from celery.backends import base
from celery.worker import state
from celery.worker.consumer import consumer

__all__ = [
    "Consumer",
    "KeyValueStoreBackend",
    "Task",
    "app_state",
    "thread_state",
    "trace",
    "worker_state",
]

#: The stubs lack most of what a backend inherits.
KeyValueStoreBackend: Any = base.KeyValueStoreBackend

#: Its constructor connects to a broker; the rest of it is used as it is.
Consumer: Any = consumer.Consumer

#: `Task.__call__` is protected in a worker, which is public only together with `set_default()`.
Task: Any = task.Task

#: What a worker installs to protect `Task.__call__`, and what it keeps to take that off again.
trace: Final[Any] = app_trace

#: The default app, which has no getter that does not make one, and whether `result.get()` blocks.
app_state: Final[Any] = _state

#: The current app of a thread, which has no getter that does not fall back to the default app.
thread_state: Final[Any] = vars(_state)["_tls"]

#: What a worker counts, and which ids are revoked, in module globals.
worker_state: Final[Any] = state
