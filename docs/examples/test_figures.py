"""Who waits lets the worker work; who waits for nothing is told so."""

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError
from figures import HOUR, check_out, close_month, pay, turnover

from pytest_taskprogress import DeadlockError


def test_until_the_result_is_there(taskprogress):
    """What waits in front of it runs first; what waits behind it goes on waiting."""
    with taskprogress.paused():
        graz, linz, wels = (turnover.delay(branch) for branch in ("Graz", "Linz", "Wels"))
        assert linz.get() == 800
        assert (graz.state, wels.state) == ("SUCCESS", "PENDING")


def test_in_a_task(taskprogress):
    """The branches' tasks run while the task that asked for them waits."""
    run = taskprogress.run(close_month, ["Graz", "Linz"])

    assert run.result == 2000
    assert [each.name for each in run.history] == [
        "figures.turnover",
        "figures.turnover",
        "figures.close_month",
    ]


def test_branches_that_are_late(taskprogress):
    """A timeout is one of the engine's clock: an hour takes no time, and is over after an hour."""
    assert taskprogress.run(close_month, ["Graz"], due=HOUR).result == 1200

    late = taskprogress.run(close_month, ["Graz"], due=HOUR + 1)
    assert isinstance(late.exception, CeleryTimeoutError)


def test_a_page_that_gives_up(taskprogress):
    """After a time-out the message waits as before, and can be waited for again."""
    with taskprogress.paused():
        result = turnover.apply_async(("Graz",), countdown=60)
        with pytest.raises(CeleryTimeoutError):
            result.get(timeout=10)
        assert taskprogress.clock.monotonic() == 10
        assert result.get(timeout=50) == 1200


def test_a_deadlock(taskprogress):
    """Two tasks that wait for each other are named, in a circle."""
    with taskprogress.paused():
        check_out(7)

    with pytest.raises(DeadlockError) as raised:
        pay.AsyncResult("pay-7").get()
    circle = "figures.pay[pay-7] -> figures.ship[ship-7] -> figures.pay[pay-7]"
    assert str(raised.value).splitlines() == [
        f"tasks wait for each other: {circle}.",
        "  figures.pay[pay-7] waits for ship-7 (PENDING)",
        "  figures.ship[ship-7] waits for pay-7 (PENDING)",
        "Waiting to be run:",
        "  nothing",
    ]
