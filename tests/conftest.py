"""What the tests of all parts need: an app whose tasks are its own."""

from __future__ import annotations

import pytest
from celery import Celery

from pytest_taskprogress import EagerEngine
from tests.servers import (  # noqa: F401 - fixtures
    mariadb_url,
    memcached_url,
    postgres_url,
    redis_url,
)


class IsolatedApp(Celery):
    """A Celery app whose tasks are not shared with every app that is made after it."""

    def task(self, *args, **options):
        """`Celery.task`, with `shared=False`."""
        return super().task(*args, **{"shared": False, **options})


@pytest.fixture
def app():
    """An app whose broker and backend do not exist."""
    return IsolatedApp(
        "tests", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False
    )


@pytest.fixture
def engine(app):
    """An eager engine on the app."""
    with EagerEngine(app) as engine:
        yield engine
