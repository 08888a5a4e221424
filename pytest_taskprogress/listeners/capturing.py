"""The capturing listener: it keeps everything that it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.listeners.base import (
    DEFAULT_LISTEN_FOR,
    Listened,
    Listener,
    check_type,
    names_of,
)
from pytest_taskprogress.listeners.details import Details

__all__ = ["CaptureListener"]


class CaptureListener(Listener):
    """Keeps what it is told, in order: in `values`, and the writes of it in `history`.

    Args:
        engine: What to listen to.
        task_listen_for: As of `Listener`.
        flow_listen_for: As of `Listener`.
        retry_listen_for: As of `Listener`.
        capture_flow: Whether to keep what is told of flows.
        capture_task: The same of tasks.
        capture_retry: The same of retries.
        skip_tasks: Names of tasks to be left out; None for none.
        skip_retries: The same of retries.
        skip_flows: The same of flows.
        values: A list to add to; None: a new one.

    Attributes:
        values: What was captured: of each, what `_format_capture` makes of it.

    Raises:
        TypeError: If `values` is nothing that can be added to.

    Source:
        `taskflow.listeners.capturing.CaptureListener`. It has no history.
    """

    #: Kind of what was told of a flow.
    FLOW: Final = "flow"
    #: Kind of what was told of a task.
    TASK: Final = "task"
    #: Kind of what was told of a retry.
    RETRY: Final = "retry"

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        capture_flow: bool = True,
        capture_task: bool = True,
        capture_retry: bool = True,
        skip_tasks: Iterable[str] | None = None,
        skip_retries: Iterable[str] | None = None,
        skip_flows: Iterable[str] | None = None,
        values: list[Any] | None = None,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        if values is not None:
            check_type("values", values, list, "a list, which is added to")
        self._captured = {
            self.FLOW: capture_flow,
            self.TASK: capture_task,
            self.RETRY: capture_retry,
        }
        self._skipped = {
            self.FLOW: names_of(skip_flows, "skip_flows"),
            self.TASK: names_of(skip_tasks, "skip_tasks"),
            self.RETRY: names_of(skip_retries, "skip_retries"),
        }
        self.values: list[Any] = [] if values is None else values
        self._transitions: list[Transition] = []

    @staticmethod
    def _format_capture(kind: str, state: str, details: Mapping[str, Any]) -> Any:
        """Make what is kept in `values`: override it to keep less, or something else."""
        return kind, state, details

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        self.take(kind, state, details)

    def take(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        """Keep what is told of something, unless it is to be left out.

        Args:
            kind: `FLOW`, `TASK` or `RETRY`.
            state: As for a receiver.
            details: As for a receiver.
        """
        skipped = self._skipped[kind]
        if not self._captured[kind] or (skipped and details[f"{kind}_name"] in skipped):
            return
        self.values.append(self._format_capture(kind, state, details))
        if type(details) is Details and details.told.is_written:
            self._transitions.append(details.told)

    @property
    def history(self) -> History:
        """The writes of tasks and retries that were captured."""
        return History(self._transitions)

    def since(self, position: int) -> History:
        """What was written after a number of writes.

        Args:
            position: What `len()` of this listener was at that moment.
        """
        return History(self._transitions[position:])

    def clear(self) -> None:
        """Forget what was captured."""
        self.values.clear()
        self._transitions.clear()

    def __len__(self) -> int:
        """How many writes were captured."""
        return len(self._transitions)

    def __bool__(self) -> bool:
        return True
