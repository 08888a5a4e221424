"""Celery's unit tests of its result backends on one certain backend: a pytest plugin.

Loaded by `-p on_backend --on-backend fake`. The backend takes the place of Celery's abstract ones,
and of the one in memory; the small backends that the tests define inherit from it. Nothing else is
changed. `--on-backend cache` takes Celery's own backend in memory: what fails on that, too, is
about something that a key-value backend is not.
"""

from __future__ import annotations

from functools import cached_property

import pytest
from celery.backends.cache import CacheBackend, DummyClient

from pytest_taskprogress.engines.backend import FakeBackend

#: Classes that the modules of tests import.
_REPLACED = ("BaseBackend", "CacheBackend", "KeyValueStoreBackend")
#: Classes that they define, which inherit from one of these, and what of them is taken away: their
#: own store, so that the one of the backend is what is tested.
_REBASED = {
    "DictBackend": (),
    "KVBackend": ("__init__", "get", "_set_with_state", "mget", "delete"),
}


class _Noting:
    """A backend that notes which backends were made; the first base of those below."""

    made: list[object] = []  # noqa: RUF012 - the same list for all of them

    def __init__(self, *args, **kwargs):
        """Note that one is made, even if it refuses its arguments."""
        self.made.append(self)
        super().__init__(*args, **kwargs)


class _Fake(_Noting, FakeBackend):
    """The fake backend, with what tests use to prepare a store and to look into it."""

    @cached_property
    def client(self):
        """What `CacheBackend` stores with: here, the backend."""
        return self

    @property
    def db(self):
        """What is stored, by key."""
        return {key: self._payload(key) for key in self._store._records}

    @db.setter
    def db(self, payloads):
        """Store what another backend has stored."""
        for key, payload in payloads.items():
            self.set(key, payload)


class _Cache(_Noting, CacheBackend):
    """Celery's backend in memory."""

    def __init__(self, *args, **kwargs):
        """Make it; a test that expects another class of backend says nothing about the client."""
        super().__init__(*args, **{"backend": "memory://", **kwargs})

    @property
    def db(self):
        """What is stored, by key."""
        return self.client.cache

    @db.setter
    def db(self, payloads):
        """Take the store of another backend."""
        self.client.cache = payloads


_BACKENDS = {"fake": _Fake, "cache": _Cache}


def pytest_addoption(parser):
    """Add the option that chooses the backend."""
    parser.addoption("--on-backend", choices=_BACKENDS, required=True, help="fake, or cache")


def pytest_collection_finish(session):
    """Replace the backends in the modules of all tests that were found."""
    backend = _BACKENDS[session.config.getoption("--on-backend")]
    for module in {item.module for item in session.items}:
        for name, own_store in _REBASED.items():
            defined = getattr(module, name, None)
            if defined is not None:
                # In place: they are default arguments and bases, too.
                defined.__bases__ = (backend,)
                for method in own_store:
                    delattr(defined, method)
        for name in _REPLACED:
            if hasattr(module, name):
                setattr(module, name, backend)


@pytest.fixture(autouse=True)
def applies(record_property):
    """Record whether a test makes a backend: one that makes none says nothing about ours."""
    _Noting.made.clear()
    DummyClient().cache.clear()  # the process has one
    yield
    record_property("makes_backend", bool(_Noting.made))
    _Noting.made.clear()
