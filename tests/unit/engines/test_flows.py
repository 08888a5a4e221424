"""Flows: what listeners are told of a canvas, from its beginning to its end."""

from __future__ import annotations

from collections import Counter

import pytest
from celery import chain, chord, group
from celery.exceptions import Ignore, Reject

from pytest_taskprogress import (
    AbortableTask,
    DrainLimitExceeded,
    EagerEngine,
    Listener,
    NotFound,
    Observer,
)
from pytest_taskprogress.scenario import (
    Abort,
    Revoke,
    at_abort_check,
    at_report,
    at_retry,
    before_start,
)


class Hears(Listener):
    """Keeps what it is told: kind, old state, state and name; and the details."""

    def __init__(self, engine):
        super().__init__(engine)
        self.told = []
        self.details = []

    def _hear(self, kind, state, details):
        self.told.append(f"{kind} {details[f'{kind}_name']}: {details['old_state']} -> {state}")
        self.details.append((kind, state, details))

    def _flow_receiver(self, state, details):
        self._hear("flow", state, details)

    def _task_receiver(self, state, details):
        self._hear("task", state, details)

    def _retry_receiver(self, state, details):
        self._hear("retry", state, details)

    @property
    def flows(self):
        """What was told of flows."""
        return [each.removeprefix("flow ") for each in self.told if each.startswith("flow ")]

    @property
    def ids(self):
        """The ids of the flows, in order."""
        return list(
            dict.fromkeys(each["flow_uuid"] for kind, _, each in self.details if kind == "flow")
        )


@pytest.fixture
def heard(engine):
    """What a listener is told."""
    with Hears(engine) as listener:
        yield listener


@pytest.fixture
def more(app):
    """Tasks that store nothing: `silent`, `quietly_fails`, `quietly_again`, `quietly_aborted`."""

    class More:
        @app.task(name="silent", ignore_result=True)
        def silent(*args):
            return 3

        @app.task(name="quietly_fails", ignore_result=True)
        def quietly_fails(*args):
            raise ValueError("broken")

        @app.task(name="quietly_again", ignore_result=True, bind=True)
        def quietly_again(self, *args):
            if not self.request.retries:
                raise self.retry(countdown=5)

        @app.task(name="quietly_aborted", ignore_result=True, bind=True, base=AbortableTask)
        def quietly_aborted(self, *args):
            self.raise_if_aborted()

        @app.task(name="ignores")
        def ignores(*args):
            raise Ignore

        @app.task(name="rejects")
        def rejects(*args):
            raise Reject("no")

    return More


