"""Strategies of the arguments of a task, from its type hints."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from inspect import Parameter
from types import EllipsisType
from typing import Any, Final, NamedTuple

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy
from hypothesis.vendor.pretty import pretty

from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.strategies.hints import carried, hint_of, model_of

__all__ = ["Arguments", "task_arguments"]

_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
#: Stands for a default that is left to the task.
_LEFT_OUT: Final = object()


class Arguments(NamedTuple):
    """What a task is called with.

    ::

        args, kwargs = arguments
        taskprogress.run(export, *arguments.args, **arguments.kwargs)

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - of a NamedTuple; a drawn one has its own

    def __repr__(self) -> str:
        # What is empty at the end is left out.
        shown = [self.args, self.kwargs] if self.kwargs else [self.args] if self.args else []
        return f"Arguments({', '.join(map(_code, shown))})"


def _code(value: object) -> str:
    """How a value is written: as Hypothesis does, also a text that is a member of an Enum."""
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if type(value) is tuple:
        return f"({', '.join(map(_code, value))}{',' if len(value) == 1 else ''})"
    if type(value) is list:
        return f"[{', '.join(map(_code, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{_code(key)}: {_code(each)}' for key, each in value.items())}}}"
    return pretty(value)


class _Wanted(NamedTuple):
    """How an argument is drawn.

    Attributes:
        name: Name of the parameter.
        strategy: What is drawn.
        may_lack: Whether its default is used sometimes.
    """

    name: str
    strategy: SearchStrategy[Any]
    may_lack: bool = False


class _Call:
    """A task that is to be called.

    Args:
        task: Its name.
        parameters: Those of its function.
        wanted: What is drawn for them, and for its `**kwargs`.
    """

    def __init__(self, task: str, parameters: Iterable[Parameter], wanted: list[_Wanted]) -> None:
        self.task = task
        self.parameters = tuple(parameters)
        self.wanted = wanted
        left_out = st.just(_LEFT_OUT)
        self.drawn = {
            each.name: left_out | each.strategy if each.may_lack else each.strategy
            for each in wanted
        }

    def __repr__(self) -> str:
        return "".join([self.task, *(f", {each.name}={each.strategy!r}" for each in self.wanted)])


def task_arguments(
    task: Any,  # noqa: ANN401 - a Celery task: this package does not know Celery
    /,
    **overrides: SearchStrategy[Any] | EllipsisType,
) -> SearchStrategy[Arguments]:
    """Arguments of a task, from the type hints of its function.

    ::

        @given(arguments=task_arguments(import_users, rows=st.lists(users(), max_size=5)))
        def test_import(taskprogress, arguments):
            taskprogress.run(import_users, *arguments.args, **arguments.kwargs).check()

    They are what a caller publishes. A parameter with a default is left out sometimes, and always
    if it has no hint. Of a hint that says `Any`, or `list` without more, plain values are drawn
    that every serialiser carries; of `Sequence` and `Mapping` a list and a dict, as messages do.
    What is known to `register_type_strategy` is drawn by that. A task with `pydantic=True` gets its
    models as the dicts that Celery makes models of.

    A plain `int` is any number, as Hypothesis draws it: a task that loops so often wants bounds,
    `task_arguments(export, rows=st.integers(0, 100))`.

    Args:
        task: The task; a bound one without its `self`.
        overrides: Strategies of parameters by their names, instead of those of their hints; `...`
            is that of the hint, for one with a default which is to be given always. Of `*args` it
            is a strategy of lists.

    Raises:
        InvalidArgument: If nothing is known of a parameter that needs a value, or there is no such
            parameter.
    """
    run = _function_of(task)
    parameters = _signature(run).parameters
    _check_overrides(task, parameters, overrides)
    wanted = [
        _Wanted(name, *found)
        for name, parameter in parameters.items()
        if (found := _strategy_of(task, parameter, overrides)) is not None
    ]
    # What only `**kwargs` takes.
    extra = [
        _Wanted(name, each)
        for name, each in overrides.items()
        if name not in parameters and isinstance(each, SearchStrategy)
    ]
    call = _Call(task_name_of(task), parameters.values(), wanted + extra)
    return arguments_of(call)


def task_name_of(task: object) -> str:
    """The name of a task, for messages."""
    return as_text(getattr(task, "name", None) or as_repr(task))


@st.composite
def arguments_of(draw: DrawFn, call: _Call) -> Arguments:
    """Draw each, and put it where Python takes it."""
    drawn: dict[str, Any] = {name: draw(each) for name, each in call.drawn.items()}
    given = {name: value for name, value in drawn.items() if value is not _LEFT_OUT}
    positional = [each for each in call.parameters if each.kind in _POSITIONAL]
    rest = [each.name for each in call.parameters if each.kind is Parameter.VAR_POSITIONAL]
    more = [item for name in rest for item in _listed(call.task, name, given.pop(name, ()))]
    needed = len(positional) if more else 0
    for at, each in enumerate(positional):
        if each.kind is Parameter.POSITIONAL_ONLY and each.name in given:
            # What is before it has no other way to be given.
            needed = max(needed, at + 1)
    args: list[Any] = []
    for at, parameter in enumerate(positional):
        if at >= needed and parameter.name not in given:
            break
        args.append(given.pop(parameter.name, parameter.default))
    return Arguments((*args, *more), given)


