"""What an event is, when it fits, what it asks of a stage, and how it is written."""

from __future__ import annotations

import functools
import math
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar, Final

import pytest

import pytest_taskprogress.scenario as family
from pytest_taskprogress import ProgressValueError
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    Event,
    Revoke,
    SoftTimeLimit,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
    when,
)


class Stage:
    """Notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.asked.append((name, args, kwargs))


def is_late(transition):
    """A predicate with a name."""
    return transition.at > 3


@dataclass(frozen=True, repr=False)
class Twice(Event):
    """An event of a user's own: it aborts, and takes its time."""

    seconds: float = 1.0

    def fire(self, stage):
        """Do it."""
        stage.advance(self.seconds)
        stage.abort()


@dataclass(frozen=True, repr=False)
class Interrupt(SoftTimeLimit):
    """One that happens while a task runs."""


class Bare(Event):
    """One without `@dataclass`, as people write it."""

    def fire(self, stage):
        """Do it."""
        stage.abort()


#: Code that makes an event: its repr.
CODES: Final = [
    "Abort(at_report(3))",
    "Abort(before_start(1, task='export'))",
    "Revoke(at_percent(50))",
    "Revoke(at_state('STARTED'), terminate=True)",
    "SoftTimeLimit(at_abort_check(2))",
    "SoftTimeLimit(when(is_late))",
    "Advance(at_write(1), seconds=60)",
    "Advance(at_retry(2), seconds=0.5)",
    "Twice(at_report(1), seconds=2.0)",
    "Interrupt(at_position(7))",
    "Bare(at_report(2))",
]

EVENTS: Final = [Abort, Revoke, SoftTimeLimit, functools.partial(Advance, seconds=1), Twice, Bare]


def made(code):
    """What a piece of code makes."""
    return eval(code, {**vars(family), **globals()})  # noqa: S307 - the point of the test


class TestRepr:
    @pytest.mark.parametrize("code", CODES)
    def test_is_code_that_makes_it_again(self, code):
        """The repr of an event is the code that makes an equal one; of a user's own too."""
        event = made(code)
        assert repr(event) == code
        assert made(repr(event)) == event


class TestValue:
    @pytest.mark.parametrize("make", EVENTS)
    def test_equal_ones(self, make):
        """What is made the same way is equal, and one in a set."""
        assert make(at_report(1)) == make(at_report(1))
        assert len({make(at_report(1)), make(at_report(1))}) == 1
        assert make(at_report(1)) != make(at_report(2))

    def test_different_ones(self):
        """Two classes are not equal, nor two values."""
        assert len({made(code) for code in CODES}) == len(CODES)
        assert Abort(at_report(1)) != Revoke(at_report(1))
        assert Revoke(at_report(1)) != Revoke(at_report(1), terminate=True)
        assert Advance(at_report(1), 1) != Advance(at_report(1), 2)
        assert SoftTimeLimit(at_report(1)) != Interrupt(at_report(1))

    @pytest.mark.parametrize("make", EVENTS)
    def test_frozen(self, make):
        """An event does not change."""
        with pytest.raises(FrozenInstanceError):
            make(at_report(1)).at = at_report(2)


