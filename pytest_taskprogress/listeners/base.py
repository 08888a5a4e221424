"""The base of all listeners, and of those that write down what they are told."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

from pytest_taskprogress.core.errors import EngineNotInstalled
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.progress import Progress
from pytest_taskprogress.core.states import ABORTED, FAILURE, REVOKED, SUCCESS
from pytest_taskprogress.listeners.failure import Failure, is_failure
from pytest_taskprogress.listeners.notifier import Notifier

__all__ = ["DEFAULT_LISTEN_FOR", "FINISH_STATES", "DumpingListener", "Listened", "Listener"]

logger = logging.getLogger(__name__)

#: States that have a result: Celery's, ours, and those that only TaskFlow's engines have.
FINISH_STATES: Final = (FAILURE, SUCCESS, ABORTED, REVOKED, "REVERTED", "REVERT_FAILURE")

#: What is listened for by default: everything.
DEFAULT_LISTEN_FOR: Final = (Notifier.ANY,)

_Receiver = Callable[..., object]
_L = TypeVar("_L", bound="Listener")


class Listened(Protocol):
    """What a listener listens to: an engine, ours or TaskFlow's."""

    @property
    def notifier(self) -> Any:
        """Tells of flows."""
        ...

    @property
    def atom_notifier(self) -> Any:
        """Tells of tasks and retries."""
        ...


def _is_of_task(details: Mapping[str, Any]) -> bool:
    return "task_name" in details and "task_uuid" in details


def _is_of_retry(details: Mapping[str, Any]) -> bool:
    return "retry_name" in details and "retry_uuid" in details


class Listener:
    """Is told of an engine's flows, tasks and retries, while it is registered.

    Subclasses override `_flow_receiver`, `_task_receiver` and `_retry_receiver`, or `_receiver` for
    all of them. Use it as a
    context manager, or by `register()` and `deregister()`; both may be repeated, and leaving never
    raises.

    Args:
        engine: What to listen to.
        task_listen_for: States of tasks to be told of; all by default, empty or None for none.
        flow_listen_for: The same of flows.
        retry_listen_for: The same of retries.

    Raises:
        TypeError: If the engine has no notifiers, or states are given as a single string.

    Source:
        `taskflow.listeners.base.Listener`.
    """

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
    ) -> None:
        has_notifiers = hasattr(engine, "notifier") and hasattr(engine, "atom_notifier")
        if isinstance(engine, type) or not has_notifiers:
            message = (
                "a listener listens to an engine, which has `notifier` and `atom_notifier`: the"
                f" fixture taskprogress, EagerEngine(app), CeleryEngine(app); got {engine=!r}"
            )
            raise TypeError(message)
        self._engine: Any = engine
        self._listen_for = {
            "task_listen_for": _states(task_listen_for, "task_listen_for"),
            "flow_listen_for": _states(flow_listen_for, "flow_listen_for"),
            "retry_listen_for": _states(retry_listen_for, "retry_listen_for"),
        }
        # What is raised while a listener works, and is meant for the task; TaskFlow knows of none.
        self._passing: tuple[type[BaseException], ...] = getattr(
            engine.atom_notifier, "passing", ()
        )
        self._registered: list[Callable[[], object]] = []

    def _flow_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        """Take the news of a flow.

        Args:
            state: Its new state.
            details: `flow_name`, `flow_uuid`, `old_state`, `engine`.
        """
        self._receiver("flow", state, details)

    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        """Take the news of a task.

        Args:
            state: Its new state.
            details: `task_name`, `task_uuid`, `old_state`, `result` if there is one, `meta`,
                `progress` and `transition`.
        """
        self._receiver("task", state, details)

    def _retry_receiver(self, state: str, details: Mapping[str, Any]) -> None:
        """Take the news of a retry.

        Args:
            state: Its new state.
            details: As of a task, with `retry_name` and `retry_uuid`.
        """
        self._receiver("retry", state, details)

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        """Take the news of whatever has no receiver of its own.

        Args:
            kind: `"flow"`, `"task"` or `"retry"`.
            state: Its new state.
            details: As of its kind.
        """

    def register(self) -> None:
        """Begin to listen.

        Raises:
            EngineNotInstalled: If the engine has left its app.
            ValueError: If the engine's notifier does not know one of the states.
        """
        if getattr(self._engine, "has_left", False):
            message = (
                f"{self._engine!r} has left its app, and this listener would hear nothing: register"
                " it while the engine is there"
            )
            raise EngineNotInstalled(message)
        atoms = self._engine.atom_notifier
        try:
            self._register(atoms, "task_listen_for", self._task_receiver, _is_of_task)
            self._register(atoms, "retry_listen_for", self._retry_receiver, _is_of_retry)
            self._register(self._engine.notifier, "flow_listen_for", self._flow_receiver, None)
        except BaseException:
            self.deregister()
            raise

    def _register(
        self, notifier: Any, listen_for: str, receiver: _Receiver, details_filter: Any
    ) -> None:
        for state in self._listen_for[listen_for]:
            if not notifier.is_registered(state, receiver, details_filter=details_filter):
                notifier.register(state, receiver, details_filter=details_filter)
                # The notifier is kept: an engine that has gone may have none any more.
                self._registered.append(
                    partial(notifier.deregister, state, receiver, details_filter=details_filter)
                )

    def deregister(self) -> None:
        """Listen no longer."""
        errors = []
        while self._registered:
            try:
                self._registered.pop()()
            except Exception as error:  # noqa: BLE001 - raised when the others were left
                errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self: _L) -> _L:  # noqa: PYI019 - Self is of Python 3.11
        self.register()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        try:
            self.deregister()
        except Exception:
            logger.warning(
                "Failed deregistering listeners from engine %s", self._engine, exc_info=True
            )


