"""The rules of the contract. A new one is a module here, or of anybody's, and a line below."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pytest_taskprogress.checks.rules.base import Figure, Rule, Violation
from pytest_taskprogress.checks.rules.endings import ABORT_SURVIVES, NO_ZOMBIE, TERMINAL
from pytest_taskprogress.checks.rules.pace import (
    ABORT_HONOURED,
    FIRST_REPORT,
    MAX_GAP,
    WRITE_BUDGET,
)
from pytest_taskprogress.checks.rules.stored import READABLE, SERIALIZABLE
from pytest_taskprogress.checks.rules.values import (
    BOUNDED,
    COMPLETE,
    CONSISTENT,
    DESCRIBED,
    MONOTONIC,
    STABLE_TOTAL,
)

__all__ = ["RULES", "Figure", "Rule", "Violation"]

#: Every rule, by its name.
RULES: Final = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            MONOTONIC,
            BOUNDED,
            CONSISTENT,
            COMPLETE,
            STABLE_TOTAL,
            SERIALIZABLE,
            READABLE,
            TERMINAL,
            NO_ZOMBIE,
            ABORT_SURVIVES,
            ABORT_HONOURED,
            FIRST_REPORT,
            MAX_GAP,
            WRITE_BUDGET,
            DESCRIBED,
        )
    }
)
