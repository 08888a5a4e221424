"""What runs when, on the eager engine."""

import pytest
from celery import Celery
from reminders import DAY, mail, order, price, prices, quote

from pytest_taskprogress import DeadlockError, EagerEngine


def test_a_chain(taskprogress):
    """The run of a chain is that of its last task; the others are its children."""
    run = taskprogress.run(quote("ink"))

    assert (run.name, run.result) == ("reminders.with_tax", 6.0)
    assert [child.name for child in run.children] == ["reminders.price"]


def test_a_group(taskprogress):
    """The run of a group has the results of its members, and the first bad state of them."""
    assert taskprogress.run(prices("pen", "ink")).result == [2, 5]

    bad = taskprogress.run(prices("pen", "gold"))
    assert bad.state == "FAILURE"
    assert isinstance(bad.exception, KeyError)


def test_what_a_task_publishes_runs_after_it(taskprogress):
    """As on a worker with one process; and the reminder comes a day later."""
    run = taskprogress.run(order, "ink")

    assert [(each.name, each.at, each.result) for each in run.history] == [
        ("reminders.order", 0.0, "ordered"),
        ("reminders.mail", 0.0, "sent: You ordered ink"),
        ("reminders.mail", DAY, "sent: Please pay for ink"),
    ]
    assert run.elapsed == DAY


def test_one_message_at_a_time(taskprogress):
    """In paused() the test says what runs; the clock moves only to what is due next."""
    with taskprogress.paused():
        order.delay("pen")
        taskprogress.step()
        taskprogress.step()
        assert taskprogress.clock.monotonic() == 0.0
        assert [(each.name, each.at) for each in taskprogress.pending] == [("reminders.mail", DAY)]

        assert taskprogress.drain() == 1
        assert taskprogress.clock.monotonic() == DAY
        assert not taskprogress.pending


def test_a_result_that_nothing_can_produce(taskprogress):
    """Waiting for it is an error at once, not after a time-out."""
    with pytest.raises(DeadlockError, match="nothing will produce"):
        mail.AsyncResult("an id of yesterday").get(timeout=10)


def test_waiting_lets_the_worker_work(taskprogress):
    """Whoever waits for a result lets the worker run what waits, until the result is there."""
    with taskprogress.paused():
        result = mail.delay("hello")
        assert result.state == "PENDING"
        assert result.get(timeout=10) == "sent: hello"


def test_without_the_fixture():
    """An engine is a context manager, and leaves the app as it was."""
    app = Celery("shop", backend="cache+memory://", set_as_current=False)

    @app.task
    def double(number):
        return 2 * number

    with EagerEngine(app) as engine:
        assert engine.run(double, 4).result == 8
    assert type(app.backend).__name__ == "CacheBackend"
    assert price.app is not app
