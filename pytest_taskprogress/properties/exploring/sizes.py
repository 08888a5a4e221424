"""Arguments of a task that is run a thousand times: most numbers are small."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from kombu.exceptions import EncodeError
from kombu.serialization import dumps

from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.engines.refusals import NotSerializable
from pytest_taskprogress.properties.exploring.worlds import function_of
from pytest_taskprogress.strategies.arguments import Arguments, task_arguments

__all__ = ["arguments_of", "is_large", "is_odd", "refused"]

#: The largest number where a hint says no more than `int`: most are sizes.
_LARGEST: Final = 50
#: A number that is larger than what is tested by hand; up to twice that is drawn.
_MANY: Final = 1000
#: From where on what is drawn stands for such a number: one in thirty is.
_SELDOM: Final = 2**80
_HUGE: Final = 2.0**900
#: One in so many of those below zero stays there.
_NEGATIVE: Final = 8
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
    if not _is_number(value) or 0 <= value <= _LARGEST:
        return value
    return _small_int(value) if isinstance(value, int) else _small_float(value)


def _small_int(value: int) -> int:
    """Small, now and then negative, and seldom large: what is drawn is any of 128 bits."""
    if -_LARGEST <= value < 0:
        return value
    size = abs(value)
    if size >= _SELDOM:
        # What is less to draw is less here, too: it is made smaller in the same way.
        return min(_MANY + 1 + 21 * (size.bit_length() - _SELDOM.bit_length()), 2 * _MANY)
    if value < 0 and size % _NEGATIVE == 0:
        return -1 - size % _LARGEST
    return size % (_LARGEST + 1)


def _small_float(value: float) -> float:
    if not math.isfinite(value):
        return 0.0
    if -_LARGEST <= value < 0 and value.is_integer():
        return value
    size = abs(value)
    return _MANY + 1.0 if size >= _HUGE else math.fmod(size, _LARGEST)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_odd(value: Any) -> bool:
    """Whether there is a number in arguments that is negative or large."""
    return any(number < 0 or number > _LARGEST for number in _numbers_of(value))


def is_large(value: Any) -> bool:
    """Whether there is a number in arguments that is large."""
    return any(_MANY < number <= 2 * _MANY for number in _numbers_of(value))


def _numbers_of(value: Any) -> Iterator[float]:
    if _is_number(value):
        yield value
    elif isinstance(value, Arguments):
        yield from _numbers_of([value.args, value.kwargs])
    elif isinstance(value, Mapping):
        yield from _numbers_of([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _numbers_of(each)


def refused(task: Any, calls: Iterable[Arguments], error: NotSerializable) -> NotSerializable:
    """What is said of arguments that the serialiser refuses: which ones, and what to do.

    Args:
        task: The task.
        calls: What it was to be called with.
        error: What the engine says of it.
    """
    used = task.serializer or task.app.conf.task_serializer
    for call in calls:
        with suppress(TypeError, ValueError):
            given = inspect.signature(task.run).bind(*call.args, **call.kwargs)
            for name, value in given.arguments.items():
                try:
                    dumps(value, serializer=used)
                except EncodeError:
                    hint = f"the parameter {name!r} takes what can be published: explore() takes"
                    return NotSerializable(f"{error}; {hint} arguments={{{name!r}: strategy}}")
    return error
