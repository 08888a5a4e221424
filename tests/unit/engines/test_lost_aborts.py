"""Celery's own AbortableTask: an abort is lost as it is on a worker, and it is told where."""

from __future__ import annotations

import inspect
import warnings

import pytest
from celery import uuid
from celery.contrib.abortable import AbortableAsyncResult, AbortableTask
from celery.exceptions import Ignore

from pytest_taskprogress import AbortableTask as OurAbortableTask
from pytest_taskprogress import EagerEngine, Observer, ProgressTask, TaskProgressWarning, abort
from pytest_taskprogress.scenario import Abort, at_abort_check, at_report


@pytest.fixture
def told(engine):
    """What the engine warns of, as (message, file, line)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TaskProgressWarning)
        found = []
        yield (
            lambda: (
                found
                or found.extend((str(each.message), each.filename, each.lineno) for each in caught)
                or found
            )
        )


@pytest.fixture(params=["Celery's", "ours"])
def base(request):
    """Either class."""
    return AbortableTask if request.param == "Celery's" else OurAbortableTask


@pytest.fixture
def work(app):
    """Makes the task of the five rows of FACTS' table."""

    def make(base, **options):
        @app.task(name="work", bind=True, base=base, **options)
        def work(self, *, asks=False, then=None):
            seen = [self.is_aborted()]
            if asks:
                self.AsyncResult(self.request.id).abort()
            seen.append(self.is_aborted())
            if then == "reports":
                self.update_state(state="PROGRESS", meta={"current": 1})
                seen.append(self.is_aborted())
            if then == "ignores":
                raise Ignore
            return seen

        return work

    return make


def line_of(function, text):
    """The number of the line of a function that has a text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(n for n, line in enumerate(lines) if text in line)


def before_start(task):
    """Ask for the abort of a task that is published after that."""
    task_id = uuid()
    task.AsyncResult(task_id).abort()
    return task.apply_async(task_id=task_id)


class TestTable:
    """The five rows of FACTS' table: with Celery's class as on a worker, with ours kept."""

    def test_before_start_tracked(self, engine, work, told):
        """Row 1: STARTED erases the abort, and no check sees it."""
        result = before_start(work(AbortableTask, track_started=True))
        assert engine.history == ["ABORTED", "STARTED", "SUCCESS"]
        assert result.get() == [False, False]
        assert len(told()) == 1
        assert "is lost: STARTED was stored over ABORTED by the worker" in told()[0][0]

    def test_before_start(self, engine, work, told):
        """Row 2: every check sees it, and the end erases it."""
        result = before_start(work(AbortableTask))
        assert engine.history == ["ABORTED", "SUCCESS"]
        assert result.get() == [True, True]
        assert ["is lost: SUCCESS" in message for message, *_ in told()] == [True]

    def test_in_the_middle(self, engine, work, told):
        """Row 3: the task returns, which is a SUCCESS."""
        run = engine.run(work(AbortableTask, track_started=True), asks=True)
        assert run.states == ["STARTED", "ABORTED", "SUCCESS"]
        assert run.result == [False, True]
        assert ["is lost: SUCCESS" in message for message, *_ in told()] == [True]

    def test_then_a_report(self, engine, work, told):
        """Row 4: one more report erases it: the check after that does not see it."""
        run = engine.run(work(AbortableTask, track_started=True), asks=True, then="reports")
        assert run.states == ["STARTED", "ABORTED", "PROGRESS", "SUCCESS"]
        assert run.result == [False, True, False]
        assert ["is lost: PROGRESS" in message for message, *_ in told()] == [True]

    def test_then_ignored(self, engine, work, told):
        """Row 5: nothing is lost; but nobody learns that the task is over."""
        run = engine.run(work(AbortableTask, track_started=True), asks=True, then="ignores")
        assert run.states == ["STARTED", "ABORTED"]
        assert not AbortableAsyncResult(run.task_id, app=engine.app).ready()
        assert told() == []

    @pytest.mark.parametrize("tracked", [True, False])
    def test_ours_before_start(self, engine, work, tracked, told):
        """Ours, rows 1 and 2: the body never runs."""
        result = before_start(work(OurAbortableTask, track_started=tracked))
        assert engine.history.states[-1] == "ABORTED"
        assert result.ready()
        assert result.state == "ABORTED"
        assert told() == []

    @pytest.mark.parametrize("then", [None, "reports"])
    def test_ours_in_the_middle(self, engine, work, then, told):
        """Ours, rows 3 and 4: every later check sees it; to return is the task's choice."""
        run = engine.run(work(OurAbortableTask, track_started=True), asks=True, then=then)
        assert run.result == ([False, True] if then is None else [False, True, True])
        assert run.state == "SUCCESS"
        assert len(run.aborts) == 1
        assert told() == []


