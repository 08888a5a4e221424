from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_taskprogress import EagerEngine, Observer, ProgressTask
from pytest_taskprogress.core.states import TERMINAL_STATES
from pytest_taskprogress.properties import as_group_results, as_results, check_consumer
from pytest_taskprogress.strategies import (
    ProgressSequence,
    Write,
    histories,
    metas,
    progress_sequences,
    states,
)
from pytest_taskprogress.tasks.knowing import teach
from pytest_taskprogress.tasks.reading import Reading, group_progress, read_progress
from tests.conftest import IsolatedApp

#: One app for all examples: making one takes longer than reading a thousand times.
APP = Celery("reading", backend="taskprogress://", set_as_current=False)
teach(APP)

numbers = st.integers() | st.floats() | st.booleans() | st.decimals(allow_nan=False)
#: Whatever JSON carries, as a value of the keys that are read.
anything = st.recursive(
    st.none() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
KEYS = ("percent", "current", "total", "description", "pending", "elapsed")
EXCEPTION_KEYS = ("exc_type", "exc_message", "exc_module")
shapeless = st.dictionaries(st.sampled_from(KEYS + EXCEPTION_KEYS), anything)
values = anything | shapeless | metas()
any_state = states() | st.sampled_from(["IGNORED", "REJECTED", "", "%"]) | st.text(max_size=5)
#: What nobody should write, and somebody has: any state, with anything, in any order.
hostile = st.lists(st.builds(Write, any_state, values), max_size=6).map(
    lambda writes: ProgressSequence(*writes)
)
hostile_groups = st.lists(
    st.builds(Write, any_state, values, task=st.sampled_from("abc")), max_size=8
).map(lambda writes: ProgressSequence(*writes))

#: Records as a backend keeps them, but for their parts.
records = st.fixed_dictionaries(
    {"status": any_state | anything},
    optional={"result": values, "children": anything, "traceback": anything, "date_done": anything},
)

fewer = settings(max_examples=max(settings().max_examples // 2, 1))


def as_json(value):
    """As bytes."""
    return json.dumps(value, default=str).encode()


def assert_well_formed(reading: Reading) -> None:
    """It is one that any front end can show."""
    assert isinstance(reading.state, str)
    assert reading.percent is None or 0.0 <= reading.percent <= 100.0
    assert type(reading.percent) in {float, type(None)}
    for number in (reading.current, reading.total):
        assert number is None or (type(number) in {int, float} and 0 <= number < math.inf)
    if reading.current is not None and reading.total is not None:
        assert reading.current <= reading.total
    assert reading.description is None or isinstance(reading.description, str)
    assert reading.error is None or isinstance(reading.error, str)
    assert reading.ended or not reading.succeeded
    json.dumps(reading.as_dict(), allow_nan=False).encode("ascii")


@given(hostile, st.booleans(), st.booleans())
def test_any_record(sequence, torn, vanishing):
    """Whatever is stored, in whatever order, is read, and can be shown."""
    for result in as_results(sequence, torn=torn, vanishing=vanishing, app=APP):
        assert_well_formed(read_progress(result))


@given(st.binary(max_size=40) | (anything | records).map(as_json))
def test_any_bytes(payload):
    """So are bytes that no backend has written, and records with parts that are none."""
    APP.backend.set(APP.backend.get_key_for_task("bytes"), payload)
    assert_well_formed(read_progress(APP.AsyncResult("bytes")))
    assert_well_formed(group_progress(["bytes"], app=APP))
    APP.backend.clear()


@fewer
@given(
    hostile_groups,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["continue", "stop"]),
)
def test_any_group(sequence, torn, vanishing, keep, policy):
    """A canvas of anything is one value, which does not fall in one object."""
    percents = []
    for result in as_group_results(sequence, torn=torn, vanishing=vanishing, keep=keep, app=APP):
        reading = group_progress(result, on_failure=policy)
        assert_well_formed(reading)
        assert reading.percent is not None
        assert reading.total == len(result.results)
        percents.append(reading.percent)
    if keep:
        assert percents == sorted(percents)


@fewer
@given(hostile_groups, st.booleans())
def test_floor(sequence, torn):
    """What was shown last is the least that is shown next, whoever asks."""
    shown = 0.0
    for result in as_group_results(sequence, torn=torn, app=APP):
        percent = group_progress([each.id for each in result.results], floor=shown, app=APP).percent
        assert percent >= shown
        shown = percent


def test_reader():
    """The reader of one task does what its users take for granted."""
    check_consumer(read_progress)


def test_reader_of_groups():
    """So does the one of groups, which remembers by its object."""
    check_consumer(group_progress, groups=True, keep=True, max_examples=50)


def test_reader_that_stops():
    """So does the one that ends with the first failure."""
    check_consumer(lambda result: group_progress(result, on_failure="stop"), groups=True, keep=True)


def test_reader_without_objects():
    """So does a front end that makes results anew, and tells what it has shown."""

    def make():
        shown = [0.0]

        def page(result):
            reading = group_progress(result, floor=shown[0])
            shown[0] = reading.percent
            return reading.as_dict()

        return page

    check_consumer(make, per_sequence=True, groups=True, keep=False, max_examples=50)


@given(progress_sequences(aborts=True, retries=1))
def test_what_was_written(sequence):
    """What keeps the contract is read as it was written, number by number."""
    readings = [read_progress(each) for each in as_results(sequence, app=APP)]
    assert readings[0] == Reading("PENDING")
    for transition, reading in zip(sequence, readings[1:], strict=True):
        assert reading.state == transition.state
        assert reading.ended == (transition.state in TERMINAL_STATES)
        assert reading.succeeded == (transition.state == "SUCCESS")
        if transition.is_report:
            assert reading.percent == pytest.approx(transition.percent, abs=0.011)
            assert reading.meta == transition.meta
            assert reading.current == transition.meta.get("current")


@given(histories(sequences=progress_sequences(max_size=3, aborts=True)))
def test_ends_with_its_tasks(sequence):
    """A group has ended when all have, and succeeded when all have; then it is at 100 %."""
    for result in as_group_results(sequence, app=APP):
        reading = group_progress(result)
        members = [read_progress(each) for each in result.results]
        assert reading.ended == all(each.ended for each in members)
        assert reading.succeeded == all(each.succeeded for each in members)
        assert (reading.percent == 100.0) == reading.ended
        assert reading.current == sum(each.ended for each in members)
        stops = group_progress(result, on_failure="stop")
        assert stops.ended == (reading.ended or any(each.failed for each in members))
        assert stops.succeeded == reading.succeeded


@fewer
@given(histories(min_tasks=2, sequences=progress_sequences(max_size=3, aborts=True)), st.data())
def test_order_does_not_count(sequence, data):
    """The members of a group count the same, in whatever order, however they are nested."""
    for result in as_group_results(sequence, app=APP):
        members = data.draw(st.permutations(result.results))
        at = data.draw(st.integers(0, len(members)))
        nested = [APP.GroupResult("inner", members[:at]), *members[at:]]
        one, other = group_progress(list(result.results)), group_progress(nested)
        assert (one.percent, one.state, one.ended) == (other.percent, other.state, other.ended)


@fewer
@given(histories(min_tasks=2, max_tasks=4, sequences=progress_sequences(max_size=2)))
def test_chains_end(sequence):
    """A chain ends where one of its tasks does not end well: no other is waited for."""
    for group in as_group_results(sequence, app=APP):
        tasks = group.results
        for before, after in pairwise(tasks):
            after.parent = before
        reading = group_progress(tasks[-1])
        members = [read_progress(each) for each in tasks]
        known = next((at for at, each in enumerate(members) if each.failed), len(members))
        rest = members[known:]
        if all(each.ended for each in members[:known]) and all(
            each.failed or each.state == "PENDING" for each in rest
        ):
            assert reading.ended == bool(rest or known == len(members))
        assert reading.total == len(tasks)


@given(total=st.integers(0, 8), groups=st.integers(0, 3))
def test_of_the_engine(total, groups, request):
    """A group of tasks of an Observer is followed from 0 to 100, also with nothing to do."""
    engine = request.getfixturevalue("taskprogress_readings")
    with engine.paused():
        result = engine.app.GroupResult(
            "all", [engine.app.tasks["rows"].delay(total) for _ in range(groups)]
        )
        percents = [group_progress(result).percent]
        while engine.pending:
            engine.step()
            percents.append(group_progress(result).percent)
    assert percents == [pytest.approx(100.0 * done / groups, abs=0.011) if groups else 100.0
                        for done in range(groups + 1)]  # fmt: skip
    assert all(read_progress(each).succeeded for each in result.results)


@pytest.fixture(scope="module")
def taskprogress_readings():
    """An engine for all examples, with a task that counts rows."""
    app = IsolatedApp("rows", backend="taskprogress://", set_as_current=False)

    @app.task(bind=True, base=ProgressTask, name="rows")
    def rows(self, total):
        observer = Observer(self)
        for _ in observer.track(range(total), "Counting"):
            pass
        return observer.success("Counted")[1]

    with EagerEngine(app) as engine:
        yield engine
