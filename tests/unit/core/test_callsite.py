from __future__ import annotations

import sys

from pytest_taskprogress.core.callsite import frame_outside


def test_caller_is_outside() -> None:
    """Where the caller is in none of the packages, it is the frame."""
    assert frame_outside(("no.such.package.",)) is sys._getframe()


def test_frames_of_the_packages_are_passed_over() -> None:
    """The closest frame of another module is found, however many are before it."""

    def inner() -> object:
        return frame_outside((__name__,))

    frame = inner()
    above = sys._getframe()
    while above is not None and above.f_globals["__name__"] == __name__:
        above = above.f_back
    assert frame is above


def test_stops_at_a_module() -> None:
    """Where the module that ends the search comes first, there is none."""
    assert frame_outside(("no.such.package.",), stop=__name__) is None


def test_none_where_all_frames_are_of_the_packages() -> None:
    """A stack without a frame of anybody else has none."""
    assert frame_outside(("",)) is None
