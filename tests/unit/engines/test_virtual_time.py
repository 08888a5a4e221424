"""Virtual time: drains that stop, rate limits, expiry and periodic tasks, by one clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.schedules import crontab, schedule

from pytest_taskprogress import (
    DrainLimitExceeded,
    EagerEngine,
    EngineError,
    TaskProgressWarning,
)


@pytest.fixture
def log(engine):
    """When, by the engine's clock, each task of `note` ran, and with what."""
    return []


@pytest.fixture
def note(app, engine, log):
    """A task that notes its argument and the time."""

    @app.task
    def note(value=None):
        log.append((value, engine.clock.monotonic()))
        return value

    return note


class TestDrain:
    def test_until(self, engine, note, log):
        """What is due by then is run, in order of time, and the clock is there afterwards."""
        with engine.paused():
            for seconds in (30, 10, 20, None):
                note.apply_async((seconds,), countdown=seconds)
            assert engine.drain(until=20) == 3
            assert log == [(None, 0.0), (10, 10.0), (20, 20.0)]
            assert engine.clock.monotonic() == 20.0
            assert engine.drain(until=25) == 0
            assert engine.clock.monotonic() == 25.0
            assert [each.at for each in engine.pending] == [30.0]
        assert log[3:] == [(30, 30.0)]

    def test_limit(self, engine, note, log):
        """At most so many are run; the others wait, and the clock stays."""
        with engine.paused():
            for n in range(5):
                note.delay(n)
            assert engine.drain(limit=2) == 2
            assert [value for value, _ in log] == [0, 1]
            assert len(engine.pending) == 3
            assert engine.drain(limit=1, until=60) == 1
            assert engine.clock.monotonic() == 0.0
            assert engine.drain(limit=10, until=60) == 2
            assert engine.clock.monotonic() == 60.0

    @pytest.mark.parametrize("until", [4.9, -1, float("nan"), float("inf")])
    def test_a_time_that_has_passed(self, engine, until):
        """The clock only moves forward, to a time that there is."""
        engine.clock.advance(5)
        with pytest.raises(ValueError, match=r"expected until >= 5, .* got until="):
            engine.drain(until=until)

    @pytest.mark.parametrize("limit", [0, -1])
    def test_nothing_to_run(self, engine, limit):
        """A limit below 1 is refused."""
        with pytest.raises(ValueError, match=f"expected limit >= 1, got limit={limit}"):
            engine.drain(limit=limit)

    def test_in_a_task(self, app, engine):
        """A task drains nothing, and moves no clock: its messages run after it."""

        @app.task
        def drains():
            return engine.drain(until=50)

        assert engine.run(drains).result == 0
        assert engine.clock.monotonic() == 0.0

    def test_a_task_that_publishes_its_successor(self, app, engine, log):
        """A task that starts itself anew every minute runs for as long as it is let."""

        @app.task(bind=True)
        def every_minute(self):
            log.append(engine.clock.monotonic())
            self.apply_async(countdown=60)

        with engine.paused():
            every_minute.delay()
            engine.drain(until=180)
            assert log == [0.0, 60.0, 120.0, 180.0]
            engine.limit = 5
            with pytest.raises(DrainLimitExceeded, match="limit=5"):
                engine.drain()

    def test_equal_times(self, engine, note, log):
        """Of tasks that are due at one time the one that was published first runs first."""
        with engine.paused():
            for n in range(4):
                note.apply_async((n,), countdown=10)
            note.apply_async((4,), eta=engine.clock.now() + timedelta(seconds=10))
            note.apply_async((5,), countdown=9)
        assert [value for value, _ in log] == [5, 0, 1, 2, 3, 4]

    def test_in_the_past(self, engine, note, log):
        """The clock may be put into any year: a countdown is one there too."""
        for start in (0, 1_000_000_000, 4_000_000_000):
            engine.clock.restart(start)
            engine.run(note.s(start).set(countdown=60))
            expired = engine.run(note.s("late").set(countdown=60, expires=30))
            assert expired.state == "REVOKED"
            assert engine.clock.monotonic() == 120.0
        assert log == [(start, 60.0) for start in (0, 1_000_000_000, 4_000_000_000)]

    def test_sums_of_floats(self, engine, note, log):
        """The clock counts whole microseconds, whatever sums of floats make of a time."""
        with engine.paused():
            note.apply_async((1,), countdown=0.8)
            note.apply_async((2,), countdown=0.1)
            assert engine.drain(until=0.1 + 0.7) == 2
            assert engine.clock.monotonic() == 0.8
            assert engine.drain(until=0.1 * 8) == 0
            with pytest.raises(CeleryTimeoutError):
                note.apply_async((3,), countdown=1).get(timeout=0.1 + 0.2)
            assert engine.clock.monotonic() == 1.1


