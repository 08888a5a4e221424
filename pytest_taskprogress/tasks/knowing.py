"""Results that know ABORTED as an end.

To Celery ABORTED is no end: `get()` of such a task, of a group with one in it, and the polling task
of a chord would wait for ever. So an app that has an AbortableTask gets result classes that know
better, in place of its own: Celery makes every result by `app.AsyncResult` and `app.GroupResult`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from celery import result as celery_result
from celery.backends.base import SyncBackendMixin
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult
from celery.states import READY_STATES

from pytest_taskprogress.core.clock import clock_of
from pytest_taskprogress.core.errors import TaskAborted
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.tasks import aborting

__all__ = ["KnowsAborted", "assert_will_not_block", "ended_in_abort", "is_over", "teach"]

#: The stubs lack it.
assert_will_not_block: Final[Callable[[], None]] = vars(celery_result)["assert_will_not_block"]


def ended_in_abort(meta: dict[str, Any]) -> bool:
    """Tell whether a task has honoured an abort.

    With Celery's AbortableTask the state is the request itself, and nothing is stored with it: such
    a task may still run.

    Args:
        meta: The record of the task.
    """
    return meta["status"] == ABORTED and isinstance(meta["result"], dict)


def is_over(meta: dict[str, Any]) -> bool:
    """Tell whether a task has ended, also in an abort.

    Args:
        meta: The record of the task.
    """
    return meta["status"] in READY_STATES or ended_in_abort(meta)


class _Over(Exception):
    """The task that is waited for has ended."""


#: How a backend waits that has no way of its own: it looks again and again.
_POLLS: Final = SyncBackendMixin.wait_for


class KnowsAborted:
    """What a class of results needs to know ABORTED; it has this before Celery's own."""

    # What Celery's class has.
    id: str
    app: Any
    backend: Any
    _cache: dict[str, Any] | None
    _get_task_meta: Callable[[], dict[str, Any]]
    _maybe_reraise_parent_error: Callable[[], None]
    _set_cache: Callable[[dict[str, Any]], dict[str, Any]]
    ignored: bool
    _parent: Any = None
    on_ready: Callable[[object], object]
    throw: Callable[[BaseException], object]

    @property
    def parent(self) -> Any:
        """The result of what comes before it in its canvas.

        Celery gives the last task of a chord's body the header for a parent, in place of the task
        before it in the body: who goes back from there would never come to that one. So what is put
        in place of a parent comes before all that comes before.
        """
        return self._parent

    @parent.setter
    def parent(self, parent: Any) -> None:
        root = self._parent
        if root is None or parent is None:
            self._parent = parent
            return
        while root is not parent and root.parent is not None:
            root = root.parent
        if root is not parent:
            root.parent = parent

    def _maybe_set_cache(self, meta: dict[str, Any] | None) -> dict[str, Any] | None:
        if not meta or not ended_in_abort(meta):
            return super()._maybe_set_cache(meta)  # type: ignore[misc,no-any-return]
        if self._cache is None:
            self._set_cache(meta)
            self.on_ready(self)
        return self._cache

    def ready(self) -> bool:
        """Tell whether the task has ended; an aborted one that still runs has not."""
        return is_over(self._get_task_meta())

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[[str, object], object] | None = None
    ) -> Any:
        """Raise what the task raised.

        Raises:
            TaskAborted: If it ended in an abort.
        """
        meta = self._get_task_meta()
        if not ended_in_abort(meta):
            return super().maybe_throw(propagate, callback)  # type: ignore[misc]
        error = TaskAborted(self.id, meta["result"])
        if propagate:
            self.throw(error)
        if callback is not None:
            callback(self.id, error)
        return error

    maybe_reraise = maybe_throw

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, object], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
        **_states: object,
    ) -> Any:
        """Wait until the task has ended, and return its result; as Celery's `get`.

        Raises:
            TaskAborted: If the task ended in an abort; returned if it is not to propagate.
            celery.exceptions.TimeoutError: If it does not end in time.
        """
        if self.ignored:
            return None
        if disable_sync_subtasks:
            assert_will_not_block()
        follow = follow_parents and propagate and self.parent is not None
        if follow:
            self._maybe_reraise_parent_error()
        # Who has the result already need not know what a time is: celery-progress gives an id.
        if self._cache is None:
            if timeout is not None and timeout <= 0 and self.backend.is_async and not self.ready():
                # To Celery before 5.7 no time is any time.
                message = "The operation timed out."
                raise CeleryTimeoutError(message)
            options = {"timeout": timeout, "interval": interval, "no_ack": no_ack}
            self._wait(on_message, on_interval, follow, options)
        return self.maybe_throw(propagate=propagate, callback=callback)

    wait = get

    def _wait(
        self,
        on_message: Callable[[dict[str, Any]], object] | None,
        on_interval: Callable[[], object] | None,
        follow: bool,
        options: dict[str, Any],
    ) -> None:
        backend = self.backend
        known = aborting.keeps_requests(backend)

        # Celery's get() makes a promise of on_interval, which is kept once; this is to be called
        # each time.
        def look() -> None:
            if follow:
                self._maybe_reraise_parent_error()
            if on_interval is not None:
                on_interval()
            if known and is_over(self._get_task_meta()):
                raise _Over

        def hear(meta: dict[str, Any]) -> None:
            if on_message is not None:
                on_message(meta)
            if meta.get("task_id") == self.id and ended_in_abort(meta):
                self._maybe_set_cache(meta)

        if on_message is None and getattr(type(backend), "wait_for", None) is _POLLS:
            self._poll(look, **options)
            return
        backend.add_pending_result(self)
        with suppress(_Over):
            backend.wait_for_pending(
                self,
                # Only those that get messages take who hears them.
                on_message=hear if known and backend.is_async else on_message,
                on_interval=look,
                propagate=False,
                **options,
            )

    def _poll(
        self, look: Callable[[], None], timeout: float | None, interval: float, **_: object
    ) -> None:
        """Look again and again, once each time: Celery's own loop would look beside `look`."""
        left = math.inf if timeout is None else timeout
        with suppress(_Over):
            while True:
                look()
                if left <= 0:
                    message = "The operation timed out."
                    raise CeleryTimeoutError(message)
                nap = min(interval, left)
                time.sleep(nap)
                left -= nap

    def forget(self) -> None:
        """Forget the result of the task, and of its parents, and that it was asked to abort."""
        aborting.forget(self.backend, self.id)
        super().forget()  # type: ignore[misc]


