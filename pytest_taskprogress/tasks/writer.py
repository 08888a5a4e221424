"""How a report reaches the result backend: for which task, from which thread, and how often."""

from __future__ import annotations

import copy
from typing import Any

from pytest_taskprogress.core.clock import Clock

__all__ = ["ReportWriter"]


def _snapshot(meta: dict[str, Any]) -> dict[str, Any]:
    """A copy: what is held back is stored as it was reported, whatever the task changes since."""
    try:
        return copy.deepcopy(meta)
    except Exception:  # noqa: BLE001 - what cannot be copied cannot be encoded either: said when stored
        return meta


class ReportWriter:
    """Writes the reports of one task.

    The task is the one that runs when the writer is made; it may be used from any thread. Where
    there is no task id (the task was called as a plain function) nothing is written.

    Attributes:
        task_id: Id of the task; None where there is none.

    Args:
        task: The bound task; something with only an `update_state` will do; None writes nothing.
        throttle: Seconds in which at most one report is written; None: no limit.
        clock: What `throttle` goes by.
    """

    def __init__(self, task: Any, throttle: float | None, clock: Clock) -> None:
        self._task = task
        self._request = getattr(task, "request", None)
        self.task_id = getattr(self._request, "id", None)
        self._stores = task is not None and (self._request is None or self.task_id is not None)
        self._throttle = throttle
        self._clock = clock
        self._last: tuple[str, float] | None = None
        self._held: tuple[str, dict[str, Any]] | None = None

    def offer(self, state: str, meta: dict[str, Any], *, complete: bool) -> None:
        """Write a report, unless it is too early for one; then it is held back.

        The first report, one that is complete, and every change of state are always written.
        """
        if self._throttle is not None and self._last is not None and not complete:
            state_before, at = self._last
            if state == state_before and self._clock.monotonic() - at < self._throttle:
                self._held = (state, _snapshot(meta))
                return
        self.write(state, meta)

    def write(self, state: str, meta: dict[str, Any]) -> None:
        """Write now; what was held back is out of date."""
        self._held = None
        if self._stores:
            self._store(state, meta)
        # Only now: what could not be stored holds nothing back.
        if self._throttle is not None:
            self._last = (state, self._clock.monotonic())

    def _store(self, state: str, meta: dict[str, Any]) -> None:
        task = self._task
        if self._request is None or task.request is self._request:
            task.update_state(task_id=self.task_id, state=state, meta=meta)
            return
        # A helper thread has no request: it writes with the one of the task that it helps.
        task.request_stack.push(self._request)
        try:
            task.update_state(task_id=self.task_id, state=state, meta=meta)
        finally:
            task.request_stack.pop()

    @property
    def held(self) -> dict[str, Any] | None:
        """The meta of what is held back; None if nothing is."""
        return None if self._held is None else self._held[1]

    def flush(self) -> None:
        """Write what is held back."""
        if self._held is not None:
            self.write(*self._held)
