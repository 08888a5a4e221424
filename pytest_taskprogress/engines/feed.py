"""What Celery's own signals tell: when a worker begins an attempt, and what it ended with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from celery import signals
from celery.states import IGNORED, REJECTED

from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.states import FAILURE, RETRY
from pytest_taskprogress.engines.flows import Family, Flows
from pytest_taskprogress.listeners.failure import Failure
from pytest_taskprogress.listeners.storage import Atom
from pytest_taskprogress.listeners.surface import Surface
from pytest_taskprogress.tasks.attempt import attempt_of

__all__ = ["Feed", "connect"]


def connect(undo: ExitStack, signal: Any, receiver: Callable[..., object]) -> None:
    """Listen to a signal, until a stack is left."""
    # Celery < 5.7 takes the same method of two objects for one receiver: remove with 5.6 support.
    uid = (id(undo), receiver)
    signal.connect(receiver, weak=False, dispatch_uid=uid)
    undo.callback(signal.disconnect, receiver, dispatch_uid=uid)


class Feed:
    """Tells a surface of the attempts that an app's tasks make in this process.

    Args:
        app: A Celery app.
        surface: Who tells the listeners.
        flows: Which flow a task is part of.
        is_told: Tells of a task of the app whether its attempt is to be told of.
        on_end: Called with a task when it is over, and what it ended with; None: nobody.
    """

    def __init__(
        self,
        app: Any,
        surface: Surface,
        flows: Flows,
        is_told: Callable[[Any], bool],
        on_end: Callable[[Atom, str], object] | None = None,
    ) -> None:
        self._app = app
        self._surface = surface
        self._flows = flows
        self._is_told = is_told
        self._on_end = on_end

    def connect(self, undo: ExitStack) -> None:
        """Listen to the signals, until a stack is left."""
        for signal, receiver in (
            (signals.task_prerun, self._on_prerun),
            (signals.task_postrun, self._on_postrun),
        ):
            connect(undo, signal, receiver)

    def _on_prerun(self, task_id: str, task: Any, args: Any, kwargs: Any, **_: object) -> None:
        request = task.request
        if task.app is not self._app or not self._is_told(task):
            return
        atom = self._surface.storage.atom(task_id, task.name)
        if self._surface.storage.keeps_values:
            atom.args, atom.kwargs = args, kwargs
            if self._surface.atom_notifier.has_listeners:
                # As they are now: the task may change them.
                atom.args, atom.kwargs = own(args), own(kwargs)
        self._flows.join(atom, Family(request))
        self._surface.begin(atom)

    def _on_postrun(
        self, task_id: str, task: Any, retval: Any, state: str | None, **_: object
    ) -> None:
        if task.app is not self._app or not self._is_told(task):
            return
        if state is None:
            # What `apply(throw=True)` lets through is on its way.
            retval, state = sys.exc_info()[1], FAILURE
            if not isinstance(retval, Exception):
                return
        atom = self._surface.storage.atom(task_id, task.name)
        if state == IGNORED:
            # A task that was aborted, or whose Observer ended it, and that stores no results.
            ending = attempt_of(task.request).ending
            state, retval = (state, None) if ending is None else (ending.state, ending.meta)
        self._surface.end(atom, state, lambda: _result(retval, state))
        goes_on = state == RETRY or (state == REJECTED and getattr(retval, "requeue", False))
        if self._on_end is not None and not goes_on:
            self._on_end(atom, state)


def _result(retval: Any, state: str) -> Any:
    if state == RETRY:
        # It is asked for by an exception of its own, which carries the reason.
        return Failure.of_exception(getattr(retval, "exc", None) or retval)
    return Failure.of_exception(retval) if state == FAILURE else retval
