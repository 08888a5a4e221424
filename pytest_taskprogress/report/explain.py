"""What a failing test shows of the runs that it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pytest_taskprogress.core.failed import NOTHING_RAN, CheckFailed
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.timeline import HEAD, timeline
from pytest_taskprogress.core.transitions import Column, History, Transition

__all__ = ["difference", "told_of_runs"]


class _Mismatch(Protocol):
    @property
    def pattern(self) -> object: ...
    @property
    def transitions(self) -> Sequence[Transition]: ...
    @property
    def at(self) -> int | None: ...
    @property
    def expected(self) -> str: ...
    @property
    def got(self) -> str: ...


class _Run(Protocol):
    @property
    def headline(self) -> str: ...
    @property
    def history(self) -> History: ...
    @property
    def notes(self) -> dict[int, str]: ...
    @property
    def mismatches(self) -> Sequence[_Mismatch]: ...


def told_of_runs(
    runs: Sequence[_Run], history: History, error: BaseException | None = None, width: int = 80
) -> str:
    """What happened on an engine: the last run, and the headlines of those before.

    Args:
        runs: The last ones, in order.
        history: All that was written.
        error: What the test failed with; what it shows itself is not shown again.
        width: Columns of the terminal.
    """
    if isinstance(error, CheckFailed) and (error.transitions or NOTHING_RAN in error.headline):
        return ""
    if not runs:
        lines = timeline(history, width=width) if history else [NOTHING_RAN.capitalize()]
        return "\n".join(lines)
    *before, last = runs
    lines = [f"before: {each.headline}" for each in before[-5:]]
    if error is not None and HEAD in as_text(error):
        return "\n".join([*lines, last.headline])
    mismatch = last.mismatches[-1] if last.mismatches else None
    lines.append(last.headline)
    at: list[int] = []
    if mismatch is not None and mismatch.at is not None:
        lines.append(f"Expected: {mismatch.pattern}")
        lines.append(f"Instead of {mismatch.expected} came {mismatch.got}")
        at = [_position(mismatch, last.history)]
    lines += timeline(last.history, at=at, notes=last.notes, width=width)
    return "\n".join(lines)


def _position(mismatch: _Mismatch, history: History) -> int:
    """Where in the history of all tasks the one is that does not match."""
    if mismatch.at is None or mismatch.at >= len(mismatch.transitions):
        return len(history)
    wanted = mismatch.transitions[mismatch.at].index
    found = (position for position, each in enumerate(history) if each.index == wanted)
    return next(found, len(history))


def difference(values: Column[Any], expected: Sequence[Any], width: int) -> list[str]:
    """Why values of transitions are not what a test expects.

    Args:
        values: States, percentages, ....
        expected: What they were to be.
        width: Columns of the terminal.
    """
    shorter = min(len(values), len(expected))
    at = next((each for each in range(shorter) if values[each] != expected[each]), shorter)
    want = repr(expected[at]) if at < len(expected) else "nothing more"
    got = repr(values[at]) if at < len(values) else "nothing more"
    return [
        f"First difference at [{at}]: expected {want}, got {got}",
        "What was stored:",
        *timeline(values.transitions, at=[at], width=width),
    ]
