"""How a task can end, and what is stored, called and sent when it does.

What is expected here was observed on a worker with a pool of processes, on Redis.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Final, NamedTuple

import celery
import pytest
from celery import Task, chain, chord, signals
from celery.exceptions import (
    Ignore,
    MaxRetriesExceededError,
    Reject,
    Retry,
    TaskRevokedError,
    WorkerLostError,
)
from kombu.exceptions import EncodeError

from pytest_taskprogress import EagerEngine, TaskProgressWarning

VERSION = celery.VERSION[:2]

HANDLERS = ("before_start", "on_success", "on_retry", "on_failure", "after_return")


@pytest.fixture
def heard():
    """What the tasks, handlers, callbacks and errbacks of a test noted, in order."""
    return []


@pytest.fixture
def callback(app, heard):
    """A callback that notes the result."""

    @app.task(name="callback")
    def callback(result):
        heard.append(("callback", result))

    return callback


@pytest.fixture
def errback(app, heard):
    """An errback that notes the exception."""

    @app.task(name="errback")
    def errback(request, exc, traceback):
        heard.append(("errback", type(exc).__name__))

    return errback


@pytest.fixture
def noting(heard):
    """A Task base whose handlers note that they were called."""

    def handler(name):
        def note(self, *args):
            heard.append((name, args[0]) if name == "after_return" else name)

        return note

    return type("Noting", (Task,), {name: handler(name) for name in HANDLERS})


class Code(Exception):
    """An exception whose constructor wants more than its `args`."""

    def __init__(self, code, *, reason):
        super().__init__(f"{code} {reason}")
        self.code = code


class Remade(Exception):
    """An exception that says how it is pickled."""

    def __init__(self, number, *, text):
        super().__init__(number, text)

    def __reduce__(self):
        return remade, self.args


def remade(number, text):
    """Make a `Remade` from its args."""
    return Remade(number, text=text)


class Outer:
    class Inner(Exception):
        """An exception whose name is not that of a module's attribute."""


class Abandoned(BaseException):
    """What code raises that no `except Exception` may swallow."""


