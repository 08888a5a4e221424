"""Strategies of events, of scenarios made of them, and of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    CrashWorker,
    Delay,
    Event,
    FailRead,
    FailWrite,
    Moment,
    Redeliver,
    Revoke,
    Schedule,
    SoftTimeLimit,
    if_reached,
)
from pytest_taskprogress.strategies.defining import check_interval, check_size
from pytest_taskprogress.strategies.moments import (
    Pool,
    RunLike,
    pool_of,
)
from pytest_taskprogress.strategies.moments import moments as all_moments

__all__ = ["EventKind", "events", "scenarios", "schedules"]

#: A class of events, or what makes one of a moment, such as `partial(Advance, seconds=5)`.
EventKind = Callable[[Moment], Event]
_Moments = SearchStrategy[Moment] | Iterable[Moment]

#: What a failing example shrinks to comes first.
_KINDS: Final[tuple[type[Event], ...]] = (
    Abort,
    Advance,
    Delay,
    Redeliver,
    Revoke,
    SoftTimeLimit,
    FailWrite,
    FailRead,
    CrashWorker,
)
#: A second, less, a minute, and longer than most things wait.
_SECONDS: Final = (1.0, 0.5, 60.0, 3600.0)
#: What the clients of brokers, caches and databases raise; most drivers' errors are of these.
_ERRORS: Final[tuple[type[Exception], ...]] = (ConnectionError, TimeoutError, OSError)
#: How often, and for how long.
_SPANS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"times": 2},
    {"times": 3},
    {"seconds": 1.0},
    {"seconds": 60.0},
)
_HINT: Final = "it needs greenlet: pip install 'pytest-taskprogress[greenlet]'"


def events(
    *, kinds: Iterable[EventKind] | None = None, moments: _Moments | None = None
) -> SearchStrategy[Event]:
    """Events: what is done to a run from outside, at a moment.

    ::

        events(kinds=[Abort, SoftTimeLimit])
        events(kinds=[partial(FailWrite, error=redis.ConnectionError)], moments=moments(run))

    Args:
        kinds: Classes of events, or what makes one of a moment; None: all of
            `pytest_taskprogress.scenario`, `CrashWorker` where greenlet is installed. `Revoke` is
            never one that terminates: that needs a real worker.
        moments: A strategy of moments, or some moments; None: `moments()`.

    Raises:
        InvalidArgument: If there is no such event: no kind, or one that none of the moments fits.
    """
    return _of_kinds(_kinds(kinds), all_moments() if moments is None else moments, kinds is None)


def scenarios(
    run: RunLike | None = None,
    *,
    min_events: int = 0,
    max_events: int = 3,
    kinds: Iterable[EventKind] | None = None,
    moments: _Moments | None = None,
) -> SearchStrategy[tuple[Event, ...]]:
    """Scenarios: some events, for `taskprogress.under(*scenario)`.

    ::

        @given(rows=lists(integers()), scenario=scenarios())
        def test_keeps_its_contract(taskprogress, rows, scenario):
            taskprogress.under(*scenario).run(import_users, rows).check()

    Their moments are `if_reached(...)`: one that a run does not have does no harm. A failing
    example shrinks to no event, then to one, at the first moment of its kind.

    Args:
        run: A run that was made before: its moments are drawn. An event that is alone, of kinds
            that were asked for, must take place then, or `MomentNotReached` is raised; after the
            first of several the run may go another way.
        min_events: How many events at least.
        max_events: How many events at most.
        kinds: As for `events()`.
        moments: As for `events()`; not together with a run.

    Raises:
        InvalidArgument: If there is no such scenario.
    """
    check_size(min_events, "min_events")
    check_size(max_events, "max_events")
    check_interval(min_events, max_events, "events")
    chosen = _kinds(kinds)
    if run is not None:
        if moments is not None:
            message = "scenarios(run, moments=...): one of them, since a run has its own moments"
            raise InvalidArgument(message)
        drawn = _of_kinds(chosen, all_moments(run), kinds is None)
        several = st.lists(drawn, min_size=min_events, max_size=max_events)
        # Where nobody asked for a kind, it need not be one that can be done to the task.
        return several.map(_perhaps if kinds is None else _sure_if_alone)
    given = all_moments() if moments is None else moments
    pool = pool_of(given)
    # A pool is known of all but strategies.
    maybe: Any = given.map(if_reached) if pool is None else tuple(map(if_reached, pool))  # type: ignore[union-attr]
    drawn = _of_kinds(chosen, maybe, kinds is None)
    return st.lists(drawn, min_size=min_events, max_size=max_events).map(tuple)


def schedules(
    *, min_size: int = 0, max_size: int = 30, seeds: bool = True
) -> SearchStrategy[Schedule]:
    """Schedules: what runs next, wherever more than one thing could be.

    ::

        @given(schedule=schedules())
        def test_in_any_order(taskprogress, schedule):
            taskprogress.under(schedule=schedule).run(group(export.s(2), export.s(3))).check()

    They shrink to `Schedule()`: what runs goes on, and messages are taken in their order.

    Args:
        min_size: How many choices at least.
        max_size: How many choices at most.
        seeds: Whether what comes after the choices may be random, by a seed.

    Raises:
        InvalidArgument: If greenlet is not installed, or a size is none.
    """
    check_size(min_size, "min_size")
    check_size(max_size, "max_size")
    check_interval(min_size, max_size, "size")
    if not _has_greenlet():
        message = f"schedules(): {_HINT}"
        raise InvalidArgument(message)
    # 0 lets go on what runs; there are seldom more than a few others, and a number that is too
    # large begins with 0 again.
    choices = st.lists(st.integers(0, 3), min_size=min_size, max_size=max_size)
    return schedules_of(choices, st.none() | st.integers(0, 2**16) if seeds else st.none())


# No builds(): Hypothesis would show that call, and not the schedule.
@st.composite
def schedules_of(
    draw: DrawFn, choices: SearchStrategy[list[int]], seeds: SearchStrategy[int | None]
) -> Schedule:
    """Schedules of choices and a seed."""
    return Schedule(*draw(choices), seed=draw(seeds))


def _perhaps(drawn: list[Event]) -> tuple[Event, ...]:
    return tuple(replace(each, at=if_reached(each.at)) for each in drawn)


def _sure_if_alone(drawn: list[Event]) -> tuple[Event, ...]:
    return _perhaps(drawn) if len(drawn) > 1 else tuple(drawn)


# -- events of some kinds -------------------------------------------------------------------------


def _of_kinds(
    kinds: Sequence[EventKind],
    moments: _Moments,
    are_all: bool,  # noqa: FBT001 - whether nobody asked for one of them
) -> SearchStrategy[Event]:
    pool = pool_of(moments)
    if pool is None:
        strategy: Any = moments
        return st.one_of([_of_strategy(kind, strategy) for kind in kinds])
    drawn = []
    for kind in kinds:
        fitting = tuple(filter(_fits(kind), pool))
        if fitting:
            drawn.append(_of_pool(kind, fitting))
        elif not are_all:
            raise InvalidArgument(_unfit(kind, pool))
    return st.one_of(drawn)


def _of_pool(kind: EventKind, pool: Pool) -> SearchStrategy[Event]:
    """Events of a kind, at some moments that fit it."""
    ways, at = _ways(kind), st.sampled_from(pool)
    # Where there is one way there is no choice, and the event is the simpler one.
    return at.map(ways[0]) if len(ways) == 1 else st.builds(_made, st.sampled_from(ways), at)


def _of_strategy(kind: EventKind, moments: SearchStrategy[Moment]) -> SearchStrategy[Event]:
    """Of a strategy of the user's, of which nothing is known before it has drawn."""
    checked = moments.map(_checked)
    fits = _fits(kind)
    # Where it is a class that fits anything, nothing is thrown away, nor counted as such.
    restricted = getattr(_class_of(kind), "only_in_task", False)
    fitting = checked.filter(fits) if restricted else checked
    return st.builds(_made, st.sampled_from(_ways(kind)), fitting)


