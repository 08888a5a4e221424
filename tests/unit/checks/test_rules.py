from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from pytest_taskprogress.checks import RULES, Contract
from pytest_taskprogress.checks.rules.base import seconds, whole
from pytest_taskprogress.checks.rules.pace import Budget
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.aborts import AbortRequest
from pytest_taskprogress.core.errors import RuleError
from pytest_taskprogress.core.starts import Start
from pytest_taskprogress.core.states import PENDING, TERMINAL_STATES
from pytest_taskprogress.core.transitions import Source, Transition

HUGE = 10**400
NAN, INFINITE = math.nan, math.inf


def written(*items: Any, dropped: tuple[int, ...] = ()) -> list[Transition]:
    """What one task wrote: metas of a PROGRESS, states, or pairs; one each second."""
    made, old = [], PENDING
    for index, item in enumerate(items):
        state, meta = item if isinstance(item, tuple) else ("PROGRESS", item)
        if isinstance(item, str):
            state, meta = item, {}
        values = meta if isinstance(meta, dict) else {}
        kind = "retry" if state == "RETRY" else "task"
        stored = index not in dropped
        made.append(
            Transition(
                index, kind, "work", "1", old, state, values, meta or None, float(index), stored
            )
        )
        old = state if stored else old
    return made


def found(name: str, *items: Any, figure: Any = True, **record: Any) -> list[str]:
    """What a rule says of what a task wrote."""
    rule = RULES[name]
    if rule.figure is not None:
        figure = rule.figure.parse(figure)
    transitions = list(items) if isinstance(items[0], Transition) else written(*items)
    task = JudgedTask("work", transitions, **record)
    if rule.of_reports and not task.reports:
        return []
    return [message for _, message in rule.check(task, figure)]


def percents(*values: object) -> list[dict[str, object]]:
    """Metas that have a percent alone."""
    return [{"percent": value} for value in values]


def counts(total: object, *values: object) -> list[dict[str, object]]:
    """Metas that count."""
    return [{"current": value, "total": total} for value in values]


# -- of all of them -------------------------------------------------------------------------------

WEIRD = [None, NAN, INFINITE, -INFINITE, True, False, "50", "", HUGE, -HUGE, 0, -0.0, 1e308, 5e-324]
WEIRD += [Decimal(50), Decimal("NaN"), [1], {}, b"1", 1 + 2j, Fraction(1, 3), 10**5000]


@pytest.mark.parametrize("name", RULES)
def test_no_value_breaks_a_rule(name: str) -> None:
    """Whatever is stored as percent, current, total or description: it is judged, or let be."""
    figures = {"write-budget": (1, 1.0), "described": 3, "abort-honoured": 0}
    figure = figures.get(name, 0.5)
    metas: list[object] = [{key: value} for key in ("percent", "current") for value in WEIRD]
    metas += [{"current": one, "total": two} for one in WEIRD for two in WEIRD]
    metas += [{"percent": value, "current": 1, "total": 2, "description": value} for value in WEIRD]
    messages = found(name, "STARTED", *metas, ("SUCCESS", {"percent": NAN}), figure=figure)
    assert all(isinstance(each, str) for each in messages)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "states",
    [
        [one, *rest]
        for one in ("PROGRESS", "RETRY", "FAILURE", "BUSY")
        for rest in ([], ["SUCCESS"])
    ],
    ids=" ".join,
)
def test_no_meta_breaks_a_rule(name: str, states: list[str]) -> None:
    """A meta need not be a dict, and there need not be one."""
    for meta in (None, "text", 5, [1], {}, {"exc_type": None}, ValueError("x")):
        figure = {"write-budget": (1, 1.0), "described": 3, "abort-honoured": 0}.get(name, 0.5)
        found(name, *((each, meta) for each in states), figure=figure)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.of_reports])
