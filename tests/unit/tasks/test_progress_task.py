from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError, Ignore, Reject

from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

Run = Callable[..., TaskRun]
Body = Callable[..., object]


@pytest.fixture
def a_task(engine: EagerEngine) -> Callable[..., Any]:
    """Make a bound ProgressTask of a function."""

    def make(body: Body, **options: Any) -> Any:
        options = {"base": ProgressTask, "name": f"tests.{body.__name__}", **options}
        return engine.app.task(body, bind=True, shared=False, **options)

    return make


@pytest.fixture
def run(engine: EagerEngine, a_task: Callable[..., Any]) -> Run:
    """Run a function as a bound ProgressTask."""
    return lambda body, **options: engine.run(a_task(body, **options))


@pytest.fixture
def heard(engine: EagerEngine) -> list[Any]:
    """What the errback `tests.errback` was called with."""
    calls: list[Any] = []

    def errback(request: Any, exc: Any, traceback: Any) -> None:
        calls.append((request.task, repr(exc)))

    engine.app.task(errback, name="tests.errback", shared=False)
    return calls


# -- the outcome of the Observer is that of the task ----------------------------------------------


def test_fail_is_final(engine: EagerEngine, run: Run) -> None:
    """FAILURE is stored once, with the message, and a client that waits gets the exception."""

    def body(self: Any) -> str:
        observer = Observer(self)
        observer.update("half", current=50)
        observer.fail("bad %s", ValueError, "row")
        return "returned"

    done = run(body)
    assert done.states == ["PROGRESS", "FAILURE"]
    assert done.history.dropped == []
    assert repr(done.exception) == "ValueError('bad row')"
    with pytest.raises(ValueError, match=r"^bad row$"):
        engine.app.AsyncResult(done.task_id).get()


def test_plain_task_replaces_it_and_the_engine_warns(run: Run) -> None:
    """With Celery's base the FAILURE is gone when the function returns; a warning says where."""

    def body(self: Any) -> str:
        Observer(self).fail("bad row")
        return "returned"

    with pytest.warns(
        TaskProgressWarning, match=r"FAILURE was stored.*base=ProgressTask"
    ) as caught:
        done = run(body, base=None)
    assert done.states == ["FAILURE", "SUCCESS"]
    assert done.result == "returned"
    assert [each.filename for each in caught] == [__file__]


def test_exception_is_final(run: Run) -> None:
    """The exception that was caught is the one that the task fails with."""

    def body(self: Any) -> None:
        try:
            raise OSError("disk")  # noqa: TRY301
        except OSError as error:
            Observer(self).exception(error, "Cannot write")

    done = run(body)
    assert done.states == ["FAILURE"]
    assert repr(done.exception) == "OSError('disk')"
    assert done.traceback is not None
    assert "Cannot write" not in done.traceback
    assert __file__ in done.traceback


@pytest.mark.parametrize(
    ("value", "result"), [(None, "over"), ("returned", "returned"), (0, 0), ({}, {})]
)
def test_success_is_stored_once_when_the_function_returns(
    run: Run, value: object, result: object
) -> None:
    """The result is what the function returns, or the meta if that is None."""

    def body(self: Any) -> object:
        Observer(self).success("over")
        return value

    done = run(body)
    assert done.states == ["SUCCESS"]
    assert done.history.dropped == []
    assert (done.result["description"] if value is None else done.result) == result


@pytest.mark.parametrize("state", ["ABORTED", "REVOKED"])
@pytest.mark.parametrize("raises", [False, True])
def test_other_terminal_state_is_stored_at_once_and_stays(
    run: Run,
    state: str,
    raises: bool,  # noqa: FBT001
) -> None:
    """What Celery has no way to end with is stored by the Observer, and nothing after it."""

    def body(self: Any) -> str:
        Observer(self).update("over", state=state)
        if raises:
            raise OSError("disk")
        return "returned"

    assert run(body).states == [state]


def test_task_without_an_observer_is_a_task(run: Run) -> None:
    """Nothing changes for a function that reports nothing."""

    def body(self: Any) -> str:
        return "returned"

    done = run(body)
    assert (done.states, done.result) == (["SUCCESS"], "returned")


def test_task_whose_observer_tells_no_outcome_is_a_task(run: Run) -> None:
    """Reports alone do not decide how it ends."""

    def body(self: Any) -> str:
        Observer(self).update("half")
        return "returned"

    done = run(body)
    assert (done.states, done.result) == (["PROGRESS", "SUCCESS"], "returned")


# -- what the function raises ---------------------------------------------------------------------


def test_error_without_an_outcome_is_the_failure(run: Run) -> None:
    """What the function raises is stored, once."""

    def body(self: Any) -> None:
        Observer(self).update("half")
        raise OSError("disk")

    done = run(body)
    assert done.states == ["PROGRESS", "FAILURE"]
    assert repr(done.exception) == "OSError('disk')"


