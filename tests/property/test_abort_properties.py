"""Aborts under any interleaving at all.

A script, a list of what a task does, runs inside a real task on the engine, beside a model of it: a
request is never lost, a noticed one that the task does not catch ends in ABORTED, once, with the
last progress; a task that nobody asks is as if there were no aborts. The machine does the same for
many tasks from outside: whoever publishes, asks, forgets and delivers again, in whatever order.
`TASKPROGRESS_EXAMPLES` says how many examples are tried.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest
from celery import Celery
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pytest_taskprogress import AbortableTask, EagerEngine, Observer, TaskAborted, abort
from pytest_taskprogress.checks import Contract
from pytest_taskprogress.tasks.aborting import is_asked

EXAMPLES = int(os.environ.get("TASKPROGRESS_EXAMPLES", "200"))
TERMINAL = {"SUCCESS", "FAILURE", "REVOKED", "ABORTED"}


class Setting(NamedTuple):
    """How a task is declared, and when it is asked from outside."""

    interval: float
    throttle: float | None
    track_started: bool
    before_start: bool
    catches: bool


ACTIONS = st.one_of(
    st.tuples(st.just("report"), st.integers(1, 8)),
    st.tuples(st.just("check"), st.none()),
    st.tuples(st.just("raise_if_aborted"), st.none()),
    st.tuples(st.just("ask"), st.none()),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1.0, 3.0])),
)
SETTINGS = st.builds(
    Setting,
    interval=st.sampled_from([0.0, 1.0, 2.5]),
    throttle=st.sampled_from([None, 2.0]),
    track_started=st.booleans(),
    before_start=st.booleans(),
    catches=st.booleans(),
)
ENDS = st.sampled_from(["return", "success", "fail", "raise", "retry"])


class Model:
    """What a task should see of aborts: its clock, its interval, and the last progress."""

    def __init__(self, setting, *, asked):
        self.setting = setting
        self.asked = asked
        self.noticed = False
        self.now = self.next_at = 0.0
        self.last = None

    def looks(self):
        """Whether a check sees the request now."""
        if not self.noticed and (not self.setting.interval or self.now >= self.next_at):
            self.next_at = self.now + self.setting.interval
            self.noticed = self.asked
        return self.noticed


def play(task, engine, script, model):
    """Do what the script says, and compare each answer with the model."""
    observer = Observer(task, throttle=model.setting.throttle)
    left = None
    for name, value in script:
        leaves = name in {"report", "raise_if_aborted"} and model.looks()
        try:
            if name == "report":
                observer.update("row", step=value)
                model.last = value + (model.last or 0)
            elif name == "raise_if_aborted":
                task.raise_if_aborted()
            elif name == "check":
                assert task.is_aborted() is model.looks()
            elif name == "ask":
                assert task.AsyncResult(task.request.id).abort() is not model.asked
                model.asked = True
            else:
                engine.clock.advance(value)
                model.now += value
            assert not leaves, f"{name} did not leave the task"
        except TaskAborted as error:
            assert leaves, f"{name} left the task"
            left = error
            if not model.setting.catches:
                raise
    return observer, left


class Played(NamedTuple):
    """What came of the attempts of a task.

    Attributes:
        models: One for each attempt.
        wrong: What did not go as the model says.
        left: The attempts that were left by TaskAborted.
    """

    models: list[Model]
    wrong: list[AssertionError]
    left: list[Model]


class Plays:
    """One task for all examples, which does what the example of the moment says."""

    def __init__(self, engine):
        self.engine = engine

        @engine.app.task(bind=True, base=AbortableTask, name="tests.play", shared=False)
        def task(self, *_):
            return plays.attempt(self)

        plays = self
        self.task = task

    def begin(self, script, setting, end):
        """Begin an example."""
        self.engine.reset()
        self.script, self.setting, self.end = script, setting, end
        self.played = Played([], [], [])
        self.task.abort_check_interval = setting.interval
        self.task.track_started = setting.track_started
        return self.played

    def attempt(self, task):
        """Run one attempt."""
        models, wrong, left = self.played
        model = Model(self.setting, asked=bool(models) and models[-1].asked)
        models.append(model)
        try:
            observer, caught = play(task, self.engine, self.script, model)
        except TaskAborted:
            left.append(model)
            raise
        except AssertionError as error:
            wrong.append(error)
            return None
        if caught is not None:
            event("caught")
        if self.end == "success":
            observer.success("over")
        elif self.end == "fail":
            observer.fail("bad")
        elif self.end == "raise":
            raise ValueError("broken")
        elif self.end == "retry":
            if model.looks():
                left.append(model)
            raise task.retry(countdown=1, max_retries=1)
        return "returned"


@pytest.fixture(scope="module")
def plays():
    """One engine for all examples; each begins anew."""
    with EagerEngine(Celery("tests", set_as_current=False)) as engine:
        # A script may report whatever it likes, and end with whatever it likes.
        engine.contract = Contract().only("abort-survives", "no-zombie")
        yield Plays(engine)


@settings(max_examples=EXAMPLES, deadline=None)
@given(script=st.lists(ACTIONS, max_size=12), setting=SETTINGS, end=ENDS)
def test_any_script(plays, script, setting, end):
    """The task sees what the model says, and ends as it should."""
    engine, task = plays.engine, plays.task
    models, wrong, left = plays.begin(script, setting, end)
    with engine.paused():
        result = task.delay()
        if setting.before_start:
            assert result.abort() is True
    if wrong:
        raise wrong[0]
    states = [each for each in engine.history.states if each != "STARTED"]
    asked = setting.before_start or models[-1].asked
    assert is_asked(engine.backend, result.id) is asked  # a request is never lost
    assert result.state in TERMINAL
    assert result.ready()
    if setting.before_start:
        assert (states, models) == (["ABORTED"], [])
    # The interval hid it from the first attempt: there is no second one.
    unseen = end == "retry" and asked and len(models) == 1 and not left
    if left or setting.before_start or unseen:
        event("aborted")
        assert states.count("ABORTED") == 1
        assert states[-1] == "ABORTED"
        with pytest.raises(TaskAborted) as caught:
            result.get()
        if left and left[-1].last is not None:
            assert caught.value.meta["current"] == left[-1].last
        # Nothing changes when the message is delivered again.
        attempts = len(models)
        task.apply_async(task_id=result.id)
        assert len(models) == attempts
        assert task.AsyncResult(result.id).state == "ABORTED"
    else:
        assert "ABORTED" not in states
        failed = end in {"fail", "raise", "retry"}
        assert states[-1] == ("FAILURE" if failed else "SUCCESS")


# -- from outside ---------------------------------------------------------------------------------


class Aborts(RuleBasedStateMachine):
    """Many tasks, published, asked, forgotten and delivered again in any order."""

    ids = Bundle("ids")

    def __init__(self):
        super().__init__()
        app = Celery("tests", set_as_current=False)

        @app.task(bind=True, base=AbortableTask, name="tests.work", shared=False)
        def work(self, rows, retries, asks):
            # A body runs only for a task that is not asked, and that has not ended in an abort.
            assert self.request.id not in machine.asked
            observer = Observer(self)
            for row in range(rows):
                if row == asks:
                    machine.ask(self.request.id)
                observer.update("row", current=row + 1, total=rows)
            if self.request.retries < retries:
                raise self.retry(countdown=5)
            return rows

        machine = self
        self.work = work
        self.engine = EagerEngine(app)
        self.engine.__enter__()
        self.paused = self.engine.paused()
        self.paused.__enter__()
        self.asked, self.ended, self.made = set(), {}, 0

    def teardown(self):
        """Run what waits, and leave."""
        try:
            self.paused.__exit__(None, None, None)
            self.all_is_known()
        finally:
            self.engine.__exit__(None, None, None)

    def ask(self, task_id):
        """Ask one, and compare the answer."""
        open_ = task_id not in self.asked and task_id not in self.ended
        assert abort(self.work.AsyncResult(task_id)) is open_
        if open_:
            self.asked.add(task_id)

    @rule(
        target=ids,
        rows=st.integers(0, 3),
        retries=st.integers(0, 2),
        asks=st.integers(0, 4),
        countdown=st.sampled_from([None, 3]),
    )
    def publish(self, rows, retries, asks, countdown):
        """Publish a task, maybe one that asks for its own abort."""
        self.made += 1
        task_id = f"task-{self.made}"
        arguments = (rows, retries, asks)
        self.work.apply_async(arguments, task_id=task_id, countdown=countdown)
        return task_id

    @rule(target=ids)
    def name_one(self):
        """Know the id of a task that nobody has published."""
        self.made += 1
        return f"task-{self.made}"

    @rule(task_id=ids)
    def abort_one(self, task_id):
        """Ask from outside."""
        self.ask(task_id)

    @rule(task_ids=st.lists(ids, max_size=3))
    def abort_some(self, task_ids):
        """Ask some together."""
        waiting = {each for each in task_ids if each not in self.asked and each not in self.ended}
        results = [self.work.AsyncResult(each) for each in task_ids]
        assert abort(self.engine.app.ResultSet(results)) is bool(waiting)
        self.asked |= waiting

    @rule(task_id=ids)
    def publish_late(self, task_id):
        """Publish under an id that is known, or was aborted, unless a message waits already."""
        waits = any(each.uuid == task_id for each in self.engine.pending)
        if not waits and self.ended.get(task_id, "ABORTED") == "ABORTED":
            self.work.apply_async((2, 0, 9), task_id=task_id)

    @rule(task_id=ids)
    def forget_one(self, task_id):
        """Forget one that has ended."""
        waits = any(each.uuid == task_id for each in self.engine.pending)
        if task_id in self.ended and not waits:
            self.work.AsyncResult(task_id).forget()
            del self.ended[task_id]
            self.asked.discard(task_id)

    @rule()
    def step(self):
        """Run one message."""
        self.engine.step()

    @invariant()
    def all_is_known(self):
        """States are final, requests are there, and the result says ABORTED meanwhile."""
        for number in range(1, self.made + 1):
            task_id = f"task-{number}"
            result = self.work.AsyncResult(task_id)
            state = self.engine.backend.peek(task_id)["status"]
            if state in TERMINAL:
                assert self.ended.setdefault(task_id, state) == state
                assert result.state == state
                assert result.ready()
                assert (state == "ABORTED") <= (task_id in self.asked)
            else:
                assert task_id not in self.ended
                assert not result.ready()
                assert result.state == ("ABORTED" if task_id in self.asked else state)
            assert is_asked(self.engine.backend, task_id) is (task_id in self.asked)
            assert result.is_aborted() is (result.state == "ABORTED")


Aborts.TestCase.settings = settings(
    max_examples=max(EXAMPLES // 4, 10), stateful_step_count=30, deadline=None
)
TestAborts = Aborts.TestCase
