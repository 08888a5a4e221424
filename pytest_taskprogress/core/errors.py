"""What can go wrong, as types: one tree of errors and one warning."""

from __future__ import annotations

from typing import Any

from pytest_taskprogress.core.messages import as_text

__all__ = [
    "AbortUnsupported",
    "CircularCanvasError",
    "DeadlockError",
    "DrainLimitExceeded",
    "EngineError",
    "EngineNotInstalled",
    "ForeignTaskError",
    "ListenerError",
    "MalformedMessageError",
    "MomentNotReached",
    "NeedsRealWorker",
    "NotATaskError",
    "ProgressValueError",
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

    def __init__(self) -> None:
        super().__init__(
            "the engine is not installed on an app: use it inside `with EagerEngine(app) as"
            " engine:`, or by the fixture `taskprogress`"
        )


class DeadlockError(EngineError, RuntimeError):
    """A result was waited for that nothing pending can produce."""


class DrainLimitExceeded(EngineError, RuntimeError):
    """More messages came of a drain than the limit: a task is likely to requeue itself for ever."""


class ListenerError(TaskProgressError):
    """Listeners raised while a task ran; the tasks themselves were not disturbed.

    Args:
        errors: What the listeners raised, in order; each with its traceback.
    """

    def __init__(self, errors: list[Exception]) -> None:
        self.errors = errors
        lines = [f"  {type(error).__name__}: {as_text(error)}" for error in errors]
        count = f"{len(errors)} listener errors" if len(errors) > 1 else "A listener raised"
        super().__init__("\n".join([f"{count} while tasks ran (the tasks went on):", *lines]))
