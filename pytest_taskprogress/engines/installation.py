"""Putting an engine's parts on an app, and taking them off again, exactly."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from pytest_taskprogress.engines.internals import (
    Task,
    app_state,
    thread_state,
    trace,
    worker_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_taskprogress.core.clock import Clock
    from pytest_taskprogress.engines.broker import Broker

__all__ = ["current_app", "installed", "replace"]

_ABSENT: Final = object()


def current_app() -> Any:
    """Celery's current app; not the proxy of it."""
    return app_state.get_current_app()


@contextmanager
def installed(app: Any, *, broker: Broker, backend: Any, clock: Clock) -> Iterator[None]:
    """Let an app publish to a broker, store in a backend and go by a clock.

    On leaving, also by an exception, the app is as it was: configuration, backend, pools,
    attributes of its tasks, current and default app.

    Args:
        app: A Celery app.
        broker: What its messages go to.
        backend: What its results go to.
        clock: What `countdown` counts from.
    """
    app.finalize()
    with ExitStack() as undo:
        _keep_settings(undo, app)
        _keep_worker_state(undo)
        # Celery's public hooks.
        replace(undo, app, "now", lambda: clock.now().astimezone(app.timezone))
        replace(undo, app, "connection_for_write", broker.connection)
        replace(undo, app, "connection_for_read", broker.connection)
        replace(undo, app, "use_fast_trace_task", value=True)
        # `app.pool` and `app.amqp.producer_pool` have no setter, and Kombu's own pools are global.
        replace(undo, app, "_pool", broker.connections)
        replace(undo, app.amqp, "_producer_pool", broker.producers)
        # `app.backend` looks here before it looks into the thread.
        replace(undo, app, "_backend_cache", backend)
        for task in app.tasks.values():
            _replace_backend(undo, task, backend)
        # Shared tasks, and threads that a task starts, find the app by these, as in a worker.
        replace(undo, thread_state, "current_app", app)
        replace(undo, app_state, "default_app", app)
        _protect_stack(undo)
        yield


def replace(undo: ExitStack, owner: Any, name: str, value: object) -> None:
    """Set an attribute, and put back what was there when a stack is left.

    Args:
        undo: The stack.
        owner: Whose attribute it is.
        name: Its name.
        value: What it is until then.
    """
    old = vars(owner).get(name, _ABSENT)
    setattr(owner, name, value)
    if old is _ABSENT:
        undo.callback(vars(owner).pop, name, None)
    else:
        undo.callback(setattr, owner, name, old)


def _keep_settings(undo: ExitStack, app: Any) -> None:
    changes = app.conf.changes
    before = dict(changes)

    def restore() -> None:
        changes.clear()
        changes.update(before)

    undo.callback(restore)
    if app.conf.task_always_eager:
        # What the test wants from it, and more, is what the engine does.
        changes["task_always_eager"] = False


def _keep_worker_state(undo: ExitStack) -> None:
    """A worker counts in module globals; another worker in this process goes on with its own."""
    for mapping in (worker_state.total_count, worker_state.requests, worker_state.revoked_stamps):
        undo.callback(_refill, mapping, dict(mapping))
    count = worker_state.all_total_count
    undo.callback(count.__setitem__, slice(None), list(count))
    revoked = set(worker_state.revoked)

    def forget_revoked() -> None:
        for task_id in set(worker_state.revoked) - revoked:
            worker_state.revoked.discard(task_id)

    undo.callback(forget_revoked)


def _refill(mapping: Any, content: dict[Any, Any]) -> None:
    mapping.clear()
    mapping.update(content)


def _replace_backend(undo: ExitStack, task: Any, backend: object) -> None:
    """A task with a result backend of its own would write past the engine."""
    declared = type(task).backend
    if not isinstance(declared, property):
        replace(undo, task, "backend", backend)
    elif task._backend is not None:  # noqa: SLF001 - what the `backend` property returns first
        replace(undo, task, "_backend", None)


def _protect_stack(undo: ExitStack) -> None:
    """Let a task's own `__call__` call `super().__call__`, as a worker does at its start."""
    if not getattr(Task, "_stackprotected", False):
        original = Task.__call__
        trace._install_stack_protection()  # noqa: SLF001 - public only together with set_default()

        def restore() -> None:
            trace._patched.pop("BaseTask.__call__", None)  # noqa: SLF001
            del Task._stackprotected  # noqa: SLF001
            Task.__call__ = original

        undo.callback(restore)
