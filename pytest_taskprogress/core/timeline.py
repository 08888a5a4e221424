"""Transitions as lines of text: one each, in columns, cut around what is to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pytest_taskprogress.core.messages import as_line, as_repr, columns
from pytest_taskprogress.core.transitions import Source, Transition

__all__ = ["MARK", "file_and_line", "timeline"]

#: Before a line that is pointed at.
MARK: Final = ">"
#: How many transitions are shown at most, and how many of them on each side of one that is marked.
_MOST: Final = 40
_AROUND: Final = 5
#: How many marked places are shown.
_MARKS: Final = 3
_BAR: Final = 8
_LONGEST_SOURCE: Final = 60
#: What is given up where a line is too long, in this order: to how many columns of a terminal.
_LEAST: Final = (
    ("text", 10),
    ("source", 16),
    ("task", 12),
    ("states", 22),
    ("bar", 0),  # the percentage is still there
    ("source", 11),
    ("task", 8),
    ("states", 20),
)


class _Row(NamedTuple):
    mark: str
    number: str
    seconds: str
    task: str
    states: str
    bar: str
    percent: str
    text: str
    source: str


_HEAD: Final = _Row("", "#", "seconds", "task", "old -> new", "progress", "", "message", "line")
#: What is aligned to the right.
_NUMBERS: Final = frozenset({"number", "seconds", "percent"})


def timeline(
    transitions: Sequence[Transition],
    *,
    at: Sequence[int] = (),
    notes: Mapping[int, str] | None = None,
    width: int = 80,
) -> list[str]:
    """Lines of text: a head, and a line for each transition.

    Long ones are cut: what is shown is the beginning, the end, and what is around the marked
    places, with the counts of what was left out in between.

    Args:
        transitions: In order; only those that are shown are looked at.
        at: Positions in it that are marked; its length: after the end.
        notes: Positions before which something is to be said, and what.
        width: Columns of the terminal.
    """
    if not transitions:
        return ["(nothing was written)"]
    notes = notes or {}
    shown = _shown(len(transitions), [*at, *notes])
    looked_at = {each: transitions[each] for each in shown}
    names = _names(looked_at.values())
    rows = [
        _row(each, MARK if position in at else "", names[each.uuid, each.name])
        for position, each in looked_at.items()
    ]
    lines = _aligned([_HEAD, *rows], width)
    said = {each: as_line(f"  -- {note}", width) for each, note in notes.items()}
    lines = _with_gaps(lines, shown, len(transitions), said)
    return [*lines, f"{MARK} (nothing more)"] if len(transitions) in at else lines


def _shown(count: int, at: Sequence[int]) -> list[int]:
    """Positions of those that are shown, ascending."""
    if count <= _MOST:
        return list(range(count))
    ends = [*range(_AROUND), *range(count - _AROUND, count)]
    places = [min(each, count - 1) for each in at[:_MARKS]]
    around = [each + step for each in places for step in range(-_AROUND, _AROUND + 1)]
    if not places:
        half = _MOST // 2
        return [*range(half), *range(count - half, count)]
    return sorted({each for each in (*ends, *around) if 0 <= each < count})


def _with_gaps(
    lines: list[str], shown: list[int], count: int, said: Mapping[int, str]
) -> list[str]:
    head, *rest = lines
    result, before = [head], -1
    # After the last one there may be something to be said, or left out.
    for line, position in zip([*rest, ""], [*shown, count], strict=True):
        if position > before + 1:
            result.append(f"  ... {position - before - 1:,} more ...")
        result += [each for each in (said.get(position), line) if each]
        before = position
    return result


def _names(transitions: Iterable[Transition]) -> dict[tuple[str, str | None], str]:
    """Tasks as they are shown: numbered where several have the same name."""
    transitions = list(transitions)
    known = {each.uuid: each.name for each in transitions if each.name}
    short: dict[tuple[str, str | None], str] = {}
    tasks: dict[str, list[str]] = {}
    for each in transitions:
        full = each.name or known.get(each.uuid) or each.uuid
        name = full.rpartition(".")[2] or full
        short[each.uuid, each.name] = name
        if each.uuid not in tasks.setdefault(name, []):
            tasks[name].append(each.uuid)
    return {
        key: name if len(tasks[name]) == 1 else f"{name}-{tasks[name].index(key[0]) + 1}"
        for key, name in short.items()
    }


def _row(each: Transition, mark: str, name: str) -> _Row:
    percent, source = each.percent, each.source or each.raised_at
    result = None if each.meta or each.error else each.result
    notes = [
        each.message,
        each.error,
        None if result is None else f"= {as_repr(result)}",
        None if each.stored else "(dropped by the backend)",
    ]
    return _Row(
        mark=mark,
        number=str(each.index),
        seconds=f"{each.at:.3f}",
        task=name,
        states=f"{each.old_state} -> {each.state}",
        bar="" if percent is None else _bar(percent),
        percent="" if percent is None else f"{percent:.5g}%",
        text="  ".join(note for note in notes if note),
        source="" if source is None else file_and_line(source),
    )


def file_and_line(source: Source) -> str:
    """A line of code as it is shown: with the name of its file, and not where that is."""
    text = str(source).replace("\\", "/").rpartition("/")[2]
    # The line is what one wants to know.
    return text if len(text) <= _LONGEST_SOURCE else f"...{text[3 - _LONGEST_SOURCE :]}"


def _bar(percent: float) -> str:
    # Full only at the end, and begun with the first step; NaN is none.
    filled = max(1, int(min(percent, 100.0) / 100.0 * _BAR)) if percent > 0 else 0
    return "#" * filled + "-" * (_BAR - filled)


def _aligned(rows: list[_Row], width: int) -> list[str]:
    # The longest that could be shown is known, so that a message of a megabyte costs nothing.
    rows = [_Row(*(as_line(cell, width) for cell in row)) for row in rows]
    if len({row.task for row in rows[1:]}) == 1:
        rows = [row._replace(task="") for row in rows]
    widths = {
        name: max(columns(cell) for cell in cells)
        for name, cells in zip(_Row._fields, zip(*rows, strict=True), strict=True)
    }
    if not any(row.bar for row in rows[1:]):
        widths["bar"] = widths["percent"] = 0
    widths["mark"] = len(MARK)
    wanted = widths["text"]
    for name, least in _LEAST:
        excess = _total(widths) - width
        if excess > 0:
            widths[name] = min(widths[name], max(least, widths[name] - excess) if least else 0)
    widths["text"] = min(wanted, widths["text"] + max(0, width - _total(widths)))
    return [as_line(_line(row, widths), width) for row in rows]


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + sum(map(bool, widths.values())) - 1


def _line(row: _Row, widths: dict[str, int]) -> str:
    cells = []
    for name, cell in row._asdict().items():
        wide = widths[name]
        if not wide:
            continue
        if name == "source" and columns(cell) > wide:
            # The line is what one wants to know.
            text = f"...{cell[3 - wide :]}"
        elif name == "states" and columns(cell) > wide and " -> " in cell:
            # So is the new state.
            old, _, new = cell.partition(" -> ")
            text = as_line(f"{as_line(old, max(3, wide - columns(new) - 4))} -> {new}", wide)
        else:
            text = as_line(cell, wide)
        pad = " " * (wide - columns(text))
        cells.append(pad + text if name in _NUMBERS else text + pad)
    return " ".join(cells).rstrip()
