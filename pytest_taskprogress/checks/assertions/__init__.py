"""Assertion helpers: each returns what it found, so that a test can go on with it.

All of them take a run, a history, or a list of what was stored elsewhere; see `Subject`.
"""

from __future__ import annotations

from pytest_taskprogress.checks.assertions.kept import assert_contract
from pytest_taskprogress.checks.assertions.reports import (
    assert_bounded,
    assert_complete,
    assert_max_gap,
    assert_max_writes,
    assert_monotonic,
    assert_no_progress,
    assert_progress,
)
from pytest_taskprogress.checks.assertions.sequences import (
    assert_different_transitions,
    assert_not_states,
    assert_same_transitions,
    assert_states,
)
from pytest_taskprogress.checks.assertions.states import (
    assert_aborted,
    assert_final,
    assert_never,
    assert_not_aborted,
    assert_not_final,
    assert_reached,
)

__all__ = [
    "assert_aborted",
    "assert_bounded",
    "assert_complete",
    "assert_contract",
    "assert_different_transitions",
    "assert_final",
    "assert_max_gap",
    "assert_max_writes",
    "assert_monotonic",
    "assert_never",
    "assert_no_progress",
    "assert_not_aborted",
    "assert_not_final",
    "assert_not_states",
    "assert_progress",
    "assert_reached",
    "assert_same_transitions",
    "assert_states",
]
