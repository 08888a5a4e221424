"""Bad input: as on a worker, or a clear error; and the next test is not affected."""

from __future__ import annotations

import threading

import celery
import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import WorkerLostError

from pytest_taskprogress import (
    CircularCanvasError,
    DeadlockError,
    EagerEngine,
    MalformedMessageError,
    NotATaskError,
    NotSerializable,
    TaskProgressWarning,
    UnregisteredTaskError,
)


@pytest.fixture
def add(app):
    """A task."""

    @app.task(name="sums.add")
    def add(x, y):
        return x + y

    return add


@pytest.fixture
def publish(engine, app):
    """Publish something that need not be a task message."""

    def publish(body, **options):
        with app.producer_or_acquire() as producer:
            producer.publish(body, **{"routing_key": "celery", "serializer": "json", **options})

    return publish


class TestMalformedMessages:
    def test_no_id(self, engine, add, publish):
        """A real worker stops with an error that names no task; here it does."""
        with pytest.raises(MalformedMessageError, match=r"'sums\.add' has no id.*'task'"):
            publish([[1, 2], {}, {}], headers={"task": "sums.add"})
        assert engine.pending == []
        assert engine.run(add, 1, 2).result == 3

    @pytest.mark.parametrize(
        ("body", "options", "reason"),
        [
            ({"no": "task"}, {}, "it is no task message"),
            ("text", {}, "it is no task message"),
            (b"\xff\x00", {"content_type": "application/json"}, "it cannot be decoded"),
            (b"\xff", {"content_type": "application/x-python-serialize"}, "untrusted|Refusing"),
        ],
        ids=["a dict", "text", "no json", "another content type"],
    )
    def test_no_task(self, engine, publish, caplog, body, options, reason):
        """What is no task message is thrown away, as by a worker, and the test is told."""
        with pytest.warns(
            TaskProgressWarning, match=f"threw a message away: .*(?:{reason})"
        ) as told:
            publish(body, **options)
        assert told[0].filename == __file__
        assert engine.history == []

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            ({"eta": "tomorrow"}, "invalid eta value 'tomorrow'"),
            ({"expires": "never"}, "invalid expires value 'never'"),
        ],
        ids=["eta", "expires"],
    )
    def test_an_invalid_task_message(self, engine, add, publish, headers, reason):
        """A task message with an impossible time is thrown away, as by a worker."""
        with pytest.warns(TaskProgressWarning, match=f"(?i){reason}"):
            publish([[1, 2], {}, {}], headers={"task": "sums.add", "id": "1", **headers})
        assert engine.history == []

    def test_while_it_waits(self, engine, add, publish):
        """What waits can be shown, whatever it is."""
        with engine.paused():
            publish({"no": "task"})
            publish([[], {}, {}], headers={"task": "sums.add", "id": "1", "eta": "tomorrow"})
            assert [each.name for each in engine.pending] == ["?", "?"]
            with pytest.warns(TaskProgressWarning):
                engine.drain()

    def test_a_body_of_another_shape(self, engine, add, publish):
        """A body that is no `[args, kwargs, embed]` is thrown away or fails, as on a worker."""
        with pytest.raises((ValueError, TypeError)):
            publish([1], headers={"task": "sums.add", "id": "1"})
        assert engine.run(add, 1, 2).result == 3

    def test_a_refused_serializer(self, engine, app, add):
        """The serialiser of the sender is not in `accept_content`: thrown away, as by a worker."""
        with pytest.warns(TaskProgressWarning, match="pickle"):
            result = add.apply_async((1, 2), serializer="pickle")
        assert result.state == "PENDING"
        assert engine.history == []


class TestMisuse:
    def test_in_a_task(self, engine, app, add):
        """A task publishes; it does not run the engine."""

        @app.task
        def runs():
            assert not engine.step()
            return engine.run(add, 1, 2)

        assert "publish by delay()" in str(engine.run(runs).exception)

    def test_an_empty_chain(self, engine):
        """A chain of nothing is nothing."""
        with pytest.raises(NotATaskError, match="an empty chain"):
            engine.run(chain())

    def test_a_limit_of_nothing(self, engine):
        """The limit is checked when it is set, too."""
        with pytest.raises(ValueError, match="limit >= 1, got limit=0"):
            engine.limit = 0