def test_error_without_an_observer_is_the_failure(run: Run) -> None:
    """A function that reports nothing fails as any task does."""

    def body(self: Any) -> None:
        raise OSError("disk")

    assert repr(run(body).exception) == "OSError('disk')"


def test_error_after_fail_does_not_replace_it(run: Run) -> None:
    """The failure that was reported stays; the error is its cause in the traceback."""

    def body(self: Any) -> None:
        Observer(self).fail("bad row")
        raise OSError("disk")

    done = run(body)
    assert done.states == ["FAILURE"]
    assert repr(done.exception) == "RuntimeError('bad row')"
    assert "OSError: disk" in (done.traceback or "")


def test_error_that_was_reported_and_raised_is_one(run: Run) -> None:
    """An exception that is reported and raised again is the failure, and not its own cause."""

    def body(self: Any) -> None:
        try:
            raise OSError("disk")  # noqa: TRY301
        except OSError as error:
            Observer(self).exception(error, "bad row")
            raise

    done = run(body)
    assert done.states == ["FAILURE"]
    assert (done.traceback or "").count("OSError: disk") == 1


def test_error_after_success_is_told_and_changes_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """SUCCESS stays; a warning and a log record with the traceback name the error."""

    def body(self: Any) -> None:
        Observer(self).success("over")
        raise OSError("disk")

    with pytest.warns(TaskProgressWarning, match=r"raised after.*SUCCESS.*OSError\('disk'\)"):
        done = run(body)
    assert done.states == ["SUCCESS"]
    assert done.result["description"] == "over"
    [record] = [each for each in caplog.records if each.name.endswith("tasks.base")]
    assert record.exc_info is not None
    assert record.exc_info[0] is OSError


def test_error_without_a_text_after_success_changes_nothing(run: Run) -> None:
    """An error that cannot be printed does not turn the success round."""

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for this")

        __repr__ = __str__

    def body(self: Any) -> None:
        Observer(self).success("over")
        raise Silent

    with pytest.warns(TaskProgressWarning, match="Silent"):
        done = run(body)
    assert done.states == ["SUCCESS"]


@pytest.mark.parametrize(
    "command", [Ignore(), Reject("no", requeue=False)], ids=["Ignore", "Reject"]
)
def test_command_to_celery_without_an_outcome_is_obeyed(run: Run, command: Exception) -> None:
    """Ignore and Reject are what they are in any task, with no failure of the Observer."""

    def body(self: Any) -> None:
        Observer(self).update("half")
        raise command

    def plain(self: Any) -> None:
        self.update_state(state="PROGRESS", meta={})
        raise command

    assert run(body).states == run(plain, base=None).states


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda each: each.success("over"), "SUCCESS"),
        (lambda each: each.fail("over"), "FAILURE"),
        (lambda each: each.update("over", state="ABORTED"), "ABORTED"),
    ],
    ids=["success", "fail", "ABORTED"],
)
def test_ignore_after_an_outcome_leaves_the_outcome(
    run: Run, end: Callable[[Observer], object], state: str
) -> None:
    """`raise Ignore()` after an outcome, which a plain Task needs to keep it, does no harm."""

    def body(self: Any) -> None:
        end(Observer(self))
        raise Ignore

    assert run(body).states == [state]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_stops_the_process_is_let_through(
    engine: EagerEngine, a_task: Callable[..., Any], error: type[BaseException]
) -> None:
    """The base makes no difference to what KeyboardInterrupt and SystemExit do."""

    def body(self: Any) -> None:
        Observer(self).update("half")
        raise error

    def plain(self: Any) -> None:
        self.update_state(state="PROGRESS", meta={})
        raise error

    ends: list[Any] = []
    for task in (a_task(body), a_task(plain, base=None)):
        position, raised = len(engine.capture), None
        try:
            engine.run(task)
        except BaseException as left:  # noqa: BLE001
            raised = type(left)
        ends.append((raised, engine.capture.since(position).states))
    assert ends[0] == ends[1]


# -- handlers -------------------------------------------------------------------------------------


def test_on_failure_runs_after_fail(run: Run) -> None:
    """The handler of the task is called with the exception that was reported."""
    calls: list[Any] = []

    class Handled(ProgressTask):
        abstract = True

        def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
            calls.append(("failure", repr(exc)))

        def on_success(self, retval: Any, task_id: Any, args: Any, kwargs: Any) -> None:
            calls.append(("success", retval))

    def body(self: Any) -> str:
        Observer(self).fail("bad row")
        return "returned"

    run(body, base=Handled)
    assert calls == [("failure", "RuntimeError('bad row')")]


