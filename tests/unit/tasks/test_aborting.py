from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from celery import Celery
from celery.backends.base import DisabledBackend
from celery.backends.cache import CacheBackend
from celery.backends.rpc import RPCBackend

from pytest_taskprogress import AbortUnsupported, FakeBackend, TaskAborted, VirtualClock
from pytest_taskprogress.core.clock import Clock, clock_of
from pytest_taskprogress.tasks.aborting import (
    AbortCheck,
    ask,
    forget,
    is_asked,
    is_own,
    is_request,
    keeps_requests,
    record_id_of,
    task_of,
)

ID = "some-task"


@pytest.fixture
def clock():
    """A clock that only the test moves."""
    return VirtualClock(0.0)


@pytest.fixture
def backend(app, clock):
    """A backend that keeps requests, and counts reads."""
    return FakeBackend(app, clock=clock)


def leaving(backend, interval=0.0):
    """A check of a task whose function runs: it may leave it."""
    check = AbortCheck(backend, ID, interval)
    check.raises = True
    return check


def reads(backend):
    """How many times it was looked whether the task was asked."""
    return backend.reads[record_id_of(ID)]


class Broken:
    """A backend whose server is down."""

    def __init__(self, app):
        self.backend = FakeBackend(app)
        self.reads = 0

    def get_state(self, _):
        """Fail."""
        self.reads += 1
        raise ConnectionError("the server is down")


# -- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", [ID, "", "a.b", "task.abort", "é"])
def test_ids_make_the_round_trip(task_id):
    """The record of a request is not that of the task, and tells which task it is about."""
    record = record_id_of(task_id)
    assert record != task_id
    assert is_request(record)
    assert task_of(record) == task_id


@pytest.mark.parametrize("task_id", [ID, "abort", ".aborted", "x.abort.y"])
def test_id_of_a_task_is_no_request(task_id):
    """Only the ending says that a record is a request."""
    assert not is_request(task_id)


def test_id_that_is_no_text_has_a_record():
    """Celery takes any object with a text as an id."""
    assert record_id_of(7) == "7.abort"


# -- ask and forget -------------------------------------------------------------------------------


def test_asked_is_asked_until_forgotten(backend):
    """The request is there after it was stored, and is gone after it was forgotten."""
    assert not is_asked(backend, ID)
    ask(backend, ID)
    assert is_asked(backend, ID)
    forget(backend, ID)
    assert not is_asked(backend, ID)


def test_forget_what_was_not_asked(backend):
    """There is nothing to forget, which is no error."""
    forget(backend, ID)
    assert not is_asked(backend, ID)


@pytest.mark.parametrize("state", ["STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE"])
def test_no_state_of_the_task_touches_the_request(backend, state):
    """What the worker writes, before or after, has a record of its own."""
    failure = ValueError("broken") if state in {"RETRY", "FAILURE"} else {}
    backend.store_result(ID, failure, state)
    assert not is_asked(backend, ID)
    ask(backend, ID)
    assert backend.get_state(ID) == state
    backend.store_result(ID, failure, state)
    assert is_asked(backend, ID)
    assert backend.get_state(ID) == state


def test_another_task_is_not_asked(backend):
    """A request is about one id, also if that is the beginning of another."""
    ask(backend, ID)
    assert not is_asked(backend, f"{ID}2")
    assert not is_asked(backend, record_id_of(ID))


def test_request_is_found_when_it_comes(backend):
    """A look before the request leaves nothing behind, in a cache, that hides it."""
    assert not is_asked(backend, ID)
    assert backend.get_state(ID) == "PENDING"
    ask(backend, ID)
    assert is_asked(backend, ID)


def test_forgotten_by_another_client(app):
    """What one client has seen does not outlive what another forgot."""
    app.conf.cache_backend_options = {}
    first = CacheBackend(app, backend="memory://")
    second = CacheBackend(app, backend="memory://")
    task_id = "forgotten-by-another-client"
    ask(first, task_id)
    assert is_asked(first, task_id)
    assert is_asked(second, task_id)
    forget(second, task_id)
    assert not is_asked(first, task_id)


