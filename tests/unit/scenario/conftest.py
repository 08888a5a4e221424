"""Occasions, as an engine makes them, without an engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_taskprogress.core.transitions import Source, Transition
from pytest_taskprogress.scenario import Occasion

_LINE = Source("tasks.py", 1)


def _write(state, *, name="export", stored=True, source=_LINE, **meta):
    transition = Transition(
        0, "task", name, "id", "PENDING", state, meta, stored=stored, source=source
    )
    return Occasion("write", name, "id", transition)


def _report(percent=None, **meta):
    return _write("PROGRESS", **({} if percent is None else {"percent": percent}), **meta)


@pytest.fixture
def occasions():
    """Makes occasions: `write(state)`, `report(percent)`, `start(name)`, `check(name)`."""
    return SimpleNamespace(
        write=_write,
        report=_report,
        start=lambda name="export": Occasion("start", name, "id"),
        check=lambda name="export": Occasion("check", name, "id"),
    )
