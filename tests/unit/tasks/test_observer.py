"""Construction, members, and reports."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections import UserDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.clock import Clock, VirtualClock
from pytest_taskprogress.core.errors import ProgressValueError, TaskProgressWarning
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.observer import Observer

Run = Callable[..., TaskRun]


@pytest.fixture
def run(run: Run) -> Run:
    """Run a function as a bound task, with either base; what it raises fails the test."""

    def run_body(body: Callable[[Any], object]) -> TaskRun:
        done = run(body)
        assert done.state == "SUCCESS", done.exception
        return done

    return run_body


# -- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [5, "task", object(), SimpleNamespace(update_state=None)],
    ids=lambda each: str(each)[:9],
)
def test_needs_a_bound_task(task: Any) -> None:
    """Something without update_state is refused by its value, with what to do."""
    with pytest.raises(TypeError, match=r"needs a bound task \(self\), got task=.*bind=True"):
        Observer(task)


def test_task_without_a_text_is_refused_all_the_same() -> None:
    """A value whose repr raises is refused as any other is."""

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no text for this")

    with pytest.raises(TypeError, match="needs a bound task"):
        Observer(Unprintable())


@pytest.mark.parametrize("name", ["position", "throttle"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1"])
def test_numbers_of_the_constructor_are_checked(name: str, value: Any) -> None:
    """A position or throttle that is no finite number of 0 or more is refused, by its name."""
    with pytest.raises(ProgressValueError, match=f"{name} must be"):
        Observer(None, **{name: value})


@pytest.mark.parametrize("arguments", [{"position": -1}, {"throttle": math.nan}], ids=str)
def test_observer_that_was_refused_leaves_nothing_behind(
    run: Run, arguments: dict[str, Any]
) -> None:
    """A task that catches the error of the constructor goes on as if nothing had been."""

    def body(self: Any) -> str:
        with pytest.raises(ProgressValueError):
            Observer(self, **arguments)
        Observer(self).update("half")
        return "returned"

    assert run(body).result == "returned"


@pytest.mark.parametrize("name", ["_logger", "clock"])
@pytest.mark.parametrize("value", ["text", 5, [1]])
def test_parts_of_another_type_are_refused(name: str, value: Any) -> None:
    """What is no logger, or no clock, is refused where it is given, by its name."""
    with pytest.raises(TypeError, match=name.strip("_")):
        Observer(None, **{name: value})


def test_none_reports_to_nobody() -> None:
    """Without a task it counts and returns what it would store."""
    observer = Observer(None)
    state, meta = observer.update("half", current=50)
    assert observer.task is None
    assert (state, meta["percent"], observer.pos) == ("PROGRESS", 50.0, 50)


def test_task_is_the_one_given(run: Run) -> None:
    """The observed task can be asked for."""

    def body(self: Any) -> None:
        assert Observer(self).task is self

    run(body)


def test_begins_at_its_position() -> None:
    """The first step is counted from the position given."""
    observer = Observer(None, 10)
    assert observer.pos == 10
    observer.update("next")
    assert observer.pos == 11


def test_stand_in_without_a_request_is_reported_to() -> None:
    """Anything with update_state can stand for a task."""
    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(update_state=lambda **write: written.append(write))
    Observer(stand_in).update("half", current=50)
    assert [(each["state"], each["meta"]["current"]) for each in written] == [("PROGRESS", 50)]


# -- members --------------------------------------------------------------------------------------


def test_logger_is_the_modules_unless_given() -> None:
    """There is a logger by default; one can be given, and set later."""
    assert Observer(None).logger.name == "pytest_taskprogress.tasks.observer"
    first, second = logging.getLogger("tests.first"), logging.getLogger("tests.second")
    observer = Observer(None, _logger=first)
    assert observer.logger is first
    observer.logger = second
    assert observer.logger is second


@pytest.mark.parametrize("value", [None, 5, "tests"])
def test_logger_must_be_one(value: Any) -> None:
    """A wrong logger is refused where it is set, and not when the task ends."""
    observer = Observer(None)
    with pytest.raises(TypeError, match="logger"):
        observer.logger = value


def test_pos_can_be_set() -> None:
    """The position moves where it is set, and the next step counts from there."""
    observer = Observer(None)
    observer.pos = 41
    observer.update("next")
    assert observer.pos == 42


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, True])
def test_pos_is_a_finite_number(value: Any) -> None:
    """What is no finite number is refused, and the position stays."""
    observer = Observer(None, 3)
    with pytest.raises(ProgressValueError, match="pos must be a finite number"):
        observer.pos = value
    assert observer.pos == 3


def test_increment_moves_without_a_report(run: Run) -> None:
    """The position moves, is returned, and nothing is stored."""

    def body(self: Any) -> None:
        observer = Observer(self)
        assert [observer.increment(), observer.increment(2.5), observer.increment(-1)] == [
            1,
            3.5,
            2.5,
        ]
        assert observer.pos == 2.5

    assert run(body).states == ["SUCCESS"]


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None])
def test_increment_by_a_finite_number(value: Any) -> None:
    """What is no finite number is refused by its name, and the position stays."""
    observer = Observer(None, 3)
    with pytest.raises(ProgressValueError, match="val must be a finite number"):
        observer.increment(value)
    assert observer.pos == 3


def test_increment_beyond_what_a_float_holds() -> None:
    """Two finite numbers whose sum is not are refused."""
    observer = Observer(None, 1e308)
    with pytest.raises(ProgressValueError, match="pos must be a finite number"):
        observer.increment(1e308)
    assert observer.pos == 1e308


def test_create_meta_begins_the_dict() -> None:
    """The dict of a report begins with `pending`, anew each time."""
    observer = Observer(None)
    assert observer.create_meta() == {"pending": False}
    assert observer.create_meta() is not observer.create_meta()


def test_create_meta_is_for_subclasses(run: Run) -> None:
    """What a subclass adds is stored with every report."""

    class Named(Observer):
        def create_meta(self) -> dict[str, Any]:
            return {**super().create_meta(), "host": "a"}

    def body(self: Any) -> Any:
        observer = Named(self)
        observer.update("half")
        return observer.success()[1]

    done = run(body)
    assert [each.meta["host"] for each in done.progress] == ["a"]
    assert done.result["host"] == "a"


# -- what a report stores -------------------------------------------------------------------------


def test_report_stores_what_front_ends_read(run: Run, engine: EagerEngine) -> None:
    """The keys of celery-progress, and the return value is what is stored."""
    returned: list[Any] = []

    def body(self: Any) -> None:
        observer = Observer(self)
        engine.clock.advance(1.5)
        returned.append(observer.update("row %d", 7, current=1, total=8))

    [report] = run(body).progress
    assert report.meta == {
        "pending": False,
        "description": "row 7",
        "current": 1,
        "total": 8,
        "percent": 12.5,
        "elapsed": 1.5,
    }
    assert returned == [("PROGRESS", report.meta)]
    assert report.source is not None
    assert report.source.file == __file__


def test_elapsed_is_from_construction_by_the_clock_of_the_engine(
    run: Run, engine: EagerEngine
) -> None:
    """Seconds that the engine's clock moved since the Observer was made; exact."""

    def body(self: Any) -> None:
        engine.clock.advance(100)
        observer = Observer(self)
        for _ in range(3):
            engine.clock.advance(0.1)
            observer.update("")

    assert [each.meta["elapsed"] for each in run(body).progress] == [0.1, 0.2, 0.3]


