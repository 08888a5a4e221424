from __future__ import annotations

import logging
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from celery import Celery, Task, _state, shared_task, signals
from celery.contrib import abortable
from celery.exceptions import Ignore, Reject
from celery.result import allow_join_result

from pytest_taskprogress import (
    AbortableAsyncResult,
    AbortableTask,
    EagerEngine,
    Observer,
    ProgressTask,
    ProgressValueError,
    TaskAborted,
    TaskProgressWarning,
    abort,
)
from pytest_taskprogress.tasks.aborting import record_id_of


@pytest.fixture
def a_task(app):
    """Make a bound AbortableTask of a function."""

    def make(body, **options):
        options = {"base": AbortableTask, "name": f"tests.{body.__name__}", **options}
        return app.task(body, bind=True, **options)

    return make


@pytest.fixture
def run(engine, a_task):
    """Run a function as a bound AbortableTask."""
    return lambda body, **options: engine.run(a_task(body, **options))


@pytest.fixture
def run_asked(engine, a_task):
    """Run a function as a bound AbortableTask that is asked before it starts."""

    def run_asked(body, *, link=None, link_error=None, task_id="asked", **options):
        task = a_task(body, **options)
        with engine.paused():
            result = task.apply_async(task_id=task_id, link=link, link_error=link_error)
            assert result.abort() is True
        return result

    return run_asked


@pytest.fixture
def heard():
    """What handlers and errbacks were called with, in order."""
    return []


@pytest.fixture
def errback(app, heard):
    """An errback in the new manner."""

    @app.task(name="tests.errback")
    def errback(request, exc, traceback):
        heard.append(("errback", request.id, exc))

    return errback


@pytest.fixture
def handled(heard):
    """A base whose handlers tell what they were called with."""

    class Handled(AbortableTask):
        abstract = True

        def on_abort(self, exc, task_id, args, kwargs, einfo):
            heard.append(("on_abort", exc, task_id, args, kwargs, einfo))

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            heard.append(("on_failure", exc))

        def on_success(self, retval, task_id, args, kwargs):
            heard.append(("on_success", retval))

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            heard.append(("on_retry", exc))

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            heard.append(("after_return", status, retval, task_id, args, kwargs, einfo))

    return Handled


def names(heard):
    """Who was called, in order."""
    return [each[0] for each in heard]


def ask(task):
    """Ask the task that runs to abort, from inside."""
    return task.AsyncResult(task.request.id).abort()


class Scan:
    """What an application keeps about a run."""

    name = "scan"

    def __init__(self, *, broken=False):
        self.active = True
        self.saved = []
        self._broken = broken

    def save(self):
        """Keep a record of it."""
        self.saved.append(self.active)
        if self._broken:
            raise OSError("the database is down")


# -- what they are --------------------------------------------------------------------------------


def test_is_celerys(app, a_task):
    """Code and checks written for Celery's classes go on working."""

    def body(self):
        pass

    task = a_task(body)
    assert isinstance(task, abortable.AbortableTask)
    assert isinstance(task, ProgressTask)
    result = task.AsyncResult("an-id")
    assert type(result) is AbortableAsyncResult
    assert isinstance(result, abortable.AbortableAsyncResult)
    assert result.app is app
    assert abortable.ABORTED == "ABORTED"


def test_result_of_publishing_is_abortable(engine, a_task):
    """So is what `delay`, `apply_async` and a signature return."""

    def body(self):
        pass

    task = a_task(body)
    for result in (task.delay(), task.apply_async(), task.s().delay(), task.signature()()):
        if not isinstance(result, AbortableAsyncResult):
            assert result is None  # calling a signature is calling the function
        else:
            assert result.app is engine.app


def test_nobody_is_asked(run):
    """A task that nobody aborts is a task."""

    def body(self):
        observer = Observer(self)
        for _ in observer.track(range(4), "row"):
            assert not self.is_aborted()
            self.raise_if_aborted()
        return "returned"

    done = run(body)
    assert done.states == ["PROGRESS"] * 4 + ["SUCCESS"]
    assert (done.result, done.aborts) == ("returned", ())


# -- before start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("track_started", [False, True])
def test_before_start_the_body_never_runs(engine, run_asked, heard, track_started):
    """ABORTED is the end of a task that was asked before it began."""

    def body(self):
        heard.append("body")

    result = run_asked(body, track_started=track_started)
    assert heard == []
    states = engine.history.of("asked").states
    assert states == (["STARTED"] if track_started else []) + ["ABORTED"]
    assert (result.state, result.ready()) == ("ABORTED", True)


def test_asked_before_it_is_published(engine, a_task):
    """An id that nobody knows yet may be asked: what starts under it later is aborted."""

    def body(self):
        raise AssertionError

    task = a_task(body)
    assert task.AsyncResult("to-be").abort() is True
    task.apply_async(task_id="to-be")
    assert engine.history.of("to-be").states == ["ABORTED"]


def test_before_start_handlers_run(run_asked, handled, heard):
    """`on_abort` is told of a task that never ran, too: with no progress."""

    def body(self):
        heard.append("body")

    run_asked(body, base=handled)
    assert names(heard) == ["on_abort", "after_return"]
    assert heard[0][1].meta == {"pending": False}


def test_before_start_with_eta(engine, a_task):
    """A task that waits for its time is aborted when that comes, not run."""

    def body(self):
        raise AssertionError

    with engine.paused():
        result = a_task(body).apply_async(countdown=60)
        result.abort()
        assert result.state == "ABORTED"
        assert not result.ready()
    assert engine.history.states == ["ABORTED"]
    assert engine.history[0].at == 60.0


@pytest.mark.parametrize("interval", [0.0, 3600.0])
def test_look_before_start_is_none_of_the_task(engine, run, interval):
    """With an interval the first check of the task itself is real all the same."""

    def body(self):
        ask(self)
        return self.is_aborted()

    assert run(body, abort_check_interval=interval).result is True


def test_report_before_start_is_no_way_out(run_asked, heard):
    """An Observer that reports in `before_start` does not turn an abort into a failure."""

    class Early(AbortableTask):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            self.observer = Observer(self)
            self.observer.update("starting")

        def on_failure(self, *args):
            heard.append("on_failure")

        def on_abort(self, *args):
            heard.append("on_abort")

    def body(self):
        heard.append("body")

    assert run_asked(body, base=Early).state == "ABORTED"
    assert heard == ["on_abort"]


def test_report_in_a_call_of_ones_own(run_asked, heard):
    """So does one that reports in a `__call__` around the task."""

    class Wrapped(AbortableTask):
        abstract = True

        def __call__(self, *args, **kwargs):
            self.observer = Observer(self)
            self.observer.update("starting")
            return super().__call__(*args, **kwargs)

    def body(self):
        heard.append("body")

    assert run_asked(body, base=Wrapped).state == "ABORTED"
    assert heard == []


# -- noticing -------------------------------------------------------------------------------------


def test_report_leaves_the_task(engine, run):
    """The first report after the request raises; ABORTED is stored once, with what came before."""

    def body(self):
        observer = Observer(self)
        observer.update("first", current=10)
        observer.update("second", current=20)
        ask(self)
        observer.update("third", current=30)
        raise AssertionError("it went on")

    done = run(body)
    assert done.states == ["PROGRESS", "PROGRESS", "ABORTED"]
    assert (done.meta["description"], done.meta["percent"]) == ("second", 20.0)
    assert done.meta == done.progress[-1].meta
    assert done.reports_after_abort == 0
    assert isinstance(done.exception, TaskAborted)
    assert done.exception.meta == done.meta


