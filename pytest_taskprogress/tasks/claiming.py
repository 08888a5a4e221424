"""Claims on Celery: which delivery of a message may go on with its task."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from pytest_taskprogress.core.errors import ClaimUnsupported
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.tasks import records

__all__ = ["CeleryClaimBoard", "ClaimedTask"]

_UNCLAIMED: Final = "UNCLAIMED"


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task that a delivery of its message has claimed.

    Attributes:
        task_id: Id of the task.
        owner: Who claimed it: node name, process and delivery.
        board: Where.
    """

    task_id: str
    owner: str
    board: CeleryClaimBoard

    @property
    def state(self) -> str:
        """`CLAIMED` as long as anybody has it; else `UNCLAIMED`."""
        return _UNCLAIMED if self.board.find_owner(self) is None else records.CLAIMED

    def __str__(self) -> str:
        return self.task_id


class CeleryClaimBoard:
    """Claims of tasks, kept in the result backend beside their states.

    A message of an `acks_late` task that is not acknowledged in time (Redis: `visibility_timeout`)
    is delivered again, to another worker. Each delivery claims its task when it begins: the one
    before it has lost its claim then::

        board = CeleryClaimBoard(app)

        @app.task(bind=True, acks_late=True)
        def export(self, rows):
            job = board.claim(self)
            with CheckingClaimListener(engine, job, board, job.owner):
                ...
            board.abandon(job)

    Args:
        app: A Celery app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def claim(self, task: Any) -> ClaimedTask:
        """Claim the task that runs, from whoever has it; one write.

        Args:
            task: The bound task: `self`.

        Returns:
            The job; its `owner` is what `find_owner` returns as long as nobody else claims it.

        Raises:
            ClaimUnsupported: If the result backend keeps no records.
            ValueError: If the task does not run.
            Exception: What the backend raises, if it is down.
        """
        request, backend = getattr(task, "request", None), self._app.backend
        if request is None or not request.id:
            message = f"claim() is called by a task that runs, with `self`; got {as_repr(task)}"
            raise ValueError(message)
        if not records.keeps_records(backend):
            message = (
                f"{request.id} cannot be claimed: its result backend {backend.as_uri()!r} keeps no"
                f" records; {records.THOSE_THAT_KEEP}"
            )
            raise ClaimUnsupported(message)
        owner = f"{request.hostname}/{os.getpid()}/{uuid4().hex[:8]}"
        job = ClaimedTask(request.id, owner, self)
        records.store(backend, _record_id_of(job), {"owner": owner}, records.CLAIMED)
        return job

    def find_owner(self, job: ClaimedTask) -> str | None:
        """Who claimed a task last; None if nobody has it. One read.

        Raises:
            Exception: What the backend raises, if it is down.
        """
        meta = self._app.backend.get_task_meta(_record_id_of(job), cache=False)
        return meta["result"]["owner"] if meta["status"] == records.CLAIMED else None

    def abandon(self, job: ClaimedTask) -> None:
        """Forget a claim, unless somebody else has it by now."""
        if self.find_owner(job) == job.owner:
            self._app.backend.forget(_record_id_of(job))


def _record_id_of(job: ClaimedTask) -> str:
    return f"{job.task_id}{records.CLAIM}"
