"""Warnings of what tasks did, at the line that reported or published."""

from __future__ import annotations

import warnings
from typing import Final

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.core.transitions import Source

__all__ = ["warn"]

#: Frames of these packages publish on behalf of somebody; the first one above them is the source.
_PUBLISHERS: Final = ("celery.", "contextlib", "kombu.", "pytest_taskprogress.")


def warn(message: str, source: Source | None = None) -> None:
    """Warn.

    Args:
        message: What of.
        source: The line; None: the one that published.
    """
    __tracebackhide__ = True
    where: tuple[str, int] = ("<unknown>", 0)
    if source is not None:
        where = source.file, source.line
    else:
        frame = frame_outside(_PUBLISHERS)
        if frame is not None:
            where = frame.f_code.co_filename, frame.f_lineno
    warnings.warn_explicit(message, TaskProgressWarning, *where)
