"""What one transition must be like: `state()` and `progress()`, and how values are judged."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import PurePath
from types import EllipsisType
from typing import Final

from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import Transition

__all__ = [
    "Judge",
    "Matcher",
    "compares",
    "is_predicate",
    "judge_of",
    "name_of",
    "progress",
    "state",
]

#: What is wrong with a pattern is in the pattern.
__tracebackhide__ = True

#: Tells whether a value, or a transition, is as expected.
Judge = Callable[[object], bool]

#: What can be asked of a transition by name; every other name is a key of its meta.
_ATTRIBUTES: Final = frozenset(
    {each.name for each in fields(Transition)}
    | {name for name, each in vars(Transition).items() if isinstance(each, property)}
)

#: Called, although some of them have an `__eq__` of their own.
_FUNCTIONS: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    partial,
)

_MISSING: Final = object()


class Matcher:
    """Is equal to the transitions that it was made for. Made by `state()` and `progress()`.

    Args:
        code: How it is written.
        is_one: Tells whether a transition can be meant at all, before values are looked at.
        expected: Values by name: attributes of a transition, or keys of its meta. `...` is any.
    """

    __slots__ = ("_is_one", "_judges", "code")

    def __init__(
        self, code: str, is_one: Callable[[Transition], bool], expected: dict[str, object]
    ) -> None:
        self.code = code
        self._is_one = is_one
        self._judges = {
            key: judge_of(value, f"{key}={name_of(value)}")
            for key, value in expected.items()
            if value is not ...
        }

    def got(self, transition: Transition) -> dict[str, str]:
        """What a transition has for the names that were asked for, as text.

        Args:
            transition: One that is not equal to this. Empty if it is of another state.
        """
        if not self._is_one(transition):
            return {}
        values = {key: _value_of(transition, key) for key in self._judges}
        return {key: "missing" if v is _MISSING else _line(v) for key, v in values.items()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Transition):
            return NotImplemented
        if not self._is_one(other):
            return False
        for key, judge in self._judges.items():
            value = _value_of(other, key)
            if value is _MISSING or not judge(value):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.code


def state(name: str | EllipsisType, /, **expected: object) -> Matcher:
    """A transition to a state: `state("SUCCESS", result=10)`.

    A value is compared (`pytest.approx`, `mock.ANY`, dirty-equals), or it is a predicate: a
    function, or what can be called and has no `__eq__`.

    Args:
        name: The state, taken literally; `...` is any.
        **expected: By name: an attribute of `Transition` (`result`, `percent`, `message`, `error`,
            `name`, `uuid`, `old_state`, `at`, ...), or, if it has none of that name, a key of its
            meta, which must be there.

    Raises:
        PatternError: If the state is no name, or a value can never be equal to one (a plain class).
    """
    given: object = name  # the annotation is a promise that callers break
    if given is not ... and not (isinstance(given, str) and given):
        message = f"state() takes the name of a state, or ... for any; got {as_repr(name)}"
        raise PatternError(message)
    if isinstance(given, str) and "|" in given:
        message = (
            f"state() takes one name, literally, got {as_repr(name)}: for one of several, write"
            f" {as_repr(f'({given})')} as an item of the list"
        )
        raise PatternError(message)
    code = _code("state", ["..." if name is ... else repr(name)], expected)
    return Matcher(code, lambda each: name is ... or each.state == name, expected)


def progress(
    current: object = ...,
    total: object = ...,
    *,
    percent: object = ...,
    message: object = ...,
    **meta: object,
) -> Matcher:
    """A report of progress, of any report state: `progress(0, 10)`, `progress(percent=100)`.

    Each is judged as in `state()`; `...` is any.

    Args:
        current: The stored position.
        total: The stored total; None is one that is not known.
        percent: The stored percentage, or the one that position and total make.
        message: The stored description.
        **meta: Further keys of the meta (`elapsed`), or attributes of `Transition`.

    Raises:
        PatternError: If a value can never be equal to one (a plain class).
    """
    named = {"percent": percent, "message": message, **meta}
    named = {key: value for key, value in named.items() if value is not ...}
    positional = [] if current is ... else [name_of(current)]
    if total is not ... and positional:
        positional.append(name_of(total))
    elif total is not ...:
        named = {"total": total, **named}
    expected = {"current": current, "total": total, **named}
    return Matcher(_code("progress", positional, named), lambda each: each.is_report, expected)


def judge_of(value: object, where: str) -> Judge:
    """Decide how something expected is judged by: called, or compared.

    Args:
        value: A predicate, or anything with an `__eq__`.
        where: How it is written, for the message.

    Raises:
        PatternError: If it can be neither.
    """
    if inspect.iscoroutinefunction(value):
        message = f"{where}: a predicate must tell at once, and this one is an async function"
        raise PatternError(message)
    if callable(value) and is_predicate(value):
        return lambda got: bool(value(got))
    if isinstance(value, type) and not compares(value):
        message = (
            f"{where}: a class is equal to no value; for any {value.__name__} use a predicate:"
            f" lambda value: isinstance(value, {value.__name__})"
        )
        if issubclass(value, BaseException):
            message = (
                f"{where}: a class is equal to no value; an error is stored as text: {_ERRORS}"
            )
        raise PatternError(message)
    if isinstance(value, BaseException) and not compares(value):
        message = f"{where}: an exception is equal to itself alone; it is stored as text: {_ERRORS}"
        raise PatternError(message)
    return lambda got: bool(value == got)


_ERRORS: Final = 'error="ValueError: no such row", or error=lambda text: "row" in text'


def is_predicate(value: object) -> bool:
    """Whether something is called, as it is a function, or can be called and not compared."""
    if isinstance(value, _FUNCTIONS):
        return True
    return callable(value) and not isinstance(value, type) and not compares(value)


def compares(value: object) -> bool:
    """Whether the type of something has an `__eq__` of its own; of a class: its metaclass."""
    owner = next(each for each in type(value).__mro__ if "__eq__" in vars(each))
    return owner is not object


def name_of(value: object) -> str:
    """How something expected is called in a message, short and without addresses."""
    if value is ...:
        return "..."
    code = getattr(value, "__code__", None)
    if isinstance(code, types.CodeType) and code.co_name == "<lambda>":
        return f"<lambda at {PurePath(code.co_filename).name}:{code.co_firstlineno}>"
    if isinstance(value, partial):
        return f"partial({name_of(value.func)})"
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and isinstance(value, (type, *_FUNCTIONS)):
        return name
    if type(value).__repr__ is object.__repr__:
        return f"<{type(value).__name__}>"
    return _line(value)


def _line(value: object) -> str:
    """The repr of something in one line, which no terminal takes for more than text."""
    return "".join(each if each.isprintable() else " " for each in as_repr(value))


def _code(name: str, positional: list[str], expected: dict[str, object]) -> str:
    named = [f"{key}={name_of(value)}" for key, value in expected.items()]
    return f"{name}({', '.join([*positional, *named])})"


def _value_of(transition: Transition, key: str) -> object:
    if key in _ATTRIBUTES:
        return getattr(transition, key)
    return transition.meta.get(key, _MISSING)