def test_rules_about_progress(name: str) -> None:
    """They say nothing of a task that does not report."""
    figures = {"max_gap": 0, "first_report": 0, "write_budget": 1, "described": 5}
    contract = Contract().having(**figures)
    assert contract.violations(written("STARTED", ("SUCCESS", {"percent": NAN, "total": -1}))) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_each_has_a_reason(rule: Any) -> None:
    """A reason fits in a line, and so does what its figure is."""
    assert 20 < len(rule.reason) < 80
    assert rule.name == rule.name.lower().replace("_", "-").strip()
    if rule.figure is not None:
        assert 20 < len(rule.figure.what) < 80


# -- monotonic ------------------------------------------------------------------------------------

FALLING = [
    pytest.param(percents(50, 40), "40 % after 50 %", id="percent"),
    pytest.param(percents(50, None, 40), "40 % after 50 %", id="over one without"),
    pytest.param(percents(1.0, 0.99999), "0.99999 % after 1 %", id="by a little"),
    pytest.param(percents(33.333333, 33.333331), "33.333331 % after 33.333333 %", id="digits"),
    pytest.param(counts(10, 5, 4), "40 % after 50 %", id="current of total"),
    pytest.param(counts(None, 5, 4), "current=4 after current=5", id="current alone"),
    pytest.param(counts(0, 5, 4), "current=4 after current=5", id="of a total of 0"),
    pytest.param(counts(HUGE, HUGE, 1), "current=1 after current=1000", id="beyond floats"),
    pytest.param(
        [{"percent": 50}, {"current": 1, "total": 10}], "10 % after 50 %", id="one of each"
    ),
    pytest.param(
        [{"current": 5}, {"description": "busy"}, {"current": 4}], "current=4", id="in between"
    ),
    pytest.param(
        ["STARTED", *percents(50), "RETRY", "STARTED", *percents(20, 10)], "10 %", id="attempt"
    ),
    pytest.param([("BUSY", {"percent": 9}), ("BUSY", {"percent": 8})], "8 % after", id="own state"),
]
RISING = [
    pytest.param(percents(50, 50, 50.0, 51), id="standing still"),
    pytest.param(percents(50, 49.9999999999), id="noise"),
    pytest.param(percents(50), id="one"),
    pytest.param(percents("50", "40", None), id="no numbers"),
    pytest.param(percents(50, NAN, 60), id="NaN"),
    pytest.param([*counts(10, 5), *counts(100, 4)][:1], id="one count"),
    pytest.param([*counts(None, 5), *counts(10, 4)], id="a total that becomes known"),
    pytest.param(["STARTED", *percents(50), "RETRY", *percents(10)], id="retry"),
    pytest.param(["STARTED", *percents(50), "STARTED", *percents(10)], id="delivered again"),
    pytest.param([("LOADING", {"percent": 99}), ("SAVING", {"percent": 1})], id="phases"),
    pytest.param([*percents(100), ("SUCCESS", {"percent": 5})], id="a result is no report"),
]


@pytest.mark.parametrize(("items", "message"), FALLING)
def test_monotonic_finds(items: list[Any], message: str) -> None:
    """Progress that falls, within an attempt, is told once."""
    (told,) = found("monotonic", *items)
    assert message in told


@pytest.mark.parametrize("items", RISING)
def test_monotonic_lets(items: list[Any]) -> None:
    """Progress that does not fall, as far as one can know."""
    assert found("monotonic", *items) == []


def test_monotonic_goes_on_from_there() -> None:
    """After a fall the lower one counts: each fall is told."""
    assert len(found("monotonic", *percents(90, 10, 20, 30, 5))) == 2


def test_monotonic_knows_starts() -> None:
    """A message that is delivered again begins anew, also where no STARTED is stored."""
    reports = percents(25, 75, 25, 50)
    assert found("monotonic", *reports)
    assert found("monotonic", *reports, starts=(Start(0.0, 0), Start(2.0, 2))) == []


