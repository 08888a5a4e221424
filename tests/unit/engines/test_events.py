"""What Celery's events tell a process that runs nothing itself."""

from __future__ import annotations

import gc
import math
import threading
import time
from functools import partial
from types import FunctionType, ModuleType
from uuid import uuid4

import pytest
from celery.events.receiver import EventReceiver
from celery.exceptions import Reject
from celery.worker.request import Request

from pytest_taskprogress import (
    CeleryEngine,
    DurationListener,
    EventTimeListener,
    Listener,
    LoggingListener,
    PrintingListener,
)
from tests.conftest import IsolatedApp

#: Seconds after which something hangs, and does not wait; nothing comes near it.
PATIENCE = 10


class Heard(Listener):
    """Keeps what it is told, in order."""

    def __init__(self, engine):
        super().__init__(engine)
        self.said = []
        self.details = []

    def _keep(self, kind, state, details):
        name = details[f"{kind}_name"]
        self.said.append(f"{kind} {name} {details['old_state']} -> {state}")
        self.details.append(details)

    def _flow_receiver(self, state, details):
        self._keep("flow", state, details)

    def _task_receiver(self, state, details):
        self._keep("task", state, details)

    def _retry_receiver(self, state, details):
        self._keep("retry", state, details)

    def of(self, kind):
        """What was said of one kind."""
        return [each.partition(" ")[2] for each in self.said if each.startswith(f"{kind} ")]

    def writes(self):
        """The transitions that were written."""
        found = [each["transition"] for each in self.details]
        return [each for each in found if each.is_written]


@pytest.fixture
def app():
    """An app whose broker is in memory, and whose events are its own."""
    app = IsolatedApp("told", broker="memory://", backend="cache+memory://", set_as_current=False)
    own = f"told-{uuid4().hex}"
    app.conf.update(
        task_default_queue=own,
        event_exchange=f"{own}-events",
        worker_send_task_events=True,
        task_send_sent_event=True,
        broker_transport_options={"polling_interval": 0.01},
    )
    yield app
    app.close()


@pytest.fixture
def engine(app):
    """An engine that is not attached: who receives."""
    return CeleryEngine(app)


@pytest.fixture
def heard(engine):
    """What is heard of it."""
    with Heard(engine) as heard:
        yield heard


@pytest.fixture
def feed(app, engine):
    """Let the engine receive events: through Celery's own receiver, which is handed them."""

    def feed(*events, engine=engine):
        class Receiver(EventReceiver):
            def consume(self, *args, **kwargs):
                for event in events:
                    self._receive(dict(event), None)
                    yield

        app.events.Receiver = partial(Receiver, app=app)
        try:
            return engine.receive()
        finally:
            del app.events.Receiver

    return feed


@pytest.fixture
def tell(feed):
    """Feed events of one task, a second apart: type and what goes with it."""
    times = iter(range(1_000, 100_000))

    def tell(*events, uuid="one", **common):
        feed(
            *(
                {
                    "type": f"task-{kind}",
                    "uuid": uuid,
                    "timestamp": float(next(times)),
                    **common,
                    **dict(*fields),
                }
                for kind, *fields in events
            )
        )

    return tell


RECEIVED = ("received", {"name": "work", "root_id": "one", "parent_id": None})
STARTED = ("started", {})
HALF = ("progress", {"name": "work", "state": "PROGRESS", "meta": {"current": 1, "total": 2}})
SUCCEEDED = ("succeeded", {"result": "'done'", "runtime": 1.0})
FAILED = ("failed", {"exception": "ValueError('broken', 3)", "traceback": "Traceback ..."})
BEGAN = ["flow work PENDING -> RUNNING", "task work PENDING -> RUNNING"]


# -- each type -------------------------------------------------------------------------------------


