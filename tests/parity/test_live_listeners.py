"""Listeners in a real worker process, and in one that is told by its events: what they hear.

The app of the worker is in this file too: the worker imports it with `LIVE` in its environment. It
has one pool process, so that what it logs has one order.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from types import SimpleNamespace
from uuid import uuid4

import pytest
from celery import Celery, chain
from kombu.transport import filesystem
from kombu.utils.json import dumps

from pytest_taskprogress import (
    AbortableTask,
    CeleryEngine,
    DurationListener,
    EagerEngine,
    Listener,
    LoggingListener,
    Observer,
)
from tests.servers import SQLALCHEMY, close_client, need

# Celery calls `setex`, which redis-py 8 deprecates: goes when Celery does not.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

#: Seconds after which something hangs, and does not wait; nothing comes near it.
PATIENCE = 20
#: In the environment of the worker: how its app is configured.
LIVE = "TASKPROGRESS_LIVE"

MOVED = re.compile(
    r"<CeleryEngine on live> has moved (?P<kind>\w+) '(?P<name>[\w.]+)' \((?P<uuid>[\w-]+)\) into"
    r" state '(?P<state>\w+)' from state '(?P<old_state>\w+)'(?P<rest>.*)"
)
TOOK = re.compile(
    r"(?P<kind>task|flow) (?P<name>\w+) \((?P<uuid>[\w-]+)\) took (?P<seconds>[\d.]+) s"
)


def put_whole(channel, queue, payload, **_):
    """Kombu's worker dies of a file that it reads while another process writes it."""
    whole = Path(channel.data_folder_out, f"{time.monotonic_ns()}_{uuid4()}.{queue}.msg")
    part = whole.with_suffix(".part")
    part.write_text(dumps(payload), encoding="utf-8")
    part.replace(whole)


def make_app(conf):
    """The app: its tasks, and where its broker and results are."""
    app = Celery("live", set_as_current=False)
    app.conf.update(conf)

    @app.task(name="imports", bind=True, base=AbortableTask, shared=False)
    def imports(self, rows):
        for _ in Observer(self).track(range(rows), "Importing rows"):
            pass
        return rows

    @app.task(name="plus", shared=False)
    def plus(number):
        return number + 1

    @app.task(name="retries", bind=True, shared=False)
    def retries(self):
        if not self.request.retries:
            raise self.retry(exc=KeyError("again"), countdown=0)
        return "in the end"

    @app.task(name="silent", shared=False, ignore_result=True)
    def silent():
        return "nobody asks"

    @app.task(name="fails", shared=False)
    def fails(number):
        raise ValueError(f"bad {number}")

    @app.task(name="waits", bind=True, base=AbortableTask, shared=False)
    def waits(self):
        Observer(self).update("Waiting", current=1, total=4)
        never = threading.Event()
        while not never.wait(0.01):
            self.raise_if_aborted()

    @app.task(name="suspends", shared=False)
    def suspends():
        live.suspend()

    live = CeleryEngine(app)
    return SimpleNamespace(app=app, live=live, tasks=app.tasks)


class Tells(Listener):
    """Logs the durations that were recorded, when something has come to its end."""

    def _task_receiver(self, state, details):
        self._tell("task", details, self._engine.storage.get_atom_metadata(details["task_uuid"]))

    def _flow_receiver(self, state, details):
        self._tell("flow", details, self._engine.storage.flow_meta)

    def _tell(self, kind, details, recorded):
        if "duration" in recorded:
            logging.getLogger(__name__).info(
                "%s %s (%s) took %.6f s",
                *(kind, details[f"{kind}_name"], details[f"{kind}_uuid"]),
                recorded["duration"],
            )


if LIVE in os.environ:
    filesystem.Channel._put = put_whole
    worker_side = make_app(json.loads(os.environ[LIVE]))
    app = worker_side.app
    worker_side.live.attach()
    LoggingListener(
        worker_side.live, log=logging.getLogger(__name__), level=logging.INFO
    ).register()
    DurationListener(worker_side.live).register()
    Tells(worker_side.live, ("SUCCESS", "FAILURE"), ("SUCCESS", "FAILURE"), ()).register()