def test_a_dropped_report_does_not_count() -> None:
    """What the backend dropped nobody has seen."""
    reports = written(*percents(50, 10, 60), dropped=(1,))
    assert found("monotonic", *reports) == []


# -- bounded --------------------------------------------------------------------------------------

OUT_OF_BOUNDS = [
    ({"percent": 166.67}, "percent=166.67 is more than 100"),
    ({"percent": -33.33}, "percent=-33.33 is negative"),
    ({"percent": 100.001}, "percent=100.001 is more than 100"),
    ({"percent": NAN}, "percent=nan is no finite number"),
    ({"percent": INFINITE}, "percent=inf is no finite number"),
    ({"percent": -INFINITE}, "percent=-inf is no finite number"),
    ({"percent": "50"}, "percent='50' is no number"),
    ({"percent": True}, "percent=True is no number"),
    ({"current": "5", "total": 7}, "current='5' is no number"),
    ({"current": [5]}, "current=[5] is no number"),
    ({"percent": Decimal(50)}, "percent=Decimal('50') is no number"),
    ({"current": HUGE}, "is no finite number"),
    ({"current": -1}, "current=-1 is negative"),
    ({"current": 5, "total": 4}, "current=5 is more than total=4"),
    ({"total": -4}, "total=-4 is negative"),
    ({"current": 0, "total": 0}, "total=0 without a percent"),
    ({"total": 0.0}, "total=0 without a percent"),
    ({"current": 1, "total": 0, "percent": 100}, "current=1 is more than total=0"),
]


@pytest.mark.parametrize(("meta", "message"), OUT_OF_BOUNDS, ids=str)
def test_bounded_finds(meta: dict[str, Any], message: str) -> None:
    """Numbers that no bar can show, and what is no number."""
    (told,) = found("bounded", meta)
    assert message in told


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"percent": 0},
        {"percent": -0.0},
        {"percent": 100},
        {"percent": 100.00000000000001},
        {"percent": None, "current": None, "total": None},
        {"current": 7},
        {"current": 7, "total": None},
        {"current": 10**300, "total": 10**300},
        {"total": 5},
        {"current": 0, "total": 0, "percent": 100},
        {"current": 0, "total": 0, "percent": 0},
        {"n": -5, "percentage": 300},
        {"current": "a.txt"},
        {"current": "a.txt", "total": None},
    ],
    ids=str,
)
def test_bounded_lets(meta: dict[str, Any]) -> None:
    """The edges, sums of floats, and what is not known."""
    assert found("bounded", meta) == []


def test_bounded_says_all_of_a_report() -> None:
    """One message for each report, with all that is wrong with it."""
    (told,) = found("bounded", {"percent": 250, "current": -5, "total": "many"})
    assert told == "current=-5 is negative, total='many' is no number, percent=250 is more than 100"


# -- consistent -----------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 3, 7, 9, 11, 33, 97, 1000])
@pytest.mark.parametrize("digits", [None, 0, 1, 2, 3, 5])
def test_consistent_lets_be_rounded(total: int, digits: int | None) -> None:
    """Rounded to any number of decimals, cut to a whole, or rounded up."""
    exact = [(number, number / total * 100) for number in range(total + 1)]
    reports = [
        {"current": n, "total": total, "percent": p if digits is None else round(p, digits)}
        for n, p in exact
    ]
    whole = [
        {"current": n, "total": total, "percent": how(p)}
        for how in (int, math.ceil, round)
        for n, p in exact
    ]
    assert found("consistent", *reports, *whole) == []


@pytest.mark.parametrize(
    ("percent", "current", "total"),
    [(50, 1, 4), (0.25, 1, 4), (26.5, 1, 4), (25.2, 1, 4), (25.02, 1, 4), (0, 4, 4), (100, 5, 4)],
)
def test_consistent_finds(percent: float, current: int, total: int) -> None:
    """Two truths: a fraction for a percentage, steps for bytes, a bar that was cut off."""
    (told,) = found("consistent", {"percent": percent, "current": current, "total": total})
    assert told.startswith(f"percent={percent!r}, but {current} of {total} is ")


