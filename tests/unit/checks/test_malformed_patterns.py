from __future__ import annotations

from typing import Any

import pytest

from pytest_taskprogress.checks.matchers import progress, state
from pytest_taskprogress.checks.patterns import Match, compile_pattern
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.transitions import History, Transition


def matched(pattern: Any, *states: str) -> Match:
    """Match a pattern with a history of these states."""
    history = [Transition(0, "task", "add", "1", "PENDING", each) for each in states]
    return compile_pattern(pattern).match(history)


def message_of(pattern: Any) -> str:
    """What is said of a malformed pattern."""
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "at", "what"),
    [
        ("STARTED (PROGRESS", 8, 'expected a ")" for this "(", got the end'),
        ("(()", 0, 'expected a ")"'),
        ("STARTED )", 8, 'no "(" is open'),
        ("*", 0, "nothing to repeat"),
        ("STARTED (+)", 9, "nothing to repeat"),
        ("A|?", 2, "nothing to repeat"),
        ("{2}", 0, "nothing to repeat"),
        ("PROGRESS**", 9, "repeated already: put that in ( )"),
        ("PROGRESS*?", 9, "repeated already"),
        ("PROGRESS{2}{3}", 11, "repeated already"),
        ("PROGRESS{", 8, "expected {m}, {m,}, {,n} or {m,n} with whole numbers, got '{'"),
        ("PROGRESS{}", 8, "got '{}'"),
        ("PROGRESS{,}", 8, "got '{,}'"),
        ("PROGRESS{x}", 8, "got '{x}'"),
        ("PROGRESS{-1}", 8, "got '{-1}'"),
        ("PROGRESS{1,2,3}", 8, "got '{1,2,3}'"),
        ("PROGRESS{3,1}", 8, "expected the smaller number first: {1,3}, got '{3,1}'"),
        ("PROGRESS{50001}", 8, "more than 50,000"),
        ("(PROGRESS{300}){,300}", 15, "more than 50,000"),
        ("PROGRESS{%s}" % ("9" * 5_000), 8, "more than 50,000"),
        ("A{40000} B{40000}", 17, "more than 50,000"),
        ("A }", 2, 'no "{" is open'),
        ("STARTED, SUCCESS", 7, "got ',': states follow each other with a space"),
        ("STARTED -> SUCCESS", 8, "got '-': states follow"),
        ("[STARTED]", 0, "a list is a list of Python"),
        ("STARTED & SUCCESS", 8, "got '&': any other name of a state is taken literally in a list"),
        ("STARTED ... SUCCESS", 8, 'expected ".*" for any number of states'),
        ("\0", 0, r"got '\x00'"),
        ("STARTED\t(", 8, 'expected a ")"'),
        ("progress", 0, "unknown state 'progress': did you mean PROGRESS?"),
        ("STARTED SUCESS", 8, "unknown state 'SUCESS': did you mean SUCCESS?"),
        ("PROGRESSS", 0, "did you mean PROGRESS?"),
        ("(Aborted)", 1, "did you mean ABORTED?"),
        ("PENDING", 0, "PENDING is never stored"),
        ("running", 0, "RUNNING is never stored"),
        ("SUSPENDED", 0, "SUSPENDED is never stored"),
        ("IGNORED", 0, "IGNORED is never stored"),
        ("REJECTED", 0, "REJECTED is never stored"),
    ],
)
def test_a_malformed_pattern_is_shown_with_a_caret(pattern: str, at: int, what: str) -> None:
    """What was expected, what came, and the place."""
    headline, shown, caret = message_of(pattern).split("\n")
    assert headline.startswith("malformed pattern: ")
    assert what in headline
    place = caret.index("^")
    assert caret == " " * place + "^"
    if len(pattern) < 40:
        assert shown == f"    {pattern}".translate({0: " ", 9: " "})
        assert place == at + 4


def test_the_caret_is_under_its_place_in_a_long_pattern() -> None:
    """Of which only the neighbourhood is shown."""
    _, shown, caret = message_of("STEP " * 100 + "SUCESS " + "STEP " * 100).split("\n")
    assert shown[caret.index("^") :].startswith("SUCESS STEP")
    assert len(shown) < 90


