"""The Observer: how a task tells how far it has come, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pytest_taskprogress.core.clock import Clock, clock_of
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.progress import Number, Progress, amount, number
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    FAILURE,
    PROGRESS,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.tasks.abortable import abort_check_of
from pytest_taskprogress.tasks.aborting import is_own
from pytest_taskprogress.tasks.arguments import extra_keys, log_level_number
from pytest_taskprogress.tasks.attempt import Attempt, Ending, attempt_of
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.failures import (
    as_exception,
    as_failure,
    exception_info,
    is_failure_type,
    raised_at,
)
from pytest_taskprogress.tasks.position import NOT_GIVEN, Position
from pytest_taskprogress.tasks.track import Track
from pytest_taskprogress.tasks.warning import caller, formatted, warn
from pytest_taskprogress.tasks.writer import ReportWriter

__all__ = ["Observer"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: The endings that a plain Task keeps until it ends.
_NONE: Final[frozenset[str]] = frozenset()


class Observer:
    """Reports the progress and the outcome of a task.

    ::

        @app.task(bind=True, base=ProgressTask)
        def import_users(self, rows):
            observer = Observer(self)
            for row in observer.track(rows, "Importing users"):
                save(row)
            _, meta = observer.success("Imported %d users", len(rows))
            return meta

    Each report stores `pending, description, current, total, percent, elapsed`, and `name` if
    `scan_task` has one. It belongs to the task that ran when it was made, and may be used from any
    thread. Where there is no task id (the task was called as a plain function) it counts and logs,
    and stores nothing.

    `current` never falls and never exceeds `total` in what is stored: a value out of bounds is
    clamped, with a `TaskProgressWarning`. After an outcome (`success`, `fail`, `exception`, or a
    terminal `state`) later reports change nothing, and warn. A message that cannot be formatted is
    stored as it is, with a warning.

    Args:
        task: The bound task (`self`); None reports to nobody.
        position: Where it begins.
        scan_task: Something with `name`, `active` and `save()`: when the task ends, `active`
            becomes False and it is saved, once.
        _logger: Where `do_log` and outcomes go; see `logger`.
        throttle: Seconds in which at most one report is stored. The first, the complete one, every
            change of state and the outcome are always stored; see `flush`.
        check_abort: Whether each report of an abortable task checks for an abort.
        clock: What `elapsed` and `throttle` go by. None: the clock of the result backend if it has
            one (an engine's has), else the machine's.

    Raises:
        TypeError: If the task has no `update_state`.
        ProgressValueError: If `position` or `throttle` is no finite number of 0 or more.

    Source:
        `mastf.core.progress.Observer`, for members, parameters and defaults.
    """

    def __init__(
        self,
        task: Any,
        position: Number = 0,
        scan_task: Any = None,
        _logger: logging.Logger | None = None,
        *,
        throttle: float | None = None,
        check_abort: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if task is not None and not callable(getattr(task, "update_state", None)):
            message = (
                f"an Observer needs a bound task (self), got task={as_repr(task)}; use bind=True"
            )
            raise TypeError(message)
        if scan_task is not None and not callable(getattr(scan_task, "save", None)):
            message = f"scan_task must have a save(), got scan_task={as_repr(scan_task)}"
            raise TypeError(message)
        if not isinstance(clock, (Clock, type(None))):
            message = f"clock must be a Clock, got clock={as_repr(clock)}"
            raise TypeError(message)
        self._task = task
        self._scan_task = scan_task
        self.logger = logger if _logger is None else _logger
        self._check_abort = abort_check_of(task) if check_abort else None
        request = getattr(task, "request", None)
        self._attempt = Attempt()
        if getattr(request, "id", None) is not None:
            self._attempt = attempt_of(request)
            self._attempt.keeps = task.kept_endings if isinstance(task, ProgressTask) else _NONE
            clock = clock or clock_of(getattr(task, "backend", None))
        self._clock = clock or Clock()
        throttle = None if throttle is None else amount(throttle, "throttle")
        self._writer = ReportWriter(task, throttle, self._clock)
        self._began = self._clock.monotonic()
        self._lock = self._attempt.lock
        self._position = Position(position)
        self._attempt.reporters.append(self)

    @property
    def task(self) -> Any:
        """The observed task."""
        return self._task

    @property
    def logger(self) -> logging.Logger:
        """Where messages are logged."""
        return self._logger

    @logger.setter
    def logger(self, value: logging.Logger) -> None:
        if not callable(getattr(value, "log", None)):
            message = f"logger must be one of the logging module, got logger={as_repr(value)}"
            raise TypeError(message)
        self._logger = value

    @property
    def pos(self) -> Number:
        """The current position, in the units of `total`."""
        return self._position.value

    @pos.setter
    def pos(self, val: Number) -> None:
        self._position.value = number(val, "pos")

    def increment(self, val: Number = 1) -> Number:
        """Move the position, without a report.

        Args:
            val: How far.

        Returns:
            The new position.

        Raises:
            ProgressValueError: If it is no finite number.
        """
        with self._lock:
            return self._position.move(val, "val")

    def create_meta(self) -> dict[str, Any]:
        """Begin the dict of a report; a subclass may add keys."""
        return {"pending": False}

    def update(
        self,
        msg: str,
        *args: object,
        current: Number = NOT_GIVEN,
        increment: bool = True,
        step: Number = 1,
        total: Number | None = 100,
        state: str = PROGRESS,
        meta: Mapping[str, Any] | None = None,
        do_log: bool = False,
        log_level: int | str = logging.DEBUG,
    ) -> tuple[str, dict[str, Any]]:
        """Report.

        Args:
            msg: The message; `msg % args` if there are args, as in `logging`.
            args: Its arguments.
            current: Position; -1: the own one.
            increment: Whether the own position is moved by `step` first.
            step: How far; its sign does not count, and 0 is 1.
            total: Position at which the task is complete; 0: it is; None: nobody knows.
            state: State to store. A terminal one is an outcome.
            meta: Keys to add.
            do_log: Whether the message is logged too.
            log_level: At which level; a number or a name.

        Returns:
            The state, and the dict that goes with it. After an outcome: those of the outcome.

        Raises:
            ProgressValueError: If a number is NaN, infinite or no number, or `total` is negative.
            TypeError: If `meta` is no mapping or `state` no text.
            ValueError: If `meta` has a reserved key, or there is no such `log_level`.
            Exception: What the `raise_if_aborted` of an abortable task raises.
        """
        if self._check_abort is not None and self._attempt.ending is None:
            self._check_abort()
        extra = extra_keys(meta, state)
        level = log_level_number(log_level) if do_log else None
        with self._lock:
            if (ending := self._attempt.ending) is not None:
                return _refused(ending, state)
            position = self._position.given(current, increment=increment, step=step)
            progress = self._position.report(position, total, self._elapsed())
            data = self._meta(formatted(msg, args), progress, extra)
            if state in TERMINAL_STATES:
                failure = None
                if state in EXCEPTION_STATES:
                    failure = as_exception(RuntimeError, data["description"])
                return self._end(state, data, progress, failure, level)
            if state in EXCEPTION_STATES:
                data.update(exception_info(as_exception(RuntimeError, data["description"])))
            self._writer.offer(state, data, complete=progress.complete)
            self._position.keep(progress)
            self._attempt.latest = self
        if level is not None:
            self._logger.log(level, "%s", data["description"])
        return state, data

    def success(self, msg: str = "", *args: object) -> tuple[str, dict[str, Any]]:
        """End the task with SUCCESS; the position is left at the total.

        Args:
            msg: The message; `msg % args` if there are args.
            args: Its arguments.

        Returns:
            SUCCESS, and the dict that goes with it: return it from the task.
        """
        with self._lock:
            if (ending := self._attempt.ending) is not None:
                return _refused(ending, SUCCESS)
            progress = self._position.complete(self._elapsed())
            data = self._meta(formatted(msg, args), progress, {})
            return self._end(SUCCESS, data, progress, None, logging.INFO)

    def fail(
        self,
        msg: str,
        exc_type: Any = RuntimeError,
        *args: object,
    ) -> tuple[str, dict[str, Any]]:
        """End the task with FAILURE; the position stays where it is.

        Args:
            msg: The message; `msg % args` if there are args.
            exc_type: Class of the exception that a client's `get()` raises; None: RuntimeError.
                Anything else is the first of the args.
            args: Arguments of the message.

        Returns:
            FAILURE, and the dict that goes with it.
        """
        if exc_type is None:
            exc_type = RuntimeError
        elif not is_failure_type(exc_type):
            args, exc_type = (exc_type, *args), RuntimeError
        with self._lock:
            if (ending := self._attempt.ending) is not None:
                return _refused(ending, FAILURE)
            text = formatted(msg, args)
            failure = raised_at(as_exception(exc_type, text), caller())
            return self._fail(text, failure, logging.WARNING)

    def exception(
        self, exception: Exception, msg: str, *args: object
    ) -> tuple[str, dict[str, Any]]:
        """End the task with FAILURE by an exception that was caught; the position stays.

        The TaskAborted of an abortable task ends it with ABORTED.

        Args:
            exception: What a client's `get()` raises.
            msg: The message; `msg % args` if there are args.
            args: Its arguments.

        Returns:
            The state, and the dict that goes with it.

        Raises:
            TypeError: If it is no exception.
        """
        given: object = exception  # the annotation is a promise that callers break
        if not isinstance(given, BaseException):
            message = (
                f"exception() takes an exception, got exception={as_repr(exception)}; see fail()"
            )
            raise TypeError(message)
        aborted = is_own(exception, self._writer.task_id)
        exception = as_failure(exception)
        with self._lock:
            if (ending := self._attempt.ending) is not None:
                return _refused(ending, FAILURE)
            if aborted and ABORTED in self._attempt.keeps:
                # It was caught by whoever catches everything: an abort is no failure.
                progress = self._position.stay(self._elapsed())
                data = self._meta(formatted(msg, args), progress, {})
                return self._end(ABORTED, data, progress, exception, logging.INFO)
            return self._fail(formatted(msg, args), raised_at(exception, caller()), logging.ERROR)

    def track(self, iterable: Iterable[T], msg: str, total: Number | None = None) -> Track[T]:
        """Go through an iterable, with a report after each item.

        Args:
            iterable: The items.
            msg: The message of each report.
            total: How many there are; None: its length, and if it has none nobody knows.

        Returns:
            An iterator over the items, and a context manager; see `Track`.
        """
        return Track(self, iterable, msg, total)

    def flush(self) -> None:
        """Store the report that `throttle` holds back; a ProgressTask does that at its end."""
        with self._lock:
            if self._attempt.ending is None:
                self._writer.flush()

    def held(self) -> dict[str, Any] | None:
        """The meta of the report that `throttle` holds back; None if none is."""
        return self._writer.held

    def on_error(self, error: Exception) -> None:
        """Hear that the task ends in an error that it does not catch; a ProgressTask tells it."""
        with self._lock:
            if self._attempt.ending is None:
                self._fail(as_text(error), error, logging.ERROR)

    def on_end(self) -> None:
        """Hear that the task has ended: this, or another, observer of it gave it an outcome."""
        scan_task, self._scan_task = self._scan_task, None
        if scan_task is not None:
            scan_task.active = False
            scan_task.save()

    # -- how --------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        return round(max(self._clock.monotonic() - self._began, 0.0), 6)

    def _meta(self, text: str, progress: Progress, extra: Mapping[str, Any]) -> dict[str, Any]:
        data = self.create_meta()
        data["description"] = text
        data["current"] = progress.current
        data["total"] = progress.total
        data["percent"] = progress.percent
        data["elapsed"] = progress.elapsed
        scan_name = getattr(self._scan_task, "name", None)
        name = "" if scan_name is None else as_text(scan_name)
        if name:
            data["name"] = name
        data.update(extra)
        return data

    def _fail(self, text: str, failure: Exception, log_level: int) -> tuple[str, dict[str, Any]]:
        progress = self._position.stay(self._elapsed())
        data = self._meta(text, progress, {})
        return self._end(FAILURE, data, progress, failure, log_level)

    def _end(
        self,
        state: str,
        data: dict[str, Any],
        progress: Progress,
        failure: Exception | None,
        log_level: int | None,
    ) -> tuple[str, dict[str, Any]]:
        if failure is not None and state in EXCEPTION_STATES:
            data.update(exception_info(failure))
        if self._attempt.keeps:
            for reporter in self._attempt.reporters:
                reporter.flush()
        if state not in self._attempt.keeps:
            self._writer.write(state, data)
        self._position.keep(progress)
        if log_level is not None:
            self._logger.log(log_level, "%s", data["description"])
        self._attempt.end(Ending(state, data, failure))
        return state, data


def _refused(ending: Ending, state: str) -> tuple[str, dict[str, Any]]:
    warn(f"{state} was reported after the task had ended with {ending.state}: ignored")
    return ending.state, ending.meta
