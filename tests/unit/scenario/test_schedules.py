"""What a schedule is, what it chooses, and how it is written."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from pytest_taskprogress.scenario import Schedule

CODES = [
    "Schedule()",
    "Schedule(0)",
    "Schedule(1, 0, 2)",
    "Schedule(seed=7)",
    "Schedule(seed=-1)",
    "Schedule(3, 1, seed=0)",
]


@pytest.mark.parametrize("code", CODES)
def test_its_repr_is_code(code):
    """It makes an equal one."""
    schedule = eval(code)  # noqa: S307 - the point of the test
    assert repr(schedule) == code
    assert schedule == eval(repr(schedule))  # noqa: S307
    assert copy.deepcopy(schedule) == schedule == pickle.loads(pickle.dumps(schedule))  # noqa: S301


def test_it_is_a_value():
    """Equal if made the same way, one in a set; it does not change."""
    made = [eval(code) for code in CODES]  # noqa: S307
    assert len({*made, *map(copy.copy, made)}) == len(CODES)
    assert Schedule(0) != Schedule()
    assert Schedule(seed=0) != Schedule()
    with pytest.raises(FrozenInstanceError):
        made[0].seed = 3


def test_choices_in_order():
    """Each is taken once; then it is always the first."""
    choose = Schedule(2, 0, 1).chooser()
    assert [choose(3) for _ in range(6)] == [2, 0, 1, 0, 0, 0]


def test_a_choice_that_is_too_large():
    """It begins with 0 again."""
    choose = Schedule(5, 5, 10**30).chooser()
    assert [choose(3), choose(5), choose(7)] == [2, 0, 10**30 % 7]


def test_by_chance():
    """After the choices by the seed, the same each time it is begun with; all can be."""
    schedule = Schedule(1, seed=3)
    one, other = schedule.chooser(), schedule.chooser()
    chosen = [one(4) for _ in range(100)]
    assert chosen == [other(4) for _ in range(100)]
    assert chosen[0] == 1
    assert set(chosen) == {0, 1, 2, 3}
    choose = Schedule(seed=4).chooser()
    assert chosen[1:] != [choose(4) for _ in range(99)]


def test_beginning_anew():
    """A chooser does not use up the schedule."""
    schedule = Schedule(1, 2)
    schedule.chooser()(3)
    assert schedule.chooser()(3) == 1


@pytest.mark.parametrize("choice", [-1, 1.0, "1", None, True, [0]], ids=repr)
def test_what_is_no_choice(choice):
    """A choice is a whole number of 0 or more; the message shows what came."""
    with pytest.raises(ValueError, match="a Schedule takes whole numbers of 0 or more") as caught:
        Schedule(0, choice)
    assert str(caught.value).endswith(f"got {choice!r}")


@pytest.mark.parametrize("seed", [1.0, "7", True, [0]], ids=repr)
def test_what_is_no_seed(seed):
    """A seed is a whole number."""
    with pytest.raises(ValueError, match="the seed of a Schedule is a whole number, got seed="):
        Schedule(seed=seed)
