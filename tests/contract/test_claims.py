"""One suite over all backends: a task that was claimed is known to be, until it is claimed anew.

Celery's own worker code executes the tasks against the real backend, one message at a time, in this
process; a message that is delivered again is executed while its first delivery is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery, chain

from pytest_taskprogress import (
    CeleryClaimBoard,
    CeleryEngine,
    CheckingClaimListener,
    ClaimUnsupported,
    EagerEngine,
    Observer,
)
from tests.contract.kinds import DATABASES
from tests.contract.worker import Worker
from tests.servers import close_client

MakeBackend = Callable[..., Any]

#: Kinds that have a server, or a file, that others can get at: what claims are for.
SHARED: Final = ("filesystem", "redis", "memcached", *DATABASES)

# Celery calls `setex`, which redis-py 8 deprecates: goes when Celery does not.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


@pytest.fixture
def board(worker: Worker) -> CeleryClaimBoard:
    """The claims of the worker's app."""
    return CeleryClaimBoard(worker.app)


def executed(worker: Worker, function: Callable[[Any], object], **options: Any) -> Any:
    """The result of a task that does something with itself, when it is done."""

    @worker.app.task(name=f"does-{uuid4().hex}", bind=True, shared=False, **options)
    def does(self: Any) -> None:
        function(self)

    result = does.delay()
    worker.drain()
    return result


def claimed(worker: Worker, board: CeleryClaimBoard, **options: Any) -> Any:
    """The job of a task that was claimed, and is done; nobody has abandoned it."""
    jobs: list[Any] = []
    executed(worker, lambda task: jobs.append(board.claim(task)), **options)
    (job,) = jobs
    return job


# -- a claim ---------------------------------------------------------------------------------------


def test_a_claim(worker: Worker, board: CeleryClaimBoard) -> None:
    """Who claims a task has it, for everybody to see."""
    job = claimed(worker, board)
    assert (board.find_owner(job), job.state, str(job)) == (job.owner, "CLAIMED", job.task_id)
    others = CeleryClaimBoard(worker.app)
    assert worker.outcome(lambda: others.find_owner(job)) == job.owner


def test_nobody_has_claimed(worker: Worker, board: CeleryClaimBoard) -> None:
    """A task that ran without a claim has no owner."""
    job = claimed(worker, board)
    other = type(job)(uuid4().hex, "me", board)
    assert (board.find_owner(other), other.state) == (None, "UNCLAIMED")
    board.abandon(other)
    assert board.find_owner(job) == job.owner


def test_owners_are_told_apart(worker: Worker, board: CeleryClaimBoard) -> None:
    """Each claim has an owner of its own, also of the same process."""
    jobs: list[Any] = []
    executed(worker, lambda task: jobs.extend(board.claim(task) for _ in range(3)))
    assert len({each.owner for each in jobs}) == 3
    assert len({each.task_id for each in jobs}) == 1


def test_tasks_are_told_apart(worker: Worker, board: CeleryClaimBoard) -> None:
    """The claim of one task is none of another."""
    one, two = claimed(worker, board), claimed(worker, board)
    board.abandon(one)
    assert (board.find_owner(one), board.find_owner(two)) == (None, two.owner)


@pytest.mark.parametrize("times", [1, 2])
def test_abandon(worker: Worker, board: CeleryClaimBoard, times: int) -> None:
    """Nobody has it then; twice is no error, and it can be claimed anew."""
    job = claimed(worker, board)
    for _ in range(times):
        board.abandon(job)
    assert (board.find_owner(job), job.state) == (None, "UNCLAIMED")


def test_claimed_anew(worker: Worker, board: CeleryClaimBoard) -> None:
    """A task that was abandoned, and is claimed again, has its new owner."""
    jobs: list[Any] = []

    def again(task: Any) -> None:
        jobs.append(board.claim(task))
        board.abandon(jobs[-1])
        jobs.append(board.claim(task))

    executed(worker, again)
    assert board.find_owner(jobs[0]) == jobs[1].owner != jobs[0].owner


