"""What a test that used engines shows when it has failed, and what it is failed for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.report.explain import told_of_engines

__all__ = ["At", "check_contracts", "sections_of", "told_of_runs"]

#: Transitions that were compared, and the position of the first difference.
At: TypeAlias = "tuple[Sequence[Transition], int]"


def sections_of(
    engines: Sequence[Any], listening: Iterable[Any], error: BaseException | None, **how: Any
) -> list[tuple[str, str]]:
    """The sections of the report of a test that failed: their names, and what they tell.

    Args:
        engines: Those of fixtures.
        listening: Whose listeners may have raised; empty if the test itself has not run.
        error: What the test failed with.
        how: As for `told_of_runs`.
    """
    told = [("taskprogress", told_of_runs(engines, error, **how))]
    for each in listening:
        # Nobody raises it where the test has failed by itself.
        told.append(("taskprogress listeners", each.told_of_listeners()))
        told.append(("taskprogress contract", _told_of_contracts()))
    return [(name, text) for name, text in told if text]


def told_of_runs(
    engines: Iterable[Any],
    error: BaseException | None,
    width: int,
    *,
    only_last: bool = False,
    only_used: bool = False,
    at: At | None = None,
) -> str:
    """What engines of a test have run.

    Args:
        engines: Those of fixtures; all others that ran something are told of as well.
        error: What the test failed with; what it shows itself is not shown again.
        width: Columns of the terminal.
        only_last: Whether only the last run of each is meant: others are of other examples.
        only_used: Whether engines are left out that ran nothing.
        at: Transitions that were compared, and the position of the first difference.
    """
    used = list(dict.fromkeys([*engines, *process.recent]))
    if only_used or any(each.history for each in used):
        used = [each for each in used if each.history]
    return told_of_engines(used, error, width, 1 if only_last else None, at)


def check_contracts() -> None:
    """Raise what runs broke that the test did not call itself.

    Raises:
        Exception: The first of it, of the first engine.
    """
    __tracebackhide__ = True
    for each in list(process.recent):
        each.check_contract()


def _told_of_contracts() -> str:
    """The same as text, once."""
    told = []
    for each in list(process.recent):
        try:
            each.check_contract()
        except Exception as error:  # noqa: BLE001 - a warning, or what somebody's rule raised
            told.append(str(error))
    return "\n\n".join(told)
