"""explore(): what it finds, what it does not, and what it leaves as it was."""

import datetime as dt
import enum
import itertools
import logging
import pickle
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import hypothesis
import pytest
from celery import Celery, Task, group
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.result import allow_join_result
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import (
    AbortableTask,
    Contract,
    EagerEngine,
    NotATaskError,
    NotSerializable,
    Observer,
    ProgressTask,
    RuleError,
)
from pytest_taskprogress.checks.rules import Rule
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.properties import Exploration, FaultsFound, explore
from pytest_taskprogress.properties.exploring import alarms, trials
from pytest_taskprogress.properties.exploring.alarms import Alarm
from pytest_taskprogress.properties.exploring.code import Code
from pytest_taskprogress.properties.exploring.exploration import examine
from pytest_taskprogress.properties.exploring.judging import wrong_with
from pytest_taskprogress.properties.exploring.worlds import World
from pytest_taskprogress.scenario import Abort, FailWrite, Redeliver, Revoke, Schedule
from pytest_taskprogress.strategies.arguments import Arguments

FEW = {"max_examples": 30}

#: For tests that count runs.
as_drawn = pytest.mark.skipif(
    hypothesis.__version_info__ < (6, 150), reason="an older Hypothesis draws other runs"
)

remembered = []
counted = 0
client = None
lock = threading.Lock()


@pytest.fixture(autouse=True)
def _contract(monkeypatch, _lenient):
    """What is explored here is judged as a user's tasks are."""
    monkeypatch.setattr(process, "contract", Contract())


def found_in(task, **how):
    """What is wrong with a task, by rule."""
    with pytest.raises(FaultsFound) as found:
        explore(task, **{**FEW, **how})
    return {each.rule: each for each in found.value.findings}


# -- what is found --------------------------------------------------------------------------------


def test_an_exception_that_nobody_expects(app):
    """It is found with the arguments that raise it, and with the line that does."""

    @app.task(shared=False)
    def export(pages: list[str]):
        if len(pages) > 2:
            raise KeyError("page 3")

    finding = found_in(export, max_examples=100)["raises"]

    assert finding.message.startswith("it raised KeyError: 'page 3', and nothing was done to it")
    assert finding.arguments == (Arguments((["", "", ""],)),)
    assert (finding.scenario, finding.schedule) == ((), None)
    assert finding.source.file == __file__


def test_an_exception_that_is_declared(app):
    """What a task says in `throws` is no finding, be it of a subclass."""

    @app.task(shared=False, throws=(LookupError,))
    def export(pages: list[str]):
        if pages:
            raise KeyError("page 1")

    assert explore(export, **FEW).findings == ()


def test_an_exception_of_what_is_done_to_it(app):
    """A backend that refuses a write is none of the task's faults."""

    @app.task(bind=True, shared=False)
    def export(self, pages: list[str]):
        for _ in Observer(self).track(pages, "Exporting"):
            pass

    assert explore(export, kinds=[FailWrite], **FEW).findings == ()


def test_ends_that_are_no_exceptions(app):
    """A task may retry, as far as that comes to an end."""

    @app.task(bind=True, shared=False, max_retries=3)
    def fetch(self, times: Literal[0, 1, 2]):
        if self.request.retries < times:
            raise self.retry(countdown=60)
        return times

    assert explore(fetch, **FEW).findings == ()


def test_a_task_that_never_ends(app):
    """What requeues itself for ever is found in less than ever."""

    @app.task(bind=True, shared=False)
    def poll(self, ready: Literal[0, 1]):
        if not ready:
            self.delay(ready)

    finding = found_in(poll, max_findings=1)["endless"]

    assert finding.run is None
    assert finding.timeline == ""
    assert "taskprogress.limit = 250" in finding.code


def test_two_faults_are_both_found(app):
    """After a finding the search goes on without its rule: one does not hide the other."""

    @app.task(bind=True, shared=False)
    def export(self, pages: list[str]):
        self.update_state(state="PROGRESS", meta={"current": 0, "total": len(pages)})
        if len(pages) > 3:
            raise ValueError("too many pages")
        if len(pages) == 2:
            raise Ignore

    assert {"bounded", "raises", "terminal"} <= set(found_in(export, max_examples=150))


def test_as_many_as_are_wanted(app):
    """`max_findings` ends the search."""

    @app.task(bind=True, shared=False)
    def export(self, page: int):
        self.update_state(state="PROGRESS", meta={"percent": -1})
        raise ValueError(page)

    assert len(found_in(export)) > 1
    assert len(found_in(export, max_findings=1)) == 1


