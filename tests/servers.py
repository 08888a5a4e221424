"""Servers that tests need: what is reachable, else what the installed program can be."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn
from uuid import uuid4

import celery
import pytest

SQLALCHEMY: Final = {"sqlalchemy": "celery[sqlalchemy]"}
# Celery < 5.7 has another client, in an extra of the same name: goes with 5.6 support.
_MEMCACHED_CLIENT: Final = (
    "memcache" if celery.__version__.startswith(("5.5.", "5.6.")) else "pymemcache"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server. In its texts {port} and {directory}, an empty one, stand for its own."""

    #: What people call it.
    name: str
    #: The modules that Celery reaches it by, each with what to install for it.
    clients: Mapping[str, str]
    #: The usual one.
    port: int
    #: Where it is, for Celery or, a database, for SQLAlchemy.
    url: str
    #: What starts it.
    command: str
    #: What it prints when clients may come.
    ready: str
    #: What fills its directory before that.
    prepare: str | None = None
    #: Who runs it in place of root, as whom it refuses to.
    user: str | None = None
    #: What ends it.
    stop: signal.Signals = signal.SIGTERM

    @property
    def commands(self) -> list[str]:
        """What prepares it and what starts it, in this order."""
        return [self.prepare, self.command] if self.prepare else [self.command]


REDIS: Final = Server(
    name="Redis",
    clients={"redis": "celery[redis]"},
    port=6379,
    url="redis://127.0.0.1:{port}/0",
    command="redis-server --bind 127.0.0.1 --port {port} --save ''",
    ready="Ready to accept connections",
)
MEMCACHED: Final = Server(
    name="memcached",
    clients={_MEMCACHED_CLIENT: "celery[pymemcache]"},
    port=11211,
    url="cache+memcached://127.0.0.1:{port}/",
    command="memcached -u root -l 127.0.0.1 -p {port} -vv",  # -vv: else it does not say when
    ready="server listening",
)
POSTGRES: Final = Server(
    name="PostgreSQL",
    clients={**SQLALCHEMY, "psycopg2": "psycopg2-binary"},
    port=5432,
    url="postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres",
    prepare="initdb --username=postgres --auth=trust --no-locale --encoding=UTF8 -D {directory}",
    command="postgres -D {directory} -h 127.0.0.1 -p {port} -k '' -F",
    ready="ready to accept connections",
    user="postgres",
    stop=signal.SIGINT,  # SIGTERM would wait for clients to leave
)
MARIADB: Final = Server(
    name="MariaDB",
    clients={**SQLALCHEMY, "pymysql": "pymysql"},
    port=3306,
    url="mysql+pymysql://root@127.0.0.1:{port}?ssl_disabled=true",  # else a TLS context each
    # tmpdir: one that starts deletes the temporary tables of those it shares this with.
    prepare="mariadb-install-db --no-defaults --auth-root-authentication-method=normal"
    " --datadir={directory} --tmpdir={directory}",
    command="mariadbd --no-defaults --datadir={directory} --tmpdir={directory}"
    " --socket={directory}/socket --bind-address=127.0.0.1 --port={port}",
    ready="ready for connections",
    user="mysql",
)


def lacking(reason: str) -> NoReturn:
    """Skip a test that needs something this machine lacks; with CI=true, fail it."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


def need(clients: Mapping[str, str]) -> None:
    """Skip, or fail, a test where one of these modules is not installed."""
    for module, package in clients.items():
        if importlib.util.find_spec(module) is None:
            lacking(f"{module} is not installed: pip install '{package}'")


def close_client(backend: Any) -> None:
    """Close the connections that a Redis or memcached backend keeps; the others keep none."""
    if hasattr(backend, "result_consumer"):
        backend.result_consumer.stop()
        # A result that is collected later would connect again, to unsubscribe.
        backend.result_consumer._pubsub = None
        backend.client.close()
        backend.client.connection_pool.disconnect()
    elif hasattr(backend, "client"):
        for name in ("close", "disconnect_all"):  # pymemcache, python-memcached; memory has none
            getattr(backend.client, name, lambda: None)()


@contextmanager
def served(server: Server) -> Iterator[str]:
    """Where a server of the kind is: at the usual port, else at one that it is started on."""
    need(server.clients)
    if _reachable(server.port):
        yield server.url.format(port=server.port)
        return
    if not all(shutil.which(command.split()[0]) for command in server.commands):
        command = " && ".join(server.commands).format(port=server.port, directory="DIRECTORY")
        lacking(f"no {server.name} at port {server.port}: {command}")
    port = _free_port()
    with _running(server, port):
        yield server.url.format(port=port)


@contextmanager
def _running(server: Server, port: int) -> Iterator[None]:
    user = server.user if os.geteuid() == 0 else None
    with TemporaryDirectory() as directory:
        if user:
            shutil.chown(directory, user)
        *prepare, command = (
            [part.format(port=port, directory=directory) for part in shlex.split(command)]
            for command in server.commands
        )
        for each in prepare:
            subprocess.run(each, check=True, stdout=subprocess.DEVNULL, cwd=directory, user=user)
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
            user=user,
        ) as process:
            try:
                assert process.stdout
                if not any(server.ready in line for line in process.stdout):
                    lacking(f"{command[0]} ended at once, on port {port}")
                process.stdout.close()  # a pipe that nobody reads would fill up, and stop it
                yield
            finally:
                process.send_signal(server.stop)


@contextmanager
def database(url: str) -> Iterator[str]:
    """A database on a server, named as Celery does: made for this long, and dropped."""
    import sqlalchemy

    name = f"taskprogress_{uuid4().hex}"
    engine = sqlalchemy.create_engine(
        url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    try:
        connection = engine.connect()
    except sqlalchemy.exc.OperationalError as error:
        lacking(f"{url} does not let us in: {error.orig}")
    with connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield f"db+{engine.url.set(database=name)}"
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis, as Celery is told where."""
    with served(REDIS) as url:
        yield url


@pytest.fixture(scope="session")
def memcached_url() -> Iterator[str]:
    """A memcached, as Celery is told where."""
    with served(MEMCACHED) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of the session's own on a PostgreSQL, as Celery is told where."""
    with served(POSTGRES) as url, database(url) as own:
        yield own


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A database of the session's own on a MariaDB, as Celery is told where."""
    with served(MARIADB) as url, database(url) as own:
        yield own


def _reachable(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
