from __future__ import annotations

import json
import math
import pickle
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from celery import chain, chord, group, states
from celery.exceptions import Ignore, TaskRevokedError
from celery.result import AsyncResult, EagerResult, GroupResult, ResultSet

from pytest_taskprogress import AbortableTask, Observer, ProgressTask, ProgressValueError, abort
from pytest_taskprogress.core.states import KNOWN_STATES
from pytest_taskprogress.engines.internals import thread_state
from pytest_taskprogress.scenario import Abort, at_report
from pytest_taskprogress.tasks.reading import Reading, group_progress, read_progress
from tests.conftest import IsolatedApp


@pytest.fixture(params=["taskprogress://", "cache+memory://", "db+sqlite://", "file://"])
def kept(request, tmp_path):
    """An app with one of the backends whose reading differs."""
    url = request.param + str(tmp_path) if request.param == "file://" else request.param
    if url == "db+sqlite://":
        pytest.importorskip("sqlalchemy")
        url = f"db+sqlite:///{tmp_path / 'results'}"
    app = IsolatedApp("reading", backend=url, set_as_current=False)
    yield app
    if request.param == "db+sqlite://":
        app.backend.ResultSession().get_bind().dispose()


@pytest.fixture
def app():
    """An app with a result backend, and no engine."""
    return IsolatedApp("reading", backend="taskprogress://", set_as_current=False)


@pytest.fixture
def write(app):
    """Store the record of a task."""

    def write(state, value=None, task_id="task", **more):
        app.backend.store_result(task_id, value, state, **more)
        return app.AsyncResult(task_id)

    return write


@pytest.fixture
def read(write):
    """What is read of a record."""
    return lambda state, value=None: read_progress(write(state, value))


