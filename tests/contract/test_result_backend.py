"""One suite over the fake backend and Celery's own: what a task's record does, from outside."""

from __future__ import annotations

import importlib.util
import math
import pickle
import threading
from collections.abc import Callable
from queue import Empty
from typing import Any, Final
from uuid import uuid4

import celery
import pytest
from celery import states
from celery.app.task import Context
from celery.exceptions import ChordError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult
from kombu.exceptions import ContentDisallowed, EncodeError

from tests.contract.kinds import DATABASES, KEY_VALUE

MakeBackend = Callable[..., Any]

CELERY: Final = tuple(int(part) for part in celery.__version__.split(".")[:2])
NO_EXC_TYPE: Final = "Exception information must include the exception type"

# Celery calls `setex`, which redis-py 8 deprecates: goes when Celery does not.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

on_key_value = pytest.mark.parametrize("kind", KEY_VALUE, indirect=True)
on_counting = pytest.mark.parametrize(
    "kind", ["fake", "cache", "redis", "memcached"], indirect=True
)


def like_database_before_5_7(kind: str) -> bool:
    """Celery < 5.7: SQLAlchemy pickles the result and takes every write. Goes with 5.6 support."""
    return kind in DATABASES and CELERY < (5, 7)


def new_id() -> str:
    """An id that no other test has."""
    return uuid4().hex


def read(backend: Any, task_id: str) -> dict[str, Any]:
    """What is stored now, past the client's own cache."""
    meta: dict[str, Any] = backend.get_task_meta(task_id, cache=False)
    return meta


@pytest.fixture
def as_current(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backend's app be the current one: pickle, and chords on Redis, ask for it."""
    monkeypatch.setattr(celery._state._tls, "current_app", backend.app)


# -- one record ------------------------------------------------------------------------------------


def test_unknown_id_is_pending(backend: Any) -> None:
    """An id that nobody wrote is PENDING without a result."""
    meta = read(backend, new_id())
    assert (meta["status"], meta["result"]) == ("PENDING", None)


@pytest.mark.parametrize("state", ["PENDING", "STARTED", "PROGRESS", "UPLOADING", "ABORTED"])
def test_report_is_replaced_by_the_next(backend: Any, state: str) -> None:
    """The last write of a task that has not succeeded is what is read."""
    task_id = new_id()
    backend.store_result(task_id, {"n": 1}, "PROGRESS")
    backend.store_result(task_id, {"n": 2, "nested": [{"a": None}]}, state)
    meta = read(backend, task_id)
    assert (meta["status"], meta["result"]) == (state, {"n": 2, "nested": [{"a": None}]})
    assert meta["task_id"] == task_id


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "ä€😀", [], {"a": {"b": [1, "2"]}}, 2**70])
def test_result_reads_back(backend: Any, value: object) -> None:
    """A result comes back with its value and type."""
    task_id = new_id()
    backend.store_result(task_id, value, "SUCCESS")
    result = AsyncResult(task_id, app=backend.app)
    assert (result.state, result.result, type(result.result)) == ("SUCCESS", value, type(value))
    assert result.get(timeout=5) == value
    assert result.date_done is not None


@pytest.mark.parametrize(
    ("state", "later"),
    [
        ("PROGRESS", {"n": 2}),
        ("STARTED", {}),
        ("ABORTED", None),
        ("SUCCESS", "another"),
        ("FAILURE", ValueError("late")),
        ("RETRY", ValueError("late")),
        ("REVOKED", ValueError("late")),
    ],
)
def test_first_success_is_final(backend: Any, kind: str, state: str, later: object) -> None:
    """Nothing replaces SUCCESS; the database backend before 5.7 lets everything do so."""
    task_id = new_id()
    backend.store_result(task_id, "first", "SUCCESS")
    backend.store_result(task_id, later, state)
    meta = read(backend, task_id)
    if like_database_before_5_7(kind):
        assert meta["status"] == state
    else:
        assert (meta["status"], meta["result"]) == ("SUCCESS", "first")


