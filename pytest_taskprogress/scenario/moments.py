"""Moments: points of a run that can be named in advance.

A new moment is one function here: a name, and what it is that happens then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.printing import AsCode
from pytest_taskprogress.core.progress import Number, amount
from pytest_taskprogress.core.states import RETRY
from pytest_taskprogress.core.transitions import Transition

__all__ = [
    "Moment",
    "Occasion",
    "at_abort_check",
    "at_percent",
    "at_position",
    "at_report",
    "at_retry",
    "at_state",
    "at_write",
    "before_start",
    "if_reached",
    "when",
]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that happens in a run, at which a moment may be.

    Attributes:
        kind: `"start"`: a worker is about to run a task. `"write"`: something was stored.
            `"check"`: a task is about to look whether it was asked to abort.
        name: Name of the task; None where only its id is known.
        uuid: Its id.
        transition: What was written.
    """

    kind: str
    name: str | None
    uuid: str
    transition: Transition | None = None

    @property
    def in_task(self) -> bool:
        """True in the code of the task itself; False in what the worker does around it."""
        if self.transition is not None:
            return self.transition.source is not None
        return self.kind == "check"


@dataclass(frozen=True, slots=True, repr=False)
class Moment:
    """A point of a run: the nth time that something happens. Made by the functions of this module.

    Attributes:
        code: How it is written.
        happens: Tells whether an occasion is one of those that are counted.
        n: Which of them it is, from 1.
        task: Name of the task that it is about; None: of any.
        in_task: Whether it is in the code of the task itself; None if that depends.
        predicate: Of `when()`.
        may_miss: Whether it need not come.
    """

    code: str
    happens: Callable[[Occasion], bool] = field(compare=False)
    n: int = 1
    task: str | None = None
    in_task: bool | None = True
    predicate: Callable[[Transition], bool] | None = None
    may_miss: bool = False

    def is_at(self, occasion: Occasion) -> bool:
        """Tell whether an occasion is one of those that are counted."""
        return self.task in (None, occasion.name) and self.happens(occasion)

    def __repr__(self) -> str:
        return f"if_reached({self.code})" if self.may_miss else self.code

    _repr_pretty_ = AsCode()


def before_start(n: int = 1, *, task: str | None = None) -> Moment:
    """A worker has a task, and does not run it yet; retries start anew.

    Args:
        n: The nth start of the run.
        task: Name of the task that it is about; None: of any.
    """
    return _nth("before_start", n, task, lambda occasion: occasion.kind == "start", in_task=False)


def at_report(n: int, *, task: str | None = None) -> Moment:
    """The nth report of progress was stored.

    Args:
        n: From 1.
        task: Name of the task that it is about; None: of any.
    """
    return _nth("at_report", n, task, _of_report(lambda _: True))


def at_percent(percent: Number, *, task: str | None = None) -> Moment:
    """A report of this percentage, or the first one above it, was stored.

    Args:
        percent: 0 to 100.
        task: Name of the task that it is about; None: of any.
    """
    if amount(percent, "percent") > 100:  # noqa: PLR2004
        message = f"at_percent() takes 0 to 100, got {percent=!r}"
        raise ValueError(message)
    reached = _of_report(lambda report: report.percent is not None and report.percent >= percent)
    return Moment(_code("at_percent", percent, task), reached, task=task)


def at_position(position: Number, *, task: str | None = None) -> Moment:
    """A report of this `current`, or the first one above it, was stored.

    Args:
        position: 0 or more, in the units of the task.
        task: Name of the task that it is about; None: of any.
    """
    amount(position, "position")

    def reached(report: Transition) -> bool:
        current = report.meta.get("current")
        return isinstance(current, (int, float)) and current >= position

    return Moment(_code("at_position", position, task), _of_report(reached), task=task)


def at_state(state: str, *, task: str | None = None) -> Moment:
    """A state was stored for the first time.

    Args:
        state: Its name.
        task: Name of the task that it is about; None: of any.
    """
    given: object = state  # the annotation is a promise that callers break
    if not isinstance(given, str) or not given:
        message = f"at_state() takes the name of a state, got {as_repr(state)}"
        raise TypeError(message)
    stored = _of_write(lambda write: write.state == state)
    return Moment(_code("at_state", state, task), stored, task=task, in_task=None)


def at_write(n: int, *, task: str | None = None) -> Moment:
    """The nth state was stored, whichever it is.

    Args:
        n: From 1.
        task: Name of the task that it is about; None: of any.
    """
    return _nth("at_write", n, task, _of_write(lambda _: True), in_task=None)


def at_abort_check(n: int, *, task: str | None = None) -> Moment:
    """The task looks whether it was asked to abort, for the nth time, and has not looked yet.

    Checks that `abort_check_interval` saves are none.

    Args:
        n: From 1.
        task: Name of the task that it is about; None: of any.
    """
    return _nth("at_abort_check", n, task, lambda occasion: occasion.kind == "check")


def at_retry(n: int = 1, *, task: str | None = None) -> Moment:
    """The task has asked for another attempt, for the nth time, and waits for it.

    Args:
        n: From 1.
        task: Name of the task that it is about; None: of any.
    """
    return _nth("at_retry", n, task, _of_write(lambda write: write.state == RETRY), in_task=False)


def when(predicate: Callable[[Transition], bool], *, task: str | None = None) -> Moment:
    """Something was stored for which a predicate is true.

    Args:
        predicate: Is called with the transition.
        task: Name of the task that it is about; None: of any.
    """
    if not callable(predicate):
        message = f"when() takes a predicate of a transition, got {as_repr(predicate)}"
        raise TypeError(message)
    name = getattr(predicate, "__name__", None) or as_repr(predicate)
    code = f"when({name}{_of(task)})"
    return Moment(code, _of_write(predicate), task=task, in_task=None, predicate=predicate)


def if_reached(moment: Moment) -> Moment:
    """A moment that need not come: the event happens if it does, and else nothing is wrong.

    Args:
        moment: Which one.
    """
    if not isinstance(moment, Moment):
        message = f"if_reached() takes a moment, such as at_report(3), got {as_repr(moment)}"
        raise TypeError(message)
    if moment.may_miss:
        return moment
    return replace(moment, may_miss=True)


def _nth(
    name: str,
    n: int,
    task: str | None,
    happens: Callable[[Occasion], bool],
    *,
    in_task: bool | None = True,
) -> Moment:
    given: object = n  # the annotation is a promise that callers break
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        message = f"{name}(n) counts from 1: expected a whole number of 1 or more, got n={n!r}"
        raise ValueError(message)
    return Moment(_code(name, n, task), happens, n, task, in_task)


def _code(name: str, argument: object, task: str | None) -> str:
    return f"{name}({argument!r}{_of(task)})"


def _of(task: object) -> str:
    if task is None:
        return ""
    if not isinstance(task, str) or not task:
        message = f"a moment knows a task by its name: expected task='proj.export', got {task=!r}"
        raise TypeError(message)
    return f", task={task!r}"


def _of_write(of: Callable[[Transition], bool]) -> Callable[[Occasion], bool]:
    """What happens at a write that reached the backend, and was not dropped there."""

    def happens(occasion: Occasion) -> bool:
        write = occasion.transition
        return write is not None and write.stored and bool(of(write))

    return happens


def _of_report(of: Callable[[Transition], bool]) -> Callable[[Occasion], bool]:
    return _of_write(lambda write: write.is_report and of(write))
