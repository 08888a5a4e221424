"""Waiting for results without polling: until a write, or until an engine has made one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from celery import states as celery_states
from celery.exceptions import TimeoutError as CeleryTimeoutError

from pytest_taskprogress.engines.store import Store

__all__ = ["WaitsForWrites"]


class WaitsForWrites:
    """The part of Celery's backend interface that waits; a backend has it first among its bases.

    Source:
        `celery.backends.base.SyncBackendMixin` and `KeyValueStoreBackend.get_many`.
    """

    # What the backend that inherits this has.
    _store: Store
    _cache: Any
    READY_STATES: frozenset[str]
    get_key_for_task: Callable[[str], bytes]
    get_task_meta: Callable[..., dict[str, Any]]

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> dict[str, Any]:
        """Wait until a task is ready, and return its record.

        Raises:
            celery.exceptions.TimeoutError: If it is not ready in time, by the clock.
            DeadlockError: If an engine runs the tasks, and nothing pending can make it ready.
        """
        deadline = None if timeout is None else self._store.clock.monotonic() + timeout
        while True:
            version = self._store.version
            meta = self.get_task_meta(task_id)
            if meta["status"] in self.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            self._wait((task_id,), version, deadline)

    def get_many(
        self,
        task_ids: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None,
        READY_STATES: frozenset[str] = celery_states.READY_STATES,  # noqa: N803 - Celery's name
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Wait for some tasks, and yield the record of each as it becomes ready."""
        deadline = None if timeout is None else self._store.clock.monotonic() + timeout
        waiting = {self.get_key_for_task(task_id): task_id for task_id in task_ids}
        looked, iterations = 0, 0
        while waiting:
            version, since, looked = self._store.version, looked, self._store.puts
            # As they are written, as they would come in; what was not written since is not there.
            for key in self._store.written_since(since):
                task_id = waiting.get(key)
                if task_id is None:
                    continue
                meta = self._cache.get(task_id)
                if meta is None or meta["status"] not in READY_STATES:
                    meta = self.get_task_meta(task_id, cache=False)
                    if meta["status"] not in READY_STATES:
                        continue
                    self._cache[task_id] = meta
                    if on_message is not None:
                        on_message(meta)
                del waiting[key]
                yield task_id, meta
            iterations += 1
            if not waiting or (max_iterations and iterations >= max_iterations):
                return
            if on_interval:
                on_interval()
            self._wait(tuple(waiting.values()), version, deadline)

    def _wait(self, task_ids: tuple[str, ...], version: int, deadline: float | None) -> None:
        """Wait for a write after the one that made a version."""
        store = self._store
        left = None if deadline is None else deadline - store.clock.monotonic()
        if store.waiter is None:
            in_time = store.wait(version, left)
        else:
            in_time = store.waiter(task_ids, left, lambda: store.version != version)
        if not in_time:
            message = "The operation timed out."
            raise CeleryTimeoutError(message)
