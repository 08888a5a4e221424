"""A curve as a few points: what a reader can see of it, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["BASE", "TOP", "WIDTH", "area", "thinned"]

#: The drawing is this wide, and is stretched to the width of the page.
WIDTH: Final = 1000
#: Where 100 % and 0 % are, of a height of 100, from above.
TOP: Final = 6
BASE: Final = 80

_MOST_POINTS: Final = 100

Point = tuple[float, float]


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """At most so many points, which look the same: the ends, and the extremes of each stretch.

    Args:
        points: In order of their first coordinate.
        most: 4 or more.
    """
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretches = (most - 2) // 2
    kept = [points[0]]
    for each in range(stretches):
        first = each * len(inner) // stretches
        last = (each + 1) * len(inner) // stretches
        positions = range(first, last)
        lowest = min(positions, key=lambda position: inner[position][1])
        highest = max(positions, key=lambda position: inner[position][1])
        kept += [inner[position] for position in sorted({lowest, highest})]
    return [*kept, points[-1]]


def area(points: Sequence[Point]) -> str:
    """Points of (x, percent) as those of an SVG polyline, from the base line and back to it.

    A percentage outside of 0 to 100 is drawn at the border.
    """
    if not points:
        return ""
    drawn = [(round(x), round(_height(percent))) for x, percent in thinned(points)]
    outline = [(drawn[0][0], BASE), *drawn, (drawn[-1][0], BASE)]
    return " ".join(f"{x},{y}" for x, y in outline)


def _height(percent: float) -> float:
    return BASE - (BASE - TOP) * min(max(percent, 0.0), 100.0) / 100.0
