"""The fake result backend: what it stores, drops, refuses, counts, tells and forgets."""

from __future__ import annotations

import _thread
import importlib.util
import inspect
import pickle
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID, uuid4

import celery
import pytest
from celery import Celery, chord, group
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult
from celery.worker import state as worker_state
from celery.worker.request import Request
from kombu.exceptions import ContentDisallowed, DecodeError, EncodeError
from kombu.message import Message

from pytest_taskprogress import Clock, FakeBackend, TaskProgressError, Transition, VirtualClock
from pytest_taskprogress.core.transitions import Source
from pytest_taskprogress.engines.refusals import NotSerializable, refused_arguments

CELERY: Final = tuple(int(part) for part in celery.__version__.split(".")[:2])
NO_EXC_TYPE: Final = "^Exception information must include the exception type$"
PATIENCE: Final = 30.0  # seconds until a thread that should have ended has failed the test

since_5_7 = pytest.mark.skipif(CELERY < (5, 7), reason="not there: pip install 'celery>=5.7'")


def make_app(url: str | None = None, **conf: object) -> Celery:
    """An app of its own, at whose broker nobody is."""
    app = Celery("backend-tests", set_as_current=False, broker="memory://", backend=url)
    app.conf.update(**conf)
    return app


def fake(
    clock: Clock | None = None,
    expires: float | timedelta | None = None,
    **conf: object,
) -> FakeBackend:
    """A fake backend by itself."""
    return FakeBackend(make_app(**conf), clock=clock, expires=expires)


def by_url(**conf: object) -> FakeBackend:
    """The fake backend of an app that has no other."""
    backend = make_app("taskprogress://", **conf).backend
    assert isinstance(backend, FakeBackend)
    return backend


def real(**conf: object) -> Any:
    """Celery's own backend in memory; its store is one for the process."""
    return make_app("cache+memory://", **conf).backend


def listened(backend: FakeBackend) -> list[Transition]:
    """What the backend tells from now on."""
    told: list[Transition] = []
    backend.subscribe(told.append)
    return told


def in_threads(*calls: Callable[[], object]) -> None:
    """Run calls in threads of their own at the same time; the first error fails the test."""
    ready = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            ready.wait(PATIENCE)
            call()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


# -- states ----------------------------------------------------------------------------------------

LATER: Final = [
    ({"n": 2}, "PROGRESS"),
    ({"n": [2]}, "PROGRESS"),
    (2, "SUCCESS"),
    ([2], "SUCCESS"),
    (None, "PENDING"),
    (None, "ABORTED"),
    (ValueError("late"), "FAILURE"),
    (ValueError("late"), "RETRY"),
    (ValueError("late"), "REVOKED"),
]


@pytest.mark.parametrize("first", ["plain", ["nested"]])
@pytest.mark.parametrize(("value", "state"), LATER)
def test_first_success_is_final(first: object, value: object, state: str) -> None:
    """No write after SUCCESS is stored, whatever it carries."""
    backend = fake()
    backend.store_result("a", first, "SUCCESS")
    backend.store_result("a", value, state)
    assert backend.peek("a")["status"] == "SUCCESS"
    assert backend.peek("a")["result"] == first


@pytest.mark.parametrize("first", ["PROGRESS", "ABORTED", "FAILURE", "RETRY", "REVOKED"])
@pytest.mark.parametrize(("value", "state"), LATER)
def test_every_other_state_is_replaced(first: str, value: object, state: str) -> None:
    """A write over any state but SUCCESS is stored, over FAILURE and REVOKED too."""
    backend = fake()
    backend.store_result("a", ValueError("x") if first in backend.EXCEPTION_STATES else {}, first)
    backend.store_result("a", value, state)
    meta = backend.peek("a")
    assert meta["status"] == state
    if isinstance(value, Exception):
        assert (type(meta["result"]), meta["result"].args) == (ValueError, ("late",))
    else:
        assert meta["result"] == value


@pytest.mark.parametrize(("value", "state"), LATER)
@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("after", ["nothing", "PROGRESS", "SUCCESS", "FAILURE"])
def test_store_result_returns_what_celery_returns(
    value: object, state: str, serializer: str, after: str
) -> None:
    """`store_result` returns the value as it was prepared for storage, as every backend does."""
    conf = {"result_serializer": serializer, "accept_content": ["json", "pickle"]}
    returned = []
    for backend in (fake(**conf), real(**conf)):
        task_id = uuid4().hex
        if after != "nothing":
            backend.store_result(task_id, KeyError() if after == "FAILURE" else 1, after)
        returned.append(backend.store_result(task_id, value, state))
    assert repr(returned[0]) == repr(returned[1])


def test_unknown_id_is_pending() -> None:
    """A client sees PENDING for an id that nobody wrote."""
    backend = fake()
    expected = {"status": "PENDING", "result": None}
    assert backend.get_task_meta("a") == backend.peek("a") == expected
    assert AsyncResult("a", app=backend.app, backend=backend).state == "PENDING"


@pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
def test_failure_without_exc_type_is_stored_and_breaks(state: str) -> None:
    """Every later read and write raises Celery's ValueError, until the record is forgotten."""
    backend = fake()
    told = listened(backend)
    backend.store_result("a", {"why": "because"}, state)
    assert (told[0].stored, told[0].state, told[0].meta) == (True, state, {"why": "because"})
    assert told[0].source is not None
    for call in (
        lambda: backend.peek("a"),
        lambda: backend.get_state("a"),
        lambda: backend.get_result("a"),
        lambda: AsyncResult("a", app=backend.app, backend=backend).get(timeout=5),
        lambda: dict(backend.get_many(["a"], timeout=5)),
        lambda: backend.store_result("a", {"n": 1}, "PROGRESS"),
        lambda: backend.store_result("a", {"n": [1]}, "PROGRESS"),
        lambda: backend.store_result("a", 1, "SUCCESS"),
        lambda: backend.store_result("a", ValueError("x"), "FAILURE"),
    ):
        with pytest.raises(ValueError, match=NO_EXC_TYPE):
            call()
    backend.forget("a")
    backend.store_result("a", 1, "SUCCESS")
    assert backend.get_state("a") == "SUCCESS"


def test_failure_told_by_its_parts_is_that_exception() -> None:
    """With exc_type, exc_message and exc_module it reads back as that exception."""
    backend = fake()
    meta = {"exc_type": "OSError", "exc_message": ["disk"], "exc_module": "builtins", "why": 1}
    backend.store_result("a", meta, "FAILURE")
    error = backend.get_result("a")
    assert (type(error), error.args) == (OSError, ("disk",))


@pytest.mark.parametrize("task_id", ["", None])
@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
def test_write_needs_a_task_id(task_id: Any, value: object) -> None:
    """Celery's own ValueError, and nothing is told or counted."""
    backend = fake()
    told = listened(backend)
    with pytest.raises(ValueError, match=f"^task_id must not be empty. Got {task_id} instead.$"):
        backend.store_result(task_id, value, "PROGRESS")
    assert (told, backend.writes, backend.reads) == ([], {}, {})


