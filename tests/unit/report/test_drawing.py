from __future__ import annotations

from pytest_taskprogress.report.lanes import Axis, lane
from pytest_taskprogress.report.page import render
from pytest_taskprogress.report.rows import Note, rows
from pytest_taskprogress.report.writes import happenings_of, tasks_of
from tests.browser.example_data import (
    Recorder,
    aborted_run,
    case,
    chord_run,
    falling_run,
    retried_run,
    simple_run,
)


def lanes(run):
    """The axis of a run, and its lanes."""
    tasks = tasks_of(run)
    axis = Axis(tasks, happenings_of(run))
    return axis, [lane(task, axis) for task in tasks]


def marks(drawn):
    """What is marked in a lane, and where, in percent."""
    return [(mark.look, float(mark.left)) for mark in drawn.marks]


def test_order_of_writes_where_no_time_passed():
    """Without time each write is as wide as the others, and it is said so."""
    axis, [drawn] = lanes(simple_run(3))
    assert axis.label == "in the order of writes; no time passed"
    assert [(each.look, each.start, each.width) for each in drawn.segments] == [
        ("b", 0, 200),
        ("p", 200, 600),
        ("s", 800, 200),
    ]
    assert marks(drawn) == [("s", 90.0)]
    assert drawn.curves == ["200,80 200,55 400,31 600,6 800,6 1000,6 1000,80"]


def test_time_where_it_passed():
    """With time a state is as wide as it lasted, and each attempt has its curve."""
    axis, [drawn] = lanes(retried_run())
    assert axis.label == "by time, from 0 s to 58.5 s"
    waits = [each.width for each in drawn.segments if each.look == "y"]
    assert waits == [165, 331]  # 10 and 20 of 58.5 seconds, in thousandths
    assert len(drawn.curves) == 3
    assert [look for look, _ in marks(drawn)] == ["y", "y", "s"]


def test_order_of_writes_where_most_share_an_instant():
    """A single jump of the clock does not squeeze all that was written before it."""
    recorder = Recorder()
    task = recorder.task("nap")
    for percent in range(9):
        recorder.report(task, percent, "same instant")
    recorder.now = 60.0
    recorder.write(task, "SUCCESS")
    axis, _ = lanes(recorder.run("SUCCESS"))
    assert axis.label == "in the order of writes, most of which share an instant; 60 s in all"


def test_tasks_are_a_tree():
    """A task follows the one that it came of, one step to the right."""
    _, drawn = lanes(chord_run())
    assert [(each.name, each.depth) for each in drawn] == [
        ("render_page", 0),
        ("render_page", 0),
        ("resize_image", 1),
        ("upload_image", 2),
        ("resize_image", 1),
        ("resize_image", 1),
        ("resize_image", 1),
        ("render_page", 0),
        ("bind_book", 0),
    ]


def test_circle_of_parents():
    """Tasks that are said to come of each other are shown, once."""
    run = {
        "tasks": [
            {"id": "a", "parent": "b"},
            {"id": "b", "parent": "a"},
            {"id": "c", "parent": "c"},
        ]
    }
    assert [(each.id, each.depth) for each in tasks_of(run)] == [("a", 0), ("b", 1), ("c", 0)]


def test_dropped_write_changes_nothing():
    """A write that the backend dropped is marked, and the state goes on."""
    _, drawn = lanes(chord_run())
    upload = drawn[3]
    assert [each.look for each in upload.segments] == ["b", "p", "s"]
    assert [look for look, _ in marks(upload)] == ["s", "d"]
    assert upload.marks[1].title == "PROGRESS, dropped by the backend"


def test_abort_is_between_writes():
    """A request to abort is marked before the write that came next, in drawing and list."""
    run = aborted_run()
    _, [drawn] = lanes(run)
    assert marks(drawn)[0] == ("x", 71.4)
    listed = rows(tasks_of(run))
    note = listed[5]
    assert isinstance(note, Note)
    assert (note.text, note.source) == ("abort asked for", "tests/test_shop.py:88")
    assert [each.index for each in listed if not isinstance(each, Note)] == list(range(7))


