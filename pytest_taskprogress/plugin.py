"""The pytest plugin: fixtures and hooks, thin.

Each fixture is a wrapper of something public. Celery, and all that needs it, is imported when the
first fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_taskprogress import options

if TYPE_CHECKING:
    from pytest_taskprogress.engines.attached import CeleryEngine
    from pytest_taskprogress.engines.backend import FakeBackend
    from pytest_taskprogress.engines.eager import EagerEngine
    from pytest_taskprogress.listeners.capturing import CaptureListener

_OPTIONS: Final = pytest.StashKey[options.Options]()
_APPS: Final = pytest.StashKey["dict[str, Any]"]()
_ENGINE: Final = pytest.StashKey["EagerEngine"]()
_INSTALLED: Final = pytest.StashKey[ExitStack]()

#: Property of a test report that tells of a sweep.
_SWEEP: Final = "taskprogress_sweep"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and check the options before anything runs."""
    config.addinivalue_line(
        "markers",
        "taskprogress(limit=...): options of the taskprogress fixtures for a test, a class or a"
        " module; limit: how many messages may come of what one drain runs",
    )
    config.stash[_OPTIONS] = options.of_config(config)
    config.stash[_APPS] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check every marker before the first test runs."""
    for item in items:
        _options_of(item, config)


def _options_of(item: pytest.Item, config: pytest.Config) -> options.Options:
    found = config.stash[_OPTIONS]
    # The closest marker is applied last.
    for marker in reversed(list(item.iter_markers("taskprogress"))):
        found = options.with_marker(found, marker.kwargs, marker.args)
    return found


# -- fixtures -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def taskprogress_app() -> Any:
    """The Celery app whose tasks are tested: the current app; override it to return your own.

    Override it, with scope "session", in a conftest.py or a test module::

        @pytest.fixture(scope="session")
        def taskprogress_app():
            return proj.celery.app
    """
    from pytest_taskprogress.engines.installation import current_app

    return current_app()


@pytest.fixture(scope="session")
def taskprogress(taskprogress_app: Any, request: pytest.FixtureRequest) -> EagerEngine:
    """Run Celery tasks in this process as a worker would, and keep every state they store.

    `run(task, *args, **kwargs)` returns a TaskRun: `state`, `states`, `percents`, `result`, ...;
    `delay()` in the code under test runs too. One object for the session, as new in every test, so
    that it may be used under `@given`.
    """
    from pytest_taskprogress.engines.eager import EagerEngine

    engine = EagerEngine()
    request.config.stash[_ENGINE] = engine
    _install(request.config, engine, taskprogress_app)
    return engine


@pytest.fixture(scope="session")
def taskprogress_backend(taskprogress: EagerEngine) -> FakeBackend:
    """The result backend in memory that the tasks of the `taskprogress` engine write to."""
    # Every test has a new one; what is returned here stays.
    return taskprogress.current_backend


@pytest.fixture(scope="session")
def taskprogress_capture(taskprogress: EagerEngine) -> CaptureListener:
    """The listener that keeps the transitions of the `taskprogress` engine; see its `history`."""
    return taskprogress.capture


# -- a new engine for every test ------------------------------------------------------------------


def _install(config: pytest.Config, engine: EagerEngine, app: Any) -> None:
    _uninstall(config)
    stack = config.stash[_INSTALLED] = ExitStack()
    stack.enter_context(engine.installed(app))


def _uninstall(config: pytest.Config) -> None:
    config.stash.get(_INSTALLED, ExitStack()).close()


def _engine_of(item: pytest.Item) -> EagerEngine | None:
    if "taskprogress" not in getattr(item, "fixturenames", ()):
        return None
    return item.config.stash.get(_ENGINE, None)


def _app_of(item: pytest.Item) -> Any:
    """The app that the closest override of `taskprogress_app` returned; None if none ran yet."""
    found = [base for base in item.config.stash[_APPS] if item.nodeid.startswith(base)]
    return item.config.stash[_APPS][max(found, key=len)] if found else None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Follow an override of `taskprogress_app` as soon as it is there.

    The engine is one for the session; fixtures of the test that come after may publish already.
    """
    result = yield
    if fixturedef.argname == "taskprogress_app":
        request.config.stash[_APPS][fixturedef.baseid] = result
        engine = request.config.stash.get(_ENGINE, None)
        if engine is not None:
            _install(request.config, engine, result)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Install the engine before the fixtures of a test that uses it."""
    for attached in _attached():
        # What was raised before is no fault of this test; it was logged.
        attached.told_of_listeners()
    engine, app = _engine_of(item), _app_of(item)
    if engine is not None and app is not None:
        _install(item.config, engine, app)
    result = yield
    engine = _engine_of(item)
    if engine is not None:
        engine.limit = _options_of(item, item.config).limit
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose listeners raised, or a run that it left early."""
    engine = _engine_of(item)
    try:
        result = yield
    finally:
        if engine is not None:
            # As properties of the test they reach the terminal from the processes of xdist too.
            item.user_properties.extend((_SWEEP, str(sweep)) for sweep in engine.sweeps)
    if engine is not None:
        engine.check_walks()
        engine.check_listeners()
    for attached in _attached():
        attached.check_listeners()
    return result