@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
def test_id_in_bytes_is_the_id(value: object) -> None:
    """Bytes name the record that their text names, in what is stored, told and counted."""
    backend = fake()
    told = listened(backend)
    backend.store_result(b"a", value, "PROGRESS")
    assert backend.peek("a")["task_id"] == "a"
    assert told[0].uuid == "a"
    assert (dict(backend.writes), dict(backend.reads)) == ({"a": 1}, {"a": 1})


@since_5_7
def test_uuid_is_counted_by_its_text() -> None:
    """An id may be a UUID; it counts as its text, whatever the value is."""
    backend = fake()
    task_id: Any = UUID(int=7)
    backend.store_result(task_id, {"n": 1}, "PROGRESS")
    backend.store_result(task_id, {"n": [1]}, "PROGRESS")
    assert (dict(backend.writes), dict(backend.reads)) == ({str(task_id): 2}, {str(task_id): 2})


# -- the record ------------------------------------------------------------------------------------


def without_time(meta: dict[str, Any]) -> dict[str, Any]:
    """A record; of the time, only whether there is one."""
    return {**meta, "date_done": meta["date_done"] is not None}


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("with_request", [False, True])
@pytest.mark.parametrize(("value", "state"), [each for each in LATER if each[1] not in "FAILURE"])
def test_record_is_the_one_of_a_real_backend(
    value: object, state: str, *, with_request: bool, extended: bool
) -> None:
    """Group, parent, children, arguments: every field that Celery stores, and no other."""
    records = []
    task_id = uuid4().hex
    for backend in (fake(result_extended=extended), real(result_extended=extended)):
        request = None
        if with_request:
            request = Context(
                {
                    "id": task_id,
                    "task": "the.task",
                    "args": [1],
                    "kwargs": {"a": 2},
                    "group": "g",
                    "parent_id": "p",
                    "retries": 3,
                    "hostname": "here",
                    "delivery_info": {"routing_key": "q"},
                }
            )
            request.children.append(AsyncResult("child", app=backend.app, backend=backend))
        backend.store_result(task_id, value, state, traceback="tb", request=request)
        records.append(repr(without_time(backend.get_task_meta(task_id))))
    assert records[0] == records[1]


def test_children_are_those_of_the_write() -> None:
    """What a task calls after a report is not among the report's children, but the next one's."""
    backend = fake()
    request = Context({"id": "a"})
    told_children = []
    for child in ("b", "c"):
        backend.store_result("a", {"n": 1}, "PROGRESS", request=request)
        request.children.append(AsyncResult(child, app=backend.app, backend=backend))
        told_children.append(backend.get_children("a"))
    backend.store_result("a", 1, "SUCCESS", request=request)
    request.children.append(AsyncResult("d", app=backend.app, backend=backend))
    assert told_children == [[], [[["b", None], None]]]
    assert backend.get_children("a") == [[["b", None], None], [["c", None], None]]


def test_task_that_writes_another_record_leaves_its_children_there() -> None:
    """Without a request, Celery takes the children of the task that runs."""
    records = []
    for backend in (fake(), real()):
        app = backend.app
        task_id = uuid4().hex

        def write(self: Any, backend: Any = backend, task_id: str = task_id) -> None:
            self.request.children.append(AsyncResult("b", app=self.app, backend=backend))
            backend.store_result(task_id, {"n": 1}, "PROGRESS")

        app.task(write, bind=True, name="tests.write", shared=False).apply(throw=True)
        records.append(backend.get_children(task_id))
    assert records[0] == records[1] == [[["b", None], None]]


def test_time_of_the_end_is_that_of_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """`date_done` is when the task ended, by the app's clock, and not when somebody looks."""
    backend = fake()
    now = [datetime(2020, 1, 1, tzinfo=timezone.utc)]
    monkeypatch.setattr(backend.app, "now", lambda: now[0])
    backend.store_result("a", {"n": 1}, "SUCCESS")
    backend.store_result("b", {"n": 1}, "PROGRESS")
    now[0] += timedelta(days=1)
    assert backend.peek("a")["date_done"] == "2020-01-01T00:00:00+00:00"
    assert backend.peek("b")["date_done"] is None


SERIALIZERS: Final = ["json", "pickle", "yaml", "msgpack"]
VALUES: Final = [
    None,
    True,
    2**40,
    -0.5,
    "ä€😀",
    {},
    {"n": 1, "text": "x", "none": None, "yes": True, "part": 0.5},
    {"deep": [{"a": [None, "b"]}, 1.5]},
    {"t": (1, (2,))},
    [],
    [[1], {"a": "b"}],
]


def needs(serializer: str) -> None:
    """Skip what this machine has no serialiser for."""
    module = {"yaml": "yaml", "msgpack": "msgpack"}.get(serializer)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{serializer} is not installed: pip install 'celery[{serializer}]'")


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
def test_every_serialiser_as_on_a_real_backend(serializer: str, value: object, state: str) -> None:
    """What is read, and what is told, is what the serialiser makes of the value."""
    needs(serializer)
    conf = {"result_serializer": serializer, "accept_content": ["json", serializer]}
    expected, backend = real(**conf), fake(**conf)
    told = listened(backend)
    task_id = uuid4().hex
    for each in (expected, backend):
        each.store_result(task_id, value, state)
    wire = expected.get_result(task_id)
    assert repr(backend.get_result(task_id)) == repr(wire)
    assert repr(told[0].meta) == repr(wire if isinstance(wire, dict) else {})
    assert repr(told[0].result) == repr(wire if state == "SUCCESS" else None)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_exception_through_every_serialiser(serializer: str) -> None:
    """An exception comes back as itself."""
    needs(serializer)
    backend = fake(result_serializer=serializer, accept_content=["json", serializer])
    backend.store_result("a", KeyError("x", 1), "FAILURE", traceback="here")
    error = backend.get_result("a")
    assert (type(error), error.args) == (KeyError, ("x", 1))
    assert backend.get_traceback("a") == "here"


@since_5_7
@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("value", [{"text": "a" * 9000}, {"list": ["a" * 9000]}])
def test_compression(serializer: str, value: object) -> None:
    """With result_compression the payload is compressed, also of a plain report, and reads back."""
    backend = fake(
        result_compression="zlib",
        result_serializer=serializer,
        accept_content=["json", "pickle"],
    )
    backend.store_result("a", value, "PROGRESS")
    payload = backend.get(backend.get_key_for_task("a"))
    assert len(zlib.decompress(payload.rpartition(b"\0application/x-gzip\0")[2])) > 9000
    assert backend.get_result("a") == value


@since_5_7
def test_unknown_compression_is_refused() -> None:
    """A compression that Kombu does not know is Celery's own configuration error."""
    with pytest.raises(ImproperlyConfigured, match="Unknown compression method 'nope'"):
        fake(result_compression="nope")


