"""What was written to a result backend, in order: `Transition` and `History`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar, overload

from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.states import is_report

__all__ = ["Column", "History", "Source", "Transition"]


_T = TypeVar("_T")

#: A frame in the text of a traceback, and the files of packages that people install.
_FRAME: Final = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
_LIBRARY: Final = re.compile(
    r"[/\\](site-packages|dist-packages|lib[/\\]python3[.\d]*|pytest_taskprogress)[/\\]"
)


def _itself(transition: Transition) -> Any:  # noqa: ANN401 - of a column of transitions
    return transition


class Source(NamedTuple):
    """A line of code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Transition:
    """One write to the result backend, seen as old state -> new state.

    Attributes:
        index: Position in the engine's history, from 0; -1 for what no backend stores: a flow, or
            the beginning of an attempt.
        kind: `"task"`; `"retry"` for a RETRY; `"flow"` for a whole canvas.
        name: Name of the task; None where only its id is known.
        uuid: Id of the task.
        old_state: State that was stored before; `PENDING` if none was.
        state: State that was written.
        meta: The dict that was stored with the state, as the wire would carry it: a snapshot. Empty
            if what was stored is no dict.
        result: What a task ended or retried with, as the wire would carry it; None for any other
            state.
        at: Seconds of the engine's clock since its last reset.
        stored: False if the backend dropped the write (anything after SUCCESS).
        source: The line that reported; None for what the worker wrote.
        traceback: The text that was stored with an exception; None if none was. Transitions are
            compared without it.
    """

    index: int
    kind: str
    name: str | None
    uuid: str
    old_state: str
    state: str
    meta: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    at: float = 0.0
    stored: bool = True
    source: Source | None = None
    traceback: str | None = field(default=None, compare=False, repr=False)

    def copy(self) -> Transition:
        """The same transition, whose meta and result are copies."""
        return replace(self, meta=own(self.meta, deep=True), result=own(self.result, deep=True))

    @property
    def is_report(self) -> bool:
        """True for a report of progress: `PROGRESS`, or a state of the user's own."""
        return self.is_written and self.kind == "task" and is_report(self.state)

    @property
    def is_written(self) -> bool:
        """False for what listeners are told and no backend stores."""
        return self.index >= 0

    @property
    def percent(self) -> float | None:
        """The stored percentage, or the one that `current` and `total` make; None if neither."""
        meta = self.meta
        percent = meta.get("percent")
        if percent is not None:
            return percent if _holds_float(percent) else None
        current, total = meta.get("current"), meta.get("total")
        if not (_holds_float(current) and _holds_float(total) and total):
            return None
        percent = current / total * 100.0
        return round(percent, 2) if math.isfinite(percent) else None

    @property
    def message(self) -> str | None:
        """The description that was stored with it."""
        description = self.meta.get("description")
        return description if isinstance(description, str) else None

    @property
    def error(self) -> str | None:
        """The exception that was stored with it, as `Type: message`; None if none was."""
        stored = self.meta or self.result
        if isinstance(stored, BaseException):
            return f"{type(stored).__name__}: {as_text(stored)}"
        if not isinstance(stored, dict) or "exc_type" not in stored:
            return None
        message = stored.get("exc_message")
        if isinstance(message, (list, tuple)) and len(message) <= 1:
            message = message[0] if message else ""
        return f"{stored['exc_type']}: {as_text(message)}"

    @property
    def raised_at(self) -> Source | None:
        """The line of the task, by the stored traceback, that raised; None if none is stored."""
        frames = _FRAME.findall(self.traceback or "")
        own = [frame for frame in frames if not _LIBRARY.search(frame[0])]
        return Source(own[-1][0], int(own[-1][1])) if own else None

    def as_dict(self) -> dict[str, Any]:
        """Everything but the traceback, which is of one machine, as plain values."""
        return {
            "index": self.index,
            "kind": self.kind,
            "name": self.name,
            "uuid": self.uuid,
            "old_state": self.old_state,
            "state": self.state,
            "meta": self.meta,
            "result": self.result,
            "at": self.at,
            "stored": self.stored,
            "source": None if self.source is None else str(self.source),
        }

    def __str__(self) -> str:
        parts = [f"{self.index:>4} {self.at:>9.3f}s  {self.name or self.uuid}"]
        parts.append(f"{self.old_state} -> {self.state}")
        if self.percent is not None:
            parts.append(f"{self.percent:g} %")
        if self.message:
            parts.append(repr(self.message))
        if self.error:
            parts.append(self.error)
        if not self.stored:
            parts.append("(dropped by the backend)")
        if self.source is not None:
            parts.append(f"at {self.source}")
        return "  ".join(parts)