def test_states_are_untouched(worker: Worker, board: CeleryClaimBoard) -> None:
    """A claim writes nothing where the state is, and is no state to anybody."""
    seen: list[Any] = []

    def claims(task: Any) -> None:
        task.update_state(state="PROGRESS", meta={"current": 1})
        job = board.claim(task)
        seen.append(worker.stored(task.request.id)["status"])
        board.abandon(job)
        seen.append(worker.stored(task.request.id)["status"])

    result = executed(worker, claims)
    assert seen == ["PROGRESS", "PROGRESS"]
    assert worker.states_of(result.id)[-1] == "SUCCESS"
    assert result.get(timeout=1) is None


def test_a_claim_of_a_task_that_has_succeeded(worker: Worker, board: CeleryClaimBoard) -> None:
    """A state after which a backend takes no writes is no matter of claims."""
    jobs: list[Any] = []

    def claims(task: Any) -> None:
        task.update_state(state="SUCCESS", meta=1)
        jobs.extend(board.claim(task) for _ in range(2))

    executed(worker, claims, ignore_result=True)
    assert board.find_owner(jobs[0]) == jobs[1].owner


def test_forgotten_results(worker: Worker, board: CeleryClaimBoard) -> None:
    """Who forgets a result does not take away a claim, nor the other way round."""
    jobs: list[Any] = []
    result = executed(worker, lambda task: jobs.append(board.claim(task)))
    board.abandon(jobs[0])
    assert worker.stored(result.id)["status"] == "SUCCESS"
    result.forget()
    assert worker.stored(result.id)["status"] == "PENDING"


def test_a_claim_has_a_date(worker: Worker, board: CeleryClaimBoard) -> None:
    """What has none is never cleaned up."""
    job = claimed(worker, board)
    meta = worker.backend.get_task_meta(f"{job.task_id}.claim", cache=False)
    assert meta["date_done"] is not None


@pytest.mark.parametrize("kind", ["filesystem", *DATABASES], indirect=True)
def test_a_claim_is_cleaned_up_as_results_are(make_worker: Callable[..., Worker]) -> None:
    """Where Celery's beat cleans up, it finds claims."""
    worker = make_worker(result_expires=-3600)  # everything has expired an hour ago
    board = CeleryClaimBoard(worker.app)
    job = claimed(worker, board)
    assert board.find_owner(job) == job.owner
    worker.backend.cleanup()
    assert (board.find_owner(job), job.state) == (None, "UNCLAIMED")


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
def test_a_claim_expires_as_results_do(make_worker: Callable[..., Worker]) -> None:
    """Where records expire by themselves, claims do too."""
    worker = make_worker(result_expires=3600)
    job = claimed(worker, CeleryClaimBoard(worker.app))
    key = worker.backend.get_key_for_task(f"{job.task_id}.claim")
    assert 3500 < worker.backend.client.ttl(key) <= 3600


# -- bad input -------------------------------------------------------------------------------------


def test_who_does_not_run(worker: Worker, board: CeleryClaimBoard) -> None:
    """A task that nobody executes now cannot be claimed, nor can what is none."""

    @worker.app.task(name="idle", bind=True, shared=False)
    def idle(self: Any) -> None: ...

    for wrong in (idle, None, "idle", object()):
        with pytest.raises(ValueError, match="claim"):
            board.claim(wrong)
    assert worker.writes == []


@pytest.mark.parametrize("url", ["rpc://", "disabled://"])
def test_backends_that_keep_no_records(url: str) -> None:
    """It is said so, with what to do, and the task may go on."""
    app = Celery("keeps-nothing", set_as_current=False, broker="memory://", backend=url)
    app.conf.task_default_queue = uuid4().hex
    board = CeleryClaimBoard(app)
    told: list[str] = []

    @app.task(name="claims", bind=True, shared=False)
    def claims(self: Any) -> str:
        with pytest.raises(ClaimUnsupported, match="result_backend") as raised:
            board.claim(self)
        told.append(str(raised.value))
        return "done"

    assert claims.apply().get() == "done"
    assert len(told) == 1
    app.close()


