"""What is known of flows and tasks, and what listeners record of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pytest_taskprogress import Failure, NotFound, TaskProgressError, Transition
from pytest_taskprogress.listeners import Atom, Flow, Listener, Storage


@pytest.fixture
def storage():
    """A storage that knows nothing."""
    return Storage()


@pytest.fixture
def tasks(app):
    """A task that adds, and one that fails."""

    @app.task(name="add")
    def add(x, y=1):
        return x + y

    @app.task(name="fails")
    def fails():
        raise ValueError("broken")

    return SimpleNamespace(add=add, fails=fails)


def told(storage, atom=None, flow=None):
    """Let this thread have been told of a task or a flow, and be told of nothing now."""
    storage.turn_to(*storage.turn_to(atom, flow))


class TestTasks:
    def test_by_id(self, storage):
        """A task is found by its id."""
        atom = storage.atom("1", "add")
        assert storage.find("1") is atom
        assert storage.atom("1") is atom
        assert storage.atom("1", "other").name == "add"

    def test_a_name_that_comes_later(self, storage):
        """A name that was not known at first is."""
        storage.atom("1")
        assert storage.atom("1", "add").name == "add"

    def test_by_name(self, storage):
        """A task is found by its name once somebody was told of it: of several the last one."""
        one, other = storage.atom("1", "add"), storage.atom("2", "add")
        told(storage, one)
        assert storage.get_atom_uuid("add") == "1"
        told(storage, other)
        assert storage.get_atom_uuid("add") == "2"
        told(storage, one)
        assert storage.get_atom_uuid("add") == "1"

    def test_the_one_that_is_told_of(self, storage):
        """A name stands for the task that this thread is told of just now."""
        one, other = storage.atom("1", "add"), storage.atom("2", "add")
        before = storage.turn_to(one, None)
        inner = storage.turn_to(other, None)
        assert storage.get_atom_uuid("add") == "2"
        storage.turn_to(*inner)
        assert storage.get_atom_uuid("add") == "1"
        storage.turn_to(*before)

    def test_of_another_thread(self, storage):
        """What another thread is told of does not matter to this one."""
        one, other = storage.atom("1", "add"), storage.atom("2", "add")
        before = storage.turn_to(one, None)
        thread = threading.Thread(target=storage.turn_to, args=(other, None))
        thread.start()
        thread.join()
        assert storage.get_atom_uuid("add") == "1"
        storage.turn_to(*before)
        assert storage.get_atom_uuid("add") == "2"

    def test_an_id_before_a_name(self, storage):
        """A task whose id is another one's name is found by its id."""
        named, other = storage.atom("1", "2"), storage.atom("2", "add")
        told(storage, named)
        assert storage.find("2") is other

    @pytest.mark.parametrize(
        "ask",
        [
            lambda storage: storage.find("nope"),
            lambda storage: storage.get_atom_uuid("nope"),
            lambda storage: storage.get_atom_state("nope"),
            lambda storage: storage.get_atoms_states(["nope"]),
            lambda storage: storage.get_atom_metadata("nope"),
            lambda storage: storage.update_atom_metadata("nope", {}),
            lambda storage: storage.update_atom_metadata("nope", None),
            lambda storage: storage.get_task_progress("nope"),
            lambda storage: storage.get_execute_result("nope"),
        ],
    )
    def test_unknown(self, storage, ask):
        """A task that nobody was told of is NotFound, which says what was asked for."""
        with pytest.raises(NotFound, match="no task or retry 'nope' is known, by id or by name"):
            ask(storage)

    def test_kind_of_error(self):
        """NotFound is one of ours, and a LookupError."""
        assert issubclass(NotFound, TaskProgressError)
        assert issubclass(NotFound, LookupError)

    def test_states(self, storage):
        """States are those that listeners were told."""
        storage.atom("1", "add").state = "RUNNING"
        told(storage, storage.atom("2", "total"))
        assert storage.get_atom_state("1") == "RUNNING"
        assert storage.get_atoms_states(["1", "total"]) == {"1": "RUNNING", "total": "PENDING"}
        assert storage.get_atoms_states([]) == {}

    def test_known(self, storage):
        """The tasks that are known, of one flow or of all, in order."""
        flow = Flow("chain", "f")
        one, other = storage.atom("1", "add"), storage.atom("2", "add")
        other.flow = flow
        assert storage.known() == [one, other]
        assert storage.known(flow) == [other]
        assert storage.known(Flow("chain", "f")) == []

    def test_clear(self, storage):
        """Everything is forgotten."""
        told(storage, storage.atom("1", "add"))
        storage.add_flow(Flow("add", "f"))
        storage.clear()
        assert storage.known() == []
        for ask in (storage.flow, lambda: storage.find("1"), lambda: storage.find("add")):
            with pytest.raises(NotFound):
                ask()


