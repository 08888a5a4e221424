"""Every option of a message, and what a task sees of it in its request.

What is expected here was observed on a worker with a pool of processes, on Redis.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta, timezone
from typing import Final

import celery
import kombu.compression
import pytest
from celery import chain, chord, group, signals
from celery.canvas import StampingVisitor
from celery.exceptions import NotRegistered
from kombu import Exchange, Queue
from kombu.exceptions import ContentDisallowed

from pytest_taskprogress import DeadlockError, EagerEngine, TaskProgressWarning

VERSION = celery.VERSION[:2]

#: Of a request, what Celery documents and what is seen in its messages.
FIELDS: Final = (
    *("args", "argsrepr", "called_directly", "callbacks", "chain", "chord", "correlation_id"),
    *("delivery_info", "errbacks", "eta", "expires", "group", "group_index", "headers"),
    *("hostname", "id", "ignore_result", "is_eager", "kwargs", "kwargsrepr", "lang", "origin"),
    *("parent_id", "replaced_task_nesting", "reply_to", "retries", "root_id", "shadow"),
    *("stamped_headers", "stamps", "task", "timelimit", "utc"),
)


@pytest.fixture
def heard():
    """What the tasks of a test noted, in order."""
    return []


@pytest.fixture
def requests():
    """The requests of the tasks of a test, as dicts, in order."""
    return []


@pytest.fixture
def look(app, requests):
    """A task that keeps its request."""

    @app.task(bind=True, name="look")
    def look(self, *args, **kwargs):
        requests.append({name: getattr(self.request, name) for name in FIELDS})
        return [list(args), kwargs]

    return look


@pytest.fixture
def note(app, heard):
    """A task that notes its arguments."""

    @app.task(name="note")
    def note(*args):
        heard.append(args)

    return note


class TestRequest:
    def test_of_a_plain_call(self, engine, look, requests):
        """A task's request is a worker's."""
        run = engine.run(look, 1, two=2)
        request = requests[0]
        host = socket.gethostname()
        expected = {
            "id": run.task_id,
            "root_id": run.task_id,
            "parent_id": None,
            "correlation_id": run.task_id,
            "task": "look",
            "args": [1],
            "kwargs": {"two": 2},
            "argsrepr": "(1,)",
            "kwargsrepr": "{'two': 2}",
            "called_directly": False,
            "is_eager": False,
            "retries": 0,
            "group": None,
            "group_index": None,
            "chord": None,
            "chain": None,
            "callbacks": None,
            "errbacks": None,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "headers": None,
            "stamped_headers": None,
            "stamps": {},
            "shadow": None,
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "lang": "py",
            "hostname": f"celery@{host}",
            "origin": f"gen{os.getpid()}@{host}",
            "delivery_info": {
                "exchange": "",
                "routing_key": "celery",
                "priority": 0,
                "redelivered": False,
            },
        }
        assert {name: request[name] for name in expected} == expected
        assert request["reply_to"] == engine.app.thread_oid

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"task_id": "mine"}, {"id": "mine", "root_id": "mine", "correlation_id": "mine"}),
            ({"root_id": "r", "parent_id": "p"}, {"root_id": "r", "parent_id": "p"}),
            ({"group_id": "g", "group_index": 3}, {"group": "g", "group_index": 3}),
            ({"reply_to": "queue"}, {"reply_to": "queue"}),
            ({"shadow": "alias"}, {"shadow": "alias"}),
            ({"headers": {"tenant": "a"}}, {"headers": {"tenant": "a"}}),
            ({"ignore_result": True}, {"ignore_result": True}),
            ({"time_limit": 9, "soft_time_limit": 5}, {"timelimit": [9, 5]}),
            ({"argsrepr": "(***)", "kwargsrepr": "{***}"}, {"argsrepr": "(***)"}),
            ({"stamped_headers": ["by"], "by": "me"}, {"stamps": {"by": "me"}}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("way", ["apply_async", "set", "send_task"])
    def test_of_an_option(self, engine, app, look, requests, way, options, expected):
        """An option of a call is in the request, whichever way it is given."""
        if way == "apply_async":
            look.apply_async((1,), **options)
        elif way == "set":
            look.s(1).set(**options).apply_async()
        else:
            app.send_task("look", (1,), **options)
        assert {name: requests[0][name] for name in expected} == expected

    def test_times(self, engine, app, look, requests):
        """A request has the time at which it is due, and the one at which it expires."""
        due = app.now() + timedelta(seconds=60)
        for options in ({"countdown": 60, "expires": 90}, {"eta": due.isoformat()}):
            look.apply_async(**options)
        first, second = requests
        assert datetime.fromisoformat(first["eta"]) == due
        assert datetime.fromisoformat(second["eta"]) == due
        assert datetime.fromisoformat(first["expires"]) == due + timedelta(seconds=30)

    def test_limits_of_a_task(self, app, heard):
        """A task's own limits are in the request, unless the call has others."""

        @app.task(bind=True, time_limit=9, soft_time_limit=5)
        def limited(self):
            heard.append(self.request.timelimit)

        with EagerEngine(app):
            limited.delay()
            limited.apply_async(time_limit=20)
        assert heard == [[9, 5], [20, 5]]

    def test_the_family(self, engine, app, heard):
        """What a task publishes has it as parent, and its root; add_to_parent=False is no child."""

        @app.task(bind=True)
        def child(self):
            heard.append((self.request.root_id, self.request.parent_id))

        @app.task(bind=True)
        def parent(self):
            first = child.delay()
            child.apply_async(add_to_parent=False)
            third = app.send_task(child.name)
            return [each.id for each in (first, third)]

        run = engine.run(parent)
        assert heard == [(run.task_id, run.task_id)] * 3
        assert [each.id for each in app.AsyncResult(run.task_id).children] == run.result

    def test_of_a_canvas(self, engine, app, heard):
        """The tasks of a canvas know its first task as root, and their group and chord."""

        @app.task(bind=True)
        def member(self, *args):
            request = self.request
            heard.append((request.root_id, request.group_index, bool(request.chord)))
            return request.id

        run = engine.run(chain(member.s(), group(member.s(), member.s()), member.s()))
        root = run.history[0].uuid
        assert heard == [
            (root, None, False),
            (root, 0, True),
            (root, 1, True),
            (root, None, False),
        ]

    def test_inherited_priority(self, app, look, requests):
        """With task_inherit_parent_priority what a task publishes has its priority."""
        app.conf.task_inherit_parent_priority = True

        @app.task
        def parent():
            look.delay()

        with EagerEngine(app):
            parent.apply_async(priority=6)
        assert requests[0]["delivery_info"]["priority"] == 6


