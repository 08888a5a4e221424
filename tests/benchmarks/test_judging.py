"""What it costs to judge a long history by the contract, and to show what is wrong with it."""

from __future__ import annotations

import gc
import os
import time
import tracemalloc

import pytest

from pytest_taskprogress import Contract
from pytest_taskprogress.core.failed import ContractViolated
from pytest_taskprogress.core.transitions import History, Source, Transition

REPORTS = 100_000 if "CI" in os.environ else 1_000_000
SOURCE = Source("tasks.py", 12)


def report(index, total=REPORTS):
    """What an Observer stores for one of so many rows."""
    meta = {
        "pending": False,
        "description": "Importing",
        "current": index + 1,
        "total": total,
        "percent": round((index + 1) / total * 100, 2),
        "elapsed": float(index),
    }
    return Transition(
        index,
        "task",
        "tasks.work",
        "1",
        "PROGRESS",
        "PROGRESS",
        meta,
        at=float(index),
        source=SOURCE,
    )


def measured(function):
    """Its seconds, megabytes at most, and what it returned; without the collector, as timeit."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - began
    finally:
        gc.enable()
    return seconds, result


def megabytes(function):
    """What it takes at its highest, besides what was there."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def made():
    """A million reports and the end, and the seconds that took."""
    seconds, reports = measured(lambda: [report(index) for index in range(REPORTS)])
    end = Transition(REPORTS, "task", "tasks.work", "1", "PROGRESS", "SUCCESS", at=float(REPORTS))
    return seconds, History([*reports, end])


@pytest.mark.parametrize("figures", [{}, {"max_gap": 30, "described": 3}], ids=["default", "more"])
def test_a_million(made, show, figures):
    """All rules that are on, beside making the list that they look at; memory by a tenth of it."""
    making, history = made
    contract = Contract().having(**figures)
    seconds, found = measured(lambda: contract.violations(history))
    assert found == []
    some = history[: REPORTS // 10]
    memory = megabytes(lambda: contract.violations(some)) * 10
    kept = megabytes(lambda: [report(index) for index in range(REPORTS // 10)]) * 10
    show(
        f"{len(contract.in_force)} rules over {len(history):,} transitions: {seconds:.2f} s and"
        f" {memory:.0f} MB; making the list took {making:.2f} s and {kept:.0f} MB"
    )
    assert seconds < making * 5
    assert memory < kept


def test_what_is_shown_of_a_million(made, show):
    """One report in the middle is out of bounds: the error, and its text."""
    broken = list(made[1])
    broken[REPORTS // 2] = report(REPORTS * 2)
    broken = History(broken)
    with pytest.raises(ContractViolated) as caught:
        Contract().check(broken)
    seconds, text = measured(lambda: str(caught.value))
    show(f"the text of an error over {len(broken):,} transitions: {seconds * 1e3:.1f} ms")
    assert len(text.splitlines()) < 60
    assert seconds < 1


def test_all_of_them_broken(show):
    """A violation for each report, and what is told of them."""
    broken = [{"percent": -1}] * (REPORTS // 10)
    seconds, found = measured(lambda: Contract().violations(broken))
    show(f"{len(found):,} violations: {seconds:.2f} s")
    assert len(found) == REPORTS // 10
    assert seconds < 10


def test_beside_a_run(show, microseconds):
    """What every run costs for being judged, at 4 and at 100 reports."""
    contract = Contract()
    for count in (4, 100):
        history = History(report(index, count) for index in range(count))
        figure = microseconds(lambda history=history: contract.violations(history), times=200)
        show(f"a history of {count} reports is judged in {figure:.0f} us")
        assert figure < 100 * count