@pytest.mark.parametrize("how", ["raise_if_aborted", "track", "with track", "update"])
def test_ways_out(run, how):
    """Every kind of check leaves the task, and ends it the same way."""

    def body(self):
        observer = Observer(self)
        observer.update("before", current=10)
        ask(self)
        if how == "raise_if_aborted":
            self.raise_if_aborted()
        elif how == "update":
            observer.update("after")
        elif how == "track":
            for _ in observer.track(range(4), "row"):
                pass
        else:
            with observer.track(range(4), "row") as tracked:
                for _ in tracked:
                    pass
        raise AssertionError("it went on")

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.percents == [10.0]
    assert done.meta["percent"] == 10.0


def test_abort_in_the_loop_of_track(run):
    """A body of `with track` that leaves by TaskAborted is no failure."""

    def body(self):
        with Observer(self).track(range(4), "row") as tracked:
            for row in tracked:
                if row == 1:
                    ask(self)
                    self.raise_if_aborted()

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.percents == [25.0]


def test_empty_track_checks(run):
    """A loop over nothing reports once, and that is a check."""

    def body(self):
        ask(self)
        for _ in Observer(self).track([], "row"):
            pass
        raise AssertionError("it went on")

    assert run(body).states == ["ABORTED"]


def test_iterable_that_raises_taskaborted(run):
    """An iterable that checks by itself leaves the loop; that is the abort, not a failure."""

    def body(self):
        def rows():
            yield 1
            yield 2
            self.raise_if_aborted()

        for row in Observer(self).track(rows(), "row", total=10):
            if row == 2:
                ask(self)

    done = run(body)
    assert done.states[-1] == "ABORTED"
    assert "FAILURE" not in done.states


def test_check_abort_false(run):
    """An Observer that is told not to check reports on; the task's own checks see the request."""

    def body(self):
        observer = Observer(self, check_abort=False)
        ask(self)
        observer.update("on", current=10)
        observer.update("and on", current=20)
        return self.is_aborted()

    done = run(body)
    assert done.states == ["PROGRESS", "PROGRESS", "SUCCESS"]
    assert done.result is True


def test_reads_of_a_loop(engine, run):
    """A check and a report for each of 10 rows: 20 reads, and not one when nobody is to check."""

    def body(self, *, check_abort=True):
        observer = Observer(self, check_abort=check_abort)
        for _ in range(10):
            if check_abort:
                self.is_aborted()
            observer.update("row", total=10)

    done = run(body)
    # The one more is the look before the start.
    assert engine.backend.reads[record_id_of(done.task_id)] == 21


def test_interval_is_shared_by_all_checks_of_an_execution(engine, run):
    """Whoever looks, looks for all: the task, its Observers, and helper threads."""

    def body(self):
        first, second = Observer(self), Observer(self)
        for _ in range(10):
            self.is_aborted()
            first.update("row", current=1)
            second.update("row", current=1)
            self.raise_if_aborted()
            engine.clock.advance(1)

    done = run(body, abort_check_interval=5)
    assert engine.backend.reads[record_id_of(done.task_id)] == 1 + 2  # at 0 and 5 seconds


def test_interval_begins_anew_with_each_attempt(engine, run):
    """The first check of a retry is real."""
    seen = []

    def body(self):
        seen.append(self.is_aborted())
        if not self.request.retries:
            raise self.retry(countdown=1)
        ask(self)
        # Within the interval: it was looked a moment ago, by this attempt.
        seen.append(self.is_aborted())

    done = run(body, abort_check_interval=3600)
    assert done.states == ["RETRY", "SUCCESS"]
    assert seen == [False, False, False]
    # Before each start, and the first check of each attempt.
    assert engine.backend.reads[record_id_of(done.task_id)] >= 4


def test_noticed_late_within_the_interval(engine, run):
    """With an interval the abort comes at the first check after it."""

    def body(self):
        observer = Observer(self)
        for row in range(10):
            observer.update("row %d", row, total=10)
            if row == 2:
                ask(self)
            engine.clock.advance(1)

    done = run(body, abort_check_interval=5)
    assert done.states == ["PROGRESS"] * 5 + ["ABORTED"]
    assert done.reports_after_abort == 2


@pytest.mark.parametrize("interval", [-1, -0.001, float("nan"), float("inf"), "1", None, True, [1]])
def test_interval_that_is_none(app, a_task, interval):
    """What is no finite number of 0 or more is refused when the task is bound."""

    def body(self):
        pass

    a_task(body, abort_check_interval=interval)
    with pytest.raises(ProgressValueError, match="abort_check_interval"):
        app.finalize()


@pytest.mark.parametrize("interval", [0, 0.0, 2, 0.5])
def test_interval_of_a_task(app, a_task, interval):
    """What is one is an attribute of the task."""

    def body(self):
        pass

    task = a_task(body, abort_check_interval=interval)
    app.finalize()
    assert task.abort_check_interval == interval


def test_interval_of_a_base(engine, run):
    """A base may have it for all of its tasks."""

    class Slow(AbortableTask):
        abstract = True
        abort_check_interval = 60

    def body(self):
        self.is_aborted()
        ask(self)
        return self.is_aborted()

    assert run(body, base=Slow).result is False


def test_interval_of_a_class_that_is_registered(app):
    """A class-based task is checked when the app gets it."""

    class Never(AbortableTask):
        name = "tests.never"
        abort_check_interval = -1

        def run(self):
            pass

    with pytest.raises(ProgressValueError, match="abort_check_interval"):
        app.register_task(Never())


def test_interval_of_annotations():
    """`task_annotations` are checked as well."""
    app = Celery("tests", set_as_current=False)
    app.conf.task_annotations = {"tests.annotated": {"abort_check_interval": -1}}

    @app.task(base=AbortableTask, name="tests.annotated", shared=False)
    def annotated():
        pass

    with pytest.raises(ProgressValueError, match="abort_check_interval"):
        app.finalize()


# -- is_aborted -----------------------------------------------------------------------------------


def test_outside_a_task(a_task):
    """There is nothing to abort: False, no error, and no read."""

    def body(self):
        self.raise_if_aborted()
        return self.is_aborted()

    task = a_task(body)
    assert task.is_aborted() is False
    assert task.is_aborted(task_id=None) is False
    task.raise_if_aborted()
    assert task() is False
    assert task.abort_check() is None


def test_outside_a_task_with_an_id(engine, a_task):
    """Somebody who has the id of a task may ask about it."""

    def body(self):
        pass

    task = a_task(body)
    with engine.paused():
        result = task.delay()
        assert task.is_aborted(task_id=result.id) is False
        result.abort()
        assert task.is_aborted(task_id=result.id) is True
    assert task.is_aborted(task_id=result.id) is True
    assert task.is_aborted(task_id="unknown") is False
    result.forget()
    assert task.is_aborted(task_id=result.id) is False


def test_about_another_task(engine, run):
    """Inside a task `task_id` asks about another, and about itself."""

    def body(self):
        self.AsyncResult("another").abort()
        return [
            self.is_aborted(),
            self.is_aborted(task_id="another"),
            self.is_aborted(task_id=self.request.id),
        ]

    assert run(body).result == [False, True, False]


def test_about_a_task_that_ended_otherwise(engine, a_task, run):
    """A task that succeeded is not aborted, though it was asked."""

    def body(self):
        ask(self)

    done = run(body)
    task = engine.app.tasks["tests.body"]
    assert done.state == "SUCCESS"
    assert task.is_aborted(task_id=done.task_id) is False