class TestOneTask:
    def test_of_nothing(self, app):
        """What is not there is PENDING, and tells nothing."""
        reading = read_progress(app.AsyncResult("nowhere"))
        assert reading == Reading("PENDING")
        assert not reading.ended
        assert not reading.failed

    def test_report(self, read):
        """A report is given as it is."""
        meta = {
            "pending": False,
            "current": 3,
            "total": 4,
            "percent": 75.0,
            "description": "Importing",
            "file": "a.csv",
        }
        reading = read("PROGRESS", meta)
        assert reading == Reading("PROGRESS", 75.0, 3, 4, "Importing", meta=meta)
        assert reading.meta["file"] == "a.csv"

    def test_state_of_the_users_own(self, read):
        """A state that nobody knows is one in which a task reports."""
        assert read("UPLOADING", {"percent": 5}) == Reading("UPLOADING", 5.0, meta={"percent": 5})

    def test_started(self, read):
        """What a worker stores with STARTED is no progress."""
        reading = read("STARTED", {"pid": 7, "hostname": "here"})
        assert (reading.state, reading.percent, reading.ended) == ("STARTED", None, False)

    @pytest.mark.parametrize(
        ("meta", "percent", "current", "total"),
        [
            ({"percent": 166.67}, 100.0, None, None),
            ({"percent": -33.33}, 0.0, None, None),
            ({"percent": math.nan}, None, None, None),
            ({"percent": math.inf}, None, None, None),
            ({"percent": 10**400}, None, None, None),
            ({"percent": "50"}, None, None, None),
            ({"percent": True}, None, None, None),
            ({"percent": None, "current": 1, "total": 8}, 12.5, 1, 8),
            ({"percent": math.nan, "current": 1, "total": 8}, 12.5, 1, 8),
            ({"percent": [1]}, None, None, None),
            ({"percent": Decimal("12.5")}, 12.5, None, None),
            ({"current": 1, "total": 3}, 33.33, 1, 3),
            ({"current": 3, "total": 3}, 100.0, 3, 3),
            ({"current": 999_999, "total": 1_000_000}, 99.99, 999_999, 1_000_000),
            ({"current": 5}, None, 5, None),
            ({"current": 5, "total": None}, None, 5, None),
            ({"current": "a.csv", "total": 3}, None, None, 3),
            ({"current": 5, "total": "many"}, None, 5, None),
            ({"current": 5, "total": 3}, 100.0, 3, 3),
            ({"current": -5, "total": 3}, 0.0, 0, 3),
            ({"current": 5, "total": -3}, None, 5, None),
            ({"current": 0, "total": 0}, None, 0, 0),
            ({"current": 4, "total": 0}, None, 0, 0),
            ({"current": 0, "total": 0, "percent": 100.0}, 100.0, 0, 0),
            ({"current": 0, "total": 0, "percent": 0}, 0.0, 0, 0),
            ({"current": math.nan, "total": math.inf}, None, None, None),
            ({"current": {}, "total": []}, None, None, None),
            ({}, None, None, None),
        ],
    )
    def test_numbers(self, read, meta, percent, current, total):
        """Numbers are those that a bar has room for, and None where there is none."""
        reading = read("PROGRESS", meta)
        assert (reading.percent, reading.current, reading.total) == (percent, current, total)
        assert type(reading.percent) in {float, type(None)}

    def test_zero_has_no_sign(self, read):
        """A percentage of -0.0 is 0.0, which is how it is shown."""
        assert str(read("PROGRESS", {"percent": -0.0}).percent) == "0.0"

    @pytest.mark.parametrize("meta", [None, "half", 50, 0.5, [1, 2], True, ["a", {}]])
    def test_meta_that_is_no_dict(self, read, meta):
        """A report of something else tells its state."""
        assert read("PROGRESS", meta) == Reading("PROGRESS")

    @pytest.mark.parametrize("description", [None, 3, ["a"], {"a": 1}])
    def test_description_that_is_no_text(self, read, description):
        """A description that is no text is none."""
        assert read("PROGRESS", {"description": description}).description is None

    @pytest.mark.parametrize("result", [None, 3, "done", [1], {"total": 12, "percent": 5}])
    def test_success(self, read, result):
        """A task that has succeeded is at 100 %, whatever it returned, and that is at hand."""
        reading = read("SUCCESS", result)
        assert reading == Reading("SUCCESS", 100.0, ended=True, succeeded=True, result=result)
        assert not reading.failed

    def test_success_of_an_observer(self, read):
        """What an observer's success stores says what was done."""
        meta = {"pending": False, "current": 3, "total": 3, "percent": 100.0, "description": "Done"}
        reading = read("SUCCESS", meta)
        assert (reading.current, reading.total, reading.description) == (3, 3, "Done")

    def test_failure(self, read):
        """A failure says of what kind, and why."""
        reading = read("FAILURE", ValueError("no rows"))
        assert reading == Reading("FAILURE", ended=True, error="ValueError: no rows")
        assert reading.failed
        assert not reading.aborted

    def test_failure_of_nothing(self, read):
        """A FAILURE without any value has failed, and says that nothing was stored with it."""
        reading = read("FAILURE")
        assert reading == Reading("FAILURE", ended=True, error="FAILURE without an exception: None")

    def test_revoked(self, read):
        """A revoked task has ended."""
        reading = read("REVOKED", TaskRevokedError("terminated"))
        assert reading == Reading("REVOKED", ended=True, error="TaskRevokedError: terminated")

    def test_revoked_by_a_report(self, read):
        """REVOKED without an exception has no error."""
        assert read("REVOKED") == Reading("REVOKED", ended=True)

    def test_retry(self, read):
        """A task that waits for its next attempt has not ended, and says what for."""
        reading = read("RETRY", OSError("gone"))
        assert reading == Reading("RETRY", error="OSError: gone")
        assert not reading.ended

    def test_retry_without_an_exception(self, read):
        """A task may ask for another attempt without a reason."""
        assert read("RETRY") == Reading("RETRY")

    def test_aborted(self, read):
        """An abort that was honoured is an end, at the last progress."""
        meta = {"pending": False, "percent": 40.0, "description": "Importing"}
        reading = read("ABORTED", meta)
        assert reading == Reading("ABORTED", 40.0, None, None, "Importing", ended=True, meta=meta)
        assert reading.aborted
        assert reading.failed

    def test_asked_to_abort(self, read):
        """ABORTED of Celery's own class is the request: the task still runs."""
        reading = read("ABORTED")
        assert reading == Reading("ABORTED")
        assert not reading.aborted

    @pytest.mark.parametrize("state", [states.IGNORED, states.REJECTED])
    def test_given_up(self, read, state):
        """States that other libraries store of tasks that ended without a result are an end."""
        reading = read(state, "skipped")
        assert reading.ended
        assert reading.failed

    @pytest.mark.parametrize("state", sorted(KNOWN_STATES | states.ALL_STATES | {"", "X" * 999}))
    def test_any_state_with_any_value(self, app, state):
        """Nothing that can be stored raises."""
        values = [None, {}, {"a": 1}, {"percent": 9}, "text", 3, [], [[1, 2]], {"exc_type": []}]
        for value in values:
            app.backend.forget("task")
            app.backend.store_result("task", value, state)
            assert read_progress(app.AsyncResult("task")).state == state

    def test_one_read(self, write, app):
        """State and numbers are of one read."""
        result = write("PROGRESS", {"percent": 9})
        before = app.backend.reads["task"]
        read_progress(result)
        assert app.backend.reads["task"] == before + 1

    def test_no_read_after_the_end(self, write, app):
        """A result that knows its end is not read again."""
        result = write("SUCCESS")
        read_progress(result)
        before = app.backend.reads["task"]
        assert read_progress(result).ended
        assert app.backend.reads["task"] == before

    def test_own_copy(self, write):
        """What is done to a reading is not done to the record."""
        result = write("SUCCESS", {"pending": False})
        read_progress(result).meta["more"] = 1
        assert read_progress(result).meta == {"pending": False}
        aborted = EagerResult("task", {"percent": 5}, "ABORTED")
        read_progress(aborted).meta["more"] = 1
        assert read_progress(aborted).meta == {"percent": 5}

    def test_eager_result(self, app):
        """The result of a task that was called eagerly is read as well."""
        assert read_progress(EagerResult("task", 3, "SUCCESS")).result == 3
        failed = read_progress(EagerResult("task", ValueError("no"), "FAILURE"))
        assert failed.error == "ValueError: no"

    def test_values(self, read):
        """A reading can be pickled, compared and hashed; it is JSON that any browser takes."""
        reading = read("PROGRESS", {"percent": [], "current": 1, "total": 3})
        assert pickle.loads(pickle.dumps(reading)) == reading  # noqa: S301 - made above
        assert hash(reading) == hash(Reading("PROGRESS", 33.33, 1, 3))
        told = json.loads(json.dumps(reading.as_dict(), allow_nan=False))
        assert told == {
            "state": "PROGRESS",
            "percent": 33.33,
            "current": 1,
            "total": 3,
            "description": None,
            "ended": False,
            "succeeded": False,
            "error": None,
        }

    def test_as_json_of_a_fraction(self):
        """Numbers of any type are plain ones: what every serialiser carries."""
        value = {"current": Fraction(1, 2), "total": Decimal(2)}
        reading = read_progress(EagerResult("task", value, "PROGRESS"))
        assert json.dumps(reading.as_dict()["current"]) == "0.5"
        assert reading.percent == 25.0

    @pytest.mark.parametrize("value", [None, "an-id", 3, object()])
    def test_no_result(self, value):
        """What is no result is refused, with what to do."""
        with pytest.raises(TypeError, match=r"make one by app\.AsyncResult\(id\)"):
            read_progress(value)

    def test_result_of_a_group(self, app):
        """The result of a group has a function of its own."""
        with pytest.raises(TypeError, match=r"group to group_progress\(\)"):
            read_progress(app.GroupResult("group", []))

    def test_no_backend(self):
        """An app without a result backend is told so, by Celery's words."""
        app = IsolatedApp("bare", set_as_current=False)
        with pytest.raises(NotImplementedError, match="No result backend"):
            read_progress(app.AsyncResult("task"))

    def test_backend_that_is_down(self, write, app, monkeypatch):
        """A server that is down is no state of a task."""

        def down(key):
            raise ConnectionError("refused")

        result = write("PROGRESS")
        monkeypatch.setattr(app.backend, "get", down)
        with pytest.raises(ConnectionError, match="refused"):
            read_progress(result)


