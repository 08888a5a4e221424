"""The language of patterns over names of states, and what can be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from pytest_taskprogress.checks.automaton import (
    ANY,
    LARGEST,
    Fragment,
    TooLarge,
    alternatives,
    one,
    repeated,
    sequence,
)
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.states import KNOWN_STATES, PENDING, RUNNING, SUSPENDED

__all__ = ["parse", "too_large"]

#: What is wrong with a pattern is in the pattern.
__tracebackhide__ = True

_NAME: Final = re.compile(r"\w+(?:-\w+)*")
_COUNT: Final = re.compile(r"\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}")
_REPEATS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}

#: Names that Celery, or a listener, knows as states, and that are in no history.
_NEVER_STORED: Final = {
    PENDING: "it is what a backend says of a task that it has nothing of",
    RUNNING: "it is what listeners are told when an attempt begins; the worker stores STARTED",
    SUSPENDED: "it is a state of flows, for listeners",
    "IGNORED": "a task that raises Ignore leaves the state that it had",
    "REJECTED": "a task that raises Reject leaves the state that it had",
}

#: How alike two names are if one may be a slip for the other: PROCESS is none for PROGRESS.
_ALIKE: Final = 0.81

#: How much of a long pattern is shown on each side of the caret.
_SHOWN: Final = 36


@dataclass(slots=True)
class _Group:
    """What is open: a `(`, or the whole pattern."""

    at: int
    branches: list[Fragment] = field(default_factory=list)
    items: list[Fragment] = field(default_factory=list)
    #: Why the last item cannot be repeated; None if it can.
    whole: str | None = "there is nothing before it"

    def add(self, item: Fragment) -> None:
        self.items.append(item)
        self.whole = None

    def branch(self) -> None:
        self.branches.append(sequence(self.items))
        self.items = []
        self.whole = "there is nothing before it"

    def close(self) -> Fragment:
        self.branch()
        return alternatives(self.branches)


def parse(text: str, test_of: Callable[[str], int], where: str = "") -> Fragment:
    """Make a fragment of a pattern.

    Args:
        text: The pattern.
        test_of: Gives the number of the test for a name.
        where: Which item of a list it is, for the message; empty if it is the whole pattern.

    Raises:
        PatternError: If it is malformed.
    """
    parser = _Parser(text, test_of, where)
    try:
        return parser.parse()
    except TooLarge:
        raise parser.error(parser.at, too_large()) from None


def too_large() -> str:
    """What to say of a pattern that is too large."""
    return (
        f"this makes more than {LARGEST:,} steps (a counted repetition is written out):"
        " use * or {m,}, and count states with run.states.count()"
    )


class _Parser:
    def __init__(self, text: str, test_of: Callable[[str], int], where: str) -> None:
        self._text = text
        self._test_of = test_of
        self._where = where
        self.at = 0

    def parse(self) -> Fragment:
        # A stack of its own: patterns may be nested deeper than Python's calls.
        text, groups = self._text, [_Group(0)]
        while self.at < len(text):
            at, character, group = self.at, text[self.at], groups[-1]
            name = _NAME.match(text, at)
            if name:
                group.add(one(self._test_of(self._checked(name[0]))))
                self.at = name.end()
            elif character in "*+?{":
                self._repeat(group)
            else:
                self._punctuation(groups)
                self.at += 1
        if len(groups) > 1:
            raise self.error(groups[-1].at, 'expected a ")" for this "(", got the end')
        return groups[0].close()

    def _punctuation(self, groups: list[_Group]) -> None:
        at, character = self.at, self._text[self.at]
        if character == "(":
            groups.append(_Group(at))
        elif character == ")" and len(groups) == 1:
            raise self.error(at, 'expected no ")" here: no "(" is open')
        elif character == ")":
            group = groups.pop()
            groups[-1].add(group.close())
        elif character == "|":
            groups[-1].branch()
        elif character == ".":
            self._check_dots()
            groups[-1].add(one(ANY))
        elif not character.isspace():
            raise self._unknown(at)

    def _repeat(self, group: _Group) -> None:
        at, character = self.at, self._text[self.at]
        least, most, end = *_REPEATS.get(character, (0, None)), at + 1
        if character == "{":
            least, most, end = self._count()
        if group.whole is not None:
            raise self.error(
                at,
                f"nothing to repeat: expected the name of a state, a . or a group before"
                f" {self._text[at:end]!r}, and {group.whole}",
            )
        group.items[-1] = repeated(group.items[-1], least, most)
        group.whole = "what is before it is repeated already: put that in ( )"
        self.at = end

    def _count(self) -> tuple[int, int | None, int]:
        at, text = self.at, self._text
        found = _COUNT.match(text, at)
        if not found or not (found[1] or found[3]):
            end = text.find("}", at)
            got = repr(_shown(text[at : at + 12])) if end < 0 else repr(_shown(text[at : end + 1]))
            message = f"expected {{m}}, {{m,}}, {{,n}} or {{m,n}} with whole numbers, got {got}"
            raise self.error(at, message)
        least, comma, most = found.groups()
        if max(len(least), len(most)) > len(str(LARGEST)) + 2:
            raise TooLarge
        if not comma:
            return int(least), int(least), found.end()
        if least and most and int(least) > int(most):
            message = f"expected the smaller number first: {{{most},{least}}}, got {found[0]!r}"
            raise self.error(at, message)
        return int(least or 0), int(most) if most else None, found.end()

    def _check_dots(self) -> None:
        at = self.at
        if self._text.startswith("...", at):
            message = (
                'expected ".*" for any number of states, or ". . ." for three of them, got "..."'
                " (which means any number in a list: [..., state('SUCCESS')])"
            )
            raise self.error(at, message)

    def _checked(self, name: str) -> str:
        """The name of a state that can be stored, and is not likely to be a slip."""
        upper = name.upper()
        literally = f"If it is a state of your own, write state({name!r}) in a list."
        if upper in _NEVER_STORED:
            message = f"{upper} is never stored: {_NEVER_STORED[upper]}. {literally}"
            raise self.error(self.at, message)
        if name in KNOWN_STATES:
            return name
        known = get_close_matches(upper, KNOWN_STATES - {PENDING}, n=1, cutoff=_ALIKE)
        if known and not _is_derived(upper, known[0]):
            message = f"unknown state {name!r}: did you mean {known[0]}? {literally}"
            raise self.error(self.at, message)
        return name

    def _unknown(self, at: int) -> PatternError:
        character = self._text[at]
        hint = "states follow each other with a space"
        if character == "}":
            hint = 'no "{" is open'
        elif character in "[]'\"":
            hint = "a list is a list of Python: [state('STARTED'), ...]"
        elif character not in ",;>-":
            hint = "any other name of a state is taken literally in a list: [state('my state!')]"
        message = f"expected the name of a state or one of ( ) | . * + ? {{m,n}}, got {character!r}"
        return self.error(at, f"{message}: {hint}")

    def error(self, at: int, message: str) -> PatternError:
        """The error, with the pattern and a caret under a place of it."""
        text = self._text
        first, last = max(0, at - _SHOWN), at + _SHOWN
        before = ("..." if first else "") + _shown(text[first:at])
        after = _shown(text[at:last]) + ("..." if last < len(text) else "")
        where = f" ({self._where})" if self._where else ""
        caret = " " * len(before) + "^"
        return PatternError(
            f"malformed pattern{where}: {message}\n    {before}{after}\n    {caret}"
        )


def _is_derived(name: str, known: str) -> bool:
    """Whether a name is made of a known one on purpose: PROGRESS_2, RESTARTED, PROGRESSING."""
    if any(character.isdigit() for character in name):
        return True
    return known in name and len(name) - len(known) > 1


def _shown(text: str) -> str:
    """A text as one line, a column a character."""
    return "".join(each if each.isprintable() else " " for each in text)
