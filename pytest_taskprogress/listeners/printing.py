"""The listener that prints."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from typing import Any

from pytest_taskprogress.listeners.base import DEFAULT_LISTEN_FOR, DumpingListener, Listened

__all__ = ["PrintingListener"]


class PrintingListener(DumpingListener):
    """Prints what it is told, a line each; of a report also the percentage and the description.

    Args:
        engine: What to listen to.
        task_listen_for: As of `Listener`.
        flow_listen_for: As of `Listener`.
        retry_listen_for: As of `Listener`.
        stderr: Whether to print to standard error; else to standard output.

    Source:
        `taskflow.listeners.printing.PrintingListener`.
    """

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        stderr: bool = False,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._stderr = stderr

    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        # Looked up now: pytest, and others that capture, replace it.
        file = sys.stderr if self._stderr else sys.stdout
        print(message % args, file=file)
        exc_info = kwargs.get("exc_info")
        if exc_info is not None:
            traceback.print_exception(*exc_info, file=file)
