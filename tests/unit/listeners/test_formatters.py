"""The story of a failure: what it tells, and what it does not."""

from __future__ import annotations

import logging
import traceback
import warnings
from types import SimpleNamespace

import celery
import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError

from pytest_taskprogress import AbortableTask, Observer
from pytest_taskprogress.listeners import (
    DynamicLoggingListener,
    Failure,
    FailureFormatter,
    Listener,
)
from pytest_taskprogress.listeners.storage import Atom

with warnings.catch_warnings():
    # TaskFlow imports modules of oslo.utils that warn of their own end.
    warnings.filterwarnings("ignore", ".*eventlet", DeprecationWarning)
    from taskflow import engines
    from taskflow.patterns import linear_flow
    from taskflow.task import FunctorTask

TOKEN = "t0ken-of-joe-4711"  # noqa: S105 - what is to be hidden
PASSWORD = "hunter-22"  # noqa: S105 - as above
#: They, and parts of them that no id can have by chance.
SECRETS = (TOKEN, PASSWORD, "t0ken", "joe", "hunter")


class Stories(Listener):
    """Keeps what a formatter tells of each failure and each retry."""

    def __init__(self, engine, **options):
        super().__init__(engine)
        self._formatter = FailureFormatter(engine, **options)
        self.told = []

    def _task_receiver(self, state, details):
        self._tell(details.get("result"), details["task_uuid"])

    def _retry_receiver(self, state, details):
        self._tell(details.get("result"), details["retry_uuid"])

    def _tell(self, result, uuid):
        if isinstance(result, Failure):
            self.told.append(self._formatter.format(result, lambda node: node.item.uuid == uuid))


@pytest.fixture
def tasks(app):
    """Tasks that hand on a secret: `login` has it, `fetch` hands it on, `parse` fails by it."""

    @app.task(name="login")
    def login(user, password=None):
        return {"token": TOKEN, "user": user}

    @app.task(name="fetch")
    def fetch(session, n=1):
        return [session["token"], n]

    @app.task(name="parse")
    def parse(page):
        try:
            int(str(page))
        except ValueError as error:
            raise RuntimeError(f"cannot parse {page!r}") from error

    @app.task(name="add")
    def add(x, y=1):
        return x + y

    @app.task(name="fails")
    def fails(*args, **kwargs):
        raise KeyError(*args)

    return SimpleNamespace(login=login, fetch=fetch, parse=parse, add=add, fails=fails)


@pytest.fixture
def tell(engine):
    """Run something, and return what was told of its failures: the stories."""

    def tell(target, **options):
        with Stories(engine, **options) as stories:
            engine.run(target)
        engine.check_listeners()
        return stories.told

    return tell


@pytest.fixture
def logged(engine, caplog):
    """Run something with hidden secrets, and return all that was logged of it, as text."""

    def logged(target, **options):
        caplog.clear()
        log = logging.getLogger("tests.listeners.formatters")
        with (
            caplog.at_level(logging.DEBUG, log.name),
            DynamicLoggingListener(engine, log=log, **options),
        ):
            engine.run(target)
        engine.check_listeners()
        return text_of([each for each in caplog.records if each.name == log.name])

    return logged


def text_of(records):
    """All that a handler can find in log records."""
    parts = []
    for record in records:
        parts += [record.getMessage(), repr(record.args)]
        if record.exc_info:
            parts += traceback.TracebackException(*record.exc_info, capture_locals=True).format()
    return "\n".join(parts)


def shape(story):
    """The lines of a story, without ids and tracebacks."""
    lines = story[story.index("Failed:") :].splitlines()
    return [each.split(" (")[0] if "'" in each else each for each in lines]


# -- what it tells --------------------------------------------------------------------------------


