"""Changing what others own, and putting it back exactly."""

from __future__ import annotations

from contextlib import ExitStack
from operator import is_
from typing import Any, Final

__all__ = ["keep", "replace", "take_off"]

_ABSENT: Final = object()
_CONTAINERS: Final = frozenset({dict, list, set, tuple})


def replace(undo: ExitStack, owner: Any, name: str, value: object) -> None:
    """Set an attribute, and put back what was there when a stack is left.

    Args:
        undo: The stack.
        owner: Whose attribute it is.
        name: Its name.
        value: What it is until then.
    """
    old = vars(owner).get(name, _ABSENT)
    setattr(owner, name, value)
    if old is _ABSENT:
        undo.callback(vars(owner).pop, name, None)
    else:
        undo.callback(setattr, owner, name, old)


def take_off(undo: ExitStack, owner: Any, name: str) -> None:
    """Let an object do without an attribute, so that it makes it anew, until a stack is left.

    Args:
        undo: The stack.
        owner: Whose attribute it is; it may have none of that name.
        name: Its name.
    """
    attributes = vars(owner)
    old = attributes.pop(name, _ABSENT)
    if old is not _ABSENT:
        # Not by setattr: a cached property may have a setter of its own.
        undo.callback(attributes.__setitem__, name, old)
    undo.callback(attributes.pop, name, None)


def keep(undo: ExitStack, container: Any) -> None:
    """Put back what a container holds when a stack is left, whatever was done to it until then.

    Args:
        undo: The stack.
        container: A dict, a list, a tuple or a set, with those in it; else it is left alone.
    """
    kept: list[tuple[Any, Any]] = []
    _note(container, kept, set())

    def restore() -> None:
        for each, content in kept:
            if not _is_same(each, content):
                each.clear()
                (each.extend if type(each) is list else each.update)(content)

    undo.callback(restore)


def _is_same(container: Any, content: Any) -> bool:
    """Whether it holds the same objects; settings may be of any type, and compare as they like."""
    if len(container) != len(content):
        return False
    if type(container) is dict:
        # In the same order too, which is so if nothing was done to it.
        return all(map(is_, container, content)) and all(
            map(is_, container.values(), content.values())
        )
    if type(container) is list:
        return all(map(is_, container, content))
    return bool(container == content)


def _note(container: Any, kept: list[tuple[Any, Any]], seen: set[int]) -> None:
    if type(container) not in _CONTAINERS or id(container) in seen:
        return
    seen.add(id(container))
    if type(container) is not tuple:
        kept.append((container, container.copy()))
    for each in container.values() if type(container) is dict else container:
        if type(each) in _CONTAINERS:
            _note(each, kept, seen)