def test_a_task(tell, heard):
    """Sent, received, started, a report, the end: as who runs it tells of it."""
    tell(("sent", {"name": "work", "root_id": "one"}), RECEIVED, STARTED, HALF, SUCCEEDED)
    assert heard.said == [
        *BEGAN,
        "task work RUNNING -> PROGRESS",
        "task work PROGRESS -> SUCCESS",
        "flow work RUNNING -> SUCCESS",
    ]


def test_writes(tell, heard):
    """Old state, meta, result and time are those of the events."""
    tell(RECEIVED, STARTED, HALF, SUCCEEDED)
    report, end = heard.writes()
    assert (report.old_state, report.state, report.percent, report.at) == (
        *("PENDING", "PROGRESS", 50.0),
        1002.0,
    )
    assert (end.old_state, end.result, end.meta, end.at) == ("PROGRESS", "'done'", {}, 1003.0)
    assert (report.name, report.uuid, report.stored) == ("work", "one", True)


@pytest.mark.parametrize(
    ("end", "state", "flow"),
    [
        (SUCCEEDED, "SUCCESS", "SUCCESS"),
        (FAILED, "FAILURE", "FAILURE"),
        (("revoked", {"terminated": True, "signum": 15, "expired": False}), "REVOKED", "FAILURE"),
        (("aborted", {"state": "ABORTED", "meta": {"current": 1}}), "ABORTED", "ABORTED"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_ends(tell, heard, engine, end, state, flow):
    """Each end of a task is told, and ends its flow."""
    tell(RECEIVED, STARTED, end)
    assert heard.said == [*BEGAN, f"task work RUNNING -> {state}", f"flow work RUNNING -> {flow}"]
    assert engine.storage.get_atom_state("work") == state
    assert engine.storage.get_flow_state() == flow


def test_revoked_before_it_began(tell, heard):
    """A task that never ran has an end too."""
    tell(("sent", {"name": "work", "root_id": "one"}), ("revoked", {"expired": True}))
    assert heard.of("task") == ["work PENDING -> REVOKED"]
    assert heard.of("flow")[-1] == "work RUNNING -> FAILURE"


def test_retried(tell, heard):
    """Told as a retry, with its reason; the flow goes on with the next attempt."""
    again = ("retried", {"exception": "KeyError('again')", "traceback": "Traceback ..."})
    tell(RECEIVED, STARTED, again, RECEIVED, STARTED, FAILED)
    assert heard.said == [
        *BEGAN,
        "retry work RUNNING -> RETRY",
        "task work RETRY -> RUNNING",
        "task work RUNNING -> FAILURE",
        "flow work RUNNING -> FAILURE",
    ]
    assert heard.details[2]["result"].pformat() == "Failure: KeyError: again"


def test_rejected(tell, engine):
    """A message that is thrown away is no work that goes on."""
    tell(RECEIVED, STARTED, ("rejected", {"requeue": False}))
    assert engine.storage.get_flow_state() != "RUNNING"


def test_a_failure(tell, heard):
    """Is one with the exception's name and message, and the traceback as text."""
    tell(RECEIVED, STARTED, FAILED)
    failure = heard.details[2]["result"]
    assert failure.exc_type_names == ("ValueError",)
    assert (failure.traceback_str, failure.exception) == ("Traceback ...", None)
    assert "broken" in failure.exception_str


def test_a_report_of_a_state_of_its_own(tell, heard):
    """Any state that a task reports in."""
    tell(RECEIVED, STARTED, ("progress", {"state": "UPLOADING", "meta": {"percent": 10.0}}))
    assert heard.of("task")[-1] == "work RUNNING -> UPLOADING"
    assert heard.writes()[-1].percent == 10.0


def test_a_report_without_meta(tell, heard):
    """What other programs call progress has none: it is a report that tells nothing."""
    tell(RECEIVED, STARTED, ("progress", {"current": 3}), ("progress", {"meta": None}))
    assert heard.of("task")[1:] == ["work RUNNING -> PROGRESS", "work PROGRESS -> PROGRESS"]
    assert [(each.meta, each.percent) for each in heard.writes()] == [({}, None)] * 2
    assert heard.details[2]["progress"] is None


@pytest.mark.parametrize("meta", ["half", [1, 2], 50], ids=repr)
def test_a_report_whose_meta_is_no_dict(tell, heard, meta):
    """As a transition of the same in process: a report without meta."""
    tell(RECEIVED, STARTED, ("progress", {"meta": meta}))
    assert [each.meta for each in heard.writes()] == [{}]


@pytest.mark.parametrize("kind", ["task-started-late", "task-anything", "task-"])
def test_unknown_types(tell, heard, kind):
    """What nobody knows tells nothing."""
    tell(RECEIVED, STARTED, (kind.removeprefix("task-"), {"value": 1}), SUCCEEDED)
    assert len(heard.said) == 4


# -- order -----------------------------------------------------------------------------------------


def test_a_report_that_comes_late(tell, heard, engine):
    """A report comes from another process than the end does: it does not bring the task back."""
    tell(RECEIVED, STARTED, SUCCEEDED, HALF)
    assert engine.storage.get_atom_state("work") == "SUCCESS"
    assert [each.stored for each in heard.writes()] == [True, False]


@pytest.mark.parametrize("late", [STARTED, RECEIVED], ids=["started", "received"])
def test_a_beginning_that_comes_late(engine, feed, heard, late):
    """What was sent before the end, and comes after it, begins nothing."""
    sent = [(RECEIVED, 1.0), (SUCCEEDED, 3.0), (late, 2.0)]
    for (kind, fields), at in sent:
        feed({"type": f"task-{kind}", "uuid": "one", "timestamp": at, **fields})
    assert engine.storage.get_atom_state("work") == "SUCCESS"
    assert heard.of("flow") == ["work PENDING -> RUNNING", "work RUNNING -> SUCCESS"]


def test_a_report_before_its_beginning(tell, heard):
    """The first report may overtake that the task began: listeners are told in its order."""
    tell(RECEIVED, HALF, STARTED, SUCCEEDED)
    assert heard.said == [
        *BEGAN,
        "task work RUNNING -> PROGRESS",
        "task work PROGRESS -> SUCCESS",
        "flow work RUNNING -> SUCCESS",
    ]


def test_a_report_before_its_beginning_again(tell, heard):
    """So it is in the next attempt."""
    again = ("retried", {"exception": "KeyError('again')", "traceback": "Traceback ..."})
    tell(RECEIVED, STARTED, again, RECEIVED, HALF, STARTED, SUCCEEDED)
    assert heard.of("task") == [
        "work PENDING -> RUNNING",
        "work RETRY -> RUNNING",
        "work RUNNING -> PROGRESS",
        "work PROGRESS -> SUCCESS",
    ]


def test_a_task_that_is_delivered_again(tell, heard):
    """A message that is redelivered after its worker was lost begins once more."""
    tell(RECEIVED, STARTED, RECEIVED, STARTED, SUCCEEDED)
    assert heard.of("task")[-1] == "work RUNNING -> SUCCESS"
    assert heard.of("flow") == ["work PENDING -> RUNNING", "work RUNNING -> SUCCESS"]


def test_who_comes_late(tell, heard):
    """Only the name of a task is not known to who did not hear of its message."""
    tell(STARTED, SUCCEEDED)
    assert heard.of("task") == ["None PENDING -> RUNNING", "None RUNNING -> SUCCESS"]


def test_who_comes_late_learns_the_name(tell, heard):
    """A report has it."""
    tell(STARTED, HALF, SUCCEEDED)
    assert heard.of("task")[1:] == ["work RUNNING -> PROGRESS", "work PROGRESS -> SUCCESS"]


@pytest.mark.parametrize(
    "make",
    [DurationListener, EventTimeListener, LoggingListener, PrintingListener],
    ids=lambda each: each.__name__,
)
def test_listeners_of_who_comes_late(tell, engine, make, capsys, caplog):
    """No listener breaks on a task whose name nobody knows."""
    with make(engine), caplog.at_level("WARNING"):
        tell(STARTED, ("progress", {}), FAILED, uuid="one")
        tell(STARTED, SUCCEEDED, uuid="two")
    engine.check_listeners()
    assert caplog.records == []


def test_only_an_end(tell, heard, engine):
    """An end of a task that nobody heard of is told, of no flow."""
    tell(SUCCEEDED)
    assert heard.said == ["task None PENDING -> SUCCESS"]
    assert engine.storage.find("one").state == "SUCCESS"


# -- flows -----------------------------------------------------------------------------------------


def chain_of_two(tell, *, sent):
    """The events of a chain of two tasks."""
    first = {"name": "first", "root_id": "one", "parent_id": None}
    second = {"name": "second", "root_id": "one", "parent_id": "one"}
    tell(*([("sent", first)] if sent else []), ("received", first), STARTED)
    tell(*([("sent", second)] if sent else []), uuid="two")
    tell(SUCCEEDED)
    tell(("received", second), STARTED, SUCCEEDED, uuid="two")


def test_a_chain_with_sent_events(tell, heard):
    """With `task_send_sent_event`, one flow from the first task to the last."""
    chain_of_two(tell, sent=True)
    assert heard.said == [
        "flow first PENDING -> RUNNING",
        "task first PENDING -> RUNNING",
        "task first RUNNING -> SUCCESS",
        "task second PENDING -> RUNNING",
        "task second RUNNING -> SUCCESS",
        "flow first RUNNING -> SUCCESS",
    ]


def test_a_chain_without_sent_events(tell, heard, engine):
    """Both tasks are told of, as of one flow, which ends no later than its last task."""
    chain_of_two(tell, sent=False)
    assert heard.of("task") == [
        "first PENDING -> RUNNING",
        "first RUNNING -> SUCCESS",
        "second PENDING -> RUNNING",
        "second RUNNING -> SUCCESS",
    ]
    assert len({each.flow.uuid for each in engine.storage.known()}) == 1
    assert engine.storage.get_flow_state() == "SUCCESS"


def test_two_flows_at_once(tell, heard, engine):
    """Events of two canvases, mixed: each has its own flow and its own end."""
    for kind, _ in (RECEIVED, STARTED, SUCCEEDED):
        for uuid in ("one", "two"):
            tell((kind, {"root_id": uuid, "name": uuid}), uuid=uuid)
    assert sorted(heard.of("flow")) == [
        *("one PENDING -> RUNNING", "one RUNNING -> SUCCESS"),
        *("two PENDING -> RUNNING", "two RUNNING -> SUCCESS"),
    ]


def held(*roots, but):
    """How many objects some hold: without code, and without what is not theirs."""
    seen, found = {id(each) for each in but}, list(roots)
    count = 0
    while found:
        each = found.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(each))
        count += 1
        found += gc.get_referents(each)
    return count


@pytest.mark.parametrize("kinds", [(RECEIVED, STARTED, SUCCEEDED), (RECEIVED, STARTED)], ids=len)
def test_memory_is_bounded(app, feed, kinds):
    """A monitor that runs for months keeps no more than it was told to."""

    def events(first, last):
        for n in range(first, last):
            ids = {"uuid": f"task {n}", "root_id": f"task {n}"}
            for kind, fields in kinds:
                yield {"type": f"task-{kind}", "timestamp": float(n), **fields, **ids}

    engine, sizes = CeleryEngine(app, at_most=5), []
    durations = DurationListener(engine)
    with durations:
        for first in (0, 500):
            feed(*events(first, first + 500), engine=engine)
            gc.collect()
            sizes.append(held(engine, durations, but=[app]))
        durations._began.clear()
    assert sizes[1] - sizes[0] < 100


# -- time ------------------------------------------------------------------------------------------


def test_durations_are_the_workers(tell, engine):
    """How long a task took is by the times at which its events were sent, not received."""
    with DurationListener(engine):
        tell(RECEIVED, STARTED, HALF, SUCCEEDED)
    assert engine.storage.get_atom_metadata("work") == {"duration": 2.0}
    assert engine.storage.flow_meta == {"duration": 3.0}


def test_times_are_the_workers(tell, engine):
    """So is when an event happened."""
    with EventTimeListener(engine):
        tell(RECEIVED, STARTED, SUCCEEDED)
    found = engine.storage.get_atom_metadata("work")
    assert found == {"RUNNING-timestamp": 1001.0, "SUCCESS-timestamp": 1002.0}


def test_the_clock_goes_on(tell, engine):
    """After an event has been told of, the clock is the machine's again; in other threads too."""
    readings = []

    def read(state, details):
        thread = threading.Thread(target=lambda: readings.append(engine.clock.time()))
        thread.start()
        thread.join()
        readings.append(engine.clock.time())

    engine.atom_notifier.register("RUNNING", read)
    tell(RECEIVED, STARTED)
    elsewhere, here = readings
    assert here == 1001.0
    assert elsewhere > 1_000_000
    assert engine.clock.time() > 1_000_000


# -- texts of exceptions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ValueError('broken')", "ValueError: broken"),
        ('ValueError("it\'s (not) broken")', "ValueError: it's (not) broken"),
        ("ValueError()", "ValueError: "),
        ("KeyError('a', 2)", "KeyError: ['a', 2]"),
        ("KeyError(('a', 2))", "KeyError: ('a', 2)"),
        ("MyError(<object at 0x1>)", "MyError: <object at 0x1>"),
        ("MyError(code=3)", "MyError: code=3"),
        ("MyError('cut off", "Exception: MyError('cut off"),
        ("ValueError('a\\nb')", "ValueError: a\nb"),
        ("MyError(__import__('os').abort())", "MyError: __import__('os').abort()"),
    ],
)
def test_exceptions(tell, heard, text, told):
    """The name is before the parenthesis; what is in it are values, or text. Nothing is run."""
    tell(RECEIVED, STARTED, ("failed", {"exception": text, "traceback": "..."}))
    failure = heard.details[2]["result"]
    assert f"{failure.exc_type_names[0]}: {failure.exception_str}" == told


