"""The listener that draws progress bars."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pytest_taskprogress.core.clock import Clock
from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.core.messages import as_text
from pytest_taskprogress.core.progress import Number
from pytest_taskprogress.core.states import RETRY, RUNNING, SUCCESS
from pytest_taskprogress.listeners.base import FINISH_STATES, Listened, Listener

__all__ = ["ProgressBarListener"]


def _tqdm() -> Callable[..., Any]:
    try:
        from tqdm import tqdm  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            "ProgressBarListener draws its bars by tqdm, which is not installed:"
            " pip install 'pytest-taskprogress[bar]'"
        )
        raise TaskProgressError(message) from error
    # Without the thread that tqdm starts for bars that are drawn too seldom.
    return type("Bar", (tqdm,), {"monitor_interval": 0})


@dataclass(slots=True, eq=False)
class _Line:
    """A bar on its line.

    Attributes:
        bar: tqdm's.
        flow: Id of the flow that it is a part of; None if that has no bar.
        drawn: When it was drawn last; seconds of the machine's clock.
        ended: Of a flow: ids of its tasks that have come to an end.
    """

    bar: Any
    flow: str | None
    drawn: float = 0.0
    ended: set[str] = field(default_factory=set)


class ProgressBarListener(Listener):
    """Draws a bar for each task that reports, one below the other; none where is no terminal.

    The bars of a canvas of several tasks are below one of its flow, which counts the tasks. A task
    that did not succeed leaves its bar where it was. What is logged to the terminal meanwhile goes
    above the bars with `tqdm.contrib.logging.logging_redirect_tqdm`.

    Args:
        engine: What to listen to.
        file: Where to draw; None: standard error.
        leave: Whether bars of what has come to an end stay, above those that go on.
        disable: Whether to draw nothing; None: where `file` is no terminal.

    Raises:
        TaskProgressError: If tqdm is not installed (extra `bar`).
    """

    #: A bar is drawn no more often than this, in seconds of the machine's clock.
    _EVERY: ClassVar[float] = 0.05

    def __init__(
        self,
        engine: Listened,
        file: Any = None,
        leave: bool = True,
        disable: bool | None = None,
    ) -> None:
        super().__init__(engine)
        self._bar = _tqdm()
        self._file = file
        self._leave = leave
        self._disable = disable
        self._clock = Clock()
        self._changing = threading.RLock()
        # By kind and id, from the first line to the last one. A chain has the id of its last task.
        self._lines: dict[tuple[str, str], _Line] = {}

    def deregister(self) -> None:
        """Listen no longer; the bars of what has not come to an end are taken away."""
        super().deregister()
        with self._changing:
            for key in reversed(list(self._lines)):
                self._close(key, leave=False)

    def _flow_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        uuid = details["flow_uuid"]
        with self._changing:
            if state == RUNNING:
                size = self._size(uuid)
                if size > 1 and self._registered:
                    self._open("flow", uuid, uuid, details["flow_name"], size, unit="task")
            elif state in FINISH_STATES:
                of_it = [key for key, line in self._lines.items() if line.flow == uuid]
                # The flow's own is the first.
                for key in reversed(of_it):
                    self._end(key, state if key[0] == "flow" else "")

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        key = "task", details["task_uuid"]
        progress = details.get("progress")
        with self._changing:
            # A thread may still be told after the listener has left.
            if progress is not None and _is_stored(details) and self._registered:
                flow = self._flow_of(details)
                line = self._open(*key, flow, details["task_name"], progress.total)
                self._move(line, progress.current, progress.total, details["meta"])
            elif state in FINISH_STATES:
                self._end(key, state)
                self._count(details)

    def _retry_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        with self._changing:
            line = self._lines.get(("task", details["retry_uuid"]))
            if line is not None:
                line.bar.set_postfix_str(RETRY.lower())

    # -- what the engine knows --------------------------------------------------------------------

    def _size(self, flow_uuid: str) -> int:
        """How many tasks a flow has, as far as that is known."""
        storage: Any = getattr(self._engine, "storage", None)
        if hasattr(storage, "flow"):
            return int(storage.flow(flow_uuid).size)
        compilation = getattr(self._engine, "compilation", None)
        if compilation is None:
            return 1
        # An engine of TaskFlow's.
        nodes = compilation.hierarchy.bfs_iter()
        return sum(node.metadata["kind"] == "task" for node in nodes)

    def _flow_of(self, details: Mapping[str, Any]) -> str | None:
        """The flow of a task; None if it has no bar."""
        storage: Any = getattr(self._engine, "storage", None)
        if hasattr(storage, "find"):
            flow = storage.find(details["task_uuid"]).flow
            uuid = flow and flow.uuid
        else:
            uuid = getattr(storage, "flow_uuid", None)
        return uuid if ("flow", uuid) in self._lines else None

    # -- the bars ---------------------------------------------------------------------------------

    def _open(
        self, kind: str, uuid: str, flow: str | None, name: object, total: Any, unit: str = "it"
    ) -> _Line:
        """The line of a flow or a task; a new one, behind those of its flow, if there is none."""
        line = self._lines.get((kind, uuid))
        if line is not None:
            return line
        with self._rearranging():
            bar = self._bar(
                desc=f"  {name}" if kind == "task" and flow is not None else str(name),
                file=self._file or sys.stderr,
                leave=self._leave,
                disable=self._disable,
                position=len(self._lines),
                total=total,
                unit=unit,
                dynamic_ncols=True,
            )
            line = _Line(bar, flow)
            keys = [*self._lines]
            of_it = [at for at, each in enumerate(self._lines.values(), 1) if each.flow == flow]
            keys.insert(of_it[-1] if flow and of_it else len(keys), (kind, uuid))
            self._lines = {key: self._lines.get(key, line) for key in keys}
        return line

    def _move(
        self, line: _Line, current: Number, total: Number | None, meta: Mapping[str, Any]
    ) -> None:
        bar, now = line.bar, self._clock.monotonic()
        total_before, bar.total, bar.n = bar.total, _short(total), _short(current)
        bar.set_postfix_str(_one_line(meta.get("description")), refresh=False)
        if bar.total != total_before or bar.n == bar.total or now - line.drawn >= self._EVERY:
            line.drawn = now
            bar.refresh()

    def _count(self, details: Mapping[str, Any]) -> None:
        flow = self._flow_of(details)
        if flow is not None:
            line = self._lines["flow", flow]
            line.ended.add(details["task_uuid"])
            # Tasks may be added while it runs.
            total = max(self._size(flow), len(line.ended))
            self._move(line, len(line.ended), total, {})

    def _end(self, key: tuple[str, str], state: str) -> None:
        line = self._lines.get(key)
        if line is None:
            return
        bar = line.bar
        if state == SUCCESS and bar.total is not None and key[0] == "task":
            bar.n = bar.total
        elif state and state != SUCCESS:
            bar.set_postfix_str(state.lower(), refresh=False)
        self._close(key, leave=self._leave)

    def _close(self, key: tuple[str, str], leave: bool) -> None:
        with self._rearranging():
            bar = self._lines.pop(key).bar
            bar.leave = leave
            bar.close()

    @contextmanager
    def _rearranging(self) -> Iterator[None]:
        """Draw all lines again, each where it belongs then: tqdm moves no bar by itself."""
        for line in self._lines.values():
            line.bar.clear()
        yield
        for position, line in enumerate(self._lines.values()):
            line.bar.pos = -position
            line.bar.refresh()


def _is_stored(details: Mapping[str, Any]) -> bool:
    transition = details.get("transition")
    return transition is None or transition.stored


def _short(number: Number | None) -> Number | None:
    """A number as a person reads it: 25 of 25.0, 33.33 of a third."""
    if not isinstance(number, float):
        return number
    return int(number) if number.is_integer() else round(number, 2)


def _one_line(text: object) -> str:
    shown = "" if text is None else as_text(text)
    return " ".join("".join(each if each.isprintable() else " " for each in shown).split())