# -- a second delivery -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHARED, indirect=True)
def test_a_second_delivery_takes_the_claim(worker: Worker, board: CeleryClaimBoard) -> None:
    """The first one finds out, whoever asks; abandoning what it has lost takes nothing away."""
    jobs: list[Any] = []
    found: list[Any] = []

    @worker.app.task(name="slow", bind=True, shared=False, acks_late=True)
    def slow(self: Any) -> None:
        job = board.claim(self)
        jobs.append(job)
        if len(jobs) == 1:
            worker.execute(message, redelivered=True)
            found.append((board.find_owner(job), job.state))
            board.abandon(job)
            found.append((board.find_owner(job), job.state))

    slow.delay()
    message = worker.take()
    worker.execute(message)
    first, second = jobs
    assert first.task_id == second.task_id
    assert found == [(second.owner, "CLAIMED")] * 2
    assert first.owner != second.owner


@pytest.mark.parametrize("kind", SHARED, indirect=True)
def test_the_listener_is_told(
    worker: Worker, board: CeleryClaimBoard, caplog: pytest.LogCaptureFixture
) -> None:
    """CheckingClaimListener finds the loss at the next event, tells it once, and who has it."""
    lost: list[str] = []
    jobs: list[Any] = []

    def on_loss(engine: Any, state: str, details: Mapping[str, Any]) -> None:
        lost.append(f"{details['old_state']} -> {state}")

    with CeleryEngine(worker.app) as engine:

        @worker.app.task(name="slow", bind=True, shared=False, acks_late=True)
        def slow(self: Any) -> str:
            job = board.claim(self)
            jobs.append(job)
            with CheckingClaimListener(engine, job, board, job.owner, on_loss):
                for current in (1, 2, 3, 4):
                    if current == 3:
                        board.claim(self)  # as the second delivery does
                    self.update_state(state="PROGRESS", meta={"current": current, "total": 4})
            return "done"

        result = slow.delay()
        worker.drain()
        assert result.get(timeout=1) == "done"
        engine.check_listeners()
    assert lost == ["PROGRESS -> PROGRESS"]
    (said,) = [each.getMessage() for each in caplog.records if each.name.endswith("claims")]
    (job,) = jobs
    assert said.startswith(
        f"Job '{job.task_id}' has lost its claim (previously owned by '{job.owner}')"
    )
    assert said.endswith(f": '{board.find_owner(job)}' has it")


def test_a_claim_that_is_kept(worker: Worker, board: CeleryClaimBoard) -> None:
    """As long as nobody else claims the task, nothing is said."""
    lost: list[str] = []

    with CeleryEngine(worker.app) as engine:

        def claims(task: Any) -> None:
            job = board.claim(task)
            with CheckingClaimListener(engine, job, board, job.owner, lambda *_: lost.append("x")):
                for current in (1, 2):
                    task.update_state(state="PROGRESS", meta={"current": current})
            board.abandon(job)

        executed(worker, claims)
        engine.check_listeners()
    assert lost == []


