"""Assertions about states: which were reached, and how the task ended."""

from __future__ import annotations

import re
from typing import Final

from pytest_taskprogress.checks.assertions.grounds import ends_of, failure, known_of
from pytest_taskprogress.checks.matchers import Matcher
from pytest_taskprogress.checks.matchers import state as state_of
from pytest_taskprogress.checks.patterns import compile_pattern
from pytest_taskprogress.checks.subjects import Judged, Subject
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.messages import as_line, as_repr
from pytest_taskprogress.core.states import ABORTED, SUCCESS, TERMINAL_STATES
from pytest_taskprogress.core.transitions import Transition

__all__ = [
    "assert_aborted",
    "assert_final",
    "assert_never",
    "assert_not_aborted",
    "assert_not_final",
    "assert_reached",
]

#: Names of states, of which one is meant.
_NAME: Final = re.compile(r"[\w-]+(\|[\w-]+)*")


def _wanted(state: str | Matcher, expected: dict[str, object]) -> Matcher:
    if isinstance(state, Matcher):
        if expected:
            message = f"{state!r} says itself what is expected, got {as_repr(expected)} beside it"
            raise PatternError(message)
        return state
    # For the hint that a pattern gives on names that are not meant.
    pattern = compile_pattern(state)
    if not _NAME.fullmatch(str(pattern)):
        message = (
            f"expected one state, or several as 'FAILURE|REVOKED', got {pattern}: see assert_states"
        )
        raise PatternError(message)
    names = str(state).split("|")
    if len(names) == 1:
        return state_of(state, **expected)
    code = repr(state_of(..., **expected)).replace("...", repr(state), 1)
    return Matcher(code, lambda each: each.state in names, expected)


def assert_reached(subject: Subject, state: str | Matcher, **expected: object) -> Transition:
    """A state was stored, some time.

    Args:
        subject: A run, a history, or a list.
        state: Its name; several, as `"FAILURE|REVOKED"`; or a matcher, as `progress(percent=50)`.
        **expected: What came with it, as for `state()`.

    Returns:
        The first such transition.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    matcher = _wanted(state, expected)
    for each in known.stored:
        if matcher == each:
            return each
    raise failure(known, f"{known.name} never came to {matcher!r}", f"{matcher!r}", at=[None])


def assert_never(subject: Subject, state: str | Matcher, **expected: object) -> None:
    """A state was not stored at any time; see `assert_reached`."""
    __tracebackhide__ = True
    known = known_of(subject)
    matcher = _wanted(state, expected)
    found = [each for each in known.stored if matcher == each]
    if found:
        raise failure(
            known, f"{known.name} came to {matcher!r}", "that it never does", at=found[:1]
        )


def assert_final(subject: Subject, state: str | None = None, **expected: object) -> Transition:
    """The task has ended: what is stored last is a terminal state.

    Args:
        subject: A run, a history, or a list; of a group every member must have ended so.
        state: Which one, or several, as `"FAILURE|ABORTED"`; None: any.
        **expected: What came with it, as for `state()`: `result=10`.

    Returns:
        The last transition.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    ends = ends_of(known)
    alive = [each for each in ends if each.state not in TERMINAL_STATES]
    if alive or not ends:
        came = alive[0].state if alive else "nothing"
        headline = f"{known.name} has not ended: {came} is stored"
        raise failure(known, headline, ", ".join(sorted(TERMINAL_STATES)), at=alive or [None])
    if state is not None or expected:
        matcher = _wanted(state, expected) if state is not None else state_of(..., **expected)
        for end in ends:
            if matcher != end:
                got = ", ".join(f"{key}={value}" for key, value in matcher.got(end).items())
                came = f"{end.state}{f' with {got}' if got else ''}"
                if end.error and "error" not in expected:
                    came = f"{came}: {as_line(end.error)}"
                raise failure(known, f"{known.name} ended in {came}", repr(matcher), at=[end])
    return ends[-1]


def assert_not_final(subject: Subject) -> Transition:
    """The task, or one of several, has not ended. Returns its last transition."""
    __tracebackhide__ = True
    known = known_of(subject)
    ends = ends_of(known)
    alive = [each for each in ends if each.state not in TERMINAL_STATES]
    if ends and not alive:
        raise failure(known, f"{known.name} has ended", "that it goes on", at=ends[-1:])
    return alive[-1] if alive else known.history[-1]


def _last_of(known: Judged) -> Transition:
    __tracebackhide__ = True
    if not known.stored:
        raise failure(known, f"{known.name}: the backend dropped all that was written", "an end")
    return known.stored[-1]


def assert_aborted(subject: Subject, *, reports: int | None = None) -> Transition:
    """The task was aborted, and that is how it ended.

    Args:
        subject: A run, a history, or a list.
        reports: How many reports it wrote at most after it was asked to; None: any number.

    Returns:
        The last transition.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    _last_of(known)
    ends = ends_of(known)
    aborted = [each for each in ends if each.state == ABORTED]
    # Of a group, those that were over when it was asked for had succeeded.
    others = [each for each in ends if each.state not in (ABORTED, SUCCESS)]
    if others or not aborted:
        other = (others or ends)[-1]
        unasked = known.run is not None and not known.run.aborts
        why = ": nobody asked it to abort" if unasked else ""
        raise failure(known, f"{known.name} ended in {other.state}{why}", ABORTED, at=[other])
    last = aborted[-1]
    if reports is not None and known.run is not None and known.run.aborts:
        index = known.run.aborts[0].index
        after = [each for each in known.progress if each.index >= index]
        if len(after) > reports:
            headline = f"{known.name} wrote {len(after)} reports after it was asked to abort"
            raise failure(known, headline, f"{reports} at most", at=after[reports:])
    return last


def assert_not_aborted(subject: Subject) -> Transition:
    """The task was not aborted. Returns the last transition."""
    __tracebackhide__ = True
    known = known_of(subject)
    aborted = [each for each in known.stored if each.state == ABORTED]
    if aborted:
        raise failure(known, f"{known.name} was aborted", "any other end", at=aborted[:1])
    return _last_of(known)
