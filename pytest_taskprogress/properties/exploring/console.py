"""`python -m pytest_taskprogress explore`: the tasks of an app, from the command line."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from celery import Celery
from celery.app.utils import find_app
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.checks.contract import Contract
from pytest_taskprogress.core.errors import RuleError, TaskProgressError
from pytest_taskprogress.core.messages import as_line, as_text
from pytest_taskprogress.properties.exploring.exploration import examine
from pytest_taskprogress.properties.exploring.findings import Exploration
from pytest_taskprogress.properties.exploring.judging import rules_named

__all__ = ["main"]

#: What the command exits with.
_CLEAN: Final = 0
_FAULTS: Final = 1
_USAGE: Final = 2
_INTERRUPTED: Final = 130

_EPILOG: Final = """\
exit codes: 0 if nothing was found, 1 if something was, 2 if there is nothing to explore.
A task whose arguments have no type hints is left out, and named: `explore(task, arguments=...)` in
a test takes strategies for them.
"""


class _UsageError(Exception):
    """The command was asked for something that there is not."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Its arguments; None: those of the process.

    Returns:
        The exit code.
    """
    asked = _parser().parse_args(arguments)
    try:
        app = _app_of(asked.app)
        tasks = _tasks_of(app, asked.tasks)
    except _UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return _USAGE
    try:
        return _explore_all(tasks, asked)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what is above was explored\n")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m pytest_taskprogress", description="Test Celery tasks that report progress."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    explore = commands.add_parser(
        "explore",
        help="look for all that is wrong with the tasks of an app",
        description="Look for all that is wrong with the tasks of an app: arguments are drawn from"
        " type hints, what may happen to a task is drawn too, and each finding is a test to paste.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explore.add_argument("app", help="where the app is, as Celery's -A takes it: proj.celery:app")
    explore.add_argument("tasks", nargs="*", metavar="task", help="names of tasks; none: all")
    explore.add_argument(
        "--examples",
        type=_whole,
        default=300,
        metavar="N",
        help="ways to run each task (%(default)s)",
    )
    explore.add_argument(
        "--seconds", type=_seconds, metavar="S", help="for all tasks together; default: no limit"
    )
    explore.add_argument(
        "--ignore",
        action="append",
        type=_rule,
        default=[],
        metavar="RULE",
        help="a rule that tasks may break, such as deterministic; may be given several times",
    )
    explore.add_argument("--seed", type=int, default=0, metavar="N", help="repeats a search (0)")
    return parser


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"expected a whole number of 1 or more, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _rule(text: str) -> str:
    try:
        (rule,) = rules_named([text], Contract())
    except RuleError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return rule


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        message = f"expected a number of seconds above 0, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return seconds


# -- what is explored -----------------------------------------------------------------------------


def _app_of(name: str) -> Any:
    """The app of a name; its tasks are there then."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, attribute = name.partition(":")
    try:
        app = getattr(importlib.import_module(module), attribute) if attribute else find_app(name)
        if isinstance(app, Celery):
            app.loader.import_default_modules()
            app.finalize(auto=True)
            return app
    except Exception as error:
        why = as_text(error)
        if not isinstance(error, (ImportError, AttributeError)):
            why = f"{type(error).__name__}: {why}"
        message = f"cannot load the app {name!r}: {why}{_apps_of(module)}"
        raise _UsageError(message) from error
    message = f"{name!r} is no Celery app, it is of type {type(app).__name__}{_apps_of(module)}"
    raise _UsageError(message)


def _apps_of(module: str) -> str:
    """What apps there are in a module, if it can be loaded."""
    if module not in sys.modules:
        return ""
    found = vars(sys.modules[module])
    apps = [f"{module}:{name}" for name, each in found.items() if isinstance(each, Celery)]
    return f". There is {', '.join(apps)}" if apps else f". There is no app in {module}"


