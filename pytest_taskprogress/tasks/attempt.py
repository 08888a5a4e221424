"""One execution of a task, as its observers see it: who reports in it, and how it ended."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pytest_taskprogress.tasks.aborting import AbortCheck

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

    def held(self) -> dict[str, Any] | None:
        """The meta of the report that `throttle` holds back; None if none is."""

    def on_error(self, error: Exception) -> None:
        """Hear that the attempt ends in an error."""

    def on_end(self) -> None:
        """Hear that the attempt has an ending."""


@dataclass(slots=True)
class Attempt:
    """One execution of a task.

    Attributes:
        keeps: The endings that the task stores itself, when its function returns.
        entered: True once the function of a ProgressTask was called.
        reporters: The observers in it.
        latest: The one that reported last.
        ending: The outcome that one of them gave it; None while it goes on.
        abort_check: Tells whether the task is to abort; None if it was not asked yet.
        lock: Held by whoever reports: one for all observers, since an outcome concerns them all.
    """

    keeps: frozenset[str] = frozenset()
    entered: bool = False
    reporters: list[Reporter] = field(default_factory=list)
    latest: Reporter | None = None
    ending: Ending | None = None
    abort_check: AbortCheck | None = None
    lock: AbstractContextManager[bool] = field(
        default_factory=threading.RLock, compare=False, repr=False
    )

    def end(self, ending: Ending) -> None:
        """Give it an ending, and tell everybody who reports in it."""
        self.ending = ending
        for reporter in self.reporters:
            reporter.on_end()


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
