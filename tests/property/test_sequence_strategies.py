"""Drawn sequences keep the contract, broken ones break one rule of it, and all of them are code."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_taskprogress import Progress, strategies
from pytest_taskprogress.checks import RULES, Contract
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import (
    EXCEPTION_STATES,
    RETRY,
    TERMINAL_STATES,
    Outcome,
    check_transition,
)
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.strategies import (
    broken_sequences,
    histories,
    messages,
    metas,
    progress_sequences,
    states,
    transitions,
)
from pytest_taskprogress.strategies.breaking import BREAKS

#: What the code of a drawn value needs.
NAMES = {
    **{name: getattr(strategies, name) for name in strategies.__all__},
    **{each.__name__: each for each in (AbortRequest, Progress, Start, Transition)},
}
#: Figures that a sequence keeps if nobody says that it should not.
GENEROUS = Contract().having(first_report=120, max_gap=120, write_budget=100, described=1)
#: A state of the user's own, or PROGRESS.
BARS = st.just("PROGRESS") | states(terminal=False).filter(
    lambda state: state not in {"PENDING", "RECEIVED", "STARTED", "RETRY"}
)
#: All that may happen to a task.
ANY = progress_sequences(aborts=True, retries=2, report_states=BARS)


def built(code):
    """What the code of a value makes."""
    return eval(code, dict(NAMES))  # noqa: S307 - that it is code is what is tested


def as_run(sequence, **known):
    """A sequence as a run that has ended."""
    return SimpleNamespace(
        **{
            "task_id": "task-1",
            "name": "task",
            "own": sequence,
            "history": sequence,
            "children": (),
            "aborts": (),
            "checks_after_abort": 0,
            "before": None,
            "starts": (Start(0.0, 0),),
            "ended": True,
            "notes": {},
            **known,
        }
    )


@settings(max_examples=settings().max_examples * 2)
@given(ANY)
def test_a_sequence_keeps_the_contract(sequence):
    """Whatever is drawn, however it ends: no rule that is on by default finds anything."""
    assert Contract().violations(sequence) == []


@given(progress_sequences(aborts=True))
def test_a_sequence_keeps_the_contract_as_a_run(sequence):
    """So it does where it is known that the task has ended, and when it began."""
    assert Contract().violations(as_run(sequence)) == []


@given(
    progress_sequences(
        max_size=4,
        retries=1,
        aborts=True,
        started=True,
        max_gap=2,
        messages=messages(max_size=20).map("rows {}".format),
    )
)
def test_a_sequence_keeps_the_figures_it_is_asked_for(sequence):
    """Its arguments are enough to keep each rule that goes by a figure."""
    strict = Contract().having(described=4, max_gap=2, first_report=2, write_budget=4)
    assert strict.violations(sequence) == []


@given(st.data(), st.integers(0, 4), st.integers(0, 4))
def test_a_sequence_has_as_many_reports_as_it_is_asked_for(data, least, more):
    """Not fewer than `min_size`, not more than `max_size`; attempts not more than asked for."""
    drawn = progress_sequences(min_size=least, max_size=least + more, retries=1, report_states=BARS)
    sequence = data.draw(drawn)
    assert least <= len(sequence.progress) <= least + more
    assert sequence.states.count(RETRY) <= 1


@given(st.data(), st.sampled_from((None, 0, 7, 2.5)))
def test_each_report_has_the_total_that_is_asked_for(data, total):
    """A given total is in each report, and a position within it."""
    sequence = data.draw(progress_sequences(total=total, min_size=1))
    for each in sequence.progress:
        assert each.meta["total"] == total
        assert each.meta["current"] >= 0
        assert total is None or each.meta["current"] <= total


@given(st.data(), st.sampled_from((*sorted(TERMINAL_STATES), None)))
def test_a_sequence_ends_as_it_is_asked_to(data, terminal):
    """It ends once, in that state, or has not ended."""
    sequence = data.draw(progress_sequences(terminal=terminal, retries=1))
    ended = [state for state in sequence.states if state in TERMINAL_STATES]
    assert ended == ([] if terminal is None else [terminal])
    assert terminal is None or sequence[-1].state == terminal


@given(ANY)
def test_each_step_of_a_sequence_is_one_that_a_task_may_take(sequence):
    """The table of legal steps has every one of them, and the backend drops none."""
    for each in sequence:
        assert check_transition(each.old_state, each.state) is Outcome.ALLOWED
        assert each.stored


@given(histories(max_tasks=3, sequences=progress_sequences(max_size=3, aborts=True, retries=1)))
def test_a_history_is_the_sequences_of_its_tasks(history):
    """Each task keeps the contract, and time does not go back."""
    assert Contract().violations(history) == []
    assert 1 <= len({each.uuid for each in history}) <= 3
    seconds = [each.at for each in history]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_sequence_breaks_its_rule_only(rule):
    """The contract finds that rule, first at the place that is said, and no other one."""

    @settings(max_examples=max(settings().max_examples // 2, 1))
    @given(broken_sequences(rule=rule))
    def breaks_it(broken):
        violations = GENEROUS.having(**broken.figures).violations(broken)
        assert {each.rule for each in violations} == {rule} == {broken.rule}
        first = violations[0].transition
        places = [at for at, each in enumerate(broken.history) if each is first]
        assert places == ([] if broken.at is None else [broken.at])

    breaks_it()


@given(broken_sequences())
def test_any_rule_may_be_broken(broken):
    """Without a rule it is one of all, and what it needs to be judged comes with it."""
    contract = Contract().having(**broken.figures)
    assert {each.rule for each in contract.violations(broken)} == {broken.rule}


@given(broken_sequences())
def test_a_history_alone_shows_most_of_them(broken):
    """What is not seen in the transitions is known of the run: how it ended, and its aborts."""
    if broken.rule not in {"terminal", "abort-honoured"}:
        contract = Contract().having(**broken.figures)
        rules = {each.rule for each in contract.violations(broken.history)}
        assert rules == {broken.rule}


def test_there_is_a_broken_sequence_for_each_rule():
    """A rule that is added is to be broken, too."""
    assert list(BREAKS) == list(RULES)


@given(ANY | histories())
def test_a_sequence_is_written_as_code(sequence):
    """Its repr builds an equal one."""
    again = built(repr(sequence))
    assert again == sequence
    assert repr(again) == repr(sequence)


@given(broken_sequences() | transitions() | strategies.progress_values())
def test_what_is_drawn_is_written_as_code(value):
    """So does that of what is broken, and of a single transition; NaN equals nothing."""
    assert repr(built(repr(value))) == repr(value)


@given(metas())
def test_a_meta_is_what_a_serialiser_carries(meta):
    """What a front end reads is what was reported."""
    assert json.loads(json.dumps(meta, allow_nan=False)) == meta


@given(metas(messages=messages(min_size=1)))
def test_a_meta_keeps_the_contract_by_itself(meta):
    """One report is within its bounds, and consistent."""
    assert Contract().violations([meta]) == []
    assert meta["description"]


@given(st.data(), st.sampled_from(Outcome))
def test_a_transition_means_what_it_is_asked_to(data, outcome):
    """What is dropped is marked as not stored."""
    each = data.draw(transitions(outcome=outcome))
    assert check_transition(each.old_state, each.state) is outcome
    assert each.stored is (outcome is not Outcome.IGNORED)


@given(messages(min_size=2, max_size=30))
def test_a_message_has_the_size_that_is_asked_for(message):
    """And can be encoded."""
    assert 2 <= len(message) <= 30
    assert message.encode()


def test_a_sequence_is_what_a_backend_would_have_stored(engine):
    """Written to the engine's backend, the same transitions are captured."""
    backend = engine.backend

    @given(ANY | histories(sequences=progress_sequences(max_size=3, retries=1)))
    def is_captured(sequence):
        engine.reset()
        for each, seen in zip(sequence.writes, sequence, strict=True):
            raised = each.state in EXCEPTION_STATES and isinstance(each.value, Exception)
            value = each.value if raised or not seen.meta else seen.meta
            backend.store_result(each.task, value, each.state, traceback=seen.traceback)
        for captured, drawn in zip(engine.history, sequence, strict=True):
            for name in ("index", "kind", "uuid", "old_state", "state", "meta", "result", "stored"):
                assert getattr(captured, name) == getattr(drawn, name), name
            assert captured.traceback == drawn.traceback

    is_captured()
