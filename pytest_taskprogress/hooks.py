"""The hooks that others may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_taskprogress.checks.rules.base import Rule

__all__ = ["pytest_taskprogress_rules"]


def pytest_taskprogress_rules() -> list[Rule]:  # type: ignore[empty-body]
    """Return further rules of the contract; they are on for every run.

    In a conftest.py or a plugin::

        from pytest_taskprogress import Rule

        def shouts(task, figure):
            for each in task.reports:
                if (each.message or "").isupper():
                    yield each, "SHOUTS"

        def pytest_taskprogress_rules():
            return [Rule("quiet", "people do not like to be shouted at", shouts)]
    """
