"""Strategies of moments: those that a run has, or the first few of each kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import FAILURE, PROGRESS, RETRY, STARTED, SUCCESS
from pytest_taskprogress.core.transitions import History
from pytest_taskprogress.scenario import (
    Moment,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
)

__all__ = ["MomentKind", "Pool", "RunLike", "moments", "pool_of"]

#: One of the functions that make moments, such as `at_report`.
MomentKind = Callable[..., Moment]
#: What is drawn from; a failing example shrinks to the first.
Pool = tuple[Moment, ...]

#: What a failing example shrinks to comes first: the moments that people name first.
_KINDS: Final[tuple[MomentKind, ...]] = (
    at_report,
    at_abort_check,
    before_start,
    at_retry,
    at_percent,
    at_position,
    at_write,
    at_state,
)
_BY_NAME: Final = {kind.__name__: kind for kind in _KINDS}
_COUNTING: Final[tuple[MomentKind, ...]] = (
    at_report,
    at_abort_check,
    before_start,
    at_retry,
    at_write,
)
#: The states that most tasks have.
_STATES: Final = (PROGRESS, STARTED, SUCCESS, FAILURE, RETRY)
#: About as many as there are moments of other kinds.
_PERCENTS: Final = (50, 0, 100, 10, 20, 25, 30, 40, 60, 70, 75, 80, 90)

#: The strategies of `moments()`, and what they draw from: who takes one sees what can be, at once.
_POOLS: Final[WeakKeyDictionary[SearchStrategy[Moment], Pool]] = WeakKeyDictionary()


class RunLike(Protocol):
    """What is asked of a run: a `TaskRun` has it."""

    @property
    def history(self) -> History:
        """The transitions of all its tasks."""

    @property
    def starts(self) -> Collection[Any]:
        """Each time that a worker began with its task."""

    @property
    def children(self) -> Iterable[Any]:
        """A run for each of its other tasks."""


def moments(
    run: RunLike | None = None,
    *,
    kinds: Iterable[MomentKind] | None = None,
    max_n: int = 10,
    task: str | None = None,
) -> SearchStrategy[Moment]:
    """Moments of a run.

    Of a run that was made before: those that it has, which come again if it is run again.

    ::

        run = taskprogress.run(export, 10)
        moments(run)                            # each has been
        moments(kinds=[at_report, at_percent])  # the first ten reports, and each percentage

    Args:
        run: The run; None: no certain one, whose moments need not come.
        kinds: Which: `at_report`, `at_abort_check`, `before_start`, `at_retry`, `at_percent`,
            `at_position`, `at_write`, `at_state`; None: all. An abort check leaves no trace in a
            run: there is none among the moments of one.
        max_n: Up to which number they are counted, where no run is given.
        task: Name of the task that they are about; None: of any.

    Raises:
        InvalidArgument: If there is no such moment.
    """
    _check_task(task)
    pool = _pool_of_any(max_n, task) if run is None else _pool_of_run(run, task)
    wanted = _wanted(kinds)
    chosen = tuple(chain.from_iterable(pool.get(name, ()) for name in wanted))
    if not chosen:
        raise InvalidArgument(_nothing(run, kinds, task))
    strategy = st.sampled_from(chosen)
    _POOLS[strategy] = chosen
    return strategy


def pool_of(moments: SearchStrategy[Moment] | Iterable[Moment]) -> Pool | None:
    """What moments are drawn from.

    Args:
        moments: A strategy of moments, or some moments.

    Returns:
        The pool; None if it is a strategy of the user's, which is known by what it draws only.

    Raises:
        InvalidArgument: If it is neither, or there are none.
    """
    if isinstance(moments, SearchStrategy):
        if moments.is_empty:
            message = "moments=...: the strategy has no moments"
            raise InvalidArgument(message)
        return _POOLS.get(moments)
    given: Any = moments
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        message = (
            "moments=... takes a strategy such as moments(run), or some moments, such as"
            f" [at_report(1), at_percent(50)], got {as_repr(given)}"
        )
        raise InvalidArgument(message)
    found = tuple(given)
    wrong = next((each for each in found if not isinstance(each, Moment)), None)
    if wrong is not None:
        message = f"moments=... takes moments, such as at_report(3), got {as_repr(wrong)}"
        raise InvalidArgument(message)
    if not found:
        message = "moments=[]: expected one moment at least, such as at_report(3)"
        raise InvalidArgument(message)
    return found


# -- what there is --------------------------------------------------------------------------------


def _pool_of_any(max_n: int, task: str | None) -> Mapping[str, Pool]:
    given: object = max_n  # the annotation is a promise that callers break
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        message = f"moments() counts from 1: expected a whole number of 1 or more, got {max_n=!r}"
        raise InvalidArgument(message)
    numbers = range(1, max_n + 1)
    values: dict[MomentKind, Iterable[Any]] = dict.fromkeys(_COUNTING, numbers)
    values |= {at_percent: _PERCENTS, at_position: range(max_n + 1), at_state: _STATES}
    return _made(values, task)


def _pool_of_run(run: RunLike, task: str | None) -> Mapping[str, Pool]:
    """What can be counted in a run: its writes, as far as they were stored, and its starts."""
    history = getattr(run, "history", None)
    if not isinstance(history, History):
        message = (
            "moments() takes a run, as taskprogress.run(...) returns it, got"
            f" {as_repr(run)}; moments() without one draws the first few of each kind"
        )
        raise InvalidArgument(message)
    stored = [each for each in history if each.stored and task in (None, each.name)]
    reports = [each for each in stored if each.is_report]
    retries = [each for each in stored if each.state == RETRY]
    runs = {id(each): each for each in (run, *run.children)}.values()
    starts = sum(len(each.starts) for each in runs if task in (None, getattr(each, "name", None)))
    values: dict[MomentKind, Iterable[Any]] = {
        at_report: range(1, len(reports) + 1),
        before_start: range(1, starts + 1),
        at_retry: range(1, len(retries) + 1),
        at_percent: [each.percent for each in reports if _is_within(each.percent, 100.0)],
        at_position: [
            each.meta["current"] for each in reports if _is_within(each.meta.get("current"), None)
        ],
        at_write: range(1, len(stored) + 1),
        at_state: [each.state for each in stored],
    }
    return _made(values, task)


def _made(values: Mapping[MomentKind, Iterable[Any]], task: str | None) -> Mapping[str, Pool]:
    return {
        kind.__name__: tuple(kind(value, task=task) for value in dict.fromkeys(values[kind]))
        for kind in _KINDS
        if kind in values
    }


def _is_within(value: object, most: float | None) -> bool:
    """Whether a moment can be named by it: a task may store anything."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return 0 <= value <= (float("inf") if most is None else most) and value != float("inf")