def test_in_a_task_of_another_kind(engine, a_task, app):
    """The task of which it is asked is not the one that runs: that has no request."""
    seen = []

    def body(self):
        pass

    other = a_task(body)

    @app.task(name="tests.asking", bind=True)
    def asking(self):
        seen.append(other.is_aborted())
        other.raise_if_aborted()

    assert engine.run(asking).state == "SUCCESS"
    assert seen == [False]


def test_called_as_a_function_in_a_task_that_is_asked(engine, a_task, run):
    """A task that another one calls as a function belongs to nobody, and is not aborted."""

    def inner(self):
        Observer(self).update("inner")
        return self.is_aborted()

    inner_task = a_task(inner)

    def body(self):
        ask(self)
        return inner_task()

    done = run(body)
    assert (done.state, done.result) == ("SUCCESS", False)


def test_called_as_a_function_by_itself(run):
    """Celery lends a call of the same task its request: that is asked as the task is."""

    def body(self, depth=0):
        if depth:
            Observer(self).update("inner")
        ask(self)
        self(depth=1)

    assert run(body).states == ["ABORTED"]


def test_task_that_is_not_abortable_in_the_place_of_its_result(app, a_task, engine):
    """With a result class of another kind it is False, as Celery has it."""

    def body(self):
        pass

    task = a_task(body)
    task.AsyncResult = app.AsyncResult
    assert task.is_aborted(task_id="foo") is False


# -- helper threads -------------------------------------------------------------------------------


def in_a_thread(work):
    """Run a function in a thread, and return what it raised."""
    raised = []

    def target():
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it is the result
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return raised


def test_helper_thread_notices(run):
    """A report from a thread without a request of its own raises there."""

    def body(self):
        observer = Observer(self)
        assert in_a_thread(lambda: observer.update("before", current=10)) == []
        ask(self)
        [error] = in_a_thread(lambda: observer.update("after", current=20))
        assert isinstance(error, TaskAborted)
        assert error.task_id == self.request.id
        raise error

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.meta["percent"] == 10.0


def test_helper_thread_has_the_check(run):
    """`abort_check()` may be given to a thread: that looks for the task that made it."""

    def body(self):
        check = self.abort_check()
        ask(self)
        assert in_a_thread(check.is_aborted) == []
        [error] = in_a_thread(check.raise_if_aborted)
        assert isinstance(error, TaskAborted)
        return check.is_aborted()

    assert run(body).result is True


def test_helper_thread_that_nobody_hears(run):
    """A task that does not look at what its helpers raised goes on: it may end as it likes."""

    def body(self):
        observer = Observer(self)
        ask(self)
        assert len(in_a_thread(lambda: observer.update("after"))) == 1
        return "returned"

    assert run(body).state == "SUCCESS"


# -- noticed, and then ----------------------------------------------------------------------------


def test_returns_after_noticing(run, handled, heard):
    """A task that returns a value has succeeded: its choice."""

    def body(self):
        ask(self)
        return "half of it" if self.is_aborted() else "all of it"

    done = run(body, base=handled)
    assert (done.states, done.result) == (["SUCCESS"], "half of it")
    assert names(heard) == ["on_success", "after_return"]


def test_swallowed(run):
    """TaskAborted that the body catches is raised by every later check, and the end is its own."""
    raised = []

    def body(self):
        observer = Observer(self)
        ask(self)
        for _ in range(3):
            try:
                observer.update("row")
            except TaskAborted as error:
                raised.append(error)
        return len(raised)

    done = run(body)
    assert (done.states, done.result) == (["SUCCESS"], 3)


def test_succeeds_by_its_observer_after_noticing(run):
    """`success()` is no report: it does not check."""

    def body(self):
        observer = Observer(self)
        ask(self)
        observer.success("as far as it got")

    done = run(body)
    assert done.states == ["SUCCESS"]
    assert done.result["description"] == "as far as it got"


def test_fails_by_its_observer_after_noticing(run, handled, heard):
    """`fail()` does not check either: the task fails, with a TaskAborted that is raised later."""

    def body(self):
        observer = Observer(self)
        ask(self)
        observer.fail("bad row")
        self.raise_if_aborted()

    done = run(body, base=handled)
    assert done.states == ["FAILURE"]
    assert repr(done.exception) == "RuntimeError('bad row')"
    assert names(heard) == ["on_failure", "after_return"]


def test_raises_something_else_after_noticing(run):
    """Another error is a failure, of which the abort is the context."""

    def body(self):
        ask(self)
        try:
            self.raise_if_aborted()
        except TaskAborted:
            raise OSError("disk")  # noqa: B904

    done = run(body)
    assert done.states == ["FAILURE"]
    assert repr(done.exception) == "OSError('disk')"


def test_finally_runs(run, heard):
    """`finally` blocks and context managers are left as by any exception."""

    def body(self):
        observer = Observer(self)
        ask(self)
        try:
            observer.update("row")
        finally:
            heard.append("cleaned")

    assert run(body).states == ["ABORTED"]
    assert heard == ["cleaned"]


@pytest.mark.parametrize("how", ["finally", "except", "nested"])
def test_reports_while_it_is_left(run, heard, how):
    """While the task is being left, no check leaves it again: the cleaning comes to its end."""

    def clean(self, observer):
        observer.update("cleaning up", current=45)
        self.raise_if_aborted()
        assert self.is_aborted()
        for _ in observer.track(range(2), "closing"):
            pass
        heard.append("cleaned")

    def body(self):
        observer = Observer(self)
        ask(self)
        if how == "finally":
            try:
                observer.update("row", current=50)
            finally:
                clean(self, observer)
        try:
            observer.update("row", current=50)
        except TaskAborted:
            if how == "nested":
                try:
                    raise OSError("disk")  # noqa: TRY301
                except OSError:
                    clean(self, observer)
            else:
                clean(self, observer)
            raise

    done = run(body)
    assert done.states[-1] == "ABORTED"
    assert done.messages == ["cleaning up", "closing", "closing"]
    assert heard == ["cleaned"]


def test_checks_raise_again_when_it_was_not_left(run):
    """A task that caught the abort and goes on is left by the next check."""

    def body(self):
        ask(self)
        with suppress(TaskAborted):
            self.raise_if_aborted()
        try:
            raise OSError("disk")  # noqa: TRY301
        except OSError:
            self.raise_if_aborted()

    assert run(body).states == ["ABORTED"]


def test_errors_that_are_each_others_context(run):
    """A ring of errors, which somebody has made, does not hang the check."""

    def body(self):
        ask(self)
        first, second = OSError("first"), OSError("second")
        first.__context__, second.__context__ = second, first
        try:
            raise first
        except OSError:
            self.raise_if_aborted()

    assert run(body).states == ["ABORTED"]


def test_abort_of_another_is_being_handled(run):
    """The abort of a child that is handled is not that of the task: its check leaves it."""

    def body(self):
        ask(self)
        try:
            raise TaskAborted("a-child")  # noqa: TRY301
        except TaskAborted:
            self.raise_if_aborted()

    assert run(body).states == ["ABORTED"]


def test_cleaner_that_reports_does_not_check(run, heard):
    """Who reports while cleaning up uses an Observer that does not check."""

    def body(self):
        observer, cleaner = Observer(self), Observer(self, check_abort=False)
        observer.update("row", current=40)
        ask(self)
        try:
            observer.update("row", current=50)
        finally:
            cleaner.update("cleaning up", current=45)
            heard.append("cleaned")

    done = run(body)
    assert done.states == ["PROGRESS", "PROGRESS", "ABORTED"]
    assert done.meta["description"] == "cleaning up"
    assert heard == ["cleaned"]


