"""The base of all listeners: what it is told, how it comes and how it leaves."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from pytest_taskprogress import EagerEngine, EngineNotInstalled, Notifier, RestrictedNotifier
from pytest_taskprogress.listeners import (
    CaptureListener,
    DumpingListener,
    DurationListener,
    DynamicLoggingListener,
    EventTimeListener,
    Listener,
    LoggingListener,
    PrintingDurationListener,
    PrintingListener,
    ProgressBarListener,
)


class Hears(Listener):
    """Keeps the states that it is told of."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.tasks, self.flows, self.retries = [], [], []

    def _task_receiver(self, state, details):
        self.tasks.append(state)

    def _flow_receiver(self, state, details):
        self.flows.append(state)

    def _retry_receiver(self, state, details):
        self.retries.append(state)

    @property
    def all(self):
        """All states, by kind."""
        return self.tasks, self.flows, self.retries


class Refuses(Notifier):
    """A notifier that nobody can leave."""

    def deregister(self, *args, **options):
        """Refuse."""
        raise RuntimeError("no")


@pytest.fixture
def add(app):
    """A task that adds."""

    @app.task(track_started=True, name="add")
    def add(x=1, y=1):
        return x + y

    return add


@pytest.fixture
def flaky(app):
    """A task that reports, and succeeds at its second attempt."""

    @app.task(name="flaky", bind=True)
    def flaky(self):
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
        if not self.request.retries:
            raise self.retry(countdown=5)

    return flaky


@pytest.fixture
def bare():
    """An engine that is nothing but two notifiers."""
    return SimpleNamespace(notifier=Notifier(), atom_notifier=Notifier())


class TestBeingTold:
    def test_of_everything(self, engine, flaky):
        """A listener is told of flows, tasks and retries, each by its own receiver."""
        with Hears(engine) as listener:
            engine.run(flaky)
        assert listener.tasks == ["RUNNING", "PROGRESS", "RUNNING", "PROGRESS", "SUCCESS"]
        assert listener.flows == ["RUNNING", "SUCCESS"]
        assert listener.retries == ["RETRY"]

    def test_while_registered(self, engine, add):
        """A listener is told while it is registered, neither before nor after."""
        engine.run(add)
        with Hears(engine) as listener:
            engine.run(add)
        engine.run(add)
        assert listener.tasks == ["RUNNING", "STARTED", "SUCCESS"]
        assert listener.flows == ["RUNNING", "SUCCESS"]

    def test_chosen_states(self, engine, flaky):
        """A listener may choose the states that it is told of."""
        chosen = Hears(engine, ("PROGRESS", "SUCCESS"), ("SUCCESS",), ("nothing",))
        with chosen as listener:
            engine.run(flaky)
        assert listener.all == (["PROGRESS", "PROGRESS", "SUCCESS"], ["SUCCESS"], [])

    @pytest.mark.parametrize("nothing", [None, (), [], iter(())], ids=type)
    def test_none(self, engine, flaky, nothing):
        """Empty, or None, is no state."""
        with Hears(engine, nothing, None, ()) as listener:
            engine.run(flaky)
        assert listener.all == ([], [], [])

    @pytest.mark.parametrize("kind", [list, tuple, set, frozenset, iter, dict.fromkeys])
    def test_any_collection(self, engine, add, kind):
        """States are given in any collection."""
        with Hears(engine, kind(["SUCCESS"])) as listener:
            engine.run(add)
        assert listener.tasks == ["SUCCESS"]

    def test_a_state_twice(self, engine, add):
        """A state that is named twice is told once."""
        with Hears(engine, ("SUCCESS", "SUCCESS")) as listener:
            engine.run(add)
        assert listener.tasks == ["SUCCESS"]

    def test_any_and_a_state(self, engine, add):
        """Who asks for everything and for one state is told of that one twice, as TaskFlow does."""
        with Hears(engine, ("*", "SUCCESS")) as listener:
            engine.run(add)
        assert listener.tasks.count("SUCCESS") == 2

    def test_the_base_does_nothing(self, engine, flaky):
        """A listener that overrides nothing is told, and does nothing."""
        with Listener(engine):
            assert engine.run(flaky).state == "SUCCESS"

    def test_in_order(self, engine, add):
        """Listeners are told in the order in which they came."""
        order = []

        class Notes(Listener):
            def __init__(self, engine, name):
                super().__init__(engine, ["SUCCESS"], ())
                self.name = name

            def _task_receiver(self, state, details):
                order.append(self.name)

        with Notes(engine, "one"), Notes(engine, "two"), Notes(engine, "three"):
            engine.run(add)
        assert order == ["one", "two", "three"]

    def test_what_has_both(self, bare):
        """Details with keys of tasks and of retries reach both receivers; with neither, none."""
        with Hears(bare) as listener:
            task = {"task_name": "a", "task_uuid": "1"}
            retry = {"retry_name": "a", "retry_uuid": "1"}
            for state, details in (
                ("task", task),
                ("retry", retry),
                ("both", task | retry),
                ("none", {"task_name": "a"}),
            ):
                bare.atom_notifier.notify(state, details)
        assert listener.all == (["task", "both"], [], ["retry", "both"])