class CannotBeMadeAgain:
    """Pickle takes it, and does not give it back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


@pytest.mark.parametrize("later", [{"n": 1}, {"n": [1]}])
def test_value_that_cannot_be_read_back_is_stored(later: object) -> None:
    """The write that stores it succeeds; each later read and write raises, as on a real backend."""
    conf = {"result_serializer": "pickle", "accept_content": ["pickle"]}
    for backend in (real(**conf), fake(**conf)):
        task_id = uuid4().hex
        told = listened(backend) if isinstance(backend, FakeBackend) else []
        backend.store_result(task_id, {"a": CannotBeMadeAgain()}, "PROGRESS")
        with pytest.raises(DecodeError, match="invalid literal"):
            backend.get_state(task_id)
        with pytest.raises(DecodeError, match="invalid literal"):
            backend.store_result(task_id, later, "PROGRESS")
    assert [each.stored for each in told] == [True]


@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
def test_serialiser_that_the_app_does_not_accept(value: object) -> None:
    """The first write is taken; each later read and write raises, as on a real backend."""
    for backend in (real(result_serializer="pickle"), fake(result_serializer="pickle")):
        task_id = uuid4().hex
        backend.store_result(task_id, value, "PROGRESS")
        with pytest.raises(ContentDisallowed):
            backend.get_state(task_id)
        with pytest.raises(ContentDisallowed):
            backend.store_result(task_id, value, "PROGRESS")


# -- refusals --------------------------------------------------------------------------------------


class Opaque:
    """No serialiser but pickle knows it."""

    def __repr__(self) -> str:
        return "<opaque>"


REFUSED: Final = [
    ({"user": {"tags": [1, Opaque()]}}, "['user']['tags'][1] = <opaque> of type Opaque"),
    ({"a": 1, "b": (Opaque(),)}, "['b'][0] = <opaque> of type Opaque"),
    ([Opaque()], "[0] = <opaque> of type Opaque"),
    (Opaque(), " = <opaque> of type Opaque"),
    ({"set": {1}}, None),
]


@pytest.mark.parametrize("subscribed", [True, False])
@pytest.mark.parametrize(("value", "path"), REFUSED[:4])
def test_refusal_says_what_and_where(value: object, path: str, *, subscribed: bool) -> None:
    """The message has the state, the path to the part, its type, the line, and what to do."""
    backend = fake()
    told = listened(backend) if subscribed else []
    with pytest.raises(NotSerializable) as caught:
        backend.store_result("a", value, "PROGRESS")
    line = caught.traceback[0].lineno + 1
    message = str(caught.value)
    assert message.startswith(f"PROGRESS (reported at {__file__}:{line}): ")
    assert f"the result serialiser 'json' cannot encode meta{path}." in message
    assert "result_serializer" in message
    assert "It said: Object of type Opaque is not JSON serializable" in message
    assert (told, backend.peek("a")["status"]) == ([], "PENDING")


def test_refusal_is_what_celery_raises_too() -> None:
    """It is Kombu's EncodeError, with the original as its cause, and of this package's tree."""
    backend = fake()
    with pytest.raises(EncodeError) as caught:
        backend.store_result("a", Opaque(), "SUCCESS")
    assert isinstance(caught.value, TaskProgressError)
    assert isinstance(caught.value.__cause__, EncodeError)


def test_refusal_of_a_result_that_the_worker_stores() -> None:
    """What a task returns is the worker's write: it is called a result, and no line is named."""
    backend = by_url(task_store_eager_result=True)
    listened(backend)

    def opaque() -> dict[str, Any]:
        return {"a": Opaque()}

    task = backend.app.task(opaque, name="tests.opaque", shared=False)
    with pytest.raises(NotSerializable) as caught:
        task.apply(throw=True)
    message = str(caught.value)
    assert message.startswith("SUCCESS: the result serialiser 'json' cannot encode result['a'] = ")


def test_refused_write_leaves_the_record_as_it_was() -> None:
    """Nothing of a refused write is stored, and the next write is as if it had not been."""
    backend = fake()
    backend.store_result("a", {"n": 1}, "STARTED")
    with pytest.raises(NotSerializable):
        backend.store_result("a", {"n": Opaque()}, "PROGRESS")
    assert (backend.peek("a")["status"], backend.get_result("a")) == ("STARTED", {"n": 1})
    told = listened(backend)
    backend.store_result("a", {"n": 2}, "PROGRESS")
    assert told[0].old_state == "STARTED"


def test_key_that_json_cannot_have_is_named_once() -> None:
    """A key that no JSON object can have is what the path ends with."""
    backend = fake()
    with pytest.raises(NotSerializable) as caught:
        backend.store_result("a", {"deep": {(1, 2): 3}}, "PROGRESS")
    assert str(caught.value).count("(1, 2)") <= 2  # the key in the path, and the part


def test_refusal_of_the_arguments_does_not_blame_the_meta() -> None:
    """With result_extended, the record has the arguments: what is refused there is named so."""
    backend = fake(result_extended=True)
    request = Context({"id": "a", "task": "t", "args": [Opaque()], "kwargs": {}})
    with pytest.raises(NotSerializable) as caught:
        backend.store_result("a", {"n": 1}, "PROGRESS", request=request)
    assert re.search(r"\bargs\b.*\[0\] = <opaque> of type Opaque", str(caught.value))