class TestRetry:
    @pytest.mark.parametrize(
        ("options", "seconds"),
        [
            ({}, 180.0),
            ({"countdown": 7}, 7.0),
            ({"countdown": 0}, 0.0),
            ({"countdown": 0.25}, 0.25),
            ({"countdown": 86_400 * 365}, 86_400.0 * 365),
            ({"eta": 7}, 7.0),
        ],
        ids=str,
    )
    def test_delay(self, engine, app, options, seconds):
        """A retry runs after its countdown, at its eta, or after default_retry_delay."""

        @app.task(bind=True)
        def flaky(self):
            if not self.request.retries:
                if "eta" in options:
                    raise self.retry(eta=app.now() + timedelta(seconds=options["eta"]))
                raise self.retry(**options)
            return "done"

        run = engine.run(flaky)
        assert run.states == ["RETRY", "SUCCESS"]
        assert (run.result, run.elapsed) == ("done", seconds)

    def test_delay_of_the_task(self, engine, app):
        """default_retry_delay is the task's own."""

        @app.task(bind=True, default_retry_delay=3)
        def flaky(self):
            if self.request.retries < 2:
                raise self.retry
            return "done"

        # `raise self.retry` without a call is a TypeError, of which no retry comes.
        assert isinstance(engine.run(flaky).exception, TypeError)

        @app.task(bind=True, default_retry_delay=3)
        def better(self):
            if self.request.retries < 2:
                raise self.retry()
            return "done"

        assert engine.run(better).elapsed == 6.0

    def test_new_arguments(self, engine, app, heard):
        """The next attempt has the arguments that the retry gives it."""

        @app.task(bind=True)
        def pages(self, *args, **kwargs):
            heard.append((args, kwargs))
            if self.request.retries < 2:
                kwargs = {"page": self.request.retries}
                raise self.retry(args=(*args, "more"), kwargs=kwargs, countdown=0)

        engine.run(pages, "first")
        assert heard == [
            (("first",), {}),
            (("first", "more"), {"page": 0}),
            (("first", "more", "more"), {"page": 1}),
        ]

    def test_what_stays(self, engine, app, heard):
        """An attempt keeps the options of the call; only its number and its parent change."""

        @app.task(bind=True)
        def flaky(self):
            request = self.request
            heard.append(
                {
                    "id": request.id,
                    "root": request.root_id,
                    "correlation": request.correlation_id,
                    "limits": request.timelimit,
                    "headers": request.headers,
                    "shadow": request.shadow,
                    "priority": request.delivery_info["priority"],
                    "expires": request.expires,
                    "reply_to": request.reply_to,
                }
            )
            if not request.retries:
                raise self.retry(countdown=1)
            return [request.retries, request.parent_id]

        flaky.apply_async(
            task_id="mine",
            priority=3,
            time_limit=100,
            soft_time_limit=50,
            headers={"tenant": "a"},
            shadow="alias",
            expires=60,
        )
        first, second = heard
        assert first == second
        assert (first["limits"], first["headers"]) == ([100, 50], {"tenant": "a"})
        assert (first["priority"], first["shadow"]) == (3, "alias")
        assert app.AsyncResult("mine").get() == [1, "mine"]

    @pytest.mark.parametrize(
        ("max_retries", "raised", "exc", "attempts", "expected"),
        [
            pytest.param(2, None, KeyError("mine"), 3, KeyError, id="exc="),
            pytest.param(1, None, None, 2, MaxRetriesExceededError, id="nothing to tell"),
            pytest.param(0, None, None, 1, MaxRetriesExceededError, id="none allowed"),
            pytest.param(1, ValueError("v"), None, 2, MaxRetriesExceededError, id="in an except"),
        ],
    )
    def test_given_up(self, engine, app, heard, max_retries, raised, exc, attempts, expected):
        """After max_retries the task fails, with the exc of the retry or MaxRetriesExceeded."""

        @app.task(bind=True, max_retries=max_retries)
        def stubborn(self):
            heard.append(self.request.retries)
            try:
                if raised:
                    raise raised
            finally:
                self.retry(exc=exc, countdown=10)

        run = engine.run(stubborn)
        assert run.states == ["RETRY"] * (attempts - 1) + ["FAILURE"]
        assert heard == list(range(attempts))
        assert type(run.exception).__name__ == expected.__name__
        assert run.elapsed == 10.0 * (attempts - 1)

    def test_per_call_limit(self, engine, app, heard):
        """max_retries of a retry() is that retry's own."""

        @app.task(bind=True, max_retries=None)
        def stubborn(self):
            heard.append(self.request.retries)
            raise self.retry(countdown=1, max_retries=4)

        assert engine.run(stubborn).state == "FAILURE"
        assert heard == [0, 1, 2, 3, 4]

    def test_without_throw(self, engine, app, heard):
        """With throw=False the attempt goes on, and its return is the task's first SUCCESS."""

        @app.task(bind=True)
        def polite(self):
            if not self.request.retries:
                retry = self.retry(countdown=5, throw=False)
                heard.append((type(retry), retry.when))
                return "first"
            return "second"

        with pytest.warns(TaskProgressWarning, match="'second', is lost"):
            run = engine.run(polite)
        assert heard == [(Retry, 5)]
        assert (run.result, run.states) == ("first", ["SUCCESS"])
        assert [each.result for each in run.history.dropped] == ["second"]
        assert run.elapsed == 5.0

    def test_retry_that_nobody_sent(self, engine, app):
        """A Retry that is raised by hand stores RETRY, and nothing comes of it."""

        @app.task
        def by_hand():
            raise Retry("later", when=1)

        run = engine.run(by_hand)
        assert (run.state, run.elapsed, engine.pending) == ("RETRY", 0.0, [])

    def test_the_reason_is_stored(self, engine, app):
        """RETRY carries the exception of the attempt, and its traceback."""

        def connect():
            raise ConnectionError("no route")

        @app.task(bind=True)
        def flaky(self):
            try:
                connect()
            except ConnectionError as error:
                raise self.retry(exc=error, countdown=9) from error

        with engine.paused():
            result = flaky.delay()
            engine.step()
            assert result.state == "RETRY"
            assert isinstance(result.result, ConnectionError)
            assert "ConnectionError: no route" in result.traceback
            assert [(each.uuid, each.at) for each in engine.pending] == [(result.id, 9.0)]
            flaky.max_retries = 0
        assert result.state == "FAILURE"

    def test_links_run_once(self, engine, app, heard, callback, errback):
        """Callbacks wait for the last attempt; an attempt that is retried calls nobody."""

        @app.task(bind=True, max_retries=2)
        def flaky(self, *, gives_up):
            if gives_up or self.request.retries < 2:
                raise self.retry(countdown=1, exc=ValueError("busy"))
            return "done"

        for gives_up in (False, True):
            kwargs = {"gives_up": gives_up}
            flaky.apply_async(kwargs=kwargs, link=callback.s(), link_error=errback.s())
        assert heard == [("callback", "done"), ("errback", "ValueError")]

    @pytest.mark.parametrize("place", ["chain", "header", "body"])
    def test_in_a_canvas(self, engine, app, place):
        """What comes after a task in a canvas waits for its retries, wherever it stands."""

        @app.task(bind=True)
        def slow(self, value):
            if self.request.retries < 2:
                raise self.retry(countdown=10)
            return value

        @app.task
        def quick(value):
            return value

        canvas, expected = {
            "chain": (chain(quick.s(1), slow.s(), quick.s()), 1),
            "header": (chord([slow.s(1), quick.s(2), slow.s(3)], quick.s()), [1, 2, 3]),
            "body": (chord([quick.s(1), quick.s(2)], slow.s()), [1, 2]),
        }[place]
        run = engine.run(canvas)
        assert (run.result, run.elapsed) == (expected, 20.0)

    def test_ten_thousand_attempts(self, app):
        """No number of attempts is too many for the stack: each is a message of its own."""

        @app.task(bind=True, max_retries=None, ignore_result=True)
        def stubborn(self):
            if self.request.retries < 10_000:
                # Raised, it would cost Celery a traceback each: 10 s.
                self.retry(countdown=1, throw=False)
            else:
                attempts.append(self.request.retries)

        attempts = []
        with EagerEngine(app, limit=20_000) as engine:
            assert engine.run(stubborn).elapsed == 10_000.0
        assert attempts == [10_000]


