"""A machine whose rules are the world around tasks that can be aborted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pytest_taskprogress.core.errors import TaskAborted
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.properties.machines.base import (
    EngineMachine,
    can_be_aborted,
    made,
    of_machine,
)
from pytest_taskprogress.scenario import (
    Abort,
    Moment,
    Stage,
    at_abort_check,
    at_report,
    at_retry,
    before_start,
    if_reached,
)
from pytest_taskprogress.strategies.arguments import Arguments, task_arguments
from pytest_taskprogress.tasks.abortable import AbortableTask
from pytest_taskprogress.tasks.knowing import is_over
from pytest_taskprogress.tasks.observer import Observer
from pytest_taskprogress.tasks.results import abort

__all__ = ["AbortableMachine"]

_FIRST: Final = st.integers(1, 4)


def _one_of(name: str) -> st.SearchStrategy[str]:
    """One of the ids that a machine has as an attribute."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, name)))


@dataclass(frozen=True, repr=False)
class _Ask(Abort):
    """An abort, of which somebody is told."""

    then: Callable[[], object] = field(default=lambda: None, compare=False)

    def fire(self, stage: Stage) -> None:
        """Do it."""
        stage.abort()
        self.then()

    def __repr__(self) -> str:
        return f"Abort({self.at!r})"


@dataclass
class _Known:
    """What is known of a task.

    Attributes:
        call: What it is called with; None if the machine has not published it.
        foreign: Whether another task has published it.
        deaf: Whether it is one that cannot be aborted.
        asked: Whether it was asked to abort.
        too_late: Whether it may have looked for the last time when it was.
        ended: The state that it ended with; None if it has not.
    """

    call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    foreign: bool = False
    deaf: bool = False
    asked: bool = False
    too_late: bool = False
    ended: str | None = None


