"""What the tests of a session left, from all its processes: for the page, and for coverage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol

from pytest_taskprogress.checks.comparing import Change, Recorded, compare
from pytest_taskprogress.checks.golden import read_golden, write_golden
from pytest_taskprogress.checks.reach import Reach
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.report.records import Recorder, record_of

__all__ = ["RunLog", "Session"]

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


class RunLog:
    """The runs of one test, in the process that makes them.

    Attributes:
        left: What the report of the test takes to the session: plain values.

    Args:
        nodeid: Of the test.
        options: What is asked for.
        left: What is known before.
    """

    def __init__(self, nodeid: str, options: _Options, left: dict[str, Any]) -> None:
        self._nodeid = nodeid
        self._options = options
        self._recorder = Recorder()
        self._golden: list[Recorded] = []
        self.left = {**left, "runs": self._recorder.runs}

    def take(self, run: Any) -> None:  # noqa: ANN401 - a TaskRun, of a floor above
        """Take a run that is over."""
        if self._options.looks_back:
            self._recorder.keep(run)
        if self._options.record or self._options.replay:
            findings = record_of(run)["findings"]
            self._golden.append(Recorded(run.history, findings, run.state))

    def check_golden(self) -> None:
        """Keep the runs, or compare them with those that were kept.

        Raises:
            CheckFailed: If they differ.
            GoldenError: If those that were kept cannot be read, or these not be written.
        """
        __tracebackhide__ = True
        if not self._golden:
            return
        if self._options.record:
            write_golden(self._options.record, self._nodeid, self._golden)
        if self._options.replay:
            directory = self._options.replay
            verdict = compare(read_golden(directory, self._nodeid), self._golden)
            if verdict.change is Change.CHANGED:
                raise CheckFailed(
                    str(verdict),
                    expected=f"what was recorded in {directory}",
                    allow=f"To keep what is new: --taskprogress-record={directory}",
                )
            if verdict.change is not Change.SAME:
                self.left["golden"] = str(verdict)


class Session:
    """A plugin of pytest that takes what tests left, and tells of it when the session ends.

    Args:
        options: What is asked for.
        is_worker: Whether this is a process of xdist, which only sends what it has.
        sites_of: Finds the lines of an app's tasks that report.
    """

    def __init__(
        self, options: _Options, *, is_worker: bool, sites_of: Callable[[Any], dict[str, Any]]
    ) -> None:
        self._options = options
        self._is_worker = is_worker
        self._sites_of = sites_of
        self._apps: set[int] = set()
        self._tests: dict[str, dict[str, Any]] = {}
        self._golden: list[tuple[str, str]] = []
        self._reach = Reach()
        self._error = ""

    # -- in the process that runs tests -----------------------------------------------------------

    def begin(self, nodeid: str, app: Any, on_run: list[Any]) -> RunLog:  # noqa: ANN401
        """Begin to take the runs of a test.

        Args:
            nodeid: Of the test.
            app: The Celery app whose tasks it runs.
            on_run: Who is told of runs by the engine.
        """
        left: dict[str, Any] = {}
        if self._options.looks_back and id(app) not in self._apps:
            self._apps.add(id(app))
            left = self._sites_of(app)
        log = RunLog(nodeid, self._options, left)
        on_run[:] = [log.take]
        return log

    # -- hooks ------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's
        """Take what a test left; that its teardown failed comes later."""
        left = getattr(report, "taskprogress", None)
        if self._is_worker or (
            left is None and not (report.failed and report.nodeid in self._tests)
        ):
            return
        test = self._tests.setdefault(report.nodeid, {"nodeid": report.nodeid, "runs": []})
        if report.when == "call" or report.failed:
            test["outcome"] = report.outcome
            test["failure"] = report.longreprtext if report.failed else None
        test["duration"] = test.get("duration", 0.0) + report.duration
        if left is None:
            return
        test["runs"] += left["runs"]
        for run in left["runs"]:
            self._reach.add(run)
        self._reach.add_sites(left.get("sites", ()), left.get("abortable", ()))
        if "golden" in left:
            self._golden.append((report.nodeid, left["golden"]))

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
        for nodeid, told in self._golden:
            terminalreporter.write_line(f"taskprogress: {nodeid}: {told}")
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
            terminalreporter.write_line(
                f"taskprogress: {count:,} runs of {len(self._tests):,} tests are in"
                f" {self._options.report}"
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