@pytest.mark.parametrize(
    "meta",
    [
        {"percent": 7},
        {"current": 7, "total": 8},
        {"percent": 7, "current": 7},
        {"percent": 7, "current": 7, "total": None},
        {"percent": 100, "current": 0, "total": 0},
        {"percent": "7", "current": 7, "total": 8},
        {"percent": NAN, "current": 7, "total": 8},
        {"percent": 7, "current": HUGE, "total": HUGE},
    ],
    ids=",".join,
)
def test_consistent_lets(meta: dict[str, Any]) -> None:
    """Where there are no two truths, or one is none: that is for `bounded`."""
    assert found("consistent", meta) == []


# -- complete -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        [*percents(75), "SUCCESS"],
        [*counts(4, 0, 1, 2, 3), "SUCCESS"],
        [*percents(100, 99), "SUCCESS"],
        [*percents(75), ("SUCCESS", {"percent": 12.5})],
        [*percents(100), "RETRY", *percents(50), "SUCCESS"],
        [*percents(99.999), "SUCCESS"],
        [*percents(75), {"description": "tidying up"}, "SUCCESS"],
        ["STARTED", *percents(0), ("SUCCESS", "text")],
    ],
    ids=str,
)
def test_complete_finds(items: list[Any]) -> None:
    """The last report of the last attempt falls short, and the end does not make it up."""
    (told,) = found("complete", *items)
    assert "whoever watches sees it stop short" in told
    assert "100 %" not in told


@pytest.mark.parametrize(
    "items",
    [
        [*percents(100), "SUCCESS"],
        [*percents(100.00000001), "SUCCESS"],
        [*percents(99.99999999), "SUCCESS"],
        [*percents(166), "SUCCESS"],
        [*percents(50)],
        [*percents(50), "FAILURE"],
        [*percents(50), "ABORTED"],
        [*percents(50), "REVOKED"],
        [*percents(50), "RETRY"],
        [*percents(50), ("SUCCESS", {"percent": 100})],
        [*counts(9, 8), ("SUCCESS", {"current": 9, "total": 9, "result": 42})],
        [*percents(100), ("SUCCESS", {"percent": 12.5})],
        [*percents(100), ("SUCCESS", {"current": 1, "total": 10})],
        [*counts(None, 1, 2, 3), "SUCCESS"],
        [*percents(None), {"description": "busy"}, "SUCCESS"],
        [*percents(NAN), "SUCCESS"],
        [*percents("75"), "SUCCESS"],
        [*percents(50), "RETRY", "SUCCESS"],
        [*percents(100), {"description": "tidying up"}, "SUCCESS"],
    ],
    ids=str,
)
def test_complete_lets(items: list[Any]) -> None:
    """100 % from the last report or with SUCCESS; another end; where nobody knows."""
    assert found("complete", *items) == []


def test_complete_lets_an_aborted_task_be() -> None:
    """A task that was asked to abort may succeed with what it has."""
    asked = (AbortRequest("1", 0.0, 1),)
    assert found("complete", *percents(10), "SUCCESS", aborts=asked) == []


def test_complete_with_a_success_that_was_dropped() -> None:
    """What counts is what was stored."""
    transitions = written("SUCCESS", *percents(5), dropped=(1,))
    assert found("complete", *transitions) == []


# -- stable-total ---------------------------------------------------------------------------------


def test_stable_total_finds_each_change() -> None:
    """Each total that is not the one before, within an attempt and a state."""
    told = found("stable-total", *({"current": 1, "total": total} for total in (10, 12, 12, 10)))
    assert told == ["total=12 after total=10", "total=10 after total=12"]


