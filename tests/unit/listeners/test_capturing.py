"""The listener that keeps everything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_taskprogress import CaptureListener, Notifier
from pytest_taskprogress.listeners import Details


@pytest.fixture
def tasks(app):
    """A task that adds, and one that succeeds at its second attempt."""

    @app.task(name="add", track_started=True)
    def add(x=1, y=1):
        return x + y

    @app.task(name="flaky", bind=True)
    def flaky(self):
        if not self.request.retries:
            raise self.retry(countdown=5)

    return SimpleNamespace(add=add, flaky=flaky)


@pytest.fixture
def bare():
    """An engine that is nothing but two notifiers."""
    return SimpleNamespace(notifier=Notifier(), atom_notifier=Notifier())


def kinds(capture):
    """Kind and state of what was captured."""
    return [(kind, state) for kind, state, _ in capture.values]


class TestValues:
    def test_everything(self, engine, tasks):
        """Everything is kept, in order: kind, state and details."""
        with CaptureListener(engine) as capture:
            engine.run(tasks.flaky)
        assert kinds(capture) == [
            ("flow", "RUNNING"),
            ("task", "RUNNING"),
            ("retry", "RETRY"),
            ("task", "RUNNING"),
            ("task", "SUCCESS"),
            ("flow", "SUCCESS"),
        ]
        assert [details[f"{kind}_name"] for kind, _, details in capture.values] == ["flaky"] * 6
        assert capture.values[0][2]["engine"] is engine

    def test_kinds(self):
        """The kinds are TaskFlow's."""
        kinds = CaptureListener.FLOW, CaptureListener.TASK, CaptureListener.RETRY
        assert kinds == ("flow", "task", "retry")

    @pytest.mark.parametrize("kind", ["flow", "task", "retry"])
    def test_without_a_kind(self, engine, tasks, kind):
        """Each kind can be left out."""
        with CaptureListener(engine, **{f"capture_{kind}": False}) as capture:
            engine.run(tasks.flaky)
        assert {each for each, _ in kinds(capture)} == {"flow", "task", "retry"} - {kind}

    @pytest.mark.parametrize(
        ("kind", "argument"),
        [("flow", "skip_flows"), ("task", "skip_tasks"), ("retry", "skip_retries")],
    )
    @pytest.mark.parametrize("collection", [list, tuple, set, iter])
    def test_skipping_names(self, engine, tasks, kind, argument, collection):
        """Names of each kind can be left out, in any collection; others are kept."""
        with CaptureListener(engine, **{argument: collection(["flaky", "nope"])}) as capture:
            engine.run(tasks.flaky)
            assert {each for each, _ in kinds(capture)} == {"flow", "task", "retry"} - {kind}
            engine.run(tasks.add)
        assert [each for each, _ in kinds(capture)].count("flow") >= 2

    @pytest.mark.parametrize("nothing", [None, (), []], ids=repr)
    def test_skipping_nothing(self, engine, tasks, nothing):
        """None, and what is empty, skips nothing."""
        with CaptureListener(
            engine, skip_tasks=nothing, skip_flows=nothing, skip_retries=nothing
        ) as capture:
            engine.run(tasks.flaky)
        assert len(capture.values) == 6

    def test_chosen_states(self, engine, tasks):
        """Only the states that are listened for are kept."""
        with CaptureListener(engine, ["SUCCESS"], ["SUCCESS"], []) as capture:
            engine.run(tasks.flaky)
        assert kinds(capture) == [("task", "SUCCESS"), ("flow", "SUCCESS")]

    def test_taskflows_positions(self, bare):
        """The arguments are in TaskFlow's order."""
        values = []
        states, captured, skipped = [["A"]] * 3, [False, True, False], [["skipped"], ["r"], ["f"]]
        capture = CaptureListener(bare, *states, *captured, *skipped, values)
        assert capture.values is values
        with capture:
            bare.notifier.notify("A", {"flow_name": "g"})
            for name in ("kept", "skipped"):
                bare.atom_notifier.notify("A", {"task_name": name, "task_uuid": "1"})
        assert values == [("task", "A", {"task_name": "kept", "task_uuid": "1"})]

    def test_into_a_list(self, engine, tasks):
        """A list that is given is added to, also by several listeners; it is never replaced."""
        values = ["before"]
        first = CaptureListener(engine, values=values)
        second = CaptureListener(engine, values=values, capture_task=False)
        with first, second:
            engine.run(tasks.add)
        assert values[0] == "before"
        assert len(values) == 1 + 5 + 2
        assert first.values is second.values is values

    def test_into_an_empty_list(self, bare):
        """An empty list that is given is used, too."""
        values = []
        assert CaptureListener(bare, values=values).values is values

    def test_a_list_of_each(self, bare):
        """Two listeners do not share the list that they make."""
        assert CaptureListener(bare).values is not CaptureListener(bare).values

    def test_format(self, engine, tasks):
        """A subclass says what is kept; a static method, as TaskFlow's, or any other."""

        class Static(CaptureListener):
            @staticmethod
            def _format_capture(kind, state, details):
                return f"{kind} {state} {details['old_state']}"

        class Bound(CaptureListener):
            def _format_capture(self, kind, state, details):
                return f"{type(self).__name__} {kind}"

        with Static(engine, flow_listen_for=()) as static, Bound(engine, ()) as bound:
            engine.run(tasks.add)
        assert static.values == [
            "task RUNNING PENDING",
            "task STARTED RUNNING",
            "task SUCCESS STARTED",
        ]
        assert bound.values == ["Bound flow", "Bound flow"]

    def test_default_format(self):
        """By default it is a tuple of what was given."""
        assert CaptureListener._format_capture("task", "X", {"a": 1}) == ("task", "X", {"a": 1})

    def test_details_stay(self, engine, tasks):
        """What was captured is what was told, however much later it is looked at."""
        with CaptureListener(engine, ["SUCCESS"], ()) as capture:
            engine.run(tasks.add, 1, 2)
            engine.run(tasks.add, 3, 4)
        engine.reset()
        assert [details["result"] for _, _, details in capture.values] == [3, 7]
        assert all(type(details) is Details for _, _, details in capture.values)


