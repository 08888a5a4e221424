"""The figures that rules go by: on the command line, in an ini file, in markers."""

from __future__ import annotations

from textwrap import dedent

import pytest

from pytest_taskprogress.options import SETTINGS

#: A run that breaks each rule by a figure of some size, and not by one that is larger.
RUNS = {
    "abort_honoured": """
        from pytest_taskprogress import AbortableTask, Observer
        from pytest_taskprogress.scenario import Abort, at_report

        @app.task(bind=True, base=AbortableTask, shared=False)
        def slow(self):
            observer = Observer(self, check_abort=False)
            for n in range(1, 6):
                observer.update("going on", current=n, total=5)

        def run(engine):
            engine.under(Abort(at_report(2))).run(slow)
        """,
    "first_report": """
        @app.task(bind=True, shared=False)
        def slow(self, work):
            engines[0].clock.advance(work)
            self.update_state(state="PROGRESS", meta={"percent": 100})

        engines = []
        def run(engine):
            engines[:] = [engine]
            engine.run(slow, 3)
        """,
    "max_gap": """
        @app.task(bind=True, shared=False)
        def slow(self, work):
            self.update_state(state="PROGRESS", meta={"percent": 50})
            engines[0].clock.advance(work)
            self.update_state(state="PROGRESS", meta={"percent": 100})

        engines = []
        def run(engine):
            engines[:] = [engine]
            engine.run(slow, 3)
        """,
    "write_budget": """
        def run(engine):
            engine.run(report, {"percent": 1}, {"percent": 50}, {"percent": 100})
        """,
    "described": """
        def run(engine):
            engine.run(report, {"percent": 100, "description": "abc"})
        """,
}

#: A figure that the run breaks, as one writes it; one that it keeps; and what is no figure.
FIGURES = {
    "abort_honoured": ("2", "3", ["-1", "1.5", "few"]),
    "first_report": ("2.5", "3", ["-1", "nan", "inf", "soon"]),
    "max_gap": ("2.5", "3", ["-1", "nan", "inf", "long"]),
    "write_budget": ("2", "3,40", ["0", "1,2,3", "1,-1", "few", "2.5"]),
    "described": ("4", "3", ["0", "1.5", "some"]),
}

TEST = """
{run}

{marker}
def test_it(taskprogress):
    run(taskprogress)
"""


def source(name, marker=""):
    """A test file with a run, and maybe a marker on its test."""
    marker = f"@pytest.mark.taskprogress({marker})" if marker else ""
    return TEST.format(run=dedent(RUNS[name]), marker=marker)


def renamed(name):
    """The same, with names that those of other figures do not have."""
    text = source(name).replace("slow", f"slow_{name}").replace("test_it", f"test_{name}")
    return text.replace("def run(", f"def run_{name}(").replace("    run(", f"    run_{name}(")


@pytest.mark.parametrize("name", RUNS)
def test_the_command_line_and_the_ini_file(user, name):
    """A figure is judged by where it is given: on the command line, else in the ini file."""
    rule, flag = name.replace("_", "-"), f"--taskprogress-{name.replace('_', '-')}"
    broken, kept, _ = FIGURES[name]
    strict = "taskprogress_strict = true\n"
    told = user(source(name), f"{flag}={broken}", ini=strict)
    assert told.of("test_it") == "failed"
    assert f" {rule}: " in told.failure("test_it")
    told = user(source(name), ini=f"{strict}taskprogress_{name} = {broken}")
    assert f" {rule}: " in told.failure("test_it")
    told = user(source(name), f"{flag}={kept}", ini=f"{strict}taskprogress_{name} = {broken}")
    assert told.of("test_it") == "passed"


@pytest.mark.parametrize("name", RUNS)
def test_the_closest_marker_wins(user, name):
    """A marker comes before the command line, a test's before its class's and its module's."""
    flag = f"--taskprogress-{name.replace('_', '-')}"
    broken, kept, _ = FIGURES[name]
    broken, kept = (f"'{each}'" if "," in each else each for each in (broken, kept))
    tests = f"""
        pytestmark = pytest.mark.taskprogress({name}={broken}, strict=True)

        def test_module(taskprogress):
            run(taskprogress)

        @pytest.mark.taskprogress({name}={kept})
        class TestIt:
            def test_class(self, taskprogress):
                run(taskprogress)

            @pytest.mark.taskprogress({name}={broken})
            def test_function(self, taskprogress):
                run(taskprogress)

            @pytest.mark.taskprogress({name}=False)
            @pytest.mark.taskprogress({name}={broken})
            def test_off_further_away(self, taskprogress):
                run(taskprogress)

            @pytest.mark.taskprogress({name}=False)
            def test_off(self, taskprogress):
                run(taskprogress)
        """
    told = user(dedent(RUNS[name]) + dedent(tests), f"{flag}={kept}".replace("'", ""))
    assert told.of("test_module") == "failed"
    assert told.of("test_class") == "passed"
    assert told.of("test_function") == "failed"
    assert told.of("test_off_further_away") == "failed"
    assert told.of("test_off") == "passed"


@pytest.mark.parametrize("name", RUNS)
def test_a_bad_figure(user, name):
    """What is no figure ends the session, and says what is one."""
    flag, bad = f"--taskprogress-{name.replace('_', '-')}", FIGURES[name][2][0]
    told = user("def test_it(): pass", f"{flag}={bad}")
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    [error] = told.errors
    assert error.startswith(f"{flag}: expected ")
    assert error.endswith(f"got '{bad}'")


@pytest.mark.parametrize("name", RUNS)
def test_what_is_no_figure(name):
    """Nothing is taken for a figure that is none."""
    [setting] = [each for each in SETTINGS if each.name == name]
    for bad in FIGURES[name][2]:
        with pytest.raises(ValueError, match=r"^expected "):
            setting.parse(bad)


def test_they_are_off(user):
    """But for `abort_honoured`, which is 1, no rule goes by a figure that was not given."""
    names = [name for name in RUNS if name != "abort_honoured"]
    told = user("\n".join(map(renamed, names)), "--taskprogress-strict")
    assert set(told.outcomes.values()) == {"passed"}
    assert len(told.outcomes) == len(names)
    assert user(source("abort_honoured"), "--taskprogress-strict").of("test_it") == "failed"


@pytest.mark.parametrize("name", ["test_longer_gap", "test_no_gap"])
def test_beside_the_command_line(later, name):
    """A marker's figure replaces that of the command line, and False switches it off."""
    assert later.of(name) == "passed"
    assert later.warnings(name) == []


def test_back_to_the_default(user):
    """None is the default, whatever was said further away."""
    told = user(
        source("abort_honoured", "abort_honoured=None, strict=True"),
        "--taskprogress-abort-honoured=10",
    )
    assert told.of("test_it") == "failed"