class TestMetadata:
    @pytest.fixture
    def add(self, storage):
        """The storage, which knows the task `add`."""
        told(storage, storage.atom("1", "add"))
        return storage

    def test_read_back(self, add):
        """What was recorded is read back, by id and by name; newer values replace older ones."""
        assert add.get_atom_metadata("add") == {}
        assert add.update_atom_metadata("add", {"a": 1, "b": 2}) is None
        add.update_atom_metadata("1", {"b": 3})
        assert add.get_atom_metadata("add") == {"a": 1, "b": 3}
        assert add.get_atom_metadata("1") == {"a": 1, "b": 3}

    @pytest.mark.parametrize("nothing", [None, {}, [], ()], ids=repr)
    def test_nothing(self, add, nothing):
        """None and what is empty record nothing."""
        add.add_flow(Flow("add", "f"))
        add.update_atom_metadata("add", nothing)
        add.update_flow_metadata(nothing)
        assert (add.get_atom_metadata("add"), add.flow_meta) == ({}, {})

    def test_pairs(self, add):
        """Pairs are recorded as a dict is."""
        add.update_atom_metadata("add", [("a", 1)])
        assert add.get_atom_metadata("add") == {"a": 1}

    def test_what_is_none(self, add):
        """What is no mapping is a ValueError, as TaskFlow has it."""
        with pytest.raises(ValueError, match="dictionary update sequence"):
            add.update_atom_metadata("add", "text")

    def test_copies(self, add):
        """What is read back, and what was recorded, can be changed by nobody."""
        rows = [1]
        add.update_atom_metadata("add", {"rows": rows})
        rows.append(2)
        add.get_atom_metadata("add")["rows"].append(3)
        add.get_atom_metadata("add")["more"] = 1
        assert add.get_atom_metadata("add") == {"rows": [1]}

    def test_of_a_flow(self, storage):
        """The same of flows, by id or of the last one."""
        storage.add_flow(Flow("chain", "1"))
        storage.add_flow(Flow("group", "2"))
        rows = [1]
        storage.update_flow_metadata({"rows": rows})
        storage.update_flow_metadata({"a": 1}, "1")
        rows.append(2)
        storage.get_flow_metadata()["rows"].append(3)
        storage.flow_meta["more"] = 1
        assert storage.flow_meta == storage.get_flow_metadata("2") == {"rows": [1]}
        assert storage.get_flow_metadata("1") == {"a": 1}

    def test_of_the_right_task(self, engine, tasks):
        """A listener that records by name records of the task that it is told of."""

        class Records(Listener):
            def _task_receiver(self, state, details):
                storage = self._engine.storage
                storage.update_atom_metadata(details["task_name"], {state: details["task_uuid"]})

        with Records(engine):
            first = engine.run(tasks.add, 1).task_id
            second = engine.run(tasks.add, 2).task_id
        for uuid in (first, second):
            assert engine.storage.get_atom_metadata(uuid) == {"RUNNING": uuid, "SUCCESS": uuid}
        assert engine.storage.get_atom_metadata("add")["SUCCESS"] == second

    def test_outlives_the_listener(self, engine, tasks):
        """What was recorded is there until the engine is reset."""

        class Records(Listener):
            def _flow_receiver(self, state, details):
                self._engine.storage.update_flow_metadata({state: details["flow_name"]})

        with Records(engine):
            engine.run(tasks.add, 1)
        assert engine.storage.flow_meta == {"RUNNING": "add", "SUCCESS": "add"}
        engine.reset()
        with pytest.raises(NotFound):
            engine.storage.flow_meta

    def test_threads(self, add):
        """Threads may record at once: nothing is lost."""
        with ThreadPoolExecutor(8) as pool:
            for number in range(8):
                pool.submit(
                    lambda number: [
                        add.update_atom_metadata("add", {f"{number}-{n}": n}) for n in range(200)
                    ],
                    number,
                )
        assert len(add.get_atom_metadata("add")) == 1_600


