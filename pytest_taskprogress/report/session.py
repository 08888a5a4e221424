"""What the tests of a session left, from all its processes: for the page, and for coverage."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol
from weakref import WeakSet

from pytest_taskprogress.checks.comparing import Change, Recorded, compare
from pytest_taskprogress.checks.golden import read_golden, write_golden
from pytest_taskprogress.checks.reach import Reach
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.report.records import Recorder, with_relative_sources

__all__ = ["RunLog", "Session"]

#: What became of histories that were kept.
_RECORDED: Final = "recorded"
#: What a page names, so that one can tell later what it was made with.
_PACKAGES: Final = ("celery", "hypothesis", "pytest", "pytest-taskprogress")


class _Options(Protocol):
    """What is asked of the options: `Options` has it."""

    @property
    def report(self) -> str | None: ...
    @property
    def coverage(self) -> bool: ...
    @property
    def fail_under(self) -> float | None: ...
    @property
    def record(self) -> str | None: ...
    @property
    def replay(self) -> str | None: ...
    @property
    def looks_back(self) -> bool: ...


def _from_here(path: str) -> str:
    """A path as one would type it."""
    with suppress(ValueError):  # it may be on another drive
        relative = os.path.relpath(path)
        return path if relative.startswith(os.pardir) else relative
    return path


class RunLog:
    """The runs of one test, in the process that makes them.

    Args:
        nodeid: Of the test.
        options: What is asked for.
        sites_of: Finds what an app's tasks report, where nobody has looked before.
        shown: Paths, as one would type them.
        is_random: Whether its runs are others every time: those are not kept, nor compared.
    """

    def __init__(
        self,
        nodeid: str,
        options: _Options,
        sites_of: Callable[[Any], dict[str, Any]],
        *,
        shown: Mapping[str, str],
        is_random: bool,
    ) -> None:
        self._shown = shown
        self._is_random = is_random
        self._nodeid = nodeid
        self._options = options
        self._sites_of = sites_of
        self._recorder = Recorder()
        self._golden: list[Recorded] = []
        self._left: dict[str, Any] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to be told."""
        return bool(self._left or self._recorder.runs)

    def know(self, app: Any) -> None:  # noqa: ANN401 - a Celery app
        """Find what the tasks of an app report."""
        self._left.update(self._sites_of(app))

    def leave(self) -> str:
        """What the report of a phase of the test takes to the session: plain values, as JSON.

        In ASCII: xdist carries no lone surrogate, and no subclass of str; tasks write both.
        """
        left, self._left = {**self._left, "runs": self._recorder.runs}, {}
        self._recorder = Recorder()
        return json.dumps(left, default=as_repr)

    def take(self, engine: Any, run: Any) -> None:  # noqa: ANN401 - of a floor above
        """Take a run of an engine, which is over."""
        self.know(engine.app)
        if self._options.looks_back:
            self._recorder.keep(run)
        if (self._options.record or self._options.replay) and not self._is_random:
            findings = [
                {"rule": each.rule, "task": each.task, "message": each.message}
                for each in run.violations
            ]
            self._golden.append(Recorded(run.history, findings, run.state))

    def check_golden(self) -> None:
        """Keep the runs, or compare them with those that were kept.

        Raises:
            CheckFailed: If they differ.
            GoldenError: If those that were kept cannot be read, or these not be written.
        """
        __tracebackhide__ = True
        runs, self._golden = self._golden, []
        if self._options.record and runs:
            write_golden(self._options.record, self._nodeid, runs)
            self._left["golden"] = [_RECORDED, ""]
        if self._options.replay and not self._is_random:
            directory = self._options.replay
            golden = read_golden(directory, self._nodeid)
            if golden is None and not runs:
                return
            verdict = compare(golden, runs)
            self._left["golden"] = [verdict.change.value, verdict.text]
            if verdict.change is Change.CHANGED:
                shown = self._shown[directory]
                raise CheckFailed(
                    str(verdict),
                    expected=f"what was recorded in {shown}",
                    allow=f"To keep what is new: --taskprogress-record={shown}",
                )


