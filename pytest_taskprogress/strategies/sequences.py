"""Histories that keep the contract, and the transitions that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.progress import Number
from pytest_taskprogress.core.sequence import ProgressSequence, Write
from pytest_taskprogress.core.states import PROGRESS, RETRY, STARTED, SUCCESS, is_report
from pytest_taskprogress.strategies.defining import (
    check_interval,
    check_number,
    check_size,
    check_strategy,
    lazily,
)
from pytest_taskprogress.strategies.ends import End, end_states, value_of
from pytest_taskprogress.strategies.shapes import Shape, meta_of, shape_of
from pytest_taskprogress.strategies.values import (
    Total,
    json_objects,
    positions,
    totals,
)
from pytest_taskprogress.strategies.values import (
    messages as any_messages,
)

__all__ = ["histories", "progress_sequences"]

#: How many reports there are at most, where nobody says.
_SIZE: Final = 10
#: Seconds between two writes are a multiple of this, which a float holds exactly.
_TICK: Final = 0.25


@lazily
def progress_sequences(
    *,
    min_size: int = 0,
    max_size: int | None = None,
    total: Total = ...,
    terminal: End = ...,
    aborts: bool = False,
    retries: int = 0,
    started: bool | None = None,
    messages: st.SearchStrategy[str] | None = None,
    report_states: st.SearchStrategy[str] | None = None,
    max_gap: Number = 1.0,
) -> st.SearchStrategy[ProgressSequence]:
    """What one task may write, from its first report to its end, and keep the contract.

    It keeps each rule that is on by default, whichever way the task stores its progress: an
    Observer's, or what people pass to `update_state`. With `messages` that are not blank it also
    keeps `described`, with `max_gap` (and `started`) `max-gap` and `first-report`, and with
    `max_size` `write-budget`. The smallest is `ProgressSequence('SUCCESS')`.

    Args:
        min_size: How many reports at least. The end, and what the worker writes, do not count.
        max_size: How many at most; None: 10, or `min_size` and 10.
        total: At which the task is complete: a number, None where nobody knows it, or a strategy;
            then each report has it. `...`: any.
        terminal: In which state the task ends; None: it has not ended; a strategy of these. `...`:
            SUCCESS, FAILURE or REVOKED.
        aborts: Whether some end in ABORTED, too; where `terminal` is given, it says so itself.
        retries: How often a task asks for another attempt, at most.
        started: Whether the app tracks the start; None: some do.
        messages: What each report has as its description; None: any, and it may be missing.
        report_states: The states of reports, PROGRESS and those of a user's own; None: PROGRESS.
        max_gap: Seconds between two writes at most.
    """
    check_size(min_size, "min_size")
    if max_size is not None:
        check_size(max_size, "max_size")
    check_interval(min_size, max_size, "size")
    check_size(retries, "retries")
    check_number(max_gap, "max_gap")
    check_strategy(messages, "messages")
    check_strategy(report_states, "report_states")
    for name, value in (("aborts", aborts), ("started", started)):
        if not isinstance(value, (bool, type(None))):
            message = f"Expected bool but got {name}={value!r} (type={type(value).__name__})"
            raise InvalidArgument(message)
    largest = min_size + _SIZE if max_size is None else max_size
    kept = _Kept(
        sizes=(min_size, largest),
        given=total is not ...,
        described=None if messages is None else True,
        totals=totals(total),
        ends=end_states(terminal, aborts=aborts),
        started=st.booleans() if started is None else st.just(started),
        retries=st.lists(st.integers(0, largest), max_size=retries) if retries else None,
        seconds=_seconds(max_gap),
        texts=any_messages() if messages is None else messages,
        several=report_states is not None,
        states=st.just(PROGRESS) if report_states is None else report_states.map(_report_state),
        extras=json_objects(),
    )
    return _written(kept)


def _seconds(most: Number) -> st.SearchStrategy[float]:
    return st.integers(0, min(int(most / _TICK), 40)).map(lambda ticks: ticks * _TICK)


def _report_state(state: object) -> str:
    if isinstance(state, str) and is_report(state):
        return state
    message = (
        f"Expected PROGRESS or a state of your own, such as UPLOADING, but got {state!r} from"
        " report_states"
    )
    raise InvalidArgument(message)


class _Kept(NamedTuple):
    """What somebody asks of sequences: strategies of their parts."""

    sizes: tuple[int, int]
    given: bool
    described: bool | None
    totals: st.SearchStrategy[Number | None]
    ends: st.SearchStrategy[str | None]
    started: st.SearchStrategy[bool]
    retries: st.SearchStrategy[list[int]] | None
    seconds: st.SearchStrategy[float]
    texts: st.SearchStrategy[str]
    several: bool
    states: st.SearchStrategy[str]
    extras: st.SearchStrategy[dict[str, Any]]


class _Step(NamedTuple):
    """A report, before the positions are put in order.

    Attributes:
        state: Its state.
        position: How far it has come; None if it does not tell.
        after: Seconds since the last write.
        text: Its description, if it has one.
        extra: More keys of its meta.
    """

    state: str
    position: Number | None
    after: float
    text: str
    extra: dict[str, Any]


@st.composite
def _written(draw: st.DrawFn, kept: _Kept) -> ProgressSequence:
    # What says what there is comes first, and details last, so that an example can lose a detail
    # and stay what it is.
    total, end, started = draw(kept.totals), draw(kept.ends), draw(kept.started)
    far = positions(0, total)
    least, largest = kept.sizes
    bare = st.builds(_step, kept.states, far) if kept.several else far.map(_progress)
    steps = draw(st.lists(bare, min_size=least, max_size=largest))
    retries = draw(kept.retries) if kept.retries is not None else []
    shape = shape_of(draw, total, given=kept.given, described=kept.described)
    steps = [_detailed(draw, kept, shape, each) for each in steps]
    writes: list[Write] = []
    attempts = _attempts(steps, retries)
    for number, own in enumerate(attempts, 1):
        final = number == len(attempts)
        if started:
            # A retry takes its countdown.
            writes.append(Write(STARTED, after=_pause(draw, kept, shape) if writes else 0.0))
        told = _told(shape, total, own, complete=final and end == SUCCESS)
        writes += told
        state = end if final else RETRY
        if state is not None:
            value = value_of(draw, state, told[-1].value if told else None)
            writes.append(Write(state, value, after=_pause(draw, kept, shape)))
    return ProgressSequence(*writes)


def _progress(position: Number) -> _Step:
    return _step(PROGRESS, position)


def _step(state: str, position: Number) -> _Step:
    return _Step(state, position, 0.0, "", {})


def _detailed(draw: st.DrawFn, kept: _Kept, shape: Shape, step: _Step) -> _Step:
    pauses = shape.pauses and draw(_seldom) == _SELDOM
    return _Step(
        step.state,
        None if pauses else step.position,
        _pause(draw, kept, shape),
        draw(kept.texts) if shape.described else "",
        draw(kept.extras) if shape.extra else {},
    )


_SELDOM: Final = 3
_seldom: Final = st.integers(0, _SELDOM)


def _pause(draw: st.DrawFn, kept: _Kept, shape: Shape) -> float:
    return draw(kept.seconds) if shape.takes_time else 0.0


def _attempts(steps: list[_Step], retries: list[int]) -> list[list[_Step]]:
    """The reports of each attempt."""
    bounds = [0, *sorted(min(each, len(steps)) for each in retries), len(steps)]
    return [steps[begin:end] for begin, end in pairwise(bounds)]


def _told(
    shape: Shape, total: Number | None, steps: Sequence[_Step], *, complete: bool
) -> list[Write]:
    """The reports of one attempt: each state of the user's own is a bar of its own."""
    telling = [at for at, each in enumerate(steps) if each.position is not None]
    reached: list[Number | None] = [None] * len(steps)
    for state in dict.fromkeys(each.state for each in steps):
        bar = [at for at in telling if steps[at].state == state]
        rising = sorted(steps[at].position or 0 for at in bar)
        for at, far in zip(bar, rising, strict=True):
            reached[at] = far
    if complete and total is not None and telling:
        # The last one that tells how far: whoever watches sees it at 100 %.
        reached[telling[-1]] = total
    writes: list[Write] = []
    elapsed = 0.0
    for at, (each, position) in enumerate(zip(steps, reached, strict=True)):
        elapsed += each.after
        shaped = replace(shape, keys=()) if position is None else shape
        known = None if shape.learns and at == 0 else total
        meta = meta_of(shaped, position or 0, known, text=each.text, elapsed=elapsed)
        writes.append(Write(each.state, {**meta, **each.extra}, after=each.after))
    return writes


