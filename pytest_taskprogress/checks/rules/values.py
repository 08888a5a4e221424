"""Rules about what is reported: numbers that a progress bar can show, and words beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from pytest_taskprogress.checks.rules.base import Figure, Found, Rule, whole
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import SUCCESS

__all__ = ["BOUNDED", "COMPLETE", "CONSISTENT", "DESCRIBED", "MONOTONIC", "STABLE_TOTAL"]

#: What sums of floats are off by: `percent += 100 / 7`.
_NOISE: Final = 1e-6
#: How far a percentage may be from current / total, by the decimals that it has: it may be rounded,
#: or cut, and int(29 / 100 * 100) is 28.
_ROUNDED: Final = ((0, 1.0 + _NOISE), (1, 0.1 + _NOISE), (15, 0.01 + _NOISE))
#: How far a percentage that is rounded to 0.01 may be off.
_NEAR: Final = 0.00501
_NUMBERS: Final[frozenset[Any]] = frozenset({int, float})
_LARGEST: Final = sys.float_info.max


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - whatever was stored
    # Of what is no number nothing is asked; NaN is less than nothing.
    return _is_number(value) and -_LARGEST <= value <= _LARGEST


def _monotonic(task: JudgedTask, _: object) -> Iterator[Found]:
    for bar in task.bars:
        # What was told last; a report in between may tell neither.
        percent: float | None = None
        counted: dict[str, Any] = {}
        for each in bar:
            new = each.percent
            if new is None or percent is None:
                fell = _fell(counted, each.meta)
                if fell:
                    yield each, fell
            elif new < percent - _NOISE:
                yield each, f"{new:.8g} % after {percent:.8g} %"
            percent = percent if new is None else new
            counted = each.meta if "current" in each.meta else counted


def _fell(before: dict[str, Any], meta: dict[str, Any]) -> str | None:
    old, new = before.get("current"), meta.get("current")
    if old.__class__ not in _NUMBERS or new.__class__ not in _NUMBERS:
        return None
    if before.get("total") != meta.get("total") or not new < old:  # type: ignore[operator]
        return None
    return f"current={as_repr(new)} after current={as_repr(old)}"


def _bounded(task: JudgedTask, _: object) -> Iterator[Found]:
    for each in task.reports:
        meta = each.meta
        # Nearly all of them are fine, and there may be a million.
        if not _fits(meta.get("percent"), meta.get("current"), meta.get("total")):
            wrong = list(_out_of_bounds(meta))
            if wrong:
                yield each, ", ".join(wrong)


def _fits(percent: Any, current: Any, total: Any) -> bool:  # noqa: ANN401 - whatever was stored
    return (
        percent.__class__ in _NUMBERS
        and current.__class__ in _NUMBERS
        and total.__class__ in _NUMBERS
        and 0 <= percent <= 100  # noqa: PLR2004
        and 0 <= current <= total <= _LARGEST
    )


def _out_of_bounds(meta: dict[str, Any]) -> Iterator[str]:
    percent, current, total = meta.get("percent"), meta.get("current"), meta.get("total")
    for name, value in (("percent", percent), ("current", current), ("total", total)):
        # A `current` without a total may be a name: of the file that is read.
        if value is None or (name == "current" and total is None and isinstance(value, str)):
            continue
        if not _is_number(value):
            yield f"{name}={as_repr(value)} is no number"
        elif not _is_finite(value):
            yield f"{name}={as_repr(value)} is no finite number"
        elif value < 0:
            yield f"{name}={value!r} is negative"
    if _is_finite(percent) and percent > 100 + _NOISE:  # type: ignore[operator]
        yield f"percent={percent!r} is more than 100"
    if _is_finite(total) and _is_finite(current) and current > total:  # type: ignore[operator]
        yield f"current={current!r} is more than total={total!r}"
    if _is_number(total) and total == 0 and percent is None:
        yield "total=0 without a percent: whoever computes it divides by zero"


def _consistent(task: JudgedTask, _: object) -> Iterator[Found]:
    for each in task.reports:
        meta = each.meta
        percent, current, total = meta.get("percent"), meta.get("current"), meta.get("total")
        if _agree(percent, current, total):
            continue
        if not total or not (_is_finite(percent) and _is_finite(current) and _is_finite(total)):
            continue
        exact = current / total * 100.0
        off = abs(percent - exact)
        if not any(off < most and round(percent, n) == percent for n, most in _ROUNDED):  # type: ignore[arg-type]
            yield each, f"percent={percent!r}, but {current!r} of {total!r} is {exact:.5g} %"


def _agree(percent: Any, current: Any, total: Any) -> bool:  # noqa: ANN401 - whatever was stored
    return (
        total.__class__ in _NUMBERS
        and percent.__class__ in _NUMBERS
        and current.__class__ in _NUMBERS
        and 0 < total <= _LARGEST
        and 0 <= current <= total
        and -_LARGEST <= percent <= _LARGEST
        and -_NEAR < percent - current / total * 100.0 < _NEAR
    )


def _complete(task: JudgedTask, _: object) -> Iterator[Found]:
    end = next((each for each in reversed(task.transitions) if each.stored), None)
    # Whoever has asked it to abort does not expect all of it.
    if end is None or end.state != SUCCESS or task.aborts:
        return
    # A report in between may tell neither.
    told = [each for each in task.attempts[-1].reports if each.percent is not None]
    last = told[-1] if told else end
    # What a task returns may say that it is complete; it may have a `percent` of something else.
    at = max(last.percent or 0.0, end.percent or 0.0)
    if last.percent is not None and at < 100 - _NOISE:
        yield last, f"SUCCESS at {last.percent:.8g} %: whoever watches sees it stop short"


def _stable_total(task: JudgedTask, _: object) -> Iterator[Found]:
    for bar in task.bars:
        known: object = None
        for each in bar:
            total = each.meta.get("total")
            if total is None:
                continue
            if known is not None and total != known:
                yield each, f"total={as_repr(total)} after total={as_repr(known)}"
            known = total


def _described(task: JudgedTask, least: int) -> Iterator[Found]:
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