def test_task_that_does_not_end():
    """A state that no other one follows lasts to the end of the run."""
    recorder = Recorder()
    stuck, other = recorder.task("stuck"), recorder.task("other")
    recorder.write(stuck, "STARTED")
    recorder.write(other, "STARTED")
    recorder.write(other, "SUCCESS")
    _, [drawn, _] = lanes(recorder.run("STARTED"))
    assert [(each.start, each.width) for each in drawn.segments] == [(0, 1000)]


def test_long_list_is_cut_with_one_count():
    """What was left out before, and here, is counted in one line, in the middle."""
    listed = rows(tasks_of(falling_run()))
    assert [each.text for each in listed if isinstance(each, Note)] == ["… 9,942 more"]
    assert len(listed) == 61


def test_long_list_keeps_what_is_worth_a_look():
    """Errors, retries and aborts in the middle of a long list are kept."""
    recorder = Recorder()
    task = recorder.task("long")
    for step in range(300):
        if step == 150:
            recorder.abort(task)
            recorder.write(task, "RETRY", error="OSError: gone")
        recorder.report(task, step / 3, "step")
    listed = rows(tasks_of(recorder.run("PROGRESS")))
    assert [each.text for each in listed if isinstance(each, Note)] == [
        "… 120 more",
        "abort asked for",
        "… 120 more",
    ]
    assert "OSError: gone" in [each.error for each in listed if not isinstance(each, Note)]


def test_left_out_of_several_tasks():
    """What was left out of one of several tasks is counted with its name, where it was."""
    recorder = Recorder()
    first, second = recorder.task("first"), recorder.task("second")
    recorder.write(first, "STARTED")
    recorder.write(second, "STARTED")
    recorder.report(first, 99, "late")
    run = recorder.run("PROGRESS")
    run["tasks"][0]["left_out"] = 40
    listed = rows(tasks_of(run))
    assert [each.text for each in listed if isinstance(each, Note)] == ["… 40 more of first"]
    assert isinstance(listed[2], Note)


def test_all_writes_left_out():
    """A task of which nothing but the count is known has a lane, and a line."""
    run = {"tasks": [{"id": "a", "left_out": 7}]}
    _, [drawn] = lanes(run)
    assert (drawn.written, drawn.segments, drawn.curves, drawn.marks) == (7, [], [], [])
    assert [each.text for each in rows(tasks_of(run)) if isinstance(each, Note)] == ["… 7 more"]


def test_events_of_a_scenario_are_marked():
    """Where an event took place is a line of the list, if the record says it."""
    run = simple_run(2)
    run["events"] = [{"what": "FailWrite(at_report(2))", "at": 0.0, "index": 2}]
    listed = rows(tasks_of(run), happenings_of(run))
    note = listed[2]
    assert isinstance(note, Note)
    assert (note.text, note.look) == ("FailWrite(at_report(2))", "e")
    assert '<i class=e style=left:50% title="FailWrite(at_report(2)), at 0 s"></i>' in render(
        {"tests": [case("a", run)]}
    )


def test_times_that_are_no_times():
    """Seconds that no clock shows do not break the drawing."""
    recorder = Recorder()
    task = recorder.task("odd")
    for at in (-1e308, None, "x", 1e308):
        recorder.write(task, "PROGRESS", at=at)
    axis, [drawn] = lanes(recorder.run("PROGRESS"))
    assert axis.by_time
    assert drawn.segments[-1].width > 0


def test_single_report_holds():
    """What was reported once is drawn as long as it was so, also where no percentage follows."""
    recorder = Recorder()
    task = recorder.task("short")
    recorder.report(task, 50, "Half way")
    recorder.write(task, "SUCCESS")
    _, [drawn] = lanes(recorder.run("SUCCESS"))
    assert drawn.curves == ["0,80 0,43 1000,43 1000,80"]
