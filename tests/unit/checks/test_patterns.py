from __future__ import annotations

import enum
import threading
from typing import Any
from unittest import mock

import pytest

from pytest_taskprogress.checks import automaton
from pytest_taskprogress.checks.matchers import progress, state
from pytest_taskprogress.checks.patterns import Match, Pattern, compile_pattern
from pytest_taskprogress.core.states import KNOWN_STATES
from pytest_taskprogress.core.transitions import History, Transition


def history(states: str, **meta: Any) -> list[Transition]:
    """Transitions to these states; a name in brackets was dropped by the backend."""
    return [
        Transition(
            index, "task", "add", "1", "PENDING", name.strip("[]"), meta, stored=name[0] != "["
        )
        for index, name in enumerate(states.split())
    ]


def matched(pattern: Any, states: str) -> Match:
    """Match a pattern with a history of these states."""
    return compile_pattern(pattern).match(history(states))


# --- what matches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "states", "matches"),
    [
        ("", "", True),
        ("", "STARTED", False),
        (" \n", "", True),
        ("STARTED", "STARTED", True),
        ("STARTED", "STARTED STARTED", False),
        ("STARTED", "", False),
        ("STARTED PROGRESS* (SUCCESS|FAILURE)", "STARTED PROGRESS PROGRESS FAILURE", True),
        ("STARTED PROGRESS* (SUCCESS|FAILURE)", "STARTED SUCCESS", True),
        ("STARTED PROGRESS* (SUCCESS|FAILURE)", "STARTED PROGRESS", False),
        ("PROGRESS+", "PROGRESS PROGRESS", True),
        ("PROGRESS+", "", False),
        ("PROGRESS?", "", True),
        ("PROGRESS?", "PROGRESS PROGRESS", False),
        ("PROGRESS{2}", "PROGRESS PROGRESS", True),
        ("PROGRESS{2}", "PROGRESS", False),
        ("PROGRESS{2}", "PROGRESS PROGRESS PROGRESS", False),
        ("PROGRESS{1,2}", "PROGRESS", True),
        ("PROGRESS{ 1 , 2 }", "PROGRESS PROGRESS PROGRESS", False),
        ("PROGRESS{2,}", "PROGRESS PROGRESS PROGRESS", True),
        ("PROGRESS{2,}", "PROGRESS", False),
        ("PROGRESS{,1}", "", True),
        ("PROGRESS{,1}", "PROGRESS PROGRESS", False),
        ("PROGRESS{0}", "", True),
        ("PROGRESS{0}", "PROGRESS", False),
        ("STARTED.SUCCESS", "STARTED UPLOADING SUCCESS", True),
        ("STARTED.SUCCESS", "STARTED SUCCESS", False),
        (". . .", "STARTED UPLOADING SUCCESS", True),
        ("(STARTED)PROGRESS*SUCCESS", "STARTED PROGRESS SUCCESS", True),
        ("STARTED PROGRESS|SUCCESS", "STARTED PROGRESS", True),
        ("STARTED PROGRESS|SUCCESS", "SUCCESS", True),
        ("STARTED PROGRESS|SUCCESS", "STARTED SUCCESS", False),
        ("STARTED|", "", True),
        ("()", "", True),
        ("UPLOADING step-2 übertragen", "UPLOADING step-2 übertragen", True),
        ("uploading", "UPLOADING", False),
    ],
)
def test_the_language(pattern: str, states: str, matches: bool) -> None:  # noqa: FBT001
    """Each operator, from the first transition to the last."""
    assert bool(matched(pattern, states)) is matches


def test_what_the_backend_dropped_is_not_looked_at() -> None:
    """A pattern is about what was stored."""
    match = matched("STARTED SUCCESS", "STARTED SUCCESS [PROGRESS] [FAILURE]")
    assert match
    assert [each.state for each in match.transitions] == ["STARTED", "SUCCESS"]


def test_every_known_state_can_be_asked_for() -> None:
    """All that can be stored."""
    for name in KNOWN_STATES - {"PENDING"}:
        assert matched(name, name)


