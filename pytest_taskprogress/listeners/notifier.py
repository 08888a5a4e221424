"""The notifier: callbacks by event type, none of which can disturb the task or another one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from pytest_taskprogress.core.transitions import Transition

__all__ = ["Callback", "Details", "Notifier"]

logger = logging.getLogger(__name__)

Callback = Callable[[str, Mapping[str, Any]], object]


class Details(Mapping[str, Any]):
    """What a callback is told of a transition: TaskFlow's keys, and ours; read-only.

    `task_name`, `task_uuid` (of a retry: `retry_name`, `retry_uuid`), `old_state`, `result`, `meta`
    and `transition`.

    Args:
        transition: What happened.
    """

    __slots__ = ("transition",)

    _KEYS: ClassVar[dict[str, tuple[str, ...]]] = {
        kind: (f"{kind}_name", f"{kind}_uuid", "old_state", "result", "meta", "transition")
        for kind in ("task", "retry", "flow")
    }
    _READ: ClassVar[dict[str, Callable[[Transition], Any]]] = {
        "name": lambda transition: transition.name,
        "uuid": lambda transition: transition.uuid,
        "old_state": lambda transition: transition.old_state,
        "result": lambda transition: transition.result,
        "meta": lambda transition: transition.meta,
        "transition": lambda transition: transition,
    }

    def __init__(self, transition: Transition) -> None:
        self.transition: Final = transition

    def __getitem__(self, key: str) -> Any:
        if key not in self._KEYS[self.transition.kind]:
            raise KeyError(key)
        return self._READ[key.removeprefix(f"{self.transition.kind}_")](self.transition)

    def __iter__(self) -> Iterator[str]:
        return iter(self._KEYS[self.transition.kind])

    def __len__(self) -> int:
        return len(self._KEYS[self.transition.kind])

    def __repr__(self) -> str:
        return f"Details({self.transition!r})"


class Notifier:
    """Tells callbacks of events.

    What a callback raises is logged and kept in `errors`; the others are still called, and whoever
    notifies never sees it.

    Attributes:
        errors: What callbacks raised, in order.

    Source:
        `taskflow.types.notifier.Notifier`, for the names.
    """

    #: Event type of a callback that is told of every event.
    ANY: Final = "*"

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._callbacks: dict[str, tuple[Callback, ...]] = {}

    def register(self, event_type: str, callback: Callback) -> None:
        """Call somebody on each event of a type.

        Args:
            event_type: A state, or `ANY`.
            callback: Called with the event type and the details.

        Raises:
            ValueError: If it is no callable, or registered for this event type already.
        """
        if not callable(callback):
            message = f"a callback must be callable, got callback={callback!r}"
            raise ValueError(message)  # noqa: TRY004 - TaskFlow's error type
        if self.is_registered(event_type, callback):
            message = f"{callback!r} is registered for {event_type!r} already"
            raise ValueError(message)
        self._callbacks[event_type] = (*self._callbacks.get(event_type, ()), callback)

    def deregister(self, event_type: str, callback: Callback) -> bool:
        """Stop calling somebody; returns False if it was not registered."""
        if not self.is_registered(event_type, callback):
            return False
        self._callbacks[event_type] = tuple(
            each for each in self._callbacks[event_type] if each != callback
        )
        return True

    def is_registered(self, event_type: str, callback: Callback) -> bool:
        """Tell whether somebody is called on each event of a type."""
        return callback in self._callbacks.get(event_type, ())

    def notify(self, event_type: str, details: Mapping[str, Any]) -> None:
        """Tell the callbacks of an event: those of its type, then those of `ANY`.

        Args:
            event_type: A state.
            details: What happened.
        """
        callbacks = self._callbacks
        for callback in callbacks.get(event_type, ()) + callbacks.get(self.ANY, ()):
            try:
                callback(event_type, details)
            except Exception as error:
                logger.exception("Listener %r failed on %s", callback, event_type)
                self.errors.append(error)

    def reset(self) -> None:
        """Forget all callbacks and errors."""
        self._callbacks.clear()
        self.errors.clear()

    def __len__(self) -> int:
        """Number of callbacks."""
        return sum(map(len, self._callbacks.values()))
