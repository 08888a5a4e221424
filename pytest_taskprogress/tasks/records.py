"""Records beside a task's state, in the same result backend, under a second id.

Stored and read by what every backend of Celery offers. Of each kind one side writes, and it never
is the one that writes the state: neither can erase what the other one wrote.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend

from pytest_taskprogress.core.states import ABORTED

__all__ = ["ABORT", "CLAIM", "CLAIMED", "THOSE_THAT_KEEP", "is_record", "keeps_records", "store"]

#: What the ids of records end with: of the request to abort a task, and of the claim on one.
ABORT: Final = ".abort"
CLAIM: Final = ".claim"

#: The state of a claim.
CLAIMED: Final = "CLAIMED"

#: There is nothing to read with these: the one stores nothing, the other sends to a client.
_KEEP_NOTHING: Final = (DisabledBackend, RPCBackend, type(None))

THOSE_THAT_KEEP: Final = (
    "set result_backend to one that keeps records: a database, Redis, memcached, a directory, ..."
)

#: The state that is stored as an end now.
_storing: Final[ContextVar[str | None]] = ContextVar("_storing", default=None)


class _Ends(frozenset[str]):
    """The states that a backend takes for an end, which it dates; and the one that is stored now.

    To who reads it that is none: Celery's own AbortableTask stores ABORTED while a task runs.
    """

    def __contains__(self, state: object) -> bool:
        return super().__contains__(state) or (state is not None and state == _storing.get())


def is_record(task_id: str, state: str) -> bool:
    """Tell whether what is stored under an id is a record beside a task's state.

    A task may have an id that ends so.
    """
    return (state == ABORTED and task_id.endswith(ABORT)) or (
        state == CLAIMED and task_id.endswith(CLAIM)
    )


def keeps_records(backend: Any) -> bool:
    """Tell whether a backend is one that can keep them."""
    return not isinstance(backend, _KEEP_NOTHING)


def store(
    backend: Any, task_id: str, meta: dict[str, Any] | None, state: str, request: Any = None
) -> None:
    """Store a state with the date: what has none a backend does not clean up in time.

    Args:
        backend: Where.
        task_id: Id of the task, or of a record.
        meta: What goes with it.
        state: Which.
        request: That of the task.
    """
    if not isinstance(backend.READY_STATES, _Ends):
        backend.READY_STATES = _Ends(backend.READY_STATES)
    token = _storing.set(state)
    try:
        backend.store_result(task_id, meta, state, request=request)
    finally:
        _storing.reset(token)
