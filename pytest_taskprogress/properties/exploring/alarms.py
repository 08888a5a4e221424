"""An end to code that computes for ever: what says nothing cannot be ended when it does."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from celery.exceptions import SoftTimeLimitExceeded

__all__ = ["Alarm"]

#: What next to nobody uses; not SIGALRM, by which tests are ended.
_SIGNAL: Final = getattr(signal, "SIGVTALRM", signal.SIGTERM)

#: Seconds of a run, at most: a thousand of them are to be tried.
_LONGEST: Final = 10.0
#: Seconds after which somebody looks, and who has caught the exception gets another one.
_PAUSE: Final = 0.25


class Alarm:
    """Raises SoftTimeLimitExceeded in what runs for too long, in the thread that sets it.

    Args:
        seconds: How long it may take.

    Attributes:
        has_rung: Whether the last one took longer.
    """

    def __init__(self, seconds: float = _LONGEST) -> None:
        self.has_rung = False
        self.seconds = seconds
        self._rings = False
        self._by_signal = False
        self._until: float | None = None
        self._thread = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let a thread look at the time, until left."""
        self._thread = threading.get_ident()
        self._over.clear()
        watch = threading.Thread(target=self._watch, name="taskprogress-alarm", daemon=True)
        with self._heard():
            watch.start()
            try:
                yield
            finally:
                self._over.set()
                watch.join()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Hear the alarm also where a lock is waited for, which only signals end."""
        is_main = threading.current_thread() is threading.main_thread()
        self._by_signal = is_main and hasattr(signal, "pthread_kill")
        if not self._by_signal:
            yield
            return
        before = signal.signal(_SIGNAL, self._on_signal)
        try:
            yield
        finally:
            signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)

    def _on_signal(self, *_: object) -> None:
        if self._rings:
            self._rings = False
            raise SoftTimeLimitExceeded

    @contextmanager
    def set(self) -> Iterator[None]:
        """Begin to count; it is off when left."""
        with self._lock:
            self.has_rung = False
            self._until = time.monotonic() + self.seconds
        try:
            yield
        finally:
            self._rings = False
            with self._lock:
                self._until = None
                if not self._by_signal and self.has_rung:
                    # What was not raised yet would be raised in what comes next.
                    _raise_in(self._thread, None)

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            with self._lock:
                if self._until is not None and time.monotonic() > self._until:
                    self.has_rung = True
                    if self._by_signal:
                        self._rings = True
                        signal.pthread_kill(self._thread, _SIGNAL)
                    else:
                        _raise_in(self._thread, SoftTimeLimitExceeded)


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    """Raise in another thread, at its next instruction of Python; None: do not, after all."""
    api = getattr(ctypes, "pythonapi", None)
    if api is not None:
        set_error: Callable[..., object] = api.PyThreadState_SetAsyncExc
        told = ctypes.py_object() if error is None else ctypes.py_object(error)
        set_error(ctypes.c_ulong(thread), told)