class Session:
    """A plugin of pytest that takes what tests left, and tells of it when the session ends.

    Args:
        options: What is asked for.
        is_worker: Whether this is a process of xdist, which only sends what it has.
        root: The directory of the project.
        sites_of: Finds the lines of an app's tasks that report.
    """

    def __init__(
        self,
        options: _Options,
        *,
        is_worker: bool,
        root: str,
        sites_of: Callable[[Any], dict[str, Any]],
    ) -> None:
        self._root = os.path.join(root, "")  # noqa: PTH118 - a Path has no separator at its end
        self._options = options
        self._shown = {
            path: _from_here(path)
            for path in (options.report, options.record, options.replay)
            if path
        }
        self._is_worker = is_worker
        self._sites_of = sites_of
        self._apps: WeakSet[Any] = WeakSet()
        self._tests: dict[str, dict[str, Any]] = {}
        self._golden: list[tuple[str, str, str]] = []
        self._reach = Reach()
        self._error = ""

    # -- in the process that runs tests -----------------------------------------------------------

    def begin(self, nodeid: str, *, is_random: bool) -> RunLog:
        """Begin to take the runs of a test, and of its fixtures."""
        return RunLog(
            nodeid, self._options, self._new_sites, shown=self._shown, is_random=is_random
        )

    def _new_sites(self, app: Any) -> dict[str, Any]:  # noqa: ANN401 - a Celery app
        if not self._options.looks_back or app in self._apps:
            return {}
        self._apps.add(app)
        return self._sites_of(app)

    # -- hooks ------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's
        """Take what a test left, in each of its phases."""
        left = getattr(report, "taskprogress", None)
        if self._is_worker or left is None:
            return
        left = with_relative_sources(json.loads(left), self._root)
        for run in left["runs"]:
            self._reach.add(run)
        self._reach.add_sites(left.get("sites", ()), left.get("abortable", ()))
        if "golden" in left:
            self._golden.append((report.nodeid, *left["golden"]))
        if self._options.report:
            self._add(report, left["runs"])

    def _add(self, report: Any, runs: list[dict[str, Any]]) -> None:  # noqa: ANN401 - pytest's
        """Keep what the page is made of."""
        test = self._tests.setdefault(report.nodeid, {"nodeid": report.nodeid, "runs": []})
        if report.when == "call" or not report.passed:
            test["outcome"] = report.outcome
        if report.failed:
            # Of a test that fails, and so does its teardown: both.
            failures = filter(None, [test.get("failure"), report.longreprtext])
            test["failure"] = "\n\n".join(failures)
        test["duration"] = test.get("duration", 0.0) + report.duration
        test["runs"] += runs

    def pytest_sessionfinish(self, session: Any) -> None:  # noqa: ANN401
        """Write the page, and fail if too little was reached."""
        if self._is_worker:
            return
        if self._options.report:
            try:
                self._write_page(self._options.report)
            except Exception as error:  # noqa: BLE001 - the tests count, whatever is wrong with it
                self._error = f"{type(error).__name__}: {as_text(error)}"
        if (self._error or self._is_under) and session.exitstatus == 0:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:  # noqa: ANN401
        """Tell of it."""
        if self._options.record or self._options.replay:
            counts = Counter(change for _, change, _ in self._golden)
            told = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
            where = self._shown[self._options.record or self._options.replay or ""]
            terminalreporter.write_line(f"taskprogress: golden histories in {where}: {told or 0}")
            for nodeid, change, text in self._golden:
                if change in (Change.FIXED.value, Change.NEW.value):
                    told = text.replace("\n", "\n    ")
                    terminalreporter.write_line(f"  {change} {nodeid}: {told}")
        if self._options.coverage:
            terminalreporter.section("transition coverage")
            for line in self._reach.lines(min(terminalreporter._tw.fullwidth, 120)):  # noqa: SLF001
                terminalreporter.write_line(line)
        if self._is_under:
            terminalreporter.write_line(
                f"taskprogress: transition coverage is {self._percent:.2f} %: expected"
                f" {self._options.fail_under:g} % or more",
                red=True,
            )
        if self._error:
            where = f"the report cannot be written to {self._options.report}"
            terminalreporter.write_line(f"taskprogress: {where}: {self._error}", red=True)
        elif self._options.report:
            count = sum(run["alike"] for test in self._tests.values() for run in test["runs"])
            tests = len(self._tests)
            terminalreporter.write_line(
                f"taskprogress: {count:,} run{'' if count == 1 else 's'} of"
                f" {tests:,} test{'' if tests == 1 else 's'} in {self._options.report}"
            )

    # -- what is made of it -----------------------------------------------------------------------

    @property
    def _percent(self) -> float:
        return float(self._reach.table()["percent"])

    @property
    def _is_under(self) -> bool:
        least = self._options.fail_under
        return least is not None and self._percent < least

    def _write_page(self, path: str) -> None:
        # Loaded only for the page: the library that it is made with is an extra.
        from pytest_taskprogress.report.page import write  # noqa: PLC0415

        versions = {"python": sys.version.partition(" ")[0]}
        for name in _PACKAGES:
            with suppress(PackageNotFoundError):
                versions[name] = version(name)
        data = {
            "title": "Task progress",
            "tests": list(self._tests.values()),
            "reach": self._reach.table(),
            "versions": versions,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        write(path, data)
