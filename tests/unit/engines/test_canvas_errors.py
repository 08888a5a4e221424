"""What happens to a canvas when a part of it fails, and who is told.

What is expected here was observed on a worker with a pool of processes, on Redis; only the text of
a ChordError is that of Celery's other key-value backends, without the id of the task.
"""

from __future__ import annotations

from types import SimpleNamespace

import celery
import pytest
from celery import chain, chord, group
from celery.exceptions import Ignore

VERSION = celery.VERSION[:2]

#: Celery announces that errbacks of a chord will hear of its header, too.
pytestmark = pytest.mark.filterwarnings(
    "ignore:task_allow_error_cb_on_chord_header:celery.exceptions.CPendingDeprecationWarning"
)


@pytest.fixture
def t(app, heard, tasks):
    """The tasks of a test, by their names."""

    @app.task(name="fails_too")
    def fails_too(*args):
        raise KeyError("other")

    @app.task(name="note")
    def note(*args):
        heard.append(("note", *args))

    @app.task(name="old_style")
    def old_style(task_id):
        heard.append(("old", task_id))

    @app.task(name="new_style")
    def new_style(request, exc, traceback):
        heard.append((request.task, repr(exc), type(traceback).__name__))

    @app.task(name="bound", bind=True)
    def bound(self, task_id):
        heard.append(("bound", task_id, self.request.parent_id, self.request.root_id))

    return SimpleNamespace(
        **{k: v for k, v in locals().items() if k not in {"app", "heard", "tasks"}}, **vars(tasks)
    )


#: What an errback of the new style is told of a task that fails, and of a body that never runs.
FAILED = ("fails", "ValueError('broken')", "str")
FAILED_TOO = ("fails_too", "KeyError('other')", "str")
NO_BODY = ("total", "ChordError(\"ValueError('broken')\")", "NoneType")


class TestErrbacks:
    def test_of_the_new_style(self, engine, t, heard):
        """An errback with three arguments gets request, exception and traceback, in the worker."""
        run = engine.run(t.fails.s().on_error(t.new_style.s()))
        assert heard == [FAILED]
        assert run.children == ()

    def test_of_the_old_style(self, engine, t, heard):
        """An errback with one argument is a task of its own, and gets the id."""
        run = engine.run(t.fails.s().on_error(t.old_style.s()))
        assert heard == [("old", run.task_id)]
        assert [each.name for each in run.children] == ["old_style"]

    def test_that_is_bound(self, engine, t, heard):
        """A bound errback is of the old style; the task that failed is its parent and root."""
        run = engine.run(t.fails.s().on_error(t.bound.s()))
        assert heard == [("bound", run.task_id, run.task_id, run.task_id)]

    def test_that_is_immutable(self, engine, t, heard):
        """An immutable errback gets what it was made with."""
        engine.run(t.fails.s().on_error(t.note.si("oops")))
        assert heard == [("note", "oops")]

    def test_of_both_styles(self, engine, t, heard):
        """Errbacks of the new style run at once, those of the old style after the task."""
        errbacks = [t.old_style.s(), t.new_style.s()]
        run = engine.run(t.fails.s().set(link_error=errbacks))
        assert heard == [FAILED, ("old", run.task_id)]

    def test_that_is_a_group(self, engine, t, heard):
        """Each member of a group of errbacks gets the id."""
        run = engine.run(t.fails.s().on_error(group(t.note.s("a"), t.note.s("b"))))
        assert heard == [("note", run.task_id, "a"), ("note", run.task_id, "b")]

    @pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
    def test_that_fails(self, engine, t):
        """An errback that raises changes nothing; before Celery 5.7 it fails the task again."""
        run = engine.run(t.fails.s().on_error(t.fails_too.s()))
        if VERSION < (5, 7):
            assert set(run.states) == {"FAILURE"}
            assert repr(run.exception) == "KeyError('other')"
        else:
            assert run.states == ["FAILURE"]
            assert repr(run.exception) == "ValueError('broken')"

    def test_on_success(self, engine, t, heard):
        """Nobody calls an errback of a task that succeeds."""
        engine.run(t.add.s(1).on_error(t.new_style.s()))
        assert heard == []


