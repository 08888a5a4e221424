"""Whether workers take messages: asked of them by remote control."""

from __future__ import annotations

import logging
from typing import Any, Final

from pytest_taskprogress.engines.internals import get_current_worker_task

__all__ = ["Consuming"]

logger = logging.getLogger(__name__)

#: Seconds in which workers answer.
_PATIENCE: Final = 1.0


class Consuming:
    """The queues that workers consume from.

    Args:
        app: A Celery app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._cancelled: list[tuple[str, str]] = []

    def cancel(self) -> None:
        """Let the worker that runs the current task, else all workers, take no more messages."""
        for worker, names in self._consumed().items():
            logger.warning(
                "%s is suspended: it takes no more messages from %s, until resume(), or `celery"
                " control add_consumer`",
                worker,
                ", ".join(names),
            )
            for name in names:
                self._app.control.cancel_consumer(name, destination=[worker])
                self._cancelled.append((worker, name))

    def _consumed(self) -> dict[str, list[str]]:
        """Workers, and the queues that they consume from."""
        task = get_current_worker_task()
        if task is not None:
            # A worker need not be asked what it was told; one of a single thread could not answer.
            return {task.request.hostname: list(self._app.amqp.queues.consume_from)}
        answers = self._app.control.inspect(timeout=_PATIENCE).active_queues() or {}
        return {worker: [each["name"] for each in queues] for worker, queues in answers.items()}

    def add(self) -> None:
        """Let those that were asked take messages again."""
        while self._cancelled:
            worker, name = self._cancelled.pop()
            self._app.control.add_consumer(name, destination=[worker])
