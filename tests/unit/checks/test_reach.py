from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from pytest_taskprogress import AbortableTask, EagerEngine, Observer
from pytest_taskprogress.checks.reach import Reach, counted, last_report
from pytest_taskprogress.core.messages import columns
from pytest_taskprogress.core.states import TRANSITIONS
from pytest_taskprogress.core.transitions import Source, Transition
from pytest_taskprogress.report.records import record_of
from pytest_taskprogress.scenario import Abort
from pytest_taskprogress.tasks.sites import abortable_tasks, report_sites

pytestmark = pytest.mark.usefixtures("no_shared_tasks")

FILE = "/src/app/tasks.py"


def a_site(line: int, end: int | None = None, task: Any = "load", **changes: Any) -> dict[str, Any]:
    """A site, as it is found in the source."""
    site = {"task": task, "source": f"{FILE}:{line}", "end": end or line, "abortable": True}
    return {**site, **changes}


def a_write(index: int, line: int | None = None, state: str = "PROGRESS", **changes: Any) -> Any:
    """A write of a record."""
    source = None if line is None else f"{FILE}:{line}"
    write = {"index": index, "old": "PROGRESS", "state": state, "source": source, "stored": True}
    return {**write, **changes}


def a_record(
    *writes: dict[str, Any], aborts: Any = (), alike: Any = 1, left_out: Any = 0, name: Any = "load"
) -> dict[str, Any]:
    """The record of a run of one task; aborts by their indexes."""
    asked = [{"at": 0.0, "index": each, "source": None} for each in aborts]
    task = {"name": name, "writes": list(writes), "aborts": asked, "left_out": left_out}
    return {"tasks": [task], "alike": alike}


def table_of(*records: Any, sites: Any = (), abortable: Any = ()) -> dict[str, Any]:
    """The table of what some records reached; it is plain."""
    reach = Reach(sites, abortable)
    for each in records:
        reach.add(each)
    table = reach.table()
    assert json.loads(json.dumps(table)) == table
    return table


def sites_in(table: dict[str, Any]) -> list[tuple[str, int, int | None, bool]]:
    """Name, counts, and whether it is covered."""
    return [
        (each["source"].removeprefix(f"{FILE}:"), each["reached"], each["aborted"], each["covered"])
        for each in table["sites"]
    ]


# -- steps ---------------------------------------------------------------------------------------


def test_every_step_of_the_state_table_is_there() -> None:
    """In its order, with its cause, whether it was taken or not."""
    table = table_of()
    assert [(each["old"], each["state"]) for each in table["edges"]] == list(TRANSITIONS)
    assert [each["cause"] for each in table["edges"]] == list(TRANSITIONS.values())
    assert (table["edges_reached"], table["edges_total"]) == (0, len(TRANSITIONS))


def test_steps_are_counted() -> None:
    """States of the user's own are PROGRESS; a record that stands for many counts as many."""
    table = table_of(
        a_record(a_write(0, old="PENDING", state="STARTED"), a_write(1, old="STARTED")),
        a_record(a_write(0, old="UPLOADING", state="CHECKING"), alike=3),
    )
    counts = {(each["old"], each["state"]): each["count"] for each in table["edges"]}
    assert {edge: count for edge, count in counts.items() if count} == {
        ("PENDING", "STARTED"): 1,
        ("STARTED", "PROGRESS"): 1,
        ("PROGRESS", "PROGRESS"): 3,
    }
    assert table["edges_reached"] == 3
    assert table["illegal"] == []


def test_steps_that_are_not_allowed_are_listed() -> None:
    """A zombie; and what the backend dropped, which is no step of the table either."""
    table = table_of(
        a_record(
            a_write(0, old="FAILURE", state="UPLOADING"),
            a_write(1, old="SUCCESS", stored=False),
            a_write(2, old="SUCCESS", stored=False),
            a_write(3, old="PROGRESS", state="PENDING"),
        )
    )
    assert table["edges_reached"] == 0
    assert table["illegal"] == [
        {"old": "FAILURE", "state": "PROGRESS", "count": 1, "dropped": False},
        {"old": "PROGRESS", "state": "PENDING", "count": 1, "dropped": False},
        {"old": "SUCCESS", "state": "PROGRESS", "count": 2, "dropped": True},
    ]


# -- sites ---------------------------------------------------------------------------------------


def test_sites_are_reached_from_any_of_their_lines() -> None:
    """Which line of a call is the running one depends on the version of Python."""
    record = a_record(a_write(0, 10), a_write(1, 12), a_write(2, 13))
    table = table_of(record, sites=[a_site(10, 12), a_site(13), a_site(14, abortable=False)])
    assert sites_in(table) == [
        ("10", 2, 0, False),
        ("13", 1, 0, False),
        ("14", 0, None, False),
    ]


