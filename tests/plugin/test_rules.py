"""Every rule of the contract, as a test meets it: broken, strict, ignored; and kept."""

from __future__ import annotations

import re

import pytest

from pytest_taskprogress.checks.rules import RULES

#: What is said of the smallest task that breaks it.
SAID = {
    "monotonic": "25 % after 50 %",
    "bounded": "percent=166.67 is more than 100",
    "consistent": "percent=50, but 1 of 4 is 25 %",
    "complete": "SUCCESS at 90 %",
    "stable-total": "total=8 after total=4",
    "serializable": "meta['rows']['a second'] is nan, which is no JSON",
    "readable": "RETRY was stored without an exception",
    "terminal": "it has ended, and PROGRESS is what everybody reads for ever",
    "no-zombie": "replaced by SUCCESS when the function returned",
    "abort-survives": "is lost: PROGRESS was stored over ABORTED",
    "abort-honoured": "and went on for 3 reports",
    "first-report": "the first report came after 30 s: expected 10 s at most",
    "max-gap": "nothing was written for 120 s: expected 60 s at most",
    "write-budget": "100 reports: expected 50 at most",
    "described": "no description: expected 3 characters or more",
}

#: Progress that people have shipped, and the rule that catches it.
SHIPPED = {
    "166.67 %": "bounded: current=5 is more than total=3",
    "-33.33 %": "bounded: current=-1 is negative",
    "falling": "monotonic: 30 % after 60 %",
    "never 100": "complete: SUCCESS at 75 %",
    "total 0": "bounded: total=0 without a percent",
}


def line_of(session, rule):
    """Where the task is that breaks it: the line that ends with its name."""
    path = session.path / "shop.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if line.endswith(f"# {rule}")]
    return f"{path}:{number}"


def test_all_of_them():
    """No rule is without its smallest task."""
    assert set(SAID) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_broken(session, rule):
    """A run that breaks it warns, at the line that is to blame, and says how to allow it."""
    name = f"test_breaks[{rule}]"
    assert session.of(name) == "passed"
    [warning] = session.warnings(name)
    where = line_of(session, rule)
    lines = [line.strip() for line in warning.split("\n")]
    assert lines[0].startswith(f"{where}: TaskProgressWarning: shop.")
    assert lines[0].endswith(" breaks its contract:")
    assert lines[1].startswith(f"{rule}: ")
    assert SAID[rule] in lines[1]
    assert lines[2].endswith(f", at {where}")
    assert f"To allow it: @pytest.mark.taskprogress(ignore=['{rule}'" in warning
    assert lines[-1].endswith(f"# {rule}")


@pytest.mark.parametrize("rule", RULES)
def test_strict(session, rule):
    """Where the contract is strict it fails, with the same words and the place marked."""
    name = f"test_strict[{rule}]"
    assert session.of(name) == "failed"
    assert session.warnings(name) == []
    told = session.failure(name)
    assert "ContractViolated: shop." in told
    assert f"E         {rule}: " in told
    assert SAID[rule] in told
    assert f", at {line_of(session, rule)}" in told
    assert "E       > " in told
    assert f"To allow it: @pytest.mark.taskprogress(ignore=['{rule}'" in told
    # It is told once, and at a line of the user's.
    assert told.count("seconds old -> new") == 1
    assert "test_contract.py:" in told
    assert not re.search(r"^\S*engines/\S+:\d+: ", told, re.MULTILINE)


@pytest.mark.parametrize("rule", RULES)
def test_ignored(session, rule):
    """Where it is ignored nothing is said, however strict the contract is."""
    name = f"test_ignored[{rule}]"
    assert session.of(name) == "passed"
    assert session.warnings(name) == []


@pytest.mark.parametrize("rule", RULES)
def test_fixed(session, rule):
    """The same task put right keeps the whole contract."""
    name = f"test_fixed[{rule}]"
    assert session.of(name) == "passed"
    assert session.warnings(name) == []


@pytest.mark.parametrize("what", SHIPPED)
def test_shipped(session, what):
    """What people have shipped is caught by name."""
    name = f"test_shipped[{what}]"
    assert session.of(name) == "failed"
    assert SHIPPED[what] in session.failure(name)