def test_ignore_after_noticing(run, handled, heard):
    """`raise Ignore` is how a task of Celery's class ends when it was asked: that is the abort."""

    def body(self):
        Observer(self).update("row", current=10)
        ask(self)
        if self.is_aborted():
            raise Ignore

    done = run(body, base=handled)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.meta["percent"] == 10.0
    assert names(heard) == ["on_abort", "after_return"]


def test_ignore_without_noticing(run, handled, heard):
    """Without a check in between it is Ignore: the task did not know."""

    def body(self):
        ask(self)
        raise Ignore

    assert run(body, base=handled).states == []
    assert heard == []


@pytest.mark.parametrize("asked", [False, True])
def test_reject_after_noticing(run, asked):
    """Reject is obeyed, as in a plain task."""

    def body(self):
        if asked:
            ask(self)
        assert self.is_aborted() is asked
        raise Reject("no", requeue=False)

    def plain(self):
        raise Reject("no", requeue=False)

    assert run(body).states == run(plain, base=None).states


def test_noticed_by_exception(run, handled, heard):
    """`except Exception: observer.exception(...)` catches the abort too: that ends in ABORTED."""

    def body(self):
        observer = Observer(self)
        observer.update("row", current=10)
        ask(self)
        try:
            observer.update("row", current=20)
        except Exception as error:  # noqa: BLE001 - as people write it
            state, meta = observer.exception(error, "stopped at row %d", 7)
        assert state == "ABORTED"
        return meta

    done = run(body, base=handled)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert (done.meta["description"], done.meta["percent"]) == ("stopped at row 7", 10.0)
    assert "exc_type" not in done.meta
    assert names(heard) == ["on_abort", "after_return"]


def test_noticed_by_exception_and_raised_again(run):
    """Reported and raised, it is one abort."""

    def body(self):
        observer = Observer(self)
        ask(self)
        try:
            observer.update("row")
        except Exception as error:
            observer.exception(error, "stopped")
            raise

    done = run(body)
    assert done.states == ["ABORTED"]
    assert done.meta["description"] == "stopped"


def test_another_error_after_the_abort_was_reported(run):
    """What is raised after it changes nothing."""

    def body(self):
        observer = Observer(self)
        ask(self)
        try:
            observer.update("row")
        except TaskAborted as error:
            observer.exception(error, "stopped")
        raise OSError("disk")

    assert run(body).states == ["ABORTED"]


@pytest.mark.parametrize("raises", [None, OSError("disk"), Ignore()])
def test_aborts_itself_by_a_state(run, handled, heard, raises):
    """`update(state="ABORTED")` ends the task so, though nobody asked."""

    def body(self):
        Observer(self).update("enough", current=30, state="ABORTED", meta={"rows": 3})
        if raises is not None:
            raise raises

    done = run(body, base=handled)
    assert done.states == ["ABORTED"]
    assert (done.meta["percent"], done.meta["rows"]) == (30.0, 3)
    assert names(heard) == ["on_abort", "after_return"]
    assert heard[0][1].meta == done.meta


def test_reports_after_the_end_are_refused(run):
    """After ABORTED nothing is stored, and a warning says so."""

    def body(self):
        observer = Observer(self)
        observer.update("enough", state="ABORTED")
        with pytest.warns(TaskProgressWarning, match="after the task had ended with ABORTED"):
            assert observer.update("more")[0] == "ABORTED"
        with pytest.warns(TaskProgressWarning, match="after the task had ended with ABORTED"):
            observer.success("over")

    assert run(body).states == ["ABORTED"]


def test_raises_it_itself(run):
    """`raise TaskAborted(self.request.id)` is an abort that the task decided on."""

    def body(self):
        Observer(self).update("row", current=10)
        raise TaskAborted(self.request.id)

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.meta["percent"] == 10.0


def test_abort_inside_the_task(engine, run):
    """A task may ask itself: once, and it is not asked a second time."""

    def body(self):
        answers = [ask(self), ask(self), abort(self.AsyncResult(self.request.id))]
        assert answers == [True, False, False]
        self.raise_if_aborted()

    done = run(body)
    assert done.states == ["ABORTED"]
    assert [each.uuid for each in done.aborts] == [done.task_id]


def test_abort_of_another_task_from_inside(engine, a_task, run, heard):
    """A task may ask one that waits."""

    def other(self):
        heard.append("ran")

    waiting = a_task(other)

    def body(self):
        return abort(waiting.apply_async(countdown=10))

    done = run(body)
    assert done.result is True
    assert heard == []
    assert done.children[0].states == ["ABORTED"]


@pytest.mark.parametrize("ends", ["success", "fail"])
def test_asked_after_the_observer_ended_it(run, ends):
    """An outcome is final: an abort that comes after it is too late, whatever checks raise."""
    states = {"success": "SUCCESS", "fail": "FAILURE"}

    def body(self):
        observer = Observer(self)
        getattr(observer, ends)("over")
        ask(self)
        assert self.is_aborted()

    done = run(body)
    assert done.states == [states[ends]]


def test_report_after_the_end_when_asked(run):
    """A report after the end is refused with a warning, as without the abort: it does not raise."""

    def body(self):
        observer = Observer(self)
        observer.success("over")
        ask(self)
        with pytest.warns(TaskProgressWarning, match="after the task had ended with SUCCESS"):
            observer.update("more")

    assert run(body).states == ["SUCCESS"]


def test_check_after_success_that_raises(run):
    """A check of the task's own after `success()` raises; SUCCESS stays, and a warning tells."""

    def body(self):
        Observer(self).success("over")
        ask(self)
        self.raise_if_aborted()

    with pytest.warns(TaskProgressWarning, match="raised after its Observer had ended it"):
        done = run(body)
    assert done.states == ["SUCCESS"]


def test_handler_that_reports_when_the_task_is_over(run):
    """An abort that comes when the function has returned does not raise in `on_success`."""

    class Late(AbortableTask):
        abstract = True

        def on_success(self, *args):
            ask(self)
            with pytest.warns(TaskProgressWarning, match="after the task had ended with SUCCESS"):
                self.observer.update("more")

    def body(self):
        self.observer = Observer(self)

    assert run(body, base=Late).states == ["SUCCESS"]


# -- the progress that is kept --------------------------------------------------------------------


def test_held_report_is_what_is_kept(run):
    """What `throttle` holds back is newer than what is stored: the end has it, in one write."""

    def body(self):
        observer = Observer(self, throttle=60)
        observer.update("row 1", current=1)
        observer.update("row 2", current=2)
        observer.update("row 3", current=3)
        ask(self)
        observer.update("row 4", current=4)

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert (done.meta["description"], done.meta["percent"]) == ("row 3", 3.0)


def test_held_report_is_kept_as_it_was(run):
    """A dict that the task goes on changing is kept as it was reported."""

    def body(self):
        observer, extra = Observer(self, throttle=60), {"rows": [1]}
        observer.update("row 1", current=1)
        observer.update("row 2", current=2, meta=extra)
        extra["rows"].append(2)
        ask(self)
        self.raise_if_aborted()

    assert run(body).meta["rows"] == [1]


@pytest.mark.parametrize("throttled", ["older", "newer"])
def test_last_of_two_observers(run, throttled):
    """The last report is kept, whoever made it, held back or not."""

    def body(self):
        slow, fast = Observer(self, throttle=60), Observer(self)
        slow.update("slow", current=1)
        if throttled == "older":
            slow.update("slow", current=10)
            fast.update("fast", current=50)
        else:
            fast.update("fast", current=50)
            slow.update("slow", current=60)
        ask(self)
        self.raise_if_aborted()

    assert run(body).meta["percent"] == {"older": 50.0, "newer": 60.0}[throttled]


