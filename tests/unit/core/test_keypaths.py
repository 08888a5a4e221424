from __future__ import annotations

import json
from collections import UserDict
from typing import Any

import pytest

from pytest_taskprogress.core.keypaths import contains_itself, culprit

BAD = object()
SET = {1}


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text for this")


@pytest.mark.parametrize(
    ("value", "path", "part"),
    [
        pytest.param(BAD, "meta", BAD, id="the whole value"),
        pytest.param({"a": BAD}, "meta['a']", BAD, id="a key"),
        pytest.param({"a": 1, "b": BAD}, "meta['b']", BAD, id="the second key"),
        pytest.param([1, BAD], "meta[1]", BAD, id="an item"),
        pytest.param((BAD,), "meta[0]", BAD, id="an item of a tuple"),
        pytest.param({"u": {"t": [0, {"x": SET}]}}, "meta['u']['t'][1]['x']", SET, id="nested"),
        pytest.param({"a": BAD, "b": SET}, "meta['a']", BAD, id="the first of two"),
        pytest.param({"a": SET}, "meta['a']", SET, id="no look into what is no container"),
    ],
)
def test_path_to_the_part_that_is_refused(value: Any, path: str, part: object) -> None:
    """The path is what one would write in Python, and the part is the object itself."""
    found_path, found = culprit(value, json.dumps, "meta")
    assert found_path == path
    assert found is part


def test_key_that_is_refused_is_named_once() -> None:
    """A key that cannot be encoded is told as a key, and named once."""
    path, _ = culprit({"a": {(1, 2): 3}}, json.dumps, "meta")
    assert path == "meta['a'] key (1, 2)"


def test_key_that_is_refused_is_found_among_others() -> None:
    """Keys that are text, and others that can be encoded, are passed over."""
    path, key = culprit({"a": 1, 2: 3, (4, 5): 6}, json.dumps, "meta")
    assert (path, key) == ("meta key (4, 5)", (4, 5))


def test_key_that_is_no_text_but_can_be_encoded_is_passed_over() -> None:
    """JSON takes a number as a key: the culprit is elsewhere."""
    path, part = culprit({1: "a", 2: BAD}, json.dumps, "meta")
    assert (path, part) == ("meta[2]", BAD)


def test_any_mapping_is_looked_into() -> None:
    """A mapping need not be a dict."""

    def encode(value: Any) -> str:
        return json.dumps(value, default=dict)

    path, part = culprit(UserDict(a=1, b=[BAD]), encode, "meta")
    assert path == "meta['b'][0]"
    assert part is BAD


def test_whole_value_where_each_part_can_be_encoded() -> None:
    """An encoder that refuses only the sum of the parts refuses the whole."""

    def encode(value: object) -> None:
        if isinstance(value, list) and len(value) > 1:
            raise ValueError("too long")

    assert culprit([1, 2], encode, "args") == ("args", [1, 2])


def test_value_that_contains_itself_comes_to_an_end() -> None:
    """A circle is followed once, not for ever."""
    circle: list[Any] = []
    circle.append(circle)
    path, part = culprit(circle, json.dumps, "meta")
    assert path == "meta[0]"
    assert part is circle


def test_values_that_contain_themselves() -> None:
    """A circle is found however deep it is; a part that is there twice is none."""
    inner: dict[str, Any] = {"a": [1, {}]}
    assert not contains_itself([inner, inner])
    inner["a"][1]["b"] = inner
    assert contains_itself(({"x": inner},))


def test_key_without_a_text_does_not_hide_the_refusal() -> None:
    """A key whose repr raises does not raise out of the search for the culprit."""
    path, part = culprit({_Unprintable(): 1, "a": BAD}, json.dumps, "meta")
    assert path.startswith("meta")
    assert part is not None
