"""A short run of the stress program: ours only, some runs on each backend."""

from __future__ import annotations

import pytest

from tests.servers import SQLALCHEMY, need
from tests.stress.aborts import BACKENDS, CLASSES, Record, Tally, asked_at_random

RUNS = 30
SEED = 4

# Celery calls `setex`, which redis-py 8 deprecates: goes when Celery does not.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


@pytest.fixture(params=BACKENDS)
def kind(request):
    """Which backend the test runs on."""
    return request.param


@pytest.fixture
def url(kind, tmp_path, request):
    """Where it is: servers are the session's."""
    if kind == "sqlite":
        need(SQLALCHEMY)
    if kind in {"redis", "postgresql"}:
        return request.getfixturevalue({"redis": "redis_url", "postgresql": "postgres_url"}[kind])
    return {
        "fake": "taskprogress://",
        "filesystem": f"file://{tmp_path}",
        "sqlite": f"db+sqlite:///{tmp_path / 'results.sqlite'}",
    }[kind]


def test_no_abort_is_lost(kind, url):
    """However it falls: it is seen by the next check, ends the task, and its result."""
    found = asked_at_random(url, "ours", RUNS, SEED, threads=kind == "fake")
    assert (found.lost, found.success_after_noticed, found.stuck, found.broken) == (0, 0, 0, 0)
    assert found.aborted + found.ended + found.late == RUNS
    assert found.aborted


#: A run as it could be, and what it counts as: the request is made from 20 to 30.
VERDICTS = {
    "aborted": ("ABORTED", [(10, False), (40, True)], 50, 30, ["aborted"]),
    "while it was asked": ("ABORTED", [(25, True)], 50, 30, ["aborted"]),
    "before start": ("ABORTED", [], 50, 30, ["aborted"]),
    "told that it had ended": ("SUCCESS", [(10, False)], 15, None, ["ended"]),
    "not told": ("SUCCESS", [(10, False)], 15, 30, ["ended"]),
    "after its last check": ("SUCCESS", [(10, False), (25, False)], 50, 30, ["late"]),
    "unseen": ("SUCCESS", [(10, False), (40, False)], 50, 30, ["lost"]),
    "unseen, then seen": ("ABORTED", [(31, False), (40, True)], 50, 30, ["lost"]),
    "seen": ("SUCCESS", [(25, True)], 50, 30, ["late", "success_after_noticed"]),
    "failed": ("FAILURE", [], 50, 30, ["broken"]),
    "unreadable": (None, [], 50, 30, ["broken"]),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdict(case):
    """What the program counts is what it says."""
    state, checks, ended, asked, counted = VERDICTS[case]
    found = Tally()
    found.add(state, Record(checks, ended), began=20, asked=asked)
    assert found == Tally(**dict.fromkeys(counted, 1))


def test_program_finds_what_is_lost(monkeypatch, capsys):
    """With Celery's classes aborts are lost; the table says so, and it is no failure of ours."""
    from tests.stress.aborts import main

    assert main(["--runs", "40", "--backend", "fake", "--classes", "both", "--seed", "1"]) == 0
    seed, _, *rows = capsys.readouterr().out.splitlines()
    assert seed == "seed 1"
    lost = {row.split()[1]: int(row.split()[7]) for row in rows}
    assert list(lost) == list(CLASSES)
    assert lost["ours"] == 0
    assert lost["celery"] > 0