@pytest.mark.parametrize(
    "items",
    [
        counts(10, 1, 2),
        [{"total": 10}, {"total": 10.0}, {"total": None}, {}, {"total": 10}],
        [*counts(10, 1), "RETRY", *counts(5, 1)],
        [("LOADING", {"total": 3}), ("SAVING", {"total": 5})],
        [*counts(10, 10), ("SUCCESS", {"total": 3})],
    ],
    ids=["one", "equal, or not known", "retry", "phases", "a result is no report"],
)
def test_stable_total_lets(items: list[Any]) -> None:
    """A total that stays, or is that of something else."""
    assert found("stable-total", *items) == []


# -- serializable ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (NAN, "meta['x'] is nan"),
        (INFINITE, "meta['x'] is inf"),
        ([1, {"deep": (0, NAN)}], "meta['x'][1]['deep'][1] is nan"),
        (b"raw", "meta['x'] is b'raw'"),
        ({1, 2}, "meta['x'] is {1, 2}"),
        (1j, "meta['x'] is 1j"),
        (ValueError("no"), "meta['x'] is ValueError('no')"),
        (timedelta(1), "meta['x'] is datetime.timedelta"),
        ({("a", 1): 2}, "meta['x']"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_serializable_finds(value: object, part: str) -> None:
    """The path to what no browser reads, once a write."""
    (told,) = found("serializable", {"x": value, "y": NAN})
    assert told.startswith(part)


def test_serializable_finds_what_contains_itself() -> None:
    """Also what has no end."""
    endless: list[object] = []
    endless.append(endless)
    (told,) = found("serializable", {"x": endless})
    assert "meta['x']" in told


@pytest.mark.parametrize(
    "value",
    [
        *(None, "text", "\ud800", True, 5, -0.0, 10**400, [], {}, [[{"a": [1, 2.5]}]], (1, 2)),
        *(date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=timezone.utc), Decimal("1.50")),
        *(UUID(int=5), {1: "a"}, {"a": [UUID(int=5)]}),
    ],
    ids=ascii,
)
def test_serializable_lets(value: object) -> None:
    """JSON, and what Celery carries in it and web frameworks encode."""
    assert found("serializable", {"x": value}, ("SUCCESS", {"y": value})) == []


def test_serializable_looks_at_what_is_read() -> None:
    """Not at errors, which no browser gets, nor at what the backend dropped."""
    error = ("FAILURE", {"exc_type": "E", "x": NAN})
    assert found("serializable", {"x": 1}, error) == []
    assert found("serializable", *written({"x": 1}, "SUCCESS", {"x": NAN}, dropped=(2,))) == []
    assert found("serializable", {"x": 1}, ("SUCCESS", {"x": NAN}))
    assert "result is nan" in found("serializable", {"x": 1}, ("SUCCESS", NAN))[0]
    assert "result[1] is inf" in found("serializable", {"x": 1}, ("SUCCESS", [0, INFINITE]))[0]


# -- readable -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        ("FAILURE", {"why": "full"}),
        ("FAILURE", "full"),
        ("FAILURE", None),
        ("RETRY", {"why": "later"}),
        ("RETRY", "later"),
    ],
    ids=str,
)
def test_readable_finds(item: tuple[str, object]) -> None:
    """What reads back as no exception."""
    (told,) = found("readable", item)
    assert told.startswith(f"{item[0]} was stored without an exception")
    assert "Observer.fail()" in told


@pytest.mark.parametrize(
    "item",
    [
        ("FAILURE", {"exc_type": "E", "exc_message": ["no"], "exc_module": "m"}),
        ("FAILURE", {"exc_type": "E"}),
        ("FAILURE", ValueError("no")),
        ("RETRY", ValueError("no")),
        ("RETRY", None),
        ("REVOKED", "expired"),
        ("ABORTED", None),
        ("SUCCESS", "fine"),
    ],
    ids=str,
)
def test_readable_lets(item: tuple[str, object]) -> None:
    """Exceptions, a retry that gives none, and states that read back as what they are."""
    assert found("readable", item) == []


