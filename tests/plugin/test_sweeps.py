"""What a person sees of sweeps: which run failed, and how many there were."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("few_plugins")

PASSES = """
    from {project} import app, import_users
    from pytest_taskprogress.scenario import Advance
    from functools import partial

    def test_it(taskprogress):
        for run in taskprogress.sweep(partial(Advance, seconds=1), import_users, [1, 2, 3]):
            assert run.state == "SUCCESS"
    """

FAILS = """
    from {project} import app, import_users
    from pytest_taskprogress.scenario import Advance
    from functools import partial

    def test_it(taskprogress):
        for run in taskprogress.sweep(partial(Advance, seconds=1), import_users, [1, 2, 3]):
            assert run.percents[0] < 50 or run.progress[1].at == 0.0
            assert run.progress[1].at == 0.0 or run.progress[1].at == run.progress[0].at
    """

#: Whether tests run in processes of their own.
DISTRIBUTED = [(), ("-p", "no:xdist"), ("-n", "2")]


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_a_run_that_fails(pytester, project, flags):
    """The report of a failing test says which run of the sweep it was."""
    pytester.makepyfile(FAILS.format(project=project))
    result = pytester.runpytest(*flags)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- taskprogress -*",
            f"*a sweep of {project}.import_users: 2 of 4, Advance(at_report(1), seconds=1)",
            "taskprogress: 2 runs in a sweep",
        ]
    )


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_how_many(pytester, project, flags):
    """The last lines say how many runs there were, of all tests together."""
    pytester.makepyfile(
        test_one=PASSES.format(project=project), test_two=PASSES.format(project=project)
    )
    result = pytester.runpytest(*flags)
    result.assert_outcomes(passed=2)
    lines = [line for line in result.outlines if line.startswith("taskprogress: ")]
    assert lines == ["taskprogress: 8 runs in 2 sweeps"]
    result.stdout.no_fnmatch_line("*runs of*")


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_verbose(pytester, project, flags):
    """With -v each sweep has a line."""
    pytester.makepyfile(
        f"""
        from {project} import import_users
        from pytest_taskprogress.scenario import Revoke

        def test_two(taskprogress):
            list(taskprogress.sweep(Revoke, import_users, [1]))
            for run in taskprogress.sweep(Revoke, import_users, [1, 2], at_most=2):
                break
        """
    )
    result = pytester.runpytest(*flags, "-v", "-W", "ignore")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "taskprogress: 3 runs in 2 sweeps",
            f"  test_verbose.py::test_two: 2 runs of {project}.import_users",
            f"  test_verbose.py::test_two: 1 of 2 runs of {project}.import_users",
        ]
    )


@pytest.mark.parametrize("flags", DISTRIBUTED, ids=" ".join)
def test_none(pytester, project, flags):
    """Without a sweep nothing is said of them."""
    pytester.makepyfile(
        f"""
        from {project} import import_users

        def test_it(taskprogress):
            assert taskprogress.run(import_users, [1]).state == "SUCCESS"

        def test_fails(taskprogress):
            assert taskprogress.run(import_users, [1]).state == "FAILURE"

        def test_plain():
            pass
        """
    )
    result = pytester.runpytest(*flags, "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.no_fnmatch_line("*sweep*")
    result.stdout.no_fnmatch_line("taskprogress: *")


def test_a_sweep_that_was_not_gone_through(pytester, project):
    """One that made no run is none of those that failed."""
    pytester.makepyfile(
        f"""
        from {project} import import_users
        from pytest_taskprogress.scenario import Revoke

        def test_it(taskprogress):
            assert len(taskprogress.sweep(Revoke, import_users, [1])) == 3
        """
    )
    result = pytester.runpytest("-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["taskprogress: 0 runs in a sweep", f"*: 0 of 2 runs of {project}.import_users"]
    )
    result.stdout.no_fnmatch_line("*last run of a sweep*")


def test_every_sweep_of_a_test(pytester, project):
    """A test with two sweeps says of the one that it is in how far it had come."""
    pytester.makepyfile(
        f"""
        from {project} import add, import_users
        from pytest_taskprogress.scenario import Revoke

        def test_it(taskprogress):
            for run in taskprogress.sweep(Revoke, add, 1, 2):
                assert run.state == "REVOKED"
            for run in taskprogress.sweep(Revoke, import_users, [1]):
                assert run.state == "SUCCESS"
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*of {project}.import_users: 1 of 2, Revoke(before_start(1))",
            "taskprogress: 2 runs in 2 sweeps",
        ]
    )


