"""What became of a test's runs since others were recorded of it: nothing, a change, a repair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_taskprogress.checks.snapshots import Normaliser, as_json_line, line_of
from pytest_taskprogress.core.messages import as_line, as_text
from pytest_taskprogress.core.states import FAILURE
from pytest_taskprogress.core.transitions import History

__all__ = ["Change", "Golden", "GoldenRun", "Recorded", "Verdict", "compare", "golden_run"]

#: Characters of a line that a difference shows at most, and of them before where it begins.
_LONGEST_LINE: Final = 300
_BEFORE: Final = 60


class Recorded(NamedTuple):
    """A run that is to be kept, or compared.

    Attributes:
        history: The transitions of all its tasks.
        findings: What it breaks of the contract: dicts with `rule`, `task` and `message`.
        state: How it ended.
    """

    history: History
    findings: Sequence[Mapping[str, Any]] = ()
    state: str = ""


@dataclass(frozen=True)
class GoldenRun:
    """A run that was kept: normalised, so that one from elsewhere can be equal to it.

    Attributes:
        state: How it ended.
        findings: Rule, task and message of each violation of the contract, sorted.
        transitions: See `checks.snapshots.normalised`.
    """

    state: str
    findings: tuple[tuple[str, str, str], ...]
    transitions: tuple[Mapping[str, Any], ...]

    @property
    def faults(self) -> Counter[str]:
        """What is wrong with it."""
        faults = Counter(f"{rule} ({task})" if task else rule for rule, task, _ in self.findings)
        if self.state == FAILURE:
            faults["it ended in FAILURE"] += 1
        return faults


@dataclass(frozen=True)
class Golden:
    """What was recorded of a test.

    Attributes:
        nodeid: Of the test.
        runs: In order.
        path: The file; None if it was never written.
    """

    nodeid: str
    runs: tuple[GoldenRun, ...]
    path: Path | None = None


class Change(Enum):
    """What became of a test since its golden histories were recorded."""

    SAME = "SAME"
    """Its tasks do what they did."""
    CHANGED = "CHANGED"
    """They do something else."""
    FIXED = "FIXED"
    """Something that was wrong is not any more, and nothing else became wrong."""
    NEW = "NEW"
    """Nothing was recorded."""


@dataclass(frozen=True)
class Verdict:
    """How runs compare with the golden ones.

    Attributes:
        change: What became of them.
        text: What differs, in lines; empty for SAME.
    """

    change: Change
    text: str = ""

    def __str__(self) -> str:
        return f"{self.change.value}: {self.text}" if self.text else self.change.value


def compare(
    golden: Golden | None, runs: Iterable[tuple[History, Sequence[Mapping[str, Any]], str]]
) -> Verdict:
    """Compare the runs of a test with the golden ones.

    A run is FIXED if something that was wrong with the golden one (a violation of the contract, a
    FAILURE) is gone, and nothing is wrong that was not before. A test is CHANGED if a run of it is.

    Args:
        golden: What was recorded; None: nothing.
        runs: A `Recorded` each.
    """
    if golden is None:
        return Verdict(Change.NEW, "nothing was recorded of this test")
    now = [golden_run(*each) for each in runs]
    fixed: list[str] = []
    for number, (old, new) in enumerate(zip(golden.runs, now, strict=False), start=1):
        is_fixed, difference = _difference(old, new)
        if len(golden.runs) > 1:
            difference = difference and f"run {number} of {len(golden.runs)}: {difference}"
        if is_fixed:
            fixed.append(difference)
        elif difference:
            return Verdict(Change.CHANGED, difference)
    if len(golden.runs) != len(now):
        text = f"{len(golden.runs)} runs were recorded, there were {len(now)} now"
        return Verdict(Change.CHANGED, text)
    return Verdict(Change.FIXED, "\n".join(fixed)) if fixed else Verdict(Change.SAME)


def golden_run(history: History, findings: Sequence[Mapping[str, Any]], state: str) -> GoldenRun:
    """Make of a run what can be kept of it; see `Recorded`."""
    normaliser = Normaliser(history)
    transitions = tuple(normaliser.transitions())
    kept = [
        (
            as_text(each.get("rule")),
            as_text(each.get("task") or ""),
            as_text(each.get("message") or ""),
        )
        for each in findings
    ]
    normal = sorted(
        (rule, normaliser.text(task), normaliser.text(text)) for rule, task, text in kept
    )
    return GoldenRun(as_text(state), tuple(normal), transitions)


def _difference(old: GoldenRun, new: GoldenRun) -> tuple[bool, str]:
    """Whether a run is fixed, and what differs, as text; empty if nothing that matters does."""
    # What a finding says may be said otherwise by a newer version: its rule and task count.
    gone, come = old.faults - new.faults, new.faults - old.faults
    faults = [f"no more: {_listed(gone)}"] if gone else []
    faults += [f"now: {_listed(come)}"] if come else []
    if old.state != new.state and not faults:
        faults = [f"it ended in {as_line(new.state)}, and not in {as_line(old.state)} as recorded"]
    differences = [*filter(None, ["; ".join(faults), _moved(old, new)])]
    return bool(gone and not come), "\n".join(differences)


def _moved(old: GoldenRun, new: GoldenRun) -> str:
    """The first transition that differs, as text; empty if none does."""
    was, now = (list(map(as_json_line, each.transitions)) for each in (old, new))
    if was == now:
        return ""
    at = _first(was, now)
    text = f"transition {at + 1} differs"
    if len(was) != len(now):
        text += f" ({len(was)} were recorded, there were {len(now)} now)"
    both = _both(old.transitions[at : at + 1], new.transitions[at : at + 1])
    return "\n".join([text, *both])


def _listed(faults: Counter[str]) -> str:
    return ", ".join(as_line(each) for each in sorted(faults.elements()))


def _first(was: Sequence[str], now: Sequence[str]) -> int:
    """Position of the first two that differ; if one is the beginning of the other: its length."""
    pairs = zip(was, now, strict=False)
    return next((at for at, (one, two) in enumerate(pairs) if one != two), min(len(was), len(now)))


def _both(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    one, two = ("".join(map(line_of, each)) for each in (was, now))
    if one == two:  # what a line does not show differs
        one, two = ("".join(map(as_json_line, each)) for each in (was, now))
    start = max(_first(one, two) - _BEFORE, 0) if max(len(one), len(two)) > _LONGEST_LINE else 0
    return [
        f"  recorded: {_part(one, start) or '(nothing more)'}",
        f"  now:      {_part(two, start) or '(nothing more)'}",
    ]


def _part(line: str, start: int) -> str:
    if not line:
        return ""
    end = start + _LONGEST_LINE
    return ("..." if start else "") + line[start:end] + ("..." if end < len(line) else "")
