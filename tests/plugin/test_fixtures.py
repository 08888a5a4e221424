"""The fixtures, as a user's test suite has them."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.usefixtures("few_plugins")


def test_run(pytester, project):
    """A test runs a task and sees what it stored."""
    pytester.makepyfile(
        f"""
        from {project} import import_users

        def test_reports_every_row(taskprogress):
            run = taskprogress.run(import_users, [1, 2, 3, 4])
            assert run.state == "SUCCESS"
            assert run.percents == [25.0, 50.0, 75.0, 100.0]
            assert run.history == ["PROGRESS"] * 4 + ["SUCCESS"]
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_every_test_has_it_new(pytester, project):
    """Nothing that a test did is seen by the next one, whatever it did."""
    pytester.makepyfile(
        f"""
        import pytest
        from {project} import add, again, app

        kept = []

        def test_first(taskprogress, taskprogress_backend, taskprogress_capture):
            kept.append(taskprogress.run(add, 1, 2).task_id)
            taskprogress.clock.advance(60)
            assert taskprogress_backend.writes[kept[0]] == 1
            assert len(taskprogress_capture) == 1
            app.conf.task_track_started = True

        def test_paused_and_left_open(taskprogress):
            taskprogress.paused().__enter__()
            add.delay(1, 2)

        def test_interrupted(taskprogress):
            with pytest.raises(Exception, match="limit=10000"):
                again.delay()

        def test_last(taskprogress, taskprogress_backend, taskprogress_capture):
            assert taskprogress.history == []
            assert taskprogress.pending == []
            assert taskprogress.clock.monotonic() == 0.0
            assert taskprogress_backend.writes == {{}}
            assert len(taskprogress_capture) == 0
            assert app.AsyncResult(kept[0]).state == "PENDING"
            assert taskprogress.run(add, 1, 2).states == ["SUCCESS"]
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=4)


def test_it_is_off_between_tests(pytester, project):
    """A test that does not ask for the engine has the app as it is in production."""
    pytester.makepyfile(
        f"""
        from {project} import add, app

        def test_on(taskprogress):
            assert add.delay(1, 2).get() == 3

        def test_off():
            assert app._backend_cache is None
            assert "now" not in vars(app)
            assert app.conf.broker_url == "redis://nowhere"

        def test_on_again(taskprogress):
            assert add.delay(1, 2).get() == 3
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=3)


def test_fixtures_of_a_test_may_use_it(pytester, project):
    """Fixtures may run tasks, before and after the test."""
    pytester.makepyfile(
        f"""
        import pytest
        from {project} import add

        @pytest.fixture
        def added(taskprogress):
            yield taskprogress.run(add, 1, 2)
            assert add.delay(3, 4).get() == 7

        @pytest.mark.parametrize("n", range(3))
        def test_it(added, taskprogress, n):
            assert added.result == 3
            assert len(taskprogress.history) == 1
        """
    )
    pytester.runpytest().assert_outcomes(passed=3)


