"""What a fault is, when it fits, what it asks of a stage, and how it is written."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Final

import pytest

import pytest_taskprogress.scenario as family
from pytest_taskprogress import ProgressValueError
from pytest_taskprogress.scenario import (
    CrashWorker,
    Delay,
    FailRead,
    FailWrite,
    Redeliver,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    before_start,
    if_reached,
)


class Stage:
    """Notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.asked.append((name, args, kwargs))


class Odd(Exception):
    """One that takes more than a message."""

    def __init__(self, host, port):
        super().__init__(f"{host}:{port}")


#: Code that makes an event: its repr.
CODES: Final = [
    "FailWrite(at_report(2))",
    "FailWrite(at_report(2), error=TimeoutError)",
    "FailWrite(at_report(2), error=OSError, times=3)",
    "FailWrite(before_start(1), seconds=60)",
    "FailWrite(before_start(1), times=1, seconds=0.5)",
    "FailWrite(if_reached(at_retry(1)), times=2)",
    "FailRead(at_abort_check(1))",
    "FailRead(at_abort_check(1, task='export'), error=PermissionError)",
    "CrashWorker(at_report(3))",
    "CrashWorker(at_report(3), child=True)",
    "CrashWorker(if_reached(before_start(2)))",
    "Redeliver(before_start(1))",
    "Delay(at_report(1), seconds=60)",
]

FAILS: Final = [FailWrite, FailRead]
ALL: Final = [*FAILS, CrashWorker, Redeliver, partial(Delay, seconds=1)]


def made(code):
    """What a piece of code makes."""
    return eval(code, vars(family))  # noqa: S307 - the point of the test


class TestRepr:
    @pytest.mark.parametrize("code", CODES)
    def test_is_code_that_makes_it_again(self, code):
        """The repr of an event is the code that makes an equal one."""
        event = made(code)
        assert repr(event) == code
        assert made(repr(event)) == event

    def test_of_an_instance(self):
        """An exception that is made is written as it writes itself."""
        error = TimeoutError("5 s")
        assert repr(FailWrite(at_report(1), error)) == (
            "FailWrite(at_report(1), error=TimeoutError('5 s'))"
        )
        assert FailWrite(at_report(1), error) == FailWrite(at_report(1), error)


class TestValue:
    @pytest.mark.parametrize("make", ALL)
    def test_equal_ones(self, make):
        """What is made the same way is equal, one in a set, and does not change."""
        assert len({make(at_report(1)), make(at_report(1))}) == 1
        assert make(at_report(1)) != make(at_report(2))
        with pytest.raises(FrozenInstanceError):
            make(at_report(1)).at = at_report(2)

    def test_different_ones(self):
        """Every one of them is another."""
        assert len({made(code) for code in CODES}) == len(CODES)

    def test_which_need_processes(self):
        """A worker can only die where what it runs can: in processes."""
        assert CrashWorker.needs_processes
        assert not any(each.needs_processes for each in (*FAILS, Redeliver, Delay))


class TestFire:
    @pytest.mark.parametrize(
        ("event", "asked"),
        [
            (FailWrite(at_report(1)), ("fail", ("write", ConnectionError, 1, None), {})),
            (FailWrite(at_report(1), times=3), ("fail", ("write", ConnectionError, 3, None), {})),
            (
                FailWrite(at_report(1), OSError, seconds=60),
                ("fail", ("write", OSError, None, 60), {}),
            ),
            (FailRead(at_report(1), OSError, 2, 5), ("fail", ("read", OSError, 2, 5), {})),
            (CrashWorker(at_report(1)), ("crash", (), {"child": False})),
            (CrashWorker(at_report(1), child=True), ("crash", (), {"child": True})),
            (Redeliver(before_start()), ("redeliver", (), {})),
            (Delay(at_report(1), 60), ("delay", (60,), {})),
        ],
        ids=repr,
    )
    def test_what_is_asked_of_a_stage(self, event, asked):
        """Each is what it asks of a stage: once, unless it says for how long, or how often."""
        stage = Stage()
        event.fire(stage)
        assert stage.asked == [asked]


class TestBadInput:
    @pytest.mark.parametrize("make", ALL)
    @pytest.mark.parametrize("at", [None, 3, "at_report(3)", FailWrite], ids=repr)
    def test_what_is_no_moment(self, make, at):
        """All of them take a moment."""
        with pytest.raises(TypeError, match="takes the moment at which it is, such as at_report"):
            make(at)

    @pytest.mark.parametrize("make", FAILS)
    @pytest.mark.parametrize(
        "error", [None, "down", 3, object, BaseException, KeyboardInterrupt(), dict], ids=repr
    )
    def test_what_is_no_exception(self, make, error):
        """Only what a task may catch as an Exception: the message says what came."""
        with pytest.raises(TypeError) as caught:
            make(at_report(1), error)
        assert str(caught.value) == (
            f"{make.__name__} raises an exception: expected one, or a class of them, such as"
            f" ConnectionError, got error={error!r}"
        )

    @pytest.mark.parametrize("error", [Odd, UnicodeDecodeError], ids=repr)
    def test_a_class_that_takes_no_message(self, error):
        """It is found out at once, and not in the task."""
        with pytest.raises(TypeError) as caught:
            FailWrite(at_report(1), error)
        assert str(caught.value).startswith(
            "FailWrite makes an exception of its class by one argument, the message, and"
            f" {error.__name__} refuses that ("
        )
        assert str(caught.value).endswith("): give it one that is made")
        assert FailWrite(at_report(1), Odd("redis", 6379)).error.args == ("redis:6379",)

    @pytest.mark.parametrize("make", FAILS)
    @pytest.mark.parametrize("times", [0, -1, 1.0, "3", True, math.inf], ids=repr)
    def test_what_is_no_number_of_times(self, make, times):
        """What fails does so at least once, and a whole number of times."""
        with pytest.raises(ValueError, match="fails at least once: expected a whole number") as it:
            make(at_report(1), times=times)
        assert str(it.value).endswith(f"got times={times!r}")

    @pytest.mark.parametrize("make", [*FAILS, Delay])
    @pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "60", True], ids=repr)
    def test_what_is_no_time(self, make, seconds):
        """A finite number of seconds, 0 or more."""
        with pytest.raises(ProgressValueError, match=r"^seconds must be .*, got seconds="):
            make(at_report(1), seconds=seconds)

    @pytest.mark.parametrize("child", [None, 1, "yes"], ids=repr)
    def test_what_is_neither_true_nor_false(self, child):
        """`child` is a bool."""
        with pytest.raises(TypeError, match="CrashWorker takes child=True or False, got child="):
            CrashWorker(at_report(1), child=child)

    @pytest.mark.parametrize("at", [before_start(), at_retry(), if_reached(before_start())])
    def test_a_process_that_runs_no_task(self, at):
        """Where none runs a task the worker can die, and its process cannot."""
        assert CrashWorker(at).child is False
        with pytest.raises(ValueError, match="kills the process that runs a task, and at"):
            CrashWorker(at, child=True)

    @pytest.mark.parametrize("at", [at_state("STARTED"), at_abort_check(1)])
    def test_where_it_may(self, at):
        """Where it may run one, nobody knows better yet."""
        assert CrashWorker(at, child=True).child

    def test_a_delay_without_its_seconds(self):
        """Nobody knows how long."""
        with pytest.raises(TypeError, match="seconds"):
            Delay(at_report(1))
