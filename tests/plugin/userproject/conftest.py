# ruff: noqa: D103 - what each is for its name says
"""Names the app, and lets the work of tasks take time of the engine's clock."""

from __future__ import annotations

import pytest
import shop


@pytest.fixture(scope="session")
def taskprogress_app():
    return shop.app


@pytest.fixture(autouse=True)
def _time_passes(request, monkeypatch):
    if "taskprogress" in request.fixturenames:
        engine = request.getfixturevalue("taskprogress")
        monkeypatch.setattr(shop, "work", engine.clock.advance)