def test_elapsed_is_by_the_clock_given(run: Run, engine: EagerEngine) -> None:
    """A clock of one's own comes before that of the engine."""
    clock = VirtualClock(0)

    def body(self: Any) -> None:
        observer = Observer(self, clock=clock)
        clock.advance(3)
        engine.clock.advance(50)
        observer.update("")

    assert run(body).meta["elapsed"] == 3.0


def test_elapsed_is_never_negative() -> None:
    """A clock that is set back does not make a report impossible."""

    class Back(Clock):
        readings = iter([10.0, 5.0])

        def monotonic(self) -> float:
            return next(self.readings)

    assert Observer(None, clock=Back()).update("")[1]["elapsed"] == 0.0


@pytest.mark.parametrize(
    "backend", [SimpleNamespace(), SimpleNamespace(clock="noon")], ids=["none", "another thing"]
)
def test_elapsed_is_by_the_machine_where_the_backend_has_no_clock(backend: Any) -> None:
    """A production backend has no clock, or one of another kind."""
    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(
        update_state=lambda **write: written.append(write),
        request=SimpleNamespace(id="id-1"),
        backend=backend,
    )
    Observer(stand_in).update("")
    assert written[0]["task_id"] == "id-1"
    assert written[0]["meta"]["elapsed"] >= 0.0