@pytest.mark.parametrize("end", ["FAILURE", "REVOKED", "RETRY"])
@pytest.mark.parametrize("later", ["PROGRESS", "SUCCESS"])
def test_failed_task_is_brought_back(backend: Any, end: str, later: str) -> None:
    """A write after FAILURE, REVOKED or RETRY replaces it."""
    task_id = new_id()
    backend.store_result(task_id, ValueError("x"), end)
    backend.store_result(task_id, {"n": 1}, later)
    meta = read(backend, task_id)
    assert (meta["status"], meta["result"]) == (later, {"n": 1})


@pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
def test_exception_reads_back(backend: Any, state: str) -> None:
    """An exception comes back as one of its type with its arguments, and the traceback as text."""
    task_id = new_id()
    backend.store_result(task_id, KeyError("ä", 2), state, traceback="Traceback: here")
    meta = read(backend, task_id)
    assert meta["status"] == state
    assert type(meta["result"]) is KeyError
    assert meta["result"].args == ("ä", 2)
    assert meta["traceback"] == "Traceback: here"


def test_failure_is_raised_by_get(backend: Any) -> None:
    """`get` raises what the task raised, or returns it with propagate=False."""
    task_id = new_id()
    backend.store_result(task_id, ValueError("boom"), "FAILURE")
    result = AsyncResult(task_id, app=backend.app)
    with pytest.raises(ValueError, match=r"^boom$"):
        result.get(timeout=5)
    assert isinstance(result.get(timeout=5, propagate=False), ValueError)


def test_failure_told_by_its_parts(backend: Any) -> None:
    """A FAILURE meta with exc_type reads back as that exception, and can be replaced."""
    task_id = new_id()
    meta = {"exc_type": "OSError", "exc_module": "builtins", "exc_message": ["disk"], "why": "full"}
    backend.store_result(task_id, meta, "FAILURE")
    result = read(backend, task_id)["result"]
    assert (type(result), result.args) == (OSError, ("disk",))
    backend.store_result(task_id, 1, "SUCCESS")
    assert read(backend, task_id)["status"] == "SUCCESS"


@pytest.mark.parametrize("state", ["FAILURE", "RETRY", "REVOKED"])
def test_failure_without_exc_type_breaks_every_read(backend: Any, state: str) -> None:
    """It is stored, and every later read raises Celery's ValueError."""
    task_id = new_id()
    backend.store_result(task_id, {"why": "because"}, state)
    for reading in (backend.get_state, backend.get_result, backend.get_task_meta):
        with pytest.raises(ValueError, match=f"^{NO_EXC_TYPE}$"):
            reading(task_id)
    with pytest.raises(ValueError, match=f"^{NO_EXC_TYPE}$"):
        _ = AsyncResult(task_id, app=backend.app).state


@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS", "FAILURE"])
def test_failure_without_exc_type_breaks_the_next_write(
    backend: Any, kind: str, state: str
) -> None:
    """A key-value backend reads before it writes and raises; the database replaces the record."""
    task_id = new_id()
    backend.store_result(task_id, {"why": "because"}, "FAILURE")
    later: Any = ValueError("x") if state == "FAILURE" else {"n": 1}
    if kind in DATABASES:
        backend.store_result(task_id, later, state)
        assert read(backend, task_id)["status"] == state
        return
    with pytest.raises(ValueError, match=f"^{NO_EXC_TYPE}$"):
        backend.store_result(task_id, later, state)
    with pytest.raises(ValueError, match=f"^{NO_EXC_TYPE}$"):
        read(backend, task_id)
    backend.forget(task_id)
    assert read(backend, task_id)["status"] == "PENDING"


@on_key_value
@pytest.mark.parametrize("task_id", ["", None])
def test_write_needs_a_task_id(backend: Any, task_id: str | None) -> None:
    """An update without a task id is refused; only the database backend takes it."""
    with pytest.raises(ValueError, match=f"^task_id must not be empty. Got {task_id} instead.$"):
        backend.store_result(task_id, {}, "PROGRESS")


