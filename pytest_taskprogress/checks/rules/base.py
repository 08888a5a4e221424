"""What a rule of the contract is, and what it finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.transitions import Source, Transition

__all__ = ["ON", "Check", "Figure", "Found", "Rule", "Violation", "seconds", "whole"]

#: What a rule found: at which transition (None: at none), and what is wrong.
Found: TypeAlias = tuple[Transition | None, str]
#: Looks at what a task wrote, with the figure that the rule was given.
Check: TypeAlias = Callable[[JudgedTask, Any], Iterable[Found]]

#: The figure of a rule that has none.
ON: Final = True


@dataclass(frozen=True, slots=True)
class Figure:
    """The figure that a rule goes by.

    Attributes:
        what: What it is, with its unit; for messages and documentation.
        parse: Takes what somebody gave, a text too; raises ValueError with what is valid.
        default: The figure where none is given; None: then the rule is off.
    """

    what: str
    parse: Callable[[Any], Any]
    default: Any = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract that every run keeps.

    Attributes:
        name: By which it is switched: words and dashes.
        reason: Why it is good to keep it; for messages and documentation.
        check: Looks at what one task wrote.
        of_reports: Whether it applies only to tasks that report.
        figure: What it goes by; None if it needs nothing.
    """

    name: str
    reason: str
    check: Check
    of_reports: bool = False
    figure: Figure | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a run breaks.

    Attributes:
        rule: Name of the rule.
        task: Name of the task.
        message: What is wrong.
        transition: Where; None if it is about something that is missing.
        source: The line of code to look at; None if none is known.
    """

    rule: str
    task: str
    message: str
    transition: Transition | None = None
    source: Source | None = None

    def __str__(self) -> str:
        at = "" if self.source is None else f", at {self.source}"
        return f"{self.rule}: {self.message}\n  in {self.task}{at}"


def seconds(value: Any) -> float:  # noqa: ANN401 - as a user wrote it
    """Take a figure as seconds."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0.0 <= number < math.inf:
        message = "expected seconds, 0 or more"
        raise ValueError(message)
    return number


def whole(least: int) -> Callable[[Any], int]:
    """Make what takes a figure as a whole number."""

    def parse(value: Any) -> int:  # noqa: ANN401 - as a user wrote it
        try:
            number = least - 1 if isinstance(value, (bool, float)) else int(value)
        except (TypeError, ValueError):
            number = least - 1
        if number < least:
            message = f"expected a whole number, {least} or more"
            raise ValueError(message)
        return number

    return parse
