"""Watching somebody who reads progress: what is answered at each poll, and what is wrong in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pytest_taskprogress.core.failed import CheckFailed
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.sequence import ProgressSequence, Write
from pytest_taskprogress.core.states import ABORTED
from pytest_taskprogress.core.transitions import History
from pytest_taskprogress.properties.consuming.answers import Answer, Questions, Unanswered
from pytest_taskprogress.properties.consuming.playback import Playback, Truth
from pytest_taskprogress.properties.consuming.results import history_of

__all__ = ["FAULTS", "ConsumerFailed", "Polling", "Reader", "Watch"]

#: What is expected of a reader, by the fault of one that does not keep it.
_EXPECTED: Final = {
    "raises": "an answer to whatever is stored",
    "bounds": "a number between 0 and 100, or None",
    "backwards": "a percentage that does not fall while an attempt goes on, nor at its end",
    "early": "no end before there is one: people stop polling",
    "endless": "an end, or people poll for ever; a number says it by 100, once it has succeeded",
}
#: Their names.
FAULTS: Final = frozenset(_EXPECTED)

#: What sums of floats are off by.
_NOISE: Final = 1e-6
_FULL: Final = 100.0


class ConsumerFailed(CheckFailed):
    """A reader of progress does not do what its users take for granted.

    Attributes:
        fault: `"raises"`, `"bounds"`, `"backwards"`, `"early"` or `"endless"`.
        sequence: What the task, or the group, wrote.
        answers: What the reader answered at each poll; without the last if that raised.
    """

    fault: str = ""
    sequence: History = History()
    answers: tuple[Any, ...] = ()


class Polling(NamedTuple):
    """How somebody polls.

    Attributes:
        torn: Whether the task writes between two reads.
        vanishing: Whether the record is gone at the end.
        keep: Whether it is one result object.
    """

    torn: bool = False
    vanishing: bool = False
    keep: bool = False

    @property
    def code(self) -> str:
        """The arguments of `as_results`."""
        return "".join(f", {name}=True" for name, on in self._asdict().items() if on)


class _Poll(NamedTuple):
    """One poll, and what was answered.

    Attributes:
        number: Which one, from 1.
        before: How many writes there were before it.
        after: How many there were after it.
        answer: The answer; an empty one if there was an error.
    """

    number: int
    before: int
    after: int
    answer: Answer

    def __str__(self) -> str:
        answer = "the error" if self.answer == Answer() else as_repr(self.answer.given)
        when = _after(self.before)
        if self.before != self.after:
            when = f"begun {when}, answered {_after(self.after)}"
        return f"Poll {self.number}, {when}: {answer}"


def _after(written: int) -> str:
    return f"after write {written}" if written else "before the first write"


@dataclass(frozen=True)
class Reader:
    """Who reads, as far as its messages need it.

    Attributes:
        name: What it is called.
        groups: Whether it reads results of groups.
        per_sequence: Whether it is made for each sequence.
        arguments: Those of `as_results`, as code.
        allowed: Faults that are none of this one.
    """

    name: str
    groups: bool = False
    per_sequence: bool = False
    arguments: str = ""
    allowed: frozenset[str] = frozenset()

    def code(self, sequence: Any) -> Iterator[str]:
        """Lines of code that let it read a sequence once more."""
        function = "as_group_results" if self.groups else "as_results"
        code = repr(_written(sequence))
        names = "ProgressSequence, Write" if "Write(" in code else "ProgressSequence"
        yield f"from pytest_taskprogress.properties import {function}"
        yield f"from pytest_taskprogress.strategies import {names}"
        yield ""
        yield f"sequence = {code}"
        if self.per_sequence:
            yield f"reader = {self.name}()"
        yield f"for result in {function}(sequence{self.arguments}):"
        yield f"    print({'reader' if self.per_sequence else self.name}(result))"


def _written(sequence: Any) -> ProgressSequence:
    """A sequence whose `repr` is code."""
    if isinstance(sequence, ProgressSequence):
        return sequence
    writes: list[Write] = []
    now = 0.0
    for each in history_of(sequence):
        value = (each.meta or None) if each.result is None else each.result
        writes.append(Write(each.state, value, max(each.at - now, 0.0), each.uuid or "task-1"))
        now = each.at
    return ProgressSequence(*writes)


@dataclass
class Watch:
    """What a reader has answered of one sequence.

    Attributes:
        reader: Who reads.
        sequence: What is written.
        playback: Who writes it.
    """

    reader: Reader
    sequence: Any
    playback: Playback

    def __post_init__(self) -> None:
        self.polls: list[_Poll] = []
        #: The last one that had a percentage.
        self._shown: _Poll | None = None

    def poll(self, read: Callable[[Any], Any], result: Any, questions: Questions) -> None:
        """Let it read, and judge what it answers.

        Raises:
            ConsumerFailed: If something is wrong.
            Unanswered: If there is nothing to be found in the answer.
        """
        __tracebackhide__ = True
        number = len(self.polls) + 1
        try:
            answer = questions.of(read(result))
        except Unanswered:
            raise
        except Exception as error:
            if "raises" in self.reader.allowed:
                return
            poll = _Poll(number, self.playback.first, self.playback.written, Answer())
            headline = f"{self.reader.name} raised {type(error).__name__}: {as_text(error)}"
            before = self.polls[-1:]
            raise self._failed(headline, "raises", *before, poll) from error
        poll = _Poll(number, self.playback.first, self.playback.written, answer)
        self.polls.append(poll)
        for fault, headline, others in self._faults(poll):
            if fault not in self.reader.allowed:
                raise self._failed(headline, fault, *others, poll)

    def _faults(self, poll: _Poll) -> Iterator[tuple[str, str, list[_Poll]]]:
        """What is wrong with an answer: the fault, in words, and by which other polls."""
        name, (percent, ended) = self.reader.name, (poll.answer.percent, poll.answer.ended)
        fits = percent is None or _is_percent(percent)
        if not fits:
            yield "bounds", f"{name} answered percent={as_repr(percent)}", []
            percent = None
        shown, self._shown = self._shown, self._shown if percent is None else poll
        if shown is not None and percent is not None and self._has_fallen(shown, percent):
            fall = f"{percent:.8g} % after {shown.answer.percent:.8g} %"
            yield "backwards", f"{name} went backwards: {fall}", [shown]
        before, now = self.playback.before, self.playback.now
        tasks = frozenset(self.playback.ids)
        if now.vanished or not tasks:
            return
        what = "the group" if self.reader.groups else "the task"
        if ended and not self._may_have_ended(now, tasks):
            yield "early", f"{name} said that {what} has ended, and it has not", []
        if tasks == before.over and ended is False:
            yield "endless", f"{name} said that {what} has not ended, and it has", []
        if tasks == before.succeeded and ended is None and fits and (percent or 0) < _FULL - _NOISE:
            headline = f"{name} answered percent={percent!r} when {what} had succeeded"
            yield "endless", headline, []

    def _has_fallen(self, shown: _Poll, percent: Any) -> bool:
        began = self.playback.truth(shown.before).begun != self.playback.now.begun
        return not began and bool(percent < shown.answer.percent - _NOISE)

    def _may_have_ended(self, now: Truth, tasks: frozenset[str]) -> bool:
        # One that failed may be the end of a group: that is a policy. So it is to take ABORTED of
        # Celery's own class, which is a request, for the end.
        written = self.playback.history[: self.playback.written]
        asked = any(each.state == ABORTED for each in written)
        return tasks == now.over or bool(now.over - now.succeeded) or asked

    def _failed(self, headline: str, fault: str, *polls: _Poll) -> ConsumerFailed:
        written, history = self.playback.written, self.playback.history
        code = "\n".join(f"    {line}".rstrip() for line in self.reader.code(self.sequence))
        failed = ConsumerFailed(
            headline,
            expected=_EXPECTED[fault],
            transitions=history,
            at=(min(written, len(history)) - 1,) if written and history else (),
            allow="\n\n".join(
                [
                    "\n".join(map(str, polls)),
                    f"To see it again:\n\n{code}",
                    f'To go on without it: check_consumer(..., allow=["{fault}"])',
                ]
            ),
        )
        failed.fault, failed.sequence = fault, history
        failed.answers = tuple(each.answer.given for each in self.polls)
        return failed


def _is_percent(value: Any) -> bool:
    try:
        return math.isfinite(value) and -_NOISE <= value <= _FULL + _NOISE
    except (TypeError, ValueError, OverflowError):
        return False
