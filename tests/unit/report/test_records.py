"""Runs as plain values."""

from __future__ import annotations

import json
from enum import Enum

import pytest
from celery import chain, group

from pytest_taskprogress import AbortableTask, Contract, Observer, TaskProgressWarning
from pytest_taskprogress.report.records import Recorder, record_of, with_relative_sources
from pytest_taskprogress.scenario import Abort, Advance, at_report


@pytest.fixture
def report(app):
    """A task that reports what it is given."""

    @app.task(bind=True, name="report")
    def report(self, metas, state="PROGRESS", error=None):
        for meta in metas:
            self.update_state(state=state, meta=meta)
        if error:
            raise ValueError(error)

    return report


@pytest.fixture
def slow(app):
    """A task that can be aborted."""

    @app.task(bind=True, base=AbortableTask, name="slow")
    def slow(self, count):
        observer = Observer(self)
        for number in range(1, count + 1):
            observer.update("step %d", number, current=number, total=count)

    return slow


def percents(*values):
    """Metas of these percentages."""
    return [{"percent": value} for value in values]


def test_a_run(engine, report):
    """All that a page shows of a run is in its record."""
    run = engine.run(report, percents(50, 100))
    record = record_of(run)
    assert record["name"] == "report"
    assert record["id"] == run.task_id
    assert record["state"] == "SUCCESS"
    assert record["error"] is None
    assert record["alike"] == 1
    assert record["findings"] == []
    [task] = record["tasks"]
    assert task["left_out"] == 0
    assert [each["state"] for each in task["writes"]] == ["PROGRESS", "PROGRESS", "SUCCESS"]
    assert [each["percent"] for each in task["writes"]] == [50, 100, None]
    assert [each["index"] for each in task["writes"]] == [0, 1, 2]
    line = report.run.__code__.co_firstlineno + 3
    assert task["writes"][0]["source"] == f"{__file__}:{line}"
    assert task["writes"][2]["source"] is None


def test_a_failure(engine, report):
    """An error is text."""
    record = record_of(engine.run(report, percents(50), error="no such file"))
    assert record["state"] == "FAILURE"
    assert record["error"] == "ValueError: no such file"
    assert record["tasks"][0]["writes"][-1]["error"] == "ValueError: no such file"


def test_an_abort(engine, slow):
    """Requests to abort are there, with the report before them; events by how they are written."""
    events = Advance(at_report(1), seconds=2), Abort(at_report(2))
    record = record_of(engine.under(*events).run(slow, 4))
    assert record["state"] == "ABORTED"
    assert record["under"] == ["Advance(at_report(1), seconds=2)", "Abort(at_report(2))"]
    assert [each["what"] for each in record["events"]] == record["under"]
    [abort] = record["tasks"][0]["aborts"]
    assert abort["at"] == 2.0
    assert abort["index"] == 2
    assert abort["source"].startswith(abort["report"].rpartition(":")[0])


def test_findings(engine, report):
    """What a run breaks is there, with its line."""
    engine.contract = Contract().only("bounded")
    with pytest.warns(TaskProgressWarning, match="bounded"):
        run = engine.run(report, percents(120))
    [finding] = record_of(run)["findings"]
    assert finding == {
        "rule": "bounded",
        "task": "report",
        "message": "percent=120 is more than 100",
        "source": str(run.own[0].source),
    }


def test_a_canvas(engine, report):
    """Each task of a canvas has a part, in the order of their first writes, and its parent."""
    work = chain(report.si(percents(100)), group(report.si(percents(1, 2)), report.si([])))
    record = record_of(engine.run(work))
    assert record["name"] is None
    tasks = record["tasks"]
    assert [len(each["writes"]) for each in tasks] == [2, 3, 1]
    firsts = [each["writes"][0]["index"] for each in tasks]
    assert firsts == sorted(firsts)
    known = {each["id"] for each in tasks}
    assert {each["parent"] for each in tasks} <= {None, *known}


def test_a_long_run(engine, report):
    """Of a long run the beginning and the end are kept, and the count of what is not."""
    record = record_of(engine.run(report, percents(*range(101)) * 3))
    [task] = record["tasks"]
    assert len(task["writes"]) == 60
    assert task["left_out"] == 304 - 60
    assert [each["index"] for each in task["writes"]] == [*range(30), *range(274, 304)]
    assert sum(each["count"] for each in task["cut"]) == task["left_out"]


