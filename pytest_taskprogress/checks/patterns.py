"""Patterns of transitions: `compile_pattern()`, and what a `Match` tells."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from pytest_taskprogress.checks.automaton import Automaton, Node
from pytest_taskprogress.checks.items import ACCEPTED, Items
from pytest_taskprogress.checks.matchers import Matcher, name_of
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.transitions import Transition

__all__ = ["Match", "Pattern", "compile_pattern"]

#: What is wrong with a pattern is in the pattern.
__tracebackhide__ = True

_LONGEST: Final = 80
_MOST_EXPECTED: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What came of matching a pattern; true if it matched.

    Attributes:
        pattern: The pattern.
        transitions: The stored transitions.
        at: Position in `transitions` of the first one that no way through the pattern accepts; the
            length of it if it ended too early; None if it matched.
        expected: What could have come there: "PROGRESS or SUCCESS". Empty if it matched.
        got: What came. Empty if it matched.
    """

    pattern: Pattern
    transitions: tuple[Transition, ...] = field(repr=False)
    at: int | None = None
    expected: str = ""
    got: str = ""

    def __bool__(self) -> bool:
        return self.at is None

    def __repr__(self) -> str:
        if self.at is None:
            return f"<match of {_cut(self.pattern.code, 2 * _LONGEST)}>"
        return (
            f"<no match at {self.at}: expected {_cut(self.expected, _LONGEST)},"
            f" got {_cut(self.got, _LONGEST)}>"
        )


class Pattern:
    """A pattern, compiled. Made by `compile_pattern()`; threads may share it.

    Attributes:
        code: How it is written in Python.
    """

    __slots__ = ("_automaton", "_items", "_letters", "_text", "code")

    def __init__(self, source: str | Sequence[object]) -> None:
        items = Items()
        if isinstance(source, str):
            self._automaton = Automaton(items.of_text(source))
        else:
            self._automaton = Automaton(items.of_list(source))
        self._items = items.items
        self.code = _code(source)
        self._text = source if isinstance(source, str) else self.code
        #: If only names are asked for, a transition is judged by looking up its state.
        self._letters: dict[str, tuple[int, ...]] | None = None
        if all(each.name is not None for each in self._items):
            self._letters = {str(each.name): (test,) for test, each in enumerate(self._items)}

    def match(self, transitions: Sequence[Transition]) -> Match:
        """Match what was stored, from the first to the last.

        Args:
            transitions: A history; what the backend dropped is left out.

        Raises:
            Exception: What a predicate or an `__eq__` raises, with a note that says which one.
        """
        stored = tuple([each for each in transitions if each.stored])
        walk = self._walk_items if self._letters is None else self._walk_names
        node, at = walk(stored)
        if at == len(stored) and node.accepts:
            return Match(self, stored)
        if at == len(stored) and node.takes_any:
            at = self._nearest(node, stored)
        return Match(self, stored, at, self._expected(node), self._got(node, stored, at))

    def _nearest(self, node: Node, stored: Sequence[Transition]) -> int:
        """Where `...` took what was nearly it: the last one of the state that is asked for."""
        matchers = [self._items[test].matcher for test in node.tests]
        for at in range(len(stored) - 1, -1, -1):
            if any(each is not None and each.got(stored[at]) for each in matchers):
                return at
        return len(stored)

    def _walk_names(self, stored: Sequence[Transition]) -> tuple[Node, int]:
        """Go as far as there is a way; the node there, and how many transitions that were."""
        letters, node = self._letters or {}, self._automaton.start
        for at, each in enumerate(stored):
            letter = letters.get(each.state, ())
            following = node.next.get(letter)
            if following is None:
                following = self._automaton.after(node, letter)
                if following.is_dead:
                    return node, at
            node = following
        return node, len(stored)

    def _walk_items(self, stored: Sequence[Transition]) -> tuple[Node, int]:
        """The same for items that look at more than the state."""
        node = self._automaton.start
        for at, each in enumerate(stored):
            letter = tuple([test for test in node.tests if self._holds(test, each, at)])
            following = node.next.get(letter)
            if following is None:
                following = self._automaton.after(node, letter)
                if following.is_dead:
                    return node, at
            node = following
        return node, len(stored)

    def _holds(self, test: int, transition: Transition, at: int) -> bool:
        item = self._items[test]
        try:
            return item.judge(transition)
        except Exception as error:
            _add_note(
                error,
                f"raised by {item.where}, {item.code}, at transition {at} ({transition.state})",
            )
            raise

    def _expected(self, node: Node) -> str:
        codes = list(dict.fromkeys(self._items[test].code for test in node.tests))
        if node.takes_any:
            # What `...` takes leads nowhere else: that is not what is waited for.
            following = self._automaton.after(node, ())
            if not codes or not set(following.positions) <= set(node.positions):
                codes.append("any state")
        if len(codes) > _MOST_EXPECTED:
            codes[_MOST_EXPECTED - 1 :] = [f"{len(codes) - _MOST_EXPECTED + 1} others"]
        if node.accepts:
            codes.append("the end")
        return " or ".join(filter(None, [", ".join(codes[:-1]), codes[-1]]))

    def _got(self, node: Node, stored: Sequence[Transition], at: int) -> str:
        if not stored:
            return "nothing: no transition was stored"
        if at == len(stored):
            return "the end"
        got = stored[at]
        values: dict[str, str] = {}
        for test in node.tests:
            matcher = self._items[test].matcher
            if matcher is not None:
                values |= matcher.got(got)
        name = got.state if got.state.isprintable() else as_repr(got.state)
        return " ".join([name, *(f"{key}={_cut(value, 40)}" for key, value in values.items())])

    def __reduce__(self) -> tuple[Any, ...]:
        if self.code == repr(self._text):
            return compile_pattern, (self._text,)
        # Of a list its text: predicates cannot go to another process.
        return _Written, (self.code,)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<pattern {_cut(self.code, 2 * _LONGEST)}>"