class TestChain:
    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_the_rest_fails(self, engine, t, heard, position):
        """What comes after a failure fails with it, without being run, and errbacks run once."""
        tasks = [t.add.s(1) if n != position else t.fails.s() for n in range(3)]
        run = engine.run(chain(*tasks).on_error(t.new_style.s()))
        assert run.history.states == ["SUCCESS"] * position + ["FAILURE"] * (3 - position)
        assert repr(run.exception) == "ValueError('broken')"
        assert heard == [FAILED]

    def test_errbacks_of_one_task(self, engine, t, heard):
        """An errback of a task is not told of the failure of another."""
        engine.run(chain(t.fails.s(), t.add.s(1).on_error(t.new_style.s())))
        assert heard == []


class TestGroup:
    def test_the_others_go_on(self, engine, t, heard):
        """Each member that fails tells the errbacks of the group; the others are not disturbed."""
        canvas = group(t.fails.s(), t.add.s(2), t.fails_too.s()).on_error(t.new_style.s())
        run = engine.run(canvas)
        assert run.history.states == ["FAILURE", "SUCCESS", "FAILURE"]
        assert heard == [FAILED, FAILED_TOO]

    def test_map(self, engine, t, heard):
        """A map fails as one task."""
        run = engine.run(t.fails.map([1, 2]).on_error(t.new_style.s()))
        assert run.states == ["FAILURE"]
        if VERSION >= (5, 7):  # Celery < 5.7 loses the links of a map
            assert heard == [("celery.map", *FAILED[1:])]


