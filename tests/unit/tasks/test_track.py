from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from celery.exceptions import Ignore

from pytest_taskprogress.core.errors import ProgressValueError, TaskProgressWarning
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

Run = Callable[..., TaskRun]


class _Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for this")


class _Sized:
    """An iterable that says a number of its own as its length."""

    def __init__(self, items: Iterable[Any], size: int) -> None:
        self.items = items
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def _positions(done: TaskRun) -> list[tuple[Any, Any, Any]]:
    return [(each.meta["current"], each.meta["total"], each.percent) for each in done.progress]


# -- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "total", "positions"),
    [
        pytest.param(list("abc"), None, [(1, 3, 33.33), (2, 3, 66.67), (3, 3, 100.0)], id="list"),
        pytest.param(range(2), None, [(1, 2, 50.0), (2, 2, 100.0)], id="range"),
        pytest.param({"a": 1}, None, [(1, 1, 100.0)], id="dict"),
        pytest.param([], None, [(0, 0, 100.0)], id="empty"),
        pytest.param([], 0, [(0, 0, 100.0)], id="empty of 0"),
        pytest.param([], 4, [(4, 4, 100.0)], id="empty of 4"),
        pytest.param("ab", 4, [(1, 4, 25.0), (2, 4, 50.0), (4, 4, 100.0)], id="fewer than said"),
        pytest.param("ab", 2.0, [(1, 2.0, 50.0), (2, 2.0, 100.0)], id="total as a float"),
    ],
)
def test_reports_after_each_item_and_ends_complete(
    run: Run, items: Any, total: float | None, positions: list[tuple[Any, Any, Any]]
) -> None:
    """One report an item, the last of them complete; nothing to do is complete at once."""

    def body(self: Any) -> None:
        assert list(Observer(self).track(items, "row", total)) == list(items)

    done = run(body)
    assert _positions(done) == positions
    assert set(done.messages) == {"row"}
    assert done.state == "SUCCESS"


@pytest.mark.parametrize(
    ("items", "positions"),
    [
        ("ab", [(1, None, None), (2, None, None), (2, 2, 100.0)]),
        ("", [(0, 0, 100.0)]),
    ],
)
def test_iterator_of_unknown_length_ends_complete(
    run: Run, items: str, positions: list[tuple[Any, Any, Any]]
) -> None:
    """Nobody knows the total until the end; then it is what was counted."""

    def body(self: Any) -> None:
        assert list(Observer(self).track(iter(items), "row")) == list(items)

    assert _positions(run(body)) == positions


def test_range_that_is_longer_than_len_can_say_has_no_known_length() -> None:
    """A range beyond what `len()` can return is gone through as an iterator is."""
    observer = Observer(None)
    tracked = observer.track(range(2**64), "row")
    assert [next(tracked), next(tracked)] == [0, 1]
    assert observer.pos == 1


def test_report_of_an_item_is_stored_when_the_next_is_asked_for(
    run: Run, engine: EagerEngine
) -> None:
    """An item counts when the body of the loop is done with it."""

    def body(self: Any) -> None:
        for done, _ in enumerate(Observer(self).track("abc", "row")):
            assert len(engine.history.progress) == done

    assert run(body).percents == [33.33, 66.67, 100.0]


@pytest.mark.parametrize("size", [1, 0])
def test_more_items_than_said_are_clamped_with_a_warning(run: Run, size: int) -> None:
    """All items come, the reports stay at the total."""

    def body(self: Any) -> None:
        items = Observer(self).track(_Sized("abc", size), "row")
        with pytest.warns(TaskProgressWarning, match=f"is out of bounds for total={size}"):
            assert list(items) == ["a", "b", "c"]

    assert set(run(body).percents) == {100.0}


def test_message_may_have_a_percent_sign(run: Run) -> None:
    """The message is taken as it is."""

    def body(self: Any) -> None:
        list(Observer(self).track("a", "100 % of %s"))

    assert run(body).messages == ["100 % of %s"]


