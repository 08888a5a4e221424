"""What a client can do with the results of a canvas."""

from __future__ import annotations

import pytest
from celery import chain, chord, group
from celery.exceptions import IncompleteStream
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import (
    AsyncResult,
    GroupResult,
    ResultSet,
    allow_join_result,
    result_from_tuple,
)

from pytest_taskprogress import DeadlockError


@pytest.fixture
def t(tasks):
    """The tasks of a test, by their names."""
    return tasks


class TestFamily:
    def test_parents_of_a_chain(self, engine, t):
        """The result of a chain leads to those before it, and they to those after them."""
        last = chain(t.add.s(1), t.add.s(1), t.add.s(1))()
        middle, first = last.parent, last.parent.parent
        assert [each.get() for each in (first, middle, last)] == [2, 3, 4]
        assert first.parent is None
        assert (first.children, middle.children) == ([middle], [last])

    def test_parent_of_a_chord(self, engine, t):
        """The parent of a chord's result is the group of its header."""
        result = chord([t.add.s(1), t.add.s(2)], t.total.s())()
        assert isinstance(result.parent, GroupResult)
        assert result.parent.get() == [2, 3]

    def test_leaf(self, engine, t):
        """The leaf of a chain's first result is the result of the chain."""
        last = chain(t.add.s(1), t.add.s(1), t.add.s(1))()
        assert last.parent.parent.get_leaf() == 4

    def test_collect(self, engine, app, t):
        """collect() walks the tasks that a task has published."""

        @app.task
        def publishes(count):
            group(t.add.s(n) for n in range(count))()
            return count

        result = app.AsyncResult(engine.run(publishes, 3).task_id)
        values = [value for _, value in result.collect()]
        assert (values[0], sorted(values[-3:])) == (3, [1, 2, 3])
        assert isinstance(result.children[0], GroupResult)

    def test_graph(self, engine, t):
        """The graph of a result has all that came of it."""
        first = chain(t.add.s(1), group(t.add.s(1), t.add.s(2)))().parent
        graph = first.graph
        assert len(graph) == 4
        assert {str(each) for each in graph if isinstance(each, AsyncResult)} >= {first.id}
        assert first.build_graph(intermediate=True).adjacent.keys() == graph.adjacent.keys()

    def test_not_ready(self, engine, t):
        """A graph of what is not ready is refused, unless it is asked for."""
        with engine.paused():
            result = t.add.delay(1)
            with pytest.raises(IncompleteStream):
                list(result.iterdeps())
            assert [each for _, each in result.iterdeps(intermediate=True)] == [result]

    def test_as_tuple(self, engine, app, t):
        """A result that was stored as a tuple finds its parents, and the group of a chord."""
        last = chain(t.add.s(1), t.add.s(1))()
        again = result_from_tuple(last.as_tuple(), app=app)
        assert (again.get(), again.parent.get()) == (3, 2)
        body = chord([t.add.s(1), t.add.s(2)], t.total.s())()
        again = result_from_tuple(body.as_tuple(), app=app)
        assert (again.get(), again.parent.get()) == (5, [2, 3])


class TestOneResult:
    def test_what_it_knows(self, engine, t):
        """A result says how a task ended, by each of its names."""
        good, bad = t.add.delay(1), t.fails.delay()
        assert (good.successful(), good.failed(), good.ready()) == (True, False, True)
        assert (bad.successful(), bad.failed(), bad.ready()) == (False, True, True)
        assert (good.state, good.status, good.result, good.info) == ("SUCCESS", "SUCCESS", 2, 2)
        assert "ValueError: broken" in bad.traceback
        assert good.date_done is not None

    def test_no_exception(self, engine, t):
        """With propagate=False get() gives the exception."""
        assert repr(t.fails.delay().get(propagate=False)) == "ValueError('broken')"

    def test_forget(self, engine, t):
        """A result that is forgotten is pending again, and its parents too."""
        last = chain(t.add.s(1), t.add.s(1))()
        parent = last.parent
        last.forget()
        assert (last.state, parent.state) == ("PENDING", "PENDING")
        with pytest.raises(DeadlockError):
            engine.app.AsyncResult(last.id).get()

    @pytest.mark.parametrize("ready", [True, False])
    def test_then(self, engine, t, ready):
        """A promise is kept when the result is got."""
        heard = []
        with engine.paused():
            result = t.add.delay(1)
            if ready:
                engine.drain()
            result.then(lambda got: heard.append(got.result))
            engine.drain()
            result.get()
        assert heard == [2]

    def test_callback(self, engine, t):
        """get(callback=) gives id and result to a function instead of returning them."""
        heard = []
        result = t.add.delay(1)
        result.get(callback=lambda task_id, value: heard.append((task_id, value)))
        assert heard == [(result.id, 2)]

    def test_on_interval(self, engine, app, t):
        """on_interval is called while a task waits, and never for what is there."""
        heard = []

        @app.task
        def waits():
            with allow_join_result():
                return t.add.delay(1).get(on_interval=lambda *_: heard.append("waited"))

        assert engine.run(waits).result == 2
        assert heard == ["waited"]
        t.add.delay(1).get(on_interval=lambda *_: heard.append("again"))
        assert heard == ["waited"]


