"""The bars that a person sees: what is written to a terminal is put on a screen, and read."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import sys
import termios
import threading
import warnings
from types import SimpleNamespace

import pytest
from celery import chain, group

from pytest_taskprogress import (
    AbortableTask,
    Notifier,
    Observer,
    Progress,
    ProgressBarListener,
    TaskProgressError,
)
from pytest_taskprogress.scenario import Abort, at_report

with warnings.catch_warnings():
    # TaskFlow imports modules of oslo.utils that warn of their own end.
    warnings.filterwarnings("ignore", ".*eventlet", DeprecationWarning)
    from taskflow import engines
    from taskflow.patterns import linear_flow
    from taskflow.task import FunctorTask


class Terminal(io.StringIO):
    """A terminal of 80 columns, and what is to be seen on it."""

    def isatty(self):
        """A terminal says so."""
        return True

    @property
    def lines(self):
        """The lines, without what a machine's speed decides on."""
        shown = [re.sub(r" \[.*?(, [^\],/]+)?\]$", r"\1", each) for each in screen(self.getvalue())]
        return [re.sub(r"\|.*\|", "|", each) for each in shown]


def screen(text):
    """What is to be seen after a text was written to a terminal."""
    lines, row, column = [""], 0, 0
    for each in re.findall(r"\x1b\[A|.|\n|\r", text):
        if each == "\x1b[A":
            row -= 1
            assert row >= 0, "drawn above the first line"
        elif each == "\r":
            column = 0
        elif each == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + each + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def terminal(monkeypatch):
    """Where bars are drawn, as often as something is reported."""
    monkeypatch.setattr(ProgressBarListener, "_EVERY", 0.0)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "25")
    return Terminal()


@pytest.fixture
def seen():
    """What was to be seen, as often as a task looked."""
    return []


@pytest.fixture
def load(app, terminal, seen):
    """A task that loads rows, and looks at the terminal after each."""

    @app.task(name="load", bind=True, base=AbortableTask)
    def load(self, rows=2, fails_at=None):
        observer = Observer(self)
        for row in range(rows):
            observer.update("Loading", total=rows, current=row + 1)
            seen.append(terminal.lines)
            if row == fails_at:
                raise ValueError("broken")
        return rows

    return load


def test_a_task(engine, load, terminal, seen):
    """A task has a bar, with its name, how far it is and what it says."""
    with ProgressBarListener(engine, terminal):
        engine.run(load, 4)
    assert seen[0] == ["load:  25%| 1/4, Loading"]
    assert seen[2] == ["load:  75%| 3/4, Loading"]
    assert terminal.lines == ["load: 100%| 4/4, Loading"]


def test_a_task_that_reports_nothing(engine, app, terminal):
    """A task that reports nothing has no bar."""

    @app.task
    def quiet():
        pass

    with ProgressBarListener(engine, terminal):
        engine.run(quiet)
    assert terminal.getvalue() == ""


def test_a_canvas(engine, load, terminal, seen):
    """The bars of a canvas are below one of the flow, which counts the tasks that have ended."""
    with ProgressBarListener(engine, terminal):
        engine.run(group(load.si(1), load.si(2)))
    assert seen == [
        ["celery.group:   0%| 0/2", "  load: 100%| 1/1, Loading"],
        ["  load: 100%| 1/1, Loading", "celery.group:  50%| 1/2", "  load:  50%| 1/2, Loading"],
        ["  load: 100%| 1/1, Loading", "celery.group:  50%| 1/2", "  load: 100%| 2/2, Loading"],
    ]
    assert terminal.lines == [
        "  load: 100%| 1/1, Loading",
        "  load: 100%| 2/2, Loading",
        "celery.group: 100%| 2/2",
    ]


def test_a_chain_has_the_id_of_its_last_task(engine, load, terminal):
    """The bar of a chain and that of its last task are two."""
    with ProgressBarListener(engine, terminal):
        engine.run(chain(load.si(1), load.si(3)))
    assert terminal.lines[1:] == ["  load: 100%| 3/3, Loading", "celery.chain: 100%| 2/2"]