def test_an_abort_that_comes_too_late(app):
    """Every moment of a run is tried: that of the last look, too."""

    @app.task(bind=True, base=AbortableTask, shared=False)
    def back_up(self, files: list[str]):
        for number, _ in enumerate(files, start=1):
            self.update_state(state="PROGRESS", meta={"current": number, "total": len(files)})
        self.raise_if_aborted()

    finding = found_in(back_up)["abort-honoured"]

    assert isinstance(finding.scenario[0], Abort)
    assert "went on for 2 reports" in finding.message
    assert len(finding.arguments[0].args[0]) <= 3


def test_what_is_wrong_only_between_two(app):
    """A group of copies is run in orders that nobody writes by hand."""
    last = {}

    @app.task(bind=True, shared=False)
    def number(self):
        mine = last.get("number", 0) + 1
        self.update_state(state="PROGRESS", meta={"percent": 100})
        if last.get("number", 0) >= mine:
            raise ValueError(f"two have the number {mine}")
        last["number"] = mine

    finding = found_in(number)["raises"]

    assert len(finding.arguments) == 2
    assert 0 < len(finding.schedule.choices) <= 2
    assert "tasks = group(number.s(), number.s())" in finding.code
    assert explore(number, max_copies=1, **FEW).findings == ()


# -- what is done twice ---------------------------------------------------------------------------


def test_done_twice(app):
    """With acks_late it must come to the same end when it is delivered again."""
    done = Counter()

    @app.task(bind=True, shared=False, acks_late=True)
    def count(self):
        done[self.request.id] += 1
        return done[self.request.id]

    finding = found_in(count, max_examples=100, max_findings=1)["idempotent"]

    assert "it came to SUCCESS 2: undisturbed it comes to SUCCESS 1" in finding.message
    assert type(finding.scenario[0]) is Redeliver
    count.acks_late = False
    assert explore(count, **FEW).findings == ()


def test_done_twice_with_the_same_end(app):
    """What differs from run to run anyway, such as the seconds that it took, is no other end."""

    @app.task(bind=True, base=ProgressTask, shared=False, acks_late=True)
    def export(self, pages: list[str]):
        observer = Observer(self)
        for _ in observer.track(pages, "Exporting"):
            time.sleep(1)
        return {"elapsed": time.monotonic(), "pages": len(pages)}

    assert explore(export, **FEW).findings == ()


def test_failing_twice(app):
    """A task that fails, and is delivered again, reports over its FAILURE: it cannot know."""

    @app.task(bind=True, shared=False, acks_late=True, throws=(ValueError,))
    def export(self, pages: list[str]):
        self.update_state(state="PROGRESS", meta={"percent": 100})
        raise ValueError("no pages")

    assert explore(export, **FEW).findings == ()


# -- what is not deterministic --------------------------------------------------------------------


def test_not_deterministic(app):
    """It is run twice; the first difference is shown, and that ends the search."""

    @app.task(bind=True, shared=False)
    def sample(self, size: int):
        for number in range(3):
            drawn = random.random() if number else 0.5  # noqa: S311 - what is tested
            self.update_state(state="PROGRESS", meta={"sample": drawn, "percent": number * 50})

    found = found_in(sample, max_copies=1, kinds=[])

    assert list(found) == ["deterministic"]
    told = found["deterministic"].message
    assert "The first difference is at #1:\n  first:  task-1" in told
    assert told.count('{"sample": 0.') == 2
    assert "given as before=" in told
    assert "assert first.snapshot() == second.snapshot()" in found["deterministic"].code


def test_what_is_ignored(app):
    """A task that stores what differs each time can be explored all the same, and more is found."""

    @app.task(bind=True, shared=False)
    def sample(self, pages: list[str]):
        for number in range(len(pages)):
            drawn = random.random()  # noqa: S311 - what is tested
            percent = 100 - number
            self.update_state(state="PROGRESS", meta={"sample": drawn, "percent": percent})
        if len(pages) > 2:
            raise KeyError("page 3")

    found = found_in(sample, ignore=["deterministic", "complete"], max_examples=60)

    assert set(found) == {"monotonic", "raises"}
    assert found["raises"].arguments == (Arguments((["", "", ""],)),)
    ignored = "deterministic, complete, monotonic, raises"
    assert explore(sample, ignore=ignored, **FEW).examples == FEW["max_examples"]


def test_no_such_rule(app):
    """What is to be ignored is known: those of the contract, and those of an exploration."""

    @app.task(shared=False)
    def export():
        pass

    with pytest.raises(RuleError, match=r"no rule 'raise': did you mean 'raises'\? There are mono"):
        explore(export, ignore=["raise"])