class TestBrokenRecords:
    """Records on which every read by Celery raises."""

    def test_failure_without_exception_information(self, kept):
        """A FAILURE of a raw update_state is one, and shows what was stored."""
        kept.backend.store_result("task", {"why": "no rows"}, "FAILURE")
        result = kept.AsyncResult("task")
        with pytest.raises(ValueError, match="must include the exception type"):
            result.state
        reading = read_progress(result)
        assert reading.state == "FAILURE"
        assert reading.ended
        assert reading.error == "FAILURE without an exception: {'why': 'no rows'}"

    @pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
    def test_exceptions_that_are_none(self, kept, state):
        """Whatever stands in the place of an exception is no error."""
        values = [{"exc_type": 3}, {"exc_type": "a\0b"}, {"exc_type": None}, "text", 3, [1], True]
        for number, value in enumerate(values):
            task_id = f"{state}-{number}"
            kept.backend.store_result(task_id, value, state)
            reading = read_progress(kept.AsyncResult(task_id))
            assert (reading.state, reading.ended) == (state, state != "RETRY")
            assert reading.error

    def test_class_that_is_no_exception(self, write):
        """What Celery refuses to call is named, and not called."""
        info = {"exc_module": "os", "exc_type": "system", "exc_message": ["true"]}
        assert read_progress(write("FAILURE", info)).error == "system: true"

    @pytest.mark.parametrize(
        ("message", "error"),
        [("no", "E: no"), (["no"], "E: no"), ([], "E: "), (["a", 1], "E: ['a', 1]")],
    )
    def test_messages_of_exceptions(self, write, message, error):
        """A message is read as Celery stores it: a text, or the arguments."""
        info = {"exc_module": "os", "exc_type": "E", "exc_message": message}
        result = write("FAILURE", {**info, "exc_type": "path"})
        assert read_progress(result).error == error.replace("E", "path")

    @pytest.mark.parametrize("payload", [b"\xff\xfe", b"{", b"3", b"null", b"[]", b'{"a": 1}'])
    def test_what_is_no_record(self, app, payload):
        """What cannot be decoded, or has no state, has ended: nothing can be written over it."""
        app.backend.set(app.backend.get_key_for_task("task"), payload)
        reading = read_progress(app.AsyncResult("task"))
        assert reading.state == "UNREADABLE"
        assert reading.failed
        assert reading.error

    @pytest.mark.parametrize("status", [None, 3, ["PROGRESS"], {}])
    def test_state_that_is_no_text(self, app, status):
        """A state that is no text is none."""
        payload = json.dumps({"status": status, "result": None})
        app.backend.set(app.backend.get_key_for_task("task"), payload)
        reading = read_progress(app.AsyncResult("task"))
        assert reading.state == "UNREADABLE"
        assert reading.error is not None

    def test_record_without_a_result(self, app):
        """A record that has a state and nothing else is one."""
        app.backend.set(app.backend.get_key_for_task("task"), b'{"status": "PROGRESS"}')
        assert read_progress(app.AsyncResult("task")) == Reading("PROGRESS")

    def test_other_serializer(self, write):
        """A record of a serialiser that the reader does not accept is unreadable to it."""
        other = IsolatedApp("other", backend="taskprogress://", set_as_current=False)
        other.conf.update(result_serializer="pickle", result_accept_content=["pickle"])
        other.backend.store_result("task", {"percent": 5}, "PROGRESS")
        payload = other.backend.get(other.backend.get_key_for_task("task"))
        result = write("PROGRESS")
        result.backend.set(result.backend.get_key_for_task("task"), payload)
        reading = read_progress(result)
        assert reading.state == "UNREADABLE"
        assert "decode" in reading.error

    def test_error_of_something_else(self):
        """A result without a backend of Celery's raises what it raises."""

        class Broken:
            id = "task"

            def _get_task_meta(self):
                raise KeyError("status")

        with pytest.raises(KeyError):
            read_progress(Broken())

    def test_read_that_breaks_twice(self, write, monkeypatch):
        """An error that the second read has as well is that of the record."""
        result = write("PROGRESS")

        def refuse(self, task_id):
            raise ValueError("no such column")

        monkeypatch.setattr(type(result.backend), "_get_task_meta_for", refuse)
        assert read_progress(result).error == "ValueError: no such column"