class TestWhatIsTold:
    def test_the_whole_message(self, engine, app, told):
        """Who asked where, which write erased it where, why, and what to do."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            self.AsyncResult(self.request.id).abort()
            self.update_state(state="PROGRESS", meta={})

        engine.run(export)
        asked = f"{__file__}:{line_of(export.run, '.abort()')}"
        erased = line_of(export.run, "update_state")
        ((message, file, line),) = told()
        assert message.startswith(
            "export breaks its contract:\n  abort-survives: the abort that was asked for,"
            f" at {asked}, is lost: PROGRESS was stored over"
            f" ABORTED at {__file__}:{erased}. With Celery's AbortableTask the request is the"
            " state itself, which every later write erases: give the task base=AbortableTask of"
            " pytest_taskprogress"
        )
        assert (file, line) == (__file__, erased)

    def test_the_write_that_erased_it(self, engine, app, told):
        """Of several reports it is the first one after the abort."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            self.update_state(state="PROGRESS", meta={})
            self.is_aborted()
            self.update_state(state="ERASING", meta={})
            self.update_state(state="PROGRESS", meta={})

        engine.under(Abort(at_abort_check(1))).run(export)
        ((message, file, line),) = told()
        assert "ERASING was stored over ABORTED" in message
        assert (file, line) == (__file__, line_of(export.run, "ERASING"))

    def test_an_observer(self, engine, app, told):
        """A report of an Observer is at the line of the task, and not in this package."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            observer = Observer(self, check_abort=False)
            observer.update("One", total=2)
            observer.update("Two", total=2)

        engine.under(Abort(at_report(1))).run(export)
        ((message, file, line),) = told()
        assert "PROGRESS was stored over ABORTED" in message
        assert (file, line) == (__file__, line_of(export.run, "Two"))

    def test_each_abort(self, engine, app, told):
        """An abort that is asked for again is lost again."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            for _ in range(3):
                self.AsyncResult(self.request.id).abort()
                self.update_state(state="PROGRESS", meta={})

        run = engine.run(export)
        assert run.states == ["ABORTED", "PROGRESS"] * 3 + ["SUCCESS"]
        ((message, _, _),) = told()
        assert message.count("is lost: PROGRESS was stored over ABORTED") == 3
        assert len(run.aborts) == 3
        assert run.reports_after_abort == 3

    def test_of_each_run(self, engine, work, told):
        """Not only the first one: each run knows, and one warning tells of them."""
        task = work(AbortableTask)
        for _ in range(3):
            assert len(engine.run(task, asks=True).violations) == 1
        assert len(told()) == 1

    @pytest.mark.parametrize("how", ["returns", "raises", "retries"])
    def test_the_end_of_the_task(self, engine, app, told, how):
        """What the worker stores erases it as well; then the line is that of the abort."""

        @app.task(name="export", bind=True, base=AbortableTask, max_retries=1)
        def export(self):
            if self.request.retries:
                return
            self.AsyncResult(self.request.id).abort()
            if how == "raises":
                raise ValueError
            if how == "retries":
                raise self.retry(countdown=1)

        engine.run(export)
        state = {"returns": "SUCCESS", "raises": "FAILURE", "retries": "RETRY"}[how]
        message, file, line = told()[0]
        assert f"is lost: {state} was stored over ABORTED by the worker" in message
        assert (file, line) == (__file__, line_of(export.run, ".abort()"))

    def test_by_the_test(self, engine, app, told):
        """An abort by the test, step by step: the line is that of the test."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            for _ in range(3):
                self.update_state(state="PROGRESS", meta={})

        steps = engine.run_iter(export)
        step = next(steps)
        export.AsyncResult(step.uuid).abort()  # here
        assert [each.state for each in steps][-3:] == ["PROGRESS", "PROGRESS", "SUCCESS"]
        assert steps.run.states == ["PROGRESS", "ABORTED", "PROGRESS", "PROGRESS", "SUCCESS"]
        assert len(steps.run.aborts) == 1
        assert steps.run.reports_after_abort == 2
        ((message, *_),) = told()
        here = line_of(type(self).test_by_the_test, "# here")
        assert f"asked for, at {__file__}:{here}, is lost" in message

    def test_by_abort_of_a_canvas(self, engine, app, told):
        """`abort(result)` asks a task of Celery's class by its state; that is lost all the same."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            self.update_state(state="PROGRESS", meta={})

        with engine.paused():
            result = export.delay()
            assert abort(result)
        assert result.state == "SUCCESS"
        assert "PROGRESS was stored over ABORTED" in told()[0][0]

    def test_nothing_lost_nothing_told(self, engine, jobs, told):
        """A task that checks before each report, and ends by Ignore, loses none."""
        run = engine.under(Abort(at_abort_check(2))).run(jobs.celerys)
        assert run.state == "ABORTED"
        assert told() == []

    def test_without_an_abort(self, engine, jobs, told):
        """Nothing is asked, nothing is lost."""
        engine.run(jobs.celerys)
        assert told() == []

    @pytest.mark.parametrize("plain", [ProgressTask, OurAbortableTask])
    def test_an_end_of_ours_is_not_a_request(self, engine, app, told, plain):
        """ABORTED with a meta is an end: what is stored over that is another mistake."""

        @app.task(name="export", bind=True, base=plain)
        def export(self):
            self.backend.store_result(self.request.id, {"current": 1}, "ABORTED")
            self.backend.store_result(self.request.id, {"current": 2}, "PROGRESS")

        engine.run(export)
        assert all("is lost" not in message for message, *_ in told())

    def test_as_an_error(self, app):
        """With warnings as errors the test fails at the end of the drain, by that message."""

        @app.task(name="export", bind=True, base=AbortableTask)
        def export(self):
            self.AsyncResult(self.request.id).abort()

        with (
            EagerEngine(app) as engine,
            pytest.raises(TaskProgressWarning, match="the abort that was asked for"),
        ):
            engine.run(export)


def test_the_same_task_with_either_class(engine, app, base, told):
    """The one change that the message asks for is enough: then no abort is lost."""

    @app.task(name="export", bind=True, base=base)
    def export(self):
        for _ in range(4):
            self.update_state(state="PROGRESS", meta={})
            if self.is_aborted():
                return "aborted"
            self.update_state(state="PROGRESS", meta={})
        return "not aborted"

    run = engine.under(Abort(at_report(2))).run(export)
    ours = base is OurAbortableTask
    assert run.result == ("aborted" if ours else "not aborted")
    assert bool(told()) is not ours