@pytest.mark.parametrize(("name", "stored"), [("import", {"name": "import"}), ("", {}), (None, {})])
def test_name_is_that_of_the_scan_task(name: Any, stored: dict[str, str]) -> None:
    """`name` is stored where the scan task has one."""
    _, meta = Observer(None, scan_task=SimpleNamespace(name=name, save=list)).update("")
    assert {key: meta[key] for key in meta.keys() & {"name"}} == stored


# -- position -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "current"),
    [
        ({}, 6),
        ({"increment": False}, 5),
        ({"step": 3}, 8),
        ({"step": -3}, 8),
        ({"step": 0}, 6),
        ({"step": 0.5}, 5.5),
        ({"step": Decimal("0.5")}, 5.5),
        ({"step": 3, "increment": False}, 5),
        ({"current": 40}, 40),
        ({"current": 40, "step": 3}, 40),
        ({"current": 0}, 0),
        ({"current": -1}, 6),
        ({"current": -1.0}, 6),
        ({"current": Decimal(40)}, 40.0),
    ],
)
def test_position_of_a_report(arguments: dict[str, Any], current: float) -> None:
    """The position given, or the own one, first moved by the step; it is the own one then."""
    observer = Observer(None, 5)
    _, meta = observer.update("", **arguments)
    assert meta["current"] == current
    assert observer.pos == current


@pytest.mark.parametrize(
    ("total", "percent"), [(100, 5.0), (10, 50.0), (5, 100.0), (None, None), (7, 71.43)]
)
def test_percent_is_of_the_total(total: float | None, percent: float | None) -> None:
    """The percentage goes by the total of the report; None where nobody knows it."""
    _, meta = Observer(None).update("", current=5, total=total)
    assert (meta["total"], meta["percent"]) == (total, percent)


def test_total_of_zero_is_complete() -> None:
    """There was nothing to do, and it is done."""
    _, meta = Observer(None).update("", current=0, total=0)
    assert (meta["current"], meta["percent"]) == (0, 100.0)


@pytest.mark.parametrize(
    ("current", "total", "stored", "percent"),
    [(166, 100, 100, 100.0), (5, 3, 3, 100.0), (-33, 100, 0, 0.0), (-0.5, None, 0, None)],
)
def test_position_out_of_bounds_is_clamped_with_a_warning(
    run: Run, current: float, total: float | None, stored: float, percent: float | None
) -> None:
    """Never 166 %, never -33 %; the warning names the raw value, and the line that reported."""
    line: list[int] = []

    def body(self: Any) -> None:
        line.append(sys._getframe().f_lineno + 1)
        Observer(self).update("", current=current, total=total)

    with pytest.warns(TaskProgressWarning, match=rf"^current={current} is out of bounds") as caught:
        [report] = run(body).progress
    assert (report.meta["current"], report.meta["percent"]) == (stored, percent)
    [warning] = caught
    assert (warning.filename, warning.lineno) == (__file__, line[0])
    assert f"({__file__}:{line[0]})" in str(warning.message)