class Heard(Listener):
    """Keeps what it is told, in order, and lets others wait for it."""

    def __init__(self, engine):
        super().__init__(engine)
        self.said = []
        self._changed = threading.Condition()

    def _keep(self, kind, state, details):
        amount = getattr(details["progress"], "percent", None)
        said = (kind, details[f"{kind}_name"], details["old_state"], state, amount)
        with self._changed:
            self.said.append((details[f"{kind}_uuid"], said))
            self._changed.notify_all()

    def _flow_receiver(self, state, details):
        self._keep("flow", state, details)

    def _task_receiver(self, state, details):
        self._keep("task", state, details)

    def _retry_receiver(self, state, details):
        self._keep("retry", state, details)

    def wait_for(self, uuid, *states, kind="task"):
        """Wait until a task, or the flow of that id, has come to a state."""

        def has_come():
            return any(
                each == uuid and said[0] == kind and said[3] in states for each, said in self.said
            )

        with self._changed:
            assert self._changed.wait_for(has_come, PATIENCE), f"{uuid} never was {states}"

    def of(self, *kinds):
        """What was heard of some kinds, by task."""
        found = defaultdict(list)
        for uuid, said in self.said:
            if said[0] in kinds:
                found[uuid].append(said)
        return found


class Output:
    """What a process prints, line by line, read by a thread of its own."""

    def __init__(self, process):
        self.lines = []
        self._new = Queue()
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            self._new.put(line.rstrip("\n"))
        self._new.put(None)

    def wait_for(self, text):
        """Wait for a line that nobody has waited for yet."""
        while True:
            try:
                line = self._new.get(timeout=PATIENCE)
            except Empty:
                line = None
            assert line is not None, f"never said {text!r}:\n" + "\n".join(self.lines[-30:])
            self.lines.append(line)
            if text in line:
                return line

    def end(self):
        """Read the rest; the process has ended."""
        self._thread.join(PATIENCE)


