"""Under `@given` each example begins and ends as a test of its own, and nobody pays otherwise."""

from __future__ import annotations

import asyncio
from textwrap import dedent
from types import SimpleNamespace

import pytest

from pytest_taskprogress import EagerEngine, ListenerError, endings

pytestmark = pytest.mark.usefixtures("few_plugins")

BEGIN = """
from hypothesis import assume, example, given, settings, strategies as st
from pytest_taskprogress.listeners import Listener
from pytest_taskprogress.scenario import *
from pytest_taskprogress.strategies import scenarios, task_arguments

few = settings(max_examples=20, database=None, deadline=None, derandomize=True)
rows = st.lists(st.integers(), max_size=5)

class Raises(Listener):
    def _flow_receiver(self, state, details):
        raise ValueError("of a listener")
"""


@pytest.fixture
def under_given(user):
    """Runs a file of tests under Hypothesis, as its plugin is loaded too."""

    def run(tests, *flags, **options):
        told = user(BEGIN + dedent(tests), *flags, plugins=["hypothesispytest"], **options)
        # Whatever was wrong, it was wrong each time that Hypothesis looked.
        assert "Flaky" not in told.text, told.text
        return told

    return run


# -- how an example begins ------------------------------------------------------------------------


def test_each_example_begins_anew(under_given):
    """Nothing of an example is there in the next: history, clock, messages, records, settings."""
    told = under_given(
        """
        seen = []

        @few
        @given(rows=rows)
        def test_it(taskprogress, taskprogress_backend, taskprogress_capture, rows):
            assert taskprogress.history == [] == taskprogress_capture.history
            assert taskprogress.clock.monotonic() == 0.0
            assert not taskprogress.pending
            assert taskprogress.limit == 10_000
            assert not taskprogress.contract.strict
            assert all(app.AsyncResult(each).state == "PENDING" for each in seen)
            run = taskprogress.run(import_users, rows)
            assert run.history == taskprogress.history
            assert app.AsyncResult(run.task_id).state == "SUCCESS"
            seen.append(run.task_id)
            taskprogress.clock.advance(5)
            taskprogress.limit = 3
            taskprogress.contract = taskprogress.contract.having(strict=True)
            with taskprogress.paused():
                add.delay(1, 2)

        def test_there_were_several():
            assert len(seen) >= 20
        """
    )
    assert set(told.outcomes.values()) == {"passed"}


@pytest.mark.parametrize("workers", [0, 2])
def test_where_tests_are_written(under_given, workers):
    """It is the same in methods, inherited ones too, parametrised ones and those of a TestCase."""
    pytest.importorskip("xdist", reason="pip install pytest-xdist")
    told = under_given(
        """
        import unittest

        def is_new(engine):
            assert engine.history == []
            return engine.run(add, 1, 2).result == 3

        class Base:
            @few
            @given(n=st.integers())
            def test_method(self, taskprogress, n):
                assert is_new(taskprogress)

        class TestOne(Base):
            pass

        class TestTwo:
            @pytest.mark.parametrize("size", [1, 2])
            @few
            @given(n=st.integers())
            def test_parametrised(self, taskprogress, size, n):
                assert is_new(taskprogress)

        class TestCase(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def engine(self, taskprogress):
                self.taskprogress = taskprogress

            @few
            @given(n=st.integers())
            def test_unittest(self, n):
                assert is_new(self.taskprogress)

        @example(n=1)
        @example(n=2)
        @few
        @given(n=st.integers())
        def test_function(taskprogress, n):
            assert is_new(taskprogress)
        """,
        "-pxdist",
        f"-n{workers}",
    )
    assert list(told.outcomes.values()) == ["passed"] * 5, told.text


def test_the_function_is_as_before(under_given):
    """After a test Hypothesis calls the function itself again; without the fixture, always."""
    told = under_given(
        """
        @few
        @given(n=st.integers())
        def test_with(taskprogress, n):
            assert test_with.hypothesis.inner_test is not kept[0]
            assert test_with.hypothesis.inner_test.__name__ == "test_with"

        @few
        @given(n=st.integers())
        def test_without(n):
            assert test_without.hypothesis.inner_test is kept[1]

        kept = [each.hypothesis.inner_test for each in (test_with, test_without)]

        def test_after():
            assert test_with.hypothesis.inner_test is kept[0]
        """
    )
    assert list(told.outcomes.values()) == ["passed"] * 3, told.text


def test_scenarios(under_given):
    """Drawn arguments and scenarios: what a user writes, with no health check suppressed."""
    told = under_given(
        """
        @few
        @given(arguments=task_arguments(import_users, rows=rows), scenario=scenarios())
        def test_it(taskprogress, arguments, scenario):
            run = taskprogress.under(*scenario).run(import_users, *arguments.args)
            run.check("bounded")
        """
    )
    assert told.of("test_it") == "passed", told.text


# -- how an example ends --------------------------------------------------------------------------

