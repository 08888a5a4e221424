"""Checking those who read progress: views, serializers, bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from pytest_taskprogress.checks.subjects import Subject
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import History
from pytest_taskprogress.properties.consuming.answers import Extract, Questions
from pytest_taskprogress.properties.consuming.playback import Playback, ResultsApp
from pytest_taskprogress.properties.consuming.results import history_of, results_of
from pytest_taskprogress.properties.consuming.watching import (
    FAULTS,
    ConsumerFailed,
    Polling,
    Reader,
    Watch,
)
from pytest_taskprogress.strategies import histories, progress_sequences

__all__ = ["check_consumer"]


def check_consumer(
    fn: Callable[..., Any],
    *,
    sequences: SearchStrategy[Any] | Iterable[Subject] | None = None,
    groups: bool = False,
    percent: Extract | None = None,
    ended: Extract | None = None,
    torn: bool | None = None,
    vanishing: bool | None = None,
    keep: bool | None = None,
    per_sequence: bool = False,
    allow: Iterable[str] = (),
    max_examples: int | None = None,
    app: Any = None,
) -> None:
    """Check somebody who reads progress: a view, a serializer, a progress bar.

    ::

        def test_progress_view(client):
            check_consumer(lambda result: client.get(f"/progress/{result.id}").json(), app=app)

    The reader is called at every moment of what tasks may write, with a real result: of tasks that
    retry, fail, are aborted or revoked; of an Observer's reports, and of those that others pass to
    `update_state`; with any total, 0 and None among them. Its faults are

    * `raises`: it raises;
    * `bounds`: its percentage is not one of 0 to 100, nor None;
    * `backwards`: its percentage falls, and no other attempt of the task began, and its record is
      not gone;
    * `early`: it says that the task has ended, which has not;
    * `endless`: it says that the task has not ended, which has. Who answers a number alone says it
      by 100, of a task that has succeeded.

    What it answers may be a number, a mapping or an object with `percent` (or `progress`, with a
    `percent` in it) and `ended`, `complete`, `done` or the like; also one of the two.

    Args:
        fn: Takes a result, and answers.
        sequences: What tasks write: a strategy, or some histories of your own; None: all that keeps
            the contract.
        groups: Whether it reads the progress of groups, and takes a GroupResult.
        percent: Takes the percentage, 0 to 100 or None, from an answer.
        ended: Takes from it whether it says that the task has ended.
        torn: Whether tasks write while they are read; see `as_results`. None: some do.
        vanishing: Whether records are gone at the end. None: some are.
        keep: Whether it gets the same result object at each poll. None: some do.
        per_sequence: Whether `fn` takes nothing, and makes the reader of one sequence: one that
            remembers what it has shown.
        allow: Faults that are none of this reader, by name: to look for others.
        max_examples: How many sequences; None: as many as Hypothesis is set to.
        app: To whose backend it is written: for readers that make results of ids. None: an app of
            its own, whose results know ABORTED.

    Raises:
        ConsumerFailed: With the smallest sequence at which it fails, as code.
        Unanswered: If there is nothing to be found in an answer: give `percent` or `ended`.
        hypothesis.errors.InvalidArgument: If `sequences` is none, or empty, or of several tasks
            where `groups` is False.
        TypeError: If `fn` cannot be called.
        ValueError: If there is no such fault in `allow`.
    """
    __tracebackhide__ = True
    if not callable(fn):
        message = f"check_consumer() takes a function of a result, got {as_repr(fn)}"
        raise TypeError(message)
    allowed = frozenset([allow] if isinstance(allow, str) else allow)
    if not allowed <= FAULTS:
        message = (
            f"the faults of readers are {', '.join(sorted(FAULTS))}, got allow={as_repr(allow)}"
        )
        raise ValueError(message)
    questions = Questions(percent, ended)
    shared: Any = ResultsApp() if app is None else app
    limits = _limits(max_examples)

    def check(sequence: Any, polling: Polling) -> None:
        __tracebackhide__ = True
        reader = Reader(
            _name(fn),
            groups=groups,
            per_sequence=per_sequence,
            arguments=polling.code + ("" if app is None else ", app=app"),
            allowed=allowed,
        )
        read = fn() if per_sequence else fn
        history = history_of(sequence)
        playback = Playback(history, shared, torn=polling.torn, vanishing=polling.vanishing)
        if len(playback.ids) > 1 and not groups:
            message = f"Cannot have several tasks in sequences without groups=True: {sequence!r}"
            raise InvalidArgument(message)
        watch = Watch(reader, sequence, playback)
        try:
            for result in results_of(playback, group=groups, keep=polling.keep):
                watch.poll(read, result, questions)
        finally:
            if app is None:
                shared.backend.clear()

    # By its name Hypothesis keeps what failed, for this reader and no other.
    check.__name__ = check.__qualname__ = f"check_consumer_{_name(fn)}"
    drawn = st.builds(Polling, *map(_choice, (torn, vanishing, keep)))
    run = limits(given(sequence=_drawn(sequences, groups=groups), polling=drawn)(check))
    try:
        run()
    except ConsumerFailed as failed:
        # Of this package and of Hypothesis there is nothing to be seen: the test is what failed.
        raise failed.with_traceback(None)  # noqa: B904 - the same one, with its cause


def _limits(max_examples: int | None) -> settings:
    known = settings()
    # What it would explain is which lines of this package were run.
    phases = [each for each in known.phases if each is not Phase.explain]
    return settings(
        known,
        max_examples=known.max_examples if max_examples is None else max_examples,
        phases=phases,
        deadline=None,
        report_multiple_bugs=False,
    )


def _choice(value: bool | None) -> SearchStrategy[bool]:
    return st.booleans() if value is None else st.just(bool(value))


def _drawn(
    sequences: SearchStrategy[Any] | Iterable[Subject] | None, *, groups: bool
) -> SearchStrategy[Any]:
    if sequences is None:
        if groups:
            return histories(
                sequences=progress_sequences(max_size=3, aborts=True, retries=1), max_tasks=3
            )
        # One state each: of several each is a bar of its own.
        return progress_sequences(aborts=True, retries=2) | progress_sequences(
            aborts=True, retries=2, report_states=st.just("UPLOADING")
        )
    if isinstance(sequences, SearchStrategy):
        return sequences
    given_one = isinstance(sequences, (str, History)) or not hasattr(sequences, "__iter__")
    known = [] if given_one else list(sequences)
    if not known:
        message = (
            f"Expected a strategy, or a list of histories that is not empty, but got"
            f" sequences={as_repr(sequences)}"
        )
        raise InvalidArgument(message)
    return st.sampled_from(known)


def _name(fn: Any) -> str:
    name = getattr(fn, "__name__", None) or type(fn).__name__
    return "reader" if name == "<lambda>" else str(name)
