"""Judging runs: patterns, assertions, and the contract. Knows neither Celery nor pytest."""

from __future__ import annotations

from pytest_taskprogress.checks import contract
from pytest_taskprogress.checks.assertions import (
    assert_aborted,
    assert_bounded,
    assert_complete,
    assert_contract,
    assert_different_transitions,
    assert_final,
    assert_max_gap,
    assert_max_writes,
    assert_monotonic,
    assert_never,
    assert_no_progress,
    assert_not_aborted,
    assert_not_final,
    assert_not_states,
    assert_progress,
    assert_reached,
    assert_same_transitions,
    assert_states,
)
from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.checks.matchers import Matcher, progress, state
from pytest_taskprogress.checks.patterns import Match, Pattern, compile_pattern
from pytest_taskprogress.checks.rules import RULES, Figure, Rule, Violation
from pytest_taskprogress.checks.subjects import JudgedTask, Subject

__all__ = [
    "RULES",
    "Contract",
    "Figure",
    "JudgedTask",
    "Match",
    "Matcher",
    "Pattern",
    "Rule",
    "Subject",
    "Violation",
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
    "compile_pattern",
    "contract",
    "progress",
    "state",
]