def _listed(task: str, name: str, values: Any) -> list[Any]:  # noqa: ANN401 - what is drawn
    if isinstance(values, (list, tuple)):
        return list(values)
    message = (
        f"task_arguments({task}, {name}=...) draws what is given as *{name}: expected lists, such"
        f" as those of st.lists(...), got {as_repr(values)}"
    )
    raise InvalidArgument(message)


# -- one parameter --------------------------------------------------------------------------------


def _strategy_of(
    task: object, parameter: Parameter, overrides: Mapping[str, Any]
) -> tuple[SearchStrategy[Any], bool] | None:
    """What is drawn for a parameter, and whether it may be left out; None: it always is."""
    name = parameter.name
    override = overrides.get(name)
    if isinstance(override, SearchStrategy):
        return override, False
    is_needed = parameter.default is parameter.empty
    if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        if parameter.kind is Parameter.VAR_KEYWORD or parameter.annotation is parameter.empty:
            return None
        return st.lists(_from_hint(task, parameter), max_size=5), False
    if parameter.annotation is not parameter.empty:
        return _from_hint(task, parameter), not is_needed and override is None
    if is_needed or override is not None:
        lacks = "no type hint and no default" if is_needed else "no type hint"
        raise InvalidArgument(_unknown(task, name, f"it has {lacks}"))
    return None


def _from_hint(task: object, parameter: Parameter) -> SearchStrategy[Any]:
    name = parameter.name
    run = _function_of(task)
    try:
        hint = hint_of(run, name, parameter.annotation)
    except Exception as error:  # whatever the expression of a hint raises
        why = f"its hint {as_text(parameter.annotation)!r} cannot be resolved: {as_text(error)}"
        raise InvalidArgument(_unknown(task, name, why)) from error
    model = model_of(run, hint)
    strategy = st.from_type(carried(hint))
    try:
        strategy.validate()
    except Exception as error:  # whatever a registered strategy raises
        shown = inspect.formatannotation(parameter.annotation)
        why = f"its hint {shown} has no strategy: {as_text(error)}"
        raise InvalidArgument(_unknown(task, name, why)) from error
    return strategy if model is None else _dumped(strategy)


@st.composite
def _dumped(draw: DrawFn, strategy: SearchStrategy[Any]) -> Any:  # noqa: ANN401 - a dict, or None
    """A model as the dict that Celery makes a model of again."""
    try:
        model = draw(strategy)
    except ValueError as error:
        if type(error).__name__ != "ValidationError":
            raise
        # What a validator of the model refuses is none: the next one.
        reject()
    return None if model is None else model.model_dump(mode="json", by_alias=True)


# -- what is said of bad arguments ----------------------------------------------------------------


def _function_of(task: Any) -> Callable[..., Any]:  # noqa: ANN401 - whatever a user gives
    run = getattr(task, "run", None)
    if not callable(run) or not isinstance(getattr(task, "name", None), str):
        message = (
            f"task_arguments() takes a Celery task, got {as_repr(task)}. Decorate the function with"
            " @app.task or @shared_task"
        )
        if callable(task) and not isinstance(run, Callable):  # type: ignore[arg-type]
            message += "; for a function that is no task, st.builds() draws arguments"
        raise InvalidArgument(message)
    found: Callable[..., Any] = run
    return found


def _signature(run: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Hints are evaluated when somebody asks, and one that cannot be is told of with its name.
        from annotationlib import Format  # noqa: PLC0415 - there from Python 3.14

        return inspect.signature(run, annotation_format=Format.FORWARDREF)
    return inspect.signature(run)


def _check_overrides(
    task: object, parameters: Mapping[str, Parameter], overrides: Mapping[str, Any]
) -> None:
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    for name, override in overrides.items():
        if name not in parameters and not takes_any:
            raise InvalidArgument("".join(_no_such(task, name, parameters)))
        if override is ... and name in parameters:
            continue
        if not isinstance(override, SearchStrategy):
            message = (
                f"task_arguments({task_name_of(task)}, {name}=...) takes a strategy, such as"
                f" st.just({as_repr(override)}), got {as_repr(override)}"
            )
            raise InvalidArgument(message)


def _no_such(task: object, name: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    yield f"{task_name_of(task)} has no parameter {name!r}: "
    yield f"it has {', '.join(parameters)}" if parameters else "it has none"
    near = get_close_matches(name, parameters, n=1)
    if near:
        yield f"; did you mean {near[0]}?"


def _unknown(task: object, name: str, why: str) -> str:
    short = task_name_of(task).rpartition(".")[2]
    return (
        f"{task_name_of(task)}: nothing is known of the parameter {name!r}: {why}. Give the"
        f" parameter a hint, or say what it takes: task_arguments({short},"
        f" {name}=st.lists(st.integers()))"
    )
