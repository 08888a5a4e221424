"""The pytest plugin: fixtures and hooks, thin.

Each fixture is a wrapper of something public. Celery, and all that needs it, is imported when the
first fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_taskprogress import endings, hooks, options
from pytest_taskprogress.report.colours import Colours

if TYPE_CHECKING:
    from pytest_taskprogress.checks.contract import Contract
    from pytest_taskprogress.engines.backend import FakeBackend
    from pytest_taskprogress.engines.eager import EagerEngine
    from pytest_taskprogress.listeners.capturing import CaptureListener
    from pytest_taskprogress.report.session import RunLog, Session

_OPTIONS: Final = pytest.StashKey[options.Options]()
_APPS: Final = pytest.StashKey["dict[str, Any]"]()
_ENGINE: Final = pytest.StashKey["EagerEngine"]()
_INSTALLED: Final = pytest.StashKey[ExitStack]()
_SESSION: Final = pytest.StashKey["Session"]()
_LOG: Final = pytest.StashKey["RunLog"]()
_ITEM: Final = pytest.StashKey[pytest.Item]()
#: What the session said that this one is run in.
_OUTER: Final = pytest.StashKey["tuple[Contract, list[Any]]"]()
#: What was compared, and the position of the first difference.
_DIFFERENCE: Final = pytest.StashKey[Any]()
_SEED: Final = pytest.StashKey["tuple[int, int] | None"]()
_CONTRACTS: Final = pytest.StashKey["dict[object, Contract]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks."""
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and check the options before anything runs."""
    config.addinivalue_line(
        "markers",
        "taskprogress(limit=..., seed=..., strict=..., ignore=[...], max_gap=...): options of the"
        " taskprogress fixtures for a test, a class or a module; limit: how many messages may come"
        " of what one drain runs; seed: what is run next is random by it; strict: whether breaking"
        " the contract fails the test; ignore: rules of the contract that are off; and the figures"
        " of its rules",
    )
    config.stash[_OPTIONS] = found = options.of_config(config)
    config.stash[_APPS] = {}
    config.stash[_CONTRACTS] = {}
    if endings.is_loaded():
        from pytest_taskprogress.engines.judging import process

        # A session that is run in a test of another one gives back what that one has said.
        config.stash[_OUTER] = process.contract, list(process.told)
    config.pluginmanager.register(Colours(config))
    if found.looks_back or found.record or found.replay:
        config.stash[_SESSION] = _new_session(config, found)
        config.pluginmanager.register(config.stash[_SESSION])


def _new_session(config: pytest.Config, found: options.Options) -> Session:
    from pytest_taskprogress.core.errors import TaskProgressError
    from pytest_taskprogress.report.session import Session

    is_worker = hasattr(config, "workerinput")
    if found.report and not is_worker:
        try:
            from pytest_taskprogress.report import page  # noqa: F401 - at once, and not at the end
        except TaskProgressError as error:
            raise pytest.UsageError(str(error)) from None
    return Session(found, is_worker=is_worker, root=str(config.rootpath), sites_of=_sites_of)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Tell the seed that repeats all runs."""
    seed = config.stash[_OPTIONS].seed
    return None if seed is None else f"taskprogress: seed {seed}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell the seed to a process of xdist."""
    node.workerinput["taskprogress_seed"] = node.config.stash[_OPTIONS].seed


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the last test: pytest may be run again in this process."""
    if endings.is_loaded():
        from pytest_taskprogress.engines.judging import process

        process.begin(*config.stash.get(_OUTER, ()))


def _sites_of(app: Any) -> dict[str, Any]:
    from pytest_taskprogress.tasks.sites import abortable_tasks, report_sites

    sites = [each.as_dict() for each in report_sites(app)]
    return {"sites": sites, "abortable": list(abortable_tasks(app))}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Check what is said of the contract for all tests."""
    found = session.config.stash[_OPTIONS]
    if found.judges and not hasattr(session.config, "workerinput"):
        found.contract(options.rules_of(session.config.hook))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check every marker before the first test runs: a mistake is an error of its file."""
    report = yield
    wrong = []
    for item in report.result or ():
        if isinstance(item, pytest.Item) and _is_ours(item):
            try:
                _contract_of(item)
            except pytest.UsageError as error:
                wrong.append(f"{item.nodeid}: {error}")
    if wrong:
        report.outcome, report.result, report.longrepr = "failed", [], "\n".join(wrong)
    return report


def _is_ours(item: pytest.Item) -> bool:
    return "taskprogress" in getattr(item, "fixturenames", ()) or any(
        item.iter_markers("taskprogress")
    )


def _options_of(item: pytest.Item) -> options.Options:
    return options.of_item(item.config.stash[_OPTIONS], item)


def _contract_of(item: pytest.Item) -> Contract | None:
    """What runs of a test are judged by; None: by what all are."""
    return options.contract_of(_options_of(item), item, item.config.stash[_CONTRACTS])


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
    item = config.stash[_ITEM]
    _prepare(engine, item)
    log = _log_of(item)
    if log is not None:
        log.know(app)


def _prepare(engine: EagerEngine, item: pytest.Item) -> None:
    """Set what a test asks of the engine."""
    engine.limit = _options_of(item).limit
    engine.contract = _contract_of(item)
    seed = _seed_of(item)
    engine.seed = None if seed is None else seed[1]


def _seed_of(item: pytest.Item) -> tuple[int, int] | None:
    """What the seed of a test is made of, and what it is; None if it has none."""
    if _SEED not in item.stash:
        item.stash[_SEED] = options.seed_of(_options_of(item), item.nodeid)
    return item.stash[_SEED]


def _uninstall(config: pytest.Config) -> None:
    config.stash.get(_INSTALLED, ExitStack()).close()


def _engine_of(item: pytest.Item) -> EagerEngine | None:
    if "taskprogress" not in getattr(item, "fixturenames", ()):
        return None
    return item.config.stash.get(_ENGINE, None)


def _log_of(item: pytest.Item) -> RunLog | None:
    return item.stash.get(_LOG, None)


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
    """Install the engine before the fixtures of a test that uses it: they may run tasks."""
    for listening in endings.attached():
        # What was raised before is no fault of this test; it was logged.
        listening.told_of_listeners()
    item.config.stash[_ITEM] = item
    # Also of a marker that was added after the collection.
    contract = _contract_of(item)
    session = item.config.stash.get(_SESSION, None)
    if session is not None:
        # The runs of a test under `@given` are others every time.
        item.stash[_LOG] = session.begin(item.nodeid, is_random=_is_given(item))
    # Where anything is asked for, also of the engines of a test that loads them later.
    if session is not None or contract is not None or endings.is_loaded():
        from pytest_taskprogress.engines.judging import process

        process.begin(contract, () if session is None else (item.stash[_LOG].take,))
    engine, app = _engine_of(item), _app_of(item)
    if engine is not None and app is not None:
        _install(item.config, engine, app)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose listeners raised, or a run that it left early."""
    engine = _engine_of(item)
    try:
        with endings.each_anew(item, engine, _prepare):
            result = yield
    finally:
        if engine is not None:
            from pytest_taskprogress.report.sweeps import PROPERTY

            # As properties of the test they reach the terminal from the processes of xdist too.
            item.user_properties.extend((PROPERTY, str(sweep)) for sweep in engine.sweeps)
    log = _log_of(item)
    with endings.without_lines_of_ours():
        endings.check(engine)
        if log is not None:
            log.check_golden()
    for listening in endings.attached():
        listening.check_listeners()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell what a test that failed has run, in it or in its fixtures."""
    report = yield
    engine = _engine_of(item)
    engines = [] if engine is None else [engine]
    if endings.is_loaded() and (call.when == "call" or report.failed):
        from pytest_taskprogress.engines import showing

        error = None if call.excinfo is None else call.excinfo.value
        how = _how_to_show(item, call.when, error)
        if report.failed:
            listening = [*endings.attached(), *engines] if call.when == "call" else []
            report.sections.extend(showing.sections_of(engines, listening, error, **how))
            if engine is not None:
                report.sections.extend(options.sections_of(item.stash.get(_SEED, None)))
        if item.config.getoption("htmlpath", None):
            import pytest_html

            told = showing.told_of_runs(engines, None, **how)
            extras = [pytest_html.extras.text(told, name="taskprogress")] if told else []
            report.extras = [*getattr(report, "extras", []), *extras]  # type: ignore[attr-defined]
    log = _log_of(item)
    if log is not None and (log or engines):
        report.taskprogress = log.leave()  # type: ignore[attr-defined]
    return report


def _how_to_show(item: pytest.Item, when: str, error: BaseException | None) -> dict[str, Any]:
    return {
        "width": min(max(get_terminal_size().columns, 80), 160),
        # Under `@given` the last run is the one that fails; the others are of other examples.
        "only_last": _is_given(item),
        # Before or after the test: nobody has said that a task would run there.
        "only_used": when != "call",
        "at": item.stash.get(_DIFFERENCE, None) if isinstance(error, AssertionError) else None,
    }


def _is_given(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many runs the sweeps of all tests were."""
    from pytest_taskprogress.report import sweeps

    reports = [each for reports in terminalreporter.stats.values() for each in reports]
    for line in sweeps.told(reports, verbose=terminalreporter.verbosity > 0):
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Take the engine off the app again, after the other fixtures were torn down."""
    try:
        return (yield)
    finally:
        with endings.without_lines_of_ours():
            _uninstall(item.config)


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Explain why a history is not what a test expects; the whole of it is shown below."""
    transitions = sys.modules.get("pytest_taskprogress.core.transitions")
    if op != "==" or transitions is None:
        return None
    for seen, expected in ((left, right), (right, left)):
        values = seen.states if isinstance(seen, transitions.History) else seen
        if isinstance(values, transitions.Column) and isinstance(expected, (list, tuple)):
            from pytest_taskprogress.report.explain import difference

            # As pytest shows it, with "E    " before each, on the narrowest of terminals.
            at, lines = difference(values, list(expected), width=70)
            item = config.stash.get(_ITEM, None)
            if item is not None:
                item.stash[_DIFFERENCE] = values.transitions, at
            return lines
    return None
