"""Sweeps: an event at every moment that a run has, one run for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from celery.canvas import Signature

from pytest_taskprogress.core.errors import EngineError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import RETRY
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.engines.scenes import Scenes
from pytest_taskprogress.engines.stage import EagerStage
from pytest_taskprogress.engines.under import Under
from pytest_taskprogress.scenario import (
    Event,
    Happened,
    Moment,
    Occasion,
    at_abort_check,
    at_report,
    at_retry,
    before_start,
)

__all__ = ["Sweep"]

MakeEvent = Callable[[Moment], Event]


class _Engine(Protocol):
    def run(self, task_or_signature: Any, /, *args: Any, **kwargs: Any) -> TaskRun: ...

    def reset(self) -> None: ...

    def under(self, *events: Event) -> Under: ...


class _Recorder:
    """Takes down the moments of a run, in order."""

    events: tuple[Event, ...] = ()
    happened: tuple[Happened, ...] = ()

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self._counts: Counter[Callable[[int], Moment]] = Counter()

    def happen(self, occasion: Occasion, stage_of: Callable[[], EagerStage]) -> None:
        make = _moment_of(occasion)
        if make is not None:
            self._counts[make] += 1
            self.moments.append(make(self._counts[make]))


def _moment_of(occasion: Occasion) -> Callable[[int], Moment] | None:
    write = occasion.transition
    if write is None:
        return before_start if occasion.kind == "start" else at_abort_check
    if not write.stored:
        return None
    return at_report if write.is_report else at_retry if write.state == RETRY else None


class Sweep:
    """One run for each moment of a run: before each start, at each report, abort check and retry.

    The runs are made while one goes through them; each begins as in a new test.

    Args:
        engine: What runs tasks.
        scenes: Who is told of what happens there.
        make_event: A class of events, or whatever makes one of a moment.
        call: What is run: a task or a signature, its arguments and keyword arguments.
        at_most: How many runs at most, evenly spread; None: one for each moment.

    Attributes:
        recorded: The run that the moments are of.
        moments: The moments at which the event is.
    """

    def __init__(
        self,
        engine: _Engine,
        scenes: Scenes,
        make_event: MakeEvent,
        call: tuple[Any, tuple[Any, ...], dict[str, Any]],
        at_most: int | None,
    ) -> None:
        given: object = at_most  # the annotation is a promise that callers break
        if given is not None and (
            not isinstance(given, int) or isinstance(given, bool) or given < 1
        ):
            message = (
                "a sweep has at least one run: expected a whole number of 1 or more, got"
                f" {at_most=!r}"
            )
            raise ValueError(message)
        if not callable(make_event):
            message = (
                "sweep() takes a class of events, such as Abort, or whatever makes one of a moment,"
                f" got {as_repr(make_event)}"
            )
            raise TypeError(message)
        self._engine = engine
        self._make_event = make_event
        self._target, self._args, self._kwargs = call
        self._made = 0
        self._over = False
        recorder = _Recorder()
        engine.reset()
        with scenes.told(recorder):
            self.recorded = engine.run(self._anew(), *self._args, **self._kwargs)
        # Of a partial, what it calls.
        fits = getattr(getattr(make_event, "func", make_event), "fits", lambda _: True)
        fitting = [each for each in recorder.moments if fits(each)]
        if not fitting:
            message = (
                f"{self._name} has no moment at which {as_repr(make_event)} can be: a sweep would"
                " test nothing"
            )
            raise EngineError(message)
        self.moments = _spread(fitting, at_most)

    def __len__(self) -> int:
        """How many runs it is."""
        return len(self.moments)

    def __iter__(self) -> Iterator[TaskRun]:
        for number, moment in enumerate(self.moments, 1):
            self._made, self._over = number, False
            self._engine.reset()
            under = self._engine.under(self._make_event(moment))
            yield under.run(self._anew(), *self._args, **self._kwargs)
        self._over = True

    def _anew(self) -> Any:
        """What is run; Celery gives a signature its ids when it is published, once and for all."""
        target = self._target
        return target.clone() if isinstance(target, Signature) else target

    @property
    def last(self) -> str:
        """The run that is looked at, for messages; empty if none is."""
        if self._over or not self._made:
            return ""
        event = self._make_event(self.moments[self._made - 1])
        return f"the last run of a sweep of {self._name}: {self._made} of {len(self)}, {event!r}"

    @property
    def _name(self) -> str:
        return self.recorded.name or "a group"

    def __str__(self) -> str:
        of = "" if self._made == len(self) else f"of {len(self)} "
        return f"{self._made} {of}runs of {self._name}"


def _spread(moments: list[Moment], at_most: int | None) -> list[Moment]:
    """Some of them, evenly, the first and the last included."""
    if at_most is None or at_most >= len(moments):
        return moments
    last = len(moments) - 1
    step = last / (at_most - 1) if at_most > 1 else 0
    return [moments[round(number * step)] for number in range(at_most)]
