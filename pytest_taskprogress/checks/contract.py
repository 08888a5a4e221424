"""The contract: rules that every run keeps, and what a run breaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from textwrap import indent
from typing import Any, Final

from pytest_taskprogress.checks.rules import RULES
from pytest_taskprogress.checks.rules.base import ON, Rule, Violation
from pytest_taskprogress.checks.subjects import Judged, Subject, TaskRecord, judged, tasks_of
from pytest_taskprogress.core.errors import RuleError
from pytest_taskprogress.core.failed import NOTHING_RAN, ContractViolated
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import Transition

__all__ = ["Contract", "check"]


@dataclass(frozen=True)
class Contract:
    """Rules, those that are ignored, and the figures that they go by.

    ::

        Contract().having(max_gap=30, ignore=["complete"]).check(run)

    Attributes:
        rules: All rules there are, by name.
        figures: What rules go by, by name; else their default.
        ignored: Names of rules that are off.
        strict: Whether an engine raises what a run breaks, and does not only warn of it.
    """

    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    figures: Mapping[str, Any] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    strict: bool = False

    # -- changing it ------------------------------------------------------------------------------

    def with_rules(self, rules: Iterable[Rule]) -> Contract:
        """The same, with more rules.

        Raises:
            RuleError: If one is no rule, or has the name of another one.
        """
        known = dict(self.rules)
        for rule in rules:
            if not isinstance(rule, Rule):
                message = f"expected a Rule of pytest_taskprogress.checks, got {as_repr(rule)}"
                raise RuleError(message)
            if known.get(rule.name, rule) is not rule:
                message = f"there is a rule {rule.name!r} already: give yours another name"
                raise RuleError(message)
            known[rule.name] = rule
        return replace(self, rules=known)

    def having(
        self,
        *,
        ignore: Iterable[str] | str = (),
        strict: bool | None = None,
        **figures: Any,  # noqa: ANN401 - each rule has a figure of its own
    ) -> Contract:
        """The same, with other figures, and more that is ignored.

        Args:
            ignore: Names of rules.
            strict: None: as before.
            figures: By name of the rule, dashes written as underscores; None: its default; True and
                False switch a rule that has no figure.

        Raises:
            RuleError: If there is no such rule, or it cannot have such a figure.
        """
        ignored = set(self.ignored) | {self.named(each).name for each in _names(ignore)}
        given = dict(self.figures)
        for name, value in figures.items():
            rule = self.named(name)
            ignored.discard(rule.name)
            if value is False:
                ignored.add(rule.name)
            elif value is None:
                given.pop(rule.name, None)
            else:
                given[rule.name] = _figure(rule, value)
        return replace(
            self,
            figures=given,
            ignored=frozenset(ignored),
            strict=self.strict if strict is None else strict,
        )

    def only(self, *names: str) -> Contract:
        """The same, with some of the rules, also if they were ignored.

        Raises:
            RuleError: If there is no such rule, or it needs a figure that it was not given.
        """
        rules = {rule.name: rule for rule in map(self.named, names)}
        for rule in rules.values():
            if rule.figure is not None and self._figure_of(rule) is None:
                key = rule.name.replace("-", "_")
                message = f"the rule {rule.name!r} needs a figure: {key}=... ({rule.figure.what})"
                raise RuleError(message)
        return replace(self, rules=rules, ignored=frozenset())

    def named(self, name: object) -> Rule:
        """The rule of a name; dashes may be written as underscores.

        Raises:
            RuleError: If there is none; says which is nearest.
        """
        key = name.strip().replace("_", "-") if isinstance(name, str) else ""
        if key in self.rules:
            return self.rules[key]
        near = get_close_matches(key, self.rules, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        message = f"there is no rule {as_repr(name)}: {hint}There are {', '.join(self.rules)}"
        raise RuleError(message)

    # -- judging by it ----------------------------------------------------------------------------

    @cached_property
    def in_force(self) -> tuple[tuple[Rule, Any], ...]:
        """The rules that are on, each with its figure."""
        return tuple(
            (rule, figure)
            for rule in self.rules.values()
            if rule.name not in self.ignored and (figure := self._figure_of(rule)) is not None
        )

    def _figure_of(self, rule: Rule) -> Any:  # noqa: ANN401 - each rule has a figure of its own
        if rule.figure is None:
            return ON
        return self.figures.get(rule.name, rule.figure.default)

    def violations(self, subject: Subject) -> list[Violation]:
        """All that a subject breaks: task by task, rule by rule."""
        return self._violations(judged(subject))

    def _violations(self, subject: Judged) -> list[Violation]:
        return [found for task in tasks_of(subject) for found in self._of_task(task)]

    def _of_task(self, task: TaskRecord) -> Iterable[Violation]:
        for rule, figure in self.in_force:
            if rule.of_reports and not task.reports:
                continue
            for transition, message in rule.check(task, figure):
                yield Violation(
                    rule.name, task.name, message, transition, _source_of(transition, task)
                )

    def check(self, subject: Subject) -> None:
        """Raise what a subject breaks.

        Raises:
            ContractViolated: With all of it; or if there is nothing to be judged.
        """
        __tracebackhide__ = True
        known = judged(subject)
        if not _everything(known):
            message = f"{known.name} kept no contract: {NOTHING_RAN}"
            raise ContractViolated(message, allow="A task that ignores its results stores nothing.")
        violations = self._violations(known)
        if violations:
            raise violated(known, violations)


def _names(ignore: Iterable[str] | str) -> Iterable[str]:
    return ignore.split(",") if isinstance(ignore, str) else ignore


def _figure(rule: Rule, value: Any) -> Any:  # noqa: ANN401 - each rule has a figure of its own
    if rule.figure is None:
        if value is True:
            return value
        message = f"the rule {rule.name!r} has no figure: expected True or False, got {value!r}"
        raise RuleError(message)
    try:
        return rule.figure.parse(value)
    except ValueError as error:
        message = (
            f"the rule {rule.name!r} goes by {rule.figure.what}: {error}, got {as_repr(value)}"
        )
        raise RuleError(message) from None


def _source_of(transition: Transition | None, task: TaskRecord) -> Any:  # noqa: ANN401
    """The line to look at: that of the write, or of the last report before it."""
    if transition is not None and transition.source is not None:
        return transition.source
    before = [
        each
        for each in task.transitions
        if each.source is not None and (transition is None or each.index < transition.index)
    ]
    return before[-1].source if before else None


def _everything(known: Judged) -> Any:  # noqa: ANN401
    return known.history if known.run is None else known.run.history


#: How many violations of one rule by one task are told.
_MOST: Final = 5


def violated(known: Judged, violations: list[Violation]) -> ContractViolated:
    """The error that tells of violations."""
    transitions = _everything(known)
    positions = {id(each): position for position, each in enumerate(transitions)}
    marked = {positions[id(each.transition)] for each in violations if each.transition}
    error = ContractViolated(
        f"{known.name} breaks its contract:\n{told(violations)}",
        transitions=transitions,
        at=sorted(marked),
        allow=ways_out(violations),
    )
    error.violations = tuple(violations)
    error.run = known.run
    return error


def told(violations: Iterable[Violation]) -> str:
    """A line for each; of many alike, for the first ones."""
    alike: dict[tuple[str, str], list[Violation]] = {}
    for each in violations:
        alike.setdefault((each.rule, each.task), []).append(each)
    lines = []
    for same in alike.values():
        lines += [indent(str(each), "  ") for each in same[:_MOST]]
        if len(same) > _MOST:
            lines.append(f"  {same[0].rule}: and {len(same) - _MOST:,} more in {same[0].task}")
    return "\n".join(lines)


def ways_out(violations: Iterable[Violation]) -> str:
    """How to allow it."""
    names = sorted({each.rule for each in violations})
    return f"To allow it: @pytest.mark.taskprogress(ignore={names!r})"


def check(subject: Subject, *names: str, **figures: Any) -> None:  # noqa: ANN401
    """Raise what a run breaks of the contract.

    Args:
        subject: A run, a history, or a list of metas.
        names: Of the rules to judge by; none: all that are on.
        figures: What rules go by, e.g. `max_gap=30`.

    Raises:
        ContractViolated: With all of it; or if there is nothing to be judged.
        RuleError: If there is no such rule, or it cannot have such a figure.
    """
    __tracebackhide__ = True
    contract = getattr(subject, "contract", None) or Contract()
    choose(contract, names, figures).check(subject)


def choose(contract: Contract, names: tuple[str, ...], figures: Mapping[str, Any]) -> Contract:
    """A contract as somebody asks for it: some rules by name, some with a figure."""
    contract = contract.having(**figures)
    return contract.only(*names, *figures) if names else contract
