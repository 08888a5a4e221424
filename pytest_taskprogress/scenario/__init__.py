"""What a test does to a run from outside: events, at named moments.

::

    from pytest_taskprogress.scenario import Abort, at_percent

    run = taskprogress.under(Abort(at_percent(50))).run(import_users, ROWS)
"""

from __future__ import annotations

from pytest_taskprogress.scenario.events import (
    Abort,
    Advance,
    Delay,
    Event,
    Redeliver,
    Revoke,
    SoftTimeLimit,
    Stage,
)
from pytest_taskprogress.scenario.faults import CrashWorker, FailRead, FailWrite
from pytest_taskprogress.scenario.happened import Happened
from pytest_taskprogress.scenario.moments import (
    Moment,
    Occasion,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
    if_reached,
    when,
)
from pytest_taskprogress.scenario.schedules import Schedule

__all__ = [
    "Abort",
    "Advance",
    "CrashWorker",
    "Delay",
    "Event",
    "FailRead",
    "FailWrite",
    "Happened",
    "Moment",
    "Occasion",
    "Redeliver",
    "Revoke",
    "Schedule",
    "SoftTimeLimit",
    "Stage",
    "at_abort_check",
    "at_percent",
    "at_position",
    "at_report",
    "at_retry",
    "at_state",
    "at_write",
    "before_start",
    "if_reached",
    "when",
]
