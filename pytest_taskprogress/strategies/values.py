"""What a task stores, value by value: states, messages, positions, metas."""

from __future__ import annotations

import math
from functools import lru_cache
from types import EllipsisType
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress.core.progress import Number, Progress
from pytest_taskprogress.core.states import (
    ABORTED,
    FAILURE,
    KNOWN_STATES,
    PENDING,
    PROGRESS,
    RECEIVED,
    RETRY,
    REVOKED,
    RUNNING,
    STARTED,
    SUCCESS,
    SUSPENDED,
)
from pytest_taskprogress.strategies.defining import (
    check_interval,
    check_number,
    check_size,
    check_strategy,
    lazily,
)
from pytest_taskprogress.strategies.shapes import RESERVED, meta_of, shape_of

__all__ = ["Total", "json_values", "messages", "metas", "progress_values", "states", "totals"]

#: A total: a number, None where nobody knows it, a strategy of both, `...` for any.
Total: TypeAlias = "Number | st.SearchStrategy[Any] | EllipsisType | None"

#: From the simplest on, in each.
_ALIVE: Final = (PROGRESS, STARTED, RETRY, RECEIVED, PENDING)
_ENDED: Final = (SUCCESS, FAILURE, REVOKED, ABORTED)
#: Names that mean something else, so that no task has them for a state of its own.
_TAKEN: Final = KNOWN_STATES | {RUNNING, SUSPENDED, "IGNORED", "REJECTED"}

#: What has broken those who show messages: formats, markup, what moves a cursor, what is not one
#: character, although it looks so, and what is, although it does not.
_TROUBLE: Final = (
    *("%", "100 %", "%s", "%d of %(total)d", "{}", "{0.__class__}", "\\"),
    *("<b>", "</script>", "&amp;", '"', "'"),
    *("\n", "\r", "\t", "\0", "\x1b[31m", "\x7f", "\u2028"),
    *("é", "ß", "e\u0301", "\u200b", "\u202e", "\ufeff", "中文", "👩\u200d💻"),
)
_WORDS: Final = ("Importing users", "rows", "done", "3 of 10")
#: A sequence of ten of them can still be printed.
_HUGE: Final = 2_000


@lazily
def states(*, terminal: bool | None = None, custom: bool = True) -> st.SearchStrategy[str]:
    """States of tasks.

    Args:
        terminal: Only those that end a task, or only those that do not; None: all.
        custom: Whether there are states of a user's own, such as `UPLOADING`, too; those do not end
            a task.
    """
    given: dict[str, object] = {"terminal": terminal is None or terminal, "custom": custom}
    for name, value in given.items():
        if not isinstance(value, bool):
            message = f"Expected bool but got {name}={value!r} (type={type(value).__name__})"
            raise InvalidArgument(message)
    known = (*(_ALIVE if terminal is not True else ()), *(_ENDED if terminal is not False else ()))
    drawn: st.SearchStrategy[str] = st.sampled_from(known)
    return drawn | _custom() if custom and terminal is not True else drawn


def _custom() -> st.SearchStrategy[str]:
    named = st.sampled_from(("UPLOADING", "IMPORTING"))
    letters = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=12)
    return named | letters.filter(lambda name: name not in _TAKEN)