def test_loop_that_is_left_is_not_complete(run: Run) -> None:
    """After `break` the last report is of the last item that was done."""

    def body(self: Any) -> None:
        for item in Observer(self).track("abcd", "row"):
            if item == "c":
                break

    assert run(body).percents == [25.0, 50.0]


def test_is_its_own_iterator_and_ends_once(run: Run) -> None:
    """It is gone through once; asked again, it is at its end and reports nothing."""

    def body(self: Any) -> None:
        tracked = Observer(self).track("ab", "row")
        assert iter(tracked) is tracked
        assert list(tracked) == ["a", "b"]
        assert list(tracked) == []

    assert run(body).percents == [50.0, 100.0]


def test_two_loops_of_one_task_each_count_their_own(run: Run) -> None:
    """The second loop begins at its own first item."""

    def body(self: Any) -> None:
        observer = Observer(self)
        list(observer.track("ab", "first"))
        list(observer.track("abcd", "second"))

    assert run(body).percents == [50.0, 100.0, 25.0, 50.0, 75.0, 100.0]


def test_reports_are_of_the_users_line(run: Run) -> None:
    """The source of each report is the loop, not this package."""

    def body(self: Any) -> None:
        for _ in Observer(self).track("ab", "row"):
            pass

    sources = [each.source for each in run(body).progress]
    assert [source.file for source in sources if source] == [__file__, __file__]


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("iterable", [None, 5, object()], ids=["None", "int", "object"])
def test_needs_an_iterable(iterable: Any) -> None:
    """What cannot be iterated is an error at the call."""
    with pytest.raises(TypeError, match="not iterable"):
        Observer(None).track(iterable, "row")


@pytest.mark.parametrize("total", [-1, float("nan"), float("inf"), "3", True])
def test_total_is_checked_at_the_call(total: Any) -> None:
    """A total that is no finite number of 0 or more is refused before an item is taken."""
    items = iter("abc")
    with pytest.raises(ProgressValueError, match="total must be"):
        Observer(None).track(items, "row", total)
    assert list(items) == ["a", "b", "c"]


# -- failures -------------------------------------------------------------------------------------


def _broken() -> Iterator[str]:
    yield "a"
    raise OSError("disk")


def test_iterable_that_raises_is_a_failure(engine: EagerEngine, run: Run) -> None:
    """What the iterable raises is reported and raised, with the items before it counted."""

    def body(self: Any) -> None:
        for _ in Observer(self).track(_broken(), "row", 4):
            pass

    done = run(body)
    assert done.percents == [25.0]
    assert done.state == "FAILURE"
    assert repr(done.exception) == "OSError('disk')"
    assert done.history[1].state == "FAILURE"


def test_iterable_that_raised_has_ended() -> None:
    """After its error the loop is over, without another report."""
    tracked = Observer(None).track(_broken(), "row", 4)
    next(tracked)
    with pytest.raises(OSError, match="disk"):
        next(tracked)
    assert list(tracked) == []


def test_body_that_raises_is_a_failure_with_a_context_manager(run: Run) -> None:
    """What the body raises is reported, with the message, and raised."""

    def body(self: Any) -> None:
        with Observer(self).track("abc", "row") as tracked:
            for item in tracked:
                if item == "b":
                    raise OSError("disk")

    done = run(body)
    assert done.percents == [33.33]
    assert [each.state for each in done.history if each.stored][-1] == "FAILURE"
    assert repr(done.exception) == "OSError('disk')"


def test_failure_of_the_body_says_where_and_why() -> None:
    """The description has the message of the loop and that of the error."""
    written: list[dict[str, Any]] = []

    class Written:
        def update_state(self, **write: Any) -> None:
            written.append(write)

    tracked = Observer(Written()).track("abc", "row")
    with pytest.raises(OSError, match="disk"), tracked:
        raise OSError("disk")
    assert [(each["state"], each["meta"]["description"]) for each in written] == [
        ("FAILURE", "row: disk")
    ]


