from __future__ import annotations

from itertools import pairwise

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult

from pytest_taskprogress import DeadlockError, EagerEngine, Observer, ProgressTask
from pytest_taskprogress.properties import as_group_results, as_results
from pytest_taskprogress.properties.consuming.playback import Playback
from pytest_taskprogress.strategies import ProgressSequence, Write
from tests.conftest import IsolatedApp

HALF = ("PROGRESS", {"percent": 50.0})
FULL = ("PROGRESS", {"percent": 100.0})
SEQUENCE = ProgressSequence("STARTED", HALF, FULL, ("SUCCESS", 3))
TWO = ProgressSequence(
    Write(*HALF, task="a"), Write("STARTED", task="b"), Write("SUCCESS", 1, task="a")
)


@pytest.fixture
def app():
    """An app with a backend of Celery's own."""
    return IsolatedApp("theirs", backend="cache+memory://", set_as_current=False)


def read(results):
    """State and info of each, each read apart."""
    return [(each.state, each.info) for each in results]


class TestAsResults:
    def test_every_poll(self):
        """There is a result before the first write, and after each."""
        assert read(as_results(SEQUENCE)) == [
            ("PENDING", None),
            ("STARTED", None),
            HALF,
            FULL,
            ("SUCCESS", 3),
        ]

    @pytest.mark.parametrize(
        "sequence",
        [
            ["PROGRESS", ("SUCCESS", 3)],
            ProgressSequence("PROGRESS", ("SUCCESS", 3)),
            list(ProgressSequence("PROGRESS", ("SUCCESS", 3))),
        ],
    )
    def test_subjects(self, sequence):
        """Whatever can be judged can be read: a history, a list of pairs, of transitions."""
        assert read(as_results(sequence))[1:] == [("PROGRESS", None), ("SUCCESS", 3)]

    def test_empty_meta(self):
        """An empty meta is one, and none is none."""
        results = as_results(ProgressSequence(("PROGRESS", {}), "PROGRESS", ("SUCCESS", {})))
        assert [each.info for each in results] == [None, {}, None, {}]

    def test_run(self, engine):
        """What a run stored is what its result gave."""

        @engine.app.task(bind=True, base=ProgressTask, shared=False)
        def work(self):
            observer = Observer(self)
            observer.update("one", total=2)
            raise ValueError("no")

        run = engine.run(work)
        read = [(each.state, repr(each.info), each.traceback) for each in as_results(run)]
        result = engine.app.AsyncResult(run.task_id)
        assert [state for state, *_ in read] == ["PENDING", "PROGRESS", "FAILURE"]
        assert read[-1] == ("FAILURE", "ValueError('no')", result.traceback)

    def test_nothing(self):
        """Of a task that wrote nothing there is one poll."""
        assert read(as_results([])) == [("PENDING", None)]

    def test_real_results(self):
        """They are Celery's own, made by their app."""
        for each in as_results(SEQUENCE):
            assert isinstance(each, AsyncResult)
            assert each.app.AsyncResult(each.id).state == each.state

    def test_exceptions(self):
        """Exceptions are read as Celery makes them."""
        results = as_results(ProgressSequence(("RETRY", OSError("gone")), ("FAILURE", KeyError(3))))
        _, retry, failure = [(each.state, repr(each.result)) for each in results]
        assert retry == ("RETRY", "OSError('gone')")
        assert failure == ("FAILURE", "KeyError(3)")

    def test_knows_aborted(self):
        """Results of an app of its own know ABORTED as an end, if it is one."""
        aborted = ProgressSequence(("ABORTED", {"pending": False}))
        assert [each.ready() for each in as_results(aborted)] == [False, True]
        assert [each.ready() for each in as_results(["ABORTED"])] == [False, False]

    def test_dropped(self):
        """What the backend drops is nothing that could be polled."""
        zombie = ProgressSequence(("SUCCESS", 3), HALF)
        assert read(as_results(zombie)) == [("PENDING", None), ("SUCCESS", 3)]

    def test_broken_record_stays(self):
        """Celery cannot write over what it cannot read: the record stays as it is."""
        broken = ProgressSequence(("FAILURE", {"why": "no"}), ("SUCCESS", 3))
        results = as_results(broken)
        assert next(results).state == "PENDING"
        for each in results:
            with pytest.raises(ValueError, match="exception type"):
                each.state

    def test_kept(self):
        """It is a new object each time, or one that remembers the end."""
        assert len({id(each) for each in list(as_results(SEQUENCE))}) == 5
        kept = list(as_results(SEQUENCE, keep=True))
        assert len({id(each) for each in kept}) == 1

    def test_vanishing(self):
        """At the end the record is gone; an object that has seen the end remembers it."""
        assert read(as_results(SEQUENCE, vanishing=True))[-2:] == [
            ("SUCCESS", 3),
            ("PENDING", None),
        ]
        assert read(as_results(SEQUENCE, vanishing=True, keep=True))[-1] == ("SUCCESS", 3)

    def test_own_backend(self, app):
        """They are in the backend that is given, while they are polled, and nowhere after that."""
        ids = []
        for each in as_results(SEQUENCE, app=app):
            ids.append(each.id)
            assert each.backend is app.backend
            assert app.AsyncResult(each.id).state == each.state
        assert {app.AsyncResult(each).state for each in ids} == {"PENDING"}

    def test_left_early(self, app):
        """Whoever stops polling leaves nothing behind."""
        results = as_results(SEQUENCE, app=app, torn=True)
        next(results)
        kept = next(results)
        assert kept.state == "STARTED"
        results.close()
        assert kept.state == "PENDING"
        assert "get_task_meta" not in vars(app.backend)

    def test_side_by_side(self, app):
        """Two at once, in one backend, do not meet."""
        pairs = zip(as_results(SEQUENCE, app=app), as_results(SEQUENCE, app=app), strict=True)
        for one, other in pairs:
            assert one.id != other.id
            assert one.state == other.state

    def test_engine(self, app):
        """An app with an engine on it is as any other."""
        with EagerEngine(app) as engine:
            assert read(as_results(SEQUENCE, app=app))[-1] == ("SUCCESS", 3)
            assert engine.history.states == ["STARTED", "PROGRESS", "PROGRESS", "SUCCESS"]

    @pytest.mark.parametrize("sequence", [None, 3, "SUCCESS", {"percent": 5}, [3]])
    def test_no_sequence(self, sequence):
        """What is no history is refused, when it is given."""
        with pytest.raises(TypeError, match=r"expected a TaskRun, a History"):
            as_results(sequence)

    def test_several_tasks(self):
        """Several tasks have several results."""
        with pytest.raises(ValueError, match=r"got 2 tasks; give history\.of\(task_id\)"):
            as_results(TWO)
        assert [each.state for each in as_results(TWO.of("b"))] == ["PENDING", "STARTED"]


