"""Starts of tasks: when one was under way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from pytest_taskprogress.core.starts import Start


@pytest.mark.parametrize(
    ("start", "covered"),
    [
        (Start(0.0, 2, 5), {2, 3, 4}),
        (Start(0.0, 2, 2), set()),
        (Start(0.0, 0, 1), {0}),
        (Start(0.0, 4), {4, 5, 6, 7}),
        (Start(0.0, 0, None), set(range(8))),
    ],
    ids=repr,
)
def test_what_it_covers(start, covered):
    """What was written from its beginning on, up to its end; without an end all that follows."""
    assert {index for index in range(8) if start.covers(index)} == covered


def test_it_is_a_value():
    """Equal if all is; it does not change; of an end, and of a delivery before, none is known."""
    assert Start(1.0, 2) == Start(1.0, 2, None)
    assert Start(1.0, 2) != Start(1.0, 2, 2)
    assert len({Start(1.0, 2), Start(1.0, 2), Start(1.5, 2)}) == 2
    assert not Start(1.0, 2).again
    with pytest.raises(FrozenInstanceError):
        Start(1.0, 2).ended = 3
