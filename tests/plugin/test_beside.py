"""Beside the plugins that Celery's users have: Celery's own, and pytest-celery."""

from __future__ import annotations

import pytest

SUITE = """
    from {project} import add

    def test_ours(taskprogress):
        assert taskprogress.run(add, 1, 2).states == ["SUCCESS"]

    def test_celerys(celery_app, celery_session_app):
        assert celery_app.conf.broker_url == "memory://"

    def test_both(taskprogress, celery_app):
        @celery_app.task(shared=False)
        def local():
            return 1

        celery_app.conf.task_always_eager = True
        assert local.delay().get() == 1
        assert taskprogress.run(add, 3, 4).result == 7

    def test_ours_on_celerys_app(celery_app):
        from pytest_taskprogress import EagerEngine

        @celery_app.task(shared=False)
        def local():
            return 1

        with EagerEngine(celery_app) as engine:
            assert engine.run(local).states == ["SUCCESS"]
    """


def test_celery_contrib_pytest(pytester, project):
    """The fixtures of `celery.contrib.pytest` and ours serve one suite."""
    pytester.makepyfile(SUITE.format(project=project))
    result = pytester.runpytest_subprocess("-p", "celery.contrib.pytest", "-W", "ignore")
    result.assert_outcomes(passed=4)


def test_pytest_celery(pytester, project):
    """pytest-celery loads beside this plugin; no name is defined twice."""
    pytest.importorskip("pytest_celery", reason="pip install 'pytest-taskprogress[cluster]'")
    pytester.makepyfile(
        f"""
        from {project} import add

        def test_ours(taskprogress):
            assert taskprogress.run(add, 1, 2).states == ["SUCCESS"]

        def test_markers_and_fixtures(request):
            manager = request.config.pluginmanager
            assert manager.hasplugin("celery")
            assert manager.hasplugin("taskprogress")
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "-W", "ignore")
    result.assert_outcomes(passed=2)
    listing = pytester.runpytest_subprocess("--fixtures", "-W", "ignore")
    listing.stdout.fnmatch_lines(["*celery_worker_cluster*"])
    names = {line.split()[0] for line in listing.outlines if line.startswith("taskprogress")}
    assert names == {
        "taskprogress",
        "taskprogress_app",
        "taskprogress_backend",
        "taskprogress_capture",
    }
