"""What a person sees when a test fails, in whichever way: what its tasks did, and where."""

from __future__ import annotations

import re

import pytest

#: For each failing test of the user's project: lines that it shows, in this order.
SHOWN = {
    "test_states": [
        r"E .*assert \['PROGRESS', 'PROGRESS', 'SUCCESS'\] == \['STARTED', 'PROGRESS', 'PROGRESS'",
        r"E +First difference at \[0\]: expected 'STARTED', got 'PROGRESS'",
        r"E +> 0 +0\.000 PENDING -> PROGRESS  ####----  50% Importing.* shop\.py:\d+",
        r"E +1 +0\.000 PROGRESS -> PROGRESS ######## 100% Importing.* shop\.py:\d+",
        r"shop\.import_users\[[-0-9a-f]{36}\] SUCCESS after 0 s",
    ],
    "test_percents": [
        r"E +First difference at \[2\]: expected 70\.0, got 75\.0",
        r"E +> 2 +0\.000 PROGRESS -> PROGRESS ######--  75% Importing.* shop\.py:\d+",
    ],
    "test_history": [
        r"E +First difference at \[2\]: expected nothing more, got 'SUCCESS'",
        r"E +> 2 +0\.000 PROGRESS -> SUCCESS  ######## 100% Imported",
    ],
    "test_matches": [
        r"E .*<no match at 2: expected PROGRESS, got SUCCESS>",
        r"shop\.import_users\[[-0-9a-f]{36}\] SUCCESS after 0 s",
        r"Expected: PROGRESS\{3\} SUCCESS",
        r"Instead of PROGRESS came SUCCESS",
        r"> 2 +0\.000 PROGRESS -> SUCCESS  ######## 100% Imported",
    ],
    "test_matches_a_list": [
        r"Expected: \[progress\(1, 2\), progress\(percent=99\), state\('SUCCESS'\)\]",
        r"Instead of progress\(percent=99\) came PROGRESS percent=100\.0",
        r"> 1 +0\.000 PROGRESS -> PROGRESS ######## 100% Importing users  shop\.py:\d+",
    ],
    "test_state": [
        r"E .*assert 'FAILURE' == 'SUCCESS'",
        r"shop\.read_file\[.*\] FAILURE after 0 s: FileNotFoundError: no such file: users\.csv",
        r"  0 +0\.000 PENDING -> PROGRESS ####---- 50% Reading users\.csv +shop\.py:\d+",
        r"  1 +0\.000 PROGRESS -> FAILURE +FileNotFound",
    ],
    "test_result": [
        r"E .*assert 3 == 4",
        r"(before: )?shop\.import_users\[.*\] SUCCESS after 0 s",
        r"shop\.add\[.*\] SUCCESS after 0 s",
        r"  2 +0\.000 PENDING -> SUCCESS",
    ],
    "test_assert_states": [
        r"E .*CheckFailed: shop\.import_users does not match PROGRESS SUCCESS: PROGRESS instead of",
        r"E +Expected: SUCCESS at #1",
        r"E +> 1 +0\.000 PROGRESS -> PROGRESS ######## 100% Importing.* shop\.py:\d+",
    ],
    "test_assert_progress": [
        r"E .*CheckFailed: shop\.import_users: report 2 is 100\.0, not 99\.0",
        r"E +Expected: percents \[50\.0, 99\.0\]",
        r"E +> 1 +0\.000 PROGRESS -> PROGRESS ######## 100% Importing.* shop\.py:\d+",
    ],
    "test_assert_final": [
        r"E .*CheckFailed: shop\.read_file ended in FAILURE",
        r"E +Expected: state\('SUCCESS'\)",
        r"E +> 1 +0\.000 PROGRESS -> FAILURE +FileNotF",
    ],
    "test_assert_aborted": [
        r"E .*CheckFailed: shop\.send_letters wrote 2 reports after it was asked to abort",
        r"E +Expected: 1 at most",
        r"E +1 +0\.000 PROGRESS -> PROGRESS ####----  50% Bob +shop\.py:\d+",
        r"E +-- Abort\(at_percent\(50\)\): asked to abort, at shop\.py:\d+",
        r"E +2 +0\.000 PROGRESS -> PROGRESS ######--  75% Cy +shop\.py:\d+",
        r"E +> 3 +0\.000 PROGRESS -> PROGRESS ######## 100% Di +shop\.py:\d+",
        r"E +4 +0\.000 PROGRESS -> ABORTED",
    ],
    "test_check": [
        r"E .*ContractViolated: shop\.falls breaks its contract:",
        r"E +monotonic: 25 % after 50 %",
        r"E +in shop\.falls, at .*shop\.py:\d+",
        r"E +> 1 +0\.000 PROGRESS -> PROGRESS ##------  25% +shop\.py:\d+",
    ],
    "test_strict": [
        r"E .*ContractViolated: shop\.falls breaks its contract:",
        r"E +monotonic: 25 % after 50 %",
        r"E +> 1 +0\.000 PROGRESS -> PROGRESS ##------  25% +shop\.py:\d+",
        r"E +To allow it: @pytest\.mark\.taskprogress\(ignore=\['monotonic'\]\)",
    ],
    "test_strict_delay": [
        r".*shop\.falls breaks its contract:",
        r".* monotonic: 25 % after 50 %",
        r".*> 1 +0\.000 PROGRESS -> PROGRESS ##------  25% +shop\.py:\d+",
        r".*To allow it: @pytest\.mark\.taskprogress\(ignore=\['monotonic'\]\)",
    ],
    "test_nothing_ran": [
        r"E +First difference at \[0\]: expected 'SUCCESS', got nothing more",
        r"No task ran; did the code under test use another app\?",
    ],
    "test_nothing_ran_helper": [
        r"E .*the history is empty: no task ran; did the code under test use another app\?",
    ],
    "test_several": [
        r"before: 2 other runs",
        *[r"(before: )?shop\.import_users\[.*\] SUCCESS after 0 s"] * 5,
        r"shop\.import_users\[.*\] SUCCESS after 0 s",
        r" +42 +0\.000 PROGRESS -> PROGRESS ######## +100% Importing users",
    ],
    "test_delay": [
        r"shop\.falls\[.*\] SUCCESS after 0 s",
        r"  1 +0\.000 PROGRESS -> PROGRESS ##------  25% +shop\.py:\d+",
    ],
    "test_long": [
        r"Instead of SUCCESS came PROGRESS",
        r"  \.\.\. 2,490 more \.\.\.",
        r"> 2500 +0\.000 PROGRESS -> PROGRESS ####---- 50\.02% +shop\.py:\d+",
        r"  \.\.\. 2,490 more \.\.\.",
        r"  5000 +0\.000 PROGRESS -> SUCCESS",
    ],
    "test_escapes": [
        r"  0 .* 50% \\x1b\[31mred\\x1b\]0;t\.\.\. shop\.py:\d+",
        r"  1 .* 100% <blink>\\r\\n\\u202e +shop\.py:\d+",
    ],
    "test_setup": [
        r"E .*assert 'SUCCESS' == 'FAILURE'",
        r"shop\.import_users\[.*\] SUCCESS after 0 s",
        r"  0 +0\.000 PENDING -> PROGRESS ######## 100% Importing users  shop\.py:\d+",
    ],
    "test_teardown": [
        r"E .*assert 'SUCCESS' == 'FAILURE'",
        r"shop\.import_users\[.*\] SUCCESS after 0 s",
        r"  0 +0\.000 PENDING -> PROGRESS ######## 100% Importing users  shop\.py:\d+",
    ],
    "test_own_fixture": [
        r"shop\.import_users\[.*\] SUCCESS after 0 s",
        r"  0 +0\.000 PENDING -> PROGRESS ######## 100% Importing users  shop\.py:\d+",
    ],
    "test_own_engine": [
        r"shop\.import_users\[.*\] SUCCESS after 0 s",
        r"  0 +0\.000 PENDING -> PROGRESS ######## 100% Importing users  shop\.py:\d+",
    ],
}

