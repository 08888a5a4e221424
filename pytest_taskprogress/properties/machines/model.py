"""What a task should store: the promises of an Observer and its task bases, in small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pytest_taskprogress.core.progress import Number
from pytest_taskprogress.core.states import (
    ABORTED,
    EXCEPTION_STATES,
    FAILURE,
    PROGRESS,
    RETRY,
    SUCCESS,
    is_report,
)

__all__ = [
    "NOT_GIVEN",
    "REPORTED",
    "AttemptModel",
    "Ending",
    "Expected",
    "ObserverModel",
    "TaskModel",
    "Write",
]

#: What stands for "the own position" in the signature of `Observer.update`.
NOT_GIVEN: Final = -1
_PERCENT: Final = 100.0
_NEARLY: Final = 99.99


class Write(NamedTuple):
    """Something that is stored.

    Attributes:
        state: Its state.
        meta: What its meta has at least; None: that is not known.
    """

    state: str
    meta: dict[str, Any] | None = None


class Ending(NamedTuple):
    """The outcome that an observer gave a task.

    Attributes:
        state: Which.
        meta: What goes with it.
        error: Type and text of what a client's `get()` raises; None if it raises nothing.
    """

    state: str
    meta: dict[str, Any]
    error: tuple[type[BaseException], str] | None = None


@dataclass
class Expected:
    """What is to come of a report.

    Attributes:
        state: The state that is returned.
        meta: What the meta that is returned has at least.
        warns: Whether it warns.
        left: Whether it leaves the task, by TaskAborted.
    """

    state: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    warns: bool = False
    left: bool = False


@dataclass
class ObserverModel:
    """What an Observer should tell.

    Attributes:
        position: Where it is.
        throttle: Seconds in which it stores one report at most; None: no limit.
        began: Seconds of the clock.
        current: The position that it told last; None if it told none.
        total: The total that it told with it.
        held: What `throttle` holds back; None if nothing is.
        stored: State and time of what it stored last; None if it stored nothing.
    """

    position: Number
    throttle: float | None
    began: float
    current: Number | None = None
    total: Number | None = 100
    held: Write | None = None
    stored: tuple[str, float] | None = None

    def next(self, current: Number, step: Number, *, increment: bool) -> Number:
        """The position that a report is about."""
        if current != NOT_GIVEN:
            return current
        return self.position + (abs(step) or 1) if increment else self.position

    def clamped(self, position: Number, total: Number | None) -> Number:
        """The nearest position that neither falls nor exceeds the total."""
        least = self.current if self.current is not None and self.total == total else 0
        position = max(position, least, 0)
        return position if total is None else min(position, total)

    def end(self) -> Number:
        """The total at which it succeeds: as it was told, else wherever it has come to."""
        if self.current is None:
            return max(self.position, 100)
        return max(self.position, self.current) if self.total is None else self.total

    def tell(
        self, text: str, position: Number, total: Number | None, now: float
    ) -> tuple[dict[str, Any], bool]:
        """Tell a position; returns the meta, and whether it says something else than was given."""
        current = self.clamped(position, total)
        percent: float | None = None
        if total is not None:
            percent = (
                _PERCENT if current == total else min(round(current / total * 100, 2), _NEARLY)
            )
        elapsed = round(now - self.began, 6)
        meta = {"pending": False, "description": text, "current": current, "total": total}
        return {**meta, "percent": percent, "elapsed": elapsed}, current != position

    def keep(self, meta: dict[str, Any]) -> None:
        """Take note of what was told."""
        self.position = self.current = meta["current"]
        self.total = meta["total"]

    def offer(self, write: Write, now: float) -> list[Write]:
        """What is stored when something is reported: nothing, if it is too early for it."""
        meta = write.meta or {}
        if self.throttle is not None and self.stored is not None and meta["percent"] != _PERCENT:
            state, at = self.stored
            if write.state == state and now - at < self.throttle:
                self.held = write
                return []
        return self.store(write, now)

    def store(self, write: Write, now: float) -> list[Write]:
        """Store; what was held back is out of date."""
        self.held, self.stored = None, (write.state, now)
        return [write]

    def flush(self, now: float) -> list[Write]:
        """What is stored when nothing is to be held back any more."""
        return [] if self.held is None else self.store(self.held, now)


@dataclass
class AttemptModel:
    """One execution of a task.

    Attributes:
        observers: Those that report in it.
        latest: The one that reported last.
        ending: The outcome that one of them gave it; None while it goes on.
        noticed: Whether it has noticed that it is to abort.
        next_look: Seconds of the clock before which it does not look again.
        leaving: Whether it is in an `except` block that has caught the abort.
    """

    observers: list[ObserverModel] = field(default_factory=list)
    latest: ObserverModel | None = None
    ending: Ending | None = None
    noticed: bool = False
    next_look: float = 0.0
    leaving: bool = False


@dataclass
class TaskModel:
    """A task, and what it should have stored.

    Attributes:
        task_id: Its id.
        keeps: The outcomes that wait until the function ends.
        interval: Seconds in which it looks at most once whether it is to abort.
        asked: Whether it was asked to.
        attempt: The execution of the moment.
        retries: How many came before it.
        writes: What should be stored, in order.
    """

    task_id: str
    keeps: frozenset[str] = frozenset()
    interval: float = 0.0
    asked: bool = False
    attempt: AttemptModel = field(default_factory=AttemptModel)
    retries: int = 0
    writes: list[Write] = field(default_factory=list)

    @property
    def has_end(self) -> bool:
        """Whether an end of it is stored: an outcome that does not wait until the function ends."""
        ending = self.attempt.ending
        return ending is not None and ending.state not in self.keeps

    def looks(self, now: float) -> bool:
        """Whether it sees a request to abort, if it looks now."""
        attempt = self.attempt
        if not attempt.noticed and (not self.interval or now >= attempt.next_look):
            attempt.next_look = now + self.interval
            attempt.noticed = self.asked
        return attempt.noticed

    def is_left(self, now: float) -> bool:
        """Whether a report leaves it by TaskAborted; while it is being left it is not again."""
        return self.attempt.ending is None and self.looks(now) and not self.attempt.leaving

    def expect(
        self,
        observer: ObserverModel,
        text: str,
        position: Number,
        total: Number | None,
        state: str,
        now: float,
    ) -> Expected:
        """Report by an observer; returns what is to come of it."""
        if self.attempt.ending is not None:
            return self._refused(self.attempt.ending)
        if self.is_left(now):
            return Expected(left=True)
        meta, clamped = observer.tell(text, position, total, now)
        self.report(observer, Write(state, meta), now)
        return Expected(state, meta, warns=clamped)

    def expect_end(
        self,
        observer: ObserverModel,
        text: str,
        position: Number,
        total: Number | None,
        state: str,
        now: float,
        error: tuple[type[BaseException], str] | None = None,
    ) -> Expected:
        """Give it an outcome by an observer; returns what is to come of it."""
        if self.attempt.ending is not None:
            return self._refused(self.attempt.ending)
        meta, clamped = observer.tell(text, position, total, now)
        self.end(observer, Ending(state, meta, error if state in EXCEPTION_STATES else None), now)
        return Expected(state, meta, warns=clamped)

    @staticmethod
    def _refused(ending: Ending) -> Expected:
        return Expected(ending.state, ending.meta, warns=True)

    def report(self, observer: ObserverModel, write: Write, now: float) -> None:
        """Report by an observer."""
        self.writes += observer.offer(write, now)
        observer.keep(write.meta or {})
        self.attempt.latest = observer

    def end(self, observer: ObserverModel, ending: Ending, now: float) -> None:
        """Give it an outcome."""
        self._flush(now)
        if ending.state not in self.keeps:
            self.writes += observer.store(_write_of(ending), now)
        observer.keep(ending.meta)
        self.attempt.ending = ending

    def finish(
        self,
        now: float,
        *,
        value: object = None,
        error: tuple[type[BaseException], str] | None = None,
        ignores: bool = False,
        aborts: bool = False,
    ) -> Ending | None:
        """End its function.

        Args:
            now: Seconds of the clock.
            value: What it returns.
            error: Type and text of what it raises.
            ignores: Whether it raises Ignore.
            aborts: Whether it is left by the abort that it was asked for.

        Returns:
            How the task ends; None if nothing is stored of that.
        """
        attempt = self.attempt
        ending = attempt.ending
        if ending is None and (aborts or (ignores and attempt.noticed)):
            ending = attempt.ending = Ending(ABORTED, self.last_progress())
            self.writes.append(_write_of(ending))
            return ending
        if ending is None:
            self._flush(now)
            if ignores:
                return None
            ending = attempt.ending = Ending(FAILURE if error else SUCCESS, {}, error)
            self.writes.append(Write(ending.state))
        elif ending.state in self.keeps:
            self.writes.append(Write(ending.state) if value is not None else _write_of(ending))
        return ending

    def _flush(self, now: float) -> None:
        """Store what observers hold back; a plain Task does not."""
        if self.keeps:
            for each in self.attempt.observers:
                self.writes += each.flush(now)

    def last_progress(self) -> dict[str, Any]:
        """What ABORTED is stored with: the last report, also if it was held back."""
        latest = self.attempt.latest
        if latest is not None and latest.held is not None:
            return latest.held.meta or {}
        last = self.writes[-1] if self.writes else None
        return last.meta if last is not None and is_report(last.state) and last.meta else _UNTOLD

    def retried(self, now: float) -> None:
        """Begin the next attempt."""
        self._flush(now)
        self.writes.append(Write(RETRY))
        self.attempt = AttemptModel()
        self.retries += 1


_UNTOLD: Final[dict[str, Any]] = {"pending": False}
#: States of reports that a machine draws: Celery's people store states of their own too.
REPORTED: Final = (PROGRESS, "UPLOADING")


def _write_of(ending: Ending) -> Write:
    """What is stored of an outcome; an exception is not stored as a dict."""
    return Write(ending.state, None if ending.state in EXCEPTION_STATES else ending.meta)
