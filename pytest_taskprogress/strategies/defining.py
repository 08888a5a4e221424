"""How a strategy of this package is defined, and what its arguments are checked by."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.errors import ProgressValueError
from pytest_taskprogress.core.progress import Number, amount

__all__ = ["check_interval", "check_number", "check_size", "check_strategy", "lazily"]

P = ParamSpec("P")
T = TypeVar("T")


def lazily(define: Callable[P, st.SearchStrategy[T]]) -> Callable[P, st.SearchStrategy[T]]:
    """Define a strategy when it is validated, or first drawn from, as Hypothesis' own are.

    So that what is wrong with its arguments is an error of the test, not of its module's import;
    and its `repr` is the call that made it, not what it is made of.

    Args:
        define: Checks its arguments, and returns the strategy.
    """
    parameters = signature(define)

    @wraps(define)
    def accept(*args: P.args, **kwargs: P.kwargs) -> st.SearchStrategy[T]:
        # An argument that there is not is an error at once, as in any call.
        parameters.bind(*args, **kwargs)

        def definition() -> st.SearchStrategy[T]:
            made = define(*args, **kwargs)
            made.validate()

            def drawn(draw: st.DrawFn, *_: Any, **__: Any) -> T:  # noqa: ANN401
                return draw(made)

            drawn.__name__ = define.__name__
            strategy: st.SearchStrategy[T] = st.composite(drawn)(*args, **kwargs)
            return strategy

        given = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        definition.__name__ = f"{define.__name__}({', '.join(given)})"
        return st.deferred(definition)

    return accept


def check_size(value: object, name: str, *, least: int = 0) -> int:
    """Take a whole number.

    Raises:
        InvalidArgument: If it is none, or less than the least.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        message = f"Expected int but got {name}={value!r} (type={type(value).__name__})"
        raise InvalidArgument(message)
    if value < least:
        message = f"Invalid size {name}={value!r} < {least}"
        raise InvalidArgument(message)
    return value


def check_number(value: object, name: str) -> Number:
    """Take a finite number of 0 or more.

    Raises:
        InvalidArgument: If it is none.
    """
    try:
        return amount(value, name)
    except ProgressValueError:
        message = f"Expected a finite number of 0 or more but got {name}={value!r}"
        raise InvalidArgument(message) from None


def check_interval(low: Number, high: Number | None, name: str) -> None:
    """Check that there is something between two bounds, which were checked for themselves.

    Args:
        low: The lower bound.
        high: The upper bound; None: there is none.
        name: What is bounded.

    Raises:
        InvalidArgument: If there is nothing.
    """
    if high is not None and high < low:
        message = f"Cannot have max_{name}={high!r} < min_{name}={low!r}"
        raise InvalidArgument(message)


def check_strategy(value: object, name: str) -> None:
    """Check that somebody gave a strategy, or None.

    Raises:
        InvalidArgument: If it is neither.
    """
    if value is None or isinstance(value, st.SearchStrategy):
        return
    hint = ""
    if isinstance(value, (list, tuple, set, frozenset)):
        hint = f"; did you mean sampled_from({value!r})?"
    elif isinstance(value, type):
        hint = f"; did you mean from_type({value.__name__})?"
    elif not callable(value):
        hint = f"; did you mean just({value!r})?"
    message = (
        f"Expected a SearchStrategy but got {name}={value!r} (type={type(value).__name__}){hint}"
    )
    raise InvalidArgument(message)
