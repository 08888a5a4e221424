"""The parts of Celery that engines touch and that are private, or unknown to its type stubs.

Each with the reason. They are `Any` on purpose: that they are used rightly is shown by the tests on
every supported version of Celery, not by types.
"""

from __future__ import annotations

from typing import Any, Final

from billiard import einfo
from celery import _state
from celery.app import task
from celery.app import trace as app_trace
from celery.backends import base
from celery.worker import control, state
from celery.worker.consumer import consumer
from kombu import pidbox
from kombu.utils import limits

__all__ = [
    "ChordsNeedBackend",
    "Consumer",
    "ExceptionWithTraceback",
    "FailedFrame",
    "KeyValueStoreBackend",
    "Mailbox",
    "Node",
    "Task",
    "TokenBucket",
    "app_state",
    "get_current_worker_task",
    "thread_state",
    "trace",
    "worker_control",
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

#: The task that a worker runs in this thread: the public `current_task` may be one that calls it.
get_current_worker_task: Final[Any] = _state.get_current_worker_task

#: What a worker counts, and which ids are revoked, in module globals.
worker_state: Final[Any] = state

#: The handlers of a worker's control commands.
worker_control: Final[Any] = control

#: What Celery says of a chord in an app that has no result backend.
ChordsNeedBackend: Final[str] = vars(base)["E_CHORD_NO_BACKEND"].strip()

#: What a failed task's exception is wrapped in until it leaves its process.
ExceptionWithTraceback: Final[Any] = vars(einfo)["ExceptionWithTraceback"]

#: What stands for a frame of a failed task: it copies the frame's code.
FailedFrame: Final[Any] = vars(einfo)["_Frame"]

#: The stubs lack what a mailbox keeps, and what a token bucket does.
Mailbox: Any = pidbox.Mailbox
Node: Any = pidbox.Node
TokenBucket: Any = limits.TokenBucket
