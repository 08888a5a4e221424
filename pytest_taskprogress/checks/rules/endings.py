"""Rules about how a task ends: once, for everybody to see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from pytest_taskprogress.checks.rules.base import Found, Rule
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    RETRY,
    REVOKED,
    STARTED,
    SUCCESS,
    TERMINAL_STATES,
    Outcome,
    check_transition,
)
from pytest_taskprogress.core.transitions import Transition

__all__ = ["ABORT_SURVIVES", "NO_ZOMBIE", "TERMINAL"]

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


def _terminal(task: JudgedTask, _: object) -> Iterator[Found]:
    # What no task was started for is a record that tasks keep for each other.
    if not task.ended or not task.starts:
        return
    last = next((each for each in reversed(task.transitions) if each.stored), None)
    if last is None or last.state in TERMINAL_STATES:
        return
    why = "Ignore and Reject leave the last write as it is, and so does ignore_result"
    if any(each.stored and each.state in TERMINAL_STATES for each in task.transitions):
        why = "it was written over the end"
    elif last.state == RETRY:
        why = "the attempt that it asked for never came"
    yield last, f"it has ended, and {last.state} is what everybody reads for ever: {why}"


def _after_the_end(task: JudgedTask) -> Iterator[tuple[Transition, Transition]]:
    """Each write to a task that had ended, and what was stored then."""
    ended = task.before
    for each in task.transitions:
        if ended is not None and each.old_state in TERMINAL_STATES:
            yield each, ended
        if each.stored:
            ended = each


def _is_lost(each: Transition, ended: Transition) -> bool:
    # A flag of Celery's AbortableTask: ours stores what the task had come to.
    return ended.state == ABORTED != each.state and not ended.meta


def _abort_survives(task: JudgedTask, _: object) -> Iterator[Found]:
    for each, ended in _after_the_end(task):
        if _is_lost(each, ended):
            where = f", at {ended.source}," if ended.source else ""
            by = f" at {each.source}" if each.source else " by the worker"
            message = (
                f"the abort that was asked for{where} is lost: {each.state} was stored over"
                f" ABORTED{by}. With Celery's AbortableTask the request is the state itself, which"
                " every later write erases: give the task base=AbortableTask of"
                " pytest_taskprogress, and ask it by task.AsyncResult(id).abort()"
            )
            yield each, message


def _no_zombie(task: JudgedTask, _: object) -> Iterator[Found]:
    for each, ended in _after_the_end(task):
        if not _is_lost(each, ended):
            message = _wrong(each, ended, f", at {ended.source}," if ended.source else "")
            if message is None and each.is_report and ended.state == SUCCESS:
                message = (
                    f"{each.state} was reported after SUCCESS: some result backends drop it, with"
                    " others the task looks alive again. Report nothing after the end"
                )
            if message is not None and not _is_of_another(task, each, ended):
                yield each, message


def _is_of_another(task: JudgedTask, each: Transition, ended: Transition) -> bool:
    """Whether it may be of another execution than the one that ended.

    What is dropped after SUCCESS is lost if the task asked for that execution, and is no loss if
    its message was only delivered again.
    """
    # One that a worker died with has no end, and is over when the next one begins.
    starts = [start for start in task.starts if start.ended is not None or start is task.starts[-1]]
    enders = [start for start in starts if start.covers(ended.index)]
    if starts and each.source is None and not any(start.covers(each.index) for start in starts):
        # Celery says of a part of a canvas that it failed, whatever has become of it.
        return True
    return any(
        (each.stored or writer.again or any(ender.again for ender in enders))
        and (writer.index > ended.index or any(ender is not writer for ender in enders))
        for writer in starts
        if writer.covers(each.index)
    )


def _wrong(each: Transition, ended: Transition, where: str) -> str | None:
    old, new = ended.state, each.state
    # STARTED: of a message that is delivered again, and finds the task aborted. REVOKED is what
    # whoever revokes stores, or the worker that throws such a message away: no report of the task.
    # Of a process that died, and of what comes after what failed, Celery says so itself.
    again = (old, new) == (ABORTED, STARTED) or new == REVOKED or _is_of_celery(each)
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
    if not each.stored and new == FAILURE and not again:
        return (
            f"SUCCESS was stored{where} and then the task raised: the backend dropped the FAILURE,"
            " while on_failure and errbacks ran. Report success last"
        )
    # Who returns nothing loses nothing.
    if not each.stored and new == SUCCESS and each.result not in (None, ended.result):
        return (
            f"SUCCESS was stored{where} with a result of its own, and the first SUCCESS is final:"
            f" what the function returned, {as_repr(each.result)}, is lost. Return the meta that"
            " success() gives, or give the task base=ProgressTask"
        )
    return None


def _is_of_celery(each: Transition) -> bool:
    return each.source is None and (each.error or "").startswith(("ChordError", "WorkerLostError"))


TERMINAL: Final = Rule(
    "terminal",
    "whoever polls a task whose end was not stored waits for ever",
    _terminal,
)
NO_ZOMBIE: Final = Rule(
    "no-zombie",
    "nothing after the end: a task that has ended must not look alive",
    _no_zombie,
)
ABORT_SURVIVES: Final = Rule(
    "abort-survives",
    "an abort that a later write erases was never asked for",
    _abort_survives,
)
