"""What patterns are made of: items, each of which judges one transition."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_taskprogress.checks.automaton import (
    ANY,
    Fragment,
    TooLarge,
    one,
    repeated,
    sequence,
)
from pytest_taskprogress.checks.grammar import parse, too_large
from pytest_taskprogress.checks.matchers import (
    Judge,
    Matcher,
    compares,
    is_predicate,
    judge_of,
    name_of,
)
from pytest_taskprogress.core.errors import PatternError
from pytest_taskprogress.core.transitions import Transition

__all__ = ["ACCEPTED", "Item", "Items"]

#: What is wrong with a pattern is in the pattern.
__tracebackhide__ = True

#: What has an `__eq__`, and is equal to no transition.
_NO_ITEMS: Final = (
    int,
    float,
    complex,
    bytes,
    bytearray,
    set,
    frozenset,
    dict,
    range,
    slice,
    type(None),
    types.GenericAlias,
    types.UnionType,
)

#: How many lists may be in each other: one that is in itself has no end.
_DEEPEST: Final = 50

ACCEPTED: Final = (
    'a str of names ("STARTED PROGRESS* SUCCESS"), or a list of: ..., state(...), progress(...),'
    " such a str, a predicate of a transition, an object to compare one with"
)


@dataclass(frozen=True, slots=True)
class Item:
    """What one transition is judged by: a name, or an item of a list.

    Attributes:
        code: How it is written.
        judge: Tells whether it is this one.
        name: The state, if that is all that is asked.
        where: Which item of the list it is.
        matcher: The matcher, if it is one.
    """

    code: str
    judge: Judge
    name: str | None = None
    where: str = ""
    matcher: Matcher | None = None


class Items:
    """Makes fragments, and numbers what they ask of a transition."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._names: dict[str, int] = {}

    def of_text(self, text: str, where: str = "") -> Fragment:
        """Parse a pattern over names; one test a name, however often it is there."""

        def test_of(name: str) -> int:
            if name not in self._names:
                self._names[name] = self._test(Item(name, _is_of(name), name, where))
            return self._names[name]

        return parse(text, test_of, where)

    def of_list(self, source: Sequence[object]) -> Fragment:
        """Make a sequence of a list; lists in it are groups."""
        try:
            return sequence(self._fragments(source, "pattern", 1))
        except TooLarge:
            message = f"malformed pattern: {too_large()}"
            raise PatternError(message) from None

    def _fragments(self, source: Sequence[object], where: str, depth: int) -> Iterator[Fragment]:
        if depth > _DEEPEST:
            message = f"malformed pattern: more than {_DEEPEST} lists in each other, at {where}"
            raise PatternError(message)
        for index, item in enumerate(source):
            if isinstance(item, (list, tuple)):
                yield from self._fragments(item, f"{where}[{index}]", depth + 1)
            else:
                yield self._item(item, f"{where}[{index}]")

    def _item(self, item: object, where: str) -> Fragment:
        if item is ...:
            return repeated(one(ANY), 0, None)
        if isinstance(item, str):
            return self.of_text(item, where)
        if isinstance(item, Matcher):
            return one(self._test(Item(item.code, judge_of(item, where), None, where, item)))
        code = name_of(item)
        if isinstance(item, _NO_ITEMS) or not (is_predicate(item) or compares(item)):
            message = (
                f"malformed pattern: {where} is {code} ({type(item).__name__}), which no transition"
                f" can be equal to; a pattern is {ACCEPTED}"
            )
            raise PatternError(message)
        return one(self._test(Item(code, judge_of(item, where), where=where)))

    def _test(self, item: Item) -> int:
        self.items.append(item)
        return len(self.items) - 1


def _is_of(name: str) -> Judge:
    return lambda each: isinstance(each, Transition) and each.state == name
