# ruff: noqa: D103 - what each is for its name says
"""Tests that fail, each in another way: what do they say?"""

from __future__ import annotations

import pytest
from shop import add, app, falls, import_users, long_one, read_file, send_letters

from pytest_taskprogress import (
    EagerEngine,
    assert_aborted,
    assert_final,
    assert_progress,
    assert_states,
    progress,
    state,
)
from pytest_taskprogress.scenario import Abort, at_percent


def test_states(taskprogress):
    run = taskprogress.run(import_users, [1, 2])
    assert run.states == ["STARTED", "PROGRESS", "PROGRESS", "SUCCESS"]


def test_percents(taskprogress):
    run = taskprogress.run(import_users, [1, 2, 3, 4])
    assert run.percents == [25.0, 50.0, 70.0, 100.0]


def test_history(taskprogress):
    run = taskprogress.run(import_users, [1, 2])
    assert run.history == ["PROGRESS", "PROGRESS"]


def test_matches(taskprogress):
    run = taskprogress.run(import_users, [1, 2])
    assert run.matches("PROGRESS{3} SUCCESS")


def test_matches_a_list(taskprogress):
    run = taskprogress.run(import_users, [1, 2])
    assert run.matches([progress(1, 2), progress(percent=99), state("SUCCESS")])


def test_state(taskprogress):
    run = taskprogress.run(read_file, "users.csv")
    assert run.state == "SUCCESS"


def test_result(taskprogress):
    taskprogress.run(import_users, [1])
    assert taskprogress.run(add, 1, 2).result == 4


def test_assert_states(taskprogress):
    assert_states(taskprogress.run(import_users, [1, 2]), "PROGRESS SUCCESS")


def test_assert_progress(taskprogress):
    assert_progress(taskprogress.run(import_users, [1, 2]), [50.0, 99.0])


def test_assert_final(taskprogress):
    assert_final(taskprogress.run(read_file, "users.csv"), "SUCCESS")


def test_assert_aborted(taskprogress):
    run = taskprogress.under(Abort(at_percent(50))).run(send_letters, ["Ann", "Bob", "Cy", "Di"])
    assert_aborted(run, reports=1)


def test_check(taskprogress):
    taskprogress.run(falls).check("monotonic")


@pytest.mark.taskprogress(strict=True)
def test_strict(taskprogress):
    taskprogress.run(falls)


@pytest.mark.taskprogress(strict=True)
def test_strict_delay(taskprogress):
    falls.delay()


def test_nothing_ran(taskprogress):
    assert taskprogress.history.states == ["SUCCESS"]


def test_nothing_ran_helper(taskprogress):
    assert_states(taskprogress.history, "SUCCESS")


def test_several(taskprogress):
    for count in range(1, 9):
        run = taskprogress.run(import_users, list(range(count)))
    assert run.state == "FAILURE"


def test_delay(taskprogress):
    assert falls.delay().state == "FAILURE"


def test_long(taskprogress):
    run = taskprogress.run(long_one, 5_000)
    assert run.matches("PROGRESS{2500} SUCCESS")


def test_escapes(taskprogress):
    run = taskprogress.run(send_letters, ["\x1b[31mred\x1b]0;title\x07", "<blink>\r\n\u202e"])
    assert run.state == "FAILURE"


@pytest.fixture
def fails_first(taskprogress):
    assert taskprogress.run(import_users, [1]).state == "FAILURE"


@pytest.fixture
def fails_last(taskprogress):
    yield
    assert taskprogress.run(import_users, [1]).state == "FAILURE"


@pytest.fixture
def fails_alone():
    raise RuntimeError


def test_setup(fails_first):
    pass


def test_teardown(fails_last):
    pass


def test_setup_of_others(taskprogress, fails_alone):
    pass


@pytest.fixture
def engine():
    with EagerEngine(app) as engine:
        yield engine


def test_own_fixture(engine):
    assert engine.run(import_users, [1]).state == "FAILURE"


def test_own_engine():
    with EagerEngine(app) as engine:
        assert engine.run(import_users, [1]).state == "FAILURE"


def test_no_engine():
    raise RuntimeError("no task")
