"""One suite over all backends: an abort is never lost, and ends what it concerns, on each of them.

Celery's own worker code executes the tasks against the real backend, one message at a time, in this
process; whatever must happen at a moment is done by the task that is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import uuid4

import celery
import pytest
from celery import Celery, chain, chord, group
from celery.contrib import abortable
from celery.exceptions import ChordError, Ignore
from celery.result import GroupResult, result_from_tuple

from pytest_taskprogress import (
    AbortableAsyncResult,
    AbortableTask,
    AbortUnsupported,
    Observer,
    TaskAborted,
    abort,
)
from tests.contract.kinds import DATABASES, KEY_VALUE
from tests.contract.worker import PATIENCE, Worker
from tests.servers import MARIADB, MEMCACHED, POSTGRES, REDIS, SQLALCHEMY, close_client, need

CELERY: Final = tuple(int(part) for part in celery.__version__.split(".")[:2])

MakeBackend = Callable[..., Any]

#: For what a client may wait: long, and looked at often.
WAIT: Final = {"timeout": PATIENCE, "interval": 0.005}

# Celery calls `setex`, which redis-py 8 deprecates: goes when Celery does not.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


def new_id() -> str:
    """An id that no other test has."""
    return uuid4().hex


def reporting(worker: Worker, asked_at: int | None = 2, **options: Any) -> Any:
    """A task of four reports, which is asked to abort after one of them."""

    @worker.task(**options)
    def reports(self):
        worker.calls.append("began")
        observer = Observer(self)
        try:
            for n in range(1, 5):
                observer.update("part %d", n, current=n, total=4)
                if n == asked_at:
                    assert self.AsyncResult(self.request.id).abort()
        finally:
            worker.calls.append("finally")
        return "done"

    return reports


# -- the request -----------------------------------------------------------------------------------


def test_a_request_is_a_record_of_its_own(worker: Worker) -> None:
    """Nothing is written where the state is, and everybody sees ABORTED from now on."""
    result = reporting(worker).AsyncResult(new_id())
    assert isinstance(result, abortable.AbortableAsyncResult)
    assert (result.state, result.is_aborted()) == ("PENDING", False)
    assert result.abort() is True
    assert worker.writes == [(result.id, "request")]
    assert worker.stored(result.id)["status"] == "PENDING"
    assert (result.state, result.is_aborted(), result.ready()) == ("ABORTED", True, False)


@pytest.mark.parametrize("end", ["SUCCESS", "FAILURE"])
def test_state_is_aborted_until_the_task_ends_otherwise(worker: Worker, end: str) -> None:
    """No report takes the request back; the end of a task that does not honour it does."""
    seen = []

    @worker.task()
    def stubborn(self):
        result = self.AsyncResult(self.request.id)
        observer = Observer(self, check_abort=False)
        for n in range(1, 4):
            observer.update("part %d", n, current=n, total=3)
            seen.append((result.state, result.ready()))
            result.abort()
        observer.success() if end == "SUCCESS" else observer.fail("it broke")

    result = stubborn.delay()
    worker.drain()
    assert seen == [("PROGRESS", False), ("ABORTED", False), ("ABORTED", False)]
    assert (result.state, result.is_aborted(), result.ready()) == (end, False, True)


ENDS: Final[dict[str, Callable[[Any, str], object]]] = {
    "SUCCESS": lambda backend, task_id: backend.mark_as_done(task_id, 1),
    "FAILURE": lambda backend, task_id: backend.mark_as_failure(task_id, ValueError("no")),
    "REVOKED": lambda backend, task_id: backend.mark_as_revoked(task_id, "no"),
    "ABORTED": lambda backend, task_id: backend.store_result(task_id, {"current": 1}, "ABORTED"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_task_that_has_ended_stays_what_it_is(worker: Worker, end: str) -> None:
    """abort() is False, and asks for nothing."""
    result = reporting(worker).AsyncResult(new_id())
    ENDS[end](worker.backend, result.id)
    assert result.abort() is False
    assert "request" not in worker.states_of(result.id)
    assert result.state == end


def test_who_asks_twice_is_told_so(worker: Worker) -> None:
    """Only the first request is one, whoever makes the second."""
    work = reporting(worker)
    result = work.AsyncResult(new_id())
    assert result.abort() is True
    assert result.abort() is False
    assert work.AsyncResult(result.id).abort() is False
    assert worker.states_of(result.id) == ["request"]


@pytest.mark.parametrize("kind", [*KEY_VALUE[1:], *DATABASES], indirect=True)
def test_an_app_that_does_not_know_the_task_may_ask(
    worker: Worker, make_backend: MakeBackend
) -> None:
    """`abort` takes a result of any class, of any app with the same backend; a fake has one app."""
    result = reporting(worker, asked_at=None).delay()
    assert abort(make_backend().app.AsyncResult(result.id)) is True
    assert result.state == "ABORTED"
    worker.drain()
    assert "began" not in worker.calls


@pytest.mark.parametrize("asked", ["before start", "in the middle", "never"])
def test_a_request_is_forgotten_with_the_result(worker: Worker, asked: str) -> None:
    """A new task of that id is not aborted."""
    first = reporting(worker, asked_at=2 if asked == "in the middle" else None).delay()
    if asked == "before start":
        first.abort()
        worker.take().ack()
    worker.drain()
    with suppress(FileNotFoundError):  # Celery's, of a filesystem that has no state of it
        first.forget()
    again = reporting(worker, asked_at=None, name="again")
    result = again.AsyncResult(first.id)
    assert (result.state, result.is_aborted()) == ("PENDING", False)
    again.apply_async(task_id=first.id)
    worker.drain()
    assert (result.state, result.get(**WAIT)) == ("SUCCESS", "done")


@pytest.mark.parametrize("kind", ["filesystem", *DATABASES], indirect=True)
@pytest.mark.parametrize("asked_at", [2, None], ids=["ended", "only asked"])
def test_a_record_is_cleaned_up_as_results_are(
    make_worker: Callable[..., Worker], asked_at: int | None
) -> None:
    """Where Celery's beat cleans up, it finds requests, and the ends of aborted tasks."""
    worker = make_worker(result_expires=-3600)  # everything has expired an hour ago
    work = reporting(worker, asked_at=asked_at)
    result = work.delay()
    if asked_at is None:
        result.abort()
    else:
        worker.drain()
    assert result.is_aborted()
    worker.backend.cleanup()
    assert work.AsyncResult(result.id).state == "PENDING"
    assert not work.AsyncResult(result.id).is_aborted()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