class TestFlows:
    def test_none_yet(self, storage):
        """Before anything has begun there is none, and that is said."""
        for ask in (
            storage.flow,
            storage.get_flow_state,
            storage.get_flow_metadata,
            lambda: storage.flow_name,
            lambda: storage.flow_uuid,
            lambda: storage.flow_meta,
            lambda: storage.update_flow_metadata({}),
        ):
            with pytest.raises(NotFound, match="no flow has begun: a flow is told of when"):
                ask()

    def test_unknown(self, storage):
        """A flow of an id that is not known is NotFound, which says which."""
        storage.add_flow(Flow("chain", "1"))
        with pytest.raises(NotFound, match="no flow 'nope' is known"):
            storage.get_flow_state("nope")

    def test_the_last_one(self, storage):
        """None stands for the last one that began, where this thread is told of none."""
        storage.add_flow(Flow("chain", "1", "SUCCESS"))
        storage.add_flow(Flow("group", "2", "RUNNING"))
        assert (storage.flow_name, storage.flow_uuid) == ("group", "2")
        assert storage.get_flow_state() == "RUNNING"
        assert storage.get_flow_state("1") == "SUCCESS"

    def test_the_one_that_is_told_of(self, storage):
        """None stands for the one that this thread is told of."""
        one = Flow("chain", "1")
        storage.add_flow(one)
        storage.add_flow(Flow("group", "2"))
        before = storage.turn_to(None, one)
        assert storage.flow_uuid == "1"
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: storage.flow_uuid).result() == "2"
        storage.turn_to(*before)
        assert storage.flow_uuid == "2"


class TestAtMost:
    def test_tasks(self):
        """The oldest are forgotten, by id and by name."""
        storage = Storage(at_most=2)
        for number in range(4):
            told(storage, storage.atom(str(number), f"task{number}"))
        assert [each.uuid for each in storage.known()] == ["2", "3"]
        assert storage.get_atom_uuid("task3") == "3"
        for gone in ("1", "task1"):
            with pytest.raises(NotFound):
                storage.find(gone)

    def test_flows(self):
        """So are the oldest flows."""
        storage = Storage(at_most=2)
        for number in range(4):
            storage.add_flow(Flow("add", str(number)))
        assert storage.flow_uuid == "3"
        assert storage.flow("2").uuid == "2"
        with pytest.raises(NotFound):
            storage.flow("1")

    def test_a_name_that_others_have(self):
        """A name stands for one that is known, as long as there is one."""
        storage = Storage(at_most=2)
        one, other = storage.atom("1", "add"), storage.atom("2", "add")
        told(storage, other)
        told(storage, one)
        storage.atom("3", "total")
        assert storage.get_atom_uuid("add") == "2"

    def test_a_flow_of_that_name(self):
        """A flow that is forgotten takes no task of its name along."""
        storage = Storage(at_most=1)
        told(storage, storage.atom("1", "add"))
        storage.add_flow(Flow("add", "f1"))
        storage.add_flow(Flow("add", "f2"))
        assert storage.get_atom_uuid("add") == "1"

    def test_many(self):
        """What a worker of many tasks knows stays small."""
        storage = Storage(at_most=10)
        for number in range(1_000):
            told(storage, storage.atom(str(number), f"task{number}"))
        assert len(storage.known()) == 10
        assert storage.get_atom_uuid("task999") == "999"
        with pytest.raises(NotFound):
            storage.find("task989")

    def test_threads(self):
        """Threads that make tasks known at once get the same one, and the bound holds."""
        storage = Storage(at_most=50)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: told(storage, storage.atom(str(n % 200), "add")), range(4_000)))
        assert len(storage.known()) <= 50


class TestLookup:
    def test_of_another_process(self):
        """A task that is not known is looked up by its id."""
        found = Atom("add", "1", "SUCCESS")
        storage = Storage(lookup=lambda uuid: found if uuid == "1" else None)
        assert storage.get_atom_state("1") == "SUCCESS"
        with pytest.raises(NotFound):
            storage.find("2")

    def test_what_is_known_is_not_looked_up(self):
        """What is known is not asked for elsewhere."""
        storage = Storage(lookup=lambda uuid: pytest.fail("looked up"))
        told(storage, storage.atom("1", "add"))
        assert storage.get_atom_uuid("add") == "1"


