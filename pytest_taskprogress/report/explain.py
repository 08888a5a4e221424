"""What a failing test shows of the runs that it made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from pytest_taskprogress.core.failed import NOTHING_RAN, CheckFailed
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.timeline import HEAD, timeline
from pytest_taskprogress.core.transitions import Column, History, Transition

__all__ = ["difference", "told_of_engines", "told_of_runs"]

#: How many runs are named, and how many lines there are for those that are shown.
_NAMED: Final = 6
_ROOM: Final = 50


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
    def went_well(self) -> bool: ...
    @property
    def mismatches(self) -> Sequence[_Mismatch]: ...


class _Sweep(Protocol):
    @property
    def last(self) -> str: ...


class _Engine(Protocol):
    @property
    def runs(self) -> Sequence[_Run]: ...
    @property
    def history(self) -> History: ...
    @property
    def sweeps(self) -> Sequence[_Sweep]: ...


def told_of_engines(
    engines: Iterable[_Engine], error: BaseException | None, width: int, most: int | None = None
) -> str:
    """What happened on the engines of a test; never raises: the test's own failure counts.

    Args:
        engines: Those that it used.
        error: What it failed with.
        width: Columns of the terminal.
        most: How many runs of each at most; None: those that there is room for.
    """
    parts = []
    for each in engines:
        try:
            parts.append(each.sweeps[-1].last if each.sweeps else "")
            parts.append(told_of_runs(each.runs[-(most or 0) :], each.history, error, width))
        except Exception as broken:  # noqa: BLE001 - whatever somebody's values do
            parts.append(f"(what was run cannot be shown: {as_repr(broken)})")
    return "\n".join(filter(None, parts))


def told_of_runs(
    runs: Sequence[_Run], history: History, error: BaseException | None = None, width: int = 80
) -> str:
    """What happened on an engine: of the last runs all, as long as there is room for them.

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
    others = len(runs) - _NAMED
    lines = [f"before: {others:,} other {'run' if others == 1 else 'runs'}"] if others > 0 else []
    runs = runs[-_NAMED:]
    is_shown = error is not None and HEAD in as_text(error)
    shown = {} if is_shown else _with_room(runs, width)
    for number, run in enumerate(runs):
        before = "" if number == len(runs) - 1 or number in shown else "before: "
        lines += [f"{before}{run.headline}", *shown.get(number, ())]
    return "\n".join(lines)


def _with_room(runs: Sequence[_Run], width: int) -> dict[int, list[str]]:
    """The timelines that there is room for: first those that did not go well, and the last one."""
    last = len(runs) - 1
    order = sorted(range(len(runs)), key=lambda each: (runs[each].went_well, last - each))
    order.sort(key=lambda each: each != last)
    shown: dict[int, list[str]] = {}
    room = _ROOM
    for number in order:
        lines = _timeline_of(runs[number], width)
        if shown and len(lines) > room:
            continue
        room -= len(lines)
        shown[number] = lines
    return shown


def _timeline_of(run: _Run, width: int) -> list[str]:
    mismatch = run.mismatches[-1] if run.mismatches else None
    if mismatch is None or mismatch.at is None:
        return timeline(run.history, notes=run.notes, width=width)
    return [
        f"Expected: {mismatch.pattern}",
        f"Instead of {mismatch.expected} came {mismatch.got}",
        *timeline(run.history, at=[_position(mismatch, run.history)], notes=run.notes, width=width),
    ]


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
