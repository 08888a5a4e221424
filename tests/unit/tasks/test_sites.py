from __future__ import annotations

import functools
import inspect
from collections import deque
from itertools import islice

import pytest
from celery import Celery, Task
from celery.contrib import abortable

import pytest_taskprogress
from pytest_taskprogress import AbortableTask, EagerEngine, ProgressTask
from pytest_taskprogress import Observer as Renamed
from pytest_taskprogress.core import states
from pytest_taskprogress.core.states import SUCCESS
from pytest_taskprogress.tasks.observer import Observer
from pytest_taskprogress.tasks.sites import Site, abortable_tasks, report_sites

pytestmark = pytest.mark.usefixtures("no_shared_tasks")

OPTIONS = {"state": "PROGRESS"}


class Narrator(Observer):
    """An observer of another name."""


def lines_of(sites, function):
    """First and last lines of sites, the line of `def` being 0."""
    lines, first = inspect.getsourcelines(function)
    first += next(at for at, line in enumerate(lines) if line.lstrip().startswith("def "))
    return [(each.line - first, each.end - first) for each in sites]


def sites_of(app, function, base=Task):
    """The sites of a function as a task."""
    app.task(function, bind=True, base=base, name="tests.body")
    return [each for each in report_sites(app) if each.task == "tests.body"]


# -- every way to report: what is found in the source is what the running frame says ---------------


def over_several_lines(self):
    """Calls of more than one line."""
    observer = Observer(self)
    observer.update(
        "one %s",
        1,
    )
    (
        observer
        .update("two")
    )  # fmt: skip


def without_a_name(self):
    """An observer that is used at once."""
    for _ in Observer(self).track([1, 2], "x"):
        pass
    Observer(self).update("done")


def for_over_several_lines(self):
    """A loop whose track() has several lines."""
    observer = Observer(self)
    for _ in observer.track(
        [1, 2],
        "x",
    ):
        pass


def for_spread(self):
    """A loop with a line each word."""
    observer = Observer(self)
    for (
        _
    ) in (
        observer.track([1, 2], "x")
    ):  # fmt: skip
        pass


def in_wrappers(self):
    """A loop over what goes through it."""
    observer = Observer(self)
    for _ in enumerate(zip(observer.track([1, 2], "x"), [1, 2], strict=True)):
        pass


def as_context_manager(self):
    """The report is where the loop is, not the `with`."""
    observer = Observer(self)
    with observer.track(
        [1, 2],
        "x",
    ) as tracked:
        for _ in tracked:
            pass


def by_name(self):
    """A Track that has a name."""
    observer = Observer(self)
    rows = observer.track([1, 2, 3], "x")
    while next(rows) < 2:
        pass
    for _ in rows:
        pass


def comprehensions(self):
    """Python 3.13 names another line of them."""
    observer = Observer(self)
    [
        (each,)
        for each in
        observer.track([1, 2], "x")
    ]  # fmt: skip
    {
        each:
        each for each
        in observer.track([1, 2], "y")
    }  # fmt: skip
    tuple(
        (each,)
        for each in observer.track([1, 2], "z")
    )  # fmt: skip


def update_in_a_comprehension(self):
    """Two sites, one in the other."""
    observer = Observer(self)
    [
        observer.update("x", current=each)
        for each in observer.track([1, 2], "y")
    ]  # fmt: skip


def update_begins_a_comprehension(self):
    """Two sites of one line."""
    observer = Observer(self)
    [observer.update("x",
                     current=each)
     for each in
     observer.track([1, 2], "y")]  # fmt: skip


def gone_through_in_c(self):
    """No Python code goes through it."""
    observer = Observer(self)
    tuple(
        observer.track([1], "x"),
    )
    sum(map(int, observer.track([1], "x")))
    deque(observer.track([1], "x"), maxlen=0)
    [0, *observer.track([1], "x")]
    str.format("{}", *observer.track([1], "x"))
    _a, _b = observer.track([1, 2], "x")
    set().update(islice(observer.track([1], "x"), 2))


def in_nested_functions(self):
    """What is defined in the function is part of it."""
    observer = Observer(self)

    def tell():
        observer.update("x")

    def rows():
        yield from observer.track([1, 2], "y")

    tell()
    (lambda: observer.update("z"))()  # noqa: PLC3002
    list(rows())


def bound_in_other_ways(self):
    """Names that are given other than by `=`."""
    if walrus := Observer(self):
        walrus.update("a")
    annotated: Observer = Observer(self)
    annotated.update("b")
    first, second = Observer(self), 2
    first.update("c", step=second)
    alias = first
    alias.update("d")
    either = Observer(self) if second else None
    either.update("e")
    self.observer = Observer(self)
    self.observer.update("f")


