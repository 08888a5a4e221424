"""Aborts of tasks that wait for their next attempt, check in a tight loop, or go their own way."""

import pytest
import rendering
from rendering import Farm, encode, preview, render

from pytest_taskprogress import abort
from pytest_taskprogress.scenario import Abort, Advance, at_abort_check, at_report, at_retry

FRAMES = list(range(200))


@pytest.fixture
def farm(monkeypatch):
    """A farm of its own for a test."""
    monkeypatch.setattr(rendering, "farm", Farm())
    return rendering.farm


def test_a_film(taskprogress, farm):
    """Asked every minute until it is there."""
    run = taskprogress.run(render, "heist", minutes=90)

    assert (run.result, run.retries, run.elapsed) == ("heist.raw", 90, 90 * 60.0)
    assert farm.cancelled == []


def test_aborted_between_two_attempts(taskprogress, farm):
    """The next attempt comes at its time, and does not enter the task; the farm is told."""
    run = taskprogress.under(Abort(at_retry(3))).run(render, "heist", minutes=90)

    assert run.states == ["RETRY", "RETRY", "RETRY", "ABORTED"]
    assert run.abort_requested_at == 120.0
    assert farm.cancelled == ["heist"]
    assert farm.minutes_left == {"heist": 87}


def test_aborted_by_a_user(taskprogress, farm):
    """The state is ABORTED at once, ready() when the worker has had its turn."""
    with taskprogress.paused():
        result = render.delay("heist", minutes=90)
        taskprogress.drain(until=150)
        assert abort(result)
        assert (result.state, result.ready()) == ("ABORTED", False)
        taskprogress.drain(until=180)
        assert (result.state, result.ready()) == ("ABORTED", True)
    assert farm.cancelled == ["heist"]


def test_a_tight_loop(taskprogress):
    """One real check: while the clock stands still, the interval is never over."""
    run = taskprogress.run(encode, FRAMES)

    assert taskprogress.backend.reads[f"{run.task_id}.abort"] == 1 + 1  # before the start, and one


def test_a_tight_loop_that_takes_its_time(taskprogress, monkeypatch):
    """The clock moves as the work would; an abort is seen within the interval."""
    drawn = []

    def slow_draw(frame):
        taskprogress.clock.advance(0.3)
        drawn.append(frame)
        return b"pixels"

    monkeypatch.setattr(rendering, "draw", slow_draw)
    run = taskprogress.under(Abort(at_abort_check(3))).run(encode, FRAMES)

    assert run.state == "ABORTED"
    # The first check is real, and then those after 1.2 s and 2.4 s: each time four frames later.
    assert drawn == FRAMES[:8]
    assert run.abort_requested_at == pytest.approx(2.4)


def test_the_time_passes_at_a_check(taskprogress):
    """Where nothing can be replaced, Advance lets the interval pass."""
    run = taskprogress.under(
        Advance(at_abort_check(1), 1.0),
        Advance(at_abort_check(2), 1.0),
        Abort(at_abort_check(3)),
    ).run(encode, FRAMES)

    assert (run.state, run.elapsed) == ("ABORTED", 2.0)


def test_each_frame(taskprogress, monkeypatch):
    """To abort at any of its checks, take the interval away for the test."""
    monkeypatch.setattr(encode, "abort_check_interval", 0.0)
    sweep = taskprogress.sweep(Abort, encode, FRAMES[:10])

    assert len(sweep) == 1 + 10
    assert [run.state for run in sweep] == ["ABORTED"] * 11


def test_an_hour_in_the_middle(taskprogress):
    """Advance lets a task take its time where the test says."""
    run = taskprogress.under(Advance(at_report(2), 3600)).run(preview, [1, 2, 3])

    assert [report.meta["elapsed"] for report in run.progress] == [0.0, 0.0, 3600.0]


def test_what_is_drawn_is_kept(taskprogress):
    """A task that notices the abort and returns has succeeded: that is its choice."""
    run = taskprogress.under(Abort(at_report(2))).run(preview, FRAMES)

    assert run.state == "SUCCESS"
    assert run.result == {"frames": 3, "whole": False}
    assert run.reports_after_abort == 0