#: Those of which there is nothing to tell.
SILENT = ["test_setup_of_others", "test_no_engine"]


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown(session, name):
    """It says what was expected and what came, with the place marked."""
    lines = iter(session.failure(name).split("\n"))
    for expected in SHOWN[name]:
        assert any(re.match(expected, line) for line in lines), expected


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_drawn(session, name):
    """Each timeline is shown once, in 80 columns and 60 lines, with no line of our own code."""
    told = session.failure(name)
    drawn = [line for line in told.split("\n") if re.search(r"\d\.\d{3} \w+ -> \w+", line)]
    # A comparison shows what is around its first difference, too.
    heads = told.count("seconds old -> new") - (
        "First difference at" in told and "(nothing was written)" not in told
    )
    if name in ("test_result", "test_several"):  # of more than one run
        assert heads > 1
    else:
        assert heads == (0 if name.startswith("test_nothing_ran") else 1)
    assert len(drawn) + heads < 60
    assert max(map(len, drawn), default=0) <= 80
    assert "/pytest_taskprogress/plugin.py" not in told
    assert "told_of_runs" not in told


@pytest.mark.parametrize("name", SILENT)
def test_what_is_not_shown(session, name):
    """A test that ran no task, and need not have, says nothing of any."""
    told = session.failure(name)
    assert "- taskprogress -" not in told
    assert "No task ran" not in told


