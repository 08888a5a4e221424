from __future__ import annotations

import ast
import copy
import pickle
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_taskprogress.checks import RULES, Contract, Figure, Rule, contract
from pytest_taskprogress.checks.contract import told
from pytest_taskprogress.checks.rules.base import Violation
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.errors import RuleError
from pytest_taskprogress.core.failed import CheckFailed, ContractViolated
from pytest_taskprogress.core.transitions import History, Source, Transition

FALLING = [{"percent": 50}, {"percent": 40}]
OFF = {"first-report", "max-gap", "write-budget", "described"}


def polite(task: JudgedTask, least: int) -> Iterator[tuple[Transition | None, str]]:
    """A rule of somebody else's."""
    for each in task.reports:
        if (each.message or "").count("please") < least:
            yield each, "say please"


POLITE = Rule("polite", "people like it", polite, figure=Figure("how often", int, default=1))


def names(found: list[Violation]) -> list[str]:
    """The rules that were broken."""
    return [each.rule for each in found]


# -- which rules are on ---------------------------------------------------------------------------


def test_what_is_on() -> None:
    """All but those that need a figure and have none."""
    assert {rule.name for rule, _ in Contract().in_force} == set(RULES) - OFF
    assert {rule.name: figure for rule, figure in Contract().in_force}["abort-honoured"] == 1


@pytest.mark.parametrize(
    ("figures", "on"),
    [
        ({"max_gap": 30}, {"max-gap"}),
        ({"max_gap": 0, "described": "5"}, {"max-gap", "described"}),
        ({"max_gap": None}, set()),
        ({"max_gap": False}, set()),
        ({"monotonic": True}, set()),
    ],
    ids=["one", "two", "none", "off", "without a figure"],
)
def test_figures_switch_rules_on(figures: dict[str, Any], on: set[str]) -> None:
    """A figure, also 0; None is the default, False is off."""
    assert {rule.name for rule, _ in Contract().having(**figures).in_force} == set(RULES) - OFF | on


def test_ignore() -> None:
    """By name, with dashes or underscores; as a list or as a text; it adds up."""
    once = Contract().having(ignore=["complete"])
    assert once.ignored == {"complete"}
    assert once.having(ignore="stable_total, bounded").ignored == {
        "complete",
        "stable-total",
        "bounded",
    }
    assert once.having(ignore=()).having(ignore="").ignored == {"complete"}


def test_off_and_on_again() -> None:
    """False ignores a rule, True and a figure bring it back; what is off keeps its figure."""
    off = Contract().having(complete=False, max_gap=30).having(max_gap=False)
    assert off.ignored == {"complete", "max-gap"}
    on = off.having(complete=True, max_gap=5)
    assert (on.ignored, on.figures["max-gap"]) == (frozenset(), 5.0)
    assert off.having(max_gap=None).ignored == {"complete"}
    assert "max-gap" not in off.having(max_gap=None).figures


def test_strict() -> None:
    """None leaves it."""
    assert Contract().strict is False
    assert Contract().having(strict=True).having(ignore="complete").strict is True
    assert Contract(strict=True).having(strict=False).strict is False


def test_nothing_is_changed_in_place() -> None:
    """Each is a new contract."""
    before = Contract()
    before.having(max_gap=3, ignore="complete", strict=True)
    before.only("monotonic")
    before.with_rules([POLITE])
    assert before == Contract()
    assert "polite" not in RULES


def test_only() -> None:
    """Those that are named, also if they were ignored."""
    chosen = Contract().having(ignore="monotonic").only("monotonic", "stable_total")
    assert [rule.name for rule, _ in chosen.in_force] == ["monotonic", "stable-total"]
    assert [f for _, f in Contract().having(max_gap=3).only("max_gap").in_force] == [3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.having(ignore="cmplete"), "no rule 'cmplete': did you mean 'complete'?"),
        (lambda c: c.having(maxgap=3), "no rule 'maxgap': did you mean 'max-gap'?"),
        (lambda c: c.having(ignore=["zzz"]), "no rule 'zzz': There are monotonic, bounded, "),
        (lambda c: c.having(ignore=None), "ignore= takes names of rules, got None"),
        (lambda c: c.having(ignore=[5]), "ignore= takes names of rules, got [5]"),
        (lambda c: c.having(complete=5), "'complete' has no figure: expected True or False, got 5"),
        (lambda c: c.having(max_gap="soon"), "expected seconds, 0 or more, got 'soon'"),
        (lambda c: c.only("max-gap"), "'max-gap' needs a figure: max_gap=... (seconds of the"),
        (lambda c: c.only("monotonc"), "did you mean 'monotonic'?"),
        (lambda c: c.only(), "which rules? There are "),
        (lambda c: c.named(None), "no rule None"),
        (lambda c: c.with_rules([polite]), "expected a Rule of pytest_taskprogress.checks, got"),
        (lambda c: c.with_rules([Rule("monotonic", "", polite)]), "already: give yours another"),
    ],
    ids=lambda each: each[:12] if isinstance(each, str) else "",
)
def test_what_a_contract_refuses(change: Any, message: str) -> None:
    """An error that says what is near, or what is valid, and what came."""
    with pytest.raises(RuleError, match=re.escape(message)) as caught:
        change(Contract())
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["", "a b", "Polite", "be_polite", "-a", "a--b", "ignore", "é"])
def test_names_of_rules(name: str) -> None:
    """A name must be one that a marker can have as an argument."""
    with pytest.raises(RuleError, match="a rule cannot have the name"):
        Contract().with_rules([Rule(name, "", polite)])