def test_a_request_expires_as_results_do(make_worker: Callable[..., Worker]) -> None:
    """Where records expire by themselves, requests do too."""
    worker = make_worker(result_expires=3600)
    result = reporting(worker).AsyncResult(new_id())
    result.abort()
    key = worker.backend.get_key_for_task(f"{result.id}.abort")
    assert 3500 < worker.backend.client.ttl(key) <= 3600


# -- an honoured abort -----------------------------------------------------------------------------


@pytest.fixture
def aborted(worker: Worker) -> Any:
    """The result of a task that was aborted after its second report, when all is done."""
    after, failed = worker.function("callback"), worker.function("errback")
    result = reporting(worker).apply_async(link=after.si(), link_error=failed.si())
    worker.drain()
    return result


def test_what_runs(worker: Worker, aborted: Any) -> None:
    """`finally` blocks, `on_abort` and errbacks; no callback."""
    assert worker.calls == ["began", "finally", "on_abort", "after_return ABORTED", "errback"]


def test_what_is_stored(worker: Worker, aborted: Any) -> None:
    """ABORTED, once, with the last progress."""
    assert worker.states_of(aborted.id) == ["PROGRESS", "PROGRESS", "request", "ABORTED"]
    meta = worker.stored(aborted.id)
    assert meta["status"] == "ABORTED"
    progress = {key: meta["result"][key] for key in ("description", "current", "total", "percent")}
    assert progress == {"description": "part 2", "current": 2, "total": 4, "percent": 50.0}


@pytest.mark.parametrize("made_by", ["task", "app"])
def test_what_a_client_gets(worker: Worker, aborted: Any, made_by: str) -> None:
    """TaskAborted with the last progress, at once: by any result, with a timeout and without."""
    make = {"task": worker.app.tasks["reports"], "app": worker.app}[made_by].AsyncResult

    def everything() -> Any:
        result = make(aborted.id)
        assert (result.state, result.ready(), result.successful()) == ("ABORTED", True, False)
        for wait in (WAIT, {}):
            with pytest.raises(TaskAborted) as caught:
                make(aborted.id).get(**wait)
            assert (caught.value.task_id, caught.value.meta["current"]) == (aborted.id, 2)
        return make(aborted.id).get(propagate=False, **WAIT)

    for error in (worker.outcome(everything), everything()):
        assert (type(error), error.meta["current"]) == (TaskAborted, 2)


