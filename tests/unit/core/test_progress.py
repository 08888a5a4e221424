from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.progress import Progress, number

HUGE = 10**400  # an int that no float can hold
UNPRINTABLE = 10**5000  # an int that Python refuses to turn into text

NOT_NUMBERS = [
    pytest.param(math.nan, id="nan"),
    pytest.param(math.inf, id="inf"),
    pytest.param(-math.inf, id="-inf"),
    pytest.param(HUGE, id="huge int"),
    pytest.param(UNPRINTABLE, id="unprintable int"),
    pytest.param(Fraction(HUGE), id="huge fraction"),
    pytest.param(Decimal("sNaN"), id="signalling NaN"),
    pytest.param(Decimal("Infinity"), id="infinite decimal"),
    pytest.param(True, id="bool"),
    pytest.param("1", id="text"),
    pytest.param(b"1", id="bytes"),
    pytest.param(1j, id="complex"),
    pytest.param([1], id="list"),
    pytest.param(object(), id="object"),
]


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text for this")


class _UnreadableFloat(float):
    def __float__(self) -> float:
        raise RuntimeError("no number in this")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3),
        (2.5, 2.5),
        (-1, -1),
        (Decimal("2.5"), 2.5),
        (Fraction(1, 4), 0.25),
        (Fraction(8, 2), 4.0),
    ],
)
def test_number_is_a_plain_int_or_float(value: Any, plain: float) -> None:
    """Every real number becomes what any serialiser can carry."""
    taken = number(value, "current")
    assert taken == plain
    assert type(taken) is type(plain)


def test_number_of_an_int_subclass_is_an_int() -> None:
    """A subclass of int does not survive: its type might not be encodable."""

    class Rows(int):
        pass

    assert type(number(Rows(3), "current")) is int


@pytest.mark.parametrize("value", [*NOT_NUMBERS, pytest.param(None, id="None")])
def test_number_refuses_what_is_no_finite_number(value: Any) -> None:
    """The error names the value by its name, whatever the value is."""
    with pytest.raises(ProgressValueError, match=r"step must be a finite number, got step="):
        number(value, "step")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_Unprintable(), id="repr raises"),
        pytest.param(_UnreadableFloat(1.0), id="float raises"),
    ],
)
def test_number_refuses_hostile_values(value: Any) -> None:
    """A value whose own methods raise is refused as any other is."""
    with pytest.raises(ProgressValueError, match="step must be a finite number"):
        number(value, "step")


@pytest.mark.parametrize(
    ("current", "total", "percent"),
    [
        (0, 100, 0.0),
        (50, 100, 50.0),
        (100, 100, 100.0),
        (1, 3, 33.33),
        (2, 3, 66.67),
        (0.5, 2, 25.0),
        (0, 0, 100.0),
        (0.0, 0, 100.0),
        (99_999, 100_000, 99.99),
        (999_999_999, 1_000_000_000, 99.99),
        (10**300, 10**301, 10.0),
        (5e-324, 1.0, 0.0),
        (7, None, None),
        (0, None, None),
    ],
)
def test_percent(current: float, total: float | None, percent: float | None) -> None:
    """In steps of 0.01, 100.0 only at the total; None where the total is not known."""
    assert Progress(current, total).percent == percent


@pytest.mark.parametrize(
    ("current", "total", "complete"),
    [(0, 100, False), (99.999, 100, False), (100, 100, True), (0, 0, True), (0, None, False)],
)
def test_complete(current: float, total: float | None, complete: bool) -> None:  # noqa: FBT001
    """Complete is at the total; nothing to do is complete; an unknown total never is."""
    assert Progress(current, total).complete is complete


def test_defaults_are_a_percentage_that_begins_now() -> None:
    """The total is 100 and no time has passed unless said otherwise."""
    assert Progress(3) == Progress(3, 100, 0.0)


@pytest.mark.parametrize("name", ["current", "total", "elapsed"])
@pytest.mark.parametrize("value", [*NOT_NUMBERS, -1, -0.5])
def test_every_part_must_be_a_finite_number_of_zero_or_more(name: str, value: Any) -> None:
    """NaN, infinite, negative and no numbers are refused, by name."""
    parts: dict[str, Any] = {"current": 0, "total": 100, "elapsed": 0.0, name: value}
    with pytest.raises(ProgressValueError, match=rf"^{name} must be .*got {name}="):
        Progress(**parts)


@pytest.mark.parametrize("name", ["current", "elapsed"])
def test_only_the_total_may_be_unknown(name: str) -> None:
    """None is a total, and nothing else."""
    parts: dict[str, Any] = {"current": 0, "total": 100, "elapsed": 0.0, name: None}
    with pytest.raises(ProgressValueError, match=f"{name}=None"):
        Progress(**parts)


def test_current_beyond_total_is_refused() -> None:
    """A progress of 166 % cannot be made; the error says what does clamp."""
    with pytest.raises(ProgressValueError, match=r"current=5 total=3; Progress.clamp"):
        Progress(5, 3)


def test_is_frozen_and_holds_plain_numbers() -> None:
    """A progress cannot change, and its parts are plain."""
    progress = Progress(Decimal(1), Fraction(4), Decimal("0.5"))  # type: ignore[arg-type]
    assert [type(each) for each in dataclasses.astuple(progress)] == [float, float, float]
    assert progress.percent == 25.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        progress.current = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("current", "total", "at_least", "clamped"),
    [
        (50, 100, 0, 50),
        (166, 100, 0, 100),
        (-33, 100, 0, 0),
        (10, 100, 60, 60),
        (70, 100, 60, 70),
        (10, 50, 60, 50),
        (5, 0, 0, 0),
        (5, None, 0, 5),
        (-5, None, 0, 0),
        (5, None, 7, 7),
        (5, 10, -3, 5),
        (-5, 10, -3, 0),
    ],
)
def test_clamp(current: float, total: float | None, at_least: float, clamped: float) -> None:
    """The nearest position that is not below the least, not below 0 and not beyond the total."""
    progress = Progress.clamp(current, total, 1.5, at_least=at_least)
    assert progress == Progress(clamped, total, 1.5)


@pytest.mark.parametrize(
    ("current", "total", "name"),
    [
        (math.nan, 100, "current"),
        ("5", 100, "current"),
        (None, 100, "current"),
        (5, math.inf, "total"),
        (5, "100", "total"),
        (5, -1, "total"),
        (0, -0.5, "total"),
    ],
)
def test_clamp_refuses_what_has_no_nearest(current: Any, total: Any, name: str) -> None:
    """What is no number, or a total below 0, is an error and never clamped."""
    with pytest.raises(ProgressValueError, match=f"^{name} must be"):
        Progress.clamp(current, total)