@pytest.mark.parametrize(
    "name",
    [
        "UPLOADING",
        "PROCESS",
        "PROGRESS_2",
        "PROGRESS2",
        "PROGRESSING",
        "RESTARTED",
        "DONE",
        "FAILED",
    ],
)
def test_states_of_the_users_own_are_fine(name: str) -> None:
    """Names that are like a known one, and no slip for it."""
    assert matched(name, name)


@pytest.mark.parametrize("name", ["SUCESS", "progress", "PENDING", "my step!"])
def test_any_name_is_taken_literally_in_a_list(name: str) -> None:
    """The way out, which the message gives."""
    assert f"state({name!r})" in message_of(name) or "literally" in message_of(name)
    assert matched([state(name)], name)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (None, "got None (NoneType)"),
        (b"STARTED", "got b'STARTED' (bytes)"),
        ({"STARTED"}, "got {'STARTED'} (set)"),
        ({"state": 1}, "(dict)"),
        (3, "got 3 (int)"),
        (..., "got ... (ellipsis), which has to be in a list"),
        (state("SUCCESS"), "got state('SUCCESS') (Matcher), which has to be in a list"),
        (len, "got len (builtin_function_or_method), which has to be in a list"),
        (History(), "(History)"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: Any, what: str) -> None:
    """With what a pattern is."""
    message = message_of(pattern)
    assert message.startswith("a pattern is a str of names")
    assert what in message


@pytest.mark.parametrize(
    ("item", "what"),
    [
        (None, "pattern[1] is None (NoneType), which no transition can be equal to"),
        (3, "pattern[1] is 3 (int)"),
        (True, "pattern[1] is True (bool)"),
        (b"x", "(bytes)"),
        ({"percent": 1}, "(dict)"),
        ({1}, "(set)"),
        (int, "pattern[1] is int (type)"),
        (Transition, "pattern[1] is Transition (type)"),
        (list[int], "(GenericAlias)"),
        (object(), "pattern[1] is <object> (object)"),
        (ValueError("x"), "(ValueError)"),
        ([[object()]], "pattern[1][0][0] is <object>"),
    ],
)
def test_what_is_no_item_is_refused(item: Any, what: str) -> None:
    """It would match nothing, and nobody would know why."""
    message = message_of(["STARTED", item])
    assert what in message
    assert "a pattern is a str of names" in message


def test_a_malformed_item_is_shown_with_a_caret() -> None:
    """And which of the list it is."""
    headline, shown, caret = message_of(["STARTED", ["PROGRESS*", "PROGRESS+ SUCESS"]]).split("\n")
    assert headline.startswith("malformed pattern (pattern[1][1]): unknown state 'SUCESS'")
    assert (shown, caret) == ("    PROGRESS+ SUCESS", "              ^")


def test_a_list_that_is_in_itself_is_refused() -> None:
    """And one that is nested as deeply."""
    pattern: list[Any] = ["STARTED"]
    pattern.append(pattern)
    assert "more than 50 lists in each other" in message_of(pattern)


def test_a_list_that_is_too_large_is_refused() -> None:
    """Its items are put together."""
    assert "more than 50,000" in message_of(["A{40000}", "B{40000}"])


def test_an_async_predicate_is_refused() -> None:
    """What it returns is always true."""

    async def judge(each: Transition) -> bool:
        return each.stored

    assert "an async function" in message_of([judge])


@pytest.mark.parametrize("in_matcher", [True, False])
def test_what_a_predicate_raises_comes_out_with_its_place(in_matcher: bool) -> None:  # noqa: FBT001
    """The error itself, and a note: which item, which transition."""

    def half(value: Any) -> bool:
        raise ZeroDivisionError(value)

    item = progress(percent=half) if in_matcher else half
    with pytest.raises(ZeroDivisionError) as caught:
        matched(["STARTED", [item]], "STARTED", "PROGRESS")
    code = "progress(percent=half)" if in_matcher else "half"
    note = f"raised by pattern[1][0], {code}, at transition 1 (PROGRESS)"
    assert caught.value.__notes__ == [note]