@pytest.mark.parametrize("asked", ["before", "in the middle"])
def test_a_client_that_waits_is_told(worker: Worker, asked: str) -> None:
    """`get()` returns when the task ends, and not when its time is over."""
    work = reporting(worker, asked_at=2 if asked == "in the middle" else None)
    result = work.delay()
    waits = threading.Event()
    options = {"interval": 0.005, "on_interval": waits.set}
    waiting = worker.client(lambda: worker.app.AsyncResult(result.id).get(**options))
    assert waits.wait(PATIENCE)
    if asked == "before":
        result.abort()
    worker.drain()
    assert type(waiting.outcome()) is TaskAborted


@pytest.mark.parametrize("notices_by", ["is_aborted", "raise_if_aborted", "report"])
def test_a_task_that_has_noticed_may_return(worker: Worker, notices_by: str) -> None:
    """It succeeds: callbacks run, and nobody sees ABORTED any more."""
    notice: dict[str, Callable[[Any], object]] = {
        "is_aborted": lambda task: task.is_aborted(),
        "raise_if_aborted": lambda task: task.raise_if_aborted(),
        "report": lambda task: Observer(task).update("one more"),
    }

    @worker.task()
    def makes_the_best_of_it(self):
        self.AsyncResult(self.request.id).abort()
        with suppress(TaskAborted):
            notice[notices_by](self)
        return "half of it"

    result = makes_the_best_of_it.apply_async(link=worker.function("callback").si())
    worker.drain()
    assert worker.calls == ["on_success", "after_return SUCCESS", "callback"]
    assert worker.states_of(result.id) == ["request", "SUCCESS"]
    assert (result.state, result.get(**WAIT)) == ("SUCCESS", "half of it")
    assert result.abort() is False


# -- before, between and again ---------------------------------------------------------------------

tracked_or_not = pytest.mark.parametrize("tracked", [False, True], ids=["untracked", "tracked"])


@tracked_or_not
@pytest.mark.parametrize("known", [False, True], ids=["unknown id", "published"])
def test_before_it_starts(worker: Worker, *, tracked: bool, known: bool) -> None:
    """The body never runs; also if nobody has heard of the id when it is asked."""
    work = reporting(worker, asked_at=None, track_started=tracked)
    task_id = new_id()
    link_error = worker.function("errback").si()
    steps: list[Callable[[], object]] = [
        lambda: work.apply_async(task_id=task_id, link_error=link_error),
        lambda: work.AsyncResult(task_id).abort(),
    ]
    for step in steps if known else reversed(steps):
        assert step()
    worker.drain()
    assert worker.calls == ["on_abort", "after_return ABORTED", "errback"]
    assert worker.states_of(task_id) == ["request", *["STARTED"][:tracked], "ABORTED"]
    assert worker.stored(task_id)["result"] == {"pending": False}
    with pytest.raises(TaskAborted):
        work.AsyncResult(task_id).get(**WAIT)


@tracked_or_not
@pytest.mark.parametrize("asked", ["in the attempt", "between"])
def test_during_a_retry(worker: Worker, asked: str, *, tracked: bool) -> None:
    """There is no second attempt: it is not published, or its body does not run."""

    @worker.task(track_started=tracked)
    def retries(self):
        worker.calls.append("attempt")
        Observer(self).update("half", current=50)
        if asked == "in the attempt":
            self.AsyncResult(self.request.id).abort()
        raise self.retry(countdown=3600)

    result = retries.delay()
    worker.step()
    if asked == "between":
        assert result.state == "RETRY"
        assert result.abort()
        assert (result.state, result.ready()) == ("ABORTED", False)
    worker.drain()
    assert worker.calls.count("attempt") == 1
    assert worker.calls[-2:] == ["on_abort", "after_return ABORTED"]
    assert worker.states_of(result.id)[-1] == "ABORTED"
    with pytest.raises(TaskAborted):
        result.get(**WAIT)


@tracked_or_not
def test_a_task_that_is_delivered_again(worker: Worker, *, tracked: bool) -> None:
    """It stays aborted."""
    result = reporting(worker, track_started=tracked).delay()
    message = worker.take()
    worker.execute(message)
    worker.execute(message, redelivered=True)
    assert worker.calls.count("began") == 1
    assert worker.states_of(result.id)[-1] == "ABORTED"
    assert (result.state, result.ready()) == ("ABORTED", True)
    with pytest.raises(TaskAborted):
        result.get(**WAIT)


