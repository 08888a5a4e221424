"""What an app's result backends are asked to store, wherever in this process that is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

__all__ = ["leave", "watch", "watch_backend"]

#: Is called with task id, result, state, traceback and request, once it is stored.
OnWrite = Callable[..., object]

_ABSENT: Final = object()


class _Wrapper:
    """What a backend has in the place of its `store_result`.

    Args:
        watched: Whose it is.
        store: What stores.
        before: What the backend had of its own.
    """

    def __init__(self, watched: _Watched, store: Callable[..., Any], before: object) -> None:
        self.watched = watched
        self.before = before
        self._store = store

    def __call__(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        stored = self._store(task_id, result, state, *args, **kwargs)
        traceback, request = (*args, None, None)[:2]
        for on_write in self.watched.told:
            on_write(
                *(task_id, result, state),
                kwargs.get("traceback", traceback),
                kwargs.get("request", request),
            )
        return stored


class _Watched:
    """An app whose backends are watched: one wrapper of each, whoever wants to be told.

    Args:
        app: A Celery app. It need not be configured.
    """

    def __init__(self, app: Any) -> None:
        self.told: tuple[OnWrite, ...] = ()
        self._app = app
        self._make = app._get_backend  # noqa: SLF001 - who makes all of them
        # Threads have backends of their own, which go when the thread does.
        self._backends: WeakSet[Any] = WeakSet()
        self._changing = threading.Lock()
        app._get_backend = self._made  # noqa: SLF001
        # The one that is there already, of the app or of this thread; `backend` would make one.
        if app._backend is not None:  # noqa: SLF001
            self.wrap(app._backend)  # noqa: SLF001

    def _made(self) -> Any:
        backend = self._make()
        self.wrap(backend)
        return backend

    def wrap(self, backend: Any) -> None:
        """Tell of the writes of a backend."""
        if backend in self._backends:
            return
        with self._changing:
            if backend not in self._backends:
                before = vars(backend).get("store_result", _ABSENT)
                backend.store_result = _Wrapper(self, backend.store_result, before)
                self._backends.add(backend)

    def unwrap(self) -> None:
        """Leave all of it as it was; what somebody has put there since stays."""
        if vars(self._app).get("_get_backend") == self._made:
            del self._app._get_backend  # noqa: SLF001
        for backend in list(self._backends):
            wrapper = vars(backend).get("store_result")
            if type(wrapper) is not _Wrapper or wrapper.watched is not self:
                continue
            if wrapper.before is _ABSENT:
                del backend.store_result
            else:
                backend.store_result = wrapper.before


_watched: Final[WeakKeyDictionary[Any, _Watched]] = WeakKeyDictionary()


def watch(app: Any, on_write: OnWrite) -> None:
    """Tell somebody of the writes of an app's backends.

    A backend that another thread has made before is not watched.
    """
    watched = _watched.get(app)
    if watched is None:
        watched = _watched[app] = _Watched(app)
    watched.told = (*watched.told, on_write)


def leave(app: Any, on_write: OnWrite) -> None:
    """Tell somebody no longer; when it was the last one, the app is as it was."""
    watched = _watched[app]
    watched.told = tuple(each for each in watched.told if each != on_write)
    if not watched.told:
        _watched.pop(app).unwrap()


def watch_backend(app: Any, backend: Any) -> None:
    """Tell also of the writes of a backend that takes the place of an app's."""
    if app in _watched:
        _watched[app].wrap(backend)