@pytest.mark.parametrize(
    ("pattern", "states", "matches"),
    [
        ([], "", True),
        ([], "STARTED", False),
        ([...], "", True),
        ([...], "STARTED SUCCESS", True),
        (["STARTED", ..., "SUCCESS"], "STARTED SUCCESS", True),
        (["STARTED", ..., "SUCCESS"], "STARTED PROGRESS SUCCESS PROGRESS SUCCESS", True),
        (["STARTED", ..., "SUCCESS"], "STARTED SUCCESS PROGRESS", False),
        (["STARTED", "PROGRESS*", "SUCCESS|FAILURE"], "STARTED PROGRESS PROGRESS FAILURE", True),
        ([["STARTED", ["PROGRESS"]], ()], "STARTED PROGRESS", True),
        (("STARTED", state("PROGRESS")), "STARTED PROGRESS", True),
        ([mock.ANY, mock.ANY], "STARTED PROGRESS", True),
        ([mock.ANY, mock.ANY], "STARTED", False),
        ([lambda each: each.state == "STARTED"], "STARTED", True),
        ([lambda each: each.state == "STARTED"], "PROGRESS", False),
        ([history("STARTED")[0], ...], "STARTED PROGRESS", True),
        (
            [..., progress(), "PROGRESS{2}", ...],
            "STARTED UPLOADING PROGRESS PROGRESS SUCCESS",
            True,
        ),
    ],
)
def test_lists(pattern: list[Any], states: str, matches: bool) -> None:  # noqa: FBT001
    """Names, `...`, matchers, objects with an `__eq__`, predicates, and lists of them."""
    assert bool(matched(pattern, states)) is matches


@pytest.mark.parametrize(
    "pattern", ["(a*)*", "()*", "(a?){0,1000}", "((a*)*|()*|(a|b?)+)*", "(){9}"]
)
def test_loops_around_nothing_end(pattern: str) -> None:
    """What can match nothing, any number of times."""
    assert matched(pattern, "")
    assert not matched(pattern, "a X")
    assert matched(f"{pattern} X", "X")


def test_a_thousand_brackets_deep() -> None:
    """No call a bracket."""
    assert matched("(" * 1_000 + "STARTED" + ")*" * 1_000, "STARTED STARTED")


def test_ten_thousand_names_long() -> None:
    """A pattern of what was recorded, written out."""
    states = " ".join(f"STEP{number}" for number in range(10_000))
    assert matched(states, states)
    assert matched(states.split(), states)


def test_a_history_is_a_sequence_of_transitions() -> None:
    """What a run has can be given as it is."""
    assert compile_pattern("STARTED SUCCESS").match(History(history("STARTED SUCCESS")))


def test_an_enum_of_names_is_a_pattern() -> None:
    """States that a project keeps in an Enum, in a list and alone."""

    class Step(str, enum.Enum):
        UPLOAD = "UPLOADING"

    assert matched(Step.UPLOAD, "UPLOADING")
    assert matched([Step.UPLOAD], "UPLOADING")


def test_patterns_are_compiled_once() -> None:
    """The same str, the same pattern; a pattern is one already."""
    pattern = compile_pattern("STARTED SUCCESS")
    assert compile_pattern("STARTED SUCCESS") is pattern
    assert compile_pattern(pattern) is pattern


def test_a_predicate_is_asked_once_about_a_transition() -> None:
    """Whatever the other items are, and however often there is a way to it."""
    asked: list[int] = []

    def any_report(each: Transition) -> bool:
        asked.append(each.index)
        return each.is_report

    assert matched([..., any_report, ..., "SUCCESS"], "STARTED PROGRESS PROGRESS SUCCESS")
    assert sorted(asked) == sorted(set(asked))


