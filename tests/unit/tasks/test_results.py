from __future__ import annotations

import copy
import pickle
from collections import Counter
from types import SimpleNamespace

import pytest
from celery import Celery, Task, _state, chain, chord, group, result
from celery.contrib import abortable
from celery.exceptions import ChordError, Ignore, ImproperlyConfigured, TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, EagerResult, GroupResult, ResultSet, allow_join_result

from pytest_taskprogress import (
    AbortableAsyncResult,
    AbortableTask,
    AbortUnsupported,
    DeadlockError,
    EagerEngine,
    FakeBackend,
    NeedsRealWorker,
    Observer,
    ProgressValueError,
    TaskAborted,
    TaskProgressWarning,
    abort,
)
from pytest_taskprogress.tasks import knowing
from pytest_taskprogress.tasks.aborting import is_asked, is_request, record_id_of, task_of
from pytest_taskprogress.tasks.knowing import KnowsAborted, ended_in_abort, teach
from pytest_taskprogress.tasks.results import tasks_of

PROGRESS = {"pending": False, "percent": 40.0}


@pytest.fixture
def ran():
    """Names of the tasks whose bodies ran, and how often."""
    return Counter()


@pytest.fixture
def tasks(app, ran):
    """Tasks that canvases are made of; those of ours report once, and can be aborted."""

    @app.task(name="work", base=AbortableTask, bind=True)
    def work(self, number=1):
        ran["work"] += 1
        Observer(self).update("working")
        return number

    @app.task(name="plain")
    def plain(number=1):
        ran["plain"] += 1
        return number

    @app.task(name="total", base=AbortableTask)
    def total(numbers):
        ran["total"] += 1
        return sum(numbers)

    @app.task(name="fails", base=AbortableTask)
    def fails():
        raise ValueError("broken")

    app.finalize()
    return SimpleNamespace(work=work, plain=plain, total=total, fails=fails)


@pytest.fixture
def ended(engine, tasks):
    """The result of a task that was aborted, after it had stored some progress."""
    engine.backend.store_result("ended", PROGRESS, "ABORTED")
    return tasks.work.AsyncResult("ended")


def asked_of(backend):
    """The ids of the tasks that were asked to abort."""
    keys = [key.decode().removeprefix("celery-task-meta-") for key in backend._store._records]
    return {task_of(key) for key in keys if is_request(key)}


# -- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("stored", "value", "over"),
    [
        (None, None, False),
        ("RECEIVED", {}, False),
        ("STARTED", {"pid": 1}, False),
        ("PROGRESS", PROGRESS, False),
        ("UPLOADING", PROGRESS, False),
        ("RETRY", ValueError("again"), False),
        ("SUCCESS", 3, True),
        ("FAILURE", ValueError("broken"), True),
        ("REVOKED", ValueError("revoked"), True),
        ("ABORTED", PROGRESS, True),
        ("ABORTED", {}, True),
        # What Celery's own AbortableTask has when it is asked.
        ("ABORTED", None, False),
    ],
)
def test_state(engine, tasks, stored, value, over, asked):
    """ABORTED from the request until the task has ended otherwise; that stays what it was."""
    if stored is not None:
        engine.backend.store_result("id", value, stored)
    if asked:
        engine.backend.store_result(record_id_of("id"), None, "ABORTED")
    each = tasks.work.AsyncResult("id")
    state = stored or "PENDING"
    expected = "ABORTED" if asked and not over else state
    assert (each.state, each.status) == (expected, expected)
    assert each.ready() is over
    assert each.is_aborted() is (expected == "ABORTED")
    assert each.successful() is (state == "SUCCESS")
    assert each.failed() is (state == "FAILURE")
    # What Celery's class would say of it is still said by the app's own results.
    own = engine.app.AsyncResult("id")
    assert (own.state, own.ready()) == (state, over)


@pytest.mark.parametrize(
    ("stored", "value"),
    [("SUCCESS", 3), ("FAILURE", ValueError("broken")), ("ABORTED", PROGRESS)],
)
def test_state_that_is_final_is_read_once(engine, tasks, stored, value):
    """A result that has ended is not looked up again, nor is its request."""
    engine.backend.store_result("id", value, stored)
    each = tasks.work.AsyncResult("id")
    each.ready()
    before = engine.backend.reads.copy()
    assert (each.state, each.ready(), each.is_aborted()) == (stored, True, stored == "ABORTED")
    assert engine.backend.reads == before


def test_result_of_what_ended(ended):
    """It has the last progress as its result, and the properties of any other."""
    assert ended.result == ended.info == PROGRESS
    assert ended.traceback is None
    assert ended.children in (None, [])
    assert ended.name is None
    assert str(ended) == "ended"
    assert ended == "ended"
    assert ended == ended.app.AsyncResult("ended")


@pytest.mark.parametrize(
    ("meta", "is_end"),
    [
        ({"status": "ABORTED", "result": {}}, True),
        ({"status": "ABORTED", "result": PROGRESS}, True),
        ({"status": "ABORTED", "result": None}, False),
        ({"status": "ABORTED", "result": "text"}, False),
        ({"status": "PROGRESS", "result": PROGRESS}, False),
        ({"status": "SUCCESS", "result": {}}, False),
    ],
)
def test_end_and_request_of_celerys_class_differ(meta, is_end):
    """An end has a dict; the state that Celery's class stores as a request has none."""
    assert ended_in_abort(meta) is is_end


# -- abort of one task ----------------------------------------------------------------------------


def test_abort_of_an_unknown_id(engine, tasks):
    """It may start later: it is asked."""
    each = tasks.work.AsyncResult("nobody-knows")
    assert (each.abort(), each.abort(), each.state) == (True, False, "ABORTED")
    assert engine.history.states == []


@pytest.mark.parametrize("name", ["work", "plain", "fails"])
def test_abort_of_what_has_ended(engine, tasks, name):
    """False, and nothing is stored or changed."""
    done = engine.run(getattr(tasks, name))
    for each in (tasks.work.AsyncResult(done.task_id), engine.app.AsyncResult(done.task_id)):
        before = engine.backend.writes.copy()
        assert abort(each) is False
        assert each.state == done.state
        assert engine.backend.writes == before
    assert asked_of(engine.backend) == set()


