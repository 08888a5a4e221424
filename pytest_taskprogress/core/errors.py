"""What can go wrong, as types: one tree of errors and one warning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pytest_taskprogress.core.messages import as_text

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # pytest requires it there

__all__ = [
    "AbortUnsupported",
    "CircularCanvasError",
    "ClaimUnsupported",
    "DeadlockError",
    "DrainLimitExceeded",
    "EngineError",
    "EngineNotInstalled",
    "ForeignTaskError",
    "GoldenError",
    "ListenerError",
    "MalformedMessageError",
    "MomentNotReached",
    "NeedsRealWorker",
    "NotATaskError",
    "NotFound",
    "PatternError",
    "ProgressValueError",
    "RuleError",
    "TaskAborted",
    "TaskProgressError",
    "TaskProgressWarning",
    "UnregisteredTaskError",
]


class TaskProgressError(Exception):
    """Base of every error that this package raises."""


class TaskProgressWarning(UserWarning):
    """Something that a task did works, but not as its author is likely to think."""


class TaskAborted(TaskProgressError):
    """A task was asked to abort: raised in the task by a check, and by `get()` of its result.

    Attributes:
        task_id: Id of the task.
        meta: In a client: the last progress of the task. Empty in the task itself.
    """

    def __init__(self, task_id: str, meta: dict[str, Any] | None = None) -> None:
        super().__init__(task_id)
        self.task_id = task_id
        self.meta = meta or {}

    def __str__(self) -> str:
        return f"the task {self.task_id} was aborted"


class AbortUnsupported(TaskProgressError, NotImplementedError):
    """A task was to be aborted whose result backend does not keep the request."""


class ClaimUnsupported(TaskProgressError, NotImplementedError):
    """A task was to be claimed whose result backend does not keep the claim."""


class GoldenError(TaskProgressError, ValueError):
    """Golden histories cannot be written or read: the message says which, and what to do."""


class PatternError(TaskProgressError, ValueError):
    """A pattern of states is malformed, or names a state that there is not."""


class RuleError(TaskProgressError, ValueError):
    """A contract names a rule that there is not, or gives one a figure that it cannot have."""


class ProgressValueError(TaskProgressError, ValueError):
    """A progress value that is not a finite number of zero or more."""


class EngineError(TaskProgressError):
    """An engine was asked for something that it cannot do."""


class NotATaskError(EngineError, TypeError):
    """An engine was given something that is neither a Celery task nor a signature."""


class ForeignTaskError(EngineError, ValueError):
    """A task belongs to another app than the one that the engine is installed on."""


class UnregisteredTaskError(EngineError, LookupError):
    """An engine was asked to run a task by a name that its app does not know."""


class CircularCanvasError(EngineError, ValueError):
    """A canvas contains itself."""


class MalformedMessageError(EngineError, ValueError):
    """A message lacks what every task message has: a real worker stops when it gets one."""


class MomentNotReached(EngineError, AssertionError):
    """An event of a scenario never happened: the run did not come to its moment."""


class NeedsRealWorker(EngineError, NotImplementedError):
    """Something was asked for that only a worker of its own process can do."""


class EngineNotInstalled(EngineError, RuntimeError):
    """An engine was used before it was installed on an app, or after it left it."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "the engine is not installed on an app: use it inside `with EagerEngine(app) as"
            " engine:`, or by the fixture `taskprogress`"
        )


class DeadlockError(EngineError, RuntimeError):
    """A result was waited for that nothing pending can produce."""


class DrainLimitExceeded(EngineError, RuntimeError):
    """More messages came of a drain than the limit: a task is likely to requeue itself for ever."""


class ListenerError(TaskProgressError, ExceptionGroup[Exception]):
    """Listeners raised while a task ran; the tasks themselves were not disturbed.

    As a group it has one of each kind, with its traceback: a listener that raises at each report
    does so a thousand times.

    Args:
        errors: What the listeners raised, in order.

    Attributes:
        errors: All of it.
    """

    def __new__(cls, errors: Sequence[Exception]) -> ListenerError:
        """Make the group, of one of each kind, whose message counts them."""
        kinds: dict[object, list[Exception]] = {}
        for error in errors:
            kinds.setdefault(_kind_of(error), []).append(error)
        lines = []
        for same in kinds.values():
            # Of each the first line: the group has them whole.
            line = f"  {type(same[0]).__name__}: {as_text(same[0]).partition(chr(10))[0]}"
            lines.append(line if len(same) == 1 else f"{line} ({len(same)} times)")
        count = f"{len(errors)} listener errors" if len(errors) > 1 else "A listener raised"
        message = "\n".join([f"{count} while tasks ran (the tasks went on):", *lines])
        return super().__new__(cls, message, [same[0] for same in kinds.values()])

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__(self.message, self.exceptions)
        self.errors = list(errors)

    def derive(self, excs: Sequence[Exception]) -> ListenerError:  # type: ignore[override]
        """Make one of some of them, as `split()` and `except*` do."""
        return ListenerError(excs)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[ListenerError], tuple[list[Exception]]]:
        return ListenerError, (self.errors,)


def _kind_of(error: Exception) -> object:
    """What two errors have in common that are the same one again: type, text, and line."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    line = None if traceback is None else (traceback.tb_frame.f_code, traceback.tb_lineno)
    return type(error), as_text(error), line


class NotFound(TaskProgressError, LookupError):
    """A listener asked the storage for a flow, a task or a retry that it was never told of."""