@pytest.mark.parametrize(
    "text",
    [
        "MyError({[]: 1})",
        "MyError(-" + "-" * 100_000 + "1)",
        "MyError(-" + "-" * 700 + "x)",
        "my" + ".error" * 700 + "()",
        "MyError(" + "(" * 5_000,
        "MyError(\x00)",
        "MyError: no parenthesis",
        "MyError('\\d')",
        "",
        "(",
        None,
        12,
        ["ValueError", "broken"],
    ],
    ids=range(13),
)
def test_exceptions_that_nobody_can_read(tell, heard, text):
    """Whatever a worker sends: a failure is told, with something of that text, and no more."""
    tell(RECEIVED, STARTED, ("failed", {"exception": text}))
    assert heard.said[-2:] == ["task work RUNNING -> FAILURE", "flow work RUNNING -> FAILURE"]
    assert heard.details[2]["result"].pformat()


# -- events that are broken ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        {"type": "task-started", "uuid": "one"},
        {"type": "task-started", "uuid": ["one"], "timestamp": 1.0},
        {"type": "task-started", "uuid": None, "timestamp": 1.0},
        {"type": "task-started", "timestamp": 1.0},
        {"type": "task-started", "uuid": "one", "timestamp": None},
        {"type": "task-received", "uuid": "one", "timestamp": 1.0, "chord": 5},
        {"type": "task-received", "uuid": "one", "timestamp": 1.0, "root_id": ["x"]},
        {"type": "task-received", "uuid": "one", "timestamp": 1.0, "chain": 5},
        {"type": "task-progress", "uuid": "one", "timestamp": 1.0, "state": ["x"]},
        {"type": "task-progress", "uuid": "one", "timestamp": 1.0, "state": None},
        {"type": "worker-heartbeat", "hostname": "w@here", "timestamp": 1.0},
        {"type": "something", "uuid": "one"},
    ],
    ids=str,
)
def test_a_broken_event(engine, feed, heard, event):
    """Anyone may send events: one that is none does not end the monitor."""
    feed(event)
    for at, (kind, fields) in enumerate([RECEIVED, STARTED, SUCCEEDED]):
        feed({"type": f"task-{kind}", "uuid": "two", "timestamp": float(at), **fields})
    assert heard.of("task")[-1] == "work RUNNING -> SUCCESS"
    engine.check_listeners()