class TestComingAndLeaving:
    def test_idempotent(self, engine, add):
        """Registering, or leaving, twice is the same as once."""
        listener = Hears(engine)
        listener.register()
        listener.register()
        engine.run(add)
        listener.deregister()
        listener.deregister()
        engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"]

    def test_again(self, engine, add):
        """A listener may come again, also as a context manager."""
        listener = Hears(engine)
        for _ in range(3):
            with listener as entered:
                assert entered is listener
                engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"] * 3

    def test_entered_while_registered(self, engine, add):
        """Entering one that is registered registers it no second time; leaving ends it."""
        listener = Hears(engine)
        listener.register()
        with listener:
            engine.run(add)
        engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"]

    def test_never_registered(self, engine):
        """Leaving without having come does nothing."""
        Hears(engine).deregister()
        assert len(engine.notifier) == 0

    def test_leaves_nothing(self, engine):
        """Nothing of it is left in the notifiers."""
        before = len(engine.notifier), len(engine.atom_notifier)
        with Hears(engine, ("A", "B"), ("A", "*"), ("C",)):
            assert len(engine.notifier) == before[0] + 2
        assert (len(engine.notifier), len(engine.atom_notifier)) == before

    def test_an_error_inside(self, engine):
        """What is raised inside goes on, and the listener has left."""

        def body():
            with Hears(engine):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            body()
        assert len(engine.notifier) == 0

    @pytest.mark.parametrize("body", ["passes", "raises"])
    def test_leaving_never_raises(self, bare, caplog, body):
        """A notifier that cannot deregister is logged; what the body raised is not replaced."""
        bare.notifier = Refuses()

        def enter():
            with Hears(bare):
                if body == "raises":
                    raise ZeroDivisionError

        if body == "raises":
            with pytest.raises(ZeroDivisionError):
                enter()
        else:
            enter()
        (record,) = caplog.records
        assert record.getMessage().startswith("Failed deregistering listeners from engine")
        assert record.levelno == logging.WARNING
        assert record.name == "pytest_taskprogress.listeners.base"
        assert record.exc_info[0] is RuntimeError

    @pytest.mark.parametrize("which", ["notifier", "atom_notifier"])
    def test_leaving_as_much_as_can_be(self, bare, which):
        """Where one notifier cannot deregister, the other still does."""
        setattr(bare, which, Refuses())
        with Hears(bare):
            pass
        assert len(bare.notifier) + len(bare.atom_notifier) == (1 if which == "notifier" else 2)

    def test_left_in_a_receiver(self, engine, add):
        """A listener may leave in what it is told."""

        class Once(Hears):
            def _task_receiver(self, state, details):
                super()._task_receiver(state, details)
                self.deregister()

        listener = Once(engine)
        listener.register()
        engine.run(add)
        assert listener.tasks == ["RUNNING"]
        assert engine.check_listeners() is None

    def test_comes_in_a_receiver(self, engine, add):
        """A listener may come while another one is told."""
        late = Hears(engine)

        class Brings(Listener):
            def _task_receiver(self, state, details):
                late.register()

        with Brings(engine):
            engine.run(add)
        late.deregister()
        assert late.tasks == ["STARTED", "SUCCESS"]

    def test_after_the_notifier_was_reset(self, engine, add):
        """Who was dropped by a reset of the notifier may register again."""
        listener = Hears(engine)
        listener.register()
        engine.notifier.reset()
        engine.atom_notifier.reset()
        listener.register()
        engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"]
        assert listener.tasks == ["RUNNING", "STARTED", "SUCCESS"]
        listener.deregister()

    def test_leaves_after_the_notifier_was_reset(self, engine):
        """Who was dropped leaves without an error."""
        with Hears(engine):
            engine.notifier.reset()

    def test_the_engine_hears_on(self, engine, add):
        """Whatever is done to the notifiers, the engine's own history goes on."""
        engine.atom_notifier.reset()
        engine.atom_notifier.deregister_event("*")
        run = engine.run(add)
        assert run.states == ["STARTED", "SUCCESS"]
        assert engine.history == ["STARTED", "SUCCESS"]