def test_the_current_app_is_the_default(pytester, project):
    """Without an override the current app is used."""
    pytester.makeconftest("")
    pytester.makepyfile(
        f"""
        from {project} import add, app

        def test_it(taskprogress, taskprogress_app):
            assert taskprogress_app is app
            assert taskprogress.run(add, 1, 2).result == 3
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_module_may_override_the_app(pytester, project):
    """Modules with an app of their own run on it, in any order, fixtures or not."""
    module = """
        import pytest
        from celery import Celery

        app = Celery("{name}", set_as_current=False)

        @app.task(shared=False)
        def who():
            return app.main

        @pytest.fixture(scope="session")
        def taskprogress_app():
            return app

        @pytest.fixture
        def prepared(taskprogress):
            assert who.delay().get() == "{name}"
            return taskprogress.run(who)

        def test_fixture(prepared):
            assert prepared.result == "{name}"

        def test_run(taskprogress):
            assert taskprogress.app is app
            assert taskprogress.run(who).result == "{name}"

        class TestOther:
            other = Celery("other", set_as_current=False)

            @pytest.fixture(scope="session")
            def taskprogress_app(self):
                return self.other

            def test_class(self, taskprogress):
                assert taskprogress.app is self.other

        def test_again(prepared):
            assert prepared.result == "{name}"
        """
    pytester.makepyfile(
        test_one=module.format(name="one"),
        test_two=module.format(name="two"),
        test_zero=f"""
        from {project} import add

        def test_run(taskprogress):
            assert taskprogress.run(add, 1, 2).result == 3
        """,
    )
    pytester.runpytest().assert_outcomes(passed=9)
    pytester.runpytest("test_two.py", "test_zero.py", "test_one.py").assert_outcomes(passed=9)
    order = ["test_one.py::test_again", "test_two.py::test_again", "test_one.py::test_fixture"]
    pytester.runpytest(*order, "test_zero.py").assert_outcomes(passed=4)


def test_the_current_app_is_not_that_of_another_module(pytester, project):
    """The engine makes its app the current one; a later module's default does not see that."""
    pytester.makeconftest("")
    pytester.makepyfile(
        test_first="""
        import pytest
        from celery import Celery

        app = Celery("first", set_as_current=False)

        @pytest.fixture(scope="session")
        def taskprogress_app():
            return app

        def test_it(taskprogress):
            assert taskprogress.app is app
        """,
        test_second=f"""
        from {project} import add, app

        def test_it(taskprogress):
            assert taskprogress.app is app
            assert taskprogress.run(add, 1, 2).result == 3
        """,
    )
    pytester.runpytest("test_first.py", "test_second.py").assert_outcomes(passed=2)
    pytester.runpytest("test_second.py", "test_first.py").assert_outcomes(passed=2)


def test_a_task_of_another_app(pytester, project):
    """A task of another app is an error that names the fixture to override."""
    pytester.makepyfile(
        """
        from celery import Celery

        app = Celery("other", set_as_current=False)

        @app.task(shared=False)
        def foreign():
            return 1

        def test_it(taskprogress):
            taskprogress.run(foreign)
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ForeignTaskError: *override `taskprogress_app`*"])


def test_no_app_at_all(pytester, project):
    """A fixture that returns no app is an error that says so."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def taskprogress_app():
            return None
        """
    )
    pytester.makepyfile("def test_it(taskprogress): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*EngineError: *Celery app, got app=None*"])


def test_under_given(pytester, project):
    """It works under @given with no health check suppressed; every example is a run of its own."""
    pytester.makepyfile(
        f"""
        from hypothesis import given, strategies as st
        from {project} import import_users

        @given(rows=st.lists(st.integers(), max_size=5))
        def test_it(taskprogress, rows):
            run = taskprogress.run(import_users, rows)
            assert run.state == "SUCCESS"
            assert len(run.progress) == max(len(rows), 1)
            assert len(run.history) == len(run.progress) + 1
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_in_unittest(pytester, project):
    """A TestCase gets it through usefixtures, and the object by a fixture of its own."""
    pytester.makepyfile(
        f"""
        import unittest
        import pytest
        from {project} import add

        @pytest.mark.usefixtures("taskprogress")
        class Tests(unittest.TestCase):
            def setUp(self):
                assert add.delay(1, 1).get() == 2

            def test_it(self):
                self.assertEqual(add.delay(1, 2).get(), 3)

            def test_again(self):
                self.assertEqual(add.delay(1, 3).get(), 4)

        class WithEngine(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def engine(self, taskprogress):
                self.taskprogress = taskprogress

            def test_it(self):
                self.assertEqual(self.taskprogress.run(add, 1, 2).states, ["SUCCESS"])
        """
    )
    pytester.runpytest().assert_outcomes(passed=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_under_xdist(pytester, project, workers):
    """It works on the workers of xdist."""
    pytest.importorskip("xdist", reason="pip install pytest-xdist")
    pytester.makepyfile(
        f"""
        import pytest
        from {project} import import_users

        @pytest.mark.parametrize("size", range(1, 7))
        def test_it(taskprogress, size):
            assert len(taskprogress.run(import_users, list(range(size))).percents) == size
            assert len(taskprogress.history) == size + 1
        """
    )
    pytester.runpytest_subprocess("-n", str(workers)).assert_outcomes(passed=6)


def test_a_listener_that_raises_fails_the_test(pytester, project):
    """The error of a listener fails the test at its end, with the listener's traceback."""
    pytester.makepyfile(
        f"""
        from {project} import add
        from pytest_taskprogress.listeners import Listener

        class Broken(Listener):
            def _task_receiver(self, state, details):
                raise ZeroDivisionError("in the listener")

        def test_it(taskprogress):
            with Broken(taskprogress):
                assert taskprogress.run(add, 1, 2).result == 3

        def test_next(taskprogress):
            assert taskprogress.run(add, 1, 2).result == 3
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*ListenerError: *", "*ZeroDivisionError: in the listener*"])


def test_a_fixture_asked_for_late(pytester, project):
    """getfixturevalue works for the first test, and says what to do when it is too late."""
    pytester.makepyfile(
        f"""
        import pytest
        from pytest_taskprogress import EngineNotInstalled
        from {project} import add

        def test_first(request):
            assert request.getfixturevalue("taskprogress").run(add, 1, 2).result == 3

        def test_second(request):
            with pytest.raises(EngineNotInstalled, match="fixture `taskprogress`"):
                request.getfixturevalue("taskprogress").run(add, 1, 2)
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


def test_doctests_are_left_alone(pytester, project):
    """An item that is no function test is not touched."""
    pytester.makepyfile(
        module='''
        def one():
            """
            >>> one()
            1
            """
            return 1
        '''
    )
    pytester.runpytest("--doctest-modules", "module.py").assert_outcomes(passed=1)


def test_they_explain_themselves(pytester, project):
    """pytest --fixtures tells what each is for, from the first line on."""
    result = pytester.runpytest("--fixtures", "-v")
    for name, first_line in {
        "taskprogress_app": "The Celery app whose tasks are tested",
        "taskprogress": "Run Celery tasks in this process as a worker would",
        "taskprogress_backend": "The result backend in memory",
        "taskprogress_capture": "The listener that keeps the transitions",
    }.items():
        assert re.search(
            rf"^{name} \[session scope\] -- .*plugin.py:\d+\n    {first_line}",
            result.stdout.str(),
            re.MULTILINE,
        )
