"""The base of all listeners, and the one that keeps everything."""

from __future__ import annotations

import pytest

from pytest_taskprogress import CaptureListener, EagerEngine, Listener


class Hears(Listener):
    """Keeps the states that it is told of."""

    def __init__(self, engine, **options):
        super().__init__(engine, **options)
        self.states = []

    def _task_receiver(self, state, details):
        self.states.append(state)


@pytest.fixture
def add(app):
    """A task that adds."""

    @app.task(track_started=True)
    def add(x, y):
        return x + y

    return add


def test_while_registered(engine, add):
    """A listener is told while it is registered, and leaves without an error."""
    with Hears(engine) as listener:
        engine.run(add, 1, 2)
    engine.run(add, 1, 2)
    assert listener.states == ["STARTED", "SUCCESS"]


def test_chosen_states(engine, add):
    """A listener may choose the states that it is told of."""
    with Hears(engine, task_listen_for=("SUCCESS",)) as listener:
        engine.run(add, 1, 2)
    assert listener.states == ["SUCCESS"]


def test_registering_is_idempotent(engine, add):
    """Registering or leaving twice is the same as once."""
    listener = Hears(engine)
    listener.register()
    listener.register()
    engine.run(add, 1, 2)
    listener.deregister()
    listener.deregister()
    assert listener.states == ["STARTED", "SUCCESS"]


def test_the_base_does_nothing(engine, add):
    """A listener that overrides nothing is told and does nothing."""
    with Listener(engine):
        assert engine.run(add, 1, 2).result == 3


def test_a_listener_outlives_the_installation(app, add):
    """A listener may be registered before the engine is installed."""
    engine = EagerEngine()
    with Hears(engine) as listener, engine.installed(app):
        engine.run(add, 1, 2)
    assert listener.states == ["STARTED", "SUCCESS"]


def test_capture(engine, add):
    """A capturing listener keeps every transition, and can begin again."""
    with CaptureListener(engine) as capture:
        engine.run(add, 1, 2)
        assert capture.history == ["STARTED", "SUCCESS"]
        engine.run(add, 3, 4)
        assert capture.since(2) == ["STARTED", "SUCCESS"]
        assert len(capture) == 4
        capture.clear()
        assert len(capture) == 0
    assert len(engine.history) == 4