class TestMisuse:
    @pytest.mark.parametrize("engine", [None, 3, object(), SimpleNamespace(notifier=Notifier())])
    def test_no_engine(self, engine):
        """What has no notifiers is no engine, which is said at once."""
        with pytest.raises(TypeError, match=r"has `notifier` and `atom_notifier`.* got engine="):
            Hears(engine)

    @pytest.mark.parametrize("name", ["task_listen_for", "flow_listen_for", "retry_listen_for"])
    def test_a_string(self, bare, name):
        """A string is no tuple of states: the message says how to write one."""
        with pytest.raises(TypeError, match=rf"{name} is a tuple of states.*\('SUCCESS',\)"):
            Hears(bare, **{name: "SUCCESS"})

    @pytest.mark.parametrize("states", [5, True, object()], ids=type)
    def test_no_states(self, bare, states):
        """What is no collection of states is a TypeError."""
        with pytest.raises(TypeError):
            Hears(bare, states)

    def test_an_abstract_one(self, bare):
        """DumpingListener has to be told where to."""
        with pytest.raises(TypeError, match=r"abstract.*_dump"):
            DumpingListener(bare)


class TestInstallations:
    def test_before(self, app, add):
        """A listener may be registered before the engine is installed, and hears all of it."""
        engine = EagerEngine()
        with Hears(engine) as listener, engine.installed(app):
            engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"]

    def test_of_all(self, app, add):
        """One that was registered before hears each installation."""
        engine = EagerEngine()
        with Hears(engine) as listener:
            for _ in range(2):
                with engine.installed(app):
                    engine.run(add)
            listener.deregister()
        assert listener.flows == ["RUNNING", "SUCCESS"] * 2

    def test_left_registered(self, app, add):
        """One that is left registered in an installation is dropped at its end."""
        engine = EagerEngine()
        listener = Hears(engine)
        with engine.installed(app):
            listener.register()
        with engine.installed(app):
            engine.run(add)
        assert listener.flows == []
        assert len(engine.notifier) == 0

    def test_comes_back(self, app, add):
        """One that was dropped may register in the next installation."""
        engine = EagerEngine()
        listener = Hears(engine)
        for _ in range(3):
            with engine.installed(app):
                listener.register()
                engine.run(add)
        assert listener.flows == ["RUNNING", "SUCCESS"] * 3

    def test_leaves_after_it_was_dropped(self, app):
        """One that was dropped leaves without an error."""
        engine = EagerEngine()
        listener = Hears(engine)
        with engine.installed(app):
            listener.register()
        listener.deregister()
        with engine.installed(app), listener:
            pass

    def test_left_inside(self, app, add):
        """One that was there before, and left inside, does not come back."""
        engine = EagerEngine()
        listener = Hears(engine)
        listener.register()
        with engine.installed(app):
            listener.deregister()
        with engine.installed(app):
            engine.run(add)
        assert listener.flows == []

    def test_stays_by_an_error(self, app, add):
        """An installation that ends by an error drops the same ones."""
        engine = EagerEngine()
        before, inside = Hears(engine), Hears(engine)
        before.register()

        def body():
            with engine.installed(app):
                inside.register()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            body()
        with engine.installed(app):
            engine.run(add)
        assert (before.flows, inside.flows) == (["RUNNING", "SUCCESS"], [])

    def test_an_engine_that_has_left(self, app):
        """A listener for an engine that has gone is refused, and leaves without an error."""
        with EagerEngine(app) as engine:
            listener = Hears(engine)
        with pytest.raises(EngineNotInstalled, match="has left its app"):
            listener.register()
        with pytest.raises(EngineNotInstalled), listener:
            pass
        listener.deregister()
        assert len(engine.notifier) == 0

    def test_left_after_the_engine(self, app, add):
        """One that leaves after its engine does so without an error."""
        engine = EagerEngine(app)
        with engine:
            listener = Hears(engine)
            listener.register()
            engine.run(add)
        listener.deregister()
        assert listener.flows == ["RUNNING", "SUCCESS"]


