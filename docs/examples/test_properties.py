"""What holds for any input: of tasks, whatever happens to them, and of those who read progress."""

import properties
import pytest
from celery import chain, group
from hypothesis import given
from hypothesis import strategies as st
from properties import (
    careless_page,
    count_stock,
    import_prices,
    order_page,
    pay,
    progress_page,
    reserve,
)

from pytest_taskprogress import (
    ConsumerFailed,
    Contract,
    Rule,
    as_group_results,
    as_results,
    check_consumer,
    explore,
)
from pytest_taskprogress.checks import Figure
from pytest_taskprogress.scenario import (
    CrashWorker,
    Delay,
    FailRead,
    FailWrite,
    Redeliver,
    Schedule,
    at_report,
)
from pytest_taskprogress.strategies import (
    ProgressSequence,
    progress_sequences,
    scenarios,
    schedules,
    task_arguments,
)


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return properties.app


@pytest.fixture(autouse=True)
def _empty_tables():
    """No test finds what another one left."""
    yield
    for table in (properties.prices, properties.bookings, properties.stock):
        table.clear()


# -- tasks ----------------------------------------------------------------------------------------


@given(arguments=task_arguments(import_prices), scenario=scenarios())
def test_imports_keep_their_contract(taskprogress, arguments, scenario):
    """Whatever is imported, and whatever happens meanwhile."""
    run = taskprogress.under(*scenario).run(import_prices, *arguments.args, **arguments.kwargs)

    run.check()


def test_a_connection_that_is_lost(taskprogress):
    """The second report is refused: the task asks for another attempt, as by any such error."""
    lost = FailWrite(at_report(1), ConnectionError("lost"))

    run = taskprogress.under(lost).run(count_stock, ["left", "right"])

    assert run.matches("PROGRESS RETRY PROGRESS{2} SUCCESS")
    assert run.elapsed == 60


def test_an_end_that_cannot_be_stored(taskprogress):
    """SUCCESS is refused: the worker stores a FAILURE, although the task has done its work."""
    down = FailWrite(at_report(2), OSError("disk full"))

    run = taskprogress.under(down).run(count_stock, ["left", "right"])

    assert run.matches("PROGRESS{2} FAILURE")
    assert str(run.exception) == "disk full"


def test_an_abort_check_that_cannot_be_read(taskprogress):
    """The task looks whether it is to abort, and fails, as it does not know."""
    rows = [{"article": "lamp", "cents": 900}] * 2
    down = FailRead(at_report(1), TimeoutError("no answer in 5 s"))

    run = taskprogress.under(down).run(import_prices, rows)

    assert run.matches("PROGRESS FAILURE")
    assert str(run.exception) == "no answer in 5 s"


def test_a_worker_that_dies(taskprogress):
    """The message was acknowledged when the task began: nobody does the rest of it."""
    run = taskprogress.under(CrashWorker(at_report(1))).run(count_stock, ["left", "right"])

    assert run.lost
    assert run.states == ["PROGRESS"]


def test_a_worker_that_dies_late(taskprogress):
    """With `acks_late` the message comes back, and the payment is booked once."""
    run = taskprogress.under(CrashWorker(at_report(2))).run(pay, 900)

    assert run.matches("PROGRESS{4} SUCCESS")
    assert list(properties.bookings.values()) == [900]


def test_a_process_that_dies(taskprogress):
    """The worker lives on, and says so."""
    crash = CrashWorker(at_report(1), child=True)

    run = taskprogress.under(crash).run(count_stock, ["left", "right"])

    assert run.matches("PROGRESS FAILURE")
    assert type(run.exception).__name__ == "WorkerLostError"


def test_a_message_that_comes_twice(taskprogress):
    """The payment is booked once."""
    run = taskprogress.under(Redeliver(at_report(1))).run(pay, 900)

    assert run.state == "SUCCESS"
    assert list(properties.bookings.values()) == [900]


def test_a_queue_that_is_full(taskprogress):
    """What waits for a minute has expired after half of it."""
    orders = chain(count_stock.si(["left"]), pay.si(900).set(expires=30))

    run = taskprogress.under(Delay(at_report(1), seconds=60)).run(orders)

    assert run.state == "REVOKED"
    assert not properties.bookings