def test_a_chain(tell, tasks):
    """The tasks before are told with arguments, results and states, most recent first."""
    [(exc_info, story)] = tell(chain(tasks.add.s(1, y=2), tasks.add.s(3), tasks.fails.s()))
    assert exc_info[0] is KeyError
    lines = [line.split(" (", 1)[0] + line.split(")", 1)[1] for line in story.splitlines()]
    assert "called with (6), Failure: KeyError: 6" in lines[0]
    assert story.splitlines()[1] == "2 predecessors (most recent first):"
    assert lines[2] == "  Task 'add': state SUCCESS, called with (3, 3), result 6"
    assert lines[3] == "  |__Task 'add': state SUCCESS, called with (1, y=2), result 3"


def test_one_predecessor_is_one(tell, tasks):
    """One predecessor is told of as one, none is not told of."""
    [(_, story)] = tell(chain(tasks.add.s(1), tasks.fails.s()))
    assert "\n1 predecessor (most recent first):\n" in story
    [(_, story)] = tell(tasks.fails.s(1))
    assert "predecessor" not in story


def test_a_chord(tell, tasks):
    """Before the body of a chord are all tasks of its header, each with those before it."""
    header = [chain(tasks.add.s(1), tasks.add.s(5)), tasks.login.s("joe")]
    [(_, story)] = tell(chord(header, tasks.fails.s()))
    assert shape(story) == [
        "Failed: Task 'fails'",
        "3 predecessors (most recent first):",
        "  Task 'add'",
        "  |__Task 'add'",
        "  Task 'login'",
    ]
    assert "result 7" in story
    assert "result 2" in story


def test_a_group_in_a_chain(tell, tasks):
    """A task of a group comes after what the group came after; its siblings are not before it."""
    [(_, story)] = tell(chain(tasks.add.s(1), group(tasks.add.s(2), tasks.fails.s())))
    assert shape(story) == [
        "Failed: Task 'fails'",
        "1 predecessor (most recent first):",
        "  Task 'add'",
    ]


def test_nested(tell, tasks):
    """A chord in a chain, whose header has a chain: all that came before, each once."""
    inner = chord([chain(tasks.add.s(1), tasks.add.s(2)), tasks.add.s(3)], tasks.add.si(9))
    [(_, story)] = tell(chain(tasks.add.s(0), inner, tasks.fails.s()))
    # Celery 5.5 does not say what the first task of the inner header came after.
    number = 4 if celery.VERSION < (5, 6) else 5
    assert shape(story)[1] == f"{number} predecessors (most recent first):"
    assert shape(story)[2] == "  Task 'add'"
    assert "called with (9), result 10" in story


def test_a_retry(tell, tasks, app):
    """Each attempt that is retried has its story, and the last failure."""

    @app.task(name="flaky", bind=True, max_retries=1)
    def flaky(self, page):
        raise self.retry(exc=ValueError(f"bad {page}"), countdown=30)

    (_, first), (_, last) = tell(chain(tasks.add.s(1), flaky.s()))
    assert "state RETRY, called with (2)" in first
    assert "state FAILURE, called with (2), Failure: ValueError: bad 2" in last
    assert (
        shape(first)[1:]
        == shape(last)[1:]
        == [
            "1 predecessor (most recent first):",
            "  Task 'add'",
        ]
    )


def test_an_errback(tell, tasks, app):
    """A handler that fails comes after the task that failed, which is told with its failure."""

    @app.task(name="handles")
    def handles(uuid):
        raise OSError("no mail")

    stories = tell(chain(tasks.add.s(1), tasks.fails.s().on_error(handles.s())))
    story = next(story for _, story in stories if "no mail" in story)
    assert "Task 'fails'" in story
    assert "Failure: KeyError: 2" in story


def test_a_body_that_never_ran(tell, tasks):
    """A chord whose header failed: the body tells which tasks it waited for."""
    stories = tell(chord([tasks.add.s(1), tasks.fails.s(2)], tasks.add.s()))
    story = next(story for _, story in stories if "ChordError" in story)
    assert "state SUCCESS, called with (1), result 2" in story
    assert "state FAILURE, called with (2), Failure: KeyError: 2" in story
    assert ChordError.__name__ in story


