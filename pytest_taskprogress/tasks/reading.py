"""Reading how far tasks are, for whoever shows it: one value, which any record gives."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from celery.result import ResultSet
from celery.states import IGNORED, REJECTED

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.progress import Number, Progress, amount, number
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    FAILURE,
    PENDING,
    PROGRESS,
    RETRY,
    REVOKED,
    SUCCESS,
)
from pytest_taskprogress.tasks.knowing import is_over
from pytest_taskprogress.tasks.members import Canvas, Member, members_of
from pytest_taskprogress.tasks.stored import UNREADABLE, record_of

__all__ = ["Reading", "group_progress", "read_progress"]

_COMPLETE: Final = 100.0
#: What a bar shows at most that is not complete.
_NEARLY: Final = 99.99

#: States that Celery never stores and others do, celery-progress among them, of a task that ended.
_GIVEN_UP: Final = frozenset({IGNORED, REJECTED})


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a task, or a canvas, is, as it was stored at one moment.

    Attributes:
        state: The state; `PENDING` if nothing is stored (any more), `UNREADABLE` if what is stored
            cannot be decoded. Of a canvas: `PENDING` until one of its tasks stored something, then
            `PROGRESS`, then how it ended.
        percent: 0.0 to 100.0; None if the record does not tell. 100.0 once it has succeeded.
        current: Position, 0 or more and at most the total; None if the record tells no number. Of a
            canvas: how many of its tasks have ended.
        total: Position at which it is complete; None if that is not known. Of a canvas: how many
            tasks it has.
        description: What is being done; None if the record does not tell.
        ended: Whether nothing more is to come: stop polling.
        succeeded: Whether it ended well.
        error: What it failed with, or is retried for, as `Type: message`; None if nothing is.
        meta: The dict that was stored with the state, for keys of your own. Empty of a canvas.
        result: What the task returned; None if it has not.
    """

    state: str
    percent: float | None = None
    current: Number | None = None
    total: Number | None = None
    description: str | None = None
    ended: bool = False
    succeeded: bool = False
    error: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    result: Any = field(default=None, repr=False, hash=False)

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well: failed, revoked, aborted, or unreadable."""
        return self.ended and not self.succeeded

    @property
    def aborted(self) -> bool:
        """Whether it ended because it was asked to abort."""
        return self.ended and self.state == ABORTED

    def as_dict(self) -> dict[str, Any]:
        """What every serialiser and browser can carry: all but `meta` and `result`."""
        return {
            "state": self.state,
            "percent": self.percent,
            "current": self.current,
            "total": self.total,
            "description": self.description,
            "ended": self.ended,
            "succeeded": self.succeeded,
            "error": self.error,
        }


def read_progress(result: Any) -> Reading:
    """Read how far a task is.

    ::

        def progress(request, task_id):
            return JsonResponse(read_progress(app.AsyncResult(task_id)).as_dict())

    It takes what any task, library or version has stored: reports with `percent`, or with `current`
    and `total`, of whatever type; states of your own; failures that Celery cannot read back. It
    reads the record once, so that state and numbers are of the same moment; one that Celery cannot
    read back, twice.

    Args:
        result: What `delay()` returned, or `app.AsyncResult(task_id)`.

    Raises:
        TypeError: If it is not the result of a task.
        NotImplementedError: If the app has no result backend.
        Exception: What the result backend raises, if its server is down. What is stored raises
            nothing.
    """
    if isinstance(result, ResultSet) or not hasattr(result, "_get_task_meta"):
        message = (
            f"read_progress() takes the result of one task, got {as_repr(result)}; of an id make"
            " one by app.AsyncResult(id), and give a group to group_progress()"
        )
        raise TypeError(message)
    record = record_of(result)
    state, value = record["status"], record["result"]
    if state in EXCEPTION_STATES or state == UNREADABLE:
        return Reading(state, ended=state != RETRY, error=_error(state, value))
    if state == SUCCESS:
        meta = dict(value) if _is_report(value) else {}
        told = {**_told(meta), "percent": _COMPLETE}
        return Reading(state, **told, ended=True, succeeded=True, meta=meta, result=value)
    meta = dict(value) if isinstance(value, dict) else {}
    ended = state in _GIVEN_UP or is_over(record)
    return Reading(state, **_told(meta), ended=ended, meta=meta)


def _is_report(value: object) -> bool:
    """Whether what a task returned is its last report, and not an order that has a `total`."""
    return isinstance(value, dict) and "pending" in value


def _told(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and the words of a report, as far as they can be."""
    total = _number(meta.get("total"))
    if total is not None and total < 0:
        total = None
    current = _number(meta.get("current"))
    if current is not None:
        current = max(0, current)
        current = current if total is None else min(current, total)
    description = meta.get("description")
    return {
        "percent": _percent(meta.get("percent"), current, total),
        "current": current,
        "total": total,
        "description": description if isinstance(description, str) else None,
    }


def _percent(stored: object, current: Number | None, total: Number | None) -> float | None:
    percent = _number(stored)
    if percent is not None:
        return min(max(0.0, float(percent)), _COMPLETE)
    # A total of 0 may be one that is not known yet: that would be complete, and then fall.
    return None if current is None or not total else Progress(current, total).percent


