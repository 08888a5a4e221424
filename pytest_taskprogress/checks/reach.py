"""Transition coverage: which steps of the state table, and which report sites, tests reached."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from pytest_taskprogress.checks.reachlines import reach_lines
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.states import (
    KNOWN_STATES,
    PROGRESS,
    TERMINAL_STATES,
    TRANSITIONS,
    Outcome,
    check_transition,
    is_report,
)
from pytest_taskprogress.core.transitions import Transition

__all__ = ["Reach", "counted", "last_report"]

#: The name of a task whose name nobody knows.
_NAMELESS: Final = "(unknown task)"


class _Place(NamedTuple):
    """A line of a task: it sorts by number, not by digit."""

    task: str
    file: str
    line: int

    @property
    def source(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class _Site:
    """A site that could be reached; `optional` ones need not be, and are not shown."""

    end: int
    abortable: bool
    optional: bool = False


def counted(transitions: Iterable[Transition]) -> list[dict[str, Any]]:
    """What a record's task has as `cut` of the writes that were left out of it, so that they count.

    Args:
        transitions: Those writes.

    Returns:
        A dict each kind of write, with its `count`.
    """
    counts = Counter((each.old_state, each.state, each.source, each.stored) for each in transitions)
    return [
        {
            "old": old,
            "state": state,
            "source": None if source is None else str(source),
            "stored": stored,
            "count": count,
        }
        for (old, state, source, stored), count in counts.items()
    ]


def last_report(transitions: Iterable[Transition], index: int) -> str | None:
    """What an abort of a record has as `report`: the last report of its task before it.

    Args:
        transitions: Those of the task, in order.
        index: Of the abort.

    Returns:
        The source of the report; None if there was none, or if the task had ended.
    """
    before = [each for each in transitions if each.stored and each.index < index]
    if before and before[-1].state in TERMINAL_STATES:
        return None
    sources = [each.source for each in before if each.is_report]
    return None if not sources or sources[-1] is None else str(sources[-1])


class Reach:
    """What was reached of what could be.

    It takes records of runs, in any order, of any number of processes: nothing in them is trusted.
    A site that was reached and is not among those that were found in the source (a helper reports
    on behalf of a task) is one all the same.

    Args:
        sites: What could be reached: dicts with `task`, `source`, `end`, `abortable`, as
            `tasks.sites.report_sites` makes them; see `add_sites`.
        abortable: Names of tasks that can be asked to abort.
    """

    def __init__(
        self, sites: Iterable[Mapping[str, Any]] = (), abortable: Iterable[str] = ()
    ) -> None:
        self._sites: dict[_Place, _Site] = {}
        self._abortable: set[str] = set()
        self._edges: Counter[tuple[str, str]] = Counter()
        self._illegal: Counter[tuple[str, str]] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        #: Place -> how often it wrote something; and of that, how often it was a report.
        self._written: Counter[_Place] = Counter()
        self._reported: Counter[_Place] = Counter()
        #: Places of each abort: of the report before it, and of the line that noticed it.
        self._aborts: Counter[frozenset[_Place]] = Counter()
        self._left_out = 0
        self.add_sites(sites, abortable)

    def add_sites(self, sites: Iterable[Mapping[str, Any]], abortable: Iterable[str] = ()) -> None:
        """Add what could be reached; the same site may be added again.

        Args:
            sites: See above.
            abortable: Names of tasks that can be asked to abort: for what reports on their behalf.
        """
        self._abortable.update(abortable)
        for each in sites:
            place = _place(each.get("task"), each.get("source"))
            if place is None:
                continue
            optional = bool(each.get("optional"))
            site = _Site(_whole(each.get("end"), place.line), bool(each.get("abortable")), optional)
            same = self._sites.get(place, site)
            self._sites[place] = replace(
                same,
                end=max(site.end, same.end),
                abortable=site.abortable or same.abortable,
                optional=site.optional and same.optional,
            )
            if site.abortable:
                self._abortable.add(place.task)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add what a run reached.

        Args:
            record: A run's record; one that stands for several counts as many times. A task of it
                may have a `cut` (see `counted`), and an abort a `report` (see `last_report`).
        """
        times = max(_whole(record.get("alike"), 1), 1)
        for task in _dicts(record.get("tasks")):
            writes, cut = _dicts(task.get("writes")), _dicts(task.get("cut"))
            counts = [_whole(each.get("count"), 0) for each in cut]
            self._left_out += max(_whole(task.get("left_out"), 0) - sum(counts), 0) * times
            for write, count in zip(cut, counts, strict=True):
                self._add_write(task, write, times * count)
            for write in writes:
                self._add_write(task, write, times)
            for abort in _dicts(task.get("aborts")):
                self._aborts[_places_of_abort(task, writes, abort)] += times

    def _add_write(self, task: Mapping[str, Any], write: Mapping[str, Any], times: int) -> None:
        old, state = as_text(write.get("old")), as_text(write.get("state"))
        edge = _known(old), _known(state)
        stored = write.get("stored") is not False
        if not stored:
            self._dropped[edge] += times
        elif check_transition(old, state) is Outcome.ALLOWED:
            self._edges[edge] += times
        else:
            self._illegal[edge] += times
        place = _place(task.get("name"), write.get("source"))
        if place is not None:
            self._written[place] += times
            self._reported[place] += times * is_report(state)

    def table(self) -> dict[str, Any]:
        """All of it as plain values.

        Returns:
            `edges`: each step of the state table, in its order, with its `cause` and `count`;
            `illegal`: steps that it does not have and that happened, `dropped`: whether the backend
            dropped them; `sites`: each with `reached` and `aborted` (None: the task cannot be
            aborted there) counts, and whether it is `covered`; the `percent` of sites that are (100
            if there are none, and only if all are); totals; and `left_out`, how many writes the
            records lack.
        """
        edges = [
            {"old": old, "state": state, "cause": cause, "count": self._edges[old, state]}
            for (old, state), cause in TRANSITIONS.items()
        ]
        illegal = [
            {"old": old, "state": state, "count": count, "dropped": dropped}
            for counts, dropped in ((self._illegal, False), (self._dropped, True))
            for (old, state), count in sorted(counts.items())
        ]
        sites = self._table_of_sites()
        covered = sum(bool(each["covered"]) for each in sites)
        percent = math.floor(10_000 * covered / len(sites)) / 100 if sites else 100.0
        return {
            "edges": edges,
            "illegal": illegal,
            "sites": sites,
            "percent": percent,
            "edges_reached": sum(self._edges[edge] > 0 for edge in TRANSITIONS),
            "edges_total": len(edges),
            "sites_reached": sum(bool(each["reached"]) for each in sites),
            "sites_aborted": sum(bool(each["aborted"]) for each in sites),
            "sites_covered": covered,
            "sites_total": len(sites),
            "left_out": self._left_out,
        }

    def lines(self, width: int = 80) -> list[str]:
        """All of it as lines for a terminal.

        Args:
            width: Columns of the terminal.
        """
        return reach_lines(self.table(), width)

    def _table_of_sites(self) -> list[dict[str, Any]]:
        """A row each site, by task, file and line."""
        nearest = _Nearest(self._sites)
        reached: Counter[_Place] = Counter()
        aborted: Counter[_Place] = Counter()
        for place, count in self._written.items():
            found = nearest(place)
            if found is not None:
                reached[found] += count
            elif self._reported[place]:
                reached[place] += self._reported[place]
        for places, count in self._aborts.items():
            # A loop of one line reports and notices at the same site: that is one abort.
            for each in {nearest(place) or place for place in places}:
                aborted[each] += count
        rows = []
        for place in sorted({*self._sites, *reached}):
            site = self._sites.get(place, _Site(place.line, place.task in self._abortable))
            if site.optional:
                continue
            rows.append(
                {
                    "task": place.task,
                    "source": place.source,
                    "reached": reached[place],
                    "aborted": aborted[place] if site.abortable else None,
                    "covered": reached[place] > 0 and (aborted[place] > 0 or not site.abortable),
                }
            )
        return rows


