"""The part of the fake result backend that counts the tasks of chords."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from celery.exceptions import TimeoutError as CeleryTimeoutError

from pytest_taskprogress.core.errors import DeadlockError
from pytest_taskprogress.engines.internals import (
    ChordsNeedBackend,
    KeyValueStoreBackend,
    app_state,
)
from pytest_taskprogress.engines.waiting import WaitsForWrites

__all__ = ["CountsChords"]

#: Id of the chord whose tasks the worker counts now. One that stands still meanwhile has a context
#: of its own.
_counted: Final[ContextVar[str | None]] = ContextVar("_counted", default=None)


class CountsChords(WaitsForWrites, KeyValueStoreBackend):  # type: ignore[misc]
    """A key-value backend that counts chords as one in memory can.

    Source:
        `celery.backends.base.KeyValueStoreBackend`, which it changes, and the Redis backend.
    """

    # What the backend that inherits this has.
    _replacing: bool

    def ensure_chords_allowed(self) -> None:
        """Refuse what the app could not do without this backend.

        Raises:
            NotImplementedError: If the app has no result backend; Celery refuses a chord then.
        """
        if self._replacing and not (self.app.backend_cls or self.app.conf.result_backend):
            message = (
                f"{ChordsNeedBackend}\n\n{self.app!r} has none, and none is made up for it:"
                f" set result_backend, in a test to 'taskprogress://'"
            )
            raise NotImplementedError(message)

    def _apply_chord_incr(
        self, header_result_args: tuple[Any, ...], body: Any, **kwargs: Any
    ) -> Any:
        # A chord that is published again counts from the start, as on the cache backend.
        self.delete(self.get_key_for_chord(header_result_args[0]))
        return super()._apply_chord_incr(header_result_args, body, **kwargs)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> Any:
        """Count a task of a chord's header; the last one publishes the body."""
        token = _counted.set(request.group)
        try:
            return super().on_chord_part_return(request, state, result, **kwargs)
        finally:
            _counted.reset(token)

    def _wait(self, task_ids: tuple[str, ...], version: int, deadline: float | None) -> None:
        try:
            super()._wait(task_ids, version, deadline)
        except DeadlockError as error:
            if _counted.get() is None:
                raise
            # The worker waits, not a task: it stores that it gave up after a time.
            message = "The operation timed out."
            raise CeleryTimeoutError(message) from error

    def _restore_group(self, group_id: str) -> Any:
        # Celery's key-value backends decode the whole header for each of its tasks.
        if _counted.get() != group_id:
            return super()._restore_group(group_id)
        record = self._store.get(self.get_key_for_group(group_id))
        if record is None:
            return None
        if record.decoded is None:
            record.decoded = super()._restore_group(group_id)
        return record.decoded

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Let the body of a chord wait for one more task, whose result comes behind its adder's.

        Args:
            chord_id: Id of the chord's header.
            result: Of the task that is added.

        Raises:
            ValueError: If no such chord waits.

        Source:
            `celery.backends.redis.RedisBackend.add_to_chord`, the only one of Celery's own.
        """
        with self._store.lock:
            header = self.restore_group(chord_id, cache=False)
            if header is None:
                message = f"no chord waits for a header {chord_id!r}"
                raise ValueError(message)
            task = app_state.get_current_task()
            ids = [each.id for each in header.results]
            adder = None if task is None else task.request.id
            at = ids.index(adder) + 1 if adder in ids else len(ids)
            header.results.insert(at, result)
            self.save_group(chord_id, header)
