"""Celery result backends to compare: the fake one, Celery's own in memory, and the real ones."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery

#: What Celery calls key-value backends: one encoded record under one key.
KEY_VALUE: Final = ("fake", "cache", "filesystem", "redis")
BACKENDS: Final = (*KEY_VALUE, "database")

_REDIS_URL: Final = "redis://127.0.0.1:6379/0"

MakeBackend = Callable[..., Any]


def lacking(reason: str) -> None:
    """Skip a test that needs something this machine lacks; with CI=true, fail it."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


def close_client(backend: Any) -> None:
    """Close the connections that a Redis backend keeps; the others keep none."""
    if hasattr(backend, "result_consumer"):
        backend.result_consumer.stop()
        # A result that is collected later would connect again, to unsubscribe.
        backend.result_consumer._pubsub = None
        backend.client.close()
        backend.client.connection_pool.disconnect()


def _url(kind: str, directory: Path) -> str:
    if kind == "redis":
        try:
            import redis
        except ImportError:
            lacking("the redis client is not installed: pip install 'celery[redis]'")
        with redis.Redis.from_url(_REDIS_URL, socket_connect_timeout=2) as client:
            try:
                client.ping()
            except redis.exceptions.RedisError:
                lacking(f"no Redis at {_REDIS_URL}: redis-server --port 6379 --save ''")
    if kind == "database" and importlib.util.find_spec("sqlalchemy") is None:
        lacking("SQLAlchemy is not installed: pip install 'celery[sqlalchemy]'")
    return {
        "fake": "taskprogress://",
        "cache": "cache+memory://",
        "filesystem": f"file://{directory}",
        "redis": _REDIS_URL,
        "database": f"db+sqlite:///{directory / 'results.sqlite'}",
    }[kind]


@pytest.fixture(params=BACKENDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which backend the test runs on; a test parametrizes it indirectly to take fewer."""
    kind: str = request.param
    return kind


@pytest.fixture
def make_backend(kind: str, tmp_path: Path) -> Iterator[MakeBackend]:
    """Make a backend of a kind, as an app makes it from a URL, with keys of its own."""
    url = _url(kind, tmp_path)
    prefix = f"taskprogress-{uuid4().hex}"
    apps: list[Celery] = []

    def make(**conf: object) -> Any:
        app = Celery(prefix, set_as_current=False, broker="memory://", backend=url)
        app.conf.update(
            result_backend_transport_options={"global_keyprefix": prefix},
            task_default_queue=prefix,
            **conf,
        )
        apps.append(app)
        return app.backend

    yield make

    for app in apps:
        if kind == "redis":
            client = app.backend.client
            if keys := list(client.scan_iter(match=f"{prefix}*")):
                client.delete(*keys)
        close_client(app.backend)
        app.close()


@pytest.fixture
def close() -> Callable[[Any], None]:
    """What closes a backend that the test made by itself."""
    return close_client


@pytest.fixture
def backend(make_backend: MakeBackend) -> Any:
    """A backend with every setting at its default."""
    return make_backend()
