"""`explore(task)`: all that can be drawn is tried with a task, and what is wrong told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from celery import Task
from celery.contrib.abortable import AbortableTask as CeleryAbortableTask
from celery.local import Proxy
from hypothesis import strategies as st

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.core.errors import EngineNotInstalled, NotATaskError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.properties.exploring.code import Code
from pytest_taskprogress.properties.exploring.findings import Exploration, FaultsFound, Finding
from pytest_taskprogress.properties.exploring.judging import rules_named
from pytest_taskprogress.properties.exploring.plans import MODES, plans
from pytest_taskprogress.properties.exploring.reproducing import test_of
from pytest_taskprogress.properties.exploring.searching import Search
from pytest_taskprogress.properties.exploring.sizes import arguments_of
from pytest_taskprogress.properties.exploring.trials import Fault, Trials
from pytest_taskprogress.properties.exploring.worlds import World
from pytest_taskprogress.scenario import (
    Abort,
    Advance,
    CrashWorker,
    Delay,
    Event,
    FailRead,
    FailWrite,
    Redeliver,
    SoftTimeLimit,
    at_abort_check,
    at_report,
    at_retry,
    at_state,
    at_write,
    before_start,
)
from pytest_taskprogress.strategies.moments import moments
from pytest_taskprogress.strategies.scenarios import EventKind, scenarios

__all__ = ["examine", "explore"]

#: Seconds until the first report, at most, where the contract says nothing of it.
_FIRST_REPORT: Final = 5.0
#: Events of a scenario, at most: more seldom show what two do not.
_EVENTS: Final = 2
#: Where they are, and up to which number they are counted: most runs that are drawn are short.
_MOMENTS: Final = (at_report, at_abort_check, before_start, at_retry, at_write, at_state)
_N: Final = 4
_NO_GREENLET: Final = (
    "Not tried: copies of the task beside each other, and workers that die, which need greenlet:"
    " pip install 'pytest-taskprogress[greenlet]'"
)

_ENDS_DIFFER: Final = (
    "Not judged: idempotent, which compares ends, as the task comes to another end at each run"
)


def explore(
    task: Any,
    *,
    max_examples: int = 300,
    max_findings: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    arguments: st.SearchStrategy[Any] | Mapping[str, st.SearchStrategy[Any]] | None = None,
    kinds: Iterable[EventKind] | None = None,
    ignore: Iterable[str] = (),
    max_copies: int = 3,
    before: Callable[[], object] | None = None,
    contract: Contract | None = None,
    engine: EagerEngine | None = None,
) -> Exploration:
    """Look for all that is wrong with a task.

    ::

        def test_export():
            explore(export)

    Its arguments are drawn from its type hints; a number of which a hint says no more than `int` or
    `float` is mostly 0 to 50, now and then negative, and seldom 1,001 to 2,000.

    It is run alone, twice; aborted at each of its moments; under scenarios of whatever may happen
    to it; and some copies of it beside each other. Each run must keep the contract, with a first
    report after 5 seconds at most. Besides, it may raise only what it declares in `throws`, unless
    something was done to it; it must do the same when it is run twice; and with `acks_late` it must
    come to the same end when its message is delivered again.

    Each run begins with an engine as new. What the module of the task keeps in dicts, lists and
    sets is as before then, too; `time.sleep` in the task only moves the engine's clock.

    Args:
        task: A Celery task.
        max_examples: How many ways to run it are tried.
        max_findings: How much may be wrong with it before no more is looked for; None: all.
        seconds: After which no more are tried; None: however long it takes.
        seed: The same one tries the same.
        arguments: Strategies by the names of parameters, for those that hints do not tell, and for
            other numbers, such as `{"size": st.integers()}`; or a strategy of all of them: of
            tuples, of dicts, of `Arguments`.
        kinds: Classes of events, of `pytest_taskprogress.scenario`; None: those that a correct task
            outlives. Empty: nothing is done to it.
        ignore: Names of rules that it may break: of the contract, or of those that are looked for
            besides, such as `deterministic`.
        max_copies: How many copies of the task are run beside each other, at most; 1: for a task
            that never is.
        before: Is called before each run, to put back what the task changes: a database, files.
        contract: By which it is judged; None: the engine's.
        engine: On which it runs; None: the one that is installed on the task's app, else a new one.

    Returns:
        What was tried, if nothing is wrong.

    Raises:
        FaultsFound: With all that is wrong: for each rule the smallest way to see it, and a test.
        InvalidArgument: If nothing is known of an argument, or there are no such events.
        RuleError: If there is no rule that is to be ignored.
        NotATaskError: If it is no task.
        NotSerializable: If an argument cannot be published.
        EngineError: If it runs inside a task.
    """
    __tracebackhide__ = True
    found = examine(
        task,
        max_examples=max_examples,
        max_findings=max_findings,
        seconds=seconds,
        seed=seed,
        arguments=arguments,
        kinds=kinds,
        ignore=ignore,
        max_copies=max_copies,
        before=before,
        contract=contract,
        engine=engine,
    )
    if found.findings:
        raise FaultsFound(found)
    return found


def examine(
    task: Any,
    *,
    max_examples: int = 300,
    max_findings: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    arguments: st.SearchStrategy[Any] | Mapping[str, st.SearchStrategy[Any]] | None = None,
    kinds: Iterable[EventKind] | None = None,
    ignore: Iterable[str] = (),
    max_copies: int = 3,
    before: Callable[[], object] | None = None,
    contract: Contract | None = None,
    engine: EagerEngine | None = None,
    tell: Callable[[], object] | None = None,
) -> Exploration:
    """Do what `explore` does, and return what is wrong.

    Args:
        task: As for `explore`, as all others.
        max_examples: How many ways to run it are tried.
        max_findings: How much may be wrong before no more is looked for.
        seconds: After which no more are tried.
        seed: The same one tries the same.
        arguments: Strategies of its arguments.
        kinds: Classes of events.
        ignore: Names of rules that it may break.
        max_copies: How many copies are run beside each other, at most.
        before: Is called before each run.
        contract: By which it is judged.
        engine: On which it runs.
        tell: Is called after each example.

    Returns:
        What was tried, and what is wrong.
    """
    began = time.monotonic()
    task = _checked(task)
    _check_numbers(seconds, seed, max_examples=max_examples, max_copies=max_copies)
    if max_findings is not None:
        _check_numbers(seconds, seed, max_findings=max_findings)
    strategy = arguments_of(task, arguments)
    beside = find_spec("greenlet") is not None
    chosen = _kinds_for(task, beside=beside) if kinds is None else list(kinds)
    drawn: st.SearchStrategy[tuple[Event, ...]] = st.just(())
    if chosen:
        drawn = scenarios(
            min_events=1,
            max_events=_EVENTS,
            kinds=chosen,
            moments=moments(kinds=_MOMENTS, max_n=_N),
        )
    tried = plans(
        modes=_modes(chosen, beside=beside and max_copies > 1),
        arguments=strategy,
        scenarios=drawn,
        swept=_swept_by(chosen),
        max_copies=max_copies,
    )
    with _engine_for(task, engine) as used:
        judged_by = _contract_of(contract or used.contract)
        trials = Trials(used, task, World(task, before), judged_by, seed)
        until = None if seconds is None else began + seconds
        ignored = judged_by.ignored | rules_named(ignore, judged_by)
        search = Search(trials, tried, until=until, tell=tell, ignored=ignored)
        with trials.going_on():
            findings = [
                _finding(fault, task, judged_by, time.monotonic() - began)
                for fault in search.faults(max_examples, seed, at_most=max_findings)
            ]
    return Exploration(
        task.name,
        tuple(findings),
        search.examples,
        trials.runs,
        time.monotonic() - began,
        seed,
        search.in_time,
        tuple(_left_out(trials, beside=beside)),
    )


def _left_out(trials: Trials, *, beside: bool) -> Iterator[str]:
    if not beside:
        yield _NO_GREENLET
    if trials.odd_is_slow:
        yield (
            f"Not tried: numbers below 0 or above 1,000, since a run with one took more than"
            f" {trials.longest:g} s"
        )
    if trials.beside_is_slow:
        yield (
            "Not tried to the end: copies beside each other, since some took more than"
            f" {trials.longest:g} s: does one wait for a lock that another one holds?"
        )
    if trials.ended:
        called = ", ".join(Code().arguments(trials.ended[0]))
        given_up = ". No more were made" if trials.gave_up else ""
        yield (
            f"Not judged: {len(trials.ended)} of its runs, which were ended after"
            f" {trials.longest:g} s, the first one with ({called}){given_up}. Does it end? If it"
            " only takes long, give it less to do: arguments="
        )
    if trials.ends_differ:
        yield _ENDS_DIFFER


def _finding(fault: Fault, task: Any, contract: Contract, seconds: float) -> Finding:
    violation, plan = fault.violation, fault.plan
    return Finding(
        violation.rule,
        violation.task,
        violation.message,
        violation.transition,
        violation.source,
        plan.calls,
        plan.events,
        plan.schedule,
        test_of(fault, task, contract),
        fault.run,
        seconds,
    )


# -- what is tried --------------------------------------------------------------------------------


def _kinds_for(task: Any, *, beside: bool) -> list[EventKind]:
    """The events that a correct task of its kind outlives.

    Not Revoke: it stores REVOKED, and a task that runs goes on, whatever it does.
    """
    kinds: list[Any] = [Advance, Delay, SoftTimeLimit, FailWrite]
    if isinstance(task, CeleryAbortableTask):
        kinds += [Abort, FailRead]
    if task.acks_late:
        kinds.append(Redeliver)
    if beside:
        kinds.append(CrashWorker)
    return kinds


def _swept_by(kinds: Sequence[EventKind]) -> list[EventKind]:
    """What can be done at each moment; those that take seconds cannot be made of a moment alone."""
    take_seconds: tuple[object, ...] = (Advance, Delay)
    to_be_heeded: tuple[object, ...] = (Abort, Redeliver)
    swept = [each for each in kinds if each not in take_seconds]
    # Those that a task has to do something about are tried as often as all others together.
    return [*[each for each in swept if each in to_be_heeded] * len(swept), *swept]


def _modes(kinds: Sequence[EventKind], *, beside: bool) -> list[str]:
    left_out = set()
    if not _swept_by(kinds):
        left_out.add("swept")
    if not kinds:
        left_out.add("disturbed")
    if not beside:
        left_out.add("together")
    return [each for each in MODES if each not in left_out]


def _contract_of(contract: Contract) -> Contract:
    contract = contract.having(strict=False)
    rule = "first-report"
    if rule not in contract.rules or rule in contract.ignored or rule in contract.figures:
        return contract
    return contract.having(first_report=_FIRST_REPORT)


# -- what it is tried on --------------------------------------------------------------------------


@contextmanager
def _engine_for(task: Any, engine: EagerEngine | None) -> Iterator[EagerEngine]:
    if engine is None:
        engine = next(filter(_is_on(task.app), list(process.recent)), None)
    if engine is None or not _is_installed(engine):
        with (engine or EagerEngine()).installed(task.app) as used:
            yield used
        return
    yield engine


def _is_on(app: Any) -> Callable[[Any], bool]:
    """Whether an engine is on an app; others may listen to it, and run nothing."""
    return lambda engine: (
        isinstance(engine, EagerEngine) and _is_installed(engine) and engine.app is app
    )


def _is_installed(engine: EagerEngine) -> bool:
    try:
        return engine.app is not None
    except EngineNotInstalled:
        return False


# -- what is said of bad arguments ----------------------------------------------------------------


def _checked(task: Any) -> Any:
    if not isinstance(task, Task):
        message = (
            f"explore() takes a Celery task, got {as_repr(task)}. Decorate the function with"
            " @app.task or @shared_task"
        )
        raise NotATaskError(message)
    given: Any = task
    return given._get_current_object() if issubclass(type(given), Proxy) else given  # noqa: SLF001


def _check_numbers(seconds: object, seed: object, **numbers: object) -> None:
    for name, given in numbers.items():
        if not _is_whole(given) or given < 1:  # type: ignore[operator]
            message = f"expected a whole number of 1 or more, got {name}={as_repr(given)}"
            raise ValueError(message)
    if not _is_whole(seed):
        message = f"expected a whole number, got seed={as_repr(seed)}"
        raise ValueError(message)
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and seconds > 0):  # type: ignore[operator]
        message = f"expected a number of seconds above 0, got seconds={as_repr(seconds)}"
        raise ValueError(message)


def _is_whole(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)
