"""What a moment is, which occasions count for it, and how it is written."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Final

import pytest

import pytest_taskprogress.scenario as family
from pytest_taskprogress import ProgressValueError
from pytest_taskprogress.scenario import (
    Moment,
    at_abort_check,
    at_percent,
    at_position,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
    if_reached,
    when,
)


def is_late(transition):
    """A predicate with a name."""
    return transition.at > 3


#: Code that makes a moment; its repr is the same.
CODES: Final = [
    "before_start(1)",
    "before_start(2, task='export')",
    "at_report(3)",
    "at_report(3, task='export')",
    "at_percent(50)",
    "at_percent(0)",
    "at_percent(100)",
    "at_percent(33.3, task='export')",
    "at_percent(Decimal('12.5'))",
    "at_percent(Fraction(1, 3))",
    "at_position(0)",
    "at_position(7.5)",
    "at_position(10000000000, task='export')",
    "at_state('SUCCESS')",
    "at_state('UPLOADING', task=\"it's\")",
    "at_write(1)",
    "at_write(4, task='export')",
    "at_abort_check(2)",
    "at_abort_check(2, task='export')",
    "at_retry(1)",
    "at_retry(2, task='export')",
    "when(is_late)",
    "when(is_late, task='export')",
]

#: Those that count something.
COUNTING: Final = [before_start, at_report, at_write, at_abort_check, at_retry]

#: All of them, with arguments.
ALL: Final = [
    functools.partial(before_start, 1),
    functools.partial(at_report, 1),
    functools.partial(at_percent, 50),
    functools.partial(at_position, 5),
    functools.partial(at_state, "STARTED"),
    functools.partial(at_write, 1),
    functools.partial(at_abort_check, 1),
    functools.partial(at_retry, 1),
    functools.partial(when, is_late),
]


def made(code):
    """What a piece of code makes."""
    names = {"Decimal": Decimal, "Fraction": Fraction, "is_late": is_late}
    return eval(code, {**vars(family), **names})  # noqa: S307 - the point of the test


class TestRepr:
    @pytest.mark.parametrize("code", CODES)
    def test_is_code_that_makes_it_again(self, code):
        """The repr of a moment is the code that makes an equal one."""
        moment = made(code)
        assert repr(moment) == code
        assert made(repr(moment)) == moment
        assert str(moment) == code

    @pytest.mark.parametrize(
        ("moment", "code"), [(before_start(), "before_start(1)"), (at_retry(), "at_retry(1)")]
    )
    def test_the_first_is_the_default(self, moment, code):
        """A start and a retry are the first one, unless it is said which."""
        assert moment == made(code)
        assert moment.n == 1

    @pytest.mark.parametrize(
        ("predicate", "code"),
        [
            (lambda _: True, "when(<lambda>)"),
            (functools.partial(is_late), "when(functools.partial("),
            (SimpleNamespace, "when(SimpleNamespace)"),
        ],
        ids=["lambda", "partial", "class"],
    )
    def test_of_a_predicate(self, predicate, code):
        """A predicate without a name is shown by its own repr."""
        assert repr(when(predicate)).startswith(code)

    def test_of_a_predicate_whose_repr_raises(self):
        """A predicate that cannot be shown is no reason to fail."""

        class Broken:
            def __call__(self, transition):
                return True

            def __repr__(self):
                raise ZeroDivisionError

        assert "Broken" in repr(when(Broken()))


class TestValue:
    @pytest.mark.parametrize("make", ALL)
    def test_equal_ones(self, make):
        """What is made the same way is equal, has the same hash, and is one in a set."""
        assert make() == make()
        assert hash(make()) == hash(make())
        assert len({make(), make()}) == 1
        assert make(task="export") == make(task="export")

    def test_different_ones(self):
        """No two of different code are equal; a task makes a difference."""
        moments = [made(code) for code in CODES]
        assert len(set(moments)) == len(CODES)
        assert all(make() != make(task="export") for make in ALL)
        assert at_report(1) != "at_report(1)"

    def test_different_predicates(self):
        """Two moments of two predicates are two moments, also if both are lambdas."""
        assert when(lambda each: each.at > 1) != when(lambda each: each.at > 2)

    @pytest.mark.parametrize("make", ALL)
    def test_frozen(self, make):
        """A moment does not change."""
        moment = make()
        with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
            moment.n = 2
        assert copy.copy(moment) == moment

    @pytest.mark.parametrize("make", ALL)
    def test_where(self, make):
        """Each tells whether it is in the code of a task: by its name, or None if that depends."""
        moment = make()
        assert isinstance(moment, Moment)
        assert moment.in_task is {"before_start": False, "at_retry": False}.get(
            make.func.__name__, None if make.func in (at_state, at_write, when) else True
        )

    def test_is_not_pickled(self):
        """A moment belongs to its process: it has a function."""
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(at_report(1))


class TestBadInput:
    @pytest.mark.parametrize("make", COUNTING)
    @pytest.mark.parametrize(
        "n",
        [0, -1, True, False, 1.0, 1.5, math.nan, math.inf, "1", None, [1], Decimal(1)],
        ids=repr,
    )
    def test_what_cannot_be_counted(self, make, n):
        """They count from 1, in whole numbers: nothing else is taken, and it is shown."""
        with pytest.raises(ValueError, match="counts from 1") as caught:
            make(n)
        assert str(caught.value) == (
            f"{make.__name__}(n) counts from 1: expected a whole number of 1 or more, got n={n!r}"
        )

    @pytest.mark.parametrize("make", [at_percent, at_position])
    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, -math.inf, "50", None, True, 1j, [50], 10**400], ids=repr
    )
    def test_what_is_no_number(self, make, value):
        """A percentage and a position are finite numbers."""
        with pytest.raises(ProgressValueError, match="must be a finite number, got"):
            make(value)

    @pytest.mark.parametrize("make", [at_percent, at_position])
    @pytest.mark.parametrize("value", [-1, -0.001, Decimal(-1)], ids=repr)
    def test_what_is_negative(self, make, value):
        """A percentage and a position are 0 or more."""
        name = make.__name__.removeprefix("at_")
        with pytest.raises(ProgressValueError) as caught:
            make(value)
        assert str(caught.value) == f"{name} must be 0 or more, got {name}={value!r}"

    @pytest.mark.parametrize("percent", [100.01, 101, 1e9], ids=repr)
    def test_more_than_all(self, percent):
        """No task reports more than 100 percent."""
        with pytest.raises(ValueError, match=r"at_percent\(\) takes 0 to 100, got percent="):
            at_percent(percent)

    @pytest.mark.parametrize("state", ["", None, 3, b"SUCCESS", ["SUCCESS"]], ids=repr)
    def test_what_is_no_state(self, state):
        """A state is a name."""
        with pytest.raises(TypeError) as caught:
            at_state(state)
        assert str(caught.value) == f"at_state() takes the name of a state, got {state!r}"

    @pytest.mark.parametrize("predicate", [None, "at > 3", 3, True], ids=repr)
    def test_what_is_no_predicate(self, predicate):
        """A predicate can be called."""
        with pytest.raises(TypeError) as caught:
            when(predicate)
        assert str(caught.value) == f"when() takes a predicate of a transition, got {predicate!r}"

    @pytest.mark.parametrize("task", [3, "", b"export", ["export"], object], ids=repr)
    def test_what_is_no_name_of_a_task(self, task):
        """A task is given by its name: a moment of anything else would never come."""
        for make in ALL:
            with pytest.raises(TypeError, match="task"):
                make(task=task)

    def test_a_task_for_its_name(self, app):
        """The task itself is taken for its name, or refused: not a moment that never comes."""

        @app.task(name="export")
        def export():
            pass

        for make in ALL:
            try:
                moment = make(task=export)
            except TypeError as error:
                assert "task" in str(error)  # noqa: PT017 - either is right
            else:
                assert moment == make(task="export")

    @pytest.mark.parametrize("make", ALL)
    def test_the_task_is_a_keyword(self, make):
        """`at_report(3, "export")` is no way to write it."""
        with pytest.raises(TypeError, match="positional argument"):
            make("export")


class TestWhatCounts:
    def test_starts(self, occasions):
        """Starts, and nothing else."""
        moment = before_start()
        assert moment.is_at(occasions.start())
        assert not moment.is_at(occasions.check())
        assert not moment.is_at(occasions.write("STARTED"))

    def test_checks(self, occasions):
        """Abort checks, and nothing else."""
        moment = at_abort_check(1)
        assert moment.is_at(occasions.check())
        assert not moment.is_at(occasions.start())
        assert not moment.is_at(occasions.report(10))

    def test_writes(self, occasions):
        """Every state that was stored: not those that the backend dropped."""
        moment = at_write(1)
        for state in ("RECEIVED", "STARTED", "PROGRESS", "UPLOADING", "RETRY", "SUCCESS"):
            assert moment.is_at(occasions.write(state))
        assert not moment.is_at(occasions.write("FAILURE", stored=False))
        assert not moment.is_at(occasions.start())
        assert not moment.is_at(occasions.check())

    def test_reports(self, occasions):
        """PROGRESS and states of the user's own; not those of Celery, not what was dropped."""
        moment = at_report(1)
        assert moment.is_at(occasions.report(10))
        assert moment.is_at(occasions.report())
        assert moment.is_at(occasions.write("UPLOADING"))
        for state in ("STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "ABORTED"):
            assert not moment.is_at(occasions.write(state))
        assert not moment.is_at(occasions.write("PROGRESS", stored=False))

    @pytest.mark.parametrize(
        ("asked", "reported", "counts"),
        [
            (50, 50, True),
            (50, 50.0, True),
            (50, 75, True),
            (50, 49.99, False),
            (0, 0, True),
            (100, 100.0, True),
            (100, 99.99, False),
            (Decimal("33.3"), 33.3, False),
            (Decimal("33.3"), 33.31, True),
            (Fraction(1, 3), 0.34, True),
            (50, None, False),
            (0, None, False),
            (50, "75", False),
        ],
    )
    def test_percentages(self, occasions, asked, reported, counts):
        """A percentage that is reached, or passed; a report without one is none."""
        assert at_percent(asked).is_at(occasions.report(reported)) is counts

    def test_a_percentage_that_is_not_stored(self, occasions):
        """`current` and `total` make one."""
        assert at_percent(50).is_at(occasions.report(current=5, total=10))
        assert not at_percent(50).is_at(occasions.report(current=4, total=10))
        assert not at_percent(0).is_at(occasions.report(current=4, total=0))

    def test_percentages_are_those_of_reports(self, occasions):
        """What a task returns is no report, whatever it looks like."""
        assert not at_percent(50).is_at(occasions.write("SUCCESS", percent=100.0))

    @pytest.mark.parametrize(
        ("asked", "current", "counts"),
        [
            (5, 5, True),
            (5, 5.0, True),
            (5, 9, True),
            (5, 4.9, False),
            (0, 0, True),
            (7.5, 8, True),
            (5, "9", False),
            (5, None, False),
            (5, math.nan, False),
        ],
    )
    def test_positions(self, occasions, asked, current, counts):
        """A position that is reached, or passed; with any total."""
        assert at_position(asked).is_at(occasions.report(current=current)) is counts

    def test_a_report_without_a_position(self, occasions):
        """It is at no position."""
        assert not at_position(0).is_at(occasions.report(50))

    def test_states(self, occasions):
        """That state, and no other."""
        moment = at_state("STARTED")
        assert moment.is_at(occasions.write("STARTED"))
        assert not moment.is_at(occasions.write("PROGRESS"))
        assert not moment.is_at(occasions.write("STARTED", stored=False))
        assert not moment.is_at(occasions.start())

    def test_retries(self, occasions):
        """The write of RETRY."""
        assert at_retry().is_at(occasions.write("RETRY"))
        assert not at_retry().is_at(occasions.write("FAILURE"))
        assert not at_retry().is_at(occasions.start())

    def test_a_predicate(self, occasions):
        """Is asked about every write that was stored, and about nothing else."""
        asked = []
        moment = when(asked.append)
        stored, dropped = occasions.write("SUCCESS"), occasions.write("FAILURE", stored=False)
        for each in (occasions.start(), occasions.check(), stored, dropped):
            assert not moment.is_at(each)
        assert asked == [stored.transition]

    @pytest.mark.parametrize("answer", [1, "yes", [0]], ids=repr)
    def test_what_is_true(self, occasions, answer):
        """A predicate may return anything that is true."""
        assert when(lambda _: answer).is_at(occasions.report(1)) is True

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (before_start, "start"),
            (functools.partial(at_abort_check, 1), "check"),
            (functools.partial(at_report, 1), "report"),
            (functools.partial(at_percent, 5), "report"),
            (functools.partial(at_position, 5), "report"),
            (functools.partial(at_write, 1), "report"),
            (functools.partial(at_state, "PROGRESS"), "report"),
            (functools.partial(when, lambda _: True), "report"),
        ],
    )
    def test_of_a_task(self, occasions, make, name):
        """With `task` only those of tasks of that name."""

        def occasion(task):
            if name == "report":
                return occasions.report(50, name=task, current=5)
            return getattr(occasions, name)(task)

        assert make(task="export").is_at(occasion("export"))
        assert not make(task="export").is_at(occasion("other"))
        assert not make(task="export").is_at(occasion(None))
        assert make().is_at(occasion("other"))

    def test_in_the_code_of_a_task(self, occasions):
        """An occasion is in a task if the task checks, or reported from a line of code."""
        assert occasions.check().in_task
        assert occasions.report(5).in_task
        assert not occasions.start().in_task
        assert not occasions.write("SUCCESS", source=None).in_task