def test_abort_of_what_has_ended_since_it_was_read(engine, tasks):
    """The result may be older than the end: it is looked up anew."""
    with engine.paused():
        each = tasks.work.delay()
        assert each.state == "PENDING"
        engine.drain()
        assert each.abort() is False
    assert each.state == "SUCCESS"


def test_abort_of_an_aborted_one(ended, engine):
    """It has ended."""
    assert ended.abort() is False
    assert asked_of(engine.backend) == set()


def test_abort_twice_by_two_results(engine, tasks):
    """It is the id that counts."""
    with engine.paused():
        each = tasks.work.delay()
        assert abort(each) is True
        assert abort(tasks.work.AsyncResult(each.id)) is False
        assert abort(engine.app.AsyncResult(each.id)) is False
        assert abort(AsyncResult(each.id, app=engine.app)) is False


def test_abort_does_not_touch_the_state(engine, tasks):
    """The record of the task is as it was."""
    engine.backend.store_result("id", PROGRESS, "PROGRESS")
    tasks.work.AsyncResult("id").abort()
    assert engine.backend.get_task_meta("id")["result"] == PROGRESS
    assert engine.backend.writes["id"] == 1


def test_forget_and_again(engine, tasks):
    """After `forget()` neither the end nor the request is there; it may be asked anew."""
    with engine.paused():
        each = tasks.work.delay()
        each.abort()
    assert each.state == "ABORTED"
    each.forget()
    assert (each.state, each.ready()) == ("PENDING", False)
    assert len(engine.backend._store._records) == 0
    assert each.abort() is True


def test_forget_by_a_result_of_the_app(engine, tasks):
    """`app.AsyncResult(id).forget()` forgets the request as well."""
    with engine.paused():
        each = tasks.work.delay()
        each.abort()
    engine.app.AsyncResult(each.id).forget()
    assert asked_of(engine.backend) == set()


def test_forget_of_a_chain(engine, tasks):
    """Parents are forgotten with it, and that they were asked."""
    with engine.paused():
        each = chain(tasks.work.si(), tasks.work.si(), tasks.work.si()).apply_async()
        abort(each)
    each.forget()
    assert len(engine.backend._store._records) == 0


def test_forget_of_a_group(engine, tasks):
    """Each member is forgotten."""
    with engine.paused():
        each = group(tasks.work.si(), tasks.work.si()).apply_async()
        abort(each)
    each.forget()
    assert asked_of(engine.backend) == set()


@pytest.mark.parametrize("what", ["id", None, 3, [], "task", "signature", "type", "object"])
def test_abort_of_something_else(tasks, what):
    """What is no result is a TypeError, which says what to do with an id."""
    given = {
        "task": tasks.work,
        "signature": tasks.work.s(),
        "type": AbortableAsyncResult,
        "object": object(),
    }.get(what if isinstance(what, str) else "", what)
    with pytest.raises(
        TypeError,
        match=r"^abort\(\) takes the result of a task or of a canvas, got (?s:.*)"
        r"of an id make one by task\.AsyncResult\(id\)$",
    ):
        abort(given)


def test_abort_of_a_list_in_a_group(engine, tasks):
    """A group result with something else in it is a TypeError, too, and nobody was asked."""
    given = GroupResult("id", [tasks.work.AsyncResult("good")], app=engine.app)
    given.results.append("an-id")
    with pytest.raises(TypeError, match="'an-id'"):
        abort(given)
    assert asked_of(engine.backend) == set()


def test_abort_of_an_eager_result(engine, tasks):
    """A task that was run by `apply()` has ended."""
    each = tasks.work.apply()
    assert isinstance(each, EagerResult)
    assert abort(each) is False
    assert abort(each, grace=1) is False
    assert abort(group(tasks.work.s(), tasks.plain.s()).apply()) is False
    assert abort(chain(tasks.work.s(), tasks.work.s()).apply()) is False


@pytest.mark.parametrize("url", [None, "disabled://", "rpc://"])
def test_backend_that_keeps_nothing(url):
    """AbortUnsupported says which task, which backend, and which would do."""
    app = Celery("tests", broker="memory://", backend=url, set_as_current=False)

    @app.task(base=AbortableTask, name="tests.work", shared=False)
    def work():
        pass

    for each in (work.AsyncResult("an-id"), app.AsyncResult("an-id")):
        with pytest.raises(
            AbortUnsupported, match=r"(?s)an-id cannot be asked.*set result_backend"
        ):
            abort(each)
        with pytest.raises(NotImplementedError):
            abort(each, grace=1)
    assert work.is_aborted() is False


def test_backend_that_keeps_nothing_and_groups():
    """The first of a canvas says it for all."""
    app = Celery("tests", broker="memory://", backend="rpc://", set_as_current=False)
    members = [app.AsyncResult("a"), app.AsyncResult("b")]
    with pytest.raises(AbortUnsupported):
        abort(GroupResult("id", members, app=app))


# -- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "of the app"])
def test_get_of_what_ended(engine, ended, kind):
    """`get()` raises at once, with the progress; so it does again."""
    each = ended if kind == "ours" else engine.app.AsyncResult("ended")
    for timeout in (None, 0, 5):
        with pytest.raises(TaskAborted, match=r"^the task ended was aborted$") as caught:
            each.get(timeout=timeout)
        assert (caught.value.task_id, caught.value.meta) == ("ended", PROGRESS)
    with pytest.raises(TaskAborted):
        each.wait()


def test_get_that_does_not_propagate(ended, engine):
    """It returns the error, first and later."""
    for each in (ended, engine.app.AsyncResult("ended")):
        for _ in range(2):
            error = each.get(propagate=False)
            assert isinstance(error, TaskAborted)
            assert error.meta == PROGRESS


def test_get_calls_back(ended):
    """The callback gets the error, if that is not raised, as it gets that of a failure."""
    heard = []
    ended.get(propagate=False, callback=lambda *args: heard.append(args))
    [(task_id, error)] = heard
    assert (task_id, type(error)) == ("ended", TaskAborted)


@pytest.mark.parametrize("timeout", [None, 10])
def test_get_while_it_runs(engine, tasks, timeout):
    """Who waits already hears of it when it comes."""
    with engine.paused():
        each = tasks.work.delay()
        each.abort()
        with pytest.raises(TaskAborted):
            each.get(timeout=timeout)