def test_link_error_runs_after_fail(
    engine: EagerEngine, a_task: Callable[..., Any], heard: list[Any]
) -> None:
    """An errback hears the exception; a callback is not called."""

    def body(self: Any) -> str:
        Observer(self).fail("bad row")
        return "returned"

    def callback(self: Any, value: object) -> None:
        heard.append(value)

    signature = a_task(body).s()
    signature.link_error(engine.app.tasks["tests.errback"].s())
    signature.link(a_task(callback).s())
    engine.run(signature)
    assert heard == [("tests.body", "RuntimeError('bad row')")]


def test_chord_errback_runs_after_fail(
    engine: EagerEngine, a_task: Callable[..., Any], heard: list[Any]
) -> None:
    """A chord whose header has a task that reported its failure fails, and its errback runs."""
    called: list[Any] = []

    def good(self: Any) -> int:
        return 1

    def bad(self: Any) -> int:
        Observer(self).fail("bad row")
        return 2

    def gather(self: Any, values: list[int]) -> None:
        called.append(values)

    body = a_task(gather).s().on_error(engine.app.tasks["tests.errback"].s())
    done = engine.run(chord(group(a_task(good).s(), a_task(bad).s()), body))
    assert called == []
    assert done.state == "FAILURE"
    assert isinstance(done.exception, ChordError)
    assert "bad row" in str(done.exception)
    assert len(heard) >= 1


def test_chain_stops_after_fail(engine: EagerEngine, a_task: Callable[..., Any]) -> None:
    """The next task of a chain is not run."""
    called: list[Any] = []

    def bad(self: Any) -> int:
        Observer(self).fail("bad row")
        return 2

    def then(self: Any, value: int) -> None:
        called.append(value)

    engine.run(chain(a_task(bad).s(), a_task(then).s()))
    assert called == []


# -- retry ----------------------------------------------------------------------------------------


def test_each_attempt_begins_anew(run: Run, engine: EagerEngine) -> None:
    """The Observer of the next attempt counts from its own start, and may end the task."""

    def body(self: Any) -> None:
        observer = Observer(self)
        engine.clock.advance(5)
        observer.update("row %d", self.request.retries)
        if self.request.retries < 2:
            raise self.retry(countdown=60)
        observer.fail("gave up")

    done = run(body)
    assert done.states == ["PROGRESS", "RETRY", "PROGRESS", "RETRY", "PROGRESS", "FAILURE"]
    assert done.messages == ["row 0", "row 1", "row 2"]
    assert [each.meta["elapsed"] for each in done.progress] == [5.0, 5.0, 5.0]
    assert engine.clock.monotonic() == 135.0


def test_retry_without_a_report_is_celerys(run: Run) -> None:
    """A task that has no Observer retries as any other."""

    def body(self: Any) -> str:
        if not self.request.retries:
            raise self.retry(countdown=1)
        return "returned"

    assert run(body).states == ["RETRY", "SUCCESS"]


def test_retry_that_has_no_attempts_left_is_the_failure(run: Run) -> None:
    """What Celery raises in place of the last retry is stored."""

    def body(self: Any) -> None:
        Observer(self).update("half")
        raise self.retry(exc=OSError("disk"), countdown=1, max_retries=1)

    done = run(body)
    assert done.states == ["PROGRESS", "RETRY", "PROGRESS", "FAILURE"]
    assert repr(done.exception) == "OSError('disk')"


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda each: each.success("over"), "SUCCESS"),
        (lambda each: each.fail("over"), "FAILURE"),
        (lambda each: each.update("over", state="ABORTED"), "ABORTED"),
    ],
    ids=["success", "fail", "ABORTED"],
)
def test_retry_after_an_outcome_does_nothing_but_warn(
    run: Run, engine: EagerEngine, end: Callable[[Observer], object], state: str
) -> None:
    """A task that has ended is not run again; the warning is at the line of the retry."""

    def body(self: Any) -> None:
        end(Observer(self))
        raise self.retry(countdown=60)

    with pytest.warns(
        TaskProgressWarning, match=f"ended it with {state}; the task is not"
    ) as caught:
        done = run(body)
    assert done.states == [state]
    assert [each.filename for each in caught] == [__file__]
    assert engine.pending == []
    assert engine.clock.monotonic() == 0.0


@pytest.mark.parametrize(("outcome", "state"), [("success", "SUCCESS"), ("fail", "FAILURE")])
def test_autoretry_after_an_outcome_does_nothing_but_warn(
    run: Run, outcome: str, state: str
) -> None:
    """An error after an outcome is not retried either."""

    def body(self: Any) -> None:
        getattr(Observer(self), outcome)("over")
        raise OSError("disk")

    with pytest.warns(TaskProgressWarning, match="the task is not retried"):
        done = run(body, autoretry_for=(OSError,), retry_backoff=False)
    assert done.states == [state]


