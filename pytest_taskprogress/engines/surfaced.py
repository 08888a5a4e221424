"""What listeners ask of every engine of this package."""

from __future__ import annotations

import sys
from traceback import format_exception
from typing import Any, Final

from pytest_taskprogress.core.errors import ListenerError
from pytest_taskprogress.engines.flows import Flows
from pytest_taskprogress.listeners.notifier import Notifier
from pytest_taskprogress.listeners.storage import Storage
from pytest_taskprogress.listeners.surface import Surface

__all__ = ["Surfaced"]


class Surfaced:
    """An engine that listeners can listen to: TaskFlow's surface.

    Args:
        surface: Who tells them.
        flows: Which flow a task is part of.
    """

    #: What TaskFlow's own listeners ask an engine for; there is none.
    compilation: Final[Any] = None

    def __init__(self, surface: Surface, flows: Flows) -> None:
        self._surface = surface
        self._flows = flows

    @property
    def notifier(self) -> Notifier:
        """Tells listeners of flows."""
        return self._surface.notifier

    @property
    def atom_notifier(self) -> Notifier:
        """Tells listeners of tasks and retries: that an attempt begins, and each write."""
        return self._surface.atom_notifier

    @property
    def storage(self) -> Storage:
        """What is known of flows, tasks and retries, and what listeners record of them."""
        return self._surface.storage

    def told_of_listeners(self) -> str:
        """Tell what listeners raised, with its tracebacks, once; empty if none did."""
        errors = self._surface.take_errors()
        return "".join(format_exception(ListenerError(errors))) if errors else ""

    def _note_listeners(self, error: BaseException) -> None:
        """Tell with an error what listeners raised before it came: nobody else will."""
        told = self.told_of_listeners()
        if told and sys.version_info >= (3, 11):
            error.add_note(told)

    def check_listeners(self) -> None:
        """Raise what listeners raised, once.

        Raises:
            ListenerError: With all of it, as a group.
        """
        errors = self._surface.take_errors()
        if errors:
            raise ListenerError(errors)