class TestResults:
    def wrote(self, storage, state, meta=None, result=None):
        """Let the task `add` have written something."""
        atom = storage.atom("1", "add")
        atom.last = Transition(0, "task", "add", "1", "PENDING", state, meta or {}, result)
        atom.state = state
        told(storage, atom)
        return storage

    def test_of_a_success(self, storage):
        """What it returned; a copy."""
        self.wrote(storage, "SUCCESS", result=[1])
        storage.get_execute_result("add").append(2)
        assert storage.get_execute_result("add") == [1]

    def test_of_a_failure(self, storage):
        """A Failure."""
        stored = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}
        failure = self.wrote(storage, "FAILURE", stored).get_execute_result("add")
        assert isinstance(failure, Failure)
        assert str(failure) == "Failure: ValueError: bad"

    @pytest.mark.parametrize("state", ["PROGRESS", "STARTED", "RETRY", "REVOKED", "ABORTED"])
    def test_of_all_else(self, storage, state):
        """None, as it has none."""
        assert self.wrote(storage, state, {"a": 1}).get_execute_result("add") is None

    def test_of_nothing(self, storage):
        """None if it has written nothing; its progress is 0.0."""
        storage.atom("1", "add")
        assert storage.get_execute_result("1") is None
        assert storage.get_task_progress("1") == 0.0

    @pytest.mark.parametrize(
        ("meta", "progress"),
        [
            ({"current": 1, "total": 4}, 0.25),
            ({"percent": 50}, 0.5),
            ({"current": 4, "total": 4}, 1.0),
            ({"current": 4, "total": None}, 0.0),
            ({"current": "half"}, 0.0),
            ({}, 0.0),
        ],
    )
    def test_progress(self, storage, meta, progress):
        """How far it has come, 0.0 to 1.0."""
        assert self.wrote(storage, "PROGRESS", meta).get_task_progress("add") == progress

    def test_progress_of_one_that_failed(self, engine, app):
        """A task that has failed has come as far as it said."""

        @app.task(name="export", bind=True)
        def export(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
            raise ValueError

        engine.run(export)
        assert engine.storage.get_task_progress("export") == 0.5

    def test_progress_of_one_that_succeeded(self, engine, app):
        """A task that has succeeded has come to its end, as TaskFlow says of its own."""

        @app.task(name="export", bind=True)
        def export(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
            return "done"

        engine.run(export)
        assert engine.storage.get_task_progress("export") == 1.0


class TestOfAnEngine:
    def test_what_a_listener_asks(self, engine, tasks):
        """Inside a receiver the storage knows what the listener was just told."""
        seen = []

        class Asks(Listener):
            def _task_receiver(self, state, details):
                storage = self._engine.storage
                assert storage.get_atom_uuid(details["task_name"]) == details["task_uuid"]
                assert storage.get_atom_state(details["task_name"]) == state
                seen.append((state, storage.get_flow_state(), storage.flow_name))

            def _flow_receiver(self, state, details):
                storage = self._engine.storage
                assert (storage.flow_name, storage.flow_uuid) == (
                    details["flow_name"],
                    details["flow_uuid"],
                )
                seen.append((state, storage.get_flow_state(), storage.flow_name))

        with Asks(engine):
            engine.run(tasks.add, 1)
        assert seen == [
            ("RUNNING", "RUNNING", "add"),
            ("RUNNING", "RUNNING", "add"),
            ("SUCCESS", "RUNNING", "add"),
            ("SUCCESS", "SUCCESS", "add"),
        ]

    def test_what_a_client_asks(self, engine, tasks):
        """After a run the storage knows states and results by name."""
        engine.run(tasks.add, 1, 2)
        engine.run(tasks.fails)
        storage = engine.storage
        assert storage.get_atoms_states(["add", "fails"]) == {"add": "SUCCESS", "fails": "FAILURE"}
        assert storage.get_execute_result("add") == 3
        assert storage.get_execute_result("fails").check(ValueError)
        assert storage.get_flow_state() == "FAILURE"

    def test_arguments(self, engine, tasks):
        """What a task was called with is known."""
        engine.run(tasks.add, 1, y=2)
        atom = engine.storage.find("add")
        assert (list(atom.args), atom.kwargs) == ([1], {"y": 2})
