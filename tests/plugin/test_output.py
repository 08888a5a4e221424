"""What a person sees when a test fails."""

from __future__ import annotations


def test_a_history_that_differs(pytester, project):
    """The first difference is named, and the transitions are shown with it marked."""
    pytester.makepyfile(
        f"""
        from {project} import import_users

        def test_it(taskprogress):
            run = taskprogress.run(import_users, [1, 2])
            assert run.history == ["PROGRESS", "STARTED", "SUCCESS"]

        def test_other_way(taskprogress):
            run = taskprogress.run(import_users, [1])
            assert ["PROGRESS"] == run.history

        def test_too_long(taskprogress):
            run = taskprogress.run(import_users, [1])
            assert run.history == ["PROGRESS", "SUCCESS", "SUCCESS"]

        def test_something_else(taskprogress):
            run = taskprogress.run(import_users, [1])
            assert run.history == 3

        def test_not_equal(taskprogress):
            run = taskprogress.run(import_users, [1])
            assert run.history != ["PROGRESS", "SUCCESS"]
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(failed=5)
    lines = [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
    story = iter(lines)
    for expected in (
        "AssertionError: assert ['PROGRESS', 'PROGRESS', 'SUCCESS'] == ['PROGRESS', 'STARTED', 'S",
        "First difference at [1]: expected 'STARTED', got 'PROGRESS'",
        "0   0.000 ",
        "> 1   0.000 ",
        "2   0.000 ",
        "First difference at [1]: expected nothing more, got 'SUCCESS'",
        "First difference at [2]: expected 'SUCCESS', got nothing more",
        "> (nothing more)",
        "AssertionError: assert History(['PROGRESS', 'SUCCESS']) == 3",
        "AssertionError: assert History(['PROGRESS', 'SUCCESS']) != ['PROGRESS', 'SUCCESS']",
    ):
        assert any(line.startswith(expected) for line in story), expected


def test_a_warning_is_at_the_users_line(pytester, project):
    """What a plain task loses is in pytest's summary of warnings, at the line that reported it."""
    pytester.makepyfile(
        f"""
        from {project} import app
        from pytest_taskprogress import Observer

        @app.task(bind=True, shared=False)
        def loses(self):
            Observer(self).fail("bad luck")

        def test_it(taskprogress):
            assert taskprogress.run(loses).state == "SUCCESS"
        """
    )
    result = pytester.runpytest("-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*test_a_warning_is_at_the_users_line.py:6: TaskProgressWarning: *breaks its contract:",
            "*no-zombie: FAILURE was stored*",
        ]
    )