def test_progress_of_a_raw_update(run):
    """A report that was not an Observer's is kept as well."""

    def body(self):
        self.update_state(state="UPLOADING", meta={"part": 3})
        ask(self)
        self.raise_if_aborted()

    done = run(body)
    assert done.states == ["UPLOADING", "ABORTED"]
    assert done.meta == {"part": 3}


@pytest.mark.parametrize("meta", [None, "half", [1, 2], 3])
def test_progress_that_is_no_dict(run, meta):
    """A report that is no dict is none that could be kept; the task has ended all the same."""

    def body(self):
        self.update_state(state="PROGRESS", meta=meta)
        ask(self)
        self.raise_if_aborted()

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.meta == {"pending": False}


def test_empty_meta_is_an_end(engine, run):
    """A task that reported an empty dict has ended, too."""

    def body(self):
        self.update_state(state="PROGRESS", meta={})
        ask(self)
        self.raise_if_aborted()

    done = run(body)
    assert done.state == "ABORTED"
    result = engine.app.AsyncResult(done.task_id)
    assert result.ready()
    with pytest.raises(TaskAborted):
        result.get()


def test_progress_that_cannot_be_encoded_is_refused_before_the_end(run):
    """The report that is refused is not the last one: the abort has the one before."""

    def body(self):
        observer = Observer(self)
        observer.update("good", current=10)
        with pytest.raises(Exception, match="object"):
            observer.update("bad", current=20, meta={"what": object()})
        ask(self)
        self.raise_if_aborted()

    done = run(body)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert done.meta["percent"] == 10.0


def test_held_report_that_cannot_be_encoded(run):
    """What is held back and cannot be encoded does not lose the abort."""

    def body(self):
        observer = Observer(self, throttle=60)
        observer.update("good", current=10)
        observer.update("bad", current=20, meta={"what": object()})
        ask(self)
        self.raise_if_aborted()

    assert run(body).state == "ABORTED"


# -- the scan task --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["report", "exception", "state", "raise_if_aborted"])
def test_scan_task_is_ended_once(run, how):
    """However the task is aborted, what the application keeps is inactive, and saved once."""
    scan = Scan()

    def body(self):
        observer = Observer(self, scan_task=scan)
        observer.update("row", current=10)
        if how == "state":
            observer.update("enough", state="ABORTED")
            return
        ask(self)
        try:
            observer.update("row") if how != "raise_if_aborted" else self.raise_if_aborted()
        except TaskAborted as error:
            if how != "exception":
                raise
            observer.exception(error, "stopped")

    done = run(body)
    assert done.state == "ABORTED"
    assert (scan.active, scan.saved) == (False, [False])
    assert done.meta["name"] == "scan"


def test_scan_tasks_of_two_observers(run):
    """Each is told."""
    scans = [Scan(), Scan()]

    def body(self):
        first = next(iter([Observer(self, scan_task=scan) for scan in scans]))
        ask(self)
        first.update("row")

    assert run(body).state == "ABORTED"
    assert [scan.saved for scan in scans] == [[False], [False]]


def test_scan_task_that_cannot_be_saved(run, heard, handled):
    """A database that is down does not lose the abort."""

    def body(self):
        observer = Observer(self, scan_task=Scan(broken=True))
        ask(self)
        observer.update("row")

    done = run(body, base=handled)
    assert done.states == ["ABORTED"]
    assert "on_abort" in names(heard)


# -- handlers -------------------------------------------------------------------------------------


def test_on_abort_is_told_all(engine, a_task, handled, heard):
    """It gets what `on_failure` gets, and the last progress; ABORTED is stored by then."""

    def body(self, *args, **kwargs):
        Observer(self).update("row", current=10)
        ask(self)
        Observer(self).update("row", current=20)

    stored = []

    class Looking(handled):
        abstract = True

        def on_abort(self, exc, task_id, args, kwargs, einfo):
            stored.append(self.backend.get_state(task_id))
            super().on_abort(exc, task_id, args, kwargs, einfo)

    task = a_task(body, base=Looking)
    done = engine.run(task, 1, "two", three=3)
    assert names(heard) == ["on_abort", "after_return"]
    _, exc, task_id, args, kwargs, einfo = heard[0]
    assert isinstance(exc, TaskAborted)
    assert (exc.task_id, exc.meta["percent"]) == (done.task_id, 10.0)
    assert (task_id, list(args), kwargs) == (done.task_id, [1, "two"], {"three": 3})
    assert stored == ["ABORTED"]
    assert "TaskAborted" in einfo.traceback
    assert __file__ in einfo.traceback
    status, retval, *rest = heard[1][1:]
    assert (status, retval) == ("ABORTED", exc)
    assert rest[0] == done.task_id
    assert rest[3] is einfo


def test_own_request_in_on_abort(run):
    """The handler is called while the request of the task is there."""
    seen = []

    class Looking(AbortableTask):
        abstract = True

        def on_abort(self, exc, task_id, args, kwargs, einfo):
            seen.append((self.request.id == task_id, self.is_aborted(), self.request.retries))

    def body(self):
        ask(self)
        self.raise_if_aborted()

    run(body, base=Looking)
    assert seen == [(True, True, 0)]


@pytest.mark.parametrize("handler", ["on_abort", "after_return"])
@pytest.mark.parametrize("error", [ValueError("in the handler"), Reject("no"), Ignore()])
def test_handler_that_raises(run, caplog, heard, handled, handler, error):
    """The task has ended: what a handler raises is logged, and the other one is called."""

    class Raising(handled):
        abstract = True

    def raising(self, *args):
        heard.append((handler, "raises"))
        raise error

    setattr(Raising, handler, raising)

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = run(body, base=Raising)
    assert done.states == ["ABORTED"]
    assert names(heard) == ["on_abort", "after_return"]
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert done.task_id in record.getMessage()
    assert record.exc_info[1] is error


def test_handler_that_retries(run, caplog):
    """`retry()` in `on_abort` does not bring the task back."""

    class Retrying(AbortableTask):
        abstract = True

        def on_abort(self, *args):
            raise self.retry(countdown=1)

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = run(body, base=Retrying)
    assert done.states == ["ABORTED"]
    assert done.elapsed == 0.0


def test_signals(run):
    """`task_failure` and `task_success` are not sent; `task_prerun` and `task_postrun` are."""
    sent = []

    def prerun(**kwargs):
        sent.append("prerun")

    def postrun(**kwargs):
        sent.append("postrun")

    def failure(**kwargs):
        sent.append("failure")

    def success(**kwargs):
        sent.append("success")

    def body(self):
        ask(self)
        self.raise_if_aborted()

    signals.task_prerun.connect(prerun)
    signals.task_postrun.connect(postrun)
    signals.task_failure.connect(failure)
    signals.task_success.connect(success)
    try:
        run(body)
    finally:
        signals.task_prerun.disconnect(prerun)
        signals.task_postrun.disconnect(postrun)
        signals.task_failure.disconnect(failure)
        signals.task_success.disconnect(success)
    assert sent == ["prerun", "postrun"]


def test_told_in_the_log(run, caplog):
    """An abort is no error: one line says that it happened."""
    caplog.set_level(logging.INFO)

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = run(body)
    lines = [each for each in caplog.records if "aborted" in each.getMessage()]
    assert f"tests.body[{done.task_id}]" in lines[0].getMessage()
    assert all(each.levelno <= logging.INFO for each in lines)


