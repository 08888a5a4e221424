"""Arguments of tasks from their hints: what is drawn, how it is written, and what is refused."""

from __future__ import annotations

import datetime as dt
import enum
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal, Optional, Union

import celery
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import EagerEngine, NotSerializable
from pytest_taskprogress.strategies import Arguments, task_arguments
from pytest_taskprogress.strategies.hints import carried
from tests.conftest import IsolatedApp
from tests.unit.strategies.finding import all_of, smallest

PLAIN = carried(Any)

app = IsolatedApp(
    "tests", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False
)


class Colour(str, enum.Enum):
    """One that JSON carries, as its value."""

    RED = "red"


@dataclass
class Point:
    """One that JSON does not carry."""

    x: int


class Registered:
    """One that nobody can make but who has registered how."""

    def __init__(self, secret):
        raise NotImplementedError


class User(pydantic.BaseModel):
    """One that Celery makes of a dict."""

    age: Annotated[int, pydantic.Field(ge=18)]
    born: dt.date
    name: str = pydantic.Field("", alias="fullName")

    @pydantic.field_validator("age")
    @classmethod
    def _is_even(cls, age):
        if age % 2:
            raise ValueError("odd")
        return age


@app.task(name="tests.plain")
def plain(a: int, b: str = "x", c: bool = False, *, d: Optional[float] = None):  # noqa: FBT001, FBT002, UP045
    """Take what most tasks take."""
    return [a, b, c, d]


@app.task(name="tests.bound", bind=True, autoretry_for=(ValueError,))
def bound(self, rows: list, options: dict[str, Any], names: Sequence[str] = ()):
    """Take what says little, or is abstract."""
    assert isinstance(rows, list)
    assert isinstance(options, dict)
    assert isinstance(names, (list, tuple))


@app.task(name="tests.positions")
def positions(a=1, b: int = 2, /, c: int = 3, *rest: str, k: Colour = Colour.RED, **more: int):
    """Take each kind of parameter."""
    return [a, b, c, *rest]


@app.task(name="tests.greet", pydantic=True)
def greet(user: User, other: Optional[User] = None):  # noqa: UP045
    """Take models."""
    assert isinstance(user, User)
    assert other is None or isinstance(other, User)


@app.task(name="tests.greet_again", pydantic=True, bind=True, autoretry_for=(KeyError,))
def greet_again(self, user: User | None):
    """Take a model, wrapped twice."""
    assert user is None or user.age % 2 == 0


@app.task(name="tests.unhinted")
def unhinted(rows, limit=10):
    """Take what nothing is said of."""
    return [rows, limit]


@app.task(name="tests.forward")
def forward(user: Missing, n: int) -> AlsoMissing:  # noqa: F821 - that they are not there
    """Take what is not there."""
    return [user, n]


@app.task(name="tests.nothing")
def nothing():
    """Take nothing."""


class Summing(app.Task):
    """A task as a class."""

    name = "tests.summing"

    def run(self, numbers: Iterable[int], start: Literal[0, 100] = 0):
        """Take an iterable."""
        return sum(numbers) + start


summing = app.register_task(Summing())


@pytest.fixture(scope="module")
def engine():
    """An engine on the app of this module."""
    with EagerEngine(app) as engine:
        yield engine


# -- what is drawn --------------------------------------------------------------------------------


#: Celery before 5.6 makes no models of hints that are text, as they are in this file.
makes_models = pytest.mark.skipif(celery.VERSION < (5, 6), reason="Celery >= 5.6")