class TestRestricted:
    @pytest.fixture
    def restricted(self):
        """An engine that says which states there are."""
        return SimpleNamespace(
            notifier=RestrictedNotifier(["RUNNING", "SUCCESS"], allow_any=False),
            atom_notifier=RestrictedNotifier(["RUNNING", "SUCCESS"]),
        )

    def test_states_that_there_are(self, restricted):
        """States that the engine knows can be listened for."""
        with Hears(restricted, ("SUCCESS",), ("RUNNING",), ()) as listener:
            restricted.atom_notifier.notify("SUCCESS", {"task_name": "a", "task_uuid": "1"})
            restricted.notifier.notify("RUNNING", {})
        assert listener.all == (["SUCCESS"], ["RUNNING"], [])

    @pytest.mark.parametrize(
        "states", [{"task_listen_for": ("nope",)}, {"flow_listen_for": ("*",)}], ids=str
    )
    def test_a_state_that_there_is_not(self, restricted, states):
        """One that it does not know is a ValueError, and nothing is left registered."""
        known = {"task_listen_for": ("RUNNING",), "flow_listen_for": ("RUNNING",)}
        listener = Hears(restricted, **{**known, **states})
        for _ in range(2):
            with pytest.raises(ValueError, match="Disallowed event type"):
                listener.register()
            assert len(restricted.notifier) == len(restricted.atom_notifier) == 0
        listener.deregister()


@pytest.mark.parametrize(
    "make",
    [
        Listener,
        CaptureListener,
        LoggingListener,
        DynamicLoggingListener,
        PrintingListener,
        DurationListener,
        PrintingDurationListener,
        EventTimeListener,
        ProgressBarListener,
    ],
)
class TestEachOfThem:
    """What holds for every listener."""

    def test_comes_and_leaves(self, engine, flaky, make):
        """It registers and leaves, as often as one likes, and leaves nothing behind."""
        if make is ProgressBarListener:
            pytest.importorskip("tqdm")
        before = len(engine.notifier), len(engine.atom_notifier)
        listener = make(engine)
        for _ in range(2):
            listener.register()
            listener.register()
            assert engine.run(flaky).state == "SUCCESS"
            listener.deregister()
            listener.deregister()
            with listener as entered:
                assert entered is listener
        assert (len(engine.notifier), len(engine.atom_notifier)) == before

    def test_no_engine(self, make):
        """None is no engine."""
        with pytest.raises(TypeError, match="got engine=None"):
            make(None)

    def test_an_engine_that_has_left(self, app, make):
        """It is not told of an engine that has gone."""
        if make is ProgressBarListener:
            pytest.importorskip("tqdm")
        with EagerEngine(app) as engine:
            listener = make(engine)
        with pytest.raises(EngineNotInstalled):
            listener.register()
        listener.deregister()