@pytest.mark.parametrize(
    ("msg", "error", "texts"),
    [
        ("row", _Silent(), ["row", "_Silent"]),
        ("100 % of rows", OSError("50 % of disk"), ["100 % of rows: 50 % of disk"]),
        ("%s", OSError("%d"), ["%s: %d"]),
    ],
    ids=["no text", "percent signs", "placeholders"],
)
def test_failure_is_described_whatever_its_text(
    msg: str, error: Exception, texts: list[str]
) -> None:
    """Neither an error without a text nor a percent sign stops the report, or warns."""
    observer = Observer(None)
    with pytest.raises(type(error)), observer.track("abc", msg):
        raise error
    with pytest.warns(TaskProgressWarning, match="ended with FAILURE"):
        _, meta = observer.success()
    assert all(text in meta["description"] for text in texts)


def test_progress_task_reports_the_body_without_a_context_manager(engine: EagerEngine) -> None:
    """Under a ProgressTask a plain loop is enough: the observer hears of the error."""
    ended: list[Any] = []

    class Scan:
        name = "import"

        def save(self) -> None:
            ended.append(self.active)  # type: ignore[attr-defined]

    def body(self: Any) -> None:
        for _ in Observer(self, scan_task=Scan()).track("abc", "row"):
            raise OSError("disk")

    done = engine.run(
        engine.app.task(body, bind=True, base=ProgressTask, name="tests.body", shared=False)
    )
    assert repr(done.exception) == "OSError('disk')"
    assert ended == [False]


@pytest.mark.parametrize("leave", [None, KeyboardInterrupt, GeneratorExit])
def test_context_manager_reports_no_other_end(leave: type[BaseException] | None) -> None:
    """Leaving without an error, or by what stops the process, is not a failure of the task."""
    observer = Observer(None)
    expected = contextlib.nullcontext() if leave is None else pytest.raises(leave)
    with expected, observer.track("abc", "row") as tracked:
        next(tracked)
        if leave is not None:
            raise leave
    assert observer.update("more")[0] == "PROGRESS"


def test_context_manager_after_the_end_of_the_items_reports_no_failure() -> None:
    """An error after the loop is not the loop's."""
    observer = Observer(None)
    tracked = observer.track("a", "row")
    assert list(tracked) == ["a"]
    with pytest.raises(OSError, match="disk"), tracked:
        raise OSError("disk")
    assert observer.success()[0] == "SUCCESS"


def test_retry_in_the_body_is_no_failure(run: Run, engine: EagerEngine) -> None:
    """A loop that asks for another attempt has not failed, whatever the base of the task is."""
    saved: list[None] = []

    class Scan:
        name = "import"

        def save(self) -> None:
            saved.append(None)

    def body(self: Any) -> Any:
        observer = Observer(self, scan_task=Scan())
        with observer.track("ab", "row") as tracked:
            for item in tracked:
                if item == "b" and not self.request.retries:
                    raise self.retry(countdown=60)
        return observer.success("over")[1]

    done = run(body)
    assert done.states == ["PROGRESS", "RETRY", "PROGRESS", "PROGRESS", "SUCCESS"]
    assert saved == [None]
    assert engine.clock.monotonic() == 60.0


def test_retry_in_the_iterable_is_no_failure(run: Run) -> None:
    """An iterable that asks for another attempt has not failed."""

    def rows(task: Any) -> Iterator[str]:
        yield "a"
        if not task.request.retries:
            raise task.retry(countdown=60)

    def body(self: Any) -> None:
        list(Observer(self).track(rows(self), "row", 1))

    assert run(body).states == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]


def test_ignore_in_the_body_is_no_failure(run: Run) -> None:
    """A task that says that its end does not count leaves its last report."""

    def body(self: Any) -> None:
        with Observer(self).track("ab", "row") as tracked:
            for item in tracked:
                if item == "b":
                    raise Ignore

    assert run(body).states == ["PROGRESS"]
