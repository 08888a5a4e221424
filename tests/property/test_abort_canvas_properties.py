"""Aborts of canvases of any shape, between any two messages; and at the edges of a task's life.

Those are: eager mode, the blocks in which an abort is handled, and calls as a function.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError, Ignore
from celery.result import AsyncResult
from hypothesis import event, given, settings
from hypothesis import strategies as st
from kombu.exceptions import EncodeError

from pytest_taskprogress import AbortableTask, EagerEngine, Observer, TaskAborted, abort
from pytest_taskprogress.checks import Contract
from pytest_taskprogress.tasks.results import tasks_of

ENDED = {"SUCCESS", "FAILURE", "ABORTED", "REVOKED"}


class Tasks:
    """The tasks of canvases, and what they did."""

    def __init__(self, engine):
        self.engine = engine
        self.ran, self.handled = [], []
        tasks = self

        @engine.app.task(bind=True, base=AbortableTask, name="tests.work", shared=False)
        def work(self, rows):
            tasks.ran.append(self.request.id)
            observer = Observer(self)
            for row in range(rows):
                observer.update("row", current=row + 1, total=rows)

        class Handled(AbortableTask):
            abstract = True

            def on_abort(self, *_):
                tasks.handled.append("on_abort")

            def after_return(self, status, *_):
                tasks.handled.append(f"after_return {status}")

        @engine.app.task(bind=True, base=Handled, name="tests.play", shared=False)
        def play(self, *args):
            return tasks.body(self, *args)

        self.work, self.play = work, play
        self.body = None


@pytest.fixture(scope="module")
def tasks():
    """One engine for all examples; each begins anew."""
    app = Celery("tests", backend="taskprogress://", set_as_current=False)
    with EagerEngine(app) as engine:
        engine.contract = Contract().only("abort-survives", "no-zombie")
        yield Tasks(engine)


#: Canvases as data: a number of rows is a task, and the rest has parts. A group in a chain is its
#: last part: what comes after it makes a chord of it, and Celery ends the body of a chord that
#: fails, but not what comes after that.
rows = st.integers(0, 3)
shapes = st.recursive(
    rows,
    lambda parts: st.one_of(
        st.tuples(
            st.just("chain"),
            st.builds(
                lambda first, last: [*first, last], st.lists(rows, min_size=1, max_size=3), parts
            ),
        ),
        st.tuples(st.just("group"), st.lists(parts, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)
chords = st.tuples(st.just("chord"), st.lists(rows, min_size=1, max_size=3))


def canvas_of(shape, work):
    """The signature of a shape."""
    if isinstance(shape, int):
        return work.si(shape)
    kind, parts = shape
    signatures = [canvas_of(part, work) for part in parts]
    if kind == "chord":
        return chord(signatures, work.si(1))
    return (chain if kind == "chain" else group)(*signatures)


@settings(deadline=None)
@given(shape=shapes | chords, steps=st.integers(0, 8))
def test_any_canvas(tasks, shape, steps):
    """Whatever has not ended ends, without being run; who waits for it comes to an end."""
    engine = tasks.engine
    engine.reset()
    tasks.ran.clear()
    with engine.paused():
        result = canvas_of(shape, tasks.work).apply_async()
        for _ in range(steps):
            engine.step()
        known = list(tasks_of(engine.app.ResultSet([result, result])))
        assert len({each.id for each in known}) == len(known)
        before = {each.id: state for each in known if (state := each.state) in ENDED}
        ran = list(tasks.ran)
        assert abort(result) is (len(before) < len(known))
        assert abort(result) is False
    assert tasks.ran == ran
    event(f"{len(before)} of {len(known)} had ended")
    for each in known:
        state = AsyncResult(each.id, app=engine.app, backend=engine.backend).state
        assert state == before.get(each.id, state)
        # The body of a chord fails with its header.
        assert state in ENDED
        assert each.ready()
    if len(before) < len(known):
        with pytest.raises((TaskAborted, ChordError)):
            result.get(timeout=5)


@settings(deadline=None)
@given(
    countdowns=st.lists(st.sampled_from([None, 3, 5, 100]), max_size=4),
    grace=st.sampled_from([0, 1, 3, 10]),
)
def test_grace(tasks, countdowns, grace):
    """Who asks waits for those that end in time, and no longer; the others are revoked."""
    engine = tasks.engine
    engine.reset()
    tasks.ran.clear()
    dues = [each or 0 for each in countdowns]
    with engine.paused():
        results = [tasks.work.apply_async((1,), countdown=each) for each in countdowns]
        assert abort(engine.app.ResultSet(results), grace=grace) is bool(results)
        assert engine.clock.monotonic() == min(grace, max(dues, default=0))
    expected = ["ABORTED" if due <= grace else "REVOKED" for due in dues]
    assert [engine.backend.peek(each.id)["status"] for each in results] == expected
    assert tasks.ran == []


# -- where nothing is stored ----------------------------------------------------------------------


class Eager(AbortableTask):
    """Counts its handlers."""

    abstract = True
    aborted = 0

    def on_abort(self, exc, task_id, args, kwargs, einfo):
        """Count."""
        type(self).aborted += 1


eager = Celery("eager", backend="cache+memory://", set_as_current=False)


@eager.task(bind=True, base=Eager, name="tests.eager", shared=False)
def eager_work(self, rows, asks, *, catches):
    """Ask for its own abort at some row."""
    observer = Observer(self)
    for row in range(rows):
        if row == asks:
            abort(AsyncResult(self.request.id, app=eager))
        try:
            observer.update("row", current=row + 1, total=rows)
        except TaskAborted:
            if not catches:
                raise
            return "caught"
    return "done"


@settings(deadline=None)
@given(rows=st.integers(0, 4), asks=st.integers(0, 5), catches=st.booleans(), stores=st.booleans())
def test_eager_mode(rows, asks, catches, stores):
    """Called by `apply()` it is left by TaskAborted too; nobody stores ABORTED, or handles it."""
    eager.conf.task_store_eager_result = stores
    eager_work.store_eager_result = stores
    left, Eager.aborted = asks < rows, 0
    result = eager_work.apply((rows, asks), {"catches": catches})
    if left and not catches:
        assert isinstance(result.result, TaskAborted)
        assert result.result.task_id == result.id
        assert result.state == "FAILURE"
    else:
        assert result.result == ("caught" if left else "done")
        assert result.state == "SUCCESS"
    assert eager.backend.get_state(result.id) != "ABORTED"
    assert Eager.aborted == 0


# -- while it is left -----------------------------------------------------------------------------

cleanups = st.lists(st.sampled_from(["report", "raise_if_aborted", "is_aborted", "other", "outer"]))


@settings(deadline=None)
@given(inside=cleanups, again=st.booleans(), leaves=st.booleans())
def test_while_it_is_left(tasks, inside, again, leaves):
    """In `except` and `finally` blocks of an abort nothing is left again; behind them it is."""
    engine = tasks.engine
    engine.reset()
    seen = []

    def clean(task, observer, what):
        if what == "report":
            observer.update("cleaning")
        elif what == "raise_if_aborted":
            task.raise_if_aborted()
        elif what == "is_aborted":
            assert task.is_aborted()
        elif what == "other":  # another error, in whose handling the abort is still handled
            try:
                raise ValueError(what)  # noqa: TRY301 - it is handled at once
            except ValueError:
                observer.update("cleaning")
        else:
            try:
                raise TaskAborted("another")  # noqa: TRY301 - as above
            except TaskAborted:
                task.raise_if_aborted()
        seen.append(what)

    def body(self):
        observer = Observer(self)
        observer.update("row")
        self.AsyncResult(self.request.id).abort()
        try:
            observer.update("row")
        except TaskAborted:
            for what in inside:
                clean(self, observer, what)
            if leaves:
                raise
        if again:
            observer.update("row")
        return "done"

    tasks.body = body
    run = engine.run(tasks.play)
    assert seen == inside
    assert run.state == ("ABORTED" if leaves or again else "SUCCESS")
    assert run.states.count("PROGRESS") == 1 + sum(each in {"report", "other"} for each in inside)


@settings(deadline=None)
@given(
    reports=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 5.0]), st.booleans()), max_size=5),
    by=st.sampled_from(["check", "report", "Ignore"]),
)
def test_the_last_progress(tasks, reports, by):
    """ABORTED has the report that was held back, or else the last one; its handlers run once."""
    engine = tasks.engine
    engine.reset()
    tasks.handled.clear()
    held = []

    def body(self):
        observer = Observer(self, throttle=3.0)
        for seconds, bad in reports:
            engine.clock.advance(seconds)
            # What the serialiser refuses is refused at once, unless it is held back.
            with suppress(EncodeError):
                observer.update("row", total=None, meta={"bad": object()} if bad else None)
        held.append(observer.held())
        self.AsyncResult(self.request.id).abort()
        assert self.is_aborted()
        if by == "Ignore":
            raise Ignore
        if by == "report":
            observer.update("more")
        self.raise_if_aborted()

    tasks.body = body
    run = engine.run(tasks.play)
    assert run.state == "ABORTED"
    told = [each.meta["current"] for each in run.progress]
    if held[0] is not None and "bad" not in held[0]:
        told.append(held[0]["current"])
    assert run.own[-1].meta.get("current") == (told[-1] if told else None)
    assert run.states.count("ABORTED") == 1
    assert tasks.handled == ["on_abort", "after_return ABORTED"]


class Scan:
    """What is saved when a task has an outcome."""

    name = "scan"

    def __init__(self):
        self.active, self.saved = True, 0

    def save(self):
        """Count."""
        self.saved += 1


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    end=st.sampled_from(["return", "success", "fail", "raise"]),
)
def test_how_it_ends(tasks, counts, end):
    """What observers hold back is stored, and an outcome by one of them is told to all."""
    engine = tasks.engine
    engine.reset()
    scans = [Scan() for _ in counts]

    def body(self):
        observers = [Observer(self, scan_task=each, throttle=60.0) for each in scans]
        for number, (observer, count) in enumerate(zip(observers, counts, strict=True)):
            for _ in range(count):
                observer.update(f"of {number}", total=None)
        if end == "success":
            observers[0].success("over")
        elif end == "fail":
            observers[0].fail("broken")
        elif end == "raise":
            raise ValueError("broken")

    tasks.body = body
    run = engine.run(tasks.play)
    assert run.state == ("SUCCESS" if end in {"return", "success"} else "FAILURE")
    for number, count in enumerate(counts):
        told = [each.meta["current"] for each in run.progress if each.message == f"of {number}"]
        # The first one is stored, and the last one that was held back.
        assert told == ([1, count] if count > 1 else [1] * count)
    saved = 0 if end == "return" else 1
    assert [(each.saved, each.active) for each in scans] == [(saved, not saved)] * len(scans)


@settings(deadline=None)
@given(depth=st.integers(0, 3), reports=st.integers(0, 2), fails=st.booleans())
def test_called_as_a_function(tasks, depth, reports, fails):
    """A task that calls itself as a function does not end by that."""
    engine = tasks.engine
    engine.reset()

    def body(self, left):
        if left < depth:
            return left if not left else self(left - 1)
        observer = Observer(self)
        for _ in range(reports):
            observer.update("before")
        if left:
            assert self(left - 1) == 0
        for _ in range(reports):
            observer.update("after")
        if fails:
            observer.fail("broken")
        return "done"

    tasks.body = body
    run = engine.run(tasks.play, depth)
    assert run.messages == ["before"] * reports + ["after"] * reports
    assert run.state == ("FAILURE" if fails else "SUCCESS")
    assert run.result == (None if fails else "done")
