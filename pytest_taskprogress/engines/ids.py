"""Ids of tasks that are the same whenever the seed is: else no history is like another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from uuid import UUID

from celery.utils import time as celery_time
from kombu.utils.uuid import uuid

from pytest_taskprogress.engines.keeping import replace

__all__ = ["seeded_ids"]

#: Of the engines that have a seed; what is drawn comes of the last one.
_sources: Final[list[random.Random]] = []
_undo: Final = ExitStack()


@contextmanager
def seeded_ids(source: random.Random) -> Iterator[None]:
    """Let Celery draw from a seed, until left: the ids that it makes, and the jitter of retries.

    Args:
        source: What was made of the seed.
    """
    if not _sources:
        # Celery's modules have the function by its name; what it calls is the default of its
        # argument. The jitter is drawn from the module `random`.
        before = uuid.__defaults__
        uuid.__defaults__ = (lambda: UUID(int=_sources[-1].getrandbits(128), version=4),)
        _undo.callback(setattr, uuid, "__defaults__", before)
        replace(_undo, celery_time, "random", _Chance())
    _sources.append(source)
    try:
        yield
    finally:
        # Not always the last one: engines may be left in any order.
        _sources.remove(source)
        if not _sources:
            _undo.close()


class _Chance:
    """What Celery asks of the module `random` for a jitter."""

    def randrange(self, stop: int) -> int:
        return _sources[-1].randrange(stop)
