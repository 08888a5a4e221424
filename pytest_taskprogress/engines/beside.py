"""Tasks that run beside each other, one at a time: who goes on next is a choice of the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError

from pytest_taskprogress.core.clock import VirtualClock
from pytest_taskprogress.core.errors import DeadlockError, EngineError
from pytest_taskprogress.core.timeline import file_and_line
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.internals import app_state
from pytest_taskprogress.engines.pending import Pending
from pytest_taskprogress.engines.pool import tell
from pytest_taskprogress.engines.processes import Process, Waiting
from pytest_taskprogress.engines.threads import Step, Threads
from pytest_taskprogress.engines.waits import Waits

__all__ = ["Beside"]

#: How often one may report the same again, or look for an abort, before the next one has its turn:
#: who polls lets others work, as it would on a worker.
_PATIENCE: Final = 20
#: How often each of them may report the same again, before it is said that they wait for each
#: other.
_HOPE: Final = 400
#: The same for the last one of them, for whom nobody is left to do anything.
_HOPE_ALONE: Final = 1_000
#: How often they may report, whatever it is, until one of them begins or ends.
_ENDLESS: Final = 10_000
#: What an abort check counts of that: one that works for long between two reports looks often.
_CHECK: Final = 0.1


class _Place(Protocol):
    """What is asked of the place where they run."""

    ran: int
    suspended: bool
    waits: Waits


class Beside:
    """The messages of a place that run beside each other.

    Args:
        choose: Takes how many could go on or begin, and returns which, from 0.
        threads: Which of them run tasks.
        clock: What those that wait go by.
    """

    def __init__(
        self,
        choose: Callable[[int], int],
        threads: Threads,
        clock: VirtualClock,
    ) -> None:
        self._choose = choose
        self._threads = threads
        self._clock = clock
        #: In flight; who has stood still longest comes first.
        self._processes: list[Process] = []
        self._current: Process | None = None
        self._chosen: Process | dict[str, Any] | None = None
        self._begins = True
        self._place: _Place | None = None
        self._crash: bool | None = None
        self._same = 0.0
        self._same_of_one = 0
        self._reports = 0
        self._pending: Pending | None = None

    def __bool__(self) -> bool:
        """Whether any is in flight."""
        return bool(self._processes)

    # -- whoever runs them ------------------------------------------------------------------------

    def turn(self, pending: Pending, place: _Place, until: float, *, begins: bool = True) -> bool:
        """Let one go on, or begin, until it stands still or ends.

        Args:
            pending: What waits to be run.
            place: Where.
            until: Reading of the clock up to which messages are due.
            begins: Whether messages may begin.

        Returns:
            False if there is none, until then.
        """
        self._pending, self._place, self._begins = pending, place, begins
        chosen, self._chosen = self._chosen, None
        if chosen is None or not (isinstance(chosen, Process) or self._may_begin):
            chosen = self._pick()
        if chosen is None:
            work = self._in_time(until)
            if not callable(work):
                return work
            process = self._begin(work, place)
        elif isinstance(chosen, Process):
            process = chosen
        else:
            process = self._begin(pending.taking(chosen), place)
        self._go_on(process, place)
        return True

    def _pick(self) -> Process | dict[str, Any] | None:
        options = self._options()
        if not options:
            return None
        return options[self._choose(len(options)) if len(options) > 1 else 0]

    def _options(self) -> list[Process | dict[str, Any]]:
        """What could go on or begin now, besides the one that runs."""
        found: list[Process | dict[str, Any]] = [
            each
            for each in self._processes
            if each is not self._current and (each.wait is None or self._has_come(each.wait))
        ]
        if self._may_begin and self._pending is not None:
            found += self._pending.ready()
        return found

    @property
    def _may_begin(self) -> bool:
        """Whether messages may begin; what runs may have suspended the engine meanwhile."""
        return self._begins and not (self._place is not None and self._place.suspended)

    def _has_come(self, wait: Waiting) -> bool:
        return wait.came() or wait.until <= self._clock.monotonic()

    def _in_time(self, until: float) -> Callable[[], bool] | bool:
        """What comes next where nothing can go on now: the clock moves, or there is no hope."""
        assert self._pending is not None  # noqa: S101 - a turn has begun
        waiting = [(each, each.wait) for each in self._processes if each.wait is not None]
        if not waiting:
            return (self._may_begin and self._pending.take(until)) or False
        first, wait = min(waiting, key=lambda each: each[1].until)
        # Who waits for a result lets the worker go on until it is there, whatever was asked of it.
        work = self._pending.take(wait.until)
        if work is not None:
            return work
        if wait.until < math.inf:
            self._clock.jump_to(wait.until)
        else:
            wait.hopeless = True
        self._chosen = first
        return True

    def _begin(self, work: Callable[[], bool], place: _Place) -> Process:
        process = Process(work, Step(place), app_state.task_join_will_block())
        self._processes.append(process)
        self._begin_to_hope()
        self._reports = 0
        place.ran += 1
        return process

    def _go_on(self, process: Process, place: _Place) -> None:
        # Who stands still is put behind all others.
        self._processes.remove(process)
        self._processes.append(process)
        assert self._pending is not None  # noqa: S101 - a turn has begun
        before, self._current = app_state.task_join_will_block(), process
        holds = self._pending.exchange_holds(process.holds)
        app_state._set_task_join_will_block(process.blocks)  # noqa: SLF001
        try:
            process.go_on(self._threads.exchange)
        finally:
            self._current = None
            process.holds = self._pending.exchange_holds(holds)
            process.blocks = app_state.task_join_will_block()
            app_state._set_task_join_will_block(before)  # noqa: SLF001
            if process.over:
                self._processes.remove(process)
                self._begin_to_hope()
                self._reports = 0
        if process.over:
            # What was put by for later has not been run.
            place.ran -= not process.ran
        elif self._crash is not None:
            self._bury(process, place)

    def leave(self) -> None:
        """Let all that are in flight end where they stand."""
        processes, self._processes = self._processes, []
        self._chosen = self._crash = None
        for each in processes:
            each.leave(self._threads.exchange)

    # -- the tasks --------------------------------------------------------------------------------

    def pause(self, written: Transition | None = None) -> None:
        """Let the schedule choose who goes on; called in a task, where it may stand still.

        Args:
            written: What the task has just stored.

        Raises:
            DeadlockError: If all that are left only report the same, again and again.
        """
        current = self._current
        if current is None or not current.is_here:
            # Of a thread that helps a task, or of whoever runs them.
            return
        self._note(current, written)
        options = self._options()
        hope = _HOPE * (1 + len(options)) if options else _HOPE_ALONE
        if self._same > hope or (options and self._reports > _ENDLESS):
            self._begin_to_hope()
            self._reports = 0
            raise DeadlockError(self._stuck(current))
        if not options:
            return
        choice = self._choose(1 + len(options))
        if not choice and self._same_of_one > _PATIENCE:
            # A worker that has processes left begins first with what waits.
            begins = (n for n, each in enumerate(options, 1) if not isinstance(each, Process))
            choice = next(begins, 1)
        if choice:
            self._same_of_one = 0
            self._chosen = options[choice - 1]
            current.stand_still()

    def _note(self, current: Process, written: Transition | None) -> None:
        self._same += _CHECK if written is None else 1
        self._same_of_one += 1
        self._reports += 1
        if written is not None:
            before, current.reached = current.reached, written
            if before is None or _news(before) != _news(written):
                self._begin_to_hope()

    def _begin_to_hope(self) -> None:
        """Something has come further."""
        self._same, self._same_of_one = 0.0, 0

    def _stuck(self, current: Process) -> str:
        lines = [
            f"  {each.reached.name}[{each.reached.uuid}] {each.reached.message or ''!r}"
            + (f", at {file_and_line(each.reached.source)}" if each.reached.source else "")
            for each in [current, *self._processes]
            if each.reached is not None
        ]
        message = (
            "tasks that run beside each other wait for each other, or for what nobody will do: they"
            " report and look for aborts, and none comes any further. Where they stand:"
        )
        return "\n".join([message, *dict.fromkeys(lines)])

    def waits(self, came: Callable[[], bool], until: float) -> bool:
        """Stand still until something has come; called in a task.

        Args:
            came: Tells whether it may have.
            until: Reading of the clock up to which it is waited for.

        Returns:
            False if it waits for what nothing can make come.
        """
        current = self._current
        if current is None or not current.is_here:
            message = (
                "a thread that helps a task waits for a result, while tasks run beside each other:"
                " let the task itself wait, or run it without a schedule"
            )
            raise EngineError(message)
        current.wait = wait = Waiting(came, until)
        try:
            current.stand_still()
        finally:
            current.wait = None
        return not wait.hopeless

    # -- their death ------------------------------------------------------------------------------

    @property
    def in_process(self) -> bool:
        """Whether one of them runs now, in this thread."""
        return self._current is not None and self._current.is_here

    @property
    def in_child(self) -> bool:
        """Whether it is with its task, and not with what the worker does around that."""
        return self._current is not None and self._current.step.on_lost is not None

    def crash(self, *, child: bool) -> None:
        """Let the worker die, or only the process that runs; called in that. It does not return."""
        assert self._current is not None  # noqa: S101 - in_process was asked
        self._crash = child
        self._current.stand_still()

    def _bury(self, process: Process, place: _Place) -> None:
        child, self._crash = self._crash, None
        assert self._pending is not None  # noqa: S101 - a turn has begun
        if child:
            on_lost = process.step.on_lost
            assert on_lost is not None  # noqa: S101 - in_child was asked
            self._processes.remove(process)
            process.kill()
            self._threads.run(lambda: _lost(on_lost), place)
            return
        processes, self._processes = self._processes, []
        for each in processes:
            each.kill()
        place.waits.forget_tasks()
        self._pending.bring_back()


def _news(written: Transition) -> object:
    """What of a report says how far a task is: all but the time."""
    return written.state, {key: written.meta[key] for key in written.meta if key != "elapsed"}


def _lost(on_lost: Callable[[ExceptionInfo], object]) -> bool:
    """Tell a request, as a worker's pool does, that the process is gone that ran it."""
    try:
        _die()
    except WorkerLostError:
        tell(on_lost, ExceptionInfo())
    return True


def _die() -> NoReturn:
    message = "Worker exited prematurely: signal 9 (SIGKILL)."
    raise WorkerLostError(message)
