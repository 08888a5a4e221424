"""A task whose code is elsewhere, and what is known of it: what ObserverMachine stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn

from hypothesis.errors import InvalidDefinition

from pytest_taskprogress.core.errors import TaskAborted, TaskProgressWarning
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import (
    ABORTED,
    PENDING,
    PROGRESS,
    STARTED,
    SUCCESS,
    TERMINAL_STATES,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.properties.machines.base import (
    EngineMachine,
    can_be_aborted,
    made,
)
from pytest_taskprogress.properties.machines.inside import Answer, Inside
from pytest_taskprogress.properties.machines.model import (
    Ending,
    Expected,
    ObserverModel,
    TaskModel,
    Write,
)
from pytest_taskprogress.tasks.attempt import attempt_of
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

__all__ = ["MOST", "ObservedMachine"]

#: How many observers a task has at most, and how often it is retried.
MOST: Final = 2


class ObservedMachine(EngineMachine):
    """Runs a task that does what it is told, beside a model of it.

    Attributes:
        observer: Makes an Observer of the task, the position, and `throttle`.
        base: The base of the task.
        options: Of the task, such as `track_started`.
        task: The task.
        model: What is known of the task that runs, or else of the next one.
    """

    observer: Callable[..., Any] = Observer
    base: ClassVar[type[Any]] = ProgressTask
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._inside = Inside()
        self._is_inside = False
        self._observers: list[Any] = []
        self._attempt: Any = None
        self._caught: TaskAborted | None = None
        self._number = 0
        self._ended: dict[str, TaskModel] = {}

        def body(task: Any) -> Any:
            return self._inside.body(task)

        name = f"{type(self).__name__}.task"
        self.task = made(self.engine.app, self.base, body, name, **self.options)
        self.model = self._next()

    def _next(self) -> TaskModel:
        self._number += 1
        base: Any = self.base
        return TaskModel(
            f"task-{self._number}",
            keeps=getattr(base, "kept_endings", frozenset()),
            interval=getattr(base, "abort_check_interval", 0.0),
        )

    def teardown(self) -> None:
        """Let the task return, if it runs, and leave the engine."""
        try:
            while self._is_inside:
                self._is_inside = self._inside.end(lambda: None).kind != "over"
        finally:
            super().teardown()

    # -- when a rule can be ------------------------------------------------------------------------

    def is_inside(self) -> bool:
        """Whether the task runs, so that a rule can be its code."""
        return self._is_inside

    def reports(self) -> bool:
        """Whether it runs, and has an observer."""
        return bool(self._observers)

    def is_outside(self) -> bool:
        """Whether no task runs."""
        return not self._is_inside

    def can_observe(self) -> bool:
        """Whether there may be one more observer."""
        return self._is_inside and len(self._observers) < MOST

    def can_retry(self) -> bool:
        """Whether it may ask for one more attempt."""
        return self._is_inside and self.model.retries < MOST

    def can_be_asked(self) -> bool:
        """Whether the task is one that can be asked to abort."""
        return can_be_aborted(self.base)

    def can_look(self) -> bool:
        """Whether it runs, and can look whether it was."""
        return self._is_inside and self.can_be_asked()

    def is_leaving(self) -> bool:
        """Whether it has caught the abort, and is in the `except` block."""
        return self._caught is not None

    def has_ended(self) -> bool:
        """Whether a task has ended."""
        return bool(self._ended)

    # -- rules of one's own ------------------------------------------------------------------------

    def act(self, call: Callable[[Any], Any], which: int = 0) -> Any:
        """Do something in the task that the model does not know, and learn what came of it.

        It is judged by what any report of an Observer keeps to: positions within their bounds that
        do not fall while the total is the same, and percentages that say the same; nothing after an
        outcome; an abort only if it was asked for.

        Args:
            call: Called in the task with the observer.
            which: The first observer of the task, or the second one.

        Returns:
            What it returns; None if it was left by an abort.

        Raises:
            CheckFailed: If it breaks a promise.
            InvalidDefinition: If there is no observer.
            Exception: What it raises.
        """
        __tracebackhide__ = True
        if not self.reports():
            message = (
                "act() does something with the observer of a task that runs, and there is none:"
                " give the rule @precondition(ObserverMachine.reports)"
            )
            raise InvalidDefinition(message)
        observer, known = self._at(which)
        answer = self._inside.do(lambda: call(observer))
        for write in self._stored()[len(self.model.writes) :]:
            self._learn(known, write)
        self._learn_rest(observer, known)
        if isinstance(answer.error, TaskAborted):
            if not self.model.asked:
                self._differ("it was left by TaskAborted", "to go on: nobody has asked it")
            self._catch(answer.error)
        elif answer.error is not None:
            raise answer.error
        return answer.value

    def _learn(self, known: ObserverModel, write: Transition) -> None:
        """Judge, and note, what was stored."""
        meta, state = write.meta, write.state
        if self.model.attempt.ending is not None:
            self._differ(f"{state} was stored after the outcome", "nothing more")
        current, total = meta.get("current"), meta.get("total")
        if isinstance(current, (int, float)) and isinstance(total, (int, float, type(None))):
            told, clamped = known.tell("", current, total, write.at)
            if clamped:
                self._differ(f"{current=} of {total=} was stored", f"current={told['current']!r}")
            if "percent" in meta:
                self._same({"percent": told["percent"]}, meta, f"{state} was stored")
            known.keep({"current": current, "total": total})
        known.stored = (state, write.at)
        self.model.writes.append(Write(state, meta))

    def _learn_rest(self, observer: Any, known: ObserverModel) -> None:
        """Note what was not stored: what is held back, where it is, how the task is to end."""
        attempt, learned = self._attempt, self.model.attempt
        held = observer.held()
        known.held = None if held is None else Write(PROGRESS, held)
        if held is not None:
            known.keep(held)
        known.position = observer.pos
        for each, other in zip(self._observers, learned.observers, strict=True):
            if attempt.latest is each:
                learned.latest = other
        if attempt.abort_check is not None:
            learned.noticed = attempt.abort_check.noticed
            learned.next_look = attempt.abort_check.next_at
        if attempt.ending is not None and learned.ending is None:
            state, meta, error = attempt.ending.state, attempt.ending.meta, attempt.ending.exception
            learned.ending = Ending(state, meta, error and (type(error), str(error)))

    # -- what always holds -------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what does not hold after a rule.

        Raises:
            CheckFailed: What is wrong.
        """
        __tracebackhide__ = True
        super().check()
        self._compare_writes(self.model)
        self._compare_positions()
        self._compare_client()
        self._compare_ended()

    def _compare_positions(self) -> None:
        """Each observer is where it should be."""
        for observer, known in zip(self._observers, self.model.attempt.observers, strict=True):
            if observer.pos != known.position:
                self._differ(f"{observer.pos=}", f"{known.position!r}")

    def _compare_client(self) -> None:
        """A task is ready when it has ended; an abort that was asked for is not lost meanwhile."""
        task_id, asked = self.model.task_id, self.model.asked
        stored = [each.state for each in self.engine.history.of(task_id) if each.stored]
        if set(stored) & TERMINAL_STATES - {ABORTED}:  # of a plain Task: it is stored at once
            return
        result = self.task.AsyncResult(task_id)
        if result.ready():
            self._differ("its result is ready", "not before it has ended")
        expected = ABORTED if asked else (stored or [PENDING])[-1]
        if result.state != expected:
            lost = "the abort is lost: " if asked else ""
            self._differ(f"{lost}its result says {result.state}", expected)

    def _compare_ended(self) -> None:
        """What has ended stays as it is."""
        for task_id, model in self._ended.items():
            status = self.engine.backend.peek(task_id)["status"]
            last = model.writes[-1].state if model.writes else PENDING
            if status != last:
                self.differs(f"{task_id} has ended with {last}, and is {status}", last, task_id)

    # -- how ---------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds of the engine's clock."""
        return self.engine.clock.monotonic()

    def _at(self, which: int) -> tuple[Any, ObserverModel]:
        which %= len(self._observers)
        return self._observers[which], self.model.attempt.observers[which]

    def _differ(self, headline: str, expected: str) -> NoReturn:
        __tracebackhide__ = True
        self.differs(headline, expected, self.model.task_id)

    def _enter(self, answer: Answer) -> None:
        if answer.error is not None:
            raise answer.error
        if answer.kind != "entered":
            self._differ("the task was not run", "its function is called")
        self._is_inside = True
        self._caught = None
        self._observers = []
        self._attempt = self._do(lambda: attempt_of(self.task.request))

    def _do(self, call: Callable[[], Any], *, warns: bool = False) -> Any:
        """Do something in the task."""
        answer = self._inside.do(call)
        if answer.error is not None:
            raise answer.error
        self._hear(answer, warns=warns)
        return answer.value

    def _hear(self, answer: Answer, *, warns: bool) -> None:
        heard = [each.message for each in answer.warned if each.category is TaskProgressWarning]
        if bool(heard) is not warns:
            said = f"warned of {heard[0]}" if heard else "warned of nothing"
            self._differ(said, f"{'a' if warns else 'no'} TaskProgressWarning")

    def _catch(self, error: TaskAborted) -> None:
        self._caught = error
        self.model.attempt.leaving = True

    def _compare(
        self, expected: Expected | None, call: Callable[[], Any], *, returns: bool = True
    ) -> None:
        """Do something in the task, and compare what it returns, or raises."""
        answer = self._inside.do(call)
        left = expected is not None and expected.left
        if isinstance(answer.error, TaskAborted) and left:
            self._catch(answer.error)
            return
        if answer.error is not None:
            raise answer.error
        if left:
            what = "the abort is lost: it was asked for, and the report went on"
            self._differ(what, "TaskAborted")
        if expected is None:
            return
        self._compare_writes(self.model)
        self._hear(answer, warns=expected.warns)
        if returns:
            state, meta = answer.value
            self._same(expected.meta, meta, f"{state} was returned")
            if state != expected.state:
                self._differ(f"{state} was returned", expected.state)

    def _same(self, expected: dict[str, Any], meta: dict[str, Any], what: str) -> None:
        for key, value in expected.items():
            if key not in meta or meta[key] != value:
                got = as_repr(meta[key]) if key in meta else "no value"
                self._differ(f"{what} with {key}={got}", f"{key}={value!r}")

    def _stored(self) -> list[Transition]:
        """What the task has stored; the worker may tell the start, and a client ask by ABORTED."""
        return [
            each
            for each in self.engine.history.of(self.model.task_id)
            if each.stored and each.state != STARTED and (each.state != ABORTED or each.meta)
        ]

    def _compare_writes(self, model: TaskModel) -> None:
        stored = self._stored()
        for expected, write in zip(model.writes, stored, strict=False):
            if write.state != expected.state:
                self._differ(f"{write.state} was stored", expected.state)
            if expected.meta is not None:
                self._same(expected.meta, write.meta, f"{write.state} was stored")
        missing, more = model.writes[len(stored) :], stored[len(model.writes) :]
        if missing:
            self._differ("something was not stored", f"{missing[0].state}")
        if more:
            ending = model.attempt.ending
            final = "" if ending is None else f"{ending.state} is final: "
            self._differ(f"{more[0].state} was stored", f"{final}nothing more")

    def _over(self, answer: Answer, ending: Ending | None, value: object = None) -> None:
        """Compare what came of the task."""
        self._is_inside = answer.kind != "over"
        self._caught, self._observers = None, []
        self.model.attempt.observers = []
        if answer.kind != "over":
            ending = ending or Ending("an end", {})
            self._differ("the task was run (again)", f"it has ended with {ending.state}")
        if answer.error is not None:
            raise answer.error
        model, run = self.model, answer.value
        self._compare_writes(model)
        if ending is not None and run.state != ending.state:
            self._differ(f"the task ended with {run.state}", ending.state)
        if ending is not None and ending.state == SUCCESS:
            expected = value if value is not None else ending.meta or None
            if isinstance(expected, dict) and isinstance(run.result, dict):
                self._same(expected, run.result, "get() returned a dict")
            elif run.result != expected:
                self._differ(f"get() returned {as_repr(run.result)}", repr(expected))
        if ending is not None and ending.error is not None:
            kind, text = ending.error
            if type(run.exception) is not kind or str(run.exception) != text:
                self._differ(f"get() raised {run.exception!r}", f"{kind.__name__}({text!r})")
        if ending is not None:
            self._ended[model.task_id] = model
        self.model = self._next()