@pytest.mark.parametrize("name", ["work", "plain"])
def test_get_of_a_chain_while_it_runs(engine, tasks, name):
    """A result with parents is waited for as any other, also of tasks that are not abortable."""
    task = getattr(tasks, name)
    with engine.paused():
        each = chain(task.s(3), task.s(), task.s()).apply_async()
        assert each.get(timeout=10) == 3


def test_get_of_an_aborted_chain_while_it_runs(engine, tasks, ran):
    """Who waits for the last of a chain hears of the abort of the first."""
    with engine.paused():
        each = chain(tasks.work.s(3), tasks.plain.s(), tasks.plain.s()).apply_async()
        each.parent.parent.abort()
        with pytest.raises(TaskAborted) as caught:
            each.get(timeout=10)
    assert caught.value.task_id in (each.id, each.parent.id, each.parent.parent.id)
    assert ran == {}


def test_get_of_an_ended_parent(engine, tasks):
    """Parents are looked at first, unless they are not to be followed."""
    engine.backend.store_result("parent", PROGRESS, "ABORTED")
    engine.backend.store_result("child", 3, "SUCCESS")
    each = tasks.work.AsyncResult("child")
    each.parent = engine.app.AsyncResult("parent")
    with pytest.raises(TaskAborted, match="the task parent was aborted"):
        each.get()
    assert each.get(follow_parents=False) == 3
    assert each.get(propagate=False) == 3


@pytest.mark.parametrize("asked", [False, True])
def test_get_of_a_chain_whose_parent_is_revoked_meanwhile(engine, tasks, asked):
    """Nothing is ever stored of the child: who waits for it hears of the parent, as with Celery."""
    with engine.paused():
        first = tasks.plain.si().set(countdown=5, expires=1)
        each = chain(first, tasks.work.si()).apply_async()
        if asked:
            abort(each)
        with pytest.raises(TaskRevokedError):
            each.get(timeout=60)


def test_get_that_times_out(engine, tasks):
    """Time is the engine's, and it is Celery's own error."""
    with engine.paused():
        each = tasks.work.apply_async(countdown=60)
        with pytest.raises(CeleryTimeoutError):
            each.get(timeout=5)
        assert engine.clock.monotonic() == 5.0


def test_get_of_what_nobody_publishes(engine, tasks):
    """Nothing can come: the engine says so at once, though it was asked."""
    each = tasks.work.AsyncResult("nobody-knows")
    each.abort()
    with pytest.raises(DeadlockError):
        each.get()


@pytest.mark.parametrize("asked", [False, True])
def test_get_calls_on_interval(engine, tasks, asked):
    """It is called between looks."""
    heard = []
    with engine.paused():
        each = tasks.work.delay()
        if asked:
            each.abort()
        error = each.get(propagate=False, on_interval=lambda *_: heard.append(each.state))
    assert heard[0] == ("ABORTED" if asked else "PENDING")
    assert isinstance(error, TaskAborted) is asked


def test_get_with_an_on_interval_that_raises(engine, tasks):
    """What it raises is raised, as with Celery's."""

    def stop(*_):
        raise KeyError("stop")

    with engine.paused():
        each = tasks.work.delay()
        with pytest.raises(KeyError):
            each.get(on_interval=stop)


def test_get_with_on_message(engine, ended):
    """A backend that polls has no messages: that is Celery's error, until the end is known."""
    for each in (ended, engine.app.AsyncResult("ended")):
        with pytest.raises(ImproperlyConfigured, match="on_message"):
            each.get(on_message=print)
        assert each.ready()
        with pytest.raises(TaskAborted):
            each.get(on_message=print)


def test_get_in_a_task(engine, app, tasks):
    """Celery refuses that without `allow_join_result`, and so does this."""

    @app.task(name="tests.waiting")
    def waiting(task_id):
        answers = []
        for each in (tasks.work.AsyncResult(task_id), app.AsyncResult(task_id)):
            with pytest.raises(RuntimeError, match=r"Never call result\.get\(\) within a task"):
                each.get()
            with allow_join_result():
                answers.append(type(each.get(propagate=False)).__name__)
            answers.append(type(each.get(propagate=False, disable_sync_subtasks=False)).__name__)
        return answers

    engine.backend.store_result("ended", PROGRESS, "ABORTED")
    assert engine.run(waiting, "ended").result == ["TaskAborted"] * 4


def test_get_of_what_is_ignored(engine, tasks):
    """A task whose result is ignored returns None at once, aborted or not."""
    with engine.paused():
        each = tasks.work.apply_async(ignore_result=True)
        each.abort()
    assert each.get() is None


def test_get_of_a_success_after_the_request(engine, app):
    """A task that chose to succeed gives its value."""

    @app.task(base=AbortableTask, bind=True, name="tests.choosing")
    def choosing(self):
        self.AsyncResult(self.request.id).abort()
        return "half" if self.is_aborted() else "all"

    assert choosing.delay().get() == "half"


def test_get_of_a_failure(engine, tasks):
    """What it raised is raised; `propagate=False` returns it."""
    each = tasks.fails.delay()
    with pytest.raises(ValueError, match="broken"):
        each.get()
    assert repr(each.get(propagate=False)) == "ValueError('broken')"


@pytest.mark.parametrize("parent", [False, True])
@pytest.mark.parametrize("polls", [0, 1, 5])
def test_get_polls_a_backend_that_has_no_messages(monkeypatch, polls, parent):
    """However often it has looked in vain, it sees the abort: on Celery's own backend."""
    app = Celery("tests", backend="cache+memory://", set_as_current=False)

    @app.task(base=AbortableTask, name="tests.work", shared=False)
    def work():
        pass

    slept = []

    def sleep(seconds):
        slept.append(seconds)
        assert len(slept) <= 5, "it does not come to its end"
        if len(slept) == polls:
            app.backend.store_result(task_id, PROGRESS, "ABORTED")

    task_id = f"polled-{polls}-{parent}"
    if not polls:
        app.backend.store_result(task_id, PROGRESS, "ABORTED")
    monkeypatch.setattr(knowing, "time", SimpleNamespace(sleep=sleep))
    each = work.AsyncResult(task_id)
    if parent:
        each.parent = work.AsyncResult("polled-parent")
    heard = []
    with pytest.raises(TaskAborted):
        each.get(on_interval=lambda *_: heard.append(len(slept)))
    assert len(slept) == polls
    assert heard[:polls] == list(range(polls))
    each.forget()


