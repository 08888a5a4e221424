"""How each rule of the contract is broken. A new rule has one more function, and a line below."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from pytest_taskprogress.strategies.breaking.endings import (
    break_abort_honoured,
    break_abort_survives,
    break_no_zombie,
    break_terminal,
)
from pytest_taskprogress.strategies.breaking.pace import (
    break_first_report,
    break_max_gap,
    break_write_budget,
)
from pytest_taskprogress.strategies.breaking.story import Story
from pytest_taskprogress.strategies.breaking.values import (
    break_bounded,
    break_complete,
    break_consistent,
    break_described,
    break_monotonic,
    break_readable,
    break_serializable,
    break_stable_total,
)

__all__ = ["BREAKS"]

#: Name of a rule -> what writes a story that breaks it, and returns where.
BREAKS: Final = MappingProxyType[str, Callable[[Story], int | None]](
    {
        "monotonic": break_monotonic,
        "bounded": break_bounded,
        "consistent": break_consistent,
        "complete": break_complete,
        "stable-total": break_stable_total,
        "serializable": break_serializable,
        "readable": break_readable,
        "terminal": break_terminal,
        "no-zombie": break_no_zombie,
        "abort-survives": break_abort_survives,
        "abort-honoured": break_abort_honoured,
        "first-report": break_first_report,
        "max-gap": break_max_gap,
        "write-budget": break_write_budget,
        "described": break_described,
    }
)