JOINS = ("get", "join", "join_native")


class TestGroups:
    @pytest.mark.parametrize("how", JOINS)
    def test_join(self, engine, t, how):
        """A group is joined in the order of its members, whatever the order of their ends."""
        delays = [30, 10, 20]
        canvas = group(t.add.s(n).set(countdown=delay) for n, delay in enumerate(delays))
        assert getattr(canvas(), how)() == [1, 2, 3]

    @pytest.mark.parametrize("how", JOINS)
    def test_a_failure(self, engine, t, how):
        """A failed member is raised, or given with propagate=False."""
        result = group(t.add.s(1), t.fails.s())()
        with pytest.raises(ValueError, match="broken"):
            getattr(result, how)()
        assert list(map(repr, getattr(result, how)(propagate=False))) == [
            "2",
            "ValueError('broken')",
        ]

    @pytest.mark.parametrize("how", JOINS)
    def test_callback(self, engine, t, how):
        """Each result is given to the callback with its id; nothing is returned."""
        heard = []
        result = group(t.add.s(n) for n in range(3))()
        returned = getattr(result, how)(callback=lambda *told: heard.append(told))
        assert not returned
        assert sorted(heard) == sorted((each.id, n + 1) for n, each in enumerate(result.results))

    def test_order_of_the_callbacks(self, engine, t):
        """Results that are got one by one come in the order in which the tasks ended."""
        canvas = group(t.add.s(n).set(countdown=10 - n) for n in range(8))
        result = canvas()
        ended = [each.uuid for each in engine.history]
        assert [task_id for task_id, _ in result.iter_native()] == ended
        assert [result.results[n].id for n in reversed(range(8))] == ended

    def test_on_message(self, engine, t):
        """on_message gets the record of each member."""
        heard = []
        result = group(t.add.s(1), t.fails.s())()
        result.get(propagate=False, on_message=lambda meta: heard.append(meta["status"]))
        assert sorted(heard) == ["FAILURE", "SUCCESS"]

    def test_what_it_knows(self, engine, t):
        """A group counts its members."""
        with engine.paused():
            result = group(t.add.s(1), t.fails.s(), t.add.s(2).set(countdown=5))()
            assert (result.waiting(), result.ready(), result.completed_count()) == (True, False, 0)
            engine.step()
            assert (result.completed_count(), result.failed()) == (1, False)
            engine.drain()
        assert (result.waiting(), result.ready(), result.completed_count()) == (False, True, 2)
        assert (result.successful(), result.failed(), len(result)) == (False, True, 3)

    def test_saved(self, engine, app, t):
        """A group that is saved is restored by its id, until it is deleted."""
        result = group(t.add.s(1), t.add.s(2))()
        result.save()
        again = GroupResult.restore(result.id, app=app)
        assert (again, again.get()) == (result, [2, 3])
        again.delete()
        assert GroupResult.restore(result.id, app=app) is None

    def test_forget(self, engine, t):
        """A group that is forgotten forgets its members."""
        result = group(t.add.s(1), t.add.s(2))()
        result.forget()
        assert [each.state for each in result.results] == ["PENDING"] * 2

    def test_time_out(self, engine, t):
        """A member that is due too late is a time-out, in virtual time."""
        with engine.paused():
            result = group(t.add.s(1), t.add.s(2).set(countdown=60))()
            engine.step()
            with pytest.raises((CeleryTimeoutError, DeadlockError)):
                result.get(timeout=5)


class TestResultSet:
    def test_add_and_remove(self, engine, app, t):
        """A set of results grows and shrinks, and is joined like a group."""
        results = ResultSet([], app=app)
        first, second = t.add.delay(1), t.fails.delay()
        results.add(first)
        results.add(first)
        results.add(second)
        assert (len(results), results.completed_count(), results.failed()) == (2, 1, True)
        results.discard(second)
        assert (results.get(), results.successful()) == ([2], True)
        results.update([second, t.add.delay(5)])
        assert list(map(repr, results.join(propagate=False))) == ["2", "ValueError('broken')", "6"]
        results.remove(second.id)
        assert results.join_native() == [2, 6]
        results.clear()
        assert results.get() == []
        with pytest.raises(KeyError):
            results.remove("unknown")

    def test_in_a_task(self, engine, app, t):
        """A task that may wait joins a set of what it has published."""

        @app.task
        def waits():
            results = ResultSet([t.add.delay(n) for n in range(3)], app=app)
            with allow_join_result():
                return [results.get(), results.join(), results.join_native()]

        assert engine.run(waits).result == [[1, 2, 3]] * 3
