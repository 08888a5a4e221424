"""`app.control` and `inspect()`: Celery's own handlers, asked without a broker in between."""

from __future__ import annotations

import pickle

import pytest
from celery.app.control import Control
from celery.worker import state as worker_state
from celery.worker.control import Panel, inspect_command

from pytest_taskprogress import EagerEngine, NeedsRealWorker


@pytest.fixture
def add(app):
    """A task."""

    @app.task(name="add")
    def add(x, y):
        return x + y

    return add


@pytest.fixture
def ask(engine, app):
    """Inspect the one worker; returns what it answers."""

    def ask(command, *args, **kwargs):
        answers = getattr(app.control.inspect(), command)(*args, **kwargs)
        [answer] = answers.values()
        return answer

    return ask


class TestInspect:
    def test_ping(self, engine, app, ask):
        """There is one worker, and it is there."""
        assert ask("ping") == {"ok": "pong"}
        [answer] = app.control.ping()
        [name] = answer
        assert name.startswith("celery@")
        assert app.control.ping(destination=[name]) == [answer]
        assert app.control.ping(destination=["celery@elsewhere"]) == []

    def test_nothing(self, ask):
        """A worker that has nothing to do says so."""
        for command in ("active", "scheduled", "reserved", "revoked"):
            assert ask(command) == []

    def test_active(self, engine, app, ask):
        """A task that asks while it runs finds itself."""

        @app.task(name="looks", bind=True)
        def looks(self):
            [active] = ask("active")
            return active["id"] == self.request.id, active["name"], active["args"]

        assert engine.run(looks).result == [True, "looks", []]

    def test_waiting(self, engine, add, ask):
        """What waits to be run is reserved; what waits for its time is scheduled."""
        with engine.paused():
            add.delay(1, 2)
            add.apply_async((3, 4), countdown=60, priority=5)
            assert [each["args"] for each in ask("reserved")] == [[1, 2]]
            [scheduled] = ask("scheduled")
            eta = engine.clock.now().timestamp() + 60
            assert scheduled["request"]["args"] == [3, 4]
            assert scheduled["eta"].startswith(
                type(engine.clock.now()).fromtimestamp(eta, engine.clock.now().tzinfo).isoformat()
            )
            # Asking changes nothing of what is run.
            assert [(each.name, each.at) for each in engine.pending] == [("add", None), ("add", 60)]

    def test_rate_limited(self, engine, app, ask):
        """What waits for its rate limit is reserved."""

        @app.task(rate_limit="1/m")
        def limited(n):
            return n

        with engine.paused():
            limited.delay(1)
            limited.delay(2)
            engine.drain(until=0)
            assert [each["args"] for each in ask("reserved")] == [[2]]

    def test_registered(self, add, ask):
        """The tasks of the app, as a worker lists them."""
        add.rate_limit = "1/m"
        assert "add [rate_limit=1/m]" in ask("registered")
        assert "add [rate_limit=1/m]" in ask("registered", "rate_limit")

    def test_query_task(self, engine, add, ask):
        """A task that waits for its time can be asked for by its id."""
        with engine.paused():
            result = add.apply_async((1, 2), countdown=60)
            known = ask("query_task", result.id)
        # Celery 5.7 is the first whose workers know of scheduled tasks here.
        assert known == {} or known[result.id][0] == "scheduled"

    def test_conf(self, ask):
        """The settings, as JSON."""
        assert ask("conf")["result_backend"].startswith("redis://nowhere")

    def test_answers_make_the_round_trip(self, engine, app, add, ask):
        """What is answered is what the wire would carry: no tuples, no objects."""
        with engine.paused():
            add.delay((1, 2), y=None)
            [reserved] = ask("reserved")
        assert reserved["args"] == [[1, 2]]
        assert type(reserved["delivery_info"]) is dict

    def test_a_command_of_ones_own(self, engine, app):
        """A command that the project registered is carried out, with the worker's state."""

        @inspect_command(name="count_tasks")
        def count_tasks(state, **_):
            return {"hostname": state.hostname, "count": len(state.app.tasks)}

        try:
            [answer] = app.control.broadcast("count_tasks", reply=True)
        finally:
            for table in (Panel.data, Panel.meta):
                table.pop("count_tasks")
        [(hostname, counted)] = answer.items()
        assert counted == {"hostname": hostname, "count": len(app.tasks)}


class TestRevoke:
    @pytest.mark.parametrize("countdown", [None, 60])
    def test_before_it_starts(self, engine, app, countdown):
        """A task that is revoked before it starts never runs."""

        @app.task
        def never():
            raise AssertionError

        with engine.paused():
            result = never.apply_async(countdown=countdown)
            result.revoke()
        assert result.state == "REVOKED"

    def test_terminate_before_it_starts(self, engine, app):
        """`terminate=True` makes no difference for a task that does not run."""

        @app.task
        def never():
            raise AssertionError

        with engine.paused():
            result = never.delay()
            app.control.revoke(result.id, terminate=True, signal="SIGKILL")
        assert result.state == "REVOKED"

    def test_terminate_a_running_task(self, engine, app):
        """A running task cannot be killed here, and who asks for it is told so."""

        @app.task(bind=True)
        def kills_itself(self):
            app.control.revoke(self.request.id, terminate=True)

        run = engine.run(kills_itself)
        assert isinstance(run.exception, NeedsRealWorker)
        assert "process of the test" in str(run.exception)

    def test_by_stamped_header(self, engine, app, add):
        """Tasks with a revoked stamp never run; others do."""
        with engine.paused():
            signatures = [add.s(1, 1), add.s(2, 2)]
            for signature, customer in zip(signatures, ("a", "b"), strict=True):
                signature.stamp(customer=customer)
            results = [each.apply_async() for each in signatures]
            app.control.revoke_by_stamped_headers({"customer": ["a"]})
        assert [each.state for each in results] == ["REVOKED", "SUCCESS"]

    def test_nothing_stays(self, app, add):
        """What one test revoked is not revoked in the next one."""
        before = set(worker_state.revoked), dict(worker_state.revoked_stamps)
        with EagerEngine(app) as engine, engine.paused():
            app.control.revoke("1")
            app.control.revoke_by_stamped_headers({"customer": ["a"]})
        with EagerEngine(app):
            assert (set(worker_state.revoked), worker_state.revoked_stamps) == before
            assert add.apply_async((1, 2), task_id="1").get() == 3