class TestHistory:
    def test_writes(self, engine, tasks):
        """The history has the writes, and not what no backend stores."""
        with CaptureListener(engine) as capture:
            engine.run(tasks.flaky)
        assert capture.history == ["RETRY", "SUCCESS"]
        assert capture.history == engine.history
        assert len(capture) == 2

    def test_skipped(self, engine, tasks):
        """What is not captured is not in the history."""
        with (
            CaptureListener(engine, skip_tasks=["add"]) as names,
            CaptureListener(engine, capture_retry=False) as no_retries,
        ):
            engine.run(tasks.add)
            engine.run(tasks.flaky)
        assert names.history == ["RETRY", "SUCCESS"]
        assert no_retries.history == ["STARTED", "SUCCESS", "SUCCESS"]

    def test_since(self, engine, tasks):
        """What was written after a number of writes."""
        with CaptureListener(engine) as capture:
            engine.run(tasks.add)
            before = len(capture)
            engine.run(tasks.add)
        assert capture.since(before) == ["STARTED", "SUCCESS"]
        assert capture.since(0) == capture.history
        assert capture.since(99) == []

    def test_clear(self, engine, tasks):
        """It can begin again, with the same list."""
        values = []
        with CaptureListener(engine, values=values) as capture:
            engine.run(tasks.add)
            capture.clear()
            assert (len(capture), values, list(capture.history)) == (0, [], [])
            engine.run(tasks.add)
        assert capture.history == ["STARTED", "SUCCESS"]
        assert capture.values is values
        assert len(engine.history) == 4

    def test_the_engines_own(self, engine, tasks):
        """What a test does to its capture is nothing to the engine's."""
        with CaptureListener(engine) as capture:
            engine.run(tasks.add)
            capture.values[1][2]["task_name"] = "changed"
            capture.clear()
        assert engine.capture.values[1][2]["task_name"] == "add"
        assert engine.history == ["STARTED", "SUCCESS"]

    def test_of_another_engine(self, bare):
        """Where no write is told, as TaskFlow's engines do, the history is empty."""
        with CaptureListener(bare) as capture:
            bare.atom_notifier.notify("A", {"task_name": "a", "task_uuid": "1"})
        assert len(capture.values) == 1
        assert len(capture) == 0

    def test_is_true(self, bare):
        """A capture that has captured nothing is there all the same."""
        assert CaptureListener(bare)


class TestMisuse:
    @pytest.mark.parametrize("values", [(), "text", {}, 5, iter(())], ids=type)
    def test_no_list(self, bare, values):
        """A `values` that is no list is refused, and shown."""
        with pytest.raises(TypeError, match=r"expected values to be a list.* got values="):
            CaptureListener(bare, values=values)

    def test_a_list_of_ones_own(self, bare):
        """A subclass of list is one."""
        values = type("Mine", (list,), {})()
        assert CaptureListener(bare, values=values).values is values

    @pytest.mark.parametrize("argument", ["skip_tasks", "skip_retries", "skip_flows"])
    def test_a_string(self, bare, argument):
        """A string is no list of names: the message says how to write one."""
        with pytest.raises(TypeError, match=rf"{argument} is a list of names.*\['add'\]"):
            CaptureListener(bare, **{argument: "add"})

    def test_no_engine(self):
        """None is no engine."""
        with pytest.raises(TypeError, match="got engine=None"):
            CaptureListener(None)