@pytest.mark.parametrize(("count", "left_out"), [(59, 0), (60, 1), (61, 2)])
def test_where_it_is_cut(engine, report, count, left_out):
    """What is kept and what is left out are all there is."""
    record = record_of(engine.run(report, percents(*range(count))))
    [task] = record["tasks"]
    assert task["left_out"] == left_out
    assert len(task["writes"]) + left_out == count + 1


def test_a_long_text(engine, report):
    """A message of a megabyte is cut, with its length."""
    record = record_of(engine.run(report, [{"description": "x" * 1_000_000}], error="y" * 5_000))
    message = record["tasks"][0]["writes"][0]["message"]
    assert message == f"{'x' * 1_000}... (1,000,000 characters)"
    assert record["error"].startswith("ValueError: yyy")
    assert len(json.dumps(record)) < 10_000


def test_odd_values(engine, report):
    """Whatever a task writes, a record is JSON."""

    class State(str, Enum):
        LOADING = "LOADING"

    metas = [{"percent": 10**400, "description": 3}, {"description": "\ud800\x1b"}, {}]
    record = record_of(engine.run(report, metas, state=State.LOADING))
    assert json.loads(json.dumps(record)) == record
    assert [each["message"] for each in record["tasks"][0]["writes"][:2]] == [None, "\ud800\x1b"]
    assert record["tasks"][0]["writes"][0]["percent"] is None


# -- of many runs -------------------------------------------------------------------------------


def test_alike(engine, report):
    """Runs that are alike and follow each other are kept once, with their number."""
    recorder = Recorder()
    for metas in (percents(1), percents(1), percents(1), percents(2), percents(1)):
        recorder.keep(engine.run(report, metas))
    assert [each["alike"] for each in recorder.runs] == [3, 1, 1]


def test_what_is_not_alike(engine, report, slow):
    """Another name, state, message, error, time or abort makes a difference."""
    recorder = Recorder()
    recorder.keep(engine.run(report, percents(1)))
    recorder.keep(engine.run(report, [{"percent": 1, "description": "a"}]))
    recorder.keep(engine.run(report, percents(1), error="a"))
    recorder.keep(engine.run(report, percents(1), error="b"))
    recorder.keep(engine.run(slow, 3))
    recorder.keep(engine.under(Advance(at_report(1), seconds=1)).run(slow, 3))
    recorder.keep(engine.under(Abort(at_report(1))).run(slow, 3))
    recorder.keep(engine.under(Abort(at_report(2))).run(slow, 3))
    assert [each["alike"] for each in recorder.runs] == [1] * 8


def test_a_canvas_is_alike(engine, report):
    """Ids, and the numbers of writes, make none."""
    recorder = Recorder()
    for _ in range(3):
        recorder.keep(engine.run(group(report.si(percents(1)), report.si(percents(2)))))
    assert [each["alike"] for each in recorder.runs] == [3]


def test_a_run_of_nothing(engine, app):
    """A task that stores nothing leaves a record without writes."""

    @app.task(ignore_result=True)
    def silent():
        pass

    recorder = Recorder()
    recorder.keep(engine.run(silent))
    recorder.keep(engine.run(silent))
    [record] = recorder.runs
    assert record["tasks"] == []
    assert record["alike"] == 2


# -- files ----------------------------------------------------------------------------------------


def test_relative_sources():
    """Files below the project's root are told from there on; others, and other keys, stay."""
    value = {
        "source": "/proj/app/tasks.py:3",
        "report": None,
        "name": "/proj/app",
        "tasks": [{"writes": [{"source": "/usr/lib/x.py:1"}, {"source": "/proj/a.py:2"}]}],
    }
    assert with_relative_sources(value, "/proj/") == {
        "source": "app/tasks.py:3",
        "report": None,
        "name": "/proj/app",
        "tasks": [{"writes": [{"source": "/usr/lib/x.py:1"}, {"source": "a.py:2"}]}],
    }
    assert with_relative_sources(value, "/pro") != value  # the root ends with a separator