# -- errbacks and callbacks -----------------------------------------------------------------------


def test_errback_is_called_and_callback_is_not(engine, a_task, app, errback, heard):
    """An errback hears the TaskAborted with its progress; what is linked is not run."""

    def body(self):
        Observer(self).update("row", current=10)
        ask(self)
        self.raise_if_aborted()

    @app.task(name="tests.callback")
    def callback(value):
        heard.append(("callback", value))

    signature = a_task(body).s()
    signature.link(callback.s())
    signature.link_error(errback.s())
    done = engine.run(signature)
    [(_, task_id, error)] = heard
    assert task_id == done.task_id
    assert isinstance(error, TaskAborted)
    assert error.meta["percent"] == 10.0


def test_errback_before_start(run_asked, errback, heard):
    """Errbacks of a task that never ran are called too."""

    def body(self):
        pass

    run_asked(body, link_error=errback.s())
    assert names(heard) == ["errback"]


def test_old_errback_is_published_with_the_id(engine, a_task, app, heard):
    """An errback in the old manner, of one argument, gets the id."""

    @app.task(name="tests.old_errback")
    def old_errback(task_id):
        heard.append(("old", task_id))

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = engine.run(a_task(body).s().on_error(old_errback.s()))
    assert heard == [("old", done.task_id)]


def test_errback_that_raises(run_asked, app, heard, handled):
    """It is logged by Celery; the task is aborted, and its handler is called."""

    @app.task(name="tests.raising")
    def raising(request, exc, traceback):
        raise ValueError("in the errback")

    def body(self):
        pass

    result = run_asked(body, base=handled, link_error=raising.s())
    assert result.state == "ABORTED"
    assert names(heard) == ["on_abort", "after_return"]


def test_no_errback_when_it_returns_after_noticing(engine, a_task, errback, app, heard):
    """A task that chose to succeed has its callbacks run, and its errbacks not."""

    @app.task(name="tests.callback")
    def callback(value):
        heard.append(("callback", value))

    def body(self):
        ask(self)
        return self.is_aborted()

    engine.run(a_task(body).signature(link=callback.s(), link_error=errback.s()))
    assert heard == [("callback", True)]


# -- somebody else's abort ------------------------------------------------------------------------


@pytest.mark.parametrize("base", [AbortableTask, ProgressTask, Task])
def test_child_that_is_aborted_fails_its_parent(engine, a_task, app, base):
    """TaskAborted of a child's result is an error of the parent like any other."""

    def child(self):
        ask(self)
        self.raise_if_aborted()

    child_task = a_task(child)

    def parent(self):
        if base is not Task:
            Observer(self).update("waiting", current=10)
        with allow_join_result():
            child_task.delay().get()

    done = engine.run(a_task(parent, base=base))
    [child_run] = done.children
    assert child_run.state == "ABORTED"
    assert done.state == "FAILURE"
    assert isinstance(done.exception, TaskAborted)
    assert done.exception.task_id == child_run.task_id != done.task_id
    result = app.AsyncResult(done.task_id)
    assert result.state == "FAILURE"
    with pytest.raises(TaskAborted, match=child_run.task_id):
        result.get()


def test_child_that_is_aborted_by_exception(engine, a_task):
    """`observer.exception()` with a child's TaskAborted ends the parent with FAILURE."""

    def parent(self):
        state, _ = Observer(self).exception(TaskAborted("a-child"), "the child")
        assert state == "FAILURE"

    done = engine.run(a_task(parent))
    assert done.states == ["FAILURE"]
    assert isinstance(done.exception, TaskAborted)
    assert done.exception.task_id == "a-child"


def test_child_that_is_aborted_in_a_parent_that_is_too(engine, a_task):
    """A parent that was asked and left by its child's abort has not noticed its own: FAILURE."""

    def child(self):
        ask(self)
        self.raise_if_aborted()

    child_task = a_task(child)

    def parent(self):
        ask(self)
        with allow_join_result():
            child_task.delay().get()

    assert engine.run(a_task(parent)).state == "FAILURE"


def test_parent_that_asks_on(engine, a_task):
    """A parent may wait for a child, abort it, and hear of it without an exception."""

    def child(self):
        raise AssertionError

    child_task = a_task(child)

    def parent(self):
        result = child_task.apply_async(countdown=1)
        result.abort()
        with allow_join_result():
            error = result.get(propagate=False)
        return [result.state, error.task_id == result.id]

    assert engine.run(a_task(parent)).result == ["ABORTED", True]


# -- retry ----------------------------------------------------------------------------------------


def test_retry_when_asked_is_the_abort(run, engine, handled, heard):
    """`retry()` checks: there is no other attempt, and no countdown is waited for."""

    def body(self):
        ask(self)
        raise self.retry(exc=ValueError("again"), countdown=60)

    done = run(body, base=handled)
    assert done.states == ["ABORTED"]
    assert engine.clock.monotonic() == 0.0
    assert engine.pending == []
    assert names(heard) == ["on_abort", "after_return"]


def test_asked_during_the_countdown(engine, a_task):
    """A task that waits for its next attempt is not run again."""
    attempts = []

    def body(self):
        attempts.append(self.request.retries)
        Observer(self).update("row", current=10)
        raise self.retry(countdown=60)

    with engine.paused():
        result = a_task(body).delay()
        engine.step()
        assert result.state == "RETRY"
        result.abort()
        assert result.state == "ABORTED"
        assert not result.ready()
    assert attempts == [0]
    assert engine.history.states == ["PROGRESS", "RETRY", "ABORTED"]
    assert result.ready()


@pytest.mark.parametrize("max_retries", [0, 3, None])
def test_autoretry_does_not_retry_an_abort(run, engine, max_retries):
    """`autoretry_for=(Exception,)` catches TaskAborted, and does not hold it up."""
    attempts = []

    def body(self):
        attempts.append(self.request.retries)
        ask(self)
        Observer(self).update("row")

    done = run(
        body,
        autoretry_for=(Exception,),
        retry_backoff=True,
        retry_kwargs={"max_retries": max_retries},
    )
    assert done.states == ["ABORTED"]
    assert attempts == [0]


def test_autoretry_when_asked_and_something_else_is_raised(run):
    """An error that would be retried is not, when the task was asked: that is the abort."""

    def body(self):
        ask(self)
        raise OSError("disk")

    assert run(body, autoretry_for=(OSError,)).states == ["ABORTED"]


def test_autoretry_of_an_abort_that_nobody_asked_for(run):
    """A TaskAborted that the task made itself is not retried either."""

    def body(self):
        raise TaskAborted(self.request.id)

    assert run(body, autoretry_for=(Exception,)).states == ["ABORTED"]


def test_no_retries_left_when_asked(run):
    """The last attempt that would fail is aborted."""

    def body(self):
        if self.request.retries:
            ask(self)
        raise self.retry(exc=OSError("disk"), countdown=1, max_retries=1)

    assert run(body).states == ["RETRY", "ABORTED"]


def test_retry_with_throw_false(run):
    """It checks before it publishes, so that nothing runs later."""

    def body(self):
        ask(self)
        self.retry(countdown=1, throw=False)

    assert run(body).states == ["ABORTED"]


def test_retry_within_the_interval(run, engine):
    """A request that `retry()` does not see yet is seen before the next attempt starts."""
    attempts = []

    def body(self):
        attempts.append(self.request.retries)
        self.is_aborted()
        ask(self)
        raise self.retry(countdown=1)

    done = run(body, abort_check_interval=60)
    assert done.states == ["RETRY", "ABORTED"]
    assert attempts == [0]