# -- through the broker ----------------------------------------------------------------------------


class Receiving(threading.Thread):
    """An engine that receives in a thread, and is listening already."""

    def __init__(self, app, engine, **limits):
        super().__init__(daemon=True)
        self.app, self.engine, self.limits = app, engine, limits
        self.taken = None
        self.raised = None
        self.listening = threading.Event()
        engine.atom_notifier.register("REVOKED", lambda state, details: self.listening.set())
        self.start()
        for _ in range(1_000):
            self.send("task-revoked", uuid="probe")
            if self.listening.wait(0.02):
                break
        assert self.listening.is_set(), "nothing is received"

    def run(self):
        """Receive."""
        try:
            self.taken = self.engine.receive(**self.limits)
        except BaseException as error:  # noqa: BLE001 - what it ends with
            self.raised = error

    def send(self, kind, **fields):
        """Send an event, as a worker does."""
        with self.app.events.default_dispatcher(hostname="w@here") as dispatcher:
            dispatcher.send(kind, **fields)

    def end(self):
        """Wait for it; returns how many it has taken."""
        self.join(PATIENCE)
        assert not self.is_alive(), "it receives for ever"
        return self.taken


class Ended(BaseException):
    """All has been heard."""


def until(engine, kind):
    """Let a thread end when a task of a name has come to an end."""

    def end(state, details):
        if details["task_name"] == kind and state in {"SUCCESS", "FAILURE"}:
            raise Ended

    engine.atom_notifier.register("*", end, details_filter=lambda each: "task_name" in each)


