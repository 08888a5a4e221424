"""Faults: events that break what a task relies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.progress import amount
from pytest_taskprogress.scenario.events import Event, Fault, Stage

__all__ = ["CrashWorker", "FailRead", "FailWrite"]


@dataclass(frozen=True, repr=False)
class _Fail(Event):
    """The result backend refuses what tasks, and the worker, ask of it, from a moment on.

    Attributes:
        error: What is raised: an exception, or a class of them.
        times: How often; None: once, or if seconds are given, however often.
        seconds: For how long, of the engine's clock; None: however long.

    Raises:
        TypeError: If that is no exception.
        ValueError: If `times` is no whole number of 1 or more.
        ProgressValueError: If `seconds` is no finite number of 0 or more.
    """

    access: ClassVar[str]

    error: Fault = ConnectionError
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        kind: object = self.error  # the annotation is a promise that callers break
        if not (isinstance(kind, type) and issubclass(kind, Exception)) and not isinstance(
            kind, Exception
        ):
            message = (
                f"{name} raises an exception: expected one, or a class of them, such as"
                f" ConnectionError, got error={as_repr(kind)}"
            )
            raise TypeError(message)
        if isinstance(kind, type):
            try:
                kind("...")
            except Exception as error:
                message = (
                    f"{name} makes an exception of its class by one argument, the message, and"
                    f" {kind.__name__} refuses that ({as_text(error)}): give it one that is made"
                )
                raise TypeError(message) from error
        given: object = self.times  # the annotation is a promise that callers break
        if given is not None and (
            not isinstance(given, int) or isinstance(given, bool) or given < 1
        ):
            message = (
                f"{name} fails at least once: expected a whole number of 1 or more, got"
                f" times={as_repr(given)}"
            )
            raise ValueError(message)
        if self.seconds is not None:
            amount(self.seconds, "seconds")

    def fire(self, stage: Stage) -> None:
        """Do it."""
        times = 1 if self.times is None and self.seconds is None else self.times
        stage.fail(self.access, self.error, times, self.seconds)


@dataclass(frozen=True, repr=False)
class FailWrite(_Fail):
    """Let the result backend refuse the next states that are to be stored.

    ::

        FailWrite(at_report(2))                                # the next one
        FailWrite(at_report(2), TimeoutError("5 s"), times=3)  # the next three
        FailWrite(before_start(), seconds=60)                  # for a minute
    """

    access = "write"


@dataclass(frozen=True, repr=False)
class FailRead(_Fail):
    """Let the result backend refuse the next reads: of an abort check, or of another's result."""

    access = "read"


@dataclass(frozen=True, repr=False)
class CrashWorker(Event):
    """Let the worker die as by SIGKILL: nothing of what it runs goes on, no `finally` either.

    What it has not acknowledged the broker delivers again: what it did not run yet, and tasks with
    `acks_late`. The others are lost. What it only remembered is gone too, such as which tasks were
    revoked. It needs greenlet (extra `greenlet`).

    Memory is that of the test, which lives on: a lock that the task held in it stays locked.

    Attributes:
        child: Whether only the process of its pool dies that runs the task, as when the system is
            out of memory. The worker notices: the task fails with `WorkerLostError`, or with
            `acks_late` and `reject_on_worker_lost` is delivered again.

    Raises:
        TypeError: If that is neither True nor False.
        ValueError: If it is to be the process of a task at a moment at which none runs.
    """

    needs_processes: ClassVar[bool] = True

    child: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.child  # the annotation is a promise that callers break
        if not isinstance(given, bool):
            message = f"CrashWorker takes child=True or False, got child={as_repr(given)}"
            raise TypeError(message)
        if self.child and self.at.in_task is False:
            message = (
                f"CrashWorker(child=True) kills the process that runs a task, and at {self.at} none"
                " does: use at_report(), at_percent(), at_position() or at_abort_check()"
            )
            raise ValueError(message)

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.crash(child=self.child)