@on_key_value
def test_same_record_whatever_type_the_id_has(backend: Any) -> None:
    """Bytes name the same record as text, and what is stored is text."""
    task_id = new_id()
    for value in ({"n": 1}, {"n": [1]}):
        backend.store_result(task_id.encode(), value, "PROGRESS")
        meta = read(backend, task_id)
        assert (meta["result"], meta["task_id"]) == (value, task_id)


def test_forgotten_task_is_pending_and_can_be_written_again(backend: Any) -> None:
    """`forget` removes the record, SUCCESS too."""
    task_id = new_id()
    backend.store_result(task_id, 1, "SUCCESS")
    assert backend.get_state(task_id) == "SUCCESS"
    AsyncResult(task_id, app=backend.app).forget()
    assert backend.get_state(task_id) == "PENDING"
    backend.store_result(task_id, 2, "STARTED")
    assert backend.get_state(task_id) == "STARTED"


def test_unknown_task_can_be_forgotten(backend: Any, kind: str) -> None:
    """Forgetting what was never stored does nothing, but for the filesystem, which raises."""
    if kind == "filesystem":
        with pytest.raises(FileNotFoundError):
            backend.forget(new_id())
    else:
        backend.forget(new_id())


def test_record_under_a_second_id_is_independent(backend: Any) -> None:
    """A record beside the task's survives the task's writes and goes on its own."""
    task_id = new_id()
    beside = f"{task_id}.abort"
    backend.store_result(beside, None, "ABORTED")
    backend.store_result(task_id, {"n": 1}, "PROGRESS")
    backend.store_result(task_id, 1, "SUCCESS")
    assert (backend.get_state(beside), backend.get_state(task_id)) == ("ABORTED", "SUCCESS")
    backend.forget(beside)
    assert (backend.get_state(beside), backend.get_state(task_id)) == ("PENDING", "SUCCESS")


@pytest.mark.skipif(CELERY < (5, 7), reason="Celery < 5.7 cannot tell: pip install 'celery>=5.7'")
def test_existence_is_told(backend: Any) -> None:
    """`exists` tells a stored record, even PENDING, from none."""
    task_id = new_id()
    result = AsyncResult(task_id, app=backend.app)
    assert not result.exists()
    backend.store_result(task_id, None, "PENDING")
    assert result.exists()


# -- the wire --------------------------------------------------------------------------------------


def test_json_is_what_is_read(backend: Any, kind: str) -> None:
    """A meta comes back as JSON carries it; the database before 5.7 pickles it instead."""
    task_id = new_id()
    backend.store_result(task_id, {1: "a", "t": (1, 2), "nan": math.nan}, "PROGRESS")
    result = read(backend, task_id)["result"]
    assert math.isnan(result.pop("nan"))
    if like_database_before_5_7(kind):
        assert result == {1: "a", "t": (1, 2)}
    else:
        assert result == {"1": "a", "t": [1, 2]}


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("value", [{"n": 1, "d": "x"}, {"deep": [{"a": None}, 1.5]}, "ä", None])
def test_every_serialiser(make_backend: MakeBackend, serializer: str, value: object) -> None:
    """Every serialiser makes the round trip of a report, a result and an exception."""
    module = {"yaml": "yaml", "msgpack": "msgpack"}.get(serializer)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{serializer} is not installed: pip install 'celery[{serializer}]'")
    backend = make_backend(result_serializer=serializer, accept_content=["json", serializer])
    task_id = new_id()
    backend.store_result(task_id, value, "PROGRESS")
    assert read(backend, task_id)["result"] == value
    backend.store_result(task_id, ValueError("x"), "RETRY")
    assert read(backend, task_id)["result"].args == ("x",)
    backend.store_result(task_id, value, "SUCCESS")
    assert read(backend, task_id)["result"] == value


