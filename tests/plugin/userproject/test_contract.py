# ruff: noqa: D103 - what each is for its name says
"""Each rule of the contract: broken, strictly, ignored; and kept."""

from __future__ import annotations

import pytest
from shop import CASES, SHIPPED, shipped

# What Celery says of a record that it cannot read.
pytestmark = pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")


def _each(*, strict, ignored=False):
    def mark(rule, case):
        ignore = [rule, *case.also] if ignored else []
        return pytest.mark.taskprogress(**case.figure, strict=strict, ignore=ignore)

    return [pytest.param(rule, id=rule, marks=mark(rule, case)) for rule, case in CASES.items()]


def _run(taskprogress, rule, **kwargs):
    case = CASES[rule]
    engine = taskprogress.under(*case.under) if case.under else taskprogress
    return engine.run(case.task, **kwargs)


@pytest.mark.parametrize("rule", _each(strict=False))
def test_breaks(taskprogress, rule):
    found = {each.rule for each in _run(taskprogress, rule).violations}
    assert found == {rule, *CASES[rule].also}


@pytest.mark.parametrize("rule", _each(strict=True))
def test_strict(taskprogress, rule):
    _run(taskprogress, rule)


@pytest.mark.parametrize("rule", _each(strict=True, ignored=True))
def test_ignored(taskprogress, rule):
    assert not _run(taskprogress, rule).violations


@pytest.mark.parametrize("rule", _each(strict=True))
def test_fixed(taskprogress, rule):
    assert not _run(taskprogress, rule, fixed=True).violations


@pytest.mark.taskprogress(strict=True)
@pytest.mark.parametrize("what", SHIPPED)
def test_shipped(taskprogress, what):
    taskprogress.run(shipped, SHIPPED[what][1])