class TestAutoretry:
    @pytest.mark.parametrize(
        ("options", "delays"),
        [
            ({}, [180.0] * 3),
            ({"default_retry_delay": 5}, [5.0] * 3),
            ({"retry_backoff": True}, [1.0, 2.0, 4.0, 8.0, 16.0]),
            ({"retry_backoff": 3}, [3.0, 6.0, 12.0, 24.0]),
            ({"retry_backoff": True, "retry_backoff_max": 5}, [1.0, 2.0, 4.0, 5.0, 5.0]),
            ({"retry_kwargs": {"countdown": 7}}, [7.0] * 3),
        ],
        ids=str,
    )
    def test_delays(self, engine, app, options, delays):
        """Attempts are as far apart as the task says, on the engine's clock."""

        @app.task(
            bind=True,
            autoretry_for=(ConnectionError,),
            retry_jitter=False,
            max_retries=len(delays),
            **options,
        )
        def fetch(self):
            raise ConnectionError("no route")

        times = [each.at for each in engine.run(fetch).history]
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps == delays

    def test_jitter(self, engine, app):
        """With jitter every delay is between nothing and what the backoff gives."""

        @app.task(
            autoretry_for=(ConnectionError,),
            retry_backoff=4,
            retry_backoff_max=50,
            max_retries=12,
        )
        def fetch():
            raise ConnectionError("no route")

        times = [each.at for each in engine.run(fetch).history]
        bounds = [min(50, 4 * 2**attempt) for attempt in range(12)]
        gaps = [after - before for before, after in pairwise(times)]
        assert len(gaps) == len(bounds)
        assert all(0 <= gap <= bound for gap, bound in zip(gaps, bounds, strict=True))

    @pytest.mark.parametrize(
        ("error", "states"),
        [
            (ConnectionError, ["RETRY", "FAILURE"]),
            (ConnectionResetError, ["RETRY", "FAILURE"]),
            (BrokenPipeError, ["FAILURE"]),
            (KeyError, ["FAILURE"]),
        ],
    )
    def test_for_which(self, engine, app, error, states):
        """autoretry_for holds for subclasses, dont_autoretry_for takes some of them out."""

        @app.task(
            autoretry_for=(ConnectionError,),
            dont_autoretry_for=(BrokenPipeError,),
            retry_kwargs={"max_retries": 1, "countdown": 0},
        )
        def fetch():
            raise error("no route")

        run = engine.run(fetch)
        assert run.states == states
        assert type(run.exception) is error

    @pytest.mark.parametrize(("outcome", "attempts"), [(Ignore, 1), (Reject, 3)])
    def test_of_what_is_no_error(self, engine, app, heard, outcome, attempts):
        """autoretry_for=(Exception,) leaves Ignore alone; a Reject it retries, as Celery does."""

        @app.task(autoretry_for=(Exception,), retry_kwargs={"max_retries": 2, "countdown": 0})
        def stops():
            heard.append("ran")
            raise outcome

        engine.run(stops)
        assert heard == ["ran"] * attempts

    def test_of_a_class(self, engine, app):
        """A class-based task retries by the attributes of its class."""

        class Fetch(Task):
            name = "fetch"
            autoretry_for = (ConnectionError,)
            max_retries = 2
            retry_backoff = True
            retry_jitter = False

            def run(self):
                raise ConnectionError("no route")

        run = engine.run(app.register_task(Fetch()))
        assert (run.retries, run.elapsed) == (2, 3.0)