def test_a_line_is_that_of_the_innermost_site() -> None:
    """A call inside of a loop that has several lines."""
    record = a_record(*(a_write(line, line) for line in (10, 11, 12, 13, 14)))
    table = table_of(record, sites=[a_site(10, 13), a_site(11, 12)], abortable=["other"])
    assert [each[:2] for each in sites_in(table)] == [("10", 2), ("11", 2), ("14", 1)]


def test_a_helper_is_a_site_once_it_reports() -> None:
    """It is not found in the source; of an ending, and of another task's line, nothing is said."""
    record = a_record(a_write(0, 50), a_write(1, 60, "SUCCESS"), a_write(2))
    other = a_record(a_write(0, 10), name="other")
    table = table_of(record, other, sites=[a_site(10)], abortable=["load"])
    assert [(each["task"], each["source"], each["aborted"]) for each in table["sites"]] == [
        ("load", f"{FILE}:10", 0),
        ("load", f"{FILE}:50", 0),
        ("other", f"{FILE}:10", None),
    ]


def test_optional_sites_are_neither_shown_nor_missed() -> None:
    """What `throttle` held back may be written there, or not."""
    sites = [a_site(10), a_site(20, optional=True)]
    table = table_of(a_record(a_write(0, 10), a_write(1, 20), aborts=[1]), sites=sites)
    assert sites_in(table) == [("10", 1, 1, True)]
    assert table["percent"] == 100.0


def test_sites_that_are_told_again_are_the_same() -> None:
    """By each process; the widest of them counts."""
    reach = Reach([a_site(10, abortable=False, optional=True)])
    reach.add_sites([a_site(10, 12), a_site(10)], ["load"])
    reach.add(a_record(a_write(0, 12)))
    assert sites_in(reach.table()) == [("10", 1, 0, False)]


@pytest.mark.parametrize(
    ("index", "aborted"),
    [(0, (0, 0)), (1, (1, 0)), (2, (1, 0)), (3, (0, 1)), (4, (0, 1)), (5, (0, 0))],
)
def test_an_abort_is_at_the_last_report_before_it(index: int, aborted: tuple[int, int]) -> None:
    """Not at one that was dropped; not before the first; and not after the end."""
    record = a_record(
        a_write(0, 10),
        a_write(1, 20, stored=False),
        a_write(2, 20),
        a_write(3, None, "STARTED"),
        a_write(4, None, "SUCCESS"),
        aborts=[index],
    )
    table = table_of(record, sites=[a_site(10), a_site(20)])
    assert tuple(each["aborted"] for each in table["sites"]) == aborted


def test_an_abort_is_also_where_it_was_asked_for() -> None:
    """The line that looked for it: its report was not written any more. One abort counts once."""
    record = a_record(a_write(0, 10), aborts=[1, 1])
    first, second = record["tasks"][0]["aborts"]
    first["source"], second["source"] = f"{FILE}:10", f"{FILE}:20"
    table = table_of(record, sites=[a_site(10), a_site(20)])
    assert sites_in(table) == [("10", 1, 2, True), ("20", 0, 1, False)]


def test_what_is_left_out_counts_if_the_record_says_what_it_was() -> None:
    """Records of long runs are cut: a site that was reached only in the middle is not lost."""
    source = Source(FILE, 20)
    own = [
        Transition(0, "task", "load", "id", "PENDING", "PROGRESS", source=Source(FILE, 10)),
        *(
            Transition(each, "task", "load", "id", *["PROGRESS"] * 2, source=source)
            for each in (1, 2)
        ),
        Transition(3, "task", "load", "id", "PROGRESS", "PROGRESS"),
        Transition(4, "task", "load", "id", "PROGRESS", "FAILURE"),
        Transition(5, "task", "load", "id", "FAILURE", "PROGRESS", stored=False, source=source),
    ]
    record = a_record(a_write(0, 10), aborts=[2], left_out=5, alike=2)
    task = record["tasks"][0]
    task["cut"] = counted(own[1:])
    task["aborts"][0]["report"] = last_report(own, 2)
    table = table_of(record, sites=[a_site(10), a_site(20)])
    assert sites_in(table) == [("10", 2, 0, False), ("20", 6, 2, True)]
    assert table["left_out"] == 0
    assert [last_report(own, each) for each in (0, 1, 4, 5)] == [None, f"{FILE}:10", None, None]


