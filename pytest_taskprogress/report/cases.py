"""A test, as the page shows it: its outcome, its runs, and which of them are open, or in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.core.states import FAILURE
from pytest_taskprogress.report.looks import outcome_class
from pytest_taskprogress.report.runs import Run, run_of
from pytest_taskprogress.report.untrusted import block, duration, items, text

__all__ = ["Case", "cases_of"]

#: Runs of one failed test that are open from the beginning, and how many tests have such.
_MOST_OPEN: Final = 3
_MOST_OPEN_CASES: Final = 20
#: Writes that are listed on the whole page before runs are shown by their headlines only.
_MOST_LISTED: Final = 60_000


@dataclass(frozen=True, slots=True)
class Case:
    """A test with its runs."""

    number: int
    file: str
    name: str
    outcome: str
    look: str
    duration: str
    runs: Sequence[Run]
    failure: str
    is_open: bool

    @property
    def run_count(self) -> int:
        """How many runs it made."""
        return sum(run.alike for run in self.runs)

    @property
    def found(self) -> int:
        """How many findings there are in its runs."""
        return sum(run.found * run.alike for run in self.runs)

    @property
    def without_detail(self) -> int:
        """How many of its runs are a headline only."""
        return sum(run.alike for run in self.runs if not run.is_detailed)


def cases_of(data: Mapping[str, Any]) -> list[Case]:
    """The tests of the page's input: failed ones first, then those with findings."""
    records = sorted(items(data.get("tests")), key=_rank)
    result: list[Case] = []
    budget = _Budget(_MOST_LISTED)
    first = 1
    for number, record in enumerate(records, 1):
        case = _case(record, number, first, budget)
        result.append(case)
        first += len(case.runs)
    return result


def _rank(record: Mapping[str, Any]) -> int:
    if outcome_class(text(record.get("outcome"))) == "f":
        return 0
    return 1 if any(run.get("findings") for run in items(record.get("runs"))) else 2


@dataclass(slots=True)
class _Budget:
    """How many writes may still be listed: what is wrong may take as many again."""

    left: int

    def takes(self, record: Mapping[str, Any], *, matters: bool) -> bool:
        """Whether a run is shown in detail."""
        if self.left <= (-_MOST_LISTED if matters else 0):
            return False
        tasks = items(record.get("tasks"))
        self.left -= 1 + sum(len(items(task.get("writes"))) for task in tasks)
        return True


def _case(record: Mapping[str, Any], number: int, first: int, budget: _Budget) -> Case:
    outcome = text(record.get("outcome")) or "unknown"
    failed = outcome_class(outcome) == "f"
    file, _, name = text(record.get("nodeid")).partition("::")
    records = items(record.get("runs"))
    opens = _opened(records) if failed and number <= _MOST_OPEN_CASES else set()
    runs = []
    for each, run in enumerate(records):
        in_detail = budget.takes(run, matters=each in opens or _is_wrong(run))
        is_open = each in opens or len(records) == 1
        runs.append(run_of(run, first + each, is_detailed=in_detail, is_open=is_open))
    return Case(
        number=number,
        file=file if name else "",
        name=name or file or "(no name)",
        outcome=outcome,
        look=outcome_class(outcome),
        duration=duration(record.get("duration")),
        runs=runs,
        failure=block(record.get("failure")),
        is_open=failed and number <= _MOST_OPEN_CASES,
    )


def _opened(records: Sequence[Mapping[str, Any]]) -> set[int]:
    """Positions of the runs to look at: something is wrong with them; else the last one."""
    wrong = [each for each, record in enumerate(records) if _is_wrong(record)]
    return set(wrong[:_MOST_OPEN] or range(len(records))[-1:])


def _is_wrong(record: Mapping[str, Any]) -> bool:
    return bool(items(record.get("findings"))) or record.get("state") == FAILURE