class TestRateLimits:
    @pytest.mark.parametrize(
        ("limit", "times"),
        [
            ("2/s", [0.0, 0.5, 1.0]),
            ("10/m", [0.0, 6.0, 12.0]),
            ("7/m", [0.0, 8.571429, 17.142858]),
            ("3/h", [0.0, 1200.0, 2400.0]),
            (1000, [0.0, 0.001, 0.002]),
            (0.1, [0.0, 10.0, 20.0]),
        ],
        ids=str,
    )
    def test_rates(self, app, engine, log, limit, times):
        """Tasks of a limited type run at its rate, in the order of their publication."""

        @app.task(rate_limit=limit)
        def limited(n):
            log.append((n, engine.clock.monotonic()))

        with engine.paused():
            for n in range(3):
                limited.delay(n)
        assert log == list(enumerate(times))

    @pytest.mark.parametrize("rate", ["1001/s", "2079/s", "999999/s"])
    def test_odd_rates(self, app, engine, rate):
        """Whatever the rate, its tasks come to an end."""

        @app.task(rate_limit=rate)
        def limited():
            return 1

        with engine.paused():
            results = [limited.delay() for _ in range(20)]
        assert {each.state for each in results} == {"SUCCESS"}

    def test_a_token_that_is_half_there(self, app, engine, log):
        """A turn comes a period after the last one, to the microsecond."""

        @app.task(rate_limit="7/m")
        def limited():
            log.append(engine.clock.monotonic())

        app.conf.beat_schedule = {"often": {"task": limited.name, "schedule": 5}}
        engine.beat(until=20)
        with engine.paused():
            planned = [each.at for each in engine.pending]
        assert log[:2] == [5.0, 13.571429]
        assert log[2:] == planned

    def test_a_rate_that_is_none(self, app, engine):
        """A rate that nobody can read is told with the task and the value."""

        @app.task(rate_limit="fast", name="limited")
        def limited():
            return 1

        with pytest.raises(ImproperlyConfigured, match="'limited' has rate_limit='fast'"):
            limited.delay()

    def test_others_go_on(self, app, engine, note, log):
        """Only the limited type waits; the clock jumps when nothing else can run."""

        @app.task(rate_limit="1/m")
        def limited(n):
            log.append((n, engine.clock.monotonic()))

        with engine.paused():
            limited.delay("first")
            limited.delay("second")
            note.delay("other")
            note.apply_async(("later",), countdown=30)
        assert log == [("first", 0.0), ("other", 0.0), ("later", 30.0), ("second", 60.0)]

    def test_what_waits_is_shown(self, app, engine):
        """What waits for its rate limit is pending, with the time at which it can run."""

        @app.task(rate_limit="1/m", name="limited")
        def limited():
            return 1

        with engine.paused():
            for _ in range(3):
                limited.delay()
            assert engine.step()
            assert engine.drain(until=0) == 0
            assert [(each.name, each.at) for each in engine.pending] == [
                ("limited", 60.0),
                ("limited", 120.0),
            ]
            assert engine.step()
            assert engine.clock.monotonic() == 60.0

    def test_with_a_countdown(self, app, engine, log):
        """A limited task with a countdown first waits for its time, then for its turn."""

        @app.task(rate_limit="1/m")
        def limited(n):
            log.append((n, engine.clock.monotonic()))

        with engine.paused():
            limited.apply_async((1,), countdown=10)
            limited.apply_async((2,), countdown=10)
            limited.delay(0)
        assert log == [(0, 0.0), (1, 60.0), (2, 120.0)]

    def test_many(self, app, engine, log):
        """A long line of limited tasks is worked off in linear time."""

        @app.task(rate_limit="1/s")
        def limited():
            log.append(engine.clock.monotonic())

        with engine.paused():
            for _ in range(500):
                limited.delay()
        assert log == [float(n) for n in range(500)]

    def test_that_change(self, app, engine, log):
        """What waits for a limit when it is changed keeps its turn, and stays pending."""

        @app.task(rate_limit="1/m", name="limited")
        def limited():
            log.append(engine.clock.monotonic())

        engine.limit = 5
        with engine.paused():
            for _ in range(20):
                limited.delay()
            engine.drain(until=0)
            app.control.rate_limit("limited", "1/s")
            assert len(engine.pending) == len(engine._turns.pending) == 19
            [(_, reserved)] = app.control.inspect().reserved().items()
            assert len(reserved) == 19
        assert log == [60.0 * n for n in range(20)]

    def test_switched_off(self, app, log):
        """`worker_disable_rate_limits` switches them off, as on a worker."""
        app.conf.worker_disable_rate_limits = True

        @app.task(rate_limit="1/h")
        def limited():
            log.append(engine.clock.monotonic())

        with EagerEngine(app) as engine, engine.paused():
            limited.delay()
            limited.delay()
        assert log == [0.0, 0.0]

    def test_nothing_stays(self, app, engine, log):
        """What waits for a rate limit when a drain breaks off is forgotten with the rest."""
        engine.limit = 3

        @app.task(bind=True, rate_limit="1/s")
        def limited(self):
            log.append(engine.clock.monotonic())
            self.delay()
            self.delay()

        with pytest.raises(DrainLimitExceeded):
            limited.delay()
        assert engine.pending == []
        assert not engine.step()


