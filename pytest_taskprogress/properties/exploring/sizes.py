"""Arguments of a task that is run a thousand times: numbers are small."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.properties.exploring.worlds import function_of
from pytest_taskprogress.strategies.arguments import Arguments, task_arguments

__all__ = ["arguments_of"]

#: The largest number where a hint says no more than `int`: most are sizes.
_LARGEST: Final = 50
_PAIR: Final = 2


def arguments_of(task: Any, given: object) -> st.SearchStrategy[Arguments]:
    """The strategy of the arguments of a task.

    Args:
        task: The task.
        given: Strategies by the names of parameters, for those that hints do not tell; or a
            strategy of all: of tuples, of dicts, of `Arguments`; None: all by its hints.

    Raises:
        InvalidArgument: If nothing is known of an argument, or there is no such one.
        TypeError: If that is neither.
    """
    if isinstance(given, st.SearchStrategy):
        return given.map(_as_arguments)
    if given is not None and not isinstance(given, Mapping):
        message = (
            "arguments= takes strategies by the names of parameters, such as"
            " {'rows': st.lists(st.integers())}, or a strategy of tuples or dicts, got"
            f" {as_repr(given)}"
        )
        raise TypeError(message)
    overrides: dict[str, Any] = dict(given or {})
    plain = _plain_numbers(task) - set(overrides)
    try:
        strategy = task_arguments(task, **overrides)
    except InvalidArgument as error:
        message = f"{error}; explore() takes it as arguments={{'name': strategy}}"
        raise InvalidArgument(message) from error
    names = list(inspect.signature(task.run).parameters)
    return strategy.map(lambda drawn: _with_sizes(drawn, names, plain)) if plain else strategy


def _as_arguments(drawn: Any) -> Arguments:
    """What a user's strategy draws; see `arguments_of`."""
    if isinstance(drawn, Arguments):
        return drawn
    if isinstance(drawn, Mapping):
        return Arguments((), dict(drawn))
    if isinstance(drawn, tuple):
        is_pair = len(drawn) == _PAIR and isinstance(drawn[0], tuple) and isinstance(drawn[1], dict)
        return Arguments(*drawn) if is_pair else Arguments(drawn, {})
    message = (
        "arguments= is a strategy of tuples (the positional arguments), of dicts (the keyword"
        f" arguments), or of Arguments; it drew {as_repr(drawn)}"
    )
    raise InvalidArgument(message)


def _plain_numbers(task: Any) -> set[str]:
    """The parameters whose hint says no more of a number than its type."""
    try:
        hints = typing.get_type_hints(function_of(task), include_extras=True)
    except Exception:  # noqa: BLE001 - what cannot be resolved is told of by who draws it
        return set()
    return {name for name, hint in hints.items() if _is_plain(hint)}


def _is_plain(hint: Any) -> bool:
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Annotated, typing.Literal):
        return False
    if not parts:
        return hint in (int, float, str, bytes, bool, type(None), list, dict, tuple, Any, ...)
    return all(map(_is_plain, parts))


def _with_sizes(drawn: Arguments, names: list[str], plain: set[str]) -> Arguments:
    args = [
        _small(each) if at < len(names) and names[at] in plain else each
        for at, each in enumerate(drawn.args)
    ]
    kwargs = {name: _small(each) if name in plain else each for name, each in drawn.kwargs.items()}
    return Arguments(tuple(args), kwargs)


def _small(value: Any) -> Any:
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(_small, value))
    if type(value) is dict:
        return {_small(key): _small(each) for key, each in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or 0 <= value <= _LARGEST:
        return value
    if isinstance(value, int):
        return abs(value) % (_LARGEST + 1)
    return math.fmod(abs(value), _LARGEST) if math.isfinite(value) else 0.0
