"""What reaches the backend, and when: throttle, threads, and calls as a plain function."""

from __future__ import annotations

import _thread
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

Run = Callable[..., TaskRun]


class _Written:
    """A stand-in for a task, which keeps what is written, and moves the clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(0)
        self.writes: list[tuple[str, float, float]] = []

    def update_state(self, *, state: str, meta: dict[str, Any], task_id: object) -> None:
        if "refused" in meta:
            raise EncodeError
        self.writes.append((state, meta["current"], self.clock.monotonic()))

    def observer(self, throttle: float | None) -> Observer:
        return Observer(self, throttle=throttle, clock=self.clock)


# -- throttle -------------------------------------------------------------------------------------


def test_throttle_stores_at_most_one_report_in_its_seconds() -> None:
    """The first is stored, then one as soon as the seconds have passed since the last write."""
    task = _Written()
    observer = task.observer(1.0)
    for _ in range(10):
        observer.update("")
        task.clock.advance(0.3)
    assert task.writes == [
        ("PROGRESS", 1, 0.0),
        ("PROGRESS", 5, 1.2),
        ("PROGRESS", 9, 2.4),
    ]


@pytest.mark.parametrize("throttle", [None, 0])
def test_no_throttle_stores_every_report(throttle: float | None) -> None:
    """Without a throttle, or with one of no time, nothing is held back."""
    task = _Written()
    observer = task.observer(throttle)
    for _ in range(3):
        observer.update("")
    assert [current for _, current, _ in task.writes] == [1, 2, 3]


def test_what_could_not_be_stored_holds_nothing_back() -> None:
    """The first report that is stored is the first: one that was refused does not count."""
    task = _Written()
    observer = task.observer(10.0)
    with pytest.raises(EncodeError):
        observer.update("", meta={"refused": True})
    observer.update("")
    assert [current for _, current, _ in task.writes] == [1]


def test_throttle_never_holds_the_complete_report() -> None:
    """100 % is always stored."""
    task = _Written()
    observer = task.observer(10.0)
    for current in range(1, 6):
        observer.update("", current=current, total=5)
    assert [current for _, current, _ in task.writes] == [1, 5]


def test_throttle_never_holds_a_change_of_state() -> None:
    """Each report of another state than the last write is stored."""
    task = _Written()
    observer = task.observer(10.0)
    for state in ["PROGRESS", "PROGRESS", "UPLOADING", "UPLOADING", "PROGRESS"]:
        observer.update("", state=state)
    assert [(state, current) for state, current, _ in task.writes] == [
        ("PROGRESS", 1),
        ("UPLOADING", 3),
        ("PROGRESS", 5),
    ]


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda each: each.success(), "SUCCESS"),
        (lambda each: each.fail("bad"), "FAILURE"),
        (lambda each: each.exception(OSError(), "bad"), "FAILURE"),
        (lambda each: each.update("", state="ABORTED"), "ABORTED"),
    ],
    ids=["success", "fail", "exception", "ABORTED"],
)
def test_throttle_never_holds_the_outcome(end: Callable[[Observer], object], state: str) -> None:
    """The last write is the outcome."""
    task = _Written()
    observer = task.observer(10.0)
    observer.update("")
    observer.update("")
    end(observer)
    assert task.writes[0][0] == "PROGRESS"
    assert task.writes[-1][0] == state


def test_throttle_does_not_change_what_a_report_returns() -> None:
    """A report that is held back counts and returns as any other."""
    observer = _Written().observer(10.0)
    observer.update("")
    state, meta = observer.update("second")
    assert (state, meta["current"], meta["description"]) == ("PROGRESS", 2, "second")


def test_flush_stores_what_is_held_back_once() -> None:
    """The last held report is stored, and then nothing is left to be stored."""
    task = _Written()
    observer = task.observer(10.0)
    for _ in range(3):
        observer.update("")
    observer.flush()
    observer.flush()
    assert [current for _, current, _ in task.writes] == [1, 3]


def test_flush_without_anything_held_back_stores_nothing() -> None:
    """A report that was stored is not stored again."""
    task = _Written()
    observer = task.observer(None)
    observer.flush()
    observer.update("")
    observer.flush()
    assert len(task.writes) == 1


def test_flush_after_the_end_stores_nothing() -> None:
    """What was held back when the task ended does not come after the outcome."""
    task = _Written()
    observer = task.observer(10.0)
    observer.update("")
    observer.update("")
    observer.success()
    writes = list(task.writes)
    observer.flush()
    assert task.writes == writes
    assert writes[-1][0] == "SUCCESS"


@pytest.mark.parametrize(
    ("end", "states"),
    [
        (lambda _: None, ["PROGRESS", "PROGRESS", "SUCCESS"]),
        (lambda each: each.success(), ["PROGRESS", "PROGRESS", "SUCCESS"]),
        (lambda each: each.fail("bad"), ["PROGRESS", "PROGRESS", "FAILURE"]),
        (lambda each: each.update("", state="ABORTED"), ["PROGRESS", "PROGRESS", "ABORTED"]),
    ],
    ids=["returns", "success", "fail", "ABORTED"],
)
def test_progress_task_stores_the_last_report_when_it_ends(
    run_progress: Run, end: Callable[[Observer], object], states: list[str]
) -> None:
    """The last report that is held back is stored before the outcome."""

    def body(self: Any) -> None:
        observer = Observer(self, throttle=10.0)
        for _ in range(4):
            observer.update("")
        end(observer)

    done = run_progress(body)
    assert done.states == states
    assert [each.meta["current"] for each in done.progress] == [1, 4]


def test_progress_task_stores_the_last_report_when_it_raises(run_progress: Run) -> None:
    """How far it came is stored before the failure."""

    def body(self: Any) -> None:
        observer = Observer(self, throttle=10.0)
        for _ in range(4):
            observer.update("")
        raise OSError("disk")

    assert [each.meta.get("current") for each in run_progress(body).history] == [1, 4, None]


def test_progress_task_stores_the_last_report_of_every_observer(run_progress: Run) -> None:
    """An outcome that one observer tells does not lose what another holds back."""

    def body(self: Any) -> None:
        one, other = Observer(self, throttle=10.0), Observer(self, throttle=10.0)
        for current in (1, 2):
            one.update("one", current=current)
            other.update("other", current=current)
        one.success()

    assert sorted(run_progress(body).messages) == ["one", "one", "other", "other"]


# -- threads --------------------------------------------------------------------------------------


def _in_thread(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def test_reports_of_a_helper_thread_arrive(run: Run) -> None:
    """A thread that has no request of its own reports to the task that the Observer was made in."""

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.update("task")
        _in_thread(lambda: observer.update("helper"))
        observer.update("task again")

    done = run(body)
    assert done.messages == ["task", "helper", "task again"]
    assert {each.uuid for each in done.history} == {done.task_id}
    assert {each.name for each in done.history} == {done.name}


def test_helper_thread_has_no_request_when_its_report_is_stored(run: Run) -> None:
    """What a report lends to a thread it takes back, also when the report is refused."""
    left: list[Any] = []

    def helper(task: Any, observer: Observer) -> None:
        observer.update("good")
        left.append(task.request.id)
        with pytest.raises(Exception, match="cannot encode"):
            observer.update("bad", meta={"rows": object()})
        left.append(task.request.id)

    def body(self: Any) -> None:
        observer = Observer(self)
        _in_thread(lambda: helper(self, observer))
        observer.update("task")

    assert run(body).messages == ["good", "task"]
    assert left == [None, None]


def test_outcome_of_a_helper_thread_is_the_tasks(run: Run) -> None:
    """A thread can end the task."""
    metas: list[Any] = []

    def body(self: Any) -> Any:
        observer = Observer(self)
        _in_thread(lambda: metas.append(observer.success("over")[1]))
        return metas[0]

    done = run(body)
    assert done.states == ["SUCCESS"]
    assert done.result["description"] == "over"


def test_many_threads_lose_no_step(run: Run) -> None:
    """Steps of several threads add up, and what is stored never falls."""

    def body(self: Any) -> None:
        observer = Observer(self)
        barrier = threading.Barrier(4)

        def work() -> None:
            barrier.wait()
            for _ in range(25):
                observer.update("")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert [each.meta["current"] for each in run(body).progress] == list(range(1, 101))


def test_warning_where_nobody_outside_is_known_is_given_all_the_same() -> None:
    """A thread whose first frame is the Observer's own has no line to name."""
    done = threading.Event()

    class Written:
        def update_state(self, **write: Any) -> None:
            done.set()

    names: dict[str, Any] = {
        "__name__": "pytest_taskprogress.bare",
        "settrace": sys.settrace,
        "trace": threading.gettrace(),  # coverage sees only the threads of `threading`
        "update": Observer(Written()).update,
    }
    exec("def run():\n    settrace(trace)\n    update('', current=166)", names)  # noqa: S102

    def report() -> bool:
        _thread.start_new_thread(names["run"], ())
        return done.wait(60)

    with pytest.warns(TaskProgressWarning, match="current=166 is out of bounds"):
        assert report()