def test_tasks_that_go_on_at_the_same_time(engine, app, terminal, seen):
    """The bars of tasks that wait for their retry stay below their flow, in order."""

    @app.task(name="twice", bind=True, base=AbortableTask)
    def twice(self, name):
        attempt = self.request.retries
        Observer(self).update(name, total=2, current=attempt + 1)
        seen.append(terminal.lines)
        if not attempt:
            raise self.retry(countdown=30)

    with ProgressBarListener(engine, terminal):
        engine.run(group(twice.si("one"), twice.si("two")))
    assert seen[1:3] == [
        [
            "celery.group:   0%| 0/2",
            "  twice:  50%| 1/2, retry",
            "  twice:  50%| 1/2, two",
        ],
        [
            "celery.group:   0%| 0/2",
            "  twice: 100%| 2/2, one",
            "  twice:  50%| 1/2, retry",
        ],
    ]
    assert seen[3] == [
        "  twice: 100%| 2/2, one",
        "celery.group:  50%| 1/2",
        "  twice: 100%| 2/2, two",
    ]
    assert terminal.lines[-1] == "celery.group: 100%| 2/2"


def test_bars_of_two_flows(engine, load, terminal, seen):
    """A bar is below those of its own flow, whichever came first."""
    with ProgressBarListener(engine, terminal):
        first = engine.run_iter(group(load.si(3), load.si(1)))
        next(each for each in first if each.state == "PROGRESS")
        engine.run(group(load.si(1), load.si(1)))
        assert seen[-1][-2:] == ["celery.group:  50%| 1/2", "  load: 100%| 1/1, Loading"]
        list(first)
    assert terminal.lines[-1] == "celery.group: 100%| 2/2"


def test_indeterminate(engine, app, terminal, seen):
    """Without a total a bar counts; as soon as there is one, it shows how far it is."""

    @app.task(name="scan", bind=True)
    def scan(self):
        for current, total in ((3, None), (4, 8), (5, 10)):
            Observer(self).update("Scanning", total=total, current=current)
            seen.append(terminal.lines)

    with ProgressBarListener(engine, terminal):
        engine.run(scan)
    assert seen == [
        ["scan: 3it, Scanning"],
        ["scan:  50%| 4/8, Scanning"],
        ["scan:  50%| 5/10, Scanning"],
    ]
    assert terminal.lines == ["scan: 100%| 10/10, Scanning"]


def test_a_task_that_stays_indeterminate(engine, app, terminal):
    """A task that succeeds without a total has counted what it has counted."""

    @app.task(name="scan", bind=True)
    def scan(self):
        Observer(self).update("Scanning", total=None, current=3)

    with ProgressBarListener(engine, terminal):
        engine.run(scan)
    assert terminal.lines == ["scan: 3it, Scanning"]


def test_failure_leaves_the_bar(engine, load, terminal):
    """A task that fails leaves its bar where it was, and says so; its flow too."""
    with ProgressBarListener(engine, terminal):
        engine.run(group(load.si(4, fails_at=1), load.si(1)))
    assert terminal.lines[0] == "  load:  50%| 2/4, failure"
    assert terminal.lines[-1] == "celery.group: 100%| 2/2, failure"


def test_abort_leaves_the_bar(engine, load, terminal):
    """A task that is aborted leaves its bar where it was, and says so."""
    with ProgressBarListener(engine, terminal):
        engine.under(Abort(at_report(2))).run(load, 4)
    assert terminal.lines == ["load:  50%| 2/4, aborted"]


def test_many_tasks(engine, load, terminal, seen):
    """However many tasks there are, those that go on have the lines below their flow."""
    with ProgressBarListener(engine, terminal, leave=False):
        engine.run(group(load.si(1) for _ in range(40)))
    assert {len(each) for each in seen} == {2}
    assert terminal.lines == []


