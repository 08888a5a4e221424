"""The kind of a row in the table of cases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import celery
from celery import _state

VERSION = celery.VERSION[:2]


class Case(NamedTuple):
    """A row: something that is run on both sides.

    Attributes:
        name: Point of the list that it belongs to, and what it is about.
        what: What happens, in a sentence.
        run: Defines tasks on a side, publishes, and returns what the client sees.
        states: What is written, as `Recorder.states()` tells it.
        before: The same for versions of Celery before one, if it is not: `((5, 7), states)`.
        settings: Of the app, beside those that all cases have.
        worker: Which live worker it is run on: a key of `WORKERS`.
        warns: Pattern of the warnings that it may give rise to.
        signals: Signals that the worker must send: what the case is there for.
        needs: Package without which it is skipped.
    """

    name: str
    what: str
    run: Callable[..., Any]
    states: str
    before: tuple[tuple[int, int], str] | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - read only
    worker: str = "json"
    warns: str = ""
    signals: frozenset[str] = frozenset()
    needs: str = ""

    @property
    def expected(self):
        """The states that the installed Celery writes."""
        if self.before and self.before[0] > VERSION:
            return self.before[1]
        return self.states


class Cases(list):
    """The cases of one point, in order.

    Args:
        point: Its number.
    """

    def __init__(self, point):
        super().__init__()
        self.point = point

    def add(self, name, states, **options):
        """Add a function as a case; its docstring says what happens."""

        def decorate(run):
            what = run.__doc__.strip()
            options["signals"] = frozenset(options.get("signals", ()))
            self.append(Case(f"{self.point} · {name}", what, run, states, **options))
            return run

        return decorate


class Worker(NamedTuple):
    """What a live worker is like.

    Attributes:
        settings: Of its app, and of the engine's for the same cases.
        threads: How many run tasks. With one, tasks run in the order in which they came.
        prefork: Whether its threads tell of errors outside a task's own code, and of a task that
            exits, as the processes of the prefork pool do. A thread says nothing: the task has no
            end, and a thread worker waits for it for ever.
        redis: Whether its results go into a Redis, instead of into memory.
    """

    settings: dict[str, Any] = {}  # noqa: RUF012 - read only
    threads: int = 1
    prefork: bool = False
    redis: bool = False


#: The live workers, by name; each is started when a case needs it.
WORKERS = {
    "json": Worker(),
    "all": Worker({"accept_content": ["json", "yaml", "pickle", "msgpack"]}),
    "threads": Worker(threads=4),
    "prefork": Worker(prefork=True),
    "redis": Worker(redis=True),
}


@contextmanager
def shared_tasks_forgotten(name):
    """Take a shared task off again, which every app that is made later would have."""
    finalizers = set(_state._on_app_finalizers)
    try:
        yield
    finally:
        _state._on_app_finalizers.intersection_update(finalizers)
        for app in _state._get_active_apps():
            if app.finalized:
                app.tasks.pop(name, None)
