"""Runs are judged when they have come to their end: warnings, errors, and who is told."""

from __future__ import annotations

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject
from celery.result import allow_join_result

from pytest_taskprogress import (
    AbortableTask,
    EagerEngine,
    Observer,
    ProgressTask,
    TaskProgressWarning,
    TaskRun,
    abort,
)
from pytest_taskprogress.checks import Contract, Rule
from pytest_taskprogress.core.errors import DrainLimitExceeded, PatternError, RuleError
from pytest_taskprogress.core.failed import ContractViolated
from pytest_taskprogress.engines import judging
from pytest_taskprogress.scenario import Abort, Advance, at_report, before_start


@pytest.fixture(autouse=True)
def contract(engine):
    """The contract of users, and not that of other tests."""
    engine.contract = Contract()
    return engine.contract


@pytest.fixture
def work(app):
    """Tasks that report percentages: `good`, `bad` (which falls), `short`, `slow`."""

    def reports(name, *percents, **options):
        @app.task(bind=True, name=name, **options)
        def task(self, *args):
            for percent in percents:
                self.update_state(state="PROGRESS", meta={"percent": percent})
            return percents

        return task

    return SimpleNamespace(
        reports=reports,
        good=reports("good", 50, 100),
        bad=reports("bad", 50, 20, 100),
        short=reports("short", 50),
    )