def test_many_predecessors(tell, tasks):
    """Of many predecessors the most recent ones are told."""
    [(_, story)] = tell(chord([tasks.add.si(n, 0) for n in range(100)], tasks.fails.s()))
    assert "100 predecessors" in story
    assert story.splitlines()[2].endswith("result 99")
    assert story.endswith("  ... and 75 before them")


def test_a_matcher_by_name(engine, tasks):
    """Of several tasks that a matcher finds, the last one is meant."""
    engine.run(tasks.fails, 1)
    engine.run(tasks.fails, 2)
    fail = Failure.of_exception(KeyError(2))
    _, story = FailureFormatter(engine).format(fail, lambda node: node.item.name == "fails")
    assert "called with (2)" in story


def test_a_task_that_is_not_known(engine):
    """Of a task that nobody knows, its failure is told, with the traceback if it is no object."""
    fail = Failure(("KeyError",), "1", "Traceback of another process")
    exc_info, story = FailureFormatter(engine).format(fail, lambda _: False)
    assert exc_info is None
    assert story == "Failure: KeyError: 1\nTraceback of another process"


def test_names_are_a_list(engine):
    """A single string is refused: its letters are no names."""
    for argument in ("hide_inputs_outputs_of", "mask_inputs_keys", "mask_outputs_keys"):
        with pytest.raises(TypeError, match=rf"write {argument}=\['login'\]"):
            FailureFormatter(engine, **{argument: "login"})


# -- what it does not -----------------------------------------------------------------------------


@pytest.fixture(params=["ours", "custom"])
def options(request):
    """Options of a listener that hides `login`, with our formatter, and with one that tells all."""

    class Tells:
        def format(self, fail, atom_matcher):
            return fail.exc_info, f"It was {fail}"

    hiding = {"hide_inputs_outputs_of": ["login"]}
    return hiding if request.param == "ours" else {**hiding, "fail_formatter": Tells()}


def assert_hidden(text, *expected):
    """Nothing of the secrets is in a text, but something else is."""
    assert not [each for each in SECRETS if each in text]
    assert "***" in text
    for each in expected:
        assert each in text


def login_of(tasks):
    """What a canvas begins with."""
    return tasks.login.s("joe", password=PASSWORD)


#: Canvases in which a secret is handed on to a task that fails by it.
CANVASES = {
    "chain": lambda t: chain(login_of(t), t.fetch.s(3), t.parse.s()),
    "next": lambda t: chain(login_of(t), t.parse.s()),
    "chord": lambda t: chord([t.add.s(1), chain(login_of(t), t.fetch.s())], t.parse.s()),
    "group": lambda t: chain(login_of(t), group(t.fetch.s(), t.parse.s())),
    "nested": lambda t: chain(login_of(t), chord([t.fetch.s(), t.fetch.s()], t.parse.s())),
    "header": lambda t: chord([login_of(t), t.parse.s(TOKEN)], t.add.s()),
    "errback": lambda t: chain(login_of(t), t.parse.s().on_error(t.fails.s())),
    "within a text": lambda t: group(login_of(t), t.parse.s(f"Bearer {TOKEN}")),
    "within containers": lambda t: group(login_of(t), t.parse.s({"joe": [{PASSWORD: 1}]})),
    "as bytes": lambda t: group(login_of(t), t.parse.s({"is": repr([TOKEN.encode()])})),
    "within a long text": lambda t: group(login_of(t), t.parse.s(f"{'x' * 290}{TOKEN}{'y' * 99}")),
}


@pytest.mark.parametrize("canvas", CANVASES.values(), ids=CANVASES)
def test_secrets_of_a_task(logged, tasks, options, canvas):
    """Arguments and results of a hidden task are nowhere in what is logged of its canvas."""
    text = logged(canvas(tasks), **options)
    assert_hidden(text, "'parse'", "FAILURE", "Traceback", "cannot parse")


