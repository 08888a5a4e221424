"""The line of code that asked for something, past the packages that passed it on."""

from __future__ import annotations

import sys
from types import FrameType

__all__ = ["frame_outside"]


def frame_outside(
    packages: tuple[str, ...], *, stop: tuple[str, ...] = (), depth: int = 1
) -> FrameType | None:
    """Find the closest frame on the stack whose module is in none of some packages.

    Args:
        packages: Beginnings of module names, e.g. `("celery.", "pytest_taskprogress.")`.
        stop: Beginnings of module names; if one of them comes first there is no such frame.
        depth: How many frames up to begin; 1 is the caller.

    Returns:
        The frame, or None.
    """
    frame: FrameType | None = sys._getframe(depth)  # noqa: SLF001 - the documented way to look up
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if stop and module.startswith(stop):
            return None
        if not module.startswith(packages):
            return frame
        frame = frame.f_back
    return None
