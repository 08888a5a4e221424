"""Exceptions for a failure that was reported, not raised; and how they are stored."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any, Final

from celery.exceptions import TaskPredicate

from pytest_taskprogress.core.messages import as_text

__all__ = ["as_exception", "as_failure", "exception_info", "is_failure_type", "raised_at"]

#: What a worker takes as something else than a failure of the task: MemoryError ends the worker.
_COMMANDS: Final = (TaskPredicate, MemoryError)

#: What a stored exception may have in its args, so that every serialiser carries it.
_PLAIN: Final = (str, int, float, bool, type(None))


def is_failure_type(value: object) -> bool:
    """Tell whether a value is an exception class."""
    return isinstance(value, type) and issubclass(value, BaseException)


def as_exception(exc_type: type[BaseException], message: str) -> Exception:
    """Make an exception that a task can fail with.

    Args:
        exc_type: Its class. RuntimeError stands in, with the class named in its message, for one
            that cannot be made of a message alone, and for one that Celery or Python would take as
            a command (Retry, Ignore, MemoryError, KeyboardInterrupt).
        message: What it says.
    """
    if issubclass(exc_type, Exception) and not issubclass(exc_type, _COMMANDS):
        try:
            made = exc_type(message)
        except Exception:  # noqa: BLE001 - its constructor wants something else
            made = None
        if isinstance(made, Exception):
            return made
    return RuntimeError(f"{exc_type.__qualname__}: {message}")


def as_failure(exception: BaseException) -> Exception:
    """An exception that a task can fail with: the same, or what stands in for a command."""
    if isinstance(exception, Exception) and not isinstance(exception, _COMMANDS):
        return exception
    return as_exception(type(exception), as_text(exception))


def exception_info(exception: Exception) -> dict[str, Any]:
    """The keys by which a result backend reads a stored dict back as an exception.

    The module is left out for a class that cannot be found by its name: Celery then makes one of
    that name, where it would else find, and refuse, something else.

    Source:
        `celery.backends.base.Backend.exception_to_python`.
    """
    kind = type(exception)
    message: object = as_text(exception)
    if all(type(each) in _PLAIN for each in exception.args):
        alone = len(exception.args) == 1 and type(exception.args[0]) is str
        message = exception.args[0] if alone else list(exception.args)
    info: dict[str, Any] = {"exc_type": kind.__qualname__, "exc_message": message}
    if _found(kind.__module__, kind.__qualname__) is kind:
        info["exc_module"] = kind.__module__
    return info


def _found(module: object, qualname: str) -> object:
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def raised_at(exception: Exception, frame: FrameType | None) -> Exception:
    """Give an exception that nobody raised the traceback of the line that reported it."""
    if frame is None or exception.__traceback__ is not None:
        return exception
    return exception.with_traceback(TracebackType(None, frame, frame.f_lasti, frame.f_lineno))