def test_receives(app, engine):
    """What workers send through the broker is told; a task that raises nothing is no matter."""
    heard = Heard(engine)
    heard.register()
    until(engine, "work")
    receiving = Receiving(app, engine)
    fields = {"uuid": "one", "name": "work", "root_id": "one"}
    receiving.send("task-received", **fields)
    receiving.send("task-started", uuid="one")
    receiving.send("task-progress", **fields, state="PROGRESS", meta={"current": 1, "total": 2})
    receiving.send("worker-heartbeat")
    receiving.send("task-succeeded", uuid="one", result="1", runtime=0.1)
    receiving.join(PATIENCE)
    assert isinstance(receiving.raised, Ended)
    said = [each for each in heard.said if "None" not in each]
    assert said[:4] == [*BEGAN, "task work RUNNING -> PROGRESS", "task work PROGRESS -> SUCCESS"]


def test_of_a_worker(app, engine):
    """A process that is attached sends reports; who receives hears what that one hears."""

    @app.task(name="reports", bind=True)
    def reports(self):
        for current in (1, 2):
            self.update_state(state="PROGRESS", meta={"current": current, "total": 2})

    heard = Heard(engine)
    heard.register()
    seen = threading.Semaphore(0)
    engine.atom_notifier.register("PROGRESS", lambda state, details: seen.release())
    receiving = Receiving(app, engine, timeout=1)
    with CeleryEngine(app), app.connection_for_read() as connection:
        queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        queue.declare()
        result = reports.delay()
        done = {"on_ack": lambda *_: None, "on_reject": lambda *_: None}
        Request(queue.get(accept=["json"]), app=app, hostname="w@here", **done).execute()
        queue.delete()
    assert seen.acquire(timeout=PATIENCE)
    assert seen.acquire(timeout=PATIENCE)
    receiving.end()
    reported = [each for each in heard.writes() if each.state == "PROGRESS"]
    assert [(each.uuid, each.name, each.percent) for each in reported] == [
        (result.id, "reports", 50.0),
        (result.id, "reports", 100.0),
    ]


