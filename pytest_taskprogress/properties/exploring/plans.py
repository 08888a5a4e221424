"""What is tried with a task: its arguments, a scenario, a schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import strategies as st

from pytest_taskprogress.scenario import Event, Happened, Moment, Schedule

__all__ = ["MODES", "Plan", "Recorded", "as_happened", "plans"]


@dataclass(frozen=True, repr=False)
class Plan:
    """One way to run a task.

    Attributes:
        calls: The arguments of each copy that is run; more than one are a group.
        events: What happens to them.
        schedule: What runs next; None: one after the other.
        swept: What is done to it at each of its moments, in a run each; None: it is one run.
    """

    calls: tuple[Any, ...]
    events: tuple[Event, ...] = ()
    schedule: Schedule | None = None
    swept: Callable[[Moment], Event] | None = None

    def __repr__(self) -> str:
        # What is swept may be a class, or a partial: it is known when it was.
        return f"Plan({self.calls!r}, {self.events!r}, {self.schedule!r})"

    @property
    def is_undisturbed(self) -> bool:
        """Whether nothing is done to it, and it is alone."""
        return len(self.calls) == 1 and not self.events and self.schedule is None

    @property
    def smaller(self) -> list[Plan]:
        """What could be left out of it, a plan each."""
        events = [
            replace(self, events=self.events[:index] + self.events[index + 1 :])
            for index in range(len(self.events))
        ]
        calls = [
            replace(self, calls=self.calls[:index] + self.calls[index + 1 :])
            for index in range(len(self.calls))
            if len(self.calls) > 1
        ]
        return [*calls, *events, *self._shorter_schedules()]

    def _shorter_schedules(self) -> Iterator[Plan]:
        """With a schedule that ends sooner, and then with one that lets go on what runs."""
        if self.schedule is None:
            return
        yield replace(self, schedule=None)
        choices = self.schedule.choices
        for length in (0, 1, 2, 3, 4, 6, 8, *range(10, len(choices), 5), len(choices) - 1):
            if length < len(choices):
                yield replace(self, schedule=Schedule(*choices[:length]))
        for index, choice in enumerate(choices):
            if choice:
                lower = (*choices[:index], choice - 1, *choices[index + 1 :])
                yield replace(self, schedule=Schedule(*lower))


class Recorded(Schedule):
    """A schedule by chance that remembers what it chose.

    Args:
        seed: What is chosen.

    Attributes:
        chosen: The choices.
    """

    chosen: list[int]

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        object.__setattr__(self, "chosen", [])

    def chooser(self) -> Callable[[int], int]:
        """Begin with the first choice."""
        choose = super().chooser()
        self.chosen.clear()

        def noted(count: int) -> int:
            choice = choose(count)
            self.chosen.append(choice)
            return choice

        return noted

    @property
    def as_choices(self) -> Schedule:
        """The same, without the seed: those at the end that change nothing are left out."""
        choices = list(self.chosen)
        while choices and not choices[-1]:
            choices.pop()
        return Schedule(*choices)


#: How a task is tried, the simplest first: what is found shrinks towards it.
#: The last one is as good as two: it takes copies, arguments and a schedule that fit together.
MODES: Final = ("alone", "swept", "disturbed", "together", "together")
#: Schedules are drawn by chance, and made smaller by hand: Hypothesis' lists are mostly short.
_SEEDS: Final = 2**16


@st.composite
def plans(
    draw: st.DrawFn,
    *,
    modes: Sequence[str],
    arguments: st.SearchStrategy[Any],
    scenarios: st.SearchStrategy[tuple[Event, ...]],
    swept: Sequence[Callable[[Moment], Event]],
    max_copies: int,
) -> Plan:
    """Draw plans.

    Args:
        draw: Hypothesis gives it.
        modes: Of `MODES`, those that may be.
        arguments: Of one call.
        scenarios: What may happen to a call.
        swept: What may be done at each moment.
        max_copies: How many are run beside each other, at most.
    """
    mode = draw(st.sampled_from(modes))
    if mode != "together":
        calls = (draw(arguments),)
        events = draw(scenarios) if mode == "disturbed" else ()
        kind = swept[draw(st.integers(0, len(swept) - 1))] if mode == "swept" else None
        return Plan(calls, events, swept=kind)
    calls = tuple(draw(st.lists(arguments, min_size=2, max_size=max_copies)))
    schedule = Recorded(draw(st.integers(0, _SEEDS)))
    return Plan(calls, draw(st.just(()) | scenarios), schedule)


def as_happened(happened: Sequence[Happened]) -> tuple[Event, ...]:
    """The events that took place, each at a moment that must come."""
    return tuple(
        replace(each.event, at=replace(each.event.at, may_miss=False)) for each in happened
    )
