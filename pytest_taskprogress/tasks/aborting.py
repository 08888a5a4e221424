"""The request to abort a task: a record of its own, beside the state, in the result backend.

Only who asks writes it, and only the worker writes the state: neither can erase what the other one
wrote.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from pytest_taskprogress.core.clock import clock_of
from pytest_taskprogress.core.errors import AbortUnsupported, TaskAborted
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.tasks import records
from pytest_taskprogress.tasks.records import ABORT, THOSE_THAT_KEEP
from pytest_taskprogress.tasks.records import keeps_records as keeps_requests

__all__ = [
    "AbortCheck",
    "ask",
    "forget",
    "is_asked",
    "is_own",
    "is_request",
    "keeps_requests",
    "record_id_of",
    "store",
    "task_of",
]


def record_id_of(task_id: str) -> str:
    """The id of the record that asks a task."""
    return f"{task_id}{ABORT}"


def is_request(task_id: str) -> bool:
    """Tell whether the id of a record is that of a request to abort."""
    return task_id.endswith(ABORT)


def task_of(record_id: str) -> str:
    """The id of the task that is asked by a record."""
    return record_id.removesuffix(ABORT)


def is_asked(backend: Any, task_id: str) -> bool:
    """Tell whether a task was asked to abort; one read."""
    return keeps_requests(backend) and backend.get_state(record_id_of(task_id)) == ABORTED


def is_own(error: object, task_id: str | None) -> bool:
    """Tell whether an error is the abort of a task, and not of one whose result it asked for."""
    return isinstance(error, TaskAborted) and error.task_id == task_id


def ask(backend: Any, task_id: str) -> None:
    """Ask a task to abort.

    Raises:
        AbortUnsupported: If the backend does not keep the request.
        Exception: What the backend raises, if it is down.
    """
    if not keeps_requests(backend):
        message = (
            f"{task_id} cannot be asked to abort: its result backend {backend.as_uri()!r} keeps no"
            f" records; {THOSE_THAT_KEEP}"
        )
        raise AbortUnsupported(message)
    store(backend, record_id_of(task_id), None)
    # Some clients say nothing when their server is down.
    if not is_asked(backend, task_id):
        message = (
            f"{task_id} was not asked to abort: the result backend {backend.as_uri()!r} took the"
            f" request without an error, and does not have it. Is its server up? If it never keeps"
            f" records, {THOSE_THAT_KEEP}"
        )
        raise AbortUnsupported(message)


def forget(backend: Any, task_id: str) -> None:
    """Forget that a task was asked to abort, if it was."""
    if is_asked(backend, task_id):
        backend.forget(record_id_of(task_id))


def store(backend: Any, task_id: str, meta: dict[str, Any] | None, request: Any = None) -> None:
    """Store ABORTED, with the date: what has none a backend does not clean up in time.

    Args:
        backend: Where.
        task_id: Id of the task, or of a request.
        meta: What goes with it.
        request: That of the task.
    """
    records.store(backend, task_id, meta, ABORTED, request)


class AbortCheck:
    """Looks whether a task was asked to abort, for one execution of it; from any thread.

    Once it was, there is nothing more to look for: a request is not taken back.

    Attributes:
        raises: Whether the task may be left: not before its function is called.
        noticed: Whether it was asked, as far as this has looked.
        next_at: Reading of the clock before which it does not look again.

    Args:
        backend: Where the request would be; None: there is none.
        task_id: Id of the task.
        interval: Seconds in which it looks at most once; the first look is always real.
    """

    def __init__(self, backend: Any, task_id: str, interval: float) -> None:
        self._backend = backend
        self._task_id = task_id
        self._interval = interval
        self._clock = clock_of(backend)
        self.raises = False
        self.noticed = False
        self.next_at = -math.inf

    def is_aborted(self) -> bool:
        """Tell whether the task was asked to abort."""
        if self.noticed:
            return True
        if self._interval:
            now = self._clock.monotonic()
            if now < self.next_at:
                return False
            self.next_at = now + self._interval
        self.noticed = is_asked(self._backend, self._task_id)
        return self.noticed

    def raise_if_aborted(self) -> None:
        """Leave the task, if it was asked to abort.

        While the task is being left, in its `finally` and `except` blocks, it is not left again.

        Raises:
            TaskAborted: If it was.
        """
        if self.raises and self.is_aborted() and not self._is_being_left():
            raise TaskAborted(self._task_id)

    def _is_being_left(self) -> bool:
        error, seen = sys.exc_info()[1], set()
        while error is not None and id(error) not in seen:
            if is_own(error, self._task_id):
                return True
            seen.add(id(error))
            error = error.__context__
        return False