def test_a_task_that_is_delivered_again_is_not_aborted_again(worker: Worker) -> None:
    """Its record keeps the progress, and handlers and errbacks run once."""
    failed = worker.function("errback")
    result = reporting(worker).apply_async(link_error=failed.si())
    message = worker.take()
    worker.execute(message)
    record, calls = worker.stored(result.id), len(worker.calls)
    worker.execute(message, redelivered=True)
    assert worker.stored(result.id) == record
    assert len(worker.calls) == calls
    worker.drain()
    assert worker.calls.count("errback") == 1


@tracked_or_not
def test_a_task_whose_worker_died(worker: Worker, *, tracked: bool) -> None:
    """Asked after its first delivery came to no end, it does not begin a second time."""
    work = reporting(worker, asked_at=None, track_started=tracked)
    result = work.delay()
    message = worker.take()
    worker.backend.store_result(result.id, {"current": 3}, "PROGRESS")
    assert result.abort()
    worker.execute(message, redelivered=True)
    assert "began" not in worker.calls
    assert (result.state, result.ready()) == ("ABORTED", True)


@pytest.mark.parametrize("stores_errors", [False, True])
def test_a_task_whose_result_is_ignored(worker: Worker, *, stores_errors: bool) -> None:
    """It is left like any other; ABORTED is stored where FAILURE would be."""
    work = reporting(worker, ignore_result=True, store_errors_even_if_ignored=stores_errors)
    result = work.delay()
    worker.drain()
    assert worker.calls == ["began", "finally", "on_abort", "after_return ABORTED"]
    assert ("ABORTED" in worker.states_of(result.id)) is stores_errors
    assert work.AsyncResult(result.id).state == "ABORTED"


# -- canvases --------------------------------------------------------------------------------------


def test_a_group_with_an_aborted_member(worker: Worker) -> None:
    """It is ready, and joining it raises TaskAborted, or has one among the values."""
    work = reporting(worker, asked_at=None)
    result = group(work.si() for _ in range(3)).apply_async()
    result.save()
    assert result.results[1].abort()
    worker.drain()
    for each in (result, worker.app.GroupResult.restore(result.id)):
        assert isinstance(each, GroupResult)
        assert each.ready()
        for wait in (each.get, each.join):
            with pytest.raises(TaskAborted):
                wait(**WAIT)
            first, error, last = wait(propagate=False, **WAIT)
            assert (first, type(error), last) == ("done", TaskAborted, "done")
            assert error.task_id == result.results[1].id
    result.delete()


@pytest.mark.parametrize("index", [0, 2], ids=["first", "last"])
@pytest.mark.parametrize("asked", ["before", "in the middle"])
def test_a_chord_with_an_aborted_part(worker: Worker, asked: str, index: int) -> None:
    """Its body fails with ChordError and does not run; the chord's errback runs once."""
    work = reporting(worker, asked_at=None)

    @worker.task()
    def asks(self):
        self.AsyncResult(self.request.id).abort()
        self.raise_if_aborted()

    header = [work.si(), work.si(), work.si()]
    if asked == "in the middle":
        header[index] = asks.si()
    body = worker.function("body").si().on_error(worker.function("errback").si())
    result = chord(header)(body)
    if asked == "before":
        assert result.parent.results[index].abort()
    worker.drain()
    assert "body" not in worker.calls
    assert worker.calls.count("errback") == 1
    assert result.state == "FAILURE"
    assert type(result.result) is ChordError
    assert "TaskAborted" in str(result.result)
    with pytest.raises(ChordError):
        result.get(follow_parents=False, **WAIT)
    with pytest.raises(TaskAborted):
        result.get(**WAIT)


@pytest.mark.parametrize("asked", ["first", "second"])
def test_a_chain_stops(worker: Worker, asked: str) -> None:
    """What was to come is not published, and ABORTED too: who waits for its end is told."""
    names = ["first", "second", "third"]

    def part(name: str) -> Any:
        @worker.task(name=name)
        def run(self):
            worker.calls.append(name)
            if name == asked:
                self.AsyncResult(self.request.id).abort()
                self.raise_if_aborted()

        return run

    last = chain(part(name).si() for name in names).apply_async()
    results = [last.parent.parent, last.parent, last]
    worker.drain()
    ran = names.index(asked) + 1
    assert [each for each in worker.calls if each in names] == names[:ran]
    assert [each.state for each in results] == ["SUCCESS"] * (ran - 1) + ["ABORTED"] * (4 - ran)
    for each in results[ran - 1 :]:
        assert each.ready()
        with pytest.raises(TaskAborted):
            each.get(**WAIT)


