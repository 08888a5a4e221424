"""The lines of an app's tasks that report, found by reading their source: nothing is run."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

from celery import Task
from celery.contrib import abortable

from pytest_taskprogress.core.states import FAILURE, PROGRESS, SUCCESS, TERMINAL_STATES
from pytest_taskprogress.tasks.base import ProgressTask

__all__ = ["Site", "abortable_tasks", "report_sites"]

#: What an observer is called, or one of the classes that it is made of.
_OBSERVER: Final = "Observer"

#: Method of an Observer -> the state that it stores; None: `state` says it.
_REPORTERS: Final = {"update": None, "success": SUCCESS, "fail": FAILURE, "exception": FAILURE}

#: These hand items on one by one: who goes through them goes through what they were given.
_LAZY: Final = frozenset(
    {"chain", "enumerate", "filter", "islice", "iter", "map", "reversed", "starmap", "zip"}
)
#: These go through what they are given, in C: the running line is the one that calls them.
_EAGER: Final = frozenset(
    {
        *("all", "any", "deque", "dict", "extend", "frozenset", "join", "list", "max", "min"),
        *("next", "set", "sorted", "sum", "tuple", "update"),
    }
)

#: A chain of wrappers that is longer than this is a circle.
_MOST_WRAPPERS: Final = 100

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A place in a task's code that reports.

    Attributes:
        task: Name of the task.
        file: File, as the code object of the function has it.
        line: Where the call, or the loop over what is tracked, begins.
        end: The last line of it: a report comes from any line of `line` to `end`.
        abortable: Whether the task can be asked to abort there; not, where the report ends it.
        optional: Whether it may write nothing when it is run: what `throttle` holds back is
            written by it, if there is something.
    """

    task: str
    file: str
    line: int
    end: int
    abortable: bool = False
    optional: bool = False

    def as_dict(self) -> dict[str, Any]:
        """It as plain values."""
        return {
            "task": self.task,
            "source": f"{self.file}:{self.line}",
            "end": self.end,
            "abortable": self.abortable,
            "optional": self.optional,
        }


def report_sites(app: Any) -> list[Site]:
    """Find where the tasks of an app report.

    Looked at is the function of each task, with what is defined in it. What it calls elsewhere is
    not looked at. A task whose source cannot be read has no sites.

    Args:
        app: A Celery app; its own tasks (`celery.*`) are left out.

    Returns:
        The sites by task, file and line; one for all that begin on the same line. Never raises.
    """
    files: dict[str, dict[tuple[str, int], list[_Function]]] = {}
    found: dict[tuple[str, str, int], Site] = {}
    for name, task in _tasks_of(app):
        function = _function_of(task)
        if function is None:
            continue
        code = function.__code__
        if code.co_filename not in files:
            files[code.co_filename] = _functions_in(code.co_filename, function.__globals__)
        for node in files[code.co_filename].get((code.co_name, code.co_firstlineno), ()):
            for each in _Reader(name, task, function).sites(node):
                key = each.task, each.file, each.line
                found[key] = _merged(found.get(key, each), each)
    return sorted(found.values())


def abortable_tasks(app: Any) -> list[str]:
    """The names of the tasks of an app that can be asked to abort, also of those without sites."""
    return sorted(name for name, task in _tasks_of(app) if _is_abortable(task))


def _tasks_of(app: Any) -> list[tuple[str, Any]]:
    try:
        tasks = dict(app.tasks)
    except Exception:  # noqa: BLE001 - an app that cannot be finalized has run nothing
        return []
    return [
        (str(name), task) for name, task in tasks.items() if not str(name).startswith("celery.")
    ]


def _is_abortable(task: Any) -> bool:
    return isinstance(task, abortable.AbortableTask)


def _merged(one: Site, other: Site) -> Site:
    return Site(
        *(one.task, one.file, one.line),
        end=max(one.end, other.end),
        abortable=one.abortable or other.abortable,
        optional=one.optional and other.optional,
    )


# -- from a task to its source ---------------------------------------------------------------------