def test_what_else_is_wrong_with_it(app):
    """A task that is not deterministic is explored all the same, but for what compares its ends."""

    @app.task(bind=True, shared=False, acks_late=True)
    def sample(self, pages: list[str]):
        for number in range(len(pages)):
            meta = {"at": next(numbers), "percent": 100 - number}
            self.update_state(state="PROGRESS", meta=meta)
        return next(numbers)

    numbers = itertools.count()
    found = found_in(sample, max_examples=60)

    assert list(found)[0] == "deterministic"  # noqa: RUF015 - the first one is what is meant
    assert set(found) == {"deterministic", "monotonic", "complete"}
    assert found["monotonic"].arguments == (Arguments((["", ""],)),)
    again = examine(sample, ignore=found, max_examples=60)
    assert again.findings == ()
    assert "Not judged: idempotent" in str(again)


def test_how_to_allow_it(app):
    """What was found says so, for a test and for the command line."""

    @app.task(shared=False)
    def export():
        raise ValueError("x")

    with pytest.raises(FaultsFound) as found:
        explore(export, **FEW)

    way_out = 'explore(..., ignore=["raises"]); on the command line --ignore raises'
    assert str(found.value).endswith(f"To allow it: {way_out}")
    assert explore(export, ignore=["raises"], **FEW).findings == ()
    assert "To allow" not in str(explore(export, ignore=["raises"], **FEW))


@as_drawn
def test_what_shows_once_and_may(app):
    """Where a task need not be deterministic, what it breaks now and then is told as that."""
    numbers = itertools.count()

    @app.task(shared=False)
    def export():
        if next(numbers) == 2:
            raise ValueError("now and then")

    finding = found_in(export, max_copies=1, ignore=["deterministic"])["raises"]

    assert finding.message.startswith("raises was broken once, and not when")
    assert "several runs" in finding.message


@as_drawn
def test_what_shows_only_once(app):
    """What is wrong in one run, and not when that is repeated, is told as what it is."""
    numbers = itertools.count()

    @app.task(shared=False)
    def export():
        if next(numbers) == 2:
            raise ValueError("now and then")

    found = found_in(export, max_copies=1)

    assert list(found) == ["deterministic"]
    assert "it did something else" in found["deterministic"].message or (
        "raises was broken once, and not when the task was run in the same way again"
        in found["deterministic"].message
    )


def test_what_the_module_remembers(app):
    """Dicts, lists and sets of the module, and of the function around it, are put back in place."""
    seen, inside, kept = set(), {"a": [1, {2}]}, object()
    remembered[:] = [kept]

    @app.task(shared=False)
    def remember(text: str):
        state = (sorted(seen), len(remembered), str(inside))
        seen.add(text)
        remembered.append(text)
        inside["a"][1].add(3)
        inside["a"].append(4)
        return state

    assert explore(remember, **FEW).findings == ()
    assert (seen, inside) == (set(), {"a": [1, {2}]})
    assert remembered == [kept]
    assert remembered[0] is kept


def test_what_the_module_counts(app):
    """Numbers of the module are put back, too; what is made when it is first needed is not."""

    @app.task(shared=False)
    def count():
        global counted, client  # noqa: PLW0603 - what is tested
        counted += 1
        client = client or object()
        return counted

    assert explore(count, **FEW).findings == ()
    assert counted == 0
    assert client is not None


def test_before_each_run(app):
    """What else a task changes is put back by a function, which is called before each run."""

    class Table:
        rows = 0

    runs = []

    def clear():
        runs.append(Table.rows)
        Table.rows = 0

    @app.task(shared=False)
    def insert():
        Table.rows += 1
        return Table.rows

    found = explore(insert, before=clear, **FEW)

    assert found.findings == ()
    assert len(runs) == found.runs + 1  # and once when all is over
    assert "deterministic" in found_in(insert)


def test_time_that_a_task_sleeps(app):
    """`sleep` takes no time, and moves the clock; in other threads it is what it was."""
    slept = threading.Event()

    def other():
        time.sleep(0)
        slept.set()

    @app.task(bind=True, base=ProgressTask, shared=False)
    def load(self, names: list[str]):
        for _ in names:
            time.sleep(3600)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        for _ in Observer(self).track(names, "Loading"):
            pass

    really = time.sleep
    finding = found_in(load, max_examples=20, contract=Contract())["first-report"]

    assert time.sleep is really
    assert slept.is_set()
    assert "the first report came after 3600 s: expected 5 s at most" in finding.message
    assert 'monkeypatch.setattr("time.sleep", taskprogress.clock.advance)' in finding.code
    assert "def test_load_first_report(taskprogress, monkeypatch):" in finding.code