def test_a_broken_event_through_the_broker(app, engine):
    """It goes on with the next one."""
    until(engine, "work")
    receiving = Receiving(app, engine)
    receiving.send("task-received", uuid="bad", chord=5)
    receiving.send("task-progress", uuid="bad", state=["x"])
    receiving.send("task-received", uuid="one", name="work", root_id="one")
    receiving.send("task-succeeded", uuid="one", result="1")
    receiving.join(PATIENCE)
    assert isinstance(receiving.raised, Ended)


def test_limit(app, engine):
    """It takes so many events, of any type, and says how many."""
    receiving = Receiving(app, engine, limit=3)
    for _ in range(3):
        receiving.send("worker-heartbeat")
    assert receiving.end() == 3


@pytest.mark.parametrize("timeout", [0.05, 1.2])
def test_timeout(app, engine, timeout):
    """It returns when nothing has come for so long, not a second later."""
    began = time.monotonic()
    assert engine.receive(timeout=timeout) == 0
    assert timeout <= time.monotonic() - began < timeout + 0.5


@pytest.mark.parametrize(
    "limits",
    [{"timeout": 0}, {"timeout": -1}, {"timeout": math.inf}, {"timeout": math.nan}, {"limit": 0}],
    ids=str,
)
def test_limits_that_are_none(engine, limits):
    """What would never come to an end, or to a beginning, is refused."""
    with pytest.raises(ValueError, match=next(iter(limits))):
        engine.receive(**limits)