@pytest.fixture
def results(app, write):
    """Results of the tasks a, b, c, ... with the records given; None: nothing is stored."""

    def results(*records):
        made = []
        for name, record in zip("abcdefgh", records, strict=False):
            if record is not None:
                write(*record, task_id=name)
            made.append(app.AsyncResult(name))
        return made

    return results


def at(percent):
    """A report."""
    return "PROGRESS", {"percent": percent}


class TestCanvas:
    def test_empty_group(self, app):
        """A canvas without tasks is complete."""
        assert group_progress(app.GroupResult("group", [])) == Reading(
            "SUCCESS", 100.0, 0, 0, ended=True, succeeded=True
        )
        assert group_progress([]).percent == 100.0

    def test_group(self, app, results):
        """Each task counts the same; current and total count tasks."""
        reading = group_progress(app.GroupResult("g", results(("SUCCESS",), at(50), None, at(25))))
        assert reading == Reading("PROGRESS", 43.75, 1, 4)

    def test_nothing_has_begun(self, app, results):
        """A group of which nothing is stored is PENDING, at 0."""
        assert group_progress(app.GroupResult("g", results(None, None))) == Reading(
            "PENDING", 0.0, 0, 2
        )

    def test_totals_do_not_count(self, app, results):
        """A task of a million rows counts as one of three: totals come when tasks begin."""
        few, many = {"current": 3, "total": 3}, {"current": 0, "total": 1_000_000}
        group = app.GroupResult("g", results(("PROGRESS", few), ("PROGRESS", many)))
        assert group_progress(group).percent == 50.0

    def test_total_of_zero(self, app, results):
        """Tasks with nothing to do divide by nothing."""
        nothing = ("PROGRESS", {"current": 0, "total": 0})
        assert group_progress(app.GroupResult("g", results(nothing, nothing))).percent == 0.0

    def test_complete_when_all_have_ended(self, app, results):
        """100 % is for the end."""
        tasks = results(("SUCCESS",), at(100))
        reading = group_progress(app.GroupResult("g", tasks))
        assert (reading.percent, reading.ended) == (99.99, False)
        app.backend.store_result("b", None, "SUCCESS")
        reading = group_progress(app.GroupResult("g", tasks))
        assert (reading.state, reading.percent, reading.succeeded) == ("SUCCESS", 100.0, True)

    def test_description(self, app, results):
        """Words are those of the first task that runs; at the end, of the last that had any."""
        said = [("PROGRESS", {"description": each}) for each in ("one", "two")]
        done = {"pending": False, "description": "zero"}
        group = app.GroupResult("g", results(("SUCCESS", done), *said))
        assert group_progress(group).description == "one"
        for each in "bc":
            app.backend.store_result(each, {**done, "description": f"{each} done"}, "SUCCESS")
        assert group_progress(group).description == "c done"

    def test_failed_task_goes_on(self, app, results):
        """A task that failed has ended, and the others go on; that is known at the end."""
        group = app.GroupResult("g", results(("FAILURE", ValueError("no")), at(50)))
        reading = group_progress(group)
        assert (reading.state, reading.percent, reading.ended) == ("PROGRESS", 75.0, False)
        assert reading.error == "ValueError: no"
        app.backend.store_result("b", None, "SUCCESS")
        assert group_progress(group) == Reading(
            "FAILURE", 100.0, 2, 2, ended=True, error="ValueError: no"
        )

    def test_failed_task_stops(self, app, results):
        """The first that failed can be the end, and does not fill the bar."""
        group = app.GroupResult("g", results(("FAILURE", ValueError("no")), at(50)))
        reading = group_progress(group, on_failure="stop")
        assert (reading.state, reading.percent) == ("FAILURE", 75.0)
        assert reading.failed
        app.backend.store_result("b", None, "SUCCESS")
        assert group_progress(group, on_failure="stop").percent == 99.99

    @pytest.mark.parametrize(
        ("records", "state"),
        [
            ([("ABORTED", {"pending": False}), ("SUCCESS",)], "ABORTED"),
            ([("ABORTED", {"pending": False}), ("REVOKED",)], "REVOKED"),
            ([("REVOKED",), ("FAILURE", OSError())], "FAILURE"),
            ([("IGNORED", "skipped"), ("SUCCESS",)], "IGNORED"),
            ([("SUCCESS",), ("SUCCESS",)], "SUCCESS"),
        ],
    )
    def test_state_of_the_end(self, app, results, records, state):
        """The worst end of a task is that of the canvas."""
        reading = group_progress(app.GroupResult("g", results(*records)))
        assert (reading.state, reading.percent, reading.ended) == (state, 100.0, True)
        assert reading.succeeded == (state == "SUCCESS")

    def test_broken_record(self, app, results):
        """A task whose record is broken has ended."""
        group = app.GroupResult("g", results(("FAILURE", {"why": "no"}), ("SUCCESS",)))
        assert group_progress(group).error == "FAILURE without an exception: {'why': 'no'}"

    def test_other_policy(self, app):
        """A policy that there is not is refused."""
        with pytest.raises(ValueError, match=r'"continue" or "stop", got on_failure=\'ignore\''):
            group_progress(app.GroupResult("g", []), on_failure="ignore")

    @pytest.mark.parametrize("value", [None, 3, b"id", {"a": 1}, [None], [[3]]])
    def test_no_canvas(self, value):
        """What is no result is refused."""
        with pytest.raises(TypeError, match=r"group_progress\(\) takes the result of a canvas"):
            group_progress(value)