class TestUnregisteredTasks:
    def test_run(self, engine, app, add):
        """`run()` of a name that nobody knows is an error at once, with the nearest names."""
        with pytest.raises(UnregisteredTaskError, match=r"no task 'sums\.ad' .*'sums\.add'"):
            engine.run(app.signature("sums.ad", (1, 2)))
        assert engine.history == []

    def test_published(self, engine, app, add):
        """Published, it fails as on a worker, and the test is told the nearest names."""
        with pytest.warns(TaskProgressWarning, match=r"no task 'sum\.add' .*'sums\.add'") as told:
            result = app.send_task("sum.add", (1, 2))
        assert told[0].filename == __file__
        with pytest.raises(celery.exceptions.NotRegistered, match=r"sum\.add"):
            result.get()

    def test_nothing_is_near(self, engine, app):
        """Where no name is near, none is guessed."""
        with pytest.raises(UnregisteredTaskError) as raised:
            engine.run(app.signature("zzz"))
        assert "nearest" not in str(raised.value)
        assert "Import the module" in str(raised.value)


class TestCanvases:
    @pytest.mark.parametrize("make", [chord, lambda head, body: chain(group(head), body)])
    def test_a_chord_without_a_result_backend(self, make):
        """The engine makes up no result backend for an app that has none."""
        app = Celery("tests", set_as_current=False, broker="redis://nowhere")

        @app.task(shared=False)
        def add(*args):
            return len(args)

        with EagerEngine(app) as engine:
            assert engine.run(add).result == 0
            with pytest.raises(NotImplementedError, match=r"(?s)Starting chords .*result_backend"):
                engine.run(make([add.s(), add.s()], add.s()))
        app.conf.result_backend = "taskprogress://"
        with EagerEngine(app) as engine:
            assert engine.run(make([add.s(), add.s()], add.s())).result == 1

    @pytest.mark.parametrize(
        ("circle", "error"),
        [
            ("link", NotSerializable),
            ("link_error", NotSerializable),
            ("argument", NotSerializable),
            ("chain", CircularCanvasError),
            ("group", CircularCanvasError),
            ("chord", CircularCanvasError),
        ],
    )
    def test_a_circle(self, engine, add, circle, error):
        """A canvas that contains itself has no end, and says so; nothing of it is published."""
        canvas = {"chain": chain, "group": group}.get(circle, chord if circle == "chord" else None)
        if canvas is None:
            target = add.s(1, 2)
            if circle == "argument":
                target.args = (target, 1)
            else:
                getattr(target, circle)(target)
        elif canvas is chord:
            target = chord([add.s(1, 2)], add.s())
            target.kwargs["body"] = target
        else:
            target = canvas([add.s(1, 2), add.s(3, 4)])
            target.tasks.append(target)
        with pytest.raises(error, match="contains itself"):
            engine.run(target)
        assert engine.pending == []
        assert engine.run(add, 1, 2).result == 3

    def test_arguments_that_contain_themselves(self, engine, add):
        """A list that is in itself cannot be sent."""
        endless = []
        endless.append(endless)
        with pytest.raises(NotSerializable, match=r"args\[0\]\[0\], a list which contains itself"):
            engine.run(add, endless, 1)


class TestArgumentsThatAreMutated:
    def test_by_a_task_that_is_redelivered(self, engine, app):
        """A message that comes back is decoded anew."""
        seen = []

        @app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
        def mutates(self, rows):
            seen.append(list(rows))
            rows.append("mutated")
            if len(seen) == 1:
                raise SystemExit
            return rows

        assert engine.run(mutates, ["a"]).result == ["a", "mutated"]
        assert seen == [["a"], ["a"]]

    def test_by_the_caller(self, engine, app):
        """What is published is what it was when it was published."""

        @app.task
        def takes(rows, headers=None):
            return rows

        rows, stamps = ["a"], ["x"]
        with engine.paused():
            result = takes.apply_async((rows,), headers={"tags": stamps})
            rows.append("later")
            stamps.append("later")
        assert result.get() == ["a"]

    def test_results(self, engine, app):
        """What a test does with a result does not change what is stored."""

        @app.task
        def makes():
            return {"rows": [1]}

        result = makes.delay()
        result.get()["rows"].append(2)
        assert app.AsyncResult(result.id).get() == {"rows": [1]}


