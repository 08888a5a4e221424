"""Single transitions: every step from one state to another."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.sequence import ProgressSequence, Write
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    PENDING,
    PROGRESS,
    RECEIVED,
    RETRY,
    REVOKED,
    STARTED,
    SUCCESS,
    Outcome,
    check_transition,
    is_report,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.strategies.defining import lazily
from pytest_taskprogress.strategies.ends import value_of
from pytest_taskprogress.strategies.values import metas

__all__ = ["transitions"]

#: From the simplest on; one state of a user's own stands for all of them.
_OLD: Final = (PENDING, STARTED, PROGRESS, "UPLOADING", RETRY, RECEIVED)
_ENDED: Final = (SUCCESS, FAILURE, REVOKED, ABORTED)
_NEW: Final = (*_ENDED, PROGRESS, "UPLOADING", STARTED, RETRY, RECEIVED)


@lazily
def transitions(
    *,
    old_state: str | None = None,
    state: str | None = None,
    outcome: Outcome | None = Outcome.ALLOWED,
) -> st.SearchStrategy[Transition]:
    """Single writes over a state that is stored, each with what is stored with its state.

    Args:
        old_state: What is stored; `PENDING`: nothing; None: any.
        state: What is written; None: any.
        outcome: What the write means: by default a step that a task may take; None: any.
    """
    # What annotations promise, callers may break.
    named: tuple[tuple[str, object], ...] = (("old_state", old_state), ("state", state))
    given: object
    for name, given in named:
        if given is not None and (not isinstance(given, str) or not given):
            message = f"Expected the name of a state or None but got {name}={as_repr(given)}"
            raise InvalidArgument(message)
    given = outcome
    if given is not None and not isinstance(given, Outcome):
        message = f"Expected an Outcome or None but got outcome={as_repr(outcome)}"
        raise InvalidArgument(message)
    pairs = [
        (old, new)
        for old in ((*_OLD, *_ENDED) if old_state is None else (old_state,))
        for new in (_NEW if state is None else (state,))
        if outcome in (None, check_transition(old, new))
    ]
    if not pairs:
        message = (
            f"Cannot have outcome={outcome} with old_state={old_state!r} and state={state!r}: no"
            " such step has it"
        )
        raise InvalidArgument(message)
    return _transitions(st.sampled_from(pairs))


@st.composite
def _transitions(draw: st.DrawFn, pairs: st.SearchStrategy[tuple[str, str]]) -> Transition:
    old, new = draw(pairs)
    value = draw(_metas) if is_report(new) else value_of(draw, new, None)
    writes = [Write(new, value)] if old == PENDING else [Write(old), Write(new, value)]
    return ProgressSequence(*writes)[-1]


_metas: Final = metas()