@lazily
def messages(*, min_size: int = 0, max_size: int | None = None) -> st.SearchStrategy[str]:
    """Descriptions, as tasks give them to reports: what is easy to show, and what is not.

    That is text of any characters but surrogates, with `%` and `{}`, markup, control characters,
    characters of no width or of two columns, and thousands of characters.

    Args:
        min_size: How many characters at least.
        max_size: How many at most; None: some thousands.
    """
    check_size(min_size, "min_size")
    if max_size is not None:
        check_size(max_size, "max_size")
    check_interval(min_size, max_size, "size")
    plain = st.text(min_size=min_size, max_size=max_size)

    def fitted(parts: list[str]) -> str:
        text = "".join(parts)[:max_size]
        return text.ljust(min_size, ".")

    parts = st.sampled_from(_WORDS) | st.sampled_from(_TROUBLE) | st.text(max_size=5)
    mixed = st.lists(parts, max_size=4).map(fitted)
    if max_size is not None and max_size < 2 * _HUGE:
        return plain | mixed
    huge = st.sampled_from(("x", "long words "))
    return plain | mixed | huge.map(lambda part: fitted([part * (_HUGE // len(part) + 1)]))


_any_message: Final = messages()


@lazily
def progress_values(
    *, min_value: Number = 0, max_value: Number | None = None, total: Total = ...
) -> st.SearchStrategy[Progress]:
    """Positions within their bounds, as `Progress`: a percentage of 0 to 100, or an unknown one.

    Args:
        min_value: The least position.
        max_value: The largest; None: the total.
        total: At which the task is complete: a number, None where nobody knows it, or a strategy;
            `...`: any.
    """
    least = check_number(min_value, "min_value")
    if max_value is not None:
        check_number(max_value, "max_value")
    check_interval(least, max_value, "value")
    known = totals(total)
    if not isinstance(total, (st.SearchStrategy, EllipsisType)) and total is not None:
        if total < least:
            message = f"Cannot have total={total!r} < min_value={min_value!r}"
            raise InvalidArgument(message)
    elif least:
        known = known.map(lambda each: each if each is None or each >= least else least)
    return _progress_values(least, max_value, known)


@st.composite
def _progress_values(
    draw: st.DrawFn, least: Number, most: Number | None, known: st.SearchStrategy[Number | None]
) -> Progress:
    total = draw(known)
    elapsed = draw(st.just(0.0) | st.floats(0.0, 1e6))
    if total is not None:
        most = total if most is None else min(most, total)
    return Progress(draw(positions(least, most)), total, elapsed)


@lru_cache(typed=True)  # 1 and 1.0 are two bounds
def positions(least: Number, most: Number | None) -> st.SearchStrategy[Number]:
    """Positions between two bounds; they are floats only if a bound is one."""
    if most is None:
        most = max(math.ceil(least), 1) * 1_000
    if isinstance(least, int) and isinstance(most, int):
        return st.integers(least, most)
    return st.floats(float(least), float(most))


def totals(total: Total) -> st.SearchStrategy[Number | None]:
    """The totals that somebody asks for.

    Raises:
        InvalidArgument: If that is none.
    """
    if isinstance(total, st.SearchStrategy):
        return total.map(_checked)
    if not isinstance(total, EllipsisType):
        return st.just(_checked(total))
    return _any_total


#: Each takes one choice, also None: else an example would shrink to a task without a total.
_any_total: Final[st.SearchStrategy[Number | None]] = st.one_of(
    st.integers(1, 12),
    st.sampled_from((None, None)),
    st.sampled_from((100, 0, 1_000, 10**12, 2.5, 1e3)),
    st.floats(min_value=0.0, exclude_min=True, allow_infinity=False),
)


def _checked(total: Number | None) -> Number | None:
    return None if total is None else check_number(total, "total")


@lazily
def metas(
    *,
    total: Total = ...,
    messages: st.SearchStrategy[str] | None = None,
    extra: st.SearchStrategy[dict[str, Any]] | None = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """What tasks store with a report: an Observer's, and what others pass to `update_state`.

    Each has some of `pending, description, current, total, percent, elapsed`, and maybe keys of its
    own; each keeps, by itself, the contract.

    Args:
        total: At which the task is complete: a number, None where nobody knows it, or a strategy;
            `...`: any, and it may be missing.
        messages: What each has as a description; None: any, and it may be missing.
        extra: Dicts of more keys; None: some.
    """
    check_strategy(messages, "messages")
    check_strategy(extra, "extra")
    texts = _any_message if messages is None else messages
    described = None if messages is None else True
    extras = json_objects() if extra is None else extra
    return _metas(totals(total), total is not ..., described, texts, extras)


@st.composite
def _metas(
    draw: st.DrawFn,
    known: st.SearchStrategy[Number | None],
    given: bool,  # noqa: FBT001 - whether the total has to be there
    described: bool | None,  # noqa: FBT001
    texts: st.SearchStrategy[str],
    extras: st.SearchStrategy[dict[str, Any]],
) -> dict[str, Any]:
    total = draw(known)
    position = draw(positions(0, total))
    shape = shape_of(draw, total, given=given, described=described)
    elapsed = draw(_elapsed)
    extra = draw(extras) if shape.extra else {}
    text = draw(texts) if shape.described else ""
    return {**meta_of(shape, position, total, text=text, elapsed=elapsed), **extra}


_elapsed: Final = st.integers(0, 120).map(lambda halves: halves / 2)


def json_values() -> st.SearchStrategy[Any]:
    """What any serialiser carries, and gives back as it was."""
    plain: st.SearchStrategy[Any] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),  # what a browser reads as it was
        st.text(max_size=8),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    return plain | st.lists(plain, max_size=2) | st.dictionaries(_keys(), plain, max_size=2)


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """Dicts of what any serialiser carries, with none of the keys that mean something."""
    return st.just({}) | st.dictionaries(_keys(), json_values(), max_size=2)


def _keys() -> st.SearchStrategy[str]:
    named = st.sampled_from(("file", "rows", "stage"))
    return named | st.text(min_size=1, max_size=5).filter(lambda key: key not in RESERVED)
