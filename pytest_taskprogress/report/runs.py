"""A run, as the page shows it: its headline, its findings, the drawing and the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.report.cuts import Gap, shown
from pytest_taskprogress.report.lanes import Axis, Lane, lane
from pytest_taskprogress.report.looks import state_class
from pytest_taskprogress.report.rows import Note, Row, rows
from pytest_taskprogress.report.untrusted import duration, items, text, whole
from pytest_taskprogress.report.writes import Happening, Task, happenings_of, tasks_of

__all__ = ["Finding", "Run", "run_of"]

#: Tasks that are drawn; as many more of those that did not succeed.
_MOST_TASKS: Final = 50
_MOST_FINDINGS: Final = 50
_MOST_EVENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule of the contract that a run broke."""

    rule: str
    task: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Run:
    """One call of an engine.

    Attributes:
        key: What it is found by: the class of its state, and a letter for each trait.
        findings: Those that are shown.
        rules: The rule of each finding, also of those that are not.
        alike: How many runs in a row it stands for.
        is_detailed: False if only its headline is shown.
    """

    number: int
    name: str
    state: str
    look: str
    key: str
    elapsed: str
    under: Sequence[str]
    error: str
    task_count: int
    written: int
    aborts: int
    retries: int
    findings: Sequence[Finding]
    rules: Sequence[str]
    alike: int
    axis: str
    lanes: Sequence[Lane | Gap]
    rows: Sequence[Row | Note]
    is_detailed: bool
    is_open: bool

    @property
    def found(self) -> int:
        """How many rules it broke, each task counted."""
        return len(self.rules)


def run_of(record: Mapping[str, Any], number: int, *, is_detailed: bool, is_open: bool) -> Run:
    """Make a run of its record.

    Args:
        record: What a test left.
        number: Its number on the page, from 1.
        is_detailed: Whether more than its headline is shown.
        is_open: Whether that is seen from the beginning.
    """
    tasks = tasks_of(record)
    happenings = happenings_of(record)
    findings = items(record.get("findings"))
    state = text(record.get("state")) or "PENDING"
    aborts = sum(len(task.happenings) for task in tasks)
    retries = sum(write.is_retry for task in tasks for write in task.writes)
    under = record.get("under")
    events = [text(each) for each in under] if isinstance(under, (list, tuple)) else []
    look = state_class(state)
    traits = {"n": findings, "x": aborts, "y": retries, "e": events}
    axis = Axis(tasks, happenings) if is_detailed else None
    names = {task.id: task.name for task in tasks}
    return Run(
        number=number,
        name=text(record.get("name")) or "group",
        state=state,
        look=look,
        key=" ".join(["s" + look, *("t" + each for each, there in traits.items() if there)]),
        elapsed=duration(record.get("elapsed")),
        under=events[:_MOST_EVENTS],
        error=text(record.get("error")),
        task_count=len(tasks),
        written=sum(task.written for task in tasks),
        aborts=aborts,
        retries=retries,
        findings=[_finding(each, names) for each in findings[:_MOST_FINDINGS]],
        rules=[_rule(each) for each in findings],
        alike=max(whole(record.get("alike"), 1), 1),
        axis=axis.label if axis else "",
        lanes=_lanes(tasks, axis, happenings) if axis else (),
        rows=rows(tasks, happenings) if axis else (),
        is_detailed=is_detailed,
        is_open=is_open,
    )


def _lanes(tasks: Sequence[Task], axis: Axis, happenings: Sequence[Happening]) -> list[Lane | Gap]:
    """A lane for each task; the first one shows what was done to all of them."""
    chosen = shown(tasks, _MOST_TASKS, lambda task: state_class(task.state) != "s")
    return [
        each if isinstance(each, Gap) else lane(each, axis, () if number else happenings)
        for number, each in enumerate(chosen)
    ]


def _finding(record: Mapping[str, Any], names: Mapping[str, str]) -> Finding:
    task = text(record.get("task"))
    return Finding(
        rule=_rule(record),
        task=names.get(task, task),
        message=text(record.get("message"), 1_000),
        source=text(record.get("source")),
    )


def _rule(record: Mapping[str, Any]) -> str:
    return text(record.get("rule")) or "(no rule)"
