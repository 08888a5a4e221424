"""Test Celery tasks that report progress and can be aborted.

Every public name is loaded when it is first asked for, so that a production worker that uses only
`Observer` imports neither pytest nor Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_taskprogress.checks.assertions import assert_aborted as assert_aborted
    from pytest_taskprogress.checks.assertions import assert_bounded as assert_bounded
    from pytest_taskprogress.checks.assertions import assert_complete as assert_complete
    from pytest_taskprogress.checks.assertions import assert_contract as assert_contract
    from pytest_taskprogress.checks.assertions import (
        assert_different_transitions as assert_different_transitions,
    )
    from pytest_taskprogress.checks.assertions import assert_final as assert_final
    from pytest_taskprogress.checks.assertions import assert_max_gap as assert_max_gap
    from pytest_taskprogress.checks.assertions import assert_max_writes as assert_max_writes
    from pytest_taskprogress.checks.assertions import assert_monotonic as assert_monotonic
    from pytest_taskprogress.checks.assertions import assert_never as assert_never
    from pytest_taskprogress.checks.assertions import assert_no_progress as assert_no_progress
    from pytest_taskprogress.checks.assertions import assert_not_aborted as assert_not_aborted
    from pytest_taskprogress.checks.assertions import assert_not_final as assert_not_final
    from pytest_taskprogress.checks.assertions import assert_not_states as assert_not_states
    from pytest_taskprogress.checks.assertions import assert_progress as assert_progress
    from pytest_taskprogress.checks.assertions import assert_reached as assert_reached
    from pytest_taskprogress.checks.assertions import (
        assert_same_transitions as assert_same_transitions,
    )
    from pytest_taskprogress.checks.assertions import assert_states as assert_states
    from pytest_taskprogress.checks.contract import Contract as Contract
    from pytest_taskprogress.checks.matchers import progress as progress
    from pytest_taskprogress.checks.matchers import state as state
    from pytest_taskprogress.checks.patterns import Match as Match
    from pytest_taskprogress.checks.rules.base import Rule as Rule
    from pytest_taskprogress.checks.rules.base import Violation as Violation
    from pytest_taskprogress.core.aborts import AbortRequest as AbortRequest
    from pytest_taskprogress.core.clock import Clock as Clock
    from pytest_taskprogress.core.clock import VirtualClock as VirtualClock
    from pytest_taskprogress.core.errors import AbortUnsupported as AbortUnsupported
    from pytest_taskprogress.core.errors import CircularCanvasError as CircularCanvasError
    from pytest_taskprogress.core.errors import ClaimUnsupported as ClaimUnsupported
    from pytest_taskprogress.core.errors import DeadlockError as DeadlockError
    from pytest_taskprogress.core.errors import DrainLimitExceeded as DrainLimitExceeded
    from pytest_taskprogress.core.errors import EngineError as EngineError
    from pytest_taskprogress.core.errors import EngineNotInstalled as EngineNotInstalled
    from pytest_taskprogress.core.errors import ForeignTaskError as ForeignTaskError
    from pytest_taskprogress.core.errors import GoldenError as GoldenError
    from pytest_taskprogress.core.errors import ListenerError as ListenerError
    from pytest_taskprogress.core.errors import MalformedMessageError as MalformedMessageError
    from pytest_taskprogress.core.errors import MomentNotReached as MomentNotReached
    from pytest_taskprogress.core.errors import NeedsRealWorker as NeedsRealWorker
    from pytest_taskprogress.core.errors import NotATaskError as NotATaskError
    from pytest_taskprogress.core.errors import NotFound as NotFound
    from pytest_taskprogress.core.errors import PatternError as PatternError
    from pytest_taskprogress.core.errors import ProgressValueError as ProgressValueError
    from pytest_taskprogress.core.errors import RuleError as RuleError
    from pytest_taskprogress.core.errors import TaskAborted as TaskAborted
    from pytest_taskprogress.core.errors import TaskProgressError as TaskProgressError
    from pytest_taskprogress.core.errors import TaskProgressWarning as TaskProgressWarning
    from pytest_taskprogress.core.errors import UnregisteredTaskError as UnregisteredTaskError
    from pytest_taskprogress.core.failed import CheckFailed as CheckFailed
    from pytest_taskprogress.core.failed import ContractViolated as ContractViolated
    from pytest_taskprogress.core.progress import Progress as Progress
    from pytest_taskprogress.core.sequence import ProgressSequence as ProgressSequence
    from pytest_taskprogress.core.sequence import Write as Write
    from pytest_taskprogress.core.starts import Start as Start
    from pytest_taskprogress.core.states import Outcome as Outcome
    from pytest_taskprogress.core.states import check_transition as check_transition
    from pytest_taskprogress.core.transitions import History as History
    from pytest_taskprogress.core.transitions import Transition as Transition
    from pytest_taskprogress.engines.attached import CeleryEngine as CeleryEngine
    from pytest_taskprogress.engines.backend import FakeBackend as FakeBackend
    from pytest_taskprogress.engines.base import Engine as Engine
    from pytest_taskprogress.engines.base import PendingTask as PendingTask
    from pytest_taskprogress.engines.eager import EagerEngine as EagerEngine
    from pytest_taskprogress.engines.refusals import NotSerializable as NotSerializable
    from pytest_taskprogress.engines.run import TaskRun as TaskRun
    from pytest_taskprogress.listeners.base import DumpingListener as DumpingListener
    from pytest_taskprogress.listeners.base import Listener as Listener
    from pytest_taskprogress.listeners.capturing import CaptureListener as CaptureListener
    from pytest_taskprogress.listeners.claims import CheckingClaimListener as CheckingClaimListener
    from pytest_taskprogress.listeners.claims import FakeClaimBoard as FakeClaimBoard
    from pytest_taskprogress.listeners.failure import Failure as Failure
    from pytest_taskprogress.listeners.formatters import FailureFormatter as FailureFormatter
    from pytest_taskprogress.listeners.logging import (
        DynamicLoggingListener as DynamicLoggingListener,
    )
    from pytest_taskprogress.listeners.logging import LoggingListener as LoggingListener
    from pytest_taskprogress.listeners.notifier import Notifier as Notifier
    from pytest_taskprogress.listeners.notifier import RestrictedNotifier as RestrictedNotifier
    from pytest_taskprogress.listeners.notifier import register_deregister as register_deregister
    from pytest_taskprogress.listeners.printing import PrintingListener as PrintingListener
    from pytest_taskprogress.listeners.progressbar import ProgressBarListener as ProgressBarListener
    from pytest_taskprogress.listeners.timing import DurationListener as DurationListener
    from pytest_taskprogress.listeners.timing import EventTimeListener as EventTimeListener
    from pytest_taskprogress.listeners.timing import (
        PrintingDurationListener as PrintingDurationListener,
    )
    from pytest_taskprogress.properties.consuming.consumers import check_consumer as check_consumer
    from pytest_taskprogress.properties.consuming.results import (
        as_group_results as as_group_results,
    )
    from pytest_taskprogress.properties.consuming.results import as_results as as_results
    from pytest_taskprogress.properties.consuming.watching import ConsumerFailed as ConsumerFailed
    from pytest_taskprogress.properties.exploring.exploration import explore as explore
    from pytest_taskprogress.properties.exploring.findings import Exploration as Exploration
    from pytest_taskprogress.properties.exploring.findings import FaultsFound as FaultsFound
    from pytest_taskprogress.properties.exploring.findings import Finding as Finding
    from pytest_taskprogress.properties.machines.abortable import (
        AbortableMachine as AbortableMachine,
    )
    from pytest_taskprogress.properties.machines.observer import ObserverMachine as ObserverMachine
    from pytest_taskprogress.tasks.abortable import AbortableTask as AbortableTask
    from pytest_taskprogress.tasks.base import ProgressTask as ProgressTask
    from pytest_taskprogress.tasks.claiming import CeleryClaimBoard as CeleryClaimBoard
    from pytest_taskprogress.tasks.observer import Observer as Observer
    from pytest_taskprogress.tasks.reading import Reading as Reading
    from pytest_taskprogress.tasks.reading import group_progress as group_progress
    from pytest_taskprogress.tasks.reading import read_progress as read_progress
    from pytest_taskprogress.tasks.results import AbortableAsyncResult as AbortableAsyncResult
    from pytest_taskprogress.tasks.results import abort as abort

__version__: Final = "0.1.0"

#: Public name -> the module that has it.
_HOMES: Final = {
    "AbortRequest": "core.aborts",
    "AbortUnsupported": "core.errors",
    "AbortableAsyncResult": "tasks.results",
    "AbortableMachine": "properties.machines.abortable",
    "AbortableTask": "tasks.abortable",
    "CaptureListener": "listeners.capturing",
    "CeleryClaimBoard": "tasks.claiming",
    "CeleryEngine": "engines.attached",
    "CheckFailed": "core.failed",
    "CheckingClaimListener": "listeners.claims",
    "CircularCanvasError": "core.errors",
    "ClaimUnsupported": "core.errors",
    "Clock": "core.clock",
    "ConsumerFailed": "properties.consuming.watching",
    "Contract": "checks.contract",
    "ContractViolated": "core.failed",
    "DeadlockError": "core.errors",
    "DrainLimitExceeded": "core.errors",
    "DumpingListener": "listeners.base",
    "DurationListener": "listeners.timing",
    "DynamicLoggingListener": "listeners.logging",
    "EagerEngine": "engines.eager",
    "Engine": "engines.base",
    "EngineError": "core.errors",
    "EngineNotInstalled": "core.errors",
    "EventTimeListener": "listeners.timing",
    "Exploration": "properties.exploring.findings",
    "Failure": "listeners.failure",
    "FailureFormatter": "listeners.formatters",
    "FakeBackend": "engines.backend",
    "FakeClaimBoard": "listeners.claims",
    "FaultsFound": "properties.exploring.findings",
    "Finding": "properties.exploring.findings",
    "ForeignTaskError": "core.errors",
    "GoldenError": "core.errors",
    "History": "core.transitions",
    "Listener": "listeners.base",
    "ListenerError": "core.errors",
    "LoggingListener": "listeners.logging",
    "MalformedMessageError": "core.errors",
    "Match": "checks.patterns",
    "MomentNotReached": "core.errors",
    "NeedsRealWorker": "core.errors",
    "NotATaskError": "core.errors",
    "NotFound": "core.errors",
    "NotSerializable": "engines.refusals",
    "Notifier": "listeners.notifier",
    "Observer": "tasks.observer",
    "ObserverMachine": "properties.machines.observer",
    "Outcome": "core.states",
    "PatternError": "core.errors",
    "PendingTask": "engines.base",
    "PrintingDurationListener": "listeners.timing",
    "PrintingListener": "listeners.printing",
    "Progress": "core.progress",
    "ProgressBarListener": "listeners.progressbar",
    "ProgressSequence": "core.sequence",
    "ProgressTask": "tasks.base",
    "ProgressValueError": "core.errors",
    "Reading": "tasks.reading",
    "RestrictedNotifier": "listeners.notifier",
    "Rule": "checks.rules.base",
    "RuleError": "core.errors",
    "Start": "core.starts",
    "TaskAborted": "core.errors",
    "TaskProgressError": "core.errors",
    "TaskProgressWarning": "core.errors",
    "TaskRun": "engines.run",
    "Transition": "core.transitions",
    "UnregisteredTaskError": "core.errors",
    "Violation": "checks.rules.base",
    "VirtualClock": "core.clock",
    "Write": "core.sequence",
    "abort": "tasks.results",
    "as_group_results": "properties.consuming.results",
    "as_results": "properties.consuming.results",
    "assert_aborted": "checks.assertions",
    "assert_bounded": "checks.assertions",
    "assert_complete": "checks.assertions",
    "assert_contract": "checks.assertions",
    "assert_different_transitions": "checks.assertions",
    "assert_final": "checks.assertions",
    "assert_max_gap": "checks.assertions",
    "assert_max_writes": "checks.assertions",
    "assert_monotonic": "checks.assertions",
    "assert_never": "checks.assertions",
    "assert_no_progress": "checks.assertions",
    "assert_not_aborted": "checks.assertions",
    "assert_not_final": "checks.assertions",
    "assert_not_states": "checks.assertions",
    "assert_progress": "checks.assertions",
    "assert_reached": "checks.assertions",
    "assert_same_transitions": "checks.assertions",
    "assert_states": "checks.assertions",
    "check_consumer": "properties.consuming.consumers",
    "check_transition": "core.states",
    "explore": "properties.exploring.exploration",
    "group_progress": "tasks.reading",
    "progress": "checks.matchers",
    "read_progress": "tasks.reading",
    "register_deregister": "listeners.notifier",
    "state": "checks.matchers",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one table, not two


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    try:
        home = _HOMES[name]
    except KeyError:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message) from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