@pytest.mark.skipif(CELERY < (5, 7), reason="result_compression: pip install 'celery>=5.7'")
@pytest.mark.parametrize("kind", ["fake", "filesystem", "redis"], indirect=True)
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_compression_is_used_and_undone(make_backend: MakeBackend, serializer: str) -> None:
    """With result_compression what is stored is small, and reads back."""
    backend = make_backend(
        result_compression="gzip",
        result_serializer=serializer,
        accept_content=["json", "pickle"],
    )
    task_id = new_id()
    for value, state in (({"text": "a" * 9000}, "PROGRESS"), (["a" * 9000], "SUCCESS")):
        backend.store_result(task_id, value, state)
        assert len(backend.get(backend.get_key_for_task(task_id))) < 1000
        assert read(backend, task_id)["result"] == value


def test_refused_value_leaves_the_record(backend: Any, kind: str) -> None:
    """What the serialiser cannot encode is an EncodeError, and the record stays as it was."""
    if like_database_before_5_7(kind):
        pytest.skip("pickles whatever it is given: pip install 'celery>=5.7'")
    task_id = new_id()
    with pytest.raises(EncodeError, match="not JSON serializable"):
        backend.store_result(task_id, {"a": {"b": object()}}, "PROGRESS")
    assert read(backend, task_id)["status"] == "PENDING"
    backend.store_result(task_id, {"n": 1}, "PROGRESS")
    with pytest.raises(EncodeError, match="not JSON serializable"):
        backend.store_result(task_id, object(), "SUCCESS")
    assert read(backend, task_id)["result"] == {"n": 1}


def test_dropped_value_is_not_looked_at(backend: Any, kind: str) -> None:
    """After SUCCESS, not even what cannot be encoded raises."""
    if like_database_before_5_7(kind):
        pytest.skip("takes every write: pip install 'celery>=5.7'")
    task_id = new_id()
    backend.store_result(task_id, 1, "SUCCESS")
    backend.store_result(task_id, {"a": object()}, "PROGRESS")
    assert read(backend, task_id)["result"] == 1


@on_key_value
@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
def test_serialiser_that_is_not_accepted(make_backend: MakeBackend, value: object) -> None:
    """The first write is taken; each later read and write raises, as the record is not trusted."""
    backend = make_backend(result_serializer="pickle", accept_content=["json"])
    task_id = new_id()
    backend.store_result(task_id, value, "PROGRESS")
    with pytest.raises(ContentDisallowed):
        read(backend, task_id)
    with pytest.raises(ContentDisallowed):
        backend.store_result(task_id, value, "PROGRESS")


@on_key_value
@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
def test_number_too_long_for_json_is_refused_at_the_write(backend: Any, state: str) -> None:
    """An integer that Python does not turn into text is refused when it is stored, not read."""
    task_id = new_id()
    with pytest.raises(EncodeError, match="Exceeds the limit"):
        backend.store_result(task_id, {"n": 10**5000}, state)
    assert read(backend, task_id)["status"] == "PENDING"


# -- what is stored beside the result --------------------------------------------------------------


def test_children_are_stored(backend: Any, kind: str) -> None:
    """Tasks that a task called are its children; the database keeps them since 5.7."""
    task_id, child = new_id(), new_id()
    request = Context({"id": task_id})
    request.children.append(AsyncResult(child, app=backend.app))
    for value, state in (({"n": 1}, "PROGRESS"), (1, "SUCCESS")):
        backend.store_result(task_id, value, state, request=request)
        expected = [] if like_database_before_5_7(kind) else [[[child, None], None]]
        assert (read(backend, task_id).get("children") or []) == expected


@on_key_value
def test_canvas_of_a_task_is_stored(backend: Any) -> None:
    """Group and parent are in the record; the database has no column for them."""
    task_id = new_id()
    request = Context({"id": task_id, "group": "the-group", "parent_id": "the-parent"})
    for value in ({"n": 1}, {"n": [1]}):
        backend.store_result(task_id, value, "PROGRESS", request=request)
        meta = read(backend, task_id)
        assert (meta["group_id"], meta["parent_id"]) == ("the-group", "the-parent")


