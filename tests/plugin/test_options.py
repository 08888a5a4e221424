"""Options: command line, ini keys and marker; and what is said of bad ones."""

from __future__ import annotations

import pytest

from pytest_taskprogress.options import SETTINGS, Options

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
    """The table and the dataclass name the same options."""
    assert {each.name for each in SETTINGS} == set(Options.__slots__)


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


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("(limt=3)", "*has no argument 'limt': expected limit; did you mean limit?"),
        ("(strange=3)", "*has no argument 'strange': expected limit"),
        ("(5)", "*takes keyword arguments only (limit), got (5,)"),
        ("(limit=2.5)", "*taskprogress(limit=...): expected a whole number of 1 or more, got 2.5"),
        ("(limit=True)", "*taskprogress(limit=...): expected a whole number*, got True"),
        ("(engine='eager')", "*has no argument 'engine'*"),
    ],
)
def test_a_bad_marker(pytester, project, marker, message):
    """A marker's mistake ends the run at collection, with the nearest name."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.taskprogress{marker}
        def test_it(taskprogress):
            pass
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_the_marker_explains_itself(pytester):
    """pytest --markers tells of it."""
    result = pytester.runpytest("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.taskprogress(limit=...): options of *"])


def test_the_options_explain_themselves(pytester):
    """pytest --help tells of the options and the ini keys."""
    result = pytester.runpytest("--help")
    result.stdout.fnmatch_lines(
        [
            "Celery tasks that report progress:",
            "  --taskprogress-engine=*",
            "  --taskprogress-limit=*",
        ]
    )
    result.stdout.fnmatch_lines(["  taskprogress_limit *", "*how many messages*"])
