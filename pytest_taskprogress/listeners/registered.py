"""A callback that is registered with a notifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_taskprogress.core.messages import as_repr

__all__ = ["Registered"]


class Registered:
    """A callback, with what it is called with.

    Args:
        callback: What is called.
        args: Positional arguments, between the event type and the details.
        kwargs: Keyword arguments.
        details_filter: Tells by the details whether to call it; None: always.

    Source:
        `taskflow.types.notifier.Listener`.
    """

    __slots__ = ("_args", "_callback", "_details_filter", "_kwargs", "_plain")

    def __init__(
        self,
        callback: Callable[..., object],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        details_filter: Callable[[Any], object] | None = None,
    ) -> None:
        self._callback = callback
        self._args = args = tuple(args or ())
        self._kwargs = dict(kwargs or {})
        self._details_filter = details_filter
        self._plain = not args and not kwargs

    @property
    def callback(self) -> Callable[..., object]:
        """What is called."""
        return self._callback

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments, between the event type and the details."""
        return self._args

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments; a copy."""
        return self._kwargs.copy()

    @property
    def details_filter(self) -> Callable[[Any], object] | None:
        """Tells by the details whether to call it; None: always."""
        return self._details_filter

    def __call__(self, event_type: str, details: Any) -> None:
        """Call the callback, unless its filter says no."""
        if self._details_filter is None or self._details_filter(details):
            self._callback(event_type, *self._args, details=details, **self._kwargs)

    def is_equivalent(
        self, callback: object, details_filter: Callable[[Any], object] | None = None
    ) -> bool:
        """Tell whether this is a callback with a filter."""
        # Bound methods are made anew each time, and are equal if their object is the same one.
        return (self._callback is callback or self._callback == callback) and (
            self._details_filter is details_filter or self._details_filter == details_filter
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registered):
            return NotImplemented
        return self.is_equivalent(other.callback, other.details_filter)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        by = "" if self._details_filter is None else f" by {as_repr(self._details_filter)}"
        return f"<Registered {as_repr(self._callback)}{by}>"
