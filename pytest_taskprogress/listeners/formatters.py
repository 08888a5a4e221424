"""What a failure in a canvas is about: the tasks before it, with their arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pytest_taskprogress.core.errors import NotFound
from pytest_taskprogress.core.states import FAILURE, SUCCESS
from pytest_taskprogress.listeners.base import names_of
from pytest_taskprogress.listeners.failure import Failure, is_failure
from pytest_taskprogress.listeners.secrets import HIDDEN, Secrets, masked
from pytest_taskprogress.listeners.storage import Atom, Flow, Storage

__all__ = ["FailureFormatter"]

_ExcInfo = tuple[Any, Any, Any] | None

#: How many of the tasks before it a story tells of.
_LONGEST: Final = 25


@dataclass(frozen=True, slots=True)
class _Node:
    """What an `atom_matcher` looks at.

    Attributes:
        item: A task.
    """

    item: Atom


class _Tasks:
    """The tasks of a flow, and those of other processes that they came of.

    Attributes:
        flow: The flow; None: all of them.
        secrets: What must not be seen of them.
    """

    def __init__(self, storage: Storage, flow: Flow | None) -> None:
        self.flow: Final = flow
        self.secrets: Final = Secrets()
        self._storage = storage
        self._elsewhere: dict[str, Atom | None] = {}

    def known(self) -> list[Atom]:
        """All of them that this process knows."""
        return self._storage.known(self.flow)

    def find(self, uuid: str) -> Atom | None:
        """One of them; of another process it is asked for once."""
        if uuid not in self._elsewhere:
            found = None
            with suppress(NotFound):
                found = self._storage.find(uuid)
            if found is not None and found.flow is not None:
                return found
            self._elsewhere[uuid] = found
        return self._elsewhere[uuid]

    def before(self, atom: Atom) -> Iterator[tuple[Atom, int]]:
        """The tasks that one came after, each once, and how many lie between."""
        known = self.known()
        headers: dict[str, list[Atom]] = {}
        for each in known:
            if each.chord is not None:
                headers.setdefault(each.chord, []).append(each)
        stack, seen = [(atom, -1)], {atom.uuid}
        while stack:
            last, depth = stack.pop()
            if depth >= 0:
                yield last, depth
            found = headers.get(last.uuid, [])
            parent = None if last.parent is None else self.find(last.parent)
            if parent is not None and parent not in found:
                found = [parent, *found]
            # The last one is taken first; those of other processes are not in order.
            for each in sorted(found, key=lambda each: each.last.index if each.last else -1):
                if each.uuid not in seen:
                    seen.add(each.uuid)
                    stack.append((each, depth + 1))


class FailureFormatter:
    """Tells the story of a failure: the tasks before it, most recent first.

    Each with its state, arguments and result. What is to be hidden is hidden everywhere: also where
    it was given on to other tasks of the flow, in the message of the exception and in its
    traceback, which is then text, without the values of its frames. What a task was given by one
    whose result, or name, this process does not know is hidden with it.

    Args:
        engine: Whose storage knows the tasks.
        hide_inputs_outputs_of: Names of tasks whose arguments and results are not to be seen.
        mask_inputs_keys: Keys of dicts in arguments whose values are not to be seen.
        mask_outputs_keys: The same in results.

    Raises:
        TypeError: If names or keys are given as a single string.

    Source:
        `taskflow.formatters.FailureFormatter`, to which it leaves the tasks of TaskFlow's engines.
    """

    def __init__(
        self,
        engine: Any,
        hide_inputs_outputs_of: Iterable[str] = (),
        mask_inputs_keys: Iterable[str] = (),
        mask_outputs_keys: Iterable[str] = (),
    ) -> None:
        storage: Any = getattr(engine, "storage", None)
        if hasattr(storage, "keeps_values"):
            storage.keeps_values = True
        self._engine = engine
        self._hidden = names_of(hide_inputs_outputs_of, "hide_inputs_outputs_of")
        self._inputs = names_of(mask_inputs_keys, "mask_inputs_keys")
        self._outputs = names_of(mask_outputs_keys, "mask_outputs_keys")
        self._has_any = bool(self._hidden or self._inputs or self._outputs)
        self._tasks: _Tasks | None = None

    def hides(self, name: str | None) -> bool:
        """Whether arguments and results of a task are not to be seen."""
        return name in self._hidden or (name is None and bool(self._hidden))

    def secrets(self, uuid: str) -> Secrets:
        """What must not be seen in anything that is said of a task.

        Args:
            uuid: Its id.
        """
        if not self._has_any:
            return Secrets()
        if self._is_taskflow:
            return self._taskflow_secrets()
        try:
            atom = self._engine.storage.find(uuid)
        except NotFound:
            atom = None
        return self._secrets(self._tasks_of(atom))

    def shown_result(self, result: Any, secrets: Secrets) -> str:
        """A result as it may be seen."""
        return secrets.hide(str(masked(result, self._outputs)))

    def cleaned(
        self, exc_info: _ExcInfo, story: str, fail: Any, name: str, secrets: Secrets
    ) -> tuple[_ExcInfo, str]:
        """What somebody else says of a failure, as it may be seen.

        Args:
            exc_info: The exception: its traceback would show the values of its frames.
            story: What was said.
            fail: The failure.
            name: Name of the task that failed.
            secrets: What must not be seen.
        """
        if not secrets and not self.hides(name):
            return exc_info, story
        if exc_info is not None:
            story = f"{fail.pformat(traceback=True)}\n{story}"
        return None, secrets.hide_in_traceback(story)

    def format(self, fail: Any, atom_matcher: Callable[[Any], bool]) -> tuple[_ExcInfo, str]:
        """Tell the story of a failure.

        Args:
            fail: A `Failure`; of a TaskFlow engine: TaskFlow's.
            atom_matcher: Called with nodes, whose `item` is a task that has `name` and `uuid`;
                returns True for the one that failed.

        Returns:
            As of `sys.exc_info()`, or None if that is not at hand or would show what is hidden; and
            the story, a line or more, with the stored traceback if the first is None.
        """
        if self._is_taskflow:
            return self._of_taskflow(fail, atom_matcher)
        # The last one: several may have the name that a matcher looks for.
        known = reversed(self._engine.storage.known())
        failed = next((each for each in known if atom_matcher(_Node(each))), None)
        tasks = self._tasks_of(failed)
        secrets = self._secrets(tasks)
        hides = bool(secrets) or (failed is not None and self.hides(failed.name))
        exc_info = None if hides else fail.exc_info
        parts = []
        if exc_info is None:
            parts.append(secrets.hide_in_traceback(fail.pformat(traceback=True)).rstrip())
        if failed is not None:
            parts.append(f"Failed: {self._shown(failed, secrets)}")
            parts += self._told(list(tasks.before(failed)), secrets)
        return exc_info, "\n".join(parts)

    def _told(self, before: list[tuple[Atom, int]], secrets: Secrets) -> Iterator[str]:
        if before:
            yield f"{len(before)} predecessor{'s'[: len(before) > 1]} (most recent first):"
        for atom, depth in before[:_LONGEST]:
            branch = "   " * (depth - 1) + "|__" if depth else ""
            yield f"  {branch}{self._shown(atom, secrets)}"
        if len(before) > _LONGEST:
            yield f"  ... and {len(before) - _LONGEST} before them"

    def _shown(self, atom: Atom, secrets: Secrets) -> str:
        parts = [f"state {atom.state}"]
        last = atom.last
        if self.hides(atom.name):
            parts.append(f"arguments and result {HIDDEN}")
        else:
            if atom.args is not None:
                args, kwargs = masked((atom.args, atom.kwargs or {}), self._inputs)
                called = [secrets.shown(each) for each in args]
                called += [f"{name}={secrets.shown(each)}" for name, each in kwargs.items()]
                parts.append(f"called with ({', '.join(called)})")
            if last is not None and last.state == SUCCESS:
                parts.append(f"result {secrets.shown(masked(last.result, self._outputs))}")
        if last is not None and last.state == FAILURE:
            parts.append(secrets.hide(str(Failure.of(last))))
        return f"Task '{atom.name}' ({atom.uuid}): {', '.join(parts)}"

    # -- what must not be seen --------------------------------------------------------------------

    def _tasks_of(self, atom: Atom | None) -> _Tasks:
        """The tasks of the flow of a task; of the last flow they are kept, with their secrets."""
        flow = None if atom is None else atom.flow
        tasks = self._tasks
        if tasks is None or flow is None or tasks.flow is not flow:
            tasks = self._tasks = _Tasks(self._engine.storage, flow)
        return tasks

    def _secrets(self, tasks: _Tasks) -> Secrets:
        # With all that came before them, also those that other processes ran.
        left = list(tasks.known()) if self._has_any else []
        seen = {atom.uuid for atom in left}
        while left:
            atom = left.pop()
            parent = tasks.find(atom.parent) if atom.parent else None
            given = atom.parent is not None and self._gives_unknown(parent)
            result = atom.last.result if atom.last and atom.last.state == SUCCESS else None
            hidden = given or self.hides(atom.name)
            self._hide(hidden, atom.args, atom.kwargs, result, tasks.secrets)
            if parent is not None and parent.uuid not in seen:
                seen.add(parent.uuid)
                left.append(parent)
        return tasks.secrets

    def _gives_unknown(self, parent: Atom | None) -> bool:
        """Whether a task may have given on what must not be seen, and is not known here."""
        if parent is None:
            return bool(self._hidden)
        return self.hides(parent.name) and (parent.last is None or parent.last.state != SUCCESS)

    def _hide(self, hidden: bool, args: Any, kwargs: Any, result: Any, secrets: Secrets) -> None:
        if hidden:
            # The names of its parameters are no secrets.
            found = [args, *(kwargs or {}).values(), result]
        else:
            found = [*_values((args, kwargs), self._inputs), *_values(result, self._outputs)]
        for each in found:
            secrets.add(each)

    # -- TaskFlow's engines -----------------------------------------------------------------------

    @property
    def _is_taskflow(self) -> bool:
        return getattr(self._engine, "compilation", None) is not None

    def _of_taskflow(self, fail: Any, atom_matcher: Callable[[Any], bool]) -> tuple[_ExcInfo, str]:
        from taskflow import formatters  # noqa: PLC0415 - it is there: this is its engine

        keys = {"mask_inputs_keys": self._inputs, "mask_outputs_keys": self._outputs}
        try:
            theirs = formatters.FailureFormatter(self._engine, self._hidden, **keys)
        except TypeError:
            # TaskFlow 5 has no keys; they are hidden below. Remove with its support.
            theirs = formatters.FailureFormatter(self._engine, self._hidden)
        exc_info, story = theirs.format(fail, atom_matcher)
        failed = self._engine.compilation.hierarchy.find_first_match(atom_matcher)
        name = "" if failed is None else failed.item.name
        return self.cleaned(exc_info, story, fail, name, self._taskflow_secrets())

    def _taskflow_secrets(self) -> Secrets:
        engine, secrets = self._engine, Secrets()
        for node in engine.compilation.hierarchy.bfs_iter(include_self=True):
            atom = node.item
            args = result = None
            # What it has not got, or not returned, is no secret; a flow has neither.
            with suppress(Exception):
                args = engine.storage.fetch_mapped_args(
                    atom.rebind, atom_name=atom.name, optional_args=atom.optional
                )
            with suppress(Exception):
                found = engine.storage.get_execute_result(atom.name)
                result = None if is_failure(found) else found
            self._hide(self.hides(atom.name), (), args, result, secrets)
        return secrets


def _values(value: Any, keys: frozenset[str]) -> Iterator[Any]:
    """The values of some keys in the dicts of a value."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in keys:
                yield each
            else:
                yield from _values(each, keys)
    elif keys and isinstance(value, (list, tuple)):
        for each in value:
            yield from _values(each, keys)
