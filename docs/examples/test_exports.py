"""What the operator's page asks of the worker, and tells it."""

import exports
import pytest
from exports import app, cancel, nightly, order, slow_down, waiting

from pytest_taskprogress import NeedsRealWorker


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return exports.app


def test_what_waits(taskprogress):
    """The page lists what is ordered and has not begun."""
    with taskprogress.paused():
        order("acme", "users", "orders")
        taskprogress.step()
        assert waiting() == [["acme", "orders"]]


def test_a_customer_cancels(taskprogress):
    """What has the customer's stamp is revoked; what others have ordered runs."""
    with taskprogress.paused():
        [acme] = order("acme", "users")
        [other] = order("other", "users")
        cancel("acme")

    assert (acme.state, other.state) == ("REVOKED", "SUCCESS")


def test_slower(taskprogress):
    """A rate limit that is set holds at once, and is gone after the test."""
    slow_down(per_minute=6)
    with taskprogress.paused():
        order("acme", "users", "orders", "items")

    assert [each.at for each in taskprogress.history] == [0, 10, 20]


def test_a_task_that_looks_for_another_one(taskprogress):
    """A task that asks what is active finds itself."""
    assert taskprogress.run(nightly).result == "begun"


@pytest.mark.usefixtures("taskprogress")
def test_what_needs_a_real_worker():
    """There is no process to stop, and the error says what else works."""
    with pytest.raises(NeedsRealWorker, match=r"'shutdown' needs a real worker"):
        app.control.shutdown()


@pytest.mark.usefixtures("taskprogress")
def test_a_command_of_ones_own():
    """A command that the project registers is carried out by the worker in this process."""
    [answer] = app.control.broadcast("release", reply=True)
    assert list(answer.values()) == ["2026.3"]