@pytest.mark.parametrize("total", [100, None])
def test_falling_position_is_clamped_with_a_warning(run: Run, total: float | None) -> None:
    """What is stored never falls while the total is the same."""

    def body(self: Any) -> None:
        observer = Observer(self)
        observer.update("", current=60, total=total)
        with pytest.warns(TaskProgressWarning, match=r"^current=40 is out of bounds.*current=60"):
            observer.update("", current=40, total=total)
        observer.update("", current=70, total=total)

    assert [each.meta["current"] for each in run(body).progress] == [60, 60, 70]


def test_position_may_fall_with_another_total() -> None:
    """Another total is another piece of work."""
    observer = Observer(None)
    observer.update("", current=60)
    _, meta = observer.update("", current=1, total=4)
    assert meta["percent"] == 25.0


@pytest.mark.parametrize("position", [500, -500])
def test_position_that_was_set_out_of_bounds_is_clamped(position: int) -> None:
    """The own position is bounded too, and goes on from the bound."""
    observer = Observer(None)
    observer.pos = position
    with pytest.warns(TaskProgressWarning, match=f"current={position} is out of bounds"):
        _, meta = observer.update("", increment=False)
    assert meta["current"] == observer.pos == (100 if position > 0 else 0)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"current": math.nan}, "current"),
        ({"current": math.inf}, "current"),
        ({"current": "5"}, "current"),
        ({"current": None}, "current"),
        ({"current": True}, "current"),
        ({"step": math.nan}, "step"),
        ({"step": "5"}, "step"),
        ({"step": None}, "step"),
        ({"total": math.nan}, "total"),
        ({"total": -1}, "total"),
        ({"total": "100"}, "total"),
        ({"total": True}, "total"),
    ],
    ids=str,
)
def test_numbers_of_a_report_are_checked(arguments: dict[str, Any], name: str) -> None:
    """What is no finite number is refused by its name; nothing changes."""
    observer = Observer(None, 5)
    with pytest.raises(ProgressValueError, match=f"^{name} must be"):
        observer.update("", **arguments)
    assert observer.pos == 5


def test_steps_beyond_what_a_float_holds_are_refused() -> None:
    """A position that would be infinite is refused."""
    observer = Observer(None, 1e308)
    with pytest.raises(ProgressValueError, match="pos must be a finite number"):
        observer.update("", step=1e308, total=None)


# -- message --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("msg", "args", "text"),
    [
        ("%d of %d", (1, 2), "1 of 2"),
        ("50 % done", (), "50 % done"),
        ("%(rows)d rows", ({"rows": 3},), "3 rows"),
        (404, (), "404"),
        (None, (), "None"),
    ],
)
def test_message_is_formatted_as_logging_does(msg: Any, args: tuple[Any, ...], text: str) -> None:
    """`msg % args`, only where there are args."""
    assert Observer(None).update(msg, *args)[1]["description"] == text


def test_message_that_cannot_be_formatted_is_kept_with_a_warning(run: Run) -> None:
    """The raw text is stored, the task goes on, and the warning names the text and the line."""

    def body(self: Any) -> None:
        with pytest.warns(
            TaskProgressWarning, match="the message '%d rows' cannot be formatted"
        ) as caught:
            Observer(self).update("%d rows", "many")
        assert re.search(rf"\({re.escape(__file__)}:\d+\)$", str(caught[0].message))

    assert run(body).messages == ["%d rows"]


# -- state and meta -------------------------------------------------------------------------------


def test_state_can_be_the_users_own(run: Run) -> None:
    """A state of another name is stored as it is, and is a report."""

    def body(self: Any) -> None:
        assert Observer(self).update("up", state="UPLOADING")[0] == "UPLOADING"

    done = run(body)
    assert done.states == ["UPLOADING", "SUCCESS"]
    assert done.percents == [1.0]


