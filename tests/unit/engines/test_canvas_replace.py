"""Tasks that change the canvas that they are part of: `replace` and `add_to_chord`.

What is expected here was observed on a worker with a pool of processes, on Redis.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final

import celery
import pytest
from celery import chain, chord, group


@pytest.fixture
def t(app, heard, tasks):
    """The tasks of a test, by their names."""

    @app.task(name="listed")
    def listed(*args):
        return list(args)

    @app.task(name="note")
    def note(*args):
        heard.append(args)

    @app.task(name="errback")
    def errback(request, exc, traceback):
        heard.append((request.id, repr(exc)))

    return SimpleNamespace(
        **{k: v for k, v in locals().items() if k not in {"app", "heard", "tasks"}}, **vars(tasks)
    )


#: By what a task is replaced, and the result that it has then.
REPLACEMENTS: Final = {
    "task": (lambda t: t.add.s(1), 2),
    "chain": (lambda t: chain(t.add.s(1), t.add.s(1)), 3),
    "group": (lambda t: group(t.add.s(1), t.add.s(2)), [2, 3]),
    "group of one": (lambda t: group([t.add.s(1)]), [2]),
    "group of nothing": (lambda t: group([]), []),
    "chord": (lambda t: chord([t.add.s(1), t.add.s(2)], t.total.s()), 5),
    "chain that ends in a group": (
        lambda t: chain(t.add.s(1), group(t.add.s(1), t.add.s(2))),
        [3, 4],
    ),
    "map": (lambda t: t.add.map([1, 2]), [2, 3]),
}

#: Where the task stands that is replaced, and what the canvas gives for its result.
PLACES: Final = {
    "alone": (lambda t, replaced: replaced.si(), lambda result: result),
    "first of a chain": (
        lambda t, replaced: chain(replaced.si(), t.listed.s()),
        lambda result: [result],
    ),
    "in a chain": (
        lambda t, replaced: chain(t.add.s(1), replaced.si(), t.listed.s(), t.listed.s()),
        lambda result: [[result]],
    ),
    "last of a chain": (
        lambda t, replaced: chain(t.add.s(1), replaced.si()),
        lambda result: result,
    ),
    "in a group": (
        lambda t, replaced: group(replaced.si(), t.add.s(5)),
        lambda result: [result, 6],
    ),
    "in a header": (
        lambda t, replaced: chord([replaced.si(), t.add.s(5)], t.listed.s()),
        lambda result: [[result, 6]],
    ),
    "in a chain in a header": (
        lambda t, replaced: chord([chain(t.add.s(1), replaced.si()), t.add.s(5)], t.listed.s()),
        lambda result: [[result, 6]],
    ),
    "a body": (lambda t, replaced: chord([t.add.s(5)], replaced.si()), lambda result: result),
}


@pytest.fixture
def replaced_by(app, t):
    """Make a task that replaces itself."""

    def replaced_by(make):
        @app.task(bind=True, name="replaced")
        def replaced(self):
            return self.replace(make(t))

        return replaced

    return replaced_by


#: By these Celery < 5.7 cannot replace a task: a client waits for it for ever.
SINCE_5_7: Final = {"chain that ends in a group", "map"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "name",
    [each for each in REPLACEMENTS if celery.VERSION[:2] >= (5, 7) or each not in SINCE_5_7],
)
def test_replace(engine, t, replaced_by, name, place):
    """Wherever a task stands, what replaces it takes its id, and its place in the canvas."""
    make, result = REPLACEMENTS[name]
    build, expected = PLACES[place]
    run = engine.run(build(t, replaced_by(make)))
    assert (run.state, run.result) == ("SUCCESS", expected(result))
    assert engine.pending == []


@pytest.mark.parametrize("place", ["alone", "in a chain", "in a header"])
def test_replaced_by_what_fails(engine, t, heard, replaced_by, place):
    """If what replaces a task fails, the canvas fails as by the task itself."""
    build, _ = PLACES[place]
    run = engine.run(build(t, replaced_by(lambda t: t.fails.s())))
    assert run.state == "FAILURE"
    assert "broken" in repr(run.exception)


def test_links_go_with_it(engine, t, heard, replaced_by):
    """Callbacks of a task that is replaced wait for what replaces it."""
    replaced = replaced_by(lambda t: group(t.add.s(1), t.add.s(2)))
    engine.run(replaced.s().set(link=t.note.s("done")))
    assert heard == [([2, 3], "done")]


def test_errbacks_go_with_it(engine, t, heard, replaced_by):
    """Errbacks of a task that is replaced are told by what replaces it."""
    replaced = replaced_by(lambda t: t.fails.s())
    run = engine.run(replaced.s().on_error(t.errback.s()))
    assert heard == [(run.task_id, "ValueError('broken')")]


def test_nothing_is_stored_for_it(engine, t, replaced_by):
    """The attempt that replaces itself writes nothing: the id is that of what comes."""
    run = engine.run(replaced_by(lambda t: t.add.s(1)))
    assert [(each.name, each.uuid, each.state) for each in run.history] == [
        ("add", run.task_id, "SUCCESS")
    ]


def test_again_and_again(engine, app, heard):
    """A task that replaces itself by itself knows how often it did; the id stays."""

    @app.task(bind=True)
    def count(self, left):
        heard.append((left, self.request.replaced_task_nesting, self.request.id))
        if left:
            raise self.replace(count.s(left - 1))
        return "end"

    run = engine.run(count, 3)
    assert run.result == "end"
    assert heard == [(3 - n, n, run.task_id) for n in range(4)]


class TestAddToChord:
    @pytest.fixture
    def grows(self, app, t):
        """A task that adds another to its chord."""

        @app.task(bind=True, name="grows")
        def grows(self, number):
            self.add_to_chord(t.add.s(number, 100))
            return number

        return grows

    def test_the_body_waits_for_it(self, engine, t, grows):
        """The body gets the result of the task that was added, too."""
        run = engine.run(chord([t.add.s(0), grows.s(2)], t.listed.s()))
        (numbers,) = run.result
        assert sorted(numbers) == [1, 2, 102]

    def test_by_many(self, engine, t, grows):
        """Each task of a header may add one."""
        run = engine.run(chord([grows.s(n) for n in range(4)], t.total.s()))
        assert run.result == sum(range(4)) + sum(range(100, 104))

    def test_outside_a_chord(self, engine, grows):
        """A task that is in no chord cannot add to it."""
        run = engine.run(grows, 2)
        assert isinstance(run.exception, ValueError)
        assert "not member of any chord" in str(run.exception)

    def test_one_that_fails(self, engine, app, t):
        """If the task that was added fails, the chord fails."""

        @app.task(bind=True)
        def adds_a_failure(self):
            self.add_to_chord(t.fails.s())

        run = engine.run(chord([adds_a_failure.s(), t.add.s(1)], t.listed.s()))
        assert run.state == "FAILURE"
        assert "broken" in str(run.exception)
