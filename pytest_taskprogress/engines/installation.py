"""Putting an engine's parts on an app, and taking them off again, exactly."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from copy import copy
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from pytest_taskprogress.engines.internals import (
    FailedFrame,
    Task,
    app_state,
    thread_state,
    trace,
    worker_state,
)
from pytest_taskprogress.engines.keeping import keep, replace, take_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_taskprogress.core.clock import Clock
    from pytest_taskprogress.engines.broker import Broker

__all__ = ["current_app", "installed"]


#: What an app keeps that it has made of its settings.
_MADE_BY_APP: Final = ("events", "timezone")
_MADE_BY_AMQP: Final = (
    *("create_task_message", "send_task_message", "router", "_rtable", "_event_dispatcher"),
    *("default_exchange", "default_queue", "utc"),
)

#: What a worker keeps, in module globals: ids, and requests.
_WORKER_SETS: Final = (
    *("active_requests", "reserved_requests", "scheduled_requests"),
    *("revoked", "successful_requests"),
)


def current_app() -> Any:
    """Celery's current app; not the proxy of it."""
    return app_state.get_current_app()


@contextmanager
def installed(
    app: Any, *, broker: Broker, backend: Any, clock: Clock
) -> Iterator[Callable[[], None]]:
    """Let an app publish to a broker, store in a backend and go by a clock.

    On leaving, also by an exception, the app is as it was: configuration, backend, pools,
    attributes of its tasks, current and default app.

    Args:
        app: A Celery app.
        broker: What its messages go to.
        backend: What its results go to.
        clock: What `countdown` counts from.

    Yields:
        What forgets all that a worker has counted, and which tasks were revoked.
    """
    app.finalize()
    with ExitStack() as undo:
        _keep_settings(undo, app)
        _keep_what_is_made_of_settings(undo, app)
        forget_worker = _kept_worker_state()
        undo.callback(forget_worker)
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
        # Of each frame of a failed task all positions in its code are copied, which takes longer
        # than all else; nobody changes them.
        replace(undo, FailedFrame, "Code", staticmethod(_code))
        yield forget_worker


_made_of: Final = FailedFrame.Code


def _code(code: Any) -> Any:
    """What stands for the code of a frame of a failed task."""
    return _code_in(code.co_filename, code)


@lru_cache(1_000)
def _code_in(filename: str, code: Any) -> Any:  # noqa: ARG001 - equal code may be of two files
    return _made_of(code)


def _keep_settings(undo: ExitStack, app: Any) -> None:
    """Whatever is configured while the engine is there is gone afterwards."""
    maps = app.conf.maps  # read first: it loads the configuration
    for name in ("_conf", "_config_source", "_config_source_silent", "namespace", "_preconf"):
        if name in vars(app):  # Celery 5.7 is the first that has all of them
            replace(undo, app, name, vars(app)[name])
    for mapping in maps:
        # What an app is configured from may be any object, by its attributes.
        source = getattr(mapping, "obj", mapping)
        if isinstance(source, dict):
            keep(undo, source)
        else:
            for name, value in getattr(source, "__dict__", {}).items():
                if not name.startswith("_"):
                    keep(undo, value)
    _run_for_real(undo, app.conf)

    def configured(source: Any, **_: object) -> None:
        _run_for_real(undo, source)

    # An app may be configured, or configured anew, later.
    app.on_after_configure.connect(configured, weak=False)
    undo.callback(app.on_after_configure.disconnect, configured)


def _keep_what_is_made_of_settings(undo: ExitStack, app: Any) -> None:
    """What Celery made of the settings before, it makes anew of those that the test has."""
    amqp = app.amqp
    keep(undo, app.conf._observers)  # noqa: SLF001 - whom the settings tell of changes
    for owner, names in ((app, _MADE_BY_APP), (amqp, _MADE_BY_AMQP)):
        for name in names:
            take_off(undo, owner, name)
    queues = vars(amqp).get("queues")
    take_off(undo, amqp, "queues")
    if queues is not None:
        # A project may have added to them; those that a test needs are not left to the next one.
        vars(amqp)["queues"] = copy(queues)


def _run_for_real(undo: ExitStack, conf: Any) -> None:
    """Let nothing run by `apply()`: what a test wants from eager mode the engine does too."""
    # An attribute comes before the setting of that name, whoever sets it, and leaves it as it is.
    vars(conf)["task_always_eager"] = False
    undo.callback(vars(conf).pop, "task_always_eager", None)


def _kept_worker_state() -> Callable[[], None]:
    """A worker counts in module globals; another worker in this process goes on with its own.

    Returns:
        What puts back what is there now.
    """
    mappings = (worker_state.total_count, worker_state.requests, worker_state.revoked_stamps)
    restore = [partial(_refill, mapping, dict(mapping)) for mapping in mappings]
    count = worker_state.all_total_count
    restore.append(partial(count.__setitem__, slice(None), list(count)))
    for name in _WORKER_SETS:
        found = getattr(worker_state, name, None)  # Celery 5.7 is the first that has all of them
        if found is not None:
            restore.append(partial(_discard_new, found, set(found)))

    def put_back() -> None:
        for each in restore:
            each()

    return put_back


def _refill(mapping: Any, content: dict[Any, Any]) -> None:
    mapping.clear()
    mapping.update(content)


def _discard_new(found: Any, known: set[Any]) -> None:
    for each in set(found) - known:
        found.discard(each)


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