# -- called as a plain function -------------------------------------------------------------------


@pytest.mark.parametrize("base", [Task, ProgressTask], ids=["Task", "ProgressTask"])
@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda each: each.success("over"), "SUCCESS"),
        (lambda each: each.fail("over"), "FAILURE"),
        (lambda each: each.exception(OSError("disk"), "over"), "FAILURE"),
        (lambda each: each.update("over", state="ABORTED", do_log=True), "ABORTED"),
    ],
    ids=["success", "fail", "exception", "ABORTED"],
)
def test_plain_function_records_and_logs_and_stores_nothing(
    engine: EagerEngine,
    caplog: pytest.LogCaptureFixture,
    base: type[Task],
    end: Callable[[Observer], Any],
    state: str,
) -> None:
    """A task called as a function counts, logs, ends and returns; the backend hears nothing."""

    def body(self: Any, rows: int) -> Any:
        observer = Observer(self, _logger=logging.getLogger("tests.observer"))
        for _ in range(rows):
            observer.update("row", do_log=True)
        assert observer.pos == rows
        return end(observer)

    task = engine.app.task(body, bind=True, base=base, name="tests.body", shared=False)
    with caplog.at_level(logging.DEBUG, "tests.observer"):
        returned = task(3)
    assert returned[0] == state
    assert caplog.messages == ["row", "row", "row", "over"]
    assert list(engine.history) == []
    assert sum(engine.backend.writes.values()) == 0