class TestWaiting:
    """Who waits for a result does not wait: the task goes on until it is there."""

    def test_get(self):
        """It is there, and that was the last poll but one."""
        results = as_results(SEQUENCE)
        assert next(results).get(timeout=5) == 3
        assert [each.state for each in results] == ["SUCCESS"]

    def test_group(self):
        """A group waits for all of its members."""
        both = ProgressSequence(Write("SUCCESS", 1, task="a"), Write("SUCCESS", 2, task="b"))
        results = as_group_results(both)
        assert next(results).get() == [1, 2]

    def test_no_time(self):
        """Who waits no time, or for what never ends, is told that the time is over."""
        results = as_results([HALF, "RETRY"])
        result = next(results)
        for timeout, written in ((0, "PENDING"), (60, "RETRY")):
            with pytest.raises(CeleryTimeoutError):
                result.get(timeout=timeout)
            assert result.state == written

    def test_for_ever(self):
        """What never ends is an error at once."""
        results = as_results([HALF, "RETRY"])
        with pytest.raises(DeadlockError, match=r"task-\d+ will never end: History\(\['PROGRESS'"):
            next(results).get()


class TestTorn:
    def test_state_and_info(self):
        """State and info that are read apart are of two writes, wherever they can be."""
        assert read(as_results(SEQUENCE, torn=True)) == [
            ("PENDING", None),
            ("STARTED", HALF[1]),
            ("PROGRESS", FULL[1]),
            ("PROGRESS", 3),
            ("SUCCESS", 3),
        ]

    def test_one_read(self):
        """Who reads once gets what is there, and misses nothing."""
        states = [each._get_task_meta()["status"] for each in as_results(SEQUENCE, torn=True)]
        assert states == ["PENDING", *SEQUENCE.states]

    def test_no_read(self):
        """Who does not read at all still comes to the end."""
        assert len(list(as_results(SEQUENCE, torn=True))) == 5

    def test_many_reads(self):
        """A poll that reads on and on sees all there is."""
        results = as_results(SEQUENCE, torn=True)
        first = next(results)
        assert [first.state for _ in range(6)] == [
            "PENDING",
            *SEQUENCE.states,
            "SUCCESS",
        ]

    def test_by_id(self, app):
        """It makes no difference by which object it is read."""
        for each in as_results(["PROGRESS", "SUCCESS"], torn=True, app=app):
            read = [app.AsyncResult(each.id).state for _ in range(2)]
            assert read in (["PENDING", "PROGRESS"], ["PROGRESS", "SUCCESS"], ["SUCCESS"] * 2)

    def test_vanishes_while_it_is_read(self):
        """A record may be gone between two reads."""
        *_, last, gone = as_results(["PROGRESS"], torn=True, vanishing=True)
        assert gone.state == "PENDING"
        results = as_results(["PROGRESS"], torn=True, vanishing=True)
        next(results)
        last = next(results)
        assert [last.state, last.state] == ["PROGRESS", "PENDING"]

    def test_side_by_side(self, app):
        """Two in one backend go on by their own reads, and leave nothing, whoever ends first."""
        one = as_results(["PROGRESS", "SUCCESS"], torn=True, app=app)
        other = as_results(SEQUENCE, torn=True, app=app)
        assert next(one).state == "PENDING"
        result = next(other)
        assert [result.state, result.state] == ["PENDING", "STARTED"]
        one.close()
        assert next(other).info is None
        assert read(other)[-1] == ("SUCCESS", 3)
        assert "get_task_meta" not in vars(app.backend)

    def test_hooks_of_others(self, app, monkeypatch):
        """What somebody else has put on the backend is there again after it."""
        own = app.backend.get_task_meta
        monkeypatch.setattr(app.backend, "get_task_meta", own)
        list(as_results(SEQUENCE, torn=True, app=app))
        assert vars(app.backend)["get_task_meta"] is own