class TestRouting:
    QUEUES: Final = (
        Queue("celery"),
        Queue("mail", Exchange("letters"), routing_key="letter"),
    )

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param({}, ("", "celery"), id="default"),
            pytest.param({"queue": "made"}, ("", "made"), id="made when it is needed"),
            pytest.param({"queue": "mail"}, ("", "mail"), id="queue"),
            pytest.param({"queue": Queue("own", routing_key="own")}, ("", "own"), id="object"),
            pytest.param({"routing_key": "celery"}, ("", "celery"), id="routing key"),
            # BUG 6 of canvas-bugs.md: nobody has bound the queue, and the message is lost.
            pytest.param(
                {"exchange": "letters", "routing_key": "letter"},
                ("letters", "letter"),
                id="exchange",
            ),
        ],
    )
    def test_options(self, app, look, requests, options, expected):
        """A message goes by its queue, or by exchange and routing key; the task can tell."""
        app.conf.task_queues = self.QUEUES
        with EagerEngine(app) as engine:
            assert engine.run(look.s().set(**options)).state == "SUCCESS"
        info = requests[0]["delivery_info"]
        assert (info["exchange"], info["routing_key"]) == expected

    @pytest.mark.parametrize(
        "routes",
        [
            {"look": {"queue": "mail", "priority": 4}},
            {"lo*": {"queue": "mail", "priority": 4}},
            [{"other": {"queue": "nowhere"}}, {"look": {"queue": "mail", "priority": 4}}],
            lambda name, args, kwargs, options, task=None, **_: {"queue": "mail", "priority": 4},
        ],
        ids=["dict", "pattern", "list", "function"],
    )
    def test_task_routes(self, app, look, requests, routes):
        """task_routes decide where nothing else does."""
        app.conf.update(task_queues=self.QUEUES, task_routes=routes)
        with EagerEngine(app):
            look.delay()
            look.apply_async(priority=9)
        infos = [each["delivery_info"] for each in requests]
        assert [each["routing_key"] for each in infos] == ["mail"] * 2
        assert [each["priority"] for each in infos] == [4, 9]

    def test_default_queue(self, app, look, requests):
        """task_default_queue is where a message goes that has no other."""
        app.conf.task_default_queue = "mine"
        with EagerEngine(app):
            look.delay()
        assert requests[0]["delivery_info"]["routing_key"] == "mine"

    def test_an_unknown_queue(self, app, look):
        """Without task_create_missing_queues an unknown queue is an error of the caller."""
        app.conf.update(task_queues=self.QUEUES, task_create_missing_queues=False)
        with EagerEngine(app) as engine:
            with pytest.raises(Exception, match="unknown"):
                look.apply_async(queue="unknown")
            assert engine.history == []


