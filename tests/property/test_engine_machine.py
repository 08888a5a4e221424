"""The eager engine against a model of a worker: a line of messages, a clock, and what is stored.

Whatever is published, asked to abort, run one by one or together, put by or begun anew: each task
runs when its turn is, the clock jumps only where nothing else can run, and what is stored, in its
order, is what the model says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from celery import Celery
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pytest_taskprogress import AbortableTask, EagerEngine, EngineError, Observer, abort
from pytest_taskprogress.checks import Contract

seconds = st.sampled_from([1, 3, 60, 0.5])


@dataclass(frozen=True)
class Plan:
    """What a task does: reports, asks for more attempts, publishes others, and ends."""

    reports: int = 0
    retries: int = 0
    countdown: float = 1
    children: int = 0
    fails: bool = False


plans = st.builds(
    Plan,
    reports=st.integers(0, 2),
    retries=st.integers(0, 2),
    countdown=seconds,
    children=st.integers(0, 2),
    fails=st.booleans(),
)


@dataclass
class Waiting:
    """A message: of which task, and when it is due."""

    task_id: str
    due: float | None = None


@dataclass
class Worker:
    """What a worker with one process does.

    Attributes:
        now: Seconds of its clock.
        ready: Messages that can run, in the order of their publication.
        later: Messages that are put by, in the order of their time, then of their publication.
        writes: What was stored, in order.
        ran: Which attempts of tasks were run, in order.
    """

    now: float = 0.0
    ready: list[Waiting] = field(default_factory=list)
    later: list[Waiting] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    ran: list[tuple[str, int]] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def publish(self, task_id, plan, countdown=None):
        """Take a message."""
        self.plans[task_id] = plan
        self.attempts.setdefault(task_id, 0)
        if countdown is None:
            self.ready.append(Waiting(task_id))
        else:
            self.later.append(Waiting(task_id, round(self.now + countdown, 6)))
            self.later.sort(key=lambda each: each.due)

    def step(self, until=float("inf")):
        """Run the next message that is due; the clock jumps if it has to."""
        if self.ready:
            self.run(self.ready.pop(0).task_id)
        elif self.later and self.later[0].due <= until:
            message = self.later.pop(0)
            self.now = max(self.now, message.due)
            self.run(message.task_id)
        else:
            return False
        return True

    def run(self, task_id):
        """Run an attempt of a task."""
        if task_id in self.asked:
            self.writes.append((task_id, "ABORTED"))
            return
        plan, attempt = self.plans[task_id], self.attempts[task_id]
        self.ran.append((task_id, attempt))
        self.writes += [(task_id, "PROGRESS")] * plan.reports
        for child in children_of(task_id, plan, attempt):
            self.publish(child, Plan())
        if attempt < plan.retries:
            self.attempts[task_id] += 1
            self.publish(task_id, plan, plan.countdown)
            self.writes.append((task_id, "RETRY"))
        else:
            self.writes.append((task_id, "FAILURE" if plan.fails else "SUCCESS"))

    @property
    def pending(self):
        """What waits, in order."""
        return [(each.task_id, each.due) for each in [*self.ready, *self.later]]

    @property
    def states(self):
        """The last state of each task."""
        return dict(self.writes)


def children_of(task_id, plan, attempt):
    """The ids of the tasks that an attempt publishes."""
    return [f"{task_id}.{attempt}.{number}" for number in range(plan.children)]


class EngineMachine(RuleBasedStateMachine):
    """Rules are what a test asks of an engine, and what a client does."""

    def __init__(self):
        super().__init__()
        self.model = Worker()
        self.published = 0
        self.suspended = False
        self.ran = []
        plan_of = self.model_plan

        app = Celery("tests", set_as_current=False)

        @app.task(bind=True, base=AbortableTask, name="tests.work", shared=False)
        def work(self):
            task_id, attempt = self.request.id, self.request.retries
            machine.ran.append((task_id, attempt))
            plan = plan_of(task_id)
            observer = Observer(self)
            for _ in range(plan.reports):
                observer.update("row", total=None)
            for child in children_of(task_id, plan, attempt):
                work.apply_async(task_id=child)
            if attempt < plan.retries:
                raise self.retry(countdown=plan.countdown)
            if plan.fails:
                raise ValueError(task_id)
            return task_id

        machine = self
        self.work = work
        self.engine = EagerEngine(app)
        self.engine.__enter__()
        self.engine.contract = Contract().only("no-zombie", "abort-survives", "terminal")
        self.paused = self.engine.paused()
        self.paused.__enter__()

    def teardown(self):
        """Leave the engine; what waits is run before."""
        try:
            if self.suspended:
                self.engine.resume()
            self.paused.__exit__(None, None, None)
            while self.model.step():
                pass
            self.all_is_as_in_the_model()
        finally:
            self.engine.__exit__(None, None, None)

    def model_plan(self, task_id):
        """What a task does: those that tasks publish do nothing."""
        return self.model.plans.get(task_id, Plan())

    # -- rules

    @rule(plan=plans, countdown=st.none() | seconds)
    def publish(self, plan, countdown):
        """Publish a task."""
        self.published += 1
        task_id = f"task-{self.published}"
        self.model.publish(task_id, plan, countdown)
        self.work.apply_async(task_id=task_id, countdown=countdown)

    @precondition(lambda self: self.model.plans)
    @rule(data=st.runner().flatmap(lambda self: st.sampled_from(sorted(self.model.plans))))
    def ask(self, data):
        """Ask a task to abort; one that has ended, or was asked, is not asked again."""
        task_id = data
        ended = self.model.states.get(task_id) in {"SUCCESS", "FAILURE", "ABORTED"}
        expected = not ended and task_id not in self.model.asked
        assert abort(self.work.AsyncResult(task_id)) is expected
        if expected:
            self.model.asked.add(task_id)

    @rule(by=seconds)
    def advance(self, by):
        """Move the clock: nothing runs by that alone, in a pause."""
        self.model.now = round(self.model.now + by, 6)
        self.engine.clock.advance(by)

    @precondition(lambda self: not self.suspended)
    @rule()
    def step(self):
        """Run one message."""
        assert self.engine.step() is self.model.step()

    @precondition(lambda self: not self.suspended)
    @rule(limit=st.none() | st.integers(1, 4), wait=st.none() | seconds)
    def drain(self, limit, wait):
        """Run some, or those that are due by then."""
        until = None if wait is None else self.model.now + wait
        count = 0
        while limit is None or count < limit:
            if not self.model.step(float("inf") if until is None else until):
                if until is not None:
                    self.model.now = max(self.model.now, until)
                break
            count += 1
        assert self.engine.drain(until=until, limit=limit) == count

    @precondition(lambda self: not self.suspended)
    @rule()
    def suspend(self):
        """Suspend: where nothing waits, nothing happens."""
        self.engine.suspend()
        self.suspended = bool(self.model.pending)

    @precondition(lambda self: self.suspended)
    @rule()
    def refuse(self):
        """While it is suspended, nothing is run."""
        for call in (self.engine.step, self.engine.drain, lambda: self.engine.run(self.work)):
            with pytest.raises(EngineError):
                call()

    @precondition(lambda self: self.suspended)
    @rule()
    def resume(self):
        """Go on to the end of what waits; no run of a call comes of it."""
        assert self.engine.resume() is None
        self.suspended = False
        while self.model.step():
            pass

    @precondition(lambda self: not self.suspended)
    @rule()
    def run(self):
        """Run a task: what waits is older, and comes first."""
        self.published += 1
        task_id = f"task-{self.published}"
        self.model.publish(task_id, Plan(reports=1))
        run = self.engine.run(self.work.signature(options={"task_id": task_id}))
        while self.model.step():
            pass
        assert (run.task_id, run.states) == (task_id, ["PROGRESS", "SUCCESS"])
        assert run.result == task_id

    @rule()
    def reset(self):
        """Begin anew: nothing is left of what was."""
        self.engine.reset()
        self.model, self.ran, self.suspended = Worker(), [], False

    # -- always

    @invariant()
    def all_is_as_in_the_model(self):
        """Clock, line, attempts, and what was stored, in its order."""
        model, engine = self.model, self.engine
        assert engine.clock.monotonic() == model.now
        assert [(each.uuid, each.at) for each in engine.pending] == model.pending
        assert self.ran == model.ran
        assert [(each.uuid, each.state) for each in engine.history] == model.writes
        times = [each.at for each in engine.history]
        assert times == sorted(times)
        assert [each.index for each in engine.history] == list(range(len(times)))

    @invariant()
    def clients_see_it(self):
        """A result has the last state; from a request to abort until the end it is ABORTED."""
        states = self.model.states
        for task_id in self.model.plans:
            state = states.get(task_id, "PENDING")
            ended = state in {"SUCCESS", "FAILURE", "ABORTED"}
            result = self.work.AsyncResult(task_id)
            assert result.ready() is ended
            asked = task_id in self.model.asked
            assert result.state == ("ABORTED" if asked and not ended else state)


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=max(settings().max_examples // 3, 10), stateful_step_count=25, deadline=None
)