class TestBadInput:
    @pytest.mark.parametrize("make", EVENTS)
    @pytest.mark.parametrize("at", [None, 3, 50.0, "at_report(3)", Event], ids=repr)
    def test_what_is_no_moment(self, make, at):
        """An event takes a moment: anything else is shown."""
        name = getattr(make, "func", make).__name__
        with pytest.raises(TypeError) as caught:
            make(at)
        assert str(caught.value) == (
            f"{name} takes the moment at which it is, such as at_report(3), got {at!r}"
        )

    @pytest.mark.parametrize("make", EVENTS)
    def test_no_moment_at_all(self, make):
        """There is no event without a moment."""
        with pytest.raises(TypeError, match="at"):
            make()

    @pytest.mark.parametrize("at", [before_start(), at_retry(2)], ids=repr)
    @pytest.mark.parametrize("make", [SoftTimeLimit, Interrupt])
    def test_a_moment_outside_the_task(self, make, at):
        """A soft time limit is exceeded while a task runs."""
        with pytest.raises(ValueError, match="happens while a task runs") as caught:
            make(at)
        assert str(caught.value) == (
            f"{make.__name__} happens while a task runs, and at {at!r} none does: use at_report(),"
            " at_percent(), at_position() or at_abort_check()"
        )

    @pytest.mark.parametrize(
        "at",
        [at_report(1), at_percent(5), at_position(5), at_abort_check(1)],
        ids=repr,
    )
    def test_a_moment_in_the_task(self, at):
        """At these one does."""
        assert SoftTimeLimit(at).at is at

    @pytest.mark.parametrize("at", [at_state("STARTED"), at_write(1), when(is_late)], ids=repr)
    def test_a_moment_of_which_nobody_knows(self, at):
        """At these one may."""
        assert SoftTimeLimit.fits(at)
        assert SoftTimeLimit(at).at is at

    @pytest.mark.parametrize("at", [before_start(), at_retry()], ids=repr)
    @pytest.mark.parametrize("event", [Abort, Revoke, Advance, Twice, Bare])
    def test_events_that_happen_anywhere(self, event, at):
        """Everything else happens outside a task as well."""
        assert event.fits(at)

    @pytest.mark.parametrize("seconds", [-1, -0.1, math.nan, math.inf, "60", None, True], ids=repr)
    def test_what_is_no_time(self, seconds):
        """A clock moves by a finite number of seconds, 0 or more."""
        with pytest.raises(ProgressValueError, match=r"^seconds must be .*, got seconds="):
            Advance(at_report(1), seconds)

    def test_advance_without_its_seconds(self):
        """Nobody knows how far."""
        with pytest.raises(TypeError, match="seconds"):
            Advance(at_report(1))

    @pytest.mark.parametrize("terminate", [None, "yes", 3], ids=repr)
    def test_what_is_neither_true_nor_false(self, terminate):
        """`terminate` is a bool: `Revoke(at_report(1), "SIGKILL")` is a mistake."""
        with pytest.raises(TypeError, match="terminate"):
            Revoke(at_report(1), terminate=terminate)

    def test_event_is_abstract(self):
        """An event is one of a kind, and says what it does."""
        with pytest.raises(TypeError, match="abstract"):
            Event(at_report(1))


class TestFire:
    @pytest.mark.parametrize(
        ("event", "asked"),
        [
            (Abort(at_report(1)), [("abort", (), {})]),
            (Revoke(at_report(1)), [("revoke", (), {"terminate": False})]),
            (Revoke(at_report(1), terminate=True), [("revoke", (), {"terminate": True})]),
            (SoftTimeLimit(at_report(1)), [("exceed_soft_time_limit", (), {})]),
            (Advance(at_report(1), 60), [("advance", (60,), {})]),
            (Advance(at_report(1), 0), [("advance", (0,), {})]),
            (Twice(at_report(1)), [("advance", (1.0,), {}), ("abort", (), {})]),
            (Bare(at_report(1)), [("abort", (), {})]),
        ],
        ids=repr,
    )
    def test_what_is_asked_of_a_stage(self, event, asked):
        """Each event is what it asks of a stage."""
        stage = Stage()
        event.fire(stage)
        assert stage.asked == asked


class TestAUsersOwn:
    def test_says_where_it_fits(self):
        """`only_in_task` is all that it takes."""

        @dataclass(frozen=True, repr=False)
        class Poke(Event):
            only_in_task: ClassVar[bool] = True

            def fire(self, stage):
                stage.advance(1)

        assert not Poke.fits(before_start())
        assert Poke.fits(at_report(1))
        with pytest.raises(ValueError, match="Poke happens while a task runs"):
            Poke(before_start())

    def test_that_does_nothing(self):
        """One that does not say what it does is none."""

        class Idle(Event):
            pass

        with pytest.raises(TypeError, match="abstract"):
            Idle(at_report(1))
