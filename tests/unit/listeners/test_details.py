"""What a listener is told of a write: a mapping of its own, made when it is asked for."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Mapping, MutableMapping
from types import SimpleNamespace

import pytest

from pytest_taskprogress import EagerEngine, Failure, Progress, Transition
from pytest_taskprogress.listeners import CaptureListener, Details, Listener

PLAIN = ["task_name", "task_uuid", "old_state", "meta", "progress", "transition"]
ENDED = ["task_name", "task_uuid", "old_state", "result", "meta", "progress", "transition"]
RETRIED = ["retry_name", "retry_uuid", *ENDED[2:]]


def fail(error):
    """Raise an exception."""
    raise error


def write(state, kind="task", meta=None, result=None, **more):
    """A write of the task `add`."""
    return Transition(0, kind, "add", "1", "PENDING", state, meta or {}, result, **more)


@pytest.fixture
def details():
    """Details of a success, with containers in them."""
    return Details(write("SUCCESS", meta={"rows": [1]}, result={"a": [2]}), "RUNNING")


class TestKeys:
    @pytest.mark.parametrize("state", ["STARTED", "RECEIVED", "PROGRESS", "UPLOADING", "PENDING"])
    def test_of_a_task(self, state):
        """A task that has not ended has no result."""
        details = Details(write(state), "RUNNING")
        assert list(details) == PLAIN
        assert "result" not in details
        with pytest.raises(KeyError, match="result"):
            details["result"]

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "ABORTED"])
    def test_of_an_end(self, state):
        """A task that has ended has a result, be it None."""
        assert list(Details(write(state), "RUNNING")) == ENDED

    def test_of_a_retry(self):
        """A retry has TaskFlow's keys of retries, none of those of tasks, and a result."""
        details = Details(write("RETRY", "retry"), "RUNNING")
        assert list(details) == RETRIED
        assert (details["retry_name"], details["retry_uuid"]) == ("add", "1")
        assert "task_name" not in details
        with pytest.raises(KeyError, match="task_name"):
            details["task_name"]

    def test_values(self):
        """Each key has its value; the old state is the one that listeners were told."""
        made = write("PROGRESS", meta={"current": 1, "total": 4, "elapsed": 2.0})
        assert dict(Details(made, "RUNNING")) == {
            "task_name": "add",
            "task_uuid": "1",
            "old_state": "RUNNING",
            "meta": {"current": 1, "total": 4, "elapsed": 2.0},
            "progress": Progress(1, 4, 2.0),
            "transition": made,
        }

    def test_as_a_listener_is_told(self, engine, app):
        """An engine tells its listeners these."""

        @app.task(bind=True)
        def flaky(self):
            self.update_state(state="PROGRESS", meta={})
            if not self.request.retries:
                raise self.retry(countdown=5)

        with CaptureListener(engine, flow_listen_for=()) as capture:
            engine.run(flaky)
        told = [(kind, state, list(details)) for kind, state, details in capture.values]
        assert told == [
            ("task", "RUNNING", PLAIN),
            ("task", "PROGRESS", PLAIN),
            ("retry", "RETRY", RETRIED),
            ("task", "RUNNING", PLAIN),
            ("task", "PROGRESS", PLAIN),
            ("task", "SUCCESS", ENDED),
        ]
        assert [details["old_state"] for _, _, details in capture.values] == [
            "PENDING",
            "RUNNING",
            "PROGRESS",
            "RETRY",
            "RUNNING",
            "PROGRESS",
        ]


class TestProgress:
    def test_of_a_report(self):
        """A report has the progress that its meta tells."""
        details = Details(write("PROGRESS", meta={"current": 1, "total": 3}), "RUNNING")
        assert details["progress"] == Progress(1, 3)
        assert details["progress"].percent == 33.33

    def test_of_a_state_of_the_users_own(self):
        """A state of the user's own is a report."""
        details = Details(write("UPLOADING", meta={"percent": 50}), "RUNNING")
        assert details["progress"].percent == 50.0

    @pytest.mark.parametrize(
        "meta",
        [{}, {"current": "half"}, {"current": None, "total": 3}, {"percent": True}, {"x": 1}],
        ids=repr,
    )
    def test_of_a_report_that_tells_none(self, meta):
        """A report whose meta tells no progress has none."""
        assert Details(write("PROGRESS", meta=meta), "RUNNING")["progress"] is None

    @pytest.mark.parametrize("state", ["SUCCESS", "STARTED", "FAILURE", "ABORTED"])
    def test_of_what_is_no_report(self, state):
        """What is no report has none, whatever its meta is."""
        details = Details(write(state, meta={"current": 1, "total": 3}), "RUNNING")
        assert details["progress"] is None

    def test_an_indeterminate_one(self):
        """A report without a total counts, and has no percentage."""
        details = Details(write("PROGRESS", meta={"current": 5, "total": None}), "RUNNING")
        assert details["progress"] == Progress(5, None)


