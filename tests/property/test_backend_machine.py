"""FakeBackend beside Celery's `cache+memory`, the same answers to everything; and beside a dict."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from celery import Celery
from celery.app.task import Context
from celery.exceptions import Ignore, Retry, TaskRevokedError
from celery.result import AsyncResult, GroupResult, ResultBase
from celery.states import READY_STATES
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kombu.exceptions import EncodeError

from pytest_taskprogress import FakeBackend, Transition, VirtualClock

Answer = tuple[str, Any]

TASKS: Final = ("a", "b", "c")
GROUPS: Final = ("g", "h")
EXCEPTION_STATES: Final = ("FAILURE", "RETRY", "REVOKED")
STATES: Final = ("PENDING", "STARTED", "PROGRESS", "UPLOADING", "ABORTED", "SUCCESS")


class NeedsTwo(Exception):
    """Cannot be made again from the arguments it shows, so that it cannot be pickled."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


# Values: what a report may carry, and what no serialiser takes.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "ä€😀", "\x00", 'quote " and \\'])
)
plain_metas = st.dictionaries(st.text(max_size=4), scalars, max_size=4)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)
unencodables = st.builds(lambda: {"deep": [lambda: None]})  # neither JSON nor pickle takes it
values = plain_metas | scalars | nested
exceptions = st.one_of(
    st.builds(ValueError, scalars),
    st.builds(KeyError, st.text(max_size=4), st.integers()),
    st.builds(NeedsTwo, scalars, scalars),
    st.builds(TaskRevokedError, st.text(max_size=4)),
    st.builds(lambda text: Retry(text, when=60), st.text(max_size=4)),
    st.just(Ignore()),
    st.builds(lambda: RuntimeError([1, (2, "x")])),
)
told_exceptions = st.fixed_dictionaries(
    {"exc_type": st.sampled_from(["ValueError", "NoSuchError", "system", "OSError"])},
    optional={
        "exc_module": st.sampled_from(["builtins", "os", "no.such.module"]),
        "exc_message": st.text(max_size=4) | st.lists(st.integers(), max_size=2),
        "why": scalars,
    },
)
requests = st.none() | st.fixed_dictionaries(
    {"task": st.just("the.task"), "children": st.lists(st.sampled_from(TASKS), max_size=2)},
    optional={
        "group": st.sampled_from(GROUPS),
        "parent_id": st.sampled_from(TASKS),
        "args": st.lists(st.integers(), max_size=2),
        "kwargs": st.dictionaries(st.sampled_from("xy"), st.integers(), max_size=1),
        "retries": st.integers(0, 3),
    },
)
tracebacks = st.none() | st.text(max_size=8)
tasks = st.sampled_from(TASKS)
groups = st.sampled_from(GROUPS)