def _function_of(task: Any) -> FunctionType | None:
    """The function that a task runs, out of what was wrapped round it; None if there is none."""
    try:
        found: Any = task.run
        for _ in range(_MOST_WRAPPERS):
            if isinstance(found, (functools.partial, functools.partialmethod)):
                found = found.func
            elif hasattr(found, "__wrapped__"):
                found = found.__wrapped__
            elif hasattr(found, "__func__"):
                found = found.__func__
            elif isinstance(found, FunctionType):
                return None if found is Task.run else found
            else:
                found = type(found).__call__
    except Exception:  # noqa: BLE001 - any __getattr__ may be behind a decorator
        return None
    return None


def _functions_in(file: str, module: dict[str, Any]) -> dict[tuple[str, int], list[_Function]]:
    """The functions of a file, by the name and the first line that their code objects have."""
    found: dict[tuple[str, int], list[_Function]] = {}
    try:
        tree = ast.parse("".join(linecache.getlines(file, module)))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                found.setdefault((node.name, first), []).append(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # No Python (a template that was compiled), or deeper than the parser can go.
        return {}
    return found


# -- in the source ---------------------------------------------------------------------------------


class _Reader:
    """Finds the sites in the function of a task.

    Args:
        name: Name of the task.
        task: The task.
        function: What it runs.
    """

    def __init__(self, name: str, task: Any, function: FunctionType) -> None:
        self._name = name
        self._function = function
        self._abortable = _is_abortable(task)
        #: The endings that are not written where they are given, but when the function returns.
        self._kept = frozenset(task.kept_endings) if isinstance(task, ProgressTask) else frozenset()
        self._classes = {_OBSERVER}
        self._observers: set[str] = set()
        self._tracked: set[str] = set()

    def sites(self, function: _Function) -> Iterator[Site]:
        """All of them, in no order.

        Args:
            function: The syntax tree of the function.
        """
        nodes = list(ast.walk(function))
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names = {each.asname for each in node.names if each.name == _OBSERVER}
                self._classes |= {each for each in names if each}
        bindings = [each for node in nodes for each in _bindings(node)]
        known = -1
        # A name may be given to another one: until nothing more is learnt.
        while known != (known := len(self._observers) + len(self._tracked)):
            self._observers |= {name for name, value in bindings if self._is_observer(value)}
            self._tracked |= {name for name, value in bindings if self._is_tracked(value)}
        for node in nodes:
            if isinstance(node, ast.Call):
                yield from self._reports(node)
            yield from self._loops(node)

    def _site(self, first: ast.expr | ast.stmt, last: Any = None, **changes: Any) -> Site:
        end = (last or first).end_lineno or first.lineno
        parts = {"abortable": self._abortable, **changes}
        return Site(self._name, self._function.__code__.co_filename, first.lineno, end, **parts)

    def _reports(self, call: ast.Call) -> Iterator[Site]:
        """The call, if it writes a report itself."""
        if not isinstance(call.func, ast.Attribute):
            return
        method = call.func.attr
        if method == "update_state":
            state = _state_of(call, position=1)
            yield self._site(call, abortable=self._abortable and not _ends(state))
        elif self._is_observer(call.func.value) and method == "flush":
            yield self._site(call, optional=True)
        elif self._is_observer(call.func.value) and method in _REPORTERS:
            state = _REPORTERS[method] or _state_of(call)
            kept = state in self._kept
            yield self._site(call, abortable=self._abortable and not _ends(state), optional=kept)

    def _loops(self, node: ast.AST) -> Iterator[Site]:
        """Where something that is tracked is gone through: that reports, and not `track()`."""
        if isinstance(node, (ast.For, ast.AsyncFor)):
            if self._is_tracked(node.iter):
                yield self._site(node, node.iter)
        elif isinstance(node, _Comprehension):
            for each in node.generators:
                if self._is_tracked(each.iter):
                    # Python 3.13: the line of what it goes through; before: its first one.
                    yield self._site(node, each.iter)
        elif isinstance(node, (ast.expr, ast.Assign)) and self._unpacks(node):
            yield self._site(node)

    def _unpacks(self, node: ast.expr | ast.Assign) -> bool:
        """Whether a node goes through something that is tracked, if only a few items far."""
        parts: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            if any(isinstance(each, (ast.Tuple, ast.List)) for each in node.targets):
                parts = [node.value]
        elif isinstance(node, ast.YieldFrom):
            parts = [node.value]
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            parts = _starred(node.elts)
        elif isinstance(node, ast.Call):
            is_eager = _last_name(node.func) in _EAGER and not self._is_report(node)
            parts = node.args if is_eager else _starred(node.args)
        return any(map(self._is_tracked, parts))

    def _is_report(self, call: ast.Call) -> bool:
        """Whether it is `observer.update(...)`, and not that of a set."""
        return isinstance(call.func, ast.Attribute) and self._is_observer(call.func.value)

    def _is_observer(self, node: ast.expr | None) -> bool:
        """Whether an expression is an Observer that reports to somebody."""
        if isinstance(node, ast.Call):
            task = node.args[0] if node.args else None
            reports = not (isinstance(task, ast.Constant) and task.value is None)
            return reports and self._is_class(node.func)
        return _any_branch(node, self._is_observer) or _dotted(node) in self._observers

    def _is_tracked(self, node: ast.expr | None) -> bool:
        """Whether an expression is what `observer.track()` returns, or goes through it."""
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr == "track":
                return self._is_observer(node.func.value)
            return _last_name(node.func) in _LAZY and any(map(self._is_tracked, node.args))
        if isinstance(node, ast.GeneratorExp):
            return False  # it is a site of its own
        return _any_branch(node, self._is_tracked) or _dotted(node) in self._tracked

    def _is_class(self, node: ast.expr) -> bool:
        """Whether an expression names the Observer, or, by the function's module, a subclass."""
        if _last_name(node) in self._classes:
            return True
        first, *rest = (_dotted(node) or "").split(".")
        # By what is there, and not by getattr: a module may import others when it is asked.
        found = self._known(first)
        try:
            for each in rest:
                found = vars(found)[each]
            is_class = issubclass(type(found), type)
            return is_class and any(each.__name__ == _OBSERVER for each in found.__mro__)
        except (AttributeError, KeyError, TypeError):
            return False

    def _known(self, name: str) -> Any:
        """What a name stands for in the function's closure or module; None if nothing."""
        code, cells = self._function.__code__, self._function.__closure__ or ()
        # A cell may be empty yet.
        with suppress(ValueError):
            if name in code.co_freevars:
                return cells[code.co_freevars.index(name)].cell_contents
        return self._function.__globals__.get(name)


def _starred(nodes: list[ast.expr]) -> list[ast.expr]:
    return [each.value for each in nodes if isinstance(each, ast.Starred)]


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Each name that a node gives to an expression."""
    pairs: list[tuple[ast.expr | None, ast.expr | None]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.withitem):
        pairs = [(node.optional_vars, node.context_expr)]
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs.extend(zip(target.elts, value.elts, strict=False))
        elif (name := _dotted(target)) is not None:
            yield name, value


def _any_branch(node: ast.expr | None, holds: Any) -> bool:
    """Whether something holds for one of the values that an expression may have."""
    if isinstance(node, ast.NamedExpr):
        return bool(holds(node.value))
    if isinstance(node, ast.IfExp):
        return bool(holds(node.body) or holds(node.orelse))
    return isinstance(node, ast.BoolOp) and any(map(holds, node.values))


def _dotted(node: ast.expr | None) -> str | None:
    """A name, or names with dots between; None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)) is not None:
        return f"{owner}.{node.attr}"
    return None


def _last_name(node: ast.expr) -> str | None:
    """What an expression is called: the last of the names with dots between."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _state_of(call: ast.Call, position: int | None = None) -> str | None:
    """The state that a report is given, as far as the text says it: `"X"`, `X` or `states.X`.

    Args:
        call: The call.
        position: Where among its arguments the state may be; None: it is a keyword.

    Returns:
        Its name; None if the text does not say it.
    """
    given = call.args[position : position + 1] if position is not None else []
    given += [each.value for each in call.keywords if each.arg == "state"]
    if not given:
        is_open = any(each.arg is None for each in call.keywords)
        return None if is_open else PROGRESS
    state = given[0]
    return str(state.value) if isinstance(state, ast.Constant) else _last_name(state)


def _ends(state: str | None) -> bool:
    return state in TERMINAL_STATES