def test_retry_after_an_outcome_warns_at_its_line(run):
    """It is the user's line that the warning is about."""

    def body(self):
        Observer(self).success("over")
        raise self.retry(countdown=60)

    with pytest.warns(TaskProgressWarning, match="the task is not retried") as caught:
        done = run(body)
    assert done.states == ["SUCCESS"]
    assert [each.filename for each in caught] == [__file__]


def test_retry_outside_a_task(a_task):
    """Called as a function, `retry` raises the error that it was given, as Celery's."""

    def body(self):
        raise self.retry(exc=OSError("disk"))

    with pytest.raises(OSError, match="disk"):
        a_task(body)()


def test_replaced_by_another_task(run, a_task, heard):
    """What replaces a task has its id: it is aborted before it starts."""

    def other(self):
        heard.append("ran")

    other_task = a_task(other)

    def body(self):
        ask(self)
        raise self.replace(other_task.s())

    assert run(body).states == ["ABORTED"]
    assert heard == []


# -- delivered again ------------------------------------------------------------------------------


def deliver_again(engine, task, task_id, **options):
    """Publish a message a second time, as a broker does whose worker was lost."""
    with engine.paused():
        task.apply_async(task_id=task_id, **options)


def test_delivered_again_after_the_abort(engine, a_task, handled, heard, errback):
    """The body does not run, nobody is told twice, and the progress is kept."""

    def body(self):
        Observer(self).update("row", current=10)
        ask(self)
        self.raise_if_aborted()

    task = a_task(body, acks_late=True, reject_on_worker_lost=True, base=handled)
    done = engine.run(task.signature(link_error=errback.s()))
    assert sorted(names(heard)) == ["after_return", "errback", "on_abort"]
    deliver_again(engine, task, done.task_id, link_error=errback.s())
    assert len(heard) == 3
    assert engine.history.states == done.states
    assert task.AsyncResult(done.task_id).result["percent"] == 10.0


def test_delivered_again_after_the_abort_with_starts(engine, a_task):
    """With `track_started` Celery stores STARTED over the end; it is aborted again, not run."""
    attempts = []

    def body(self):
        attempts.append(self.request.id)
        ask(self)
        self.raise_if_aborted()

    task = a_task(body, acks_late=True, track_started=True)
    done = engine.run(task)
    deliver_again(engine, task, done.task_id)
    assert attempts == [done.task_id]
    result = task.AsyncResult(done.task_id)
    assert (result.state, result.ready()) == ("ABORTED", True)


def test_delivered_again_while_it_was_asked(engine, a_task, heard):
    """A worker was lost while the task ran; the next one finds the request, and the progress."""

    def body(self):
        heard.append("body")

    task = a_task(body, acks_late=True)
    engine.backend.store_result("lost", {"percent": 40.0}, "PROGRESS")
    task.AsyncResult("lost").abort()
    task.apply_async(task_id="lost")
    assert heard == []
    assert engine.history.of("lost").states == ["PROGRESS", "ABORTED"]
    assert engine.history[-1].meta == {"percent": 40.0}


@pytest.mark.parametrize("raises", [False, True])
def test_delivered_again_after_another_end(engine, a_task, handled, heard, errback, raises):
    """A task that ended otherwise after it was asked is not aborted when it is delivered again."""

    def body(self):
        ask(self)
        if raises:
            raise OSError("disk")
        return "returned"

    task = a_task(body, acks_late=True, base=handled)
    done = engine.run(task.signature(link_error=errback.s()))
    before = len(heard)
    deliver_again(engine, task, done.task_id, link_error=errback.s())
    assert "ABORTED" not in engine.history.of(done.task_id).states
    assert "on_abort" not in names(heard[before:])
    assert task.AsyncResult(done.task_id).state == done.state


def test_same_id_after_forget(engine, a_task):
    """What was forgotten is not aborted when the id is used again."""

    def body(self):
        self.raise_if_aborted()
        return "returned"

    task = a_task(body)
    with engine.paused():
        result = task.apply_async(task_id="again")
        result.abort()
    assert result.state == "ABORTED"
    result.forget()
    assert task.AsyncResult("again").state == "PENDING"
    again = task.apply_async(task_id="again")
    assert (again.state, again.get()) == ("SUCCESS", "returned")


def test_same_id_without_forget(engine, a_task):
    """Without that it stays aborted, however often it is published."""

    def body(self):
        raise AssertionError

    task = a_task(body)
    task.AsyncResult("again").abort()
    for _ in range(3):
        task.apply_async(task_id="again")
    assert engine.history.of("again").states == ["ABORTED"]


def test_forgotten_while_it_runs(engine, run):
    """A request that is forgotten before anybody noticed it is gone; the task goes on."""

    def body(self):
        result = self.AsyncResult(self.request.id)
        result.abort()
        result.forget()
        self.raise_if_aborted()
        return "returned"

    done = run(body)
    assert (done.state, done.result) == ("SUCCESS", "returned")


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["task", "call"])
def test_ignored_result(engine, a_task, handled, heard, errback, by):
    """A task whose result nobody wants stores nothing, and is aborted with all its handlers."""

    def body(self):
        ask(self)
        self.raise_if_aborted()

    task = a_task(body, base=handled, ignore_result=by == "task")
    options = {"ignore_result": True} if by == "call" else {}
    result = task.apply_async(**options, link_error=errback.s())
    assert engine.history.states == []
    assert sorted(names(heard)) == ["after_return", "errback", "on_abort"]
    assert result.get() is None


def test_ignored_result_whose_errors_are_stored(run):
    """With `store_errors_even_if_ignored` ABORTED is stored, as FAILURE would be."""

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = run(body, ignore_result=True, store_errors_even_if_ignored=True)
    assert done.states == ["ABORTED"]


def settled(**conf):
    """An app with settings."""
    app = Celery("tests", set_as_current=False)
    app.conf.update(conf)
    return app


def aborted(app, engine, **options):
    """Run, on an app, a task that reports and is aborted."""

    def body(self, *args, **kwargs):
        Observer(self).update("row", current=10)
        ask(self)
        self.raise_if_aborted()

    task = app.task(body, bind=True, base=AbortableTask, name="tests.body", shared=False, **options)
    return engine.run(task, 1, two=2)


def test_extended_results():
    """With `result_extended` the record has what any other has."""
    app = settled(result_extended=True)
    with EagerEngine(app) as engine:
        done = aborted(app, engine)
        result = app.tasks["tests.body"].AsyncResult(done.task_id)
        assert (result.state, result.name, result.args) == ("ABORTED", "tests.body", [1])
        assert (result.kwargs, result.retries) == ({"two": 2}, 0)
        assert result.result["percent"] == 10.0


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml"])
def test_serializers(serializer):
    """However results are encoded, it reads back as an abort with its progress."""
    if serializer == "yaml":
        pytest.importorskip("yaml")
    accept = ["json", "pickle", "yaml"]
    app = settled(result_serializer=serializer, task_serializer=serializer, accept_content=accept)
    with EagerEngine(app) as engine:
        done = aborted(app, engine)
        for result in (
            app.AsyncResult(done.task_id),
            app.tasks["tests.body"].AsyncResult(done.task_id),
        ):
            assert result.ready()
            with pytest.raises(TaskAborted) as caught:
                result.get()
            assert caught.value.meta["percent"] == 10.0


