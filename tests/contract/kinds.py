"""Kinds of result backends that the suite runs over."""

from __future__ import annotations

from typing import Final

#: What Celery calls key-value backends: one encoded record under one key.
KEY_VALUE: Final = ("fake", "cache", "filesystem", "redis", "memcached")
#: What Celery reaches through SQLAlchemy: a row for each record.
DATABASES: Final = ("sqlite", "postgresql", "mariadb")