@pytest.fixture
def told():
    """The warnings so far, each as the rules that it names."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TaskProgressWarning)

        def told():
            lines = [str(each.message).splitlines() for each in caught]
            return [
                " ".join(
                    line.split(":")[0].strip()
                    for line in each
                    if line.startswith("  ") and not line.startswith("    ")
                )
                for each in lines
            ]

        yield told


FALLS = pytest.warns(TaskProgressWarning, match="monotonic: 20 % after 50 %")


class TestWarnings:
    def test_a_run(self, engine, work):
        """What it breaks comes as one warning, at the line of the task, and with the run."""
        with pytest.warns(TaskProgressWarning) as caught:
            run = engine.run(work.reports("two", 50, 200, 20))
        (warning,) = caught
        line = run.progress[1].source
        assert (warning.filename, warning.lineno) == (__file__, line.line)
        assert str(warning.message).splitlines() == [
            "two breaks its contract:",
            "  monotonic: 20 % after 200 %",
            f"    in two, at {line}",
            "  bounded: percent=200 is more than 100",
            f"    in two, at {line}",
            "  complete: SUCCESS at 20 %: whoever watches sees it stop short",
            f"    in two, at {line}",
            "To allow it: @pytest.mark.taskprogress(ignore=['bounded', 'complete', 'monotonic'])",
        ]
        assert [each.rule for each in run.violations] == ["monotonic", "bounded", "complete"]

    def test_a_run_that_keeps_it(self, engine, work, told):
        """Nothing is said."""
        assert engine.run(work.good).violations == ()
        assert told() == []

    def test_what_is_published(self, engine, work, told):
        """`delay()` in the code under test is judged too, each by itself."""
        for task in (work.bad, work.good, work.short):
            task.delay()
        assert told() == ["monotonic", "complete"]
        assert [run.name for run in engine.runs] == ["bad", "good", "short"]

    def test_what_is_published_together(self, engine, work, told):
        """What runs in one drain is one run, with all tasks."""
        with engine.paused():
            work.short.delay()
            work.bad.delay()
        assert told() == ["complete monotonic"]
        (run,) = engine.runs
        assert [each.name for each in (run, *run.children)] == ["short", "bad"]

    def test_once(self, engine, work, told):
        """Of many runs that break the same rules, one warning; each run knows what it breaks."""
        runs = [engine.run(work.bad) for _ in range(3)]
        assert told() == ["monotonic"]
        assert all(len(run.violations) == 1 for run in runs)
        engine.run(work.reports("both", 50, 20))
        engine.run(work.reports("other", 50, 20, 100))
        assert told() == ["monotonic", "monotonic complete", "monotonic"]

    def test_again_in_another_test(self, app, work, told):
        """What was told in one test is told in the next one, and once in each."""
        engine = EagerEngine(app)
        for _ in range(2):
            judging.process.begin()
            with engine:
                work.bad.delay()
                work.bad.delay()
        assert told() == ["monotonic"] * 2

    def test_as_errors(self, engine, work):
        """A filter may make them errors: raised by `run`, and the engine goes on."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", TaskProgressWarning)
            with pytest.raises(TaskProgressWarning, match="monotonic"):
                engine.run(work.bad)
            assert engine.run(work.good).state == "SUCCESS"

    def test_as_errors_of_what_is_published(self, engine, work):
        """Code that publishes is not broken by it: it is raised when it is asked for."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", TaskProgressWarning)
            assert work.bad.delay().get() == [50, 20, 100]
            with pytest.raises(TaskProgressWarning, match="monotonic"):
                engine.check_contract()
            engine.check_contract()


class TestStrict:
    @pytest.fixture(autouse=True)
    def strict(self, engine, contract):
        """Violations are errors."""
        engine.contract = contract.having(strict=True)

    def test_a_run(self, engine, work):
        """`run` raises, with the run, its violations, and the timeline."""
        with pytest.raises(ContractViolated, match="monotonic: 20 % after 50 %") as caught:
            engine.run(work.bad)
        error = caught.value
        assert isinstance(error.run, TaskRun)
        assert error.run is engine.runs[-1]
        assert error.violations == error.run.violations
        assert "\n> 1   0.000 PROGRESS -> PROGRESS" in str(error)
        assert engine.run(work.good).state == "SUCCESS"

    def test_what_is_published(self, engine, work):
        """It is collected: the first is raised by check_contract(), once."""
        assert work.bad.delay().get() == [50, 20, 100]
        work.short.delay()
        with pytest.raises(ContractViolated, match="bad breaks its contract"):
            engine.check_contract()
        engine.check_contract()

    def test_on_leaving(self, app, work):
        """Who leaves the engine hears of it; it is off the app all the same."""
        engine = EagerEngine(app)
        engine.contract = Contract(strict=True)
        with pytest.raises(ContractViolated, match="bad breaks"), engine:
            work.bad.delay()
        with engine:
            work.good.delay()

    def test_on_leaving_by_an_error(self, app, work):
        """The error of the test is not replaced by it."""
        engine = EagerEngine(app)
        engine.contract = Contract(strict=True)

        def fails():
            work.bad.delay()
            raise KeyError("of the test")

        with pytest.raises(KeyError, match="of the test"), engine:
            fails()
        # Else pytest would tell of it at the end of this test.
        with pytest.raises(ContractViolated, match="bad breaks"):
            engine.check_contract()

    def test_not_in_the_next_one(self, app, work):
        """What was collected is forgotten when the engine is installed anew."""
        engine = EagerEngine(app)
        engine.contract = Contract(strict=True)
        with engine:
            work.bad.delay()
            with pytest.raises(ContractViolated):
                engine.check_contract()
        with engine:
            engine.check_contract()
            assert engine.runs == []

    def test_travels(self, engine, work):
        """The error reaches another process, also with its run."""
        with pytest.raises(ContractViolated) as caught:
            engine.run(work.bad)
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert str(again) == str(caught.value)
        assert again.run == caught.value.run
        assert copy.deepcopy(caught.value.run) == caught.value.run


class TestRuns:
    def test_the_last_ones(self, engine, work):
        """20 runs are kept, the last one last; the list is a copy."""
        for number in range(25):
            engine.run(work.good, number)
        assert len(engine.runs) == 20
        engine.runs.clear()
        assert len(engine.runs) == 20

    def test_is_what_run_returned(self, engine, work):
        """The same object, with what it breaks."""
        with FALLS:
            run = engine.run(work.bad)
        assert engine.runs == [run]
        assert engine.runs[0] is run

    def test_who_is_told(self, engine, work, told):
        """`on_run` hears of each run that is over, before anything is raised."""
        heard = []
        engine.on_run.append(heard.append)
        engine.run(work.good)
        work.bad.delay()
        engine.contract = engine.contract.having(strict=True)
        with pytest.raises(ContractViolated):
            engine.run(work.bad)
        assert [run.name for run in heard] == ["good", "bad", "bad"]
        assert [len(run.violations) for run in heard] == [0, 1, 1]
        engine.on_run.clear()
        engine.run(work.good)
        assert len(heard) == 3

    def test_reset(self, engine, work, told):
        """A reset engine has no runs; what comes after it is judged by itself."""
        work.bad.delay()
        engine.reset()
        work.good.delay()
        assert [run.name for run in engine.runs][-1:] == ["good"]
        assert told() == ["monotonic"]

    def test_a_task_without_results(self, engine, app):
        """Nothing was stored: there is nothing to judge, and nothing to say."""

        @app.task(ignore_result=True)
        def silent():
            pass

        silent.delay()
        assert engine.run(silent).violations == ()


class TestCheck:
    def test_by_name(self, engine, work):
        """`run.check()` judges again, as it is asked to."""
        run = engine.run(work.good)
        assert run.check() is run
        assert run.check("monotonic", "bounded") is run
        with pytest.raises(ContractViolated, match="described: no description"):
            run.check(described=3)
        with pytest.raises(ContractViolated, match="described"):
            run.check("monotonic", described=3)

    def test_goes_by_the_contract_of_the_engine(self, engine, work):
        """Its figures, and what it ignores."""
        engine.contract = Contract().having(ignore="monotonic", described=1)
        with pytest.warns(TaskProgressWarning, match="described"):
            run = engine.run(work.bad)
        with pytest.raises(ContractViolated) as caught:
            run.check()
        assert {each.rule for each in caught.value.violations} == {"described"}
        with pytest.raises(ContractViolated, match="monotonic"):
            run.check("monotonic")

    def test_figures_of_the_engine(self, engine, app):
        """Seconds are those of its clock."""

        @app.task(bind=True)
        def slow(self):
            engine.clock.advance(5)
            self.update_state(state="PROGRESS", meta={"percent": 10})
            engine.clock.advance(40)
            self.update_state(state="PROGRESS", meta={"percent": 100})

        run = engine.run(slow)
        run.check(first_report=5, max_gap=40)
        with pytest.raises(ContractViolated, match="first report came after 5 s"):
            run.check(first_report=4)
        with pytest.raises(ContractViolated, match="nothing was written for 40 s"):
            run.check(max_gap=39)

    def test_rules_of_others(self, engine, work):
        """A rule sees each task of the run."""
        seen = []
        rule = Rule("mine", "to see", lambda task, _: seen.append(task) or [])
        engine.contract = Contract().with_rules([rule])
        engine.run(chain(work.good.s(), work.good.s()))
        assert [task.name for task in seen] == ["good", "good"]
        assert all(task.ended for task in seen)


class TestCanvases:
    @pytest.mark.parametrize(
        "make",
        [
            lambda work: group(work.bad.s(), work.good.s()),
            lambda work: chain(work.bad.s(), work.good.s()),
            lambda work: chain(work.good.s(), work.bad.s()),
            lambda work: chord([work.bad.s(), work.good.s()], work.good.s()),
            lambda work: chord([work.good.s()], work.bad.s()),
            lambda work: group(group(work.bad.s()), chain(work.good.s(), work.good.s())),
        ],
        ids=["group", "first of a chain", "last of a chain", "header", "body", "nested"],
    )
    @pytest.mark.parametrize("how", ["run", "published"])
    def test_each_task_once(self, engine, work, told, make, how):
        """Wherever a task is in a canvas, it is judged, and told of once."""
        canvas = make(work)
        if how == "run":
            (found,) = engine.run(canvas).violations
        else:
            canvas.delay()
            (found,) = engine.runs[-1].violations
        assert (found.rule, found.task) == ("monotonic", "bad")
        assert told() == ["monotonic"]

    def test_what_a_task_publishes(self, engine, app, work, told):
        """It belongs to the run of who published it."""

        @app.task
        def parent():
            work.bad.delay()
            work.short.apply_async(countdown=60)

        run = engine.run(parent)
        assert [(each.task, each.rule) for each in run.violations] == [
            ("bad", "monotonic"),
            ("short", "complete"),
        ]
        assert len(told()) == 1

    def test_a_task_that_waits(self, engine, app, work, told):
        """One that waits for another one's result."""

        @app.task(bind=True, name="waits")
        def waits(self):
            self.update_state(state="PROGRESS", meta={"percent": 50})
            with allow_join_result():
                work.bad.delay().get()
            self.update_state(state="PROGRESS", meta={"percent": 100})

        (found,) = engine.run(waits).violations
        assert found.task == "bad"
        assert len(told()) == 1