def test_more_bars_than_lines(engine, app, terminal):
    """Bars for which a terminal has no line are hidden, and come when there is one."""

    @app.task(name="waits", bind=True, base=AbortableTask)
    def waits(self):
        Observer(self).update("Waiting", total=2)
        if not self.request.retries:
            raise self.retry(countdown=30)

    with ProgressBarListener(engine, terminal):
        engine.run(group(waits.si() for _ in range(40)))
    assert terminal.lines == [*["  waits: 100%| 2/2, Waiting"] * 40, "celery.group: 100%| 40/40"]


def test_a_message_of_several_lines(engine, app, terminal):
    """Whatever a task says, its bar has one line."""

    @app.task(name="says", bind=True)
    def says(self):
        Observer(self).update("one\ntwo\t\x1b[2Jthree", total=1)

    with ProgressBarListener(engine, terminal):
        engine.run(says)
    assert terminal.lines == ["says: 100%| 1/1, one two [2Jthree"]


def test_numbers_that_are_no_whole_ones(engine, app, terminal, seen):
    """Positions are shown as a person reads them."""

    @app.task(name="thirds", bind=True)
    def thirds(self):
        self.update_state(state="PROGRESS", meta={"current": 1 / 3, "total": 2.0})
        seen.append(terminal.lines)

    with ProgressBarListener(engine, terminal):
        engine.run(thirds)
    assert seen == [["thirds:  16%| 0.33/2"]]


@pytest.mark.filterwarnings("ignore:.*breaks its contract")
def test_a_report_that_was_dropped(engine, app, terminal):
    """What the backend drops after the end is not drawn."""

    @app.task(name="late", bind=True)
    def late(self):
        self.update_state(state="SUCCESS")
        Observer(self).update("Late")

    with ProgressBarListener(engine, terminal):
        engine.run(late)
    assert terminal.getvalue() == ""


def test_no_terminal(engine, load, capsys):
    """Where is no terminal, nothing is drawn."""
    with ProgressBarListener(engine):
        engine.run(group(load.si(), load.si()))
    assert capsys.readouterr() == ("", "")


def test_forced(engine, load, terminal):
    """`disable` decides, whatever the file is."""
    file = io.StringIO()
    with (
        ProgressBarListener(engine, terminal, disable=True),
        ProgressBarListener(engine, file, disable=False),
    ):
        engine.run(load)
    assert terminal.getvalue() == ""
    assert "load: 100%" in file.getvalue()


def test_nothing_is_left_behind(engine, load, terminal):
    """Bars of what has not come to an end go with their listener; later reports draw nothing."""
    tqdm = pytest.importorskip("tqdm").tqdm
    threads = set(threading.enumerate())
    listener = ProgressBarListener(engine, terminal)
    listener.register()
    steps = engine.run_iter(group(load.si(2), load.si(2)))
    next(each for each in steps if each.state == "PROGRESS")
    assert terminal.lines
    listener.deregister()
    assert terminal.lines == []
    written = terminal.getvalue()
    list(steps)
    assert terminal.getvalue() == written
    assert written.endswith("\r")
    assert not tqdm._instances
    assert set(threading.enumerate()) == threads


def test_who_was_told_meanwhile(engine, load, terminal):
    """A thread that is told while the listener leaves draws nothing any more."""
    listener = ProgressBarListener(engine, terminal)
    told = []
    with listener:
        engine.atom_notifier.register("PROGRESS", lambda *_, details: told.append(details))
        engine.run(load)
    written = terminal.getvalue()
    listener._task_receiver("PROGRESS", told[0])
    assert terminal.getvalue() == written


def test_a_suspended_flow(app, engine, load, terminal):
    """The bar of a flow that is suspended goes on when the flow does."""

    @app.task(name="stops")
    def stops():
        engine.suspend()

    with ProgressBarListener(engine, terminal):
        engine.run(chain(stops.si(), load.si(1)))
        assert terminal.lines == ["celery.chain:  50%| 1/2"]
        engine.resume()
    assert terminal.lines == ["  load: 100%| 1/1, Loading", "celery.chain: 100%| 2/2"]