@lazily
def histories(
    *, min_tasks: int = 1, max_tasks: int = 3, sequences: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[ProgressSequence]:
    """What several tasks write beside each other: the sequence of each, in one history.

    The smallest is one task that returns. Each task keeps the contract if its sequence does.

    Args:
        min_tasks: How many tasks at least.
        max_tasks: How many at most.
        sequences: What one of them writes; None: `progress_sequences(max_size=5)`.
    """
    check_size(min_tasks, "min_tasks")
    check_size(max_tasks, "max_tasks")
    check_interval(min_tasks, max_tasks, "tasks")
    check_strategy(sequences, "sequences")
    each = progress_sequences(max_size=5) if sequences is None else sequences
    return _together(st.lists(each, min_size=min_tasks, max_size=max_tasks))


@st.composite
def _together(draw: st.DrawFn, several: st.SearchStrategy[list[Any]]) -> ProgressSequence:
    waiting: list[list[tuple[float, Write]]] = []
    for number, sequence in enumerate(draw(several), 1):
        if not isinstance(sequence, ProgressSequence):
            message = f"Expected ProgressSequence but got {sequence!r} from sequences"
            raise InvalidArgument(message)
        own = [replace(each, task=f"task-{number}") for each in sequence.writes]
        waiting.append([(one.at, each) for one, each in zip(sequence, own, strict=True)])
    waiting = [each for each in waiting if each]
    writes: list[Write] = []
    now = 0.0
    while waiting:
        # Of those that write at the same time any may be first.
        first = min(each[0][0] for each in waiting)
        ready = [each for each in waiting if each[0][0] == first]
        chosen = ready[draw(st.integers(0, len(ready) - 1))] if len(ready) > 1 else ready[0]
        at, write = chosen.pop(0)
        writes.append(replace(write, after=at - now))
        now = at
        waiting = [each for each in waiting if each]
    return ProgressSequence(*writes)