def test_threads_may_share_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while what it keeps is forgotten, all the time."""
    monkeypatch.setattr(automaton, "_ROOM", 3)
    pattern = Pattern("(STARTED|PROGRESS)* STARTED (STARTED|PROGRESS){3}")
    states = ["STARTED PROGRESS STARTED STARTED " * 20, "STARTED PROGRESS PROGRESS " * 20]
    verdicts: list[bool] = []

    def match() -> None:
        for each in map(history, states):
            verdicts.extend(bool(pattern.match(each)) for _ in range(5))

    threads = [threading.Thread(target=match) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [bool(Pattern(str(pattern)).match(history(each))) for each in states]
    assert expected == [True, False]
    assert verdicts.count(True) == verdicts.count(False) == 20


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes, and the ways between them, are forgotten when there are many."""
    monkeypatch.setattr(automaton, "_ROOM", 50)
    pattern = Pattern([..., *[lambda each, bit=bit: each.index >> bit & 1 for bit in range(8)]])
    pattern.match(history("PROGRESS " * 300))
    kept = [pattern._automaton.start, *pattern._automaton._nodes.values()]
    assert sum(1 + len(node.positions) + len(node.next) for node in kept) < 120


# --- what a match tells ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "states", "at", "expected", "got"),
    [
        ("STARTED PROGRESS* SUCCESS", "STARTED FAILURE", 1, "PROGRESS or SUCCESS", "FAILURE"),
        ("STARTED PROGRESS* SUCCESS", "STARTED PROGRESS", 2, "PROGRESS or SUCCESS", "the end"),
        ("STARTED SUCCESS", "STARTED SUCCESS FAILURE", 2, "the end", "FAILURE"),
        ("PROGRESS*", "PROGRESS SUCCESS", 1, "PROGRESS or the end", "SUCCESS"),
        ("A|B|C", "D", 0, "A, B or C", "D"),
        ("A|B|C|D|E|F", "X", 0, "A, B, C, D or 2 others", "X"),
        ("STARTED", "", 0, "STARTED", "nothing: no transition was stored"),
        (". SUCCESS", "", 0, "any state", "nothing: no transition was stored"),
        (".SUCCESS|X", "", 0, "X or any state", "nothing: no transition was stored"),
        ([..., "SUCCESS"], "STARTED", 1, "SUCCESS", "the end"),
        (
            [progress(1, 2)],
            "PROGRESS",
            0,
            "progress(1, 2)",
            "PROGRESS current=missing total=missing",
        ),
        (
            [state("SUCCESS", result=1)],
            "SUCCESS",
            0,
            "state('SUCCESS', result=1)",
            "SUCCESS result=None",
        ),
        ([progress(1)], "SUCCESS", 0, "progress(1)", "SUCCESS"),
        ("A", "a\x1b[0m", 0, "A", r"'a\x1b[0m'"),
    ],
)
def test_a_mismatch_says_where_and_what(
    pattern: Any, states: str, at: int, expected: str, got: str
) -> None:
    """The first transition that no way accepts, and what could have come there."""
    match = matched(pattern, states)
    assert not match
    assert (match.at, match.expected, match.got) == (at, expected, got)
    assert repr(match) == f"<no match at {at}: expected {expected}, got {got}>"


def test_a_match_says_of_what() -> None:
    """What pytest shows of `assert not run.matches(...)`."""
    match = matched("PROGRESS* SUCCESS", "PROGRESS SUCCESS")
    assert repr(match) == "<match of 'PROGRESS* SUCCESS'>"
    assert (match.at, match.expected, match.got) == (None, "", "")
    assert match.pattern is compile_pattern("PROGRESS* SUCCESS")


@pytest.mark.parametrize("states", ["N" * 500, "S" * 500, "x\n" * 90])
def test_a_repr_is_one_short_line(states: str) -> None:
    """Whatever the names are."""
    one = Transition(0, "task", "add", "1", "PENDING", states, {"current": "\n" * 900})
    for pattern in ["N" * 500, [lambda _: False], [progress(lambda _: False), "S" * 500]]:
        text = repr(compile_pattern(pattern).match([one]))
        assert len(text) < 200
        assert "\n" not in text


def test_patterns_are_readable() -> None:
    """A str as it was given, a list as it would be written."""

    def half(each: Transition) -> bool:
        return each.percent == 50

    pattern = compile_pattern(["STARTED", ..., half, ["A", [state("SUCCESS")]]])
    assert str(pattern) == "['STARTED', ..., half, ['A', [state('SUCCESS')]]]"
    assert repr(pattern) == f"<pattern {pattern}>"
    assert str(compile_pattern("STARTED  SUCCESS")) == "STARTED  SUCCESS"
    assert repr(compile_pattern("A")) == "<pattern 'A'>"