NOON: Final = timedelta(hours=12)


class TestTime:
    @pytest.mark.parametrize(
        ("settings", "eta", "seconds"),
        [
            pytest.param({}, lambda now: now + NOON, 12, id="aware"),
            pytest.param({}, lambda now: (now + NOON).replace(tzinfo=None), 12, id="naive is UTC"),
            pytest.param({}, lambda now: (now + NOON).isoformat(), 12, id="text"),
            pytest.param(
                {},
                lambda now: (now + NOON).astimezone(timezone(timedelta(hours=-7))),
                12,
                id="aware elsewhere",
            ),
            pytest.param({}, lambda now: now - NOON, 0, id="past"),
            pytest.param({"timezone": "Asia/Tokyo"}, lambda now: now + NOON, 12, id="Tokyo, aware"),
            pytest.param(
                # Celery takes it for UTC, whatever the timezone of the app: 9 hours too late.
                {"timezone": "Asia/Tokyo"},
                lambda now: (now + NOON).replace(tzinfo=None),
                12 + 9,
                id="Tokyo, naive is UTC",
            ),
            pytest.param(
                {"timezone": "Asia/Tokyo", "enable_utc": False},
                lambda now: now + NOON,
                12,
                id="Tokyo without UTC, aware",
            ),
        ],
    )
    def test_eta(self, app, heard, settings, eta, seconds):
        """An eta is kept to the second, whatever form and timezone it has."""
        app.conf.update(settings)

        @app.task
        def task():
            heard.append(app.now().isoformat())

        with EagerEngine(app) as engine:
            engine.run(task.s().set(eta=eta(app.now())))
            assert engine.clock.monotonic() == seconds * 3600.0
        assert len(heard) == 1

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"timezone": "Asia/Tokyo"},
            {"timezone": "America/New_York", "enable_utc": False},
            {"enable_utc": False},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("protocol", [1, 2])
    def test_countdown_and_expiry(self, app, look, settings, protocol):
        """Countdown and expiry count seconds, in every timezone and protocol."""
        app.conf.update(settings, task_protocol=protocol)
        with EagerEngine(app) as engine:
            assert engine.run(look.s().set(countdown=60, expires=61)).elapsed == 60.0
            assert engine.run(look.s().set(countdown=60, expires=59)).states == ["REVOKED"]
            retried = look.s().set(countdown=1.5)
            assert engine.run(retried).elapsed == 1.5

    @pytest.mark.parametrize("late", [True, False])
    @pytest.mark.parametrize(
        "expires",
        [
            pytest.param(lambda at: 60, id="seconds"),
            pytest.param(lambda at: 60.5, id="fraction"),
            pytest.param(lambda at: at, id="aware"),
            pytest.param(lambda at: at.replace(tzinfo=None), id="naive"),
            pytest.param(lambda at: at.astimezone(timezone(timedelta(hours=5))), id="elsewhere"),
            pytest.param(lambda at: at.isoformat(), id="text"),
        ],
    )
    def test_expires(self, engine, app, look, expires, late):
        """A task that is still waiting when its time has passed is revoked."""
        with engine.paused():
            result = look.apply_async(expires=expires(app.now() + timedelta(seconds=60)))
            engine.clock.advance(61 if late else 59)
        assert result.state == ("REVOKED" if late else "SUCCESS")

    def test_expires_of_the_task(self, app, heard):
        """`expires` of a task is that of every message."""

        @app.task(expires=60)
        def task():
            heard.append("ran")

        with EagerEngine(app):
            task.apply_async(countdown=61)
            task.apply_async(countdown=59)
        assert heard == ["ran"]


