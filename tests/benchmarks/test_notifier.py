"""What one notification costs, beside TaskFlow's Notifier in the same process.

The issue's target is a ratio of at most 1.0; the bound here only catches a disaster.
"""

from __future__ import annotations

import pytest

from pytest_taskprogress import Notifier, Transition
from pytest_taskprogress.listeners import Details

theirs = pytest.importorskip("taskflow.types.notifier", reason="pip install taskflow")

UUID = "8d1e4d9a-52c4-4b0e-9a4b-1c1c3c2fbf1a"

#: What TaskFlow's engines tell of a task that has ended.
ENDED = {"task_name": "add", "task_uuid": UUID, "old_state": "RUNNING", "result": 3}

#: The same with a result that listeners could change, which TaskFlow's share.
CONTAINERS = {**ENDED, "result": {"rows": [1, 2, 3], "total": 3}}

#: What ours tell of a report.
REPORT = Transition(
    0, "task", "add", UUID, "RUNNING", "PROGRESS", {"current": 1, "total": 9, "description": "x"}
)


def another():
    """Another callback, which looks at what TaskFlow's listeners look at."""

    def names_it(event, details):
        return details["task_name"]

    return names_it


def is_of_task(details):
    """The filter that TaskFlow's listeners, and ours, register with."""
    return "task_name" in details and "task_uuid" in details


@pytest.fixture
def compare(show, microseconds):
    """Measures a notification of both, in turns; returns the ratio."""

    def compare(title, listeners, details, *, filtered=False, event="*"):
        figures = {}
        notifiers = {"ours": Notifier(), "TaskFlow's": theirs.Notifier()}
        for notifier in notifiers.values():
            for _ in range(listeners):
                notifier.register(
                    event,
                    another(),
                    details_filter=is_of_task if filtered else None,
                )
        # In turns: a machine that gets slower meanwhile is slower for both.
        for _ in range(10):
            for name, notifier in notifiers.items():
                told = details.get(name, details)
                figure = microseconds(
                    lambda notifier=notifier, told=told: notifier.notify("SUCCESS", told),
                    times=5_000 // (listeners + 1),
                    repeats=1,
                )
                figures[name] = min(figure, figures.get(name, figure))
        ours, beside = figures["ours"], figures["TaskFlow's"]
        ratio = ours / beside
        show(
            f"{title}, {listeners} listeners: {ours:.3f} us, TaskFlow's {beside:.3f} us:"
            f" ratio {ratio:.2f}"
        )
        return ratio

    return compare


@pytest.mark.parametrize("listeners", [0, 1, 10])
def test_a_notification(compare, listeners):
    """One notification with a task's details, to callbacks of every event."""
    assert compare("one notification", listeners, ENDED) < 10


@pytest.mark.parametrize("listeners", [1, 10])
def test_of_one_event_type(compare, listeners):
    """The same to callbacks of that event."""
    assert compare("of an event type", listeners, ENDED, event="SUCCESS") < 10


@pytest.mark.parametrize("listeners", [1, 10])
def test_with_a_filter(compare, listeners):
    """The same to callbacks with a filter, as listeners register."""
    assert compare("with a filter", listeners, ENDED, filtered=True) < 10


@pytest.mark.parametrize("listeners", [0, 1, 10])
def test_with_containers(compare, listeners):
    """A result that is a container is copied for each listener, which TaskFlow does not."""
    assert compare("with containers", listeners, CONTAINERS) < 50


@pytest.mark.parametrize("listeners", [0, 1, 10])
def test_of_a_write(compare, listeners):
    """What our engine tells of a report, beside a dict of TaskFlow's with the same keys."""
    ours = Details(REPORT, "RUNNING")
    details = {"ours": ours, "TaskFlow's": dict(ours)}
    assert compare("of a write", listeners, details, filtered=True) < 20
