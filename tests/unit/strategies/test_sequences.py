"""Strategies of sequences and transitions: what they shrink to, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import Outcome
from pytest_taskprogress.core.states import ABORTED, FAILURE, RETRY, STARTED, SUCCESS, TRANSITIONS
from pytest_taskprogress.strategies import (
    Broken,
    ProgressSequence,
    Write,
    broken_sequences,
    histories,
    progress_sequences,
    transitions,
)

#: Few examples are enough for what is drawn often.
_FEW = settings(
    database=None,
    max_examples=200,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
)

#: What each rule's example shrinks to: as code.
SMALLEST = {
    "monotonic": "('PROGRESS', {'description': 'rows', 'percent': 100.0}),"
    " ('PROGRESS', {'description': 'rows', 'percent': 0.0}),"
    " ('PROGRESS', {'description': 'rows', 'percent': 100.0}), 'SUCCESS'",
    "bounded": "('PROGRESS', {'description': 'rows', 'current': 0, 'total': 0}), 'SUCCESS'",
    "complete": "('PROGRESS', {'description': 'rows', 'percent': 0.0}), 'SUCCESS'",
    "readable": "'FAILURE'",
    "terminal": "('PROGRESS', {'description': 'rows', 'percent': 0.0})",
    "no-zombie": "('FAILURE', ValueError('no such user')), ('SUCCESS', 1)",
    "abort-survives": "'ABORTED', 'SUCCESS'",
    "abort-honoured": "'SUCCESS'",
}


def smallest(strategy, condition=None):
    """What a failing example shrinks to, if all fail for which a condition is true."""
    if condition is None:
        return find(strategy, lambda _: True, settings=settings(_FEW, max_examples=20))
    return find(strategy, condition, settings=_FEW)


def test_the_smallest_sequence_is_a_task_that_returns():
    """Nothing is reported, and nothing returned."""
    assert smallest(progress_sequences()) == ProgressSequence("SUCCESS")
    assert smallest(progress_sequences(terminal=None)) == ProgressSequence()
    assert smallest(histories()) == ProgressSequence("SUCCESS")


def test_a_sequence_shrinks_to_what_matters_of_it():
    """Two reports are two reports, an abort is an abort, a retry a retry."""
    two = smallest(progress_sequences(), lambda each: len(each.progress) > 1)
    assert two == ProgressSequence(
        ("PROGRESS", {"percent": 0.0}), ("PROGRESS", {"percent": 100.0}), "SUCCESS"
    )
    aborted = smallest(progress_sequences(aborts=True), lambda each: each.states == [ABORTED])
    assert aborted == ProgressSequence(("ABORTED", {"pending": False}))
    again = smallest(progress_sequences(retries=2), lambda each: RETRY in each.states)
    assert again == ProgressSequence("RETRY", "SUCCESS")


def test_a_history_shrinks_to_tasks_one_after_the_other():
    """Without a reason they do not get mixed."""
    assert smallest(histories(min_tasks=2)) == ProgressSequence(
        "SUCCESS", Write("SUCCESS", task="task-2")
    )
    assert smallest(histories(min_tasks=0)) == ProgressSequence()


def test_tasks_are_mixed_where_they_write_at_the_same_time():
    """Every order is drawn that keeps the order of each."""
    started = progress_sequences(max_size=0, started=True)
    mixed = smallest(
        histories(min_tasks=2, max_tasks=2, sequences=started),
        lambda history: [each.uuid[-1] for each in history] == ["2", "1", "1", "2"],
    )
    assert [each.state for each in mixed] == [STARTED, STARTED, SUCCESS, SUCCESS]


def test_a_task_may_return_before_it_is_complete_only_if_it_did_not_tell():
    """A task whose total nobody knows succeeds wherever it is."""
    strategy = progress_sequences(total=None, terminal=SUCCESS, min_size=1)
    assert smallest(strategy, lambda each: each[-2].meta["current"]).states[-1] == SUCCESS


@pytest.mark.parametrize(
    "state", [RETRY, FAILURE], ids=["an attempt that failed", "a task that failed"]
)
@pytest.mark.parametrize("with_traceback", [True, False])
def test_what_was_raised_has_a_traceback_or_was_stored_by_hand(state, with_traceback):
    """Who reads it must do with and without one."""

    def is_it(sequence):
        return any(
            each.state == state and (each.traceback is not None) is with_traceback
            for each in sequence
        )

    assert smallest(progress_sequences(retries=1), is_it)


def test_reports_may_be_of_states_of_the_users_own():
    """Each is a bar of its own, which begins anew."""

    def falls(percents):
        return len(percents) == 2 and None not in percents and percents[1] < percents[0]

    bars = st.sampled_from(("DOWNLOADING", "IMPORTING"))
    strategy = progress_sequences(
        report_states=bars, terminal=FAILURE, total=1, min_size=2, max_size=2
    )
    found = smallest(strategy, lambda each: falls(each.percents))
    assert {each.state for each in found.progress} == {"DOWNLOADING", "IMPORTING"}


def test_long_sequences_are_drawn_without_a_health_check():
    """Hundreds of reports are not too large."""

    @settings(max_examples=5, phases=[Phase.generate], deadline=None)
    @given(progress_sequences(min_size=200, max_size=300))
    def draws(sequence):
        assert len(sequence.progress) >= 200

    draws()


@pytest.mark.parametrize(("rule", "code"), SMALLEST.items(), ids=SMALLEST)
def test_a_broken_sequence_shrinks_to_the_shortest(rule, code):
    """What is left is what breaks the rule."""
    assert f"({code})" in repr(smallest(broken_sequences(rule=rule)))


def test_a_broken_sequence_is_printed_a_line_each():
    """Hypothesis prints it as it prints a call, and not in one long line."""

    @settings(database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
    @given(broken_sequences(rule="complete"))
    def fails(broken):
        assert isinstance(broken, int)

    with pytest.raises(AssertionError) as caught:
        fails()
    printed = "\n".join(caught.value.__notes__)
    assert (
        "    broken=Broken(\n"
        "        ProgressSequence(\n"
        "            ('PROGRESS', {'description': 'rows', 'percent': 0.0}),\n"
        "            'SUCCESS'),\n"
        "        rule='complete',\n"
    ) in printed


def test_a_rule_may_be_named_as_its_argument_is():
    """Dashes may be underscores, as they are for a contract."""
    assert smallest(broken_sequences(rule="max_gap")).rule == "max-gap"


def test_a_broken_sequence_needs_only_what_is_not_the_default():
    """Its repr has no more than somebody would write."""
    broken = Broken(ProgressSequence("FAILURE"), "readable", 0)
    assert repr(broken) == "Broken(ProgressSequence('FAILURE'), rule='readable', at=0)"


def test_each_legal_step_can_be_drawn():
    """Every row of the table is one that the strategy gives, if it is asked for it."""
    for old, new in TRANSITIONS:
        transitions(old_state=old, state=new).validate()

    @settings(_FEW, phases=[Phase.generate])
    @given(st.data(), st.sampled_from(tuple(TRANSITIONS)))
    def draws(data, step):
        drawn = data.draw(transitions(old_state=step[0], state=step[1]))
        assert (drawn.old_state, drawn.state) == step

    draws()


def test_the_smallest_transition_is_a_task_that_returns():
    """From nothing stored to SUCCESS; over a SUCCESS it is dropped."""
    assert smallest(transitions()) == ProgressSequence("SUCCESS")[0]
    assert smallest(transitions(outcome=Outcome.IGNORED)).stored is False
    assert smallest(transitions(outcome=None)) == ProgressSequence("SUCCESS")[0]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (progress_sequences(min_size=None), "Expected int but got min_size=None"),
        (progress_sequences(min_size=2, max_size=1), "Cannot have max_size=1 < min_size=2"),
        (progress_sequences(retries=-1), "Invalid size retries=-1 < 0"),
        (progress_sequences(total=-1), "got total=-1"),
        (progress_sequences(terminal="PROGRESS"), "Expected one of ABORTED, FAILURE.*'PROGRESS'"),
        (progress_sequences(terminal=["SUCCESS"]), r"got terminal=\['SUCCESS'\]"),
        (
            progress_sequences(aborts=True, terminal="SUCCESS"),
            "Cannot have aborts=True with terminal='SUCCESS'",
        ),
        (
            progress_sequences(aborts=True, terminal=st.just("SUCCESS")),
            r"Cannot have aborts=True with terminal=just\('SUCCESS'\)",
        ),
        (progress_sequences(aborts="yes"), "Expected bool but got aborts='yes'"),
        (progress_sequences(started=1), "Expected bool but got started=1"),
        (progress_sequences(max_gap=-1), "got max_gap=-1"),
        (progress_sequences(messages=["x"]), "Expected a SearchStrategy but got messages="),
        (progress_sequences(report_states="X"), "Expected a SearchStrategy but got report_states"),
        (histories(min_tasks=3, max_tasks=2), "Cannot have max_tasks=2 < min_tasks=3"),
        (histories(sequences=[]), "Expected a SearchStrategy but got sequences="),
        (broken_sequences(rule="monotone"), "no rule 'monotone': did you mean 'monotonic'"),
        (broken_sequences(rule=3), "no rule 3: There are monotonic"),
        (transitions(state=3), "Expected the name of a state or None but got state=3"),
        (transitions(outcome="ALLOWED"), "Expected an Outcome or None but got outcome='ALLOWED'"),
        (
            transitions(old_state=SUCCESS, outcome=Outcome.ALLOWED),
            "Cannot have outcome=Outcome.ALLOWED with old_state='SUCCESS'",
        ),
    ],
)
def test_what_cannot_be_is_an_error(strategy, message):
    """It is no empty strategy: it says which argument, before anything is drawn."""
    with pytest.raises(InvalidArgument, match=message):
        strategy.validate()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (progress_sequences(terminal=st.just("DONE")), "got terminal='DONE'"),
        (progress_sequences(report_states=st.just("RETRY"), min_size=1), "got 'RETRY' from"),
        (histories(sequences=st.just(["SUCCESS"])), r"got \['SUCCESS'\] from sequences"),
    ],
)
def test_what_a_strategy_gives_is_checked_when_it_is_drawn(strategy, message):
    """A strategy that gives something else is an error in the test."""

    @given(strategy)
    def draws(_):
        """Never run."""

    with pytest.raises(InvalidArgument, match=message):
        draws()
