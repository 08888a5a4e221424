"""What an exploration found: each with the smallest way to see it, as code to paste."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.messages import as_line
from pytest_taskprogress.core.timeline import timeline
from pytest_taskprogress.core.transitions import Source, Transition
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.scenario import Event, Schedule
from pytest_taskprogress.strategies.arguments import Arguments

__all__ = ["Exploration", "FaultsFound", "Finding"]

_WIDTH: Final = 96


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a task, and the smallest way to see it.

    Attributes:
        rule: Name of the rule that is broken: of the contract, or one of `raises`, `deadlock`,
            `endless`, `idempotent`, `deterministic`.
        task: Name of the task.
        message: What is wrong.
        transition: The write at which that is; None if it is about something that is missing.
        source: The line of code to look at; None if none is known.
        arguments: What each copy of the task is called with; more than one are a group.
        scenario: What happens to it, and when.
        schedule: What runs next; None: one after the other.
        code: A test that finds it again.
        run: The run; None if it did not come to an end.
        seconds: How long it took to find, and to make small.
    """

    rule: str
    task: str
    message: str
    transition: Transition | None
    source: Source | None
    arguments: tuple[Arguments, ...]
    scenario: tuple[Event, ...]
    schedule: Schedule | None
    code: str
    run: TaskRun | None
    seconds: float

    @property
    def headline(self) -> str:
        """The rule, and what is wrong, and where."""
        at = "" if self.source is None else f", at {self.source}"
        lines = f"{self.rule}: {self.message}\n  in {self.task}{at}".split("\n")
        return "\n".join(map(as_line, lines))

    @property
    def timeline(self) -> str:
        """What happened."""
        run = self.run
        if run is None:
            return ""
        at = [index for index, each in enumerate(run.history) if each == self.transition]
        return "\n".join(timeline(run.history, at=at, notes=run.notes, width=_WIDTH))

    def __str__(self) -> str:
        parts = [self.headline, self.timeline, self.code.rstrip("\n")]
        return "\n\n".join(filter(None, parts))


@dataclass(frozen=True)
class Exploration:
    """What was tried with a task, and what came of it.

    Attributes:
        task: Name of the task.
        findings: What is wrong with it, in the order in which it was found.
        examples: How many ways to run it were tried.
        runs: How many runs that were.
        seconds: How long it took.
        seed: By which it is repeated.
        in_time: Whether nothing was left out for want of time.
        left_out: What was not tried, and why.
    """

    task: str
    findings: tuple[Finding, ...]
    examples: int
    runs: int
    seconds: float
    seed: int
    in_time: bool = True
    left_out: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """What was tried and found, in one line."""
        count = len(self.findings)
        found = "nothing" if not count else "1 fault" if count == 1 else f"{count} faults"
        time = "" if self.in_time else ", which is all the time that there was"
        return (
            f"{self.task}: {found} found in {self.examples:,} examples, {self.runs:,} runs,"
            f" {self.seconds:.1f} s{time} (seed={self.seed})"
        )

    def __str__(self) -> str:
        parts = [f"{number}. {each}" for number, each in enumerate(self.findings, 1)]
        return "\n\n".join([self.headline, *self.left_out, *parts, *self._ways_out()])

    def _ways_out(self) -> Iterator[str]:
        """How to go on without what was found."""
        rules = list(dict.fromkeys(each.rule for each in self.findings))
        if rules:
            names = ", ".join(f'"{each}"' for each in rules)
            what = "it" if len(rules) == 1 else "them"
            options = " ".join(f"--ignore {each}" for each in rules)
            yield f"To allow {what}: explore(..., ignore=[{names}]); on the command line {options}"


class FaultsFound(CheckFailed):
    """There is something wrong with a task that was explored.

    Attributes:
        exploration: All that was tried and found.
    """

    def __init__(self, exploration: Exploration) -> None:
        super().__init__(exploration.headline)
        self.exploration = exploration

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return self.exploration.findings

    @property
    def shows_runs(self) -> bool:
        """True: the runs are in its text."""
        return True

    def __str__(self) -> str:
        return str(self.exploration)

    def __reduce__(self) -> Any:
        return type(self), (self.exploration,)
