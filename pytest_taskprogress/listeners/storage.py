"""What is known of flows, tasks and retries, and what listeners record of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.errors import NotFound
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.progress import Progress
from pytest_taskprogress.core.states import (
    FAILURE,
    PENDING,
    RUNNING,
    SUCCESS,
    SUSPENDED,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.listeners.failure import Failure

__all__ = ["Atom", "Flow", "Storage"]


#: States in which a task does not go on.
_OVER: Final = TERMINAL_STATES | {"IGNORED", "REJECTED"}


@dataclass(slots=True, eq=False)
class Flow:
    """A canvas, as far as listeners were told of it.

    Attributes:
        name: Of its task, or what kind of canvas it is.
        uuid: Its id.
        state: The state that listeners were told last.
        metadata: What listeners recorded.
        size: How many tasks the canvas has, as far as that is known.
        held: Whether somebody says when it ends, who said that it begins.
        members: Ids of the tasks of its canvas; others were published by these.
        open: Ids of its tasks that have not come to an end.
        ends: The states that its members came to an end with, in order; keys of a dict.
    """

    name: str
    uuid: str
    state: str = PENDING
    metadata: dict[str, Any] = field(default_factory=dict)
    size: int = 1
    held: bool = False
    members: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    ends: dict[str, None] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether it has begun, and has not come to an end."""
        return self.state in (RUNNING, SUSPENDED)


@dataclass(slots=True, eq=False)
class Atom:
    """A task, as far as listeners were told of it.

    Attributes:
        name: Its name; None where only the id is known.
        uuid: Its id.
        state: The state that listeners were told last.
        begun: Whether an attempt of it has begun.
        ended: Whether the end of its last attempt was told.
        metadata: What listeners recorded.
        args: What it was called with; None if that is not known.
        kwargs: As `args`.
        last: What it wrote last; None if nothing.
        report: Its last report; None if it has not reported.
        parent: Id of the task that it came of; None if of none.
        chord: Id of the task that gets its result when all of its group are done.
        flow: What it is part of.
    """

    name: str | None
    uuid: str
    state: str = PENDING
    begun: bool = False
    ended: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    last: Transition | None = None
    report: Transition | None = None
    parent: str | None = None
    chord: str | None = None
    flow: Flow | None = None

    @property
    def is_running(self) -> bool:
        """Whether an attempt of it goes on."""
        return self.begun and not self.ended

    @property
    def goes_on(self) -> bool:
        """Whether it has begun, and has not come to an end; maybe it waits for a retry."""
        return self.begun and self.state not in _OVER


