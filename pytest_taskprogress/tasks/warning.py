"""Warnings of reports, at the line that reported."""

from __future__ import annotations

import warnings
from types import FrameType
from typing import Any, Final

from pytest_taskprogress.core.callsite import frame_outside
from pytest_taskprogress.core.errors import TaskProgressWarning
from pytest_taskprogress.core.messages import format_message

__all__ = ["caller", "formatted", "warn"]

_OWN: Final = (f"{__name__.partition('.')[0]}.",)


def caller() -> FrameType | None:
    """The frame that called this package."""
    return frame_outside(_OWN)


def warn(message: str) -> None:
    """Warn, at the line that called this package; the message names it too, for logs."""
    frame = caller()
    if frame is None:
        warnings.warn(message, TaskProgressWarning, stacklevel=2)
        return
    file, line = frame.f_code.co_filename, frame.f_lineno
    warnings.warn_explicit(
        f"{message} ({file}:{line})",
        TaskProgressWarning,
        file,
        line,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def formatted(msg: object, args: tuple[Any, ...]) -> str:
    """Format a message; one that cannot be formatted is kept as it is, with a warning."""
    text, wrong = format_message(msg, args)
    if wrong is not None:
        warn(f"the message {text!r} cannot be formatted with its {len(args)} args ({wrong})")
    return text
