"""Writes down how each test ended: a pytest plugin, loaded by `-p record --record FILE`."""

from __future__ import annotations

import json
from pathlib import Path

#: Of the phases of a test, and of its subtests, the worst is how it ended.
_FROM_GOOD_TO_BAD = ("passed", "skipped", "failed")


def pytest_addoption(parser):
    """Add the option that names the file."""
    parser.addoption("--record", metavar="FILE", type=Path, help="where to write the outcomes")


def pytest_configure(config):
    """Listen, if there is a file to write to."""
    path = config.getoption("--record")
    if path is not None:
        config.pluginmanager.register(_Recorder(path))


class _Recorder:
    """Collects reports, and writes them when the session is over."""

    def __init__(self, path):
        self._path = path
        self._tests = {}

    def pytest_runtest_logreport(self, report):
        """Take the report of one phase of a test."""
        name = report.nodeid.partition("::")[2]
        if report.outcome == "rerun":
            # pytest-rerunfailures tries again: what counts is how the last attempt ends.
            self._tests.pop(name, None)
            return
        test = self._tests.setdefault(name, {"outcome": "passed", "seconds": 0.0, "why": ""})
        test["seconds"] += report.duration
        test.update(dict(report.user_properties))
        if _FROM_GOOD_TO_BAD.index(report.outcome) > _FROM_GOOD_TO_BAD.index(test["outcome"]):
            test.update(outcome=report.outcome, why=_first_line(report))

    def pytest_sessionfinish(self):
        """Write all of it."""
        self._path.write_text(json.dumps(self._tests, indent=1), encoding="utf-8")


def _first_line(report):
    """Why a test failed, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return (text.strip().splitlines() or [""])[0]