def test_threads(engine, app, terminal):
    """Threads that report at the same time draw whole bars."""
    notifier, storage = engine.atom_notifier, engine.storage
    told = []

    @app.task(name="loads", bind=True)
    def loads(self):
        for row in range(5):
            Observer(self).update("Loading", total=5, current=row)

    notifier.register("*", lambda state, details: told.append((state, details)))
    for _ in range(8):
        engine.run(loads)
    notifier.reset()
    each = [told[at : at + 7] for at in range(0, len(told), 7)]
    storage.clear()

    def play(part):
        for state, details in part:
            storage.atom(details["task_uuid"], "loads")
            notifier.notify(state, details)

    with ProgressBarListener(engine, terminal):
        threads = [threading.Thread(target=play, args=(part,)) for part in each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert terminal.lines == ["loads: 100%| 5/5, Loading"] * 8


def test_as_seldom_as_a_person_sees(engine, load, terminal, monkeypatch):
    """However often a task reports, its bar is not drawn more often than a person can see."""
    monkeypatch.setattr(ProgressBarListener, "_EVERY", 3600.0)
    with ProgressBarListener(engine, terminal):
        engine.run(load, 1000)
    assert terminal.getvalue().count("load:") < 10
    assert terminal.lines == ["load: 100%| 1000/1000, Loading"]


@pytest.mark.filterwarnings(
    # TaskFlow 5.9, the last one for Python 3.10; remove with its support.
    "ignore:The asyncore module is deprecated:DeprecationWarning",
    "ignore:Using function/method 'exc.*_unicode:DeprecationWarning",
)
def test_taskflow(terminal):
    """On an engine of TaskFlow's, whose tasks tell no progress, the flow counts them."""
    flow = linear_flow.Flow("pets").add(
        FunctorTask(lambda: 1, name="cat"), FunctorTask(lambda: 2, name="dog")
    )
    engine = engines.load(flow)
    with ProgressBarListener(engine, terminal):
        engine.run()
    assert terminal.lines == ["pets: 100%| 2/2"]


def test_an_engine_that_knows_nothing(terminal):
    """Bars need no more of an engine than that it tells."""
    engine = SimpleNamespace(notifier=Notifier(), atom_notifier=Notifier())
    flow = {"flow_name": "pets", "flow_uuid": "1", "old_state": "PENDING"}
    task = {"task_name": "cat", "task_uuid": "2", "old_state": "PENDING"}
    told = {"progress": Progress(1, 2), "meta": {"description": "Purring"}}
    with ProgressBarListener(engine, terminal):
        engine.notifier.notify("RUNNING", flow)
        engine.atom_notifier.notify("PROGRESS", {**task, **told})
        engine.atom_notifier.notify("RETRY", {"retry_name": "dog", "retry_uuid": "3"})
        assert terminal.lines == ["cat:  50%| 1/2, Purring"]
        engine.atom_notifier.notify("REVOKED", task)
        engine.notifier.notify("FAILURE", flow)
    assert terminal.lines == ["cat:  50%| 1/2, revoked"]
    assert engine.notifier.errors == engine.atom_notifier.errors == []


def test_a_real_terminal(engine, load, monkeypatch):
    """On a real terminal bars are as wide as it is."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stderr", file)
        with ProgressBarListener(engine):
            engine.run(load)
        print("the end", file=file, flush=True)
        # One read gives what has arrived, which need not be all of it.
        written = b""
        while b"the end" not in written:
            written += os.read(ours, 65536)
    os.close(ours)
    shown = screen(written.decode())[:1]
    assert len(shown) == 1
    assert shown[0].startswith("load: 100%|█")
    assert shown[0].endswith("Loading]")
    assert len(shown[0]) in (59, 60)


def test_without_tqdm(engine, monkeypatch):
    """Without tqdm it is said how to install it."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(TaskProgressError, match=r"pytest-taskprogress\[bar\]"):
        ProgressBarListener(engine)
