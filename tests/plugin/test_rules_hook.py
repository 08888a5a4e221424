"""`pytest_taskprogress_rules`: rules of third parties, in a conftest.py or a plugin."""

from __future__ import annotations

import re

import pytest

QUIET = """
import pytest
from {project} import app
from pytest_taskprogress import Rule

def shouts(task, _):
    for each in task.reports:
        if (each.message or "").isupper():
            yield each, "SHOUTS"

def pytest_taskprogress_rules():
    {body}

@pytest.fixture(scope="session")
def taskprogress_app():
    return app
"""
RULES = "return [Rule('quiet', 'people do not like to be shouted at', shouts)]"

LOUD = """
    def test_it(taskprogress):
        taskprogress.run(report, {"percent": 100, "description": "HELLO"})

    def test_quiet(taskprogress):
        taskprogress.run(report, {"percent": 100, "description": "Hello"})
    """


@pytest.fixture
def conftest(project, pytester):
    """Writes the project's conftest.py, with a hook."""

    def write(body=RULES):
        pytester.makeconftest(QUIET.format(project=project, body=body))

    return write


def test_in_the_users_project(later):
    """A rule of a directory's conftest.py fails what breaks it, and is switched by name."""
    failure = later.failure("test_quiet")
    assert "quiet: 'HELLO' is shouted" in failure
    assert "To allow it: @pytest.mark.taskprogress(ignore=['quiet'])" in failure
    assert later.of("test_loud") == "passed"
    assert later.warnings("test_loud") == []


def test_a_figure_of_its_own(later):
    """A rule has its figure by a marker; without it, it is off."""
    assert later.of("test_few") == "failed"
    assert "few-writes: 3 writes: expected 2 at most" in later.failure("test_few")
    assert later.of("test_many") == "passed"


def test_it_is_on_for_every_run(user, conftest):
    """It warns as the others do, at the line that reported."""
    conftest()
    told = user(LOUD)
    assert told.outcomes == {"test_it.py::test_it": "passed", "test_it.py::test_quiet": "passed"}
    [warning] = told.warnings()
    assert "quiet: SHOUTS" in warning
    assert warning.strip().split(":")[0].endswith(".py")


def test_on_the_command_line(user, conftest):
    """Its name may be ignored there, and in an ini file."""
    conftest()
    told = user(LOUD, "--taskprogress-ignore=quiet", "--taskprogress-strict")
    assert set(told.outcomes.values()) == {"passed"}
    assert user(LOUD, "--taskprogress-strict").of("test_it") == "failed"
    told = user(LOUD, "--taskprogress-strict", ini="taskprogress_ignore = quiet")
    assert set(told.outcomes.values()) == {"passed"}


def test_of_a_subdirectory(user, conftest, project, pytester):
    """A rule of a subdirectory's conftest.py is for the tests there, and for no others."""
    path = pytester.mkdir("sub")
    (path / "conftest.py").write_text(QUIET.format(project=project, body=RULES), encoding="utf-8")
    test = f"from {project} import report\n" + "\n".join(line[4:] for line in LOUD.split("\n"))
    (path / "test_sub.py").write_text(test, encoding="utf-8")
    told = user(LOUD, "--taskprogress-strict")
    assert told.outcomes == {
        "sub/test_sub.py::test_it": "failed",
        "sub/test_sub.py::test_quiet": "passed",
        "test_it.py::test_it": "passed",
        "test_it.py::test_quiet": "passed",
    }


def test_of_a_plugin(user, conftest, project, pytester):
    """A plugin may bring rules too."""
    pytester.makepyfile(shoutplugin=QUIET.format(project=project, body=RULES))
    told = user(LOUD, "--taskprogress-strict", plugins=["shoutplugin"])
    assert told.of("test_it") == "failed"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return [Rule('complete', 'why', shouts)]", "there is a rule 'complete' already"),
        ("return [Rule('quiet', '', shouts), Rule('quiet', '', print)]", "a rule 'quiet' already"),
        ("return [shouts]", "expected a Rule of pytest_taskprogress.checks, got <function shouts"),
        ("return ['quiet']", "expected a Rule of pytest_taskprogress.checks, got 'quiet'"),
        ("return Rule('quiet', 'why', shouts)", "returns a list of rules, got Rule("),
        ("return 'quiet'", "returns a list of rules, got 'quiet'"),
    ],
)
def test_what_is_no_rule(user, conftest, body, error):
    """A mistake in the hook is told before any test runs."""
    conftest(body)
    told = user(LOUD)
    assert told.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert error in told.text
    assert "INTERNALERROR" not in told.text
    assert "passed" not in told.text


@pytest.mark.parametrize("body", ["return []", "return None", "pass"])
def test_no_rules(user, conftest, body):
    """A hook may have nothing to say."""
    conftest(body)
    assert set(user(LOUD, "--taskprogress-strict").outcomes.values()) == {"passed"}


def test_a_figure_of_any_type(user, conftest):
    """The figure of a rule need not be hashable."""
    conftest(
        "from pytest_taskprogress.checks.rules.base import Figure\n"
        "    def check(task, words):\n"
        "        return [(each, 'FOUND') for each in task.reports if each.message in words]\n"
        "    return [Rule('words', 'why', check, figure=Figure('words', list))]"
    )
    told = user(
        """
        @pytest.mark.taskprogress(words=["HELLO"], strict=True)
        def test_it(taskprogress):
            taskprogress.run(report, {"percent": 100, "description": "HELLO"})

        @pytest.mark.taskprogress(words=["BYE"], strict=True)
        def test_other(taskprogress):
            taskprogress.run(report, {"percent": 100, "description": "HELLO"})
        """
    )
    assert told.of("test_it") == "failed"
    assert told.of("test_other") == "passed"


def test_a_rule_that_raises(user, conftest):
    """What is wrong with a rule is told where the test ran the task; later tests go on."""
    conftest("return [Rule('broken', 'why', lambda task, _: [1 / 0])]")
    told = user(
        LOUD
        + """
    def test_after():
        pass
    """
    )
    assert told.of("test_it") == "failed"
    error = "the rule 'broken' broke on proj[0-9]*.report: ZeroDivisionError: division by zero"
    assert re.search(error, told.text)
    assert told.of("test_after") == "passed"