def test_there_is_something_to_hide(logged, tasks):
    """Without being told to, nothing is hidden: the secrets are there to be found."""
    text = logged(CANVASES["chain"](tasks))
    assert all(each in text for each in SECRETS)


def test_a_hidden_task_that_retries_and_fails(logged, app, options):
    """What a hidden task retries and fails by has its arguments hidden; its locals too."""

    @app.task(name="login", bind=True, max_retries=1)
    def login(self, user, password):
        derived = password.upper()  # noqa: F841 - to be found in the traceback's frames
        raise self.retry(exc=ValueError(f"{user} is not {password}"), countdown=30)

    text = logged(login.s("joe", PASSWORD), **options)
    assert_hidden(text, "Retry 'login'", "Task 'login'", "*** is not ***")
    assert PASSWORD.upper() not in text


def test_a_hidden_task_without_arguments(logged, app, options):
    """The frames of a hidden task are not logged, though it was given nothing."""

    @app.task(name="login")
    def login():
        key = "of-the-environment"  # noqa: F841 - as above
        raise ValueError("no")

    text = logged(login.s(), **options)
    assert "ValueError: no" in text
    assert "key = 'of" not in text


def test_arguments_that_a_retry_changed(logged, app):
    """Arguments of an earlier attempt are hidden too."""

    @app.task(name="login", bind=True)
    def login(self, password):
        if password == "other":  # noqa: S105 - no secret
            raise ValueError(f"{PASSWORD} was wrong")
        raise self.retry(args=["other"], countdown=30)

    assert_hidden(logged(login.s(PASSWORD), hide_inputs_outputs_of=["login"]))


def test_reports(logged, app, tasks, options):
    """What a later task says of its progress has no secrets either."""

    @app.task(name="reports", bind=True, base=AbortableTask)
    def reports(self, session):
        Observer(self).update(f"Using {session['token']}", total=4)

    text = logged(chain(tasks.login.s("joe"), reports.s()), **options)
    assert_hidden(text, "25 %, Using ***")


def test_results(logged, tasks, options):
    """Results of later tasks have no secrets; those of the hidden one are not logged at all."""
    text = logged(chain(tasks.login.s("joe"), tasks.fetch.s(3)), **options)
    assert_hidden(text, "with result '['***', 3]'")


def test_keys(logged, tasks):
    """Values under masked keys are hidden everywhere, whichever task has them."""
    text = logged(
        chain(tasks.login.s("joe", password=PASSWORD), tasks.fetch.s(3), tasks.parse.s()),
        mask_inputs_keys=["password"],
        mask_outputs_keys=["token"],
    )
    assert PASSWORD not in text
    assert TOKEN not in text
    assert "called with ('joe', password='***'), result {'token': '***', 'user': 'joe'}" in text


def test_another_flow(logged, tasks, engine):
    """What is hidden in one canvas is not in another one, where nobody hid it."""
    engine.run(tasks.login, 7)
    text = logged(chain(tasks.add.s(7), tasks.fails.s()), hide_inputs_outputs_of=["login"])
    assert "called with (7), result 8" in text


def test_of_another_process(app, engine):
    """What a task was given by a hidden task of another process is hidden, whatever is known."""
    elsewhere = {
        "known": Atom("login", "known", args=("joe",), last=_ended(TOKEN)),
        "kept no result": Atom("login", "kept no result"),
        "kept no name": Atom(None, "kept no name", last=_ended(TOKEN)),
    }
    engine.storage._lookup = elsewhere.get
    for parent in (*elsewhere, "not known"):
        atom = engine.storage.atom(f"after {parent}", "parse")
        atom.args, atom.kwargs, atom.parent = ([TOKEN, "joe"],), {}, parent
        fail = Failure.of_exception(ValueError(f"cannot parse {TOKEN}"))
        formatter = FailureFormatter(engine, hide_inputs_outputs_of=["login"])
        exc_info, story = formatter.format(fail, lambda node, atom=atom: node.item is atom)
        assert exc_info is None
        assert TOKEN not in story
        assert "parse" in story


