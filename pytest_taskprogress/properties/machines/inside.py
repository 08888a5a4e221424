"""A task whose code is elsewhere: it does what it is told, one order at a time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, NamedTuple

from pytest_taskprogress.core.errors import TaskAborted

__all__ = ["Answer", "Inside"]


class Answer(NamedTuple):
    """What came of an order.

    Attributes:
        kind: `"did"`: it was done, and the task waits for the next one. `"entered"`: a worker has
            called the task, which waits for its first one. `"over"`: the run has come to its end.
        value: What the order returned; of `"entered"` the bound task, of `"over"` what the run was.
        error: What it raised; None if it raised nothing.
        warned: What it warned of.
    """

    kind: str
    value: Any = None
    error: BaseException | None = None
    warned: tuple[warnings.WarningMessage, ...] = ()


class _Order(NamedTuple):
    """What the task is to do.

    Attributes:
        call: Called in the task.
        ends: Whether the task ends so: by what it returns, or raises.
        way: Out of the `except` block in which the task is: "catch" or "leave"; None: it stays.
    """

    call: Callable[[], Any]
    ends: bool = False
    way: str | None = None


class _Returned(NamedTuple):
    value: Any


def _nothing() -> None:
    """What there is to be done on the way out of an `except` block."""


class Inside:
    """A task that stands still until it is told what to do.

    It runs in a thread of its own, so that this needs no greenlet. At any time one of both threads
    waits for the other: there is one order of things, and it is that of the orders.

    An abort that an order raises is an exception that the task has caught: it is in the `except`
    block from then on, until it is told to `catch` it, to `leave` by it, or to `end`.
    """

    def __init__(self) -> None:
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._listening = ExitStack()
        self._warned: list[warnings.WarningMessage] = []

    # -- in the thread of the test ----------------------------------------------------------------

    def begin(self, run: Callable[[], Any]) -> Answer:
        """Run what calls the task.

        Args:
            run: Comes to its end when the task does.
        """
        threading.Thread(target=self._go, args=(run,), daemon=True).start()
        return self._answers.get()

    def do(self, call: Callable[[], Any]) -> Answer:
        """Do something in the task."""
        return self._tell(_Order(call))

    def end(self, call: Callable[[], Any]) -> Answer:
        """Let the task return, or raise, what a call does."""
        return self._tell(_Order(call, ends=True))

    def catch(self) -> Answer:
        """Let the task go on behind the `except` block."""
        return self._tell(_Order(_nothing, way="catch"))

    def leave(self) -> Answer:
        """Let the task be left by what it has caught."""
        return self._tell(_Order(_nothing, way="leave"))

    def _tell(self, order: _Order) -> Answer:
        self._orders.put(order)
        return self._answers.get()

    # -- in the thread of the task ----------------------------------------------------------------

    def body(self, task: Any) -> Any:
        """What the task does.

        Args:
            task: It, bound.
        """
        self._answer("entered", task)
        done = self._serve()
        return done.value if isinstance(done, _Returned) else None

    def _go(self, run: Callable[[], Any]) -> None:
        self._listen()
        try:
            value = run()
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            self._answer("over", error=error)
        else:
            self._answer("over", value)

    def _serve(self) -> object:
        """Do what is ordered, until the task ends, or a block is left; returns how."""
        while True:
            order = self._orders.get()
            self._listen()
            if order.way is not None:
                return order.way
            if order.ends:
                return _Returned(order.call())
            try:
                answer = Answer("did", order.call())
            except TaskAborted as error:
                self._answer("did", error=error)
                way = self._serve()
                if way == "leave":
                    raise
                if way != "catch":
                    return way
                answer = Answer("did")
            except BaseException as error:  # noqa: BLE001 - raised in the other thread
                answer = Answer("did", error=error)
            self._answer(*answer[:3])

    def _listen(self) -> None:
        # Only while this thread works: what is done with warnings holds for all threads.
        self._warned = self._listening.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")

    def _answer(self, kind: str, value: Any = None, error: BaseException | None = None) -> None:
        self._listening.close()
        self._answers.put(Answer(kind, value, error, tuple(self._warned)))