def test_a_board_that_is_down(
    worker: Worker, board: CeleryClaimBoard, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts as a loss, which is said; the task goes on."""
    lost: list[str] = []

    def down(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no route")

    with CeleryEngine(worker.app) as engine, pytest.MonkeyPatch.context() as patch:

        def claims(task: Any) -> None:
            job = board.claim(task)
            with CheckingClaimListener(engine, job, board, job.owner, lambda *_: lost.append("x")):
                patch.setattr(board, "find_owner", down)
                for current in (1, 2):
                    task.update_state(state="PROGRESS", meta={"current": current})

        result = executed(worker, claims)
    assert (lost, worker.stored(result.id)["status"]) == (["x"], "SUCCESS")
    assert "the board cannot be asked: ConnectionError: no route" in caplog.text


# -- on the eager engine ---------------------------------------------------------------------------


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose broker and backend do not exist."""
    app = Celery(
        "claims", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False
    )
    yield app
    app.close()


@pytest.fixture
def engine(app: Celery) -> Iterator[EagerEngine]:
    """An eager engine on the app."""
    with EagerEngine(app) as engine:
        yield engine


@pytest.fixture
def export(app: Celery, engine: EagerEngine) -> Any:
    """A task that is claimed, and loses its claim at its third row."""
    board = CeleryClaimBoard(app)

    @app.task(name="export", bind=True, shared=False, acks_late=True)
    def export(self: Any, *args: Any, loses: bool = True) -> int:
        job = board.claim(self)
        with CheckingClaimListener(engine, job, board, job.owner):
            for row in Observer(self).track(range(4), "Exporting"):
                if loses and row == 2:
                    board.claim(self)
        board.abandon(job)
        return 4

    return export


def test_claims_are_not_in_the_history(engine: EagerEngine, export: Any) -> None:
    """Nobody's transitions have them; a claim that is kept changes nothing of a run."""
    run = engine.run(export, loses=False)
    assert run.states == ["PROGRESS"] * 4 + ["SUCCESS"]
    assert {each.uuid for each in engine.history} == {run.task_id}


def test_a_loss_suspends_the_engine(
    engine: EagerEngine, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """By default: the task that runs comes to its end, the next one waits."""
    with caplog.at_level(logging.WARNING):
        run = engine.run(chain(export.s(), export.si(loses=False)))
    assert "has lost its claim" in caplog.text
    assert run.history == ["PROGRESS"] * 4 + ["SUCCESS"]
    assert engine.storage.get_flow_state() == "SUSPENDED"
    assert len(engine.pending) == 1
    whole = engine.resume()
    assert (whole.state, whole.result) == ("SUCCESS", 4)


# -- a real redelivery -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
def test_a_message_that_redis_delivers_again(url: str) -> None:
    """A late acknowledgement outlives `visibility_timeout`: the second worker has the claim."""
    name = f"taskprogress-{uuid4().hex}"
    options = {"global_keyprefix": name, "visibility_timeout": 0}
    app = Celery(name, set_as_current=False, broker=url, backend=url)
    app.conf.update(
        task_default_queue=name,
        broker_transport_options=options,
        result_backend_transport_options={"global_keyprefix": name},
    )
    board = CeleryClaimBoard(app)
    jobs: list[Any] = []
    lost: list[str] = []

    @app.task(name="slow", bind=True, shared=False, acks_late=True)
    def slow(self: Any) -> str:
        job = board.claim(self)
        jobs.append(job)
        with CheckingClaimListener(live, job, board, job.owner, lambda *_: lost.append(job.owner)):
            self.update_state(state="PROGRESS", meta={"current": len(jobs), "total": 2})
            if len(jobs) == 1:
                # What the transport of any worker does every few seconds.
                second._connection.default_channel.qos.restore_visible()
                message = second.take()
                assert message is not None, "Redis does not deliver it again"
                second.execute(message)
            self.update_state(state="PROGRESS", meta={"current": len(jobs), "total": 2})
        return job.owner

    with CeleryEngine(app) as live:
        first, second = Worker(app), Worker(app)
        result = slow.delay()
        first.step()
        live.check_listeners()
        assert lost == [jobs[0].owner]
        assert len(jobs) == 2
        assert board.find_owner(jobs[0]) == jobs[1].owner
        # Both went on to their end; the first to store it was the one that has the claim.
        assert result.get(timeout=5) == jobs[1].owner
        client = app.backend.client
        first._connection.close()
        second.close()
    client.delete(*client.scan_iter(match=f"{name}*"))
    close_client(app.backend)
    app.close()
