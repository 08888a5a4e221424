"""Options: command line, ini keys and marker; and what is said of bad ones."""

from __future__ import annotations

import pytest

from pytest_taskprogress.checks.rules import RULES
from pytest_taskprogress.options import SETTINGS, Options

pytestmark = pytest.mark.usefixtures("few_plugins")

ENDLESS = """
    import pytest
    from {project} import again
    from pytest_taskprogress import DrainLimitExceeded

    {marker}
    def test_it(taskprogress):
        with pytest.raises(DrainLimitExceeded, match="limit={limit} "):
            again.delay()
    """


def test_every_setting_is_a_field():
    """The table and the dataclass name the same options; figures of rules are one field."""
    fields = {each.name for each in SETTINGS if not each.is_figure}
    assert fields == set(Options.__slots__) - {"figures"}


def test_every_figure_is_that_of_a_rule():
    """Each rule that goes by a figure has its option."""
    figures = {each.name.replace("_", "-") for each in SETTINGS if each.is_figure}
    assert figures == {rule.name for rule in RULES.values() if rule.figure is not None}


@pytest.mark.parametrize(
    ("ini", "flag", "marker", "limit"),
    [
        ("", (), "", 10000),
        ("taskprogress_limit = 70", (), "", 70),
        ("taskprogress_limit = 70", ("--taskprogress-limit=60",), "", 60),
        ("", ("--taskprogress-limit=60",), "@pytest.mark.taskprogress(limit=50)", 50),
    ],
)
def test_the_closest_wins(pytester, project, ini, flag, marker, limit):
    """The marker comes before the command line, which comes before the ini file."""
    pytester.makeini(f"[pytest]\n{ini}")
    pytester.makepyfile(ENDLESS.format(project=project, marker=marker, limit=limit))
    pytester.runpytest(*flag).assert_outcomes(passed=1)


def test_a_marker_on_a_module_and_a_class(pytester, project):
    """A marker may be on a module, a class and a test; the closest one wins."""
    pytester.makepyfile(
        f"""
        import pytest
        from {project} import again

        pytestmark = pytest.mark.taskprogress(limit=30)

        def limit_of(taskprogress):
            return taskprogress.limit

        def test_module(taskprogress):
            assert taskprogress.limit == 30

        @pytest.mark.taskprogress(limit=20)
        class TestIt:
            def test_class(self, taskprogress):
                assert taskprogress.limit == 20

            @pytest.mark.taskprogress(limit=10)
            def test_function(self, taskprogress):
                assert taskprogress.limit == 10
        """
    )
    pytester.runpytest("--strict-markers").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "--taskprogress-limit=0",
            "--taskprogress-limit: expected a whole number of 1 or more, got '0'",
        ),
        ("--taskprogress-limit=many", "--taskprogress-limit: expected a whole number*, got 'many'"),
        ("--taskprogress-engine=fast", "--taskprogress-engine: expected one of eager, got 'fast'"),
    ],
)
def test_a_bad_flag(pytester, project, flag, message):
    """A value that is not valid ends the run before any test, and names those that are."""
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest(flag)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_bad_ini_key(pytester, project):
    """A bad value of an ini key names the key."""
    pytester.makeini("[pytest]\ntaskprogress_engine = quick")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: ini option taskprogress_engine: expected one of eager, got 'quick'"]
    )


def test_the_options_explain_themselves(pytester):
    """pytest --help tells of the options and the ini keys."""
    result = pytester.runpytest("--help")
    result.stdout.fnmatch_lines(
        [
            "Celery tasks that report progress:",
            "  --taskprogress-engine=*",
            "  --taskprogress-limit=*",
            *(f"  {each.flag}*" for each in SETTINGS[2:]),
        ]
    )
    result.stdout.fnmatch_lines(["  taskprogress_limit *", "*how many messages*"])