class TestInParts:
    def test_steps(self, engine, work, told):
        """While something waits, a run has not come to its end."""
        with engine.paused():
            chain(work.bad.s(), work.good.s()).delay()
            engine.step()
            assert (told(), engine.runs) == ([], [])
            engine.step()
            assert told() == ["monotonic"]
        assert len(engine.runs) == 1

    def test_a_run_while_others_wait(self, engine, work, told):
        """What waited is run, and judged, with the run that was called."""
        with engine.paused():
            work.bad.delay()
            work.short.delay()
            engine.run(work.good)
        rules = {rule for each in told() for rule in each.split()}
        assert rules == {"monotonic", "complete"}

    def test_drain_until(self, engine, work, told):
        """What is due later is judged then."""
        with engine.paused():
            work.short.apply_async(countdown=60)
            work.bad.delay()
            engine.drain(until=30)
            assert [run.name for run in engine.runs] == []
        assert told() == ["monotonic complete"]

    def test_run_iter(self, engine, work, told):
        """Judged when the loop has come to its end, once."""
        pytest.importorskip("greenlet")
        with engine.run_iter(work.bad) as steps:
            for step in steps:
                assert told() == [], step
        assert told() == ["monotonic"]
        assert [each.rule for each in steps.run.violations] == ["monotonic"]

    def test_run_iter_that_is_left(self, engine, work, told):
        """It is run to its end then, and judged."""
        pytest.importorskip("greenlet")
        with engine.run_iter(work.bad) as steps:
            next(iter(steps))
        assert told() == ["monotonic"]

    def test_two_at_once(self, engine, work, told):
        """Each run is judged by what its own tasks wrote."""
        pytest.importorskip("greenlet")
        with engine.run_iter(work.bad) as one, engine.run_iter(work.good) as two:
            for _ in zip(one, two, strict=False):
                pass
        assert told() == ["monotonic"]
        assert two.run.violations == ()

    def test_suspended(self, engine, work, told):
        """A suspended run is judged when it was resumed, as one."""

        def suspends(state, details):
            engine.suspend()

        engine.atom_notifier.register("SUCCESS", suspends)
        run = engine.run(chain(work.bad.s(), work.good.s()))
        engine.atom_notifier.deregister("SUCCESS", suspends)
        assert run.violations == ()
        assert (told(), engine.runs) == ([], [])
        run = engine.resume()
        assert [each.rule for each in run.violations] == ["monotonic"]
        assert told() == ["monotonic"]
        assert engine.runs == [run]

    def test_a_sweep(self, engine, app, told):
        """Each of its runs is judged."""

        @app.task(bind=True, base=AbortableTask)
        def late(self):
            for percent in (25, 50, 75, 100):
                self.update_state(state="PROGRESS", meta={"percent": percent})

        runs = list(engine.sweep(Abort, late))
        broken = [run for run in runs if run.violations]
        assert {each.rule for run in broken for each in run.violations} == {"abort-honoured"}
        assert told() == ["abort-honoured"]
        assert len(broken) == 2

    def test_a_strict_sweep(self, engine, app):
        """It ends at the first run that breaks it."""

        @app.task(bind=True, base=AbortableTask)
        def late(self):
            for percent in (25, 50, 75, 100):
                self.update_state(state="PROGRESS", meta={"percent": percent})

        engine.contract = Contract(strict=True)
        with pytest.raises(ContractViolated, match="abort-honoured"):
            list(engine.sweep(Abort, late))
        assert engine.run(late).state == "SUCCESS"


