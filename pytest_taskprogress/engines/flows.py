"""Which flow a task is part of, by what its message says of its family."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_taskprogress.core.states import ABORTED, FAILURE, RUNNING, SUCCESS
from pytest_taskprogress.listeners.storage import Atom, Flow
from pytest_taskprogress.listeners.surface import Surface, end_of

__all__ = ["Family", "Flows"]


class Family:
    """What a message says of where its task comes from.

    Args:
        request: A request, or the headers of a message: whatever has these by `get`.

    Attributes:
        parent: Id of the task that published it.
        root: Id of the first task of its canvas.
        chord: Id of the body of its chord.
    """

    __slots__ = ("_rest", "chord", "parent", "root")

    def __init__(self, request: Any) -> None:
        self.parent: str | None = request.get("parent_id")
        self.root: str | None = request.get("root_id")
        chord = request.get("chord")
        self.chord: str | None = chord["options"].get("task_id") if chord else None
        self._rest = [*(request.get("chain") or ()), *([chord] if chord else ())]

    @property
    def next(self) -> str | None:
        """Id of the task that comes next; None if that is not known."""
        # Of a chain, which is carried back to front.
        return _id_of(self._rest[-1]) if self._rest else None

    def announced(self) -> Iterator[tuple[str, str]]:
        """Ids and names of the tasks of the canvas that come after this one."""
        return _announced(self._rest)


def _id_of(signature: Mapping[str, Any]) -> str | None:
    found: str | None = (signature.get("options") or {}).get("task_id")
    return found


def _announced(signatures: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for signature in signatures:
        uuid, kwargs = _id_of(signature), signature.get("kwargs") or {}
        if uuid is not None and signature.get("subtask_type") not in ("group", "chord"):
            yield uuid, signature["task"]
        header = kwargs.get("header") or ()
        yield from _announced([header] if isinstance(header, Mapping) else header)
        yield from _announced(kwargs.get("tasks") or ())
        yield from _announced([kwargs["body"]] if kwargs.get("body") else ())


class Flows:
    """The flows that there are, and their tasks.

    A flow begins when it is said to, or with the first attempt of a task that no known flow has
    anything to do with; what tells is what Celery's messages tell: of the tasks of a group, which
    no task published, each is a flow.

    Args:
        surface: Who tells of them.
        at_most: How many ids of tasks are known; None: all.
        loose: Finds the list of those that nobody said should begin, where this thread works:
            `settle` says when they end. None: they end with their last task.
    """

    def __init__(
        self,
        surface: Surface,
        *,
        at_most: int | None = None,
        loose: Callable[[], list[Flow]] | None = None,
    ) -> None:
        self._surface = surface
        self._at_most = at_most
        self._changing = threading.RLock()
        self._by_id: dict[str, Flow] = {}
        self._loose = loose
        surface.flow_of = self._by_id.get

    def clear(self) -> None:
        """Forget all of them."""
        self._by_id.clear()

    def begin(self, flow: Flow) -> None:
        """Tell that a flow begins, whose members are known; `move_flow` is to tell its end."""
        flow.held = True
        for each in flow.members:
            self._by_id[each] = flow
        self._surface.storage.add_flow(flow)
        self._surface.move_flow(flow, RUNNING)

    def join(self, atom: Atom, family: Family) -> Flow:
        """The flow of a task that begins; with it begins the flow, if there is none.

        Args:
            atom: The task.
            family: Where it comes from.
        """
        atom.parent, atom.chord = family.parent, family.chord
        with self._changing:
            found = self._find(atom.uuid, family.chord, family.parent, family.root)
            flow = found or atom.flow
            if flow is None:
                flow = Flow(str(atom.name), family.root or atom.uuid, members={atom.uuid})
                self._surface.storage.add_flow(flow)
            if self._loose is not None and not flow.held and flow not in self._loose():
                self._loose().append(flow)
            atom.flow = flow
            self._know(flow, (atom.uuid, family.root))
            if family.chord in flow.members:
                flow.members.add(atom.uuid)
            is_member = atom.uuid in flow.members
            if is_member:
                self._announce(flow, family)
                flow.open.add(atom.uuid)
        # One that has failed has, whatever else of it is still run.
        if is_member and flow.state not in (FAILURE, ABORTED):
            self._surface.move_flow(flow, RUNNING)
        return flow

    def _announce(self, flow: Flow, family: Family) -> None:
        """Know of the tasks that come later; if the next one is known, all of them are."""
        storage = self._surface.storage
        if family.next is None or storage.knows(family.next):
            return
        for uuid, name in family.announced():
            storage.announce(Atom(name, uuid, flow=flow))
            flow.members.add(uuid)
            flow.open.add(uuid)
            self._know(flow, (uuid,))

    def _find(self, *ids: str | None) -> Flow | None:
        return next((self._by_id[each] for each in ids if each in self._by_id), None)

    def _know(self, flow: Flow, ids: Iterable[str | None]) -> None:
        for each in ids:
            if each is not None:
                self._by_id.setdefault(each, flow)
        while self._at_most is not None and len(self._by_id) > self._at_most:
            del self._by_id[next(iter(self._by_id))]

    # -- flows that end by themselves -------------------------------------------------------------

    def expect(self, atom: Atom, family: Family) -> None:
        """Know of a task that was published: the flow that it is part of waits for it."""
        flow = self.join(atom, family)
        with self._changing:
            flow.members.add(atom.uuid)
            flow.open.add(atom.uuid)

    def leave(self, atom: Atom, state: str) -> None:
        """Know that a task has come to an end: so has its flow, if none of its own is left.

        Args:
            atom: The task.
            state: What it ended with.
        """
        flow = atom.flow
        if flow is None or atom.uuid not in flow.members:
            return
        with self._changing:
            flow.open.discard(atom.uuid)
            if state != SUCCESS:
                # What was to come after it will not.
                storage = self._surface.storage
                flow.open = {each for each in flow.open if storage.is_running(each)}
            is_over = not flow.open
        if is_over:
            self._surface.move_flow(flow, end_of(flow))

    # -- flows whose end is that nothing is left to be run ----------------------------------------

    def settle(self, state: str | None = None) -> None:
        """Tell that they have come to their end.

        Args:
            state: In which; None: by what their tasks did.
        """
        loose = self._loose() if self._loose is not None else []
        while loose:
            flow = loose.pop(0)
            self._surface.move_flow(flow, state or end_of(flow))

    def move(self, state: str) -> None:
        """Tell that they have come to a state, and have not ended."""
        for flow in list(self._loose() if self._loose is not None else ()):
            self._surface.move_flow(flow, state)
