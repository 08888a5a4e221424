"""The settings of the plugin: what there is, how it is written, and what it is for.

`SETTINGS` is the whole list. A new one is one entry here, and one field of `options.Options`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.parsing import (
    directory,
    names,
    one_of,
    path,
    percent,
    positive,
    seed,
    switch,
)

__all__ = ["SETTINGS", "Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: `--taskprogress-NAME`, ini key `taskprogress_NAME`, and maybe a marker argument.

    Attributes:
        name: Field of `Options`.
        parse: Takes what the user wrote; raises ValueError with what is valid.
        help: What it is for.
        in_marker: Whether `@pytest.mark.taskprogress(NAME=...)` may set it.
        is_flag: Whether it has no value on the command line.
        is_figure: Whether it is one of `Options.figures`, and no field of its own.
        adds: Whether it is a list, to which a marker adds.
        is_path: Whether it is a file or a directory.
        metavar: What stands for its value in `--help`; empty: its name.
    """

    name: str
    parse: Callable[[Any], Any]
    help: str
    in_marker: bool = False
    is_flag: bool = False
    is_figure: bool = False
    adds: bool = False
    is_path: bool = False
    metavar: str = ""

    @property
    def flag(self) -> str:
        """As it is written on the command line."""
        return f"--taskprogress-{self.name.replace('_', '-')}"

    @property
    def key(self) -> str:
        """As it is written in an ini file."""
        return f"taskprogress_{self.name}"


def _figure(name: str) -> Callable[[Any], Any]:
    """Takes the figure of a rule as its text or value; the rule says what is valid."""

    def parse(value: Any) -> Any:
        from pytest_taskprogress.checks.rules import RULES

        figure = RULES[name.replace("_", "-")].figure
        # A marker may switch it off by False, or back to its default by None.
        if value is None or value is False or figure is None:
            return value
        return figure.parse(value)

    return parse


def _of_rule(name: str, what: str) -> Setting:
    """The figure of a rule, as an option; see the rule for its reason."""
    return Setting(name, _figure(name), what, in_marker=True, is_figure=True)


SETTINGS: Final = (
    Setting(
        "engine",
        one_of("eager"),
        "which engine the fixture taskprogress is: eager (default)",
    ),
    Setting(
        "limit",
        positive,
        "how many messages may come of what one drain runs, beyond those that waited, before a task"
        " is taken to requeue itself for ever (default: 10000)",
        in_marker=True,
    ),
    Setting(
        "seed",
        seed,
        "what is run next is random, by this number and the test's id: the same history each time;"
        " random: by another number each time (default: one message after the other)",
        in_marker=True,
        metavar="N",
    ),
    Setting(
        "strict",
        switch,
        "a run that breaks the contract fails its test (default: a warning)",
        in_marker=True,
        is_flag=True,
    ),
    Setting(
        "ignore",
        names,
        "rules of the contract that are off: complete,stable-total",
        in_marker=True,
        adds=True,
    ),
    _of_rule("abort_honoured", "reports, and abort checks, after an abort at most (default: 1)"),
    _of_rule("first_report", "seconds until the first report at most (default: not judged)"),
    _of_rule("max_gap", "seconds between two writes at most (default: not judged)"),
    _of_rule(
        "write_budget",
        "reports of a task at most, and maybe the smallest step in percent: 100,1 (default: not"
        " judged)",
    ),
    _of_rule("described", "characters of a description at least (default: not judged)"),
    Setting(
        "report",
        path,
        "write an HTML page of all tests and their runs to this file",
        is_path=True,
        metavar="FILE",
    ),
    Setting(
        "coverage",
        switch,
        "tell which transitions and reports were reached, and which aborted",
        is_flag=True,
    ),
    Setting(
        "fail_under",
        percent,
        "fail if transition coverage is less than this, in percent",
        metavar="PERCENT",
    ),
    Setting(
        "record",
        path,
        "keep the histories of all tests in this directory, as golden ones",
        is_path=True,
        metavar="DIR",
    ),
    Setting(
        "replay",
        directory,
        "compare the histories of all tests with those kept there",
        is_path=True,
        metavar="DIR",
    ),
)
