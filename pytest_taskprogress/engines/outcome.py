"""From a Celery result and a history to a `TaskRun`."""

from __future__ import annotations

from typing import Any

from celery.result import ResultSet

from pytest_taskprogress.core.states import (
    EXCEPTION_STATES,
    PENDING,
    RETRY,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import History
from pytest_taskprogress.engines.backend import FakeBackend
from pytest_taskprogress.engines.run import TaskRun

__all__ = ["task_run"]


def task_run(result: Any, history: History, backend: FakeBackend, elapsed: float) -> TaskRun:
    """Tell what came of a call.

    Args:
        result: What `apply_async` returned: an AsyncResult or a GroupResult.
        history: All that was written since.
        backend: Where it was written.
        elapsed: Seconds of the engine's clock.
    """
    ids = dict.fromkeys(each.uuid for each in history)
    ids.pop(result.id, None)
    children = tuple(_of_task(uuid, history, backend, elapsed) for uuid in ids)
    if isinstance(result, ResultSet):
        return _of_group(result, history, backend, elapsed, children)
    return _of_task(result.id, history, backend, elapsed, children)


def _of_task(
    task_id: str,
    history: History,
    backend: FakeBackend,
    elapsed: float,
    children: tuple[TaskRun, ...] | None = None,
) -> TaskRun:
    own = history.of(task_id)
    stored = [each for each in own if each.stored]
    last = stored[-1] if stored else None
    state = PENDING if last is None else last.state
    exception, traceback = None, None
    if state in EXCEPTION_STATES and state != RETRY:
        exception, traceback = _raised(task_id, backend)
    return TaskRun(
        task_id=task_id,
        name=next((each.name for each in own if each.name), None),
        state=state,
        result=last.result if last is not None and state == SUCCESS else None,
        exception=exception,
        traceback=traceback,
        own=own,
        history=own if children is None else history,
        children=children or (),
        elapsed=elapsed,
    )


def _of_group(
    result: Any,
    history: History,
    backend: FakeBackend,
    elapsed: float,
    children: tuple[TaskRun, ...],
) -> TaskRun:
    members = [task_run(each, history, backend, elapsed) for each in result.results]
    bad = [each for each in members if each.state in TERMINAL_STATES - {SUCCESS}]
    good = all(each.state == SUCCESS for each in members)
    return TaskRun(
        task_id=str(result.id),
        name=None,
        state=bad[0].state if bad else SUCCESS if good else PENDING,
        result=[each.result for each in members] if good else None,
        exception=bad[0].exception if bad else None,
        traceback=bad[0].traceback if bad else None,
        own=history,
        history=history,
        children=children,
        elapsed=elapsed,
    )


def _raised(task_id: str, backend: FakeBackend) -> tuple[BaseException | None, str | None]:
    """What a client's `get()` raises, and the stored traceback."""
    try:
        meta = backend.peek(task_id)
    except Exception as error:  # noqa: BLE001 - a record that cannot be read: `get()` raises this
        return error, None
    return meta["result"], meta.get("traceback")
