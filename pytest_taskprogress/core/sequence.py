"""Histories that are written by hand, or drawn: `ProgressSequence`, whose `repr` is its code."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, overload

from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.progress import amount
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    FAILURE,
    PENDING,
    RETRY,
    REVOKED,
    SUCCESS,
)
from pytest_taskprogress.core.transitions import History, Transition

__all__ = ["ProgressSequence", "Write"]

#: The id of a task that was given none; snapshots number tasks so.
_TASK: Final = "task-1"
#: The states whose value is what the task ended or retried with.
_WITH_RESULT: Final = EXCEPTION_STATES | {SUCCESS, ABORTED}


@dataclass(frozen=True, slots=True, repr=False)
class Write:
    """One write to the result backend, as somebody writes it down; its `repr` is code.

    Attributes:
        state: The state.
        value: Of a report: its meta, None if it has none. Of an end, or of a RETRY: what the task
            ended with; an exception is stored as Celery stores it, and so is the reason of a
            REVOKED if it is a text.
        after: Seconds since the last write of any task.
        task: Id of the task.

    Raises:
        TypeError: If the state or the task is no text.
        ProgressValueError: If the seconds are no finite number of 0 or more.
    """

    state: str
    value: Any = None
    after: float = 0.0
    task: str = _TASK

    def __post_init__(self) -> None:
        for name in ("state", "task"):
            given: object = getattr(self, name)  # the annotation is a promise that callers break
            if not isinstance(given, str):
                message = (
                    f"expected a text as the {name} of a write, as in ('PROGRESS',"
                    f" {{'percent': 50.0}}), got {name}={as_repr(given)}"
                )
                raise TypeError(message)
        amount(self.after, "after")

    def __repr__(self) -> str:
        parts = [repr(self.state)]
        if self.value is not None:
            parts.append(_code(self.value))
        if self.after:
            parts.append(f"after={self.after!r}")
        if self.task != _TASK:
            parts.append(f"task={self.task!r}")
        return f"Write({', '.join(parts)})"

    @property
    def code(self) -> str:
        """How it is written most shortly, as an argument of a `ProgressSequence`."""
        if self.after or self.task != _TASK:
            return repr(self)
        if self.value is None:
            return repr(self.state)
        return f"({self.state!r}, {_code(self.value)})"


class ProgressSequence(History):
    """A history that is written down, and whose `repr` is the code that it was written with.

    ::

        ProgressSequence("STARTED", ("PROGRESS", {"percent": 50.0}), ("SUCCESS", 3))

    It is a `History` as any other, equal to one with the same transitions. What is written after
    SUCCESS is dropped, as a key-value backend does.

    Args:
        writes: In order: the name of a state, a pair of a state and its value, or a `Write`, which
            may also be of another task, or come some seconds later.

    Raises:
        TypeError: If one is nothing of the kind.
    """

    __slots__ = ("_writes",)

    def __init__(self, *writes: str | tuple[str, Any] | Write) -> None:
        self._writes = tuple(map(_write, writes))
        super().__init__(_transitions(self._writes))

    @property
    def writes(self) -> tuple[Write, ...]:
        """What it was written with."""
        return self._writes

    @overload
    def __getitem__(self, index: int) -> Transition: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Transition | History:
        if isinstance(index, slice) and index.indices(len(self))[::2] == (0, 1):
            return ProgressSequence(*self._writes[index])  # its beginning can be written down too
        return super().__getitem__(index)

    def __reduce__(self) -> tuple[type[ProgressSequence], tuple[Write, ...]]:
        return ProgressSequence, self._writes

    def __repr__(self) -> str:
        return f"ProgressSequence({', '.join(each.code for each in self._writes)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG002, FBT001
        # The protocol of IPython, which Hypothesis prints examples by: a line each if it is long.
        with printer.group(4, "ProgressSequence(", ""):
            for position, each in enumerate(self._writes):
                printer.breakable(" " if position else "")
                printer.text(f"{each.code},"[: None if position + 1 < len(self._writes) else -1])
        printer.text(")")


def _write(item: object) -> Write:
    if isinstance(item, Write):
        return item
    if isinstance(item, str):
        return Write(item)
    if isinstance(item, tuple) and len(item) == 2:  # noqa: PLR2004 - a pair
        return Write(*item)
    message = (
        "expected the name of a state, a pair such as ('PROGRESS', {'percent': 50.0}), or a Write,"
        f" got {as_repr(item)}"
    )
    raise TypeError(message)


def _transitions(writes: Iterable[Write]) -> Iterable[Transition]:
    stored: dict[str, str] = {}
    at = 0.0
    for index, each in enumerate(writes):
        at += each.after
        old = stored.get(each.task, PENDING)
        kept = old != SUCCESS
        if kept:
            stored[each.task] = each.state
        value = own(_stored(each.state, each.value), deep=True)
        yield Transition(
            index,
            "retry" if each.state == RETRY else "task",
            None,
            each.task,
            old,
            each.state,
            value if isinstance(value, dict) else {},
            result=value if each.state in _WITH_RESULT else None,
            at=at,
            stored=kept,
            traceback=_traceback(each),
        )


def _stored(state: str, value: object) -> object:
    """A value as Celery stores it."""
    if isinstance(value, BaseException):
        return _exception(type(value).__name__, list(value.args), type(value).__module__)
    if state == REVOKED and isinstance(value, str):
        return _exception("TaskRevokedError", [value], "celery.exceptions")
    return value


def _exception(name: str, args: list[Any], module: str) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": args, "exc_module": module}


def _traceback(write: Write) -> str | None:
    """The text that a worker stores where a task raised; by hand nobody stores one."""
    raised = write.value
    if write.state == FAILURE and isinstance(raised, BaseException):
        last = f"{type(raised).__name__}: {as_text(raised)}"
    elif write.state == RETRY and (raised is None or isinstance(raised, BaseException)):
        last = "celery.exceptions.Retry: Retry in 0s"
    else:
        return None
    return f'Traceback (most recent call last):\n  File "tasks.py", line 1, in task\n{last}\n'


def _code(value: Any) -> str:  # noqa: ANN401 - whatever was stored
    """`repr(value)`, that is code also where there is a NaN in it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_code(key)}: {_code(value[key])}' for key in value)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_code, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
