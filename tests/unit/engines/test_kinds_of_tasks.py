"""Every kind of task that Celery knows runs as on a worker."""

from __future__ import annotations

from typing import Final

import celery
import pytest
from celery import Task, current_app, current_task, shared_task
from celery.contrib.abortable import AbortableTask
from celery.exceptions import Reject
from celery.worker.request import Request
from kombu.exceptions import EncodeError

from pytest_taskprogress import EagerEngine, ProgressTask

VERSION = celery.VERSION[:2]


@pytest.fixture
def heard():
    """What a test's tasks and hooks noted, in order."""
    return []


class Multiplies(Task):
    """A base that is no task itself."""

    abstract = True
    factor = 1

    def multiplied(self, number):
        """What its tasks share."""
        assert self.request.id
        return self.factor * number


class Doubles(Multiplies):
    """A task that is a class."""

    name = "tests.kinds.Doubles"
    factor = 2

    def run(self, number):
        """Twice a number."""
        return self.multiplied(number)


class Remembers(Multiplies):
    """A task that is a class and has a state."""

    def __init__(self):
        self.factor = 2
        self.runs = 0

    def run(self, number):
        """Twice a number."""
        self.runs += 1
        return self.multiplied(number)


@shared_task(name="tests.kinds.shared")
def shared(number):
    """Twice a number."""
    return 2 * number


def double(number):
    """Twice a number."""
    return 2 * number


def double_bound(self, number):
    """Twice a number, by a task that has a factor."""
    return self.multiplied(number)


def double_as_self(self, number):
    """Twice a number, by a task that is bound."""
    assert self.request.id
    return 2 * number


def with_task_class(app):
    """A task of an app whose `Task` is another."""
    app.Task = type("Mine", (app.Task, Multiplies), {"abstract": True, "factor": 2})
    return app.task(bind=True)(double_bound)


