"""The listeners that log."""

from __future__ import annotations

import logging
import re

import pytest
from celery import chain

from pytest_taskprogress import AbortableTask, Observer
from pytest_taskprogress.listeners import DynamicLoggingListener, LoggingListener
from pytest_taskprogress.scenario import Abort, at_report

LOG = "pytest_taskprogress.listeners.logging"


@pytest.fixture
def load(app):
    """A task that reports once."""

    @app.task(name="load", bind=True, base=AbortableTask)
    def load(self):
        Observer(self).update("Loading", total=2)
        return 2

    return load


@pytest.fixture
def flaky(app):
    """A task that retries once and fails."""

    @app.task(name="flaky", bind=True, max_retries=1)
    def flaky(self):
        raise self.retry(exc=ValueError("broken"), countdown=30)

    return flaky


@pytest.fixture
def records(caplog):
    """What was logged by a logger: level and message, without ids."""
    caplog.set_level(logging.DEBUG)

    def records(name=LOG):
        return [
            (each.levelname, re.sub(r" \([-0-9a-f]{36}\)", "", each.getMessage()))
            for each in caplog.records
            if each.name == name
        ]

    return records


# -- LoggingListener ------------------------------------------------------------------------------


def test_what_is_logged(engine, load, records):
    """Each event is a message: of a report the percentage and the description."""
    with LoggingListener(engine):
        engine.run(load)
    who, result = f"{engine!r} has moved", " with result '2' (failure=False)"
    assert records() == [
        ("DEBUG", f"{who} flow 'load' into state 'RUNNING' from state 'PENDING'"),
        ("DEBUG", f"{who} task 'load' into state 'RUNNING' from state 'PENDING'"),
        ("DEBUG", f"{who} task 'load' into state 'PROGRESS' from state 'RUNNING': 50 %, Loading"),
        (
            "DEBUG",
            f"{who} task 'load' into state 'SUCCESS' from state 'PROGRESS'{result}",
        ),
        ("DEBUG", f"{who} flow 'load' into state 'SUCCESS' from state 'RUNNING'"),
    ]


@pytest.mark.parametrize("listener", [LoggingListener, DynamicLoggingListener])
def test_logger_and_level(engine, load, records, listener):
    """The logger and the level can be chosen."""
    with listener(engine, log=logging.getLogger("mine"), level=logging.INFO):
        engine.run(load)
    assert records() == []
    assert {level for level, _ in records("mine")} == {"INFO"}


@pytest.mark.parametrize("listener", [LoggingListener, DynamicLoggingListener])
def test_logger_of_a_subclass(engine, load, records, listener):
    """A subclass may bring its logger; one that is given is taken first."""
    mine = type("Mine", (listener,), {"_LOGGER": logging.getLogger("mine")})
    with mine(engine), mine(engine, log=logging.getLogger("given")):
        engine.run(load)
    assert len(records("mine")) == len(records("given")) == 5


@pytest.mark.parametrize("listener", [LoggingListener, DynamicLoggingListener])
def test_reports_only(engine, load, records, listener):
    """A listener of reports logs percentages and messages, and nothing else."""
    with listener(
        engine, task_listen_for=("PROGRESS",), flow_listen_for=None, retry_listen_for=None
    ):
        engine.run(load)
    [(_, message)] = records()
    assert message.endswith("into state 'PROGRESS' from state 'RUNNING': 50 %, Loading")


@pytest.mark.parametrize("listener", [LoggingListener, DynamicLoggingListener])
def test_a_failure_has_its_traceback(engine, flaky, caplog, listener):
    """A failure, and a retry, is logged with the exception and its traceback."""
    caplog.set_level(logging.DEBUG)
    with listener(engine):
        engine.run(flaky)
    raised = [each for each in caplog.records if each.name == LOG and each.exc_info]
    assert [each.getMessage().split("'")[3] for each in raised] == ["RETRY", "FAILURE"]
    for each in raised:
        assert str(each.exc_info[1]) == "broken"
    assert "in flaky" in logging.Formatter().formatException(raised[-1].exc_info)