def test_two_reservations_at_once(taskprogress):
    """Each has read how many there are before the other one has written: one lamp is sold twice."""
    properties.stock["lamp"] = 2
    both = group(reserve.s("lamp"), reserve.s("lamp"))

    run = taskprogress.under(schedule=Schedule(0, 1)).run(both)

    assert [child.state for child in run.children] == ["SUCCESS", "SUCCESS"]
    assert properties.stock["lamp"] == 1


@given(schedule=schedules())
def test_payments_in_any_order(taskprogress, schedule):
    """Whichever of them goes on at each report, what is booked is what was paid."""
    run = taskprogress.under(schedule=schedule).run(group(pay.s(900), pay.s(50)))

    assert sorted(run.result) == [50, 900]
    run.check()


def test_nothing_is_wrong_with_imports():
    """One line, that tries what the tests above try, and more."""
    explore(import_prices, max_examples=50)


def test_nothing_is_wrong_with_reservations():
    """What hints do not say, and what is in the table before each run."""

    def fill():
        properties.stock["lamp"] = 10

    explore(reserve, arguments={"article": st.just("lamp")}, before=fill, max_examples=50)


# -- who shows how far they are -------------------------------------------------------------------


def test_the_page_of_a_task():
    """It answers whatever is stored, does not go back, and knows the end."""
    check_consumer(progress_page)


class Browser:
    """Shows the page of an order: it polls, and says what it has shown last."""

    def __init__(self):
        self.shown = 0.0

    def __call__(self, result):
        """Poll once."""
        page = order_page(result, self.shown)
        self.shown = page["percent"]
        return page


def test_the_page_of_an_order():
    """So does that of several tasks, for a browser each."""
    check_consumer(Browser, groups=True, per_sequence=True)


def test_an_order_without_a_floor():
    """Who forgets what was shown goes back, where a task does not say any more how far it is."""
    sequence = ProgressSequence(("PROGRESS", {"percent": 80.0}), ("PROGRESS", {"percent": None}))

    with pytest.raises(ConsumerFailed) as found:
        check_consumer(order_page, sequences=[sequence], groups=True)

    assert found.value.fault == "backwards"


def test_a_careless_page():
    """It wants a percentage, which not every report has, and shows 0 % of a task that failed."""
    with pytest.raises(ConsumerFailed) as found:
        check_consumer(careless_page)

    assert found.value.fault in {"raises", "backwards"}


def test_the_page_at_every_poll():
    """A sequence of one's own, poll by poll."""
    sequence = ProgressSequence(
        ("PROGRESS", {"current": 1, "total": 4}), ("FAILURE", OSError("no"))
    )

    shown = [progress_page(result) for result in as_results(sequence)]

    assert [each["percent"] for each in shown] == [None, 25.0, None]
    assert [each["ended"] for each in shown] == [False, False, True]
    assert shown[-1]["error"] == "OSError: no"


def shouts(task, most):
    """A rule of one's own: people do not like to be shouted at."""
    for each in task.reports:
        if (each.message or "").count("!") > most:
            yield each, f"{each.message!r}: expected {most} exclamation marks at most"


@given(sequence=progress_sequences(messages=st.text("!ok", max_size=6)))
def test_a_rule_blames_who_shouts_and_nobody_else(sequence):
    """Whatever is said, and however long."""
    figure = Figure("!", int, default=3)
    quiet = Rule("quiet", "people do not like it", shouts, of_reports=True, figure=figure)

    blamed = Contract().with_rules([quiet]).only("quiet").violations(sequence)

    assert bool(blamed) == any(each.count("!") > 3 for each in sequence.messages)


@given(sequence=progress_sequences(retries=1, aborts=True))
def test_a_page_that_remembers(sequence):
    """A bar in the process that draws it: the same result at each poll."""
    shown = [order_page(result) for result in as_group_results(sequence, keep=True)]

    percents = [each["percent"] for each in shown]
    assert percents == sorted(percents)