@pytest.mark.parametrize("state", [None, "", b"PROGRESS", 5, ["PROGRESS"]])
def test_state_must_be_a_text(state: Any) -> None:
    """What is no name of a state is refused by its value."""
    with pytest.raises(TypeError, match="state must be the name of a state, got state="):
        Observer(None).update("", state=state)


@pytest.mark.parametrize(
    "meta",
    [{"rows": 3}, MappingProxyType({"rows": 3}), UserDict(rows=3)],
    ids=lambda each: type(each).__name__,
)
def test_meta_adds_keys(run: Run, meta: Any) -> None:
    """The keys of any mapping are stored beside the own ones."""

    def body(self: Any) -> None:
        Observer(self).update("half", meta=meta)

    stored = run(body).meta
    assert (stored["rows"], stored["description"]) == (3, "half")


def test_meta_of_the_caller_is_not_changed() -> None:
    """The mapping given is read only."""
    meta = {"rows": 3}
    Observer(None).update("half", meta=meta)
    assert meta == {"rows": 3}


@pytest.mark.parametrize(
    "key", ["pending", "description", "current", "total", "percent", "elapsed", "name"]
)
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS", "FAILURE"])
def test_meta_must_not_override_what_is_stored(key: str, state: str) -> None:
    """A reserved key is an error that names it, and nothing changes."""
    observer = Observer(None)
    with pytest.raises(ValueError, match=rf"must not override.*key\(s\) {key}$"):
        observer.update("", meta={key: 1, "free": 2}, state=state)
    assert observer.pos == 0


def test_every_reserved_key_is_named() -> None:
    """Two reserved keys are both in the message."""
    with pytest.raises(ValueError, match=r"key\(s\) current, total$"):
        Observer(None).update("", meta={"total": 1, "current": 1})


@pytest.mark.parametrize("key", ["exc_type", "exc_message", "exc_module"])
def test_meta_must_not_override_exception_information(key: str) -> None:
    """Where an exception is stored its keys are reserved; elsewhere they are free."""
    observer = Observer(None)
    with pytest.raises(ValueError, match=rf"key\(s\) {key}$"):
        observer.update("", meta={key: 1}, state="FAILURE")
    assert observer.update("", meta={key: 1})[1][key] == 1


@pytest.mark.parametrize("meta", [5, "rows", [("rows", 3)], {"rows"}])
def test_meta_must_be_a_mapping(meta: Any) -> None:
    """What is no mapping is refused by its value."""
    with pytest.raises(TypeError, match="meta must be a mapping, got meta="):
        Observer(None).update("", meta=meta)


def test_meta_without_a_text_is_refused_all_the_same() -> None:
    """A value whose repr raises is refused as any other is."""

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no text for this")

    with pytest.raises(TypeError, match="meta must be a mapping"):
        Observer(None).update("", meta=Unprintable())  # type: ignore[arg-type]


def test_meta_that_cannot_be_encoded_raises_at_the_report(run: Run) -> None:
    """As in production: inside the task, with the key path; the next report is stored."""

    def body(self: Any) -> None:
        observer = Observer(self)
        with pytest.raises(EncodeError, match=r"meta\['user'\]\['tags'\]\[1\]"):
            observer.update("bad", meta={"user": {"tags": [1, object()]}})
        observer.update("good")

    assert run(body).messages == ["good"]


@pytest.mark.parametrize("state", ["RETRY", "FAILURE", "REVOKED"])
def test_exception_state_reads_back_as_an_exception(engine: EagerEngine, state: str) -> None:
    """A state that a backend reads back as an exception is stored with one."""
    read: list[Any] = []

    def body(self: Any) -> None:
        Observer(self).update("bad %s", "row", state=state, meta={"row": 3})
        read.append(self.AsyncResult(self.request.id).result)
        read.append(engine.history[0].meta["row"])
        self.update_state(state="PROGRESS")  # so that Celery's SUCCESS is no surprise

    task = engine.app.task(body, bind=True, name="tests.body", shared=False)
    if state == "RETRY":
        engine.run(task)
    else:
        with pytest.warns(TaskProgressWarning, match=f"PROGRESS was stored over {state}"):
            engine.run(task)
    assert [type(read[0]), str(read[0]), read[1]] == [RuntimeError, "bad row", 3]


