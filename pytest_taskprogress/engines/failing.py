"""What the result backend refuses: the faults of a scenario, while they last."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from typing import Any

from pytest_taskprogress.core.clock import Clock, VirtualClock
from pytest_taskprogress.engines.internals import KeyValueStoreBackend
from pytest_taskprogress.engines.store import Store
from pytest_taskprogress.scenario.events import Fault

__all__ = ["CanFail", "Failing"]


@dataclass(slots=True)
class _Fault:
    """A fault that lasts.

    Attributes:
        access: `"write"` or `"read"`.
        error: The exception, or its class.
        times: How often it is still to be raised.
        until: Seconds of the clock at which it is over.
    """

    access: str
    error: Fault
    times: float
    until: float


class Failing:
    """The faults of a result backend.

    Args:
        clock: What they last by.
        refuse: Called with what is to be asked before each access, or None if it need not be.
    """

    def __init__(
        self, clock: Clock, refuse: Callable[[Callable[[str], object] | None], object]
    ) -> None:
        self._clock = clock
        self._refuse = refuse
        self._faults: list[_Fault] = []
        self._quiet = ExitStack()

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, access: str, error: Fault, times: int | None, seconds: float | None) -> None:
        """Begin to refuse; see `scenario.Stage.fail`."""
        until = math.inf if seconds is None else self._clock.monotonic() + seconds
        self._faults.append(_Fault(access, error, math.inf if times is None else times, until))
        self._refuse(self.check)
        # A worker warns of what it could not store: in production that is a line of its log, and
        # where a test makes warnings errors it would be another error than the one that was stored.
        self._quiet.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Exception raised outside body", RuntimeWarning)

    def clear(self) -> None:
        """Refuse nothing any more."""
        if self._faults:
            self._faults.clear()
            self._refuse(None)
        self._quiet.close()

    def check(self, access: str) -> None:
        """Raise, if that is refused now.

        Args:
            access: `"write"` or `"read"`.
        """
        now = self._clock.monotonic()
        self._faults = [each for each in self._faults if each.times > 0 and now < each.until]
        for each in self._faults:
            if each.access == access:
                each.times -= 1
                raise _made(each.error, access)


def _made(error: Fault, access: str) -> Exception:
    """The exception, new each time: one that is raised again shows where it was before."""
    if isinstance(error, type):
        return error(f"the result backend refuses to {access}, as the scenario says")
    try:
        return copy(error)
    except Exception:  # noqa: BLE001 - one whose arguments are not those that it was made with
        return error


class CanFail(KeyValueStoreBackend):  # type: ignore[misc]
    """The part of a result backend that can fail, as its server would.

    What Celery does then is its own: with `result_backend_always_retry` it tries again, and sleeps
    on the clock meanwhile.
    """

    # What the backend that inherits this has.
    _store: Store
    _writer: int | None = None

    def refuse_with(self, refuse: Callable[[str], object] | None) -> None:
        """Say what raises where a record cannot be written, or read.

        Args:
            refuse: Called with `"write"` or `"read"` before each access; None: nothing is refused.
        """
        self._store.refuse = refuse

    def _store_result(self, *args: Any, **kwargs: Any) -> Any:
        if self._store.refuse is None:
            return super()._store_result(*args, **kwargs)
        self._store.refuse("write")
        self._writer = threading.get_ident()
        try:
            return super()._store_result(*args, **kwargs)
        finally:
            self._writer = None

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        # The look before a write is no read of its own: not every backend has it.
        if self._store.refuse is not None and self._writer != threading.get_ident():
            self._store.refuse("read")
        meta: dict[str, Any] = super()._get_task_meta_for(task_id)
        return meta

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Tell whether it is worth to try again: whether it may be the server that is down."""
        return isinstance(exc, (ConnectionError, TimeoutError))

    def _sleep(self, amount: float) -> None:
        if isinstance(self._store.clock, VirtualClock):
            self._store.clock.advance(amount)
        else:
            super()._sleep(amount)