class TestResult:
    def test_of_a_success(self, details):
        """Of a success: what the task returned, as the wire carries it."""
        assert details["result"] == {"a": [2]}

    @pytest.mark.parametrize(("kind", "state"), [("task", "FAILURE"), ("retry", "RETRY")])
    def test_of_a_failure(self, kind, state):
        """Of a failure and of a retry: a Failure, with the exception that is at hand."""
        stored = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}
        made = write(state, kind, meta=stored, traceback="Traceback ...")
        raised = ValueError("bad")
        failure = Details(made, "RUNNING", raised)["result"]
        assert isinstance(failure, Failure)
        assert failure.exception is raised
        assert failure.traceback_str == "Traceback ..."
        assert str(failure) == "Failure: ValueError: bad"

    def test_of_a_failure_elsewhere(self):
        """Where the exception is not at hand: what was stored of it."""
        stored = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}
        failure = Details(write("FAILURE", meta=stored), "RUNNING")["result"]
        assert (failure.exception, failure.exc_info) == (None, None)
        assert str(failure) == "Failure: ValueError: bad"

    def test_what_is_being_handled(self):
        """What is written in an except block is about the exception of that block."""
        stored = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}
        try:
            fail(ValueError("bad"))
        except ValueError as error:
            caught = error
            details = Details.of_write(write("FAILURE", meta=stored), "RUNNING")
            success = Details.of_write(write("SUCCESS", result=1), "RUNNING")
        assert details["result"].exception is caught
        assert success["result"] == 1

    def test_what_was_handled_then(self):
        """A failure is made when it is asked for, of what there was when it was told."""
        stored = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}
        try:
            fail(ValueError("bad"))
        except ValueError:
            kept = Details.of_write(write("FAILURE", meta=stored), "RUNNING")
            told = sys.exc_info()[1]
        try:
            fail(ValueError("bad"))
        except ValueError:
            assert kept["result"].exception is told
            assert kept.copy()["result"].exception is told

    def test_of_tasks(self, engine, app):
        """What a task raised is told with the line that raised it, and what it came of."""

        @app.task
        def fails():
            try:
                fail(ZeroDivisionError())
            except ZeroDivisionError as error:
                raise ValueError("bad") from error

        with CaptureListener(engine, ["FAILURE"], ()) as capture:
            engine.run(fails)
        ((_, _, details),) = capture.values
        failure = details["result"]
        kind, raised, traceback = failure.exc_info
        assert (kind, str(raised)) == (ValueError, "bad")
        assert isinstance(raised.__cause__, ZeroDivisionError)
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        assert traceback.tb_frame.f_code.co_name == "fails"
        assert "in fails" in failure.traceback_str
        assert failure.exc_type_names == ("ValueError", "Exception", "BaseException")

    def test_of_a_retry_for_a_reason(self, engine, app):
        """A retry's Failure is the reason, with its traceback."""

        @app.task(bind=True)
        def again(self):
            if not self.request.retries:
                try:
                    fail(OSError("net"))
                except OSError as error:
                    raise self.retry(exc=error) from error

        with CaptureListener(engine, (), (), ["RETRY"]) as capture:
            engine.run(again)
        ((_, _, details),) = capture.values
        failure = details["result"]
        assert str(failure) == "Failure: OSError: net"
        assert isinstance(failure.exception, OSError)
        assert failure.exc_info[2] is not None
        assert failure.check(OSError) is OSError

    def test_of_a_retry_without_a_reason(self, engine, app):
        """A retry without a reason is about the retry itself."""

        @app.task(bind=True)
        def again(self):
            if not self.request.retries:
                raise self.retry(countdown=5)

        with CaptureListener(engine, (), (), ["RETRY"]) as capture:
            engine.run(again)
        ((_, _, details),) = capture.values
        assert "None" not in str(details["result"])
        assert "Retry" in str(details["result"])

    def test_another_exception_of_that_type(self, engine, app):
        """What is stored while another exception is handled is not about that one."""

        @app.task(bind=True)
        def stores(self):
            try:
                fail(ValueError("inner"))
            except ValueError:
                meta = {
                    "exc_type": "ValueError",
                    "exc_message": ["outer"],
                    "exc_module": "builtins",
                }
                self.update_state(state="FAILURE", meta=meta)

        with CaptureListener(engine, ["FAILURE"], ()) as capture, pytest.warns():
            engine.run(stores)
        ((_, _, details),) = capture.values
        assert str(details["result"]) == "Failure: ValueError: outer"


