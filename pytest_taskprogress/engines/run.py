"""What came of one call of an engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.states import RETRY
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.scenario import Event

__all__ = ["TaskRun"]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One call of an engine: the task that was run, and everything that came of it.

    `states`, `progress`, `percents`, `messages`, `meta` and `retries` are those of the task that
    the result stands for: the last of a chain, the body of a chord. A group has no task of its own;
    there they are those of all its tasks. `history` always has those of all tasks.

    Attributes:
        task_id: Id of the result: of the task, or of the group.
        name: Name of the task; None for a group.
        under: The events that happened to it.
        state: The stored state; of a group: the first bad one, or SUCCESS when all have it.
        result: What `result.get()` returns; None unless the state is SUCCESS.
        exception: What `result.get()` raises; None if it raises nothing.
        traceback: The stored traceback, as text.
        own: The transitions of the task that the result stands for; of a group: of all its tasks.
        history: The transitions of all tasks.
        aborts: The requests to abort of the tasks in `own`, in order.
        children: A run for each other task that wrote something, in the order of their first write.
        elapsed: Seconds of the engine's clock.
    """

    task_id: str
    name: str | None
    state: str
    under: tuple[Event, ...] = ()
    result: Any = None
    exception: BaseException | None = None
    traceback: str | None = field(default=None, repr=False)
    own: History = field(default_factory=History, repr=False)
    history: History = field(default_factory=History, repr=False)
    children: tuple[TaskRun, ...] = field(default=(), repr=False)
    aborts: tuple[AbortRequest, ...] = field(default=(), repr=False)
    elapsed: float = 0.0

    @property
    def states(self) -> list[str]:
        """The states that were stored."""
        return self.own.states

    @property
    def progress(self) -> list[Transition]:
        """The reports that were stored."""
        return self.own.progress

    @property
    def percents(self) -> list[float | None]:
        """The percentage of each report."""
        return self.own.percents

    @property
    def messages(self) -> list[str | None]:
        """The description of each report."""
        return self.own.messages

    @property
    def meta(self) -> dict[str, Any]:
        """The dict that was stored last; empty if none was."""
        metas = [each.meta for each in self.own if each.stored and each.meta]
        return metas[-1] if metas else {}

    @property
    def retries(self) -> int:
        """How many times another attempt was asked for."""
        return self.states.count(RETRY)

    @property
    def abort_requested_at(self) -> float | None:
        """Seconds of the engine's clock at which an abort was asked for; None if none was."""
        return self.aborts[0].at if self.aborts else None

    @property
    def reports_after_abort(self) -> int:
        """How many reports were written after an abort was asked for."""
        if not self.aborts:
            return 0
        return sum(each.index >= self.aborts[0].index for each in self.progress)

    def __str__(self) -> str:
        headline = f"{self.name or 'canvas'}[{self.task_id}] {self.state} after {self.elapsed:g} s"
        under = f", under {', '.join(map(repr, self.under))}" if self.under else ""
        return f"{headline}{under}\n{self.history}"
