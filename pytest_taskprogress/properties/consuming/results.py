"""Results to test those who read them by: at every moment at which somebody may poll."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_taskprogress.checks.subjects import Subject, judged
from pytest_taskprogress.core.transitions import History
from pytest_taskprogress.properties.consuming.playback import Playback

if TYPE_CHECKING:
    from celery.result import AsyncResult, GroupResult

__all__ = ["as_group_results", "as_results", "history_of", "results_of"]


def as_results(
    sequence: Subject,
    *,
    torn: bool = False,
    vanishing: bool = False,
    keep: bool = False,
    app: Any = None,
) -> Iterator[AsyncResult[Any]]:
    """Give the result of a task at every moment at which somebody may poll it.

    That is before its first write, and after each. What a task wrote is written again, to a real
    result backend, and the results are Celery's own::

        for result in as_results(run.history):
            assert view(result)["percent"] <= 100

    Each is to be read before the next is taken, which is another moment; after the last one the
    record is forgotten.

    Args:
        sequence: What one task wrote: a history, drawn, written down, or of a run; a list of
            states, or of pairs of a state and a value.
        torn: Whether the task goes on while it is read: between two reads of one poll it writes
            once more. Who reads the state and then the meta, gets them of different moments.
        vanishing: Whether there is one more moment, at which the record is gone: it has expired, or
            was forgotten.
        keep: Whether it is one result object, as of a process that waits; otherwise each is made
            anew, as for each request of a page. An object remembers the end.
        app: To whose backend it is written; None: an app of its own, whose results know ABORTED.

    Raises:
        TypeError: If it is nothing of the kind.
        ValueError: If it is of several tasks.
    """
    history = history_of(sequence)
    playback = Playback(history, app, torn=torn, vanishing=vanishing)
    if len(playback.ids) > 1:
        message = (
            f"as_results() takes what one task wrote, got {len(playback.ids)} tasks; give"
            " history.of(task_id), or all of them to as_group_results()"
        )
        raise ValueError(message)
    return (result for result in results_of(playback, group=False, keep=keep))


def as_group_results(
    history: Subject,
    *,
    torn: bool = False,
    vanishing: bool = False,
    keep: bool = False,
    app: Any = None,
) -> Iterator[GroupResult]:
    """Give the result of a group at every moment at which somebody may poll it.

    As `as_results`; each task of the history is a member, in the order of their first writes.

    Args:
        history: What the tasks wrote.
        torn: Whether they go on while they are read: between two reads, also of different tasks.
        vanishing: Whether there is one more moment, at which their records are gone.
        keep: Whether it is one result object.
        app: To whose backend it is written; None: an app of its own, whose results know ABORTED.

    Raises:
        TypeError: If it is nothing of the kind.
    """
    playback = Playback(history_of(history), app, torn=torn, vanishing=vanishing)
    return (result for result in results_of(playback, group=True, keep=keep))


def history_of(subject: Subject) -> History:
    """The history of a run, of a list, or the same one.

    Raises:
        TypeError: If it is nothing of the kind.
    """
    return judged(subject).history


def results_of(playback: Playback, *, group: bool, keep: bool) -> Iterator[Any]:
    """The result at each poll of a playback.

    Args:
        playback: A new one.
        group: Whether it is that of a group.
        keep: Whether it is always the same.
    """
    result: Any = None
    for _ in playback.polls():
        if result is None or not keep:
            result = _result_of(playback, group=group)
        yield result


def _result_of(playback: Playback, *, group: bool) -> Any:
    app = playback.app
    tasks = [app.AsyncResult(each) for each in playback.ids.values()]
    if group:
        return app.GroupResult("group", tasks)
    # Of a task that wrote nothing there is a result as well.
    return tasks[0] if tasks else app.AsyncResult("task")
