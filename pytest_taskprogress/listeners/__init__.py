"""Who is told of transitions: the notifier, and the listeners that register with it.

TaskFlow's family, on Celery. Nothing here knows Celery; a listener needs only what `Listened` asks.
"""

from __future__ import annotations

from pytest_taskprogress.listeners.base import Listened, Listener
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.notifier import Details, Notifier

__all__ = ["CaptureListener", "Details", "Listened", "Listener", "Notifier"]