class Storage:
    """What is known of flows, tasks and retries, and what listeners record of them.

    Where a task is asked for, its id or its name will do. A name stands for the task of that name
    that this thread is told of just now, else for the one that somebody was told of last. Where a
    flow is asked for, None stands for the one that this thread is told of, or else the last one.

    Args:
        at_most: How many tasks, and flows, it knows: the oldest are forgotten, those that go on
            last. None: all of them.
        lookup: Finds a task of another process by its id; returns None if there is none. None: no
            such tasks are known.

    Attributes:
        keeps_values: Whether it knows what tasks were called with, and what they returned. That may
            be large, and is kept as long as the task: where tasks are forgotten only if somebody
            wants it, as a `FailureFormatter` does.

    Source:
        `taskflow.storage.Storage`, for the names.
    """

    def __init__(
        self,
        *,
        at_most: int | None = None,
        lookup: Callable[[str], Atom | None] | None = None,
    ) -> None:
        self.keeps_values = at_most is None
        self._at_most = at_most
        self._lookup = lookup
        self._changing = threading.RLock()
        self._here = threading.local()
        self.clear()

    def clear(self) -> None:
        """Forget all of it."""
        with self._changing:
            self._atoms: dict[str, Atom] = {}
            self._announced: dict[str, Atom] = {}
            self._flows: dict[str, Flow] = {}
            self._told: dict[str, Atom] = {}

    # -- what the engine tells it -----------------------------------------------------------------

    def atom(self, uuid: str, name: str | None = None) -> Atom:
        """The task of an id; a new one if there was none."""
        found = self._atoms.get(uuid)
        if found is None:
            with self._changing:
                found = self._atoms.setdefault(uuid, self._announced.pop(uuid, Atom(name, uuid)))
                self._forget(self._atoms)
        if found.name is None:
            found.name = name
        return found

    def announce(self, atom: Atom) -> None:
        """Know of a task that nothing was told of yet."""
        with self._changing:
            self._announced[atom.uuid] = atom
            self._forget(self._announced)

    def is_running(self, uuid: str) -> bool:
        """Whether a task of an id has begun, and has not come to an end."""
        return uuid in self._atoms and self._atoms[uuid].goes_on

    @property
    def at_most(self) -> int | None:
        """How many tasks, and flows, it knows."""
        return self._at_most

    def knows(self, uuid: str) -> bool:
        """Whether a task of an id was told of, or announced."""
        return uuid in self._atoms or uuid in self._announced

    def add_flow(self, flow: Flow) -> None:
        """Know of a flow."""
        with self._changing:
            self._flows[flow.uuid] = flow
            self._forget(self._flows)

    def _forget(self, known: Any) -> None:
        while self._at_most is not None and len(known) > self._at_most:
            # The oldest, but one that goes on is still told of.
            over = (each for each in known if not known[each].goes_on)
            gone = known.pop(next(over, next(iter(known))))
            name = gone.name
            if self._told.get(name) is gone:
                del self._told[name]

    def turn_to(self, atom: Atom | None, flow: Flow | None) -> tuple[Atom | None, Flow | None]:
        """Let names, in this thread, stand for what it is told of; returns what they stood for."""
        here = self._here.__dict__
        before = here.get("atom"), here.get("flow")
        here["atom"], here["flow"] = atom, flow
        if atom is not None and atom.name is not None:
            self._told[atom.name] = atom
        return before

    # -- flows ------------------------------------------------------------------------------------

    def flow(self, flow_uuid: str | None = None) -> Flow:
        """What is known of a flow.

        Raises:
            NotFound: If there is none.
        """
        if flow_uuid is None:
            told: Flow | None = self._here.__dict__.get("flow")
            found = told or next(reversed(self._flows.values()), None)
        else:
            found = self._flows.get(flow_uuid)
        if found is None:
            which = "no flow has begun" if flow_uuid is None else f"no flow {flow_uuid!r} is known"
            message = f"{which}: a flow is told of when an engine runs a task or a canvas"
            raise NotFound(message)
        return found

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        return self.flow().name

    @property
    def flow_uuid(self) -> str:
        """Id of the flow."""
        return self.flow().uuid

    @property
    def flow_meta(self) -> dict[str, Any]:
        """What listeners recorded of the flow."""
        return self.get_flow_metadata()

    def get_flow_state(self, flow_uuid: str | None = None) -> str:
        """The state of a flow."""
        return self.flow(flow_uuid).state

    def get_flow_metadata(self, flow_uuid: str | None = None) -> dict[str, Any]:
        """What listeners recorded of a flow; a copy."""
        found: dict[str, Any] = own(self.flow(flow_uuid).metadata)
        return found

    def update_flow_metadata(
        self, update_with: Mapping[str, Any] | None, flow_uuid: str | None = None
    ) -> None:
        """Record something of a flow."""
        self.flow(flow_uuid).metadata.update(own(dict(update_with or {})))

    # -- tasks and retries ------------------------------------------------------------------------

    def find(self, atom: str) -> Atom:
        """What is known of a task.

        Args:
            atom: Its id or its name.

        Raises:
            NotFound: If there is none.
        """
        told: Atom | None = self._here.__dict__.get("atom")
        if told is not None and told.name == atom:
            return told
        found = self._atoms.get(atom) or self._told.get(atom) or self._named(atom)
        if found is None and self._lookup is not None:
            found = self._lookup(atom)
            if found is not None:
                with self._changing:
                    found = self._atoms.setdefault(found.uuid, found)
                    self._forget(self._atoms)
        if found is None:
            message = (
                f"no task or retry {as_repr(atom)} is known, by id or by name: it is told of when"
                " it begins, or when something is written of it"
            )
            raise NotFound(message)
        return found

    def _named(self, name: str) -> Atom | None:
        return next((each for each in reversed(self.known()) if each.name == name), None)

    def known(self, flow: Flow | None = None) -> list[Atom]:
        """The tasks that are known, in the order in which they were told of.

        Args:
            flow: None: of all flows.
        """
        return [each for each in list(self._atoms.values()) if flow in (None, each.flow)]

    def get_atom_uuid(self, atom_name: str) -> str:
        """Id of a task."""
        return self.find(atom_name).uuid

    def get_atom_state(self, atom_name: str) -> str:
        """The state that listeners were told of a task last."""
        return self.find(atom_name).state

    def get_atoms_states(self, atom_names: Iterable[str]) -> dict[str, str]:
        """The states of some tasks, by what they were asked for by."""
        return {each: self.get_atom_state(each) for each in atom_names}

    def get_atom_metadata(self, atom_name: str) -> dict[str, Any]:
        """What listeners recorded of a task; a copy."""
        found: dict[str, Any] = own(self.find(atom_name).metadata)
        return found

    def update_atom_metadata(self, atom_name: str, update_with: Mapping[str, Any] | None) -> None:
        """Record something of a task or a retry."""
        self.find(atom_name).metadata.update(own(dict(update_with or {})))

    def get_task_progress(self, task_name: str) -> float:
        """How far a task has come, 0.0 to 1.0, by its last report; 0.0 if none tells."""
        if self.find(task_name).state == SUCCESS:
            return 1.0
        percent = self._progress(task_name).percent
        return 0.0 if percent is None else percent / 100.0

    def _progress(self, task_name: str) -> Progress:
        atom = self.find(task_name)
        report = atom.report or atom.last
        return (report and Progress.of_meta(report.meta)) or Progress(0, None)

    def get_execute_result(self, atom_name: str) -> Any:
        """What a task returned; a `Failure` if it failed; None if neither."""
        last = self.find(atom_name).last
        if last is None or last.state not in (SUCCESS, FAILURE):
            return None
        return Failure.of(last) if last.state == FAILURE else own(last.result)
