"""The table of transition coverage, as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pytest_taskprogress.core.messages import as_line, columns

__all__ = ["reach_lines"]

#: Before a line that is not covered, or that should not be.
_MARK: Final = "!"
#: Columns: of a state, of a count; what is to be left of a name; a terminal that is narrower is not
#: written for.
_STATE: Final = 8
_COUNT: Final = 8
_NAME: Final = 12
_NARROWEST: Final = 50
_NOTE: Final = 15


def reach_lines(table: Mapping[str, Any], width: int) -> list[str]:
    """Lines of text: the steps that were taken, the sites, and a total.

    Args:
        table: See `Reach.table`.
        width: Columns of the terminal.
    """
    width = max(width, _NARROWEST)
    rule = "-" * width
    lines = [*_edges(table, width), "", *_sites(table["sites"], width), rule, _total(table, width)]
    if table["left_out"]:
        lines.append(
            f"{table['left_out']:,} writes were left out of long runs: counts are at least."
        )
    return [line.rstrip() for line in lines]


def _edges(table: Mapping[str, Any], width: int) -> Iterator[str]:
    """The steps that were taken, then those that were not, by what they begin with."""
    left = 2 + _STATE + len(" -> ") + _STATE
    yield f"  {'State -> state':{left - 2}} {'Count':>{_COUNT}}  Cause"
    yield "-" * width
    rest = width - left - _COUNT - 3
    steps = [(" ", each, each["cause"]) for each in table["edges"] if each["count"]]
    for each in table["illegal"]:
        cause = "dropped: the task had succeeded" if each["dropped"] else "ILLEGAL: it had ended"
        # Celery stores SUCCESS again behind whoever stored it: that is no fault of the task.
        again = each["dropped"] and each["old"] == each["state"]
        steps.append((" " if again else _MARK, each, cause))
    for mark, each, cause in steps:
        step = f"{each['old']:<{_STATE}} -> {each['state']:<{_STATE}}"
        yield f"{mark} {step} {each['count']:>{_COUNT}}  {as_line(cause, rest)}"
    yield from _never(table["edges"], width)


def _never(edges: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """The steps that were not taken: a line or two for each state that they begin with."""
    for old in dict.fromkeys(each["old"] for each in edges):
        steps = [each for each in edges if each["old"] == old]
        states = [each["state"] for each in steps if not each["count"]]
        if 1 < len(states) == len(steps):
            states = ["any state"]
        start = f"  {old:<{_STATE}} -> never "
        for line in textwrap.wrap(", ".join(states), width - len(start)):
            yield start + line
            start = " " * len(start)


def _sites(sites: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Each site, under the name of its task."""
    name = max(width - 2 * (_COUNT + 1) - _NOTE - 2, _NAME)
    yield f"{'Report site':{name}} {'Reached':>{_COUNT}} {'Aborted':>{_COUNT}}"
    yield "-" * width
    if not sites:
        yield "  (no task reports)"
    shared = _shared_directory([each["source"] for each in sites])
    task = None
    for each in sites:
        if each["task"] != task:
            task = each["task"]
            yield as_line(task, width)
        source = _fitted(each["source"][shared:], name - 4)
        aborted = "-" if each["aborted"] is None else each["aborted"]
        mark = " " if each["covered"] else _MARK
        note = (
            "" if each["covered"] else "  never aborted" if each["reached"] else "  never reached"
        )
        yield f"{mark}   {source} {each['reached']:>{_COUNT}} {aborted:>{_COUNT}}{note}"


def _fitted(source: str, width: int) -> str:
    """A source in so many columns: of one that is too long the end, where the line is."""
    text = as_line(source)
    if columns(text) > width:
        text = text[-(width - 3) :]
        while columns(text) > width - 3:
            text = text[1:]
        text = f"...{text}"
    return text + " " * (width - columns(text))


def _shared_directory(sources: Sequence[str]) -> int:
    """How many characters of all sources are the directory that they share."""
    if not sources:
        return 0
    # What the first and the last of them share, all do.
    first, last = min(sources), max(sources)
    ends = [at for at, (one, two) in enumerate(zip(first, last, strict=False)) if one != two]
    shared = first[: ends[0]] if ends else first
    return max(shared.rfind("/"), shared.rfind("\\")) + 1


def _total(table: Mapping[str, Any], width: int) -> str:
    edges = f"{table['edges_reached']} of {table['edges_total']} steps"
    sites = f"{table['sites_covered']} of {table['sites_total']} sites covered"
    percent = f"{table['percent']:.2f}".rstrip("0").rstrip(".")
    text = f"TOTAL  {edges}, {sites}"
    return f"{text}{percent + '%':>{max(width - len(text), 8)}}"