#: Each of a task that must not run.
CANVASES: Final[dict[str, Callable[[Any], Any]]] = {
    "task": lambda work: work.si(),
    "group": lambda work: group(work.si(), work.si()),
    "chain": lambda work: chain(work.si(), work.si(), work.si()),
    "chord": lambda work: chord([work.si(), work.si()], work.si()),
    "group of chains": lambda work: group(chain(work.si(), work.si()), chain(work.si(), work.si())),
    "chain around a group": lambda work: chain(
        work.si(), group(work.si(), work.si()), work.si(), work.si()
    ),
    "chord of chains": lambda work: chord([chain(work.si(), work.si()), work.si()], work.si()),
}


@pytest.mark.parametrize("canvas", CANVASES)
def test_abort_of_a_canvas(worker: Worker, canvas: str) -> None:
    """Every task of it is asked, also by results that were made anew from its ids."""
    work = reporting(worker, asked_at=None)
    result = CANVASES[canvas](work).apply_async()
    anew = result_from_tuple(result.as_tuple(), app=worker.app)
    assert abort(anew) is True
    assert abort(result) is False
    worker.drain()
    assert "began" not in worker.calls
    assert result.ready()
    assert abort(anew) is False
    with pytest.raises((TaskAborted, ChordError)):
        result.get(**WAIT)


@pytest.mark.parametrize("canvas", ["chain", "chain around a group", "chord of chains"])
def test_abort_of_a_canvas_that_has_begun(worker: Worker, canvas: str) -> None:
    """What has ended stays what it is; nothing else begins."""
    result = CANVASES[canvas](reporting(worker, asked_at=None)).apply_async()
    while not worker.calls:  # a task that polls the chord may come first
        worker.step()
    assert abort(result) is True
    worker.drain()
    assert worker.calls.count("began") == 1
    with pytest.raises((TaskAborted, ChordError)):
        result.get(**WAIT)
    # Celery < 5.7 leaves alone what comes after a chord that fails: goes with 5.6 support.
    assert result.ready() or (canvas == "chain around a group" and CELERY < (5, 7))


# -- where it cannot be ----------------------------------------------------------------------------


class Down(NamedTuple):
    """A backend that cannot be reached.

    Attributes:
        url: Where nobody listens.
        clients: What Celery needs to find that out.
        errors: Names of what who asks may be told.
    """

    url: str
    clients: Mapping[str, str]
    errors: tuple[str, ...]


#: Before Celery 5.7, and since.
DATABASE_ERRORS: Final = ("OperationalError", "BackendGetMetaError")
#: Of pymemcache; and ours, since python-memcached says nothing.
MEMCACHED_ERRORS: Final = ("ConnectionRefusedError", "AbortUnsupported")
DOWN: Final = {
    "redis": Down("redis://127.0.0.1:1/0", REDIS.clients, ("ConnectionError",)),
    "memcached": Down("cache+memcached://127.0.0.1:1/", MEMCACHED.clients, MEMCACHED_ERRORS),
    "sqlite": Down("db+sqlite:////no/such/directory/results", SQLALCHEMY, DATABASE_ERRORS),
    "postgresql": Down(
        "db+postgresql+psycopg2://postgres@127.0.0.1:1/", POSTGRES.clients, DATABASE_ERRORS
    ),
    "mariadb": Down("db+mysql+pymysql://root@127.0.0.1:1/", MARIADB.clients, DATABASE_ERRORS),
}


