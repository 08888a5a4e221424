"""What is stored of a task, read once; also where Celery's own reading raises."""

from __future__ import annotations

import pickle
import zlib
from functools import cache
from typing import Any, Final

from celery.backends.base import Backend, DisabledBackend
from celery.exceptions import SecurityError
from kombu.exceptions import SerializationError

__all__ = ["UNREADABLE", "record_of"]

#: Stands for the state where nobody can tell it: what is stored cannot be decoded.
UNREADABLE: Final = "UNREADABLE"

#: What Celery raises of a record, not of a server that is down.
_OF_RECORDS: Final = (
    AttributeError,
    EOFError,
    LookupError,
    SecurityError,
    SerializationError,
    TypeError,
    ValueError,
    pickle.PickleError,
    zlib.error,
)


def record_of(result: Any) -> dict[str, Any]:
    """Read the record of a task, by one read of its backend.

    One that Celery refuses to make an exception of, such as a FAILURE without exception
    information, is read once more, and given as it is stored.

    Args:
        result: An AsyncResult.

    Returns:
        With `status`, a text, and `result`; the state is `UNREADABLE`, and the result the error,
        where what is stored cannot be decoded.

    Raises:
        NotImplementedError: If the app has no result backend.
        Exception: What the backend raises, if its server is down.
    """
    try:
        record = result._get_task_meta()  # noqa: SLF001 - state and result of one read
    except _OF_RECORDS as error:
        backend = getattr(result, "backend", None)
        if isinstance(backend, DisabledBackend):
            backend.get_state(result.id)  # says what is missing; what was raised does not
        record = _as_stored(backend, result.id, error)
    if isinstance(record, dict) and isinstance(record.get("status"), str):
        return {"result": None, **record}
    message = f"the record of {result.id} has no state"
    return {"status": UNREADABLE, "result": ValueError(message)}


def _as_stored(backend: Any, task_id: str, error: Exception) -> Any:
    if not isinstance(backend, Backend):
        raise error
    try:
        plain = _plainly(backend)
        # By its class: somebody may have put another one on the backend itself.
        return type(plain).get_task_meta(plain, task_id, cache=False)
    except _OF_RECORDS:
        return {"status": UNREADABLE, "result": error}


class _ReadsPlainly:
    """What a backend has before its own, to make nothing of what it reads.

    Every backend of Celery makes exceptions of what it has read by `meta_from_decoded`.
    """

    def meta_from_decoded(self, meta: Any) -> Any:
        """`Backend.meta_from_decoded`, without exceptions."""
        return meta

    def __del__(self) -> None:
        # The backend's own would close what is not this one's.
        pass


@cache
def _plain_class(kind: Any) -> Any:
    return type(kind.__name__, (_ReadsPlainly, kind), {"__module__": kind.__module__})


def _plainly(backend: Any) -> Any:
    """The same backend, in all that it has, of a class that reads plainly."""
    made_of: Any = type(backend)
    plain = object.__new__(_plain_class(made_of))
    plain.__dict__ = backend.__dict__
    return plain
