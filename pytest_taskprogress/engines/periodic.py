"""Periodic tasks by the engine's clock: what `celery beat` would publish, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.beat import Scheduler

from pytest_taskprogress.core.clock import VirtualClock

__all__ = ["Beat"]


class Beat:
    """Publishes the periodic tasks of an app as they become due.

    The entries, their schedules (seconds, `schedule`, `crontab`, `solar`) and what is published are
    Celery's own. It counts from 0.0 of the clock: an entry that is to run every minute is due at
    60.0 for the first time.

    Args:
        app: A Celery app; an entry that is added to its `beat_schedule` later counts from then.
        clock: What the schedules go by; the app's `now()` has to go by it too.

    Source:
        `celery.beat.Scheduler`, whose `tick` sleeps by the clock of the machine.
    """

    def __init__(self, app: Any, clock: VirtualClock) -> None:
        self._clock = clock
        self._scheduler = Scheduler(app)
        began = clock.now() - timedelta(seconds=clock.monotonic())
        for entry in self._scheduler.schedule.values():
            entry.last_run_at = began.astimezone(app.timezone)

    def __bool__(self) -> bool:
        """Whether the app has periodic tasks."""
        return bool(self._scheduler.schedule)

    def due(self) -> tuple[list[str], float]:
        """Which entries are due now, in the order of their names, and when the next one is.

        Returns:
            Names, and a reading of the clock.
        """
        # Added, changed and removed entries; the others keep the time of their last run.
        self._scheduler.merge_inplace(self._scheduler.app.conf.beat_schedule)
        due, wait = [], float("inf")
        for name, entry in sorted(self._scheduler.schedule.items()):
            is_due, seconds = entry.is_due()
            if is_due:
                due.append(name)
            else:
                # Not less than the clock can tell apart: time has to pass.
                wait = min(wait, max(seconds, 1e-6))
        return due, self._clock.monotonic() + wait

    def publish(self, name: str) -> None:
        """Publish what an entry says, and note when it was.

        Raises:
            Exception: What publishing raises; `celery beat` would log it, and go on.
        """
        scheduler = self._scheduler
        entry = scheduler.schedule[name]
        scheduler.reserve(entry)
        scheduler.apply_async(entry, producer=None, advance=False)
