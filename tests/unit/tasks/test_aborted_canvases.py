"""Aborting a canvas by what a client has of it: nobody in it goes on, wherever it stands."""

from __future__ import annotations

import pytest
from celery import chord, group

from pytest_taskprogress import AbortableTask, Observer, abort

CANVASES = {
    "body of two": lambda p, long, last: group(p.s(), p.s()) | long.s() | last.s(),
    "chord, body of two": lambda p, long, last: chord([p.s(), p.s()], long.s() | last.s()),
    "after a task": lambda p, long, last: p.s() | group(p.s(), p.s()) | long.s() | last.s(),
    "chain in a group": lambda p, long, last: group(p.s() | long.s() | last.s(), p.s()),
    "before a chord": lambda p, long, last: long.si() | chord([p.s(), last.s()], last.s()),
    "chain in a header": lambda p, long, last: chord([long.si() | last.s(), p.si()], last.s()),
    "chord in a group": lambda p, long, last: group(chord([long.si(), p.si()], last.s()), p.si()),
    "two chords": lambda p, long, last: (
        chord([p.si(), p.si()], long.si()) | group(p.si(), p.si()) | last.si()
    ),
    "two groups": lambda p, long, last: (
        group(p.si(), p.si()) | group(long.si(), p.si()) | last.si()
    ),
    "deep": lambda p, long, last: (
        p.si() | group(p.si() | group(long.si(), p.si()), p.si()) | last.si()
    ),
}


@pytest.mark.parametrize("make", CANVASES.values(), ids=CANVASES)
def test_by_the_result_of_the_client(app, engine, make):
    """Also the tasks in the middle of a chord's body, whom Celery leaves without a child."""
    published = []

    @app.task
    def plain(*_):
        return 1

    @app.task(bind=True, base=AbortableTask, name="long")
    def long(self, *_):
        observer = Observer(self)
        for row in range(4):
            observer.update("row %d", row, total=4)
            if row == 1:
                assert abort(published[0])

    @app.task(bind=True, base=AbortableTask, name="last")
    def last(self, *_):
        Observer(self).update("the last")

    with engine.paused():
        published.append(make(plain, long, last).delay())
    assert engine.history.of("long").states == ["PROGRESS", "PROGRESS", "ABORTED"]
    assert "PROGRESS" not in engine.history.of("last").states


def test_a_parent_that_is_its_own(app):
    """What comes before itself is no end of a search."""

    @app.task(base=AbortableTask)
    def work():
        pass

    one, two = work.AsyncResult("one"), work.AsyncResult("two")
    one.parent = two
    one.parent = two
    assert (one.parent, two.parent) == (two, None)
    one.parent = None
    assert one.parent is None
