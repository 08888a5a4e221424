"""What is shown of something long: its ends, and what is worth a look in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Gap", "shown"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gap:
    """So many were left out here."""

    count: int


def shown(
    sequence: Sequence[T], most: int, worth_a_look: Callable[[T], bool] = lambda _: False
) -> list[T | Gap]:
    """All of a sequence, if it is short; else its ends, and in between what is worth a look.

    Args:
        sequence: Of any length.
        most: How many make up its ends; and how many are kept between them, of the first ones.
        worth_a_look: Which are kept.
    """
    count = len(sequence)
    if count <= most + 1:  # a gap takes a line, too
        return list(sequence)
    half = most // 2
    between = [each for each in range(half, count - half) if worth_a_look(sequence[each])][:most]
    result: list[T | Gap] = []
    before = -1
    for position in (*range(half), *between, *range(count - half, count)):
        if position > before + 1:
            result.append(Gap(position - before - 1))
        result.append(sequence[position])
        before = position
    return result
