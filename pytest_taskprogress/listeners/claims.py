"""The listener that checks, at each event, that its engine may still work on its job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.listeners.base import Listened, Listener

__all__ = [
    "CLAIMED",
    "COMPLETE",
    "UNCLAIMED",
    "CheckingClaimListener",
    "ClaimBoard",
    "FakeClaimBoard",
    "Job",
]

logger = logging.getLogger(__name__)

CLAIMED: Final = "CLAIMED"
COMPLETE: Final = "COMPLETE"
UNCLAIMED: Final = "UNCLAIMED"


class _Job(Protocol):
    @property
    def state(self) -> str: ...


class ClaimBoard(Protocol):
    """Knows who may work on which job."""

    def find_owner(self, job: Any) -> str | None:
        """Who has claimed a job; None if nobody has."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """Something that is claimed before it is worked on.

    Attributes:
        name: What to call it.
        owner: Who has claimed it; None if nobody has.
        complete: Whether it is done.
    """

    name: str
    owner: str | None = None
    complete: bool = False

    @property
    def state(self) -> str:
        """`UNCLAIMED`, `CLAIMED` or `COMPLETE`."""
        if self.complete:
            return COMPLETE
        return UNCLAIMED if self.owner is None else CLAIMED

    def __str__(self) -> str:
        return self.name


class FakeClaimBoard:
    """A board in memory, for tests: claims are given, taken away and lost as a test wants.

    Attributes:
        down: What `find_owner` raises; None: nothing.
    """

    def __init__(self) -> None:
        self.down: Exception | None = None
        self._changing = threading.Lock()

    def post(self, name: str) -> Job:
        """Make a job that nobody has claimed."""
        return Job(name)

    def claim(self, job: Job, owner: str) -> None:
        """Claim a job, from whoever has it: as a board does whose claims expire."""
        with self._changing:
            job.owner = owner

    def abandon(self, job: Job) -> None:
        """Let nobody have a job."""
        with self._changing:
            job.owner = None

    def find_owner(self, job: Job) -> str | None:
        """Who has claimed a job; None if nobody has.

        Raises:
            Exception: `down`, if it is set.
        """
        if self.down is not None:
            raise self.down
        return job.owner


class CheckingClaimListener(Listener):
    """Checks at each event of a flow, a task or a retry that a job is still claimed.

    A board that cannot be asked counts as a claim that is lost; that is logged. What is done about
    a loss is done once, until the job is found claimed again.

    Args:
        engine: What to listen to.
        job: What was claimed; has `state`.
        board: Knows who has claimed it.
        owner: Who it should be.
        on_job_loss: Called with the engine, the state and the details of the event if it is not;
            None: `engine.suspend()`.

    Raises:
        ValueError: If `on_job_loss` is no callable.
        TypeError: If the board has no `find_owner`, or the job no `state`.

    Source:
        `taskflow.listeners.claims.CheckingClaimListener`.
    """

    def __init__(
        self,
        engine: Listened,
        job: _Job,
        board: ClaimBoard,
        owner: str,
        on_job_loss: Callable[[Any, str, Mapping[str, Any]], object] | None = None,
    ) -> None:
        super().__init__(engine)
        if on_job_loss is not None and not callable(on_job_loss):
            message = f"Custom 'on_job_loss' handler must be callable, got {as_repr(on_job_loss)}"
            raise ValueError(message)
        if not callable(getattr(board, "find_owner", None)):
            message = f"a claim board has a method find_owner(job), got board={as_repr(board)}"
            raise TypeError(message)
        if not _has_state(job):
            message = f"a job has a state, such as {CLAIMED!r}, got job={as_repr(job)}"
            raise TypeError(message)
        self._job = job
        self._board = board
        self._owner = owner
        self._on_job_loss = self._suspend if on_job_loss is None else on_job_loss
        self._lost = False

    def _suspend(self, engine: Any, state: str, details: Mapping[str, Any]) -> None:
        engine.suspend()

    def _receiver(self, kind: str, state: str, details: Mapping[str, Any]) -> None:
        reason = self._why_lost()
        if reason is None or self._lost:
            self._lost = reason is not None
            return
        logger.warning(
            "Job '%s' has lost its claim (previously owned by '%s'): %s",
            self._job,
            self._owner,
            reason,
        )
        self._on_job_loss(self._engine, state, details)
        # Not if that raised: it is tried again.
        self._lost = True

    def _why_lost(self) -> str | None:
        try:
            state, owner = self._job.state, self._board.find_owner(self._job)
        except self._passing:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a board raises that is down
            return f"the board cannot be asked: {type(error).__name__}: {as_text(error)}"
        if state == UNCLAIMED or owner is None:
            return "nobody has it"
        return None if owner == self._owner else f"'{owner}' has it"


def _has_state(job: object) -> bool:
    try:
        return hasattr(job, "state")
    except Exception:  # noqa: BLE001 - it has, and asks a board that is down
        return True