def test_time_that_a_scenario_lets_pass(app):
    """A first report that is late because the scenario moved the clock is not the task's fault."""
    app.conf.task_track_started = True

    @app.task(bind=True, base=ProgressTask, shared=False)
    def export(self, pages: list[str]):
        for _ in Observer(self).track(pages, "Exporting"):
            pass

    assert explore(export, **FEW).findings == ()


def test_time_that_another_task_sleeps(app):
    """There is one clock: a task beside one that sleeps is not late by its own fault."""

    @app.task(bind=True, base=ProgressTask, shared=False)
    def load(self, minutes: int):
        observer = Observer(self)
        observer.update("Loading", total=None)
        time.sleep(60 * minutes)
        observer.update("Loaded", total=None)

    app.conf.task_track_started = True
    with EagerEngine(app) as engine, World(load).without_sleep(engine.clock.advance):
        beside = engine.under(schedule=Schedule(0, 1))
        run = beside.run(group(load.s(0), load.s(1)))
    contract = Contract().having(first_report=5.0)

    late = wrong_with(run, contract, app)
    assert [each.rule for each in late] == ["first-report"]
    assert wrong_with(run, contract, app, beside=True) == []


# -- arguments ------------------------------------------------------------------------------------


def drawn_by(app, **how):
    """The numbers that are drawn of plain hints."""

    class Drawn:
        numbers = ()  # in a list it would be put back

    @app.task(shared=False)
    def export(pages: int, weights: list[float], mode: Literal[10**9]):
        Drawn.numbers += (pages, *weights)
        assert mode == 10**9

    assert explore(export, max_examples=200, **how).findings == ()
    return Drawn.numbers


def test_most_numbers_are_small(app):
    """A number is a size, if its hint does not say otherwise; some are none, and some large."""
    numbers = drawn_by(app, kinds=[])
    small = [each for each in numbers if 0 <= each <= 50]

    assert len(set(small)) > 20
    assert len(small) > 0.8 * len(numbers)
    assert any(-50 <= each < 0 for each in numbers)
    assert any(1000 < each <= 2000 for each in numbers)
    assert all(-50 <= each <= 2000 for each in numbers)


@pytest.mark.parametrize(
    ("wrong", "smallest"),
    [(lambda size: size < 0, -1), (lambda size: size > 1000, 1001), (lambda size: size > 9, 10)],
)
def test_a_number_that_is_none_or_large(app, wrong, smallest):
    """What is wrong with such a number only is found with the smallest one."""

    @app.task(shared=False)
    def export(size: int):
        if wrong(size):
            raise ValueError(size)

    finding = found_in(export, max_examples=120, kinds=[], max_copies=1)["raises"]

    assert finding.arguments == (Arguments((smallest,)),)


def test_a_large_number_of_messages(app):
    """A task that publishes one for each of a thousand is none that never ends."""

    @app.task(shared=False)
    def child():
        pass

    @app.task(shared=False)
    def parent(size: int):
        for _ in range(size):
            child.delay()

    large = {"size": st.just(1001)}
    assert explore(parent, arguments=large, max_examples=2, max_copies=1).findings == ()


@pytest.mark.parametrize(
    "arguments",
    [
        st.tuples(st.just(3)),
        st.fixed_dictionaries({"pages": st.just(3)}),
        st.just(Arguments((), {"pages": 3})),
        st.just(((3,), {})),
        {"pages": st.just(3)},
    ],
)
def test_arguments_that_are_given(app, arguments):
    """A strategy of all of them, in any form, or strategies by name."""

    @app.task(shared=False)
    def export(pages):
        assert pages == 3

    assert explore(export, arguments=arguments, **FEW).findings == ()


def test_without_hints(app):
    """It is said which argument lacks one, and how to give a strategy."""

    @app.task(shared=False)
    def export(pages: int, rows):
        pass

    with pytest.raises(InvalidArgument, match=r"'rows': it has no type hint(?s:.*)arguments="):
        explore(export)
    with pytest.raises(TypeError, match=r"arguments= takes strategies by the names.* got 7"):
        explore(export, arguments=7)
    with pytest.raises(InvalidArgument, match="it drew 'abc'"):
        explore(export, arguments=st.just("abc"))