class TestChord:
    @pytest.mark.parametrize("place", ["chord", "body"])
    def test_header(self, engine, t, heard, place):
        """A header that fails fails the body, which never runs, and errbacks of the body run."""
        header = [t.fails.s(), t.add.s(2)]
        canvas = {
            "chord": lambda: chord(header, t.total.s()).on_error(t.new_style.s()),
            "body": lambda: chord(header, t.total.s().on_error(t.new_style.s())),
        }[place]()
        run = engine.run(canvas)
        assert run.history.states == ["FAILURE", "SUCCESS", "FAILURE"]
        assert heard == [NO_BODY]

    @pytest.mark.skipif(VERSION < (5, 6), reason="Celery 5.5 fails at it: the chain has no id")
    def test_what_comes_after(self, engine, t, heard):
        """A group that fails in a chain fails the rest of the chain, which is the body."""
        header = group(t.fails.s(), t.add.s(2))
        run = engine.run(chain(header, t.total.s(), t.add.s(1)).on_error(t.new_style.s()))
        assert run.history.states == ["FAILURE", "SUCCESS", "FAILURE"]
        assert heard == [("celery.chain", *NO_BODY[1:])]

    def test_what_a_client_gets(self, engine, t):
        """get() of a chord raises what its header raised; the body itself has a ChordError."""
        result = chord([t.fails.s(), t.add.s(2)], t.total.s()).apply_async()
        with pytest.raises(ValueError, match="broken"):
            result.get()
        assert type(result.result).__name__ == "ChordError"

    @pytest.mark.parametrize("run_number", range(4))
    def test_two_failures(self, engine, t, heard, run_number):
        """The ChordError is about the first that failed, in every run."""
        header = [t.add.s(1), t.fails.s(), t.fails_too.s(), t.fails_too.s()]
        engine.run(chord(header, t.total.s()).on_error(t.new_style.s()))
        assert heard == [NO_BODY]

    def test_old_style(self, engine, t, heard):
        """An errback of the old style gets the id of the body."""
        run = engine.run(chord([t.fails.s(), t.add.s(2)], t.total.s()).on_error(t.old_style.s()))
        assert heard == [("old", run.task_id)]

    def test_body(self, engine, t, heard):
        """A body that fails is a task that fails."""
        run = engine.run(chord([t.add.s(1), t.add.s(2)], t.fails.s()).on_error(t.new_style.s()))
        assert run.history.states == ["SUCCESS", "SUCCESS", "FAILURE"]
        assert heard == [FAILED]

    def test_inner_chord(self, engine, t, heard):
        """A chord whose header has a chord that fails never runs its body."""
        inner = chord([t.fails.s(), t.add.s(1)], t.total.s())
        run = engine.run(chord([inner, t.add.s(1)], t.add.s()).on_error(t.new_style.s()))
        assert run.state == "PENDING"
        assert heard == [NO_BODY]

    def test_chain_in_a_header(self, engine, t, heard):
        """A chain that fails in a header fails the body."""
        header = [chain(t.add.s(1), t.fails.s(), t.add.s(2)), t.add.s(1)]
        run = engine.run(chord(header, t.total.s()).on_error(t.new_style.s()))
        assert (run.state, heard) == ("FAILURE", [NO_BODY])

    def test_revoked_header(self, engine, t, heard):
        """A part of a header that has expired fails the body."""
        header = [t.add.s(1).set(expires=-5), t.add.s(2)]
        run = engine.run(chord(header, t.total.s().on_error(t.new_style.s())))
        assert run.history.states == ["REVOKED", "SUCCESS", "FAILURE"]
        assert [each[0] for each in heard] == ["total"]

    def test_ignored_header(self, engine, app, t, heard):
        """A part of a header that raises Ignore is waited for, for ever."""

        @app.task
        def ignores():
            raise Ignore

        run = engine.run(chord([ignores.s(), t.add.s(2)], t.total.s()).on_error(t.new_style.s()))
        assert (run.state, run.history.states, heard) == ("PENDING", ["SUCCESS"], [])

    def test_a_retry_of_the_body(self, engine, app, t):
        """A body may be retried; it has the results of its header again."""

        @app.task(bind=True)
        def body(self, numbers):
            if not self.request.retries:
                raise self.retry(countdown=5)
            return numbers

        run = engine.run(chord([t.add.s(1), t.add.s(2)], body.s()))
        assert (run.result, run.states, run.elapsed) == ([2, 3], ["RETRY", "SUCCESS"], 5.0)


class TestHeaderErrbacks:
    @pytest.fixture
    def app(self, app):
        """The app lets a chord's errbacks hear of each part of its header."""
        app.conf.task_allow_error_cb_on_chord_header = True
        return app

    def test_new_style(self, engine, t, heard):
        """Each part that fails tells them, and then the body."""
        header = [t.fails.s(), t.fails_too.s(), t.add.s(1)]
        engine.run(chord(header, t.total.s()).on_error(t.new_style.s()))
        assert heard == [FAILED, FAILED_TOO, NO_BODY]

    def test_old_style(self, engine, t, heard):
        """The ids are those of the part that failed and of the body."""
        run = engine.run(chord([t.fails.s(), t.add.s(2)], t.total.s()).on_error(t.old_style.s()))
        assert heard == [("old", run.history[0].uuid), ("old", run.task_id)]

    def test_on_success(self, engine, t, heard):
        """Nobody is told of a chord that succeeds."""
        run = engine.run(chord([t.add.s(1), t.add.s(2)], t.total.s()).on_error(t.new_style.s()))
        assert (run.result, heard) == (5, [])


class TestIgnoredHeaderResults:
    def test_nothing_to_wait_for(self, engine, app, t):
        """A header whose results are ignored has nothing to give: the body fails by a time-out."""

        @app.task(ignore_result=True)
        def ignored():
            return 7

        run = engine.run(chord([ignored.s(), t.add.s(2)], t.total.s()))
        assert run.state == "FAILURE"
        assert "DeadlockError" not in str(run.exception)