class TestNeverFalls:
    def test_object_remembers(self, app, results):
        """A task that begins anew does not take the bar back: it is made up for."""
        group = app.GroupResult("g", results(at(80), at(40)))
        assert group_progress(group).percent == 60.0
        app.backend.store_result("a", OSError("gone"), "RETRY")
        assert group_progress(group).percent == 60.0
        app.backend.store_result("a", {"percent": 90}, "PROGRESS")
        assert group_progress(group).percent == 65.0

    def test_records_are_gone(self, app, results):
        """Records that expired do not take the bar back."""
        group = app.GroupResult("g", results(at(80), at(40)))
        group_progress(group)
        group.forget()
        assert group_progress(group).percent == 60.0

    def test_other_objects_do_not(self, app, results):
        """What one object remembers is not known to another of the same id."""
        tasks = results(at(80))
        group_progress(app.GroupResult("g", tasks))
        app.backend.store_result("a", {"percent": 10}, "PROGRESS")
        assert group_progress(app.GroupResult("g", tasks)).percent == 10.0

    def test_floor(self, app, results):
        """A front end that makes results anew says what it has shown."""
        tasks = results(at(10))
        assert group_progress(app.GroupResult("g", tasks), floor=60).percent == 60.0
        assert group_progress(["a"], floor=60, app=app).percent == 60.0
        assert group_progress(["a"], floor=5, app=app).percent == 10.0
        assert group_progress(["a"], floor=1000, app=app).percent == 100.0

    @pytest.mark.parametrize("floor", [-1, math.nan, math.inf, "50", True])
    def test_no_floor(self, app, floor):
        """A floor that is no percentage is refused."""
        with pytest.raises(ProgressValueError, match="floor must be"):
            group_progress(app.GroupResult("g", []), floor=floor)