def test_readable_of_a_dropped_write() -> None:
    """What was not stored nobody reads."""
    assert found("readable", *written("SUCCESS", ("FAILURE", {"a": 1}), dropped=(1,))) == []


# -- terminal -------------------------------------------------------------------------------------

BEGUN = (Start(0.0, 0),)


@pytest.mark.parametrize("state", ["STARTED", "PROGRESS", "BUSY", "RETRY", "RECEIVED"])
def test_terminal_finds(state: str) -> None:
    """A task that a worker began, of which nothing more can come, and that is in no end."""
    (told,) = found("terminal", state, ended=True, starts=BEGUN)
    assert f"{state} is what everybody reads for ever" in told


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_terminal_lets_ends(state: str) -> None:
    """Each end is one."""
    assert found("terminal", "PROGRESS", state, ended=True, starts=BEGUN) == []


@pytest.mark.parametrize(
    ("states", "why"),
    [
        (["PROGRESS"], "Ignore and Reject leave the last write"),
        (["PROGRESS", "RETRY"], "the attempt that it asked for never came"),
        (["FAILURE", "PROGRESS"], "it was written over the end"),
    ],
    ids=str,
)
def test_terminal_says_why(states: list[str], why: str) -> None:
    """How a task can come to that."""
    (told,) = found("terminal", *states, ended=True, starts=BEGUN)
    assert why in told


def test_terminal_of_what_may_go_on() -> None:
    """A history alone does not say that it is over; a record of no task has no end."""
    assert found("terminal", "PROGRESS") == []
    assert found("terminal", "PROGRESS", starts=BEGUN) == []
    assert found("terminal", "PROGRESS", ended=True) == []
    assert found("terminal", *written("SUCCESS", dropped=(0,)), ended=True, starts=BEGUN) == []


# -- no-zombie, abort-survives --------------------------------------------------------------------

ZOMBIES = [
    (["FAILURE", "PROGRESS"], "PROGRESS was stored over FAILURE"),
    (["FAILURE", "STARTED"], "STARTED was stored over FAILURE"),
    (["FAILURE", "SUCCESS"], "replaced by SUCCESS when the function returned: so Celery does"),
    (["REVOKED", "SUCCESS"], "replaced by SUCCESS when the function returned: revoke() does noth"),
    (["REVOKED", "BUSY"], "BUSY was stored over REVOKED"),
    ([("ABORTED", {"pending": False}), "PROGRESS"], "PROGRESS was stored over ABORTED"),
]


@pytest.mark.parametrize(("items", "message"), ZOMBIES, ids=str)
def test_no_zombie_finds(items: list[Any], message: str) -> None:
    """What makes a task that has ended look alive."""
    (told,) = found("no-zombie", *items)
    assert message in told
    assert found("abort-survives", *items) == []


def test_no_zombie_knows_what_was_before() -> None:
    """The end of an earlier run of the same task, as a message with its id is published again."""
    (before,) = written("FAILURE")
    again = Transition(5, "task", "work", "1", "FAILURE", "PROGRESS")
    (told,) = found("no-zombie", again, before=before)
    assert "PROGRESS was stored over FAILURE" in told
    assert found("no-zombie", again) == []


def test_no_zombie_and_reports_after_success() -> None:
    """A report that is dropped is one too many, unless the message was delivered again."""
    writes = written("SUCCESS", "STARTED", "PROGRESS", "BUSY", dropped=(1, 2, 3))
    told = found("no-zombie", *writes, starts=(Start(0.0, 0),))
    assert [each.partition(":")[0] for each in told] == [
        "PROGRESS was reported after SUCCESS",
        "BUSY was reported after SUCCESS",
    ]
    assert found("no-zombie", *writes, starts=(Start(0.0, 0), Start(1.0, 1, again=True))) == []


