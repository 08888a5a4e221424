"""Being told before a task is read from a result backend, by whatever result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Reads"]


class Reads:
    """Tells, of a backend, who is to be told before a task is read; one for all who ask.

    Attributes:
        told: Who is told, by the id of the task.

    Args:
        backend: Whose reading it takes the place of, until nobody is told any more.
    """

    def __init__(self, backend: Any) -> None:
        self.told: dict[str, Callable[[], None]] = {}
        self._backend = backend
        self._others = vars(backend).get("get_task_meta")
        self._read = backend.get_task_meta
        backend.get_task_meta = self

    @classmethod
    def of(cls, backend: Any) -> Reads:
        """That of a backend."""
        own = vars(backend).get("get_task_meta")
        return own if isinstance(own, cls) else cls(backend)

    def __call__(self, task_id: str, *args: Any, **kwargs: Any) -> Any:
        """Read, as the backend does."""
        if task_id in self.told:
            self.told[task_id]()
        return self._read(task_id, *args, **kwargs)

    def forget(self, task_ids: Iterable[str]) -> None:
        """Tell nobody of some tasks any more."""
        for task_id in task_ids:
            self.told.pop(task_id, None)
        if not self.told:
            del self._backend.get_task_meta
            if self._others is not None:
                self._backend.get_task_meta = self._others
