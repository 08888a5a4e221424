"""Options: from ini, command line and marker to one frozen `Options`.

`SETTINGS` is the whole list. A new option is one entry there, and one field of `Options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

__all__ = ["SETTINGS", "Options", "Setting", "add_options", "of_config", "with_marker"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a test run, or a test, asks of the plugin.

    Attributes:
        engine: Which engine the fixture `taskprogress` is.
        limit: How many messages may come of what one drain runs, beyond those that waited.
    """

    engine: str = "eager"
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: `--taskprogress-NAME`, ini key `taskprogress_NAME`, and maybe a marker argument.

    Attributes:
        name: Field of `Options`.
        parse: Takes what the user wrote; raises ValueError with what is valid.
        help: What it is for.
        in_marker: Whether `@pytest.mark.taskprogress(NAME=...)` may set it.
    """

    name: str
    parse: Callable[[Any], Any]
    help: str
    in_marker: bool


def _one_of(*values: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in values:
            message = f"expected one of {', '.join(values)}"
            raise ValueError(message)
        return str(value)

    return parse


def _positive(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or isinstance(value, (bool, float)):
        message = "expected a whole number of 1 or more"
        raise ValueError(message)
    return number


SETTINGS: Final = (
    Setting(
        "engine",
        _one_of("eager"),
        "which engine the fixture taskprogress is: eager (default)",
        in_marker=False,
    ),
    Setting(
        "limit",
        _positive,
        "how many messages may come of what one drain runs, beyond those that waited, before a task"
        " is taken to requeue itself for ever (default: 10000)",
        in_marker=True,
    ),
)

_MARKER: Final = "@pytest.mark.taskprogress"


def add_options(parser: pytest.Parser) -> None:
    """Declare the command line options and the ini keys."""
    group = parser.getgroup("taskprogress", "Celery tasks that report progress")
    for setting in SETTINGS:
        group.addoption(
            f"--taskprogress-{setting.name}",
            dest=f"taskprogress_{setting.name}",
            metavar=setting.name.upper(),
            help=setting.help,
        )
        parser.addini(f"taskprogress_{setting.name}", setting.help)


def of_config(config: pytest.Config) -> Options:
    """The options of a test run; the command line comes before the ini file.

    Raises:
        pytest.UsageError: If a value is not valid; names those that are.
    """
    options = Options()
    for setting in SETTINGS:
        name = f"taskprogress_{setting.name}"
        flag, ini = config.getoption(name), config.getini(name)
        if flag is not None:
            options = _set(options, setting, flag, f"--taskprogress-{setting.name}")
        elif ini not in ("", None):
            options = _set(options, setting, ini, f"ini option {name}")
    return options


def with_marker(options: Options, arguments: Mapping[str, Any], args: tuple[Any, ...]) -> Options:
    """The options of a test that has a marker.

    Args:
        options: Those of the test run.
        arguments: Keyword arguments of the marker.
        args: Its positional arguments; it takes none.

    Raises:
        pytest.UsageError: If an argument is not known, or its value not valid.
    """
    known = {setting.name: setting for setting in SETTINGS if setting.in_marker}
    if args:
        message = f"{_MARKER} takes keyword arguments only ({', '.join(known)}), got {args!r}"
        raise pytest.UsageError(message)
    for name, value in arguments.items():
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"{_MARKER} has no argument {name!r}: expected {', '.join(known)}{hint}"
            raise pytest.UsageError(message)
        options = _set(options, known[name], value, f"{_MARKER}({name}=...)")
    return options


def _set(options: Options, setting: Setting, value: Any, where: str) -> Options:
    try:
        parsed = setting.parse(value)
    except ValueError as error:
        message = f"{where}: {error}, got {value!r}"
        raise pytest.UsageError(message) from None
    return replace(options, **{setting.name: parsed})
