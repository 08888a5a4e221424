from __future__ import annotations

import copy
import pickle

import pytest

from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.core.failed import CheckFailed, ContractViolated
from pytest_taskprogress.core.transitions import History, Source, Transition

HISTORY = History(
    Transition(
        index,
        "task",
        "work",
        "1",
        "PROGRESS",
        "PROGRESS",
        {"percent": index},
        source=Source("tasks.py", 3),
    )
    for index in range(3)
)


def test_all_parts() -> None:
    """Headline, what was expected, the timeline with a mark, and what to do next."""
    error = CheckFailed(
        "work ends at 2 %",
        expected="100 %",
        transitions=HISTORY,
        at=[2],
        notes={1: "asked to abort"},
        allow="To allow it: do not ask.",
    )
    assert str(error).splitlines() == [
        "work ends at 2 %",
        "Expected: 100 %",
        "",
        "  # seconds old -> new           progress    message line",
        "  0   0.000 PROGRESS -> PROGRESS -------- 0%         tasks.py:3",
        "  -- asked to abort",
        "  1   0.000 PROGRESS -> PROGRESS #------- 1%         tasks.py:3",
        "> 2   0.000 PROGRESS -> PROGRESS #------- 2%         tasks.py:3",
        "",
        "To allow it: do not ask.",
    ]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "headline"),
        ({"expected": "x"}, "headline\nExpected: x"),
        ({"allow": "y"}, "headline\n\ny"),
        ({"at": [5]}, "headline"),
        ({"transitions": []}, "headline"),
    ],
    ids=str,
)
def test_missing_parts(parts: dict[str, object], text: str) -> None:
    """What is not known leaves no empty lines."""
    assert str(CheckFailed("headline", **parts)) == text  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [CheckFailed, ContractViolated])
def test_is_a_failure_of_a_test(cls: type[CheckFailed]) -> None:
    """pytest counts it as failed, and not as an error; it is one of ours all the same."""
    error = cls("headline")
    assert isinstance(error, AssertionError)
    assert isinstance(error, TaskProgressError)
    assert error.args == ("headline",)


@pytest.mark.parametrize("cls", [CheckFailed, ContractViolated])
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],  # noqa: S301
    ids=["copy", "deepcopy", "pickle"],
)
def test_travels(cls: type[CheckFailed], again: object) -> None:
    """A copy, as another process gets it, says the same."""
    error = cls("headline", expected="x", transitions=HISTORY, at=[0], notes={2: "n"}, allow="y")
    made = again(error)  # type: ignore[operator]
    assert type(made) is cls
    assert str(made) == str(error)
    assert (made.at, made.transitions) == (error.at, error.transitions)


def test_violations_travel() -> None:
    """So does what a contract adds."""
    error = ContractViolated("headline")
    assert (error.violations, error.run) == ((), None)
    error.violations = ("a", "b")
    assert pickle.loads(pickle.dumps(error)).violations == ("a", "b")  # noqa: S301


def test_lines_fit_where_pytest_prints_them() -> None:
    """pytest puts `E   ` before each: 76 columns are left of 80."""
    wide = [
        Transition(
            index,
            "task",
            f"tasks.{'long' * 9}_{index}",
            f"{index}",
            "PENDING",
            "PROGRESS",
            {"description": "row " * 50, "percent": 1},
            source=Source("a" * 90, 1),
        )
        for index in range(3)
    ]
    assert max(map(len, str(CheckFailed("x", transitions=wide)).splitlines())) <= 76