class _JoinsAborted:
    """What a class of group results needs for members that end in an abort.

    Celery's native ways wait for all members at once, and for an aborted one for ever: they are
    waited for one after the other.
    """

    results: list[Any]
    backend: Any

    supports_native_join: Final = False

    def _in_turn(self, timeout: float | None, **options: Any) -> Iterator[tuple[Any, Any]]:
        """Each member and its result, when it is there; by the clock of the backend."""
        clock = clock_of(self.backend)
        deadline = None if timeout is None else clock.monotonic() + timeout
        for each in self.results:
            left = None if deadline is None else max(deadline - clock.monotonic(), 0.0)
            yield each, each.get(timeout=left, **options)

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, object], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[Any]:
        """Wait for the members, and return their results; as Celery's `join_native`."""
        if disable_sync_subtasks:
            assert_will_not_block()
        values = []
        for each, value in self._in_turn(
            timeout,
            propagate=propagate,
            interval=interval,
            no_ack=no_ack,
            on_message=on_message,
            on_interval=on_interval,
            disable_sync_subtasks=disable_sync_subtasks,
        ):
            if callback is None:
                values.append(value)
            else:
                callback(each.id, value)
        return values

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, object], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """Wait for the members, and return their results; Celery has another order of arguments."""
        return self.join(
            timeout,
            propagate,
            interval,
            callback,
            no_ack,
            on_message,
            disable_sync_subtasks,
            on_interval,
        )

    def iter_native(
        self, timeout: float | None = None, **options: Any
    ) -> Iterator[tuple[str, Any]]:
        """Go through the ids of the members, with their records (of a group: its members)."""
        for each, _ in self._in_turn(
            timeout, propagate=False, disable_sync_subtasks=False, **options
        ):
            if isinstance(each, GroupResult):
                yield str(each.id), each.children
            else:
                yield each.id, each._get_task_meta()  # noqa: SLF001 - as Celery's own


#: The classes by which an app makes results.
_TAUGHT: Final = {
    "AsyncResult": KnowsAborted,
    "GroupResult": _JoinsAborted,
    "ResultSet": _JoinsAborted,
}


def teach(app: Any) -> None:
    """Let the results that an app makes know ABORTED.

    Args:
        app: A Celery app.
    """
    for name, knowing in _TAUGHT.items():
        made = getattr(app, name)
        if not issubclass(made, knowing):
            attributes = {"__module__": made.__module__, "__doc__": made.__doc__}
            setattr(app, name, type(made.__name__, (knowing, made), attributes))
