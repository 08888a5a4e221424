"""An end to code that computes for ever: what says nothing cannot be ended when it does."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
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
    """Raises SoftTimeLimitExceeded in what runs for too long, by a signal: in the main thread.

    In other threads, which hear no signals, it is silent.

    Args:
        seconds: How long it may take.

    Attributes:
        has_rung: Whether the last one took longer.
    """

    def __init__(self, seconds: float = _LONGEST) -> None:
        self.has_rung = False
        self.seconds = seconds
        self._rings = False
        self._until: float | None = None
        self._thread = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let a thread look at the time, until left."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or not hasattr(signal, "pthread_kill"):
            yield
            return
        self._thread = threading.get_ident()
        self._over.clear()
        watch = threading.Thread(target=self._watch, name="taskprogress-alarm", daemon=True)
        before = signal.signal(_SIGNAL, self._on_signal)
        watch.start()
        try:
            yield
        finally:
            self._over.set()
            watch.join()
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

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            with self._lock:
                if self._until is not None and time.monotonic() > self._until:
                    self.has_rung = self._rings = True
                    signal.pthread_kill(self._thread, _SIGNAL)