# -- DynamicLoggingListener -----------------------------------------------------------------------


def test_levels(engine, app, flaky, records):
    """Failures and retries are logged at a level of their own, everything else at another one."""

    @app.task(name="load", bind=True, base=AbortableTask)
    def load(self):
        for _ in Observer(self).track(range(4), "Loading"):
            pass

    with DynamicLoggingListener(engine, failure_level=logging.ERROR, level=logging.INFO):
        engine.run(flaky)
        engine.under(Abort(at_report(1))).run(load)
    assert [(level, message.split(" from ")[0]) for level, message in records()] == [
        ("INFO", "Flow 'flaky' transitioned into state 'RUNNING'"),
        ("INFO", "Task 'flaky' transitioned into state 'RUNNING'"),
        ("ERROR", "Retry 'flaky' transitioned into state 'RETRY'"),
        ("INFO", "Task 'flaky' transitioned into state 'RUNNING'"),
        ("ERROR", "Task 'flaky' transitioned into state 'FAILURE'"),
        ("ERROR", "Flow 'flaky' transitioned into state 'FAILURE'"),
        ("INFO", "Flow 'load' transitioned into state 'RUNNING'"),
        ("INFO", "Task 'load' transitioned into state 'RUNNING'"),
        ("INFO", "Task 'load' transitioned into state 'PROGRESS'"),
        ("INFO", "Task 'load' transitioned into state 'ABORTED'"),
        ("INFO", "Flow 'load' transitioned into state 'ABORTED'"),
    ]


def test_results(engine, load, records):
    """The result of a task is logged with its end."""
    with DynamicLoggingListener(engine, task_listen_for=("SUCCESS",), flow_listen_for=()):
        engine.run(load)
    assert records() == [
        (
            "DEBUG",
            "Task 'load' transitioned into state 'SUCCESS' from state 'PROGRESS' with result '2'",
        )
    ]


def test_a_hidden_result(engine, load, records):
    """The result of a hidden task is not logged; that it has come to its end is."""
    with DynamicLoggingListener(engine, hide_inputs_outputs_of=["load"]):
        engine.run(load)
    assert (
        "DEBUG",
        "Task 'load' transitioned into state 'SUCCESS' from state 'PROGRESS'",
    ) in records()


def test_the_story(engine, app, load, records):
    """With a failure goes its story."""

    @app.task(name="fails")
    def fails(rows):
        raise ValueError("broken")

    with DynamicLoggingListener(engine):
        engine.run(chain(load.s(), fails.s()))
    [(level, message)] = [each for each in records() if "Failed:" in each[1]]
    assert level == "WARNING"
    assert re.sub(r" \([-0-9a-f]{36}\)", "", message).splitlines() == [
        "Task 'fails' transitioned into state 'FAILURE' from state 'RUNNING'",
        "Failed: Task 'fails': state FAILURE, called with (2), Failure: ValueError: broken",
        "1 predecessor (most recent first):",
        "  Task 'load': state SUCCESS, called with (), result 2",
    ]


def test_a_formatter_of_ones_own(engine, flaky, caplog):
    """A formatter of one's own says what is logged of a failure, also that there is nothing."""

    class Short:
        def format(self, fail, atom_matcher):
            return None, ""

    caplog.set_level(logging.DEBUG)
    with DynamicLoggingListener(engine, fail_formatter=Short()):
        engine.run(flaky)
    logged = [each for each in caplog.records if each.name == LOG]
    assert not [each for each in logged if each.exc_info or "\n" in each.getMessage()]
    assert len(logged) == 6


def test_what_nobody_reads_costs_nothing(engine, flaky, monkeypatch):
    """Where a level is not logged, no story is told."""

    class Expensive:
        def format(self, fail, atom_matcher):
            raise AssertionError

    log = logging.getLogger("silent")
    log.setLevel(logging.CRITICAL)
    with DynamicLoggingListener(engine, log=log, fail_formatter=Expensive()):
        engine.run(flaky)
    engine.check_listeners()
