"""The list of a run's transitions: a row each, and one for whatever was done to the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_taskprogress.report.cuts import Gap, shown
from pytest_taskprogress.report.untrusted import percentage, seconds
from pytest_taskprogress.report.writes import Happening, Task, Write

__all__ = ["Note", "Row", "rows"]

#: Rows at the ends of a list; as many may be kept between them.
_MOST: Final = 60


@dataclass(frozen=True, slots=True)
class Row:
    """A write."""

    look: str
    index: int
    at: str
    task: str
    states: str
    percent: str
    message: str
    error: str
    source: str
    is_worth_a_look: bool
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A line between the writes.

    Attributes:
        left_out: How many writes were left out here; 0 if it tells of something else.
    """

    look: str
    at: str
    text: str
    source: str
    left_out: int = 0
    is_worth_a_look: bool = True
    is_note: bool = True


def rows(tasks: Sequence[Task], happenings: Sequence[Happening] = ()) -> list[Row | Note]:
    """What was written and done, in order; cut if it is long.

    Args:
        tasks: Those of one run; a row names its own only if there are several.
        happenings: What a scenario did to the run.
    """
    several = len(tasks) > 1
    # What was done before a write has the index of that write, and comes first.
    found: list[tuple[int, int, Row | Note]] = []
    for task in tasks:
        name = task.short if several else ""
        if task.left_out:
            beyond = task.writes[-1].index + 1 if task.writes else 0
            index = task.writes[task.gap].index if task.gap < len(task.writes) else beyond
            found.append((index, 0, _left_out(task.left_out, name)))
        found += [(each.index, 2, _row(each, name)) for each in task.writes]
        found += [(each.index, 1, _note(each, name)) for each in task.happenings]
    found += [(each.index, 1, _note(each, "")) for each in happenings]
    found.sort(key=lambda each: each[:2])
    cut = shown([row for *_, row in found], _MOST, lambda row: row.is_worth_a_look)
    return list(_merged(cut))


def _merged(cut: Iterable[Row | Note | Gap]) -> Iterator[Row | Note]:
    """What was left out here, and what had been before: as one line, where they meet."""
    gap: Note | None = None
    for each in cut:
        row = _left_out(each.count, "") if isinstance(each, Gap) else each
        if isinstance(row, Note) and row.left_out:
            gap = _left_out(gap.left_out + row.left_out, "") if gap else row
            continue
        if gap:
            yield gap
            gap = None
        yield row
    if gap:
        yield gap


def _row(write: Write, task: str) -> Row:
    dropped = "" if write.stored else "dropped by the backend"
    return Row(
        look=write.look if write.stored else "d",
        index=write.index,
        at=seconds(write.at),
        task=task,
        states=f"{write.old} → {write.state}",
        percent=percentage(write.percent),
        message=write.message,
        error=" · ".join(filter(None, (dropped, write.error))),
        source=write.source,
        is_worth_a_look=bool(write.error) or not write.stored or write.is_retry,
    )


def _note(happening: Happening, task: str) -> Note:
    what = f"{happening.what} · {task}" if task else happening.what
    return Note(happening.look, seconds(happening.at), what, happening.source)


def _left_out(count: int, task: str) -> Note:
    of = f" of {task}" if task else ""
    return Note("g", "", f"… {count:,} more{of}", "", count)
