"""Writes to a task that had ended, and what their author should know of them."""

from __future__ import annotations

from pytest_taskprogress.core.states import FAILURE, SUCCESS, Outcome, check_transition
from pytest_taskprogress.core.transitions import History, Source, Transition

__all__ = ["finding"]


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
    if check_transition(old, new) is Outcome.FORBIDDEN:
        if new == SUCCESS:
            return (
                f"{old} was stored{where} and replaced by SUCCESS when the function returned, as"
                " Celery does with a plain Task. Give the task base=ProgressTask: under it an"
                " Observer's outcome is final"
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
