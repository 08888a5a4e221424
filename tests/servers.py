"""Servers that tests need: what is reachable, else what the installed program can be."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

_REDIS_PORT: Final = 6379
_REDIS_URL: Final = "redis://127.0.0.1:{}/0"


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