@pytest.mark.parametrize(
    "conf",
    [
        {"task_track_started": True},
        {"task_acks_late": True, "task_reject_on_worker_lost": True},
        {"task_acks_late": True, "task_acks_on_failure_or_timeout": False},
        {"result_compression": "gzip"},
        {"result_expires": 60},
        {"task_send_sent_event": True, "worker_send_task_events": True},
        {"task_remote_tracebacks": True},
        {"result_backend_always_retry": True},
        {"task_publish_retry": False},
        {"result_cache_max": -1},
        {"result_cache_max": 1},
        {"task_protocol": 1},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*result_compression.*:UserWarning")
def test_other_settings(conf):
    """No setting makes another end of it."""
    app = settled(**conf)
    with EagerEngine(app) as engine:
        done = aborted(app, engine)
        assert [each for each in done.states if each != "STARTED"] == ["PROGRESS", "ABORTED"]
        assert app.AsyncResult(done.task_id).ready()


def test_task_class_of_an_app():
    """An app may have it as the base of all of its tasks, Celery's built-in ones included."""
    app = Celery("tests", task_cls=AbortableTask, set_as_current=False)

    @app.task(name="tests.add", bind=True, shared=False)
    def add(self, x, y):
        self.raise_if_aborted()
        return x + y

    with EagerEngine(app) as engine:
        assert engine.run(add, 2, 3).result == 5
        with engine.paused():
            result = add.delay(2, 3)
            result.abort()
        assert result.state == "ABORTED"


# -- eager mode -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True])
def test_apply(engine, a_task, asked):
    """`apply()` runs the task here and now: what it raises is what its result has, also an abort.

    There is no worker that could store ABORTED, and nothing is kept of the task.
    """

    def body(self):
        if asked:
            ask(self)
        Observer(self).update("row")
        return "returned"

    result = a_task(body).apply()
    if asked:
        with pytest.raises(TaskAborted, match=result.id):
            result.get()
        assert "ABORTED" not in engine.history.states
    else:
        assert result.get() == "returned"


def test_apply_that_throws(engine, a_task):
    """With `throw=True` TaskAborted is raised in the test."""

    def body(self):
        ask(self)
        self.raise_if_aborted()

    with pytest.raises(TaskAborted):
        a_task(body).apply(throw=True)


@pytest.mark.parametrize("base", [ProgressTask, AbortableTask])
def test_always_eager(base):
    """In a suite that runs tasks by `task_always_eager` a report warns of nothing.

    Celery warns of reads in that mode; here that is an error.
    """
    app = Celery("tests", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = True

    @app.task(bind=True, base=base, name="tests.body", shared=False)
    def body(self):
        for _ in Observer(self).track(range(3), "row"):
            pass
        return "returned"

    assert body.delay().get() == "returned"


def test_apply_without_an_engine():
    """On an app with no backend at all nothing is asked, and the task runs."""
    app = Celery("tests", set_as_current=False)

    @app.task(bind=True, base=AbortableTask, name="tests.body", shared=False)
    def body(self):
        self.raise_if_aborted()
        return self.is_aborted()

    assert body.apply().get() is False


# -- kinds of tasks -------------------------------------------------------------------------------


def test_class_based_task(engine):
    """A class is a task, too; `on_abort` may be in it."""
    seen = []

    class Export(AbortableTask):
        name = "tests.export"

        def run(self, rows):
            for row in Observer(self).track(range(rows), "row"):
                if row == 1:
                    ask(self)

        def on_abort(self, exc, task_id, args, kwargs, einfo):
            seen.append(exc.meta["percent"])

    done = engine.run(engine.app.register_task(Export()), 4)
    assert done.states == ["PROGRESS", "ABORTED"]
    assert seen == [25.0]


@pytest.fixture
def own_finalizers(monkeypatch):
    """What is shared with every app that is made later is forgotten after the test."""
    finalizers = set(_state._on_app_finalizers)
    monkeypatch.setattr(_state, "_on_app_finalizers", finalizers)


def test_shared_task(own_finalizers):
    """A task that is shared by all apps is one of each, and each of them knows ABORTED."""

    @shared_task(bind=True, base=AbortableTask, name="tests.shared")
    def shared(self, rows):
        for row in Observer(self).track(range(rows), "row"):
            if row == 1:
                ask(self)

    for _ in range(2):
        app = Celery("tests", set_as_current=False)
        with EagerEngine(app) as engine:
            done = engine.run(app.tasks["tests.shared"], 4)
            assert done.states == ["PROGRESS", "ABORTED"]
            assert app.AsyncResult(done.task_id).ready()


def test_task_with_a_call_of_its_own(run):
    """A `__call__` around the task sees Ignore: the task has ended already."""
    seen = []

    class Wrapped(AbortableTask):
        abstract = True

        def __call__(self, *args, **kwargs):
            try:
                return super().__call__(*args, **kwargs)
            except BaseException as error:
                seen.append((type(error), self.backend.get_state(self.request.id)))
                raise

    def body(self):
        ask(self)
        self.raise_if_aborted()

    assert run(body, base=Wrapped).states == ["ABORTED"]
    assert seen == [(Ignore, "ABORTED")]


def test_task_with_run_around(run):
    """A base whose `run` is wrapped by a decorator, as autoretry does, is as good."""

    def body(self):
        ask(self)
        self.raise_if_aborted()

    done = run(body, autoretry_for=(KeyError,), dont_autoretry_for=(TaskAborted,))
    assert done.states == ["ABORTED"]


@pytest.mark.parametrize("name", ["abort_check", "is_aborted", "on_abort"])
def test_plain_task_with_a_method_of_that_name(engine, app, name):
    """What a task that is not abortable calls its own methods is no business of an Observer."""

    def own(self, row):
        raise AssertionError("called by an Observer")

    base = type("Own", (Task,), {name: own, "abstract": True})

    @app.task(base=base, bind=True, name="tests.own")
    def body(self):
        Observer(self).update("row")
        return "returned"

    assert engine.run(body).result == "returned"


def test_plain_tasks_cannot_be_aborted_by_an_observer(engine, app):
    """A task without the base does not look, whoever asks."""

    @app.task(base=ProgressTask, bind=True, name="tests.plain")
    def body(self):
        abort(self.app.AsyncResult(self.request.id))
        Observer(self).update("row")
        return "returned"

    done = engine.run(body)
    assert done.states == ["PROGRESS", "SUCCESS"]


def test_observer_of_something_else():
    """Something with an `update_state` alone is never asked."""
    written = []
    task = SimpleNamespace(update_state=lambda **kwargs: written.append(kwargs["state"]))
    Observer(task).update("row")
    assert written == ["PROGRESS"]


def test_backend_that_is_down_for_a_check(run, engine, monkeypatch):
    """The check raises what the backend raises: a failure like any other."""
    ids = []

    def body(self):
        record = record_id_of(self.request.id)
        get_state = self.backend.get_state

        def broken(task_id):
            if task_id == record:
                raise ConnectionError("the server is down")
            return get_state(task_id)

        monkeypatch.setattr(engine.backend, "get_state", broken)
        ids.append(self.request.id)
        Observer(self).update("row")

    done = run(body)
    assert done.state == "FAILURE"
    assert repr(done.exception) == "ConnectionError('the server is down')"


def test_backend_that_is_down_for_abort(engine, a_task, monkeypatch):
    """`abort()` raises the backend's own error, and the task goes on."""

    def body(self):
        def broken(*_, **__):
            raise ConnectionError("the server is down")

        with monkeypatch.context() as patched:
            patched.setattr(engine.backend, "store_result", broken)
            with pytest.raises(ConnectionError, match="the server is down"):
                ask(self)
        Observer(self).update("row")
        return self.is_aborted()

    done = engine.run(a_task(body))
    assert done.states == ["PROGRESS", "SUCCESS"]
    assert done.result is False
