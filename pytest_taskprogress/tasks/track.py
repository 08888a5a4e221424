"""Counting the items of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from celery.exceptions import TaskPredicate

from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.progress import Number, amount

__all__ = ["Track"]

T = TypeVar("T")


class _Observer(Protocol):
    def update(self, msg: str, *args: object, current: Number, total: Number | None) -> Any: ...

    def exception(self, exception: Exception, msg: str, *args: object) -> Any: ...


class Track(Generic[T]):
    """The items of an iterable, with a report after each; what `Observer.track` returns.

    A report is written when the next item is asked for, and at the end one that is complete. If the
    iterable raises, the failure is reported and raised. If the body of the loop raises, nobody
    tells an iterator: a ProgressTask reports that by itself, with any other task use it as a
    context manager::

        with observer.track(rows, "Importing") as tracked:
            for row in tracked:
                ...
    """

    def __init__(
        self, observer: _Observer, iterable: Iterable[T], msg: str, total: Number | None
    ) -> None:
        self._observer = observer
        self._msg = msg
        self._total = _length(iterable) if total is None else amount(total, "total")
        self._source: Iterator[T] = iter(iterable)
        self._taken = 0
        self._closed = False

    def __iter__(self) -> Track[T]:
        return self

    def __next__(self) -> T:
        if self._taken and not self._closed:
            self._observer.update(self._msg, current=self._taken, total=self._total)
        try:
            item = next(self._source)
        except StopIteration:
            self._close()
            raise
        except Exception as error:
            self._fail(error)
            raise
        self._taken += 1
        return item

    def _close(self) -> None:
        if not self._closed and (self._taken == 0 or self._taken != self._total):
            total = self._taken if self._total is None else self._total
            self._observer.update(self._msg, current=total, total=total)
        self._closed = True

    def _fail(self, error: Exception) -> None:
        # Retry, Ignore and Reject are commands to Celery, no failures.
        if not self._closed and not isinstance(error, TaskPredicate):
            self._closed = True
            self._observer.exception(error, "%s: %s", self._msg, as_text(error))

    def __enter__(self) -> Track[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if isinstance(exc_val, Exception):
            self._fail(exc_val)


def _length(iterable: Iterable[Any]) -> int | None:
    try:
        return len(iterable) if isinstance(iterable, Sized) else None
    except OverflowError:  # a range may be longer than len() can say
        return None
