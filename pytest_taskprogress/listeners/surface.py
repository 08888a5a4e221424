"""The engine surface that listeners know: whoever runs tasks, or sees them run, feeds one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final

from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    PENDING,
    RETRY,
    REVOKED,
    RUNNING,
    SUCCESS,
    TERMINAL_STATES,
    is_report,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.listeners.details import Details
from pytest_taskprogress.listeners.notifier import Notifier
from pytest_taskprogress.listeners.storage import Atom, Flow, Storage

__all__ = ["Surface", "end_of"]

#: What a flow comes to an end with, by the first of its tasks that did so.
_ENDS: Final = {ABORTED: ABORTED, FAILURE: FAILURE, REVOKED: FAILURE}
#: Ends of attempts that are stored, unless the task stores nothing.
_TOLD: Final = TERMINAL_STATES | {RETRY}


def end_of(flow: Flow) -> str:
    """The state in which a flow ends: the first bad one of its tasks, else SUCCESS."""
    return next((_ENDS[state] for state in flow.ends if state in _ENDS), SUCCESS)


class Surface:
    """Tells listeners of flows, tasks and retries, and keeps what they record.

    Args:
        engine: Whose surface it is; the details of flows have it.
        storage: What keeps it.
        clock: Whose seconds the transitions of flows have.
        passing: As of `Notifier`.

    Attributes:
        notifier: Tells of flows.
        atom_notifier: Tells of tasks and retries.
        storage: As given.
        name_of: Finds the name of a task that has not begun, by its id; None: it is not known.
        flow_of: Finds the flow of a task, by its id; None: there is none.
        first: Who is told before the listeners, whoever they are: kind, state and details.
    """

    def __init__(
        self,
        engine: Any,
        storage: Storage,
        clock: Clock,
        *,
        passing: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.notifier: Final = Notifier(passing=passing)
        self.atom_notifier: Final = Notifier(passing=passing)
        self.storage: Final = storage
        self._engine = engine
        self._clock = clock
        self._moving = threading.Lock()
        self.name_of: Callable[[str], str | None] = lambda _: None
        self.flow_of: Callable[[str], Flow | None] = lambda _: None
        self.first: Callable[[str, str, Any], object] | None = None

    def take_errors(self) -> list[Exception]:
        """What listeners raised, in order; it is forgotten."""
        raised = [*self.notifier.take_errors(), *self.atom_notifier.take_errors()]
        return [error for _, error in sorted(raised, key=itemgetter(0))]

    # -- flows ------------------------------------------------------------------------------------

    def move_flow(self, flow: Flow, state: str) -> None:
        """Tell that a flow has come to a state; to the one that it is in: nothing."""
        with self._moving:
            old_state, flow.state = flow.state, state
        if old_state == state:
            return
        details = self._unwritten("flow", flow, old_state, {"engine": self._engine})
        self._notify(self.notifier, "flow", state, details, None, flow)

    def _unwritten(
        self, kind: str, what: Atom | Flow, old_state: str, extra: dict[str, Any] | None = None
    ) -> Details:
        """The details of what no backend stores."""
        now = self._clock.monotonic()
        told = Transition(-1, kind, what.name, what.uuid, old_state, what.state, at=now)
        return Details(told, old_state, extra=extra)

    # -- tasks and retries ------------------------------------------------------------------------

    def begin(self, atom: Atom) -> None:
        """Tell that a worker begins an attempt of a task."""
        old_state, atom.state = atom.state, RUNNING
        atom.begun, atom.ended = True, False
        self._tell_unwritten(atom, old_state)

    def end(self, atom: Atom, state: str, result: Callable[[], Any]) -> None:
        """Tell that an attempt has come to an end, if nothing was written that told it.

        Also of those that Celery never stores: IGNORED and REJECTED.

        Args:
            atom: The task.
            state: What the attempt ended with.
            result: Makes what it returned.
        """
        if not atom.ended:
            atom.ended = True
            old_state, atom.state = atom.state, state
            extra = {"result": result()} if state in _TOLD else {}
            self._tell_unwritten(atom, old_state, **extra)

    def _tell_unwritten(self, atom: Atom, old_state: str, **extra: Any) -> None:
        kind = "retry" if atom.state == RETRY else "task"
        details = self._unwritten(kind, atom, old_state, extra or None)
        if atom.state in TERMINAL_STATES:
            self._count(atom)
        self._notify(self.atom_notifier, kind, atom.state, details, atom, atom.flow)

    def tell(self, transition: Transition) -> None:
        """Tell of a write."""
        atom = self.storage.atom(transition.uuid, transition.name)
        if transition.name is None:
            # Who revokes a task, or lets the rest of a canvas fail, stores no more than their ids.
            atom.name = atom.name or self.name_of(atom.uuid)
            transition = replace(transition, name=atom.name)
        old_state = transition.old_state if atom.state == PENDING else atom.state
        # Also if it is dropped: a message may be delivered again.
        atom.ended = atom.ended or transition.state in _TOLD
        if atom.flow is None:
            # It has written before it began, or will never begin.
            atom.flow = self.flow_of(atom.uuid)
        if transition.stored:
            atom.state, atom.last = transition.state, transition
            if is_report(transition.state):
                atom.report = transition
            elif transition.state in TERMINAL_STATES:
                self._count(atom)
        details = Details.of_write(transition, old_state)
        self._notify(
            *(self.atom_notifier, transition.kind, transition.state, details, atom, atom.flow)
        )
        if atom.last is transition and atom.ended and not self.storage.keeps_values:
            atom.last = replace(transition, meta={}, result=None)

    def _count(self, atom: Atom) -> None:
        flow = atom.flow
        if flow is not None and atom.uuid in flow.members:
            flow.ends[atom.state] = None

    def _notify(
        self,
        notifier: Notifier,
        kind: str,
        state: str,
        details: Any,
        atom: Atom | None,
        flow: Flow | None,
    ) -> None:
        if self.first is not None:
            self.first(kind, state, details)
        if not notifier.has_listeners:
            return
        before = self.storage.turn_to(atom, flow)
        try:
            notifier.notify(state, details)
        finally:
            self.storage.turn_to(*before)