# -- what is said of bad arguments ----------------------------------------------------------------


def _wanted(kinds: Iterable[MomentKind] | None) -> list[str]:
    if kinds is None:
        return list(_BY_NAME)
    given: Any = kinds
    known = ", ".join(_BY_NAME)
    if isinstance(given, str) or not isinstance(given, Iterable):
        message = f"moments(kinds=...) takes several, such as [at_report], got {as_repr(given)}"
        raise InvalidArgument(message)
    found = list(given)
    for each in found:
        if each not in _KINDS:
            message = f"moments(kinds=...) takes some of {known}, got {as_repr(each)}"
            raise InvalidArgument(message)
    if not found:
        message = f"moments(kinds=[]): expected one kind at least, of {known}"
        raise InvalidArgument(message)
    return [kind.__name__ for kind in _KINDS if kind in found]


def _check_task(task: object) -> None:
    if task is not None and (not isinstance(task, str) or not task):
        message = f"moments(task=...) takes the name of a task, got {as_repr(task)}"
        raise InvalidArgument(message)


def _nothing(run: object, kinds: Iterable[MomentKind] | None, task: str | None) -> str:
    of = "" if task is None else f" of {task}"
    which = "moments" if kinds is None else f"moments {', '.join(_wanted(kinds))}"
    return f"there are no {which}{of} in {as_repr(run)}"
