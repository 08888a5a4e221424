"""Celery result backends to compare: the fake one, Celery's own in memory, and the real ones."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery

#: What Celery calls key-value backends: one encoded record under one key.
KEY_VALUE: Final = ("fake", "cache", "filesystem", "redis")
BACKENDS: Final = (*KEY_VALUE, "database")

_REDIS_PORT: Final = 6379
_REDIS_URL: Final = "redis://127.0.0.1:{}/0"

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


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server: the one at the usual address, else one that is started for the session."""
    if importlib.util.find_spec("redis") is None:
        lacking("the redis client is not installed: pip install 'celery[redis]'")
    if _reachable(_REDIS_PORT):
        yield _REDIS_URL.format(_REDIS_PORT)
        return
    program = shutil.which("redis-server")
    if program is None:
        lacking(f"no Redis at port {_REDIS_PORT}: redis-server --port {_REDIS_PORT} --save ''")
        return
    port = _free_port()
    command = [
        program,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--daemonize",
        "no",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = server.stdout or ()
            if not any("Ready to accept connections" in line for line in lines):
                lacking(f"{program} ended at once, on port {port}")
            yield _REDIS_URL.format(port)
        finally:
            server.terminate()


def _reachable(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


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
