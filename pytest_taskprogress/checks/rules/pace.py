"""Rules about when something is written, and how often; and how soon an abort is honoured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from pytest_taskprogress.checks.rules.base import Figure, Found, Rule, seconds, whole
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.core.transitions import Transition

__all__ = ["ABORT_HONOURED", "FIRST_REPORT", "MAX_GAP", "WRITE_BUDGET", "Budget"]


class Budget(NamedTuple):
    """How much a task may write in a run.

    Attributes:
        writes: How many reports at most.
        step: How many percentage points one is after the other at least; the last one excepted.
    """

    writes: int
    step: float = 0.0


def _budget(value: Any) -> Budget:  # noqa: ANN401 - as a user wrote it
    parts = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        parts = (parts,)
    try:
        writes, *steps = parts
        (step,) = steps or (0.0,)
        return Budget(whole(1)(writes), seconds(step))
    except ValueError:
        message = (
            "expected how many reports at most, a whole number, and maybe the smallest step in"
            " percentage points, as in (100, 1.0)"
        )
        raise ValueError(message) from None


def _abort_honoured(task: JudgedTask, most: int) -> Iterator[Found]:
    if not task.aborts:
        return
    asked = task.aborts[0]
    if any(each.index == asked.index and each.state == ABORTED for each in task.transitions[:-1]):
        # Asked for by the state itself, of Celery's AbortableTask: that it is lost is told already.
        return
    reports = [each for each in task.reports if each.index >= asked.index]
    if max(len(reports), task.checks_after_abort) > most:
        what = (
            f"{_count(len(reports), 'report')} and {_count(task.checks_after_abort, 'abort check')}"
        )
        message = (
            f"it was asked to abort at {asked.at:g} s, and went on for {what}: expected {most} of"
            " each at most. With base=AbortableTask it looks at each report of its Observer, and at"
            " `raise_if_aborted()`: let it do so more often"
        )
        yield reports[0] if reports else None, message


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _first_report(task: JudgedTask, most: float) -> Iterator[Found]:
    for attempt in task.attempts:
        began, report = attempt.began, next(iter(attempt.reports), None)
        if began is None or report is None:
            continue
        after = round(report.at - began, 6)
        if after > most:
            yield report, f"the first report came after {after:g} s: expected {most:g} s at most"


def _max_gap(task: JudgedTask, most: float) -> Iterator[Found]:
    for began, stored in task.attempts:
        if began is not None:
            yield from _too_long(began, stored[0], most)
        for before, each in pairwise(stored):
            yield from _too_long(before.at, each, most)


def _too_long(began: float, each: Transition, most: float) -> Iterator[Found]:
    gap = round(each.at - began, 6)
    if gap > most:
        yield each, f"nothing was written for {gap:g} s: expected {most:g} s at most"


def _write_budget(task: JudgedTask, budget: Budget) -> Iterator[Found]:
    reports = task.reports
    if len(reports) > budget.writes:
        message = (
            f"{len(reports)} reports: expected {budget.writes} at most. Each is a write to the"
            " result backend: Observer(..., throttle=0.5) writes what people can see"
        )
        yield reports[budget.writes], message
    small = [
        (before, each)
        for before, each in pairwise(reports[:-1] if budget.step else ())
        if before.percent is not None
        and each.percent is not None
        and 0 <= round(each.percent - before.percent, 6) < budget.step
    ]
    if small:
        before, each = small[0]
        message = (
            f"{len(small)} steps of less than {budget.step:g} percentage points, the first of them"
            f" from {before.percent:g} % to {each.percent:g} %"
        )
        yield each, message


ABORT_HONOURED: Final = Rule(
    "abort-honoured",
    "whoever asks a task to stop waits until it does",
    _abort_honoured,
    figure=Figure("reports and abort checks after the request, at most", whole(0), default=1),
)
FIRST_REPORT: Final = Rule(
    "first-report",
    "until the first report nobody knows whether anything happens",
    _first_report,
    of_reports=True,
    figure=Figure("seconds of the engine's clock from the start to the first report", seconds),
)
MAX_GAP: Final = Rule(
    "max-gap",
    "a bar that stands still is taken for a task that hangs",
    _max_gap,
    of_reports=True,
    figure=Figure("seconds of the engine's clock between two writes", seconds),
)
WRITE_BUDGET: Final = Rule(
    "write-budget",
    "a write for every row is the top load on many a database",
    _write_budget,
    of_reports=True,
    figure=Figure("reports a run at most, and maybe the smallest step in percent", _budget),
)
