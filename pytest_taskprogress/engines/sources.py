"""The line of code that a write to the result backend comes from."""

from __future__ import annotations

from typing import Final

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.transitions import Source

__all__ = ["source_of_write"]

#: Frames of these packages report on behalf of somebody; the first frame above them is the source.
_REPORTERS: Final = ("celery.", "pytest_taskprogress.")
#: What these write, the worker writes.
_WORKER: Final = ("celery.app.trace", "celery.worker.")


def source_of_write() -> Source | None:
    """The line that reported; None for what the worker's own code wrote."""
    # From the caller of `store_result` on.
    frame = frame_outside(_REPORTERS, stop=_WORKER, depth=3)
    return None if frame is None else Source(frame.f_code.co_filename, frame.f_lineno)
