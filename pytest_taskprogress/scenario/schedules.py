"""Schedules: what is run next, where there is a choice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.printing import AsCode

__all__ = ["Schedule"]


@dataclass(frozen=True, init=False, repr=False)
class Schedule:
    """What is run next, wherever more than one thing could be.

    Under a schedule tasks run beside each other, as on a worker with many processes: at each write,
    at each abort check and while it waits for a result, a task may have to stand still while
    another one begins or goes on. Messages are taken in any order; what has an eta waits for it.

    ::

        taskprogress.under(schedule=Schedule(1, 0, 2)).run(group(tasks))
        taskprogress.under(schedule=Schedule(seed=7)).run(group(tasks))

    Args:
        choices: One for each choice: 0 lets go on what runs; k takes the kth other one, of the
            tasks that stand still, in the order of their starts, and then of the messages, in the
            order of their publication. One that is too large begins with 0 again.
        seed: What comes after the choices is random, by this seed; None: it is 0.

    Raises:
        ValueError: If a choice is no whole number of 0 or more, or the seed is no whole number.
    """

    choices: tuple[int, ...]
    seed: int | None

    def __init__(self, *choices: int, seed: int | None = None) -> None:
        for each in choices:
            if not _is_whole(each) or each < 0:
                message = (
                    "a Schedule takes whole numbers of 0 or more, one for each choice, got"
                    f" {as_repr(each)}"
                )
                raise ValueError(message)
        if seed is not None and not _is_whole(seed):
            message = f"the seed of a Schedule is a whole number, got seed={as_repr(seed)}"
            raise ValueError(message)
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "seed", seed)

    def chooser(self) -> Callable[[int], int]:
        """Begin with the first choice.

        Returns:
            What takes how many there are, and returns which, from 0.
        """
        choices = iter(self.choices)
        by_chance = None if self.seed is None else random.Random(self.seed)  # noqa: S311

        def choose(count: int) -> int:
            choice = next(choices, None)
            if choice is not None:
                return choice % count
            return 0 if by_chance is None else by_chance.randrange(count)

        return choose

    def __repr__(self) -> str:
        parts = [*map(repr, self.choices), *([] if self.seed is None else [f"seed={self.seed}"])]
        return f"Schedule({', '.join(parts)})"

    _repr_pretty_ = AsCode()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
