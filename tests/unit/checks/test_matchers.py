from __future__ import annotations

import operator
import re
from functools import partial
from typing import Any
from unittest import mock

import pytest

from pytest_taskprogress.checks.matchers import progress, state
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.transitions import Source, Transition


class Comparing(type):
    """A metaclass whose classes compare, as dirty-equals' have."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, (int, float)) and other > 0

    __hash__ = type.__hash__


class IsPositive(metaclass=Comparing):
    """Is equal to a positive number; as a class, and as an object."""

    def __eq__(self, other: object) -> bool:
        return IsPositive == other

    __hash__ = None  # type: ignore[assignment]


class AtLeast:
    """A predicate that is an object."""

    def __init__(self, least: float) -> None:
        self.least = least

    def __call__(self, value: float) -> bool:
        """Tell whether it is as large."""
        return value >= self.least

    def meets(self, value: float) -> bool:
        """Do the same as a method."""
        return self(value)


def a_report(name: str = "PROGRESS", **changes: Any) -> Transition:
    """Make a report that is half done."""
    meta = {"current": 5, "total": 10, "percent": 50.0, "description": "half", "elapsed": 1.5}
    parts = {"meta": meta, "at": 2.0, "source": Source("tasks.py", 7), **changes}
    return Transition(3, "task", "proj.add", "id-1", "STARTED", name, **parts)


SUCCESS = Transition(4, "task", "proj.add", "id-1", "PROGRESS", "SUCCESS", result={"rows": 10})
FAILURE = Transition(
    4, "task", "proj.add", "id-1", "PROGRESS", "FAILURE",
    result={"exc_type": "ValueError", "exc_message": ["no row"], "exc_module": "builtins"},
)  # fmt: skip


@pytest.mark.parametrize(
    "matcher",
    [
        state("PROGRESS"),
        state(...),
        state("PROGRESS", name="proj.add", uuid="id-1", old_state="STARTED", index=3, at=2.0),
        state("PROGRESS", percent=50, message="half", source=("tasks.py", 7)),
        state("PROGRESS", current=5, elapsed=1.5),
        state("PROGRESS", result=None, error=None, missing=...),
        progress(),
        progress(5),
        progress(5, 10),
        progress(..., 10),
        progress(current=5, total=10),
        progress(5, 10, percent=50, message="half", elapsed=1.5, name="proj.add"),
    ],
    ids=repr,
)
def test_matches(matcher: object) -> None:
    """Attributes of a transition, and keys of its meta, by name."""
    assert matcher == a_report()
    assert a_report() == matcher


@pytest.mark.parametrize(
    "matcher",
    [
        state("SUCCESS"),
        state("progress"),
        state("PROGRESS", percent=49),
        state("PROGRESS", missing=None),
        state("PROGRESS", copy=mock.ANY),
        state(..., uuid="id-2"),
        progress(4),
        progress(5, None),
        progress(missing=mock.ANY),
        progress(missing=lambda _: True),
        progress(message="Half"),
    ],
    ids=repr,
)
def test_does_not_match(matcher: object) -> None:
    """Another value, or a key that the meta does not have."""
    assert matcher != a_report()


def test_progress_is_a_report_of_any_state() -> None:
    """A state of the user's own is one; an end is none, also with the same meta."""
    assert progress(5, 10) == a_report("UPLOADING")
    assert progress(5, 10) != a_report("SUCCESS")
    assert progress() != a_report("STARTED")


def test_ends() -> None:
    """The result of a success, the error of a failure."""
    assert state("SUCCESS", result={"rows": 10}) == SUCCESS
    assert state("SUCCESS", result=lambda result: result["rows"] > 9) == SUCCESS
    assert state("SUCCESS", result=10) != SUCCESS
    assert state("FAILURE", error="ValueError: no row") == FAILURE
    assert state("FAILURE", error=re.compile("Value").match) == FAILURE


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (pytest.approx(50.001, abs=0.1), pytest.approx(51)),
        (mock.ANY, None),
        (IsPositive, -1),
        (IsPositive(), "50"),
        (lambda value: value > 49, lambda value: value > 50),
        ((50.0).__eq__, (50.0).__gt__),
        ({50.0}.__contains__, set().__contains__),
        (float.is_integer, partial(operator.gt, 1)),
        (AtLeast(50), AtLeast(51)),
        (AtLeast(50).meets, AtLeast(51).meets),
        (partial(operator.le, 50), operator.not_),
        (mock.Mock(return_value=True, spec=["x"]), mock.Mock(return_value=False)),
    ],
)
def test_values_are_compared_or_called(good: object, bad: object) -> None:
    """Functions and callables without an `__eq__` are called; everything else is compared."""
    assert progress(percent=good) == a_report()
    assert progress(percent=bad) != a_report()