def test_plain_function_ends_too(engine: EagerEngine) -> None:
    """After an outcome later reports warn, as in a worker."""

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.success()
        with pytest.warns(TaskProgressWarning, match="ended with SUCCESS"):
            observer.update("more")

    engine.app.task(body, bind=True, name="tests.body", shared=False)()


def test_plain_function_called_in_a_task_does_not_report_to_it(
    run: Run, engine: EagerEngine
) -> None:
    """A task that another calls as a function stores nothing, and does not end the other."""

    def inner(self: Any) -> str:
        observer = Observer(self)
        observer.update("inner")
        observer.fail("inner")
        return "returned"

    called = engine.app.task(inner, bind=True, base=ProgressTask, name="tests.inner", shared=False)

    def body(self: Any) -> str:
        observer = Observer(self)
        observer.update("outer")
        return called()

    done = run(body)
    assert done.messages == ["outer"]
    assert (done.state, done.result) == ("SUCCESS", "returned")


def test_plain_function_without_a_backend() -> None:
    """With no result backend at all, a call as a function does not raise."""
    app = Celery("tests", set_as_current=False)

    def body(self: Any) -> Any:
        return Observer(self).success("over")

    task = app.task(body, bind=True, name="tests.body", shared=False)
    assert task()[0] == "SUCCESS"


def test_a_report_that_is_refused_does_not_move_the_position(run: Run) -> None:
    """What could not be stored is not what the next report must not fall below."""

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.update("one", current=10)
        with pytest.raises(EncodeError):
            observer.update("bad", current=90, meta={"x": object()})
        assert observer.pos == 10
        observer.update("two", current=20)

    assert run(body).percents == [10.0, 20.0]


def test_a_report_that_is_held_back_is_a_snapshot(run_progress: Run) -> None:
    """What the task changes in its meta after the report is not stored with it."""

    def body(self: Any) -> None:
        observer = Observer(self, throttle=10.0)
        rows: list[int] = []
        for current in (1, 2):
            rows.append(current)
            observer.update("row", current=current, meta={"rows": rows})
        rows.append(3)

    assert run_progress(body).progress[-1].meta["rows"] == [1, 2]


def test_observers_of_one_task_share_a_lock(run_progress: Run) -> None:
    """An outcome flushes every observer: two that end at once must not wait for each other."""

    def body(self: Any) -> None:
        one, other = Observer(self, throttle=10.0), Observer(self, throttle=10.0)
        assert one._lock is other._lock

    assert run_progress(body).state == "SUCCESS"
