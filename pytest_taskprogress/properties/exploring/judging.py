"""What is wrong with a run of a task that is explored: rules, and what no rule says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from kombu.exceptions import EncodeError

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.checks.rules.base import Violation
from pytest_taskprogress.checks.snapshots import as_json_line, normalised, snapshot
from pytest_taskprogress.core.errors import DeadlockError, EngineError, RuleError
from pytest_taskprogress.core.messages import as_line, as_repr, as_text
from pytest_taskprogress.core.states import FAILURE, SUCCESS, TERMINAL_STATES
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.scenario import (
    Advance,
    CrashWorker,
    Delay,
    Event,
    FailRead,
    FailWrite,
    Redeliver,
    Revoke,
    SoftTimeLimit,
)

__all__ = [
    "EXTRA_RULES",
    "differing",
    "endless",
    "ends_of",
    "repeated",
    "rules_named",
    "wrong_with",
]

#: What is looked for besides the rules of the contract, and why.
EXTRA_RULES: Final = {
    "raises": "an exception that a task does not declare in `throws` is one that nobody expects",
    "serializable": "what the serialiser refuses is raised in the task, where it reports",
    "deadlock": "tasks that wait for each other wait for ever",
    "endless": "a task that requeues itself for ever is a queue that never gets empty",
    "idempotent": "with acks_late a message may be delivered again, and its task run once more",
    "deterministic": "what differs from run to run can be neither explored nor repeated",
}

#: What breaks something that the task relies on: an exception is then to be expected.
_FAULTS: Final = (CrashWorker, FailRead, FailWrite, Revoke, SoftTimeLimit)
#: There is one clock: where one task sleeps, all others take as long.
_OF_TIME: Final = frozenset({"first-report", "max-gap"})
#: Events -> the rules that they break where the task does nothing wrong.
_BLAMELESS: Final[dict[type[Event], frozenset[str]]] = {
    # Time that the scenario let pass.
    Advance: _OF_TIME,
    Delay: _OF_TIME,
    # The write that was refused may be the worker's own, or the report that is missed.
    # Of a retry the message is published before RETRY is stored: without that the task has failed,
    # and comes back.
    FailWrite: frozenset(
        {"terminal", "complete", "abort-honoured", "first-report", "max-gap", "no-zombie"}
    ),
    FailRead: frozenset({"terminal", "abort-honoured"}),
    # Its own state, over which the task that goes on reports.
    Revoke: frozenset({"no-zombie"}),
    # A task that is run once more reports over its end; whether that end stays the same is asked.
    Redeliver: frozenset({"no-zombie"}),
    # The same; and a lock in the memory of the test outlives its worker.
    CrashWorker: frozenset({"deadlock", "no-zombie"}),
}
_DELIVERS_AGAIN: Final = (CrashWorker, Redeliver)
_LOST: Final = frozenset({"WorkerLostError"})


def rules_named(names: Iterable[object], contract: Contract) -> frozenset[str]:
    """Rules by their names, those of a contract and those that are looked for besides.

    Args:
        names: Names; in a text they are separated by commas.
        contract: Whose rules there are.

    Raises:
        RuleError: If there is no such rule; says which is nearest.
    """
    given = names.replace(",", " ").split() if isinstance(names, str) else names
    known = list(dict.fromkeys([*contract.rules, *EXTRA_RULES]))
    found = set()
    for name in given:
        key = name.strip().replace("_", "-") if isinstance(name, str) else ""
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            message = f"there is no rule {as_repr(name)}: {hint}There are {', '.join(known)}"
            raise RuleError(message)
        found.add(key)
    return frozenset(found)


def wrong_with(
    run: TaskRun, contract: Contract, app: Any, *, beside: bool = False
) -> list[Violation]:
    """What a run breaks, without what its scenario is to blame for.

    Args:
        run: The run.
        contract: What it is judged by.
        app: Whose tasks they are.
        beside: Whether several tasks ran beside each other.
    """
    happened = {type(each.event) for each in run.happened}
    blameless = (_OF_TIME if beside else frozenset[str]()).union(
        *(rules for kind, rules in _BLAMELESS.items() if kind in happened)
    )
    found = [*_raised(run, app), *contract.violations(run)]
    # What was written over an end is told of by the rules that say so.
    ended = {each.uuid for each in run.history if each.stored and each.state in TERMINAL_STATES}
    return [
        each
        for each in found
        if each.rule not in blameless and not (each.rule == "terminal" and _uuid(each) in ended)
    ]


def _uuid(violation: Violation) -> str | None:
    return None if violation.transition is None else violation.transition.uuid


def _raised(run: TaskRun, app: Any) -> Iterator[Violation]:
    broken = any(isinstance(each.event, _FAULTS) for each in run.happened)
    for each in (run, *run.children):
        error = each.exception
        # A group has the error of a member, which is among the children.
        if each.state != FAILURE or error is None or not each.own or each.name is None:
            continue
        last = [write for write in each.own if write.state == FAILURE][-1:]
        if not last or last[0].uuid != each.task_id:
            continue
        rule = _rule_of(error)
        if rule == "raises" and isinstance(error, EngineError):
            # What the engine cannot do is no fault of the task.
            continue
        expected = _is_declared(error, app.tasks.get(each.name)) or broken
        if rule != "raises" or not expected:
            yield _of_exception(rule, each, error, last[0])


def _rule_of(error: BaseException) -> str:
    if isinstance(error, DeadlockError):
        return "deadlock"
    return "serializable" if isinstance(error, EncodeError) else "raises"


def _is_declared(error: BaseException, task: Any) -> bool:
    """Whether a task says that it may raise it; its class may have been made anew from its name."""
    declared = tuple(getattr(task, "throws", None) or ())
    names = {each.__name__ for each in declared}
    return isinstance(error, declared) or bool(
        names & {each.__name__ for each in type(error).__mro__}
    )


def _of_exception(rule: str, run: TaskRun, error: BaseException, last: Transition) -> Violation:
    told = f"{type(error).__name__}: {as_text(error)}"
    if rule == "raises":
        told = (
            f"it raised {told}, and nothing was done to it. If it may, say so by"
            f" `throws=({type(error).__name__},)`"
        )
    return Violation(rule, str(run.name), told, last, last.raised_at)


def endless(name: str, error: Exception) -> Violation:
    """What a task breaks that does not come to its end."""
    return Violation("endless", name, as_text(error))


def differing(first: TaskRun, second: TaskRun) -> Iterable[Violation]:
    """What is broken by a task that does something else when it is run again."""
    texts = [snapshot(each.history, sources=False).split("\n") for each in (first, second)]
    if texts[0] == texts[1]:
        return
    longest = max(map(len, texts))
    lines = [[*text, *["(nothing more)"] * (longest - len(text))] for text in texts]
    at = next(index for index in range(longest) if lines[0][index] != lines[1][index])
    told = (
        f"run twice with the same arguments, nothing done to it, it did something else. The first"
        f" difference is at #{at}:\n  first:  {as_line(lines[0][at], 200)}\n"
        f"  second: {as_line(lines[1][at], 200)}\nWhat it depends on besides its arguments must be"
        " as before at each run: seed it, or put it back in a function, given as before="
    )
    transition = second.history[at] if at < len(second.history) else None
    yield Violation("deterministic", str(second.name), told, transition)


def repeated(run: TaskRun, undisturbed: TaskRun) -> Iterable[Violation]:
    """What is broken by a task that comes to another end when its message is delivered again."""
    kinds = {type(each.event) for each in run.happened}
    if not kinds or not kinds & set(_DELIVERS_AGAIN) or not kinds <= {*_DELIVERS_AGAIN, Delay}:
        return
    expected = next(iter(_ends(undisturbed)), None)
    for end, transition in _ends(run):
        if expected is not None and end != expected[0]:
            again = "its message was delivered again"
            told = f"{again}, and it came to {end}: undisturbed it comes to {expected[0]}"
            source = transition.source or next(
                (each.source for each in reversed(run.own) if each.source is not None), None
            )
            yield Violation("idempotent", str(run.name), told, transition, source)
            return


def ends_of(run: TaskRun) -> list[str]:
    """What a task came to, each time that it ran, as text."""
    return [end for end, _ in _ends(run)]


def _ends(run: TaskRun) -> Iterator[tuple[str, Transition]]:
    """What a task came to, each time that it ran; stored or not."""
    for entry, each in zip(normalised(run.own, sources=False), run.own, strict=True):
        if each.state not in TERMINAL_STATES:
            continue
        error = each.error
        if error is not None and error.partition(":")[0] in _LOST:
            continue
        result = entry["meta"] or entry["result"] if entry["result"] is None else entry["result"]
        what = "" if result is None and each.state != SUCCESS else f" {as_json_line(result)}"
        yield f"{each.state}{what}", each