class TestScenarios:
    def test_the_scenario_is_in_the_run(self, engine, work):
        """A failure says under which events it was."""
        with FALLS:
            run = engine.under(Advance(at_report(1), 5)).run(work.bad)
        with pytest.raises(ContractViolated) as caught:
            run.check()
        assert caught.value.run.under

    def test_after_an_abort(self, engine, app, told):
        """A task that notices it, and succeeds with what it has, breaks nothing."""

        @app.task(bind=True, base=AbortableTask)
        def keeps(self):
            observer = Observer(self)
            for row in range(4):
                if self.is_aborted():
                    return row
                observer.update("row", total=4)
            return 4

        for run in engine.sweep(Abort, keeps):
            assert run.violations == ()
        assert told() == []

    def test_asked_by_the_test(self, engine, app, told):
        """An abort before anything runs."""

        @app.task(bind=True, base=AbortableTask)
        def task(self):
            Observer(self).update("row", total=1)

        with engine.paused():
            result = task.delay()
            abort(result)
        assert engine.run(task).violations == ()
        assert engine.under(Abort(before_start())).run(task).violations == ()
        assert told() == []


class TestEngines:
    def test_two_of_them(self, engine, work, told):
        """Each has its contract, and its runs."""
        other = Celery("other", set_as_current=False)

        @other.task(bind=True, shared=False, name="falls")
        def falls(self):
            for percent in (50, 20, 100):
                self.update_state(state="PROGRESS", meta={"percent": percent})

        with EagerEngine(other) as second:
            second.contract = Contract().only("bounded")
            second.run(falls)
            engine.run(work.bad)
            assert [run.name for run in second.runs] == ["falls"]
        assert [run.name for run in engine.runs] == ["bad"]
        assert told() == ["monotonic"]

    def test_the_contract_may_be_set_between_runs(self, engine, work, told):
        """From then on it counts; a run keeps the one that it was judged by."""
        first = engine.run(work.short)
        engine.contract = engine.contract.having(ignore="complete")
        second = engine.run(work.short)
        assert told() == ["complete"]
        with pytest.raises(ContractViolated):
            first.check()
        second.check()