def _number(value: object) -> Number | None:
    try:
        return number(value, "value")
    except ProgressValueError:
        return None


def _error(state: str, value: object) -> str | None:
    """An exception as it was stored, or made again, as `Type: message`."""
    if value is None and state != FAILURE:
        return None
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {as_text(value)}"
    if isinstance(value, dict) and "exc_type" in value:
        message = value.get("exc_message")
        if isinstance(message, (list, tuple)) and len(message) <= 1:
            message = message[0] if message else ""
        return f"{as_text(value['exc_type'])}: {as_text(message)}"
    return f"{state} without an exception: {as_repr(value)}"


def group_progress(
    result: Canvas,
    *,
    floor: Number | None = None,
    on_failure: Literal["continue", "stop"] = "continue",
    app: Any = None,
) -> Reading:
    """Read how far a canvas is: one value for all tasks of a group, a chain, a chord.

    ::

        result = chord(map(resize.s, images))(publish.s())
        group_progress(result).percent

    Each task counts the same, whatever its total: the totals of tasks that have not begun are not
    known, and a bar that is made of sums goes back when they are. A task that has ended counts in
    full, one that does not say how far it is counts nothing until it ends. The percentage is 100.0
    when all have ended, and not before. A canvas without tasks is complete.

    The percentage never falls, also where a task begins anew: it waits until it is made up for. So
    it is remembered in the result object. A front end that makes the result anew for each request
    has nowhere to remember it: it gives what it has shown last as `floor`, which the browser or the
    session keeps.

    Args:
        result: What `apply_async()` of a canvas returned, or the same made anew: a GroupResult, the
            result of a chain or a chord (with its `parent`), a list of those, or of ids of tasks.
            What a task publishes itself is not part of it.
        floor: Percentage that was shown last; it does not fall below that. None: only what the
            object remembers.
        on_failure: What comes of a task that failed, was revoked or aborted. `"continue"`: it has
            ended, as any other, and so have those that can only run after it; the canvas ends, and
            has failed, when all have ended. `"stop"`: the canvas has ended, and failed, with the
            first one; the percentage stays below 100.
        app: Of which app ids are; None: the current one.

    Returns:
        Its `state` of one that failed is that of a task that did: FAILURE before REVOKED before
        ABORTED. `current` and `total` count tasks; `description` is that of the first task that
        runs; `error` that of the first that failed.

    Raises:
        ProgressValueError: If `floor` is no finite number of 0 or more.
        TypeError: If it is no result, and no list of results or ids.
        ValueError: If there is no such `on_failure`.
        NotImplementedError: If the app has no result backend.
        Exception: What the result backend raises, if its server is down. What is stored raises
            nothing.
    """
    if on_failure not in {"continue", "stop"}:
        message = f'on_failure must be "continue" or "stop", got on_failure={as_repr(on_failure)}'
        raise ValueError(message)
    least = 0.0 if floor is None else float(amount(floor, "floor"))
    readings = _readings(members_of(result, app))
    failed = [each for each in readings if each.failed]
    ended = all(each.ended for each in readings) or (on_failure == "stop" and bool(failed))
    done = [_COMPLETE if each.ended else each.percent or 0.0 for each in readings]
    percent = min(round(sum(done) / len(done), 2), _NEARLY) if done else _COMPLETE
    if ended and not (failed and on_failure == "stop"):
        percent = _COMPLETE
    return Reading(
        _state(readings, failed, ended=ended),
        percent=_highest(result, min(max(least, percent), _COMPLETE)),
        current=sum(each.ended for each in readings),
        total=len(readings),
        description=_description(readings),
        ended=ended,
        succeeded=ended and not failed,
        error=next((each.error for each in failed if each.error), None),
    )


def _readings(members: Sequence[Member]) -> list[Reading]:
    """What is stored of each task; one that can never run any more has ended."""
    readings = []
    ended_badly: set[str] = set()
    for each in members:
        reading = read_progress(each.result)
        if reading.state == PENDING and not ended_badly.isdisjoint(each.after):
            reading = Reading(PENDING, ended=True)
        # Of one whose record is unreadable nobody knows how it ended.
        if reading.failed and reading.state != UNREADABLE:
            ended_badly.add(each.result.id)
        readings.append(reading)
    return readings


def _state(readings: Sequence[Reading], failed: Sequence[Reading], *, ended: bool) -> str:
    if not ended:
        begun = any(each.state != PENDING for each in readings)
        return PROGRESS if begun else PENDING
    states = [each.state for each in failed]
    known = (state for state in (FAILURE, REVOKED, ABORTED, *states) if state in states)
    return next(known, SUCCESS)


def _description(readings: Sequence[Reading]) -> str | None:
    running = (each.description for each in readings if not each.ended)
    ended = (each.description for each in reversed(readings) if each.ended)
    return next((each for each in (*running, *ended) if each is not None), None)


_remembering: Final = threading.Lock()


def _highest(result: object, percent: float) -> float:
    """The highest percentage of a result object, which remembers it; a list cannot."""
    attributes = getattr(result, "__dict__", None)
    if attributes is None:
        return percent
    with _remembering:
        highest: float = max(attributes.get("_taskprogress_highest", 0.0), percent)
        attributes["_taskprogress_highest"] = highest
    return highest