class TestTasksThatDoDamage:
    def test_a_task_that_ends_its_thread(self, engine, app, add):
        """SystemExit ends the process of a worker: WorkerLostError, and the engine goes on."""

        @app.task
        def leaves():
            raise SystemExit(3)

        run = engine.run(leaves)
        assert isinstance(run.exception, WorkerLostError)
        assert engine.run(add, 1, 2).result == 3

    def test_a_thread_that_outlives_its_task(self, app):
        """It is told of at the end, and what it writes later reaches no later test."""
        go_on, written = threading.Event(), threading.Event()

        @app.task(bind=True)
        def forks(self):
            task_id = self.request.id

            def later():
                go_on.wait(10)
                self.update_state(task_id=task_id, state="PROGRESS", meta={"late": True})
                written.set()

            threading.Thread(target=later, name="straggler", daemon=True).start()

        left = pytest.warns(TaskProgressWarning, match="left threads running: straggler")
        with left, EagerEngine(app) as engine:
            engine.run(forks)
        with EagerEngine(app) as engine:
            go_on.set()
            assert written.wait(10)
            assert engine.history == []

    def test_a_thread_that_ends_with_its_task(self, app):
        """Threads that are joined are nobody's business."""

        @app.task(bind=True)
        def forks(self):
            task_id, states = self.request.id, ("ONE", "TWO")
            for state in states:
                thread = threading.Thread(
                    target=self.update_state, kwargs={"task_id": task_id, "state": state}
                )
                thread.start()
                thread.join()

        with EagerEngine(app) as engine:
            assert engine.run(forks).states == ["ONE", "TWO", "SUCCESS"]

    def test_a_task_that_configures(self, app, add):
        """Settings that a task changes, nested ones too, are what they were in the next test."""
        app.conf.task_routes = {"a": {"queue": "a"}}
        app.conf.beat_schedule = {}

        @app.task
        def configures():
            app.conf.task_routes["a"]["queue"] = "b"
            app.conf.task_serializer = "yaml"
            app.conf.result_expires = 1
            app.conf.imports = ["os"]
            app.conf.beat_schedule["new"] = {}
            app.conf.task_queues = None

        before = app.conf.humanize(with_defaults=True)
        with EagerEngine(app) as engine:
            assert engine.run(configures).state == "SUCCESS"
            assert app.conf.task_serializer == "yaml"
        assert app.conf.humanize(with_defaults=True) == before
        assert app.conf.task_routes == {"a": {"queue": "a"}}
        assert app.conf.beat_schedule == {}

    def test_settings_of_any_type(self, app):
        """Values that compare as they like, tuples, and 1 for True: each comes back as it was."""

        class Odd:
            def __eq__(self, other):
                raise ValueError("ambiguous")

            __hash__ = None

        odd = Odd()
        app.conf.update(
            beat_schedule={"x": {"options": odd}},
            broker_transport_options={"a": 1},
            task_routes=({"a": {"queue": "q"}},),
        )
        with EagerEngine(app):
            app.conf.beat_schedule["x"]["options"] = Odd()
            app.conf.broker_transport_options["a"] = True
            app.conf.task_routes[0]["a"]["queue"] = "other"
        assert app.conf.beat_schedule["x"]["options"] is odd
        assert app.conf.broker_transport_options["a"] is not True
        assert app.conf.task_routes == ({"a": {"queue": "q"}},)

    def test_a_default_that_is_changed_in_place(self, app):
        """Celery's own defaults are shared by nobody but this app; they come back too."""
        with EagerEngine(app):
            app.conf.beat_schedule["x"] = {"task": "x", "schedule": 1}
        assert app.conf.beat_schedule == {}

    def test_a_deadlock_after_all_that(self, engine, app):
        """Errors of an engine are errors of a task that runs into them."""

        @app.task
        def waits():
            return app.AsyncResult("nobody").get(disable_sync_subtasks=False)

        assert isinstance(engine.run(waits).exception, DeadlockError)
