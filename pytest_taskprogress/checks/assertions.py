"""Assertion helpers: each returns what it found, so that a test can go on with it.

All of them take a run, a history, or a list of what was stored elsewhere; see `Subject`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar, cast

from pytest_taskprogress.checks.contract import Contract, check, told
from pytest_taskprogress.checks.matchers import Matcher, progress
from pytest_taskprogress.checks.matchers import state as state_of
from pytest_taskprogress.checks.patterns import compile_pattern
from pytest_taskprogress.checks.snapshots import normalised
from pytest_taskprogress.checks.subjects import Judged, Subject, judged
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.failed import NOTHING_RAN, CheckFailed
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import ABORTED, TERMINAL_STATES
from pytest_taskprogress.core.transitions import History, Transition

__all__ = [
    "assert_aborted",
    "assert_bounded",
    "assert_complete",
    "assert_contract",
    "assert_different_transitions",
    "assert_final",
    "assert_max_gap",
    "assert_max_writes",
    "assert_monotonic",
    "assert_never",
    "assert_no_progress",
    "assert_not_aborted",
    "assert_not_final",
    "assert_not_states",
    "assert_progress",
    "assert_reached",
    "assert_same_transitions",
    "assert_states",
]

_S = TypeVar("_S")

#: What an expectation of `assert_reached` and its like may be given by.
_Wanted = str | Matcher
#: Names of states, of which one is meant.
_NAME: Final = re.compile(r"[\w-]+(\|[\w-]+)*")


def _known(subject: Subject) -> Judged:
    """What is judged; there must be something."""
    __tracebackhide__ = True
    known = judged(subject)
    if not known.history:
        if known.run is not None and known.run.history:
            message = f"{known.name} stored nothing: only others did"
            raise CheckFailed(message, transitions=known.run.history)
        # Not a failure of what was expected: there is nothing that could be.
        message = f"{known.name} is empty: {NOTHING_RAN}"
        raise CheckFailed(message, allow="A task that ignores its results stores nothing.")
    return known


def _fail(
    known: Judged,
    headline: str,
    expected: str = "",
    *,
    at: Iterable[Transition | None] = (),
    allow: str = "",
) -> CheckFailed:
    """The error; `at` None: after the end."""
    history = known.history
    positions = {id(each): position for position, each in enumerate(history)}
    marks = sorted({len(history) if each is None else positions[id(each)] for each in at})
    return CheckFailed(headline, expected=expected, transitions=history, at=marks, allow=allow)


# -- sequences ------------------------------------------------------------------------------------


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
    known = _known(subject)
    compiled = compile_pattern(pattern)
    match = compiled.match(known.history)
    if match.at is not None:
        stored = match.transitions
        headline = (
            f"{known.name} does not match {compiled}: {match.got} instead of {match.expected}"
        )
        at = stored[match.at] if match.at < len(stored) else None
        raise _fail(known, headline, f"{match.expected} at {_mark(at)}", at=[at])
    return known.stored


def _mark(at: Transition | None) -> str:
    return "the end" if at is None else f"#{at.index}"


def assert_not_states(subject: Subject, pattern: str | Sequence[object]) -> History:
    """What was stored is not as a pattern says; see `assert_states`.

    Returns:
        What was stored.
    """
    __tracebackhide__ = True
    known = _known(subject)
    compiled = compile_pattern(pattern)
    if compiled.match(known.history):
        raise _fail(known, f"{known.name} matches {compiled}", "that it does not")
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
            raise _fail(
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
        raise _fail(
            longer,
            f"the runs are of {len(ours)} and {len(theirs)} transitions: the {which} one goes on",
            f"{shorter} transitions",
            at=[extra],
        )
    return first.history


def _all_of(subject: Subject) -> Judged:
    __tracebackhide__ = True
    known = _known(subject)
    return known if known.run is None else Judged(known.name, known.run.history, known.run)


def assert_different_transitions(subject: Subject, other: Subject) -> History:
    """Two runs did not store the same; see `assert_same_transitions`.

    Returns:
        What the first one stored.
    """
    __tracebackhide__ = True
    first, second = _all_of(subject), _all_of(other)
    if normalised(first.history) == normalised(second.history):
        raise _fail(first, "the runs stored the same", "a difference")
    return first.history


# -- progress -------------------------------------------------------------------------------------

_ANY: Final = progress()


def assert_progress(
    subject: Subject, percents: Sequence[object] | None = None, **expected: object
) -> list[Transition]:
    """Progress was reported: with these percentages, or once with these values.

    Args:
        subject: A run, a history, or a list.
        percents: Of each report, in order; None: any.
        **expected: Of one report at least, as for `progress()`: `current=3, total=10`.

    Returns:
        The reports that are meant.

    Raises:
        CheckFailed: If there are none.
    """
    __tracebackhide__ = True
    known = _known(subject)
    reports = known.progress
    if not reports:
        raise _fail(known, f"{known.name} reported no progress")
    if percents is not None:
        got = [each.percent for each in reports]
        # What compares whole lists (approx, dirty-equals) need not be one.
        given: object = percents
        wanted = list(given) if isinstance(given, Iterable) else []
        if got != (wanted if isinstance(given, Iterable) else given):
            if not isinstance(given, Iterable):
                raise _fail(known, f"{known.name}: percents are {as_repr(got)}", as_repr(given))
            shorter = min(len(got), len(wanted))
            differ = (i for i in range(shorter) if got[i] != wanted[i])
            first = next(differ, shorter)
            want = as_repr(wanted[first]) if first < len(wanted) else "no other report"
            came = as_repr(got[first]) if first < len(got) else "no other report"
            at = reports[first] if first < len(got) else None
            headline = f"{known.name}: report {first + 1} is {came}, not {want}"
            raise _fail(known, headline, f"percents {as_repr(wanted)}", at=[at])
    matcher = progress(**expected) if expected else _ANY
    found = [each for each in reports if matcher == each]
    if not found:
        headline = f"{known.name}: no report is {matcher!r}"
        raise _fail(known, headline, f"one of {len(reports)} reports to be it", at=reports[-1:])
    return found


def assert_no_progress(subject: Subject, **expected: object) -> None:
    """No progress was reported, or none with these values; see `assert_progress`."""
    __tracebackhide__ = True
    known = _known(subject)
    matcher = progress(**expected) if expected else _ANY
    found = [each for each in known.progress if matcher == each]
    if found:
        what = f"{matcher!r}" if expected else "progress"
        raise _fail(known, f"{known.name} reported {what}", "none of it", at=found[:1])


def _keeps(subject: _S, rule: str) -> _S:
    """Judge reports by a rule; there must be some."""
    __tracebackhide__ = True
    known = _known(cast("Subject", subject))
    if not known.progress:
        raise _fail(known, f"{known.name} reported no progress", f"some that is {rule}")
    # Of a run, what the task stored that it stands for.
    ours = {id(each) for each in known.history}
    violations = Contract().only(rule).violations(known.run or known.history)
    violations = [each for each in violations if id(each.transition) in ours]
    if violations:
        at = [each.transition for each in violations]
        raise _fail(known, f"{known.name} is not {rule}:\n{told(violations)}", at=at)
    return subject


def assert_monotonic(subject: _S) -> _S:
    """Progress never falls, but for another attempt. Returns what was given."""
    __tracebackhide__ = True
    return _keeps(subject, "monotonic")


def assert_bounded(subject: _S) -> _S:
    """All progress is between 0 and its total, and 0 and 100 %. Returns what was given."""
    __tracebackhide__ = True
    return _keeps(subject, "bounded")


def assert_complete(subject: _S) -> _S:
    """The last thing that was said of the progress is 100 %. Returns what was given."""
    __tracebackhide__ = True
    known = _known(cast("Subject", subject))
    last = [each for each in known.stored if each.percent is not None][-1:]
    # Sums of floats come near it.
    if not last or not (last[0].percent or 0.0) >= 100.0 - 1e-6:
        came = f"{last[0].percent:.8g} %" if last else "no percentage"
        raise _fail(known, f"{known.name} ends at {came}", "100 %", at=last)
    return subject


# -- states ---------------------------------------------------------------------------------------


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
    one_of = state_of(state, **expected)
    if len(names) == 1:
        return one_of
    return Matcher(repr(one_of), lambda each: each.state in names, expected)


def assert_reached(subject: Subject, state: _Wanted, **expected: object) -> Transition:
    """A state was stored, some time.

    Args:
        subject: A run, a history, or a list.
        state: Its name; several, as `"FAILURE|REVOKED"`; or a matcher, as `progress(percent=50)`.
        **expected: What came with it, as for `state()`.

    Returns:
        The first such transition.
    """
    __tracebackhide__ = True
    known = _known(subject)
    matcher = _wanted(state, expected)
    for each in known.stored:
        if matcher == each:
            return each
    raise _fail(known, f"{known.name} never came to {matcher!r}", f"{matcher!r}", at=[None])


def assert_never(subject: Subject, state: _Wanted, **expected: object) -> None:
    """A state was not stored at any time; see `assert_reached`."""
    __tracebackhide__ = True
    known = _known(subject)
    matcher = _wanted(state, expected)
    found = [each for each in known.stored if matcher == each]
    if found:
        raise _fail(known, f"{known.name} came to {matcher!r}", "that it never does", at=found[:1])


def assert_final(subject: Subject, state: str | None = None, **expected: object) -> Transition:
    """The task has ended: what is stored last is a terminal state.

    Args:
        subject: A run, a history, or a list.
        state: Which one, or several, as `"FAILURE|ABORTED"`; None: any.
        **expected: What came with it, as for `state()`: `result=10`.

    Returns:
        The last transition.
    """
    __tracebackhide__ = True
    known = _known(subject)
    last = known.stored[-1:]
    if not last or last[0].state not in TERMINAL_STATES:
        came = last[0].state if last else "nothing"
        ends = ", ".join(sorted(TERMINAL_STATES))
        raise _fail(known, f"{known.name} has not ended: {came} is stored", ends, at=last or [None])
    if state is not None or expected:
        matcher = _wanted(state, expected) if state is not None else state_of(..., **expected)
        if matcher != last[0]:
            got = ", ".join(f"{key}={value}" for key, value in matcher.got(last[0]).items())
            came = f"{last[0].state}{f' with {got}' if got else ''}"
            raise _fail(known, f"{known.name} ended in {came}", repr(matcher), at=last)
    return last[0]


def assert_not_final(subject: Subject) -> Transition:
    """The task has not ended. Returns the last transition."""
    __tracebackhide__ = True
    known = _known(subject)
    last = known.stored[-1:]
    if last and last[0].state in TERMINAL_STATES:
        raise _fail(known, f"{known.name} has ended", "that it goes on", at=last)
    return last[0] if last else known.history[-1]


def _last_of(known: Judged) -> Transition:
    __tracebackhide__ = True
    if not known.stored:
        raise _fail(known, f"{known.name}: the backend dropped all that was written", "an end")
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
    known = _known(subject)
    last = _last_of(known)
    if last.state != ABORTED:
        asked = known.run is not None and not known.run.aborts
        why = ": nobody asked it to abort" if asked else ""
        raise _fail(known, f"{known.name} ended in {last.state}{why}", ABORTED, at=[last])
    if reports is not None and known.run is not None and known.run.aborts:
        index = known.run.aborts[0].index
        after = [each for each in known.progress if each.index >= index]
        if len(after) > reports:
            headline = f"{known.name} wrote {len(after)} reports after it was asked to abort"
            raise _fail(known, headline, f"{reports} at most", at=after[reports:])
    return last


def assert_not_aborted(subject: Subject) -> Transition:
    """The task was not aborted. Returns the last transition."""
    __tracebackhide__ = True
    known = _known(subject)
    aborted = [each for each in known.stored if each.state == ABORTED]
    if aborted:
        raise _fail(known, f"{known.name} was aborted", "any other end", at=aborted[:1])
    return _last_of(known)


# -- how often, and when --------------------------------------------------------------------------


def assert_max_writes(subject: Subject, most: int) -> list[Transition]:
    """No more reports were written than this. Returns them."""
    __tracebackhide__ = True
    known = _known(subject)
    reports = known.progress
    if len(reports) > most:
        headline = f"{known.name} wrote {len(reports)} reports"
        raise _fail(known, headline, f"{most} at most", at=reports[max(most, 0) :][:1])
    return reports


def assert_max_gap(subject: Subject, seconds: float) -> float:
    """There was no longer time between two writes than this, by the engine's clock.

    Returns:
        The longest time there was, in seconds.
    """
    __tracebackhide__ = True
    known = _known(subject)
    if not any(each.uuid for each in known.history):
        message = f"{known.name} has no times: expected a TaskRun, a History or transitions"
        raise TypeError(message)
    gaps = [(each.at - before.at, each) for before, each in pairwise(known.stored)]
    gap, after = max(gaps, key=lambda each: each[0], default=(0.0, None))
    if gap > seconds:
        headline = f"{known.name} wrote nothing for {gap:g} s"
        raise _fail(known, headline, f"{seconds:g} s at most", at=[after])
    return gap


def assert_contract(subject: _S, *rules: str, **figures: Any) -> _S:  # noqa: ANN401
    """A run breaks no rule of its contract. Returns what was given.

    Args:
        subject: A run, a history, or a list.
        *rules: Names of those to judge by; none: all that are on.
        **figures: What rules go by: `max_gap=30`.

    Raises:
        ContractViolated: With all that it breaks.
        RuleError: If there is no such rule, or it cannot have such a figure.
    """
    __tracebackhide__ = True
    check(cast("Subject", subject), *rules, **figures)
    return subject
