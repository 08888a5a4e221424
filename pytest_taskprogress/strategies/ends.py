"""What a task ends with, or asks for another attempt with."""

from __future__ import annotations

from types import EllipsisType
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    RETRY,
    REVOKED,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.strategies.values import json_objects, json_values

__all__ = ["End", "end_states", "value_of"]

#: How a sequence ends, as somebody asks for it.
End: TypeAlias = "str | st.SearchStrategy[Any] | EllipsisType | None"

#: The ends, from the simplest on.
_ENDS: Final = (SUCCESS, FAILURE, REVOKED)


def end_states(terminal: End, *, aborts: bool) -> st.SearchStrategy[str | None]:
    """The states that somebody asks a sequence to end in; None: it has not ended.

    Raises:
        InvalidArgument: If there is no such end, or it cannot be.
    """
    if terminal is ...:
        return st.sampled_from((*_ENDS, ABORTED) if aborts else _ENDS)
    if aborts and terminal != ABORTED:
        message = f"Cannot have aborts=True with terminal={terminal!r}: leave one of them out"
        raise InvalidArgument(message)
    if isinstance(terminal, st.SearchStrategy):
        return terminal.map(_end)
    return st.just(_end(terminal))


def _end(terminal: object) -> str | None:
    if terminal is None or (isinstance(terminal, str) and terminal in TERMINAL_STATES):
        return terminal
    message = (
        f"Expected one of {', '.join(sorted(TERMINAL_STATES))}, None where the task has not ended,"
        f" or a strategy of them, but got terminal={as_repr(terminal)}"
    )
    raise InvalidArgument(message)


def value_of(draw: st.DrawFn, state: str, last: dict[str, Any] | None) -> Any:  # noqa: ANN401
    """Draw what a task ends with in a state.

    Args:
        draw: What draws.
        state: The state; RETRY is one of them here. One that has no value: None.
        last: The meta that its last attempt reported last; None if there was none.
    """
    # One choice for each end, also where there is none: else the shortest example would be one of
    # those that end as few tasks do.
    kind = draw(_kinds)
    if state == ABORTED:
        # One that is empty is what Celery's AbortableTask stores for the request.
        return last or {"pending": False}
    if state == REVOKED:
        return _REASONS[kind % len(_REASONS)]
    if state == SUCCESS:
        return (None, last)[kind] if kind < _ANY_RESULT else draw(_results)
    if state == RETRY:
        # `self.retry()` without an exception stores none.
        return None if kind == 0 else _raised(kind)
    return _raised(kind) if state == FAILURE else None


def _raised(kind: int) -> object:
    made, *args = _RAISED[kind]
    return made(*args)


_REASONS: Final = ("terminated", "revoked", "expired")
_RAISED: Final[tuple[tuple[Any, ...], ...]] = (
    (ValueError, "no such user"),
    (RuntimeError,),
    (KeyError, "id"),
    # What people pass to `update_state`, and Celery can read; it has no traceback.
    (dict, {"exc_type": "ValueError", "exc_message": "broken", "exc_module": "builtins"}),
    (OSError, 28, "No space left on device"),
    (UnicodeError, "100 % \u00e9\n\x1b[31m"),
)
_ANY_RESULT: Final = 2
_kinds: Final = st.integers(0, len(_RAISED) - 1)
_results: Final = st.integers(0, 100) | json_values() | json_objects()
