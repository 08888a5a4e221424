"""What an import costs, and what it brings: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"celery", "kombu", "hypothesis", "sqlalchemy", "redis", "docker", "greenlet", "tqdm"}


def modules_after(code):
    """The names that a piece of code adds to `sys.modules`, in a new interpreter."""
    script = f"import sys\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def roots(modules):
    """Their top-level packages."""
    return {name.partition(".")[0] for name in modules}


def test_the_plugin_is_light():
    """Loading the plugin brings nothing heavy, and few small modules beyond pytest's."""
    new = modules_after(
        "import pytest\nbefore = set(sys.modules)\nimport pytest_taskprogress.plugin"
    )
    assert not roots(new) & HEAVY
    assert len(new) <= 9, new


def test_a_test_run_without_the_fixtures_is_light(pytester):
    """A test that does not use the plugin never imports Celery, failing or not."""
    pytester.makepyfile(
        """
        import sys

        def test_light():
            assert "celery" not in sys.modules
            assert "pytest_taskprogress.core.transitions" not in sys.modules

        def test_fails():
            assert [1] == [2]

        def test_still_light():
            assert "pytest_taskprogress.core.transitions" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:celery")
    result.assert_outcomes(passed=2, failed=1)


@pytest.mark.parametrize("name", ["Observer", "ProgressTask"])
def test_production_is_light(name):
    """A worker that reports imports neither pytest nor Hypothesis, nor any engine."""
    new = modules_after(f"before = set(sys.modules)\nfrom pytest_taskprogress import {name}")
    assert not roots(new) & {"pytest", "_pytest", "hypothesis"}
    assert not {each for each in new if each.startswith("pytest_taskprogress.engines")}


def test_core_is_standard_library():
    """The values need nothing but Python."""
    new = modules_after(
        "before = set(sys.modules)\nfrom pytest_taskprogress import History, Progress, VirtualClock"
    )
    outside = roots(new) - set(sys.stdlib_module_names) - {"pytest_taskprogress"}
    if sys.version_info < (3, 11):
        # Exception groups came with Python 3.11; before that pytest requires their back-port.
        outside -= {"exceptiongroup", "typing_extensions"}
    assert {each for each in outside if not each.startswith("_")} == set()