def _tasks_of(app: Any, names: Sequence[str]) -> list[Any]:
    """The tasks of some names; none: all, without Celery's own."""
    known = {name: task for name, task in sorted(app.tasks.items()) if not _is_celerys(name)}
    if not known:
        message = f"{app!r} has no tasks: are their modules in its `include`?"
        raise _UsageError(message)
    return [known[_name_of(name, known)] for name in names] if names else list(known.values())


def _name_of(name: str, known: dict[str, Any]) -> str:
    if name in known:
        return name
    # The last part of a name is enough, where there is one of that.
    short = [each for each in known if each.endswith(f".{name}")]
    if len(short) == 1:
        return short[0]
    if short:
        message = f"there are several tasks {name!r}: {', '.join(short)}"
        raise _UsageError(message)
    lasts = {each.rpartition(".")[2]: each for each in known}
    near = get_close_matches(name, known) or [
        lasts[each] for each in get_close_matches(name.rpartition(".")[2], lasts)
    ]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    message = f"there is no task {name!r}: {hint}"
    raise _UsageError(message)


def _is_celerys(name: str) -> bool:
    return name.startswith("celery.")


# -- the exploration ------------------------------------------------------------------------------


def _explore_all(tasks: Sequence[Any], asked: argparse.Namespace) -> int:
    began, found, left_out = time.monotonic(), 0, []
    with _bar(len(tasks) * asked.examples) as bar:
        for number, task in enumerate(tasks):
            left = _share(asked.seconds, began, len(tasks) - number)
            bar.name(task.name)
            try:
                exploration = examine(
                    task,
                    max_examples=asked.examples,
                    seconds=left,
                    seed=asked.seed,
                    ignore=asked.ignore,
                    tell=bar.step,
                )
            except (InvalidArgument, TaskProgressError) as error:
                left_out.append(task.name)
                bar.write(f"{task.name}: left out: {as_line(error)}")
                continue
            found += len(exploration.findings)
            bar.write(_told(exploration))
    count = len(tasks) - len(left_out)
    lines = [_summary(count, found, time.monotonic() - began)]
    if left_out:
        lines.append(f"left out: {', '.join(left_out)}")
    _Lines().write("\n".join(lines))
    if not count:
        sys.stderr.write("error: nothing was explored\n")
        return _USAGE
    return _FAULTS if found else _CLEAN


def _share(seconds: float | None, began: float, tasks: int) -> float | None:
    """The seconds that a task has: its part of what is left."""
    if seconds is None:
        return None
    return max(seconds - (time.monotonic() - began), 0.001) / tasks


def _told(exploration: Exploration) -> str:
    return f"{exploration}\n" if exploration.findings else str(exploration)


def _summary(tasks: int, found: int, seconds: float) -> str:
    explored = "1 task" if tasks == 1 else f"{tasks} tasks"
    faults = "nothing" if not found else "1 fault" if found == 1 else f"{found} faults"
    return f"{explored} explored in {seconds:.1f} s: {faults} found"


class _Lines:
    """Says a line for each task, where there is no bar."""

    def name(self, name: str) -> None:
        """Take the name of the task that comes."""

    def step(self) -> None:
        """Take the news of an example."""

    def write(self, text: str) -> None:
        """Write."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


class _Bar(_Lines):
    """The progress bar of tqdm."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def name(self, name: str) -> None:
        """Take the name of the task that comes."""
        self._bar.set_description_str(name)

    def step(self) -> None:
        """Take the news of an example."""
        # Making a fault smaller is beyond what was planned.
        if self._bar.n < self._bar.total:
            self._bar.update()

    def write(self, text: str) -> None:
        """Write above the bar."""
        self._bar.write(text)


@contextmanager
def _bar(total: int) -> Iterator[_Lines]:
    """A bar on a terminal that can have one, else lines."""
    make = _tqdm() if sys.stderr.isatty() else None
    if make is None:
        yield _Lines()
        return
    with make(total=total, unit="example", leave=False) as bar:
        yield _Bar(bar)


def _tqdm() -> Callable[..., Any] | None:
    try:
        from tqdm import tqdm  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    make: Callable[..., Any] = tqdm
    return make