def _holds_float(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold."""
    if not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _plain(value: object) -> object:
    """A value as JSON knows it; what it does not know by its `repr`."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else as_repr(key): _plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (str, bool, float)):
        return value
    return value if _holds_float(value) else as_repr(value)


class Column(list[_T]):
    """A list of values that knows which transitions they are of: what a failing test shows.

    Args:
        transitions: In order.
        value_of: What the list has of each.
    """

    def __init__(
        self, transitions: Iterable[Transition] = (), value_of: Callable[[Transition], _T] = _itself
    ) -> None:
        self.transitions = tuple(transitions)
        super().__init__(map(value_of, self.transitions))

    def __reduce__(self) -> tuple[type[list[_T]], tuple[list[_T]]]:
        # Elsewhere, and in a copy, it is a list as any other.
        return list, (list(self),)


class History(Sequence[Transition]):
    """Transitions, in the order in which they were written.

    It equals another history with the same transitions, and a list of state names:
    `history == ["STARTED", "PROGRESS", "SUCCESS"]` compares `history.states`.

    Args:
        transitions: In order.
    """

    __slots__ = ("_transitions",)

    def __init__(self, transitions: Iterable[Transition] = ()) -> None:
        self._transitions = tuple(transitions)

    @property
    def states(self) -> list[str]:
        """The states that were stored."""
        return Column((each for each in self._transitions if each.stored), attrgetter("state"))

    @property
    def progress(self) -> list[Transition]:
        """The reports that were stored."""
        return [each for each in self._transitions if each.stored and each.is_report]

    @property
    def percents(self) -> list[float | None]:
        """The percentage of each report; None for one that is indeterminate."""
        return Column(self.progress, attrgetter("percent"))

    @property
    def messages(self) -> list[str | None]:
        """The description of each report; None for one without."""
        return Column(self.progress, attrgetter("message"))

    @property
    def dropped(self) -> History:
        """The writes that the backend dropped."""
        return History(each for each in self._transitions if not each.stored)

    def of(self, task: str) -> History:
        """The transitions of one task.

        Args:
            task: Its id, or its name (then of all tasks of that name).
        """
        return History(each for each in self._transitions if task in (each.uuid, each.name))

    def after(self, transition: Transition) -> History:
        """What was written after a transition, of all tasks.

        Args:
            transition: One of this history.
        """
        return History(each for each in self._transitions if each.index > transition.index)

    def as_json(self) -> str:
        """JSON lines, a transition each, keys in a fixed order.

        Values and keys that JSON does not know (a pickled exception) are given by their `repr`.
        """
        return "\n".join(json.dumps(_plain(each.as_dict())) for each in self._transitions)

    @overload
    def __getitem__(self, index: int) -> Transition: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Transition | History:
        if isinstance(index, slice):
            return History(self._transitions[index])
        return self._transitions[index]

    def __len__(self) -> int:
        return len(self._transitions)

    def __iter__(self) -> Iterator[Transition]:
        return iter(self._transitions)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, History):
            return self._transitions == other._transitions
        if isinstance(other, (list, tuple)):
            if all(isinstance(each, str) for each in other):
                return self.states == list(other)
            return self._transitions == tuple(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return "\n".join(map(str, self._transitions)) or "(nothing was written)"

    def __repr__(self) -> str:
        return f"History({self.states!r})"
