"""How a task ends: success, fail, exception, and a terminal state of update."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Retry

from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

Run = Callable[..., TaskRun]
End = Callable[[Observer], "tuple[str, dict[str, Any]]"]

REPLACED = "replaced by SUCCESS when the function returned"

ENDS = [
    pytest.param(lambda each: each.success("over"), "SUCCESS", id="success"),
    pytest.param(lambda each: each.fail("over"), "FAILURE", id="fail"),
    pytest.param(lambda each: each.exception(OSError("disk"), "over"), "FAILURE", id="exception"),
    pytest.param(lambda each: each.update("over", state="SUCCESS"), "SUCCESS", id="SUCCESS"),
    pytest.param(lambda each: each.update("over", state="FAILURE"), "FAILURE", id="FAILURE"),
    pytest.param(lambda each: each.update("over", state="REVOKED"), "REVOKED", id="REVOKED"),
    pytest.param(lambda each: each.update("over", state="ABORTED"), "ABORTED", id="ABORTED"),
]


class _WantsTwo(Exception):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(one, two)


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text for this")

    __repr__ = __str__


class _Silent(Exception):
    __str__ = _Unprintable.__str__
    __repr__ = _Unprintable.__str__


class _Scan:
    """A database row: what happened to it, in order."""

    name = "import"

    def __init__(self) -> None:
        self.seen: list[object] = []

    def __setattr__(self, name: str, value: object) -> None:
        if name == "active":
            self.seen.append((name, value))
        super().__setattr__(name, value)

    def save(self) -> None:
        self.seen.append("saved")


@pytest.fixture
def run_plain(engine: EagerEngine) -> Run:
    """Run a function as a bound task with Celery's own base."""

    def run_body(body: Callable[[Any], object]) -> TaskRun:
        return engine.run(engine.app.task(body, bind=True, name="tests.plain", shared=False))

    return run_body


@pytest.fixture
def run(engine: EagerEngine) -> Run:
    """Run a function as a bound ProgressTask."""

    def run_body(body: Callable[[Any], object]) -> TaskRun:
        task = engine.app.task(
            body, bind=True, base=ProgressTask, name="tests.progress", shared=False
        )
        return engine.run(task)

    return run_body


# -- success --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reports", "pos"),
    [
        pytest.param([], 100, id="no report"),
        pytest.param([{"current": 3}], 100, id="of 100"),
        pytest.param([{"current": 3, "total": 8}], 8, id="of 8"),
        pytest.param([{"current": 3, "total": 8}, {"current": 1, "total": 5}], 5, id="of the last"),
        pytest.param([{"current": 0.5, "total": 2.5}], 2.5, id="of a float"),
        pytest.param([{"current": 0, "total": 0}], 0, id="of nothing"),
        pytest.param([{"current": 7, "total": None}], 7, id="of who knows"),
    ],
)
def test_success_leaves_the_position_at_the_total(
    reports: list[dict[str, Any]], pos: float
) -> None:
    """Complete is complete, whatever the total is."""
    observer = Observer(None)
    for report in reports:
        observer.update("", **report)
    state, meta = observer.success("done")
    assert state == "SUCCESS"
    assert observer.pos == pos
    assert (meta["current"], meta["total"], meta["percent"]) == (pos, pos, 100.0)


@pytest.mark.parametrize(("position", "pos"), [(150, 150), (7, 100), (0, 100)])
def test_success_without_a_report_begins_where_the_observer_did(position: int, pos: int) -> None:
    """The total is 100, or the position if that is beyond it."""
    observer = Observer(None, position)
    observer.success()
    assert observer.pos == pos


@pytest.mark.parametrize("total", [None, 8])
@pytest.mark.parametrize("pos", [-5, 500])
def test_success_where_the_position_was_set_out_of_bounds(total: int | None, pos: int) -> None:
    """Whatever the position was set to, success succeeds, and is complete."""
    observer = Observer(None)
    observer.update("", current=3, total=total)
    observer.pos = pos
    _, meta = observer.success()
    assert meta["percent"] == 100.0
    assert meta["current"] >= 0


def test_success_does_not_fall() -> None:
    """A position that was moved back after an indeterminate report is not stored."""
    observer = Observer(None)
    observer.update("", current=10, total=None)
    observer.increment(-4)
    assert observer.success()[1]["current"] == 10


