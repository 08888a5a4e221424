"""The states of a task, and which may follow which.

`TRANSITIONS` is the whole rule, as data: every pair of known states that may follow each other,
with its cause. `check_transition` walks it. A state that is not named here (people store
`"UPLOADING"`) is treated as `PROGRESS` is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = [
    "ABORTED",
    "EXCEPTION_STATES",
    "FAILURE",
    "KNOWN_STATES",
    "PENDING",
    "PROGRESS",
    "RECEIVED",
    "RETRY",
    "REVOKED",
    "RUNNING",
    "STARTED",
    "SUCCESS",
    "SUSPENDED",
    "TERMINAL_STATES",
    "TRANSITIONS",
    "Outcome",
    "check_transition",
    "is_report",
]

PENDING: Final = "PENDING"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
PROGRESS: Final = "PROGRESS"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
ABORTED: Final = "ABORTED"

#: What listeners are told when a flow, or an attempt of a task, begins; no backend stores it.
RUNNING: Final = "RUNNING"
#: A flow that waits to be resumed; no backend stores it.
SUSPENDED: Final = "SUSPENDED"

#: Every state of a task that this package gives a meaning to.
KNOWN_STATES: Final = frozenset(
    {PENDING, RECEIVED, STARTED, PROGRESS, RETRY, SUCCESS, FAILURE, REVOKED, ABORTED}
)

#: States that end a task. Celery's READY_STATES, and ABORTED.
TERMINAL_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED, ABORTED})

#: States that a result backend reads back as an exception.
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED})

#: (old state, new state) -> what causes it.
TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    # from nothing stored
    (PENDING, RECEIVED): "a worker took the message",
    (PENDING, STARTED): "a worker started the task and the app tracks that",
    (PENDING, PROGRESS): "the first report of an app that does not track the start",
    (PENDING, RETRY): "the first attempt asked for another one",
    (PENDING, SUCCESS): "the task returned without a report",
    (PENDING, FAILURE): "the task raised without a report, or a task before it in a chain did",
    (PENDING, REVOKED): "revoked, or expired, before it started",
    (PENDING, ABORTED): "aborted before it started",
    # waiting in a worker
    (RECEIVED, STARTED): "the worker started the task",
    (RECEIVED, PROGRESS): "the first report of an app that does not track the start",
    (RECEIVED, RETRY): "the first attempt asked for another one",
    (RECEIVED, SUCCESS): "the task returned without a report",
    (RECEIVED, FAILURE): "the task raised without a report",
    (RECEIVED, REVOKED): "revoked while it waited in the worker",
    (RECEIVED, ABORTED): "aborted while it waited in the worker",
    # running
    (STARTED, STARTED): "the message was delivered again after its worker was lost",
    (STARTED, PROGRESS): "the first report",
    (STARTED, RETRY): "the attempt asked for another one",
    (STARTED, SUCCESS): "the task returned",
    (STARTED, FAILURE): "the task raised, or its worker was lost",
    (STARTED, REVOKED): "terminated while it ran",
    (STARTED, ABORTED): "an abort was honoured",
    (PROGRESS, STARTED): "the message was delivered again after its worker was lost",
    (PROGRESS, PROGRESS): "the next report",
    (PROGRESS, RETRY): "the attempt asked for another one",
    (PROGRESS, SUCCESS): "the task returned",
    (PROGRESS, FAILURE): "the task raised, or its worker was lost",
    (PROGRESS, REVOKED): "terminated while it ran",
    (PROGRESS, ABORTED): "an abort was honoured",
    # waiting for the next attempt
    (RETRY, STARTED): "the next attempt started",
    (RETRY, PROGRESS): "the next attempt's first report, the start not tracked",
    (RETRY, RETRY): "the next attempt asked for another one, the start not tracked",
    (RETRY, SUCCESS): "the next attempt returned, the start not tracked",
    (RETRY, FAILURE): "the next attempt raised, the start not tracked",
    (RETRY, REVOKED): "revoked while it waited for the next attempt",
    (RETRY, ABORTED): "aborted while it waited for the next attempt",
    # ended: the same end may be told twice
    (FAILURE, FAILURE): "a chord or a chain tells the same failure again",
    (REVOKED, REVOKED): "the worker confirms what control.revoke already stored",
    (ABORTED, ABORTED): "a redelivered message finds the task aborted",
}


class Outcome(Enum):
    """What a write means for the state that a task is in."""

    ALLOWED = "allowed"
    """The task goes on to the new state."""
    IGNORED = "ignored"
    """The task has succeeded: a key-value backend drops the write and nothing changes."""
    FORBIDDEN = "forbidden"
    """The write would bring back, or turn round, a task that has ended."""


def check_transition(old_state: str, state: str) -> Outcome:
    """Tell what it means to write a state over another.

    Args:
        old_state: The state that is stored; `PENDING` if none is.
        state: The state that is written.

    Returns:
        One of three outcomes; never raises.

    Source:
        `BaseKeyValueStoreBackend._store_result` of Celery, for what is dropped after SUCCESS.
    """
    if old_state == SUCCESS:
        return Outcome.IGNORED
    old = old_state if old_state in KNOWN_STATES else PROGRESS
    new = state if state in KNOWN_STATES else PROGRESS
    return Outcome.ALLOWED if (old, new) in TRANSITIONS else Outcome.FORBIDDEN


#: States that are written by the worker or by a producer, never as a report of progress.
_NOT_REPORTS: Final = KNOWN_STATES - {PROGRESS}


def is_report(state: str) -> bool:
    """Tell whether a write of this state is a report: `PROGRESS`, or a state of the user's own."""
    return state not in _NOT_REPORTS
