"""What the tests of a session left, and what is told of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.options import Options
from pytest_taskprogress.report.session import Session

SITE = {"task": "work", "source": "/proj/tasks.py:3", "end": 3, "abortable": False}


@pytest.fixture
def work(app):
    """A task that reports."""

    @app.task(bind=True, name="work")
    def work(self, percent=100):
        self.update_state(state="PROGRESS", meta={"percent": percent})

    return work


def session_of(*, is_worker=False, sites=(), **options):
    """A session with some options."""

    def sites_of(app):
        return {"sites": list(sites), "abortable": []}

    return Session(Options(**options), is_worker=is_worker, root="/proj", sites_of=sites_of)


def report(nodeid, left=None, when="call", outcome="passed", failure=""):
    """A report of a phase of a test."""
    made = SimpleNamespace(
        nodeid=nodeid,
        when=when,
        outcome=outcome,
        passed=outcome == "passed",
        failed=outcome == "failed",
        duration=0.5,
        longreprtext=failure,
    )
    if left is not None:
        made.taskprogress = left
    return made


class Terminal:
    """Takes what is written."""

    def __init__(self):
        self.lines = []
        self._tw = SimpleNamespace(fullwidth=80)

    def write_line(self, line, **_):
        """Take a line."""
        self.lines.append(line)

    def section(self, title):
        """Take a title."""
        self.lines.append(f"== {title} ==")


def told(session):
    """The lines of its summary."""
    terminal = Terminal()
    session.pytest_terminal_summary(terminal)
    return terminal.lines


def finished(session, exitstatus=0):
    """The exit code of a session that has ended."""
    of_pytest = SimpleNamespace(exitstatus=exitstatus)
    session.pytest_sessionfinish(of_pytest)
    return of_pytest.exitstatus


# -- of one test --------------------------------------------------------------------------------


def test_what_a_test_leaves(engine, work):
    """Its runs, by phase, as text that any process can carry; sites with the first of them."""
    session = session_of(report="page.html", sites=[SITE])
    log = session.begin("test_a", is_random=False)
    assert not log
    log.take(engine, engine.run(work))
    assert log
    first = log.leave()
    assert first.isascii()
    assert len(json.loads(first)["runs"]) == 1
    assert json.loads(first)["sites"] == [SITE]
    assert json.loads(log.leave()) == {"runs": []}
    log.take(engine, engine.run(work))
    assert "sites" not in json.loads(log.leave())


def test_sites_are_found_once(engine, work):
    """The second test of an app need not look for them; another app's are found too."""
    session = session_of(coverage=True, sites=[SITE])
    session.begin("test_a", is_random=False).know(engine.app)
    log = session.begin("test_b", is_random=False)
    log.know(engine.app)
    assert not log
    other = session.begin("test_c", is_random=False)
    other.know(type(engine.app)("other", set_as_current=False))
    assert other


def test_nothing_is_kept_that_nobody_asked_for(engine, work, tmp_path):
    """Where only golden histories are asked for, no records are made for a page."""
    session = session_of(record=str(tmp_path), sites=[SITE])
    log = session.begin("test_a", is_random=False)
    log.take(engine, engine.run(work))
    assert json.loads(log.leave()) == {"runs": []}


def test_golden(engine, work, tmp_path):
    """A test is recorded, and compared; a change is an error, and all else is told."""
    log = session_of(record=str(tmp_path)).begin("test_a", is_random=False)
    log.take(engine, engine.run(work))
    log.check_golden()
    assert json.loads(log.leave())["golden"][0] == "recorded"

    def replayed(nodeid, *percents):
        log = session_of(replay=str(tmp_path)).begin(nodeid, is_random=False)
        for percent in percents:
            log.take(engine, engine.run(work, percent))
        return log

    log = replayed("test_a", 100)
    log.check_golden()
    assert json.loads(log.leave())["golden"] == ["SAME", ""]
    log = replayed("test_b", 100)
    log.check_golden()
    assert json.loads(log.leave())["golden"][0] == "NEW"
    log = replayed("test_b")
    log.check_golden()
    assert json.loads(log.leave()) == {"runs": []}
    for percents in ((90,), (100, 100), ()):
        log = replayed("test_a", *percents)
        with pytest.raises(CheckFailed, match="CHANGED") as caught:
            log.check_golden()
        assert f"--taskprogress-record={tmp_path}" in str(caught.value)
        assert json.loads(log.leave())["golden"][0] == "CHANGED"


# -- of all -------------------------------------------------------------------------------------


