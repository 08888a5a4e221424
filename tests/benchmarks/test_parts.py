"""Where a run's time goes, part by part, and what a chord costs a task."""

from __future__ import annotations

import pytest
from celery import chord
from celery.worker.request import Request
from kombu.serialization import dumps, loads

from pytest_taskprogress import EagerEngine

#: What the message of a task without arguments carries.
BODY = ((), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})


def test_the_parts_of_a_run(app, show, microseconds):
    """Publish, encode, decode, Request, tracer, store, notify: microseconds of each."""

    @app.task
    def empty():
        return None

    @app.task(ignore_result=True)
    def silent():
        return None

    def measured(function):
        return microseconds(function, times=500)

    with EagerEngine(app) as engine:
        whole = measured(lambda: engine.run(empty))
        engine.run(silent)
        backend, broker = engine.backend, engine._turns.broker
        content_type, encoding, payload = dumps(BODY, serializer="json")
        encode = measured(lambda: dumps(BODY, serializer="json"))
        decode = measured(lambda: loads(payload, content_type, encoding))
        with engine.paused():
            publish = measured(empty.delay) - encode
            message = broker.take()
            broker.clear()

        def request():
            return Request(message, app=app, task=empty, hostname="host").request_dict

        # A message keeps what it decoded: this is without that.
        make, fields = measured(request), request()
        trace = measured(lambda: silent.__trace__("1", (), {}, fields))
        told = measured(lambda: backend.store_result("1", None, "PROGRESS"))
        backend._store.subscribers.clear()
        store = measured(lambda: backend.store_result("2", None, "PROGRESS"))
    parts = {
        "publish": publish,
        "encode": encode,
        "decode, twice": 2 * decode,
        "Request": make,
        "tracer": trace,
        "store": store,
        "notify": told - store,
    }
    # The handler, strategy and acknowledgement of Celery's consumer, and the engine's own.
    parts["the rest"] = whole - sum(parts.values())
    figures = ", ".join(f"{name} {figure:.0f}" for name, figure in parts.items())
    show(f"a run of {whole:.0f} us: {figures}")
    assert all(figure < 5_000 for figure in parts.values())


@pytest.mark.parametrize("size", [10, 100, 1_000, 10_000])
def test_a_chord(app, show, microseconds, size):
    """A chord of many tasks: microseconds a task, which do not grow with their number."""

    @app.task
    def one(n):
        return n

    @app.task
    def total(numbers):
        return sum(numbers)

    with EagerEngine(app) as engine:

        def run():
            assert engine.run(chord([one.s(n) for n in range(size)], total.s())).result == expected
            engine.capture.clear()
            engine.backend.clear()

        expected = sum(range(size))
        figure = microseconds(run, times=1, repeats=1 if size > 1_000 else 5) / size
    show(f"a chord of {size} tasks: {figure:.0f} us a task")
    assert figure < 10_000