def test_what_cannot_be_published(app):
    """It is told at once: no run can show anything."""

    @app.task(shared=False)
    def export(pages):
        pass

    message = "cannot encode(?s:.*)the parameter 'pages' takes(?s:.*)arguments={'pages': strategy}"
    with pytest.raises(NotSerializable, match=message):
        explore(export, arguments={"pages": st.just(object())})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"max_examples": 0}, "max_examples=0"),
        ({"max_copies": True}, "max_copies=True"),
        ({"max_findings": -1}, "max_findings=-1"),
        ({"seed": "x"}, "seed='x'"),
        ({"seconds": 0}, "seconds=0"),
    ],
)
def test_bad_numbers(app, how, message):
    """They are told by name."""

    @app.task(shared=False)
    def export():
        pass

    with pytest.raises(ValueError, match=message):
        explore(export, **how)


def test_no_task(app):
    """A function is none, nor is a signature."""
    with pytest.raises(NotATaskError, match=r"explore\(\) takes a Celery task.* Decorate"):
        explore(len)


# -- what is tried --------------------------------------------------------------------------------


def test_the_kinds_that_are_asked_for(app):
    """None: what a correct task outlives. Others are done if they are asked for."""

    @app.task(bind=True, shared=False)
    def export(self, pages: list[str]):
        for _ in Observer(self).track(pages, "Exporting"):
            pass

    happened = set()

    def kinds_of(**how):
        happened.clear()
        with EagerEngine(app) as engine:
            engine.on_run.append(
                lambda run: happened.update(type(each.event).__name__ for each in run.happened)
            )
            explore(export, engine=engine, **how)
        return set(happened)

    outlived = {"Advance", "CrashWorker", "Delay", "FailWrite", "SoftTimeLimit"}
    assert {"CrashWorker", "FailWrite"} <= kinds_of(max_examples=100) <= outlived
    assert kinds_of(kinds=[Revoke, FailWrite], **FEW) == {"Revoke", "FailWrite"}
    assert kinds_of(kinds=[], **FEW) == set()


def test_without_greenlet(app, monkeypatch):
    """What needs greenlet is not tried, and that is said."""
    from pytest_taskprogress.properties.exploring import exploration

    @app.task(shared=False)
    def add(x: int):
        return x

    monkeypatch.setattr(exploration, "find_spec", lambda name: None)
    found = explore(add, **FEW)

    assert "pip install 'pytest-taskprogress[greenlet]'" in str(found)
    monkeypatch.undo()
    assert "greenlet" not in str(explore(add, **FEW))


def test_what_the_engine_cannot_do(app):
    """A thread that helps a task cannot wait while tasks run beside each other: no fault of it."""

    @app.task(shared=False)
    def add(x: int):
        return x

    @app.task(shared=False)
    def helped(x: int):
        def wait():
            with allow_join_result():
                return result.get(timeout=10)

        result = add.delay(x)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(wait).result()

    explore(helped, kinds=[], **FEW)


def test_in_time(app):
    """No example begins after the seconds, and that is said."""

    @app.task(shared=False)
    def add(x: int):
        return x

    found = explore(add, max_examples=10**6, seconds=0.2)

    assert not found.in_time
    assert found.examples < 10**5
    assert "which is all the time that there was" in found.headline


def test_a_run_that_is_too_long(app):
    """It is ended, and not judged; shorter ones show what is wrong."""

    @app.task(bind=True, shared=False)
    def export(self, pages: Literal[2, 10**9]):
        for number in range(pages):
            self.update_state(state="PROGRESS", meta={"percent": 100 - number % 2})

    assert found_in(export)["monotonic"].arguments[0].args == (2,)


def test_a_task_that_computes_for_ever(app, monkeypatch):
    """It is ended in its midst; after three such runs no more are made, and that is said."""
    monkeypatch.setattr(trials, "Alarm", partial(Alarm, 0.1))

    @app.task(shared=False)
    def spin(size: Literal[7, 8, 9, 10]):
        while size:
            pass

    found = examine(spin, max_copies=1, kinds=[], **FEW)

    assert (found.runs, found.findings) == (3, ())
    assert "Not judged: 3 of its runs, which were ended after 0.1 s, the first one" in str(found)
    assert "). No more were made. Does it end?" in str(found)


def test_a_number_that_is_counted_down_for_ever(app, monkeypatch):
    """If negative or large numbers take too long, a task is explored with others."""
    monkeypatch.setattr(trials, "Alarm", partial(Alarm, 1.0))

    @app.task(shared=False)
    def count_down(size: int):
        while size:
            size -= 1

    found = examine(count_down, max_examples=100, max_copies=1, kinds=[])

    assert found.findings == ()
    assert "Not tried: numbers below 0 or above 1,000" in str(found)
    assert "Not judged" not in str(found)


