"""Events: what is asked of a run, and of the time, at a moment. Those that break things: faults.

A new event is one class here, and what it asks of a `Stage`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.printing import AsCode
from pytest_taskprogress.core.progress import amount
from pytest_taskprogress.scenario.moments import Moment

__all__ = [
    "Abort",
    "Advance",
    "Delay",
    "Event",
    "Fault",
    "Redeliver",
    "Revoke",
    "SoftTimeLimit",
    "Stage",
]

#: What a fault raises: an exception, or a class of them.
Fault: TypeAlias = "Exception | type[Exception]"


class Stage(Protocol):
    """Where events take place: an engine, at an occasion."""

    def abort(self) -> None:
        """Ask every task of the run to abort."""

    def revoke(self, *, terminate: bool) -> None:
        """Revoke every task of the run."""

    def advance(self, seconds: float) -> None:
        """Move the clock."""

    def exceed_soft_time_limit(self) -> None:
        """Let the soft time limit of the task run out, which runs now."""

    def redeliver(self) -> None:
        """Let the broker deliver the message of the task once more."""

    def delay(self, seconds: float) -> None:
        """Let the broker deliver nothing for some seconds."""

    def fail(self, access: str, error: Fault, times: int | None, seconds: float | None) -> None:
        """Let the result backend refuse writes or reads.

        Args:
            access: `"write"` or `"read"`.
            error: The exception, or its class.
            times: How often; None: for as long as the seconds say.
            seconds: How long; None: however long.
        """

    def crash(self, *, child: bool) -> None:
        """Let the worker die, or only the process of it that runs the task."""


@dataclass(frozen=True, repr=False)
class Event(ABC):
    """Something that is done to a run, once, at a moment. Base of all events.

    Attributes:
        at: The moment.

    Raises:
        TypeError: If that is no moment.
        ValueError: If it cannot be done at that moment.
    """

    #: Whether it can only be done while the code of a task runs.
    only_in_task: ClassVar[bool] = False
    #: Whether the worker needs processes that can die, or stand still.
    needs_processes: ClassVar[bool] = False

    at: Moment

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.at, Moment):
            message = (
                f"{name} takes the moment at which it is, such as at_report(3), got"
                f" {as_repr(self.at)}"
            )
            raise TypeError(message)
        if not self.fits(self.at):
            message = (
                f"{name} happens while a task runs, and at {self.at} none does: use at_report(),"
                " at_percent(), at_position() or at_abort_check()"
            )
            raise ValueError(message)

    @classmethod
    def fits(cls, moment: Moment) -> bool:
        """Tell whether it can be done at a moment."""
        return moment.in_task is not False or not cls.only_in_task

    @abstractmethod
    def fire(self, stage: Stage) -> None:
        """Do it.

        Args:
            stage: Where.
        """

    def __repr__(self) -> str:
        more = [_code_of(each, getattr(self, each.name)) for each in fields(self)[1:]]
        return f"{type(self).__name__}({', '.join([repr(self.at), *filter(None, more)])})"

    _repr_pretty_ = AsCode()


def _code_of(field: Field[Any], value: object) -> str:
    """How an argument is written; one that has its default is not."""
    if value == field.default:
        return ""
    return f"{field.name}={value.__qualname__ if isinstance(value, type) else repr(value)}"


@dataclass(frozen=True, repr=False)
class Abort(Event):
    """Ask the tasks of the run to abort: all of its canvas.

    Where no `run` published them, the one task at which the moment is.
    """

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.abort()


@dataclass(frozen=True, repr=False)
class Revoke(Event):
    """Revoke the tasks of the run: those that do not run yet will not.

    Where no `run` published them, the one task at which the moment is.

    Attributes:
        terminate: Whether one that runs is to be killed; that needs a real worker.

    Raises:
        TypeError: If that is neither True nor False.
    """

    terminate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.terminate  # the annotation is a promise that callers break
        if not isinstance(given, bool):
            message = f"Revoke takes terminate=True or False, got terminate={as_repr(given)}"
            raise TypeError(message)

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.revoke(terminate=self.terminate)


@dataclass(frozen=True, repr=False)
class SoftTimeLimit(Event):
    """Raise `celery.exceptions.SoftTimeLimitExceeded` in the task, where it is at that moment."""

    only_in_task: ClassVar[bool] = True

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.exceed_soft_time_limit()


@dataclass(frozen=True, repr=False)
class Advance(Event):
    """Move the engine's clock: the task takes its time.

    Attributes:
        seconds: How far; 0.0 or more.

    Raises:
        ProgressValueError: If that is no finite number of 0 or more.
    """

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        amount(self.seconds, "seconds")

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.advance(self.seconds)


@dataclass(frozen=True, repr=False)
class Delay(Event):
    """Let the broker deliver nothing for some seconds of the engine's clock, and then all of it.

    What runs goes on; what waits, and what is published meanwhile, comes later: a network that is
    down, or a queue that is full.

    Attributes:
        seconds: How long; 0.0 or more.

    Raises:
        ProgressValueError: If that is no finite number of 0 or more.
    """

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        amount(self.seconds, "seconds")

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.delay(self.seconds)


@dataclass(frozen=True, repr=False)
class Redeliver(Event):
    """Let the broker deliver the message of the task twice, as brokers do: once more at the end.

    The task is the one at which the moment is. It runs again after what waits; under a `Schedule`
    maybe beside itself.
    """

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.redeliver()
