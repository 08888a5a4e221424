"""Listeners that log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from pytest_taskprogress.core.states import FAILURE, RETRY
from pytest_taskprogress.listeners.base import (
    DEFAULT_LISTEN_FOR,
    FINISH_STATES,
    DumpingListener,
    Listened,
    Listener,
    check_type,
    described,
)
from pytest_taskprogress.listeners.failure import is_failure
from pytest_taskprogress.listeners.formatters import FailureFormatter

__all__ = ["DynamicLoggingListener", "LoggingListener"]

logger = logging.getLogger(__name__)


class LoggingListener(DumpingListener):
    """Logs what it is told, a message each; of a report also the percentage and the description.

    Args:
        engine: What to listen to.
        task_listen_for: As of `Listener`.
        flow_listen_for: As of `Listener`.
        retry_listen_for: As of `Listener`.
        log: The logger; None: the attribute `_LOGGER` of a subclass, or the logger of this module.
        level: Of every message.

    Source:
        `taskflow.listeners.logging.LoggingListener`.
    """

    #: The logger where none is given; for subclasses.
    _LOGGER: ClassVar[Any] = None

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        log: Any = None,
        level: int = logging.DEBUG,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        check_type("level", level, int, "the number of a level, such as logging.DEBUG")
        self._logger = _chosen(log, self._LOGGER)
        self._level = level

    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._logger.log(self._level, message, *args, **kwargs)


class DynamicLoggingListener(Listener):
    """Logs what it is told: failures and retries at a level of their own, with their story.

    Args:
        engine: What to listen to.
        task_listen_for: As of `Listener`.
        flow_listen_for: As of `Listener`.
        retry_listen_for: As of `Listener`.
        log: As of `LoggingListener`.
        failure_level: Of failures and retries.
        level: Of everything else.
        hide_inputs_outputs_of: Names of tasks whose arguments and results are not to be seen.
        fail_formatter: Says what a failure is about; None: a `FailureFormatter`.
        mask_inputs_keys: Keys of dicts in arguments whose values are not to be seen.
        mask_outputs_keys: The same in results.

    Source:
        `taskflow.listeners.logging.DynamicLoggingListener`. It knows nothing of retries.
    """

    #: The logger where none is given; for subclasses.
    _LOGGER: ClassVar[Any] = None
    #: States, of tasks and of flows, that are logged at the failure level; some are TaskFlow's.
    _FAILURE_STATES: ClassVar[frozenset[str]] = frozenset(
        {FAILURE, RETRY, "RETRYING", "REVERTED", "REVERT_FAILURE"}
    )

    def __init__(
        self,
        engine: Listened,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        log: Any = None,
        failure_level: int = logging.WARNING,
        level: int = logging.DEBUG,
        hide_inputs_outputs_of: Iterable[str] = (),
        fail_formatter: Any = None,
        mask_inputs_keys: Iterable[str] = (),
        mask_outputs_keys: Iterable[str] = (),
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        check_type("level", level, int, "the number of a level, such as logging.DEBUG")
        check_type("failure_level", failure_level, int, "the number of a level")
        if fail_formatter is not None and not hasattr(fail_formatter, "format"):
            message = f"a fail_formatter has a method format(fail, matcher), got {fail_formatter!r}"
            raise TypeError(message)
        self._logger = _chosen(log, self._LOGGER)
        self._failure_level = failure_level
        self._level = level
        formatter = FailureFormatter(
            engine, hide_inputs_outputs_of, mask_inputs_keys, mask_outputs_keys
        )
        self._fail_formatter = formatter if fail_formatter is None else fail_formatter
        self._formatter = formatter

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        level = self._failure_level if state in self._FAILURE_STATES else self._level
        result = details.get("result")
        if not self._logger.isEnabledFor(self._failure_level if is_failure(result) else level):
            return
        name, uuid = details[f"{kind}_name"], details[f"{kind}_uuid"]
        message = f"{kind.capitalize()} '%s' (%s) transitioned into state '%s' from state '%s'"
        args = [name, uuid, state, details.get("old_state")]
        if is_failure(result):
            exc_info, story = self._fail_formatter.format(result, _matcher(name, uuid))
            if self._fail_formatter is not self._formatter:
                secrets = self._formatter.secrets(uuid)
                exc_info, story = self._formatter.cleaned(exc_info, story, result, name, secrets)
            if story:
                message += "\n%s"
                args.append(story)
            self._logger.log(self._failure_level, message, *args, exc_info=exc_info)
            return
        progress = described(details)
        if progress:
            message += ": %s"
            args.append(self._formatter.secrets(uuid).hide(progress))
        elif "result" in details and state in FINISH_STATES and not self._formatter.hides(name):
            message += " with result '%s'"
            args.append(self._formatter.shown_result(result, self._formatter.secrets(uuid)))
        self._logger.log(level, message, *args)


def _chosen(*logs: Any) -> Any:
    """The first logger that is given, or the one of this module."""
    found = next((each for each in logs if each is not None), logger)
    if not hasattr(found, "log"):
        message = f"log is a logger: write log=logging.getLogger({found!r})"
        raise TypeError(message)
    return found


def _matcher(name: str, uuid: str) -> Callable[[Any], bool]:
    """What tells the node of a task from others; TaskFlow's have no id."""

    def matches(node: Any) -> bool:
        item = node.item
        is_flow = hasattr(item, "iter_nodes")
        return not is_flow and item.name == name and getattr(item, "uuid", uuid) == uuid

    return matches
