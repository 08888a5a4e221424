"""What a failing test shows of the runs that it made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from pytest_taskprogress.core.failed import NOTHING_RAN
from pytest_taskprogress.core.messages import as_line, as_repr
from pytest_taskprogress.core.timeline import timeline
from pytest_taskprogress.core.transitions import Column, History, Transition

__all__ = ["difference", "told_of_engines", "told_of_runs"]

#: How many runs are named, and how many lines there are for those that are shown.
_NAMED: Final = 6
_ROOM: Final = 50
#: Columns for the values of a comparison.
_SHORT: Final = 90


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


#: Transitions that were compared, and the position of the first difference.
At = tuple[Sequence[Transition], int]


def told_of_engines(
    engines: Iterable[_Engine],
    error: BaseException | None,
    width: int,
    most: int | None = None,
    at: At | None = None,
) -> str:
    """What happened on the engines of a test; never raises: the test's own failure counts.

    Args:
        engines: Those that it used.
        error: What it failed with.
        width: Columns of the terminal.
        most: How many runs of each at most; None: those that there is room for.
        at: What was compared.
    """
    parts = []
    for each in engines:
        try:
            parts.append(each.sweeps[-1].last if each.sweeps else "")
            parts.append(told_of_runs(each.runs[-(most or 0) :], each.history, error, width, at))
        except Exception as broken:  # noqa: BLE001 - whatever somebody's values do
            parts.append(f"(what was run cannot be shown: {as_repr(broken)})")
    return "\n".join(filter(None, parts))


def told_of_runs(
    runs: Sequence[_Run],
    history: History,
    error: BaseException | None = None,
    width: int = 80,
    at: At | None = None,
) -> str:
    """What happened on an engine: of the last runs all, as long as there is room for them.

    Args:
        runs: The last ones, in order.
        history: All that was written.
        error: What the test failed with; what it shows itself is not shown again.
        width: Columns of the terminal.
        at: What was compared.
    """
    if getattr(error, "shows_runs", False):
        return ""
    if not runs:
        lines = timeline(history, width=width) if history else [NOTHING_RAN.capitalize()]
        return "\n".join(lines)
    others = len(runs) - _NAMED
    lines = [f"before: {others:,} other {'run' if others == 1 else 'runs'}"] if others > 0 else []
    runs = runs[-_NAMED:]
    shown = _with_room(runs, width, at)
    for number, run in enumerate(runs):
        before = "" if number in shown else "before: "
        lines += [f"{before}{run.headline}", *shown.get(number, ())]
    return "\n".join(lines)


def _with_room(runs: Sequence[_Run], width: int, at: At | None) -> dict[int, list[str]]:
    """The timelines that there is room for: the last one, and those that did not go well."""
    marks = [_mark_in(run, at) for run in runs]
    last = len(runs) - 1
    order = sorted(
        range(len(runs)),
        key=lambda each: (each != last, marks[each] is None, runs[each].went_well, last - each),
    )
    shown: dict[int, list[str]] = {}
    room = _ROOM
    for number in order:
        lines = _timeline_of(runs[number], width, marks[number])
        if shown and len(lines) > room:
            continue
        room -= len(lines)
        shown[number] = lines
    return shown


def _mark_in(run: _Run, at: At | None) -> int | None:
    """Where in a run the first difference of a comparison is."""
    if at is None:
        return None
    transitions, position = at
    ours = {id(each): number for number, each in enumerate(run.history)}
    if position < len(transitions):
        return ours.get(id(transitions[position]))
    # After the end of what was compared; of nothing: of every run.
    return len(run.history) if not transitions or id(transitions[-1]) in ours else None


def _timeline_of(run: _Run, width: int, mark: int | None) -> list[str]:
    mismatch = run.mismatches[-1] if run.mismatches else None
    expected: list[str] = []
    if mark is None and mismatch is not None and mismatch.at is not None:
        expected = [
            as_line(f"Expected: {mismatch.pattern}"),
            as_line(f"Instead of {mismatch.expected} came {mismatch.got}"),
        ]
        mark = _position(mismatch, run.history)
    at = [] if mark is None else [mark]
    return [*expected, *timeline(run.history, at=at, notes=run.notes, width=width)]


def _position(mismatch: _Mismatch, history: History) -> int:
    """Where in the history of all tasks the one is that does not match."""
    if mismatch.at is None or mismatch.at >= len(mismatch.transitions):
        return len(history)
    wanted = mismatch.transitions[mismatch.at].index
    found = (position for position, each in enumerate(history) if each.index == wanted)
    return next(found, len(history))


def difference(values: Column[Any], expected: Sequence[Any], width: int) -> tuple[int, list[str]]:
    """Why values of transitions are not what a test expects.

    Args:
        values: States, percentages, ....
        expected: What they were to be.
        width: Columns of the terminal.

    Returns:
        The position of the first difference; and lines that tell of it, few enough for pytest to
        show them all.
    """
    shorter = min(len(values), len(expected))
    at = next((each for each in range(shorter) if values[each] != expected[each]), shorter)
    want = as_repr(expected[at]) if at < len(expected) else "nothing more"
    got = as_repr(values[at]) if at < len(values) else "nothing more"
    first = max(0, at - 1)
    lines = timeline(values.transitions[first : at + 2], at=[at - first], width=width)
    return at, [
        f"{_short(values)} == {_short(expected)}",
        f"First difference at [{at}]: expected {want}, got {got}",
        *lines,
    ]


def _short(values: Sequence[Any]) -> str:
    return as_line(as_repr(list(values[:50])), _SHORT)