def test_autoretry_without_an_outcome_retries(run: Run) -> None:
    """An error that is retried is not a failure that was reported."""

    def body(self: Any) -> None:
        observer = Observer(self)
        if not self.request.retries:
            raise OSError("disk")
        observer.success("over")

    done = run(body, autoretry_for=(OSError,), retry_backoff=False)
    assert done.states == ["RETRY", "SUCCESS"]


# -- how it is called -----------------------------------------------------------------------------


def test_called_as_a_function_it_only_runs(a_task: Callable[..., Any], engine: EagerEngine) -> None:
    """The value is returned and errors are raised, whatever the Observer says."""

    def body(self: Any, error: Exception | None) -> str:
        Observer(self).fail("bad row")
        if error is not None:
            raise error
        return "returned"

    task = a_task(body)
    assert task(None) == "returned"
    with pytest.raises(OSError, match="disk"):
        task(OSError("disk"))
    assert list(engine.history) == []


def test_called_as_a_function_by_itself(run: Run) -> None:
    """A call of the same task inside it is a plain call, which reports to the task around it.

    Celery lends it the request, and so the id, of that task.
    """

    def body(self: Any, depth: int = 0) -> str:
        Observer(self).update("depth %d", depth)
        if depth:
            return "inner"
        assert self(depth=1) == "inner"
        return "outer"

    done = run(body)
    assert done.messages == ["depth 0", "depth 1"]
    assert (done.states[-1], done.result) == ("SUCCESS", "outer")


def test_retry_called_as_a_function_is_celerys(a_task: Callable[..., Any]) -> None:
    """Outside a worker, after an outcome too, `retry` raises the error that it was given."""

    def body(self: Any) -> None:
        Observer(self).fail("bad row")
        raise self.retry(exc=OSError("disk"))

    with pytest.raises(OSError, match="disk"):
        a_task(body)()


def test_class_based_task_with_a_call_of_its_own(engine: EagerEngine) -> None:
    """A subclass may wrap the call; the outcome is final all the same."""
    seen: list[str] = []

    class Wrapped(ProgressTask):
        name = "tests.wrapped"

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            seen.append("before")
            try:
                return super().__call__(*args, **kwargs)
            finally:
                seen.append("after")

        def run(self, rows: int) -> str:
            observer = Observer(self)
            for _ in range(rows):
                observer.update("row", total=rows)
            observer.fail("bad row")
            return "returned"

    task = engine.app.register_task(Wrapped())
    done = engine.run(task, 2)
    assert done.states == ["PROGRESS", "PROGRESS", "FAILURE"]
    assert seen == ["before", "after"]


@pytest.mark.parametrize(("outcome", "state"), [("success", "SUCCESS"), ("fail", "FAILURE")])
def test_observer_made_before_the_task_starts(run: Run, outcome: str, state: str) -> None:
    """An Observer that is made in `before_start` is as final as one made in the function."""

    class Early(ProgressTask):
        abstract = True

        def before_start(self, task_id: Any, args: Any, kwargs: Any) -> None:
            self.observer = Observer(self)

    def body(self: Any) -> str:
        getattr(self.observer, outcome)("over")
        return "returned"

    done = run(body, base=Early)
    assert done.states == [state]
    assert done.history.dropped == []


def test_observer_made_in_a_wrapping_call(run: Run) -> None:
    """An Observer that is made in a `__call__` of one's own is as final as one in the function."""

    class Wrapped(ProgressTask):
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            self.observer = Observer(self)
            return super().__call__(*args, **kwargs)

    def body(self: Any) -> str:
        self.observer.fail("bad row")
        return "returned"

    assert run(body, base=Wrapped).states == ["FAILURE"]


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_failure_reads_back_with_every_serializer(serializer: str) -> None:
    """The client gets the exception, however it was encoded."""
    app = Celery("tests", set_as_current=False)
    app.conf.update(result_serializer=serializer, accept_content=["json", "pickle"])

    def body(self: Any) -> None:
        Observer(self).fail("bad %s", ValueError, "row")

    with EagerEngine(app) as engine:
        task = app.task(body, bind=True, base=ProgressTask, name="tests.body", shared=False)
        done = engine.run(task)
        with pytest.raises(ValueError, match=r"^bad row$"):
            app.AsyncResult(done.task_id).get()


def test_observers_stored_starts_are_kept() -> None:
    """With `task_track_started` the sequence is that of a worker."""
    app = Celery("tests", set_as_current=False)
    app.conf.task_track_started = True

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.update("half")
        observer.fail("bad row")

    with EagerEngine(app) as engine:
        task = app.task(body, bind=True, base=ProgressTask, name="tests.body", shared=False)
        assert engine.run(task).states == ["STARTED", "PROGRESS", "FAILURE"]
