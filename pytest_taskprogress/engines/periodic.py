"""Periodic tasks by the engine's clock: what `celery beat` would publish, and when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from celery.beat import Scheduler

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import DrainLimitExceeded

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

    def run(
        self,
        last: float,
        *,
        limit: int,
        publishing: Callable[[], AbstractContextManager[None]],
        pass_time: Callable[[float], object],
    ) -> int:
        """Publish what is due, as it becomes due.

        Args:
            last: Reading of the clock up to which entries are due.
            limit: How many may be due at one time.
            publishing: Entered around each publication.
            pass_time: Lets time pass until a reading of the clock, and run what is due by then.

        Returns:
            How many entries were published.

        Raises:
            DrainLimitExceeded: If more than the limit are due at once.
        """
        published, at_once = 0, 0
        due, next_at = self.due()
        # A task may have moved the clock past the end: then nothing more is published.
        while (now := self._clock.monotonic()) <= last and (due or next_at <= last):
            if at_once > limit:
                message = f"{limit=} periodic tasks are due at once: {', '.join(due)}"
                raise DrainLimitExceeded(message)
            for name in due:
                with publishing():
                    self.publish(name)
            published += len(due)
            pass_time(now if due else next_at)
            at_once = at_once + len(due) if self._clock.monotonic() == now else 0
            due, next_at = self.due()
        pass_time(last)
        return published
