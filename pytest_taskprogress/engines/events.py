"""What Celery's events tell: what all workers do, in a process of its own."""

from __future__ import annotations

import ast
import logging
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from celery.states import REJECTED

from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    PENDING,
    PROGRESS,
    RETRY,
    REVOKED,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.flows import Family, Flows
from pytest_taskprogress.listeners.storage import Atom
from pytest_taskprogress.listeners.surface import Surface

__all__ = ["EventClock", "EventFeed"]

logger = logging.getLogger(__name__)

#: Type of an event -> the state that it tells of.
_STATES: Final = {
    "task-progress": PROGRESS,
    "task-succeeded": SUCCESS,
    "task-failed": FAILURE,
    "task-retried": RETRY,
    "task-revoked": REVOKED,
    "task-rejected": REJECTED,
    "task-aborted": ABORTED,
}
#: Types of events of a task that is going to run, or runs.
_BEGINNINGS: Final = frozenset({"task-sent", "task-received", "task-started"})

#: The `repr` of an exception.
_EXCEPTION: Final = re.compile(r"([\w.]+)\((.*)\)", re.DOTALL)


class EventClock(Clock):
    """The machine's clock; in a thread that tells of an event, the time at which it was sent."""

    def __init__(self) -> None:
        self._told = threading.local()

    @contextmanager
    def at(self, timestamp: float) -> Iterator[None]:
        """Stand still at a unix time, for this thread, until left."""
        self._told.time = timestamp
        try:
            yield
        finally:
            del self._told.time

    def time(self) -> float:
        """Seconds since 1970 (unix time)."""
        told: float | None = self._told.__dict__.get("time")
        return super().time() if told is None else told

    def monotonic(self) -> float:
        """Seconds from an arbitrary point."""
        told: float | None = self._told.__dict__.get("time")
        return super().monotonic() if told is None else told


class EventFeed:
    """Tells a surface of the events that workers send.

    They come from several processes of a worker, and need not come in order.

    Args:
        app: A Celery app.
        surface: Who tells the listeners.
        flows: Which flow a task is part of.
        clock: Tells the time at which an event was sent.
        numbers: Numbers the transitions.
    """

    def __init__(
        self, app: Any, surface: Surface, flows: Flows, clock: EventClock, numbers: Iterator[int]
    ) -> None:
        self._app = app
        self._surface = surface
        self._flows = flows
        self._clock = clock
        self._numbers = numbers
        self._receiver: Any = None
        self._stopped = False
        self._taken = 0
        # Ids of tasks that have reported, and are not known to have begun.
        self._early: set[str] = set()

    def receive(self, limit: int | None, timeout: float | None) -> int:
        """Take events; see `CeleryEngine.receive`."""
        # Kombu looks at the time when so many seconds have passed: a whole number of times.
        interval = 1.0 if timeout is None else timeout / math.ceil(timeout)
        with self._app.connection_for_read() as connection:
            # Else it would be tried for ever.
            connection.ensure_connection(max_retries=1, timeout=timeout)
            receiver = self._app.events.Receiver(connection, handlers={"*": self._on_event})
            self._receiver = receiver
            receiver.should_stop = self._stopped
            with suppress(TimeoutError):
                options = {"limit": limit, "timeout": timeout, "safety_interval": interval}
                for _ in receiver.consume(wakeup=False, **options):
                    pass
        return self._taken

    def stop(self) -> None:
        """Let `receive` return, from another thread."""
        self._stopped = True
        if self._receiver is not None:
            self._receiver.should_stop = True

    def _on_event(self, event: dict[str, Any]) -> None:
        self._taken += 1
        try:
            self._tell(event)
        except Exception:
            # Anybody may send events, of any form.
            logger.exception("%r is no event of a task, and is skipped", event)

    def _tell(self, event: dict[str, Any]) -> None:
        kind, uuid, sent = event["type"], event.get("uuid"), float(event["timestamp"])
        if not isinstance(uuid, str) or not (kind in _STATES or kind in _BEGINNINGS):
            return
        atom = self._surface.storage.atom(uuid, event.get("name"))
        has_ended = atom.state in TERMINAL_STATES
        with self._clock.at(sent):
            if kind in _STATES:
                if kind == "task-progress" and not has_ended and not atom.is_running:
                    # It has overtaken that the attempt began.
                    self._early.add(uuid)
                    self._surface.begin(atom)
                self._write(_STATES[kind], atom, event, stored=not has_ended)
            elif not has_ended or atom.last is None or sent > atom.last.at:
                family = Family({each: event.get(each) for each in ("parent_id", "root_id")})
                self._flows.expect(atom, family)
                if kind == "task-started" and uuid not in self._early:
                    self._surface.begin(atom)
            if kind == "task-started" or has_ended:
                self._early.discard(uuid)

    def _write(self, state: str, atom: Atom, event: dict[str, Any], *, stored: bool) -> None:
        meta = event.get("meta")
        told = event.get("state", state) if state == PROGRESS else state
        transition = Transition(
            index=next(self._numbers),
            kind="retry" if state == RETRY else "task",
            name=atom.name,
            uuid=atom.uuid,
            old_state=PENDING if atom.last is None else atom.last.state,
            state=str(told),
            meta=meta if isinstance(meta, dict) else {},
            result=None if state == PROGRESS else _result(event),
            at=float(event["timestamp"]),
            stored=stored,
            traceback=event.get("traceback"),
        )
        if state == REJECTED:
            self._flows.leave(atom, state)
            return
        self._surface.tell(transition)
        if state in TERMINAL_STATES and stored:
            self._flows.leave(atom, state)


def _result(event: dict[str, Any]) -> Any:
    """What an event tells of a result: its `repr`, or of an exception the name and the message."""
    if "exception" not in event:
        # Of a task that was aborted: its last progress.
        return event.get("result", event.get("meta"))
    text = str(event["exception"])
    name, args = _parts(text)
    if name == "Retry":
        # What it was asked for by; a pool of threads sends all of it.
        name, args = _parts(_retried(text))
    try:
        message = list(ast.literal_eval(f"({args.rstrip(',')},)")) if args else []
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        message = [args]
    return {"exc_type": name, "exc_message": message}


def _parts(text: str) -> tuple[str, str]:
    """Name and arguments of the `repr` of an exception."""
    found = _EXCEPTION.fullmatch(text)
    return ("Exception", repr(text)) if found is None else (found[1], found[2])


def _retried(text: str) -> str:
    """The `repr` of the exception in that of a Retry; the same if there is none."""
    try:
        args = ast.parse(text, mode="eval").body.args  # type: ignore[attr-defined]
        return ast.unparse(args[1]) if isinstance(args[1], ast.Call) else text
    except (SyntaxError, ValueError, AttributeError, IndexError, MemoryError, RecursionError):
        return text
