"""The base of all listeners."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from pytest_taskprogress.listeners.notifier import Notifier

__all__ = ["Listened", "Listener"]


class Listened(Protocol):
    """What a listener listens to: an engine."""

    @property
    def atom_notifier(self) -> Notifier:
        """Tells of the transitions of tasks and retries."""
        ...


class Listener:
    """Is told of the transitions of an engine's tasks, while it is registered.

    Subclasses override `_task_receiver`. Use it as a context manager, or by `register()` and
    `deregister()`; both may be repeated, and leaving never raises.

    Args:
        engine: What to listen to.
        task_listen_for: States to be told of; all by default.

    Source:
        `taskflow.listeners.base.Listener`, for the names.
    """

    def __init__(
        self, engine: Listened, task_listen_for: tuple[str, ...] = (Notifier.ANY,)
    ) -> None:
        self._engine = engine
        self._task_listen_for = task_listen_for

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        """Take the news of a transition of a task.

        Args:
            state: Its new state.
            details: See `Details`.
        """

    def register(self) -> None:
        """Begin to listen."""
        notifier = self._engine.atom_notifier
        for state in self._task_listen_for:
            if not notifier.is_registered(state, self._task_receiver):
                notifier.register(state, self._task_receiver)

    def deregister(self) -> None:
        """Listen no longer."""
        for state in self._task_listen_for:
            self._engine.atom_notifier.deregister(state, self._task_receiver)

    def __enter__(self) -> Listener:
        self.register()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.deregister()