class _Nearest:
    """Finds the site that a line is part of: of several the one that begins last.

    Args:
        sites: All there are.
    """

    def __init__(self, sites: Mapping[_Place, _Site]) -> None:
        self._sites = sites
        self._starts: defaultdict[tuple[str, str], list[_Place]] = defaultdict(list)
        for place in sorted(sites):
            self._starts[place.task, place.file].append(place)

    def __call__(self, place: _Place) -> _Place | None:
        starts = self._starts.get((place.task, place.file), [])
        for site in reversed(starts[: bisect_right(starts, place)]):
            if place.line <= self._sites[site].end:
                return site
        return None


def _places_of_abort(
    task: Mapping[str, Any], writes: list[Mapping[str, Any]], abort: Mapping[str, Any]
) -> frozenset[_Place]:
    """Where a task was aborted: its last report before, and the line that asked or noticed."""
    report = abort["report"] if "report" in abort else _report_before(writes, abort)
    sources = [report, abort.get("source")]
    places = (_place(task.get("name"), each) for each in sources)
    return frozenset(each for each in places if each is not None)


def _report_before(writes: list[Mapping[str, Any]], abort: Mapping[str, Any]) -> object:
    """The source of the last report before an abort; None if the task had ended."""
    index = _whole(abort.get("index"), 0)
    before = [
        each
        for each in writes
        if each.get("stored") is not False and _whole(each.get("index"), index) < index
    ]
    if before and before[-1].get("state") in TERMINAL_STATES:
        return None
    reports = [each for each in before if is_report(as_text(each.get("state")))]
    return reports[-1].get("source") if reports else None


def _place(task: object, source: object) -> _Place | None:
    """A place, of a source that is `file:line`; None if it is not."""
    file, _, line = as_text(source).rpartition(":")
    if not isinstance(source, str) or not file or not (line.isascii() and line.isdigit()):
        return None
    return _Place(_NAMELESS if task is None else as_text(task), file, int(line[:9]))


def _known(state: str) -> str:
    return state if state in KNOWN_STATES else PROGRESS


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and value >= 0 else default


def _dicts(value: object) -> list[Mapping[str, Any]]:
    given = value if isinstance(value, (list, tuple)) else ()
    return [each for each in given if isinstance(each, Mapping)]