class TestIfReached:
    @pytest.mark.parametrize("code", CODES)
    def test_its_repr_is_code(self, code):
        """It is written around the moment that need not come."""
        moment = if_reached(made(code))
        assert repr(moment) == f"if_reached({code})"
        assert made(repr(moment)) == moment

    @pytest.mark.parametrize("make", ALL)
    def test_what_it_is(self, make):
        """The same moment, but for that it may be missed."""
        plain, moment = make(), if_reached(make())
        assert (plain.may_miss, moment.may_miss) == (False, True)
        assert moment != plain
        assert moment == if_reached(make())
        assert (moment.n, moment.task, moment.in_task) == (plain.n, plain.task, plain.in_task)

    def test_twice(self):
        """It is the same moment."""
        moment = if_reached(at_report(1, task="export"))
        assert if_reached(moment) is moment
        assert repr(moment) == "if_reached(at_report(1, task='export'))"

    def test_when_it_is(self, occasions):
        """It is where the moment is."""
        moment = if_reached(at_state("STARTED", task="export"))
        assert moment.is_at(occasions.write("STARTED"))
        assert not moment.is_at(occasions.write("STARTED", name="other"))
        assert not moment.is_at(occasions.start())

    @pytest.mark.parametrize(
        "garbage",
        [None, 3, "at_report(3)", Moment, at_report],
        ids=["none", "number", "text", "class", "function"],
    )
    def test_what_is_no_moment(self, garbage):
        """It takes a moment; the message shows what came."""
        with pytest.raises(TypeError) as caught:
            if_reached(garbage)
        message = str(caught.value)
        assert message.startswith("if_reached() takes a moment, such as at_report(3), got ")