@pytest.mark.parametrize("state", ["PROGRESS", "SUCCESS"])
@pytest.mark.parametrize("value", [{"n": 1}, {"n": [1]}])
def test_extended_result(make_backend: MakeBackend, state: str, value: object) -> None:
    """With result_extended the record names the task, its arguments, worker, queue and retries."""
    backend = make_backend(result_extended=True)
    task_id = new_id()
    request = Context(
        {
            "id": task_id,
            "task": "the.task",
            "args": [1, "two"],
            "kwargs": {"three": 3},
            "hostname": "worker@host",
            "retries": 4,
            "delivery_info": {"routing_key": "the-queue"},
        }
    )
    backend.store_result(task_id, value, state, request=request)
    result = AsyncResult(task_id, app=backend.app)
    assert (result.name, result.args, result.kwargs) == ("the.task", [1, "two"], {"three": 3})
    assert (result.worker, result.retries, result.queue) == ("worker@host", 4, "the-queue")
    assert result.result == value


# -- several readers -------------------------------------------------------------------------------


def test_result_that_does_not_come_is_a_timeout(backend: Any) -> None:
    """`get` raises Celery's TimeoutError when time is up; a report is no result."""
    task_id = new_id()
    backend.store_result(task_id, {"n": 1}, "PROGRESS")
    with pytest.raises(CeleryTimeoutError):
        AsyncResult(task_id, app=backend.app).get(timeout=0.02, interval=0.01)


def test_other_thread_reads_what_one_wrote(backend: Any, close: Callable[[Any], None]) -> None:
    """Threads that come to the app's backend at different times share the records."""
    app, task_id, other = backend.app, new_id(), new_id()
    seen: list[object] = []

    def in_thread() -> None:
        seen.append(app.backend.get_result(task_id))
        app.backend.store_result(other, "there", "SUCCESS")
        close(app.backend)  # most backends are one for each thread

    backend.store_result(task_id, "here", "SUCCESS")
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert seen == ["here"]
    assert backend.get_result(other) == "there"


@pytest.mark.usefixtures("as_current")
def test_pickled_result_reads_the_same_record(backend: Any, close: Callable[[Any], None]) -> None:
    """An AsyncResult that went through pickle, as the message of a task may, finds the result."""
    task_id = new_id()
    backend.store_result(task_id, "there", "SUCCESS")
    result = pickle.loads(pickle.dumps(AsyncResult(task_id, app=backend.app)))  # noqa: S301
    try:
        assert (result.state, result.result) == ("SUCCESS", "there")
    finally:
        close(result.backend)


def test_group_is_kept_until_deleted(backend: Any) -> None:
    """A saved group is restored with its members in order, and gone when deleted."""
    app = backend.app
    group = GroupResult(new_id(), [AsyncResult(new_id(), app=app) for _ in range(3)], app=app)
    assert backend.restore_group(group.id) is None
    group.save(backend=backend)
    restored = GroupResult.restore(group.id, backend=backend, app=app)
    assert restored.id == group.id
    assert [each.id for each in restored] == [each.id for each in group]
    restored.delete(backend=backend)
    assert backend.restore_group(group.id) is None


@pytest.mark.parametrize("native", [False, True])
def test_group_is_joined_in_order(backend: Any, kind: str, *, native: bool) -> None:
    """Results of a group come in its order, whatever order they were stored in."""
    if native and kind in DATABASES:
        pytest.skip("the database has no native join")
    if native and kind == "filesystem":
        pytest.skip("the filesystem has no native join")
    app = backend.app
    ids = [new_id() for _ in range(4)]
    for number in (2, 0, 3, 1):
        backend.store_result(ids[number], number, "SUCCESS")
    group = GroupResult(new_id(), [AsyncResult(each, app=app) for each in ids], app=app)
    join = group.join_native if native else group.join
    assert join(timeout=10, interval=0.01) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["fake", "cache", "filesystem", "memcached"], indirect=True)
def test_many_are_handed_out_when_ready(backend: Any) -> None:
    """`get_many` yields the records of ready tasks, and nothing for the others."""
    ready, failed, running, unknown = (new_id() for _ in range(4))
    backend.store_result(ready, 1, "SUCCESS")
    backend.store_result(failed, ValueError("x"), "FAILURE")
    backend.store_result(running, {"n": 1}, "PROGRESS")
    messages: list[dict[str, Any]] = []
    found = dict(
        backend.get_many(
            {ready, failed, running, unknown},
            interval=0.001,
            max_iterations=1,
            on_message=messages.append,
        )
    )
    assert {task_id: meta["status"] for task_id, meta in found.items()} == {
        ready: "SUCCESS",
        failed: "FAILURE",
    }
    assert {each["task_id"] for each in messages} == {ready, failed}


