"""`--taskprogress-coverage` and `--taskprogress-fail-under`, and their ini keys."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.usefixtures("no_shared_tasks")

HALF = """
    @app.task(bind=True, shared=False)
    def never_run(self):
        self.update_state(state="PROGRESS", meta={"percent": 100})

    def test_it(taskprogress):
        taskprogress.run(import_users, [1, 2])
        taskprogress.run(report, {"percent": 100})
    """
#: Of `goes_on`: how often each was reached, and aborted.
SITES = [
    ["4", "4"],
    ["3", "0", "never aborted"],
    ["3", "0", "never aborted"],
    ["3", "0", "never aborted"],
]
ALL = HALF.rstrip() + "\n        taskprogress.run(never_run)\n"


def test_table(session):
    """The summary has a table of the steps that were taken, and of the sites that were reached."""
    table = session.section("transition coverage").partition("\ntaskprogress: ")[0]
    assert re.search(r"^  PENDING  -> PROGRESS +\d+ ", table, re.MULTILINE)
    assert re.search(r"^! ABORTED  -> PROGRESS +3  ILLEGAL", table, re.MULTILINE)
    assert re.search(r"^! FAILURE  -> SUCCESS +\d+  ILLEGAL", table, re.MULTILINE)
    assert "RECEIVED -> never any state" in table
    assert max(map(len, table.splitlines())) <= 80


def test_sites(session):
    """Each site of a task has a line: how often it was reached, and how often aborted."""
    lines = [line.strip() for line in session.section("transition coverage").splitlines()]
    # It goes on wherever it is aborted: at its first report it always is.
    at = lines.index("shop.goes_on")
    sites = [re.split(r"\s+", line.lstrip("! "), maxsplit=3)[1:] for line in lines[at + 1 : at + 5]]
    assert sites == SITES
    chatters = lines[lines.index("shop.chatters") + 1]
    assert re.match(r"shop\.py:\d+ +302 +-$", chatters)


def test_it_is_that_of_all_processes(session):
    """Every count is that of all tests, and the total is the same however they are run."""
    [total] = [
        line
        for line in session.section("transition coverage").splitlines()
        if line.startswith("TOTAL")
    ]
    assert re.match(r"TOTAL  8 of \d+ steps, 27 of 31 sites covered +87\.09%", total)


def test_fail_under(session):
    """Too little is said at the end."""
    assert "taskprogress: transition coverage is 87.09 %: expected 99.5 % or more" in session.text


@pytest.mark.parametrize(
    ("tests", "flag", "ret"),
    [
        (HALF, "--taskprogress-fail-under=66.67", pytest.ExitCode.TESTS_FAILED),
        (HALF, "--taskprogress-fail-under=66.66", pytest.ExitCode.OK),
        (HALF, "--taskprogress-fail-under=0", pytest.ExitCode.OK),
        (ALL, "--taskprogress-fail-under=100", pytest.ExitCode.OK),
        ("", "--taskprogress-fail-under=100", pytest.ExitCode.NO_TESTS_COLLECTED),
        ("def test_it(): pass", "--taskprogress-fail-under=100", pytest.ExitCode.OK),
    ],
)
def test_exit_code(user, tests, flag, ret):
    """The session fails if less is covered, and only then; it says so without a table."""
    told = user(tests, flag)
    assert told.ret == ret
    assert ("transition coverage is" in told.text) == (ret == pytest.ExitCode.TESTS_FAILED)
    assert told.section("transition coverage") == ""


def test_ini(user):
    """Both may be in the ini file; the command line comes before it."""
    ini = "taskprogress_coverage = true\ntaskprogress_fail_under = 100"
    told = user(HALF, ini=ini)
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    assert "never reached" in told.section("transition coverage")
    assert user(HALF, "--taskprogress-fail-under=50", ini=ini).ret == pytest.ExitCode.OK


def test_without_it(user):
    """Without the options nothing is said."""
    told = user(HALF)
    assert "coverage" not in told.text
    assert told.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("bad", ["101", "-1", "nan", "most", ""])
def test_a_bad_percentage(user, bad):
    """It is a percentage."""
    told = user(HALF, f"--taskprogress-fail-under={bad}")
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    expected = f"--taskprogress-fail-under: expected a percentage, 0 to 100, got '{bad}'"
    assert told.errors == [expected]


def test_a_session_that_fails_anyway(user):
    """Tests that fail are not hidden by too little coverage, nor the other way round."""
    told = user(
        HALF
        + """
    def test_fails():
        raise RuntimeError
    """,
        "--taskprogress-fail-under=100",
    )
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    assert "transition coverage is 66.66 %" in told.text


def test_of_engines_of_ones_own(user):
    """What an engine runs that a test makes itself is reached too."""
    told = user(
        """
        from pytest_taskprogress import EagerEngine

        def test_it():
            with EagerEngine(app) as engine:
                engine.run(report, {"percent": 100})
        """,
        "--taskprogress-coverage",
    )
    assert re.search(r"PENDING  -> PROGRESS +1 ", told.section("transition coverage"))
