"""What a task failed with, as listeners are told."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from traceback import format_exception
from types import TracebackType
from typing import Any, Final, TypeGuard

from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.transitions import Transition

__all__ = ["Failure", "is_failure"]

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """What a task failed, or retried, with: what a worker stored of it, and what is at hand.

    Attributes:
        exc_type_names: Name of the exception's type, with its module unless that is builtins; of
            its bases too if the exception is at hand.
        exception_str: Its message.
        traceback_str: The stored traceback, as text; None if none was stored.
        exception: The exception itself; None in another process than the task's.

    Source:
        `taskflow.types.failure.Failure`, for the names.
    """

    exc_type_names: tuple[str, ...]
    exception_str: str
    traceback_str: str | None = None
    exception: BaseException | None = None

    @classmethod
    def of(cls, transition: Transition, raised: BaseException | None = None) -> Failure:
        """What a write tells of a failure.

        Args:
            transition: The write.
            raised: What was being handled when it was written.
        """
        stored = transition.meta or transition.result
        if isinstance(stored, BaseException) and type(raised) is not type(stored):
            raised = stored
        if raised is not None and _is_told(raised, stored, by_worker=transition.source is None):
            return cls(_names(raised), as_text(raised), transition.traceback, raised)
        name, _, text = (transition.error or f"{transition.state}: ").partition(": ")
        module = stored.get("exc_module") if isinstance(stored, dict) else None
        return cls((_qualified(name, module),), text, transition.traceback)

    @classmethod
    def of_exception(cls, raised: object) -> Failure:
        """What an exception tells that was not stored."""
        if not isinstance(raised, BaseException):
            return cls((type(raised).__name__,), as_text(raised))
        return cls(_names(raised), as_text(raised), "".join(format_exception(raised)), raised)

    def without_exception(self) -> Failure:
        """The same, as another process would know it."""
        return Failure(self.exc_type_names, self.exception_str, self.traceback_str)

    @property  # type: ignore[misc] # as mocks do
    def __class__(self) -> type:
        """TaskFlow's failure, where TaskFlow is loaded: its listeners know no other."""
        taskflow = sys.modules.get("taskflow.types.failure")
        return Failure if taskflow is None else taskflow.Failure

    @property
    def exc_info(self) -> _ExcInfo | None:
        """As of `sys.exc_info()`; None if the exception is not at hand."""
        raised = self.exception
        return None if raised is None else (type(raised), raised, raised.__traceback__)

    def check(self, *exc_classes: type[BaseException] | str) -> type[BaseException] | str | None:
        """The first of some exception types, or of their names, that it is of; None if of none."""
        for each in exc_classes:
            name = each if isinstance(each, str) else _qualified(each.__name__, each.__module__)
            if name in self.exc_type_names:
                return each
        return None

    def __eq__(self, other: object) -> bool:
        # Never NotImplemented: TaskFlow's failure, which is asked then, takes this for one of its
        # own, and looks for what is private to it.
        return type(other) is Failure and self._told() == other._told()

    def __hash__(self) -> int:
        return hash(self._told())

    @property
    def _exc_type_names(self) -> list[str]:
        # What TaskFlow's failure looks at first when it is compared with this one.
        return list(self.exc_type_names)

    def _told(self) -> tuple[object, ...]:
        return self.exc_type_names[0], self.exception_str, self.traceback_str

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the exception, which other processes need not know.
        return _made, (self.exc_type_names, self.exception_str, self.traceback_str)

    def pformat(self, traceback: bool = False) -> str:
        """Say what it is; with the stored traceback if that is wanted."""
        text = f"Failure: {self.exc_type_names[0]}: {self.exception_str}"
        if traceback:
            text += f"\n{self.traceback_str or 'Traceback not available.'}"
        return text

    def __str__(self) -> str:
        return self.pformat()


def _made(*parts: Any) -> Failure:
    return Failure(*parts)


def _qualified(name: str, module: str | None) -> str:
    return name if module in (None, "builtins") else f"{module}.{name}"


def _names(raised: BaseException) -> tuple[str, ...]:
    return tuple(_qualified(each.__name__, each.__module__) for each in type(raised).__mro__[:-1])


#: What is stored of an exception that cannot be pickled.
_WRAPPER: Final = "UnpickleableExceptionWrapper"


def _is_told(raised: BaseException, stored: Any, *, by_worker: bool) -> bool:
    """Whether an exception that is being handled is the one that a write is about."""
    if not isinstance(stored, dict) or "exc_type" not in stored:
        return stored is None or isinstance(stored, BaseException)
    if stored["exc_type"] != type(raised).__name__:
        return by_worker and stored["exc_type"] == _WRAPPER
    if by_worker:
        # Its arguments need not look the same: a serialiser has had them.
        return True
    message = stored.get("exc_message")
    told = message if isinstance(message, (list, tuple)) else [message]
    args = [as_text(each) for each in raised.args]
    return [as_text(each) for each in told] in (args, [as_text(raised)])


def is_failure(result: Any) -> TypeGuard[Failure]:
    """Whether a result is a failure: ours, or TaskFlow's."""
    return hasattr(result, "exc_info") and hasattr(result, "pformat")