def comparable(value: object) -> object:
    """What two answers are compared by: values and their types, NaN equal to itself."""
    if isinstance(value, BaseException):
        kind = type(value)
        args = [comparable(part) for part in value.args if part is not value]  # Retry has itself
        return ("exception", kind.__module__, kind.__qualname__, args, str(value))
    if isinstance(value, ResultBase):
        return ("result", comparable(value.as_tuple()))
    if isinstance(value, dict):
        return ("dict", [(comparable(key), comparable(part)) for key, part in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [comparable(part) for part in value])
    if isinstance(value, float) and math.isnan(value):
        return ("float", "nan")
    return (type(value).__name__, repr(value))


def answer(call: Callable[[], Any]) -> Answer:
    """What a call returns or raises, comparable."""
    try:
        value = call()
    except EncodeError:
        # The fake one says where; the unit tests look at what it says.
        return ("raised", EncodeError)
    except Exception as error:  # noqa: BLE001 - which one, is the answer
        return ("raised", comparable(error))
    return ("returned", comparable(value))


def record(backend: Any, task_id: str, *, cache: bool) -> dict[str, Any]:
    """A task's record; of the time, only whether there is one: they wrote one after the other."""
    meta = dict(backend.get_task_meta(task_id, cache=cache))
    if "date_done" in meta:
        meta["date_done"] = meta["date_done"] is not None
    return meta


def client_view(backend: Any, task_id: str) -> dict[str, Any]:
    """All that a fresh AsyncResult says."""
    result: AsyncResult[Any] = AsyncResult(task_id, app=backend.app)
    return {
        "state": result.state,
        "ready": (result.ready(), result.successful(), result.failed()),
        "result": result.result,
        "traceback": result.traceback,
        "children": result.children,
        "ended": result.date_done is not None,
        "got": result.get(timeout=5, propagate=False) if result.ready() else None,
        "extended": (result.name, result.args, result.kwargs, result.retries, result.queue),
    }


READY: Final = answer(lambda: True)


class BackendMachine(RuleBasedStateMachine):
    """Rules are what a worker and its clients do to a backend."""

    serializer = "json"
    conf: dict[str, Any] = {}  # noqa: RUF012 - read only

    def __init__(self) -> None:
        super().__init__()
        self.fake = self.backend_at("taskprogress://")
        self.cache = self.backend_at("cache+memory://")
        # The cache's store is one for the process: every example has names of its own.
        self.prefix = uuid4().hex
        self.told: list[Transition] = []
        self.asked = 0
        self.started: set[str] = set()
        if isinstance(self.fake, FakeBackend):
            self.fake.subscribe(self.told.append)

    def backend_at(self, url: str) -> Any:
        """A backend as an app makes it."""
        app = Celery("machine", set_as_current=False, backend=url, broker="memory://")
        app.conf.update(
            result_serializer=self.serializer,
            accept_content=["json", "pickle"],
            **self.conf,
        )
        return app.backend

    def teardown(self) -> None:
        """Close the apps."""
        self.fake.app.close()
        self.cache.app.close()

    def id(self, name: str) -> str:
        """The id that a name has in this example."""
        return f"{self.prefix}-{name}"

    def both(self, call: Callable[[Any], Any]) -> Answer:
        """Ask both, and compare."""
        expected = answer(lambda: call(self.cache))
        got = answer(lambda: call(self.fake))
        assert got == expected
        return got

    # -- writing

    def write(self, name: str, value: Any, state: str, **kwargs: Any) -> None:
        """Store in both, and look at what the fake one told."""
        task_id = self.id(name)
        drawn = kwargs.pop("request", None)
        old = answer(lambda: self.cache.get_task_meta(task_id, cache=False)["status"])
        key = self.cache.get_key_for_task(task_id)
        before = self.cache.get(key)
        told = len(self.told)

        def store(backend: Any) -> Any:
            request = None if drawn is None else self.request(backend, task_id, drawn)
            return backend.store_result(task_id, value, state, request=request, **kwargs)

        kind, _ = self.both(store)
        if kind == "raised":
            assert self.cache.get(key) == before
            return
        # What was told is what the real one holds.
        transition = self.told[told]
        assert len(self.told) == told + 1
        assert (transition.index, transition.uuid, transition.state) == (told, task_id, state)
        assert old == ("returned", comparable(transition.old_state))
        assert transition.stored is (transition.old_state != "SUCCESS")
        assert transition.name == (None if drawn is None else "the.task")
        if transition.stored:
            kind, wire = answer(lambda: self.cache.decode(self.cache.get(key))["result"])
            if kind == "returned" and wire[0] == "dict":
                assert comparable(transition.meta) == wire
            else:  # no dict, or stored and not to be read
                assert transition.meta == {}
        else:
            assert self.cache.get(key) == before

    def request(self, backend: Any, task_id: str, drawn: dict[str, Any]) -> Context:
        """The request of the task that writes."""
        told = {key: value for key, value in drawn.items() if key != "children"}
        request = Context({"id": task_id, **told})
        for child in drawn["children"]:
            request.children.append(AsyncResult(self.id(child), app=backend.app))
        return request

    @rule(name=tasks, value=plain_metas, request=requests)
    def report(self, name: str, value: Any, request: Any) -> None:
        """As `update_state` does."""
        self.write(name, value, "PROGRESS", request=request)

    @rule(
        name=tasks,
        value=values,
        state=st.sampled_from(STATES),
        request=requests,
        traceback=tracebacks,
    )
    def store(self, name: str, value: Any, state: str, request: Any, traceback: Any) -> None:
        """Any value with any state that is no exception's."""
        self.write(name, value, state, request=request, traceback=traceback)

    @rule(
        name=tasks,
        value=exceptions | told_exceptions,
        state=st.sampled_from(EXCEPTION_STATES),
        request=requests,
        traceback=tracebacks,
    )
    def fail(self, name: str, value: Any, state: str, request: Any, traceback: Any) -> None:
        """An exception, or what tells of one."""
        self.write(name, value, state, request=request, traceback=traceback)

    @rule(name=tasks, value=values, state=st.sampled_from(EXCEPTION_STATES))
    def break_record(self, name: str, value: Any, state: str) -> None:
        """A failure without exception information: stored, and every later read raises."""
        self.write(name, value, state)

    @rule(name=tasks, error=exceptions, state=st.sampled_from(STATES))
    def return_exception(self, name: str, error: Exception, state: str) -> None:
        """An exception as a result: pickle takes it, JSON does not."""
        self.write(name, error, state)

    @rule(name=tasks, value=unencodables, state=st.sampled_from([*STATES, *EXCEPTION_STATES]))
    def store_unencodable(self, name: str, value: Any, state: str) -> None:
        """What no serialiser takes: refused, but after SUCCESS nobody looks."""
        self.write(name, value, state)

    @rule(name=tasks)
    def store_result_of_another(self, name: str) -> None:
        """A task that returns the result of another one."""
        if self.serializer != "pickle":  # which would carry the backend with it
            task_id = self.id(name)
            self.both(
                lambda backend: backend.store_result(
                    task_id, AsyncResult(self.id("a"), app=backend.app), "SUCCESS"
                )
            )

    @rule(value=plain_metas, task_id=st.sampled_from(["", None]))
    def store_without_id(self, value: Any, task_id: Any) -> None:
        """A write without a task id."""
        self.both(lambda backend: backend.store_result(task_id, value, "PROGRESS"))

    @rule(name=tasks)
    def forget(self, name: str) -> None:
        """What a client does with a result that it has seen."""
        self.both(lambda backend: backend.forget(self.id(name)))

    # -- reading

    @rule(name=tasks, cache=st.booleans())
    def read(self, name: str, *, cache: bool) -> None:
        """The whole record, with and without the client's cache."""
        self.both(lambda backend: record(backend, self.id(name), cache=cache))

    @rule(
        name=tasks,
        reader=st.sampled_from(["get_state", "get_result", "get_traceback", "get_children"]),
    )
    def read_part(self, name: str, reader: str) -> None:
        """A part of the record."""
        self.both(lambda backend: getattr(backend, reader)(self.id(name)))

    @rule(name=tasks)
    def get(self, name: str) -> None:
        """What a task returned, or raised."""
        task_id = self.id(name)
        if answer(lambda: self.cache.get_state(task_id) in READY_STATES) == READY:
            self.both(lambda backend: AsyncResult(task_id, app=backend.app).get(timeout=5))

    @rule(name=tasks)
    def reload(self, name: str) -> None:
        """Into the client's cache."""
        self.both(lambda backend: backend.reload_task_result(self.id(name)))

    @precondition(lambda self: hasattr(self.cache, "task_result_exists"))  # Celery 5.7
    @rule(name=tasks)
    def exists(self, name: str) -> None:
        """Whether anything is stored."""
        self.both(lambda backend: backend.task_result_exists(self.id(name)))

    @rule(names=st.sets(tasks))
    def read_many(self, names: set[str]) -> None:
        """The records of those that are ready."""

        def many(backend: Any) -> dict[str, Any]:
            ids = [self.id(name) for name in names]
            try:
                found = sorted(backend.get_many(ids, interval=0, max_iterations=1), key=str)
            except Exception:  # noqa: BLE001 - whose it is, is by the order of a set
                # And so is which of the others the client keeps.
                backend._cache.clear()
                return {"broken": True}
            return {task_id: meta["status"] for task_id, meta in found}

        self.both(many)

    @rule(names=st.lists(tasks))
    def read_raw(self, names: list[str]) -> None:
        """Several keys at once: a dict or a list, by the backend."""

        def raw(backend: Any) -> list[Any]:
            keys = [backend.get_key_for_task(self.id(name)) for name in names]
            found = backend.mget(keys)
            payloads = [found.get(key) for key in keys] if isinstance(found, dict) else list(found)
            decoded = [backend.decode(payload) for payload in payloads]
            return [
                each and {key: part for key, part in each.items() if key != "date_done"}
                for each in decoded
            ]

        self.both(raw)

    # -- groups and chords

    def group(self, backend: Any, name: str, members: list[str]) -> GroupResult:
        """A group of tasks."""
        results = [AsyncResult(self.id(each), app=backend.app) for each in members]
        return GroupResult(self.id(name), results, app=backend.app)

    @rule(name=groups, members=st.lists(tasks, max_size=3))
    def save_group(self, name: str, members: list[str]) -> None:
        """Store who belongs to a group."""
        self.both(
            lambda backend: backend.save_group(self.id(name), self.group(backend, name, members))
        )

    @rule(name=groups, cache=st.booleans())
    def restore_group(self, name: str, *, cache: bool) -> None:
        """Read who belongs to a group."""
        self.both(lambda backend: backend.restore_group(self.id(name), cache=cache))

    @rule(name=groups)
    def reload_group(self, name: str) -> None:
        """Into the client's cache."""
        self.both(lambda backend: backend.reload_group_result(self.id(name)))

    @rule(name=groups)
    def delete_group(self, name: str) -> None:
        """Forget who belongs to a group."""
        self.both(lambda backend: backend.delete_group(self.id(name)))

    @rule(name=groups, members=st.lists(tasks, min_size=1, max_size=3))
    def start_chord(self, name: str, members: list[str]) -> None:
        """What the producer of a chord does; again, if its message is delivered again."""

        def start(backend: Any) -> None:
            group = self.group(backend, name, members)
            backend.apply_chord((group.id, group.results), backend.app.signature("the.body"))

        self.both(start)
        self.started.add(name)

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def count_part(self, data: st.DataObject) -> None:
        """A part of a chord ended."""
        name = data.draw(st.sampled_from(sorted(self.started)))
        self.both(lambda backend: backend.incr(backend.get_key_for_chord(self.id(name))))

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def end_chord(self, data: st.DataObject) -> None:
        """The last part of a chord ended: its counter goes."""
        name = data.draw(st.sampled_from(sorted(self.started)))
        self.both(lambda backend: backend.delete(backend.get_key_for_chord(self.id(name))))
        self.started.discard(name)

    # -- always

    @invariant()
    def same_to_a_client(self) -> None:
        """A fresh AsyncResult, which is what a client has, says the same of every task."""
        for name in TASKS:
            task_id = self.id(name)
            self.both(lambda backend, task_id=task_id: client_view(backend, task_id))

    @invariant()
    def same_uncached(self) -> None:
        """Past the client's cache, the records are the same."""
        for name in TASKS:
            self.both(lambda backend, name=name: record(backend, self.id(name), cache=False))


class PickleMachine(BackendMachine):
    """Pickle carries what Python has: tuples, keys of any type, exceptions."""

    serializer = "pickle"


class ExtendedMachine(BackendMachine):
    """With name, arguments and worker in the record."""

    conf = {"result_extended": True}  # noqa: RUF012 - read only


class CachedMachine(BackendMachine):
    """Clients that keep what they have seen end."""

    conf = {"result_cache_max": 100}  # noqa: RUF012 - read only


@dataclass
class Known:
    """What a dict has of a task: what was stored last, and when."""

    state: str
    value: Any
    at: float


class DictMachine(RuleBasedStateMachine):
    """A dict is all there is to it: the first SUCCESS is final, and records go out of date."""

    EXPIRES = 60.0

    def __init__(self) -> None:
        super().__init__()
        self.app = Celery("machine", set_as_current=False)
        self.app.conf.update(result_expires=self.EXPIRES)
        self.clock = VirtualClock()
        self.backend = FakeBackend(self.app, clock=self.clock)
        self.known: dict[str, Known] = {}
        self.counters: dict[str, tuple[int, float]] = {}
        self.began = 0.0
        self.told: list[Transition] = []
        self.expected: list[tuple[str, str, str, bool, float]] = []
        self.backend.subscribe(self.told.append)

    def teardown(self) -> None:
        """Close the app."""
        self.app.close()

    @property
    def now(self) -> float:
        """Seconds of the clock."""
        return self.clock.monotonic()

    def of(self, name: str) -> Known | None:
        """What is known of a task, unless it is out of date."""
        known = self.known.get(name)
        return None if known is None or self.now - known.at >= self.EXPIRES else known

    @rule(
        name=tasks,
        value=st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
            max_leaves=4,
        ),
        state=st.sampled_from(STATES),
    )
    def store(self, name: str, value: Any, state: str) -> None:
        """Store; what comes after SUCCESS is dropped."""
        old = self.of(name)
        stored = old is None or old.state != "SUCCESS"
        if stored:
            self.known[name] = Known(state, deepcopy(value), self.now)
        before = "PENDING" if old is None else old.state
        self.expected.append((name, before, state, stored, self.now - self.began))
        self.backend.store_result(name, value, state)
        if isinstance(value, (dict, list)):
            value.clear()  # what the writer does with it later is none of the backend's

    @rule(name=tasks, kind=st.sampled_from([ValueError, KeyError]), text=st.text(max_size=3))
    def fail(self, name: str, kind: type[Exception], text: str) -> None:
        """Store an exception."""
        old = self.of(name)
        stored = old is None or old.state != "SUCCESS"
        if stored:
            self.known[name] = Known("FAILURE", kind(text), self.now)
        before = "PENDING" if old is None else old.state
        self.expected.append((name, before, "FAILURE", stored, self.now - self.began))
        self.backend.store_result(name, kind(text), "FAILURE")

    @rule(name=tasks)
    def forget(self, name: str) -> None:
        """Forget; what nobody knows, too."""
        self.known.pop(name, None)
        self.backend.forget(name)

    @rule(name=tasks)
    def count(self, name: str) -> None:
        """Count, as chords do: a counter begins at 0, and goes out of date from then on."""
        value, at = self.counters.get(name, (0, self.now))
        if self.now - at >= self.EXPIRES:
            value, at = 0, self.now
        self.counters[name] = value + 1, at
        assert self.backend.incr(f"counter-{name}") == value + 1

    @rule(name=tasks)
    def uncount(self, name: str) -> None:
        """Delete a counter."""
        self.counters.pop(name, None)
        self.backend.delete(f"counter-{name}")

    @rule(seconds=st.sampled_from([1.0, 25.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule()
    def clear(self) -> None:
        """Begin anew."""
        self.backend.clear()
        self.known, self.counters, self.began = {}, {}, self.now
        self.told.clear()
        self.expected.clear()

    @invariant()
    def same_as_the_dict(self) -> None:
        """Each reader says what the dict has."""
        for name in TASKS:
            known = self.of(name)
            state, value = ("PENDING", None) if known is None else (known.state, known.value)
            reads = self.backend.reads[name]
            meta = self.backend.peek(name)
            assert self.backend.reads[name] == reads
            assert (meta["status"], comparable(meta["result"])) == (state, comparable(value))
            assert self.backend.get_state(name) == state
            assert comparable(self.backend.get_result(name)) == comparable(value)
            assert AsyncResult(name, app=self.app, backend=self.backend).ready() is (
                state in READY_STATES
            )

    @invariant()
    def told_as_written(self) -> None:
        """Subscribers were told each write once, in order, dropped ones as such."""
        assert [
            (each.uuid, each.old_state, each.state, each.stored, each.at) for each in self.told
        ] == self.expected
        assert [each.index for each in self.told] == list(range(len(self.told)))
        for name in TASKS:
            assert self.backend.writes[name] == sum(each[0] == name for each in self.expected)


TestDict = DictMachine.TestCase
TestJson = BackendMachine.TestCase
TestPickle = PickleMachine.TestCase
TestExtended = ExtendedMachine.TestCase
TestCached = CachedMachine.TestCase

TestJson.settings = TestPickle.settings = settings(deadline=None, stateful_step_count=25)
TestDict.settings = TestExtended.settings = TestCached.settings = settings(
    TestJson.settings, max_examples=max(1, settings().max_examples // 4)
)
