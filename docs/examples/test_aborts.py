"""Who can be asked to abort, and by whom: what the page on aborts talks about."""

import pytest
from celery import Celery
from packing import pack

from pytest_taskprogress import (
    AbortableAsyncResult,
    AbortableTask,
    AbortUnsupported,
    TaskAborted,
    abort,
)


@pytest.mark.parametrize("backend", ["rpc://", "disabled://"])
def test_a_backend_that_keeps_nothing(backend):
    """It is said at once, and not when the abort has had no effect."""
    app = Celery("mails", broker="memory://", backend=backend, set_as_current=False)

    @app.task(base=AbortableTask, shared=False)
    def send():
        return "sent"

    with pytest.raises(AbortUnsupported, match="keeps no records; set result_backend to one"):
        send.AsyncResult("some-id").abort()


def test_a_process_that_does_not_know_the_task(taskprogress, tmp_path):
    """The app of a web process has the address of the result backend, and no tasks."""
    web = Celery("web", set_as_current=False)
    with taskprogress.paused():
        task_id = pack.delay(str(tmp_path), str(tmp_path / "email.zip")).id

        # The engine's backend has no address, so that it is handed over here.
        result = AbortableAsyncResult(task_id, app=web, backend=taskprogress.backend)
        assert result.abort()
        assert (result.state, result.ready()) == ("ABORTED", False)

    assert result.ready()
    with pytest.raises(TaskAborted):
        result.get()


def test_what_the_app_makes_of_an_id(taskprogress, tmp_path):
    """A plain result of an app with an AbortableTask comes back from get(), too."""
    with taskprogress.paused():
        task_id = pack.delay(str(tmp_path), str(tmp_path / "email.zip")).id
        assert abort(taskprogress.app.AsyncResult(task_id))

    with pytest.raises(TaskAborted):
        taskprogress.app.AsyncResult(task_id).get()
