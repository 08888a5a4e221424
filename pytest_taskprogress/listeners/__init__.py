"""Who is told of flows, tasks and retries: the notifier, and the listeners that register with it.

TaskFlow's family, on Celery. Nothing here knows Celery; a listener needs only what `Listened` asks.
"""

from __future__ import annotations

from pytest_taskprogress.listeners.base import DumpingListener, Listened, Listener
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.claims import (
    CheckingClaimListener,
    ClaimBoard,
    FakeClaimBoard,
    Job,
)
from pytest_taskprogress.listeners.details import Details
from pytest_taskprogress.listeners.failure import Failure
from pytest_taskprogress.listeners.formatters import FailureFormatter
from pytest_taskprogress.listeners.logging import DynamicLoggingListener, LoggingListener
from pytest_taskprogress.listeners.notifier import (
    Notifier,
    RestrictedNotifier,
    register_deregister,
)
from pytest_taskprogress.listeners.printing import PrintingListener
from pytest_taskprogress.listeners.progressbar import ProgressBarListener
from pytest_taskprogress.listeners.registered import Registered
from pytest_taskprogress.listeners.storage import Atom, Flow, Storage
from pytest_taskprogress.listeners.timing import (
    DurationListener,
    EventTimeListener,
    PrintingDurationListener,
)

__all__ = [
    "Atom",
    "CaptureListener",
    "CheckingClaimListener",
    "ClaimBoard",
    "Details",
    "DumpingListener",
    "DurationListener",
    "DynamicLoggingListener",
    "EventTimeListener",
    "Failure",
    "FailureFormatter",
    "FakeClaimBoard",
    "Flow",
    "Job",
    "Listened",
    "Listener",
    "LoggingListener",
    "Notifier",
    "PrintingDurationListener",
    "PrintingListener",
    "ProgressBarListener",
    "Registered",
    "RestrictedNotifier",
    "Storage",
    "register_deregister",
]
