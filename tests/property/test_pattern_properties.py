"""Patterns agree with Python's `re`, a letter a state, and look at each transition once."""

from __future__ import annotations

import itertools
import re

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pytest_taskprogress.checks.automaton import Automaton
from pytest_taskprogress.checks.items import Items
from pytest_taskprogress.checks.matchers import state
from pytest_taskprogress.checks.patterns import compile_pattern
from pytest_taskprogress.core.transitions import Transition

EXAMPLES = settings().max_examples

STATES = {"a": "STARTED", "b": "PROGRESS", "c": "UPLOADING"}
LETTERS = {
    letter: Transition(0, "task", "add", "1", "PENDING", name) for letter, name in STATES.items()
}

#: Every history of at most four transitions.
WORDS = ["".join(word) for length in range(5) for word in itertools.product("abc", repeat=length)]
HISTORIES = {word: [LETTERS[letter] for letter in word] for word in WORDS}


@st.composite
def counts(draw):
    """An operator that repeats."""
    least = draw(st.integers(0, 2))
    most = least + draw(st.integers(0, 2))
    counted = ["{%d}" % least, "{%d,}" % least, "{,%d}" % most, "{%d,%d}" % (least, most)]  # noqa: UP031
    return draw(st.sampled_from(["*", "+", "?", *counted]))


def joined(parts, space):
    """Parts one after the other; two names, and two dots, need a space between them."""
    text = ""
    for part, _ in parts:
        together = (text[-1:].isalnum() and part[0].isalnum()) or text[-1:] == part[0] == "."
        text += (space or " " * together) + part
    return text


def groups(parts):
    """A pattern in both languages: of parts, each of which can be repeated."""
    sequences = st.lists(parts, max_size=3)
    spaces = st.sampled_from(["", " ", "\n  "])
    repeated = st.tuples(parts, counts()).map(
        lambda it: (f"({it[0][0]}{it[1]})", f"(?:{it[0][1]}{it[1]})")
    )
    branched = st.tuples(st.lists(sequences, min_size=1, max_size=3), spaces).map(
        lambda it: (
            f"({'|'.join(joined(each, it[1]) for each in it[0])})",
            f"(?:{'|'.join(''.join(theirs for _, theirs in each) for each in it[0])})",
        )
    )
    return repeated | branched


leaves = st.sampled_from([*((name, letter) for letter, name in STATES.items()), (".", ".")])
patterns = st.recursive(leaves, groups, max_leaves=8)


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(patterns, st.lists(st.text("abc", min_size=5, max_size=9), max_size=3))
def test_verdicts_are_those_of_re(pattern, longer):
    """The same histories match: all of up to four transitions, and some longer ones."""
    ours, theirs = pattern
    compiled, expression = compile_pattern(ours), re.compile(theirs)
    matched = 0
    for word in [*WORDS, *longer]:
        history = HISTORIES.get(word) or [LETTERS[letter] for letter in word]
        verdict = bool(compiled.match(history))
        assert verdict is bool(expression.fullmatch(word)), (ours, theirs, word)
        matched += verdict
    event("matches some" if matched else "matches none")


@settings(max_examples=EXAMPLES, deadline=None)
@given(patterns, st.text("abc", max_size=9))
def test_a_mismatch_is_where_the_last_way_ends(pattern, word):
    """Up to `at` there is a way on, as `expected` says; with the transition at it there is none."""
    compiled, history = compile_pattern(pattern[0]), [LETTERS[letter] for letter in word]
    match = compiled.match(history)
    if match:
        assert match.at is None
        return
    assert 0 <= match.at <= len(word)
    # What was fine so far goes wrong later, if at all.
    for length in range(match.at):
        assert compiled.match(history[:length]).at in {None, length}
    if match.at < len(word):
        assert compiled.match(history[: match.at + 1]).at == match.at
        assert STATES[word[match.at]] not in match.expected
        assert "any state" not in match.expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from([*STATES.values(), ...]), max_size=6), st.text("abc", max_size=8))
def test_lists_and_matchers_say_the_same(items, word):
    """A list of names, the same of `state()`, and the str with `.*` for `...`, all agree."""
    history = [LETTERS[letter] for letter in word]
    text = " ".join(".*" if each is ... else each for each in items)
    matchers = [each if each is ... else state(each) for each in items]
    verdicts = {bool(compile_pattern(each).match(history)) for each in (text, items, matchers)}
    assert len(verdicts) == 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(patterns, st.text("abc", max_size=30))
def test_no_transition_costs_more_than_the_pattern(pattern, word):
    """Steps are bounded by transitions times instructions: nothing is tried again."""
    items = Items()
    program = items.of_text(pattern[0])
    automaton = Automaton(program)
    node, before = automaton.start, automaton.steps
    numbers = {item.name: number for number, item in enumerate(items.items)}
    for letter in word:
        letter_ = (numbers[STATES[letter]],) if STATES[letter] in numbers else ()
        node.next.clear()  # as if nothing could be kept
        node = automaton.after(node, letter_)
    edges = sum(1 if isinstance(each, int) else len(each) for each in program)
    assert automaton.steps - before <= len(word) * (2 * len(program) + edges + 1)
