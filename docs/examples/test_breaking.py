"""For each rule: the smallest task breaks it, the message says so, the repaired task is silent."""

import pytest
from breaking import (
    backup,
    backup_abortable,
    backup_in_the_end,
    catch_up,
    clean,
    convert,
    convert_or_fail,
    copy_files,
    copy_files_carefully,
    crawl,
    crawl_unknown,
    export,
    export_counted,
    import_files,
    import_files_as_one,
    index,
    index_soon,
    load_rows,
    load_rows_throttled,
    merge,
    merge_with_reports,
    parts,
    send,
    send_all,
    synchronise,
    synchronise_to_the_end,
    unpack,
    unpack_tidily,
    upload,
    upload_bytes,
)

from pytest_taskprogress import Contract, ContractViolated, Rule, TaskProgressWarning
from pytest_taskprogress.scenario import Abort, at_report

LETTERS = ["Ann", "Bob", "Cyd", "Dan"]
LINKS = {"/": ["/a", "/b"], "/a": ["/c"]}


def breaks(message):
    """The warning of a run that breaks its contract."""
    return pytest.warns(TaskProgressWarning, match=message)


@pytest.fixture
def two_seconds_each(taskprogress, monkeypatch):
    """Let each part that is loaded take two seconds of the engine's clock."""
    monkeypatch.setattr(parts, "load", lambda name: taskprogress.clock.advance(2))


# -- on for every run -----------------------------------------------------------------------------


def test_progress_that_falls(taskprogress):
    """The second file begins anew."""
    with breaks("monotonic: 50 % after 100 %"):
        taskprogress.run(import_files, [4, 2])
    assert taskprogress.run(import_files_as_one, [4, 2]).check().percents[-1] == 100


def test_more_than_100_percent(taskprogress):
    """The total is less than what comes."""
    with breaks("bounded: percent=133.33 is more than 100(?s:.*)percent=166.67 is more than 100"):
        taskprogress.run(export, pages=5, expected=3)
    taskprogress.run(export_counted, 5).check()


def test_less_than_0_percent(taskprogress):
    """A bar has no room for it."""
    with breaks("bounded: percent=-33.33 is negative"):
        taskprogress.run(catch_up, behind=30, lag=10)


def test_0_of_0(taskprogress):
    """Whoever computes the percentage divides by zero."""
    with breaks("bounded: total=0 without a percent"):
        taskprogress.run(clean, 0)
    taskprogress.run(clean, 3).check()
    taskprogress.run(export_counted, 0).check()


def test_two_truths(taskprogress):
    """One front end shows 33 %, another one 90 %."""
    with breaks("consistent: percent=33, but 900 of 1000 is 90 %"):
        taskprogress.run(upload, [900, 50, 50])
    assert taskprogress.run(upload_bytes, [900, 50, 50]).check().percents == [90, 95, 100]


def test_a_success_that_stops_short(taskprogress):
    """The last letter is sent, and the bar stands still at 75 %."""
    with breaks("complete: SUCCESS at 75 %: whoever watches sees it stop short"):
        taskprogress.run(send, LETTERS)
    taskprogress.run(send_all, LETTERS).check()


def test_a_total_that_grows(taskprogress):
    """Every page has more links."""
    with breaks("stable-total: total=4 after total=3"):
        taskprogress.run(crawl, LINKS)
    assert taskprogress.run(crawl_unknown, LINKS).check().percents == [None] * 4


def test_what_no_browser_reads(taskprogress):
    """Infinity is no JSON."""
    with breaks(r"serializable: meta\['left'\] is inf, which is no JSON"):
        taskprogress.run(copy_files, 3)
    taskprogress.run(copy_files_carefully, 3).check()


def test_a_failure_that_nobody_can_read(taskprogress):
    """With Celery, whoever reads it gets a ValueError, and never the reason."""
    with breaks("readable: FAILURE was stored without an exception"):
        run = taskprogress.run(convert, "notes.txt")
    assert "exception type" in str(run.exception)

    run = taskprogress.run(convert_or_fail, "notes.txt").check()
    assert str(run.exception) == "notes.txt is no picture"


def test_a_task_that_never_ends(taskprogress):
    """Ignore leaves PROGRESS as it is."""
    with breaks("terminal: it has ended, and PROGRESS is what everybody reads for ever"):
        taskprogress.run(synchronise, [])
    assert taskprogress.run(synchronise_to_the_end, []).check().state == "SUCCESS"


def test_a_task_that_rises_from_the_dead(taskprogress):
    """A report in on_failure brings it back to life."""
    with breaks("no-zombie: PROGRESS was stored over FAILURE"):
        taskprogress.run(unpack, "a.zip")
    assert taskprogress.run(unpack_tidily, "a.zip").check().state == "FAILURE"