# -- what is found --------------------------------------------------------------------------------


def test_violations_in_order() -> None:
    """Task by task, rule by rule, each with the transition and its line."""
    history = History(
        Transition(
            index,
            "task",
            f"tasks.{uuid}",
            uuid,
            "PROGRESS",
            "PROGRESS",
            {"percent": percent},
            source=Source("tasks.py", index + 1),
        )
        for index, (uuid, percent) in enumerate([("b", 50), ("a", 200), ("b", -1), ("a", 20)])
    )
    found = Contract().violations(history)
    assert [(each.task, each.rule, each.source.line) for each in found if each.source] == [
        ("tasks.b", "monotonic", 3),
        ("tasks.b", "bounded", 3),
        ("tasks.a", "monotonic", 4),
        ("tasks.a", "bounded", 2),
    ]
    assert [each.transition for each in found] == [history[2], history[2], history[3], history[1]]


def test_the_line_before() -> None:
    """What no code of the user's wrote is shown at the last report before it."""
    lines = [Source("t.py", 3), Source("t.py", 5), None]
    states = ["PROGRESS", "FAILURE", "SUCCESS"]
    history = [
        Transition(i, "task", "t", "1", states[i - 1] if i else "PENDING", states[i], source=line)
        for i, line in enumerate(lines)
    ]
    (zombie,) = Contract().only("no-zombie").violations(history)
    assert zombie.source == lines[1]
    assert Contract().only("bounded").violations([{"percent": -1}])[0].source is None


def test_rules_of_third_parties() -> None:
    """They are judged by as those of this package, and have figures too."""
    known = Contract().with_rules([POLITE, POLITE])
    reports = [{"description": "please"}, {"description": "now"}]
    assert [str(each) for each in known.violations(reports)] == [
        "polite: say please\n  in the list"
    ]
    assert names(known.having(polite="2").violations(reports)) == ["polite", "polite"]
    assert known.having(polite=0).violations(reports) == []
    assert known.having(ignore="polite").violations(reports) == []


@pytest.mark.parametrize(
    "broken",
    [
        lambda task, figure: 1 / 0,
        lambda task, figure: None,
        lambda task, figure: ["text"],
        lambda task: [],
        lambda task, figure: [(None, "a", "b")],
    ],
    ids=["raises", "None", "no pairs", "no figure", "too many"],
)
def test_a_rule_that_breaks(broken: Any) -> None:
    """It is named, with what it did."""
    known = Contract().with_rules([Rule("broken", "", broken)])
    with pytest.raises(
        RuleError, match=r"the rule 'broken' broke on the list: .*Error: "
    ) as caught:
        known.violations(["SUCCESS"])
    assert caught.value.__cause__ is not None


def test_a_rule_that_makes_transitions() -> None:
    """One that yields a copy is told of all the same, without a mark."""
    rule = Rule("copies", "", lambda task, _: [(copy.copy(task.transitions[0]), "bad")])
    with pytest.raises(ContractViolated, match="copies: bad"):
        Contract().with_rules([rule]).check(["SUCCESS"])


# -- telling of it --------------------------------------------------------------------------------


def test_the_message() -> None:
    """All violations, the timeline with marks, and how to allow it."""
    with pytest.raises(ContractViolated) as caught:
        Contract().check([{"percent": 50}, {"percent": 166.67}, {"percent": 40}, "SUCCESS"])
    assert str(caught.value).splitlines() == [
        "the list breaks its contract:",
        "  monotonic: 40 % after 166.67 %",
        "    in the list",
        "  bounded: percent=166.67 is more than 100",
        "    in the list",
        "  complete: SUCCESS at 40 %: whoever watches sees it stop short",
        "    in the list",
        "",
        "  # seconds old -> new           progress         message line",
        "  0   0.000 PENDING -> PROGRESS  ####----     50%",
        "> 1   0.000 PROGRESS -> PROGRESS ######## 166.67%",
        "> 2   0.000 PROGRESS -> PROGRESS ###-----     40%",
        "  3   0.000 PROGRESS -> SUCCESS",
        "",
        "To allow it: @pytest.mark.taskprogress(ignore=['bounded', 'complete', 'monotonic'])",
    ]
    assert names(list(caught.value.violations)) == ["monotonic", "bounded", "complete"]
    assert caught.value.run is None


