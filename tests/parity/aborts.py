"""Point 4: aborts with Celery's own AbortableTask, where the request is the state itself."""

from __future__ import annotations

from celery import uuid
from celery.contrib.abortable import AbortableAsyncResult, AbortableTask
from celery.exceptions import Ignore

from tests.parity.table import Cases

CASES = Cases(4)
#: What the engine warns of: an abort that is gone.
LOST = "(?s).*abort.*is lost"


def checks(side, **options):
    """A task that notes what it sees of an abort, and asks for one in the middle if told to."""

    @side.task(bind=True, base=AbortableTask, **options)
    def work(self, *, abort=False, then=None):
        seen = [self.is_aborted()]
        if abort:
            AbortableAsyncResult(self.request.id, app=self.app).abort()
        seen.append(self.is_aborted())
        if then == "reports":
            self.update_state(state="PROGRESS", meta={"current": 1})
            seen.append(self.is_aborted())
        if then == "ignores":
            raise Ignore
        return seen

    return work


def aborted_before_start(side, task):
    """Ask for the abort of a task that is published after that."""
    task_id = uuid()
    AbortableAsyncResult(task_id, app=side.app).abort()
    result = task.apply_async(task_id=task_id)
    return side.get(result), result.state


@CASES.add("abort before start, tracked", "work: ABORTED STARTED SUCCESS", warns=LOST)
def before_start_tracked(side):
    """STARTED erases the abort: no check sees it."""
    return aborted_before_start(side, checks(side, track_started=True))


@CASES.add("abort before start", "work: ABORTED SUCCESS", warns=LOST)
def before_start(side):
    """Without STARTED every check sees the abort; a task that returns is a SUCCESS all the same."""
    return aborted_before_start(side, checks(side))


@CASES.add("abort in the middle", "work: STARTED ABORTED SUCCESS", warns=LOST)
def in_the_middle(side):
    """The second check sees the abort; the task returns, which is a SUCCESS."""
    result = checks(side, track_started=True).delay(abort=True)
    return side.get(result), result.state


@CASES.add(
    "abort in the middle, then a report", "work: STARTED ABORTED PROGRESS SUCCESS", warns=LOST
)
def then_a_report(side):
    """One more report erases the abort: the third check does not see it."""
    result = checks(side, track_started=True).delay(abort=True, then="reports")
    return side.get(result), result.state


@CASES.add("abort in the middle, then Ignore", "work: STARTED ABORTED")
def then_ignored(side):
    """The task ends by Ignore: ABORTED stays, and nobody is told that the task is over."""
    result = checks(side, track_started=True).delay(abort=True, then="ignores")
    side.settle()
    return result.state, result.ready()
