"""A linear matcher of regular languages: it walks a set of positions, and never goes back.

A letter is whatever the caller judges by numbered tests: here it is the tuple of those that hold
for it. What a pattern may look like, and what is matched, is of no concern here.

Source:
    K. Thompson, "Regular expression search algorithm", 1968: all positions at once. R. Cox,
    "Regular expression matching can be simple and fast", 2007: the nodes, kept while there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, TypeAlias

__all__ = [
    "ANY",
    "LARGEST",
    "Automaton",
    "Fragment",
    "Node",
    "TooLarge",
    "alternatives",
    "one",
    "repeated",
    "sequence",
]

#: What is wrong with a pattern is in the pattern.
__tracebackhide__ = True

#: The test that holds for every letter.
ANY: Final = -1

#: How many instructions a program may have: counted repetitions are expanded.
LARGEST: Final = 50_000

#: How many numbers the nodes of an automaton may keep together, before they are forgotten.
_ROOM: Final = 100_000

#: A number: one letter for which that test holds. A tuple: go on at each of these places, counted
#: from the instruction itself, so that a fragment can be put anywhere, and more than once.
Instruction: TypeAlias = "int | tuple[int, ...]"

#: A part of a program. It ends behind its last instruction.
Fragment: TypeAlias = Sequence[Instruction]


class TooLarge(Exception):
    """A program would have more than `LARGEST` instructions."""


def one(test: int) -> Fragment:
    """One letter for which a test holds."""
    return (test,)


def sequence(fragments: Iterable[Fragment]) -> Fragment:
    """One after the other."""
    return _checked(tuple(chain.from_iterable(fragments)))


def alternatives(fragments: Sequence[Fragment]) -> Fragment:
    """One of them."""
    if len(fragments) == 1:
        return fragments[0]
    starts: list[int] = []
    program: list[Instruction] = [()]  # goes to all of them: set below
    size = 1 + sum(len(each) + 1 for each in fragments)
    for each in fragments:
        starts.append(len(program))
        program += each
        program.append((size - len(program),))
    program[0] = tuple(starts)
    return _checked(program)


def repeated(fragment: Fragment, least: int, most: int | None) -> Fragment:
    """A fragment, at least and at most so many times; None: any number."""
    if not fragment:
        return fragment
    size = len(fragment)
    # Before it is made: a count may have any number of digits.
    if size * least + (size + 1) * (0 if most is None else most - least) > LARGEST:
        raise TooLarge
    if most is None and not least:
        return _checked([(1, size + 2), *fragment, (-size - 1,)])
    if most is None:
        return _checked([*tuple(fragment) * least, (-size, 1)])
    program = list(fragment) * least
    # a{0,2} is (a(a)?)?: from each of the optional ones to the end.
    for left in range(most - least, 0, -1):
        program += [(1, left * (size + 1)), *fragment]
    return program


def _checked(program: Fragment) -> Fragment:
    if len(program) > LARGEST:
        raise TooLarge
    return program


class Node:
    """All positions that a program can be at after some letters.

    Attributes:
        positions: The instructions that wait for a letter, ascending; behind the last one: the end.
        tests: What they wait for, each once, in that order, without `ANY`.
        takes_any: Whether one of them takes every letter.
        accepts: Whether the letters so far are a match.
        next: The nodes that are known to follow, by the tests that hold for a letter; none of them
            is dead.
    """

    __slots__ = ("accepts", "next", "positions", "takes_any", "tests")

    def __init__(self, positions: tuple[int, ...], program: Fragment) -> None:
        self.accepts = bool(positions) and positions[-1] == len(program)
        self.positions = positions[:-1] if self.accepts else positions
        tests = dict.fromkeys(program[each] for each in self.positions)
        self.takes_any = ANY in tests
        self.tests = tuple(each for each in tests if isinstance(each, int) and each != ANY)
        self.next: dict[tuple[int, ...], Node] = {}

    @property
    def is_dead(self) -> bool:
        """True if no letter can lead to a match from here, and none has."""
        return not (self.positions or self.accepts)


class Automaton:
    """What runs a program, letter by letter.

    Nodes are kept, so that most letters cost one look into a dict. Forgetting them costs time and
    changes nothing else: threads may share an automaton.

    Attributes:
        start: Where it is before the first letter.
        steps: How many instructions were looked at so far.
    """

    def __init__(self, program: Fragment) -> None:
        self._program = _checked(program)
        self._nodes: dict[tuple[int, ...], Node] = {}
        self._kept = 0
        self.steps = 0
        self.start = self._reached([0])

    def after(self, node: Node, letter: tuple[int, ...]) -> Node:
        """Take a letter, given by the tests that hold for it.

        Args:
            node: Where it is. Ask `node.next` first: this is for what is not in there.
            letter: Of the node's tests those that hold; others do not matter.
        """
        if self._kept > _ROOM:
            self._forget()
        program, holding = self._program, frozenset((ANY, *letter))
        self.steps += len(node.positions)
        following = self._reached(
            [position + 1 for position in node.positions if program[position] in holding]
        )
        if not following.is_dead:
            self._kept += 1 + len(letter)
            node.next[letter] = following
        return following

    def _reached(self, entries: list[int]) -> Node:
        """The node of all positions to which one comes from some, without a letter."""
        program, end = self._program, len(self._program)
        seen: set[int] = set()
        reached = []
        while entries:
            position = entries.pop()
            self.steps += 1
            if position in seen:  # so a loop around nothing ends
                continue
            seen.add(position)
            instruction = ANY if position == end else program[position]
            if isinstance(instruction, int):
                reached.append(position)
            else:
                entries.extend(position + offset for offset in instruction)
        reached.sort()
        return self._node(tuple(reached))

    def _node(self, positions: tuple[int, ...]) -> Node:
        node = self._nodes.get(positions)
        if node is None:
            node = self._nodes[positions] = Node(positions, self._program)
            self._kept += 1 + len(positions)
        return node

    def _forget(self) -> None:
        # They know each other in circles: taken apart, they go at once.
        for each in [self.start, *list(self._nodes.values())]:
            each.next.clear()
        self._nodes.clear()
        self._kept = 0