@pytest.fixture(scope="module", autouse=True)
def whole_files():
    """This process writes whole files too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystem.Channel, "_put", put_whole)
        yield


@pytest.fixture(scope="module", params=["redis", "filesystem"])
def conf(request, tmp_path_factory):
    """The settings of an app on a broker, with a queue of its own."""
    name = f"live-{uuid4().hex}"
    common = {
        "task_default_queue": name,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_hijack_root_logger": True,
    }
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        prefix = {"global_keyprefix": name}
        return {
            **common,
            "broker_url": url,
            "result_backend": url,
            "worker_send_task_events": False,  # but the worker has -E
            "broker_transport_options": prefix,
            "result_backend_transport_options": prefix,
        }
    need(SQLALCHEMY)
    folder = tmp_path_factory.mktemp("live")
    for each in ("queue", "control"):
        (folder / each).mkdir()
    return {
        **common,
        "broker_url": "filesystem://",
        "result_backend": f"db+sqlite:///{folder / 'results.sqlite'}",
        "broker_transport_options": {
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.02,
        },
    }


@pytest.fixture(scope="module")
def output(conf):
    """What a worker of the app prints: it runs in a process, and has one pool process."""
    command = [sys.executable, "-m", "celery", "-A", "tests.parity.test_live_listeners:app"]
    options = ["worker", "-c", "1", "-P", "prefork", "-l", "info", "-n", "live@here"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    queues = ["-Q", f"{conf['task_default_queue']},{conf['task_default_queue']}-extra"]
    events = [] if conf["worker_send_task_events"] else ["-E"]
    process = subprocess.Popen(
        [*command, *options, *quiet, *queues, *events],
        env={**os.environ, LIVE: json.dumps(conf), "C_FORCE_ROOT": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = Output(process)
    with process:
        try:
            output.wait_for(" ready.")
            yield output
        finally:
            process.terminate()
            process.wait(PATIENCE)
            output.end()


@pytest.fixture(scope="module")
def client(conf, output):
    """The app in this process, with an engine that receives what the worker sends."""
    client = make_app(conf)
    client.heard = Heard(client.live)
    client.heard.register()

    def receive():
        client.taken = client.live.receive()

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    with client.app.events.default_dispatcher(hostname="probe") as dispatcher:
        for _ in range(1_000):
            # Kombu's filesystem transport reads who listens while somebody writes that.
            with suppress(ValueError):
                dispatcher.send("task-revoked", uuid="probe")
            with client.heard._changed:
                if client.heard._changed.wait_for(lambda: client.heard.said, 0.02):
                    break
    client.heard.wait_for("probe", "REVOKED")
    yield client
    client.live.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    client.live.check_listeners()
    if conf["broker_url"].startswith("redis"):
        keys = client.app.backend.client
        keys.delete(*keys.scan_iter(match=f"{conf['task_default_queue']}*"))
    close_client(client.app.backend)
    client.app.close()


def workload(tasks):
    """Name -> a canvas to run."""
    return {
        "chain": chain(tasks["imports"].s(2), tasks["plus"].s(), tasks["plus"].s()),
        "retries": tasks["retries"].s(),
        "silent": tasks["silent"].s(),
        "breaks": chain(tasks["plus"].s(1), tasks["fails"].s()),
    }


@pytest.fixture(scope="module")
def ran(client, output):
    """Ids of the tasks of each canvas, in order, when the worker has run all of them."""
    ran = {}
    for name, canvas in workload(client.tasks).items():
        result = canvas.apply_async()
        ids = [result.id]
        while result.parent is not None:
            result = result.parent
            ids.insert(0, result.id)
        client.heard.wait_for(ids[0], "SUCCESS", "FAILURE", kind="flow")
        ran[name] = ids
    # What it logs last of all this.
    output.wait_for(f"flow plus ({ran['breaks'][0]}) took")
    return ran


@pytest.fixture(scope="module")
def logged(ran, output):
    """What the worker logged: by id, kind, name, old state, state, and the rest of the line."""
    found = defaultdict(list)
    for line in output.lines:
        moved = MOVED.search(line)
        if moved:
            *said, rest = moved.group("kind", "name", "old_state", "state", "rest")
            percent = re.match(r": (\d+) %", rest)
            said.append(float(percent[1]) if percent else None)
            found[moved["uuid"]].append(tuple(said))
    return found


@pytest.fixture(scope="module")
def eager(conf):
    """What listeners hear of the same on the eager engine: by canvas, kind and task."""
    local = make_app({"broker_url": "redis://nowhere", "result_backend": "redis://nowhere"})
    found = {}
    with EagerEngine(local.app) as engine:
        for name, canvas in workload(local.tasks).items():
            with Heard(engine) as heard:
                engine.run(canvas)
            found[name] = heard
    return found


def tasks_only(said):
    """What was said of tasks and retries."""
    return [each for each in said if each[0] != "flow"]


CANVASES = ["chain", "retries", "silent", "breaks"]


@pytest.mark.parametrize("name", CANVASES)
def test_what_the_worker_logs(ran, logged, eager, name):
    """LoggingListener logs of each task what it hears of it on the eager engine, reports too."""
    on_worker = [tasks_only(logged[uuid]) for uuid in ran[name]]
    assert on_worker == list(eager[name].of("task", "retry").values())


@pytest.mark.parametrize("name", CANVASES)
def test_what_another_process_hears(ran, client, eager, name):
    """Who receives events hears the same of each task."""
    heard = client.heard.of("task", "retry")
    assert [heard[uuid] for uuid in ran[name]] == list(eager[name].of("task", "retry").values())


@pytest.mark.parametrize("name", CANVASES)
def test_flows(ran, logged, client, eager, name):
    """In the worker, in another process and on the eager engine: it begins once, and ends once."""
    (on_engine,) = eager[name].of("flow").values()
    root = ran[name][0]
    states = [each[2:4] for each in on_engine]
    assert [each[2:4] for each in logged[root] if each[0] == "flow"] == states
    assert [each[2:4] for each in client.heard.of("flow")[root]] == states


def test_reports_are_logged_with_percent_and_message(ran, output):
    """A report in the log tells how far the task has come, and what it does."""
    lines = [each for each in output.lines if ran["chain"][0] in each and "'PROGRESS'" in each]
    reports = [MOVED.search(each)["rest"] for each in lines if "into state 'PROGRESS'" in each]
    assert reports == [": 50 %, Importing rows", ": 100 %, Importing rows"]


def test_failures_are_logged_with_their_traceback(ran, output):
    """What is in the worker's log is enough to find the line."""
    index, line = next(
        (index, each)
        for index, each in enumerate(output.lines)
        if ran["breaks"][1] in each and "into state 'FAILURE'" in each and "moved task" in each
    )
    assert line.endswith("with result 'Failure: ValueError: bad 2' (failure=True)")
    following = "\n".join(output.lines[index + 1 : index + 12])
    assert following.startswith("Traceback (most recent call last):")
    assert 'raise ValueError(f"bad {number}")' in following


