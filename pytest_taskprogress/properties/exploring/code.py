"""Findings as code: values, and tests that find them again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import re
from collections.abc import Iterable
from typing import Any, Final

from pytest_taskprogress.scenario import Event, Moment

__all__ = ["Code"]

#: Columns that a line of a test may take.
_LINE: Final = 100
#: What the name of a function is made of.
_NO_NAME: Final = re.compile(r"\W+")


class Code:
    """Code that is being written, with the imports that it needs."""

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._names: dict[str, set[str]] = {}

    @property
    def imports(self) -> str:
        """The import statements, as isort would have them: others, and then this package."""
        lines = [f"import {each}" for each in sorted(self._modules)]
        ours: list[str] = []
        others: list[str] = []
        for module, names in sorted(self._names.items()):
            line = f"from {module} import {', '.join(sorted(names))}"
            (ours if module.startswith("pytest_taskprogress") else others).append(line)
        return "\n".join([*lines, *others, *ours])

    def named(self, thing: Any) -> str:
        """The name of a class or a function of a module, which is imported."""
        module, name = thing.__module__, thing.__qualname__
        if module != "builtins":
            self.take(module, name.partition(".")[0])
        return str(name)

    def take(self, module: str, name: str) -> str:
        """Import a name."""
        self._names.setdefault(module, set()).add(name)
        return name

    # -- values -----------------------------------------------------------------------------------

    def value(self, value: Any) -> str:  # noqa: PLR0911 - a kind of values each
        """A value: what makes it, where that is known, else its repr."""
        if isinstance(value, enum.Enum):
            return f"{self.named(type(value))}.{value.name}"
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if type(value) in (list, tuple, set, frozenset):
            return self._items(value)
        if type(value) is dict:
            items = [f"{self.value(key)}: {self.value(each)}" for key, each in value.items()]
            return f"{{{', '.join(items)}}}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._object(value, {each.name: each.init for each in dataclasses.fields(value)})
        if hasattr(type(value), "model_fields"):
            return self._object(value, dict.fromkeys(type(value).model_fields, True))
        if isinstance(value, (dt.date, dt.time, dt.timedelta)):
            self._modules.add("datetime")
            return repr(value)
        if type(value) is str:
            return _text(value)
        kind = type(value)
        if kind.__module__ != "builtins" and repr(value).startswith(f"{kind.__qualname__}("):
            self.named(kind)
        return repr(value)

    def _items(self, value: Any) -> str:
        items = [self.value(each) for each in value]
        if isinstance(value, (set, frozenset)):
            items.sort()
        text = ", ".join(items)
        if isinstance(value, list):
            return f"[{text}]"
        if isinstance(value, tuple):
            return f"({text},)" if len(items) == 1 else f"({text})"
        text = f"{{{text}}}" if items else ""
        if isinstance(value, frozenset):
            return f"frozenset({text})"
        return text or "set()"

    def _object(self, value: Any, fields: dict[str, bool]) -> str:
        given = [
            f"{name}={self.value(getattr(value, name))}" for name, init in fields.items() if init
        ]
        return f"{self.named(type(value))}({', '.join(given)})"

    def arguments(self, call: Any) -> list[str]:
        """The arguments of a call."""
        named = [f"{name}={self.value(each)}" for name, each in call.kwargs.items()]
        return [*map(self.value, call.args), *named]

    def call_of(self, function: str, parts: Iterable[str], before: str = "") -> str:
        """A call in a test, on as many lines as it needs.

        Args:
            function: What is called.
            parts: Its arguments.
            before: What is done with what it returns.
        """
        parts = list(parts)
        line = f"{before}{function}({', '.join(parts)})"
        if len(line) + 4 <= _LINE or not parts:
            return line
        return "\n".join([f"{before}{function}(", *(f"    {each}," for each in parts), ")"])

    # -- scenarios --------------------------------------------------------------------------------

    def event(self, event: Event) -> str:
        """An event of a scenario."""
        self.take("pytest_taskprogress.scenario", type(event).__name__)
        if isinstance(event.at, Moment):
            self.take("pytest_taskprogress.scenario", event.at.code.partition("(")[0])
        for each in dataclasses.fields(event):
            value = getattr(event, each.name)
            kind = value if isinstance(value, type) else type(value)
            if issubclass(kind, BaseException) and kind.__module__ != "builtins":
                self.named(kind)
        return repr(event)

    def under(self, events: Iterable[Event], schedule: object) -> str:
        """The engine under a scenario."""
        given = [self.event(each) for each in events]
        if schedule is not None:
            self.take("pytest_taskprogress.scenario", "Schedule")
            given.append(f"schedule={schedule!r}")
        return f"taskprogress.under({', '.join(given)})" if given else "taskprogress"

    def task(self, task: Any) -> str:
        """A task, imported from its module."""
        name = getattr(task, "__name__", "") or task.name.rpartition(".")[2]
        if "<locals>" in getattr(task, "__qualname__", ""):
            return str(name)
        return (
            self.take(task.__module__, name) if name.isidentifier() else f"app.tasks[{task.name!r}]"
        )

    # -- tests ------------------------------------------------------------------------------------

    def test(self, name: str, doc: str, lines: Iterable[str], *fixtures: str) -> str:
        """A test, with its imports above it."""
        head = f"def {_NO_NAME.sub('_', name)}({', '.join(fixtures)}):"
        written = "\n".join(lines).split("\n")
        body = [f'    """{doc}"""', *(f"    {line}" if line else "" for line in written)]
        test = "\n".join([head, *body])
        return f"{self.imports}\n\n\n{test}\n" if self.imports else f"{test}\n"


def _text(value: str) -> str:
    """A text as it is written here: in double quotes, where that needs no more of them."""
    text = repr(value)
    return text if text[0] == '"' or '"' in value else f'"{text[1:-1]}"'
