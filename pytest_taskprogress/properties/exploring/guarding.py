"""An end to runs that are too long to be tried a thousand times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pytest_taskprogress.core.errors import DeadlockError
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.scenario import Event, Happened, Occasion

__all__ = ["Guard"]

#: A run that reports more often is ended, and not judged: arguments are drawn, and a smaller run
#: shows the same.
_LONGEST: Final = 300
#: How often tasks beside each other may report the same before they are taken to wait for each
#: other: less often than the engine lets them, who is asked in the end.
_HOPE: Final = 150
#: What of a report does not say how far a task is.
_NO_NEWS: Final = frozenset({"description", "elapsed"})


class Guard:
    """Ends the tasks of a run, at each report after too many; a watcher of an engine."""

    events: tuple[Event, ...] = ()
    happened: tuple[Happened, ...] = ()

    def __init__(self) -> None:
        self._reports = 0
        self._last: dict[str, object] = {}
        self._same: list[str] = []

    @property
    def has_ended(self) -> bool:
        """Whether the run was too long."""
        return self._reports > _LONGEST

    def happen(self, occasion: Occasion, stage_of: Callable[[], Any]) -> None:
        """Take the news of an occasion."""
        write = occasion.transition
        if write is None or not write.is_report:
            return
        self._reports += 1
        self._same.append(write.uuid)
        if self._is_news(write):
            self._same.clear()
        if not occasion.in_task:
            return
        if self.has_ended:
            stage_of().exceed_soft_time_limit()
        elif len(self._same) > _HOPE and len(set(self._same)) > 1:
            self._same.clear()
            stage_of().raised = DeadlockError(
                "tasks that run beside each other wait for each other"
            )

    def _is_news(self, write: Transition) -> bool:
        """Whether a task has come any further."""
        meta = {key: each for key, each in write.meta.items() if key not in _NO_NEWS}
        news = write.state, meta
        before, self._last[write.uuid] = self._last.get(write.uuid), news
        return before != news
