"""Celery result backends to compare: the fake one, Celery's own in memory, and the real ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery

from tests.servers import close_client, lacking

#: What Celery calls key-value backends: one encoded record under one key.
KEY_VALUE: Final = ("fake", "cache", "filesystem", "redis")
BACKENDS: Final = (*KEY_VALUE, "database")

MakeBackend = Callable[..., Any]


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where the backend of a kind is."""
    if kind == "redis":
        redis: str = request.getfixturevalue("redis_url")
        return redis
    if kind == "database" and importlib.util.find_spec("sqlalchemy") is None:
        lacking("SQLAlchemy is not installed: pip install 'celery[sqlalchemy]'")
    return {
        "fake": "taskprogress://",
        "cache": "cache+memory://",
        "filesystem": f"file://{tmp_path}",
        "database": f"db+sqlite:///{tmp_path / 'results.sqlite'}",
    }[kind]


@pytest.fixture(params=BACKENDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which backend the test runs on; a test parametrizes it indirectly to take fewer."""
    kind: str = request.param
    return kind


@pytest.fixture
def make_backend(kind: str, url: str) -> Iterator[MakeBackend]:
    """Make a backend of a kind, as an app makes it from a URL, with keys of its own."""
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