@pytest.mark.parametrize(
    ("lines", "aborts", "percent"),
    [
        ([], [], 0.0),
        ([10], [], 0.0),
        ([30], [], 33.33),
        ([10, 20, 30], [1], 66.66),
        ([10, 20, 30], [1, 2], 100.0),
    ],
)
def test_percent_is_of_sites_that_are_covered(
    lines: list[int], aborts: list[int], percent: float
) -> None:
    """Reached, and aborted where that can be; rounded down, so that 100 is all."""
    record = a_record(*(a_write(index, line) for index, line in enumerate(lines)), aborts=aborts)
    sites = [a_site(10), a_site(20), a_site(30, abortable=False)]
    assert table_of(record, sites=sites)["percent"] == percent


def test_percent_of_nothing_is_100() -> None:
    """A project whose tasks do not report has nothing to cover."""
    table = table_of()
    assert (table["percent"], table["sites_total"]) == (100.0, 0)


def test_the_order_of_processes_does_not_count() -> None:
    """Sites and records in any order make the same table."""
    records = [
        a_record(a_write(0, 10), a_write(1, 50), aborts=[1]),
        a_record(a_write(0, 9, "STARTED"), a_write(1, 100), alike=2),
        a_record(a_write(0, 10, old="FAILURE"), name=None),
    ]
    sites = [a_site(10), a_site(9, 11), a_site(100)]
    tables = []
    for order in itertools.permutations(records):
        reach = Reach()
        for each, site in zip(order, sites, strict=True):
            reach.add(each)
            reach.add_sites([site])
        tables.append((reach.table(), reach.lines()))
    assert all(each == tables[0] for each in tables)
    lines = [each["source"].rpartition(":")[2] for each in tables[0][0]["sites"]]
    assert lines == ["10", "9", "10", "50", "100"]


# -- with an engine ------------------------------------------------------------------------------


def report_for(observer):
    """Report on behalf of a task."""
    observer.update("helped", current=3, total=3)


def test_reach_of_real_runs(app):
    """Found in the source, reached by a run, aborted by a sweep."""

    @app.task(bind=True, base=AbortableTask, name="load")
    def load(self, fails=False):  # noqa: FBT002
        observer = Observer(self)
        for _ in observer.track([1, 2], "rows", total=3):
            pass
        report_for(observer)
        if fails:
            observer.update("never")

    reach = Reach([each.as_dict() for each in report_sites(app)], abortable_tasks(app))
    assert [each["reached"] for each in reach.table()["sites"]] == [0, 0]
    with EagerEngine(app) as engine:
        reach.add(record_of(engine.run(load)))
        table = reach.table()
        assert [each["reached"] for each in table["sites"]] == [1, 3, 0]
        assert table["sites_covered"] == 0
        for run in engine.sweep(Abort, load):
            reach.add(record_of(run))
    table = reach.table()
    assert [each["covered"] for each in table["sites"]] == [True, True, False]
    assert (table["sites_reached"], table["sites_aborted"], table["percent"]) == (2, 2, 66.66)


# -- lines ---------------------------------------------------------------------------------------


def lines_of(*records: Any, width: int = 80, **parts: Any) -> list[str]:
    """The table for a terminal."""
    reach = Reach(**parts)
    for each in records:
        reach.add(each)
    return reach.lines(width)


def test_lines_are_a_table() -> None:
    """Steps, then sites, then a total; what is not covered is marked."""
    record = a_record(
        a_write(0, old="PENDING", state="STARTED"),
        a_write(1, 12, old="STARTED"),
        a_write(2, 12),
        a_write(3, 20),
        a_write(4, old="FAILURE", state="SUCCESS"),
        a_write(5, old="SUCCESS", stored=False),
        a_write(6, old="SUCCESS", state="SUCCESS", stored=False),
        aborts=[2],
        left_out=1_234,
    )
    sites = [a_site(12), a_site(20), a_site(30), a_site(5, task="save", abortable=False)]
    assert lines_of(record, sites=sites) == [
        "  State -> state          Count  Cause",
        "-" * 80,
        "  PENDING  -> STARTED         1  a worker started the task and the app tracks...",
        "  STARTED  -> PROGRESS        1  the first report",
        "  PROGRESS -> PROGRESS        2  the next report",
        "! FAILURE  -> SUCCESS         1  ILLEGAL: it had ended",
        "! SUCCESS  -> PROGRESS        1  dropped: the task had succeeded",
        "  SUCCESS  -> SUCCESS         1  dropped: the task had succeeded",
        "  PENDING  -> never RECEIVED, PROGRESS, RETRY, SUCCESS, FAILURE, REVOKED,",
        "                    ABORTED",
        "  RECEIVED -> never any state",
        "  STARTED  -> never STARTED, RETRY, SUCCESS, FAILURE, REVOKED, ABORTED",
        "  PROGRESS -> never STARTED, RETRY, SUCCESS, FAILURE, REVOKED, ABORTED",
        "  RETRY    -> never any state",
        "  FAILURE  -> never FAILURE",
        "  REVOKED  -> never REVOKED",
        "  ABORTED  -> never ABORTED",
        "",
        "Report site                                    Reached  Aborted",
        "-" * 80,
        "load",
        "    tasks.py:12                                      2        1",
        "!   tasks.py:20                                      1        0  never aborted",
        "!   tasks.py:30                                      0        0  never reached",
        "save",
        "!   tasks.py:5                                       0        -  never reached",
        "-" * 80,
        "TOTAL  3 of 39 steps, 1 of 4 sites covered                                   25%",
        "1,234 writes were left out of long runs: counts are at least.",
    ]


