"""Results that know ABORTED, of any ends: who waits for one, for a group, and who goes back."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pytest_taskprogress import AbortableTask, EagerEngine, TaskAborted
from pytest_taskprogress.checks import Contract
from pytest_taskprogress.tasks import knowing

#: To Celery's own backend nobody tells anything: it is polled.
polled = Celery("polled", backend="cache+memory://", set_as_current=False)
numbers = itertools.count()


@polled.task(base=AbortableTask, name="tests.polled", shared=False)
def polled_work():
    """Never run."""


# -- one result -----------------------------------------------------------------------------------

#: What is stored at an end, and what who waits gets.
ENDS = {
    "SUCCESS": (7, 7),
    "FAILURE": (ValueError("broken"), ValueError),
    "REVOKED": (TaskRevokedError("revoked"), TaskRevokedError),
    "ABORTED": ({"pending": False, "percent": 40.0}, TaskAborted),
}


@contextmanager
def naps(*, after):
    """The seconds that who waits sleeps; `after` is called after each."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        assert len(slept) < 20, "it does not come to its end"
        after(len(slept))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowing, "time", SimpleNamespace(sleep=sleep))
        yield slept


@settings(deadline=None)
@given(
    end=st.sampled_from(sorted(ENDS)),
    ends_after=st.integers(0, 5),
    asked_after=st.none() | st.integers(1, 5),
    timeout=st.sampled_from([None, 0, 0.75, 2, 3]),
    interval=st.sampled_from([0.5, 1, 2]),
    of_task=st.booleans(),
)
def test_get(end, ends_after, asked_after, timeout, interval, of_task):
    """It waits until the task has ended or the time is over, and says at each look that it does."""
    task_id = f"polled-{next(numbers)}"
    each = (polled_work if of_task else polled).AsyncResult(task_id)
    value, kind = ENDS[end]

    def pass_by(nap):
        polled.backend.store_result(task_id, {"percent": 1.0}, "PROGRESS")
        if nap == asked_after:
            polled_work.AsyncResult(task_id).abort()
        if nap == ends_after:
            polled.backend.store_result(task_id, value, end)

    if not ends_after:
        polled.backend.store_result(task_id, value, end)
    heard, error = [], None
    most = math.inf if timeout is None else math.ceil(timeout / interval)
    with naps(after=pass_by) as slept:
        try:
            got = each.get(
                timeout=timeout, interval=interval, on_interval=lambda: heard.append(len(slept))
            )
        except (CeleryTimeoutError, TaskAborted, TaskRevokedError, ValueError) as caught:
            error = caught
    # It hears at each look in vain; also at the last one, at which it sees the end.
    assert heard[: len(slept)] == list(range(len(slept)))
    assert len(heard) <= len(slept) + 1
    if ends_after > most:
        event("too late")
        assert isinstance(error, CeleryTimeoutError)
        assert sum(slept) == timeout
        return
    assert len(slept) == ends_after
    if error is None:
        assert got == kind
    else:
        assert type(error) is kind
    assert each.ready()
    each.forget()


# -- groups ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work():
    """A task for all examples, on an engine."""
    app = Celery("groups", backend="taskprogress://", set_as_current=False)
    with EagerEngine(app) as engine:
        engine.contract = Contract().only("abort-survives", "no-zombie")

        @app.task(base=AbortableTask, name="tests.member", shared=False)
        def member(number):
            if number < 0:
                raise ValueError(number)
            return number

        yield SimpleNamespace(engine=engine, app=app, member=member)


#: How a member ends, and after how many seconds; or members, of a group that is a member.
leaves = st.tuples(st.sampled_from(["returns", "raises", "aborted"]), st.sampled_from([0, 2, 5, 9]))
members = st.lists(leaves | st.lists(leaves, max_size=2), max_size=4)


def leaves_of(drawn):
    """The members that are tasks, in order."""
    return [leaf for each in drawn for leaf in (each if isinstance(each, list) else [each])]


def published(work, drawn):
    """The result of a drawn member; those of tasks count from 0."""
    if isinstance(drawn, list):
        return work.app.GroupResult(
            f"group-{next(numbers)}", [published(work, each) for each in drawn]
        )
    how, seconds = drawn
    each = work.member.apply_async((-1 if how == "raises" else 1,), countdown=seconds)
    if how == "aborted":
        each.abort()
    return each


def told(value):
    """The result of a member, as it is drawn."""
    if isinstance(value, list):
        return [told(each) for each in value]
    return {int: "returns", ValueError: "raises", TaskAborted: "aborted"}[type(value)]


def hows(drawn):
    """How members end, without when."""
    return [hows(each) if isinstance(each, list) else each[0] for each in drawn]


@settings(deadline=None)
@given(
    drawn=members,
    timeout=st.sampled_from([None, 1, 3, 7, 20]),
    way=st.sampled_from(["get", "join", "join_native", "iter_native"]),
    propagate=st.booleans(),
)
def test_group(work, drawn, timeout, way, propagate):
    """It gives what each member gives, in their order; the time is that of all together."""
    work.engine.reset()
    propagate = propagate and way != "iter_native"
    outcome = None
    for how, seconds in leaves_of(drawn):
        if timeout is not None and seconds > timeout:
            outcome = CeleryTimeoutError
        elif propagate:
            outcome = {"returns": None, "raises": ValueError, "aborted": TaskAborted}[how]
        if outcome is not None:
            break
    with work.engine.paused():
        group = published(work, drawn)
        wait = getattr(group, way)
        options = {} if way == "iter_native" else {"propagate": propagate}
        event(f"{way}: {getattr(outcome, '__name__', 'values')}")
        if outcome is not None:
            with pytest.raises(outcome):
                list(wait(timeout=timeout, **options))
            if outcome is CeleryTimeoutError:
                assert work.engine.clock.monotonic() == timeout
            return
        values = list(wait(timeout=timeout, **options))
        assert work.engine.clock.monotonic() == max(
            (each for _, each in leaves_of(drawn)), default=0
        )
    if way != "iter_native":
        assert [told(each) for each in values] == hows(drawn)
        return
    assert [task_id for task_id, _ in values] == [each.id for each in group.results]
    for each, (_, record) in zip(group.results, values, strict=True):
        if isinstance(each, GroupResult):
            assert record == each.results
        else:
            assert record["status"] == each.state
            assert each.ready()


# -- parents --------------------------------------------------------------------------------------

#: What is put before a result, one after the other: chains, of tasks and groups.
chains = st.lists(st.lists(st.sampled_from(["task", "group"]), min_size=1, max_size=4), max_size=4)


@settings(deadline=None)
@given(drawn=chains, again=st.lists(st.integers(0, 20), max_size=3))
def test_parents(work, drawn, again):
    """Whatever is put before a result is reached from it, once; doing so twice is no harm."""
    make = {
        "task": work.app.AsyncResult,
        "group": lambda task_id: work.app.GroupResult(task_id, []),
    }
    last = work.app.AsyncResult("last")
    before = []
    for kinds in drawn:
        nodes = [make[kind](f"parent-{next(numbers)}") for kind in kinds]
        for node, parent in itertools.pairwise(nodes):
            node.parent = parent
        before += nodes
        last.parent = nodes[0]
    for number in again:
        if number < len(before):
            last.parent = before[number]
    reached = []
    while last.parent is not None and len(reached) <= len(before):
        last = last.parent
        reached.append(last.id)
    assert reached == [each.id for each in before]