def _ended(result):
    from pytest_taskprogress import Transition

    return Transition(-1, "task", "login", "x", "PENDING", "SUCCESS", result=result)


def test_secrets_of_a_task_that_is_not_known(engine, tasks):
    """Where nobody knows of which flow a task is, the secrets of all flows are hidden."""
    engine.run(tasks.login, "joe")
    formatter = FailureFormatter(engine, hide_inputs_outputs_of=["login"])
    assert formatter.secrets("nobody's").hide(f"{TOKEN} of joe") == "*** of ***"


#: TaskFlow 5.9, the last one for Python 3.10, uses what warns; remove with its support.
on_taskflow = pytest.mark.filterwarnings(
    "ignore:The asyncore module is deprecated:DeprecationWarning",
    "ignore:Using function/method 'exc.*_unicode:DeprecationWarning",
)


@on_taskflow
def test_taskflow_hides_a_task_without_arguments(caplog):
    """On an engine of TaskFlow's too, the frames of a hidden task are not logged."""

    def login():
        key = "of-the-environment"  # noqa: F841 - to be found in the traceback's frames
        raise RuntimeError("no")

    engine = engines.load(linear_flow.Flow("pages").add(FunctorTask(login, name="login")))
    log = logging.getLogger("tests.listeners.formatters")
    with (
        caplog.at_level(logging.DEBUG, log.name),
        DynamicLoggingListener(engine, log=log, hide_inputs_outputs_of=["login"]),
        pytest.raises(RuntimeError),
    ):
        engine.run()
    text = text_of([each for each in caplog.records if each.name == log.name])
    assert "RuntimeError: no" in text
    assert "key = 'of" not in text


@on_taskflow
def test_taskflow(caplog):
    """On an engine of TaskFlow's the secrets are hidden too, also where they were handed on."""

    def login(user):
        return {"token": TOKEN, "user": user}

    def parse(session):
        raise RuntimeError(f"cannot parse {session!r}")

    flow = linear_flow.Flow("pages").add(
        FunctorTask(login, name="login", provides="session"),
        FunctorTask(lambda session: [session["token"]], name="fetch", provides="page"),
        FunctorTask(parse, name="parse"),
    )
    engine = engines.load(flow, store={"user": "joe"})
    log = logging.getLogger("tests.listeners.formatters")
    with (
        caplog.at_level(logging.DEBUG, log.name),
        DynamicLoggingListener(engine, log=log, hide_inputs_outputs_of=["login"]),
        pytest.raises(RuntimeError),
    ):
        engine.run()
    text = text_of([each for each in caplog.records if each.name == log.name])
    assert_hidden(text, "cannot parse", "predecessors (most recent first)", "Atom 'fetch'")


@on_taskflow
def test_taskflow_keys(caplog):
    """On an engine of TaskFlow's masked keys are hidden in messages too."""

    def parse(session):
        raise RuntimeError(f"cannot parse {session!r}")

    flow = linear_flow.Flow("pages").add(FunctorTask(parse, name="parse"))
    engine = engines.load(flow, store={"session": {"token": TOKEN, "n": 1}})
    log = logging.getLogger("tests.listeners.formatters")
    with (
        caplog.at_level(logging.DEBUG, log.name),
        DynamicLoggingListener(engine, log=log, mask_inputs_keys=["token"]),
        pytest.raises(RuntimeError),
    ):
        engine.run()
    text = text_of([each for each in caplog.records if each.name == log.name])
    assert TOKEN not in text
    assert "cannot parse {'token': '***', 'n': 1}" in text
