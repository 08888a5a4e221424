"""The notifier: callbacks by event type, none of which can disturb the task or another one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from itertools import count
from typing import Any, ClassVar, Final

from pytest_taskprogress.core.copies import copier
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.listeners.registered import Registered

__all__ = ["Notifier", "RestrictedNotifier", "register_deregister"]

logger = logging.getLogger(__name__)

#: Numbers what callbacks raise, of all notifiers.
_numbers: Final = count()

_Topics = dict[str, tuple[Registered, ...]]


class Notifier:
    """Tells callbacks of events.

    What a callback raises is logged and kept in `errors`; the others are still called, and whoever
    notifies never sees it. Each callback has details of its own, to do with as it likes. Threads
    may register, deregister and notify at the same time: a notification reaches those who were
    registered when it began, once.

    Args:
        passing: Exceptions that a callback may let through to whoever notifies: those that were
            meant for it, such as a time limit that was over meanwhile.

    Attributes:
        errors: What callbacks raised, in order; no more than `ERRORS_KEPT`.

    Source:
        `taskflow.types.notifier.Notifier`.
    """

    #: Event type of a callback that is told of every event.
    ANY: Final = "*"
    #: Keyword arguments that a callback cannot be registered with.
    RESERVED_KEYS: ClassVar[tuple[str, ...]] = ("details",)
    #: How many errors are kept: a worker may run for months.
    ERRORS_KEPT: ClassVar[int] = 1_000

    def __init__(self, *, passing: tuple[type[BaseException], ...] = ()) -> None:
        self.errors: list[Exception] = []
        self._order: list[int] = []
        self._passing = passing
        self._changing = threading.RLock()
        self._set({})

    @property
    def passing(self) -> tuple[type[BaseException], ...]:
        """Exceptions that a callback may let through."""
        return self._passing

    def _set(self, topics: _Topics) -> None:
        """Replace all of it at once: whoever notifies now goes on with what there was."""
        always = topics.get(self.ANY, ())
        told = {event: always + topics[event] for event in topics if event != self.ANY}
        self._topics = topics
        self._told = told, always

    # -- who is told ------------------------------------------------------------------------------

    def register(
        self,
        event_type: str,
        callback: Callable[..., object],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        details_filter: Callable[[Any], object] | None = None,
    ) -> None:
        """Call somebody on each event of a type.

        As `callback(event_type, *args, details=details, **kwargs)`.

        Args:
            event_type: A state, or `ANY`.
            callback: Who is called.
            args: Positional arguments after the event type.
            kwargs: Keyword arguments.
            details_filter: Called with the details first; the callback is called if this is true.

        Raises:
            ValueError: If the callback or the filter is no callable, the event type is none that
                can be registered for, or an equivalent callback is registered for it already.
            KeyError: If a keyword argument has a reserved name.
        """
        if not callable(callback):
            message = f"Event callback must be callable, got callback={as_repr(callback)}"
            raise ValueError(message)  # noqa: TRY004 - TaskFlow's error type
        if details_filter is not None and not callable(details_filter):
            message = f"Details filter must be callable, got {as_repr(details_filter)}"
            raise ValueError(message)
        if not self.can_be_registered(event_type):
            raise ValueError(self._disallowed(event_type))
        with self._changing:
            if self.is_registered(event_type, callback, details_filter):
                message = (
                    f"Event callback {as_repr(callback)} already registered for {event_type!r} with"
                    " equivalent details filter"
                )
                raise ValueError(message)
            for key in self.RESERVED_KEYS:
                if kwargs and key in kwargs:
                    message = f"Reserved key {key!r} not allowed in kwargs: it is the details' own"
                    raise KeyError(message)
            added = Registered(callback, args, kwargs, details_filter)
            self._set({**self._topics, event_type: (*self._topics.get(event_type, ()), added)})

    def _disallowed(self, event_type: str) -> str:
        return f"Disallowed event type {event_type!r} can not have a callback registered"

    def deregister(
        self,
        event_type: str,
        callback: Callable[..., object],
        details_filter: Callable[[Any], object] | None = None,
    ) -> bool:
        """Stop calling somebody; returns False if it was not registered."""
        with self._changing:
            found = self._topics.get(event_type, ())
            left = tuple(each for each in found if not each.is_equivalent(callback, details_filter))
            if len(left) == len(found):
                return False
            topics = {**self._topics, event_type: left}
            if not left:
                del topics[event_type]
            self._set(topics)
            return True

    def deregister_event(self, event_type: str) -> int:
        """Stop calling everybody who is registered for an event type; returns how many."""
        with self._changing:
            topics = dict(self._topics)
            found = topics.pop(event_type, ())
            self._set(topics)
            return len(found)

    def is_registered(
        self,
        event_type: str,
        callback: Callable[..., object],
        details_filter: Callable[[Any], object] | None = None,
    ) -> bool:
        """Tell whether somebody is called on each event of a type."""
        found = self._topics.get(event_type, ())
        return any(each.is_equivalent(callback, details_filter) for each in found)

    def can_be_registered(self, event_type: str) -> bool:
        """Tell whether callbacks can be registered for an event type."""
        return True

    def can_trigger_notification(self, event_type: str) -> bool:
        """Tell whether callbacks can be told of an event type: of any but `ANY`."""
        return event_type != self.ANY

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is registered."""
        return bool(self._topics)

    def listeners_iter(self) -> Iterator[tuple[str, list[Registered]]]:
        """Each event type that somebody is registered for, and who."""
        for event_type, found in self._topics.items():
            yield event_type, list(found)

    def reset(self) -> None:
        """Forget all callbacks and errors."""
        with self._changing:
            self._set({})
            self.take_errors()

    def copy(self) -> Notifier:
        """Another notifier of the same callbacks, which goes its own way; it has no errors."""
        other = copy(self)
        other.errors, other._order = [], []  # noqa: SLF001 - its own class
        other._changing = threading.RLock()  # noqa: SLF001 - its own class
        return other

    def __deepcopy__(self, memo: object) -> Notifier:
        return self.copy()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """On leaving, stop calling those who were registered meanwhile."""
        before = {id(each) for found in self._topics.values() for each in found}
        try:
            yield
        finally:
            with self._changing:
                left = {
                    event_type: tuple(each for each in found if id(each) in before)
                    for event_type, found in self._topics.items()
                }
                self._set({event_type: found for event_type, found in left.items() if found})

    def __len__(self) -> int:
        """Number of callbacks."""
        return sum(map(len, self._topics.values()))

    # -- telling them -----------------------------------------------------------------------------

    def notify(self, event_type: str, details: Mapping[str, Any] | None) -> None:
        """Tell the callbacks of an event: those of `ANY`, then those of its type.

        Args:
            event_type: A state; one that cannot trigger a notification is dropped.
            details: What happened; each callback has a copy, of the containers in it too.
        """
        told, always = self._told
        found = told.get(event_type, always)
        if not self.can_trigger_notification(event_type):
            logger.debug("Event type %r is not allowed to trigger notifications", event_type)
            return
        if not found:
            return
        fresh = copier(details or {})
        for each in found:
            try:
                # As Registered.__call__ does, without the call: this is a hot path.
                mine, wanted = fresh(), each._details_filter  # noqa: SLF001
                if wanted is not None and not wanted(mine):
                    continue
                if each._plain:  # noqa: SLF001
                    each._callback(event_type, details=mine)  # noqa: SLF001
                else:
                    each._callback(  # noqa: SLF001
                        event_type,
                        *each._args,  # noqa: SLF001
                        details=mine,
                        **each._kwargs,  # noqa: SLF001
                    )
            except self._passing:
                raise
            except BaseException as error:
                if not isinstance(error, Exception) and not _is_failed_test(error):
                    raise
                logger.warning(
                    "Failure calling listener %r to notify about event %s",
                    each,
                    event_type,
                    exc_info=True,
                )
                self._keep(error)

    def _keep(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            # A group of exceptions cannot hold it.
            error = AssertionError(as_text(error)).with_traceback(error.__traceback__)
        with self._changing:
            if len(self.errors) < self.ERRORS_KEPT:
                self.errors.append(error)
                self._order.append(next(_numbers))

    def take_errors(self) -> list[tuple[int, Exception]]:
        """What callbacks raised, each with a number that is higher for later ones; forget it."""
        with self._changing:
            # Somebody may have taken some out.
            taken = list(zip(self._order[-len(self.errors) :], self.errors, strict=False))
            self.errors.clear()
            self._order.clear()
        return taken


class RestrictedNotifier(Notifier):
    """A notifier that knows which event types there are.

    Args:
        watchable_events: Those that a callback can be registered for.
        allow_any: Whether one can be registered for `ANY`.

    Source:
        `taskflow.types.notifier.RestrictedNotifier`.
    """

    def __init__(self, watchable_events: Iterable[str], allow_any: bool = True) -> None:
        self._watchable_events = frozenset(watchable_events)
        self._allow_any = allow_any
        super().__init__()

    def events_iter(self) -> Iterator[str]:
        """The event types that a callback can be registered for; not `ANY`."""
        return iter(self._watchable_events)

    def can_be_registered(self, event_type: str) -> bool:
        """Tell whether it was declared, or is `ANY` and that is allowed."""
        return event_type in self._watchable_events or (self._allow_any and event_type == self.ANY)

    def _disallowed(self, event_type: str) -> str:
        known = sorted(map(str, self._watchable_events)) + [self.ANY] * self._allow_any
        return f"{super()._disallowed(event_type)}: expected one of {', '.join(known)}"


def _is_failed_test(error: BaseException) -> bool:
    """Whether it is what `pytest.fail()` raises."""
    kind = type(error)
    return (kind.__module__, kind.__name__) == ("_pytest.outcomes", "Failed")


@contextmanager
def register_deregister(
    notifier: Notifier,
    event_type: str,
    callback: Callable[..., object] | None = None,
    args: Iterable[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    details_filter: Callable[[Any], object] | None = None,
) -> Iterator[None]:
    """Register a callback, and deregister it on leaving.

    Args:
        notifier: Where; one of TaskFlow's will do.
        event_type: As for `Notifier.register`.
        callback: As for `Notifier.register`; None registers nothing.
        args: As for `Notifier.register`.
        kwargs: As for `Notifier.register`.
        details_filter: As for `Notifier.register`.

    Raises:
        Exception: What `Notifier.register` raises.

    Source:
        `taskflow.types.notifier.register_deregister`.
    """
    if callback is None:
        yield
        return
    notifier.register(event_type, callback, args=args, kwargs=kwargs, details_filter=details_filter)
    try:
        yield
    finally:
        notifier.deregister(event_type, callback, details_filter=details_filter)
