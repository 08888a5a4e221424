"""How rules are broken that are about when something is written, and how often."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pytest_taskprogress.core.states import PROGRESS, RETRY, STARTED
from pytest_taskprogress.strategies.breaking.story import PERCENT, Story

__all__ = ["break_first_report", "break_max_gap", "break_write_budget"]

#: More reports than any of these has.
_MANY: Final = 100


def break_first_report(story: Story) -> int:
    """The first report of an attempt comes late."""
    most = story.number(0, 10)
    story.figures = {"first_report": most}
    story.begin(PERCENT)
    if not story.writes or story.perhaps():
        if story.writes:
            story.write(RETRY, story.value(RETRY))
        story.write(STARTED, after=story.number(0, 60) if story.writes else 0.0)
    at = story.report(story.number(0, story.total), after=most + story.number(1, 40) / 4)
    story.rise()
    story.end()
    return at


def break_max_gap(story: Story) -> int:
    """Between two writes of an attempt it takes too long."""
    most = story.number(0, 10)
    story.figures = {"max_gap": most}
    story.begin()
    story.rise()
    story.report(story.number(story.position or 0, story.total))
    story.rise()
    story.end()
    at = story.number(1, len(story.writes) - 1)
    story.writes[at] = replace(story.writes[at], after=most + story.number(1, 40) / 4)
    return at


def break_write_budget(story: Story) -> int:
    """There are too many reports, or the step from one to the next is too small."""
    story.begin(PERCENT)
    if story.perhaps():
        story.total = 100
        step = story.number(1, 10)
        story.figures = {"write_budget": (_MANY, step)}
        before = story.number(0, story.total - step)
        story.report(before)
        at = story.report(before + story.number(0, step - 1))
        # The last report may come soon after.
        story.report(story.number(before + step - 1, story.total))
        story.end()
        return at
    most = story.number(1, 5)
    story.figures = {"write_budget": most}
    for _ in range(most + 1):
        story.report(story.number(story.position or 0, story.total))
    story.rise()
    story.end()
    return [at for at, each in enumerate(story.writes) if each.state == PROGRESS][most]