class TestIgnoreAndReject:
    def test_ignore(self, engine, app, heard, noting, callback, errback):
        """After Ignore the last report stays, and nobody is called."""

        @app.task(bind=True, base=noting)
        def ignores(self):
            self.update_state(state="PROGRESS", meta={"current": 1})
            raise Ignore("handled elsewhere")

        run = engine.run(ignores.s().set(link=callback.s(), link_error=errback.s()))
        assert (run.state, run.meta) == ("PROGRESS", {"current": 1})
        assert heard == ["before_start"]

    def test_reject(self, engine, app, heard, noting, errback):
        """A task that is rejected for good fails since Celery 5.7, and calls errbacks only."""

        @app.task(base=noting)
        def rejects():
            raise Reject("poison", requeue=False)

        run = engine.run(rejects.s().on_error(errback.s()))
        if VERSION < (5, 7):  # there, nothing is stored: a client waits for ever
            assert (run.states, heard) == ([], ["before_start"])
        else:
            assert (run.states, heard) == (["FAILURE"], ["before_start", ("errback", "Reject")])

    @pytest.mark.parametrize(
        ("acks_late", "attempts", "state"),
        [(True, [False, True, True], "SUCCESS"), (False, [False], "PENDING")],
    )
    def test_requeue(self, engine, app, heard, acks_late, attempts, state):
        """Reject(requeue=True) brings back what is not acknowledged yet, marked as redelivered."""

        @app.task(bind=True, acks_late=acks_late)
        def rejects(self):
            heard.append(self.request.delivery_info["redelivered"])
            assert self.request.retries == 0
            if len(heard) < 3:
                raise Reject("not now", requeue=True)

        assert engine.run(rejects).state == state
        assert heard == attempts

    def test_requeued_behind_the_others(self, engine, app, heard):
        """What is requeued waits behind what was published meanwhile."""

        @app.task(acks_late=True)
        def note(name, *, reject=False):
            first = name not in heard
            heard.append(name)
            if reject and first:
                raise Reject(requeue=True)

        with engine.paused():
            note.delay("a", reject=True)
            note.delay("b")
        assert heard == ["a", "b", "a"]

    @pytest.mark.parametrize("outcome", [Ignore, Reject])
    def test_in_a_chain(self, engine, app, callback, heard, outcome):
        """A chain ends at a task that is ignored or rejected."""

        @app.task
        def stops():
            raise outcome("enough")

        run = engine.run(chain(stops.s(), callback.s()))
        assert heard == []
        assert run.state == "PENDING" if outcome is Ignore or VERSION < (5, 7) else "FAILURE"


class TestAcknowledgement:
    @pytest.mark.parametrize("acks_late", [True, False])
    @pytest.mark.parametrize("acks_on_failure_or_timeout", [True, False])
    def test_a_failure_is_not_redelivered(
        self, engine, app, heard, acks_late, acks_on_failure_or_timeout
    ):
        """A task that raised has failed, however its message is acknowledged."""

        @app.task(acks_late=acks_late, acks_on_failure_or_timeout=acks_on_failure_or_timeout)
        def fails():
            heard.append("ran")
            raise ValueError("broken")

        assert engine.run(fails).states == ["FAILURE"]
        assert heard == ["ran"]
        assert engine.pending == []

    @pytest.mark.parametrize(
        ("acks_late", "reject_on_worker_lost", "attempts", "state"),
        [
            (False, False, 1, "FAILURE"),
            (False, True, 1, "FAILURE"),
            (True, False, 1, "FAILURE"),
            (True, True, 2, "SUCCESS"),
        ],
    )
    def test_a_lost_worker(
        self, engine, app, heard, acks_late, reject_on_worker_lost, attempts, state
    ):
        """The message of a lost process comes back only if both settings ask for it."""

        @app.task(acks_late=acks_late, reject_on_worker_lost=reject_on_worker_lost)
        def leaves_once():
            heard.append("ran")
            if len(heard) == 1:
                raise SystemExit(1)

        assert engine.run(leaves_once).state == state
        assert heard == ["ran"] * attempts

    @pytest.mark.parametrize(
        "expires",
        [
            pytest.param(lambda now: -1, id="seconds"),
            pytest.param(lambda now: -0.5, id="fraction"),
            pytest.param(lambda now: now - timedelta(hours=1), id="datetime"),
        ],
    )
    def test_expired(self, engine, app, heard, noting, callback, errback, expires):
        """A task whose time has passed is revoked; nothing of it runs, and nobody is called."""

        @app.task(base=noting)
        def late():
            heard.append("ran")

        run = engine.run(
            late.s().set(expires=expires(app.now()), link=callback.s(), link_error=errback.s())
        )
        assert run.states == ["REVOKED"]
        assert isinstance(run.exception, TaskRevokedError)
        assert str(run.exception) == "expired"
        assert heard == []


