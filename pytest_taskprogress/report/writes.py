"""What one task of a run wrote, and what was done to it meanwhile, as the page needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.core.states import RETRY
from pytest_taskprogress.report.looks import state_class
from pytest_taskprogress.report.untrusted import items, number, text, whole

__all__ = ["Happening", "Task", "Write", "happenings_of", "tasks_of"]

#: Seconds: differences between such numbers are still numbers.
_LONGEST_TIME: Final = 1e15


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a task."""

    index: int
    at: float
    old: str
    state: str
    percent: float | None
    message: str
    error: str
    source: str
    stored: bool
    is_retry: bool

    @property
    def look(self) -> str:
        """Its class in the style sheet."""
        return state_class(self.state)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done to a run: before the write of this index."""

    index: int
    at: float
    what: str
    look: str
    source: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run.

    Attributes:
        depth: How many tasks it is below one that came of none in this run.
        left_out: How many writes were left out, before the write at the position `gap`.
    """

    id: str
    name: str
    state: str
    depth: int
    writes: Sequence[Write]
    happenings: Sequence[Happening]
    left_out: int
    gap: int

    @property
    def short(self) -> str:
        """Its name without the module's."""
        return self.name.rpartition(".")[2] or self.name

    @property
    def written(self) -> int:
        """How many writes it made."""
        return len(self.writes) + self.left_out


def tasks_of(run: Mapping[str, Any]) -> list[Task]:
    """The tasks of a run's record; those that came of another one follow it."""
    records = items(run.get("tasks"))
    return [_task(records[each], depth) for each, depth in _as_tree(records)]


def _as_tree(records: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Positions and depths, depth first; whoever is its own ancestor counts as nobody's child."""
    positions = {_identity(record, "id"): each for each, record in enumerate(records)}
    positions.pop("", None)
    parents = [positions.get(_identity(record, "parent")) for record in records]
    children: dict[int | None, list[int]] = {}
    for each, parent in enumerate(parents):
        children.setdefault(parent, []).append(each)
    result: list[tuple[int, int]] = []
    seen: set[int] = set()
    # Roots first; what they do not lead to is in a circle, and begins where it is met.
    for start in (*children.get(None, ()), *range(len(records))):
        waiting = [(start, 0)]
        while waiting:
            each, depth = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            result.append((each, depth))
            waiting += [(child, depth + 1) for child in reversed(children.get(each, ()))]
    return result


def _task(record: Mapping[str, Any], depth: int) -> Task:
    writes = sorted(
        map(_write, enumerate(items(record.get("writes")))), key=lambda write: write.index
    )
    left_out = whole(record.get("left_out"))
    identity = _identity(record, "id")
    return Task(
        id=identity,
        name=text(record.get("name")) or identity or "(no name)",
        state=text(record.get("state")),
        depth=depth,
        writes=writes,
        happenings=[
            Happening(whole(each.get("index")), _at(each), "abort asked for", "x", _source(each))
            for each in items(record.get("aborts"))
        ],
        left_out=left_out,
        gap=_gap(writes) if left_out else 0,
    )


def _write(numbered: tuple[int, Mapping[str, Any]]) -> Write:
    position, record = numbered
    state = text(record.get("state"))
    return Write(
        index=whole(record.get("index"), position),
        at=_at(record),
        old=text(record.get("old")),
        state=state,
        percent=number(record.get("percent")),
        message=text(record.get("message")),
        error=text(record.get("error")),
        source=_source(record),
        stored=record.get("stored") is not False,
        is_retry=state == RETRY or record.get("kind") == "retry",
    )


def _gap(writes: Sequence[Write]) -> int:
    """Before which write some were left out: where the indices jump most, nearest the middle."""
    middle = len(writes) // 2
    return max(
        range(1, len(writes)),
        key=lambda each: (writes[each].index - writes[each - 1].index, -abs(each - middle)),
        default=len(writes),
    )


def _identity(record: Mapping[str, Any], key: str) -> str:
    return text(record.get(key))


def _at(record: Mapping[str, Any]) -> float:
    found = number(record.get("at")) or 0.0
    return min(max(found, -_LONGEST_TIME), _LONGEST_TIME)


def _source(record: Mapping[str, Any]) -> str:
    return text(record.get("source"))


def happenings_of(run: Mapping[str, Any]) -> list[Happening]:
    """What a scenario did to the whole run."""
    return [
        Happening(whole(each.get("index")), _at(each), text(each.get("what")), "e", _source(each))
        for each in items(run.get("events"))
    ]