class Shy:
    """Refused by JSON, and does not even say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_refusal_of_what_has_no_repr() -> None:
    """A part whose repr raises is refused as any other; its type is named."""
    backend = fake()
    with pytest.raises(NotSerializable, match=r"\['a'\].*Shy") as caught:
        backend.store_result("a", {"a": Shy()}, "PROGRESS")
    assert isinstance(caught.value, EncodeError)


@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
@pytest.mark.parametrize("value", [10**5000, {"n": -(10**5000)}], ids=["alone", "in a meta"])
def test_number_too_long_for_json_is_refused_at_the_write(value: object, state: str) -> None:
    """An integer that Python does not turn into text is refused at the write, not at a read."""
    backend = fake()
    with pytest.raises(EncodeError, match="Exceeds the limit"):
        backend.store_result("a", value, state)
    assert backend.peek("a")["status"] == "PENDING"


@pytest.mark.parametrize(("value", "path"), REFUSED)
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
def test_dropped_write_is_not_refused(value: object, path: str | None, state: str) -> None:
    """After SUCCESS nobody looks at the value: told as dropped, with what can be told of it."""
    backend = fake()
    backend.store_result("a", "first", "SUCCESS")
    told = listened(backend)
    backend.store_result("a", value, state)
    assert [each.stored for each in told] == [False]
    if path is not None:
        assert (told[0].meta, told[0].result) == ({}, None)
    assert backend.get_result("a") == "first"


def encode(value: object) -> object:
    """As the default serialiser does."""
    return fake().encode(value)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "expected"),
    [
        ("t", [1, {"a": Opaque()}], {}, "t: the serialiser 'json' cannot encode args[1]['a'] = "),
        ("t", [1], {"k": [Opaque()]}, "t: the serialiser 'json' cannot encode kwargs['k'][0] = "),
        (None, [Opaque()], {}, "the task: the serialiser 'json' cannot encode args[0] = "),
    ],
)
def test_refused_arguments_say_which(
    name: str | None, args: object, kwargs: object, expected: str
) -> None:
    """The message has the task, the path to the argument, its type, and what to do."""
    parts = {"args": args, "kwargs": kwargs}
    error = refused_arguments(
        name, parts, serializer="json", encode=encode, reason=ValueError("why")
    )
    message = str(error)
    assert message.startswith(f"{expected}<opaque> of type Opaque.")
    assert "an id instead of an object" in message
    assert message.endswith("It said: why")


# -- telling ---------------------------------------------------------------------------------------


def test_every_write_is_told_with_its_old_state() -> None:
    """Stored or not, in order, each with the state that it found."""
    backend = fake()
    told = listened(backend)
    for value, state in (
        ({}, "STARTED"),
        ({"n": 1}, "PROGRESS"),
        (ValueError("x"), "RETRY"),
        ({"n": [2]}, "PROGRESS"),
        (ValueError("x"), "FAILURE"),
        ({"n": 3}, "PROGRESS"),
        ("end", "SUCCESS"),
        ({"n": 4}, "PROGRESS"),
        (["end"], "SUCCESS"),
    ):
        backend.store_result("a", value, state)
    backend.store_result("b", None, "ABORTED")
    assert [(each.index, each.kind, each.old_state, each.state, each.stored) for each in told] == [
        (0, "task", "PENDING", "STARTED", True),
        (1, "task", "STARTED", "PROGRESS", True),
        (2, "retry", "PROGRESS", "RETRY", True),
        (3, "task", "RETRY", "PROGRESS", True),
        (4, "task", "PROGRESS", "FAILURE", True),
        (5, "task", "FAILURE", "PROGRESS", True),
        (6, "task", "PROGRESS", "SUCCESS", True),
        (7, "task", "SUCCESS", "PROGRESS", False),
        (8, "task", "SUCCESS", "SUCCESS", False),
        (9, "task", "PENDING", "ABORTED", True),
    ]
    assert {each.uuid for each in told} == {"a", "b"}


def test_what_is_told_is_the_wire() -> None:
    """Meta and result are as the serialiser carries them; a result only where a task ends."""
    backend = fake()
    told = listened(backend)
    backend.store_result("a", {1: (2, 3)}, "PROGRESS")
    backend.store_result("a", ValueError("x"), "RETRY")
    backend.store_result("a", {"n": 1}, "SUCCESS")
    backend.store_result("a", {1: (2, 3)}, "PROGRESS")
    backend.store_result("b", (1, 2), "SUCCESS")
    error = {"exc_type": "ValueError", "exc_message": ["x"], "exc_module": "builtins"}
    assert [(each.meta, each.result) for each in told] == [
        ({"1": [2, 3]}, None),
        (error, error),
        ({"n": 1}, {"n": 1}),
        ({"1": [2, 3]}, None),
        ({}, [1, 2]),
    ]


def test_name_of_the_task_is_told() -> None:
    """The name comes from the request; without one it is not known."""
    backend = fake()
    told = listened(backend)
    backend.store_result("a", {}, "PROGRESS", request=Context({"id": "a", "task": "the.task"}))
    backend.store_result("a", {}, "PROGRESS")
    assert [each.name for each in told] == ["the.task", None]


def test_time_is_seconds_of_the_clock_since_the_beginning() -> None:
    """`at` begins at 0 when the backend is made, and again when it is cleared."""
    clock = VirtualClock()
    clock.advance(100)
    backend = fake(clock)
    told = listened(backend)
    backend.store_result("a", {}, "PROGRESS")
    clock.advance(2.5)
    backend.store_result("a", {}, "PROGRESS")
    backend.clear()
    clock.advance(1)
    backend.store_result("a", {}, "PROGRESS")
    assert [(each.index, each.at) for each in told] == [(0, 0.0), (1, 2.5), (0, 1.0)]


def test_subscriber_is_told_after_the_write_in_the_thread_that_wrote() -> None:
    """While it is told, the backend already says the new state, and can be read and written."""
    backend = fake()
    seen: list[object] = []

    def look(transition: Transition) -> None:
        seen.append((transition.uuid, backend.peek("a")["status"], threading.get_ident()))
        if transition.uuid == "a":
            backend.store_result("b", None, "ABORTED")

    backend.subscribe(look)
    backend.store_result("a", {"n": 1}, "PROGRESS")
    here = threading.get_ident()
    assert seen == [("a", "PROGRESS", here), ("b", "PROGRESS", here)]


def test_every_subscriber_is_told_in_order() -> None:
    """Subscribers are told one after the other, the first one first."""
    backend = fake()
    order: list[str] = []
    backend.subscribe(lambda transition: order.append("first"))
    backend.subscribe(lambda transition: order.append("second"))
    backend.store_result("a", {}, "PROGRESS")
    assert order == ["first", "second"]


@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
@pytest.mark.parametrize("value", [{"n": 1}, {"n": 1, "deep": {"m": [1]}}])
def test_dict_that_is_used_again_changes_nothing(value: dict[str, Any], state: str) -> None:
    """What was written, and told, is as it was at the write."""
    backend = fake()
    told = listened(backend)
    meta = pickle.loads(pickle.dumps(value))  # noqa: S301
    backend.store_result("a", meta, state)
    meta["n"] = 2
    meta["more"] = True
    if "deep" in meta:
        meta["deep"]["m"].append(2)
    assert backend.get_result("a") == value
    assert told[0].meta == value


@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
@pytest.mark.parametrize("value", [{"n": 1}, {"n": 1, "deep": {"m": [1]}}])
@pytest.mark.parametrize("part", ["meta", "result"])
def test_what_is_told_is_a_copy(value: dict[str, Any], state: str, part: str) -> None:
    """A subscriber that changes what it was told changes nothing that is stored."""
    backend = fake()
    told = listened(backend)
    backend.store_result("a", value, state)
    changed = getattr(told[0], part)
    if changed is not None:
        changed["n"] = 2
        changed.get("deep", {}).get("m", []).append(2)
    assert backend.get_result("a") == value


def test_what_is_read_is_a_copy() -> None:
    """A reader that changes what it has read changes nothing that is stored."""
    backend = fake()
    backend.store_result("a", {"n": 1}, "PROGRESS")
    backend.get_task_meta("a", cache=False)["result"]["n"] = 2
    backend.peek("a")["result"]["n"] = 2
    assert backend.get_result("a") == {"n": 1}


# -- the line that reported ------------------------------------------------------------------------


def test_source_is_the_line_that_called() -> None:
    """A write is told with the file and the line that asked for it, plain or not."""
    backend = fake()
    told = listened(backend)
    frame = inspect.currentframe()
    assert frame is not None
    line = frame.f_lineno
    backend.store_result("a", {"n": 1}, "PROGRESS")
    backend.store_result("a", {"n": [1]}, "PROGRESS")
    backend.mark_as_started("b")
    assert [each.source for each in told] == [Source(__file__, line + n) for n in (1, 2, 3)]


def test_source_is_the_report_and_not_what_the_worker_writes() -> None:
    """`update_state` in a task is the user's line; STARTED, RETRY and SUCCESS have none."""
    backend = by_url(task_store_eager_result=True, task_track_started=True)
    told = listened(backend)

    def report(self: Any) -> str:
        self.update_state(state="PROGRESS", meta={"n": self.request.retries})
        if not self.request.retries:
            self.retry(countdown=0)
        return "end"

    task = backend.app.task(report, bind=True, name="tests.report", shared=False)
    task.apply(task_id="a", throw=False)
    line = inspect.getsourcelines(report)[1] + 1
    by_state = {(each.state, each.source) for each in told}
    assert ("PROGRESS", Source(__file__, line)) in by_state
    assert ("SUCCESS", None) in by_state
    assert {source for state, source in by_state if state != "PROGRESS"} == {None}
    assert {each.name for each in told} == {"tests.report"}


