# ruff: noqa: D103 - what each is for its name says
"""Rules of this directory."""

from __future__ import annotations

from pytest_taskprogress import Rule
from pytest_taskprogress.checks.rules.base import Figure, whole


def shouts(task, _):
    for each in task.reports:
        if (each.message or "").isupper():
            yield each, f"{each.message!r} is shouted"


def counts(task, most):
    if len(task.transitions) > most:
        yield task.transitions[most], f"{len(task.transitions)} writes: expected {most} at most"


QUIET = Rule("quiet", "people do not like to be shouted at", shouts, of_reports=True)
FEW = Rule("few-writes", "disks are slow", counts, figure=Figure("writes at most", whole(1)))


def pytest_taskprogress_rules():
    return [QUIET, FEW]