class TestBeingAMapping:
    def test_kind(self, details):
        """It is a mapping that can be changed."""
        assert isinstance(details, MutableMapping)
        assert isinstance(details, Mapping)

    def test_equality(self, details):
        """It equals a dict of the same items, and other details of the same write."""
        assert details == dict(details)
        assert dict(details) == details
        assert details == Details(details.told, "RUNNING")
        assert details != Details(details.told, "STARTED")
        assert details != 3

    def test_reading(self, details):
        """Reading is as of a dict."""
        assert len(details) == len(list(details)) == 7
        assert "task_name" in details
        assert "nothing" not in details
        assert 3 not in details
        assert details.get("nothing") is None
        assert details.get("nothing", 3) == 3
        assert details.get("task_name") == "add"
        assert list(details.keys()) == ENDED
        assert ("task_uuid", "1") in details.items()
        assert "add" in details.values()
        assert "%(task_name)s" % details == "add"  # noqa: UP031 - as logging does
        assert "{task_name}".format(**details) == "add"
        assert repr(details).startswith("Details({'task_name': 'add', ")
        with pytest.raises(KeyError, match=r"^'nothing'$"):
            details["nothing"]

    def test_setting(self, details):
        """What is set is there, after what was there before."""
        details["mine"] = 1
        details["task_name"] = "other"
        assert list(details) == [*ENDED, "mine"]
        assert (details["mine"], details["task_name"], details["task_uuid"]) == (1, "other", "1")
        assert len(details) == 8

    def test_deleting(self, details):
        """What is deleted is gone, once."""
        del details["result"]
        assert "result" not in details
        assert len(details) == 6
        for gone in ("result", "nothing"):
            with pytest.raises(KeyError, match=gone):
                del details[gone]
            with pytest.raises(KeyError, match=gone):
                details[gone]
        assert details["task_name"] == "add"

    def test_all_the_other_ways(self, details):
        """pop, popitem, setdefault, update and clear are those of a dict."""
        assert details.pop("task_name") == "add"
        assert details.pop("task_name", 3) == 3
        assert details.setdefault("task_uuid", "2") == "1"
        assert details.setdefault("new", 2) == 2
        details.update(old_state="X", more=1)
        assert (details["old_state"], details["more"]) == ("X", 1)
        key, _ = details.popitem()
        assert key not in details
        details.clear()
        assert (len(details), list(details), dict(details), details == {}) == (0, [], {}, True)
        assert not details
        with pytest.raises(KeyError):
            details.popitem()
        with pytest.raises(KeyError):
            details["meta"]
        details["back"] = 1
        assert dict(details) == {"back": 1}

    def test_deleting_all_one_by_one(self, details):
        """What is empty stays so."""
        for key in list(details):
            del details[key]
        assert dict(details) == {}
        with pytest.raises(KeyError):
            del details["meta"]

    def test_as_a_keyword(self, details):
        """It unpacks."""
        assert {**details} == dict(details)

    def test_unhashable(self, details):
        """It is no key, as a dict is none."""
        with pytest.raises(TypeError, match="unhashable"):
            hash(details)

    def test_merging(self, details):
        """It merges with `|`, as a dict does."""
        assert (details | {"mine": 1}) == {**details, "mine": 1}

    @pytest.mark.parametrize(
        "how",
        [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))],  # noqa: S301
    )
    def test_copying_it_otherwise(self, details, how):
        """It can be copied and pickled; the copy goes its own way."""
        details["result"]["a"]
        other = how(details)
        other["mine"] = 1
        del other["task_name"]
        assert "mine" not in details
        assert details["task_name"] == "add"
        assert other["result"] == {"a": [2]}

    def test_what_is_plain_can_be_dumped(self, details):
        """A listener may take what it wants out of it."""
        plain = {key: details[key] for key in ("task_name", "result", "meta")}
        assert json.loads(json.dumps(plain)) == plain


class TestCopies:
    def test_have_the_same(self, details):
        """A copy has the same items."""
        assert details.copy() == details
        assert type(details.copy()) is Details

    def test_go_their_own_way(self, details):
        """What is done to a copy, or to a value of it, the other does not see."""
        other = details.copy()
        other["mine"] = 1
        other["result"]["a"].append(9)
        other["meta"].clear()
        other["transition"].meta["new"] = 1
        assert details == Details(details.told, "RUNNING")
        assert details["result"] == {"a": [2]}

    def test_have_what_was_changed(self, details):
        """A copy is of what it is now."""
        details["mine"] = 1
        del details["task_name"]
        other = details.copy()
        assert other["mine"] == 1
        assert "task_name" not in other

    def test_are_not_of_what_was_made_before(self, details):
        """Values that were made before they are copied are not shared."""
        details["result"]["a"].append(3)
        other = details.copy()
        other["result"]["a"].append(4)
        assert 4 not in details["result"]["a"]