def with_cause():
    """An exception that has a cause."""
    error = ValueError("top")
    error.__cause__ = KeyError("below")
    return error


def of_a_local_class():
    """An exception whose class nobody can import."""

    class Local(Exception):
        pass

    return Local("here")


class Told(NamedTuple):
    """What is raised, and the type and text that come back: by JSON, and by pickle."""

    make: Callable[[], object]
    by_json: tuple[str, str]
    by_pickle: tuple[str, str]


def same(make, kind, text):
    """What comes back is the same by both."""
    return Told(make, (kind, text), (kind, text))


#: What an exception becomes that cannot be pickled; pickle gives the original type back.
WRAPPED = "UnpickleableExceptionWrapper"

EXCEPTIONS = {
    "plain": same(lambda: ValueError("a", 1), "ValueError", "('a', 1)"),
    "no args": same(ValueError, "ValueError", ""),
    "a class": same(lambda: ValueError, "ValueError", ""),
    "cause": same(with_cause, "ValueError", "top"),
    "errno": same(lambda: OSError(2, "gone"), "FileNotFoundError", "[Errno 2] gone"),
    "StopIteration": same(lambda: StopIteration(3), "StopIteration", "3"),
    "bytes": same(lambda: ValueError(b"\xff"), "ValueError", "b'\\xff'"),
    "object in args": same(lambda: ValueError(object), "ValueError", "<class 'object'>"),
    "tuple in args": Told(
        lambda: ValueError({"a": (1,)}), ("ValueError", "{'a': [1]}"), ("ValueError", "{'a': (1,)}")
    ),
    "error in args": Told(
        lambda: ValueError(KeyError("x")), ("ValueError", "KeyError('x')"), ("ValueError", "'x'")
    ),
    "nested class": same(lambda: Outer.Inner("n"), "Inner", "n"),
    "local class": Told(of_a_local_class, (WRAPPED, "Local('here')"), ("Local", "here")),
    "needs more than args": Told(
        lambda: Code(404, reason="gone"), (WRAPPED, "Code('404 gone')"), ("Code", "404 gone")
    ),
    "pickles itself": Told(
        lambda: Remade(1, text="t"),
        ("Exception", f"<class '{__name__}.Remade'>([1, 't'])"),
        ("Remade", "(1, 't')"),
    ),
}


class TestExceptions:
    @pytest.mark.parametrize("name", EXCEPTIONS)
    @pytest.mark.parametrize("serializer", ["json", "pickle"])
    def test_what_a_client_gets(self, app, name, serializer):
        """A client gets what the wire can carry of an exception."""
        app.conf.update(result_serializer=serializer, accept_content=["json", "pickle"])
        told = EXCEPTIONS[name]

        @app.task
        def fails():
            raise told.make()

        with EagerEngine(app) as engine:
            run = engine.run(fails)
            result = app.AsyncResult(run.task_id)
            assert result.state == "FAILURE"
            with pytest.raises(Exception, match=r"(?s).*") as caught:
                result.get()
        expected = told.by_json if serializer == "json" else told.by_pickle
        assert (type(caught.value).__name__, str(caught.value)) == expected
        assert (type(run.exception).__name__, str(run.exception)) == expected

    def test_an_error_without_text(self, engine, app):
        """An exception whose text cannot be made is still told by its type."""

        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no text")

            __repr__ = __str__

        @app.task
        def fails():
            raise Mute

        run = engine.run(fails)
        assert run.state == "FAILURE"
        assert "Mute" in run.traceback

    def test_traceback_of_a_cause(self, engine, app):
        """The stored traceback has the cause, which the exception itself has lost."""

        @app.task
        def fails():
            try:
                {}["below"]
            except KeyError as error:
                raise ValueError("top") from error

        run = engine.run(fails)
        assert run.exception.__cause__ is None
        assert "KeyError: 'below'" in run.traceback
        assert "direct cause" in run.traceback

    @pytest.mark.skipif(
        importlib.util.find_spec("tblib") is None, reason="not there: pip install 'celery[tblib]'"
    )
    def test_remote_tracebacks(self, app):
        """With task_remote_tracebacks a client's exception has the frames of the task."""
        app.conf.task_remote_tracebacks = True

        @app.task
        def fails():
            raise ValueError("broken")

        with EagerEngine(app), pytest.raises(ValueError, match="broken") as caught:
            fails.delay().get()
        assert caught.traceback[-1].name == "fails"

    def test_expected_errors(self, engine, app, heard, noting):
        """What a task `throws` is a failure like any other; only its log is short."""

        @app.task(base=noting, throws=(KeyError,))
        def fails():
            raise KeyError("known")

        run = engine.run(fails)
        assert (run.state, str(run.exception)) == ("FAILURE", "'known'")
        assert heard == ["before_start", "on_failure", ("after_return", "FAILURE")]

    def test_memory_error(self, engine, app, caplog):
        """A MemoryError fails the task; the worker, whose process it would end, logs it."""

        @app.task
        def greedy():
            raise MemoryError("too much")

        assert engine.run(greedy).state == "FAILURE"
        assert "Process got: too much" in caplog.text