# -- chords ----------------------------------------------------------------------------------------


def returned(results: list[Any]) -> list[Any]:
    """The body of a chord."""
    return results


class Chord:
    """The header and body of a chord, and what its workers tell the backend."""

    def __init__(self, backend: Any, size: int) -> None:
        app = backend.app
        self.backend = backend
        self.group = new_id()
        self.ids = [new_id() for _ in range(size)]
        app.task(name="contract.body")(returned)
        self.body = app.signature("contract.body", task_id=new_id())
        self.body["chord_size"] = size
        self.begin()

    def begin(self) -> None:
        """What the producer does when it publishes the header."""
        results = [AsyncResult(each, app=self.backend.app) for each in self.ids]
        self.backend.set_chord_size(self.group, len(self.ids))
        self.backend.apply_chord((self.group, results), self.body)

    def request(self, index: int) -> Context:
        """The request of a part, as its worker has it."""
        return Context(
            {
                "id": self.ids[index],
                "group": self.group,
                "group_index": index,
                "chord": self.body,
                "task": "contract.part",
            }
        )

    def succeed(self, index: int, value: object) -> None:
        """End a part, as its worker does."""
        self.backend.mark_as_done(self.ids[index], value, request=self.request(index))

    def published(self) -> list[Any]:
        """Arguments of each message of the body, taken off the queue."""
        app = self.backend.app
        found: list[Any] = []
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(app.conf.task_default_queue)
            while True:
                try:
                    message = queue.get(block=False)
                except Empty:
                    return found
                message.ack()
                found.append(message.payload[0])


@on_counting
@pytest.mark.usefixtures("as_current")
def test_chord_body_is_published_by_the_last_part(backend: Any) -> None:
    """The body runs once, after the last part in any order, with results in the header's order."""
    chord = Chord(backend, 3)
    assert chord.published() == []
    chord.succeed(2, "c")
    chord.succeed(0, "a")
    assert chord.published() == []
    chord.succeed(1, "b")
    assert chord.published() == [[["a", "b", "c"]]]
    assert backend.restore_group(chord.group, cache=False) is None


@on_counting
@pytest.mark.usefixtures("as_current")
def test_chord_body_fails_with_its_parts(backend: Any) -> None:
    """A part that failed makes the body fail with ChordError, and it is not published."""
    chord = Chord(backend, 2)
    chord.succeed(0, "a")
    backend.mark_as_failure(chord.ids[1], ValueError("boom"), request=chord.request(1))
    assert chord.published() == []
    meta = read(backend, chord.body.id)
    assert meta["status"] == states.FAILURE
    assert isinstance(meta["result"], ChordError)
    assert "boom" in str(meta["result"])


@pytest.mark.parametrize("kind", ["fake", "cache", "memcached"], indirect=True)
def test_chord_that_is_published_again_counts_from_the_start(backend: Any) -> None:
    """A redelivered parent publishes its chord again: parts counted before do not count."""
    chord = Chord(backend, 2)
    chord.succeed(0, "a")
    chord.begin()
    chord.succeed(0, "a")
    assert chord.published() == []
    chord.succeed(1, "b")
    assert chord.published() == [[["a", "b"]]]


@on_counting
def test_counter_counts(backend: Any) -> None:
    """`incr` returns 1, 2, 3 for each counter on its own, and begins again when it is deleted."""
    first, second = Chord(backend, 9), Chord(backend, 9)
    keys = [backend.get_key_for_chord(each.group) for each in (first, second)]
    assert [backend.incr(keys[0]) for _ in range(3)] == [1, 2, 3]
    assert backend.incr(keys[1]) == 1
    backend.delete(keys[0])
    first.begin()
    assert backend.incr(keys[0]) == 1
