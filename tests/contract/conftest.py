"""Celery result backends to compare: the fake one, Celery's own in memory, and the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery, _state

from tests.contract.kinds import DATABASES, KEY_VALUE
from tests.contract.worker import Worker
from tests.servers import SQLALCHEMY, close_client, need

#: Kinds that need a server, each with the fixture that has it.
SERVED: Final = {
    "redis": "redis_url",
    "memcached": "memcached_url",
    "postgresql": "postgres_url",
    "mariadb": "mariadb_url",
}

MakeBackend = Callable[..., Any]


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where the backend of a kind is."""
    if kind in SERVED:
        served: str = request.getfixturevalue(SERVED[kind])
        return served
    if kind == "sqlite":
        need(SQLALCHEMY)
    return {
        "fake": "taskprogress://",
        "cache": "cache+memory://",
        "filesystem": f"file://{tmp_path}",
        "sqlite": f"db+sqlite:///{tmp_path / 'results.sqlite'}",
    }[kind]


@pytest.fixture(params=[*KEY_VALUE, *DATABASES])
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
        if kind == "redis":  # memcached cannot tell its keys: they expire
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


@pytest.fixture
def make_worker(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Worker]]:
    """Make a worker whose results are in a backend of the kind; its app is the current one."""
    workers: list[Worker] = []

    def make(**conf: object) -> Worker:
        app = make_backend(**conf).app
        monkeypatch.setattr(_state._tls, "current_app", app)
        workers.append(Worker(app))
        return workers[-1]

    yield make
    for each in workers:
        each.close()


@pytest.fixture
def worker(make_worker: Callable[..., Worker]) -> Worker:
    """A worker with every setting at its default."""
    return make_worker()