class TestLinks:
    @pytest.mark.parametrize("many", [True, False])
    def test_callbacks(self, engine, note, look, heard, many):
        """Callbacks get the result, one or many, and are in the request."""
        look.apply_async((1,), link=[note.s("a"), note.s("b")] if many else note.s("a"))
        expected = [([[1], {}], "a"), ([[1], {}], "b")]
        assert heard == expected[: 2 if many else 1]

    def test_they_are_in_the_request(self, engine, note, look, requests):
        """A task knows its callbacks and errbacks."""
        look.apply_async(link=note.s(), link_error=note.si("failed"))
        assert [each["task"] for each in requests[0]["callbacks"]] == ["note"]
        assert [each["args"] for each in requests[0]["errbacks"]] == [["failed"]]


class TestStamps:
    def test_of_a_visitor(self, engine, app, heard):
        """A visitor's stamps are on every task of a canvas; they come with retries, too."""

        class Visitor(StampingVisitor):
            def on_signature(self, sig, **headers):
                return {"tenant": "a", "stamped_headers": ["tenant"]}

        @app.task(bind=True)
        def stamped(self, *args):
            heard.append(self.request.stamps)
            if not self.request.retries:
                raise self.retry(countdown=1)

        canvas = chain(stamped.s(), group(stamped.s(), stamped.s()), stamped.s())
        canvas.stamp(Visitor(), by="me")
        assert engine.run(canvas).state == "SUCCESS"
        assert len(heard) == 8
        assert all(sorted(each) == ["by", "tenant"] for each in heard)


class TestContent:
    @pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
    def test_accepted(self, app, look, serializer):
        """What an app accepts is run, whatever its default."""
        app.conf.accept_content = ["json", serializer]
        with EagerEngine(app):
            result = look.apply_async(({"a": [1]},), serializer=serializer)
            assert result.get() == [[{"a": [1]}], {}]

    @pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
    def test_refused(self, engine, look, requests, caplog, serializer):
        """What an app does not accept is thrown away as by a worker: logged, and never run."""
        with pytest.warns(TaskProgressWarning, match="threw a message away"):
            result = look.apply_async(serializer=serializer)
        assert (result.state, requests, engine.pending) == ("PENDING", [], [])
        assert "Refusing to deserialize untrusted content" in caplog.text
        with pytest.raises(DeadlockError):
            result.get()

    def test_json_refused(self, app, look):
        """JSON is refused like any other where the app does not accept it."""
        app.conf.accept_content = ["pickle"]
        with EagerEngine(app), pytest.warns(TaskProgressWarning, match="threw a message away"):
            look.delay()

    @pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
    @pytest.mark.parametrize("setting", ["accept_content", "result_accept_content", None])
    def test_of_a_result(self, app, look, serializer, setting):
        """What a client does not accept it refuses to read; the task has succeeded all the same."""
        app.conf.result_serializer = serializer
        if setting:
            app.conf[setting] = ["json", serializer]
        with EagerEngine(app):
            result = look.delay(1)
            if setting:
                assert result.get() == [[1], {}]
            else:
                with pytest.raises(ContentDisallowed, match="Refusing to deserialize"):
                    result.get()

    def test_objects_by_pickle(self, app):
        """Pickle carries any object to a task, and back."""
        app.conf.update(
            task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"]
        )

        @app.task
        def later(when):
            return {when + timedelta(days=1), frozenset((1, 2))}

        when = datetime(2020, 1, 1, tzinfo=timezone.utc)
        with EagerEngine(app) as engine:
            run = engine.run(later, when)
        assert run.result == {when + timedelta(days=1), frozenset((1, 2))}

    @pytest.mark.parametrize("compression", ["gzip", "bzip2", "zlib"])
    @pytest.mark.parametrize("where", ["call", "app", "task"])
    def test_compression(self, app, compression, where):
        """A compressed message is read as any other, whoever asked for it."""
        options = {"compression": compression}
        if where == "app":
            app.conf.task_compression = compression

        @app.task(**(options if where == "task" else {}))
        def size(text):
            return len(text)

        def received(request, **_):
            headers.append(request.message.headers["compression"])

        headers = []
        signals.task_received.connect(received)
        with EagerEngine(app):
            result = size.apply_async(("a" * 50_000,), **(options if where == "call" else {}))
            assert result.get() == 50_000
        assert headers == [kombu.compression.get_encoder(compression)[1]]

    def test_an_unknown_serializer(self, engine, look):
        """A serializer that nobody knows is an error of the caller."""
        with pytest.raises(Exception, match="nonesuch"):
            look.apply_async(serializer="nonesuch")
        assert engine.history == []


