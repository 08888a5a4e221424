"""A week of mails, by the engine's clock and by the machine's."""

import time
from datetime import datetime

import newsletter
import pytest
import time_machine
from newsletter import DAY, READERS, send, welcome


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return newsletter.app


@pytest.fixture
def monday(taskprogress):
    """Let the clock begin on a Monday, at midnight in Vienna."""
    midnight = datetime(2026, 3, 2, tzinfo=newsletter.app.timezone)
    taskprogress.clock.restart(midnight.timestamp())


@pytest.fixture
def machine_time(taskprogress):
    """Let `time.time()` and `datetime.now()` go by the engine's clock, for tasks that read them."""
    clock = taskprogress.clock
    with (
        time_machine.travel(clock.time(), tick=False) as traveller,
        clock.followed_by(lambda clock: traveller.move_to(clock.time())),
    ):
        yield


def sent(engine):
    """When, in seconds, which mail was sent."""
    return [(each.at, each.result) for each in engine.history.of("newsletter.send")]


def test_the_first_two_days(taskprogress):
    """drain(until=...) runs what is due by then; the clock is there afterwards."""
    with taskprogress.paused():
        welcome("ann@example.org")
        assert taskprogress.drain(until=2 * DAY) == 2
        assert taskprogress.clock.monotonic() == 2 * DAY
        assert [each.at for each in taskprogress.pending] == [7 * DAY]


def test_in_the_order_of_their_time(taskprogress):
    """What can run now runs first; what is due later, in the order of its time."""
    with taskprogress.paused():
        welcome("ann@example.org")

    assert sent(taskprogress) == [
        (0, "Welcome -> ann@example.org"),
        (DAY, "After a day -> ann@example.org"),
        (7 * DAY, "After a week -> ann@example.org"),
    ]


def test_a_few_at_a_time(taskprogress):
    """drain(limit=...) runs so many; the rest waits, and the clock stays where it is."""
    with taskprogress.paused():
        welcome("ann@example.org")
        assert taskprogress.drain(limit=2) == 2
        assert taskprogress.clock.monotonic() == DAY


def test_thirty_mails_a_minute(taskprogress):
    """A rate limit costs time of the clock: a mail every two seconds."""
    with taskprogress.paused():
        for number in range(31):
            send.delay(f"reader{number}@example.org", "Hello")

    assert [at for at, _ in sent(taskprogress)] == [2 * number for number in range(31)]


def test_a_mail_that_nobody_wants_late(taskprogress):
    """The third mail has to wait for four seconds: too long for one that expires after three."""
    with taskprogress.paused():
        send.delay("ann@example.org", "Hello")
        send.delay("bob@example.org", "Hello")
        late = send.apply_async(("cyd@example.org", "Lunch in a minute"), expires=3)

    assert late.state == "REVOKED"


@pytest.mark.usefixtures("monday")
def test_a_week_of_digests(taskprogress):
    """beat(until=...) publishes what `beat_schedule` says, each at its time, and runs it."""
    assert taskprogress.beat(until=7 * DAY) == 5

    half_past_seven = 7.5 * 3600
    digests = taskprogress.history.of("newsletter.digest")
    assert [each.at for each in digests] == [half_past_seven + day * DAY for day in range(5)]
    assert len(sent(taskprogress)) == 5 * len(READERS)
    assert taskprogress.clock.monotonic() == 7 * DAY


@pytest.mark.usefixtures("monday", "machine_time")
def test_the_date_in_the_subject(taskprogress):
    """The task reads `datetime.now()`, and sees the day on which it runs."""
    taskprogress.beat(until=2 * DAY)

    assert [result for _, result in sent(taskprogress)][:: len(READERS)] == [
        "News of 2026-03-01 -> ann@example.org",
        "News of 2026-03-02 -> ann@example.org",
    ]


@pytest.mark.usefixtures("monday", "machine_time")
def test_an_eta_of_the_machine(taskprogress):
    """Code that works out an `eta` from `time.time()` gets what it means."""
    noon = datetime.fromtimestamp(time.time() + DAY / 2, newsletter.app.timezone)
    send.apply_async(("ann@example.org", f"Lunch at {noon:%H:%M}"), eta=noon)

    assert sent(taskprogress) == [(DAY / 2, "Lunch at 12:00 -> ann@example.org")]


@pytest.mark.usefixtures("machine_time")
def test_a_task_that_takes_its_time(taskprogress):
    """A task, or what stands in for a part of it, may move the clock itself."""

    @newsletter.app.task(shared=False)
    def render():
        began = time.time()
        taskprogress.clock.advance(90)  # where production would take a minute and a half
        return time.time() - began

    run = taskprogress.run(render)
    assert run.result == run.elapsed == 90