class Messages(FakeBackend):
    """A backend that gets messages, as the one on Redis does."""

    is_async = True
    messages = ()

    def wait_for_pending(self, each, on_message=None, *, propagate, **_):
        """Take the messages, until there is a result."""
        left = iter(self.messages)
        while not each.ready():
            meta = next(left)
            if meta["task_id"] == each.id:
                each._maybe_set_cache(dict(meta))
            if on_message is not None:
                on_message(dict(meta))
        return each.maybe_throw(propagate=propagate)


@pytest.fixture
def messages(app, tasks):
    """Results of such a backend, and what it gets: reports of two tasks, and an abort of one."""
    backend = Messages(app)
    backend.messages = [
        {"task_id": "other", "status": "ABORTED", "result": {"percent": 1.0}},
        {"task_id": "id", "status": "PROGRESS", "result": {"percent": 30.0}},
        {"task_id": "id", "status": "ABORTED", "result": PROGRESS},
    ]
    return backend


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("kind", ["ours", "of the app"])
def test_get_hears_of_the_end(app, messages, kind, listens):
    """Messages of a backend that has them are told on, and the one of the end ends the waiting."""
    make = AbortableAsyncResult if kind == "ours" else app.AsyncResult
    each = make("id", backend=messages, app=app)
    heard = []
    options = {"on_message": heard.append} if listens else {}
    with pytest.raises(TaskAborted) as caught:
        each.get(**options)
    assert (caught.value.task_id, caught.value.meta) == ("id", PROGRESS)
    assert heard == (messages.messages if listens else [])


def test_join_hears_of_the_end(app, messages):
    """A group's members are told messages one after the other; the callback gets the values."""
    messages.store_result("first", 3, "SUCCESS")
    members = [app.AsyncResult("first", backend=messages), app.AsyncResult("id", backend=messages)]
    heard, values = [], []
    each = app.GroupResult("both", members)
    each.get(
        propagate=False,
        timeout=5,
        on_message=lambda meta: heard.append(meta["status"]),
        callback=lambda task_id, value: values.append((task_id, type(value))),
    )
    assert heard == ["ABORTED", "PROGRESS", "ABORTED"]
    assert values == [("first", int), ("id", TaskAborted)]


def test_then_of_an_end(engine, tasks, ended):
    """`then` is kept when the end was read, as for any other state."""
    heard = []
    ended.then(heard.append)
    assert heard == []
    with pytest.raises(TaskAborted):
        ended.get()
    assert heard == [ended]


def test_maybe_throw(ended, engine):
    """It raises, or returns, the error; and nothing for what still runs."""
    with pytest.raises(TaskAborted):
        ended.maybe_throw()
    with pytest.raises(TaskAborted):
        ended.maybe_reraise()
    heard = []
    error = ended.maybe_throw(propagate=False, callback=lambda *args: heard.append(args))
    assert heard == [("ended", error)]
    engine.backend.store_result("runs", PROGRESS, "PROGRESS")
    assert engine.app.AsyncResult("runs").maybe_throw() == PROGRESS


def test_iterdeps_and_collect(engine, tasks):
    """Walking a chain that was aborted comes to its end."""
    with engine.paused():
        each = chain(tasks.work.si(), tasks.plain.si()).apply_async()
        abort(each)
    walked = list(each.parent.iterdeps(intermediate=True))
    assert walked[0][1] == each.parent
    values = [value for _, value in each.collect(propagate=False)]
    assert [type(value) for value in values] == [TaskAborted]


# -- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["copy", "deepcopy of the id", "pickle", "tuple"])
@pytest.mark.parametrize("kind", ["ours", "of the app"])
def test_copies(engine, ended, kind, way):
    """A result that was sent elsewhere knows what the original knows."""
    each = ended if kind == "ours" else engine.app.AsyncResult("ended")
    if way == "copy":
        again = copy.copy(each)
    elif way == "pickle":
        again = pickle.loads(pickle.dumps(each))  # noqa: S301 - our own
    elif way == "tuple":
        again = result.result_from_tuple(each.as_tuple(), engine.app)
    else:
        again = type(each)(each.id, backend=each.backend, app=each.app)
    assert again == each
    assert (again.state, again.ready()) == ("ABORTED", True)
    assert isinstance(again.get(propagate=False), TaskAborted)
    assert abort(again) is False
    if way != "tuple":
        assert type(again) is type(each)


def test_tuple_keeps_the_parents(engine, tasks):
    """A chain that was stored as a tuple is aborted as a whole."""
    with engine.paused():
        each = chain(tasks.work.si(), tasks.work.si(), tasks.plain.si()).apply_async()
        again = result.result_from_tuple(each.as_tuple(), engine.app)
        assert abort(again) is True
        assert asked_of(engine.backend) == {each.id, each.parent.id, each.parent.parent.id}


# -- canvases: which ids are asked ----------------------------------------------------------------


def ids_of(each):
    """The ids of the tasks of a result, by hand."""
    found = set()
    if each is None:
        return found
    if isinstance(each, ResultSet):
        for member in each.results:
            found |= ids_of(member)
    else:
        found.add(each.id)
    return found | ids_of(each.parent)


CANVASES = {
    "group": (lambda t: group(t.work.si(), t.plain.si(), t.work.si()), 3),
    "group of one": (lambda t: group([t.work.si()]), 1),
    "chain": (lambda t: chain(t.work.si(), t.plain.si(), t.work.si()), 3),
    "chord": (lambda t: chord([t.work.si(), t.work.si()], t.total.s()), 3),
    "group in a chain": (lambda t: chain(t.work.si(), group(t.work.si(), t.plain.si())), 3),
    "chord in a chain": (
        lambda t: chain(t.work.si(), group(t.work.si(), t.work.si()), t.total.s(), t.work.s()),
        5,
    ),
    "chain in a group": (
        lambda t: group(chain(t.work.si(), t.work.si()), t.work.si(), chain(t.work.si())),
        4,
    ),
    "group in a group": (lambda t: group(group(t.work.si(), t.work.si()), t.work.si()), 3),
    "chain in a chord": (lambda t: chord([chain(t.work.si(), t.work.s())], t.total.s()), 3),
    "chord in a chord": (
        lambda t: chord([chord([t.work.si()], t.total.s()), t.work.si()], t.total.s()),
        4,
    ),
    "chain of a chord of chains": (
        lambda t: chain(
            t.work.si(),
            chord([chain(t.work.si(), t.work.s()), t.work.si()], t.total.s()),
            t.work.s(),
        ),
        6,
    ),
}