def test_source_is_none_for_what_the_worker_writes_outside_the_task() -> None:
    """REVOKED of a task that expired is the worker's, whoever runs the worker in this process."""
    backend = by_url()
    app = backend.app
    task = app.task(make_app, name="tests.expired", shared=False)
    told = listened(backend)
    sent = app.amqp.as_task_v2(
        "expired-a", task.name, expires=datetime(2000, 1, 1, tzinfo=timezone.utc)
    )
    message = Message(
        body=backend.encode(sent.body),
        headers=sent.headers,
        properties=sent.properties,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
    )
    request = Request(message, app=app, task=task)
    try:
        assert request.revoked()
    finally:
        worker_state.revoked.discard("expired-a")
    assert [(each.state, each.source) for each in told] == [("REVOKED", None)]


def test_source_is_none_where_nobody_called() -> None:
    """A thread that begins in Celery's own code has no line to name."""
    backend = fake()
    told = listened(backend)
    ended = threading.Event()
    backend.subscribe(lambda transition: ended.set())
    _thread.start_new_thread(backend.mark_as_started, ("a",))
    assert ended.wait(PATIENCE)
    assert [each.source for each in told] == [None]


# -- counting --------------------------------------------------------------------------------------


def test_reads_and_writes_are_counted_as_a_real_backend_does_them() -> None:
    """A write reads first; a client's cached SUCCESS is no read; each id has its own count."""
    backend = fake(result_cache_max=9)
    backend.store_result("a", {"n": 1}, "PROGRESS")
    backend.store_result("a", {"n": [1]}, "PROGRESS")
    backend.store_result("a", ValueError("x"), "RETRY")
    assert (backend.writes["a"], backend.reads["a"]) == (3, 3)
    backend.get_state("a")
    assert backend.reads["a"] == 4
    backend.store_result("a", 1, "SUCCESS")
    backend.store_result("a", 2, "SUCCESS")
    assert (backend.writes["a"], backend.reads["a"]) == (5, 6)
    backend.get_state("a")
    backend.get_state("a")
    assert backend.reads["a"] == 7
    backend.mget([backend.get_key_for_task("a"), backend.get_key_for_task("b")])
    assert dict(backend.reads) == {"a": 8, "b": 1}
    assert dict(backend.writes) == {"a": 5}


def test_peek_is_no_read() -> None:
    """`peek` says what a client would see, uncounted and past the client's cache."""
    backend = fake(result_cache_max=9)
    backend.store_result("a", {"n": 1}, "PROGRESS")
    counted = dict(backend.reads)
    assert (backend.peek("a")["status"], backend.peek("a")["result"]) == ("PROGRESS", {"n": 1})
    assert backend.peek("b") == {"status": "PENDING", "result": None}
    assert dict(backend.reads) == counted
    backend.store_result("a", 1, "SUCCESS")
    assert backend.get_state("a") == "SUCCESS"
    backend.delete(backend.get_key_for_task("a"))
    assert (backend.get_state("a"), backend.peek("a")["status"]) == ("SUCCESS", "PENDING")


def test_groups_and_counters_are_no_task() -> None:
    """Reads of a group are not counted under any task."""
    backend = fake()
    members = [AsyncResult("a", app=backend.app, backend=backend)]
    GroupResult("g", members, app=backend.app).save(backend=backend)
    backend.restore_group("g")
    backend.incr(backend.get_key_for_chord("g"))
    assert (dict(backend.reads), dict(backend.writes)) == ({}, {})


def test_counts_know_a_key_prefix() -> None:
    """With a global key prefix the counts still go by task id."""
    backend = fake(result_backend_transport_options={"global_keyprefix": "pre"})
    backend.store_result("a", {"n": [1]}, "PROGRESS")
    assert backend.get_key_for_task("a").startswith(b"pre_")
    assert (dict(backend.reads), dict(backend.writes)) == ({"a": 1}, {"a": 1})


def test_clear_forgets_everything_but_the_subscribers() -> None:
    """After `clear` the backend is as new, for clients that read before too."""
    backend = fake(result_cache_max=9)
    told = listened(backend)
    backend.store_result("a", 1, "SUCCESS")
    GroupResult("g", [], app=backend.app).save(backend=backend)
    assert backend.get_state("a") == "SUCCESS"
    backend.clear()
    assert backend.get_state("a") == "PENDING"
    assert backend.restore_group("g") is None
    assert dict(backend.writes) == {}
    assert dict(backend.reads) == {"a": 1}
    backend.store_result("a", {}, "STARTED")
    assert [(each.index, each.old_state) for each in told] == [(0, "PENDING"), (0, "PENDING")]


# -- forgetting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_forget(*, cached: bool) -> None:
    """A forgotten task is PENDING, can be written again, and the others stay."""
    backend = fake(result_cache_max=9 if cached else -1)
    for task_id in "ab":
        backend.store_result(task_id, 1, "SUCCESS")
    assert backend.get_state("a") == "SUCCESS"
    AsyncResult("a", app=backend.app, backend=backend).forget()
    backend.forget("never stored")
    assert (backend.get_state("a"), backend.get_state("b")) == ("PENDING", "SUCCESS")
    told = listened(backend)
    backend.store_result("a", {}, "STARTED")
    assert (told[0].old_state, told[0].stored) == ("PENDING", True)


def test_group_is_saved_restored_and_deleted() -> None:
    """A group comes back with its members in order, and is gone when deleted."""
    backend = fake()
    app = backend.app
    members = [AsyncResult(name, app=app, backend=backend) for name in "cab"]
    assert backend.restore_group("g") is None
    GroupResult("g", members, app=app).save(backend=backend)
    restored = GroupResult.restore("g", backend=backend, app=app)
    assert (restored.id, [each.id for each in restored]) == ("g", ["c", "a", "b"])
    restored.delete(backend=backend)
    assert backend.restore_group("g") is None


def test_counters_begin_at_0_and_go_when_deleted() -> None:
    """Each counter counts on its own."""
    backend = fake()
    assert [backend.incr(b"one"), backend.incr(b"one"), backend.incr(b"two")] == [1, 2, 1]
    backend.delete(b"one")
    assert backend.incr(b"one") == 1


def test_key_and_value_of_ones_own() -> None:
    """It is a key-value store like any other: what is set is what is got, until it expires."""
    clock = VirtualClock()
    backend = fake(clock, 60)
    backend.set(b"one", "1")
    backend.set(b"two", b"2")
    assert backend.mget([b"one", b"two", b"three"]) == ["1", b"2", None]
    backend.delete(b"one")
    clock.advance(60)
    assert backend.mget([b"one", b"two"]) == [None, None]


