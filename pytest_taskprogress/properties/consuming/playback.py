"""Histories, written again: to a result backend, write by write, while somebody polls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

from celery import Celery

from pytest_taskprogress.core.errors import DeadlockError
from pytest_taskprogress.core.sequence import ProgressSequence
from pytest_taskprogress.core.states import RETRY, STARTED, SUCCESS
from pytest_taskprogress.core.transitions import History, Transition
from pytest_taskprogress.properties.consuming.reads import Reads
from pytest_taskprogress.tasks.knowing import is_over, teach

__all__ = ["Playback", "ResultsApp", "Truth"]

#: Ids are of one playback each: what another one left in a backend is none of its business.
_numbers: Final = count(1)


class ResultsApp(Celery):
    """An app whose results are kept in memory, and know ABORTED as an end."""

    def __init__(self) -> None:
        super().__init__("as_results", backend="taskprogress://", set_as_current=False)
        teach(self)


class Truth(NamedTuple):
    """What is true between two writes of a history.

    Attributes:
        over: Ids of the tasks that have ended.
        succeeded: Those of them that have ended well.
        begun: How often something began from which a bar begins anew: another attempt, another
            state of the user's own, the end of the records.
        vanished: Whether the records are gone.
    """

    over: frozenset[str] = frozenset()
    succeeded: frozenset[str] = frozenset()
    begun: int = 0
    vanished: bool = False


class Playback:
    """Writes a history to the result backend of an app, write by write.

    Attributes:
        history: What is written: without what was dropped, which changes nothing.
        ids: Ids under which the tasks are stored, by those that they have in the history.
        first: How many writes there were when the poll began.
        written: How many there are. The end of the records is one more.

    Args:
        history: Of one task or more.
        app: Whose backend; None: one of its own.
        torn: Whether a poll that reads more than once finds another write at each read.
        vanishing: Whether the records are gone at the end.
    """

    def __init__(
        self,
        history: History,
        app: Any = None,
        *,
        torn: bool = False,
        vanishing: bool = False,
    ) -> None:
        steps = [each for each in _steps(history) if each[0].stored and each[0].is_written]
        self.history = History(transition for transition, _ in steps)
        self._values = [value for _, value in steps]
        self.app: Any = ResultsApp() if app is None else app
        number = next(_numbers)
        tasks = dict.fromkeys(each.uuid for each in self.history)
        self.ids = {uuid: f"{uuid or 'task'}-{number}" for uuid in tasks}
        self.first = self.written = 0
        self._torn = torn
        self._last = len(self.history) + vanishing
        self._reads = 0
        self._backend: Any = self.app.backend
        self._truths = [Truth()]
        self._bars: dict[str, str] = {}

    @property
    def before(self) -> Truth:
        """What was true when the poll began."""
        return self._truths[self.first]

    @property
    def now(self) -> Truth:
        """What is true now."""
        return self._truths[self.written]

    def truth(self, written: int) -> Truth:
        """What was true after some writes."""
        return self._truths[written]

    def polls(self) -> Iterator[int]:
        """Write it, and stop before the first write, and after each; give how many there were.

        Whoever reads more than once, where reads are torn, has moved on when it goes on.
        """
        for task_id in self.ids.values():
            self._backend.forget(task_id)
        if self._torn:
            Reads.of(self._backend).told.update(dict.fromkeys(self.ids.values(), self._before_read))
        if isinstance(self.app, ResultsApp):
            self._backend.wait_with(self._go_on)
        try:
            while True:
                self.first, self._reads = self.written, 0
                yield self.first
                if self.first == self._last:
                    return
                if self.written == self.first:
                    self._advance()
        finally:
            if self._torn:
                Reads.of(self._backend).forget(self.ids.values())
            self._forget()

    def _before_read(self) -> None:
        """Somebody reads, by whatever result: between two reads of a poll something happens."""
        if self._reads and self.written < self._last:
            self._advance()
        self._reads += 1

    def _go_on(self, task_ids: tuple[str, ...], left: float | None, _: object) -> bool:
        """Whoever waits for a result gets it: the tasks go on meanwhile, and it takes no time."""
        over = self.written == self._last
        if left is not None and (over or left <= 0):
            return False
        if over:
            message = (
                f"{', '.join(task_ids)} will never end: {self.history!r} is all that is written;"
                " who reads progress should not wait without a timeout"
            )
            raise DeadlockError(message)
        self._advance()
        return True

    def _advance(self) -> None:
        at = self.written
        if at == len(self.history):
            self._forget()
            self._truths.append(self.now._replace(begun=self.now.begun + 1, vanished=True))
        else:
            step = (self.history[at], self._values[at])
            self._truths.append(self._after(*step) if self._write(*step) else self.now)
        self.written += 1

    def _write(self, transition: Transition, value: Any) -> bool:
        """Write it, unless Celery cannot read what is there: that stays."""
        task_id, backend = self.ids[transition.uuid], self._backend
        try:
            backend.store_result(task_id, value, transition.state, traceback=transition.traceback)
        except Exception:
            try:
                # Not by a hook: it is no poll.
                type(backend).get_task_meta(backend, task_id, cache=False)
            except Exception:  # noqa: BLE001 - whatever Celery says of the record
                return False
            raise
        return True

    def _after(self, transition: Transition, value: Any) -> Truth:
        over, succeeded, begun, _ = self.now
        own, bar = frozenset((transition.uuid,)), _bar(transition)
        over, succeeded = over - own, succeeded - own
        if is_over({"status": transition.state, "result": value}):
            over |= own
            succeeded |= own if transition.state == SUCCESS else frozenset()
        elif (
            transition.state in {RETRY, STARTED}
            or self._bars.setdefault(transition.uuid, bar) != bar
        ):
            begun += 1
        self._bars[transition.uuid] = bar
        return Truth(over, succeeded, begun)

    def _forget(self) -> None:
        for task_id in self.ids.values():
            self._backend.forget(task_id)


def _bar(transition: Transition) -> str:
    """Which bar it belongs to: of reports, to that of their state."""
    return transition.state if transition.is_report else ""


def _steps(history: History) -> Iterator[tuple[Transition, Any]]:
    """Each transition, and what was stored with its state."""
    # A transition does not tell an empty meta from none; whoever has written one down does.
    written = history.writes if isinstance(history, ProgressSequence) else ()
    for position, each in enumerate(history):
        value = (each.meta or None) if each.result is None else each.result
        if value is None and written and written[position].value == {}:
            value = {}
        yield each, value
