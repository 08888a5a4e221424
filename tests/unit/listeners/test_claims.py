"""The listener that checks that its engine may still work on its job."""

from __future__ import annotations

import logging

import pytest
from celery import chain

from pytest_taskprogress import ListenerError
from pytest_taskprogress.listeners import CheckingClaimListener, FakeClaimBoard

LOG = "pytest_taskprogress.listeners.claims"


class Down:
    """A job whose state nobody can tell."""

    @property
    def state(self):
        """Asks a board that is down."""
        raise ConnectionError("no route")


@pytest.fixture
def board():
    """A board of claims, in memory."""
    return FakeClaimBoard()


@pytest.fixture
def job(board):
    """A job that we have claimed."""
    job = board.post("nightly")
    board.claim(job, "us")
    return job


@pytest.fixture
def lost():
    """What was told of losses: states."""
    return []


@pytest.fixture
def on_job_loss(lost):
    """Keeps what is told of a loss."""

    def on_job_loss(engine, state, details):
        lost.append((engine, state, details["old_state"]))

    return on_job_loss


@pytest.fixture
def steps(app, board, job):
    """Tasks: `step` does nothing, `taken` loses the claim to somebody else, `dropped` to nobody."""

    @app.task(name="step")
    def step(*args):
        return "done"

    @app.task(name="taken")
    def taken(*args):
        board.claim(job, "them")

    @app.task(name="dropped")
    def dropped(*args):
        board.abandon(job)

    @app.task(name="regained")
    def regained(*args):
        board.claim(job, "us")

    return {each.name: each for each in (step, taken, dropped, regained)}


def test_a_claim_that_is_kept(engine, steps, job, board, lost, on_job_loss):
    """As long as a job is claimed, nothing is done."""
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        assert engine.run(chain(steps["step"].si(), steps["step"].si())).state == "SUCCESS"
    assert lost == []


@pytest.mark.parametrize(("by", "why"), [("taken", "'them' has it"), ("dropped", "nobody has it")])
def test_a_claim_that_is_lost(engine, steps, job, board, lost, on_job_loss, caplog, by, why):
    """A loss is told once, at the event at which it was found, and logged with its reason."""
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        engine.run(chain(steps["step"].si(), steps[by].si(), steps["step"].si()))
    assert lost == [(engine, "SUCCESS", "RUNNING")]
    assert [each.getMessage() for each in caplog.records if each.name == LOG] == [
        f"Job 'nightly' has lost its claim (previously owned by 'us'): {why}"
    ]


def test_a_job_that_is_complete(engine, steps, job, board, lost, on_job_loss):
    """A job that its owner has completed is not lost."""
    job.complete = True
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        engine.run(steps["step"])
    assert lost == []
    assert job.state == "COMPLETE"


def test_a_board_that_is_down(engine, steps, job, board, lost, on_job_loss, caplog):
    """A board that cannot be asked counts as a loss, and the log says so."""
    board.down = ConnectionError("no route")
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        assert engine.run(steps["step"]).state == "SUCCESS"
    assert [state for _, state, _ in lost] == ["RUNNING"]
    assert "the board cannot be asked: ConnectionError: no route" in caplog.text
    engine.check_listeners()


def test_a_state_that_cannot_be_asked(engine, steps, board, lost, on_job_loss, caplog):
    """A job whose state cannot be told counts as lost."""
    with CheckingClaimListener(engine, Down(), board, "us", on_job_loss):
        engine.run(steps["step"])
    assert len(lost) == 1
    assert "ConnectionError: no route" in caplog.text


def test_by_default_the_engine_is_suspended(engine, steps, job, board):
    """By default the run stops before its next task, and can go on when the claim is back."""
    with CheckingClaimListener(engine, job, board, "us"):
        run = engine.run(chain(steps["step"].si(), steps["taken"].si(), steps["step"].si()))
        assert run.state == "PENDING"
        assert engine.storage.get_flow_state() == "SUSPENDED"
        board.claim(job, "us")
        assert engine.resume().state == "SUCCESS"
    assert engine.storage.get_flow_state() == "SUCCESS"


def test_lost_again(engine, steps, job, board, lost, on_job_loss):
    """A claim that was found again can be lost again."""
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        names = ("taken", "regained", "dropped")
        engine.run(chain(*(steps[name].si() for name in names)))
    assert len(lost) == 2


def test_what_the_handler_raises(engine, steps, job, board):
    """What a handler raises does not reach the task, and is not lost; it is called again."""

    def on_job_loss(engine, state, details):
        raise OSError("no mail")

    board.abandon(job)
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        assert engine.run(steps["step"]).state == "SUCCESS"
    with pytest.raises(ListenerError) as caught:
        engine.check_listeners()
    assert {str(each) for each in caught.value.errors} == {"no mail"}
    assert len(caught.value.errors) > 1


def test_at_retries_too(engine, app, job, board, lost, on_job_loss):
    """A claim is checked when a task retries."""

    @app.task(name="flaky", bind=True)
    def flaky(self):
        if not self.request.retries:
            board.abandon(job)
            raise self.retry(countdown=30)

    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        engine.run(flaky)
    assert [state for _, state, _ in lost] == ["RETRY"]


def test_wrong_arguments(engine, job, board):
    """What cannot work is refused at once."""
    with pytest.raises(ValueError, match="'on_job_loss' handler must be callable, got 5"):
        CheckingClaimListener(engine, job, board, "us", 5)
    with pytest.raises(TypeError, match=r"has a method find_owner\(job\), got board='board'"):
        CheckingClaimListener(engine, job, "board", "us")
    with pytest.raises(TypeError, match="a job has a state, such as 'CLAIMED', got job='job'"):
        CheckingClaimListener(engine, "job", board, "us")


def test_the_board_in_memory(board):
    """A job on the board in memory is unclaimed, claimed by somebody, taken over, and abandoned."""
    job = board.post("nightly")
    assert (job.state, board.find_owner(job)) == ("UNCLAIMED", None)
    board.claim(job, "us")
    assert (job.state, board.find_owner(job)) == ("CLAIMED", "us")
    board.claim(job, "them")
    assert board.find_owner(job) == "them"
    board.abandon(job)
    assert (job.state, board.find_owner(job)) == ("UNCLAIMED", None)
    assert str(job) == "nightly"


def test_logger_is_the_modules(caplog, engine, steps, job, board, on_job_loss):
    """A loss is logged as a warning of the module's logger."""
    board.abandon(job)
    with CheckingClaimListener(engine, job, board, "us", on_job_loss):
        engine.run(steps["step"])
    assert [(each.name, each.levelno) for each in caplog.records if each.name == LOG] == [
        (LOG, logging.WARNING)
    ]