def test_lines_of_nothing_say_so() -> None:
    """No task reports: nothing is missing."""
    lines = lines_of()
    assert "  (no task reports)" in lines
    assert lines[-1].endswith(" 100%")


def test_everything_that_was_reached_is_not_listed_as_missing() -> None:
    """No empty lines where nothing is missing."""
    writes = [a_write(0, old=old, state=state) for old, state in TRANSITIONS]
    assert not [line for line in lines_of(a_record(*writes)) if "never" in line]


def test_files_are_named_from_the_directory_that_they_share() -> None:
    """As far as it tells them apart; the end of one that is too long."""
    sources = ["/src/app/a/tasks.py:1", "/src/app/b/tasks.py:1", f"/src/app/{'x' * 99}.py:12"]
    lines = lines_of(sites=[a_site(1, source=each) for each in sources])
    shown = [line.split()[1] for line in lines if line.endswith("never reached")]
    assert shown[:2] == ["a/tasks.py:1", "b/tasks.py:1"]
    assert shown[2].startswith("...xxx")
    assert shown[2].endswith("xxx.py:12")
    windows = lines_of(
        sites=[a_site(1, source=r"C:\app\a.py:1"), a_site(1, source=r"C:\app\b.py:2")]
    )
    assert [line.split()[1] for line in windows if "never reached" in line] == ["a.py:1", "b.py:2"]


@pytest.mark.parametrize("width", [0, 50, 79, 80, 120, 300])
def test_lines_fit_their_width(width: int) -> None:
    """Whatever tasks and files are called; less than 50 columns are 50."""
    name = "\x1b[31m\u202e\ud800" + "任务" * 200
    sites = [a_site(1, task=name, source=f"/{name}.py:{line}") for line in (1, 2)]
    lines = lines_of(a_record(a_write(0, 1), name=name), sites=sites, width=width)
    assert max(map(columns, lines)) <= max(width, 50)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


# -- bad input -----------------------------------------------------------------------------------


def test_records_are_not_trusted() -> None:
    """Whatever is in them, nothing is raised, and the table is plain."""
    junk = [None, True, -1, 10**30, 1.5, "", "x:y", ":1", "x:" + "9" * 5_000, "x:\xb2", [], {}, [3]]
    chance = random.Random(1)  # noqa: S311 - what it makes is tried, not hidden

    def pick() -> Any:
        return chance.choice(junk)

    for _ in range(2_000):
        keys = ("index", "old", "state", "source", "stored")
        write = {key: pick() for key in keys if chance.random() < 0.9}
        abort = {key: pick() for key in ("index", "source", "report") if chance.random() < 0.9}
        task = {"name": pick(), "left_out": pick()}
        task["writes"] = chance.choice([pick(), [write, pick()], (write,)])
        task["cut"] = chance.choice([pick(), [{**write, "count": pick()}, pick()]])
        task["aborts"] = chance.choice([pick(), [abort, pick()]])
        record = {"alike": pick(), "tasks": chance.choice([pick(), [task, pick()]])}
        site = {"task": pick(), "source": pick(), "end": pick(), "abortable": pick()}
        reach = Reach([site])
        reach.add(record)
        assert json.loads(json.dumps(reach.table())) == reach.table()
        assert all(line.isprintable() for line in reach.lines())


def test_a_task_without_a_name_is_one_that_nobody_knows() -> None:
    """Its sites are listed all the same."""
    table = table_of(a_record(a_write(0, 10), name=None))
    assert [each["task"] for each in table["sites"]] == ["(unknown task)"]
