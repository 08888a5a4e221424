"""What the result backend refuses: the faults of a scenario, while they last."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
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
        owner: Whose it is.
    """

    access: str
    error: Fault
    times: float
    until: float
    owner: object


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
        self._raised: list[Exception] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(
        self,
        access: str,
        error: Fault,
        times: int | None,
        seconds: float | None,
        owner: object = None,
    ) -> None:
        """Begin to refuse; see `scenario.Stage.fail`.

        Args:
            access: As there.
            error: As there.
            times: As there.
            seconds: As there.
            owner: Whose fault it is, for `clear`.
        """
        until = math.inf if seconds is None else self._clock.monotonic() + seconds
        often = math.inf if times is None else times
        self._faults.append(_Fault(access, error, often, until, owner))
        self._refuse(self.check)

    def clear(self, owner: object = None) -> None:
        """Refuse nothing any more; because of somebody, if that is said."""
        if self._faults:
            self._faults = [each for each in self._faults if owner not in (None, each.owner)]
            if not self._faults:
                self._raised.clear()
                self._refuse(None)

    def quietened(self, warn: Callable[..., object]) -> Callable[..., object]:
        """Make what warns of all but of what could not be stored because of a fault.

        In production that is a line of a worker's log, and where a test makes warnings errors it
        would be another error than the one that was stored.

        Args:
            warn: What warns of what the code around a task raised.
        """

        def quiet(warning: Warning, stacklevel: int = 1) -> None:
            if not self._faults:
                warn(warning, stacklevel=stacklevel + 1)

        return quiet

    def check(self, access: str) -> None:
        """Raise, if that is refused now.

        Args:
            access: `"write"` or `"read"`.
        """
        now = self._clock.monotonic()
        for each in self._faults:
            if each.access == access and each.times > 0 and now < each.until:
                each.times -= 1
                self._raised.append(_made(each.error, access))
                raise self._raised[-1]

    def has_raised(self, error: BaseException | None) -> bool:
        """Tell whether an error is one of these, or comes of one."""
        while error is not None:
            if any(error is each for each in self._raised):
                return True
            error = error.__cause__ or error.__context__
        return False


def _made(error: Fault, access: str) -> Exception:
    """The exception, new each time: one that is raised again shows where it was before."""
    if isinstance(error, type):
        return error(f"the result backend refuses to {access}, as the scenario says")
    with suppress(Exception):  # its arguments need not be those that it was made with
        made = copy(error)
        if type(made) is type(error) and str(made) == str(error):
            return made
    return error.with_traceback(None)


class CanFail(KeyValueStoreBackend):  # type: ignore[misc]
    """The part of a result backend that can fail, as its server would.

    What Celery does then is its own: with `result_backend_always_retry` it tries again, and sleeps
    on the clock meanwhile.
    """

    # What the backend that inherits this has.
    _store: Store
    _writer: int | None = None

    def refuse_with(self, refuse: Callable[[str, str, str | None], object] | None) -> None:
        """Say what raises where a record cannot be written, or read.

        Args:
            refuse: Called before each access with `"write"` or `"read"`, the id of the record, and
                the state that is to be stored; None: nothing is refused.
        """
        self._store.refuse = refuse

    def _store_result(self, *args: Any, **kwargs: Any) -> Any:
        if self._store.refuse is None:
            return super()._store_result(*args, **kwargs)
        task_id, _, state, *_ = args
        self._store.refuse("write", task_id, state)
        self._writer = threading.get_ident()
        try:
            return super()._store_result(*args, **kwargs)
        finally:
            self._writer = None

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        # The look before a write is no read of its own: not every backend has it.
        if self._store.refuse is not None and self._writer != threading.get_ident():
            self._store.refuse("read", task_id, None)
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