#: Those of which Celery tells the outermost result that a task has failed.
ENDING = [name for name in CANVASES if name != "chord in a chord"]


@pytest.mark.parametrize("name", CANVASES)
def test_canvas(engine, tasks, ran, name):
    """Every task of it is asked by its id, before any of it runs; none of ours runs then."""
    make, count = CANVASES[name]
    with engine.paused():
        each = make(tasks).apply_async()
        assert abort(each) is True
        asked = asked_of(engine.backend)
        assert asked == ids_of(each)
        assert len(asked) == count
        assert abort(each) is False
    assert ran["work"] == ran["total"] == 0
    assert each.ready() is (name in ENDING)


def test_chord_in_a_chord(engine, tasks):
    """Celery does not tell the outer chord that the inner one failed; nor that it was aborted."""
    ends = []
    for first in (tasks.fails.si(), tasks.work.si()):
        with engine.paused():
            each = chord([chord([first], tasks.total.s()), tasks.plain.si()], tasks.total.s())()
            if first.task == "work":
                each.parent.results[0].parent.results[0].abort()
        ends.append((each.state, each.ready()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", ENDING)
def test_get_of_an_aborted_canvas(engine, tasks, name):
    """Nobody waits for ever: it raises TaskAborted, or the error of a chord that had one."""
    with engine.paused():
        each = CANVASES[name][0](tasks).apply_async()
        abort(each)
        with pytest.raises((TaskAborted, ChordError)):
            each.get(timeout=60)
    with pytest.raises((TaskAborted, ChordError)):
        each.get(timeout=60)


@pytest.mark.parametrize("name", CANVASES)
def test_canvas_that_is_not_aborted(engine, tasks, name):
    """The same canvas, not aborted, comes to its end."""
    with engine.paused():
        each = CANVASES[name][0](tasks).apply_async()
        each.get(timeout=60)
    assert each.ready()
    assert each.successful()
    assert abort(each) is False


@pytest.mark.parametrize("name", CANVASES)
def test_tasks_of(engine, tasks, name):
    """Each task is walked once."""
    with engine.paused():
        each = CANVASES[name][0](tasks).apply_async()
        walked = [member.id for member in tasks_of(each)]
        assert sorted(walked) == sorted(ids_of(each))
        again = [member.id for member in tasks_of(ResultSet([each, each], app=engine.app))]
        assert sorted(again) == sorted(walked)


def test_tasks_of_what_contains_itself(engine, tasks):
    """A ring of results, which somebody has made, is walked once."""
    first, second = tasks.work.AsyncResult("first"), tasks.work.AsyncResult("second")
    first.parent, second.parent = second, first
    assert abort(first) is True
    assert asked_of(engine.backend) == {"first", "second"}


def test_group_result_that_contains_itself(engine, tasks):
    """A group result in itself does not hang the walk."""
    members = [tasks.work.AsyncResult("first")]
    ring = GroupResult("ring", members, app=engine.app)
    ring.results.append(ring)
    assert abort(ring) is True


def test_very_long_chain(engine, tasks):
    """No recursion: a chain of parents may be as long as it likes."""
    each = None
    for index in range(3000):
        node = engine.app.AsyncResult(f"node-{index}")
        node.parent = each
        each = node
    assert abort(each) is True
    assert len(asked_of(engine.backend)) == 3000


def test_chain_stops_in_the_middle(engine, tasks, app, ran):
    """Aborted while the first runs, the later ones are never run, and end as aborted ones."""

    @app.task(base=AbortableTask, bind=True, name="tests.first")
    def first(self):
        Observer(self).update("begun", current=10)
        abort(known["result"])
        Observer(self).update("on", current=20)

    known = {}
    with engine.paused():
        known["result"] = each = chain(first.si(), tasks.plain.si(), tasks.work.si()).apply_async()
    assert ran == {}
    assert [engine.history.of(node.id).states[-1] for node in (each.parent.parent, each)] == [
        "ABORTED",
        "ABORTED",
    ]
    assert each.parent.state == "ABORTED"
    assert (each.ready(), each.parent.ready()) == (True, True)


def test_chain_goes_on_after_a_task_that_does_not_look(engine, tasks, ran):
    """A task without the base runs to its end; the next one that looks stops the chain."""
    with engine.paused():
        each = chain(tasks.plain.si(), tasks.work.si(), tasks.plain.si()).apply_async()
        abort(each)
    assert ran == {"plain": 1}
    assert each.state == "ABORTED"


def test_one_member_of_a_group(engine, tasks):
    """Aborting one leaves the others alone."""
    with engine.paused():
        each = group(tasks.work.s(1), tasks.work.s(2), tasks.work.s(3)).apply_async()
        each.results[1].abort()
    assert [member.state for member in each.results] == ["SUCCESS", "ABORTED", "SUCCESS"]
    values = each.get(propagate=False)
    assert (values[0], values[2]) == (1, 3)
    assert isinstance(values[1], TaskAborted)


@pytest.mark.parametrize("counting", [True, False])
def test_one_task_of_a_header(engine, tasks, app, ran, monkeypatch, counting):
    """The body does not run; the chord fails, and its errback hears of the abort."""
    heard = []

    @app.task(name="tests.errback")
    def errback(request, exc, traceback):
        heard.append(str(exc))

    if not counting:
        # Of a backend that cannot count, a task of Celery's polls the header.
        monkeypatch.setattr(FakeBackend, "implements_incr", False)
        monkeypatch.setattr(FakeBackend, "supports_native_join", False)
    with EagerEngine(app) if not counting else _as_it_is(engine) as used, used.paused():
        header = [tasks.work.s(1), tasks.work.s(2)]
        each = chord(header, tasks.total.s().on_error(errback.s())).apply_async()
        each.parent.results[0].abort()
        used.drain()
        assert ran["total"] == 0
        assert each.state == "FAILURE"
        with pytest.raises(TaskAborted):
            each.get(timeout=10)
        with pytest.raises(ChordError, match="TaskAborted"):
            each.get(timeout=10, follow_parents=False)
    assert heard
    assert all("TaskAborted" in text for text in heard)


class _as_it_is:  # noqa: N801 - a context manager
    """An engine that is installed already."""

    def __init__(self, engine):
        self._engine = engine

    def __enter__(self):
        return self._engine

    def __exit__(self, *_):
        pass


def test_finished_members_are_not_asked(engine, tasks):
    """Of a group of which one has ended the others are asked."""
    with engine.paused():
        each = group(tasks.work.s(1), tasks.work.s(2)).apply_async()
        engine.step()
        assert abort(each) is True
        assert asked_of(engine.backend) == {each.results[1].id}
    assert sorted(member.state for member in each.results) == ["ABORTED", "SUCCESS"]


def test_empty_group(engine):
    """There is nobody to ask."""
    assert abort(GroupResult("empty", [], app=engine.app)) is False
    assert abort(ResultSet([], app=engine.app)) is False


# -- results of groups ----------------------------------------------------------------------------


@pytest.fixture
def members(engine, tasks):
    """Three results: one of them aborted."""
    with engine.paused():
        each = group(tasks.work.s(1), tasks.work.s(2), tasks.work.s(3)).apply_async()
        each.results[1].abort()
    return each


def kinds(values):
    """What the values of a group are."""
    return [type(value).__name__ for value in values]


@pytest.mark.parametrize("how", ["get", "join", "join_native"])
def test_group_is_joined(members, how):
    """Every way to wait for a group comes to its end."""
    with pytest.raises(TaskAborted):
        getattr(members, how)()
    values = getattr(members, how)(propagate=False)
    assert kinds(values) == ["int", "TaskAborted", "int"]
    heard = []
    getattr(members, how)(propagate=False, callback=lambda *args: heard.append(args))
    assert sorted(kinds(value for _, value in heard)) == ["TaskAborted", "int", "int"]
    assert {task_id for task_id, _ in heard} == {each.id for each in members.results}


@pytest.mark.parametrize("how", ["get", "join", "join_native"])
def test_group_is_joined_while_it_runs(engine, tasks, how):
    """Also by who waits already."""
    with engine.paused():
        each = group(tasks.work.s(1), tasks.work.s(2)).apply_async()
        each.results[0].abort()
        values = getattr(each, how)(timeout=10, propagate=False)
    assert kinds(values) == ["TaskAborted", "int"]


@pytest.mark.parametrize("kind", ["group", "set"])
def test_results_that_the_app_makes(engine, members, kind):
    """`app.GroupResult` and `app.ResultSet` of the same members are joined as well."""
    app = engine.app
    make = {
        "group": lambda: app.GroupResult("other", list(members.results)),
        "set": lambda: app.ResultSet(list(members.results)),
    }[kind]
    assert kinds(make().get(propagate=False)) == ["int", "TaskAborted", "int"]
    assert kinds(make().join(propagate=False)) == ["int", "TaskAborted", "int"]
    assert make().ready()
    assert not make().waiting()
    assert not make().successful()
    assert abort(make()) is False


def test_group_that_is_saved_and_restored(engine, tasks, ran):
    """A group result made anew of its id is aborted, waited for, and forgotten."""
    with engine.paused():
        each = group(tasks.work.s(1), tasks.work.s(2)).apply_async()
        each.save()
        again = engine.app.GroupResult.restore(each.id)
        assert not again.ready()
        assert abort(again) is True
        assert asked_of(engine.backend) == {member.id for member in each.results}
    assert ran == {}
    again = engine.app.GroupResult.restore(each.id)
    assert again.ready()
    assert kinds(again.get(propagate=False)) == ["TaskAborted", "TaskAborted"]
    with pytest.raises(TaskAborted):
        again.get()


def test_group_join_with_on_message(members):
    """A backend that polls has none: Celery's error, too."""
    with pytest.raises(ImproperlyConfigured, match="on_message"):
        members.get(propagate=False, on_message=print)


def test_group_that_times_out(engine, tasks):
    """The time-out is that of all members together."""
    with engine.paused():
        each = group(
            tasks.work.signature(countdown=60), tasks.work.signature(countdown=60)
        ).apply_async()
        with pytest.raises(CeleryTimeoutError):
            each.get(timeout=5)


def test_group_in_a_task(engine, app, tasks):
    """Celery refuses to wait in a task."""

    @app.task(name="tests.joins")
    def joins():
        each = app.GroupResult("id", [app.AsyncResult("ended")])
        for wait in (each.get, each.join, each.join_native):
            with pytest.raises(RuntimeError, match="within a task"):
                wait()
            with allow_join_result():
                assert kinds(wait(propagate=False)) == ["TaskAborted"]

    engine.backend.store_result("ended", PROGRESS, "ABORTED")
    done = engine.run(joins)
    assert done.state == "SUCCESS", done.traceback


def test_then_of_a_group(members):
    """`ready()`, `waiting()` and the counts know it."""
    assert members.ready()
    assert not members.waiting()
    assert not members.failed()
    assert not members.successful()
    assert members.completed_count() == 2


def test_group_result_is_pickled(members):
    """It comes back as what it was."""
    again = pickle.loads(pickle.dumps(members))  # noqa: S301 - our own
    assert kinds(again.get(propagate=False)) == ["int", "TaskAborted", "int"]


# -- grace ----------------------------------------------------------------------------------------


@pytest.fixture
def revoked(app, monkeypatch):
    """What was revoked: ids, and whether it was to be terminated."""
    calls = []

    def revoke(self, *, terminate=False):
        calls.append((self.id, terminate))

    monkeypatch.setattr(AsyncResult, "revoke", revoke)
    return calls


def test_ended_within_grace(engine, tasks, revoked):
    """Nothing is revoked of what ends in time, and no more time is waited than that takes."""
    with engine.paused():
        each = tasks.work.apply_async(countdown=3)
        assert each.abort(grace=10) is True
        assert engine.clock.monotonic() == 3.0
        assert each.state == "ABORTED"
    assert revoked == []


def test_late_ones_are_revoked(engine, tasks, revoked):
    """What has not ended by then is terminated; what has is not."""
    with engine.paused():
        early, late = tasks.work.apply_async(countdown=3), tasks.work.apply_async(countdown=60)
        results = engine.app.GroupResult("both", [late, early])
        assert abort(results, grace=10) is True
        assert engine.clock.monotonic() == 10.0
        assert revoked == [(late.id, True)]


def test_grace_is_for_all_together(engine, tasks, revoked):
    """Five late tasks are waited for as long as one."""
    with engine.paused():
        late = [tasks.work.apply_async(countdown=60) for _ in range(5)]
        abort(ResultSet(late, app=engine.app), grace=10)
        assert engine.clock.monotonic() == 10.0
    assert revoked == [(each.id, True) for each in late]


def test_grace_of_zero(engine, tasks, revoked):
    """It is asked, looked at once, and revoked."""
    with engine.paused():
        each = tasks.work.apply_async(countdown=3)
        abort(each, grace=0)
        assert engine.clock.monotonic() == 0.0
        assert revoked == [(each.id, True)]


def test_late_task_is_revoked_on_the_engine(engine, tasks, ran):
    """One that does not run yet is revoked by the engine's own worker, and never runs."""
    with engine.paused():
        each = tasks.plain.apply_async(countdown=60)
        assert abort(each, grace=1) is True
    assert ran == {}
    assert each.state == "REVOKED"


def test_task_that_runs_cannot_be_terminated_here(engine, app, tasks):
    """On the engine a task that runs is not killed: NeedsRealWorker says so."""

    @app.task(base=AbortableTask, bind=True, name="tests.stubborn")
    def stubborn(self):
        each = self.AsyncResult(self.request.id)
        with allow_join_result(), pytest.raises(NeedsRealWorker):
            each.abort(grace=1)
        return "returned"

    assert engine.run(stubborn).result == "returned"


def test_grace_after_a_request(engine, tasks, revoked):
    """What was asked before, and has not listened, is revoked by a second call."""
    with engine.paused():
        each = tasks.work.apply_async(countdown=60)
        assert each.abort() is True
        assert each.abort(grace=5) is False
        assert revoked == [(each.id, True)]


def test_grace_for_what_has_ended(engine, tasks, ended, revoked):
    """There is nothing to wait for."""
    assert ended.abort(grace=60) is False
    assert tasks.work.delay().abort(grace=60) is False
    assert tasks.fails.delay().abort(grace=60) is False
    assert engine.clock.monotonic() == 0.0
    assert revoked == []


def test_grace_for_an_unknown_id(engine, tasks, revoked):
    """Nobody can say when it will end: it is revoked after that, at once where nothing can come."""
    tasks.work.AsyncResult("nobody-knows").abort(grace=5)
    assert revoked == [("nobody-knows", True)]


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "5", True, [1]])
def test_grace_that_is_none(engine, tasks, grace):
    """What is no finite number of 0 or more is refused, before anybody is asked."""
    with pytest.raises(ProgressValueError, match="grace"):
        tasks.work.AsyncResult("id").abort(grace=grace)
    assert asked_of(engine.backend) == set()


