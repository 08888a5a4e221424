"""Listeners that record how long things take, and when they happen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pytest_taskprogress.core.clock import clock_of
from pytest_taskprogress.core.states import PENDING, RUNNING
from pytest_taskprogress.listeners.base import (
    DEFAULT_LISTEN_FOR,
    FINISH_STATES,
    Listened,
    Listener,
)

__all__ = ["DurationListener", "EventTimeListener", "PrintingDurationListener"]

logger = logging.getLogger(__name__)

#: States in which something begins; the second is one of TaskFlow's engines.
STARTING_STATES: Final = frozenset({RUNNING, "REVERTING"})
#: How many tasks and flows are waited for that have begun.
_MOST: Final = 10_000

#: Celery's IGNORED and REJECTED among them: nothing is stored for these.
FINISHED_STATES: Final = frozenset({*FINISH_STATES, "IGNORED", "REJECTED"})
WATCH_STATES: Final = tuple(sorted(FINISHED_STATES | STARTING_STATES | {PENDING}))


def _print(message: str) -> None:
    print(message)  # noqa: T201 - what it is for


class _Recording(Listener):
    """Records something in its engine's storage; that it cannot is logged."""

    def _record(self, kind: str, name: str, update: dict[str, float]) -> None:
        storage = self._engine.storage
        try:
            if kind == "flow":
                storage.update_flow_metadata(update)
            else:
                storage.update_atom_metadata(name, update)
        except self._passing:
            raise
        except Exception:
            logger.warning("Failure to store %s for %s %s", update, kind, name, exc_info=True)


class DurationListener(_Recording):
    """Records how long each task, and each flow, took: key `duration` of its metadata.

    Seconds, as float, of the engine's clock, or of the machine's if the engine has none. Of a task
    that was retried: those of its last attempt.

    Args:
        engine: What to listen to.

    Source:
        `taskflow.listeners.timing.DurationListener`.
    """

    def __init__(self, engine: Listened) -> None:
        super().__init__(engine, WATCH_STATES, WATCH_STATES, ())
        self._clock = clock_of(engine)
        storage = getattr(engine, "storage", None)
        self._at_most = getattr(storage, "at_most", None) or _MOST
        #: Kind and id -> the clock's reading when it began.
        self._began: dict[tuple[str, str], float] = {}

    def deregister(self) -> None:
        """Listen no longer; what has begun, and not come to an end, is logged and forgotten."""
        super().deregister()
        for kind in ("task", "flow"):
            left = [each for each in self._began if each[0] == kind]
            if left:
                states = ", ".join(sorted(FINISHED_STATES))
                logger.warning("%s %s(s) did not enter %s states", len(left), kind, states)
        self._began.clear()

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        self._receive("task", details["task_name"], details["task_uuid"], state)

    def _flow_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        self._receive("flow", details["flow_name"], details["flow_uuid"], state)

    def _receive(self, kind: str, name: str, uuid: str, state: str) -> None:
        if state in STARTING_STATES:
            self._begin(kind, name, uuid)
            return
        began = self._began.pop((kind, uuid), None)
        if began is not None and state in FINISHED_STATES:
            self._end(kind, name, self._clock.monotonic() - began)

    def _begin(self, kind: str, name: str, uuid: str) -> None:
        if kind == "flow" and (kind, uuid) in self._began:
            return  # it was suspended, and goes on
        self._began[kind, uuid] = self._clock.monotonic()
        if len(self._began) > self._at_most:
            # In a worker, what goes on in another process has no end here.
            del self._began[next(iter(self._began))]

    def _end(self, kind: str, name: str, duration: float) -> None:
        self._record(kind, name, {"duration": duration})


class PrintingDurationListener(DurationListener):
    """Records how long each task, and each flow, took, and prints it.

    Args:
        engine: What to listen to.
        printer: Called with each line; None prints it.

    Raises:
        TypeError: If the printer is no callable.

    Source:
        `taskflow.listeners.timing.PrintingDurationListener`.
    """

    def __init__(self, engine: Listened, printer: Callable[[str], object] | None = None) -> None:
        super().__init__(engine)
        if printer is not None and not callable(printer):
            message = f"printer is called with each line: expected a callable, got {printer=!r}"
            raise TypeError(message)
        self._printer = _print if printer is None else printer

    def _begin(self, kind: str, name: str, uuid: str) -> None:
        super()._begin(kind, name, uuid)
        self._printer(f"'{name}' {kind} started.")

    def _end(self, kind: str, name: str, duration: float) -> None:
        super()._end(kind, name, duration)
        self._printer(f"It took {kind} '{name}' {duration:.2f} seconds to finish.")


class EventTimeListener(_Recording):
    """Records when each event happened: key `{event}-timestamp` of the metadata, unix time.

    By the engine's clock, or by the machine's if the engine has none. Of events that happen more
    than once, as a report does: the last one.

    Args:
        engine: What to listen to.
        task_listen_for: As of `Listener`.
        flow_listen_for: As of `Listener`.
        retry_listen_for: As of `Listener`.

    Source:
        `taskflow.listeners.timing.EventTimeListener`.
    """

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._clock = clock_of(engine)

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        self._record(kind, details[f"{kind}_name"], {f"{state}-timestamp": self._clock.time()})
