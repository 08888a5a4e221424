"""Histories without what differs from run to run and from machine to machine."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from pytest_taskprogress.core.messages import as_line, as_repr, as_text
from pytest_taskprogress.core.transitions import Transition

__all__ = ["VOLATILE", "Normaliser", "as_json_line", "line_of", "normalised", "snapshot"]

#: Keys of a meta, and of a result that is a dict, whose values are left out.
VOLATILE: Final = frozenset({"children", "date_done", "elapsed", "hostname", "pid"})

#: What has no transitions.
NOTHING: Final = "(nothing was written)"

#: An id that is shorter is too likely to be a word, or a number, that means something else.
_SHORTEST_ID: Final = 8
#: A value that is nested more deeply is likely to contain itself.
_DEEPEST: Final = 50
#: Not every reader of JSON takes a longer integer, and Python's own writer neither.
_LARGEST: Final = 10**300
#: How many texts are remembered: most come again with each transition.
_MOST_TEXTS: Final = 10_000

_HEX: Final = "[0-9a-fA-F]"
_UUID: Final = re.compile(rf"(?<!{_HEX}){_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}(?!{_HEX})")
#: What an id may be, from the widest to the narrowest.
_WORDS: Final = (re.compile(r"\w[\w.:@/+-]*\w"), re.compile(r"\w[\w-]*\w"))
_DATE: Final = r"\b\d{4}-\d\d-\d\d"
#: A path begins where one word does, so that a text is gone through only once.
_PATH: Final = r"""(?<![^\s'"=(),<>\[\]])[^\s'"=(),<>\[\]]*"""
#: What a program writes of when and where it runs -> what stands for it.
_MOMENTARY: Final = tuple(
    (re.compile(pattern), stands_for)
    for pattern, stands_for in [
        (rf"{_DATE}[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z\b|[+-]\d\d:?\d\d\b)?", "<time>"),
        (rf"{_DATE}\b", "<date>"),
        (r"\b0x[0-9a-fA-F]{6,16}\b", "0x..."),
        (rf"{_PATH}pytest-of-[^/\\\s]+[/\\]+pytest-\d+(?:[/\\]+popen-gw\d+)?", "<tmp>"),
    ]
)


def snapshot(
    history: Iterable[Transition], *, volatile: Collection[str] = (), sources: bool = True
) -> str:
    """Text of a history that stays the same until the task behaves differently.

    A line each transition: the task, old state -> new state, percentage, message, what else was
    stored, and the file that reported; see `normalised` for what it is made of. It is a plain
    string without a newline at the end, as inline-snapshot, syrupy and `==` want it::

        assert run.snapshot() == snapshot()       # inline-snapshot
        assert run.snapshot() == snapshot         # syrupy

    Args:
        history: Transitions, in order.
        volatile: Keys to be left out of metas, besides those of `VOLATILE`.
        sources: Whether the files are named.
    """
    lines = map(line_of, normalised(history, volatile=volatile, sources=sources))
    return "\n".join(lines) or NOTHING


def normalised(
    history: Iterable[Transition], *, volatile: Collection[str] = (), sources: bool = True
) -> list[dict[str, Any]]:
    """Transitions as plain values, without what differs from run to run.

    Ids are numbered in the order in which they appear, wherever they do: `task-1` is a task of the
    history, `id-1` any other UUID. Moments, seconds, host names, process ids, addresses in memory
    and pytest's temporary directories are left out, or something stands for them. Of a source the
    name of the file is left: lines move with each edit.

    Args:
        history: Transitions, in order.
        volatile: Keys to be left out of metas, besides those of `VOLATILE`.
        sources: Whether the files are named.

    Returns:
        A dict each transition with the keys `task, name, old_state, state, stored, meta, result,
        source`; a result that the meta says already is None.
    """
    return Normaliser(history, volatile=volatile).transitions(sources=sources)


def line_of(entry: Mapping[str, Any]) -> str:
    """One line of text for one of `normalised`.

    Args:
        entry: It; read from a file, so that it may lack anything.
    """
    meta = entry.get("meta")
    rest = dict(meta) if isinstance(meta, Mapping) else {}
    parts = [as_text(each) for each in (entry.get("task"), entry.get("name")) if each is not None]
    parts.append(f"{as_text(entry.get('old_state'))} -> {as_text(entry.get('state'))}")
    percent = rest.get("percent")
    if isinstance(percent, (int, float)) and not isinstance(percent, bool):
        parts.append(f"{as_json_line(rest.pop('percent'))} %")
    if isinstance(rest.get("description"), str):
        parts.append(as_json_line(rest.pop("description")))
    if rest:
        parts.append(as_json_line(rest))
    if entry.get("result") is not None:
        parts.append(f"result={as_json_line(entry['result'])}")
    if entry.get("stored") is False:
        parts.append("(dropped by the backend)")
    if entry.get("source") is not None:
        parts.append(f"at {as_text(entry['source'])}")
    return as_line("  ".join(parts))


def as_json_line(value: object) -> str:
    """JSON on one line, keys sorted, readable; any encoding of a file can take it."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    if ord(character) > 0xFFFF:  # noqa: PLR2004 - two of JSON's escapes
        return json.dumps(character)[1:-1]
    return f"\\u{ord(character):04x}"


class Normaliser:
    """Takes out of the values of one history what differs from run to run.

    It numbers ids as it meets them: values are to be given in order.

    Args:
        history: Transitions, in order.
        volatile: Keys to be left out of metas, besides those of `VOLATILE`.
    """

    def __init__(self, history: Iterable[Transition], *, volatile: Collection[str] = ()) -> None:
        self._transitions = tuple(history)
        self._volatile = VOLATILE.union([volatile] if isinstance(volatile, str) else volatile)
        self._tasks = {each.uuid for each in self._transitions}
        self._hosts = _hosts_of(self._transitions)
        #: Id -> what stands for it.
        self._names: dict[str, str] = {}
        self._counts = {"task": 0, "id": 0}
        #: Text -> what it was made to.
        self._texts: dict[str, str] = {}

    def transitions(self, *, sources: bool = True) -> list[dict[str, Any]]:
        """The transitions; see `normalised`."""
        return [self._transition(each, sources=sources) for each in self._transitions]

    def value(self, value: object, depth: int = 0) -> Any:  # noqa: ANN401 - what JSON knows
        """A value as JSON knows it; what it does not know as text."""
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int):
            return value if abs(value) < _LARGEST else as_repr(value)
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {as_text(value)}")
        return self._container(value, depth) if depth < _DEEPEST else "..."

    def _container(self, value: object, depth: int) -> Any:  # noqa: ANN401 - what JSON knows
        if isinstance(value, Mapping):
            pairs = [(self._key(key), self.value(each, depth + 1)) for key, each in value.items()]
            return dict(pairs)
        if isinstance(value, (list, tuple)):
            return [self.value(each, depth + 1) for each in value]
        if isinstance(value, (set, frozenset)):
            # Their own order is another one in each process.
            return sorted((self.value(each, depth + 1) for each in value), key=as_json_line)
        return self.text(as_repr(value))

    def _key(self, key: object) -> str:
        return self.text(key if isinstance(key, str) else as_repr(key))

    def text(self, text: str) -> str:
        """A text; names stand for the ids in it."""
        if text not in self._texts:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            self._texts[text] = self._text(str.__str__(text))
        return self._texts[text]

    def _text(self, text: str) -> str:
        if self._is_task(text):
            return self._name(text)
        for pattern, stands_for in _MOMENTARY:
            text = pattern.sub(stands_for, text)
        for pattern in (*_WORDS, _UUID):
            text = pattern.sub(self._word, text)
        return text

    def _is_task(self, word: str) -> bool:
        return word in self._tasks and len(word) >= _SHORTEST_ID

    def _transition(self, each: Transition, *, sources: bool) -> dict[str, Any]:
        # In the order in which a line has them: ids are numbered by it.
        task = self._name(each.uuid) if each.uuid else None
        meta, result = self._stored(each.meta), self._stored(each.result)
        if isinstance(result, dict) and as_json_line(result) == as_json_line(meta):
            result = None
        file = None if each.source is None else re.split(r"[/\\]", each.source.file)[-1]
        return {
            "task": task,
            "name": each.name,
            "old_state": each.old_state,
            "state": each.state,
            "stored": each.stored,
            "meta": meta,
            "result": result,
            "source": file if sources else None,
        }

    def _stored(self, value: object) -> Any:  # noqa: ANN401 - what JSON knows
        if isinstance(value, Mapping):
            value = {key: each for key, each in value.items() if key not in self._volatile}
        return self.value(value)

    def _word(self, match: re.Match[str]) -> str:
        word = match[0]
        if word in self._hosts:
            return "<hostname>"
        return self._name(word) if self._is_task(word) or _UUID.fullmatch(word) else word

    def _name(self, uuid: str) -> str:
        if uuid not in self._names:
            kind = "task" if uuid in self._tasks else "id"
            self._counts[kind] += 1
            self._names[uuid] = f"{kind}-{self._counts[kind]}"
        return self._names[uuid]


def _hosts_of(transitions: Iterable[Transition]) -> set[str]:
    """The names of the workers, as they store them with STARTED, and of their machines."""
    hosts: set[str] = set()
    for each in transitions:
        worker = each.meta.get("hostname")
        if isinstance(worker, str) and worker not in hosts:
            hosts.add(worker)
            machine = worker.partition("@")[2]
            # Called "build", or "runner", it is a word that a message may have on any machine.
            if not machine.isalpha():
                hosts.add(machine)
    return hosts
