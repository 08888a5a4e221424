"""What a strategy can give: all of it, and the smallest."""

from __future__ import annotations

from hypothesis import find, settings

#: What one test of a file has found must not be where another one begins.
_ALONE = settings(database=None, max_examples=2000, derandomize=True, deadline=None)


def smallest(strategy, condition=lambda _: True):
    """What a failing example shrinks to, if all fail for which a condition is true."""
    return find(strategy, condition, settings=_ALONE)


def all_of(strategy, *, examples=2000):
    """Values that a strategy draws, each once: all of them, if they are few."""
    from hypothesis import given

    found = {}

    @settings(_ALONE, max_examples=examples)
    @given(strategy)
    def look(value):
        found[value] = None

    look()
    return list(found)
