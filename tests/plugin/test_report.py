"""`--taskprogress-report`, its ini key, and the timeline in pytest-html's report."""

from __future__ import annotations

import base64
import html
import json
import re

import pytest

PASSES = """
    def test_it(taskprogress):
        taskprogress.run(import_users, [1, 2])
    """


def page_of(session):
    """The text of the page."""
    return html.unescape((session.path / "out/report.html").read_text(encoding="utf-8"))


def told_of(session):
    """The line of the summary on the page."""
    [line] = re.findall(r"^taskprogress: .* runs? of .* tests? in .*$", session.text, re.MULTILINE)
    return line


def test_where_it_is(session):
    """It is at the given path, relative to where pytest was started; folders are made."""
    path = session.path / "out/report.html"
    assert path.is_file()
    assert told_of(session).endswith(f"{path}")


def test_every_test_is_in_it(session):
    """All tests that ran something are in it, from whichever process; also those that failed."""
    page = page_of(session)
    ran = [
        nodeid
        for nodeid in session.outcomes
        if not nodeid.endswith(("::test_no_engine", "::test_without_engine"))
    ]
    assert len(ran) > 90
    # A name may be broken for lines.
    for nodeid in ran:
        name = nodeid.partition("::")[2]
        assert name.partition("[")[0] in page, nodeid
        assert name.partition("[")[2].rstrip("]") in page, nodeid


def test_it_counts(session):
    """The last line counts runs, and tests, of all processes together."""
    assert told_of(session).startswith("taskprogress: 109 runs of 101 tests in ")


def test_findings_are_in_it(session):
    """What runs break is on it, by name."""
    page = page_of(session)
    for rule in ("abort-survives", "no-zombie", "write-budget", "serializable"):
        assert rule in page
    assert "nothing was written for 120 s" in page


def test_failing_fixtures_are_in_it(session):
    """What a test's fixtures ran is in it, also if they fail."""
    page = page_of(session)
    assert "test_setup" in page
    assert "test_teardown" in page
    assert "test_failing.py" in page


def test_it_is_escaped(session):
    """What a task wrote is text."""
    source = (session.path / "out/report.html").read_text(encoding="utf-8")
    assert "<blink>" not in source
    assert "&lt;blink&gt;" in source
    assert "\x1b" not in source


def test_without_it(user, pytester):
    """Without the option nothing is written, and nothing is said."""
    told = user(PASSES)
    assert "taskprogress:" not in told.text
    assert [each.name for each in pytester.path.rglob("*.html")] == []


def test_ini(user, pytester):
    """The path may be in the ini file, and is relative to that."""
    (pytester.mkdir("sub") / "test_sub.py").write_text("", encoding="utf-8")
    told = user(PASSES, ini="taskprogress_report = pages/report.html")
    path = pytester.path / "pages/report.html"
    assert f"taskprogress: 1 run of 1 test in {path}" in told.text
    assert "import_users" in path.read_text(encoding="utf-8")


def test_ini_from_a_subdirectory(user, pytester, monkeypatch):
    """Wherever pytest is started, the page is where the ini file says."""
    user(PASSES, ini="taskprogress_report = report.html")
    (pytester.path / "report.html").unlink()
    sub = pytester.mkdir("sub")
    monkeypatch.chdir(sub)
    pytester.runpytest_inprocess("-ptaskprogress", "..")
    assert (pytester.path / "report.html").is_file()
    assert not (sub / "report.html").exists()
    pytester.runpytest_inprocess("-ptaskprogress", "..", "--taskprogress-report=here.html")
    assert (sub / "here.html").is_file()


@pytest.mark.parametrize("where", ["a directory", "below a file"])
def test_a_path_that_cannot_be_written(user, pytester, where):
    """The tests count as they do; the error is at the end, and the exit code is not 0."""
    pytester.makefile(".txt", taken="")
    path = str(pytester.path) if where == "a directory" else "taken.txt/report.html"
    told = user(PASSES, f"--taskprogress-report={path}")
    assert told.of("test_it") == "passed"
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    lines = told.text.strip().split("\n")
    [error] = [line for line in lines if "the report cannot be written to" in line]
    assert path in error
    assert re.search(r"(IsADirectory|NotADirectory|FileExists|Permission)Error", error)
    assert lines.index(error) > lines.index(next(line for line in lines if "test_it.py " in line))
    assert "INTERNALERROR" not in told.text


