"""Ids of tasks that are the same whenever the seed is: else no history is like another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from kombu.utils.uuid import uuid

__all__ = ["seeded_ids"]


@contextmanager
def seeded_ids(seed: int | None) -> Iterator[None]:
    """Let Celery draw the ids that it makes from a seed, until left.

    Args:
        seed: None: ids are random, as always.
    """
    if seed is None:
        yield
        return
    source = random.Random(seed)  # noqa: S311 - no secret
    before = uuid.__defaults__
    # Celery's modules have the function by its name; what it calls is the default of its argument.
    uuid.__defaults__ = (lambda: UUID(int=source.getrandbits(128), version=4),)
    try:
        yield
    finally:
        uuid.__defaults__ = before