def test_chord_runs_its_body_once() -> None:
    """The body is called by the part that ends last, with the results in order."""
    backend = by_url(task_always_eager=True, task_store_eager_result=True)
    app = backend.app
    called: list[list[int]] = []

    def collect(parts: list[int]) -> None:
        called.append(parts)

    body = app.task(collect, name="tests.collect", shared=False).s()
    ids = ["p0", "p1", "p2"]
    backend.apply_chord(("g", [AsyncResult(each, app=app) for each in ids]), body)
    for index in (2, 0, 1):
        assert called == []
        request = Context({"id": ids[index], "group": "g", "chord": {**body, "chord_size": 3}})
        backend.mark_as_done(ids[index], 2 * index, request=request)
    assert called == [[0, 2, 4]]
    assert backend.restore_group("g", cache=False) is None


def test_chord_that_is_published_again_counts_from_the_start() -> None:
    """A parent that runs again starts its chord again: parts that had ended do not count twice."""
    backend = fake()
    results = [AsyncResult("p", app=backend.app, backend=backend)]
    key = backend.get_key_for_chord("g")
    for _ in range(2):
        backend.apply_chord(("g", results), backend.app.signature("body"))
        assert backend.incr(key) == 1


@pytest.mark.parametrize("canvas", [group, chord])
def test_canvas_needs_no_more_than_the_url(canvas: Any) -> None:
    """Celery allows chords on this backend, and groups are joined natively."""
    backend = make_app("taskprogress://").backend
    backend.ensure_chords_allowed()
    assert backend.supports_native_join
    assert backend.supports_autoexpire


# -- expiry ----------------------------------------------------------------------------------------


def state_after(backend: FakeBackend, clock: VirtualClock, seconds: float, task_id: str) -> str:
    """The state of a task when the clock has moved that far."""
    clock.jump_to(seconds)
    state: str = backend.peek(task_id)["status"]
    return state


@pytest.mark.parametrize(
    ("conf", "expires", "seconds"),
    [
        ({}, None, 86400),
        ({"result_expires": 60}, None, 60),
        ({"result_expires": timedelta(minutes=2)}, None, 120),
        ({"result_expires": 60}, 30, 30),
        ({}, timedelta(seconds=5), 5),
    ],
)
@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
def test_record_expires_by_the_clock(
    conf: dict[str, Any], expires: Any, seconds: float, value: object, state: str
) -> None:
    """A record is there until its seconds have passed, and then as if it had never been."""
    clock = VirtualClock()
    backend = fake(clock, expires, **conf)
    backend.store_result("a", value, state)
    assert state_after(backend, clock, seconds - 0.001, "a") == state
    assert state_after(backend, clock, seconds, "a") == "PENDING"
    assert backend.get_task_meta("a", cache=False) == {"status": "PENDING", "result": None}
    told = listened(backend)
    backend.store_result("a", value, "STARTED")
    assert (told[0].old_state, told[0].stored) == ("PENDING", True)


@pytest.mark.parametrize("expires", [None, 0])
def test_record_that_never_expires(expires: int | None) -> None:
    """result_expires None or 0: a record stays."""
    clock = VirtualClock()
    backend = fake(clock, result_expires=expires)
    backend.store_result("a", 1, "SUCCESS")
    backend.store_result("b", ValueError("x"), "FAILURE")
    backend.incr(b"counter")
    clock.advance(10**9)
    assert (backend.get_state("a"), backend.get_state("b")) == ("SUCCESS", "FAILURE")
    assert backend.incr(b"counter") == 2


def test_each_write_begins_the_time_anew() -> None:
    """A task that reports keeps its record; a dropped write keeps nothing."""
    clock = VirtualClock()
    backend = fake(clock, 10)
    backend.store_result("a", {"n": 1}, "PROGRESS")
    clock.advance(9)
    backend.store_result("a", 1, "SUCCESS")
    assert state_after(backend, clock, 18, "a") == "SUCCESS"
    backend.store_result("a", {"n": 2}, "PROGRESS")
    assert state_after(backend, clock, 19, "a") == "PENDING"


@since_5_7
@pytest.mark.parametrize(
    ("failure", "seconds"), [(10, 10), (timedelta(minutes=5), 300), (None, 60), (0, None)]
)
def test_failure_has_a_time_of_its_own(failure: Any, seconds: float | None) -> None:
    """result_failure_expires is for FAILURE alone; None is result_expires, 0 is never."""
    clock = VirtualClock()
    backend = fake(clock, result_expires=60, result_failure_expires=failure)
    backend.store_result("a", ValueError("x"), "FAILURE")
    backend.store_result("b", ValueError("x"), "RETRY")
    if seconds is None:
        assert state_after(backend, clock, 10**9, "a") == "FAILURE"
    else:
        assert state_after(backend, clock, min(seconds, 60) - 1, "b") == "RETRY"
        assert state_after(backend, clock, seconds - 1, "a") == "FAILURE"
        assert state_after(backend, clock, seconds, "a") == "PENDING"
    assert state_after(backend, clock, max(seconds or 60, 60), "b") == "PENDING"


def test_groups_and_counters_expire() -> None:
    """What a chord keeps goes as results do."""
    clock = VirtualClock()
    backend = fake(clock, 60)
    members = [AsyncResult("a", app=backend.app, backend=backend)]
    GroupResult("g", members, app=backend.app).save(backend=backend)
    assert backend.incr(b"counter") == 1
    clock.advance(59)
    assert backend.incr(b"counter") == 2
    assert backend.restore_group("g", cache=False) is not None
    clock.advance(1)
    assert backend.incr(b"counter") == 1
    assert backend.restore_group("g", cache=False) is None


@pytest.mark.parametrize(("value", "gone"), [(5, True), (None, False), (0, False)])
def test_expire_sets_the_time_of_a_key(*, value: float | None, gone: bool) -> None:
    """`expire` counts from now; 0 or None lets the key stay; an unknown key stays unknown."""
    clock = VirtualClock()
    backend = fake(clock, 60)
    backend.store_result("a", 1, "SUCCESS")
    clock.advance(50)
    backend.expire(backend.get_key_for_task("a"), value)
    backend.expire(b"unknown", value)
    assert state_after(backend, clock, 54.9, "a") == "SUCCESS"
    assert state_after(backend, clock, 55, "a") == ("PENDING" if gone else "SUCCESS")
    assert state_after(backend, clock, 10**9, "a") == ("PENDING" if gone else "SUCCESS")
    assert backend.get(b"unknown") is None


# -- waiting ---------------------------------------------------------------------------------------


