"""Where in a nested value the part is that cannot be encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_taskprogress.core.messages import as_repr

__all__ = ["contains_itself", "culprit"]

#: Deeper than this the path is no help to anybody.
_MAX_DEPTH = 32


def culprit(value: object, encode: Callable[[Any], object], name: str) -> tuple[str, object]:
    """Find the innermost part of a value that an encoder refuses.

    Args:
        value: What could not be encoded.
        encode: The encoder; it raises for what it refuses.
        name: What the whole value is called, e.g. `meta`.

    Returns:
        The path to the part as Python would index it (`meta["user"].tags[2]`), and the part. The
        whole value if each of its parts can be encoded alone.
    """
    path = name
    above: set[int] = set()
    while id(value) not in above and len(above) < _MAX_DEPTH:
        above.add(id(value))
        for step, part in _parts(value):
            if not _accepts(encode, part):
                path, value = path + step, part
                break
        else:
            return _key(path, value, encode)
    return path, value


def contains_itself(value: object, above: tuple[int, ...] = ()) -> bool:
    """Whether a value is among its own parts, or one of its parts is."""
    if id(value) in above:
        return True
    deeper = (*above, id(value))
    return any(contains_itself(part, deeper) for _, part in _parts(value))


def _key(path: str, value: object, encode: Callable[[Any], object]) -> tuple[str, object]:
    """The key that is refused, of a mapping whose values are not."""
    for key in value if isinstance(value, Mapping) else ():
        if not isinstance(key, str) and not _accepts(encode, {key: None}):
            return f"{path} key {as_repr(key)}", key
    return path, value


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{as_repr(key)}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    return []


def _accepts(encode: Callable[[Any], object], value: object) -> bool:
    try:
        encode(value)
    except Exception:  # noqa: BLE001 - each serialiser has its own way to refuse
        return False
    return True