def test_no_zombie_finds_what_was_dropped() -> None:
    """A FAILURE, or another result, after SUCCESS is lost."""
    assert "the task raised" in found("no-zombie", *written("SUCCESS", "FAILURE", dropped=(1,)))[0]
    other = written(("SUCCESS", 1), ("SUCCESS", 2), dropped=(1,))
    assert "what the function returned, 2, is lost" in found("no-zombie", *other)[0]


@pytest.mark.parametrize(
    ("items", "dropped"),
    [
        (["FAILURE", "FAILURE"], ()),
        (["REVOKED", "REVOKED"], ()),
        ([("ABORTED", {"pending": False}), "ABORTED"], ()),
        ([("ABORTED", {"pending": False}), "STARTED"], ()),
        ([("SUCCESS", 1), ("SUCCESS", 1)], (1,)),
        ([("SUCCESS", 1), ("SUCCESS", None)], (1,)),
        (["SUCCESS", "STARTED"], (1,)),
        (["PROGRESS", "SUCCESS"], ()),
    ],
    ids=str,
)
def test_no_zombie_lets(items: list[Any], dropped: tuple[int, ...]) -> None:
    """What says the same again, and what a message that is delivered again comes to."""
    assert found("no-zombie", *written(*items, dropped=dropped)) == []


@pytest.mark.parametrize("state", ["STARTED", "PROGRESS", "BUSY", "SUCCESS", "FAILURE", "RETRY"])
def test_abort_survives_finds(state: str) -> None:
    """Whatever is stored over a request of Celery's AbortableTask, which has no meta."""
    (told,) = found("abort-survives", "PROGRESS", "ABORTED", state)
    assert f"is lost: {state} was stored over ABORTED by the worker" in told
    assert found("no-zombie", "PROGRESS", "ABORTED", state) == []


def test_abort_survives_names_both_lines() -> None:
    """Who asked, and what erased it."""
    asked = Transition(0, "task", "work", "1", "PENDING", "ABORTED", source=Source("view.py", 5))
    erased = Transition(1, "task", "work", "1", "ABORTED", "PROGRESS", source=Source("tasks.py", 9))
    (told,) = found("abort-survives", asked, erased)
    assert "asked for, at view.py:5, is lost" in told
    assert "over ABORTED at tasks.py:9." in told


# -- abort-honoured -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reports", "checks", "most", "breaks"),
    [(0, 0, 0, False), (1, 1, 1, False), (2, 0, 1, True), (0, 2, 1, True), (1, 0, 0, True)],
)
def test_abort_honoured(reports: int, checks: int, most: int, breaks: bool) -> None:  # noqa: FBT001
    """Reports and checks after the request count, each for itself."""
    told = found(
        "abort-honoured",
        *percents(10, *[20] * reports),
        "ABORTED",
        figure=most,
        aborts=(AbortRequest("1", 0.5, 1),),
        checks_after_abort=checks,
    )
    assert bool(told) is breaks
    if breaks:
        assert told[0].startswith("it was asked to abort at 0.5 s")
        assert "base=AbortableTask" in told[0]


def test_abort_honoured_where_nobody_asked() -> None:
    """Then there is nothing to honour."""
    assert found("abort-honoured", *percents(1, 2, 3), figure=0, checks_after_abort=9) == []


# -- pace -----------------------------------------------------------------------------------------


def test_first_report() -> None:
    """From the start of each attempt that is known to its first report."""
    assert found("first-report", "STARTED", *percents(1), figure=1) == []
    assert found("first-report", "STARTED", *percents(1), figure=0.5)
    assert found("first-report", *percents(1), figure=0) == []
    late = found("first-report", *percents(1), figure=1, starts=(Start(-3.0, 0),))
    assert late == ["the first report came after 3 s: expected 1 s at most"]
    again = ["STARTED", *percents(1), "RETRY", "STARTED", "BUSY"]
    assert found("first-report", *again, figure=0.999)[1:] == [
        "the first report came after 1 s: expected 0.999 s at most"
    ]
    assert found("first-report", "STARTED", *percents(1), "STARTED", "SUCCESS", figure=1) == []


