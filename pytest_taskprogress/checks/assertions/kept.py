"""The assertion of the contract."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pytest_taskprogress.checks.contract import check
from pytest_taskprogress.checks.subjects import Subject

__all__ = ["assert_contract"]

_S = TypeVar("_S")


def assert_contract(subject: _S, *rules: str, **figures: Any) -> _S:  # noqa: ANN401
    """A run breaks no rule of its contract. Returns what was given.

    Args:
        subject: A run, a history, or a list.
        *rules: Names of those to judge by; none: all that are on.
        **figures: What rules go by: `max_gap=30`.

    Raises:
        ContractViolated: With all that it breaks.
        RuleError: If there is no such rule, or it cannot have such a figure.
    """
    __tracebackhide__ = True
    check(cast("Subject", subject), *rules, **figures)
    return subject
