"""The seed of an engine: chance says what is run next, and says the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from uuid import UUID

import pytest
from celery import group, uuid
from celery.utils import time as celery_time

from pytest_taskprogress import AbortableTask, EagerEngine, Observer
from pytest_taskprogress.scenario import Abort, CrashWorker, Schedule, at_report, if_reached

pytest.importorskip("greenlet")


@pytest.fixture
def work(app):
    """A task of three reports."""

    @app.task(name="work", bind=True, base=AbortableTask)
    def work(self, *args):
        for _ in Observer(self).track(range(3), "Working"):
            pass
        return str(self.request.id)

    return work


def of_three(work):
    """Three of them."""
    return group(work.s() for _ in range(3))


def who(run):
    """Which of them wrote, in order."""
    ids = {}
    return [ids.setdefault(each.uuid, len(ids)) for each in run.history]


class TestTheSame:
    def test_in_another_process(self):
        """The history is the same to the byte, whatever the hashes of strings are."""
        code = """
            from celery import Celery, chord, group
            from pytest_taskprogress import AbortableTask, EagerEngine, Observer
            from pytest_taskprogress.scenario import CrashWorker, at_report

            app = Celery("seeded", backend="redis://nowhere", set_as_current=False)

            @app.task(name="work", bind=True, base=AbortableTask, acks_late=True)
            def work(self, *args):
                for _ in Observer(self).track(range(3), "Working"):
                    pass
                return 3

            @app.task(
                name="down", bind=True, autoretry_for=(OSError,), retry_backoff=60, max_retries=3
            )
            def down(self):
                raise OSError("down")

            @app.task(name="total")
            def total(numbers):
                return sum(numbers)

            with EagerEngine(app, seed=7) as engine:
                engine.under(CrashWorker(at_report(4))).run(group(work.s() for _ in range(4)))
                engine.run(chord([work.s(), work.s()], total.s()))
                engine.run(group(down.s(), work.s()))
                print(engine.history.as_json())
        """
        printed = [
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                timeout=60,
                check=True,
            ).stdout
            for seed in ("1", "2")
        ]
        assert printed[0] == printed[1]
        assert printed[0].count(b"RETRY") >= 3

    def test_after_a_reset(self, engine, work):
        """Choices begin anew; ids do not: no id comes twice."""
        engine.seed = 5
        orders, ids = [], set()
        for _ in range(5):
            run = engine.run(of_three(work))
            orders.append(who(run))
            ids |= {each.task_id for each in run.children}
            engine.reset()
        assert orders == [orders[0]] * 5
        assert len(ids) == 15

    def test_of_two_engines(self, app, work):
        """The same seed makes the same, ids included."""
        histories = []
        for _ in range(2):
            with EagerEngine(app, seed=5) as engine:
                engine.run(of_three(work))
                histories.append([(each.uuid, each.state) for each in engine.history])
        assert histories[0] == histories[1]

    def test_as_under_its_schedule(self, engine, work):
        """It is `Schedule(seed=...)`, for all that is run."""
        scheduled = who(engine.under(schedule=Schedule(seed=9)).run(of_three(work)))
        engine.seed = 9
        assert who(engine.run(of_three(work))) == scheduled

    def test_under_a_crash(self, engine, work):
        """A scenario of its own leaves the choices to the seed, from the first run on."""
        engine.seed = 9
        plain = who(engine.run(of_three(work)))
        engine.reset()
        event = CrashWorker(if_reached(at_report(99)))
        assert who(engine.under(event).run(of_three(work))) == plain

    def test_of_a_sweep(self, engine, work):
        """Each run of a sweep begins as the one that its moments are of."""
        engine.seed = 9
        first = None
        for run in engine.sweep(Abort, of_three(work)):
            first = first or run
        assert first is not None
        assert {run.state for run in engine.sweep(Abort, of_three(work))} <= {"ABORTED", "SUCCESS"}


class TestOthers:
    def test_other_orders(self, engine, work):
        """Other seeds run the tasks in other orders."""
        orders = set()
        for seed in range(8):
            engine.reset()
            engine.seed = seed
            orders.add(tuple(who(engine.run(of_three(work)))))
        assert len(orders) > 4

    def test_none(self, engine, work):
        """Without a seed one message runs after the other, and ids are random."""
        engine.seed = 3
        engine.seed = None
        run = engine.run(of_three(work))
        assert who(run) == [0] * 4 + [1] * 4 + [2] * 4
        assert engine.seed is None

    def test_the_schedule_of_a_scenario_counts(self, engine, work):
        """`under(schedule=...)` comes before the seed; then the seed goes on."""
        engine.seed = 3
        run = engine.under(schedule=Schedule()).run(of_three(work))
        assert who(run) == [0] * 4 + [1] * 4 + [2] * 4
        assert who(engine.run(of_three(work))) != who(run)

    def test_step_by_step(self, engine, work):
        """A run that goes step by step goes by the seed too."""
        engine.seed = 3
        plain = who(engine.run(of_three(work)))
        ids = {}
        steps = engine.run_iter(of_three(work))
        assert [ids.setdefault(each.uuid, len(ids)) for each in steps] == plain


class TestIds:
    def test_are_ids(self, app):
        """They are UUIDs of version 4, as Celery's own."""
        with EagerEngine(app, seed=1):
            made = UUID(uuid())
            assert (made.version, str(made)) == (4, str(UUID(str(made))))
            assert uuid() != uuid()

    def test_are_random_again(self, app):
        """When the engine is left, as it was before: also by an exception, and without a seed."""
        before, jitter = uuid.__defaults__, celery_time.random
        with EagerEngine(app, seed=1) as engine:
            assert uuid.__defaults__ != before
            engine.seed = None
            assert uuid.__defaults__ == before
            engine.seed = 2
        assert uuid.__defaults__ == before
        with pytest.raises(LookupError), EagerEngine(app, seed=1):
            raise LookupError
        assert uuid.__defaults__ == before
        assert celery_time.random is jitter

    @pytest.mark.parametrize("first", [0, 1])
    def test_of_engines_in_any_order(self, app, first):
        """Two at once, left in any order, and one whose seed is taken away meanwhile."""
        from tests.conftest import IsolatedApp

        before = uuid.__defaults__
        other = IsolatedApp("other", set_as_current=False)
        with EagerEngine(app, seed=1) as one, EagerEngine(other, seed=2) as two:
            (one, two)[first].seed = None
            assert uuid.__defaults__ != before
            (two, one)[first].seed = None
            assert uuid.__defaults__ == before
            one.seed, two.seed = 3, 4
        assert uuid.__defaults__ == before

    def test_of_a_seed_that_is_set_again(self, engine, work):
        """It goes on: the tasks of before are not written over."""
        ids = []
        for seed in (7, 8, 7, None, 7):
            engine.seed = seed
            run = engine.run(work)
            assert run.states == ["PROGRESS"] * 3 + ["SUCCESS"]
            ids.append(run.task_id)
        assert len(set(ids)) == 5

    def test_of_an_engine_that_is_there_again(self, app, work):
        """Whoever installs it again begins anew, with ids too."""
        engine, ids = EagerEngine(seed=7), []
        for _ in range(2):
            with engine.installed(app):
                ids.append(engine.run(work).task_id)
        assert ids[0] == ids[1]

    def test_of_what_is_no_task(self, app, work):
        """Groups and chords have ids too."""
        ids = []
        for _ in range(2):
            with EagerEngine(app, seed=1) as engine:
                ids.append(engine.run(of_three(work)).task_id)
        assert ids[0] == ids[1]


