"""The task base under which an Observer's outcome is final."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery import Task
from celery.exceptions import Ignore, Retry, TaskPredicate

from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import FAILURE, SUCCESS
from pytest_taskprogress.tasks.attempt import Attempt, Ending, attempt_of

__all__ = ["ProgressTask"]

logger = logging.getLogger(__name__)

#: Without its type parameters: at run time Celery's class may have none.
_Task: Any = Task


class ProgressTask(_Task):  # type: ignore[misc]
    """A task whose outcome is the one that its Observer gave it.

    With a plain Task, Celery stores SUCCESS over the FAILURE that `observer.fail()` stored, as soon
    as the function returns. Under this base the outcome waits until the function ends, and is then
    stored once, by Celery's own code: after `fail` and `exception` the task fails with that
    exception, so that `on_failure`, `link_error` and chord errbacks run and `get()` raises it;
    after `success` it succeeds with what the function returns, or with the meta if that is None.

    ::

        @app.task(bind=True, base=ProgressTask)
        def check(self, path):
            observer = Observer(self)
            if readable(path):
                observer.success("Read %s", path)
            else:
                observer.fail("Cannot read %s", path)
    """

    abstract = True
    #: The outcomes that wait until the function ends; any other one is stored at once.
    kept_endings: frozenset[str] = frozenset({SUCCESS, FAILURE})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task, and end it as its observers said.

        Called as a plain function, outside a worker, it only runs.
        """
        request = self.request_stack.top
        if request is None or request.called_directly or attempt_of(request).entered:
            return super().__call__(*args, **kwargs)
        # Celery's own mark of a task that is past its custom __call__: what is called as a function
        # from here on gets a request of its own.
        request._protected = 1  # noqa: SLF001
        attempt = attempt_of(request)
        attempt.entered, attempt.keeps = True, self.kept_endings
        try:
            value = self._run_attempt(args, kwargs)
        except Exception as error:  # noqa: BLE001 - re-raised, or logged if the task has succeeded
            return self._end_attempt_by(attempt, error)
        return self._end_attempt(attempt, value)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Ask for another attempt, unless an Observer has ended the task."""
        attempt = attempt_of(self.request)
        if attempt.keeps and attempt.ending is not None:
            message = (
                f"{self.name}: retry() after its Observer ended it with {attempt.ending.state};"
                " the task is not retried"
            )
            warnings.warn(message, TaskProgressWarning, stacklevel=2)
            raise Ignore(message)
        self._check_again(kwargs.get("exc"))
        return super().retry(*args, **kwargs)

    def on_replace(self, sig: Any) -> Any:
        """Let another task take the place of this one; see Celery's `Task.replace`."""
        self._check_again(None)
        return super().on_replace(sig)

    def _check_again(self, error: object) -> None:
        """Raise what is to end the task, in place of what would run under its id.

        Args:
            error: For which it is to be retried.
        """

    def _run_attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.run(*args, **kwargs)

    def _end_attempt(self, attempt: Attempt, value: Any) -> Any:
        for reporter in attempt.reporters:
            reporter.flush()
        ending = attempt.ending
        if ending is None:
            # From now on nobody may report: Celery stores what the function returned.
            attempt.ending = Ending(SUCCESS, {})
            return value
        if ending.state == FAILURE and ending.exception is not None:
            raise ending.exception
        if ending.state == SUCCESS:
            return ending.meta if value is None else value
        message = f"the task ended with {ending.state}, which is stored"
        raise Ignore(message)

    def _end_attempt_by(self, attempt: Attempt, error: Exception) -> Any:
        for reporter in attempt.reporters:
            reporter.flush()
            if not isinstance(error, TaskPredicate):
                reporter.on_error(error)
        ending = attempt.ending
        if ending is None or isinstance(error, Retry) or ending.exception is error:
            raise error
        if ending.state == SUCCESS and not isinstance(error, TaskPredicate):
            logger.error(
                "Raised after the Observer had ended the task with SUCCESS", exc_info=error
            )
            warnings.warn(
                "the task raised after its Observer had ended it with SUCCESS, which stays:"
                f" {as_repr(error)}",
                TaskProgressWarning,
                stacklevel=2,
            )
        try:
            return self._end_attempt(attempt, None)
        except Exception as outcome:
            raise outcome from error