# python-memcached leaves a socket to the garbage collector: goes with 5.6 support.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["cache"], indirect=True)
@pytest.mark.parametrize("down", DOWN)
def test_a_backend_that_is_down(worker: Worker, down: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks gets the backend's own error, or one of ours if it has none; the task goes on."""
    need(DOWN[down].clients)
    if "sqlalchemy" in DOWN[down].clients:
        monkeypatch.setattr("celery.backends.database.session.PREPARE_MODELS_MAX_RETRIES", 0)
    asker = Celery("asker", set_as_current=False, broker="memory://", backend=DOWN[down].url)
    asker.conf.update(
        database_create_tables_at_setup=False,
        result_backend_max_retries=1,
        result_backend_transport_options={"retry_policy": {"max_retries": 1}},
    )
    errors: list[str] = []

    @worker.task()
    def goes_on(self):
        try:
            AbortableAsyncResult(self.request.id, app=asker).abort()
        except Exception as error:  # noqa: BLE001 - the backend's own, whatever it is
            errors.append(type(error).__name__)
        Observer(self).update("still here")
        return "done"

    result = goes_on.delay()
    worker.drain()
    close_client(asker.backend)
    asker.close()
    assert len(errors) == 1
    assert errors[0] in DOWN[down].errors
    assert result.get(**WAIT) == "done"


@pytest.mark.parametrize("url", ["rpc://", "disabled://"])
def test_a_backend_that_keeps_no_records(url: str) -> None:
    """abort() says which backends do, and a task that looks is not disturbed."""
    app = Celery(f"asker-{new_id()}", set_as_current=False, broker="memory://", backend=url)
    app.conf.task_default_queue = app.main
    worker = Worker(app)
    result = reporting(worker, asked_at=None).delay()
    with pytest.raises(AbortUnsupported, match=r"(?s)keeps no.*database, Redis, memcached"):
        result.abort()
    worker.drain()
    worker.close()
    app.close()
    assert worker.calls == ["began", "finally", "on_success", "after_return SUCCESS"]


# -- beside Celery's own ---------------------------------------------------------------------------

BASES: Final = {"celery": abortable.AbortableTask, "ours": AbortableTask}

Then = Callable[[Any, list[bool]], object]


def returns(task: Any, checks: list[bool]) -> None:
    """End the task."""


def reports(task: Any, checks: list[bool]) -> None:
    """Make one more report, and look again."""
    Observer(task).update("one more")
    checks.append(task.is_aborted())


def ignores(task: Any, checks: list[bool]) -> None:
    """End the task as Celery's documentation does, to keep a state."""
    raise Ignore


class Seen(NamedTuple):
    """What came of an abort: what was written, what the task's checks said, how it ended."""

    writes: str
    checks: list[bool]
    state: str
    ready: bool


class Row(NamedTuple):
    """An abort, and what comes of it with each of the classes."""

    asked: str
    tracked: bool
    then: Then
    celery: Seen
    ours: Seen


F, T = False, True
ROWS: Final = {
    "before start, tracked": Row(
        *("before", True, returns),
        celery=Seen("ABORTED STARTED SUCCESS", [F, F], "SUCCESS", ready=True),
        ours=Seen("request STARTED ABORTED", [], "ABORTED", ready=True),
    ),
    "before start": Row(
        *("before", False, returns),
        celery=Seen("ABORTED SUCCESS", [T, T], "SUCCESS", ready=True),
        ours=Seen("request ABORTED", [], "ABORTED", ready=True),
    ),
    "in the middle, it returns": Row(
        *("in the middle", True, returns),
        celery=Seen("STARTED ABORTED SUCCESS", [F, T], "SUCCESS", ready=True),
        ours=Seen("STARTED request SUCCESS", [F, T], "SUCCESS", ready=True),
    ),
    "in the middle, it reports": Row(
        *("in the middle", True, reports),
        celery=Seen("STARTED ABORTED PROGRESS SUCCESS", [F, T, F], "SUCCESS", ready=True),
        ours=Seen("STARTED request ABORTED", [F, T], "ABORTED", ready=True),
    ),
    "in the middle, it raises Ignore": Row(
        *("in the middle", True, ignores),
        celery=Seen("STARTED ABORTED", [F, T], "ABORTED", ready=False),
        ours=Seen("STARTED request ABORTED", [F, T], "ABORTED", ready=True),
    ),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("row", ROWS)
def test_row(worker: Worker, row: str, base: str) -> None:
    """With Celery's classes the next write erases the request, which is a state; with ours not."""
    asked, tracked, then, *_ = ROWS[row]
    checks: list[bool] = []

    @worker.task(base=BASES[base], track_started=tracked)
    def work(self):
        checks.append(self.is_aborted())
        if asked == "in the middle":
            self.AsyncResult(self.request.id).abort()
        checks.append(self.is_aborted())
        then(self, checks)

    result = work.AsyncResult(new_id())
    if asked == "before":
        result.abort()
    work.apply_async(task_id=result.id)
    worker.drain()
    seen = Seen(" ".join(worker.states_of(result.id)), checks, result.state, result.ready())
    assert seen == getattr(ROWS[row], base)
