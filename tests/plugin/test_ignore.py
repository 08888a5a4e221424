"""`--taskprogress-ignore`, its ini key, and `taskprogress(ignore=...)`."""

from __future__ import annotations

import pytest

STOPS_SHORT = """
    {marker}
    def test_it(taskprogress):
        taskprogress.run(report, {{"percent": 60}}, {{"percent": 30}})
    """


@pytest.mark.parametrize("name", ["test_ignored", "test_ignored_too"])
def test_on_the_command_line(later, name):
    """What is ignored is not said, however strict the contract is; markers ignore more."""
    assert later.of(name) == "passed"
    assert later.warnings(name) == []


@pytest.mark.parametrize(
    ("ini", "flags", "marker", "said"),
    [
        ("", (), "", ["monotonic", "complete"]),
        ("taskprogress_ignore = complete", (), "", ["monotonic"]),
        ("taskprogress_ignore = complete, stable-total", (), "", ["monotonic"]),
        ("taskprogress_ignore =\n    complete\n    stable-total", (), "", ["monotonic"]),
        ("taskprogress_ignore = complete", ("--taskprogress-ignore=monotonic",), "", ["complete"]),
        ("", ("--taskprogress-ignore=complete,monotonic",), "", []),
        ("", (), "ignore=['complete']", ["monotonic"]),
        ("", (), "ignore='complete'", ["monotonic"]),
        ("", (), "ignore=('monotonic', 'complete')", []),
        ("taskprogress_ignore = complete", (), "ignore=['monotonic']", []),
        ("", (), "ignore=['stable_total', 'abort_honoured']", ["monotonic", "complete"]),
        ("", (), "ignore=[]", ["monotonic", "complete"]),
    ],
)
def test_where_it_is_said(user, ini, flags, marker, said):
    """The command line replaces the ini file; a marker adds to both."""
    marker = f"@pytest.mark.taskprogress({marker})" if marker else ""
    told = user(STOPS_SHORT.format(marker=marker), *flags, ini=ini)
    assert told.of("test_it") == "passed"
    text = "\n".join(told.warnings())
    assert [rule for rule in ("monotonic", "complete") if f" {rule}: " in text] == said


def test_markers_add_up(user):
    """What a module, a class and a test ignore is ignored together."""
    told = user(
        """
        pytestmark = pytest.mark.taskprogress(ignore=["complete"], strict=True)

        @pytest.mark.taskprogress(ignore=["monotonic"])
        class TestIt:
            @pytest.mark.taskprogress(ignore=["bounded"])
            def test_all(self, taskprogress):
                taskprogress.run(report, {"percent": 101}, {"percent": 30})

            def test_class(self, taskprogress):
                taskprogress.run(report, {"percent": 60}, {"percent": 30})

        def test_module(taskprogress):
            taskprogress.run(report, {"percent": 60}, {"percent": 30})
        """
    )
    assert told.of("test_all") == "passed"
    assert told.of("test_class") == "passed"
    assert told.of("test_module") == "failed"
    assert "complete:" not in told.failure("test_module")


def test_a_figure_that_is_closer(user):
    """A test that gives a figure means it, though its module ignores the rule."""
    told = user(
        """
        pytestmark = pytest.mark.taskprogress(ignore=["max-gap", "described"], strict=True)

        @pytest.mark.taskprogress(described=3)
        def test_means_it(taskprogress):
            taskprogress.run(report, {"percent": 100})

        @pytest.mark.taskprogress(described=False)
        def test_off(taskprogress):
            taskprogress.run(report, {"percent": 100})
        """
    )
    assert told.of("test_means_it") == "failed"
    assert told.of("test_off") == "passed"


@pytest.mark.parametrize("flags", [(), ("-n", "2")], ids=["off", "2"])
def test_no_such_rule(user, flags):
    """A rule that there is not ends the session before a test runs, with the nearest name."""
    flags = (*flags, "--taskprogress-ignore=complete,monotonous")
    told = user(STOPS_SHORT.format(marker=""), *flags, plugins=["xdist"])
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    assert told.outcomes == {}
    [error] = told.errors
    assert "there is no rule 'monotonous': did you mean 'monotonic'? There are monotonic, " in error


def test_no_such_rule_in_ini(user):
    """So does one in an ini file, also if no test uses the engine."""
    told = user("def test_it(): pass", ini="taskprogress_ignore = completed")
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    assert "did you mean 'complete'?" in told.errors[0]
