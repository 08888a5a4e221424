"""Assertions about progress: what was reported, how often, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeVar, cast

from pytest_taskprogress.checks.assertions.grounds import failure, known_of
from pytest_taskprogress.checks.contract import Contract, told
from pytest_taskprogress.checks.matchers import progress
from pytest_taskprogress.checks.subjects import Subject
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import Transition

__all__ = [
    "assert_bounded",
    "assert_complete",
    "assert_max_gap",
    "assert_max_writes",
    "assert_monotonic",
    "assert_no_progress",
    "assert_progress",
]

_S = TypeVar("_S")

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
    known = known_of(subject)
    reports = known.progress
    if not reports:
        raise failure(known, f"{known.name} reported no progress")
    if percents is not None:
        got = [each.percent for each in reports]
        # What compares whole lists (approx, dirty-equals) need not be one.
        given: object = percents
        wanted = list(given) if isinstance(given, Iterable) else []
        if got != (wanted if isinstance(given, Iterable) else given):
            if not isinstance(given, Iterable):
                raise failure(known, f"{known.name}: percents are {as_repr(got)}", as_repr(given))
            shorter = min(len(got), len(wanted))
            differ = (i for i in range(shorter) if got[i] != wanted[i])
            first = next(differ, shorter)
            want = as_repr(wanted[first]) if first < len(wanted) else "no other report"
            came = as_repr(got[first]) if first < len(got) else "no other report"
            at = reports[first] if first < len(got) else None
            headline = f"{known.name}: report {first + 1} is {came}, not {want}"
            raise failure(known, headline, f"percents {as_repr(wanted)}", at=[at])
    matcher = progress(**expected) if expected else _ANY
    found = [each for each in reports if matcher == each]
    if not found:
        headline = f"{known.name}: no report is {matcher!r}"
        raise failure(known, headline, f"one of {len(reports)} reports to be it", at=reports[-1:])
    return found


def assert_no_progress(subject: Subject, **expected: object) -> None:
    """No progress was reported, or none with these values; see `assert_progress`."""
    __tracebackhide__ = True
    known = known_of(subject)
    matcher = progress(**expected) if expected else _ANY
    found = [each for each in known.progress if matcher == each]
    if found:
        what = f"{matcher!r}" if expected else "progress"
        raise failure(known, f"{known.name} reported {what}", "none of it", at=found[:1])


def _keeps(subject: _S, rule: str) -> _S:
    """Judge reports by a rule; there must be some."""
    __tracebackhide__ = True
    known = known_of(cast("Subject", subject))
    if not known.progress:
        raise failure(known, f"{known.name} reported no progress", f"some that is {rule}")
    # Of a run, what the task stored that it stands for.
    ours = {id(each) for each in known.history}
    violations = Contract().only(rule).violations(known.run or known.history)
    violations = [each for each in violations if id(each.transition) in ours]
    if violations:
        at = [each.transition for each in violations]
        raise failure(known, f"{known.name} is not {rule}:\n{told(violations)}", at=at)
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
    known = known_of(cast("Subject", subject))
    told = {each.uuid: each for each in known.stored if each.percent is not None}
    # Sums of floats come near it; of a group every member has to.
    short = [each for each in told.values() if not (each.percent or 0.0) >= 100.0 - 1e-6]
    if short or not told:
        came = f"{short[0].percent:.8g} %" if short else "no percentage"
        raise failure(known, f"{known.name} ends at {came}", "100 %", at=short[:1])
    return subject


def assert_max_writes(subject: Subject, most: int) -> list[Transition]:
    """No more reports were written than this. Returns them."""
    __tracebackhide__ = True
    known = known_of(subject)
    reports = known.progress
    if len(reports) > most:
        headline = f"{known.name} wrote {len(reports)} reports"
        raise failure(known, headline, f"{most} at most", at=reports[max(most, 0) :][:1])
    return reports


def assert_max_gap(subject: Subject, seconds: float) -> float:
    """There was no longer time between two writes than this, by the engine's clock.

    Returns:
        The longest time there was, in seconds.
    """
    __tracebackhide__ = True
    known = known_of(subject)
    if not any(each.uuid for each in known.history):
        message = f"{known.name} has no times: expected a TaskRun, a History or transitions"
        raise TypeError(message)
    gaps = [(each.at - before.at, each) for before, each in pairwise(known.stored)]
    gap, after = max(gaps, key=lambda each: each[0], default=(0.0, None))
    if gap > seconds:
        headline = f"{known.name} wrote nothing for {gap:g} s"
        raise failure(known, headline, f"{seconds:g} s at most", at=[after])
    return gap