class TestExpiry:
    def test_by_the_clock(self, engine, note, log):
        """A message expires by the engine's clock, while it waits for a worker."""
        with engine.paused():
            kept, lost = note.apply_async((1,), expires=60), note.apply_async((2,), expires=59)
            engine.clock.advance(60)
        assert (kept.state, lost.state) == ("SUCCESS", "REVOKED")
        assert log == [(1, 60.0)]

    def test_results(self, app):
        """`result_expires` goes by the same clock."""
        app.conf.result_expires = 3600

        @app.task
        def add(x, y):
            return x + y

        with EagerEngine(app) as engine:
            result = add.delay(1, 2)
            engine.clock.advance(3599)
            assert app.AsyncResult(result.id).state == "SUCCESS"
            engine.clock.advance(1)
            assert app.AsyncResult(result.id).state == "PENDING"


class TestBeat:
    @pytest.fixture
    def entries(self, app, note):
        """The app's `beat_schedule`."""
        app.conf.beat_schedule = {
            "often": {"task": note.name, "schedule": 20, "args": ("often",)},
            "minutely": {"task": note.name, "schedule": schedule(60), "args": ("minutely",)},
        }
        return app.conf.beat_schedule

    def test_until(self, engine, entries, log):
        """Each entry runs at its times, counted from the start of the clock."""
        assert engine.beat(until=60) == 4
        assert log == [("often", 20.0), ("often", 40.0), ("minutely", 60.0), ("often", 60.0)]
        assert engine.clock.monotonic() == 60.0
        assert engine.beat(until=70) == 0
        assert engine.beat(until=80) == 1

    def test_what_is_due_now(self, engine, entries, log):
        """Without a time, what is due by now runs, once."""
        assert engine.beat() == 0
        engine.clock.advance(50)
        assert engine.beat() == 1
        assert log == [("often", 50.0)]

    def test_crontab(self, app, engine, note, log):
        """Crontab entries run at their time of day, in the app's time zone."""
        app.conf.timezone = "Asia/Tokyo"
        engine.clock.restart(1_700_006_400)  # 2023-11-15 00:00 UTC, 09:00 in Tokyo
        app.conf.beat_schedule = {
            "at ten": {"task": note.name, "schedule": crontab(hour=10, minute=30)},
        }
        assert engine.beat(until=86_400 * 2) == 2
        assert [at for _, at in log] == [5400.0, 5400.0 + 86_400]

    def test_with_all_else_that_is_due(self, app, engine, entries, log):
        """What a periodic task publishes runs in between, by the same clock."""

        @app.task
        def follows():
            log.append(("follows", engine.clock.monotonic()))

        @app.task
        def starts():
            follows.apply_async(countdown=5)

        app.conf.beat_schedule = {"starts": {"task": starts.name, "schedule": 10}}
        engine.beat(until=30)
        assert log == [("follows", 15.0), ("follows", 25.0)]
        assert [each.at for each in engine.pending] == [35.0]

    def test_paused(self, engine, entries, log):
        """While the engine is paused they are published, and wait."""
        with engine.paused():
            assert engine.beat(until=40) == 2
            assert log == []
            assert len(engine.pending) == 2
        assert log == [("often", 40.0), ("often", 40.0)]

    def test_a_task_that_takes_longer_than_its_period(self, app, engine, log):
        """What is due while a task runs is published once it is over, and nothing after the end."""

        @app.task
        def slow():
            log.append(engine.clock.monotonic())
            engine.clock.advance(25)

        app.conf.beat_schedule = {"slow": {"task": slow.name, "schedule": 10}}
        assert engine.beat(until=100) == 4
        assert log == [10.0, 35.0, 60.0, 85.0]
        assert engine.clock.monotonic() == 110.0

    def test_a_schedule_that_changes(self, app, engine, entries, note, log):
        """Entries that are added, changed or removed later are followed."""
        engine.beat(until=20)
        del entries["often"]
        app.add_periodic_task(5, note.s("added"), name="added")
        log.clear()
        assert engine.beat(until=60) == 9
        assert log[-2:] == [("added", 60.0), ("minutely", 60.0)]

    def test_options(self, app, engine, note):
        """Options of an entry are used, and the header of beat is there."""
        seen = []

        @app.task(bind=True)
        def looks(self):
            seen.append((self.request.delivery_info["priority"], self.request.headers or {}))

        app.conf.beat_schedule = {
            "looks": {"task": looks.name, "schedule": 1, "options": {"priority": 3, "expires": 5}}
        }
        engine.beat(until=1)
        [(priority, headers)] = seen
        assert priority == 3
        # Celery 5.6 is the first whose beat sets it.
        assert headers in ({}, {"celery_beat_task": True})

    def test_added_by_a_signal(self, app, engine, note, log):
        """`add_periodic_task` is the other way to the same table; it is gone afterwards."""
        app.add_periodic_task(10, note.s("added"), name="added")
        assert engine.beat(until=10) == 1
        assert log == [("added", 10.0)]

    def test_an_unknown_task(self, app, engine):
        """An entry with a mistyped name is told, with the nearest names."""

        @app.task(name="clean_up")
        def clean_up():
            return 1

        app.conf.beat_schedule = {"clean": {"task": "cleanup", "schedule": 1}}
        with pytest.warns(TaskProgressWarning, match="no task 'cleanup' .* 'clean_up'"):
            engine.beat(until=1)

    def test_none(self, engine):
        """An app without periodic tasks has nothing to beat."""
        with pytest.raises(EngineError, match="beat_schedule is empty"):
            engine.beat(until=1)

    def test_always_due(self, app, engine, note):
        """An entry that is always due ends at the limit."""
        engine.limit = 10
        app.conf.beat_schedule = {"always": {"task": note.name, "schedule": 0}}
        with pytest.raises(DrainLimitExceeded, match=r"limit=10 .*always"):
            engine.beat(until=1)

    def test_in_a_task(self, app, engine, entries, log):
        """A task beats nothing."""

        @app.task
        def beats():
            return engine.beat(until=100)

        assert engine.run(beats).result == 0
        assert log == []

    def test_another_test_has_another_beat(self, app, note, log):
        """Every installation begins with the schedule of its app, at 0.0."""
        for _ in range(2):
            with EagerEngine(app) as engine:
                app.conf.beat_schedule = {"each": {"task": note.name, "schedule": 10}}
                assert engine.beat(until=20) == 2