class TestRateLimit:
    def test_while_it_runs(self, engine, app, add):
        """A rate limit that is set by remote control holds from then on."""
        answer = app.control.rate_limit("add", "1/m", reply=True)
        assert [list(each.values()) for each in answer] == [
            [{"ok": "new rate limit set successfully"}]
        ]
        with engine.paused():
            add.delay(1, 1)
            add.delay(1, 1)
        assert engine.clock.monotonic() == 60.0
        app.control.rate_limit("add", None)
        assert add.rate_limit is None

    def test_it_is_taken_back(self, app, add):
        """The task has its former limit afterwards."""
        add.rate_limit = "7/s"
        with EagerEngine(app):
            app.control.rate_limit("add", "1/m")
            assert add.rate_limit == "1/m"
        assert add.rate_limit == "7/s"

    @pytest.mark.parametrize(
        ("name", "limit", "error"), [("nobody", "1/m", "unknown task"), ("add", "fast", "Invalid")]
    )
    def test_bad_input(self, engine, app, add, name, limit, error):
        """What a worker answers to a wrong name or limit."""
        [answer] = app.control.rate_limit(name, limit, reply=True)
        [reply] = answer.values()
        assert reply["error"].startswith(error)


class TestOthers:
    @pytest.mark.parametrize(
        ("command", "arguments"),
        [
            ("shutdown", ()),
            ("pool_grow", (1,)),
            ("pool_restart", ()),
            ("autoscale", (1, 2)),
            ("add_consumer", ("other",)),
            ("time_limit", ("add", 1)),
            ("enable_events", ()),
        ],
    )
    def test_need_a_real_worker(self, engine, app, command, arguments):
        """What makes no sense in one process says so, and what does make sense."""
        with pytest.raises(NeedsRealWorker, match=rf"'{command}' needs a real worker.*revoke"):
            getattr(app.control, command)(*arguments)

    def test_the_next_command(self, engine, app):
        """What was refused once is not held against a command for somebody else."""
        with pytest.raises(NeedsRealWorker):
            app.control.shutdown()
        assert app.control.ping(destination=["celery@elsewhere"]) == []

    @pytest.mark.parametrize("command", ["stats", "report", "active_queues", "memsample", "hello"])
    def test_inspecting_what_is_not_there(self, engine, app, command):
        """The same for what `inspect()` asks."""
        arguments = ("celery@a",) if command == "hello" else ()
        with pytest.raises(NeedsRealWorker, match=f"'{command}' needs a real worker"):
            getattr(app.control.inspect(), command)(*arguments)

    def test_an_unknown_command(self, engine, app, caplog):
        """A command that nobody knows is answered as by a worker."""
        [answer] = app.control.broadcast("dance", reply=True)
        [reply] = answer.values()
        assert reply == {"error": "KeyError('dance')"}

    def test_arguments_that_cannot_be_sent(self, engine, app):
        """Arguments make the serialiser's round trip too."""
        with pytest.raises(Exception, match="not JSON serializable"):
            app.control.revoke(object())


class TestInstallation:
    def test_one_from_before(self, app, add):
        """Who has the app's control from before speaks to the engine's worker meanwhile."""
        control = app.control
        kind = type(control.mailbox)
        with EagerEngine(app) as engine:
            assert app.control is control
            assert control.ping()
            with engine.paused():
                result = add.delay(1, 2)
                control.revoke(result.id)
            assert result.state == "REVOKED"
        assert app.control is control
        assert type(control.mailbox) is kind
        assert "node" not in vars(control.mailbox)

    def test_one_that_was_not_made(self, app):
        """An app whose control was never used has its own afterwards; it can be pickled."""
        with EagerEngine(app):
            app.conf.task_serializer = "yaml"
            assert app.control.ping()
            assert pickle.dumps(app)
        assert type(app.control.mailbox) is Control.Mailbox
        assert app.control.mailbox.serializer == "json"

    def test_two_engines_on_one_app(self, app, add):
        """The inner one answers; then the outer one does again."""
        with EagerEngine(app) as outer:
            with EagerEngine(app) as inner, inner.paused():
                add.delay(1, 2)
                [(_, found)] = app.control.inspect().reserved().items()
                assert len(found) == 1
            [(_, found)] = app.control.inspect().reserved().items()
            assert found == []
            assert outer.pending == []

    def test_a_class_of_ones_own(self, app):
        """The app's own class of control is used."""

        class Own(Control):
            """Has one more method."""

            def anybody(self):
                return bool(self.ping())

        app.control_cls = Own
        with EagerEngine(app):
            assert app.control.anybody()
        assert app.control_cls is Own
