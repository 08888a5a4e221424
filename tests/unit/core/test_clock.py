from __future__ import annotations

import math
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_taskprogress.core import clock as module
from pytest_taskprogress.core.clock import Clock, VirtualClock


def test_clock_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real clock reads the machine's two clocks, and keeps them apart."""
    machine = SimpleNamespace(monotonic=lambda: 7.5, time=lambda: 86_400.25)
    monkeypatch.setattr(module, "time", machine)
    clock = Clock()
    assert clock.monotonic() == 7.5
    assert clock.time() == 86_400.25
    assert clock.now() == datetime(1970, 1, 2, 0, 0, 0, 250_000, tzinfo=timezone.utc)


def test_virtual_clock_begins_at_a_whole_second_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a start it stands for the machine's time, and reads 0.0."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 1_000.75))
    clock = VirtualClock()
    assert (clock.monotonic(), clock.time()) == (0.0, 1_000.0)


def test_virtual_clock_stands_still() -> None:
    """It does not move by itself."""
    clock = VirtualClock(0)
    assert [clock.monotonic() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_advance_moves_every_reading() -> None:
    """monotonic, time and now move together; advance returns the new reading."""
    clock = VirtualClock(60)
    assert clock.advance(1.5) == 1.5
    assert clock.advance(0) == 1.5
    assert clock.monotonic() == 1.5
    assert clock.time() == 61.5
    assert clock.now() == datetime(1970, 1, 1, 0, 1, 1, 500_000, tzinfo=timezone.utc)


def test_advance_keeps_microseconds_exact() -> None:
    """Many small steps make the sum that a person would write, without float dust."""
    clock = VirtualClock(0)
    for _ in range(10):
        clock.advance(0.1)
    assert clock.monotonic() == 1.0


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf])
def test_advance_only_moves_forward(seconds: float) -> None:
    """A step that is negative or not finite is refused by its value, and moves nothing."""
    clock = VirtualClock(0)
    with pytest.raises(ValueError, match=rf"only moves forward.*got seconds={seconds!r}"):
        clock.advance(seconds)
    assert clock.monotonic() == 0.0


@pytest.mark.parametrize(("elapsed", "reading"), [(5.0, 5.0), (2.0, 2.0), (1.0, 2.0), (-1.0, 2.0)])
def test_jump_goes_forward_or_nowhere(elapsed: float, reading: float) -> None:
    """A reading that has passed changes nothing."""
    clock = VirtualClock(0)
    clock.advance(2.0)
    clock.jump_to(elapsed)
    assert clock.monotonic() == reading


def test_at_reads_a_unix_time() -> None:
    """A unix time becomes the reading at which it comes, to the microsecond; past ones below 0."""
    clock = VirtualClock(1_000_000_000)
    assert clock.at(1_000_000_060) == 60.0
    assert clock.at(1_000_000_000.1234564) == 0.123456
    assert clock.at(999_999_999) == -1.0


def test_restart_begins_again() -> None:
    """After a restart the clock reads 0.0 of another start."""
    clock = VirtualClock(10)
    clock.advance(5)
    clock.restart(20.9)
    assert (clock.monotonic(), clock.time()) == (0.0, 20.0)


def test_repr_shows_the_reading() -> None:
    """The repr tells how far it has been moved."""
    clock = VirtualClock(0)
    clock.advance(2.5)
    assert repr(clock) == "VirtualClock(elapsed=2.5)"


@pytest.mark.parametrize("make", [Clock, lambda: VirtualClock(0)], ids=["real", "virtual"])
def test_monotonic_never_falls(make: Any) -> None:
    """Two readings are in order on either clock."""
    clock = make()
    assert clock.monotonic() <= clock.monotonic()


def test_a_follower_is_told_of_every_move():
    """Somebody who keeps another clock hears of each move, until they stop to follow."""
    clock, heard = VirtualClock(), []
    with clock.followed_by(lambda each: heard.append(each.monotonic())) as same:
        assert same is clock
        clock.advance(5)
        clock.jump_to(3)
        clock.jump_to(7)
        clock.restart()
    clock.advance(1)
    assert heard == [5.0, 7.0, 0.0]