def test_grace_inside_a_task(engine, app, tasks):
    """A task that waits for others may be the one that they wait for: Celery's own refusal."""

    @app.task(name="tests.graceful")
    def graceful():
        with pytest.raises(RuntimeError, match="within a task"):
            abort(app.AsyncResult("id"), grace=5)
        with pytest.raises(RuntimeError, match="within a task"):
            tasks.work.AsyncResult("id").abort(grace=5)

    done = engine.run(graceful)
    assert done.state == "SUCCESS", done.traceback
    assert asked_of(engine.backend) == set()


# -- apps -----------------------------------------------------------------------------------------


def test_app_without_one_is_unchanged(app, monkeypatch):
    """An app that has no AbortableTask has Celery's own classes."""
    # A shared task of another test may be abortable.
    built_in = {
        each for each in _state._on_app_finalizers if each.__module__ == "celery.app.builtins"
    }
    monkeypatch.setattr(_state, "_on_app_finalizers", built_in)

    @app.task(name="tests.plain")
    def plain():
        pass

    app.finalize()
    for name in ("AsyncResult", "GroupResult", "ResultSet"):
        made = getattr(app, name)
        assert made.__mro__[1] is getattr(result, name)
        assert not issubclass(made, KnowsAborted)


def test_app_with_one_knows(app, tasks):
    """One that has one makes results that know ABORTED; they are Celery's all the same."""
    assert issubclass(app.AsyncResult, KnowsAborted)
    for name in ("AsyncResult", "GroupResult", "ResultSet"):
        made = getattr(app, name)
        assert issubclass(made, getattr(result, name))
        assert made.__name__ == name
        assert made.__module__ == "celery.result"
    assert app.AsyncResult("id").app is app
    assert not isinstance(app.AsyncResult("id"), AbortableAsyncResult)