def test_an_abort_that_is_lost(taskprogress):
    """The task never sees that it was asked."""
    with breaks("abort-survives: the abort .* is lost: PROGRESS was stored over ABORTED"):
        run = taskprogress.under(Abort(at_report(1))).run(backup, LETTERS)
    assert run.result == "all"

    run = taskprogress.under(Abort(at_report(1))).run(backup_abortable, LETTERS)
    assert run.check().state == "ABORTED"


def test_an_abort_that_comes_too_late(taskprogress):
    """Four files are saved that nobody wants."""
    with breaks("abort-honoured: it was asked to abort .* and went on for 3 reports"):
        run = taskprogress.under(Abort(at_report(1))).run(backup_in_the_end, LETTERS)
    assert run.state == "ABORTED"
    run.check(abort_honoured=3)


# -- with a figure --------------------------------------------------------------------------------


@pytest.mark.taskprogress(first_report=5)
@pytest.mark.usefixtures("two_seconds_each")
def test_a_first_report_that_comes_late(taskprogress):
    """Loading takes eight seconds, in which nobody knows whether anything happens."""
    with breaks("first-report: the first report came after 8 s: expected 5 s at most"):
        taskprogress.run(index, LETTERS)
    assert taskprogress.run(index_soon, LETTERS).check().percents[:2] == [None, 25]


@pytest.mark.taskprogress(max_gap=10)
@pytest.mark.usefixtures("two_seconds_each")
def test_a_bar_that_stands_still(taskprogress):
    """Ten parts take twenty seconds."""
    with breaks("max-gap: nothing was written for 20 s: expected 10 s at most"):
        taskprogress.run(merge, [*range(20)])
    assert len(taskprogress.run(merge_with_reports, [*range(20)]).check().progress) == 8


@pytest.mark.taskprogress(write_budget=(100, 0.5))
def test_a_write_for_every_row(taskprogress):
    """A thousand writes, of which people see a hundred at most."""
    with breaks(
        "write-budget: 1000 reports: expected 100 at most(?s:.*)998 steps of less than 0.5"
    ):
        taskprogress.run(load_rows, 1_000)
    taskprogress.run(load_rows_throttled, 1_000).check()


@pytest.mark.taskprogress(described=5)
def test_progress_without_a_word(taskprogress):
    """People want to read what is being done."""
    with breaks("described: no description: expected 5 characters or more"):
        taskprogress.run(load_rows, 3)
    taskprogress.run(load_rows_throttled, 3).check()


# -- switching them -------------------------------------------------------------------------------


@pytest.mark.taskprogress(ignore=["complete"])
def test_a_rule_that_is_ignored(taskprogress):
    """Here a bar may stop short."""
    assert taskprogress.run(send, LETTERS).violations == ()


@pytest.mark.taskprogress(strict=True)
def test_where_it_is_strict(taskprogress):
    """What is a warning elsewhere fails the test."""
    with pytest.raises(ContractViolated, match="complete: SUCCESS at 75 %"):
        taskprogress.run(send, LETTERS)


def test_one_rule_by_its_name(taskprogress):
    """check() returns the run, so that a test can go on with it."""
    with breaks("complete"):
        run = taskprogress.run(send, LETTERS)
    assert run.check("monotonic", max_gap=30).state == "SUCCESS"
    with pytest.raises(ContractViolated, match="described: no description"):
        run.check("described", described=10)


def test_several_rules_in_one_warning(taskprogress):
    """All that a run breaks comes together."""
    with breaks("breaks its contract") as told:
        run = taskprogress.run(crawl, {"/": ["/a", "/b", "/c"], "/a": ["/d"], "/d": ["/e"] * 9})
    assert [each.rule for each in run.violations] == ["monotonic", "stable-total", "stable-total"]
    assert len(told) == 1
    assert (told[0].filename, told[0].lineno) == run.violations[0].source


def test_what_was_stored_elsewhere():
    """A contract judges dicts from a log, too."""
    log = [{"percent": 40}, {"percent": 20}, ("SUCCESS", None)]
    found = Contract().having(ignore=["complete"]).violations(log)
    assert [str(each) for each in found] == ["monotonic: 20 % after 40 %\n  in the list"]


def shouts(task, most):
    """Find descriptions with more exclamation marks than that."""
    for each in task.reports:
        if (each.message or "").count("!") > most:
            yield each, f"{each.message!r}: expected {most} exclamation marks at most"


def test_a_rule_of_ones_own():
    """What a hook returns from a conftest.py, a contract takes as well."""
    quiet = Rule("quiet", "people do not like to be shouted at", lambda task, _: shouts(task, 0))
    with pytest.raises(ContractViolated, match="quiet: 'Hurry!': expected 0 exclamation marks"):
        Contract().with_rules([quiet]).check([{"description": "Hurry!"}])