@pytest.mark.parametrize(
    "task",
    [
        plain,
        bound,
        positions,
        pytest.param(greet, marks=makes_models),
        pytest.param(greet_again, marks=makes_models),
        nothing,
        summing,
    ],
    ids=lambda task: task.name,
)
@given(data=st.data())
@settings(max_examples=25)
def test_a_task_takes_them(engine, task, data):
    """What is drawn can be published, and the task takes it as its function says."""
    engine.reset()
    arguments = data.draw(task_arguments(task))
    run = engine.run(task, *arguments.args, **arguments.kwargs)
    assert run.state == "SUCCESS", run


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (plain, Arguments((0,))),
        (bound, Arguments(([], {}))),
        (positions, Arguments()),
        (greet, Arguments(({"age": 18, "born": "2000-01-01", "fullName": ""},))),
        (greet_again, Arguments((None,))),
        (nothing, Arguments()),
        (summing, Arguments(([],))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_they_shrink_to_the_simplest_call(task, expected):
    """The smallest arguments are simple values, and every default is left to the task."""
    assert smallest(task_arguments(task)) == expected


def test_defaults_are_left_out_sometimes():
    """A parameter with a default is given sometimes; what comes after it then by its name."""
    drawn = all_of(
        task_arguments(plain).map(lambda each: (len(each.args), *each.kwargs)), examples=300
    )
    assert {(1,), (2,), (3,), (1, "c"), (1, "d"), (2, "d"), (3, "d"), (1, "c", "d")} == set(drawn)


def test_positions_come_before_what_has_no_other_way():
    """Defaults are given where something is behind them that Python takes by its position only."""
    assert smallest(task_arguments(positions), lambda each: len(each.args) == 2).args == (1, 0)
    with_rest = smallest(task_arguments(positions), lambda each: len(each.args) > 3)
    assert with_rest == Arguments((1, 2, 3, ""))


def test_what_is_not_hinted_and_has_a_default_is_left_out():
    """A parameter of which nothing is known keeps its default."""
    assert smallest(task_arguments(unhinted, rows=st.just([1]))) == Arguments(([1],))
    assert all_of(task_arguments(unhinted, rows=st.just(1)).map(repr)) == ["Arguments((1,))"]


def test_an_override_is_always_given():
    """What has a strategy of the caller's is never left out; `...` is that of the hint."""
    lengths = all_of(task_arguments(plain, b=...).map(lambda each: len(each.args)), examples=200)
    assert set(lengths) == {2, 3}
    drawn = task_arguments(positions, a=st.just(9), rest=st.just(["r"]), k=st.just(1), z=st.just(0))
    assert smallest(drawn) == Arguments((9, 2, 3, "r"), {"k": 1, "z": 0})


def test_registered_strategies_are_asked():
    """What is registered with Hypothesis for a type is drawn for a parameter of it."""

    @app.task(name="tests.registered")
    def registered(each: Registered, several: list[Registered]):
        pass

    # Hypothesis has no way to forget one; nobody else knows the type.
    st.register_type_strategy(Registered, st.sampled_from(["known", "as well"]))
    assert smallest(task_arguments(registered)) == Arguments(("known", []))


def test_a_dataclass_needs_a_serialiser_that_carries_it(engine):
    """It is drawn as hinted; the app's own serialiser says whether a caller could publish it."""

    @app.task(name="tests.points")
    def points(at: Point):
        return at["x"]

    drawn = smallest(task_arguments(points))
    assert drawn == Arguments((Point(0),))
    with pytest.raises(NotSerializable, match=r"cannot encode args\[0\] = Point"):
        engine.run(points, *drawn.args)
    given = smallest(task_arguments(points, at=st.builds(Point).map(vars)))
    assert engine.run(points, *given.args).result == 0


def test_a_decorator_hides_no_hint():
    """The hints of a function that something wraps are those of the function."""

    def logged(function):
        @wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @app.task(name="tests.logged")
    @logged
    def hinted(n: int):
        return n

    assert smallest(task_arguments(hinted)) == Arguments((0,))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Any, PLAIN),
        (object, PLAIN),
        (list, list[PLAIN]),
        (typing.List, list[PLAIN]),  # noqa: UP006
        (list[Any], list[PLAIN]),
        (list[int], list[int]),
        (Sequence[str], list[str]),
        (Iterable, list[PLAIN]),
        (dict, dict[str, PLAIN]),
        (typing.Dict[int, Any], dict[int, PLAIN]),  # noqa: UP006
        (Mapping[str, Sequence[int]], dict[str, list[int]]),
        (tuple, tuple[PLAIN, ...]),
        (tuple[int, ...], tuple[int, ...]),
        (tuple[Any, int], tuple[PLAIN, int]),
        (Optional[list], Union[list[PLAIN], None]),  # noqa: UP007, UP045
        (list | None, Union[list[PLAIN], None]),  # noqa: UP007
        (Annotated[list, "said"], Annotated[list[PLAIN], "said"]),
        (Literal["a", 1], Literal["a", 1]),
        (set[int], set[int]),
        (Point, Point),
    ],
)
def test_hints_say_what_a_message_carries(hint, expected):
    """Of a hint that says little, or is abstract, there is one of what is in a message."""
    assert carried(hint) == expected