# -- abort ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check_abort", "checks"), [(True, 2), (False, 0)])
def test_each_report_of_an_abortable_task_checks(check_abort: bool, checks: int) -> None:  # noqa: FBT001
    """A task that can be aborted is asked once a report, unless that is switched off."""
    asked: list[None] = []
    stand_in = SimpleNamespace(
        update_state=lambda **_: None, raise_if_aborted=lambda: asked.append(None)
    )
    observer = Observer(stand_in, check_abort=check_abort)
    observer.update("one")
    observer.update("two")
    assert len(asked) == checks


def test_aborted_task_stores_no_report() -> None:
    """What the check raises leaves the report, which is not stored."""

    class Aborted(Exception):
        pass

    def raise_if_aborted() -> None:
        raise Aborted

    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(
        update_state=lambda **write: written.append(write), raise_if_aborted=raise_if_aborted
    )
    observer = Observer(stand_in)
    with pytest.raises(Aborted):
        observer.update("one")
    assert (written, observer.pos) == ([], 0)


# -- log ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ({}, None),
        ({"log_level": logging.ERROR}, None),
        ({"do_log": True}, logging.DEBUG),
        ({"do_log": True, "log_level": logging.WARNING}, logging.WARNING),
        ({"do_log": True, "log_level": "warning"}, logging.WARNING),
        ({"do_log": True, "log_level": "INFO"}, logging.INFO),
    ],
)
def test_report_is_logged_if_asked_for(
    caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], level: int | None
) -> None:
    """`do_log` sends the text to the logger, at `log_level`, by number or by name."""
    logger = logging.getLogger("tests.observer")
    with caplog.at_level(logging.DEBUG, logger.name):
        Observer(None, _logger=logger).update("%d %%", 5, **arguments)
    expected = [] if level is None else [(logger.name, level, "5 %")]
    assert caplog.record_tuples == expected


def test_logger_that_was_set_is_the_one_used(caplog: pytest.LogCaptureFixture) -> None:
    """A logger that is set later gets what is logged from then on."""
    observer = Observer(None)
    observer.logger = logging.getLogger("tests.later")
    with caplog.at_level(logging.DEBUG, "tests.later"):
        observer.update("half", do_log=True)
    assert [each.name for each in caplog.records] == ["tests.later"]


@pytest.mark.parametrize("log_level", ["NOISY", "", "Level 5"])
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
def test_unknown_log_level_is_refused_before_anything_is_stored(log_level: str, state: str) -> None:
    """A wrong level is an error by its value, and the report leaves no trace."""
    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(update_state=lambda **write: written.append(write))
    observer = Observer(stand_in)
    with pytest.raises(ValueError, match=f"there is no log level {log_level!r}"):
        observer.update("", state=state, do_log=True, log_level=log_level)
    assert (written, observer.pos) == ([], 0)


@pytest.mark.parametrize("log_level", [None, 1.5, object()], ids=["None", "float", "object"])
def test_log_level_that_is_neither_number_nor_name_is_refused(log_level: Any) -> None:
    """A level of another type is an error, as it is to `logging`."""
    with pytest.raises((TypeError, ValueError)):
        Observer(None).update("", do_log=True, log_level=log_level)


def test_log_level_without_a_text_is_refused_before_anything_is_stored() -> None:
    """A level that `logging` cannot name is an error too, and the report leaves no trace."""
    written: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(update_state=lambda **write: written.append(write))
    observer = Observer(stand_in)
    with pytest.raises(ValueError, match="log level"):
        observer.update("", state="ABORTED", do_log=True, log_level=10**5000)
    assert (written, observer.pos) == ([], 0)