def test_a_path_that_cannot_be_written_and_no_tests(user, pytester):
    """The exit code of a session that has one of its own stays."""
    told = user("", f"--taskprogress-report={pytester.path}")
    assert told.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "the report cannot be written to" in told.text


def test_an_old_page_is_replaced(user, pytester):
    """Only the last session is in it."""
    user(PASSES, "--taskprogress-report=report.html")
    user(PASSES.replace("test_it", "test_other"), "--taskprogress-report=report.html")
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert "test_other" in page
    assert "test_it<" not in page


def test_without_the_library(pytester, project):
    """Without Jinja2 it is said at once what to install."""
    pytester.makepyfile("def test_it(): pass", nojinja="import sys; sys.modules['jinja2'] = None")
    told = pytester.runpytest_subprocess(
        "-p", "nojinja", "-p", "no:html", "--taskprogress-report=report.html"
    )
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    told.stderr.fnmatch_lines(["ERROR: *pip install 'pytest-taskprogress[[]report]'*"])


@pytest.mark.parametrize("flag", ["--taskprogress-report=", "--taskprogress-report= "])
def test_no_path(user, flag):
    """An empty path is none."""
    told = user(PASSES, flag)
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    assert told.errors[0].startswith("--taskprogress-report: expected a path")


def test_sessions_that_end_early(user, pytester):
    """With -x, and where nothing is collected, what there is is in it."""
    told = user(
        """
        def test_first(taskprogress):
            assert taskprogress.run(import_users, [1]).state == "FAILURE"

        def test_second(taskprogress):
            taskprogress.run(add, 1, 2)
        """,
        "-x",
        "--taskprogress-report=report.html",
    )
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert "test_first" in page
    assert "test_second" not in page
    told = user("", "--taskprogress-report=report.html")
    assert told.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "0 runs of 0 tests" in told.text


def test_a_test_that_is_run_again(user, pytester):
    """A file that is given twice is run once; a test of two phases that fail says both."""
    user(
        """
        @pytest.fixture
        def fails(taskprogress):
            yield
            raise RuntimeError("and the teardown")

        def test_it(taskprogress, fails):
            taskprogress.run(add, 1, 2)
            raise RuntimeError("the test")
        """,
        "--taskprogress-report=report.html",
        "test_it.py",
        "test_it.py",
    )
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert page.count("and the teardown") >= 1
    assert page.count("the test") >= 1


def test_pytest_html(user, pytester):
    """A report of pytest-html has the timeline as an extra, of tests that pass too."""
    told = user(
        """
        def test_it(taskprogress):
            taskprogress.run(import_users, [1, 2])

        def test_fails(taskprogress):
            taskprogress.run(report, {"percent": 50, "description": "<i>half</i>"})
            raise RuntimeError
        """,
        "--html=report.html",
        "--self-contained-html",
        plugins=["metadata", "html"],
    )
    assert told.of("test_it") == "passed"
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    [blob] = re.findall(r'data-jsonblob="(.*?)"', page, re.DOTALL)
    tests = json.loads(html.unescape(blob))["tests"]
    for name, shown in (("test_it", "Imported 2 users"), ("test_fails", "<i>half</i>")):
        [extra] = tests[f"test_it.py::{name}"][0]["extras"]
        assert extra["name"] == "taskprogress"
        text = base64.b64decode(extra["content"].rpartition(",")[2]).decode()
        assert "PENDING -> PROGRESS" in text
        assert shown in text
    assert "<i>half" not in page


def test_all_at_once(session):
    """All that can be asked for can be asked for at once."""
    assert session.ret == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in session.text