KINDS: Final = {
    "plain": lambda app: app.task(double),
    "named": lambda app: app.task(name="any.name")(double),
    "bound": lambda app: app.task(bind=True)(double_as_self),
    "shared": lambda app: app.tasks[shared.name],
    "shared, by its proxy": lambda app: shared,
    "class": lambda app: app.register_task(Doubles()),
    "class, not an instance": lambda app: app.tasks[app.register_task(Doubles).name],
    "class with __init__": lambda app: app.register_task(Remembers()),
    "abstract base": lambda app: app.task(bind=True, base=Multiplies, factor=2)(double_bound),
    "the app's own Task": with_task_class,
    "ProgressTask": lambda app: app.task(base=ProgressTask)(double),
    "AbortableTask": lambda app: app.task(base=AbortableTask)(double),
    "lazy": lambda app: app.task(lazy=True)(double),
    "not lazy": lambda app: app.task(lazy=False)(double),
    "without typing": lambda app: app.task(typing=False)(double),
    "acks_late": lambda app: app.task(acks_late=True)(double),
    "another serializer": lambda app: app.task(serializer="pickle")(double),
    "compressed": lambda app: app.task(compression="gzip")(double),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before", "while"], ids=lambda when: f"made {when} installed")
def test_every_kind(app, kind, when):
    """A task runs by run(), delay() and its name, whether it was there at the start or not."""
    app.conf.accept_content = ["json", "pickle"]
    if when == "before":
        task = KINDS[kind](app)
    with EagerEngine(app) as engine:
        if when == "while":
            task = KINDS[kind](app)
        assert engine.run(task, 4).result == 8
        assert engine.run(task.s(number=5)).result == 10
        assert task.delay(6).get() == 12
        assert app.send_task(task.name, (7,)).get() == 14
        assert engine.history == ["SUCCESS"] * 4
        assert [each.name for each in engine.history] == [task.name] * 4


@pytest.mark.parametrize("task_cls", [Multiplies, f"{__name__}:Multiplies"], ids=type)
def test_an_app_with_a_task_class(task_cls):
    """The base that an app was made with is that of all its tasks."""
    app = celery.Celery("own", task_cls=task_cls, broker="redis://nowhere", set_as_current=False)
    task = app.task(bind=True, factor=3, shared=False)(double_bound)
    with EagerEngine(app) as engine:
        assert engine.run(task, 4).result == 12


def test_a_class_is_made_once(engine, app):
    """A class-based task has one instance, whose attributes stay from run to run."""
    task = app.register_task(Remembers())
    for _ in range(3):
        engine.run(task, 1)
    assert task.runs == 3


def test_annotations(app, heard):
    """task_annotations of the app change its tasks, handlers too."""

    def on_failure(self, exc, *args):
        heard.append(type(exc).__name__)

    app.conf.task_annotations = {
        "*": {"track_started": True},
        "fails": {"on_failure": on_failure, "max_retries": 1, "default_retry_delay": 7},
    }

    @app.task(name="fails", bind=True)
    def fails(self):
        raise self.retry(exc=KeyError("k"))

    with EagerEngine(app) as engine:
        run = engine.run(fails)
    assert run.states == ["STARTED", "RETRY", "STARTED", "FAILURE"]
    assert (run.elapsed, heard) == (7.0, ["KeyError"])


class TestTyping:
    def test_on(self, engine, app):
        """Arguments that do not fit are refused where the task is called."""
        task = app.task(double)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'number'"):
            task.delay()
        assert engine.history == []

    @pytest.mark.parametrize("publish", ["delay", "send_task"])
    def test_off(self, engine, app, publish):
        """Unchecked, they fail the task."""
        task = app.task(typing=publish == "send_task")(double)
        if publish == "delay":
            task = app.task(typing=False, name="unchecked")(double)
        result = task.delay() if publish == "delay" else app.send_task(task.name)
        assert result.state == "FAILURE"
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'number'"):
            result.get()


class TestCall:
    @pytest.mark.parametrize("calls_super", [True, False])
    def test_of_ones_own(self, engine, app, heard, calls_super):
        """A task's own __call__ runs it once, with the worker's request, by super() or not."""

        class Called(Task):
            def __call__(self, *args, **kwargs):
                heard.append(("call", self.request.called_directly))
                return super().__call__(*args, **kwargs) if calls_super else self.run(*args)

        @app.task(bind=True, base=Called)
        def task(self, number):
            heard.append(("run", self.request.called_directly, bool(self.request.id)))
            return 2 * number

        assert engine.run(task, 4).result == 8
        assert heard == [("call", False), ("run", False, True)]

    def test_of_another_task(self, engine, app):
        """A task that is called as a function inside another has no id, and leaves the other's."""

        @app.task(bind=True)
        def inner(self):
            return [self.request.id, self.request.called_directly]

        @app.task(bind=True)
        def outer(self):
            return [inner(), inner.run(), self.request.called_directly, self.request.id]

        run = engine.run(outer)
        assert run.result == [[None, True], [None, True], False, run.task_id]
        assert run.children == ()

    def test_apply_in_a_task(self, engine, app):
        """apply() stays Celery's: eager, in place, nothing stored."""

        @app.task(bind=True)
        def inner(self):
            return self.request.is_eager

        @app.task
        def outer():
            return inner.apply().get(disable_sync_subtasks=False)

        run = engine.run(outer)
        assert (run.result, run.history.states) == (True, ["SUCCESS"])

    def test_what_is_current(self, engine, app):
        """A task finds itself and its app, as in a worker."""

        @app.task(bind=True)
        def task(self):
            return [
                current_task.request.id,
                current_task.name,
                current_app.main,
                self.app is app,
                app.current_task is self,
            ]

        run = engine.run(task)
        assert run.result == [run.task_id, task.name, app.main, True, True]


class TestPydantic:
    @pytest.fixture
    def models(self):
        """A model for arguments, and one for results."""
        pydantic = pytest.importorskip("pydantic")

        class Order(pydantic.BaseModel):
            amount: int

        class Receipt(pydantic.BaseModel):
            text: str

        return Order, Receipt

    @pytest.fixture
    def pay(self, app, models, heard):
        """A task that takes and gives models."""
        order_type, receipt_type = models

        def pay(order, tip=0):
            heard.append(type(order).__name__)
            return receipt_type(text=f"{order.amount + tip}")

        pay.__annotations__ = {"order": order_type, "tip": int, "return": receipt_type}
        return app.task(pydantic=True)(pay)

    def test_models(self, engine, pay, heard):
        """Arguments become models, and the model that is returned a dict."""
        assert engine.run(pay, {"amount": 1}).result == {"text": "1"}
        assert engine.run(pay, {"amount": "3"}, tip=4).result == {"text": "7"}
        assert heard == ["Order", "Order"]

    def test_what_does_not_fit(self, engine, pay, heard):
        """Arguments that do not fit the model fail the task; its body is not run."""
        run = engine.run(pay, {"amount": "many"})
        assert run.state == "FAILURE"
        assert "ValidationError" in run.traceback
        assert heard == []

    def test_a_model_as_argument(self, engine, pay, models):
        """Since Celery 5.7 a caller may pass a model; before, it must be dumped."""
        order_type, _ = models
        order = order_type(amount=1)
        if VERSION < (5, 7):
            with pytest.raises(EncodeError, match="Order"):
                pay.delay(order)
        else:
            assert pay.delay(order).get() == {"text": "1"}
        assert engine.run(pay, order.model_dump()).result == {"text": "1"}

    def test_a_model_that_is_not_announced(self, engine, app, models):
        """Without a return annotation a model is returned as it is, and cannot be encoded."""
        order_type, _ = models

        @app.task(pydantic=True)
        def unannounced():
            return order_type(amount=1)

        run = engine.run(unannounced)
        assert run.state == "FAILURE"
        assert isinstance(run.exception, EncodeError)


#: What the hooks of `NotingRequest` noted; the fixture `hooks` empties it.
HOOKS: Final = []


class NotingRequest(Request):
    """A worker's request whose hooks note that they were called."""

    def on_accepted(self, *args, **kwargs):
        """Begin."""
        HOOKS.append("accepted")
        return super().on_accepted(*args, **kwargs)

    def on_success(self, *args, **kwargs):
        """Succeed; Celery's strategy has one of its own, and never calls this."""
        HOOKS.append("success")
        return super().on_success(*args, **kwargs)

    def on_retry(self, exc_info):
        """Be retried."""
        HOOKS.append("retry")
        return super().on_retry(exc_info)

    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):  # noqa: FBT002
        """End with an exception."""
        HOOKS.append(("failure", type(exc_info.exception).__name__))
        return super().on_failure(exc_info, send_failed_event, return_ok)