def of_other_classes(self):
    """The Observer by other names, and subclasses."""
    from pytest_taskprogress import Observer as Local

    pytest_taskprogress.Observer(self).update("a")
    Renamed(self).update("b")
    Narrator(self).update("c")
    Local(self).update("d")


def without_an_observer(self):
    """Celery's own way to report."""
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 1})
    self.update_state(
        state="UPLOADING",
        meta={},
    )


BODIES = [
    over_several_lines,
    without_a_name,
    for_over_several_lines,
    for_spread,
    in_wrappers,
    as_context_manager,
    by_name,
    comprehensions,
    update_in_a_comprehension,
    update_begins_a_comprehension,
    gone_through_in_c,
    in_nested_functions,
    bound_in_other_ways,
    of_other_classes,
    without_an_observer,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.filterwarnings("ignore::pytest_taskprogress.TaskProgressWarning")
def test_sites_are_where_reports_come_from(body, app):
    """Each report comes from a line of a site, and each site reports."""
    sites = sites_of(app, body, AbortableTask)
    with EagerEngine(app) as engine:
        run = engine.run(app.tasks["tests.body"])
    assert run.state == "SUCCESS"
    reported = {each.source for each in run.progress}
    found = {
        source: [s for s in sites if s.file == source.file and s.line <= source.line <= s.end]
        for source in reported
    }
    assert all(found.values())
    assert {site for inside in found.values() for site in inside} == set(sites)
    assert all(site.abortable for site in sites)


# -- what is no site -------------------------------------------------------------------------------


def no_sites(self):
    """Nothing that reports."""
    Observer(None).update("nobody")
    rows = Observer(self).track([1], "x")  # goes through nothing
    observer = Observer(self)
    observer.increment()
    observer.create_meta()
    {}.update(x=1)
    unknown = rows.gi_frame
    unknown.update("x")


def test_what_does_not_report_is_no_site(app):
    """Positions, a Track that nobody goes through, and the update() of a dict."""
    assert sites_of(app, no_sites) == []


def endings(self):
    """What ends a task, or may not report."""
    observer = Observer(self)
    observer.update("x", state="FAILURE")
    observer.update("x", state=SUCCESS)
    observer.update("x", state=states.SUCCESS)
    observer.success("x")
    observer.fail("x")
    observer.exception(ValueError(), "x")
    observer.flush()
    observer.update("x", state="UPLOADING")
    observer.update("x", **OPTIONS)


@pytest.mark.parametrize(
    ("base", "must", "abortable_at"),
    [
        (Task, [3, 4, 5, 6, 7, 8, 10, 11], []),
        (ProgressTask, [10, 11], []),
        (AbortableTask, [10, 11], [10, 11]),
        (abortable.AbortableTask, [3, 4, 5, 6, 7, 8, 10, 11], [10, 11]),
    ],
    ids=["Task", "ProgressTask", "AbortableTask", "Celery's AbortableTask"],
)
def test_endings_are_sites_where_they_write(app, base, must, abortable_at):
    """A ProgressTask stores an ending when it returns: until then at most what was held back."""
    sites = sites_of(app, endings, base)
    assert [line for line, _ in lines_of(sites, endings)] == list(range(3, 12))
    required = [each for each in sites if not each.optional]
    assert [line for line, _ in lines_of(required, endings)] == must
    can_abort = [each for each in required if each.abortable]
    assert [line for line, _ in lines_of(can_abort, endings)] == abortable_at


def raw_endings(self):
    """What ends a task without an observer."""
    self.update_state(state="FAILURE")
    self.update_state(None, "SUCCESS", {})
    self.update_state(None, "PROGRESS")
    self.update_state(**OPTIONS)


def test_raw_endings_cannot_be_aborted(app):
    """Whatever the base, `update_state` writes at once, and nothing follows an end."""
    sites = sites_of(app, raw_endings, AbortableTask)
    assert [each.abortable for each in sites] == [False, False, True, True]
    assert not any(each.optional for each in sites)


def two_on_a_line(self):
    """Two calls of one line."""
    observer = Observer(self)
    # fmt: off
    observer.update("x"); observer.update("x",  # noqa: E702
        total=3)
    # fmt: on


def test_sites_of_one_line_are_one(app):
    """A source names a line: what begins on the same one cannot be told apart."""
    assert lines_of(sites_of(app, two_on_a_line), two_on_a_line) == [(4, 5)]


# -- from tasks to functions -----------------------------------------------------------------------


def reporting(self):
    """Report once."""
    Observer(self).update("x")


def nothing():
    """Do nothing."""


def wrapped(function):
    """A decorator that says what it wraps."""

    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def hiding(function):
    """A decorator that does not."""

    def wrapper(*args):
        return function(*args)

    return wrapper


@wrapped
@functools.cache
def decorated(self):
    """Wrapped twice."""
    Observer(self).update("x")


@hiding
def hidden(self):
    """Wrapped once."""
    Observer(self).update("x")


class ByClass(Task):
    name = "tests.by_class"

    def run(self):
        """Report."""
        Observer(self).update("x")


class Inheriting(ByClass):
    name = "tests.inheriting"


class Silent(Task):
    name = "tests.silent"


class Strange:
    """Whatever is asked of it raises."""

    def __getattr__(self, name):
        raise RuntimeError(name)


class Callable:
    def __call__(self):  # noqa: D102
        Observer(None).task.update_state(state="X")


@pytest.mark.parametrize(
    ("run", "count"),
    [
        (reporting, 1),
        (decorated, 1),
        (hidden, 0),
        (functools.partial(reporting, None), 1),
        (functools.partial(functools.partial(reporting)), 1),
        (ByClass().run, 1),
        (Callable(), 1),
        (print, 0),
        (Strange(), 0),
        (None, 0),
        (eval("lambda self: Observer(self).update('x')"), 0),  # noqa: S307
    ],
    ids=[
        "function",
        "decorated",
        "hidden",
        "partial",
        "partials",
        "method",
        "callable",
        "builtin",
        "strange",
        "none",
        "eval",
    ],
)
def test_functions_are_unwrapped(run, count, app):
    """What cannot be unwrapped, or has no source, has no sites; it is no error."""
    task = app.task(nothing, name="tests.body")
    task.run = run
    assert len(report_sites(app)) == count


def test_functions_that_wrap_themselves_are_left_out(app):
    """Looking for the innermost one comes to an end."""
    task = app.task(nothing, name="tests.body")
    task.run = Callable()
    task.run.__wrapped__ = task.run
    assert report_sites(app) == []


def test_tasks_by_class(app):
    """The sites of `run` are those of each task that has it; a Task without one has none."""
    for each in (ByClass, Inheriting, Silent):
        app.register_task(each())
    assert [each.task for each in report_sites(app)] == ["tests.by_class", "tests.inheriting"]


def test_tasks_that_retry_by_themselves_are_unwrapped(app):
    """`autoretry_for` puts a function of Celery's round the task's."""
    app.task(reporting, bind=True, name="tests.body", autoretry_for=(OSError,))
    assert len(report_sites(app)) == 1


@pytest.mark.parametrize("text", ["def f(self): {{ template }}\n", "", "\0", "(" * 10_000])
def test_source_that_is_no_python_is_left_out(text, app, tmp_path):
    """A file that changed, or was never one, is no error."""
    file = tmp_path / "changed.py"
    namespace = {"Observer": Observer}
    code = "def f(self):\n    Observer(self).update('x')\n"
    exec(compile(code, str(file), "exec"), namespace)  # noqa: S102
    file.write_text(text)
    assert sites_of(app, namespace["f"]) == []


def test_functions_of_closures_know_their_classes(app):
    """A class of the enclosing function is one; a name that has no value yet is none."""

    class Reporter(Observer):
        pass

    def body(self):
        Reporter(self).update("x")
        Later(self).update("x")

    assert lines_of(sites_of(app, body), body) == [(1, 1)]
    Later = Observer  # noqa: N806


def test_own_tasks_are_left_out_and_others_sorted(app):
    """Celery brings tasks of its own; the rest come by name, file and line."""
    app.task(reporting, bind=True, name="b")
    app.task(reporting, bind=True, name="a")
    assert [each.task for each in report_sites(app)] == ["a", "b"]


def test_apps_that_cannot_be_finalized_have_none():
    """Nothing was run on it."""
    app = Celery("tests", autofinalize=False, set_as_current=False)
    assert report_sites(app) == []
    assert abortable_tasks(app) == []


def test_abortable_tasks_are_named(app):
    """Also those without sites of their own: a helper may report on their behalf."""
    app.task(nothing, base=AbortableTask, name="a")
    app.task(nothing, base=abortable.AbortableTask, name="b")
    app.task(nothing, name="c")
    assert abortable_tasks(app) == ["a", "b"]


def test_sites_are_plain_values():
    """They go from one process to another."""
    site = Site("t", "/a.py", 3, 5, abortable=True)
    assert site.as_dict() == {
        "task": "t",
        "source": "/a.py:3",
        "end": 5,
        "abortable": True,
        "optional": False,
    }
