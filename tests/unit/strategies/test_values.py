"""Strategies of states, messages, positions and metas: what they give, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import Progress
from pytest_taskprogress.core.states import KNOWN_STATES, TERMINAL_STATES
from pytest_taskprogress.strategies import messages, metas, progress_values, states
from pytest_taskprogress.strategies.shapes import RESERVED
from tests.unit.strategies.finding import all_of

#: Few examples are enough for what is drawn often.
_FEW = settings(
    database=None,
    max_examples=200,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
)


def smallest(strategy, condition=lambda _: True):
    """What a failing example shrinks to, if all fail for which a condition is true."""
    return find(strategy, condition, settings=_FEW)


def test_states_are_all_that_there_are():
    """Each known state is drawn, and some that a user might have."""
    drawn = set(all_of(states(), examples=500))
    assert drawn > KNOWN_STATES
    assert "UPLOADING" in drawn


@pytest.mark.parametrize(
    ("terminal", "expected"), [(True, TERMINAL_STATES), (False, KNOWN_STATES - TERMINAL_STATES)]
)
def test_states_may_be_those_that_end_a_task_or_not(terminal, expected):
    """A state of a user's own does not end a task."""
    assert set(all_of(states(terminal=terminal, custom=False), examples=300)) == expected
    assert not set(all_of(states(terminal=False), examples=100)) & TERMINAL_STATES


@pytest.mark.parametrize("given", [{"terminal": 3}, {"terminal": "SUCCESS"}, {"custom": None}])
def test_states_of_no_kind(given):
    """What is no bool is refused, not taken for one."""
    with pytest.raises(InvalidArgument, match=f"Expected bool but got {next(iter(given))}="):
        states(**given).validate()


def test_messages_are_also_what_is_hard_to_show():
    """Among them is each kind of text that has broken somebody's front end."""
    drawn = all_of(messages(), examples=1_000)
    awkward = ("%", "\x1b", "\0", "\n", "<", "{", "\u202e", "\u200b", "👩", "x" * 1_000)
    assert [each for each in awkward if not any(each in message for message in drawn)] == []


def test_a_message_shrinks_to_what_matters_of_it():
    """An example that fails for one character is that character."""
    assert smallest(messages()) == ""
    assert smallest(messages(), lambda message: "%" in message) == "%"


def test_messages_have_no_surrogates():
    """They can be encoded: no front end would ever get the others."""

    @given(messages())
    def can_be_encoded(message):
        assert message.encode().decode() == message

    can_be_encoded()


@given(st.data(), st.sampled_from((0, 3, 2.5)), st.sampled_from((0, 1, 4.5)))
def test_a_progress_is_within_its_bounds(data, least, more):
    """It is one that `Progress` takes, between the bounds and up to the total."""
    drawn = data.draw(progress_values(min_value=least, max_value=least + more))
    assert least <= drawn.current <= least + more
    assert Progress(drawn.current, drawn.total, drawn.elapsed) == drawn


def test_a_progress_shrinks_to_the_beginning():
    """Of one item none is done."""
    assert smallest(progress_values()) == Progress(0, 1)
    assert smallest(progress_values(total=None)) == Progress(0, None)
    assert smallest(progress_values(min_value=5)) == Progress(5, 5)


@given(st.data(), st.sampled_from((None, 0, 12, 2.5)))
def test_metas_have_the_total_that_is_asked_for(data, total):
    """If one is given, it is there."""
    assert data.draw(metas(total=total))["total"] == total
    assert data.draw(metas(total=st.just(total)))["total"] == total


def test_metas_are_of_many_shapes():
    """An Observer's, celery-progress', a percentage alone, a position without a total, nothing."""
    shapes = {tuple(each) for each in all_of(metas(extra=st.just({})).map(_keys), examples=1_000)}
    assert ("percent",) in shapes
    assert ("current",) in shapes
    assert () in shapes
    assert ("pending", "description", "current", "total", "percent", "elapsed") in shapes
    assert ("pending", "description", "current", "total", "percent") in shapes


def _keys(meta):
    return tuple(meta)


def test_metas_may_have_more_keys():
    """They are those that are asked for, or some that mean nothing."""
    assert smallest(metas(), lambda meta: set(meta) - RESERVED) == {"percent": 0.0, "file": None}
    own = st.just({"rows": 3})
    assert smallest(metas(extra=own), lambda meta: "rows" in meta) == {"percent": 0.0, "rows": 3}


def test_a_meta_shrinks_to_a_percentage():
    """The smallest is one key."""
    assert smallest(metas()) == {"percent": 0.0}
    assert smallest(metas(total=3)) == {"current": 0, "total": 3}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (messages(min_size=-1), "Invalid size min_size=-1 < 0"),
        (messages(max_size=2.5), "Expected int but got max_size=2.5"),
        (messages(min_size=3, max_size=2), "Cannot have max_size=2 < min_size=3"),
        (metas(total="many"), "Expected a finite number of 0 or more but got total='many'"),
        (metas(total=float("nan")), "but got total=nan"),
        (metas(total=True), "but got total=True"),
        (metas(messages="x"), r"Expected a SearchStrategy but got messages='x'.*just\('x'\)"),
        (metas(extra=[{}]), r"did you mean sampled_from\(\[\{\}\]\)"),
        (metas(messages=str), r"did you mean from_type\(str\)"),
        (progress_values(min_value=3, max_value=2), "Cannot have max_value=2 < min_value=3"),
        (progress_values(min_value=3, total=2), "Cannot have total=2 < min_value=3"),
        (progress_values(max_value="x"), "but got max_value='x'"),
    ],
)
def test_what_cannot_be_is_an_error(strategy, message):
    """It is raised when the strategy is validated, and in a test: with the argument's name."""
    with pytest.raises(InvalidArgument, match=message):
        strategy.validate()

    @given(strategy)
    def draws(_):
        """Never run."""

    with pytest.raises(InvalidArgument, match=message):
        draws()


def test_a_total_from_a_strategy_is_checked_when_it_is_drawn():
    """A strategy that gives what is no total is an error too."""

    @given(metas(total=st.just(-1)))
    def draws(_):
        """Never run."""

    with pytest.raises(InvalidArgument, match="total=-1"):
        draws()


def test_an_argument_that_there_is_not_is_an_error_at_once():
    """As in any call."""
    with pytest.raises(TypeError, match="maximum"):
        messages(maximum=3)
    with pytest.raises(TypeError, match="positional"):
        metas(3)


def test_a_strategy_is_shown_as_the_call_that_made_it():
    """Before and after it was defined, and within others."""
    drawn = messages(max_size=3)
    assert repr(drawn) == "deferred(messages(max_size=3))"
    drawn.validate()
    assert repr(drawn) == "messages(max_size=3)"
    assert repr(st.lists(drawn)) == "lists(messages(max_size=3))"
