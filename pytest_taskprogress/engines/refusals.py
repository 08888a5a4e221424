"""What a serialiser refuses, told with the path to it.

The error is Kombu's own type with a better message, so that a task, and Celery, handle it as they
would in production.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu.exceptions import EncodeError

from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.core.keypaths import contains_itself, culprit
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.transitions import Source

__all__ = ["NotSerializable", "refused_arguments", "refused_value"]


class NotSerializable(TaskProgressError, EncodeError):
    """A value that the app's serialiser cannot encode; a production worker refuses it too."""


def refused_arguments(
    name: str | None,
    parts: Mapping[str, object],
    *,
    serializer: str,
    encode: Callable[[Any], object],
    reason: Exception,
) -> NotSerializable:
    """Explain why a task's arguments were refused.

    Args:
        name: Name of the task.
        parts: What its message has, by name: `args`, `kwargs`, and maybe more.
        serializer: Name of the serialiser that refused them.
        encode: The serialiser; it raises for what it refuses.
        reason: What it said.
    """
    found = [culprit(part, encode, each) for each, part in parts.items()]
    # The first one with a refused part in it; else what is refused as a whole.
    path, part = next((each for each in found if each[0] not in parts), found[0])
    return NotSerializable(
        f"{name or 'the task'}: the serialiser {serializer!r} cannot encode"
        f" {_described(path, part)}. Pass plain values (an id instead of an object), or give the"
        f" task a serialiser that knows the type. It said: {as_text(reason)}"
    )


def refused_value(
    state: str,
    value: object,
    *,
    source: Source | None,
    serializer: str,
    encode: Callable[[Any], object],
    reason: Exception,
) -> NotSerializable:
    """Explain why what was stored with a state was refused.

    Args:
        state: State that was written.
        value: What was to be stored with it.
        source: The line that reported; None if the worker wrote it.
        serializer: Name of the serialiser that refused it.
        encode: The serialiser; it raises for what it refuses.
        reason: What it said.
    """
    path, part = culprit(value, encode, "meta" if source else "result")
    where = f" (reported at {source})" if source else ""
    return NotSerializable(
        f"{state}{where}: the result serialiser {serializer!r} cannot encode"
        f" {_described(path, part)}. Store plain values, or set result_serializer to one that knows"
        f" the type. It said: {as_text(reason)}"
    )


def _described(path: str, part: object) -> str:
    kind = type(part).__name__
    if contains_itself(part):
        # Without its repr, which may have no end.
        return f"{path}, a {kind} which contains itself"
    return f"{path} = {as_repr(part)} of type {kind}"