# -- how they are written -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (Arguments(), "Arguments()"),
        (Arguments((1,)), "Arguments((1,))"),
        (Arguments((1, "x"), {"k": [2]}), "Arguments((1, 'x'), {'k': [2]})"),
        (Arguments((), {"k": None}), "Arguments((), {'k': None})"),
        (Arguments((Colour.RED, Point(3))), "Arguments((Colour.RED, Point(x=3)))"),
    ],
)
def test_they_are_code(arguments, code):
    """Arguments are written as what makes them, enums too."""
    assert repr(arguments) == code
    assert eval(code) == arguments  # noqa: S307 - that it is code is the point


def test_the_strategy_says_what_it_draws():
    """Its repr names the task, and what is drawn for each parameter."""
    drawn = repr(task_arguments(plain, b=st.just("y")))
    assert drawn.startswith("arguments_of(tests.plain, a=integers(), b=just('y'), c=booleans()")


def test_arguments_of_different_calls_share_nothing():
    """What one test does to the arguments of a call is not seen by another."""
    one = smallest(task_arguments(nothing))
    one.kwargs["x"] = 1
    assert smallest(task_arguments(nothing)) == Arguments((), {})


# -- what is refused ------------------------------------------------------------------------------

MISTAKES = {
    "tests.unhinted: nothing is known of the parameter 'rows': it has no type hint and no default."
    " Give the parameter a hint, or say what it takes: task_arguments(unhinted,"
    " rows=st.lists(st.integers()))": lambda: task_arguments(unhinted),
    "the parameter 'limit': it has no type hint": lambda: task_arguments(
        unhinted, rows=st.none(), limit=...
    ),
    "the parameter 'user': its hint 'Missing' cannot be resolved: name 'Missing' is not"
    " defined": lambda: task_arguments(forward),
    "tests.plain has no parameter 'bb': it has a, b, c, d; did you mean b?": lambda: task_arguments(
        plain, bb=st.none()
    ),
    "tests.nothing has no parameter 'x': it has none": lambda: task_arguments(nothing, x=st.none()),
    "takes a strategy, such as st.just(3), got 3": lambda: task_arguments(plain, a=3),
    "takes a strategy, such as st.just(Ellipsis)": lambda: task_arguments(positions, other=...),
    "takes a Celery task, got 3": lambda: task_arguments(3),
    "for a function that is no task, st.builds()": lambda: task_arguments(len),
    "takes a Celery task, got tests.plain(1)": lambda: task_arguments(plain.s(1)),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told_when_it_is_made(message):
    """A wrong argument is an error at once: of which task and parameter, and what to do."""
    with pytest.raises(InvalidArgument) as caught:
        MISTAKES[message]()
    assert message in str(caught.value)


def test_one_hint_that_cannot_be_resolved_is_no_fault_of_the_others():
    """Who gives a strategy for it can use the other hints."""
    assert smallest(task_arguments(forward, user=st.just("u"))) == Arguments(("u", 0))


def test_rest_takes_lists():
    """What is given as `*rest` is drawn as a list."""
    with pytest.raises(InvalidArgument, match=r"given as \*rest: expected lists.*got 3"):
        smallest(task_arguments(positions, rest=st.just(3)))
