"""How rules are broken that are about how a task ends, and how it is aborted."""

from __future__ import annotations

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    PROGRESS,
    RETRY,
    REVOKED,
    STARTED,
    SUCCESS,
)
from pytest_taskprogress.strategies.breaking.story import Story

__all__ = [
    "break_abort_honoured",
    "break_abort_survives",
    "break_no_zombie",
    "break_terminal",
]


def break_terminal(story: Story) -> int:
    """Nothing more can come of the task, and what was stored last is no end."""
    story.begin()
    story.rise()
    story.starts = (Start(0.0, 0),)
    if story.perhaps():
        return story.write(RETRY, story.value(RETRY))
    if not story.writes:
        return story.report(0)
    return len(story.writes) - 1


def break_no_zombie(story: Story) -> int:
    """Something is written after the end."""
    story.begin()
    story.rise()
    ended = story.choose(FAILURE, REVOKED, ABORTED, SUCCESS)
    after = story.choose(SUCCESS, PROGRESS, *((FAILURE,) if ended in (ABORTED, SUCCESS) else ()))
    if SUCCESS in (ended, after):
        story.complete()
    if ended == SUCCESS:
        story.write(SUCCESS, story.choose(0, None))
    else:
        story.write(ended, story.value(ended))
    if after == SUCCESS:
        # Another result than the one that is stored.
        at = story.write(SUCCESS, story.number(1, 9))
    elif after == PROGRESS:
        at = story.report(story.number(story.position or 0, story.total))
    else:
        at = story.write(FAILURE, story.value(FAILURE))
    if after == PROGRESS and ended != SUCCESS and story.perhaps():
        story.write(FAILURE, story.value(FAILURE))
    return at


def break_abort_survives(story: Story) -> int:
    """A write erases the request to abort, which is the state of a task of Celery's."""
    story.begin()
    story.rise()
    at = story.write(ABORTED) + 1
    if story.perhaps():
        story.write(STARTED)
        story.position = None
    story.rise()
    story.end(SUCCESS, FAILURE, REVOKED)
    return at


def break_abort_honoured(story: Story) -> int | None:
    """A task reports, or looks for the request, more than once after it was asked to abort."""
    story.begin()
    story.rise()
    asked = len(story.writes)
    story.aborts = (AbortRequest("task-1", 0.0, asked),)
    first = None
    for _ in range(story.number(0, 3)):
        at = story.report(story.number(story.position or 0, story.total))
        first = at if first is None else first
    reports = len(story.writes) - asked
    story.checks_after_abort = story.number(0 if reports > 1 else 2, 4)
    story.end()
    # Also what it reports to be complete comes after the request.
    late = (at for at, each in enumerate(story.writes) if at >= asked and each.state == PROGRESS)
    return next(late, None)
