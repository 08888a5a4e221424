"""Progress holds its bounds for any numbers at all."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.progress import Progress, number

FLOAT_MAX = int(1.7976931348623157e308)

finite = st.one_of(
    st.integers(min_value=-FLOAT_MAX, max_value=FLOAT_MAX),
    st.integers(min_value=-10, max_value=210),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.fractions(),
)
positive = finite.filter(lambda value: value >= 0)
totals = st.none() | positive
anything = st.one_of(
    finite,
    st.floats(),
    st.decimals(),
    st.booleans(),
    st.integers(),
    st.sampled_from([400, 5000]).map(lambda digits: 10**digits),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.none(),
    st.lists(st.integers(), max_size=2),
    st.builds(object),
)


def _progress(current: Any, total: Any) -> Progress:
    try:
        return Progress.clamp(current, total)
    except ProgressValueError:  # a Decimal or Fraction that no float holds
        assume(False)  # noqa: FBT003
        raise


@given(anything)
def test_number_is_plain_and_finite_or_refused(value: Any) -> None:
    """Whatever comes in, a finite int or float comes out, or ProgressValueError."""
    try:
        plain = number(value, "current")
    except ProgressValueError:
        return
    assert type(plain) in {int, float}
    assert math.isfinite(plain)


@given(anything, anything, anything)
def test_progress_is_within_its_bounds_or_refused(current: Any, total: Any, elapsed: Any) -> None:
    """There is no Progress out of its bounds, and no other error."""
    try:
        progress = Progress(current, total, elapsed)
    except ProgressValueError:
        return
    assert progress.current >= 0
    assert progress.elapsed >= 0
    assert progress.total is None or 0 <= progress.current <= progress.total
    assert progress.percent is None or 0.0 <= progress.percent <= 100.0


@given(anything, anything)
def test_clamp_is_within_its_bounds_or_refused(current: Any, total: Any) -> None:
    """Clamping never gives 166 % or -33 %."""
    try:
        progress = Progress.clamp(current, total)
    except ProgressValueError:
        return
    assert progress.total is None or 0 <= progress.current <= progress.total
    assert (progress.percent is None) == (progress.total is None)


@given(finite, totals)
def test_clamp_leaves_what_is_within_its_bounds(current: Any, total: Any) -> None:
    """Clamping twice is clamping once, and a legal progress is not changed."""
    progress = _progress(current, total)
    assert Progress.clamp(progress.current, progress.total) == progress
    if current >= 0 and (total is None or number(current, "current") <= number(total, "total")):
        assert progress.current == number(current, "current")


@given(positive, totals)
def test_percent_is_100_only_when_complete(current: Any, total: Any) -> None:
    """A front end that waits for 100 % waits until the end, and not longer."""
    progress = _progress(current, total)
    assert (progress.percent == 100.0) is progress.complete


@given(positive, positive, positive)
def test_percent_does_not_fall_with_the_position(one: Any, other: Any, total: Any) -> None:
    """Further on is never less percent."""
    first, second = sorted(
        [_progress(one, total), _progress(other, total)], key=lambda p: p.current
    )
    assert first.percent is not None
    assert second.percent is not None
    assert first.percent <= second.percent


@given(positive, positive, totals)
def test_at_least_is_a_floor(current: Any, floor: Any, total: Any) -> None:
    """A position does not fall below the floor, unless the total does."""
    assume(_progress(floor, None).current is not None)
    least = number(floor, "floor")
    progress = Progress.clamp(
        _progress(current, None).current, _progress(0, total).total, at_least=least
    )
    bound = least if progress.total is None else min(least, progress.total)
    assert progress.current >= bound


@given(totals)
def test_at_its_total_a_progress_is_complete(total: Any) -> None:
    """Any total, 0 too, can be reached; an unknown one cannot."""
    plain = _progress(0, total).total
    if plain is None:
        assert not Progress(5, None).complete
    else:
        assert Progress(plain, plain).complete