def test_a_lock_that_is_held_over_a_report(app, monkeypatch):
    """Who waits for it in the same thread waits for ever: that is ended, and the rest is tried."""
    monkeypatch.setattr(trials, "Alarm", partial(Alarm, 1.0))

    @app.task(bind=True, shared=False)
    def export(self, pages: list[str]):
        with lock:
            for number, _ in enumerate(pages, start=1):
                self.update_state(state="PROGRESS", meta={"current": number, "total": len(pages)})

    found = examine(export, max_examples=60)

    assert found.findings == ()
    assert "does one wait for a lock that another one holds?" in str(found)
    assert "Not judged" not in str(found)
    assert not lock.locked()


def compute_for_ever(alarm):
    """What an alarm ends."""
    with alarm.set():
        while True:
            pass


def test_an_alarm_rings():
    """Once it is time, in the main thread; and not when it is off."""
    alarm, handler = Alarm(0.1), signal.getsignal(alarms._SIGNAL)
    with alarm.on():
        with pytest.raises(SoftTimeLimitExceeded):
            compute_for_ever(alarm)
        assert alarm.has_rung
        with alarm.set():
            pass
        assert not alarm.has_rung
    assert signal.getsignal(alarms._SIGNAL) is handler


def test_an_alarm_in_another_thread():
    """There it is silent: only the main thread hears signals."""
    heard = []

    def code():
        alarm = Alarm(0.0)
        with alarm.on(), alarm.set():
            heard.append(alarm.has_rung)

    thread = threading.Thread(target=code)
    thread.start()
    thread.join()
    assert heard == [False]


def test_it_is_interrupted(app):
    """Ctrl-C while a task runs ends the exploration, and not only the run."""

    @app.task(shared=False)
    def export(size: int):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(export, **FEW)


def test_by_its_seed(app):
    """The same seed finds the same, ids and all; another one goes another way."""

    @app.task(bind=True, shared=False)
    def export(self, pages: list[int]):
        for page in pages:
            self.update_state(state="PROGRESS", meta={"current": page, "total": 40})

    def told(seed):
        found = examine(export, seed=seed, kinds=[], max_findings=1, **FEW)
        runs = [each.run.history.as_json() for each in found.findings]
        return found.examples, found.runs, [each.code for each in found.findings], runs

    assert told(1) == told(1)
    assert told(1)[3] != told(2)[3]


# -- the contract ---------------------------------------------------------------------------------


def test_by_a_contract_of_ones_own(app):
    """Its rules, its figures, and what it ignores; strictness changes nothing."""

    @app.task(bind=True, shared=False)
    def export(self, pages: Literal[1, 2, 3]):
        for number in range(pages):
            self.update_state(
                state="PROGRESS", meta={"current": number, "total": pages, "percent": -number}
            )

    def many(task, _):
        if len(task.reports) > 2:
            yield task.reports[-1], "three reports"

    contract = Contract().with_rules([Rule("few", "few are enough", many)])
    contract = contract.having(ignore=["bounded", "consistent", "complete"], strict=True)
    found = found_in(export, contract=contract.having(write_budget=2), kinds=[])

    assert set(found) == {"few", "monotonic", "write-budget"}
    assert 'run.check("few")' in found["few"].code
    assert "run.check(write_budget=" in found["write-budget"].code


def test_by_the_contract_of_the_engine(app):
    """What the engine's does not ask for is not asked for here."""

    @app.task(bind=True, shared=False)
    def export(self, pages: int):
        time.sleep(60)
        self.update_state(state="PROGRESS", meta={"percent": -1})

    with EagerEngine(app) as engine:
        engine.contract = Contract().having(ignore=["bounded", "first-report", "complete"])
        assert explore(export, **FEW).findings == ()
        engine.contract = Contract().having(ignore=["bounded", "complete"], first_report=60)
        assert explore(export, **FEW).findings == ()
        engine.contract = Contract().having(ignore=["bounded", "complete"])
        assert set(found_in(export)) == {"first-report"}


# -- where it runs --------------------------------------------------------------------------------


def test_on_the_engine_that_is_there(app, engine):
    """The one on the task's app is used, and is as new afterwards, with what it was set to."""

    @app.task(bind=True, base=ProgressTask, shared=False)
    def export(self, pages: list[str]):
        for _ in Observer(self).track(pages, "Exporting"):
            pass

    runs, told = [], list(process.told)
    engine.limit, contract = 77, engine.contract
    engine.on_run.append(runs.append)
    found = explore(export, **FEW)

    assert len(runs) == found.runs
    assert (engine.limit, engine.contract, process.told) == (77, contract, told)
    assert not engine.history
    assert not engine.pending
    assert engine.clock.monotonic() == 0.0


