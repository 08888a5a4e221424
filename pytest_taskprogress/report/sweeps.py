"""What is told of the sweeps of all tests, from the processes of xdist too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["PROPERTY", "told"]

#: Property of a test report that tells of a sweep: it travels with the report.
PROPERTY: Final = "taskprogress_sweep"


def told(reports: Iterable[Any], *, verbose: bool) -> list[str]:
    """Lines: how many runs there were; nothing if there was no sweep.

    Args:
        reports: pytest's, of tests and of others.
        verbose: Whether each sweep has a line.
    """
    swept = [
        (report.nodeid, str(sweep))
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, sweep in report.user_properties
        if name == PROPERTY
    ]
    if not swept:
        return []
    runs = sum(int(sweep.partition(" ")[0]) for _, sweep in swept)
    count = "a sweep" if len(swept) == 1 else f"{len(swept)} sweeps"
    lines = [f"  {nodeid}: {sweep}" for nodeid, sweep in swept] if verbose else []
    return [f"taskprogress: {runs} runs in {count}", *lines]