class _Written(Pattern):
    """How a pattern of another process was written."""

    __slots__ = ()

    def __init__(self, code: str) -> None:
        self.code = self._text = code

    def match(self, _: Sequence[Transition]) -> Match:
        """Cannot be done."""
        message = f"{self.code} is of another process, and cannot be matched in this one"
        raise PatternError(message)


def compile_pattern(pattern: str | Sequence[object]) -> Pattern:
    """Make a pattern of transitions.

    A str is a regular expression over names of states: names after each other, with spaces between,
    `* + ? {m} {m,} {,n} {m,n}`, `|`, `( )`, and `.` for any one state. A list says more: `...` is
    any number of transitions, `state()` and `progress()` ask for values, a str is as above, a list
    is a group; anything else is a predicate of the transition, or is compared with it.

    Args:
        pattern: A str or a list.

    Raises:
        PatternError: If it is malformed, names a state that is never stored or is likely a slip, or
            is too large.
    """
    given: object = pattern  # the annotation is a promise that callers break
    if isinstance(given, Pattern):
        return given
    if isinstance(given, str):
        return _compiled(str.__str__(given))  # a plain one, also of an Enum's
    if isinstance(given, (list, tuple)):
        return Pattern(given)
    is_item = given is ... or isinstance(given, Matcher) or callable(given)
    message = (
        f"a pattern is {ACCEPTED}; got {name_of(given)} ({type(given).__name__})"
        f"{', which has to be in a list' if is_item else ''}"
    )
    raise PatternError(message)


_compiled = lru_cache(maxsize=128)(Pattern)


def _code(source: object) -> str:
    """How a pattern is written, as Python."""
    if isinstance(source, (list, tuple)):
        return f"[{', '.join(map(_code, source))}]"
    return repr(str.__str__(source)) if isinstance(source, str) else name_of(source)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _add_note(error: Exception, note: str) -> None:
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:  # where pytest brings exceptiongroup, which shows it
        error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]
