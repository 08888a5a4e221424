"""Every canvas, nested any way: what it gives, and that nothing of it is left over.

What is expected here was observed on a worker with a pool of processes, on Redis.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Final

import celery
import pytest
from celery import chain, chord, group, signature

from pytest_taskprogress import TaskProgressWarning

SINCE_5_7: Final = celery.VERSION[:2] >= (5, 7)


@pytest.fixture
def t(app, heard, tasks):
    """The tasks of a test, by their names."""

    @app.task(name="listed")
    def listed(*args, **kwargs):
        return [*args, kwargs] if kwargs else list(args)

    @app.task(name="note")
    def note(*args):
        heard.append(args)

    return SimpleNamespace(**vars(tasks), listed=listed, note=note)


#: Canvases, and what `get()` returns.
SHAPES: Final = {
    # chains
    "chain": (lambda t: chain(t.add.s(1), t.add.s(2), t.add.s(3)), 7),
    "chain of an iterable": (lambda t: chain([t.add.s(1), t.add.s(2)]), 4),
    "chain with an immutable task": (lambda t: chain(t.add.s(1), t.add.si(5, 5), t.add.s(3)), 13),
    "chain of chains": (
        lambda t: chain(chain(t.add.s(1), t.add.s(2)), chain(t.add.s(3), t.add.s(4))),
        11,
    ),
    "long chain": (lambda t: chain(t.add.s(0), *[t.add.s(1)] * 50), 51),
    "chain by |": (
        lambda t: t.add.s(1) | group(t.add.s(1), t.add.s(2)) | t.total.s() | t.add.s(1),
        8,
    ),
    "chain that ends in a group": (
        lambda t: chain(t.add.s(1), group(t.add.s(1), t.add.s(2))),
        [3, 4],
    ),
    "chain of one group": (lambda t: chain(group(t.add.s(1), t.add.s(2))), [2, 3]),
    "chain of a map": (lambda t: chain(t.add.map([1, 2]), t.total.s()), 5),
    # groups
    "group": (lambda t: group(t.add.s(1), t.add.s(2)), [2, 3]),
    "group of a generator": (lambda t: group(t.add.s(n) for n in range(3)), [1, 2, 3]),
    "group with kwargs": (lambda t: group(t.listed.s(a=1), t.listed.s(2)), [[{"a": 1}], [2]]),
    "group of groups": (
        lambda t: group(group(t.add.s(1), t.add.s(2)), group(t.add.s(3), t.add.s(4))),
        [2, 3, 4, 5],
    ),
    "group of a chain and a chord": (
        lambda t: group(
            chain(t.add.s(1), t.add.s(2)), chord([t.add.s(1), t.add.s(2)], t.total.s()), t.add.s(3)
        ),
        [4, 5, 4],
    ),
    "group and then a group": (
        lambda t: chain(group(t.add.s(1), t.add.s(2)), group(t.total.s(), t.listed.s())),
        [5, [[2, 3]]],
    ),
    "group, group and a task": (
        lambda t: chain(
            group(t.add.s(1), t.add.s(2)), group(t.total.s(), t.listed.s()), t.listed.s()
        ),
        [[5, [[2, 3]]]],
    ),
    "group of partials": (
        lambda t: chain(
            t.add.s(1), group(chain(t.add.s(1), t.add.s(2)), group(t.add.s(3), t.add.s(4)))
        ),
        [5, 6, 5],
    ),
    "skewed group": (
        lambda t: group(t.add.s(n) for n in range(3)).skew(start=1, stop=9),
        [1, 2, 3],
    ),
    # chords
    "chord": (lambda t: chord([t.add.s(1), t.add.s(2)], t.total.s()), 5),
    "chord of a generator": (lambda t: chord((t.add.s(n) for n in range(3)), t.total.s()), 6),
    "chord of one": (lambda t: chord([t.add.s(1)], t.total.s()), 2),
    "chord of a signature": (lambda t: chord(t.add.s(1), t.total.s()), 2),
    "chord in a chain": (
        lambda t: chain(t.add.s(1), chord([t.add.s(1), t.add.s(2)], t.total.s()), t.add.s(5)),
        12,
    ),
    "chord and then a chord": (
        lambda t: chain(
            chord([t.add.s(1), t.add.s(2)], t.total.s()),
            chord([t.add.s(1), t.add.s(2)], t.total.s()),
        ),
        13,
    ),
    "group in a header": (
        lambda t: chord([group(t.add.s(1), t.add.s(2)), t.add.s(3)], t.listed.s()),
        [[3, 2, 4]],
    ),
    "chord in a header": (
        lambda t: chord([chord([t.add.s(1), t.add.s(2)], t.total.s()), t.add.s(3)], t.listed.s()),
        [[5, 4]],
    ),
    "chain in a header": (
        lambda t: chord([chain(t.add.s(1), t.add.s(2)), t.add.s(3)], t.listed.s()),
        [[4, 4]],
    ),
    "chain that ends in a group, in a header": (
        lambda t: chord(
            [chain(t.add.s(1), group(t.add.s(2), t.add.s(3))), t.add.s(3)], t.listed.s()
        ),
        [[[4, 5], 4]],
    ),
    "group as body": (
        lambda t: chord([t.add.s(1), t.add.s(2)], group(t.total.s(), t.listed.s())),
        [5, [[2, 3]]],
    ),
    "chain as body": (lambda t: chord([t.add.s(1), t.add.s(2)], chain(t.total.s(), t.add.s(1))), 6),
    "chain with a group as body": (
        lambda t: chord(
            [t.add.s(1), t.add.s(2)], chain(t.total.s(), group(t.add.s(1), t.add.s(2)))
        ),
        [6, 7],
    ),
    "chord as body": (
        lambda t: chord([t.add.s(1)], chord([t.total.s(), t.total.s()], t.listed.s())),
        [[2, 2]],
    ),
    "all of it": (
        lambda t: chord(
            [
                chain(
                    t.add.s(1),
                    chord([t.add.s(1), t.add.s(2)], t.total.s()),
                    group(t.add.s(1), t.add.s(2)),
                ),
                t.add.s(9),
            ],
            chain(t.listed.s(), t.listed.s()),
        ),
        [[[[8, 9], 10]]],
    ),
    # map, starmap, chunks
    "map": (lambda t: t.add.map([1, 2, 3]), [2, 3, 4]),
    "map of a range": (lambda t: t.add.map(range(3)), [1, 2, 3]),
    "starmap": (lambda t: t.add.starmap([(1, 2), (3, 4)]), [3, 7]),
    "group of chunks": (
        lambda t: t.add.chunks([(n, n) for n in range(5)], 2).group(),
        [[0, 2], [4, 6], [8]],
    ),
    "group of chunks of a generator": (
        lambda t: t.add.chunks(((n, n) for n in range(5)), 2).group(),
        [[0, 2], [4, 6], [8]],
    ),
    "skewed chunks": (
        lambda t: t.add.chunks([(n, n) for n in range(3)], 1).group().skew(start=1, stop=9),
        [[0], [2], [4]],
    ),
    "chord over chunks": (
        lambda t: t.add.chunks([(1, 2), (3, 4), (5, 6)], 2).group() | t.listed.s(),
        [[[3, 7], [11]]],
    ),
    # nothing
    "map of nothing": (lambda t: t.add.map([]), []),
    "starmap of nothing": (lambda t: t.add.starmap([]), []),
    "group of nothing": (lambda t: group([]), []),
    "group()": (lambda t: group(), []),
    "chord over nothing": (lambda t: chord([], t.listed.s()), [[]]),
}


@pytest.mark.parametrize("name", SHAPES)
class TestShapes:
    def test_by_run(self, engine, t, name):
        """run() gives what get() gives; nothing fails on the way, and nothing is left."""
        make, expected = SHAPES[name]
        run = engine.run(make(t))
        assert (run.state, run.result) == ("SUCCESS", expected)
        assert set(run.history.states) <= {"SUCCESS"}
        assert engine.pending == []

    def test_by_apply_async(self, engine, t, name):
        """A client that applies a canvas gets its result."""
        make, expected = SHAPES[name]
        assert make(t).apply_async().get() == expected

    def test_inside_a_task(self, engine, app, t, name):
        """A canvas that a task publishes runs after it, to the same end."""
        make, expected = SHAPES[name]
        results = []

        @app.task(name="publishes")
        def publishes():
            results.append(make(t).apply_async())

        engine.run(publishes)
        assert engine.pending == []
        assert results[0].get() == expected

    def test_through_json(self, engine, app, t, name):
        """A canvas that was stored as JSON is the same canvas."""
        make, expected = SHAPES[name]
        stored = json.loads(json.dumps(make(t), default=list))
        assert signature(stored, app=app).apply_async().get() == expected

    def test_step_by_step(self, engine, t, name):
        """Run one message after the other, it comes to the same end."""
        make, expected = SHAPES[name]
        with engine.paused():
            result = make(t).apply_async()
            while engine.step():
                pass
            assert result.get() == expected


class TestEmpty:
    def test_chain(self, engine):
        """A chain of nothing is nothing: Celery applies no task and gives no result."""
        assert chain().apply_async() is None
        assert engine.history == []

    def test_chunks(self, engine, t):
        """Chunks of nothing are no task."""
        assert t.add.chunks([], 2).group()().results == []
        assert engine.history == []

    def test_a_group_of_nothing(self, engine):
        """A group of nothing has a result, which is ready with nothing in it."""
        result = group([]).apply_async()
        assert (result.ready(), result.get(), result.results) == (True, [], [])


class TestSkew:
    def test_group(self, engine, app, heard):
        """skew() spreads the members of a group over time."""

        @app.task
        def note(name):
            heard.append((name, engine.clock.monotonic()))

        group(note.s(name) for name in "abc").skew(start=1, stop=10, step=2)()
        assert heard == [("a", 1.0), ("b", 3.0), ("c", 5.0)]


class TestLinks:
    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            pytest.param(lambda t: t.note.s("a"), [(2, "a")], id="task"),
            pytest.param(lambda t: [t.note.s("a"), t.note.s("b")], [(2, "a"), (2, "b")], id="two"),
            pytest.param(
                lambda t: group(t.note.s("a"), t.note.s("b")), [(2, "a"), (2, "b")], id="group"
            ),
            pytest.param(lambda t: chain(t.add.s(5), t.note.s()), [(7,)], id="chain"),
            pytest.param(
                lambda t: chord([t.add.s(5), t.add.s(6)], t.note.s()), [([7, 8],)], id="chord"
            ),
            pytest.param(lambda t: t.note.si("x"), [("x",)], id="immutable"),
        ],
    )
    def test_of_a_task(self, engine, t, heard, make, expected):
        """A callback may be any canvas; it gets the result."""
        assert engine.run(t.add.s(1).set(link=make(t))).result == 2
        assert heard == expected

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            pytest.param(lambda t: chain(t.add.s(1), t.add.s(2)), [(4,)], id="chain"),
            pytest.param(
                lambda t: chord([t.add.s(1), t.add.s(2)], t.total.s()), [(5,)], id="chord"
            ),
            # Celery < 5.7 loses the links of a map.
            pytest.param(lambda t: t.add.map([1, 2]), [([2, 3],)] * SINCE_5_7, id="map"),
            pytest.param(lambda t: t.add.starmap([(1, 2)]), [([3],)] * SINCE_5_7, id="starmap"),
            # No task is the end of a group: the first member calls, and gives no result.
            pytest.param(lambda t: group(t.add.s(1), t.add.s(2)), [()], id="group"),
        ],
    )
    def test_of_a_canvas(self, engine, t, heard, make, expected):
        """A callback of a canvas runs when it has ended."""
        canvas = make(t)
        canvas.link(t.note.s())
        assert engine.run(canvas).state == "SUCCESS"
        assert heard == expected

    def test_callbacks_of_callbacks(self, engine, t, heard):
        """A callback may have callbacks."""
        callback = t.add.s(5)
        callback.link(t.note.s("inner"))
        engine.run(t.add.s(1).set(link=callback))
        assert heard == [(7, "inner")]


class TestFamily:
    @pytest.fixture
    def member(self, app, heard):
        """A task that notes its root, its parent and its place in a group."""

        @app.task(bind=True, name="member")
        def member(self, *args):
            request = self.request
            heard.append((request.id, request.root_id, request.parent_id, request.group_index))

        return member

    def test_chain(self, engine, heard, member):
        """The parent of each task of a chain is the one before it."""
        engine.run(chain(member.s(), member.s(), member.s()))
        (a, *_), (b, *_), (c, *_) = heard
        assert heard == [(a, a, None, None), (b, a, a, None), (c, a, b, None)]

    def test_group(self, engine, heard, member):
        """The members of a group are each a root, and know their place."""
        engine.run(group(member.s(), member.s()))
        (a, *_), (b, *_) = heard
        assert heard == [(a, a, None, 0), (b, b, None, 1)]

    def test_one_group_id(self, engine, app):
        """The members of a group know its id, and nothing else does."""

        @app.task(bind=True)
        def group_of(self, *args):
            return self.request.group

        canvas = group(group_of.s(), group_of.s())
        result = canvas.apply_async()
        assert result.get() == [result.id, result.id]
        assert engine.run(group_of).result is None


class TestThrownAway:
    def test_a_member_that_nobody_knows(self, engine, app, t):
        """A group with an unknown task is what it is for the others, and fails for it."""
        canvas = group(t.add.s(1), app.signature("nobody.knows"))
        with pytest.warns(TaskProgressWarning, match=r"nobody\.knows"):
            run = engine.run(canvas)
        assert [each.state for each in run.history] == ["SUCCESS", "FAILURE"]