def test_ready_result_is_got_at_once() -> None:
    """`get` returns, or raises, what is there; propagate=False returns the exception."""
    backend = fake()
    backend.store_result("a", "end", "SUCCESS")
    backend.store_result("b", KeyError("boom"), "FAILURE")
    assert AsyncResult("a", app=backend.app, backend=backend).get(timeout=0) == "end"
    failed = AsyncResult("b", app=backend.app, backend=backend)
    with pytest.raises(KeyError, match="boom"):
        failed.get(timeout=0)
    assert isinstance(failed.get(timeout=0, propagate=False), KeyError)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_result_that_does_not_come_is_a_timeout(timeout: float) -> None:
    """When time is up, `get` raises Celery's TimeoutError."""
    backend = fake()
    backend.store_result("a", {"n": 1}, "PROGRESS")
    result = AsyncResult("a", app=backend.app, backend=backend)
    with pytest.raises(CeleryTimeoutError, match=r"^The operation timed out\.$"):
        result.get(timeout=timeout)
    with pytest.raises(CeleryTimeoutError):
        backend.wait_for("a", timeout=timeout)
    with pytest.raises(result.TimeoutError):
        list(backend.get_many(["a"], timeout=timeout))


def test_get_waits_for_the_write_of_another_thread() -> None:
    """`get` returns when another thread stores the result; reports before it do not end it."""
    app = make_app("taskprogress://")
    waiting = threading.Event()

    def work() -> None:
        assert waiting.wait(PATIENCE)
        app.backend.store_result("b", "other", "SUCCESS")
        app.backend.store_result("a", {"n": 1}, "PROGRESS")
        app.backend.store_result("a", "end", "SUCCESS")

    def wait() -> None:
        result = AsyncResult("a", app=app)
        assert result.get(timeout=PATIENCE, on_interval=waiting.set) == "end"

    _ = app.backend
    in_threads(work, wait)


def test_many_threads_wait_for_one() -> None:
    """Each thread that waits is woken."""
    backend = fake()
    waiting = threading.Barrier(5)

    def wait() -> None:
        entered = False

        def on_interval() -> None:
            nonlocal entered
            if not entered:
                entered = True
                waiting.wait(PATIENCE)

        meta = backend.wait_for("a", timeout=PATIENCE, on_interval=on_interval)
        assert meta["result"] == "end"

    def work() -> None:
        waiting.wait(PATIENCE)
        backend.store_result("a", "end", "SUCCESS")

    in_threads(work, *[wait] * 4)


def test_many_are_yielded_as_they_come() -> None:
    """`get_many` yields what is ready, tells of it, and waits for the rest."""
    backend = fake()
    messages: list[str] = []
    to_come = iter(["c", "a"])
    backend.store_result("b", 1, "SUCCESS")
    backend.store_result("c", {"n": 1}, "PROGRESS")
    found = backend.get_many(
        ["a", "b", "c", "a"],
        timeout=PATIENCE,
        on_message=lambda meta: messages.append(meta["task_id"]),
        on_interval=lambda: backend.store_result(next(to_come), ValueError("x"), "FAILURE"),
    )
    assert [(task_id, meta["status"]) for task_id, meta in found] == [
        ("b", "SUCCESS"),
        ("c", "FAILURE"),
        ("a", "FAILURE"),
    ]
    assert messages == ["b", "c", "a"]


def test_many_of_none_is_none() -> None:
    """Nothing asked for is nothing yielded, without a wait."""
    assert list(fake().get_many([])) == []


@pytest.mark.parametrize(("states", "expected"), [({"PROGRESS"}, ["a"]), ({"FAILURE"}, [])])
def test_many_may_ask_for_other_states(states: set[str], expected: list[str]) -> None:
    """READY_STATES says what counts as ready, and max_iterations how often to look."""
    backend = fake()
    backend.store_result("a", {"n": 1}, "PROGRESS")
    found = backend.get_many(["a"], READY_STATES=frozenset(states), max_iterations=1)
    assert [task_id for task_id, _ in found] == expected


def test_many_are_kept_in_the_clients_cache() -> None:
    """As on every key-value backend, what get_many has handed out is what the client keeps."""
    seen = []
    for backend in (fake(result_cache_max=9), real(result_cache_max=9)):
        task_id = uuid4().hex
        backend.store_result(task_id, ValueError("x"), "FAILURE")
        assert [each for each, _ in backend.get_many([task_id], max_iterations=1)] == [task_id]
        backend.store_result(task_id, {"n": 1}, "PROGRESS")
        seen.append(
            (backend.get_state(task_id), backend.get_task_meta(task_id, cache=False)["status"])
        )
    assert seen[0] == seen[1] == ("FAILURE", "PROGRESS")


def test_many_look_past_what_the_client_kept_of_an_earlier_state() -> None:
    """A record that was kept before it was ready does not hide the one that is."""
    backend = fake(result_cache_max=9)
    backend.reload_task_result("a")
    backend.store_result("a", 1, "SUCCESS")
    assert [meta["status"] for _, meta in backend.get_many(["a"], max_iterations=1)] == ["SUCCESS"]


def test_group_is_joined() -> None:
    """Results of a group come in its order, and the first failure is raised."""
    backend = by_url()
    app = backend.app
    members = [AsyncResult(name, app=app, backend=backend) for name in "abc"]
    for name in "cab":
        backend.store_result(name, name.upper(), "SUCCESS")
    assert GroupResult("g", members, app=app).join_native(timeout=5) == ["A", "B", "C"]
    assert GroupResult("g", members, app=app).get(timeout=5) == ["A", "B", "C"]
    backend.store_result("d", KeyError("boom"), "FAILURE")
    members.append(AsyncResult("d", app=app, backend=backend))
    with pytest.raises(KeyError, match="boom"):
        GroupResult("g", members, app=app).join_native(timeout=5)


def test_waiter_makes_results_come() -> None:
    """With `wait_with`, what is not there is asked for with its ids and the seconds left."""
    clock = VirtualClock()
    backend = fake(clock)
    asked: list[tuple[tuple[str, ...], float | None]] = []

    def waiter(task_ids: tuple[str, ...], left: float | None, _: object = None) -> bool:
        asked.append((task_ids, left))
        clock.advance(3)
        if len(asked) == 2:
            backend.store_result(task_ids[0], "end", "SUCCESS")
        return True

    backend.wait_with(waiter)
    assert AsyncResult("a", app=backend.app, backend=backend).get(timeout=10) == "end"
    assert asked == [(("a",), 10), (("a",), 7)]
    del asked[:]
    found = dict(backend.get_many(["b", "a"]))
    assert found.keys() == {"a", "b"}
    assert asked == [(("b",), None), (("b",), None)]


def test_waiter_says_that_time_is_up() -> None:
    """A waiter that returns False is a TimeoutError, by its clock and in no time."""
    clock = VirtualClock()
    backend = fake(clock)

    def waiter(task_ids: tuple[str, ...], left: float | None, _: object = None) -> bool:
        assert left is not None
        clock.advance(left)
        return False

    backend.wait_with(waiter)
    with pytest.raises(CeleryTimeoutError):
        AsyncResult("a", app=backend.app, backend=backend).get(timeout=3600)
    assert clock.monotonic() == 3600


def test_waiter_that_raises_ends_the_wait() -> None:
    """What a waiter raises is what `get` raises."""
    backend = fake()

    def waiter(task_ids: tuple[str, ...], left: float | None, _: object = None) -> bool:
        raise LookupError(task_ids)

    backend.wait_with(waiter)
    with pytest.raises(LookupError, match="'a'"):
        AsyncResult("a", app=backend.app, backend=backend).get()


