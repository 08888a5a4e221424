"""Rules about what is reported: numbers that a progress bar can show, and words beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from pytest_taskprogress.checks.rules.base import Figure, Found, Rule, whole
from pytest_taskprogress.checks.subjects import TaskRecord
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import SUCCESS
from pytest_taskprogress.core.transitions import Transition

__all__ = ["BOUNDED", "COMPLETE", "CONSISTENT", "DESCRIBED", "MONOTONIC", "STABLE_TOTAL"]

#: How far a percentage may be from current / total, which may be rounded: to 0.01, or to a whole.
_ROUNDED: Final = 0.0100001


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    try:
        return _is_number(value) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _monotonic(task: TaskRecord, _: object) -> Iterator[Found]:
    for attempt in task.attempts:
        before: Transition | None = None
        for each in attempt:
            if not each.is_report:
                continue
            if before is not None:
                fell = _fell(before, each)
                if fell:
                    yield each, fell
            before = each


def _fell(before: Transition, each: Transition) -> str | None:
    old, new = before.percent, each.percent
    if old is not None and new is not None:
        return f"{new:g} % after {old:g} %" if new < old else None
    old, new = before.meta.get("current"), each.meta.get("current")
    if old.__class__ in (int, float) and new.__class__ in (int, float):
        same = before.meta.get("total") == each.meta.get("total")
        return f"current={new!r} after current={old!r}" if same and new < old else None
    return None


def _bounded(task: TaskRecord, _: object) -> Iterator[Found]:
    for each in task.reports:
        wrong = list(_out_of_bounds(each.meta))
        if wrong:
            yield each, ", ".join(wrong)


def _out_of_bounds(meta: dict[str, Any]) -> Iterator[str]:
    percent, current, total = meta.get("percent"), meta.get("current"), meta.get("total")
    for name, value in (("percent", percent), ("current", current), ("total", total)):
        if value is None:
            continue
        if not _is_number(value):
            yield f"{name}={as_repr(value)} is no number"
        elif not _is_finite(value):
            yield f"{name}={as_repr(value)} is no finite number"
        elif value < 0:
            yield f"{name}={value!r} is negative"
    if _is_finite(percent) and percent > 100:  # type: ignore[operator]  # noqa: PLR2004
        yield f"percent={percent!r} is more than 100"
    if _is_finite(total) and _is_finite(current) and current > total:  # type: ignore[operator]
        yield f"current={current!r} is more than total={total!r}"
    if _is_number(total) and total == 0 and percent is None:
        yield "total=0 without a percent: whoever computes it divides by zero"


def _consistent(task: TaskRecord, _: object) -> Iterator[Found]:
    for each in task.reports:
        meta = each.meta
        percent, current, total = meta.get("percent"), meta.get("current"), meta.get("total")
        if not (_is_finite(percent) and _is_finite(current) and _is_finite(total) and total):
            continue
        exact = current / total * 100.0
        whole = float(percent).is_integer()  # type: ignore[arg-type]
        if abs(percent - exact) > _ROUNDED and not (whole and abs(percent - exact) < 1):
            yield each, f"percent={percent!r}, but {current!r} of {total!r} is {exact:.5g} %"


def _complete(task: TaskRecord, _: object) -> Iterator[Found]:
    end = next((each for each in reversed(task.transitions) if each.stored), None)
    if end is None or end.state != SUCCESS:
        return
    reports = [each for each in task.attempts[-1] if each.is_report]
    last = end if end.percent is not None else reports[-1] if reports else end
    if last.percent is not None and last.percent < 100:  # noqa: PLR2004
        yield last, f"SUCCESS at {last.percent:g} %: whoever watches sees it stop short"


def _stable_total(task: TaskRecord, _: object) -> Iterator[Found]:
    for attempt in task.attempts:
        known: object = None
        for each in attempt:
            total = each.meta.get("total") if each.is_report else None
            if total is None:
                continue
            if known is not None and total != known:
                yield each, f"total={as_repr(total)} after total={as_repr(known)}"
            known = total


def _described(task: TaskRecord, least: int) -> Iterator[Found]:
    for each in task.reports:
        text = (each.message or "").strip()
        if len(text) < least:
            said = f"description={as_repr(text)}" if text else "no description"
            yield each, f"{said}: expected {least} characters or more"


MONOTONIC: Final = Rule(
    "monotonic",
    "a bar that goes back tells people that work was lost",
    _monotonic,
    of_reports=True,
)
BOUNDED: Final = Rule(
    "bounded",
    "0 to 100 %, 0 to the total: a bar has no room for anything else",
    _bounded,
    of_reports=True,
)
CONSISTENT: Final = Rule(
    "consistent",
    "percent is current / total: two front ends must not show two truths",
    _consistent,
    of_reports=True,
)
COMPLETE: Final = Rule(
    "complete",
    "a task that has succeeded is at 100 %",
    _complete,
    of_reports=True,
)
STABLE_TOTAL: Final = Rule(
    "stable-total",
    "a total that changes makes every earlier percentage wrong",
    _stable_total,
    of_reports=True,
)
DESCRIBED: Final = Rule(
    "described",
    "people want to read what is being done",
    _described,
    of_reports=True,
    figure=Figure("characters that every description has at least", whole(1)),
)
