from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_taskprogress.report.curves import BASE, TOP, area, thinned

POINTS = st.lists(st.floats(0, 100, allow_nan=False), max_size=500).map(
    lambda percents: [(float(x), percent) for x, percent in enumerate(percents)]
)


@given(POINTS)
def test_thinned_keeps_what_is_seen(points):
    """At most 100 points are kept, of the given ones and in order, with both ends and extremes."""
    kept = thinned(points)
    assert len(kept) <= 100
    assert kept == sorted(set(kept))
    assert set(kept) <= set(points)
    if points:
        percents = [percent for _, percent in points]
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert {min(percents), max(percents)} <= {percent for _, percent in kept}


def test_short_curve_is_kept_whole():
    """Nothing is left out of a curve that is short."""
    points = [(float(x), 50.0) for x in range(100)]
    assert thinned(points) == points


def test_area_begins_and_ends_at_the_base_line():
    """An area is the curve, and a way down at each side."""
    assert area([(0, 0), (500, 50), (1000, 100)]) == (
        f"0,{BASE} 0,{BASE} 500,{(BASE + TOP) // 2} 1000,{TOP} 1000,{BASE}"
    )


@pytest.mark.parametrize(("percent", "height"), [(-5.0, BASE), (1e300, TOP)])
def test_area_ends_at_the_border(percent, height):
    """What is below 0 or above 100 is drawn at the border."""
    assert area([(10, percent)]) == f"10,{BASE} 10,{height} 10,{BASE}"


def test_area_of_nothing():
    """No points make no curve."""
    assert area([]) == ""