class TestOneTask:
    def test_success(self, engine, heard, tasks):
        """A flow begins before its task and ends after it."""
        run = engine.run(tasks.add, 1, 2)
        assert heard.told == [
            "flow add: PENDING -> RUNNING",
            "task add: PENDING -> RUNNING",
            "task add: RUNNING -> SUCCESS",
            "flow add: RUNNING -> SUCCESS",
        ]
        assert engine.storage.get_flow_state() == run.state == "SUCCESS"

    def test_failure(self, engine, heard, tasks):
        """A task that fails ends its flow in FAILURE."""
        run = engine.run(tasks.fails)
        assert heard.told == [
            "flow fails: PENDING -> RUNNING",
            "task fails: PENDING -> RUNNING",
            "task fails: RUNNING -> FAILURE",
            "flow fails: RUNNING -> FAILURE",
        ]
        assert engine.storage.get_flow_state() == run.state == "FAILURE"

    def test_reports_and_retries(self, engine, heard, jobs):
        """Reports and attempts are told, each old state the one that was told before."""
        run = engine.run(jobs.flaky)
        assert heard.told == [
            "flow flaky: PENDING -> RUNNING",
            "task flaky: PENDING -> RUNNING",
            "task flaky: RUNNING -> PROGRESS",
            "retry flaky: PROGRESS -> RETRY",
            "task flaky: RETRY -> RUNNING",
            "task flaky: RUNNING -> PROGRESS",
            "task flaky: PROGRESS -> SUCCESS",
            "flow flaky: RUNNING -> SUCCESS",
        ]
        assert run.elapsed == 30.0
        assert heard.details[-1][2]["transition"].at == 30.0

    def test_tracked_start(self, engine, heard, app):
        """RUNNING is told also where STARTED is stored, before it."""

        @app.task(name="tracked", track_started=True)
        def tracked():
            return 1

        engine.run(tracked)
        assert heard.told[1:4] == [
            "task tracked: PENDING -> RUNNING",
            "task tracked: RUNNING -> STARTED",
            "task tracked: STARTED -> SUCCESS",
        ]

    @pytest.mark.parametrize("moment", [before_start(), at_report(2), at_abort_check(1)], ids=repr)
    def test_abort(self, engine, heard, jobs, moment):
        """A task that is aborted ends its flow in ABORTED."""
        run = engine.under(Abort(moment)).run(jobs.export)
        assert heard.told[0] == "flow export: PENDING -> RUNNING"
        assert heard.told[-1] == "flow export: RUNNING -> ABORTED"
        assert heard.told[-2].endswith("-> ABORTED")
        assert engine.storage.get_flow_state() == run.state == "ABORTED"

    def test_abort_of_celerys(self, engine, heard, jobs, app):
        """So does one of Celery's own, whose abort was not lost."""

        @app.task(name="aborts", bind=True, base=type(jobs.celerys).__mro__[1])
        def aborts(self):
            self.AsyncResult(self.request.id).abort()
            raise Ignore

        engine.run(aborts)
        assert heard.flows == ["aborts: PENDING -> RUNNING", "aborts: RUNNING -> ABORTED"]

    def test_revoked(self, engine, heard, jobs):
        """A flow has no REVOKED: one whose task was revoked has failed."""
        run = engine.under(Revoke(before_start())).run(jobs.export)
        assert heard.flows == ["export: PENDING -> RUNNING", "export: RUNNING -> FAILURE"]
        assert run.state == "REVOKED"
        assert "task export: PENDING -> REVOKED" in heard.told

    def test_revoked_while_it_waits(self, engine, heard, jobs):
        """What is revoked while it waits for its next attempt is told by its name."""
        engine.under(Revoke(at_retry())).run(jobs.flaky)
        assert heard.told[4] == "task flaky: RETRY -> REVOKED"
        assert heard.told[-1] == "flow flaky: RUNNING -> FAILURE"
        assert not [each for each in heard.told if "None" in each]

    def test_expired(self, engine, heard, tasks):
        """One that expires before it starts ends its flow in FAILURE."""
        engine.run(tasks.add.s(1).set(countdown=10, expires=5))
        assert heard.told == [
            "flow add: PENDING -> RUNNING",
            "task add: PENDING -> REVOKED",
            "flow add: RUNNING -> FAILURE",
        ]

    def test_rejected(self, engine, heard, more):
        """One that is rejected ends its flow."""
        engine.run(more.rejects)
        assert heard.flows[0] == "rejects: PENDING -> RUNNING"
        assert len(heard.flows) == 2

    def test_ignored(self, engine, heard, more):
        """One that raises Ignore ends its flow; nothing is stored, and it is told."""
        engine.run(more.ignores)
        assert heard.told == [
            "flow ignores: PENDING -> RUNNING",
            "task ignores: PENDING -> RUNNING",
            "task ignores: RUNNING -> IGNORED",
            "flow ignores: RUNNING -> SUCCESS",
        ]

    def test_a_terminal_report(self, engine, heard, app):
        """What an Observer stores as the end is told once."""

        @app.task(name="observed", bind=True, base=AbortableTask)
        def observed(self):
            observer = Observer(self)
            observer.update("half", current=1, total=2)
            return observer.fail("bad luck")[1]

        run = engine.run(observed)
        assert run.state == "FAILURE"
        assert heard.told[1:] == [
            "task observed: PENDING -> RUNNING",
            "task observed: RUNNING -> PROGRESS",
            "task observed: PROGRESS -> FAILURE",
            "flow observed: RUNNING -> FAILURE",
        ]


