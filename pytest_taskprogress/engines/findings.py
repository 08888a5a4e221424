"""What the author of a test should know of: writes to a task that had ended, lost messages."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    REVOKED,
    STARTED,
    SUCCESS,
    TERMINAL_STATES,
    Outcome,
    check_transition,
)
from pytest_taskprogress.core.transitions import History, Source, Transition

__all__ = ["Findings", "finding"]

#: Frames of these packages publish on behalf of somebody; the first one above them is the source.
_PUBLISHERS: Final = ("celery.", "contextlib", "kombu.", "pytest_taskprogress.")


#: What to do where SUCCESS was stored over an end.
_WAYS_OUT: Final = defaultdict(
    lambda: (
        "so Celery does with a plain Task. Give the task base=ProgressTask: under it an Observer's"
        " outcome is final"
    ),
    {
        REVOKED: (
            "revoke() does nothing to a task that runs, unless its process is killed. To ask it to"
            " stop, give it base=AbortableTask and abort it"
        )
    },
)


class Findings:
    """Collects what is found while tasks run, and warns of it when they have.

    Args:
        history: Returns all transitions so far.

    Attributes:
        discarded: Why messages were thrown away, one after the other.
    """

    def __init__(self, history: Callable[[], History]) -> None:
        self.discarded: list[str] = []
        self._history = history
        self._suspects: list[Transition] = []
        self._told = 0

    def note(self, transition: Transition) -> None:
        """Keep a write that may be one to warn of."""
        if transition.old_state in TERMINAL_STATES:
            self._suspects.append(transition)

    def tell(self) -> None:
        """Warn of what was found since the last time: at the line that reported, or published."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            found = finding(suspect, self._history())
            if found is not None:
                _warn(*found)
        while self._told < len(self.discarded):
            self._told += 1
            _warn(f"a worker threw a message away: {self.discarded[self._told - 1]}", None)

    def tell_threads(self, names: list[str]) -> None:
        """Warn of threads that tasks left running."""
        if names:
            _warn(
                f"tasks left threads running: {', '.join(names)}. What they write about their tasks"
                " from now on is dropped; join them before the task returns, as a worker's process"
                " may end at any time after that",
                None,
            )

    def clear(self) -> None:
        """Forget all of it."""
        self.discarded.clear()
        self._suspects.clear()
        self._told = 0


def _warn(message: str, source: Source | None) -> None:
    if source is None:
        frame = frame_outside(_PUBLISHERS)
        where = ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    else:
        where = (source.file, source.line)
    warnings.warn_explicit(message, TaskProgressWarning, *where)


def finding(transition: Transition, history: History) -> tuple[str, Source | None] | None:
    """Say what is wrong with a write to a task that had ended.

    Args:
        transition: The write.
        history: What was written before, and maybe after, it.

    Returns:
        A message, and the line of code that it is about; None if nothing is wrong.
    """
    ended = _end_of(transition, history)
    if ended is None:
        return None
    where = f", at {ended.source}," if ended.source else ""
    message = _message(transition, ended, where)
    if message is None:
        return None
    return f"{transition.name or transition.uuid}: {message}", transition.source or ended.source


def _message(transition: Transition, ended: Transition, where: str) -> str | None:
    old, new = ended.state, transition.state
    if old == ABORTED and new != ABORTED and not ended.meta:
        by = f" at {transition.source}" if transition.source else " by the worker"
        return (
            f"the abort that was asked for{where} is lost: {new} was stored over ABORTED{by}. With"
            " Celery's AbortableTask the request is the state itself, which every later write"
            " erases: give the task base=AbortableTask of pytest_taskprogress, and ask it by"
            " task.AsyncResult(id).abort()"
        )
    # STARTED: of a message that is delivered again, and finds the task aborted.
    again = (old, new) == (ABORTED, STARTED)
    if check_transition(old, new) is Outcome.FORBIDDEN and not again:
        if new == SUCCESS:
            return (
                f"{old} was stored{where} and replaced by SUCCESS when the function returned:"
                f" {_WAYS_OUT[old]}"
            )
        return (
            f"{new} was stored over {old}, so that a task that has ended looks alive to everybody"
            " who reads its result. Report nothing after the end"
        )
    if not transition.stored and new == FAILURE:
        return (
            f"SUCCESS was stored{where} and then the task raised: the backend dropped the FAILURE,"
            " while on_failure and errbacks ran. Report success last"
        )
    if not transition.stored and new == SUCCESS and transition.result != ended.result:
        return (
            f"SUCCESS was stored{where} with a result of its own, and the first SUCCESS is final:"
            f" what the function returned, {transition.result!r}, is lost. Return the meta that"
            " success() gives, or give the task base=ProgressTask"
        )
    return None


def _end_of(transition: Transition, history: History) -> Transition | None:
    """The stored transition that a write came upon."""
    before = [
        each
        for each in history
        if each.uuid == transition.uuid and each.stored and each.index < transition.index
    ]
    return before[-1] if before else None
