"""Processes of a worker: messages that run beside each other, stand still, or die.

Each is a greenlet. They are there only where a test asks for them: under a `Schedule`, which says
who goes on next, or where a worker is to crash. Else a message simply runs.
"""

from __future__ import annotations

import contextvars
import ctypes
from collections.abc import Callable
from typing import Any, Final

from pytest_taskprogress.core.errors import EngineError

__all__ = ["Process", "greenlets"]


def greenlets() -> Any:
    """The greenlet package, in whose presence Celery keeps a stack of tasks for each greenlet.

    Raises:
        EngineError: If it is not installed.
    """
    try:
        import greenlet  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            "run_iter(), schedules and CrashWorker let a task stand still by greenlet, which is not"
            " installed: pip install 'pytest-taskprogress[greenlet]'"
        )
        raise EngineError(message) from error
    return greenlet


class Process:
    """A message that runs in a greenlet of its own.

    Attributes:
        step: What its threads run.
        blocks: Celery's flag that a task may not wait for results; kept while it stands still.
        ran: Whether it executed a request; None as long as it has not come to its end.
        wait: What it waits for; None if it could go on.
        reached: What it reported last; where it stands, for messages.
        holds: How often it holds back what it publishes; kept while it stands still.

    Args:
        work: Runs the message.
        step: As above.
        blocks: As above.
    """

    def __init__(self, work: Callable[[], bool], step: Any, blocks: Any) -> None:
        self.step = step
        self.blocks = blocks
        self.ran: bool | None = None
        self.wait: Waiting | None = None
        self.reached: Any = None
        self.holds = 0
        self._steps = [step]
        self._work = work
        package = greenlets()
        self._getcurrent: Final = package.getcurrent
        self._exit: Final = package.GreenletExit
        self._greenlet = package.greenlet(self._go)
        self._greenlet.gr_context = contextvars.copy_context()

    def _go(self) -> None:
        try:
            self.ran = self._work()
        finally:
            self.step.over = True

    @property
    def is_here(self) -> bool:
        """Whether this is what runs now, in this thread."""
        return self._getcurrent() is self._greenlet

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return bool(self._greenlet.dead)

    def go_on(self, exchange: Callable[[list[Any]], list[Any]]) -> None:
        """Begin, or go on, until it stands still or comes to its end.

        Args:
            exchange: Lets this thread run other messages than it does; returns those that it did.

        Raises:
            BaseException: What ends a test, and not only the task.
        """
        self._greenlet.parent = self._getcurrent()
        before = exchange(self._steps)
        try:
            self._greenlet.switch()
        finally:
            self._steps = exchange(before)

    def stand_still(self) -> None:
        """Wait, until `go_on`."""
        self._greenlet.parent.switch()

    def leave(self, exchange: Callable[[list[Any]], list[Any]]) -> None:
        """Let it end where it stands, by its `finally` blocks: nothing more is asked of it.

        Args:
            exchange: As of `go_on`.
        """
        if not self._greenlet:
            return
        self._greenlet.parent = self._getcurrent()
        before = exchange(self._steps)
        try:
            self._greenlet.throw(self._exit)
        finally:
            exchange(before)

    def kill(self) -> None:
        """Let it never go on, and none of its `finally` blocks either, as by SIGKILL.

        A greenlet that nobody refers to is ended by an exception: this one is referred to for ever.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._greenlet))


class Waiting:
    """What a process waits for.

    Attributes:
        came: Tells whether it has come, or may have.
        until: Seconds of the clock up to which it waits; infinite if it waits for ever.
        hopeless: Whether nothing can make it come.
    """

    __slots__ = ("came", "hopeless", "until")

    def __init__(self, came: Callable[[], bool], until: float) -> None:
        self.came = came
        self.until = until
        self.hopeless = False