def test_success_stores_the_meta_and_returns_it(run_plain: Run) -> None:
    """What success returns is what is stored; returning it from the task changes nothing."""

    def body(self: Any) -> Any:
        _, meta = Observer(self).success("Imported %d rows", 3)
        return meta

    done = run_plain(body)
    assert done.states == ["SUCCESS"]
    assert done.result["description"] == "Imported 3 rows"
    assert done.result == done.meta


def test_success_message_is_empty_by_default() -> None:
    """There need not be a message."""
    assert Observer(None).success()[1]["description"] == ""


# -- fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kind", "text"),
    [
        (("bad",), RuntimeError, "bad"),
        (("bad %s", "reason"), RuntimeError, "bad reason"),
        (("bad %s", ValueError, "reason"), ValueError, "bad reason"),
        (("bad %s and %s", "one", "two"), RuntimeError, "bad one and two"),
        (("bad %d", 5), RuntimeError, "bad 5"),
        (("bad %s", ValueError("v")), RuntimeError, "bad v"),
        (("bad", None), RuntimeError, "bad"),
        (("bad %s", None, "reason"), RuntimeError, "bad reason"),
        (("bad", ValueError), ValueError, "bad"),
        (("bad %(why)s", {"why": "reason"}), RuntimeError, "bad reason"),
        (("100 % bad",), RuntimeError, "100 % bad"),
        (("bad", _WantsTwo), RuntimeError, "_WantsTwo: bad"),
        (("bad", SystemExit), RuntimeError, "SystemExit: bad"),
        (("bad", Retry), RuntimeError, "Retry: bad"),
        (("bad", _Silent), _Silent, None),
        ((_Unprintable(),), RuntimeError, "<unprintable _Unprintable object>"),
    ],
)
def test_fail_stores_what_reads_back_as_the_exception(
    run_plain: Run, args: tuple[Any, ...], kind: type[Exception], text: str | None
) -> None:
    """With or without an exception class, a reader gets an exception that says the message."""
    read: list[Any] = []

    def body(self: Any) -> None:
        state, meta = Observer(self).fail(*args)
        assert (state, meta["exc_type"]) == ("FAILURE", kind.__qualname__)
        assert text in {None, meta["exc_message"]}
        read.append(self.AsyncResult(self.request.id).result)

    with pytest.warns(TaskProgressWarning, match=REPLACED):
        run_plain(body)
    assert isinstance(read[0], Exception)
    assert type(read[0]).__name__ == kind.__name__


def test_fail_leaves_the_position() -> None:
    """A failure is not further than the last report."""
    observer = Observer(None)
    observer.update("", current=3, total=8)
    _, meta = observer.fail("bad")
    assert (observer.pos, meta["current"], meta["total"], meta["percent"]) == (3, 3, 8, 37.5)


@pytest.mark.parametrize(("pos", "total", "stored"), [(-5, None, 3), (500, 8, 8), (-5, 8, 3)])
def test_fail_where_the_position_was_set_out_of_bounds(
    pos: int, total: int | None, stored: int
) -> None:
    """The position is clamped as in any report, with a warning."""
    observer = Observer(None)
    observer.update("", current=3, total=total)
    observer.pos = pos
    with pytest.warns(TaskProgressWarning, match=f"current={pos} is out of bounds"):
        assert observer.fail("bad")[1]["current"] == stored


def test_fail_message_that_cannot_be_formatted_fails_the_task_all_the_same() -> None:
    """The raw text is the message of the failure."""
    observer = Observer(None)
    with pytest.warns(TaskProgressWarning, match="'bad %d' cannot be formatted"):
        state, meta = observer.fail("bad %d", "reason")
    assert (state, meta["exc_message"]) == ("FAILURE", "bad %d")


def test_fail_is_told_at_the_line_that_reported(run: Run) -> None:
    """The exception that a ProgressTask fails with has the traceback of the call of fail."""

    def body(self: Any) -> None:
        Observer(self).fail("bad")

    done = run(body)
    assert done.traceback is not None
    assert re.search(rf'File "{re.escape(__file__)}", line \d+, in body', done.traceback)


# -- exception ------------------------------------------------------------------------------------


