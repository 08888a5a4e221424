"""Tests that find a fault again: what is pasted."""

from __future__ import annotations

from typing import Any

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.properties.exploring.code import Code
from pytest_taskprogress.properties.exploring.judging import EXTRA_RULES
from pytest_taskprogress.properties.exploring.trials import LIMIT, Fault

__all__ = ["test_of"]


def test_of(fault: Fault, task: Any, contract: Contract) -> str:
    """A test that fails as long as a task has a fault.

    Args:
        fault: What is wrong, and how the task was run.
        task: The task.
        contract: By which that is wrong.
    """
    code, rule, plan = Code(), fault.violation.rule, fault.plan
    name = code.task(task)
    lines = [f'monkeypatch.setattr("{each}", taskprogress.clock.advance)' for each in fault.sleeps]
    parts = [name, *code.arguments(plan.calls[0])]
    if len(plan.calls) > 1:
        code.take("celery", "group")
        members = [f"{name}.s({', '.join(code.arguments(each))})" for each in plan.calls]
        lines.append(code.call_of("group", members, "tasks = "))
        parts = ["tasks"]
    under = f"{code.under(plan.events, plan.schedule)}.run"
    call = code.call_of(under, parts)
    run = code.call_of(under, parts, "run = ")

    def alone(name: str) -> str:
        return code.call_of("taskprogress.run", parts, f"{name} = ")

    if rule == "deterministic":
        lines += [alone("first"), alone("second"), ""]
        lines += ["assert first.snapshot() == second.snapshot()"]
    elif rule == "idempotent":
        lines += [alone("alone"), run, ""]
        lines += ["ends = [each.result for each in run.own if each.state == alone.state]"]
        lines += ["assert ends == [alone.own[-1].result] * len(ends)"]
    elif rule == "endless":
        lines += [f"taskprogress.limit = {LIMIT}", call]
    elif rule in EXTRA_RULES and not _is_violated(fault):
        lines += [run, ""]
        lines += ["assert not any(each.error for each in run.history)"]
    else:
        lines += [run, "", f"run.check({_rule(rule, contract)})"]
    fixtures = ["taskprogress", *(["monkeypatch"] if fault.sleeps else [])]
    return code.test(f"test_{name}_{rule}", _doc(rule, contract), lines, *fixtures)


def _is_violated(fault: Fault) -> bool:
    """Whether it is the contract that says so, and not only an exception."""
    last = fault.violation.transition
    return last is not None and last.error is None


def _rule(rule: str, contract: Contract) -> str:
    figure = contract.figures.get(rule)
    return f'"{rule}"' if figure is None else f"{rule.replace('-', '_')}={figure!r}"


def _doc(rule: str, contract: Contract) -> str:
    known = contract.rules.get(rule)
    reason = EXTRA_RULES.get(rule) or (known.reason if known is not None else rule)
    return f"{reason[0].upper()}{reason[1:]}."