def update(task, current, total, **more):
    """What most tasks do."""
    task.update_state(state="PROGRESS", meta={"current": current, "total": total, **more})


class TestHealthyTasks:
    """Ordinary tasks break nothing."""

    @pytest.fixture(autouse=True)
    def silent(self, told):
        """Nothing is told."""
        yield
        assert told() == []

    @pytest.fixture
    def counts(self, app):
        """The plainest one."""

        @app.task(bind=True, name="counts", max_retries=3, acks_late=True)
        def counts(self, rows=3):
            for row in range(rows):
                update(self, row + 1, rows)
                if row == 1 and counts.leaves:
                    raise counts.leaves.pop()(self)
            return rows

        counts.leaves = []
        return counts

    @pytest.mark.parametrize("tracked", [True, False])
    @pytest.mark.parametrize(
        "leaves",
        [
            lambda self: self.retry(countdown=60),
            lambda self: self.retry(exc=ValueError("later"), countdown=60),
            lambda self: Reject("later", requeue=True),
        ],
        ids=["retry", "retry with an error", "delivered again"],
    )
    def test_another_attempt(self, engine, counts, leaves, tracked):
        """Progress begins anew, also where the start is not tracked."""
        counts.track_started = tracked
        counts.leaves.append(leaves)
        run = engine.run(counts, 4)
        assert (run.state, len(run.progress)) == ("SUCCESS", 6)

    @pytest.mark.parametrize("rows", [0, 1, 3, 7, 100])
    def test_counting(self, engine, counts, rows):
        """Any number of rows."""
        engine.run(counts, rows)
        counts.delay(rows)

    def test_celery_progress(self, engine, app):
        """As `set_progress` of celery-progress does."""

        @app.task(bind=True)
        def task(self, rows):
            for row in range(rows):
                percent = round((row + 1) / rows * 100, 2)
                update(self, row + 1, rows, percent=percent, pending=False, description="")

        for rows in (0, 1, 3, 7, 33):
            engine.run(task, rows)

    def test_the_mega_tutorial(self, engine, app):
        """100 % comes with the result."""

        @app.task(bind=True)
        def task(self):
            for row in range(10):
                update(self, row, 10, status="working")
            return {"current": 10, "total": 10, "status": "Task completed!", "result": 42}

        engine.run(task)

    @pytest.mark.parametrize("digits", [None, 0, 1, 2, 3])
    def test_percentages(self, engine, app, digits):
        """Rounded, or added up."""

        @app.task(bind=True)
        def task(self, rows):
            added = 0.0
            for row in range(rows):
                added += 100 / rows
                percent = added if digits is None else round((row + 1) / rows * 100, digits)
                update(self, row + 1, rows, percent=percent)

        for rows in (3, 7, 49, 97):
            engine.run(task, rows)

    def test_observers(self, engine, app):
        """Of a ProgressTask and of a plain one; indeterminate, throttled, in phases."""

        @app.task(bind=True, base=ProgressTask)
        def one(self, rows):
            observer = Observer(self)
            observer.update("Connecting", total=None)
            for _ in observer.track(rows, "Importing"):
                pass
            return observer.success("Imported %d", len(rows))[1]

        @app.task(bind=True)
        def plain(self):
            observer = Observer(self)
            observer.update("Scanning", current=30)
            return observer.success("done")[1]

        @app.task(bind=True, base=ProgressTask)
        def throttled(self):
            for _ in Observer(self, throttle=1).track(range(100), "Working"):
                pass

        @app.task(bind=True)
        def phases(self):
            for name, rows in (("DOWNLOADING", 3), ("IMPORTING", 5)):
                for row in range(rows):
                    self.update_state(state=name, meta={"current": row + 1, "total": rows})

        @app.task(bind=True, base=ProgressTask)
        def fails(self):
            observer = Observer(self)
            observer.update("Scanning", current=30)
            observer.fail("no such file")

        for task, args in (
            (one, [[1, 2, 3]]),
            (one, [[]]),
            (plain, []),
            (throttled, []),
            (phases, []),
            (fails, []),
        ):
            engine.run(task, *args)

    def test_endings(self, engine, app):
        """Errors, retries that are exhausted, tasks that store nothing."""

        @app.task(bind=True, max_retries=1)
        def gives_up(self):
            update(self, 1, 3)
            raise self.retry(countdown=1)

        @app.task(bind=True, autoretry_for=(KeyError,), max_retries=2, retry_backoff=True)
        def again(self):
            update(self, 1, 3)
            raise KeyError("a")

        @app.task(bind=True)
        def raises(self):
            update(self, 1, 3)
            raise ValueError("a")

        @app.task
        def ignores():
            raise Ignore

        @app.task(ignore_result=True)
        def stores_nothing():
            return 1

        for task in (gives_up, again, raises, ignores, stores_nothing):
            engine.run(task)
            task.delay()

    def test_canvases(self, engine, counts):
        """Whatever they are made of."""
        engine.run(chord([counts.si(1), counts.si(2)], counts.si(3)))
        engine.run(group(counts.si(1), chain(counts.si(2), counts.si(1))))
        chain(counts.si(2), group(counts.si(1), counts.si(3)), counts.si(1)).delay()

    def test_replaced(self, engine, app, counts):
        """Another task goes on under the same id."""

        @app.task(bind=True)
        def replaces(self, by):
            update(self, 1, 2)
            raise self.replace(by)

        engine.run(replaces, counts.s(4))

    def test_revoked(self, engine, counts):
        """Before it starts, or as it has expired."""
        with engine.paused():
            counts.delay().revoke()
            counts.apply_async(expires=1, countdown=5)

    def test_results_of_all_kinds(self, engine, app):
        """A result is no progress, whatever its keys."""

        @app.task(bind=True)
        def task(self, result):
            update(self, 1, 1)
            return result

        for result in (None, 5, [1], {"percent": 12.5}, {"current": 3, "total": 10}, {"total": 0}):
            engine.run(task, result)

    def test_records_for_each_other(self, engine, app):
        """Tasks that count together under an id that is no task's."""

        @app.task(bind=True)
        def part(self, number):
            meta = {"current": number, "total": 3}
            self.update_state(task_id="job", state="PROGRESS", meta=meta)

        engine.run(group(part.s(number) for number in (1, 2, 3)))


