"""The tasks of a canvas, found by its results, in the order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from celery import current_app
from celery.result import AsyncResult, ResultSet

from pytest_taskprogress.core.messages import as_repr

__all__ = ["Canvas", "Member", "members_of"]

#: Results of tasks and canvases, or their ids.
Canvas: TypeAlias = "AsyncResult[Any] | ResultSet | Iterable[Canvas | str]"


@dataclass(frozen=True, slots=True)
class Member:
    """A task of a canvas.

    Attributes:
        result: Its result.
        after: Ids of the tasks that end before it can run.
    """

    result: Any
    after: tuple[str, ...]


def members_of(canvas: Canvas, app: Any = None) -> list[Member]:
    """Find the tasks of a canvas, each once, what comes first before what comes after it.

    Args:
        canvas: Its result: of a chain, group, chord; or results, or ids of tasks.
        app: Of which app ids are; None: the current one.

    Raises:
        TypeError: If there is something else in it.
    """
    if isinstance(canvas, str):
        message = (
            "group_progress() takes the result of a canvas, and an id alone does not say of what it"
            f" is, got {as_repr(canvas)}: GroupResult.restore(id, app=app) for a group that was"
            " saved, [id] for one task"
        )
        raise TypeError(message)
    found: list[Member] = []
    #: Kept, so that no other object gets the id of one.
    seen: dict[object, Any] = {}
    after: dict[int, tuple[str, ...]] = {id(None): ()}
    stack: list[tuple[Any, Any, bool]] = [(canvas, None, False)]
    while stack:
        node, before, is_done = stack.pop()
        if is_done:
            if id(before) not in after:
                after[id(before)] = tuple(_ids(before))
            found.append(Member(node, after[id(before)]))
            continue
        if isinstance(node, str):
            node = (app or current_app).AsyncResult(node)
        key = node.id if isinstance(node, AsyncResult) else id(node)
        if key in seen:
            continue
        seen[key] = node
        # The members of a group have no parent of their own, nor has the first task of a chain
        # among them: the group has.
        parent = getattr(node, "parent", None)
        inherited, before = before, parent or before
        if isinstance(node, AsyncResult):
            stack.append((node, before, True))
        else:
            stack += [(each, before, False) for each in reversed(_parts(node))]
        if before is not None:
            stack.append((before, None if parent is None else inherited, False))
    return found


def _parts(node: Any) -> list[Any]:
    if isinstance(node, ResultSet):
        return list(node.results or ())
    if isinstance(node, (bytes, dict)) or not isinstance(node, Iterable):
        message = (
            f"group_progress() takes the result of a canvas, or results or ids of tasks, got"
            f" {as_repr(node)}"
        )
        raise TypeError(message)
    return list(node)


def _ids(node: Any) -> Iterator[str]:
    """Ids of the tasks that a result is there after: its own, or those of the last members."""
    stack = [] if node is None else [node]
    while stack:
        each = stack.pop()
        if isinstance(each, ResultSet):
            stack += each.results or ()
        else:
            yield each.id