def test_of_many_alike_the_first() -> None:
    """Five of each rule and task, and how many there are more."""
    lines = told(Contract().violations([{"percent": -1}] * 1_007)).splitlines()
    assert lines.count("  bounded: percent=-1 is negative") == 5
    assert lines[-1] == "  bounded: and 1,002 more in the list"
    assert len(lines) == 11


def test_escapes_are_shown() -> None:
    """A state, a name or a value that would clear the terminal does not."""
    clears = "\x1b[2J"
    end = Transition(0, "task", clears, "1", "PENDING", "FAILURE", {"why": clears})
    over = Transition(1, "task", clears, "1", "FAILURE", clears, {"percent": clears})
    with pytest.raises(ContractViolated) as caught:
        Contract().check([end, over])
    assert clears not in str(caught.value)
    assert clears not in told(caught.value.violations)


@pytest.mark.parametrize("subject", [[], History()], ids=["list", "history"])
def test_nothing_to_judge(subject: Any) -> None:
    """It is no kept contract."""
    with pytest.raises(ContractViolated, match=r"no task ran; did the code under test use another"):
        Contract().check(subject)
    assert Contract().violations(subject) == []


# -- check(), by name and with figures ------------------------------------------------------------


def test_check_by_name() -> None:
    """Only those that are named; a failure then names no marker, which would change nothing."""
    contract.check(FALLING, "bounded", "complete")
    with pytest.raises(ContractViolated, match="40 % after 50 %") as caught:
        contract.check(FALLING, "monotonic")
    assert "To allow it" not in str(caught.value)
    assert isinstance(caught.value, CheckFailed)


def test_check_with_figures() -> None:
    """A figure alone adds a rule to all; with names, to those."""
    with pytest.raises(ContractViolated) as caught:
        contract.check(FALLING, described=1)
    assert set(names(list(caught.value.violations))) == {"monotonic", "described"}
    with pytest.raises(ContractViolated) as caught:
        contract.check(FALLING, "bounded", described=1)
    assert set(names(list(caught.value.violations))) == {"described"}
    contract.check(FALLING, "bounded", monotonic=False)
    with pytest.raises(RuleError, match="needs a figure"):
        contract.check(FALLING, "described")


# -- what it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],  # noqa: S301
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies(again: Any) -> None:
    """Equal, and with the same rules: those of this package, and those of others."""
    known = Contract().with_rules([POLITE]).having(max_gap=3, ignore="complete", strict=True)
    made = again(known)
    assert made == known
    assert names(made.violations(FALLING)) == ["monotonic", "polite", "polite"]


def test_a_hundred_thousand() -> None:
    """A violation for each report costs no more than a look at each."""
    reports = [{"percent": -number} for number in range(30_000)]
    began = time.perf_counter()
    found = Contract().having(described=3).violations([*reports, "FAILURE", *["PROGRESS"] * 9_999])
    assert len(found) > 60_000
    assert time.perf_counter() - began < 5


DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "contract.md").read_text(encoding="utf-8")


def test_the_documentation_names_the_right_lines() -> None:
    """Where a message says `in breaking.NAME, at breaking.py:LINE`, that line is in NAME."""
    source = (DOCS / "examples" / "breaking.py").read_text(encoding="utf-8")
    lines = {
        node.name: range(node.lineno, (node.end_lineno or 0) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    lines["unpack"] = lines["on_failure"]  # what it says is reported there
    found = re.findall(r"in breaking\.(\w+), at breaking\.py:(\d+)", PAGE)
    assert len(found) > len(RULES)
    assert [each for each in found if int(each[1]) not in lines[each[0]]] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_each_rule_is_in_the_documentation(rule: Rule) -> None:
    """With a section, a row of the table, an example, and the argument of its figure."""
    (row,) = re.findall(rf"^\| \[`{rule.name}`\]\(#{rule.name}\) \|.*\|$", PAGE, re.MULTILINE)
    _, _, section = PAGE.partition(f"\n### {rule.name}\n")
    section = section.partition("\n### ")[0]
    assert f"\n{rule.name}: " in section
    on = rule.figure is None or rule.figure.default is not None
    assert row.endswith("| off |") is not on
    assert (rule.figure is None) is (rule.name.replace("-", "_") + "=" not in section)