class TestJitter:
    def test_of_retries(self, app):
        """`retry_backoff` waits as long, each time: its jitter is drawn from the seed."""

        @app.task(autoretry_for=(OSError,), retry_backoff=100, max_retries=4)
        def down():
            raise OSError("down")

        elapsed = []
        for seed in (1, 1, 2):
            with EagerEngine(app, seed=seed) as engine:
                elapsed.append(engine.run(down).elapsed)
        assert elapsed[0] == elapsed[1] != elapsed[2]


class TestInput:
    @pytest.mark.parametrize("seed", [True, 1.5, "7", b"", [1]], ids=repr)
    def test_what_is_no_seed(self, app, engine, seed):
        """A seed is a whole number."""
        with pytest.raises(ValueError, match="the seed of a Schedule is a whole number, got seed="):
            engine.seed = seed
        with pytest.raises(ValueError, match="whole number"):
            EagerEngine(app, seed=seed)
        assert engine.seed is None

    @pytest.mark.parametrize("seed", [0, -1, 2**200])
    def test_any_whole_number(self, engine, work, seed):
        """0 is one too, and so are those below it."""
        engine.seed = seed
        assert engine.seed == seed
        assert engine.run(of_three(work)).state == "SUCCESS"

    def test_without_greenlet(self, app, monkeypatch):
        """It says what to install."""
        from pytest_taskprogress import EngineError

        monkeypatch.setitem(sys.modules, "greenlet", None)
        with pytest.raises(EngineError, match="pip install"):
            EagerEngine(app, seed=1)
        engine = EagerEngine(app)
        with pytest.raises(EngineError, match="pip install"):
            engine.seed = 1
        assert engine.seed is None
