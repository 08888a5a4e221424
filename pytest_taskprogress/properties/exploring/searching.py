"""The search: drawn plans, until none of them shows anything new."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from pytest_taskprogress.properties.exploring.plans import Plan
from pytest_taskprogress.properties.exploring.trials import Fault, Trials

__all__ = ["Search"]

#: Examples of each further search, at least: it is for what the first fault has hidden.
_LEAST: Final = 50
#: Runs that making a plan smaller by hand may cost.
_SMALLER: Final = 30


class _Found(Exception):
    """A plan shows a fault; a subclass each rule, so that Hypothesis tells them apart."""


class _OverError(BaseException):
    """The search is over, in its midst: no time is left, or something broke."""


class Search:
    """Looks for all that is wrong with a task.

    Args:
        trials: Tries the task.
        plans: What may be tried.
        until: Reading of `time.monotonic()` at which to stop; None: when all was tried.
        tell: Is called after each example.
        ignored: Rules that may be broken.

    Attributes:
        examples: How many plans were tried.
        in_time: Whether nothing was left out for want of time.
    """

    def __init__(
        self,
        trials: Trials,
        plans: st.SearchStrategy[Plan],
        *,
        until: float | None = None,
        tell: Callable[[], object] | None = None,
        ignored: Collection[str] = (),
    ) -> None:
        self.examples = 0
        self.in_time = True
        self._trials = trials
        self._plans = plans
        self._until = until
        self._tell = tell
        self._ignored = ignored
        self._best: dict[str, Fault] = {}
        self._known = set(ignored)
        self._kinds: dict[str, type[_Found]] = {}
        self._error: BaseException | None = None
        self._last_new = 0
        self._all = True

    def faults(
        self, max_examples: int, number: int, *, at_most: int | None = None
    ) -> Iterator[Fault]:
        """Faults, one each rule, as soon as it is found and as small as can be.

        Args:
            max_examples: How many plans are tried, those left out by which a fault is made smaller.
            number: By which the search is repeated.
            at_most: How many are wanted; None: all.
        """
        tried = found = 0
        self._all = at_most is None
        while True:
            self._best.clear()
            before = self.examples
            wanted = max(max_examples - tried, min(max_examples, _LEAST))
            self._search(wanted, f"{number} {found}")
            if not self._best:
                return
            tried += self._last_new - before
            # What differs from run to run explains others that show only once.
            first = sorted(self._best, key=lambda rule: rule != "deterministic")
            for fault in [self._best[rule] for rule in first]:
                self._known.add(fault.violation.rule)
                smallest = self._smallest(fault)
                if smallest is None:
                    continue
                self._known.add(smallest.violation.rule)
                found += 1
                yield smallest
                if found == at_most:
                    return
            if not self.in_time or self._trials.gave_up:
                return

    def _search(self, max_examples: int, number: str) -> None:
        """One search by Hypothesis: it goes on for some time after the first fault, and shrinks."""

        @seed(number)
        @settings(
            max_examples=max_examples,
            database=None,
            deadline=None,
            derandomize=False,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=self._all,
            # What a user is to be warned of in a test of his own.
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            print_blob=False,
        )
        @given(plan=self._plans)
        def example(plan: Plan) -> None:
            self._try(plan)

        try:
            example()
        except _OverError:
            if self._error is not None:
                raise self._error from None
        except Flaky:
            # What was found does not show any more, or others do: `_smallest` looks at it again.
            if not self._best:
                raise
        except Exception as error:
            if not _all_found(error):
                raise

    def _try(self, plan: Plan) -> None:
        if self._until is not None and time.monotonic() > self._until:
            self.in_time = False
            raise _OverError
        if self._trials.gave_up:
            raise _OverError
        self.examples += 1
        if self._tell is not None:
            self._tell()
        new = self._new(plan)
        if new is not None:
            kind = self._kinds.setdefault(new, type(f"Found {new}", (_Found,), {}))
            raise kind(new)

    def _new(self, plan: Plan) -> str | None:
        """The first rule that was not found before; all that a plan shows are noted."""
        first = None
        try:
            for fault in self._trials.faults(plan):
                rule = fault.violation.rule
                if rule in self._known:
                    continue
                first = first or rule
                if rule not in self._best:
                    self._last_new = self.examples
                # Of two that are as long the later one is smaller: Hypothesis has found it so.
                if rule not in self._best or _size(fault.plan) <= _size(self._best[rule].plan):
                    self._best[rule] = fault
                if plan.swept is not None:
                    # The other moments are looked at when this one is known.
                    break
        except Exception as error:
            # What is no fault of the task is one of who explores it: it is told as it is.
            self._error = error
            raise _OverError from error
        return first

    def _smallest(self, fault: Fault) -> Fault | None:
        """The same fault, with less, as long as it shows; None if the engine does not say so."""
        rule, left = fault.violation.rule, _SMALLER
        again = self._again(rule, fault.plan)
        if again is None:
            return fault if self._trials.gave_up else self._once(fault)
        fault = again
        while left > 0:
            for plan in fault.plan.smaller:
                left -= 1
                found = self._again(rule, plan)
                if found is not None and _size(found.plan) < _size(fault.plan):
                    fault = found
                    break
            else:
                break
        return fault if rule != "deadlock" else self._again(rule, fault.plan, guarded=False)

    def _once(self, fault: Fault) -> Fault | None:
        """What was found, and does not show when the task is run in the same way again."""
        rule = fault.violation.rule
        if rule == "deterministic":
            return fault
        if "deterministic" in self._ignored:
            return _told(fault, rule, "It may take several runs to see it again")
        if "deterministic" in self._known:
            return None
        return _told(
            fault,
            "deterministic",
            "What it depends on besides its arguments must be as before at each run: seed it, or"
            " put it back in a function, given as before=",
        )

    def _again(self, rule: str, plan: Plan, *, guarded: bool = True) -> Fault | None:
        with suppress(Exception):
            faults = self._trials.faults(replace(plan, swept=None), guarded=guarded)
            return next((each for each in faults if each.violation.rule == rule), None)
        return None


def _told(fault: Fault, rule: str, hint: str) -> Fault:
    """What was seen once, as what is told of it."""
    violation = fault.violation
    message = (
        f"{violation.rule} was broken once, and not when the task was run in the same way"
        f" again: {violation.message}\n{hint}"
    )
    return replace(fault, violation=replace(violation, rule=rule, message=message))


def _all_found(error: BaseException) -> bool:
    """Whether it is what the search raises itself; several are a group."""
    if isinstance(error, _Found):
        return True
    several = getattr(error, "exceptions", ())
    return bool(several) and all(map(_all_found, several))


def _size(plan: Plan) -> tuple[int, int, int, int]:
    """How much there is to be read of a plan."""
    scheduled = 0 if plan.schedule is None else 1 + len(plan.schedule.choices)
    return len(plan.calls), len(plan.events), scheduled, len(repr((plan.calls, plan.events)))
