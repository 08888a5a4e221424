"""The drawing of a run: a lane for each task, with its states, its curve and its events."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pytest_taskprogress.core.states import TERMINAL_STATES
from pytest_taskprogress.report.curves import WIDTH, Point, area
from pytest_taskprogress.report.looks import state_class
from pytest_taskprogress.report.untrusted import duration
from pytest_taskprogress.report.writes import Happening, Task, Write

__all__ = ["Axis", "Lane", "Mark", "Segment", "lane"]

#: Of the width; what is at the last instant is given the rest, so that it can be seen.
_LAST_INSTANT: Final = 0.97
_DEEPEST: Final = 6
_MOST_MARKS: Final = 40


class Axis:
    """Where something is from left to right: by seconds, or in the order of the writes.

    In virtual time most writes share an instant. Then their order tells more.

    Args:
        tasks: Those of one run.
        happenings: What a scenario did to it.
    """

    def __init__(self, tasks: Sequence[Task], happenings: Sequence[Happening] = ()) -> None:
        writes = [write for task in tasks for write in task.writes]
        instants = {write.at for write in writes}
        done = chain(happenings, *(task.happenings for task in tasks))
        ends = instants.union(each.at for each in done)
        self._indices = sorted(write.index for write in writes)
        self.begin, self.end = min(ends, default=0.0), max(ends, default=0.0)
        self.by_time = len(instants) > 1 and 2 * len(instants) >= len(writes)

    @property
    def label(self) -> str:
        """What it shows."""
        passed = self.end - self.begin
        if self.by_time:
            return f"by time, from {duration(self.begin)} s to {duration(self.end)} s"
        if passed > 0:
            took = duration(passed)
            return f"in the order of writes, most of which share an instant; {took} s in all"
        return "in the order of writes; no time passed"

    @property
    def slot(self) -> float:
        """How wide a write is that is no longer than an instant."""
        if self.by_time:
            return WIDTH * (1 - _LAST_INSTANT)
        return WIDTH / (len(self._indices) or 1)

    def x(self, each: Write | Happening) -> float:
        """Where something begins."""
        if self.by_time:
            return WIDTH * _LAST_INSTANT * (each.at - self.begin) / (self.end - self.begin)
        return self.slot * bisect_left(self._indices, each.index)


@dataclass(frozen=True, slots=True)
class Segment:
    """How long a state lasted."""

    look: str
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at one place of a lane."""

    look: str
    left: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One task, drawn."""

    name: str
    title: str
    depth: int
    written: int
    state: str
    look: str
    segments: list[Segment]
    curves: list[str]
    marks: list[Mark]


def lane(task: Task, axis: Axis, happenings: Sequence[Happening] = ()) -> Lane:
    """Draw a task.

    Args:
        task: A task of a run.
        axis: That of the run.
        happenings: What was done to the whole run, if this lane is to show it.
    """
    return Lane(
        name=task.short,
        title=task.name if task.name != task.short else "",
        depth=min(task.depth, _DEEPEST),
        written=task.written,
        state=task.state,
        look=state_class(task.state),
        segments=list(_segments(task, axis)),
        curves=list(_curves(task, axis)),
        marks=list(_marks(task, axis, happenings))[:_MOST_MARKS],
    )


def _segments(task: Task, axis: Axis) -> Iterator[Segment]:
    stored = [write for write in task.writes if write.stored]
    look, start, end = "", 0, 0
    for position, write in enumerate(stored):
        if write.look != look:
            if end > start:
                yield Segment(look, start, end - start)
            look, start = write.look, round(axis.x(write))
        end = round(_end(stored, position, axis))
    if end > start:
        yield Segment(look, start, end - start)


def _end(stored: Sequence[Write], position: int, axis: Axis) -> float:
    if position + 1 < len(stored):
        return axis.x(stored[position + 1])
    if stored[position].state in TERMINAL_STATES:
        return min(axis.x(stored[position]) + axis.slot, WIDTH)
    return WIDTH


def _curves(task: Task, axis: Axis) -> Iterator[str]:
    """A curve for each attempt; what was reported last holds to the end of it."""
    stored = [write for write in task.writes if write.stored]
    points: list[Point] = []
    end = 0.0
    for position, write in enumerate(stored):
        if write.is_retry and points:
            yield area([*points, (axis.x(write), points[-1][1])])
            points = []
        if write.percent is not None:
            points.append((axis.x(write), write.percent))
        end = _end(stored, position, axis)
    if points:
        yield area([*points, (end, points[-1][1])])


def _marks(task: Task, axis: Axis, happenings: Sequence[Happening]) -> Iterator[Mark]:
    for each in (*happenings, *task.happenings):
        yield _mark(each.look, axis.x(each), f"{each.what}, at {duration(each.at)} s")
    if task.gap < len(task.writes) and task.left_out:
        x = axis.x(task.writes[task.gap])
        yield _mark("g", x, f"{task.left_out:,} writes left out")
    for write in task.writes:
        x = axis.x(write)
        if not write.stored:
            yield _mark("d", x, f"{write.state}, dropped by the backend")
        elif write.is_retry:
            yield _mark("y", x, f"retry {write.error}".rstrip())
        elif write.state in TERMINAL_STATES:
            yield _mark(write.look, x + axis.slot / 2, f"{write.state} {write.error}".rstrip())


def _mark(look: str, x: float, title: str) -> Mark:
    return Mark(look, f"{min(x, WIDTH) * 100 / WIDTH:.3g}", title)