def test_no_escapes(session):
    """Nothing that a task wrote is a command to the terminal; without a terminal is no colour."""
    parts = session.failure("test_escapes").split("- taskprogress -")
    assert len(parts) == 2
    assert parts[1].isascii()
    assert "\x1b" not in session.text


def test_summary(session):
    """What fails, fails; what is told of runs disturbs no test."""
    outcomes = session.outcomes
    failed = {name for name in [*SHOWN, *SILENT] if session.of(name) in ("failed", "error")}
    assert failed == {*SHOWN, *SILENT}
    passed = {nodeid for nodeid in outcomes if "test_runs.py" in nodeid}
    assert {outcomes[nodeid] for nodeid in passed} == {"passed"}
    assert "INTERNALERROR" not in session.text


def test_colour(user):
    """With colours the marked line is red, and what is around it is dim."""
    told = user(
        """
        def test_it(taskprogress):
            run = taskprogress.run(report, *({"percent": n} for n in range(0, 101)))
            assert run.matches("PROGRESS{50} SUCCESS")
        """,
        "--color=yes",
    )
    [marked] = [line for line in told.text.split("\n") if ">  50 " in line]
    assert marked.startswith("\x1b[1;31m>  50 ")
    assert marked.endswith("\x1b[0m")
    assert "\x1b[1;31mExpected: PROGRESS{50} SUCCESS\x1b[0m" in told.text
    assert "\x1b[2m  ... 40 more ...\x1b[0m" in told.text


@pytest.mark.parametrize("columns", [40, 80, 100, 400])
def test_width(user, monkeypatch, columns):
    """A wider terminal shows more of a message, a narrower one still the table of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    told = user(
        """
        def test_it(taskprogress):
            run = taskprogress.run(report, {"percent": 100, "description": "word " * 100})
            assert run.state == "FAILURE"
        """
    )
    [line] = [line for line in told.text.split("\n") if "PENDING -> PROGRESS" in line]
    assert len(line) == min(max(columns, 80), 160)
    assert "word word" in line


def test_xfail(user):
    """What fails as it is expected to shows nothing."""
    told = user(
        """
        @pytest.mark.xfail(strict=True)
        def test_it(taskprogress):
            assert taskprogress.run(add, 1, 2).state == "FAILURE"

        @pytest.mark.xfail(strict=True)
        @pytest.mark.taskprogress(strict=True)
        def test_strict(taskprogress):
            report.delay({"percent": 90})
        """
    )
    assert set(told.outcomes.values()) == {"xfail"}
    assert "- taskprogress -" not in told.text


def test_unittest(user):
    """A TestCase that gets the engine by a fixture shows what it ran."""
    told = user(
        """
        import unittest

        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _engine(self, taskprogress):
                self.engine = taskprogress

            def test_it(self):
                run = self.engine.run(import_users, [1])
                self.assertEqual(run.percents, [50.0])
        """
    )
    assert "First difference" in told.text or "PENDING -> PROGRESS ######## 100%" in told.text
    assert re.search(r"import_users\[.*\] SUCCESS after 0 s", told.text)


def test_one_failure_is_not_of_the_next(user):
    """What one test ran is not shown with the next one."""
    told = user(
        """
        def test_first(taskprogress):
            taskprogress.run(import_users, [1])

        def test_second(taskprogress):
            assert not taskprogress.run(add, 1, 2)

        def test_third(taskprogress):
            assert not taskprogress

        def test_fourth():
            raise RuntimeError
        """
    )
    assert "import_users" not in told.failure("test_second").partition("- taskprogress -")[2]
    assert "No task ran" in told.failure("test_third")
    assert "taskprogress" not in told.failure("test_fourth")


def test_a_message_of_a_megabyte(user):
    """A huge message neither floods the terminal nor takes its time."""
    told = user(
        """
        def test_it(taskprogress):
            huge = "x" * 1_000_000
            run = taskprogress.run(report, {"percent": 100, "description": huge})
            assert run.messages == ["short"]
        """
    )
    assert len(told.text) < 20_000


def test_a_long_comparison(user):
    """What pytest cuts of a comparison is below, marked."""
    told = user(
        """
        def test_it(taskprogress):
            metas = [{"percent": 5.0 * number} for number in range(1, 21)]
            run = taskprogress.run(report, *metas)
            assert run.percents == [*(5.0 * number for number in range(1, 15)), 71.0]
        """
    )
    assert "First difference at [14]: expected 71.0, got 75.0" in told.text
    _, _, below = told.text.partition("- taskprogress -")
    assert re.search(r"^> +14 .* 75%", below, re.MULTILINE)
