"""How benchmarks measure, and where they print."""

from __future__ import annotations

import time

import pytest


@pytest.fixture
def microseconds():
    """Measures a call: the best of some repeats, in microseconds."""

    def microseconds(function, *, times, repeats=5):
        best = float("inf")
        for _ in range(repeats):
            began = time.perf_counter()
            for _ in range(times):
                function()
            best = min(best, time.perf_counter() - began)
        return best / times * 1e6

    return microseconds


@pytest.fixture
def show(capsys):
    """Prints past pytest's capture."""

    def show(text):
        with capsys.disabled():
            print(f"\n  {text}", end="")  # noqa: T201 - a benchmark is read by a person

    return show
