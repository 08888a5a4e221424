"""What a person sees when listeners raise: the test fails, with their tracebacks."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("few_plugins")

#: Whether tests run in processes of their own.
DISTRIBUTED = [(), ("-p", "no:xdist"), ("-n", "2")]

LISTENERS = """
    import pytest
    from {project} import add, import_users
    from pytest_taskprogress import Listener

    class Flows(Listener):
        def _flow_receiver(self, state, details):
            raise ValueError(f"of flows: {{state}}")  # line: flows

    class Tasks(Listener):
        def _task_receiver(self, state, details):
            if state == "PROGRESS":
                helper(details)

    def helper(details):
        raise KeyError("of tasks")  # line: helper
    """


def source(project, tests):
    """A test file with listeners that raise."""
    from textwrap import dedent

    return dedent(LISTENERS.format(project=project)) + dedent(tests)


def line_of(path, mark):
    """Number of the line with a mark."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# line: {mark}"))


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_each_traceback(pytester, project, flags):
    """The test fails with every listener's traceback: file and line of what raised."""
    path = pytester.makepyfile(
        source(
            project,
            """
            def test_it(taskprogress):
                with Flows(taskprogress), Tasks(taskprogress):
                    run = taskprogress.run(import_users, [1, 2])
                assert run.state == "SUCCESS"
                assert run.percents == [50.0, 100.0]
            """,
        )
    )
    result = pytester.runpytest(*flags)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "4 listener errors while tasks ran (the tasks went on):" in text
    for message in ("of flows: RUNNING", "of flows: SUCCESS", "KeyError: 'of tasks'"):
        assert message in text
    for mark, times in (("helper", 2), ("flows", 2)):
        line = line_of(path, mark)
        # In pytest's own style, or in Python's.
        shown = text.count(f'{path.name}", line {line}') + text.count(f"{path.name}:{line}:")
        assert shown >= times, (mark, line)
    assert "in helper" in text


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_beside_a_failure_of_its_own(pytester, project, flags):
    """A test that fails itself shows its own failure, and the listeners' tracebacks too."""
    path = pytester.makepyfile(
        source(
            project,
            """
            def test_it(taskprogress):
                with Flows(taskprogress):
                    run = taskprogress.run(add, 1, 2)
                assert run.result == 4
            """,
        )
    )
    result = pytester.runpytest(*flags)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 3 == 4*"])
    text = result.stdout.str()
    assert "of flows: RUNNING" in text
    assert "of flows: SUCCESS" in text
    line = line_of(path, "flows")
    shown = text.count(f'{path.name}", line {line}') + text.count(f"{path.name}:{line}:")
    assert shown >= 2


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_the_next_test(pytester, project, flags):
    """What listeners raised in one test fails that one, and no other."""
    pytester.makepyfile(
        source(
            project,
            """
            def test_before(taskprogress):
                assert taskprogress.run(add, 1, 2).result == 3

            def test_raises(taskprogress):
                Flows(taskprogress).register()
                taskprogress.run(add, 1, 2)

            def test_fails_itself(taskprogress):
                Flows(taskprogress).register()
                taskprogress.run(add, 1, 2)
                raise RuntimeError

            def test_after(taskprogress):
                assert taskprogress.run(add, 1, 2).result == 3
                assert len(taskprogress.notifier) == 0

            def test_without():
                pass
            """,
        )
    )
    result = pytester.runpytest("-p", "no:randomly", *flags)
    result.assert_outcomes(passed=3, failed=2)


def test_skipped_and_expected(pytester, project):
    """A listener's error fails a test that skips itself too late; an expected failure it is not."""
    pytester.makepyfile(
        source(
            project,
            """
            @pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
            def test_expects_something_else(taskprogress):
                with Flows(taskprogress):
                    taskprogress.run(add, 1, 2)

            @pytest.mark.xfail(strict=True)
            def test_expects_anything(taskprogress):
                with Flows(taskprogress):
                    taskprogress.run(add, 1, 2)
            """,
        )
    )
    pytester.runpytest().assert_outcomes(failed=1, xfailed=1)


def test_in_fixtures(pytester, project):
    """What is raised in a fixture's setup fails the test; in its teardown it is an error."""
    pytester.makepyfile(
        source(
            project,
            """
            @pytest.fixture
            def published(taskprogress):
                with Flows(taskprogress):
                    taskprogress.run(add, 1, 2)

            @pytest.fixture
            def publishes_late(taskprogress):
                yield
                with Flows(taskprogress):
                    taskprogress.run(add, 1, 2)

            def test_setup(published):
                pass

            def test_teardown(publishes_late):
                pass

            def test_after(taskprogress):
                assert taskprogress.run(add, 1, 2).result == 3
            """,
        )
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(failed=1, passed=2, errors=1)
    assert "of flows: SUCCESS" in result.stdout.str()


def test_of_an_engine_of_its_own(pytester, project):
    """An engine that a test makes itself raises where it is left."""
    pytester.makepyfile(
        source(
            project,
            """
            from pytest_taskprogress import EagerEngine, ListenerError

            def test_it():
                with EagerEngine(add.app) as engine, Flows(engine):
                    engine.run(add, 1, 2)

            def test_taken():
                with pytest.raises(ListenerError, match="of flows"):
                    with EagerEngine(add.app) as engine, Flows(engine):
                        engine.run(add, 1, 2)
            """,
        )
    )
    pytester.runpytest().assert_outcomes(failed=1, passed=1)


def test_taken_by_the_test(pytester, project):
    """A test that takes the errors itself does not fail."""
    pytester.makepyfile(
        source(
            project,
            """
            from pytest_taskprogress import ListenerError

            def test_it(taskprogress):
                with Flows(taskprogress):
                    taskprogress.run(add, 1, 2)
                with pytest.raises(ListenerError) as caught:
                    taskprogress.check_listeners()
                assert len(caught.value.errors) == 2
            """,
        )
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_under_given(pytester, project):
    """Under @given a listener's error fails the test."""
    pytester.makepyfile(
        source(
            project,
            """
            from hypothesis import given, settings, strategies as st

            @settings(max_examples=5)
            @given(number=st.integers())
            def test_it(taskprogress, number):
                with Flows(taskprogress):
                    assert taskprogress.run(add, number, 0).result == number
            """,
        )
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    assert "of flows: SUCCESS" in result.stdout.str()
