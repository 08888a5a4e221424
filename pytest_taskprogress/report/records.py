"""Runs as plain values, which travel from one process to another: what a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from pytest_taskprogress.checks.reach import counted, last_report
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.transitions import History, Source, Transition

__all__ = ["Recorder", "record_of", "with_relative_sources"]

#: Of each task so many writes are kept at its beginning, and at its end.
_ENDS: Final = 30
_LONGEST: Final = 1_000
#: Keys whose values are `file:line`.
_SOURCES: Final = frozenset({"source", "report"})


class _Finding(Protocol):
    @property
    def rule(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def source(self) -> Source | None: ...


class _Happened(Protocol):
    @property
    def event(self) -> object: ...
    @property
    def at(self) -> float: ...
    @property
    def index(self) -> int: ...


class _Run(Protocol):
    """What is asked of a run: a `TaskRun` has it."""

    @property
    def task_id(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def exception(self) -> BaseException | None: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def under(self) -> Sequence[object]: ...
    @property
    def happened(self) -> Sequence[_Happened]: ...
    @property
    def own(self) -> History: ...
    @property
    def aborts(self) -> Sequence[AbortRequest]: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def children(self) -> Sequence[_Run]: ...
    @property
    def violations(self) -> Sequence[_Finding]: ...


def record_of(run: _Run) -> dict[str, Any]:
    """A run as plain values, as long ones cut; what they are is said in `report.page`."""
    error = run.exception
    runs = [each for each in (run, *run.children) if each.own and each.own[0].uuid == each.task_id]
    runs.sort(key=lambda each: each.own[0].index)
    return {
        "name": run.name,
        "id": run.task_id,
        "state": run.state,
        "elapsed": run.elapsed,
        "under": [as_repr(event) for event in run.under],
        "events": [
            {"what": as_repr(each.event), "at": each.at, "index": each.index, "source": None}
            for each in run.happened
        ],
        "error": None if error is None else _cut(f"{type(error).__name__}: {as_text(error)}"),
        "tasks": [_task_of(each) for each in runs],
        "findings": [
            {
                "rule": each.rule,
                "task": each.task,
                "message": _cut(each.message),
                "source": _source_of(each.source),
            }
            for each in run.violations
        ],
        "alike": 1,
    }


def _task_of(run: _Run) -> dict[str, Any]:
    own = run.own
    left_out = max(0, len(own) - 2 * _ENDS)
    shown = [*own[:_ENDS], *own[-_ENDS:]] if left_out else own
    return {
        "id": run.task_id,
        "name": run.name,
        "parent": run.parent,
        "state": run.state,
        "writes": [_write_of(each) for each in shown],
        "left_out": left_out,
        "cut": counted(own[_ENDS : _ENDS + left_out]),
        "aborts": [
            {
                "at": each.at,
                "index": each.index,
                "source": _source_of(each.source),
                "report": last_report(own, each.index),
            }
            for each in run.aborts
        ],
    }


def _write_of(each: Transition) -> dict[str, Any]:
    return {
        "index": each.index,
        "at": each.at,
        "old": each.old_state,
        "state": each.state,
        "kind": each.kind,
        "percent": each.percent,
        "message": _cut(each.message),
        "error": _cut(each.error),
        "source": _source_of(each.source),
        "stored": each.stored,
    }


def _source_of(source: Source | None) -> str | None:
    return None if source is None else str(source)


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({len(text):,} characters)"


class Recorder:
    """Keeps the runs of a test; of those that are alike and follow each other, the first one.

    Attributes:
        runs: See `record_of`.
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self._shape: object = None

    def keep(self, run: _Run) -> None:
        """Keep a run."""
        record = record_of(run)
        shape = _shape_of(record)
        if self.runs and shape == self._shape:
            self.runs[-1]["alike"] += 1
            return
        self._shape = shape
        self.runs.append(record)


def _shape_of(record: dict[str, Any]) -> object:
    """What alike runs have in common: all but ids, and the numbers of writes."""
    numbers = {task["id"]: number for number, task in enumerate(record["tasks"])}
    first = record["tasks"][0]["writes"][0]["index"] if record["tasks"] else 0
    tasks = [
        (
            task["name"],
            numbers.get(task["parent"]),
            task["left_out"],
            task["cut"],
            [(each["index"] - first, each["source"]) for each in task["aborts"]],
            [{**each, "index": each["index"] - first} for each in task["writes"]],
        )
        for task in record["tasks"]
    ]
    rest = ("name", "state", "elapsed", "under", "error", "findings")
    events = [(each["what"], each["at"], each["index"] - first) for each in record["events"]]
    return [*(record[key] for key in rest), events, tasks]


def with_relative_sources(value: Any, root: str) -> Any:  # noqa: ANN401 - plain values
    """Plain values whose files are told from a root on, where they are below it.

    Args:
        value: A record, or sites.
        root: Of the project, with a separator at its end.
    """
    if isinstance(value, dict):
        return {
            key: each.removeprefix(root)
            if key in _SOURCES and isinstance(each, str)
            else with_relative_sources(each, root)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [with_relative_sources(each, root) for each in value]
    return value