def test_exception_keeps_the_exception_and_says_the_message(run: Run) -> None:
    """A client gets the exception that was caught; the description is the message."""
    returned: list[Any] = []

    def body(self: Any) -> None:
        observer = Observer(self)
        try:
            raise OSError("disk full")  # noqa: TRY301
        except OSError as error:
            returned.append(observer.exception(error, "Row %d", 3))

    done = run(body)
    assert done.states == ["FAILURE"]
    assert type(done.exception) is OSError
    assert str(done.exception) == "disk full"
    [(state, meta)] = returned
    assert (state, meta["description"], meta["exc_message"]) == ("FAILURE", "Row 3", "disk full")


def test_exception_that_was_raised_keeps_its_traceback() -> None:
    """Only an exception that nobody raised is given the line that reported it."""
    raised, made = OSError("raised"), OSError("made")
    try:
        raise raised
    except OSError:
        entries = traceback.extract_tb(raised.__traceback__)
        Observer(None).exception(raised, "")
    Observer(None).exception(made, "")
    assert traceback.extract_tb(raised.__traceback__) == entries
    assert [each.filename for each in traceback.extract_tb(made.__traceback__)] == [__file__]


@pytest.mark.parametrize("exception", [KeyboardInterrupt("stop"), SystemExit("stop")])
def test_exception_that_python_takes_as_a_command_is_named_instead(
    run: Run, exception: BaseException
) -> None:
    """A task fails by a KeyboardInterrupt that was reported; the worker is not stopped by it."""

    def body(self: Any) -> None:
        Observer(self).exception(exception, "over")  # type: ignore[arg-type]

    done = run(body)
    assert repr(done.exception) == f"RuntimeError('{type(exception).__name__}: stop')"


@pytest.mark.parametrize("exception", [Ignore("gone"), Retry("again")], ids=["Ignore", "Retry"])
def test_exception_that_celery_takes_as_a_command_is_named_instead(
    run: Run, exception: Exception
) -> None:
    """A failure is a failure: it is neither ignored nor a retry that nobody has published."""

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.update("half")
        observer.exception(exception, "over")

    done = run(body)
    assert done.states == ["PROGRESS", "FAILURE"]
    assert type(done.exception) is RuntimeError
    assert type(exception).__name__ in str(done.exception)


@pytest.mark.parametrize("exception", [None, "bad", ValueError, 5])
def test_exception_takes_an_exception(exception: Any) -> None:
    """What is none is refused by its value, with what to use instead."""
    with pytest.raises(TypeError, match=r"takes an exception, got exception=.*see fail\(\)"):
        Observer(None).exception(exception, "over")


def test_exception_refuses_what_has_no_text() -> None:
    """A value whose repr raises is refused as any other is."""
    with pytest.raises(TypeError, match="takes an exception"):
        Observer(None).exception(_Unprintable(), "over")  # type: ignore[arg-type]


@pytest.mark.parametrize("exception", [_Silent("bad"), _WantsTwo(1, _Unprintable())])
def test_exception_of_any_kind_reads_back_as_one(
    run: Run, engine: EagerEngine, exception: Exception
) -> None:
    """An exception without a text, or that cannot be made again, is stored as one."""

    def body(self: Any) -> None:
        Observer(self).exception(exception, "over")

    done = run(body)
    assert done.states == ["FAILURE"]
    assert isinstance(engine.backend.peek(done.task_id)["result"], Exception)


# -- a terminal state of update -------------------------------------------------------------------


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "ABORTED"])
def test_terminal_state_of_update_is_an_outcome(run_plain: Run, state: str) -> None:
    """It is stored at once with its meta, and later reports change nothing."""
    histories: list[list[str]] = []

    def body(self: Any) -> Any:
        observer = Observer(self)
        _, meta = observer.update("over", state=state, current=7, meta={"rows": 3})
        with pytest.warns(TaskProgressWarning, match=f"the task had ended with {state}"):
            observer.update("more")
        histories.append(self.backend.peek(self.request.id)["status"])
        return meta

    if state == "SUCCESS":
        done = run_plain(body)
    else:
        with pytest.warns(TaskProgressWarning, match=REPLACED):
            done = run_plain(body)
    assert histories == [state]
    assert (done.history[0].state, done.history[0].meta["rows"]) == (state, 3)
    assert done.history[0].meta["current"] == 7