def test_max_gap() -> None:
    """Between two writes of an attempt; the wait for the next one is none."""
    at = [0, 1, 31, 91, 92, 122.5]
    states = ["STARTED", "PROGRESS", "RETRY", "STARTED", "PROGRESS", "SUCCESS"]
    history = [
        Transition(i, "task", "work", "1", old, new, at=at[i])
        for i, (old, new) in enumerate(pairwise(["PENDING", *states]))
    ]
    assert found("max-gap", *history, figure=30) == [
        "nothing was written for 30.5 s: expected 30 s at most"
    ]
    assert len(found("max-gap", *history, figure=29.9)) == 2
    assert found("max-gap", *history, figure="30.5") == []


def test_write_budget() -> None:
    """More reports than allowed, and steps that nobody sees; the last report may be a small one."""
    assert found("write-budget", *percents(1, 2, 3), figure=3) == []
    assert "3 reports: expected 2 at most" in found("write-budget", *percents(1, 2, 3), figure=2)[0]
    steps = percents(*(round(n / 10, 1) for n in range(1001)))
    assert found("write-budget", *steps, figure="2000, 0.1") == []
    assert (
        "1 steps of less than 5 percentage points"
        in found("write-budget", *percents(0, 5, 9, 100), figure=(9, 5))[0]
    )
    assert found("write-budget", *percents(0, 50, 99, 100), figure=(9, 5)) == []
    assert found("write-budget", *percents(None, None, 1, None), figure=(9, 5)) == []


def test_described() -> None:
    """Characters that people read: spaces at the ends are none."""
    metas = [{"description": text} for text in ("abc", "  ab  ", "", None, 5)]
    assert found("described", *metas, figure=3) == [
        "description='ab': expected 3 characters or more",
        *["no description: expected 3 characters or more"] * 3,
    ]
    assert found("described", metas[0], figure=3) == []


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, 2.5, "3", " 4.5 ", "1e3", Fraction(1, 2), True + 0])
def test_seconds(value: Any) -> None:
    """Numbers of 0 or more, as text too."""
    assert seconds(value) == float(value)


@pytest.mark.parametrize(
    "value", [-1, "x", "", None, NAN, INFINITE, "inf", "nan", True, [], HUGE, 1j, "1s"], ids=str
)
def test_what_is_no_seconds(value: Any) -> None:
    """Anything else is refused, with what is valid."""
    with pytest.raises(ValueError, match="expected seconds, 0 or more"):
        seconds(value)


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, 1.5, "x", "", "1.5", None, NAN, True, [], 1j, {}], ids=str
)
def test_what_is_no_whole_number(value: Any) -> None:
    """As above."""
    with pytest.raises(ValueError, match="expected a whole number, 1 or more"):
        whole(1)(value)
    with pytest.raises(RuleError, match=r"'described' goes by characters .* expected a whole"):
        Contract().having(described=value if value is not None else "None")


@pytest.mark.parametrize(
    ("value", "budget"),
    [
        (5, (5, 0.0)),
        ("5", (5, 0.0)),
        ("100, 1", (100, 1.0)),
        ((100, 0.5), (100, 0.5)),
        (["7"], (7, 0.0)),
        (Budget(3, 2), (3, 2.0)),
    ],
    ids=str,
)
def test_budgets(value: Any, budget: tuple[int, float]) -> None:
    """A number of reports, and maybe the smallest step."""
    assert Contract().having(write_budget=value).figures == {"write-budget": budget}


@pytest.mark.parametrize(
    "value", [0, "x", (), (1, 2, 3), "1,2,3", (1, -1), {}, True, "5,"], ids=str
)
def test_what_is_no_budget(value: Any) -> None:
    """As above; the message shows how."""
    with pytest.raises(RuleError, match=r"as in \(100, 1.0\), got "):
        Contract().having(write_budget=value)