def test_taught_once(app, tasks):
    """A second AbortableTask changes nothing more."""
    before = (app.AsyncResult, app.GroupResult, app.ResultSet)

    @app.task(name="tests.second", base=AbortableTask)
    def second():
        pass

    app.finalize()
    second.name  # bound
    teach(app)
    assert (app.AsyncResult, app.GroupResult, app.ResultSet) == before


def test_app_with_result_classes_of_its_own():
    """An app's own class keeps what it has, and knows ABORTED."""

    class Named(AsyncResult):
        @property
        def short(self):
            return self.id[:3]

    class Own(Celery):
        @property
        def AsyncResult(self):  # noqa: N802 - Celery's name
            return self.__dict__.get("own") or self.subclass_with_self(Named, name="AsyncResult")

        @AsyncResult.setter
        def AsyncResult(self, made):  # noqa: N802
            self.__dict__["own"] = made

    app = Own("tests", set_as_current=False)

    @app.task(name="tests.work", base=AbortableTask, shared=False)
    def work():
        pass

    with EagerEngine(app) as engine:
        work.name  # bound
        engine.backend.store_result("ended", PROGRESS, "ABORTED")
        each = app.AsyncResult("ended")
        assert (each.short, each.ready()) == ("end", True)


def test_two_apps(app, tasks):
    """What one app has is not the other's: their backends, and their requests, differ."""
    other = Celery("other", set_as_current=False)

    @other.task(name="work", base=AbortableTask, shared=False)
    def work():
        pass

    with EagerEngine(app) as one, EagerEngine(other) as two:
        assert tasks.work.AsyncResult("id").abort() is True
        assert is_asked(one.backend, "id")
        assert not is_asked(two.backend, "id")
        assert work.AsyncResult("id").abort() is True
        assert abort(other.AsyncResult("id")) is False
        assert work.AsyncResult("id").app is other
        # Whoever asks, the result says whose backend it is.
        mixed = ResultSet([app.AsyncResult("x"), other.AsyncResult("y")], app=app)
        assert abort(mixed) is True
        assert asked_of(one.backend) == {"id", "x"}
        assert asked_of(two.backend) == {"id", "y"}


