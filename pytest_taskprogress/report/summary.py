"""What is said of all tests together: counts, findings by rule, and the longest runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from pytest_taskprogress.report.cases import Case
from pytest_taskprogress.report.looks import outcome_class, outcome_rank, state_class
from pytest_taskprogress.report.runs import Run

__all__ = ["Rule", "Share", "Summary", "summary_of"]

_MOST_LONGEST: Final = 5
_MOST_RULES: Final = 50
_MOST_STATES: Final = 12

#: A word of a run's key -> what it tells.
_TRAITS: Final = {
    "tn": "findings",
    "tx": "aborts",
    "ty": "retries",
    "te": "events of a scenario",
}


@dataclass(frozen=True, slots=True)
class Share:
    """How many of all have this name, how that looks, and what a filter calls it."""

    name: str
    look: str
    count: int
    key: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract that was broken."""

    name: str
    findings: int
    runs: int
    tests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of all tests; a run that stands for several counts as so many."""

    tests: int
    runs: int
    tasks: int
    writes: int
    findings: int
    aborts: int
    retries: int
    outcomes: Sequence[Share]
    states: Sequence[Share]
    ends: Sequence[Share]
    traits: Sequence[Share]
    rules: Sequence[Rule]
    longest: Sequence[tuple[Run, Case]]


def summary_of(cases: Sequence[Case]) -> Summary:
    """Count what is in all tests."""
    runs = [(run, case) for case in cases for run in case.runs]
    return Summary(
        tests=len(cases),
        runs=sum(run.alike for run, _ in runs),
        tasks=sum(run.alike * run.task_count for run, _ in runs),
        writes=sum(run.alike * run.written for run, _ in runs),
        findings=sum(run.alike * run.found for run, _ in runs),
        aborts=sum(run.alike * run.aborts for run, _ in runs),
        retries=sum(run.alike * run.retries for run, _ in runs),
        outcomes=_outcomes(cases),
        states=_states(run for run, _ in runs),
        ends=_ends(run for run, _ in runs),
        traits=_traits(run for run, _ in runs),
        rules=_rules(cases),
        longest=nlargest(_MOST_LONGEST, runs, key=lambda each: each[0].written),
    )


def _outcomes(cases: Iterable[Case]) -> list[Share]:
    counts = Counter(case.outcome for case in cases)
    names = sorted(counts, key=outcome_rank)
    return [Share(each, outcome_class(each), counts[each], each) for each in names]


def _states(runs: Iterable[Run]) -> list[Share]:
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run.state] += run.alike
    return [
        Share(state, state_class(state), count, state)
        for state, count in counts.most_common(_MOST_STATES)
    ]


def _ends(runs: Iterable[Run]) -> list[Share]:
    """As runs are found by their ends: states that look the same are one."""
    counts: Counter[str] = Counter()
    states: dict[str, Counter[str]] = {}
    for run in runs:
        counts[run.look] += run.alike
        states.setdefault(run.look, Counter())[run.state] += run.alike
    return [
        Share(", ".join(each for each, _ in states[look].most_common(3)), look, count, f"s{look}")
        for look, count in counts.most_common()
    ]


def _traits(runs: Iterable[Run]) -> list[Share]:
    counts: Counter[str] = Counter()
    for run in runs:
        for key in run.key.split()[1:]:
            counts[key] += run.alike
    return [Share(name, "", counts[key], key) for key, name in _TRAITS.items() if counts[key]]


def _rules(cases: Iterable[Case]) -> list[Rule]:
    findings: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    broken_in: Counter[str] = Counter()
    for case in cases:
        here: set[str] = set()
        for run in case.runs:
            here.update(run.rules)
            for each in run.rules:
                findings[each] += run.alike
            for each in set(run.rules):
                runs[each] += run.alike
        broken_in.update(here)
    return [
        Rule(name, count, runs[name], broken_in[name])
        for name, count in findings.most_common(_MOST_RULES)
    ]