# -- backends that keep nothing -------------------------------------------------------------------


@pytest.fixture(params=["disabled", "rpc"])
def keeps_nothing(request):
    """A backend that cannot keep a request."""
    app = Celery("tests", broker="memory://", set_as_current=False)
    kind = {"disabled": DisabledBackend, "rpc": RPCBackend}[request.param]
    return kind(app)


def test_backend_that_keeps_nothing(keeps_nothing):
    """Nothing can be asked, nothing is ever asked, and no read is tried."""
    assert not keeps_requests(keeps_nothing)
    assert not is_asked(keeps_nothing, ID)
    with pytest.raises(
        AbortUnsupported, match=r"(?s)some-task cannot be asked.*set result_backend"
    ):
        ask(keeps_nothing, ID)


def test_backend_that_keeps_requests(backend, app):
    """Every other one does."""
    assert keeps_requests(backend)
    assert keeps_requests(CacheBackend(app, backend="memory://"))


def test_backend_that_loses_what_it_takes(backend, monkeypatch):
    """A client that says nothing when its server is down is found out by a second look."""
    monkeypatch.setattr(backend, "store_result", lambda *_, **__: None)
    with pytest.raises(AbortUnsupported, match=r"(?s)some-task was not asked.*Is its server up\?"):
        ask(backend, ID)


def test_backend_whose_error_is_its_own(backend, monkeypatch):
    """What it raises when it is asked is what the caller gets."""

    def refuse(*_, **__):
        raise ConnectionError("the server is down")

    monkeypatch.setattr(backend, "store_result", refuse)
    with pytest.raises(ConnectionError, match="the server is down"):
        ask(backend, ID)
    assert not is_asked(backend, ID)


# -- whose abort ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (TaskAborted(ID), True),
        (TaskAborted("another"), False),
        (ValueError(ID), False),
        (None, False),
        (TaskAborted, False),
    ],
)
def test_own(error, own):
    """The abort of a task is a TaskAborted with its id."""
    assert is_own(error, ID) is own


def test_nothing_is_own_outside_a_task():
    """Where there is no id there is nothing to abort."""
    assert not is_own(TaskAborted(ID), None)


# -- clocks ---------------------------------------------------------------------------------------


def test_clock_is_that_of_the_backend(backend, clock):
    """A backend that has a clock decides; an attribute of that name that is none does not."""
    assert clock_of(backend) is clock
    for other in (None, object(), type("Timed", (), {"clock": 3})()):
        assert type(clock_of(other)) is Clock


# -- AbortCheck -----------------------------------------------------------------------------------


def test_each_check_is_a_read_by_default(backend):
    """With no interval every check looks."""
    check = AbortCheck(backend, ID, 0.0)
    assert [check.is_aborted() for _ in range(5)] == [False] * 5
    assert reads(backend) == 5


def test_check_is_one_read(backend):
    """A check costs no more than that, and does not read the task's own record."""
    check = leaving(backend)
    check.raise_if_aborted()
    assert backend.reads == {record_id_of(ID): 1}


def test_making_a_check_is_no_read(backend):
    """It looks when it is asked to."""
    AbortCheck(backend, ID, 0.0)
    assert backend.reads == {}


@pytest.mark.parametrize("interval", [2, 2.0, Fraction(2)])
def test_interval_saves_reads_by_the_clock(backend, clock, interval):
    """One read in two seconds, however many checks there are."""
    check = AbortCheck(backend, ID, interval)
    for _ in range(10):
        check.is_aborted()
        clock.advance(0.5)
    assert reads(backend) == 3  # at 0, 2 and 4 seconds


def test_first_check_is_real(backend, clock):
    """However long the interval, and wherever the clock stands."""
    ask(backend, ID)
    assert AbortCheck(backend, ID, 1e9).is_aborted()
    clock.advance(0.25)
    assert AbortCheck(backend, ID, 1e9).is_aborted()


def test_check_within_the_interval_does_not_know_yet(backend, clock):
    """It is noticed with the first check after the interval, not before."""
    check = AbortCheck(backend, ID, 2.0)
    assert not check.is_aborted()
    ask(backend, ID)
    clock.advance(1.999999)
    assert not check.is_aborted()
    clock.advance(0.000001)
    assert check.is_aborted()


