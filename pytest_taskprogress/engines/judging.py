"""Judging runs by the contract, when they have come to their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from pytest_taskprogress.checks.contract import Contract, told, violated, ways_out
from pytest_taskprogress.checks.rules.base import Violation
from pytest_taskprogress.checks.subjects import judged
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.warning import warn

__all__ = ["Judging", "Process", "process"]

#: How many runs are kept for who asks what happened.
_KEPT: Final = 20


@dataclass
class Process:
    """What holds for all engines of this process: of a test, while one runs.

    Attributes:
        contract: What runs are judged by, where the engine was given no contract of its own.
        recent: Engines that were installed, or ran something, in order; cleared by who looks.
        told: Who is told of each run: with the engine, and the run.
        warned: What was warned of: many runs of a test may break the same rules.
    """

    contract: Contract = field(default_factory=Contract)
    recent: WeakKeyDictionary[Any, None] = field(default_factory=WeakKeyDictionary)
    told: list[Callable[[Any, TaskRun], object]] = field(default_factory=list)
    warned: set[object] = field(default_factory=set)

    def begin(
        self,
        contract: Contract | None = None,
        told: Iterable[Callable[[Any, TaskRun], object]] = (),
    ) -> None:
        """Begin with another test."""
        self.contract = contract or Contract()
        self.recent.clear()
        self.told[:] = told
        self.warned.clear()


process: Final = Process()


class Judging:
    """What becomes of runs that are over: they are judged, kept, and told of.

    Attributes:
        runs: The last ones.
        told: Who is told of each run.
        errors: What is still to be raised: of runs that nobody called.

    Args:
        owner: The engine.
    """

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self._contract: Contract | None = None
        self.runs: deque[TaskRun] = deque(maxlen=_KEPT)
        self.told: list[Callable[[TaskRun], object]] = []
        self.errors: list[Exception] = []

    @property
    def contract(self) -> Contract:
        """What runs are judged by; may be set, None: by what all engines' are."""
        return self._contract or process.contract

    @contract.setter
    def contract(self, contract: Contract | None) -> None:
        self._contract = contract

    def judge(self, run: TaskRun, *, called: bool) -> TaskRun:
        """Judge a run; returns it, with what it breaks.

        Args:
            run: The run.
            called: Whether somebody called it, to whom it can be raised.

        Raises:
            ContractViolated: If the contract is strict, and the run was called.
        """
        __tracebackhide__ = True
        try:
            violations = self.contract.violations(run)
            run = replace(run, violations=tuple(violations)) if violations else run
            self.keep(run)
            if violations:
                self._tell(run, violations)
        except Exception as error:
            # Also of a rule that broke, or of a warning that a filter makes an error. Not in the
            # midst of code that publishes.
            if called:
                raise
            self.errors.append(error)
        return run

    def _tell(self, run: TaskRun, violations: list[Violation]) -> None:
        __tracebackhide__ = True
        if self.contract.strict:
            raise violated(judged(run), violations, ways_out(violations))
        _warn(run, violations)

    def keep(self, run: TaskRun) -> None:
        """Keep a run, and tell of it."""
        self.runs.append(run)
        process.recent[self._owner] = None
        for tell in self.told:
            tell(run)
        for tell_of in process.told:
            tell_of(self._owner, run)

    def check(self) -> None:
        """Raise the first of what could not be raised to who published, once.

        Raises:
            ContractViolated: If the contract is strict, and a run broke it.
            TaskProgressWarning: The same, if a filter makes warnings errors.
            RuleError: If a rule broke.
        """
        __tracebackhide__ = True
        errors, self.errors = self.errors, []
        if len(errors) > 1 and isinstance(errors[0], CheckFailed):
            errors[0].headline += f"\n  (the first of {len(errors)} runs that break it)"
        if errors:
            raise errors[0]

    def clear(self) -> None:
        """Forget all runs."""
        self.runs.clear()
        self.errors.clear()


def _warn(run: TaskRun, violations: list[Violation]) -> None:
    __tracebackhide__ = True
    told_before = (run.name, *sorted({each.rule for each in violations}))
    if told_before in process.warned:
        return
    source = next((each.source for each in violations if each.source is not None), None)
    name = run.name or "the canvas"
    warn(f"{name} breaks its contract:\n{told(violations)}\n{ways_out(violations)}", source)
    # Only now: where a filter makes it an error, it is one each time.
    process.warned.add(told_before)
