"""How rules are broken that are about what is reported, and whether it can be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pytest_taskprogress.core.states import FAILURE, PROGRESS, RETRY, STARTED, SUCCESS
from pytest_taskprogress.strategies.breaking.story import (
    COUNTED,
    CURRENT,
    PERCENT,
    WHOLE,
    Story,
)

__all__ = [
    "break_bounded",
    "break_complete",
    "break_consistent",
    "break_described",
    "break_monotonic",
    "break_readable",
    "break_serializable",
    "break_stable_total",
]

#: A percentage may be rounded or cut, and be off by one: what is more is another truth.
_OFF: Final = 1.01


def break_monotonic(story: Story) -> int:
    """A report falls behind an earlier one; what comes after goes on from there, or stays."""
    story.begin(PERCENT, COUNTED, WHOLE, CURRENT)
    top = story.number(1, story.total)
    story.rise(top)
    story.report(top)
    at = story.report(story.number(0, top - 1))
    story.rise()
    story.end()
    return at


def break_bounded(story: Story) -> int:
    """A report is less than 0 %, more than 100 %, no number, or 0 of 0."""
    kind = story.choose("of nothing", "above", "below", "text")
    if kind == "of nothing":
        story.begin(COUNTED)
        story.total = 0
        at = story.report(0)
        story.rise()
    elif kind == "text":
        story.begin(PERCENT)
        story.rise()
        told = story.position
        at = story.report(0, {"percent": story.choose("50 %", "", "100.0", "NaN")})
        story.position = told
        story.rise()
    else:
        story.begin(PERCENT, COUNTED)
        if kind == "above":
            story.rise()
            at = story.report(story.total, _beyond(story, 100, story.total, 1))
        else:
            at = story.report(0, _beyond(story, 0, 0, -1))
            story.rise()
    story.end()
    return at


def _beyond(story: Story, percent: int, current: int, sign: int) -> dict[str, Any]:
    if story.keys == PERCENT:
        return {"percent": percent + sign * story.number(1, 10_000) / 100}
    return {"current": current + sign * story.number(1, 1_000)}


def break_consistent(story: Story) -> int:
    """A report's percentage is not that of its position."""
    story.begin(WHOLE)
    story.rise()
    position = story.number(story.position or 0, story.total)
    percent = story.meta(position)["percent"]
    others = [
        each for each in range(story.total + 1) if abs(each / story.total * 100.0 - percent) > _OFF
    ]
    at = story.report(position, {"current": story.choose(*others)})
    story.rise()
    story.end()
    return at


def break_complete(story: Story) -> int:
    """The last report before SUCCESS is less than 100 %."""
    story.begin()
    story.rise(story.total - 1)
    at = story.report(story.number(story.position or 0, story.total - 1))
    if story.perhaps():
        story.write(PROGRESS, {"description": "rows"})  # tells nothing of how far it has come
    story.write(SUCCESS, story.value(SUCCESS))
    return at


def break_stable_total(story: Story) -> int:
    """A report has another total than the one before; the percentage does not fall."""
    story.begin(COUNTED, WHOLE)
    story.rise()
    before = story.number(story.position or 0, story.total)
    story.report(before)
    total = story.number(1, 20)
    total += total == story.total
    least = -(-before * total // story.total)  # rounded up
    story.total = total
    at = story.report(story.number(least, total))
    story.rise()
    story.end()
    return at


def break_serializable(story: Story) -> int:
    """A report, or the result of a task that reports, is no JSON that a browser reads."""
    story.begin()
    story.rise()
    story.report(story.number(story.position or 0, story.total))
    story.rise()
    story.end(SUCCESS, FAILURE)
    written = [at for at, each in enumerate(story.writes) if each.state in (PROGRESS, SUCCESS)]
    at = written[story.number(0, 9) % len(written)]  # a choice also where there is one
    value: object = float(story.choose("inf", "nan", "-inf"))
    for _ in range(story.number(0, 2)):
        value = [value] if story.perhaps() else {"left": value}
    write = story.writes[at]
    with_it = [value] if write.state == SUCCESS else {**write.value, "left": value}
    story.writes[at] = replace(write, value=with_it)
    return at


def break_readable(story: Story) -> int:
    """FAILURE or RETRY is stored by hand, without an exception."""
    story.begin()
    story.rise()
    why = story.choose({"why": "disk full"}, "disk full")
    if not story.perhaps():
        return story.write(FAILURE, story.choose(None, why))
    at = story.write(RETRY, why)
    story.position = None
    if story.perhaps():
        story.write(STARTED)
    story.rise()
    story.end()
    return at


def break_described(story: Story) -> int:
    """A report's description is missing, blank, or shorter than it must be."""
    story.begin()
    least = story.number(1, 4)
    story.figures = {"described": least}
    story.rise()
    position = story.number(story.position or 0, story.total)
    text = story.choose(None, "", " \n", "row"[: least - 1])
    at = story.report(position, {"description": text})
    if text is None:
        del story.writes[at].value["description"]
    story.rise()
    story.end()
    return at