def left_of(engine, task, session):
    """What a test leaves that runs a task."""
    log = session.begin("test_a", is_random=False)
    log.take(engine, engine.run(task))
    return log.leave()


def test_the_page(engine, work, tmp_path):
    """It is written at the end, with every test; a line says where it is."""
    path = tmp_path / "deep/page.html"
    session = session_of(report=str(path))
    session.pytest_runtest_logreport(report("test_a", left_of(engine, work, session)))
    session.pytest_runtest_logreport(report("test_without"))
    assert finished(session) == 0
    assert told(session) == [f"taskprogress: 1 run of 1 test in {path}"]
    page = path.read_text(encoding="utf-8")
    assert "test_a" in page
    assert "test_without" not in page


def test_phases(tmp_path):
    """What failed is what is told, of the call and of the teardown; durations add up."""
    path = tmp_path / "page.html"
    session = session_of(report=str(path))
    nothing = json.dumps({"runs": []})
    for when, outcome, failure in (
        ("setup", "passed", ""),
        ("call", "failed", "the call is to blame"),
        ("teardown", "failed", "and so is the teardown"),
    ):
        session.pytest_runtest_logreport(report("test_a", nothing, when, outcome, failure))
    session.pytest_runtest_logreport(report("test_b", nothing, "setup", "skipped"))
    finished(session)
    page = path.read_text(encoding="utf-8")
    assert "the call is to blame" in page
    assert "and so is the teardown" in page
    assert "skipped" in page
    assert told(session) == [f"taskprogress: 0 runs of 2 tests in {path}"]


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 1), (2, 2), (5, 5)])
def test_a_page_that_cannot_be_written(tmp_path, before, after):
    """It is said at the end, and the exit code is not 0."""
    session = session_of(report=str(tmp_path))
    assert finished(session, before) == after
    [line] = told(session)
    assert line.startswith(
        f"taskprogress: the report cannot be written to {tmp_path}: IsADirectory"
    )


@pytest.mark.parametrize(
    ("fail_under", "before", "after"), [(50.0, 0, 0), (50.01, 0, 1), (100.0, 5, 5), (0.0, 0, 0)]
)
def test_fail_under(engine, work, fail_under, before, after):
    """Too little coverage fails a session that has not failed, and is told."""
    run = engine.run(work)
    source = run.own[0].source
    reached = {**SITE, "source": str(source), "end": source.line}
    session = session_of(fail_under=fail_under, sites=[SITE, reached])
    log = session.begin("test_a", is_random=False)
    log.take(engine, run)
    session.pytest_runtest_logreport(report("test_a", log.leave()))
    assert finished(session, before) == after
    is_under = fail_under > 50
    lines = told(session)
    assert bool(lines) == is_under
    if is_under:
        assert lines[0].startswith("taskprogress: transition coverage is 50.00 %: expected ")


def test_coverage(engine, work):
    """The table has a section of its own; files are told from the project's root on."""
    session = session_of(coverage=True, sites=[SITE])
    session.pytest_runtest_logreport(report("test_a", left_of(engine, work, session)))
    lines = told(session)
    assert lines[0] == "== transition coverage =="
    assert max(map(len, lines)) <= 80
    assert any("never reached" in line for line in lines)
    assert not any("/proj/" in line for line in lines)


def test_golden_summary():
    """Verdicts are counted; what is FIXED and NEW is told, indented."""
    session = session_of(replay="golden")
    for nodeid, verdict in (
        ("a", ["SAME", ""]),
        ("b", ["FIXED", "no more: complete (work)\ntransition 1 differs"]),
        ("c", ["NEW", "nothing was recorded of this test"]),
        ("d", ["CHANGED", "transition 1 differs"]),
        ("e", ["SAME", ""]),
    ):
        left = json.dumps({"runs": [], "golden": verdict})
        session.pytest_runtest_logreport(report(nodeid, left))
    assert "\n".join(told(session)).split("\n") == [
        "taskprogress: golden histories in golden: 1 CHANGED, 1 FIXED, 1 NEW, 2 SAME",
        "  FIXED b: no more: complete (work)",
        "    transition 1 differs",
        "  NEW c: nothing was recorded of this test",
    ]


def test_a_process_of_xdist(engine, work, tmp_path):
    """It only sends what it has."""
    path = tmp_path / "page.html"
    session = session_of(is_worker=True, report=str(path), fail_under=100.0)
    left = left_of(engine, work, session)
    assert len(json.loads(left)["runs"]) == 1
    session.pytest_runtest_logreport(report("test_a", left))
    assert finished(session) == 0
    assert not path.exists()