def test_approx_of_what_is_no_number() -> None:
    """A percentage that is not known is not near one; that is no error."""
    assert progress(percent=pytest.approx(50)) != a_report(meta={"percent": None})


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        (int, "percent=int: a class is equal to no value; for any int use a predicate: lambda"),
        (ValueError, 'an error is stored as text: error="ValueError: no such row"'),
        (ValueError("x"), "an exception is equal to itself alone"),
    ],
)
def test_what_can_never_be_equal_is_refused(expected: object, what: str) -> None:
    """It would match nothing, and nobody would know why."""
    with pytest.raises(PatternError, match=re.escape(what)):
        progress(percent=expected)


def test_an_async_predicate_is_refused() -> None:
    """What it returns is always true."""

    async def judge(value: object) -> bool:
        return bool(value)

    with pytest.raises(PatternError, match="result=judge: a predicate must tell at once"):
        state("SUCCESS", result=judge)


@pytest.mark.parametrize("name", ["", None, 3, b"SUCCESS", ["SUCCESS"]])
def test_a_state_has_a_name(name: Any) -> None:
    """One at a time."""
    with pytest.raises(PatternError, match=re.escape(f"or ... for any; got {name!r}")):
        state(name)


def test_what_is_raised_comes_out() -> None:
    """A predicate that cannot judge a value is a mistake in the test."""
    with pytest.raises(TypeError):
        assert progress(percent=lambda value: value > 1) == a_report(meta={})


def test_other_objects_are_not_equal() -> None:
    """Matchers are made for transitions."""
    assert state("PROGRESS") != "PROGRESS"
    assert state("PROGRESS") != state("PROGRESS")
    assert progress() != None  # noqa: E711 - asked of __eq__


class Drawn:
    """Its repr is a picture, in colour."""

    def __repr__(self) -> str:
        return "\x1b[31m+--\n|\n+--"

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def named(value: object) -> bool:
    """Judge nothing."""
    return bool(value)


@pytest.mark.parametrize(
    ("matcher", "code"),
    [
        (state("SUCCESS"), "state('SUCCESS')"),
        (state("SUCCESS", result=10), "state('SUCCESS', result=10)"),
        (state(...), "state(...)"),
        (progress(), "progress()"),
        (progress(0, 10), "progress(0, 10)"),
        (progress(total=None), "progress(total=None)"),
        (progress(5, message="x", elapsed=named), "progress(5, message='x', elapsed=named)"),
        (progress(percent=partial(named, 1)), "progress(percent=partial(named))"),
        (progress(percent=AtLeast(1)), "progress(percent=<AtLeast>)"),
        (progress(percent=IsPositive), "progress(percent=IsPositive)"),
        (progress(percent=Drawn()), "progress(percent= [31m+-- | +--)"),
        (progress("x" * 1_000), f"progress('{'x' * 299}...)"),
    ],
)
def test_a_matcher_is_written_as_it_was_made(matcher: object, code: str) -> None:
    """Without addresses, so that messages are the same every time."""
    assert repr(matcher) == code


def test_a_lambda_is_named_by_its_line() -> None:
    """There may be many."""
    line = named.__code__.co_firstlineno
    judge = progress(percent=lambda value: value)
    assert re.fullmatch(r"progress\(percent=<lambda at test_matchers\.py:\d+>\)", repr(judge))
    assert line != int(re.findall(r"\d+", repr(judge))[0])


def test_got_tells_what_was_asked_for() -> None:
    """The same names, with what the transition has; nothing of one that is not meant."""
    matcher = progress(5, percent=51, missing=1)
    assert matcher.got(a_report()) == {"current": "5", "percent": "50.0", "missing": "missing"}
    assert matcher.got(SUCCESS) == {}
    assert progress(5).got(a_report(meta={"current": Drawn()})) == {"current": " [31m+-- | +--"}
