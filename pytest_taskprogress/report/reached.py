"""Transition coverage, as the page shows it: a table of old states by new ones, and of lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pytest_taskprogress.core.states import TRANSITIONS
from pytest_taskprogress.report.untrusted import items, number, text, whole

__all__ = ["Edge", "Reach", "Site", "reach_of"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A step from one state to another."""

    cause: str
    count: int


@dataclass(frozen=True, slots=True)
class Site:
    """A line that reports."""

    task: str
    source: str
    reached: int
    aborted: int | None


@dataclass(frozen=True, slots=True)
class Reach:
    """Transition coverage, as a table of old states by new ones."""

    percent: str
    states: Sequence[str]
    grid: Sequence[tuple[str, Sequence[Edge | None]]]
    edges: Sequence[tuple[str, Edge]]
    reached: int
    sites: Sequence[Site]


def reach_of(table: object) -> Reach | None:
    """Transition coverage, if there is any to show."""
    if not isinstance(table, Mapping):
        return None
    edges = {
        (text(each.get("old")), text(each.get("state"))): Edge(
            text(each.get("cause")), whole(each.get("count"))
        )
        for each in items(table.get("edges"))
    }
    columns = _in_order(state for _, state in edges)
    grid = [
        (old, [edges.get((old, new)) for new in columns])
        for old in _in_order(old for old, _ in edges)
    ]
    percent = number(table.get("percent"))
    return Reach(
        percent="" if percent is None else f"{percent:.1f}",
        states=columns,
        grid=grid,
        edges=[(f"{old} → {new}", edge) for (old, new), edge in edges.items()],
        reached=sum(1 for edge in edges.values() if edge.count),
        sites=[_site(each) for each in items(table.get("sites"))],
    )


def _in_order(names: Iterable[str]) -> list[str]:
    """States as the table of legal steps names them first; others behind."""
    order = list(dict.fromkeys(chain.from_iterable(TRANSITIONS)))
    return sorted(set(names), key=lambda each: (_place(each, order), each))


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _site(record: Mapping[str, Any]) -> Site:
    aborted = record.get("aborted")
    return Site(
        task=text(record.get("task")) or "(no name)",
        source=text(record.get("source")),
        reached=whole(record.get("reached")),
        aborted=None if aborted is None else whole(aborted),
    )