class TestIgnoredResults:
    """Of tasks that store nothing, beginnings and ends are told all the same."""

    def test_success(self, engine, heard, more):
        """The result is what was returned; nothing was written."""
        run = engine.run(more.silent)
        assert heard.told[1:] == [
            "task silent: PENDING -> RUNNING",
            "task silent: RUNNING -> SUCCESS",
            "flow silent: RUNNING -> SUCCESS",
        ]
        assert heard.details[2][2]["result"] == 3
        assert run.history == []

    def test_failure(self, engine, heard, more):
        """A failure has the exception, with its line."""
        engine.run(more.quietly_fails)
        assert heard.told[-2:] == [
            "task quietly_fails: RUNNING -> FAILURE",
            "flow quietly_fails: RUNNING -> FAILURE",
        ]
        failure = heard.details[2][2]["result"]
        assert failure.check(ValueError)
        assert failure.exc_info[2] is not None

    def test_retry(self, engine, heard, more):
        """A retry is told to those who listen for retries."""
        engine.run(more.quietly_again)
        assert heard.told[1:] == [
            "task quietly_again: PENDING -> RUNNING",
            "retry quietly_again: RUNNING -> RETRY",
            "task quietly_again: RETRY -> RUNNING",
            "task quietly_again: RUNNING -> SUCCESS",
            "flow quietly_again: RUNNING -> SUCCESS",
        ]

    @pytest.mark.parametrize("moment", [before_start(), at_abort_check(1)], ids=repr)
    def test_abort(self, engine, heard, more, moment):
        """An abort is told, and ends the flow in ABORTED."""
        engine.under(Abort(moment)).run(more.quietly_aborted)
        assert heard.told[-2:] == [
            "task quietly_aborted: RUNNING -> ABORTED",
            "flow quietly_aborted: RUNNING -> ABORTED",
        ]

    def test_in_canvases(self, engine, heard, more):
        """A canvas of such tasks ends as they do."""
        engine.run(chain(more.silent.si(), more.silent.si()))
        engine.run(group(more.silent.si(), more.quietly_fails.si()))
        assert [each for each in heard.flows if "RUNNING ->" in each] == [
            "celery.chain: RUNNING -> SUCCESS",
            "celery.group: RUNNING -> FAILURE",
        ]


#: Canvases, by how their flow ends.
CANVASES = {
    "chain": (lambda t, j: chain(t.add.s(1), t.add.s(2)), "SUCCESS"),
    "group": (lambda t, j: group(t.add.s(1), t.add.s(2)), "SUCCESS"),
    "chord": (lambda t, j: chord([t.add.s(1), t.add.s(2)], t.total.s()), "SUCCESS"),
    "chain of chord": (
        lambda t, j: chain(t.add.s(1), group(t.add.s(), t.add.s()), t.total.s()),
        "SUCCESS",
    ),
    "group of chain and chord": (
        lambda t, j: group(chain(t.add.s(1), t.add.s()), chord([t.add.s(1)] * 2, t.total.s())),
        "SUCCESS",
    ),
    "chord of groups": (
        lambda t, j: chord([group(t.add.s(1), t.add.s(2)), t.add.s(3)], j.quiet.s()),
        "SUCCESS",
    ),
    "empty group": (lambda t, j: group([]), "SUCCESS"),
    "map": (lambda t, j: t.add.map([1, 2]), "SUCCESS"),
    "chunks": (lambda t, j: t.add.chunks([(1, 2), (3, 4)], 1), "SUCCESS"),
    "retries": (lambda t, j: chain(j.flaky.s(), j.flaky.s()), "SUCCESS"),
    "chain that fails": (lambda t, j: chain(t.fails.s(), t.add.s(2)), "FAILURE"),
    "chain that fails at its end": (lambda t, j: chain(t.add.s(2), t.fails.s()), "FAILURE"),
    "group that fails": (lambda t, j: group(t.add.s(1), t.fails.s(), t.add.s(2)), "FAILURE"),
    "chord whose header fails": (
        lambda t, j: chord([t.add.s(1), t.fails.s()], t.total.s()),
        "FAILURE",
    ),
    "chord whose body fails": (lambda t, j: chord([t.add.s(1)] * 2, t.fails.s()), "FAILURE"),
    "nested that fails": (
        lambda t, j: chain(t.add.s(1), group(t.add.s(), t.fails.s()), t.total.s()),
        "FAILURE",
    ),
}  # fmt: skip


