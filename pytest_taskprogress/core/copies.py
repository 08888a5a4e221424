"""Copies of values, so that nobody can change what another one sees."""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from functools import partial, singledispatch
from operator import is_
from types import MappingProxyType
from typing import Any, Final

__all__ = ["copier", "own"]

#: Values of these exact types can be changed by nobody, and hold nothing that can be.
_FIXED: Final = frozenset({str, int, float, bool, type(None), bytes})


def copier(details: Any) -> Callable[[], Any]:
    """What makes copies of some details, one for each listener.

    Args:
        details: A mapping. Of one that is no dict and has a `copy_for_listener`, that is used.
    """
    if type(details) is dict:
        for value in details.values():
            if type(value) not in _FIXED:
                return partial(own, details)
        return details.copy
    made: Callable[[], Any] = getattr(details, "copy_for_listener", partial(_as_own, details))
    return made


def _as_own(details: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(details, dict):
        return own(details)  # type: ignore[no-any-return]
    return own(dict(details))  # type: ignore[no-any-return]


class _Seen(dict[int, Any]):
    """What was copied already, by its id, with its copy."""

    deep = False


def own(value: Any, *, deep: bool = False) -> Any:
    """A copy of a value, with copies of all containers in it.

    Args:
        value: A value of any type; it may contain itself. One that is nested too deeply to be
            copied, or refuses to be, stays what it is.
        deep: Whether to copy other objects too.
    """
    seen = _Seen()
    seen.deep = deep
    try:
        return _each(value, seen)
    except RecursionError:
        return value


def _each(value: Any, seen: _Seen) -> Any:
    if type(value) in _FIXED:
        return value
    if id(value) in seen:
        return seen[id(value)]
    try:
        # Looked up once for what nearly all containers are.
        copied = _COMMON.get(type(value)) or _own.dispatch(type(value))
        return copied(value, seen)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - a class of somebody's that refuses says so as it likes
        return value


@singledispatch
def _own(value: Any, seen: _Seen) -> Any:
    return deepcopy(value) if seen.deep else value


@_own.register
def _(value: tuple, seen: _Seen) -> Any:  # type: ignore[type-arg]
    mine = [_each(each, seen) for each in value]
    if all(map(is_, mine, value)):
        return value
    # Not by its class, which may take other arguments.
    return tuple.__new__(type(value), mine)


@_own.register
def _(value: dict, seen: _Seen) -> Any:  # type: ignore[type-arg]
    try:
        # By copy(), which keeps what a subclass has besides its items.
        mine = seen[id(value)] = copy(value)
        for key, each in mine.items():
            if type(each) not in _FIXED:
                mine[key] = _each(each, seen)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - one that cannot be changed
        return {key: _each(each, seen) for key, each in value.items()}
    return mine


@_own.register
def _(value: MappingProxyType, seen: _Seen) -> Any:  # type: ignore[type-arg]
    return MappingProxyType(_each(dict(value), seen))


@_own.register(list)
@_own.register(deque)
def _(value: Any, seen: _Seen) -> Any:
    mine = seen[id(value)] = copy(value)
    for index, each in enumerate(value):
        mine[index] = _each(each, seen)
    return mine


@_own.register(UserDict)
@_own.register(UserList)
def _(value: Any, seen: _Seen) -> Any:
    mine = seen[id(value)] = copy(value)
    mine.data = _each(value.data, seen)
    return mine


@_own.register(set)
@_own.register(bytearray)
def _(value: Any, seen: _Seen) -> Any:  # noqa: ARG001 - what it holds cannot be changed
    return copy(value)


_COMMON: Final = {kind: _own.dispatch(kind) for kind in (dict, list, tuple)}
