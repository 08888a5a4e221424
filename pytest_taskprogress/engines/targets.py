"""What an engine is given, checked before anything is published."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from celery.canvas import Signature
from celery.local import Proxy

from pytest_taskprogress.core.errors import (
    CircularCanvasError,
    EngineError,
    ForeignTaskError,
    NotATaskError,
    UnregisteredTaskError,
)
from pytest_taskprogress.engines.consumer import unregistered

__all__ = ["checked", "checked_app", "checked_limit", "published"]


def checked(target: Any, app: Any) -> Any:
    """A task or a signature of an app; see `EagerEngine.run` for what is raised."""
    if not isinstance(target, (Task, Signature)):
        what = f"{type(target).__name__} {getattr(target, '__name__', target)!r}"
        message = (
            f"run() takes a Celery task or a signature, got {what}. Decorate the function with"
            " @app.task or @shared_task, or pass `task.s(...)`"
        )
        raise NotATaskError(message)
    # A signature of a chain finds its app by its first task; it may be a proxy.
    if target.app != app:
        message = (
            f"the task {target.name!r} belongs to {target.app!r}, the engine is installed on"
            f" {app!r}. With the fixtures: override `taskprogress_app` to return the task's app"
        )
        raise ForeignTaskError(message)
    if isinstance(target, Signature) and target.task not in app.tasks:
        raise UnregisteredTaskError(unregistered(str(target.task), app))
    return target


def published(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Publish a task or a signature; see `EagerEngine.run` for what is raised."""
    try:
        result = target.apply_async(args, kwargs)
    except RecursionError as error:
        # In Celery's code: what a task raises is recorded.
        message = f"{type(target).__name__} contains itself: a canvas is a tree of signatures"
        raise CircularCanvasError(message) from error
    if result is None:
        message = "an empty chain has nothing to run: what a client gets of it is None"
        raise NotATaskError(message)
    return result


def checked_limit(limit: int) -> int:
    """How many messages a drain may run."""
    if limit < 1:
        message = f"a drain runs at least one message: expected limit >= 1, got {limit=!r}"
        raise ValueError(message)
    return limit


def checked_app(app: Any) -> Any:
    """A Celery app; what a proxy stands for."""
    if not isinstance(app, Celery):
        message = f"an engine is installed on a Celery app, got app={app!r}"
        raise EngineError(message)
    given: Any = app
    return given._get_current_object() if type(given) is Proxy else given  # noqa: SLF001