def _made(way: EventKind, at: Moment) -> Event:
    return way(at)


def _checked(moment: object) -> Moment:
    if not isinstance(moment, Moment):
        message = f"moments=... draws moments, such as at_report(3), got {as_repr(moment)}"
        raise InvalidArgument(message)
    return moment


def _ways(kind: EventKind) -> tuple[EventKind, ...]:
    """A kind with whatever else it takes."""
    made: Any = kind
    if made in (Advance, Delay):
        return tuple(partial(made, seconds=each) for each in _SECONDS)
    if made in (FailWrite, FailRead):
        every = product(_SPANS, _ERRORS)
        return tuple(partial(made, error=error, **span) for span, error in every)
    if made is CrashWorker:
        return (CrashWorker, _crash_child)
    return (kind,)


def _crash_child(at: Moment) -> Event:
    # Outside of a task no process of the pool has anything to do: it is the worker that dies.
    return CrashWorker(at, child=at.in_task is not False)


def _class_of(kind: EventKind) -> object:
    """Of a partial, what it calls."""
    return getattr(kind, "func", kind)


def _fits(kind: EventKind) -> Callable[[Moment], bool]:
    fits: Callable[[Moment], bool] = getattr(_class_of(kind), "fits", lambda _: True)
    return fits


# -- what is said of bad arguments ----------------------------------------------------------------


def _kinds(kinds: Iterable[EventKind] | None) -> tuple[EventKind, ...]:
    if kinds is None:
        return _KINDS if _has_greenlet() else tuple(each for each in _KINDS if each != CrashWorker)
    given: Any = kinds
    if isinstance(given, type) or not isinstance(given, Iterable):
        message = f"kinds=... takes several kinds, such as [Abort, FailWrite], got {as_repr(given)}"
        raise InvalidArgument(message)
    found = tuple(dict.fromkeys(given))
    if not found:
        message = "kinds=[]: expected one kind at least, such as [Abort]; None is all of them"
        raise InvalidArgument(message)
    for each in found:
        _check_kind(each)
    # In the order of their simplicity, whatever order they are given in.
    return tuple(sorted(found, key=lambda each: _KINDS.index(each) if each in _KINDS else -1))


def _check_kind(kind: Any) -> None:  # noqa: ANN401 - whatever a user gives
    is_class = isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    if not is_class and (isinstance(kind, type) or not callable(kind)):
        # An event is no kind: it has a moment already.
        hint = f"; did you mean {type(kind).__name__}?" if isinstance(kind, Event) else ""
        message = (
            "kinds=... takes classes of events, such as Abort, or what makes one of a moment, got"
            f" {as_repr(kind)}{hint}"
        )
        raise InvalidArgument(message)
    if _class_of(kind) is CrashWorker and not _has_greenlet():
        message = f"kinds=[CrashWorker]: {_HINT}"
        raise InvalidArgument(message)


def _unfit(kind: EventKind, pool: Pool) -> str:
    name = getattr(kind, "__name__", as_repr(kind))
    first = pool[:3]
    return (
        f"{name} happens while a task runs, and at none of the moments does one, such as"
        f" {', '.join(map(repr, first))}: give moments=... such as moments(kinds=[at_report]), or"
        " other kinds"
    )


def _has_greenlet() -> bool:
    return find_spec("greenlet") is not None
