"""The contract: rules that every run keeps, and what a run breaks."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from textwrap import indent
from typing import Any, Final

from pytest_taskprogress.checks.rules import RULES
from pytest_taskprogress.checks.rules.base import ON, Found, Rule, Violation
from pytest_taskprogress.checks.subjects import (
    Judged,
    JudgedTask,
    Subject,
    judged,
    nothing_of,
    tasks_of,
)
from pytest_taskprogress.core.errors import RuleError
from pytest_taskprogress.core.failed import ContractViolated
from pytest_taskprogress.core.messages import as_line, as_repr, as_text

__all__ = ["Contract", "check"]

#: What a rule may be called, so that it can be written as an argument of a marker.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NO_NAMES: Final = frozenset({"ignore", "limit", "strict"})


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
        asked: Whether its rules were asked for by name, so that no marker switches them off.
    """

    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    figures: Mapping[str, Any] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    strict: bool = False
    asked: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # The rules of this package are known wherever it is.
        rules = [name if RULES.get(name) is rule else rule for name, rule in self.rules.items()]
        state = (dict(self.figures), self.ignored, self.strict, self.asked)
        return _made_again, (type(self), rules, *state)

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
            if not _NAME.fullmatch(rule.name) or rule.name in _NO_NAMES:
                message = (
                    f"a rule cannot have the name {rule.name!r}: expected small letters and digits,"
                    " in words with dashes between them"
                )
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
        if not rules:
            message = f"which rules? There are {', '.join(self.rules)}"
            raise RuleError(message)
        for rule in rules.values():
            if rule.figure is not None and self._figure_of(rule) is None:
                key = rule.name.replace("-", "_")
                message = f"the rule {rule.name!r} needs a figure: {key}=... ({rule.figure.what})"
                raise RuleError(message)
        return replace(self, rules=rules, ignored=frozenset(), asked=True)

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

    def _of_task(self, task: JudgedTask) -> Iterable[Violation]:
        for rule, figure in self.in_force:
            # Two executions that report beside each other are no one's fault, and no one's bar.
            if rule.of_reports and (not task.reports or task.overlaps):
                continue
            found = list(_found_by(rule, task, figure))
            if found:
                yield from _violations_of(rule, task, found)

    def check(self, subject: Subject) -> None:
        """Raise what a subject breaks.

        Raises:
            ContractViolated: With all of it; or if there is nothing to be judged.
        """
        __tracebackhide__ = True
        known = judged(subject)
        if not _everything(known):
            if getattr(known.run, "lost", False):
                return
            raise ContractViolated(*nothing_of(known))
        violations = self._violations(known)
        if violations:
            raise violated(known, violations, "" if self.asked else ways_out(violations))


def _names(ignore: object) -> list[str]:
    names = ignore.replace(",", " ").split() if isinstance(ignore, str) else ignore
    if not isinstance(names, Iterable) or not all(isinstance(each, str) for each in names):
        message = f"ignore= takes names of rules, got {as_repr(ignore)}"
        raise RuleError(message)
    return list(names)


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


def _found_by(rule: Rule, task: JudgedTask, figure: Any) -> Iterable[Found]:  # noqa: ANN401
    """What a rule finds; one that breaks is named: it need not be of this package."""
    try:
        for transition, message in rule.check(task, figure):
            yield transition, str(message)
    except Exception as error:
        message = (
            f"the rule {rule.name!r} broke on {task.name}: {type(error).__name__}:"
            f" {as_text(error)};"
            " its check yields pairs of a transition (or None) and a message"
        )
        raise RuleError(message) from error


def _violations_of(rule: Rule, task: JudgedTask, found: list[Found]) -> Iterable[Violation]:
    """With the line to look at: that of the write, or of the last report before it."""
    sources = [(each.index, each.source) for each in task.transitions if each.source is not None]
    indices = [index for index, _ in sources]
    for transition, message in found:
        source = None if transition is None else transition.source
        if source is None and sources:
            at = len(sources) if transition is None else bisect_left(indices, transition.index)
            source = sources[at - 1][1] if at else None
        yield Violation(rule.name, task.name, message, transition, source)


def _made_again(
    cls: type[Contract],
    rules: list[str | Rule],
    figures: dict[str, Any],
    ignored: frozenset[str],
    strict: bool,  # noqa: FBT001 - as pickle gives it
    asked: bool,  # noqa: FBT001
) -> Contract:
    known = [RULES[each] if isinstance(each, str) else each for each in rules]
    return cls({rule.name: rule for rule in known}, figures, ignored, strict, asked)


def _everything(known: Judged) -> Any:  # noqa: ANN401
    return known.history if known.run is None else known.run.history


#: How many violations of one rule by one task are told.
_MOST: Final = 5


def violated(known: Judged, violations: list[Violation], allow: str) -> ContractViolated:
    """The error that tells of violations."""
    transitions = _everything(known)
    positions = {id(each): position for position, each in enumerate(transitions)}
    found = [positions.get(id(each.transition)) for each in violations]
    marked = {position for position in found if position is not None}
    error = ContractViolated(
        f"{known.name} breaks its contract:\n{told(violations)}",
        transitions=transitions,
        notes=None if known.run is None else known.run.notes,
        at=sorted(marked),
        allow=allow,
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
    return "\n".join(as_line(line) for line in "\n".join(lines).split("\n"))


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
    contract = replace(contract.having(**figures), asked=bool(names or figures))
    given = [name for name, value in figures.items() if value is not None and value is not False]
    return contract.only(*names, *given) if names else contract