class TestProducers:
    @pytest.mark.parametrize("name", ["connection_for_write", "connection_for_read", "connection"])
    @pytest.mark.parametrize("how", ["connection", "producer", "publisher"])
    def test_of_the_caller(self, engine, app, look, name, how):
        """A message that the caller's own connection or producer sends runs before it returns."""
        with getattr(app, name)() as connection:
            given = connection if how == "connection" else app.amqp.Producer(connection)
            result = look.apply_async((1,), **{how: given})
        assert result.state == "SUCCESS"

    def test_of_a_pool(self, engine, app, look):
        """What is published while a producer is held runs when it is given back."""
        with app.producer_or_acquire() as producer:
            results = [look.apply_async((n,), producer=producer) for n in range(3)]
        assert [each.state for each in results] == ["SUCCESS"] * 3

    @pytest.mark.parametrize("retry", [True, False])
    def test_retry_of_the_publication(self, engine, look, retry):
        """There is nothing to retry in memory, whatever policy is asked for."""
        policy = {"max_retries": 1, "interval_start": 5}
        assert look.apply_async(retry=retry, retry_policy=policy).state == "SUCCESS"


class TestByName:
    def test_known(self, engine, app, look, requests):
        """A task that is sent by its name has the options that are given with it."""
        result = app.send_task("look", (1,), {"two": 2}, countdown=60, task_id="mine")
        assert (result.id, result.get()) == ("mine", [[1], {"two": 2}])
        assert engine.clock.monotonic() == 60.0

    def test_a_signature_by_name(self, engine, app, look):
        """A signature needs no task, only a name."""
        run = engine.run(app.signature("look", args=(1,), kwargs={"two": 2}))
        assert run.result == [[1], {"two": 2}]

    @pytest.mark.parametrize("place", ["chain", "header"])
    def test_unknown_in_a_canvas(self, engine, app, look, place):
        """An unknown task in a canvas fails, and what waits for it waits for ever."""
        unknown = app.signature("nobody.knows")
        canvas = {
            "chain": chain(look.s(), unknown, look.s()),
            "header": chord([look.s(), unknown], look.s()),
        }[place]
        with pytest.warns(TaskProgressWarning, match=r"no task 'nobody\.knows'"):
            result = canvas.apply_async()
        before = result.parent if place == "chain" else result.parent.results[1]
        assert (result.state, before.state) == ("PENDING", "FAILURE")
        with pytest.raises(NotRegistered, match=r"nobody\.knows"):
            before.get()


class TestProtocol1:
    @pytest.fixture
    def app(self, app):
        """The app speaks the older protocol."""
        app.conf.task_protocol = 1
        return app

    def test_request(self, engine, look, requests):
        """What the older protocol carries is in the request; family and reprs it does not know."""
        result = look.apply_async((1,), {"two": 2}, time_limit=9, soft_time_limit=5)
        assert result.get() == [[1], {"two": 2}]
        request = requests[0]
        expected = {"id": result.id, "task": "look", "retries": 0}
        assert {name: request[name] for name in expected} == expected
        assert (request["args"], request["kwargs"]) == ([1], {"two": 2})
        assert list(request["timelimit"]) == [9, 5]

    def test_retries_and_links(self, engine, app, note, heard):
        """Retries, callbacks and errbacks work by the older protocol."""

        @app.task(bind=True, max_retries=1)
        def flaky(self, *, works):
            if not self.request.retries or not works:
                raise self.retry(countdown=10, exc=ValueError("busy"))
            return "done"

        for works in (True, False):
            kwargs = {"works": works}
            flaky.apply_async(kwargs=kwargs, link=note.s(), link_error=note.si("failed"))
        assert heard == [("done",), ("failed",)]
        assert engine.clock.monotonic() == 20.0

    def test_a_chord(self, engine, app):
        """A chord works by the older protocol."""

        @app.task
        def add(x, y):
            return x + y

        @app.task
        def total(numbers):
            return sum(numbers)

        assert engine.run(chord([add.s(n, n) for n in range(3)], total.s())).result == 6
        assert engine.run(group(add.s(n, n) for n in range(3))).result == [0, 2, 4]