class TestCanvases:
    @pytest.mark.parametrize("canvas", CANVASES)
    def test_one_flow(self, engine, heard, tasks, jobs, canvas):
        """A canvas is one flow, whatever is in it: RUNNING, and its end after all of its tasks."""
        make, end = CANVASES[canvas]
        signature = make(tasks, jobs)
        run = engine.run(signature)
        name = signature.name
        assert heard.flows == [f"{name}: PENDING -> RUNNING", f"{name}: RUNNING -> {end}"]
        assert heard.told[0].startswith("flow")
        assert heard.told[-1].startswith("flow")
        assert engine.storage.get_flow_state() == run.state == end
        assert heard.ids == [run.task_id]

    @pytest.mark.parametrize("canvas", CANVASES)
    def test_every_task_has_a_name(self, engine, heard, tasks, jobs, canvas):
        """Whatever is told of a task is told by its name, also where it never ran."""
        make, _ = CANVASES[canvas]
        engine.run(make(tasks, jobs))
        assert not [each for each in heard.told if " None:" in each]

    @pytest.mark.parametrize("canvas", CANVASES)
    def test_every_task_is_of_the_flow(self, engine, tasks, jobs, canvas):
        """While a task is told of, the storage's flow is that of the canvas."""
        make, _ = CANVASES[canvas]
        uuids = set()

        class Asks(Listener):
            def _task_receiver(self, state, details):
                uuids.add(self._engine.storage.flow_uuid)

            def _retry_receiver(self, state, details):
                uuids.add(self._engine.storage.flow_uuid)

        with Asks(engine):
            run = engine.run(make(tasks, jobs))
        assert uuids <= {run.task_id}

    @pytest.mark.parametrize("canvas", [each for each in CANVASES if each != "empty group"])
    def test_the_same_by_delay(self, engine, heard, tasks, jobs, canvas):
        """Published by delay(), a chain is told as one flow too; of a group, each task is one."""
        make, end = CANVASES[canvas]
        make(tasks, jobs).delay()
        told = Counter(each.partition(": ")[2] for each in heard.flows)
        begun = told.pop("PENDING -> RUNNING")
        assert set(told) <= {"RUNNING -> SUCCESS", f"RUNNING -> {end}"}
        assert told.total() == begun
        assert told[f"RUNNING -> {end}"]
        assert begun == 1 or "group" in canvas or "chord" in canvas or canvas == "chunks"
        assert heard.told[-1].startswith("flow")

    @pytest.mark.parametrize("canvas", CANVASES)
    def test_tasks_are_told_in_pairs(self, engine, heard, tasks, jobs, canvas):
        """Old states join up: each task is told from PENDING, from state to state."""
        make, _ = CANVASES[canvas]
        engine.run(make(tasks, jobs))
        last = {}
        for kind, state, details in heard.details:
            # A flow of one task has its id.
            which = kind == "flow", details[f"{kind}_uuid"]
            assert details["old_state"] == last.get(which, "PENDING")
            last[which] = state

    def test_an_aborted_chain(self, engine, heard, tasks, jobs):
        """What comes after a task that was aborted is told as aborted, and so is the flow."""
        run = engine.under(Abort(at_report(1))).run(chain(jobs.export.s(), tasks.add.s()))
        assert heard.told[-3:] == [
            "task export: PROGRESS -> ABORTED",
            "task add: PENDING -> ABORTED",
            "flow celery.chain: RUNNING -> ABORTED",
        ]
        assert run.state == "ABORTED"

    def test_an_aborted_group(self, engine, heard, jobs):
        """A group of tasks that were aborted is aborted."""
        run = engine.under(Abort(at_report(1))).run(group(jobs.export.s(), jobs.export.s()))
        assert heard.told[-1] == "flow celery.group: RUNNING -> ABORTED"
        assert engine.storage.get_flow_state() == run.state == "ABORTED"

    @pytest.mark.parametrize("order", ["fails first", "aborts first"])
    def test_one_fails_and_one_is_aborted(self, engine, heard, tasks, jobs, order):
        """Where a task fails and another one is aborted, the first of them is the end."""
        signatures = [tasks.fails.s(), jobs.export.s()]
        canvas = group(signatures if order == "fails first" else signatures[::-1])
        engine.under(Abort(at_report(1))).run(canvas)
        expected = "FAILURE" if order == "fails first" else "ABORTED"
        assert heard.told[-1].endswith(f"RUNNING -> {expected}")

    def test_replace(self, engine, heard, app, tasks):
        """A task that replaces itself by a canvas stays one flow."""

        @app.task(name="replaced", bind=True)
        def replaced(self):
            raise self.replace(chain(tasks.add.s(1), tasks.add.s(2)))

        assert engine.run(replaced).result == 4
        assert heard.flows == ["replaced: PENDING -> RUNNING", "replaced: RUNNING -> SUCCESS"]

    def test_callbacks(self, engine, heard, tasks, jobs):
        """Callbacks and errbacks are of the flow."""
        engine.run(tasks.add.s(1).set(link=tasks.add.s(2)))
        engine.run(tasks.fails.s().on_error(jobs.quiet.si()))
        assert heard.flows == [
            "add: PENDING -> RUNNING",
            "add: RUNNING -> SUCCESS",
            "fails: PENDING -> RUNNING",
            "fails: RUNNING -> FAILURE",
        ]
        assert heard.told[3:5] == ["task add: PENDING -> RUNNING", "task add: RUNNING -> SUCCESS"]


