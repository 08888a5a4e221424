from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from pytest_taskprogress import Progress
from pytest_taskprogress.properties import Unanswered
from pytest_taskprogress.properties.consuming.answers import Answer, Questions
from pytest_taskprogress.tasks.reading import Reading


def found(given, **questions):
    """The percentage and the end that are found."""
    answer = Questions(**questions).of(given)
    assert answer == Answer(given, answer.percent, answer.ended)
    return answer.percent, answer.ended


@pytest.mark.parametrize(
    ("given", "percent", "ended"),
    [
        (50, 50, None),
        (12.5, 12.5, None),
        (Decimal(3), Decimal(3), None),
        (None, None, None),
        (True, None, True),
        ({"percent": 5}, 5, None),
        ({"percent": None, "ended": False}, None, False),
        ({"percentage": 5, "done": 1}, 5, True),
        ({"progress": 5}, 5, None),
        ({"progress": {"percent": 5, "total": 3}, "complete": False}, 5, False),
        ({"progress": {}, "complete": True}, None, True),
        ({"progress": None, "complete": True}, None, True),
        ({"state": "PENDING", "complete": True}, None, True),
        (Progress(1, 4), 25.0, False),
        (Reading("PROGRESS", 5.0), 5.0, False),
        (SimpleNamespace(progress=SimpleNamespace(percent=5), ready=lambda: True), 5, True),
    ],
)
def test_where_people_put_it(given, percent, ended):
    """What most readers answer is understood."""
    assert found(given) == (percent, ended)


def test_extractors():
    """What is not where people put it can be said."""
    given = ("50%", "running")
    assert found(given, percent=lambda each: int(each[0][:-1])) == (50, None)
    assert found(given, ended=lambda each: each[1] != "running") == (None, False)
    assert found({"percent": 3, "complete": False}, percent=lambda each: 7) == (7, False)


@pytest.mark.parametrize("given", ["50%", b"", (), [1], {}, {"state": "SUCCESS"}, object()])
def test_nothing_to_be_found(given):
    """An answer in which there is nothing is an error that says what to do."""
    with pytest.raises(Unanswered, match="say where it is, as by percent=lambda"):
        found(given)
