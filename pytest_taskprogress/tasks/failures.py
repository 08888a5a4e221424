"""Exceptions for a failure that was reported, not raised; and how they are stored."""

from __future__ import annotations

from types import FrameType, TracebackType
from typing import Any

from celery.exceptions import TaskPredicate

from pytest_taskprogress.core.messages import as_text

__all__ = ["as_exception", "exception_info", "is_failure_type", "raised_at"]


def is_failure_type(value: object) -> bool:
    """Tell whether a value is an exception class."""
    return isinstance(value, type) and issubclass(value, BaseException)


def as_exception(exc_type: type[BaseException], message: str) -> Exception:
    """Make an exception that a task can fail with.

    Args:
        exc_type: Its class. RuntimeError stands in, with the class named in its message, for one
            that cannot be made of a message alone, and for one that Celery or Python would take as
            a command (Retry, Ignore, KeyboardInterrupt).
        message: What it says.
    """
    if issubclass(exc_type, Exception) and not issubclass(exc_type, TaskPredicate):
        try:
            made = exc_type(message)
        except Exception:  # noqa: BLE001 - its constructor wants something else
            made = None
        if isinstance(made, Exception):
            return made
    return RuntimeError(f"{exc_type.__qualname__}: {message}")


def exception_info(exception: Exception) -> dict[str, Any]:
    """The keys by which a result backend reads a stored dict back as an exception.

    Source:
        `celery.backends.base.Backend.exception_to_python`.
    """
    kind = type(exception)
    return {
        "exc_type": kind.__qualname__,
        "exc_message": as_text(exception),
        "exc_module": kind.__module__,
    }


def raised_at(exception: Exception, frame: FrameType | None) -> Exception:
    """Give an exception that nobody raised the traceback of the line that reported it."""
    if frame is None or exception.__traceback__ is not None:
        return exception
    return exception.with_traceback(TracebackType(None, frame, frame.f_lasti, frame.f_lineno))