#: What nobody raises to the test, of one with rows.
LEFT = {
    "contract": (
        "report.delay({'percent': 166.67})",
        "bounded: ",
        ("--taskprogress-strict",),
    ),
    "contract, a warning that is an error": (
        "report.delay({'percent': 166.67})",
        "bounded: ",
        ("-W", "error::pytest_taskprogress.TaskProgressWarning"),
    ),
    "walk": (
        "next(iter(taskprogress.under(Abort(at_report(9))).run_iter(import_users, rows)))",
        "Abort(at_report(9)) never happened",
        (),
    ),
    "walk that somebody keeps": (
        "kept[:] = [taskprogress.under(Abort(at_report(9))).run_iter(report, {})]; next(kept[0])",
        "Abort(at_report(9)) never happened",
        (),
    ),
    "listener": (
        "Raises(taskprogress).register(); add.delay(1, 1)",
        "of a listener",
        (),
    ),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_nobody_raised_is_of_its_example(under_given, kind):
    """What goes wrong unnoticed fails the example that did it, and Hypothesis shrinks it."""
    line, message, flags = LEFT[kind]
    told = under_given(
        f"""
        kept = []

        @few
        @given(rows=rows)
        def test_it(taskprogress, rows):
            if len(rows) > 1:
                {line}
        """,
        *flags,
    )
    assert told.of("test_it") == "failed"
    failure = told.failure("test_it")
    assert message in failure
    assert "rows=[0, 0]," in failure
    assert "endings.py" not in failure


def test_an_example_that_is_thrown_away_fails_nothing(under_given):
    """What an example left that Hypothesis did not want is of no test, nor of the next example."""
    told = under_given(
        """
        @few
        @given(n=st.integers())
        def test_it(taskprogress, n):
            if n % 2:
                with pytest.raises(ValueError):
                    raise ValueError
                report.delay({"percent": 200})
                assume(False)

        def test_after(taskprogress):
            pass
        """,
        "--taskprogress-strict",
    )
    assert list(told.outcomes.values()) == ["passed"] * 2, told.text


def test_what_fixtures_did_is_of_no_example(under_given):
    """What went wrong before the first example fails the test, as it does without Hypothesis."""
    told = under_given(
        """
        calls = []

        @pytest.fixture(autouse=True)
        def before(taskprogress):
            report.delay({"percent": 200})

        @few
        @given(n=st.integers())
        def test_it(taskprogress, n):
            calls.append(n)

        def test_plain(taskprogress):
            pass

        def teardown_module():
            assert not calls
        """,
        "--taskprogress-strict",
    )
    assert told.of("test_it") == told.of("test_plain") == "failed"
    assert "Failing test case" not in told.text
    assert "Falsifying example" not in told.text


def test_a_failing_example_shows_its_run(under_given):
    """Of a test that failed the timeline is that of the smallest example."""
    told = under_given(
        """
        @few
        @given(rows=rows)
        def test_it(taskprogress, rows):
            assert len(taskprogress.run(import_users, rows).progress) < 3
        """
    )
    failure = told.failure("test_it")
    assert "rows=[0, 0, 0]," in failure
    assert failure.count("Importing users") == 3


def test_what_the_test_itself_checks_shows_its_line(under_given):
    """An error of a check that the test calls is shown at the line that called it."""
    told = under_given(
        """
        @few
        @given(rows=rows)
        def test_it(taskprogress, rows):
            taskprogress.run(import_users, rows).check("write-budget", write_budget=2)
        """
    )
    failure = told.failure("test_it")
    assert '>       taskprogress.run(import_users, rows).check("write-budget"' in failure
    assert "rows=[0, 0, 0]," in failure
    assert "endings.py" not in failure


def test_a_warning_is_told_once(under_given):
    """Many examples that break a rule in the same way are one warning."""
    told = under_given(
        """
        @few
        @given(n=st.integers())
        def test_it(taskprogress, n):
            taskprogress.run(report, {"percent": 200})
        """
    )
    assert told.of("test_it") == "passed"
    assert len(told.warnings("test_it")) == 1


def test_sweeps_are_counted_over_all_examples(under_given):
    """What is told of sweeps is of all examples, as before."""
    told = under_given(
        """
        @settings(few, max_examples=3)
        @given(n=st.integers())
        def test_it(taskprogress, n):
            for _ in taskprogress.sweep(Advance_1, import_users, [1, 2]):
                pass

        def Advance_1(at):
            return Advance(at, seconds=1)
        """
    )
    assert told.of("test_it") == "passed", told.text
    assert "runs in 3 sweeps" in told.text


def test_a_coroutine_stays_one():
    """A test that another plugin runs, such as anyio's, can be seen to be a coroutine function."""
    begun = []

    async def test(n):
        begun.append(n)
        return n

    engine = SimpleNamespace(
        told_of_listeners=lambda: "",
        check_walks=lambda: None,
        check_listeners=lambda: None,
        finish_walks=lambda: None,
        reset=lambda: begun.append("reset"),
    )
    handle = SimpleNamespace(inner_test=test)
    item = SimpleNamespace(obj=SimpleNamespace(hypothesis=handle))
    with endings.each_anew(item, engine, lambda *_: begun.append("begin")):
        assert asyncio.iscoroutinefunction(handle.inner_test)
        assert asyncio.run(handle.inner_test(3)) == 3
    assert begun == ["reset", "begin", 3]
    assert handle.inner_test is test


def test_nothing_is_done_without_an_engine(app):
    """A test without the fixture, or without Hypothesis, is left alone."""

    def begin(engine, item):
        raise NotImplementedError

    handle = SimpleNamespace(inner_test=len)
    for obj, engine in ((SimpleNamespace(hypothesis=handle), None), (len, EagerEngine(app))):
        with endings.each_anew(SimpleNamespace(obj=obj), engine, begin):
            assert handle.inner_test is len
    with pytest.raises(ListenerError), endings.each_anew(SimpleNamespace(obj=len), None, begin):
        raise ListenerError([ValueError()])