class TestBaseExceptions:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (3, "exitcode 3"),
            (0, "exitcode 0"),
            (None, "exitcode 0"),
            ("bye", "exitcode 1"),
            (-1, "signal 1 (SIGHUP)"),
        ],
    )
    def test_exit(self, engine, app, heard, errback, code, text):
        """A task that leaves its process is lost, with the exit code of a process."""

        @app.task
        def leaves():
            raise SystemExit(code)

        run = engine.run(leaves.s().on_error(errback.s()))
        assert isinstance(run.exception, WorkerLostError)
        assert str(run.exception) == f"Worker exited prematurely: {text}."
        assert heard == [("errback", "WorkerLostError")]

    @pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, Abandoned])
    def test_others(self, engine, app, heard, noting, errback, caplog, error):
        """Every other BaseException fails its task; errbacks run, its handlers do not."""

        @app.task(base=noting)
        def abandons():
            raise error("enough")

        run = engine.run(abandons.s().on_error(errback.s()))
        if VERSION < (5, 7):  # there the worker fails to encode it, and a client waits for ever
            assert (run.states, heard) == ([], ["before_start"])
            assert "Pool callback raised exception" in caplog.text
        else:
            assert (run.states, type(run.exception)) == (["FAILURE"], error)
            assert run.traceback is None
            assert heard == ["before_start", ("errback", error.__name__)]

    @pytest.mark.parametrize("place", ["chain", "header"])
    def test_lost_in_a_canvas(self, engine, app, heard, place):
        """What waits for a lost task fails with it, as for any failure."""

        @app.task
        def leaves():
            raise SystemExit(3)

        @app.task
        def follows(*args):
            heard.append("ran")

        canvas = {
            "chain": chain(leaves.s(), follows.s()),
            "header": chord([leaves.s(), leaves.s()], follows.s()),
        }[place]
        run = engine.run(canvas)
        assert run.state == "FAILURE"
        assert "exitcode 3" in str(run.exception)
        assert heard == []


#: What is called when a task ends, after `before_start` and its body.
ENDS: Final = {
    "returns": ["on_success", ("after_return", "SUCCESS"), ("callback", 1)],
    "raises": [("errback", "ValueError"), "on_failure", ("after_return", "FAILURE")],
    "retries": [
        "on_retry",
        "before_start",
        "body",
        "on_success",
        ("after_return", "SUCCESS"),
        ("callback", 1),
    ],
}


class Broken(NamedTuple):
    """A handler that raises (its name has a mark), and what is stored and called then."""

    handler: str
    ends: str
    states: list[str]
    calls: list[object]


#: What Celery < 5.7 does for a handler that raises when the result is stored already.
ALSO: Final = [("errback", "ZeroDivisionError"), "on_failure"] if VERSION < (5, 7) else []

BROKEN: Final = [
    Broken(
        "on_success",
        "returns",
        ["SUCCESS"],
        [
            "before_start",
            "body",
            "on_success!",
            *(ALSO or [("after_return", "SUCCESS")]),
            ("callback", 1),
        ],
    ),
    Broken(
        "after_return",
        "returns",
        ["SUCCESS"],
        ["before_start", "body", "on_success", "after_return!", *ALSO, ("callback", 1)],
    ),
    Broken(
        "after_return",
        "raises",
        ["FAILURE"] * (2 if ALSO else 1),
        ["before_start", "body", ("errback", "ValueError"), "on_failure", "after_return!", *ALSO],
    ),
    Broken(
        "before_start",
        "returns",
        ["FAILURE"],
        [
            "before_start!",
            ("errback", "ZeroDivisionError"),
            "on_failure",
            ("after_return", "FAILURE"),
        ],
    ),
    Broken(
        "on_failure",
        "raises",
        ["FAILURE"] * 3,
        [
            "before_start",
            "body",
            ("errback", "ValueError"),
            "on_failure!",
            ("errback", "ZeroDivisionError"),
            "on_failure!",
            ("errback", "ZeroDivisionError"),
        ],
    ),
    Broken(
        "on_retry",
        "retries",
        ["RETRY", "FAILURE", "SUCCESS"],
        [
            "before_start",
            "body",
            "on_retry!",
            ("errback", "ZeroDivisionError"),
            "on_failure",
            *ENDS["retries"][1:],
        ],
    ),
]