class TestRunsThatEndOtherwise:
    """Runs that raise, that stand still, or that another thread goes on with."""

    def test_a_run_without_an_end(self, app, work, told):
        """It is kept, not judged, and the next one has nothing of it."""

        @app.task(bind=True, name="loop")
        def loop(self):
            self.update_state(state="PROGRESS", meta={"percent": 50})
            loop.delay()

        with EagerEngine(app, limit=5) as engine:
            engine.contract = Contract()
            with pytest.raises(DrainLimitExceeded):
                engine.run(loop)
            work.good.delay()
            assert [(run.name, run.ended) for run in engine.runs][-1] == ("good", True)
            assert engine.runs[-1].states == ["PROGRESS", "PROGRESS", "SUCCESS"]
            assert engine.runs[0].name == "loop"
        assert told() == []

    def test_what_is_published_while_a_run_stands_still(self, engine, work, told):
        """Each is judged by itself, once."""
        pytest.importorskip("greenlet")
        steps = engine.run_iter(work.good)
        next(steps)
        work.short.delay()
        assert [run.name for run in engine.runs] == ["short"]
        assert steps.run.states == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert [run.name for run in engine.runs] == ["short", "good"]
        assert told() == ["complete"]

    def test_a_run_in_another_thread(self, engine, app, work, told):
        """What one thread has published is judged whole, though another one runs something."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()  # the thread is none that the task has started

            @app.task(bind=True, name="slow")
            def slow(self):
                self.update_state(state="PROGRESS", meta={"percent": 50})
                pool.submit(engine.run, work.good).result()
                self.update_state(state="PROGRESS", meta={"percent": 10})

            slow.delay()
        assert told() == ["monotonic complete"]

    def test_a_rule_that_breaks(self, engine, work):
        """It breaks nothing of the code that publishes; the test is told in the end."""

        def broken(task, figure):
            raise ZeroDivisionError(figure)

        engine.contract = Contract().with_rules([Rule("broken", "why", broken)])
        work.good.delay()
        with pytest.raises(RuleError, match="the rule 'broken' broke on good: ZeroDivisionError"):
            engine.check_contract()

    def test_who_is_told_until_it_is_left(self, app, work):
        """What a test has added to `on_run` is not there in the next one."""
        engine, told = EagerEngine(app), []
        with engine:
            engine.on_run.append(told.append)
            engine.run(work.good)
        with engine:
            engine.run(work.good)
        assert len(told) == 1


def test_a_run_that_did_not_match_can_be_pickled(engine, work):
    """With its pattern, as long as that is text; of a list as it was written."""
    run = engine.run(work.good)
    assert not run.matches("PROGRESS SUCCESS")
    assert not run.matches([lambda transition: False])
    first, second = pickle.loads(pickle.dumps(run)).mismatches  # noqa: S301 - our own
    assert first.pattern.match(run.history).at == 1
    assert str(second.pattern) == second.pattern.code
    with pytest.raises(PatternError, match="of another process"):
        second.pattern.match(run.history)
