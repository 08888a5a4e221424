"""Type hints of tasks: what they are, and what a message carries of them."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Final, Union

__all__ = ["carried", "hint_of", "model_of"]

#: What `Any` stands for in a message.
_PLAIN: Final[Any] = Union[None, bool, int, str, list[int], dict[str, int]]  # noqa: UP007 - for 3.10
#: What the abstract types stand for: a message carries lists and dicts.
_LISTS: Final = frozenset(
    {
        list,
        collections.abc.Collection,
        collections.abc.Iterable,
        collections.abc.MutableSequence,
        collections.abc.Reversible,
        collections.abc.Sequence,
    }
)
_DICTS: Final = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


def hint_of(function: Callable[..., Any], name: str, annotation: object) -> Any:  # noqa: ANN401
    """Resolve the hint of one parameter, however the others can be.

    Args:
        function: Whose parameter it is.
        name: Name of the parameter.
        annotation: As it is written; maybe a text.

    Raises:
        Exception: What the evaluation of a text raises, such as a NameError.
    """

    def one() -> None: ...

    one.__annotations__ = {name: annotation}
    # Where it was written; a decorator has names of its own.
    names = [each.__globals__ for each in functions_of(function)][-1:] or [{}]
    return typing.get_type_hints(one, globalns=names[0], include_extras=True)[name]


def functions_of(function: Any) -> Iterator[Any]:  # noqa: ANN401 - methods, partials, wrappers
    """A function, and those that it wraps."""
    while function is not None:
        function = getattr(function, "__func__", function)
        if hasattr(function, "__globals__"):
            yield function
        function = getattr(function, "__wrapped__", None) or getattr(function, "func", None)


def carried(hint: Any) -> Any:  # noqa: ANN401 - a hint may be anything
    """The hint of what a message can carry, of one that says less, or is abstract.

    ::

        carried(dict[str, Any])    # dict[str, None | bool | int | str | list[int] | dict[str, int]]
        carried(Sequence[str])     # list[str]

    Args:
        hint: A hint, resolved.
    """
    if hint is Any or hint is object:
        return _PLAIN
    origin, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    form, inner = _form_of(origin, parts)
    if form is None:
        return hint
    if origin is Annotated:
        # What is said of it holds for what it is made of.
        inner = (carried(parts[0]), *hint.__metadata__)
        return form[inner]
    return form[tuple(map(carried, inner))]


def _form_of(origin: object, parts: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Of what a hint is made again, and with which parts; None: it is left as it is."""
    if origin in (Union, UnionType):
        return Union, parts
    if origin in _LISTS:
        return list, parts or (Any,)
    if origin in _DICTS:
        return dict, parts or (str, Any)
    if origin is tuple:
        return tuple, parts or (Any, ...)
    return (Annotated if origin is Annotated else None), parts


def model_of(function: Callable[..., Any], hint: Any) -> Any:  # noqa: ANN401 - a class, or None
    """The pydantic model that Celery makes an argument, for a task with `pydantic=True`.

    Args:
        function: The task's `run`.
        hint: The hint of the parameter, resolved.

    Returns:
        The class; None if Celery takes the argument as it is.
    """
    if not any(_makes_models(each) for each in functions_of(function)):
        return None
    parts = [each for each in typing.get_args(hint) if each is not type(None)]
    is_optional = typing.get_origin(hint) in (Union, UnionType) and len(parts) == 1
    wanted = parts[0] if is_optional else hint
    return wanted if isinstance(wanted, type) and hasattr(wanted, "model_dump") else None


def _makes_models(function: Any) -> bool:  # noqa: ANN401 - a function
    # Celery 5.5 to 5.7 leave no other trace of `pydantic=True` on the task.
    home, code = function.__globals__.get("__name__"), function.__code__
    return home == "celery.app.base" and bool(code.co_name == "wrapper")