def test_durations(ran, output):
    """DurationListener records seconds of each task, and of each flow, in the worker."""
    took = [TOOK.search(each) for each in output.lines]
    seconds = {(each["kind"], each["uuid"]): float(each["seconds"]) for each in took if each}
    tasks = [uuid for ids in ran.values() for uuid in ids]
    assert {uuid for kind, uuid in seconds if kind == "task"} >= set(tasks)
    assert all(0.0 < each < PATIENCE for each in seconds.values())
    root = ran["chain"][0]
    assert seconds["flow", root] >= sum(seconds["task", uuid] for uuid in ran["chain"])


def test_nothing_went_wrong(ran, output):
    """No listener raised, nothing could not be told, and nothing was not sent."""
    bad = [
        each for each in output.lines if re.search("Failure calling|could not tell|handler", each)
    ]
    assert bad == []


# -- from outside ----------------------------------------------------------------------------------


def test_an_abort(ran, client, output):
    """A task that is aborted while it runs: that it was, and its flow, is logged and received."""
    result = client.tasks["waits"].delay()
    client.heard.wait_for(result.id, "PROGRESS")
    assert result.abort()
    client.heard.wait_for(result.id, "ABORTED")
    output.wait_for(f"moved task 'waits' ({result.id}) into state 'ABORTED' from state 'PROGRESS'")
    output.wait_for(f"moved flow 'waits' ({result.id}) into state 'ABORTED' from state 'RUNNING'")
    client.heard.wait_for(result.id, "ABORTED", kind="flow")
    heard = client.heard.of("task", "flow")[result.id]
    assert heard == [
        ("flow", "waits", "PENDING", "RUNNING", None),
        ("task", "waits", "PENDING", "RUNNING", None),
        ("task", "waits", "RUNNING", "PROGRESS", 25.0),
        ("task", "waits", "PROGRESS", "ABORTED", None),
        ("flow", "waits", "RUNNING", "ABORTED", None),
    ]


def test_a_task_that_is_killed(ran, client, output):
    """Its process is gone: the main one tells, and who receives events is told by that."""
    result = client.tasks["waits"].delay()
    client.heard.wait_for(result.id, "PROGRESS")
    client.app.control.revoke(result.id, terminate=True, signal="SIGKILL")
    client.heard.wait_for(result.id, "REVOKED")
    line = output.wait_for(f"moved task 'waits' ({result.id}) into state 'REVOKED'")
    assert "/MainProcess]" in line
    client.heard.wait_for(result.id, "FAILURE", kind="flow")
    assert client.tasks["plus"].delay(1).get(timeout=PATIENCE) == 2


# -- suspend() and resume() ------------------------------------------------------------------------


def waiting(app):
    """How many messages wait in the broker."""
    with app.connection_for_read() as connection:
        # Not by declaring it, for which Kombu asks Redis without the prefix of its keys.
        return connection.default_channel._size(app.conf.task_default_queue)


def consumed(app):
    """The queues that the worker consumes from: it is asked."""
    inspect = app.control.inspect(destination=["live@here"], timeout=PATIENCE, limit=1)
    return {each["name"] for each in inspect.active_queues()["live@here"]}


@pytest.fixture
def queues(ran, client):
    """Those that the worker consumes from; also afterwards, whatever a test has done to it."""
    queues = consumed(client.app)
    assert len(queues) == 2
    yield queues
    for queue in queues - consumed(client.app):
        client.app.control.add_consumer(queue, destination=["live@here"])


def test_suspend_and_resume(client, output, queues):
    """A suspended worker takes nothing, from none of its queues; resumed, it goes on with all."""
    client.live.suspend()
    for _ in queues:
        output.wait_for("Canceling queue")
    assert consumed(client.app) == set()
    result = client.tasks["plus"].delay(1)
    assert consumed(client.app) == set()
    assert waiting(client.app) == 1
    client.live.resume()
    assert result.get(timeout=PATIENCE) == 2
    assert consumed(client.app) == queues
    assert waiting(client.app) == 0


def test_a_worker_suspends_itself(client, output, queues):
    """As a lost claim does: from a task, its worker takes no more; it can be told to go on."""
    suspends = client.tasks["suspends"].delay()
    suspends.get(timeout=PATIENCE)
    for _ in queues:
        output.wait_for("Canceling queue")
    assert consumed(client.app) == set()
    result = client.tasks["plus"].delay(1)
    assert consumed(client.app) == set()
    assert waiting(client.app) == 1
    for queue in queues:
        client.app.control.add_consumer(queue, destination=["live@here"])
    assert result.get(timeout=PATIENCE) == 2