def test_result_of_another_app_inside_a_task(engine, tasks, app):
    """A task may abort one of another app."""
    other = Celery("other", set_as_current=False)

    @app.task(name="tests.asking")
    def asking():
        return abort(other.AsyncResult("id"))

    with EagerEngine(other) as two:
        assert engine.run(asking).result is True
        assert is_asked(two.backend, "id")
        assert not is_asked(engine.backend, "id")


def test_built_without_an_app(engine, tasks):
    """As with Celery's class, without an app it is the current one's."""
    engine.app.set_current()
    each = AbortableAsyncResult("id")
    assert each.app is not None
    assert AbortableAsyncResult("id", app=engine.app).abort() is True


def test_plain_tasks_of_such_an_app(engine, tasks):
    """Results of tasks that have nothing to do with it are what they were."""
    each = tasks.plain.delay(3)
    assert type(each) is engine.app.AsyncResult
    assert (each.state, each.get(), each.ready()) == ("SUCCESS", 3, True)
    heard = []
    again = engine.app.AsyncResult(each.id)
    assert again.get(callback=lambda *args: heard.append(args)) == 3
    assert heard == [(each.id, 3)]


# -- Celery's own AbortableTask in the same app ---------------------------------------------------


@pytest.fixture
def celerys(app, tasks, ran):
    """A task of Celery's class beside ours."""

    @app.task(name="tests.celerys", base=abortable.AbortableTask, bind=True, track_started=True)
    def celerys(self, *, report=False, ignored=False):
        ran["celerys"] += 1
        seen = [self.is_aborted()]
        abortable.AbortableAsyncResult(self.request.id, app=self.app).abort()
        seen.append(self.is_aborted())
        if report:
            self.update_state(state="PROGRESS", meta={"current": 1})
            seen.append(self.is_aborted())
        if ignored:
            raise Ignore
        return seen

    return celerys


@pytest.mark.filterwarnings("ignore:(?s).*the abort that was asked for")
def test_celerys_is_as_it_was(engine, celerys):
    """The rows of FACTS: the request is the state, and a later write erases it."""
    done = engine.run(celerys)
    assert done.states == ["STARTED", "ABORTED", "SUCCESS"]
    assert done.result == [False, True]
    done = engine.run(celerys, report=True)
    assert done.states == ["STARTED", "ABORTED", "PROGRESS", "SUCCESS"]
    assert done.result == [False, True, False]


def test_celerys_is_never_ready(engine, celerys):
    """A task of Celery's that ends by Ignore stays ABORTED, and nobody is told that it is over."""
    done = engine.run(celerys, ignored=True)
    assert done.states == ["STARTED", "ABORTED"]
    for each in (celerys.AsyncResult(done.task_id), engine.app.AsyncResult(done.task_id)):
        assert (each.state, each.ready()) == ("ABORTED", False)
    with pytest.raises(DeadlockError):
        engine.app.AsyncResult(done.task_id).get()


@pytest.mark.filterwarnings("ignore:(?s).*the abort that was asked for")
@pytest.mark.parametrize("how", ["method", "function"])
def test_celerys_is_asked_in_its_own_way(engine, app, how):
    """`abort(result)` of Celery's class stores the state that its task looks at."""

    @app.task(name="tests.looks", base=abortable.AbortableTask, bind=True)
    def looks(self):
        return self.is_aborted()

    with engine.paused():
        each = looks.delay()
        if how == "function":
            assert abort(each) is True
            assert abort(each) is False
        else:
            each.abort()
        assert (each.state, each.is_aborted(), each.ready()) == ("ABORTED", True, False)
    assert each.get() is True


@pytest.mark.filterwarnings("ignore:(?s).*the abort that was asked for")
def test_celerys_in_a_group_of_ours(engine, app, tasks):
    """A group of both kinds: each is asked in its way."""

    @app.task(name="tests.looks", base=abortable.AbortableTask, bind=True)
    def looks(self):
        return self.is_aborted()

    with engine.paused():
        each = group(looks.s(), tasks.work.s()).apply_async()
        assert abort(each) is True
    values = each.get(propagate=False)
    assert values[0] is True
    assert isinstance(values[1], TaskAborted)


def test_celerys_that_is_over(engine, app):
    """A task of Celery's that has ended is not asked."""

    @app.task(name="tests.looks", base=abortable.AbortableTask, bind=True)
    def looks(self):
        return self.is_aborted()

    each = looks.delay()
    assert abort(each) is False
    assert each.state == "SUCCESS"


def test_celerys_result_of_one_of_our_tasks(engine, app):
    """Asked by Celery's own class, `abort()` as a function reaches a task of ours as well."""
    known = []

    @app.task(name="tests.ours", base=AbortableTask, bind=True)
    def ours(self):
        known.append(abort(abortable.AbortableAsyncResult(self.request.id, app=self.app)))
        return self.is_aborted()

    with pytest.warns(TaskProgressWarning, match="abort"):
        done = engine.run(ours)
    assert (known, done.result) == ([True], True)


def test_task_that_stores_aborted_itself(engine, app, tasks):
    """A task of any kind that stores ABORTED with a dict has ended so."""

    @app.task(name="tests.by_hand", base=Task, bind=True)
    def by_hand(self):
        self.update_state(state="ABORTED", meta={"rows": 3})
        raise Ignore

    done = engine.run(by_hand)
    each = engine.app.AsyncResult(done.task_id)
    assert (each.state, each.ready()) == ("ABORTED", True)
    with pytest.raises(TaskAborted) as caught:
        each.get()
    assert caught.value.meta == {"rows": 3}
