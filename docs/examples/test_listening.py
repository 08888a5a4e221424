"""Listeners: durations, claims, secrets, and a listener that breaks."""

import logging

import listening
import pytest
from celery import chain
from listening import pack, pay, send

from pytest_taskprogress import (
    CheckingClaimListener,
    DurationListener,
    EventTimeListener,
    FakeClaimBoard,
    Listener,
    PrintingListener,
)

CARD = "4711-0815"


def order(*items, address="Home"):
    """Pay, pack and send."""
    return chain(pay.s(CARD), pack.s(items), send.s(address))


@pytest.fixture(scope="session")
def taskprogress_app():
    """Return the app of the example."""
    return listening.app


def test_only_progress(taskprogress, capsys):
    """A listener is told of the states that it asks for; a report says how far it is."""
    with PrintingListener(taskprogress, task_listen_for=["PROGRESS"], flow_listen_for=None):
        run = taskprogress.run(order("tea", "pot"))

    packing = run.history.of("listening.pack")[0].uuid
    told = f"{taskprogress} has moved task 'listening.pack' ({packing}) into state 'PROGRESS'"
    assert capsys.readouterr().out.splitlines() == [
        f"{told} from state 'RUNNING': 50 %, Packed tea",
        f"{told} from state 'PROGRESS': 100 %, Packed pot",
    ]


class SlowPacker(Listener):
    """Lets each report take a while, on the engine's clock."""

    def _task_receiver(self, state, details):
        self._engine.clock.advance(1.5)


def test_how_long_it_took(taskprogress):
    """What listeners record is in the engine's storage, by the name of a task or by its id."""
    slow = SlowPacker(taskprogress, task_listen_for=["PROGRESS"])
    with DurationListener(taskprogress), EventTimeListener(taskprogress), slow:
        taskprogress.run(order("tea", "pot"))

    storage = taskprogress.storage
    assert storage.get_atom_metadata("listening.pack")["duration"] == 3.0
    assert storage.flow_meta["duration"] == 3.0
    packing = storage.get_atom_metadata("listening.pack")
    assert packing["SUCCESS-timestamp"] - packing["RUNNING-timestamp"] == 3.0
    assert storage.get_flow_state() == "SUCCESS"


def test_a_claim_is_lost(taskprogress):
    """Somebody else has the job: the run stops before its next task, and can go on later."""
    board = FakeClaimBoard()
    job = board.post("order 17")
    board.claim(job, "worker 1")

    class Thief(Listener):
        def _task_receiver(self, state, details):
            board.claim(job, "worker 2")

    thief = Thief(taskprogress, task_listen_for=["PROGRESS"])
    with CheckingClaimListener(taskprogress, job, board, owner="worker 1"), thief:
        run = taskprogress.run(order("tea"))
        assert taskprogress.storage.get_flow_state() == "SUSPENDED"
        assert run.history.states == ["SUCCESS", "PROGRESS", "SUCCESS"]
        assert [task.name for task in taskprogress.pending] == ["listening.send"]

    assert taskprogress.resume().result == "Home"
    assert taskprogress.storage.get_flow_state() == "SUCCESS"


def test_a_failure_has_a_story_without_secrets(taskprogress, caplog):
    """What listens in production listens in a test too; it tells nobody's card."""
    with caplog.at_level(logging.DEBUG, "orders"):
        run = taskprogress.run(order("tea", address=""))
    assert run.state == "FAILURE"

    told = [each for each in caplog.records if each.name == "orders"]
    assert not any(CARD in each.getMessage() for each in told)
    failure = next(each.getMessage() for each in told if each.levelno == logging.WARNING)
    print(failure)
    assert "ValueError: no address for ***" in failure
    assert "2 predecessors (most recent first):" in failure