class TestChildren:
    """Tasks that are published by tasks are of their flow."""

    @pytest.fixture
    def parent(self, app, tasks):
        """A task that publishes one that it was given, with a countdown."""

        @app.task(name="parent")
        def parent(child, *args):
            app.tasks[child].apply_async(args, countdown=10)
            return "done"

        return parent

    @pytest.mark.parametrize("how", ["run", "delay"])
    def test_of_the_flow(self, engine, heard, parent, how):
        """The flow ends after what its tasks published."""
        if how == "run":
            engine.run(parent, "add", 1)
        else:
            parent.delay("add", 1)
        assert heard.told == [
            "flow parent: PENDING -> RUNNING",
            "task parent: PENDING -> RUNNING",
            "task parent: RUNNING -> SUCCESS",
            "task add: PENDING -> RUNNING",
            "task add: RUNNING -> SUCCESS",
            "flow parent: RUNNING -> SUCCESS",
        ]

    def test_that_fail(self, engine, heard, parent):
        """A flow ends the same by run() and by delay() when what its task published fails."""
        engine.run(parent, "fails")
        parent.delay("fails")
        ends = [each for each in heard.flows if "RUNNING ->" in each]
        assert ends[0] == ends[1]

    def test_a_canvas_inside(self, engine, heard, app, tasks):
        """A canvas that a task publishes is of its flow."""

        @app.task(name="makes")
        def makes():
            chord([tasks.add.s(1), tasks.add.s(2)], tasks.total.s()).delay()

        engine.run(makes)
        assert heard.flows == ["makes: PENDING -> RUNNING", "makes: RUNNING -> SUCCESS"]
        assert heard.told[-2] == "task total: RUNNING -> SUCCESS"

    def test_grandchildren(self, engine, heard, parent):
        """So are those of those."""
        engine.run(parent, "parent", "add", 1)
        assert len(heard.flows) == 2
        assert heard.told[-2] == "task add: RUNNING -> SUCCESS"


