"""What goes wrong in tests, and how one is told."""

import threading

import pytest
from celery import Celery, chain, signature
from celery.contrib import abortable
from celery.exceptions import NotRegistered
from reminders import mail

from pytest_taskprogress import (
    AbortableTask,
    CircularCanvasError,
    EagerEngine,
    TaskProgressWarning,
    UnregisteredTaskError,
)
from pytest_taskprogress.scenario import Abort, at_report


def test_a_misspelt_task(taskprogress):
    """run() takes no name that the app does not know, and says which are near."""
    with pytest.raises(
        UnregisteredTaskError, match=r"no task 'reminders\.mial' .*'reminders\.mail'"
    ):
        taskprogress.run(signature("reminders.mial", ("hello",)))


def test_a_misspelt_task_in_the_code_under_test(taskprogress):
    """Published, it fails as on a worker; the warning is at the line that published."""
    with pytest.warns(TaskProgressWarning, match=r"nearest: 'reminders\.mail'") as told:
        result = taskprogress.app.send_task("reminders.mial", ("hello",))

    assert told[0].filename == __file__
    assert result.state == "FAILURE"
    with pytest.raises(NotRegistered):
        result.get()


@pytest.mark.usefixtures("taskprogress")
def test_a_message_that_no_worker_reads():
    """The app accepts JSON only: a worker throws this message away, and nothing else is heard."""
    with pytest.warns(TaskProgressWarning, match=r"threw a message away: .*pickle"):
        result = mail.apply_async(("hello",), serializer="pickle")

    assert result.state == "PENDING"


def test_a_chain_that_contains_itself(taskprogress):
    """It has no end, and nothing of it is published."""
    reminders = chain(mail.s("first"), mail.si("second"))
    reminders.tasks.append(reminders)

    with pytest.raises(CircularCanvasError, match="contains itself"):
        taskprogress.run(reminders)
    assert not taskprogress.pending


def test_a_thread_that_outlives_its_task():
    """On leaving, the engine names it; what it writes later reaches no other test."""
    app, go_on = Celery("threads", set_as_current=False), threading.Event()

    @app.task(shared=False)
    def sync():
        threading.Thread(target=go_on.wait, args=(10,), name="uploader").start()

    left = pytest.warns(TaskProgressWarning, match="left threads running: uploader")
    with left, EagerEngine(app) as engine:
        engine.run(sync)
    go_on.set()


def test_a_task_that_changes_settings():
    """Settings are what they were when the engine is left, nested ones too."""
    app = Celery("settings", set_as_current=False)
    app.conf.task_routes = {"reports.*": {"queue": "slow"}}

    @app.task(shared=False)
    def reroute():
        app.conf.task_routes["reports.*"]["queue"] = "fast"
        app.conf.result_expires = 1

    before = app.conf.result_expires
    with EagerEngine(app) as engine:
        engine.run(reroute)
        assert app.conf.result_expires == 1
    assert app.conf.task_routes == {"reports.*": {"queue": "slow"}}
    assert app.conf.result_expires == before


def send_all(self, letters):
    """Report each letter, and look before every second one whether to stop."""
    for number, _ in enumerate(letters, start=1):
        if number % 2 and self.is_aborted():
            return "stopped"
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(letters)})
    return "sent"


def test_an_abort_that_is_lost():
    """With Celery's AbortableTask, the next report erases the request before anybody looks."""
    app = Celery("letters", set_as_current=False)
    send = app.task(bind=True, base=abortable.AbortableTask, shared=False)(send_all)

    lost = pytest.warns(TaskProgressWarning, match="is lost: PROGRESS was stored over ABORTED")
    with lost as told, EagerEngine(app) as engine:
        run = engine.under(Abort(at_report(1))).run(send, ["Ann", "Bob", "Cyd", "Dan"])

    assert run.states == ["PROGRESS", "ABORTED", "PROGRESS", "PROGRESS", "PROGRESS", "SUCCESS"]
    assert run.result == "sent"
    assert told[0].filename == __file__


def test_the_same_task_loses_none():
    """With the AbortableTask of this package nothing else of the task needs to change."""
    app = Celery("letters", set_as_current=False)
    send = app.task(bind=True, base=AbortableTask, shared=False)(send_all)

    with EagerEngine(app) as engine:
        run = engine.under(Abort(at_report(1))).run(send, ["Ann", "Bob", "Cyd", "Dan"])

    assert run.states == ["PROGRESS", "PROGRESS", "SUCCESS"]
    assert run.result == "stopped"