class TestLaziness:
    @pytest.fixture
    def made(self, monkeypatch):
        """The keys whose values were made."""
        made = []

        def counting(name, make):
            def counted(details):
                made.append(name)
                return make(details)

            return counted

        making = {name: counting(name, make) for name, make in Details._MADE.items()}
        monkeypatch.setattr(Details, "_MADE", making)
        return made

    def test_nothing_is_made_before(self, details, made):
        """Looking at the keys makes no values."""
        assert "result" in details
        assert len(details) == 7
        list(details)
        details.copy()
        assert made == []

    def test_made_once(self, details, made):
        """A value is made once, and is the same then."""
        assert details["result"] is details["result"]
        assert details["transition"] is details["transition"]
        assert made == ["result", "transition"]

    def test_changed_in_place(self, details, made):
        """What a listener does to a value it finds there later."""
        details["meta"]["rows"].append(2)
        assert details["meta"] == {"rows": [1, 2]}
        details["mine"] = 1
        assert details["meta"] == {"rows": [1, 2]}


class TestIsolation:
    """What a listener does to its details nobody else sees: listeners, the history, the run."""

    @pytest.fixture
    def vandal(self):
        """A listener that changes all that it is told, and another one that tells what it sees."""

        class Vandal(Listener):
            def __init__(self, engine):
                super().__init__(engine)
                self.seen = []

            def _task_receiver(self, state, details):
                self.seen.append(copy.deepcopy(dict(details)))
                details["meta"].get("rows", []).append("changed")
                details["meta"]["changed"] = True
                if details["transition"] is not None:
                    details["transition"].meta["changed"] = True
                    if isinstance(details["transition"].result, dict):
                        details["transition"].result["changed"] = True
                if isinstance(details.get("result"), dict):
                    details["result"]["rows"].append("changed")
                details["task_name"] = "changed"
                for key in list(details):
                    del details[key]
                details["task_uuid"] = "changed"

        return Vandal

    @pytest.fixture
    def told(self, engine, app, vandal):
        """What three vandals saw, and the run."""

        @app.task(bind=True, name="export")
        def export(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2, "rows": [1]})
            return {"rows": [1]}

        with vandal(engine) as one, vandal(engine) as two, vandal(engine) as three:
            run = engine.run(export)
        return SimpleNamespace(listeners=[one, two, three], run=run)

    def test_of_others(self, told):
        """All of them see the same."""
        one, two, three = (each.seen for each in told.listeners)
        assert [each["old_state"] for each in one] == ["PENDING", "RUNNING", "PROGRESS"]
        assert one == two == three
        assert "changed" not in str(one)

    def test_of_the_history(self, told, engine):
        """The engine's history is as it was written."""
        assert engine.history[0].meta == {"current": 1, "total": 2, "rows": [1]}
        assert engine.history[1].result == {"rows": [1]}
        assert told.run.progress[0].meta == {"current": 1, "total": 2, "rows": [1]}
        assert told.run.result == {"rows": [1]}

    def test_of_the_storage(self, told, engine):
        """So is what the storage knows."""
        assert engine.storage.get_execute_result("export") == {"rows": [1]}
        engine.storage.get_execute_result("export")["rows"].append(2)
        assert engine.storage.get_execute_result("export") == {"rows": [1]}

    def test_of_the_backend(self, told, engine, app):
        """So is what a client reads."""
        assert app.AsyncResult(told.run.task_id).get() == {"rows": [1]}

    def test_of_objects_that_a_pickle_made(self, app):
        """With a serialiser of objects, a listener changes no result that others have."""
        app.conf.update(
            task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"]
        )

        @app.task
        def makes():
            return SimpleNamespace(rows=[1])

        seen = []

        class Vandal(Listener):
            def _task_receiver(self, state, details):
                if "result" in details:
                    seen.append(list(details["result"].rows))
                    details["result"].rows.append("changed")

        with EagerEngine(app) as engine, Vandal(engine), Vandal(engine):
            run = engine.run(makes)
        assert seen == [[1], [1]]
        assert run.result.rows == [1]

    def test_of_a_flow(self, engine, app):
        """The details of flows are each listener's own too."""

        @app.task
        def empty():
            """Do nothing."""

        seen = []

        class Vandal(Listener):
            def _flow_receiver(self, state, details):
                seen.append((state, details["flow_name"], dict(details["transition"].meta)))
                details["transition"].meta["changed"] = True
                details["flow_name"] = "changed"
                details["meta"]["changed"] = True

        with Vandal(engine), Vandal(engine):
            engine.run(empty)
        assert [seen[0], seen[2]] == [seen[1], seen[3]]
        assert "changed" not in str(seen)