def _attached() -> list[CeleryEngine]:
    """The engines that listen to plain apps, as production code attaches them."""
    module = sys.modules.get("pytest_taskprogress.engines.attached")
    return [] if module is None else list(module.attached)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test that failed in a sweep which of its runs was the last."""
    report = yield
    engine = _engine_of(item)
    if report.failed and call.when == "call" and engine is not None:
        last = engine.sweeps[-1].last if engine.sweeps else ""
        report.sections.extend([("taskprogress", last)] if last else ())
    if report.failed and call.when == "call":
        # Nobody raises them where the test has failed by itself.
        for each in [*_attached(), *([] if engine is None else [engine])]:
            raised = each.told_of_listeners()
            report.sections.extend([("taskprogress listeners", raised)] if raised else ())
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many runs the sweeps of all tests were."""
    swept = [
        (report.nodeid, sweep)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, sweep in report.user_properties
        if name == _SWEEP
    ]
    if not swept:
        return
    runs = sum(int(sweep.partition(" ")[0]) for _, sweep in swept)
    count = "a sweep" if len(swept) == 1 else f"{len(swept)} sweeps"
    terminalreporter.write_line(f"taskprogress: {runs} runs in {count}")
    if terminalreporter.verbosity > 0:
        for nodeid, sweep in swept:
            terminalreporter.write_line(f"  {nodeid}: {sweep}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Take the engine off the app again, after the other fixtures were torn down."""
    try:
        return (yield)
    finally:
        _uninstall(item.config)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain why a history is not what a test expects."""
    if op != "==":
        return None
    transitions = sys.modules.get("pytest_taskprogress.core.transitions")
    if transitions is None:
        return None
    History = transitions.History  # noqa: N806
    for history, expected in ((left, right), (right, left)):
        if isinstance(history, History) and isinstance(expected, (list, tuple)):
            return _difference(history, list(expected))
    return None


def _difference(history: Any, expected: list[object]) -> list[str]:
    states = history.states
    stored = [each for each in history if each.stored]
    at = next(
        (i for i, (a, b) in enumerate(zip(states, expected, strict=False)) if a != b),
        min(len(states), len(expected)),
    )
    want = repr(expected[at]) if at < len(expected) else "nothing more"
    got = repr(states[at]) if at < len(states) else "nothing more"
    lines = [f"{'->' if i == at else '  '} {each}" for i, each in enumerate(stored)]
    return [
        f"{states} == {expected}",
        f"First difference at [{at}]: expected {want}, got {got}",
        "What was stored:",
        *lines,
    ]