class TestGroups:
    def test_every_poll(self):
        """Its members are the tasks of the history, at every write of any of them."""
        states = []
        for each in as_group_results(TWO):
            assert isinstance(each, GroupResult)
            states.append([child.state for child in each.children])
        assert states == [
            ["PENDING", "PENDING"],
            ["PROGRESS", "PENDING"],
            ["PROGRESS", "STARTED"],
            ["SUCCESS", "STARTED"],
        ]

    def test_torn(self):
        """Others write while its members are read, one after the other."""
        polls = [
            [child.state for child in each.children] for each in as_group_results(TWO, torn=True)
        ]
        assert polls == [
            ["PENDING", "PENDING"],
            ["PROGRESS", "STARTED"],
            ["PROGRESS", "STARTED"],
            ["SUCCESS", "STARTED"],
        ]

    def test_vanishing_and_kept(self):
        """As of one task."""
        *_, last = as_group_results(TWO, vanishing=True, keep=True)
        assert [child.state for child in last.children] == ["PENDING", "PENDING"]

    def test_empty(self):
        """A group of no tasks has one poll."""
        [result] = as_group_results([])
        assert list(result.children) == []


class TestWorlds:
    """What is known of the tasks while they are written."""

    @pytest.mark.parametrize(
        ("writes", "begun"),
        [
            ([HALF, FULL, "SUCCESS"], 0),
            ([HALF, "RETRY", FULL, "SUCCESS"], 2),
            (["STARTED", HALF, "STARTED", HALF], 4),
            ([HALF, ("UPLOADING", {}), ("UPLOADING", {})], 1),
            ([HALF, ("FAILURE", OSError()), HALF], 1),
        ],
    )
    def test_bars(self, writes, begun):
        """A bar begins anew with an attempt, another state, and a task that comes back."""
        playback = Playback(ProgressSequence(*writes))
        worlds = [playback.now for _ in playback.polls()]
        assert worlds[-1].begun == begun
        assert all(one.begun <= other.begun for one, other in pairwise(worlds))

    def test_ends(self):
        """It is known who has ended, and who has ended well."""
        playback = Playback(
            ProgressSequence(
                Write("FAILURE", OSError(), task="a"),
                Write("SUCCESS", task="b"),
                Write("PROGRESS", {}, task="a"),
            ),
            vanishing=True,
        )
        worlds = [playback.now for _ in playback.polls()]
        assert [sorted(each.over) for each in worlds] == [[], ["a"], ["a", "b"], ["b"], ["b"]]
        assert [sorted(each.succeeded) for each in worlds] == [[], [], ["b"], ["b"], ["b"]]
        assert [each.vanished for each in worlds] == [False] * 4 + [True]