def _states(states: Iterable[str] | None, argument: str) -> tuple[str, ...]:
    if states is None:
        return ()
    if isinstance(states, (str, bytes)):
        message = f"{argument} is a tuple of states, got a string: write {argument}=({states!r},)"
        raise TypeError(message)
    found = tuple(states)
    for state in found:
        check_type(argument, state, str, "a tuple of states, such as 'SUCCESS'")
    return found


def names_of(names: Iterable[Any] | None, argument: str) -> frozenset[str]:
    """Take a list of names; what has a `name`, as a task has, may stand for it.

    Raises:
        TypeError: If one is neither, or it is a single string.
    """
    if isinstance(names, str) or hasattr(names, "name"):
        message = f"{argument} is a list of names, got a single one: write {argument}=[{names!r}]"
        raise TypeError(message)
    found = frozenset(getattr(each, "name", each) for each in names or ())
    for name in found:
        check_type(argument, name, str, "a list of names, or of tasks")
    return found


class DumpingListener(Listener, ABC):
    """Writes down what it is told: subclasses say where, by `_dump`.

    Source:
        `taskflow.listeners.base.DumpingListener`. It knows nothing of retries and progress.
    """

    @abstractmethod
    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Write down a message.

        Args:
            message: A template, for `message % args`.
            args: What fills it.
            kwargs: `exc_info` of a task that failed; None if that is not at hand.
        """

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        message = f"%s has moved {kind} '%s' (%s) into state '%s' from state '%s'"
        name, uuid = details[f"{kind}_name"], details[f"{kind}_uuid"]
        args = [self._engine, name, uuid, state, details["old_state"]]
        kwargs: dict[str, Any] = {}
        progress = described(details)
        if progress:
            message += ": %s"
            args.append(progress)
        elif "result" in details and (kind == "retry" or state in FINISH_STATES):
            result = details["result"]
            message += " with result '%s' (failure=%s)"
            args += [result, is_failure(result)]
            kwargs["exc_info"] = result.exc_info if is_failure(result) else None
            if type(result) is Failure and kwargs["exc_info"] is None and result.traceback_str:
                message += "\n%s"
                args.append(result.traceback_str.rstrip())
        self._dump(message, *args, **kwargs)


def described(details: Mapping[str, Any]) -> str:
    """Say what a report tells, as `50 %, Importing users`; empty if it is none."""
    progress, meta = details.get("progress"), details.get("meta") or {}
    if progress is None and (details.get("transition") is None or not _is_report(details)):
        return ""
    parts = [_amount(progress)] if isinstance(progress, Progress) else []
    description = meta.get("description")
    if description:
        parts.append(str(description))
    return ", ".join(parts)


def _is_report(details: Mapping[str, Any]) -> bool:
    return bool(details["transition"].is_report)


def _amount(progress: Progress) -> str:
    if progress.percent is None:
        return f"{progress.current:g} done"
    return f"{progress.percent:g} %"


def check_type(argument: str, value: object, kind: type, expected: str) -> None:
    """Refuse an argument of a wrong type.

    Raises:
        TypeError: If it is.
    """
    if not isinstance(value, kind):
        message = f"expected {argument} to be {expected}, got {argument}={as_repr(value)}"
        raise TypeError(message)
