"""How states and outcomes look: a class of the style sheet, never made of a task's own text."""

from __future__ import annotations

from typing import Final

from pytest_taskprogress.core import states

__all__ = ["CUSTOM", "OUTCOMES", "STATES", "outcome_class", "outcome_rank", "state_class"]

#: State -> class. What is not named here is a state of the user's own, and looks as PROGRESS does.
STATES: Final = {
    states.PENDING: "w",
    states.RECEIVED: "w",
    states.STARTED: "b",
    states.PROGRESS: "p",
    states.RETRY: "y",
    states.SUCCESS: "s",
    states.FAILURE: "f",
    states.REVOKED: "v",
    states.ABORTED: "a",
}
CUSTOM: Final = "p"

#: Outcome of a test -> class, in the order in which they are told.
OUTCOMES: Final = {
    "failed": "f",
    "error": "f",
    "xpassed": "y",
    "passed": "s",
    "xfailed": "v",
    "skipped": "v",
}


def state_class(state: str) -> str:
    """The class of a state."""
    return STATES.get(state, CUSTOM)


def outcome_class(outcome: str) -> str:
    """The class of a test's outcome."""
    return OUTCOMES.get(outcome, "w")


def outcome_rank(outcome: str) -> tuple[int, str]:
    """Sorts outcomes as they are told: bad ones first, unknown ones last."""
    known = list(OUTCOMES)
    return (known.index(outcome) if outcome in OUTCOMES else len(known), outcome)
