"""The state machines for users: they find what is planted, and nothing in what is right."""

from __future__ import annotations

import pytest
from celery import Celery, Task
from celery.contrib import abortable
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidDefinition
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from pytest_taskprogress import AbortableTask, CheckFailed, Contract, Observer, ProgressTask
from pytest_taskprogress.properties.machines import AbortableMachine, ObserverMachine
from tests.conftest import IsolatedApp

#: A fraction of what Hypothesis does by default: an example is up to thirty steps.
FEW = settings(
    max_examples=max(settings().max_examples // 6, 10), stateful_step_count=30, deadline=None
)


# -- what is right --------------------------------------------------------------------------------


class Sparing(AbortableTask):
    """Looks seldom."""

    abstract = True
    abort_check_interval = 2.5


class Uploads(Observer):
    """An observer with a way to report of its own."""

    def chunk(self, size):
        """Report a chunk."""
        return self.update("chunk", step=size, total=20)

    def chunks(self, count):
        """Report some, and succeed."""
        for _ in range(count):
            self.chunk(5)
        if count > 2:
            self.success("all")


class Observers(ObserverMachine):
    """Under a ProgressTask."""


class TrackedObservers(ObserverMachine):
    """Under an AbortableTask whose start is told."""

    base = AbortableTask
    options = {"track_started": True}  # noqa: RUF012 - read only


class SparingObservers(ObserverMachine):
    """Under one that looks seldom."""

    base = Sparing


class UploadObservers(ObserverMachine):
    """With rules of its own."""

    base = Sparing
    observer = Uploads

    @precondition(ObserverMachine.reports)
    @rule(size=st.integers(0, 10), which=st.integers(0, 1))
    def chunk(self, size, which):
        """Report a chunk."""
        self.act(lambda observer: observer.chunk(size), which)

    @precondition(ObserverMachine.reports)
    @rule(count=st.integers(0, 4))
    def chunks(self, count):
        """Report some."""
        self.act(lambda observer: observer.chunks(count))


class Aborts(AbortableMachine):
    """A task that the machine makes."""

    contract = Contract()


class TrackedAborts(Aborts):
    """One whose start is told."""

    options = {"track_started": True}  # noqa: RUF012 - read only


users = IsolatedApp("users", set_as_current=False)


@users.task(bind=True, base=AbortableTask)
def import_users(self, rows: list[str], greeting: str = "hello"):
    """A task as a user has it."""
    for _ in Observer(self).track(rows, "Importing users"):
        pass
    return greeting


@users.task
def greet():
    """A plain task, which another one publishes."""


@users.task(bind=True, base=AbortableTask)
def invite_users(self, count: int):
    """A task that publishes others."""
    for _ in Observer(self).track(range(abs(count) % 3), "Inviting"):
        greet.delay()
        import_users.delay(["row"])


class ParentAborts(Aborts):
    """A task that publishes others, also one that cannot be asked."""

    task = invite_users


class OwnAborts(Aborts):
    """A task of a user's, called by its hints."""

    task = import_users


class OwnAbortsByArguments(Aborts):
    """The same, called as is said."""

    task = import_users
    arguments = st.tuples(st.lists(st.just("row"), max_size=3))


TestObservers = Observers.TestCase
TestTrackedObservers = TrackedObservers.TestCase
TestSparingObservers = SparingObservers.TestCase
TestUploadObservers = UploadObservers.TestCase
TestAborts = Aborts.TestCase
TestTrackedAborts = TrackedAborts.TestCase
TestOwnAborts = OwnAborts.TestCase
TestParentAborts = ParentAborts.TestCase
TestOwnAbortsByArguments = OwnAbortsByArguments.TestCase

TestObservers.settings = TestTrackedObservers.settings = FEW
TestSparingObservers.settings = TestUploadObservers.settings = FEW
TestAborts.settings = TestTrackedAborts.settings = FEW
TestParentAborts.settings = TestOwnAborts.settings = TestOwnAbortsByArguments.settings = FEW


def test_an_app_is_left_as_it_was():
    """A machine on a user's app puts its result backend and its settings back."""
    before = users.backend
    run_state_machine_as_test(OwnAborts, settings=settings(FEW, max_examples=1, database=None))
    assert users.backend is before
    assert import_users.backend is before


# -- what is planted ------------------------------------------------------------------------------


class FallingObserver(Observer):
    """Forgets what it has told."""

    def update(self, msg, *args, **kwargs):
        """Report."""
        self._position._last = None
        return super().update(msg, *args, **kwargs)


class ForgetfulTask(ProgressTask):
    """Ends as its function does, whatever its observer said."""

    abstract = True

    def _end_attempt(self, attempt, value):
        attempt.ending = None
        return super()._end_attempt(attempt, value)


class LoudTask(AbortableTask):
    """Reports once more when it was aborted."""

    abstract = True

    def on_abort(self, exc, task_id, args, kwargs, einfo):
        """Report."""
        self.update_state(state="PROGRESS", meta={"current": 1})


class DeafTask(AbortableTask):
    """Does not look before it runs."""

    abstract = True

    def _run_attempt(self, args, kwargs):
        return ProgressTask._run_attempt(self, args, kwargs)


class FallingChunks(Uploads):
    """A way to report of its own that falls."""

    def chunk(self, size):
        """Report a chunk, past the observer."""
        self.task.update_state(
            state="PROGRESS",
            meta={**self.create_meta(), "description": "", "current": size, "total": 20},
        )


def of(machine, **attributes):
    """A machine with something planted in it."""
    return type("Planted", (machine,), attributes)


PLANTED = {
    "a plain Task": of(ObserverMachine, base=Task),
    "Celery's AbortableTask, from inside": of(ObserverMachine, base=abortable.AbortableTask),
    "an observer that falls": of(ObserverMachine, observer=FallingObserver),
    "an outcome that is forgotten": of(ObserverMachine, base=ForgetfulTask),
    "a report after the abort, from inside": of(ObserverMachine, base=LoudTask),
    "a start in spite of the abort, from inside": of(ObserverMachine, base=DeafTask),
    "a report of one's own that falls": of(UploadObservers, observer=FallingChunks),
    "Celery's AbortableTask": of(Aborts, base=abortable.AbortableTask),
    "Celery's AbortableTask, tracked": of(TrackedAborts, base=abortable.AbortableTask),
    "a report after the abort": of(Aborts, base=LoudTask),
    "a start in spite of the abort": of(Aborts, base=DeafTask),
}

#: Enough to find it; what is found need not be the smallest.
FINDING = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted):
    """A fault in a task base, or in an observer, is found."""
    with pytest.raises(CheckFailed):
        run_state_machine_as_test(PLANTED[planted], settings=FINDING)