# -- after the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "state"), ENDS)
@pytest.mark.parametrize(
    ("again", "_state"), [*ENDS, pytest.param(lambda each: each.update("more"), "", id="update")]
)
def test_after_the_end_nothing_changes_and_a_warning_says_so(
    end: End, state: str, again: End, _state: str
) -> None:
    """Any later call warns, gives the outcome back, stores nothing and moves nothing."""
    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(update_state=lambda **write: written.append(write))
    observer = Observer(stand_in)
    outcome = end(observer)
    pos, copy = observer.pos, dict(outcome[1])
    with pytest.warns(TaskProgressWarning, match=rf"ended with {state}: ignored \({__file__}"):
        assert again(observer) == outcome
    assert outcome[1] == copy
    assert observer.pos == pos
    assert [each["state"] for each in written] == [state]


def test_end_of_one_observer_is_the_end_for_all_of_the_task(run_plain: Run) -> None:
    """Two observers of one execution do not contradict each other."""

    def body(self: Any) -> Any:
        one, other = Observer(self), Observer(self)
        _, meta = one.success("over")
        with pytest.warns(TaskProgressWarning, match="FAILURE was reported after"):
            other.fail("bad")
        return meta

    assert run_plain(body).states == ["SUCCESS"]


# -- scan task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "state"), ENDS)
def test_scan_task_is_saved_once_when_the_task_ends(end: End, state: str) -> None:
    """`active` becomes False, then it is saved; reports and later calls leave it alone."""
    scan = _Scan()
    observer = Observer(None, scan_task=scan)
    observer.update("half")
    assert scan.seen == []
    end(observer)
    with pytest.warns(TaskProgressWarning, match=f"ended with {state}"):
        observer.success()
    assert scan.seen == [("active", False), "saved"]


def test_scan_task_of_each_observer_is_saved(run: Run) -> None:
    """The end that one observer tells reaches the scan tasks of all."""
    scans = [_Scan(), _Scan()]

    def body(self: Any) -> None:
        observers = [Observer(self, scan_task=each) for each in scans]
        observers[0].success()

    run(body)
    assert [each.seen for each in scans] == [[("active", False), "saved"]] * 2


def test_scan_task_is_saved_when_a_progress_task_raises(run: Run) -> None:
    """A task that ends in an error that it does not catch has ended."""
    scan = _Scan()

    def body(self: Any) -> None:
        Observer(self, scan_task=scan).update("half")
        raise OSError("disk")

    run(body)
    assert scan.seen == [("active", False), "saved"]


def test_scan_task_is_saved_when_the_outcome_has_a_wrong_log_level() -> None:
    """Either the call is refused and the task goes on, or the task has ended and that is saved."""
    scan = _Scan()
    observer = Observer(None, scan_task=scan)
    with pytest.raises(ValueError, match="no log level"):
        observer.update("over", state="SUCCESS", do_log=True, log_level="NOISY")
    observer.success()
    assert scan.seen == [("active", False), "saved"]


@pytest.mark.parametrize(
    "scan_task",
    [
        pytest.param(5, id="int"),
        pytest.param(object(), id="object"),
        pytest.param(SimpleNamespace(name="import"), id="no save"),
    ],
)
def test_scan_task_that_cannot_be_saved_is_refused(scan_task: Any) -> None:
    """Something without save() is refused as a wrong type, which names the parameter."""
    with pytest.raises(TypeError, match="scan_task"):
        Observer(None, scan_task=scan_task).success()


# -- log ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "level"),
    [
        (lambda each: each.success("over %d", 1), logging.INFO),
        (lambda each: each.fail("over %d", 1), logging.WARNING),
        (lambda each: each.exception(OSError("disk"), "over %d", 1), logging.ERROR),
    ],
    ids=["success", "fail", "exception"],
)
def test_outcome_is_logged(caplog: pytest.LogCaptureFixture, end: End, level: int) -> None:
    """Each outcome sends its text to the logger, once."""
    with caplog.at_level(logging.DEBUG, "tests.observer"):
        end(Observer(None, _logger=logging.getLogger("tests.observer")))
    assert caplog.record_tuples == [("tests.observer", level, "over 1")]