def test_interval_counts_from_the_last_look(backend, clock):
    """A check that came late is the beginning of the next interval."""
    check = AbortCheck(backend, ID, 2.0)
    check.is_aborted()
    clock.advance(3.0)
    check.is_aborted()
    clock.advance(1.5)
    ask(backend, ID)
    before = reads(backend)
    assert not check.is_aborted()
    assert reads(backend) == before


def test_checks_of_two_executions_do_not_share_an_interval(backend):
    """The first look of each is real."""
    AbortCheck(backend, ID, 60.0).is_aborted()
    AbortCheck(backend, ID, 60.0).is_aborted()
    assert reads(backend) == 2


@pytest.mark.parametrize("interval", [0.0, 60.0])
def test_noticed_stays_noticed(backend, clock, interval):
    """Once it was seen, there is no read, and forgetting it takes nothing back."""
    check = leaving(backend, interval)
    ask(backend, ID)
    assert check.is_aborted()
    forget(backend, ID)
    before = reads(backend)
    clock.advance(100.0)
    assert check.is_aborted()
    with pytest.raises(TaskAborted):
        check.raise_if_aborted()
    assert reads(backend) == before


def test_raises_with_the_id(backend):
    """The error names the task, and has no progress: the task knows that itself."""
    check = leaving(backend)
    check.raise_if_aborted()
    ask(backend, ID)
    with pytest.raises(TaskAborted, match=f"^the task {ID} was aborted$") as caught:
        check.raise_if_aborted()
    assert (caught.value.task_id, caught.value.meta) == (ID, {})


def test_each_raise_is_an_error_of_its_own(backend):
    """Tracebacks do not pile up in one exception."""
    check = leaving(backend)
    ask(backend, ID)
    errors = []
    for _ in range(2):
        with pytest.raises(TaskAborted) as caught:
            check.raise_if_aborted()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_error_of_the_backend_is_raised_and_not_taken_for_an_answer(app):
    """A server that is down says neither yes nor no; the next check asks again."""
    backend = Broken(app)
    check = AbortCheck(backend, ID, 0.0)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            check.is_aborted()
    assert backend.reads == 2


def test_checks_of_many_threads(backend):
    """Whoever checks gets the answer, in whichever thread."""
    check = AbortCheck(backend, ID, 0.0)
    ask(backend, ID)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(check.is_aborted())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8


def test_backend_that_keeps_nothing_is_not_asked(keeps_nothing):
    """A task of such an app checks for nothing, and goes on."""
    check = leaving(keeps_nothing)
    assert not check.is_aborted()
    check.raise_if_aborted()


def test_no_leaving_before_the_function_is_called(backend):
    """Until somebody catches what it raises, it tells, does not raise, and reads no more for it."""
    check = AbortCheck(backend, ID, 3600.0)
    ask(backend, ID)
    before = reads(backend)
    check.raise_if_aborted()
    assert reads(backend) == before
    assert check.is_aborted()
    check.raise_if_aborted()
    check.raises = True
    with pytest.raises(TaskAborted):
        check.raise_if_aborted()


@pytest.mark.parametrize("error", [TaskAborted(ID), TaskAborted("another"), OSError("disk")])
def test_no_leaving_while_it_is_left(backend, error):
    """In the `except` block of its own abort it does not raise; in that of another it does."""
    check = leaving(backend)
    ask(backend, ID)
    try:
        raise error
    except (TaskAborted, OSError):
        if is_own(error, ID):
            check.raise_if_aborted()
        else:
            with pytest.raises(TaskAborted):
                check.raise_if_aborted()
    with pytest.raises(TaskAborted):
        check.raise_if_aborted()


# -- the error ------------------------------------------------------------------------------------


def test_error_survives_pickling():
    """A worker process sends it to its parent with what it knows."""
    import copy
    import pickle

    error = TaskAborted(ID, {"percent": 50.0})
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert (again.task_id, again.meta, str(again)) == (ID, {"percent": 50.0}, str(error))