class TestOutsideRun:
    """What is published by delay() is a flow of its own."""

    def test_one_each(self, engine, heard, tasks):
        """Each delay() is a flow, with an id of its own."""
        first, second = tasks.add.delay(1), tasks.fails.delay()
        assert heard.flows == [
            "add: PENDING -> RUNNING",
            "add: RUNNING -> SUCCESS",
            "fails: PENDING -> RUNNING",
            "fails: RUNNING -> FAILURE",
        ]
        assert heard.ids == [first.id, second.id]
        assert engine.storage.get_flow_state(first.id) == "SUCCESS"

    def test_before_a_run(self, engine, heard, tasks):
        """What waited is no part of the run that makes it run."""
        with engine.paused():
            waited = tasks.fails.delay()
            run = engine.run(tasks.add, 1)
        assert set(heard.ids) == {waited.id, run.task_id}
        assert engine.storage.get_flow_state(waited.id) == "FAILURE"
        assert engine.storage.get_flow_state(run.task_id) == run.state == "SUCCESS"

    def test_paused(self, engine, heard, tasks):
        """In paused() a flow begins when its first task does, and ends with its last."""
        with engine.paused():
            chain(tasks.add.s(1), tasks.add.s(2)).delay()
            assert heard.told == []
            engine.step()
            assert heard.flows == ["add: PENDING -> RUNNING"]
            engine.step()
            assert heard.flows == ["add: PENDING -> RUNNING", "add: RUNNING -> SUCCESS"]

    def test_waited_for(self, engine, heard, tasks):
        """A flow that somebody waited for has its end when the engine goes on."""
        with engine.paused():
            assert tasks.add.delay(1).get() == 2
        assert heard.flows == ["add: PENDING -> RUNNING", "add: RUNNING -> SUCCESS"]

    def test_that_never_starts(self, engine, heard, tasks):
        """A flow begins with an attempt: a task that expires before has none."""
        with engine.paused():
            tasks.add.apply_async((1,), expires=5)
            engine.clock.advance(10)
        assert heard.told == ["task add: PENDING -> REVOKED"]

    def test_that_does_not_end(self, app, tasks):
        """One that is ended by the limit has failed, and the next run knows nothing of it."""

        @app.task(name="again")
        def again():
            again.delay()

        with EagerEngine(app, limit=5) as engine, Hears(engine) as heard:
            with pytest.raises(DrainLimitExceeded):
                engine.run(again)
            with pytest.raises(DrainLimitExceeded):
                again.delay()
            assert heard.flows == ["again: PENDING -> RUNNING", "again: RUNNING -> FAILURE"] * 2
            engine.run(tasks.add, 1)
            assert heard.flows[4:] == ["add: PENDING -> RUNNING", "add: RUNNING -> SUCCESS"]

    def test_a_listener_that_publishes(self, engine, tasks):
        """What a listener publishes at a flow's event is a flow of its own."""

        class Publishes(Hears):
            def _flow_receiver(self, state, details):
                super()._flow_receiver(state, details)
                if details["flow_name"] == "add":
                    tasks.total.delay([1])

        with Publishes(engine) as heard:
            run = engine.run(tasks.add, 1)
        assert run.state == "SUCCESS"
        assert sorted(heard.flows) == sorted(
            ["add: PENDING -> RUNNING", "add: RUNNING -> SUCCESS"]
            + ["total: PENDING -> RUNNING", "total: RUNNING -> SUCCESS"] * 2
        )


class TestDetails:
    def test_keys(self, engine, heard, jobs):
        """The keys are TaskFlow's and ours; `result` only where there is one."""
        engine.run(jobs.flaky)
        ours = ["meta", "progress", "transition"]
        for kind, state, details in heard.details:
            if kind == "flow":
                expected = ["engine", "flow_name", "flow_uuid", "old_state"]
            else:
                result = ["result"] if state in {"SUCCESS", "RETRY"} else []
                expected = [f"{kind}_name", f"{kind}_uuid", "old_state", *result]
            assert set(details) == {*expected, *ours}
            assert len(details) == len(expected + ours)

    def test_of_a_flow(self, engine, heard, tasks):
        """The details of a flow have the engine, and a transition that no backend stores."""
        run = engine.run(tasks.add, 1)
        _, _, details = heard.details[-1]
        assert details["engine"] is engine
        assert (details["flow_name"], details["flow_uuid"]) == ("add", run.task_id)
        transition = details["transition"]
        assert (transition.kind, transition.index) == ("flow", -1)
        assert (transition.old_state, transition.state) == ("RUNNING", "SUCCESS")
        assert transition.uuid == run.task_id

    def test_of_a_task(self, engine, heard, tasks):
        """Those of a task have what it returned, and its transition."""
        run = engine.run(tasks.add, 1)
        _, _, details = heard.details[2]
        assert details["result"] == 2
        assert details["task_uuid"] == run.task_id
        assert details["transition"] == run.history[0]


