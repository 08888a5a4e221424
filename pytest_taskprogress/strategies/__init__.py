"""Hypothesis strategies: what a task may write, what it must not, and what may be done to it.

::

    from hypothesis import given
    from pytest_taskprogress.strategies import progress_sequences

    @given(progress_sequences(retries=2, aborts=True))
    def test_the_bar(sequence): ...
"""

from __future__ import annotations

from pytest_taskprogress.core.sequence import ProgressSequence, Write
from pytest_taskprogress.strategies.arguments import Arguments, task_arguments
from pytest_taskprogress.strategies.broken import Broken, broken_sequences
from pytest_taskprogress.strategies.moments import moments
from pytest_taskprogress.strategies.scenarios import events, scenarios, schedules
from pytest_taskprogress.strategies.sequences import histories, progress_sequences
from pytest_taskprogress.strategies.transitions import transitions
from pytest_taskprogress.strategies.values import messages, metas, progress_values, states

__all__ = [
    "Arguments",
    "Broken",
    "ProgressSequence",
    "Write",
    "broken_sequences",
    "events",
    "histories",
    "messages",
    "metas",
    "moments",
    "progress_sequences",
    "progress_values",
    "scenarios",
    "schedules",
    "states",
    "task_arguments",
    "transitions",
]