@pytest.mark.parametrize(
    ("planted", "steps", "message"),
    [
        ("Celery's AbortableTask, from inside", ["ask", "begin"], "the abort is lost"),
        ("a start in spite of the abort, from inside", ["ask", "begin"], "the abort is lost"),
    ],
)
def test_what_is_found_is_small(planted, steps, message):
    """A failing example is the shortest code that shows it, and the message says what is wrong."""
    shrinking = settings(FINDING, stateful_step_count=10, phases=[Phase.generate, Phase.shrink])
    with pytest.raises(CheckFailed, match=message) as caught:
        run_state_machine_as_test(PLANTED[planted], settings=shrinking)
    lines = "\n".join(caught.value.__notes__).splitlines()
    called = [line.partition("(")[0].removeprefix("state.") for line in lines if "state." in line]
    assert [each for each in called if each not in {"holds", "teardown"}] == steps


def test_a_loop_after_a_loop():
    """The second one begins at a position that the first one has passed: its first report warns."""
    machine = ObserverMachine()
    try:
        machine.begin()
        machine.observe(position=0, throttle=None)
        machine.track(which=0, text="", count=2)
        machine.track(which=0, text="", count=2)
    finally:
        machine.teardown()


# -- bad input ------------------------------------------------------------------------------------


def test_a_task_that_cannot_be_aborted():
    """AbortableMachine says which base a task needs."""
    app = Celery("plain", set_as_current=False)

    @app.task(name="plain.task", shared=False)
    def plain():
        """Cannot be asked."""

    with pytest.raises(TypeError, match=r"plain\.task.*is none that can be: give it base="):
        of(AbortableMachine, task=plain)()


def test_a_rule_without_its_precondition():
    """What a rule of a user's own lacks is said."""

    class Machine(ObserverMachine):
        """It lacks `@precondition(ObserverMachine.reports)`."""

        @rule()
        def chunk(self):
            """A chunk has come."""
            self.act(lambda observer: observer.update("a chunk"))

    with pytest.raises(InvalidDefinition, match=r"rule @precondition\(ObserverMachine\.rep"):
        run_state_machine_as_test(Machine, settings=settings(database=None))


def test_an_end_that_is_stored_before_the_task_returns():
    """Who asks a task to abort that has stored its end comes too late, as the model says."""
    state = TrackedObservers()
    state.begin()
    state.observe(position=0, throttle=None)
    state.end_by_report(current=0, state="REVOKED", text="", total=10, which=0)
    state.ask()
    state.look()
    state.check()
    state.teardown()