class ByPath(Task):
    """A task whose request class is told by its path."""

    Request = f"{__name__}:NotingRequest"


class ByClass(Task):
    """A task whose request class is told by itself."""

    Request = NotingRequest


class TestRequest:
    @pytest.fixture
    def hooks(self):
        """What was noted in this test."""
        HOOKS.clear()
        return HOOKS

    @pytest.mark.parametrize("base", [ByPath, ByClass])
    @pytest.mark.parametrize(
        ("ends", "expected"),
        [
            ("returns", ["accepted"]),
            ("raises", ["accepted", ("failure", "ValueError")]),
            ("retries", ["accepted", ("failure", "Retry"), "retry", "accepted"]),
            ("rejects", ["accepted", ("failure", "Reject")]),
        ],
    )
    def test_hooks(self, engine, app, hooks, base, ends, expected):
        """The hooks of a task's own Request class are called, and Celery's after them."""

        @app.task(bind=True, base=base)
        def task(self):
            if ends == "raises":
                raise ValueError("broken")
            if ends == "rejects":
                raise Reject("poison")
            if ends == "retries" and not self.request.retries:
                raise self.retry(countdown=1)
            return 1

        state = engine.run(task).state
        assert hooks == expected
        assert (
            state
            == {
                "returns": "SUCCESS",
                "retries": "SUCCESS",
                "raises": "FAILURE",
                "rejects": "PENDING" if VERSION < (5, 7) else "FAILURE",
            }[ends]
        )

    @pytest.mark.skipif(VERSION < (5, 7), reason="before, the hook sees what the pool has made")
    def test_hooks_of_a_lost_task(self, engine, app, hooks):
        """A hook sees the SystemExit of a process that is lost, of which Celery makes an error."""
        # BUG 4b of canvas-bugs.md: the engine shows it billiard's ExceptionWithTraceback.

        @app.task(base=ByClass)
        def leaves():
            raise SystemExit(1)

        assert type(engine.run(leaves).exception).__name__ == "WorkerLostError"
        assert hooks == ["accepted", ("failure", "SystemExit")]

    def test_it_comes_back(self, app):
        """A task has its own Request class again when the engine is gone."""
        tasks = [app.task(base=base, name=base.__name__)(double) for base in (ByPath, ByClass)]
        with EagerEngine(app) as engine:
            for task in tasks:
                assert engine.run(task, 1).result == 2
        assert [task.Request for task in tasks] == [ByPath.Request, NotingRequest]

    def test_its_attributes(self, engine, app, heard):
        """A Request class may keep what it likes on itself, and knows its task and message."""

        class Knowing(Request):
            def __init__(self, message, **kwargs):
                super().__init__(message, **kwargs)
                heard.append((self.name, self.task.name, self.id, self.argsrepr))

        class Base(Task):
            Request = Knowing

        task = app.task(base=Base, name="known")(double)
        run = engine.run(task, 4)
        assert heard == [("known", "known", run.task_id, "(4,)")]
