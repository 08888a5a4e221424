"""The servers of the tests: started where none is reachable, and ended."""

from __future__ import annotations

import shutil
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests import servers
from tests.servers import MARIADB, MEMCACHED, POSTGRES, REDIS, database, need, served

reachable = servers._reachable


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No server is at its usual port, and this machine need not have every program."""
    monkeypatch.setattr(servers, "_reachable", lambda port: False)
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    "server", [REDIS, MEMCACHED, POSTGRES, MARIADB], ids=lambda server: server.name
)
def test_server_is_there_for_as_long_as_it_is_served(server):
    """One is started on a port of its own; afterwards nothing is at that port."""
    with served(server) as url:
        port = urlsplit(url).port
        assert port != server.port
        assert reachable(port)
    assert not reachable(port)


@pytest.mark.parametrize("server", [POSTGRES, MARIADB], ids=lambda server: server.name)
def test_database_is_dropped(server):
    """A database takes tables while it is lent, and is no more afterwards."""
    with served(server) as url:
        import sqlalchemy

        with database(url) as own:
            engine = sqlalchemy.create_engine(own.removeprefix("db+"))
            with engine.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE beats (n INTEGER)")
            engine.dispose()
        with pytest.raises(
            sqlalchemy.exc.OperationalError, match=r"(?i)not exist|unknown database"
        ):
            engine.connect()


def test_database_whose_server_refuses_is_lacking():
    """A server that does not let us in skips the test with what it said."""
    need(POSTGRES.clients)
    skips = pytest.raises(pytest.skip.Exception, match=r"does not let us in: .*refused")
    with skips, database(POSTGRES.url.format(port=1)):
        pytest.fail("nobody is at port 1")


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_server_that_cannot_be_started_is_lacking(monkeypatch, ci, outcome):
    """Without the program a test is skipped, with CI=true failed; the command is named."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    told = pytest.raises(
        outcome, match=r"^no PostgreSQL at port 5432: initdb .* && postgres .*5432"
    )
    with told, served(replace(POSTGRES, clients={})):
        pytest.fail("there is no program to start")


def test_server_that_ends_at_once_is_lacking():
    """A program that does not get ready is named with its port."""
    server = replace(MEMCACHED, clients={}, command="false {port}")
    skips = pytest.raises(pytest.skip.Exception, match=r"^false ended at once, on port \d+$")
    with skips, served(server):
        pytest.fail("it is not ready")


@pytest.mark.parametrize("server", [REDIS, MARIADB], ids=lambda server: server.name)
def test_reachable_server_is_taken(monkeypatch, server):
    """What is at the usual port is used as it is: nothing is started."""
    monkeypatch.setattr(servers, "_reachable", lambda port: port == server.port)
    monkeypatch.setattr(servers, "_running", None)
    with served(replace(server, clients={})) as url:
        assert urlsplit(url).port == server.port


def test_missing_client_is_named():
    """A module that is not installed skips the test with what installs it."""
    with pytest.raises(pytest.skip.Exception, match=r"^no_such_client .* 'some-package'$"):
        need({"no_such_client": "some-package"})