# -- instances, threads, URLs ----------------------------------------------------------------------


def test_every_instance_has_a_store_of_its_own() -> None:
    """Two backends, of one app or of two, share nothing."""
    app = make_app()
    first, second, third = FakeBackend(app), FakeBackend(app), fake()
    told = listened(second)
    first.store_result("a", 1, "SUCCESS")
    first.incr(b"counter")
    for other in (second, third):
        assert other.peek("a")["status"] == "PENDING"
        assert (dict(other.reads), dict(other.writes)) == ({}, {})
        assert other.incr(b"counter") == 1
    assert told == []


def test_threads_lose_no_write() -> None:
    """Writes of many threads, plain or not, are all stored, counted, told and numbered."""
    backend = fake()
    told = listened(backend)
    threads, writes = 8, 40

    def report(name: str) -> Callable[[], None]:
        def run() -> None:
            for number in range(writes):
                value = number if number % 2 else [number]
                backend.store_result(name, {"n": value}, "PROGRESS")
                backend.store_result("shared", {"by": name}, "PROGRESS")
                assert backend.get_result(name) == {"n": value}
                backend.incr(b"counter")

        return run

    names = [f"task-{number}" for number in range(threads)]
    in_threads(*map(report, names))
    total = 2 * threads * writes
    assert [each.index for each in told] == list(range(total))
    assert backend.writes["shared"] == threads * writes
    assert {backend.writes[name] for name in names} == {writes}
    assert {backend.reads[name] for name in names} == {2 * writes}
    assert backend.incr(b"counter") == threads * writes + 1
    assert backend.get_result("shared") == told_last(told, "shared")


def told_last(told: list[Transition], task_id: str) -> dict[str, Any]:
    """The meta that was told of a task at last."""
    return [each for each in told if each.uuid == task_id][-1].meta


def test_url_is_all_that_an_app_needs() -> None:
    """`Celery(backend="taskprogress://")` stores what its tasks report and return."""
    app = make_app("taskprogress://", task_store_eager_result=True)
    backend = app.backend
    assert isinstance(backend, FakeBackend)
    assert backend.as_uri() == "taskprogress://"

    def report(self: Any) -> str:
        self.update_state(state="PROGRESS", meta={"n": 1})
        assert AsyncResult(self.request.id, app=self.app).result == {"n": 1}
        return "end"

    result = app.task(report, bind=True, name="tests.url", shared=False).apply(throw=True)
    assert AsyncResult(result.id, app=app).get(timeout=5) == "end"


def test_one_backend_for_all_threads_of_an_app() -> None:
    """A thread gets the app's backend, and what another one stored there."""
    app = make_app("taskprogress://")
    app.backend.store_result("a", "here", "SUCCESS")
    seen: list[object] = []
    in_threads(*[lambda: seen.append((app.backend, app.backend.get_result("a")))] * 4)
    assert seen == [(app.backend, "here")] * 4


class SlowApp(Celery):
    """Threads that ask for the backend at the same time each make one, and go on when told to."""

    def prepare(self) -> None:
        """Make what the threads wait for."""
        self.made = threading.Semaphore(0)
        self.go = {name: threading.Event() for name in ("first", "second")}

    def _get_backend(self) -> Any:
        backend = super()._get_backend()
        go = self.go.get(threading.current_thread().name)
        if go is not None:
            self.made.release()
            assert go.wait(PATIENCE)
        return backend


def test_threads_that_come_first_at_the_same_time_lose_nothing() -> None:
    """What a thread stored is there, though Celery made a second backend at that moment."""
    app = SlowApp("slow", set_as_current=False, broker="memory://", backend="taskprogress://")
    app.prepare()

    def store() -> None:
        app.backend.store_result(threading.current_thread().name, 1, "SUCCESS")

    threads = [threading.Thread(target=store, name=name, daemon=True) for name in app.go]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert app.made.acquire(timeout=PATIENCE)
    for thread in threads:
        app.go[thread.name].set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert [app.backend.get_state(name) for name in app.go] == ["SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("url", ["taskprogress://", "taskprogress:///", "taskprogress"])
def test_url_that_is_right(url: str) -> None:
    """The scheme alone is the URL."""
    assert isinstance(make_app(url).backend, FakeBackend)


@pytest.mark.parametrize(
    "url", ["taskprogress://localhost", "taskprogress://localhost:6379/0", "taskprogress+redis://x"]
)
def test_url_that_is_wrong_is_an_error_that_says_the_right_one(url: str) -> None:
    """A host, or another scheme behind it, would look as if it meant something."""
    app = make_app(url)
    got = url.partition("+")[2] or url
    message = f"expected 'taskprogress://', got url={got!r}"
    with pytest.raises(ImproperlyConfigured, match=re.escape(message)):
        _ = app.backend


def test_constructor_refuses_the_url_of_another_backend() -> None:
    """A FakeBackend is not made from the URL of a real one."""
    with pytest.raises(ImproperlyConfigured, match="got url='redis://localhost'"):
        FakeBackend(make_app(), url="redis://localhost")


# -- pickling --------------------------------------------------------------------------------------


@pytest.fixture
def current_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app that is the current one: Celery unpickles backends for it."""
    app = make_app("taskprogress://", accept_content=["json", "pickle"])
    monkeypatch.setattr(celery._state._tls, "current_app", app)
    yield app
    app.close()


def test_pickled_backend_is_a_backend_with_its_settings(current_app: Celery) -> None:
    """URL and expiry survive, as they do on Celery's own backends."""
    backend = FakeBackend(current_app, expires=5, url="taskprogress://")
    again = pickle.loads(pickle.dumps(backend))  # noqa: S301
    assert isinstance(again, FakeBackend)
    assert (again.app, again.url, again.expires) == (current_app, "taskprogress://", 5)


def test_pickled_result_still_finds_what_is_stored(current_app: Celery) -> None:
    """An AsyncResult that a message or a result carried by pickle reads the same records."""
    current_app.backend.store_result("a", "there", "SUCCESS")
    result = pickle.loads(pickle.dumps(AsyncResult("a", app=current_app)))  # noqa: S301
    assert (result.state, result.result) == ("SUCCESS", "there")


def test_result_of_another_task_through_pickle(current_app: Celery) -> None:
    """A task that returns an AsyncResult hands out one that works, with pickle too."""
    backend = FakeBackend(current_app, serializer="pickle")
    backend.store_result("a", "there", "SUCCESS")
    inner = AsyncResult("a", app=current_app, backend=backend)
    backend.store_result("b", inner, "SUCCESS")
    assert backend.get_result("b").get(timeout=1) == "there"


# -- chords that grow ------------------------------------------------------------------------------


def test_a_chord_that_is_not_there_cannot_grow() -> None:
    """Adding to a chord that nobody published, or that is over, is an error."""
    backend = fake()
    with pytest.raises(ValueError, match="no chord waits for a header 'nope'"):
        backend.add_to_chord("nope", backend.app.AsyncResult("1"))