class TestHandlers:
    @pytest.fixture
    def run_with(self, engine, app, heard, callback, errback):
        """Run a task that ends in some way, with some base."""

        def run_with(base, ends):
            @app.task(base=base, bind=True, name=ends)
            def task(self):
                heard.append("body")
                if ends == "raises":
                    raise ValueError("broken")
                if ends == "retries" and not self.request.retries:
                    raise self.retry(countdown=0)
                return 1

            return engine.run(task.s().set(link=callback.s(), link_error=errback.s()))

        return run_with

    @pytest.mark.parametrize("ends", ENDS)
    def test_order(self, run_with, noting, heard, ends):
        """Errbacks run before the handlers of a failure, callbacks after those of a success."""
        run_with(noting, ends)
        assert heard == ["before_start", "body", *ENDS[ends]]

    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case.handler}-{case.ends}")
    @pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
    @pytest.mark.filterwarnings("ignore::pytest_taskprogress.TaskProgressWarning")
    def test_one_that_raises(self, run_with, noting, heard, case):
        """What a handler raises does to the task what it does on a worker."""

        def broken(self, *args):
            heard.append(f"{case.handler}!")
            raise ZeroDivisionError(case.handler)

        run = run_with(type("Raising", (noting,), {case.handler: broken}), case.ends)
        assert run.states == case.states
        assert heard == case.calls


class TestSignals:
    WORKER = ("task_received", "task_prerun", "task_postrun")
    OUTCOME = ("task_success", "task_retry", "task_failure", "task_rejected", "task_revoked")
    CLIENT = ("before_task_publish", "after_task_publish")

    @pytest.fixture
    def connect(self):
        """Connect receivers for the time of the test."""
        connected = []

        def connect(name, receiver):
            getattr(signals, name).connect(receiver, weak=False)
            connected.append((name, receiver))

        yield connect
        for name, receiver in connected:
            getattr(signals, name).disconnect(receiver)

    @pytest.fixture
    def listening(self, heard, connect):
        """Note every signal, by its name."""

        def noted(name):
            return lambda **_: heard.append(name)

        for name in (*self.CLIENT, *self.WORKER, *self.OUTCOME):
            connect(name, noted(name))

    @pytest.mark.parametrize(
        ("ends", "expected"),
        [
            ("returns", [["on_success", "task_success", "after_return"]]),
            ("raises", [["on_failure", "task_failure", "after_return"]]),
            ("ignores", [[]]),
            (
                "retries",
                [
                    [*CLIENT, "on_retry", "task_retry"],
                    ["on_success", "task_success", "after_return"],
                ],
            ),
        ],
    )
    def test_order(self, engine, app, heard, listening, ends, expected):
        """Signals are sent in a worker's order, between the handlers of the task."""

        def handler(name):
            return lambda self, *args: heard.append(name)

        @app.task(bind=True, base=type("B", (Task,), {each: handler(each) for each in HANDLERS}))
        def task(self):
            heard.append("body")
            if ends == "raises":
                raise ValueError("broken")
            if ends == "ignores":
                raise Ignore
            if ends == "retries" and not self.request.retries:
                raise self.retry(countdown=0)

        task.delay()
        begin = ["task_received", "task_prerun", "before_start", "body"]
        attempts = [[*begin, *attempt, "task_postrun"] for attempt in expected]
        assert heard == [*self.CLIENT, *(each for attempt in attempts for each in attempt)]

    def test_revoked(self, engine, app, heard, listening):
        """A task that has expired is told to be revoked, and nothing else."""

        @app.task
        def late():
            heard.append("body")

        late.apply_async(expires=-1)
        assert heard == [*self.CLIENT, "task_revoked"]

    def test_rejected(self, engine, app, heard, listening):
        """A task that is rejected is run like any other; since Celery 5.7 it fails, too."""

        @app.task
        def rejects():
            raise Reject("poison")

        rejects.delay()
        ran = [*self.CLIENT, "task_received", "task_prerun", "task_postrun"]
        assert heard == ran + ([] if VERSION < (5, 7) else ["task_failure"])

    @pytest.mark.parametrize("name", [*WORKER, *OUTCOME[:3]])
    def test_a_receiver_that_raises(self, engine, app, heard, connect, name):
        """What a receiver raises is logged by Celery; the task ends as it would."""

        def broken(**_):
            heard.append(name)
            raise ZeroDivisionError(name)

        connect(name, broken)

        @app.task(bind=True, max_retries=1)
        def task(self, ends):
            if ends == "raises":
                raise ValueError("broken")
            if ends == "retries" and not self.request.retries:
                raise self.retry(countdown=0)

        ends = {"returns": "SUCCESS", "raises": "FAILURE", "retries": "SUCCESS"}
        assert {each: engine.run(task, each).state for each in ends} == ends
        assert name in heard

    def test_what_they_tell(self, engine, app, connect):
        """Receivers get the task, its id, arguments, result and state."""
        told = {}
        connect("task_prerun", lambda sender, **kwargs: told.update(prerun=(sender.name, kwargs)))
        connect("task_postrun", lambda sender, **kwargs: told.update(postrun=kwargs))
        connect("task_success", lambda sender, **kwargs: told.update(success=kwargs["result"]))

        @app.task(name="double")
        def double(number, *, extra=0):
            return 2 * number + extra

        run = engine.run(double, 4, extra=1)
        name, prerun = told["prerun"]
        assert (name, prerun["task_id"], prerun["args"]) == ("double", run.task_id, [4])
        assert prerun["kwargs"] == {"extra": 1}
        assert (told["postrun"]["retval"], told["postrun"]["state"]) == (9, "SUCCESS")
        assert told["success"] == 9


