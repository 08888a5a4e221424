"""Rule-based state machines of tasks, which users subclass for their own."""

from __future__ import annotations

from pytest_taskprogress.properties.machines.abortable import AbortableMachine
from pytest_taskprogress.properties.machines.observer import ObserverMachine

__all__ = ["AbortableMachine", "ObserverMachine"]
