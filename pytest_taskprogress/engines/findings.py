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
    where = f", at {ended.source}," if ended is not None and ended.source else ""
    task = transition.name or transition.uuid
    source = transition.source or (ended.source if ended else None)
    new = transition.state
    if check_transition(transition.old_state, new) is Outcome.FORBIDDEN:
        if new == SUCCESS:
            return (
                f"{task}: {transition.old_state} was stored{where} and replaced by SUCCESS when the"
                " function returned, as Celery does with a plain Task. Give the task"
                " base=ProgressTask: under it an Observer's outcome is final",
                source,
            )
        return (
            f"{task}: {new} was stored over {transition.old_state}, so that a task that has ended"
            " looks alive to everybody who reads its result. Report nothing after the end",
            source,
        )
    if transition.stored or ended is None:
        return None
    if new == FAILURE:
        return (
            f"{task}: SUCCESS was stored{where} and then the task raised: the backend dropped the"
            " FAILURE, while on_failure and errbacks ran. Report success last",
            source,
        )
    if new == SUCCESS and transition.result != ended.result:
        return (
            f"{task}: SUCCESS was stored{where} with a result of its own, and the first SUCCESS is"
            f" final: what the function returned, {transition.result!r}, is lost. Return the meta"
            " that success() gives, or give the task base=ProgressTask",
            source,
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