def test_stop(app, engine):
    """Who receives can be told to end by another thread."""
    receiving = Receiving(app, engine)
    engine.stop()
    assert receiving.end() >= 1
    engine.stop()


def test_indexes(app, engine):
    """Each write that an engine tells of has a place of its own, over all that it receives."""
    heard = Heard(engine)
    heard.register()
    for _ in range(2):
        receiving = Receiving(app, engine, limit=3)
        for _ in range(3):
            receiving.send("task-revoked", uuid="one")
        receiving.end()
    indexes = [each.index for each in heard.writes()]
    assert indexes == sorted(set(indexes))


def test_a_broker_that_is_down():
    """It is told so, and does not wait for ever."""
    app = IsolatedApp("nowhere", broker="redis://127.0.0.1:1/0", set_as_current=False)
    ended = []

    def receive():
        try:
            CeleryEngine(app).receive(timeout=1)
        except Exception as error:  # noqa: BLE001 - of the client, of any type
            ended.append(error)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    thread.join(3)
    assert not thread.is_alive()
    assert len(ended) == 1


def test_rejects_through_a_worker(app, engine, feed):
    """Celery's own event of a Reject is known by its name."""
    sent = []

    @app.task(name="rejects", acks_late=True)
    def rejects():
        raise Reject("no", requeue=False)

    with app.connection_for_read() as connection:
        queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        queue.declare()
        rejects.delay()
        request = Request(
            queue.get(accept=["json"]),
            app=app,
            hostname="w@here",
            eventer=_Eventer(sent),
            on_ack=lambda *_: None,
            on_reject=lambda *_: None,
        )
        request.execute()
        queue.delete()
    for event in [{"type": "task-received", "uuid": request.id, "name": "rejects"}, *sent]:
        feed({"timestamp": 1.0, **event})
    assert all(each.state != "RUNNING" for each in engine.storage._flows.values())


class _Eventer:
    """Keeps what a request sends."""

    enabled = True

    def __init__(self, sent):
        self._sent = sent

    def send(self, kind, **fields):
        """Keep it."""
        self._sent.append({"type": kind, **fields})
