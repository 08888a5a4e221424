"""What every engine offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.listeners.capturing import CaptureListener
from pytest_taskprogress.listeners.notifier import Notifier
from pytest_taskprogress.listeners.storage import Storage
from pytest_taskprogress.scenario import Event

__all__ = ["Engine", "PendingTask"]


class PendingTask(NamedTuple):
    """A message that waits.

    Attributes:
        name: Name of the task.
        uuid: Its id.
        at: Seconds of the engine's clock at which it is due; None: as soon as possible.
    """

    name: str
    uuid: str
    at: float | None = None

    def __str__(self) -> str:
        due = "" if self.at is None else f", due at {self.at:g} s"
        return f"{self.name}[{self.uuid}]{due}"


class Engine(Protocol):
    """Runs Celery tasks for a test, and keeps what they wrote."""

    @property
    def app(self) -> Any:
        """The app that the engine is installed on."""
        ...

    @property
    def notifier(self) -> Notifier:
        """Tells listeners of flows."""
        ...

    @property
    def atom_notifier(self) -> Notifier:
        """Tells listeners of tasks and retries."""
        ...

    @property
    def storage(self) -> Storage:
        """What is known of flows, tasks and retries, and what listeners record of them."""
        ...

    @property
    def backend(self) -> Any:
        """The result backend that tasks write to."""
        ...

    @property
    def capture(self) -> CaptureListener:
        """The engine's own listener."""
        ...

    @property
    def clock(self) -> Clock:
        """What `countdown`, `eta`, expiry and `elapsed` go by."""
        ...

    @property
    def history(self) -> History:
        """All transitions since the engine was installed or reset."""
        ...

    @property
    def pending(self) -> Sequence[PendingTask]:
        """What waits to be run, in order."""
        ...

    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun:
        """Publish a task or a canvas, run all that comes of it, and return what happened."""
        ...

    def under(self, *events: Event) -> Any:
        """Let events happen to what runs; has `run` and `run_iter`, and is a context manager."""
        ...

    def run_iter(
        self, task_or_signature: Any, /, *args: Any, **kwargs: Any
    ) -> Iterator[Transition]:
        """Run step by step: the task stands still at each transition."""
        ...

    def paused(self) -> AbstractContextManager[Engine]:
        """Let published messages wait for `step()` or `drain()`."""
        ...

    def step(self) -> bool:
        """Run one message; returns False if none waits."""
        ...

    def drain(self, *, until: float | None = None, limit: int | None = None) -> int:
        """Run messages until none waits, or as long as is said; returns how many."""
        ...

    def suspend(self) -> None:
        """Let what runs stop before its next task, and keep what waits to be run."""
        ...

    def resume(self) -> TaskRun | None:
        """Go on with what was suspended, and return what came of it."""
        ...

    def installed(self, app: Any) -> AbstractContextManager[Engine]:
        """Run what an app publishes, until left."""
        ...