class TestShapes:
    """Canvases of all shapes, by results that are made by hand."""

    def test_chain(self, app, results):
        """A chain is all that comes before its last task."""
        a, b, c = results(("SUCCESS",), at(50), None)
        b.parent, c.parent = a, b
        assert group_progress(c) == Reading("PROGRESS", 50.0, 1, 3)

    def test_chain_that_was_revoked(self, app, results):
        """What comes after a revoked task never runs: it has ended."""
        a, b, c = results(("REVOKED",), None, None)
        b.parent, c.parent = a, b
        reading = group_progress(c)
        assert (reading.state, reading.percent, reading.ended) == ("REVOKED", 100.0, True)
        assert (reading.current, reading.total) == (3, 3)

    def test_chain_with_an_unreadable_record(self, app, results):
        """Of what comes after a record that nobody can read, nobody knows whether it runs."""
        a, b = results(None, None)
        app.backend.set(app.backend.get_key_for_task("a"), b"{")
        b.parent = a
        assert not group_progress(b).ended

    def test_chord(self, app, results):
        """A chord is its header and its body."""
        a, b, c = results(("SUCCESS",), at(50), None)
        c.parent = app.GroupResult("header", [a, b])
        assert group_progress(c) == Reading("PROGRESS", 50.0, 1, 3)

    def test_chord_whose_header_was_revoked(self, app, results):
        """A body whose header did not end well never runs."""
        a, b, c = results(("SUCCESS",), ("REVOKED",), None)
        c.parent = app.GroupResult("header", [a, b])
        assert group_progress(c).ended

    def test_group_after_a_task(self, app, results):
        """Members come after what their group comes after."""
        a, b, c, d = results(("FAILURE", OSError()), None, None, None)
        d.parent = c
        assert group_progress(app.GroupResult("g", [b, d], parent=a)).ended
        assert group_progress(app.GroupResult("g", [b, d], parent=a)).total == 4

    def test_nested(self, app, results):
        """Groups in groups, and lists of results and ids, are all of their tasks, each once."""
        a, b, c, d = results(("SUCCESS",), None, at(50), None)
        inner = app.GroupResult("inner", [a, b])
        outer = app.GroupResult("outer", [inner, c])
        assert group_progress(outer).total == 3
        assert group_progress([outer, ResultSet([c, d], app=app), a, "b"], app=app).total == 4

    def test_order_of_what_is_given(self, app, results):
        """What comes before is looked at first, in whatever order it is given."""
        a, b, c = results(("REVOKED",), None, None)
        b.parent, c.parent = a, b
        for order in ([a, b, c], [c, b, a], [b, c, a], [a, c, b]):
            assert group_progress(order).ended

    def test_ids(self, app, results, monkeypatch):
        """Ids are of the app that is given, or the current one."""
        results(("SUCCESS",), at(50))
        assert group_progress(["a", "b"], app=app).percent == 75.0
        monkeypatch.setattr(thread_state, "current_app", app)
        assert group_progress(iter(["a", "b"])).percent == 75.0
        assert group_progress(["b"]).percent == 50.0
        with pytest.raises(TypeError, match=r"an id alone does not say of what .*: GroupResult"):
            group_progress("b")

    def test_long_chain(self, app):
        """A chain may be longer than Python's stack."""
        tasks = [app.AsyncResult(str(number)) for number in range(5000)]
        for before, after in pairwise(tasks):
            after.parent = before
        app.backend.store_result("0", None, "REVOKED")
        reading = group_progress(tasks[-1])
        assert (reading.current, reading.total) == (5000, 5000)

    def test_one_read_for_each_task(self, app, results):
        """A poll reads each record once."""
        group = app.GroupResult("g", results(at(1), at(2)))
        before = app.backend.reads.copy()
        group_progress(group)
        assert app.backend.reads - before == {"a": 1, "b": 1}


