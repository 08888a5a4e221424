"""The world of a task: what its module remembers, and the time that it sleeps."""

from __future__ import annotations

import copy
import inspect
import sys
import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

__all__ = ["World", "function_of"]

#: What is put back: containers of Python's own, which have no life beside their items.
_CONTAINERS: Final = (dict, list, set, deque, defaultdict, Counter, OrderedDict, bytearray)
#: What is put back by its name: a counter of the module.
_NUMBERS: Final = (int, float)
_LOCK: Final = type(threading.Lock())
#: A container with more items than that is a table that nobody changes.
_LARGEST: Final = 10_000
#: What is nested more deeply is likely to contain itself.
_DEEPEST: Final = 20


def function_of(task: Any) -> Any:
    """The function that a task was made of; what Celery has put around it is left out."""
    run = getattr(task, "_orig_run", None) or task.run
    return inspect.unwrap(getattr(run, "__func__", run))


class World:
    """What must be as before whenever a task is tried once more.

    Put back is what the module of the task, and the function around it, keep in plain dicts, lists
    and sets, in place; and the numbers that names of the module stand for. `time.sleep` in a task
    takes no time, and moves the engine's clock.

    Args:
        task: The task.
        before: Is called before each run, to put back all else: a database, files.

    Attributes:
        sleeps: Where `sleep` was called in a task since it was last cleared: the dotted name by
            which a test replaces it.
    """

    def __init__(self, task: Any, before: Callable[[], object] | None = None) -> None:
        self.sleeps: dict[str, None] = {}
        self._before = before
        self._places = _places_of(task)
        self._kept = [
            (each, _copied(each))
            for place in self._places.values()
            for name, each in place.items()
            if type(each) in _CONTAINERS and not name.startswith("__") and len(each) <= _LARGEST
        ]
        self._locks = [
            each
            for place in self._places.values()
            for each in place.values()
            if type(each) is _LOCK and not each.locked()
        ]
        # Only numbers: of what is made when it is first needed, such as a client, there is one.
        self._counted = [
            (place, name, each)
            for module, place in self._places.items()
            if module
            for name, each in place.items()
            if type(each) in _NUMBERS and not name.startswith("__")
        ]

    def begin(self) -> None:
        """Put everything back."""
        for container, kept in self._kept:
            if not _is_equal(container, kept):
                _fill(container, _copied(kept))
        for place, name, number in self._counted:
            if type(place.get(name)) in _NUMBERS:
                place[name] = number
        for lock in self._locks:
            # Of a worker that has died.
            if lock.locked():
                lock.release()
        if self._before is not None:
            self._before()

    @contextmanager
    def without_sleep(self, advance: Callable[[float], object]) -> Iterator[None]:
        """Let `sleep` in the tasks of this thread move the clock, until left.

        Args:
            advance: Moves it.
        """
        really, here = time.sleep, threading.get_ident()

        def replacing(name: str) -> Callable[[float], None]:
            def sleep(seconds: float) -> None:
                if threading.get_ident() != here:
                    really(seconds)
                    return
                if seconds < 0:
                    really(seconds)  # raises what it does raise
                self.sleeps[name] = None
                advance(seconds)

            return sleep

        undo: list[Callable[[], None]] = []
        # Whoever wrote `from time import sleep` has a name of his own for it.
        named = {module: place for module, place in self._places.items() if module}
        for module, place in {"time": vars(time), **named}.items():
            for name in [name for name, each in place.items() if each is really]:
                undo.append(lambda place=place, name=name: place.update({name: really}))  # type: ignore[misc]
                place[name] = replacing(f"{module}.{name}")
        try:
            yield
        finally:
            for put_back in undo:
                put_back()


def _places_of(task: Any) -> dict[str, dict[str, Any]]:
    """Where the function of a task finds its names, by module."""
    function = function_of(task)
    places = {}
    module = sys.modules.get(task.__module__)
    if module is not None:
        places[module.__name__] = vars(module)
    found = getattr(function, "__globals__", {})
    if all(found is not each for each in places.values()):
        places[str(found.get("__name__", ""))] = found
    # Of a task that a test defines in a function of its own; a copy, whose values are the same.
    with suppress(TypeError, ValueError):
        places[""] = dict(inspect.getclosurevars(function).nonlocals)
    return places


def _copied(value: Any, depth: int = 0) -> Any:
    """A copy of a container, with copies of those in it; all else is the same object."""
    if type(value) not in _CONTAINERS or depth > _DEEPEST:
        return value
    made = copy.copy(value)
    if isinstance(made, dict):
        for key, each in made.items():
            made[key] = _copied(each, depth + 1)
    elif isinstance(made, (list, deque)):
        for index, each in enumerate(made):
            made[index] = _copied(each, depth + 1)
    return made


def _is_equal(container: Any, kept: Any) -> bool:
    try:
        return bool(len(container) == len(kept) and container == kept)
    except Exception:  # noqa: BLE001 - any __eq__ may be behind it
        return False


def _fill(container: Any, kept: Any) -> None:
    container.clear()
    if isinstance(container, (dict, set)):
        container.update(kept)
    else:
        container.extend(kept)
