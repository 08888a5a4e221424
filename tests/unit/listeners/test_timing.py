"""How long things take, and when they happen."""

from __future__ import annotations

import logging

import pytest
from celery import chain, group

from pytest_taskprogress import AbortableTask, Observer
from pytest_taskprogress.listeners import (
    DurationListener,
    EventTimeListener,
    PrintingDurationListener,
)

LOG = "pytest_taskprogress.listeners.timing"


@pytest.fixture
def takes(app, engine):
    """A task that takes some seconds of the engine's clock."""

    @app.task(name="takes")
    def takes(seconds):
        engine.clock.advance(seconds)

    return takes


@pytest.fixture
def flaky(app, engine):
    """A task that takes 5 seconds, retries after 60, and takes 2 then."""

    @app.task(name="flaky", bind=True)
    def flaky(self):
        if not self.request.retries:
            engine.clock.advance(5)
            raise self.retry(countdown=60)
        engine.clock.advance(2)

    return flaky


def test_durations(engine, takes):
    """Durations of tasks and of their flow are recorded, in seconds of the engine's clock."""
    with DurationListener(engine):
        run = engine.run(chain(takes.si(3), takes.si(4.5)))
    first, last = (each.uuid for each in engine.storage.known())
    assert engine.storage.get_atom_metadata(first) == {"duration": 3.0}
    assert engine.storage.get_atom_metadata(last) == {"duration": 4.5}
    assert engine.storage.get_flow_metadata(run.task_id) == {"duration": 7.5}
    assert isinstance(engine.storage.flow_meta["duration"], float)


def test_same_named_tasks(engine, takes):
    """Tasks of one name have a duration each."""
    with DurationListener(engine):
        engine.run(group(takes.si(n) for n in (1, 2, 3)))
    durations = [each.metadata["duration"] for each in engine.storage.known()]
    assert durations == [1.0, 2.0, 3.0]


def test_a_retry(engine, flaky):
    """Of a task that was retried its last attempt is recorded; the flow waited for all of them."""
    with DurationListener(engine):
        engine.run(flaky)
    assert engine.storage.get_atom_metadata("flaky")["duration"] == 2.0
    assert engine.storage.flow_meta["duration"] == 67.0


@pytest.mark.parametrize("ends", ["fails", "aborts"])
def test_whatever_it_ended_with(app, engine, ends):
    """A task that fails, or is aborted, took some time too."""

    @app.task(name="ends", bind=True, base=AbortableTask)
    def task(self):
        engine.clock.advance(4)
        if ends == "aborts":
            self.AsyncResult(self.request.id).abort()
        self.raise_if_aborted()
        raise ValueError("broken")

    with DurationListener(engine):
        engine.run(task)
    assert engine.storage.get_atom_metadata("ends")["duration"] == 4.0
    assert engine.storage.flow_meta["duration"] == 4.0


def test_a_task_without_a_result(app, engine):
    """A task whose result is ignored took some time too."""

    @app.task(name="ignored", ignore_result=True)
    def ignored():
        engine.clock.advance(4)

    with DurationListener(engine):
        engine.run(ignored)
    assert engine.storage.get_atom_metadata("ignored")["duration"] == 4.0


def test_what_is_left_over(app, engine, takes, caplog):
    """What has begun, and not ended, is logged when the listener leaves, and forgotten."""
    listener = DurationListener(engine)
    listener.register()

    @app.task(name="leaves")
    def leaves():
        listener.deregister()

    engine.run(leaves)
    messages = [each.getMessage() for each in caplog.records if each.name == LOG]
    assert [each.split(" states")[0].split("enter ")[0] for each in messages] == [
        "1 task(s) did not ",
        "1 flow(s) did not ",
    ]
    assert "SUCCESS" in messages[0]
    assert "duration" not in engine.storage.get_atom_metadata("leaves")
    caplog.clear()
    listener.deregister()
    assert not caplog.records


def test_nothing_is_left_over(engine, takes, caplog):
    """If all has come to an end, leaving logs nothing."""
    with DurationListener(engine):
        engine.run(takes, 1)
    assert not [each for each in caplog.records if each.name == LOG]


def test_printed(engine, takes, flaky, capsys):
    """What begins and ends is printed, a line each; an attempt begins each time."""
    with PrintingDurationListener(engine):
        engine.run(takes, 1.234)
        engine.run(flaky)
    assert capsys.readouterr().out.splitlines() == [
        "'takes' flow started.",
        "'takes' task started.",
        "It took task 'takes' 1.23 seconds to finish.",
        "It took flow 'takes' 1.23 seconds to finish.",
        "'flaky' flow started.",
        "'flaky' task started.",
        "'flaky' task started.",
        "It took task 'flaky' 2.00 seconds to finish.",
        "It took flow 'flaky' 67.00 seconds to finish.",
    ]
    assert engine.storage.get_atom_metadata("takes")["duration"] == 1.234


def test_printed_elsewhere(engine, takes, capsys):
    """A printer is called with each line instead."""
    lines = []
    with PrintingDurationListener(engine, printer=lines.append):
        engine.run(takes, 1)
    assert len(lines) == 4
    assert capsys.readouterr().out == ""


def test_a_printer_that_is_none(engine):
    """A printer that cannot be called is refused."""
    with pytest.raises(TypeError, match="expected a callable, got printer=5"):
        PrintingDurationListener(engine, printer=5)


def test_event_times(app, engine):
    """Each event has its unix time, by the engine's clock: of what is repeated, the last one."""
    began = engine.clock.time()

    @app.task(name="reports", bind=True)
    def reports(self):
        observer = Observer(self)
        for _ in range(2):
            engine.clock.advance(5)
            observer.update("Reporting")
        engine.clock.advance(5)

    with EventTimeListener(engine):
        engine.run(reports)
        assert engine.storage.get_atom_metadata("reports") == {
            "RUNNING-timestamp": began,
            "PROGRESS-timestamp": began + 10,
            "SUCCESS-timestamp": began + 15,
        }
        assert engine.storage.flow_meta == {
            "RUNNING-timestamp": began,
            "SUCCESS-timestamp": began + 15,
        }


def test_event_times_of_a_retry(engine, flaky):
    """A retry has its time, and the attempt after it the time at which it began."""
    began = engine.clock.time()
    with EventTimeListener(engine):
        engine.run(flaky)
    assert engine.storage.get_atom_metadata("flaky") == {
        "RUNNING-timestamp": began + 65,
        "RETRY-timestamp": began + 5,
        "SUCCESS-timestamp": began + 67,
    }


def test_chosen_event_times(engine, takes):
    """Only the chosen events have their times."""
    with EventTimeListener(
        engine, task_listen_for=("SUCCESS",), flow_listen_for=None, retry_listen_for=()
    ):
        engine.run(takes, 1)
    assert list(engine.storage.get_atom_metadata("takes")) == ["SUCCESS-timestamp"]
    assert engine.storage.flow_meta == {}


@pytest.mark.parametrize("listener", [DurationListener, EventTimeListener])
def test_a_storage_that_is_full(engine, takes, monkeypatch, caplog, listener):
    """What cannot be recorded is logged, and disturbs nobody."""

    def full(*args):
        raise OSError("full")

    for name in ("update_atom_metadata", "update_flow_metadata"):
        monkeypatch.setattr(engine.storage, name, full)
    with caplog.at_level(logging.WARNING, LOG), listener(engine):
        assert engine.run(takes, 1).state == "SUCCESS"
    assert "Failure to store" in caplog.text
    assert "OSError: full" in caplog.text
    engine.check_listeners()