class TestOfTheEngine:
    """Canvases and tasks as Celery makes them."""

    @pytest.fixture
    def app(self):
        """An app that has a backend: without one there are no chords."""
        return IsolatedApp("reading", backend="taskprogress://", set_as_current=False)

    @pytest.fixture
    def tasks(self, app, engine):
        """Tasks that report, fail, and can be aborted."""

        @app.task(bind=True, base=AbortableTask, name="work")
        def work(self, *args, rows=2):
            observer = Observer(self)
            for _ in observer.track(range(rows), "Working"):
                pass
            return observer.success("Worked")[1]

        @app.task(base=ProgressTask, name="fail")
        def fail(*args):
            raise ValueError("no")

        @app.task(name="ignore")
        def ignore(*args):
            raise Ignore

        return app.tasks

    @pytest.fixture
    def followed(self, engine):
        """Readings of a canvas before its first task, and after each."""

        def followed(signature, read=group_progress):
            with engine.paused():
                result = signature.apply_async()
                readings = [read(result)]
                while engine.pending:
                    engine.step()
                    readings.append(read(result))
            return readings

        return followed

    @pytest.mark.parametrize("shape", ["group", "chain", "chord", "nested", "chained"])
    def test_shapes(self, tasks, followed, shape):
        """Every shape begins at 0, never falls, and ends at 100."""
        work = tasks["work"].si
        signature = {
            "group": lambda: group(work(), work(), work()),
            "chain": lambda: chain(work(), work(), work()),
            "chord": lambda: chord([work(), work()], work()),
            "nested": lambda: group(group(work(), work()), chain(work(), work())),
            "chained": lambda: chain(work(), group(work(), work()), work()),
        }[shape]()
        readings = followed(signature)
        percents = [each.percent for each in readings]
        assert percents[0] == 0.0
        assert percents[-1] == 100.0
        assert percents == sorted(percents)
        assert [each.ended for each in readings] == [False] * (len(readings) - 1) + [True]
        assert readings[-1].succeeded
        assert readings[-1].total == readings[-1].current >= 3

    @pytest.mark.parametrize("shape", ["group", "chain", "chord", "body"])
    def test_failures(self, tasks, followed, shape):
        """A canvas with a task that fails ends, and has failed."""
        work, fail = tasks["work"].si, tasks["fail"].si
        signature = {
            "group": lambda: group(work(), fail(), work()),
            "chain": lambda: chain(work(), fail(), work(), work()),
            "chord": lambda: chord([work(), fail()], work()),
            "body": lambda: chord([work(), work()], fail()),
        }[shape]()
        last = followed(signature)[-1]
        assert (last.state, last.percent, last.ended) == ("FAILURE", 100.0, True)
        assert last.error.startswith("ValueError: no")

    @pytest.mark.parametrize("shape", ["group", "chain", "chord"])
    def test_aborted(self, tasks, engine, shape):
        """A canvas that is aborted ends, and says so."""
        work = tasks["work"].si
        signature = {
            "group": lambda: group(work(), work()),
            "chain": lambda: chain(work(), work(), work()),
            "chord": lambda: chord([work(), work()], work()),
        }[shape]()
        with engine.paused():
            result = signature.apply_async()
            abort(result)
            engine.drain()
        reading = group_progress(result)
        assert (reading.ended, reading.percent) == (True, 100.0)
        assert reading.state in {"ABORTED", "FAILURE"}

    def test_revoked_chain(self, app, tasks, engine):
        """A chain whose first task is revoked ends."""
        with engine.paused():
            result = chain(tasks["work"].si(), tasks["work"].si()).apply_async()
            result.parent.revoke()
            engine.drain()
        assert group_progress(result).state == "REVOKED"

    def test_saved_group(self, app, tasks, engine):
        """A group that was saved and restored is read as well."""
        with engine.paused():
            result = group(tasks["work"].si(), tasks["work"].si()).apply_async()
            result.save()
            engine.drain()
        assert group_progress(GroupResult.restore(result.id, app=app)).succeeded

    def test_task_while_it_runs(self, tasks, engine):
        """A task is followed report by report; an abort leaves it where it was."""
        work = tasks["work"]
        seen = [
            read_progress(AsyncResult(step.uuid, app=engine.app))
            for step in engine.run_iter(work, rows=4)
        ]
        assert [each.percent for each in seen] == [25.0, 50.0, 75.0, 100.0, 100.0]
        assert [each.ended for each in seen] == [False] * 4 + [True]
        run = engine.under(Abort(at_report(2))).run(work, rows=4)
        reading = read_progress(work.AsyncResult(run.task_id))
        assert (reading.percent, reading.aborted) == (50.0, True)
