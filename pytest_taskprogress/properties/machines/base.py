"""What machines have in common: an engine of their own, and what users may set."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from celery import Celery
from celery.contrib import abortable
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition

from pytest_taskprogress.checks import Contract
from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.engines.eager import EagerEngine

__all__ = ["EngineMachine", "can_be_aborted", "made", "of_machine"]


def of_machine(name: str) -> st.SearchStrategy[Any]:
    """What a machine has as an attribute, which its subclasses may set: a strategy.

    Args:
        name: Of the attribute.
    """
    return st.runner().flatmap(lambda machine: getattr(machine, name))


class EngineMachine(RuleBasedStateMachine):
    """A rule-based machine on an eager engine of its own; each example begins with a new one.

    A state machine can take no fixtures. What an example needs besides is made in `__init__`, and
    taken away in `teardown`; both call `super()`.

    Attributes:
        app: The app that the engine is installed on; None: a new one for each example.
        contract: What every run is judged by; None: what the test is marked with, or the rules that
            are on by default.
        engine: The engine.
    """

    app: ClassVar[Any] = None
    contract: ClassVar[Contract | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._wrong: Exception | None = None
        app = self._app_of_tasks()
        self.engine = EagerEngine(Celery("machine", set_as_current=False) if app is None else app)
        self.engine.__enter__()
        judged_by = self.engine.contract if self.contract is None else self.contract
        # What a run breaks is raised, and not only warned of: it is what is looked for.
        self.engine.contract = judged_by.having(strict=True)

    def _app_of_tasks(self) -> Any:
        return self.app

    def teardown(self) -> None:
        """Leave the engine: the app is as it was before."""
        failed = sys.exc_info()
        if failed[1] is not None:
            # That is what is told, and not what else was wrong with it.
            with suppress(Exception):
                self.engine.check_contract()
        self.engine.__exit__(*failed)

    def check(self) -> None:
        """Raise what does not hold after a rule; a subclass checks more, and calls `super()`.

        Raises:
            AssertionError: What is wrong.
        """
        __tracebackhide__ = True
        self.engine.check_contract()

    def _is_wrong(self) -> bool:
        try:
            self.check()
        except Exception as error:  # noqa: BLE001 - raised by the invariant
            self._wrong = error
        return self._wrong is not None

    # Hypothesis prints invariants after each step of a failing example, unless their precondition
    # does not hold: so there is one line, at the end.
    @precondition(_is_wrong)
    @invariant()
    def holds(self) -> None:
        """All that is always so."""
        __tracebackhide__ = True
        if self._wrong is not None:
            raise self._wrong

    def differs(self, headline: str, expected: str, task_id: str | None = None) -> NoReturn:
        """Say where the machine and its model differ.

        Args:
            headline: What is wrong.
            expected: What was expected.
            task_id: Of which task; None: of all.

        Raises:
            CheckFailed: With what was stored.
        """
        __tracebackhide__ = True
        history = self.engine.history
        own = history if task_id is None else history.of(task_id)
        raise CheckFailed(headline, expected=expected, transitions=own)


def can_be_aborted(task: Any) -> bool:
    """Whether a task, or a base of tasks, is one that can be asked to abort: also Celery's own."""
    if isinstance(task, type):
        return issubclass(task, abortable.AbortableTask)
    return isinstance(task, abortable.AbortableTask)  # of a proxy: what it stands for


def made(app: Any, base: type[Any], body: Any, name: str, **options: Any) -> Any:
    """A task of an app, which no other app shares."""
    return app.task(body, bind=True, base=base, name=name, shared=False, **options)