def test_a_test_does_not_show_the_sweeps_of_another(pytester, project):
    """A test that fails without a sweep says nothing of one."""
    pytester.makepyfile(
        f"""
        from {project} import add
        from pytest_taskprogress.scenario import Revoke

        def test_sweeps(taskprogress):
            assert [run.state for run in taskprogress.sweep(Revoke, add, 1, 2)] == ["REVOKED"]

        def test_fails(taskprogress):
            assert taskprogress.run(add, 1, 2).result == 4

        def test_fails_too():
            assert False
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.no_fnmatch_line("*last run of a sweep*")
    result.stdout.fnmatch_lines(["taskprogress: 1 runs in a sweep"])


def test_a_moment_that_does_not_come_again(pytester, project):
    """A task that is not deterministic fails its sweep: the run and the moment are named."""
    pytester.makepyfile(
        f"""
        import itertools
        from {project} import app
        from pytest_taskprogress import AbortableTask, Observer
        from pytest_taskprogress.scenario import Abort

        left = itertools.count(3, -1)

        @app.task(bind=True, base=AbortableTask, shared=False, name="flickers")
        def flickers(self):
            for _ in Observer(self).track(range(max(next(left), 0)), "Flickering"):
                pass

        def test_it(taskprogress):
            for run in taskprogress.sweep(Abort, flickers):
                pass
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *MomentNotReached: Abort(at_*) never happened: the moment did not come.*",
            "the last run of a sweep of flickers: * of 7, Abort(at_*)",
        ]
    )


def test_xfail_and_skip(pytester, project):
    """Runs are counted whatever the outcome of the test is."""
    pytester.makepyfile(
        f"""
        import pytest
        from {project} import add
        from pytest_taskprogress.scenario import Revoke

        @pytest.mark.xfail
        def test_xfails(taskprogress):
            for run in taskprogress.sweep(Revoke, add, 1, 2):
                assert run.state == "SUCCESS"

        def test_skips(taskprogress):
            for run in taskprogress.sweep(Revoke, add, 1, 2):
                pytest.skip("enough")
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(xfailed=1, skipped=1)
    result.stdout.fnmatch_lines(["taskprogress: 2 runs in 2 sweeps"])


def test_under_given(pytester, project):
    """Under `@given` each example may sweep."""
    pytester.makepyfile(
        f"""
        from hypothesis import given, settings, strategies as st
        from {project} import import_users
        from pytest_taskprogress.scenario import Revoke

        @settings(max_examples=5, database=None, deadline=None, derandomize=True)
        @given(rows=st.lists(st.integers(), min_size=1, max_size=3))
        def test_it(taskprogress, rows):
            sweep = taskprogress.sweep(Revoke, import_users, rows)
            assert len(list(sweep)) == len(rows) + 1
        """
    )
    result = pytester.runpytest("-W", "ignore")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["taskprogress: * runs in 5 sweeps"])


def test_subtests(pytester, project):
    """A sweep whose runs are subtests is counted once."""
    pytest.importorskip("_pytest.subtests", reason="pytest 9")
    pytester.makepyfile(
        f"""
        from {project} import import_users
        from pytest_taskprogress.scenario import Revoke

        def test_it(taskprogress, subtests):
            for number, run in enumerate(taskprogress.sweep(Revoke, import_users, [1, 2])):
                with subtests.test(number=number):
                    assert number != 1
        """
    )
    result = pytester.runpytest("-W", "ignore")
    result.stdout.fnmatch_lines(
        [
            f"*a sweep of {project}.import_users: 2 of 3, Revoke(at_report(1))",
            "taskprogress: 3 runs in a sweep",
        ]
    )


def test_steps_that_stand_still(pytester, project):
    """A test that ends while a run stands still leaves nothing for the next one."""
    pytester.makepyfile(
        f"""
        from {project} import import_users

        kept = []

        def test_it(taskprogress):
            kept.append(taskprogress.run_iter(import_users, [1, 2]))
            assert next(kept[0]).percent == 50.0

        def test_fails(taskprogress):
            for step in taskprogress.run_iter(import_users, [1, 2]):
                assert step.percent == 100.0

        def test_next(taskprogress):
            assert len(taskprogress.history) == 0
            assert kept[0].run.state == "SUCCESS"
            assert list(kept[0]) == []
        """
    )
    pytester.runpytest("-p", "no:randomly", "-W", "error").assert_outcomes(passed=2, failed=1)


def test_an_error_after_the_break(pytester, project):
    """What a run raises after its loop was left fails the test that left it, and no other."""
    pytester.makepyfile(
        f"""
        from {project} import import_users
        from pytest_taskprogress.scenario import Revoke, at_report

        def test_left(taskprogress):
            for step in taskprogress.under(Revoke(at_report(9))).run_iter(import_users, [1, 2]):
                break

        def test_next(taskprogress):
            assert taskprogress.run(import_users, [1]).state == "SUCCESS"
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *MomentNotReached: Revoke(at_report(9)*", "FAILED *test_left*"])