class AbortableMachine(EngineMachine):
    """A rule-based machine that publishes tasks, asks them to abort, forgets and repeats them.

    In any order: before they are published, while they wait, at their reports, at their abort
    checks, between their attempts, and when they have ended. A request is never lost, an end is
    final, whoever was asked before it ran does not run, and each run keeps its contract::

        class ImportMachine(AbortableMachine):
            task = import_users
            arguments = st.tuples(st.lists(users(), max_size=3))

        TestImport = ImportMachine.TestCase

    Where there is no task, the machine makes one of the base, which reports and retries.

    Attributes:
        task: The task. After `__init__` always that which is published.
        arguments: Strategy of what it is called with: a tuple of arguments, or `Arguments` as
            `task_arguments` draws them. None: by its hints, as `task_arguments` does.
        base: The base of the task, where there is none.
        options: Of the task, where there is none, such as `track_started`.
        moments: Strategy of when a task is asked, while it runs.
        seconds: Strategy of how long something takes, or is put by.
    """

    task: Any = None
    arguments: Any = None
    base: ClassVar[type[Any]] = AbortableTask
    options: ClassVar[dict[str, Any]] = {}
    moments: ClassVar[st.SearchStrategy[Moment]] = st.one_of(
        st.builds(at_report, _FIRST),
        st.builds(at_abort_check, _FIRST),
        st.builds(before_start),
        st.builds(at_retry),
    )
    seconds: ClassVar[st.SearchStrategy[float]] = st.sampled_from([1.0, 5.0, 60.0])

    def __init__(self) -> None:
        if self.task is not None and not can_be_aborted(self.task):
            message = (
                f"{type(self).__name__} asks tasks to abort, and {as_repr(self.task)} is none that"
                " can be: give it base=AbortableTask"
            )
            raise TypeError(message)
        super().__init__()
        self._known: dict[str, _Known] = {}
        self._made = 0
        if self.task is None:
            name = f"{type(self).__name__}.task"
            self.task = made(self.engine.app, self.base, _work, name, **self.options)
            self.arguments = _ARGUMENTS
        elif self.arguments is None:
            self.arguments = task_arguments(self.task)
        self._paused = self.engine.paused()
        self._paused.__enter__()

    def _app_of_tasks(self) -> Any:
        return self.app if self.task is None else self.task.app

    def teardown(self) -> None:
        """Run what waits, and leave the engine."""
        failed = sys.exc_info()[1] is not None
        try:
            self._paused.__exit__(None, None, None)
            if not failed:
                self.check()
        finally:
            super().teardown()

    # -- when a rule can be ------------------------------------------------------------------------

    @property
    def ids(self) -> list[str]:
        """Ids of the tasks that can be asked."""
        return [key for key, each in self._known.items() if not each.deaf]

    @property
    def waiting(self) -> list[str]:
        """Ids of the tasks that wait to be run, in order."""
        return [each.uuid for each in self.engine.pending]

    @property
    def repeatable(self) -> list[str]:
        """Ids of those whose message may come, or come again: nothing but an abort has ended them.

        What comes again after another end is run again, and that is not about aborts.
        """
        waiting = self.waiting
        return [
            key
            for key, each in self._known.items()
            if key not in waiting and not each.foreign and each.ended in {None, ABORTED}
        ]

    @property
    def forgettable(self) -> list[str]:
        """Ids of those that have ended, and whose message does not wait."""
        waiting = self.waiting
        return [key for key, each in self._known.items() if each.ended and key not in waiting]

    # -- rules -------------------------------------------------------------------------------------

    @rule(arguments=of_machine("arguments"), countdown=st.none() | of_machine("seconds"))
    def publish(self, arguments: Any, countdown: float | None) -> None:
        """Publish a task."""
        self._publish(self._new(), _call_of(arguments), countdown)

    @rule()
    def name_one(self) -> None:
        """Know the id of a task that nobody has published: of one that comes later in a chain."""
        self._new()

    @precondition(lambda self: self.repeatable)
    @rule(task_id=_one_of("repeatable"), arguments=of_machine("arguments"))
    def publish_late(self, task_id: str, arguments: Any) -> None:
        """Publish one that is known already; one that was published comes as it was."""
        self._publish(task_id, self._known[task_id].call or _call_of(arguments), None)

    @precondition(lambda self: self.ids)
    @rule(task_id=_one_of("ids"))
    def ask(self, task_id: str) -> None:
        """Ask one to abort."""
        self._ask([task_id], self.task.AsyncResult(task_id))

    @precondition(lambda self: self.ids)
    @rule(task_ids=st.runner().flatmap(lambda self: st.lists(st.sampled_from(self.ids))))
    def ask_some(self, task_ids: list[str]) -> None:
        """Ask some together."""
        results = [self.task.AsyncResult(each) for each in task_ids]
        self._ask(task_ids, self.engine.app.ResultSet(results))

    @precondition(lambda self: self.forgettable)
    @rule(task_id=_one_of("forgettable"))
    def forget(self, task_id: str) -> None:
        """Forget one that has ended, and that it was asked; its id does not come again."""
        self.task.AsyncResult(task_id).forget()
        del self._known[task_id]

    @rule(seconds=of_machine("seconds"))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.clock.advance(seconds)

    @precondition(lambda self: self.engine.pending)
    @rule(asked=st.none() | of_machine("moments"))
    def step(self, asked: Moment | None) -> None:
        """Run the next message; the task is asked to abort at that moment, if it comes."""
        task_id = self.waiting[0]
        known = self._known[task_id]
        if asked is None or known.deaf:
            self.engine.step()
            return

        def note() -> None:
            if not known.asked:
                known.asked, known.too_late = True, asked.in_task is not False

        with self.engine.under(_Ask(if_reached(asked), note)):
            self.engine.step()
        if not is_over(self.engine.backend.peek(task_id)):
            # What waits for its next attempt looks before that.
            known.too_late = False

    # -- what always holds -------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what does not hold after a rule.

        Raises:
            CheckFailed: What is wrong.
        """
        __tracebackhide__ = True
        for each in self.engine.pending:
            if each.uuid not in self._known:
                deaf = not can_be_aborted(self.engine.app.tasks.get(each.name))
                self._known[each.uuid] = _Known(foreign=True, deaf=deaf)
        for task_id, known in self._known.items():
            self._check(task_id, known)
        super().check()

    def _check(self, task_id: str, known: _Known) -> None:
        meta = self.engine.backend.peek(task_id)
        state = meta["status"]
        if known.ended is not None:
            if known.ended != state:
                headline = f"{task_id} had ended with {known.ended}, and is {state}"
                self.differs(headline, "an end is final", task_id)
            return
        result = self.task.AsyncResult(task_id)
        if is_over(meta):
            known.ended = state
            self._check_end(task_id, known, result)
        if result.ready() is (known.ended is None):
            headline = f"{task_id} is {state}, and ready() says {result.ready()}"
            self.differs(headline, f"{known.ended is not None}", task_id)
        expected = ABORTED if known.asked and known.ended is None else state
        if result.state != expected:
            lost = "the abort is lost: " if expected == ABORTED else ""
            headline = f"{lost}the result of {task_id} says {result.state}"
            self.differs(headline, expected, task_id)

    def _check_end(self, task_id: str, known: _Known, result: Any) -> None:
        if known.ended != ABORTED:
            if known.asked and not known.too_late:
                headline = (
                    f"the abort is lost: {task_id} was asked before it ran, and ended with"
                    f" {known.ended}"
                )
                self.differs(headline, ABORTED, task_id)
            return
        if not known.asked:
            self.differs(f"{task_id} is ABORTED", "nobody has asked it to abort", task_id)
        error = result.get(propagate=False)
        if not isinstance(error, TaskAborted) or error.task_id != task_id:
            self.differs(f"get() returned {as_repr(error)}", "its TaskAborted", task_id)

    # -- how ---------------------------------------------------------------------------------------

    def _new(self) -> str:
        self._made += 1
        task_id = f"task-{self._made}"
        self._known[task_id] = _Known()
        return task_id

    def _publish(
        self, task_id: str, call: tuple[tuple[Any, ...], dict[str, Any]], countdown: float | None
    ) -> None:
        self._known[task_id].call = call
        args, kwargs = call
        self.task.apply_async(args, kwargs, task_id=task_id, countdown=countdown)

    def _ask(self, task_ids: list[str], result: Any) -> None:
        asked = [self._known[each] for each in task_ids]
        expected = any(not each.asked and each.ended is None for each in asked)
        answered = abort(result)
        for each in asked:
            each.asked = each.asked or each.ended is None
        if answered is not expected:
            self.differs(f"abort() returned {answered}", f"{expected}")


def _call_of(drawn: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a task is called with."""
    return (drawn.args, drawn.kwargs) if isinstance(drawn, Arguments) else (tuple(drawn), {})


def _work(self: Any, rows: int, retries: int) -> int:
    """What there is to be done where there is no task."""
    observer = Observer(self)
    for row in range(rows):
        observer.update("row %d", row + 1, current=row + 1, total=rows)
    if self.request.retries < retries:
        raise self.retry(countdown=5)
    return rows


_ARGUMENTS: Final = st.tuples(st.integers(0, 3), st.integers(0, 2))
