"""What it costs to judge a long history by a pattern; the bounds only catch a disaster."""

from __future__ import annotations

import random

import pytest

from pytest_taskprogress.checks.matchers import progress, state
from pytest_taskprogress.checks.patterns import Pattern
from pytest_taskprogress.core.transitions import Transition

REPORTS = 100_000


def written(states):
    """A history of these states."""
    return [
        Transition(
            index, "task", "add", "1", "PROGRESS", name, {"current": index, "total": REPORTS}
        )
        for index, name in enumerate(states)
    ]


@pytest.fixture(scope="module")
def reports():
    """As many reports, by which Python's `re` would never end."""
    return written(["PROGRESS"] * REPORTS)


@pytest.mark.parametrize(("last", "matches"), [("X", True), ("SUCCESS", False)])
def test_nested_repetitions(reports, show, microseconds, last, matches):
    """(PROGRESS* PROGRESS*)* X, beside looking at each state."""
    history = [*reports, *written([last])]
    pattern = Pattern("(PROGRESS* PROGRESS*)* X")
    assert bool(pattern.match(history)) is matches
    figure = microseconds(lambda: pattern.match(history), times=1) / 1e3
    beside = microseconds(lambda: [each.state for each in history if each.stored], times=1) / 1e3
    show(
        f"(PROGRESS* PROGRESS*)* X over {REPORTS:,} transitions"
        f" ({'match' if matches else 'no match'}): {figure:.1f} ms, a look at each {beside:.1f} ms"
    )
    assert figure < 1_000


def test_a_list(reports, show, microseconds):
    """Matchers between `...`, each of which looks at every transition."""
    history = [*written(["STARTED"]), *reports, *written(["SUCCESS"])]
    half = progress(percent=50)
    pattern = Pattern([state("STARTED"), ..., half, ..., state("SUCCESS", result=None)])
    assert pattern.match(history)
    figure = microseconds(lambda: pattern.match(history), times=1, repeats=3) / 1e3
    show(f"{pattern} over {len(history):,} transitions: {figure:.0f} ms")
    assert figure < 10_000


def test_a_pattern_of_many_nodes(show, microseconds):
    """One that no table holds: which of the last 14 reports were uploads, over random ones."""
    choose = random.Random(6)  # noqa: S311 - any, and the same ones each time
    history = written(choose.choices(["PROGRESS", "UPLOADING"], k=REPORTS // 10))
    pattern = Pattern("(PROGRESS|UPLOADING)* UPLOADING (PROGRESS|UPLOADING){13}")
    figure = microseconds(lambda: pattern.match(history), times=1, repeats=3) / 1e3
    show(f"{pattern} over {len(history):,} transitions: {figure:.0f} ms")
    assert figure < 10_000
