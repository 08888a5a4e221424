"""A machine whose rules are the code of a task that reports."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

from celery.exceptions import Ignore
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pytest_taskprogress.checks import Contract
from pytest_taskprogress.core.progress import Number
from pytest_taskprogress.core.states import ABORTED, FAILURE, PROGRESS, REVOKED, SUCCESS
from pytest_taskprogress.properties.machines.base import of_machine
from pytest_taskprogress.properties.machines.model import (
    NOT_GIVEN,
    REPORTED,
    Expected,
    ObserverModel,
)
from pytest_taskprogress.properties.machines.observed import MOST, ObservedMachine
from pytest_taskprogress.tasks.results import abort

__all__ = ["ObserverMachine"]

#: What a task fails with that a client can have again.
_ERRORS: Final = (ValueError, RuntimeError, OSError)
_which: Final = st.integers(0, MOST - 1)


class ObserverMachine(ObservedMachine):
    """A rule-based machine whose rules are the code of a task: it reports, waits, fails, retries.

    What is stored is compared with a model after each rule; so are what the Observer returns, its
    warnings, and what a client reads. A failing example is the code of the shortest such task::

        class UploadMachine(ObserverMachine):
            observer = UploadObserver          # a subclass of Observer
            base = UploadTask                  # of ProgressTask, or of AbortableTask

            @rule(size=st.integers(0, 10))
            @precondition(ObserverMachine.reports)
            def chunk(self, size):
                self.act(lambda observer: observer.chunk(size))

        TestUploads = UploadMachine.TestCase

    Tasks begin one after the other, each may have two observers, and where the base is one of tasks
    that can be aborted they are asked to. What a rule of one's own does is no part of the model: it
    is judged by what an Observer promises for any report (`act`).

    Attributes:
        observer: Makes an Observer of the task, the position, and `throttle`.
        base: The base of the task.
        options: Of the task, such as `track_started`.
        contract: What every run is judged by: the rules that are kept by whatever an Observer does.
        messages: Strategy of what is said.
        positions: Strategy of where an observer is.
        steps: Strategy of how far it moves.
        totals: Strategy of totals.
        throttles: Strategy of the seconds of `throttle`.
        seconds: Strategy of how long something takes.
        task: The task.
        model: What is known of the task that runs, or else of the next one.
    """

    contract: ClassVar[Contract | None] = Contract().only(
        *("bounded", "consistent", "readable", "serializable", "no-zombie", "abort-survives")
    )
    messages: ClassVar[st.SearchStrategy[str]] = st.text(max_size=4)
    positions: ClassVar[st.SearchStrategy[Number]] = st.integers(0, 12) | st.sampled_from(
        [0.5, 99.999, 100, 1000, -1, -7]
    )
    steps: ClassVar[st.SearchStrategy[Number]] = st.integers(-2, 5) | st.just(0.5)
    totals: ClassVar[st.SearchStrategy[Number | None]] = st.just(10) | st.sampled_from(
        [100, 1, 0, None]
    )
    throttles: ClassVar[st.SearchStrategy[float | None]] = st.sampled_from([None, 2.0])
    seconds: ClassVar[st.SearchStrategy[float]] = st.sampled_from([1.0, 0.5, 60.0])

    # -- rules: the worker, and whoever waits ------------------------------------------------------

    @precondition(ObservedMachine.is_outside)
    @rule()
    def begin(self) -> None:
        """Run the task."""
        signature = self.task.signature(options={"task_id": self.model.task_id})
        answer = self._inside.begin(lambda: self.engine.run(signature))
        if self.model.asked:
            if answer.kind == "entered":
                self._is_inside = True
                what = "the abort is lost: it was asked for before the task began, which runs"
                self._differ(what, "it ends with ABORTED, and is not run")
            self._over(answer, self.model.finish(self.now, aborts=True))
        else:
            self._enter(answer)

    @precondition(ObservedMachine.can_be_asked)
    @rule()
    def ask(self) -> None:
        """Ask the task to abort, or the next one, before it begins."""
        new = not (self.model.asked or self.model.has_end)
        self.model.asked |= new
        self._expect_asked(self.model.task_id, new=new)

    @precondition(ObservedMachine.has_ended)
    @rule()
    def ask_late(self) -> None:
        """Ask a task that has ended: nothing happens."""
        if self.can_be_asked():
            self._expect_asked(next(reversed(self._ended)), new=False)

    def _expect_asked(self, task_id: str, *, new: bool) -> None:
        answered = abort(self.task.AsyncResult(task_id))
        if answered is not new:
            self.differs(f"abort() returned {answered}", f"{new}", task_id)

    @rule(seconds=of_machine("seconds"))
    def pass_time(self, seconds: float) -> None:
        """Take time."""
        self.engine.clock.advance(seconds)

    # -- rules: reports ----------------------------------------------------------------------------

    @precondition(ObservedMachine.can_observe)
    @rule(position=of_machine("positions"), throttle=of_machine("throttles"))
    def observe(self, position: Number, throttle: float | None) -> None:
        """Make an observer."""
        position = abs(position)
        make = type(self).observer
        self._observers.append(self._do(lambda: make(self.task, position, throttle=throttle)))
        self.model.attempt.observers.append(ObserverModel(position, throttle, self.now))

    @precondition(ObservedMachine.reports)
    @rule(
        which=_which,
        text=of_machine("messages"),
        current=st.none() | of_machine("positions"),
        total=of_machine("totals"),
        increment=st.booleans(),
        step=of_machine("steps"),
        state=st.sampled_from(REPORTED),
    )
    def report(
        self,
        which: int,
        text: str,
        current: Number | None,
        total: Number | None,
        increment: bool,
        step: Number,
        state: str,
    ) -> None:
        """Report, by all that `update` takes."""
        observer, known = self._at(which)
        given = NOT_GIVEN if current is None else current
        position = known.next(given, step, increment=increment)
        expected = self.model.expect(known, text, position, total, state, self.now)
        self._compare(
            expected,
            lambda: observer.update(
                text, current=given, total=total, increment=increment, step=step, state=state
            ),
        )

    @precondition(ObservedMachine.reports)
    @rule(which=_which, current=of_machine("positions"))
    def report_on(self, which: int, current: Number) -> None:
        """Report a position, of the same total as before."""
        observer, known = self._at(which)
        total = known.total
        position = known.next(current, 1, increment=True)
        expected = self.model.expect(known, "on", position, total, PROGRESS, self.now)
        self._compare(expected, lambda: observer.update("on", current=current, total=total))

    @precondition(ObservedMachine.reports)
    @rule(which=_which, text=of_machine("messages"), count=st.integers(0, 3))
    def track(self, which: int, text: str, count: int) -> None:
        """Go through a loop, with a report after each item."""
        observer, known = self._at(which)
        warns = False
        for position in range(1, count + 1) if count else [0]:
            expected = self.model.expect(known, text, position, count, PROGRESS, self.now)
            # A second loop begins at a position that the first one has passed.
            warns = warns or expected.warns
            if expected.left:
                break
        expected = replace(expected, warns=warns)

        def loop() -> None:
            for _ in observer.track(range(count), text):
                pass

        self._compare(expected, loop, returns=False)

    @precondition(ObservedMachine.reports)
    @rule(which=_which, step=of_machine("steps"))
    def increment(self, which: int, step: Number) -> None:
        """Move, without a report."""
        observer, known = self._at(which)
        known.position += step
        self._do(lambda: observer.increment(step))

    @precondition(ObservedMachine.reports)
    @rule(which=_which, position=of_machine("positions"))
    def move(self, which: int, position: Number) -> None:
        """Set the position."""
        observer, known = self._at(which)
        known.position = position
        self._do(lambda: setattr(observer, "pos", position))

    @precondition(ObservedMachine.reports)
    @rule(which=_which)
    def flush(self, which: int) -> None:
        """Store what `throttle` holds back."""
        observer, known = self._at(which)
        if self.model.attempt.ending is None:
            self.model.writes += known.flush(self.now)
        self._do(observer.flush)

    # -- rules: outcomes ---------------------------------------------------------------------------

    @precondition(ObservedMachine.reports)
    @rule(which=_which, text=of_machine("messages"))
    def success(self, which: int, text: str) -> None:
        """Succeed."""
        observer, known = self._at(which)
        expected = self.model.expect_end(known, text, known.end(), known.end(), SUCCESS, self.now)
        self._compare(expected, lambda: observer.success(text))

    @precondition(ObservedMachine.reports)
    @rule(which=_which, text=of_machine("messages"), kind=st.sampled_from(_ERRORS))
    def fail(self, which: int, text: str, kind: type[Exception]) -> None:
        """Fail."""
        observer, known = self._at(which)
        expected = self.model.expect_end(
            known, text, known.position, known.total, FAILURE, self.now, (kind, text)
        )
        self._compare(expected, lambda: observer.fail(text, kind))

    @precondition(ObservedMachine.reports)
    @rule(which=_which, text=of_machine("messages"), kind=st.sampled_from(_ERRORS))
    def fail_by(self, which: int, text: str, kind: type[Exception]) -> None:
        """Fail by an exception; in the `except` block of an abort by that."""
        observer, known = self._at(which)
        error = kind("why") if self._caught is None else self._caught
        state = ABORTED if self._caught is not None and ABORTED in self.model.keeps else FAILURE
        expected = self.model.expect_end(
            known, text, known.position, known.total, state, self.now, (kind, "why")
        )
        self._compare(expected, lambda: observer.exception(error, text))

    @precondition(ObservedMachine.reports)
    @rule(
        which=_which,
        text=of_machine("messages"),
        current=of_machine("positions"),
        total=of_machine("totals"),
        state=st.sampled_from([SUCCESS, FAILURE, REVOKED]),
    )
    def end_by_report(
        self, which: int, text: str, current: Number, total: Number | None, state: str
    ) -> None:
        """Report a state that is an outcome."""
        observer, known = self._at(which)
        position = known.next(current, 1, increment=True)
        if self.model.is_left(self.now):
            expected = Expected(left=True)
        else:
            expected = self.model.expect_end(
                known, text, position, total, state, self.now, (RuntimeError, text)
            )
        self._compare(
            expected, lambda: observer.update(text, current=current, total=total, state=state)
        )

    # -- rules: aborts, as the task sees them ------------------------------------------------------

    @precondition(ObservedMachine.can_look)
    @rule()
    def look(self) -> None:
        """Look whether it is to abort."""
        expected, seen = self.model.looks(self.now), self._do(self.task.is_aborted)
        if seen is not expected:
            self._differ(f"is_aborted() returned {seen}", f"{expected}")

    @precondition(ObservedMachine.is_leaving)
    @rule()
    def catch(self) -> None:
        """Go on behind the `except` block."""
        self._caught = None
        self.model.attempt.leaving = False
        self._inside.catch()

    @precondition(ObservedMachine.is_leaving)
    @rule()
    def leave(self) -> None:
        """Be left by the abort."""
        self._over(self._inside.leave(), self.model.finish(self.now, aborts=True))

    # -- rules: how the function ends --------------------------------------------------------------

    @precondition(ObservedMachine.is_inside)
    @rule(value=st.sampled_from([None, "returned"]))
    def returns(self, value: object) -> None:
        """Return."""
        ending = self.model.finish(self.now, value=value)
        self._over(self._inside.end(lambda: value), ending, value)

    @precondition(ObservedMachine.is_inside)
    @rule(kind=st.sampled_from([*_ERRORS, Ignore]))
    def raises(self, kind: type[Exception]) -> None:
        """Raise; after Celery's Ignore nothing more is to be stored."""
        if kind is Ignore:
            ending = self.model.finish(self.now, ignores=True)
        else:
            ending = self.model.finish(self.now, error=(kind, "why"))
        self._over(self._inside.end(lambda: _raise(kind("why"))), ending)

    @precondition(ObservedMachine.can_retry)
    @rule(countdown=of_machine("seconds"))
    def retries(self, countdown: float) -> None:
        """Ask for another attempt."""
        model, now = self.model, self.now
        ending, goes_on = None, False
        if model.attempt.ending is not None:
            ending = model.finish(now, ignores=True)
        elif model.looks(now):
            ending = model.finish(now, aborts=True)
        else:
            model.retried(now)
            goes_on = not model.asked
            if not goes_on:
                ending = model.finish(now, aborts=True)
        answer = self._inside.end(lambda: _raise(self.task.retry(countdown=countdown)))
        if goes_on:
            self._enter(answer)
        else:
            self._over(answer, ending)


def _raise(error: BaseException) -> None:
    raise error
