"""What the tests of canvases have in common."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def heard():
    """What the tasks of a test noted, in order."""
    return []


@pytest.fixture
def tasks(app):
    """Tasks that canvases are made of: `add`, `total` and `fails`."""

    @app.task(name="add")
    def add(x, y=1):
        return x + y

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    @app.task(name="fails")
    def fails(*args):
        raise ValueError("broken")

    return SimpleNamespace(add=add, total=total, fails=fails)