def test_on_an_engine_of_its_own(app):
    """Where none is on the app, one is put on it, and taken off again."""

    @app.task(shared=False)
    def add(x: int):
        return x

    other = Celery("other", set_as_current=False)
    backend = app.backend
    with EagerEngine(other):
        explore(add, **FEW)
    assert app.backend is backend
    explore(add, engine=EagerEngine(), **FEW)
    assert app.backend is backend


def test_what_is_logged(app, caplog):
    """A worker logs what goes wrong: not a thousand times, and afterwards as before."""

    @app.task(shared=False, throws=(ValueError,))
    def fail(x: int):
        logging.getLogger("tests").error("x")
        raise ValueError(x)

    explore(fail, **FEW)

    assert not caplog.records
    logging.getLogger("tests").error("again")
    assert len(caplog.records) == 1


# -- what is told ---------------------------------------------------------------------------------


def test_what_is_told(app):
    """A headline; for each finding the rule, what is wrong, what happened, and a test."""

    @app.task(bind=True, shared=False, autoretry_for=(ConnectionError,), default_retry_delay=10)
    def copy(self, rows: list[str]):
        for _ in rows:
            counts[self.request.id] += 1
            update = {"current": counts[self.request.id], "total": len(rows)}
            self.update_state(state="PROGRESS", meta=update)

    counts = Counter()
    with pytest.raises(FaultsFound) as found:
        explore(copy, seed=3, max_findings=1)

    error, told = found.value, str(found.value)
    (finding,) = error.findings
    assert told.startswith(f"{copy.name}: 1 fault found in ")
    assert "(seed=3)" in told
    assert f"1. bounded: current=2 is more than total=1\n  in {copy.name}, at {__file__}:" in told
    assert "-> RETRY" in told
    assert f"  -- {finding.scenario[0]!r}\n" in told
    assert "> " in finding.timeline
    assert f'under({finding.scenario[0]!r}).run(copy, [""])' in told
    assert error.shows_runs
    assert finding.seconds > 0
    again = pickle.loads(pickle.dumps(FaultsFound(Exploration("t", (), 1, 2, 0.5, 0))))  # noqa: S301
    assert str(again) == "t: nothing found in 1 examples, 2 runs, 0.5 s (seed=0)"


class Colour(enum.Enum):
    """For code."""

    RED = 1


@dataclass
class Page:
    """For code."""

    name: str
    colours: tuple[Colour, ...] = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('it\'s "x"', "'it\\'s \"x\"'"),
        ("a'b", '"a\'b"'),
        (["a", (1,), {"b": {2, 1}}, frozenset(), set()], None),
        (float("inf"), 'float("inf")'),
        (dt.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (Page("a", (Colour.RED,)), 'Page(name="a", colours=(Colour.RED,))'),
        (b"\x00", None),
    ],
)
def test_values_as_code(value, text):
    """The code makes the value again, with the imports that it names."""
    code = Code()
    written = code.value(value)
    names = {"Page": Page, "Colour": Colour, "datetime": dt}

    assert text in (None, written)
    assert eval(written, names) == value  # noqa: S307
    for name in ("Page", "Colour", "datetime"):
        assert (name in code.imports) == (name in written)


def test_a_long_call_is_broken():
    """A line of a test takes a hundred columns."""
    code = Code()

    assert code.call_of("f", ["1", "2"], "x = ") == "x = f(1, 2)"
    broken = code.call_of("f", ["1" * 50, "2" * 50], "x = ").split("\n")
    assert broken == ["x = f(", f"    {'1' * 50},", f"    {'2' * 50},", ")"]


