"""The capturing listener: it keeps every transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.listeners.base import Listened, Listener

__all__ = ["CaptureListener"]


class CaptureListener(Listener):
    """Keeps every transition that it is told of, in order.

    Args:
        engine: What to listen to.
    """

    def __init__(self, engine: Listened) -> None:
        super().__init__(engine)
        self._transitions: list[Transition] = []

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        self._transitions.append(details.transition)  # type: ignore[attr-defined]

    @property
    def history(self) -> History:
        """All that was captured."""
        return History(self._transitions)

    def since(self, position: int) -> History:
        """What was captured after a number of transitions.

        Args:
            position: What `len()` of this listener was at that moment.
        """
        return History(self._transitions[position:])

    def clear(self) -> None:
        """Forget what was captured."""
        self._transitions.clear()

    def __len__(self) -> int:
        return len(self._transitions)
