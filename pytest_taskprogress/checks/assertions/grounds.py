"""What an assertion stands on: what is judged, and the error where it does not hold."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_taskprogress.checks.subjects import Judged, Subject, judged, nothing_of
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.transitions import Transition

__all__ = ["ends_of", "failure", "known_of"]


def known_of(subject: Subject) -> Judged:
    """What is judged; there must be something."""
    __tracebackhide__ = True
    known = judged(subject)
    if not known.history:
        if known.run is not None and known.run.history:
            message = f"{known.name} stored nothing: only others did"
            raise CheckFailed(message, transitions=known.run.history)
        raise CheckFailed(*nothing_of(known))
    return known


def ends_of(known: Judged) -> list[Transition]:
    """What was stored last of each task: of a group, of every member."""
    return list({each.uuid: each for each in known.stored}.values())


def failure(
    known: Judged,
    headline: str,
    expected: str = "",
    *,
    at: Iterable[Transition | None] = (),
    allow: str = "",
) -> CheckFailed:
    """The error; `at` None: after the end."""
    history = known.history
    positions = {id(each): position for position, each in enumerate(history)}
    marks = sorted({len(history) if each is None else positions[id(each)] for each in at})
    run = known.run
    # What happened in between is told by positions in the history of all tasks.
    is_whole = run is not None and len(run.history) == len(history)
    notes = run.notes if run is not None and is_whole else None
    return CheckFailed(
        headline, expected=expected, transitions=history, at=marks, notes=notes, allow=allow
    )
