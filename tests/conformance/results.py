"""How tests ended: running them, and what is told of two runs beside each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

#: Of the tests that pass on a prefork worker, this share passes on the engine.
FLOOR = 95.0
#: Longer than any run: seconds.
_TIMEOUT = 1800


class Results(NamedTuple):
    """What came of one run of pytest.

    Attributes:
        tests: By name (`class::test[parameters]`), what the plugin `record` writes.
        seconds: How long pytest ran.
    """

    tests: dict[str, dict]
    seconds: float

    @property
    def passed(self):
        """The names of those that passed."""
        return {name for name, test in self.tests.items() if test["outcome"] == "passed"}


def run_pytest(scratch, *arguments, **environment):
    """Run tests of an sdist, with the plugins of this folder and the package of this checkout.

    Args:
        scratch: Where the sdist is, and the interpreter.
        arguments: For pytest.
        environment: Variables to add.

    Raises:
        RuntimeError: If pytest came to no end: what it printed has been printed.
    """
    record = scratch.folder / "record.json"
    record.unlink(missing_ok=True)
    command = [scratch.python, "-m", "pytest", "-p", "celery.contrib.pytest", "-p", "record"]
    options = ["--record", record, "-q", "--tb=short", "--color=no", "-p", "no:cacheprovider"]
    path = os.pathsep.join(map(str, (HERE, ROOT)))
    dropped = {"PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH"}
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *options, *arguments],
        check=False,
        cwd=scratch.tests,
        env={**inherited, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
    )
    seconds = time.perf_counter() - began
    tests = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if done.returncode not in {0, 1} or not tests:
        sys.stderr.write(done.stdout)
        message = f"pytest ended with {done.returncode}, after {len(tests)} tests"
        raise RuntimeError(message)
    return Results(tests, seconds)


class Comparison(NamedTuple):
    """What should pass, beside what does.

    Attributes:
        wanted: Names of the tests that should pass.
        passing: Those of them that do.
        known: Reason of each that does not and need not.
        surprises: What happened to each that does not, and should.
        stale: Names in the table of reasons that pass.
    """

    wanted: set[str]
    passing: set[str]
    known: dict[str, str]
    surprises: dict[str, str]
    stale: list[str]

    @property
    def share(self):
        """How many of 100 pass."""
        return 100.0 * len(self.passing) / len(self.wanted)


def compare(wanted, results, reasons):
    """Compare what should pass with what does.

    Args:
        wanted: Names of the tests that should pass.
        results: Of the run.
        reasons: Why some need not, by name, with or without parameters.
    """
    passing = wanted & results.passed
    known, surprises = {}, {}
    for name in sorted(wanted - passing):
        reason = reasons.get(name) or reasons.get(_bare(name))
        if reason is not None:
            known[name] = reason
        else:
            test = results.tests.get(name, {"outcome": "not collected", "why": ""})
            surprises[name] = f"{test['outcome']}: {test['why']}"
    stale = sorted(name for name in passing if name in reasons or _bare(name) in reasons)
    return Comparison(wanted, passing, known, surprises, stale)


def _bare(name):
    return name.partition("[")[0]
