"""What is said of writes after an end, of any history; and of intervals that are none."""

from __future__ import annotations

import math

import pytest
from celery import Celery
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pytest_taskprogress import AbortableTask, ProgressValueError
from pytest_taskprogress.checks import RULES
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.transitions import Source, Transition

ENDS = ["SUCCESS", "FAILURE", "REVOKED", "ABORTED"]
REPORTS = ["PROGRESS", "UPLOADING"]
CHORD_ERROR = {"exc_type": "ChordError", "exc_message": ["a part of it failed"]}

# -- no-zombie ------------------------------------------------------------------------------------

#: A state, what is stored with it, and the line that reported it.
writes = st.tuples(
    st.sampled_from([*ENDS, *ENDS, *REPORTS, "STARTED", "RETRY"]),
    st.sampled_from([None, 1, 2, CHORD_ERROR]),
    st.none() | st.builds(Source, st.just("work.py"), st.integers(1, 3)),
)


def history_of(items, *, drops):
    """The transitions of a task, on a backend that drops what comes after SUCCESS or does not."""
    made, old = [], "PENDING"
    for index, (state, value, source) in enumerate(items):
        stored = not (drops and old == "SUCCESS")
        # Ours has the last progress with an ABORTED; without it, it is a request of Celery's.
        meta = {"pending": False} if state in REPORTS or (state == "ABORTED" and value) else {}
        made.append(
            Transition(
                index, "task", "work", "1", old, state, meta, value, 0.0, stored, source=source
            )
        )
        old = state if stored else old
    return made


def expected(each, ended):
    """How the message begins of a write after an end; None: there is nothing to be said."""
    old, new = ended.state, each.state
    where = f", at {ended.source}," if ended.source else ""
    of_celery = each.result == CHORD_ERROR and not each.source and not each.meta
    message = None
    if old == "SUCCESS":
        if new in REPORTS:
            message = f"{new} was reported after SUCCESS: some result backends drop it"
        elif not each.stored and new == "FAILURE" and not of_celery:
            message = f"SUCCESS was stored{where} and then the task raised: the backend dropped"
        elif not each.stored and new == "SUCCESS" and each.result not in (None, ended.result):
            message = f"SUCCESS was stored{where} with a result of its own, and the first SUCCESS"
    elif old == "ABORTED" and not ended.meta:
        pass  # of that the rule abort-survives speaks
    elif not (new in (old, "REVOKED") or (old, new) == ("ABORTED", "STARTED") or of_celery):
        message = f"{new} was stored over {old}, so that a task that has ended looks alive"
        if new == "SUCCESS":
            message = f"{old} was stored{where} and replaced by SUCCESS when the function returned"
    return message


@settings(deadline=None)
@given(items=st.lists(writes, max_size=8), drops=st.booleans())
def test_any_history(items, drops):
    """Each write after an end is found that brings a task back or is lost, and for what it is."""
    history = history_of(items, drops=drops)
    found = list(RULES["no-zombie"].check(JudgedTask("work", history), None))
    due, ended = [], None
    for each in history:
        if ended is not None and ended.state in ENDS:
            message = expected(each, ended)
            if message is not None:
                due.append((each, message))
        ended = each if each.stored else ended
    event(f"{min(len(due), 3)} found")
    assert [each for each, _ in found] == [each for each, _ in due]
    for (_, message), (_, start) in zip(found, due, strict=True):
        assert message.startswith(start)


# -- intervals ------------------------------------------------------------------------------------

values = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=1),
)


@settings(deadline=None)
@given(value=values)
def test_any_interval(value):
    """What is no finite number of 0 or more is refused where the task is declared, not later."""
    app = Celery("intervals", set_as_current=False)
    app.finalize()

    class Slow(AbortableTask):
        name = "tests.slow"
        abort_check_interval = value

        def run(self):
            pass

    if type(value) in (int, float) and math.isfinite(value) and value >= 0:
        assert app.register_task(Slow()).abort_check_interval == value
    else:
        with pytest.raises(ProgressValueError, match="abort_check_interval"):
            app.register_task(Slow())