def test_a_world_of_odd_things(app):
    """What cannot be compared is put back as well; what is no container is left alone."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("odd")

        __hash__ = object.__hash__

    odd, numbers = [Odd()], itertools.count()

    @app.task(shared=False)
    def use():
        odd.append(next(numbers))

    world = World(use)
    first = odd[0]
    use()
    world.begin()

    assert len(odd) == 1
    assert odd[0] is first
    assert next(numbers) == 1


# -- correct tasks --------------------------------------------------------------------------------


def correct_tasks(app):
    """Tasks that do as they should, each of another kind."""

    @app.task(shared=False)
    def silent(x: int, y: float = 1.0):
        return x * y

    @app.task(bind=True, shared=False)
    def plain(self, rows: list[str]):
        for number, _ in enumerate(rows, start=1):
            self.update_state(state="PROGRESS", meta={"current": number, "total": len(rows)})

    @app.task(bind=True, base=ProgressTask, shared=False)
    def observed(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass

    @app.task(bind=True, base=ProgressTask, shared=False)
    def with_result(self, rows: list[str]):
        observer = Observer(self)
        for _ in observer.track(rows, "Importing"):
            pass
        return observer.success("%d rows", len(rows))[1]

    @app.task(bind=True, base=ProgressTask, shared=False, throws=(ValueError,))
    def failing(self, rows: list[str]):
        observer = Observer(self)
        if "" in rows:
            observer.fail("An empty row", ValueError)
            return
        for _ in observer.track(rows, "Importing"):
            pass

    @app.task(bind=True, base=ProgressTask, shared=False)
    def indeterminate(self, rows: list[str]):
        for _ in Observer(self).track(iter(rows), "Crawling", total=None):
            pass

    @app.task(bind=True, base=AbortableTask, shared=False)
    def abortable(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass

    @app.task(bind=True, base=AbortableTask, shared=False)
    def checking(self, rows: list[str]):
        for _ in rows:
            self.raise_if_aborted()
        return len(rows)

    @app.task(bind=True, base=AbortableTask, shared=False)
    def leaving_early(self, rows: list[str]):
        for number, _ in enumerate(rows):
            if self.is_aborted():
                return number
        return len(rows)

    @app.task(bind=True, base=AbortableTask, shared=False, acks_late=True)
    def abortable_late(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass

    @app.task(bind=True, base=ProgressTask, shared=False, acks_late=True)
    def late(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass
        return len(rows)

    @app.task(
        bind=True, base=ProgressTask, shared=False, acks_late=True, reject_on_worker_lost=True
    )
    def late_rejecting(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass

    @app.task(bind=True, shared=False, autoretry_for=(ConnectionError,), max_retries=5)
    def retrying(self, rows: list[str]):
        for number, _ in enumerate(rows, start=1):
            self.update_state(state="PROGRESS", meta={"current": number, "total": len(rows)})

    @app.task(
        bind=True, base=AbortableTask, shared=False, autoretry_for=(OSError,), retry_backoff=True
    )
    def abortable_retrying(self, rows: list[str]):
        for _ in Observer(self).track(rows, "Importing"):
            pass

    @app.task(bind=True, shared=False, max_retries=None)
    def polling(self, minutes: Literal[0, 1, 5]):
        if self.request.retries < minutes:
            raise self.retry(countdown=60)
        return minutes

    @app.task(bind=True, base=ProgressTask, shared=False)
    def throttled(self, rows: list[str]):
        for _ in Observer(self, throttle=5).track(rows, "Importing"):
            time.sleep(1)

    @app.task(bind=True, base=ProgressTask, shared=False)
    def sleeping(self, rows: list[str]):
        observer = Observer(self)
        observer.update("Loading", total=None)
        for _ in observer.track(rows, "Importing"):
            time.sleep(60)

    @app.task(bind=True, shared=False)
    def parent(self, rows: list[str]):
        for row in rows:
            silent.delay(len(row))

    @app.task(bind=True, shared=False, ignore_result=True)
    def ignoring(self, rows: list[str]):
        return None

    class Tidy(Task):
        done: list = []  # noqa: RUF012 - what a handler leaves

        def on_failure(self, *args):
            self.done.append(args)

    @app.task(bind=True, base=Tidy, shared=False, throws=(KeyError,))
    def tidy(self, name: Literal["a", "b"]):
        self.update_state(state="PROGRESS", meta={"description": "Looking", "percent": None})
        return {"a": 1}[name]

    @app.task(bind=True, base=ProgressTask, shared=False)
    def in_stages(self, weights: list[Literal[1, 5]]):
        observer = Observer(self)
        total = sum(weights)
        for weight in weights:
            observer.update("Stage", step=weight, total=total)

    @app.task(bind=True, base=ProgressTask, shared=False, time_limit=60, soft_time_limit=30)
    def cleaning_up(self, rows: list[str]):
        observer = Observer(self)
        try:
            for _ in observer.track(rows, "Importing"):
                pass
        finally:
            remembered.clear()

    return [each for each in locals().values() if isinstance(each, Task)]


KINDS = len(correct_tasks(Celery("correct", set_as_current=False)))


@pytest.mark.parametrize("track_started", [False, True])
@pytest.mark.parametrize("number", range(KINDS))
def test_nothing_is_wrong_with_a_correct_task(app, number, track_started):
    """No finding is a false one."""
    app.conf.task_track_started = track_started
    task = correct_tasks(app)[number]
    examples = max(settings().max_examples // 5, 20)

    found = examine(task, max_examples=examples, seed=int(track_started))

    assert not found.findings, str(found)