class TestOtherWays:
    def test_step_by_step(self, engine, heard, jobs):
        """run_iter tells the same; while a task stands still its flow runs."""
        for step in engine.run_iter(jobs.export, rows=2):
            assert engine.storage.get_flow_state() == "RUNNING"
            assert engine.storage.get_atom_state("export") == step.state
        assert heard.flows == ["export: PENDING -> RUNNING", "export: RUNNING -> SUCCESS"]

    def test_two_step_by_step(self, engine, heard, jobs, tasks):
        """Two that stand still are two flows; each ends by itself."""
        first, second = engine.run_iter(jobs.export, rows=2), engine.run_iter(tasks.fails)
        next(first)
        list(second)
        assert engine.storage.get_flow_state(second.run.task_id) == "FAILURE"
        assert heard.flows[-1] == "fails: RUNNING -> FAILURE"
        assert first.run.state == "SUCCESS"
        assert heard.flows[-1] == "export: RUNNING -> SUCCESS"

    def test_left_early(self, engine, heard, jobs):
        """One that is left early goes on to its end."""
        for _ in engine.run_iter(jobs.export):
            break
        assert heard.flows[-1] == "export: RUNNING -> SUCCESS"

    def test_sweep(self, engine, heard, jobs):
        """Each run of a sweep is a flow."""
        runs = list(engine.sweep(Abort, jobs.export, rows=2))
        ends = [each for each in heard.flows if "RUNNING ->" in each]
        assert ends[1:] == [f"export: RUNNING -> {run.state}" for run in runs]
        assert len(set(heard.ids)) == len(runs) + 1

    def test_a_run_that_raises(self, engine, heard, tasks):
        """A run that is ended by what is no error of a task has failed."""

        class Stops(Listener):
            def _task_receiver(self, state, details):
                raise KeyboardInterrupt

        with Stops(engine), pytest.raises(KeyboardInterrupt):
            engine.run(tasks.add, 1)
        assert heard.flows == ["add: PENDING -> RUNNING", "add: RUNNING -> FAILURE"]
        engine.run(tasks.add, 1)
        assert heard.flows[2:] == ["add: PENDING -> RUNNING", "add: RUNNING -> SUCCESS"]

    def test_by_apply(self, engine, heard, tasks):
        """apply() runs in the caller, and is no matter of the engine."""
        assert tasks.add.apply((1, 2)).get() == 3
        assert heard.told == []

    def test_reset(self, engine, tasks):
        """A reset forgets the flows."""
        run = engine.run(tasks.add, 1)
        engine.reset()
        for which in (None, run.task_id):
            with pytest.raises(NotFound):
                engine.storage.get_flow_state(which)

    def test_another_app(self, engine, heard, tasks):
        """Tasks of another app, on another engine, are told to that one's listeners only."""
        other = type(engine.app)(
            "other", broker="redis://no", backend="redis://no", set_as_current=False
        )

        @other.task(name="add")
        def add(x):
            return x

        with EagerEngine(other) as second, Hears(second) as heard_there:
            second.run(add, 1)
            assert len(heard_there.told) == 4
        assert heard.told == []

    def test_the_same_twice(self, engine, heard, jobs):
        """A canvas that is run twice is two flows, told the same way."""
        canvas = group(jobs.export.s(), jobs.flaky.s())
        first, second = engine.run(canvas), engine.run(canvas)
        assert first.task_id != second.task_id
        half = len(heard.told) // 2
        assert heard.told[:half] == heard.told[half:]
