"""One execution of a task, as its observers see it: who reports in it, and how it ended."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

__all__ = ["Attempt", "Ending", "Reporter", "attempt_of"]

#: Attribute of Celery's request that holds its attempt.
_ATTRIBUTE: Final = "taskprogress_attempt"


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome that an observer gave an attempt.

    Attributes:
        state: A terminal state.
        meta: What goes with it.
        exception: What a client's `get()` raises; None for SUCCESS.
    """

    state: str
    meta: dict[str, Any]
    exception: Exception | None = None


class Reporter(Protocol):
    """Who reports in an attempt: an Observer."""

    def flush(self) -> None:
        """Write the report that `throttle` holds back."""

    def on_error(self, error: Exception) -> None:
        """Hear that the attempt ends in an error."""

    def on_end(self) -> None:
        """Hear that the attempt has an ending."""


@dataclass(slots=True)
class Attempt:
    """One execution of a task.

    Attributes:
        keeps_ending: True if the task stores the ending itself, when its function returns.
        entered: True once the function of a ProgressTask was called.
        reporters: The observers in it.
        ending: The outcome that one of them gave it; None while it goes on.
        lock: Held by whoever reports: one for all observers, since an outcome concerns them all.
    """

    keeps_ending: bool = False
    entered: bool = False
    reporters: list[Reporter] = field(default_factory=list)
    ending: Ending | None = None
    lock: AbstractContextManager[bool] = field(
        default_factory=threading.RLock, compare=False, repr=False
    )


def attempt_of(request: Any) -> Attempt:
    """The attempt of a request; a new one if it has none yet.

    Args:
        request: A `celery.app.task.Context`.
    """
    attempt: Attempt | None = vars(request).get(_ATTRIBUTE)
    if attempt is None:
        attempt = Attempt()
        setattr(request, _ATTRIBUTE, attempt)
    return attempt
