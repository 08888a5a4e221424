"""Which keys the metas of a task have, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from pytest_taskprogress.core.progress import Number, Progress

__all__ = ["RESERVED", "Shape", "meta_of", "percent_of", "shape_of"]

#: Keys of a meta that this package, or Celery, gives a meaning to.
RESERVED: Final = frozenset(
    {
        *("pending", "description", "current", "total", "percent", "elapsed", "name"),
        *("exc_type", "exc_message", "exc_module"),
    }
)

_Percentage: TypeAlias = Callable[[Number, Number], Number]


def _to_two(current: Number, total: Number) -> Number:
    percent = Progress(current, total).percent
    return 0.0 if percent is None else percent


def _to_one(current: Number, total: Number) -> Number:
    return round(current / total * 100.0, 1)


def _whole(current: Number, total: Number) -> Number:
    return round(current / total * 100.0)


def _cut(current: Number, total: Number) -> Number:
    return int(current / total * 100.0)


def _exact(current: Number, total: Number) -> Number:
    return min(current / total * 100.0, 100.0)


#: How people compute a percentage; from the Observer's way on.
_PERCENTAGES: Final[tuple[_Percentage, ...]] = (_to_two, _whole, _cut, _to_one, _exact)

#: Keys that say how far a task has come, from the fewest on: with any total, ...
_OF_A_TOTAL: Final = (("percent",), ("current", "total"), ("current", "total", "percent"))
#: ... with 0, by which nobody can divide, ...
_OF_ZERO: Final = (("percent",), ("current", "total", "percent"))
#: ... and where nobody knows it.
_OF_NONE: Final = ((), ("current",), ("current", "total"), ("current", "total", "percent"))


@dataclass(frozen=True)
class Shape:
    """How a task makes the metas of its reports.

    Attributes:
        keys: Those that say how far it has come.
        percentage: How it computes a percentage; 0 of 0 is 100.
        described: Whether there is a `description`.
        pending: Whether there is a `pending`, as celery-progress reads it.
        elapsed: Whether there is an `elapsed`.
        extra: Whether reports have keys of the task's own.
        pauses: Whether some reports do not tell how far it has come.
        takes_time: Whether time passes between its writes.
        learns: Whether nobody knows the total at its first report.
    """

    keys: tuple[str, ...] = ("percent",)
    percentage: _Percentage = _to_two
    described: bool = False
    pending: bool = False
    elapsed: bool = False
    extra: bool = False
    pauses: bool = False
    takes_time: bool = False
    learns: bool = False


def shape_of(
    draw: st.DrawFn, total: Number | None, *, given: bool = False, described: bool | None = None
) -> Shape:
    """Draw how a task makes metas.

    What is drawn by it comes after all that says what there is, such as how many reports there are:
    so an example shrinks to fewer keys without becoming another one.

    Args:
        draw: What draws.
        total: The total.
        given: Whether each meta must have it.
        described: Whether each has a description; None: some have.
    """
    keys = _OF_NONE if total is None else _OF_A_TOTAL if total else _OF_ZERO
    return Shape(
        draw(_with_total[keys] if given else _any_keys[keys]),
        draw(_percentages),
        described=draw(_perhaps) if described is None else described,
        pending=draw(_perhaps),
        elapsed=draw(_perhaps),
        extra=draw(_perhaps),
        pauses=not given and draw(_perhaps),
        takes_time=draw(_perhaps),
        # Drawn also where it means nothing, so that no total is not the shortest example.
        learns=draw(_perhaps) and not given and total is not None,
    )


_perhaps: Final = st.booleans()
_percentages: Final = st.sampled_from(_PERCENTAGES)
_any_keys: Final = {keys: st.sampled_from(keys) for keys in (_OF_A_TOTAL, _OF_ZERO, _OF_NONE)}
_with_total: Final = {
    keys: st.sampled_from([each for each in keys if "total" in each]) for keys in _any_keys
}


def meta_of(
    shape: Shape, current: Number, total: Number | None, *, text: str, elapsed: float
) -> dict[str, Any]:
    """The meta of one report, its keys in the Observer's order."""
    meta: dict[str, Any] = {}
    if shape.pending:
        meta["pending"] = False
    if shape.described:
        meta["description"] = text
    if "current" in shape.keys:
        meta["current"] = current
    if "total" in shape.keys:
        meta["total"] = total
    if "percent" in shape.keys:
        meta["percent"] = percent_of(shape, current, total)
    if shape.elapsed:
        meta["elapsed"] = elapsed
    return meta


def percent_of(shape: Shape, current: Number, total: Number | None) -> Number | None:
    """The percentage, as the task computes it."""
    if total is None:
        return None
    return shape.percentage(current, total) if total else 100.0
