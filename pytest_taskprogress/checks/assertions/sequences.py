"""Assertions about all that was stored, from first to last."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_taskprogress.checks.assertions.grounds import failure, known_of
from pytest_taskprogress.checks.patterns import compile_pattern
from pytest_taskprogress.checks.snapshots import normalised
from pytest_taskprogress.checks.subjects import Judged, Subject
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import History, Transition

__all__ = [
    "assert_different_transitions",
    "assert_not_states",
    "assert_same_transitions",
    "assert_states",
]


def assert_states(subject: Subject, pattern: str | Sequence[object]) -> History:
    """All that was stored, from first to last, is as a pattern says.

    Args:
        subject: A run, a history, or a list.
        pattern: As `"STARTED PROGRESS* (SUCCESS|FAILURE)"`, or a list, as for `run.matches()`.

    Returns:
        What was stored.

    Raises:
        CheckFailed: With the first transition that does not fit.
        PatternError: If the pattern is malformed.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    compiled = compile_pattern(pattern)
    match = compiled.match(known.history)
    if match.at is not None:
        stored = match.transitions
        headline = (
            f"{known.name} does not match {compiled}: {match.got} instead of {match.expected}"
        )
        at = stored[match.at] if match.at < len(stored) else None
        raise failure(known, headline, f"{match.expected} at {_mark(at)}", at=[at])
    return known.stored


def _mark(at: Transition | None) -> str:
    return "the end" if at is None else f"#{at.index}"


def assert_not_states(subject: Subject, pattern: str | Sequence[object]) -> History:
    """What was stored is not as a pattern says; see `assert_states`.

    Returns:
        What was stored.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    compiled = compile_pattern(pattern)
    if compiled.match(known.history):
        raise failure(known, f"{known.name} matches {compiled}", "that it does not")
    return known.stored


def assert_same_transitions(subject: Subject, other: Subject) -> History:
    """Two runs stored the same, but for ids, times, hostnames and line numbers.

    Returns:
        What the first one stored.

    Raises:
        CheckFailed: With the first difference.
    """
    __tracebackhide__ = True
    first, second = _all_of(subject), _all_of(other)
    ours, theirs = normalised(first.history), normalised(second.history)
    for position, (one, two) in enumerate(zip(ours, theirs, strict=False)):
        if one != two:
            keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
            differs = ", ".join(
                f"{key} {as_repr(one.get(key))}, not {as_repr(two.get(key))}" for key in keys
            )
            raise failure(
                first,
                f"the runs differ at position {position}: {differs}",
                str(second.history[position]).strip(),
                at=[first.history[position]],
            )
    if len(ours) != len(theirs):
        shorter = min(len(ours), len(theirs))
        longer = first if len(ours) > len(theirs) else second
        extra = longer.history[shorter]
        which = "first" if longer is first else "second"
        raise failure(
            longer,
            f"the runs are of {len(ours)} and {len(theirs)} transitions: the {which} one goes on",
            f"{shorter} transitions",
            at=[extra],
        )
    return first.history


def _all_of(subject: Subject) -> Judged:
    __tracebackhide__ = True
    known = known_of(subject)
    return known if known.run is None else Judged(known.name, known.run.history, known.run)


def assert_different_transitions(subject: Subject, other: Subject) -> History:
    """Two runs did not store the same; see `assert_same_transitions`.

    Returns:
        What the first one stored.
    """
    __tracebackhide__ = True
    first, second = _all_of(subject), _all_of(other)
    if normalised(first.history) == normalised(second.history):
        raise failure(first, "the runs stored the same", "a difference")
    return first.history