class TestResults:
    def test_one_that_cannot_be_encoded(self, engine, app, heard, noting, callback, errback):
        """A result that the serialiser refuses is a failure, with errbacks and handlers."""

        @app.task(base=noting)
        def returns():
            return object()

        run = engine.run(returns.s().set(link=callback.s(), link_error=errback.s()))
        assert run.states == ["FAILURE"]
        assert isinstance(run.exception, EncodeError)
        assert heard == [
            "before_start",
            ("errback", "NotSerializable"),
            "on_failure",
            ("after_return", "FAILURE"),
        ]

    def test_an_exception_as_result(self, app):
        """Pickle carries an exception that is returned: no failure, and get() returns it."""
        app.conf.update(result_serializer="pickle", accept_content=["json", "pickle"])

        @app.task
        def returns():
            return ValueError("returned")

        with EagerEngine(app) as engine:
            run = engine.run(returns)
        assert (run.state, repr(run.result)) == ("SUCCESS", "ValueError('returned')")

    @pytest.mark.parametrize(
        ("of_task", "of_call", "states"),
        [
            (False, None, ["SUCCESS"]),
            (False, True, []),
            (True, None, []),
            # Celery 5.5 has no way back from the ignore_result of a task.
            (True, False, ["SUCCESS"] if VERSION >= (5, 6) else []),
        ],
    )
    def test_ignored(self, engine, app, heard, of_task, of_call, states):
        """ignore_result of the call comes before that of the task; the task can tell."""

        @app.task(bind=True, ignore_result=of_task)
        def returns(self):
            heard.append(self.request.ignore_result)

        options = {} if of_call is None else {"ignore_result": of_call}
        assert engine.run(returns.s().set(**options)).states == states
        assert heard == [of_task if of_call is None else of_call]

    @pytest.mark.parametrize("store_errors", [True, False])
    def test_errors_of_ignored_tasks(self, app, store_errors):
        """An ignored task that fails is stored if task_store_errors_even_if_ignored says so."""
        app.conf.task_store_errors_even_if_ignored = store_errors

        @app.task(ignore_result=True)
        def fails():
            raise ValueError("broken")

        with EagerEngine(app) as engine:
            assert engine.run(fails).states == (["FAILURE"] if store_errors else [])

    def test_extended(self, app):
        """result_extended stores the call: name, arguments, retries, queue and worker."""
        app.conf.result_extended = True

        @app.task(bind=True, name="flaky")
        def flaky(self, *args, **kwargs):
            if not self.request.retries:
                raise self.retry(countdown=0)

        with EagerEngine(app) as engine:
            result = app.AsyncResult(engine.run(flaky, 1, b=2).task_id)
            assert (result.name, result.args, result.kwargs) == ("flaky", [1], {"b": 2})
            assert (result.retries, result.queue) == (1, "celery")
            assert result.worker.startswith("celery@")
