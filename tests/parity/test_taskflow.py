"""Our listeners on TaskFlow's engines, TaskFlow's listeners on ours, and what both are told.

A scene is played on both sides: on TaskFlow as a linear flow, on Celery as a chain.
"""

from __future__ import annotations

import logging
import pickle
import re
import time
import warnings
from contextlib import ExitStack, closing, suppress

import pytest
from celery import chain, current_task

from pytest_taskprogress import AbortableTask, EagerEngine, Observer
from pytest_taskprogress import listeners as ours
from pytest_taskprogress.scenario import Abort, at_percent
from tests.conftest import IsolatedApp

with warnings.catch_warnings():
    # TaskFlow imports modules of oslo.utils that warn of their own end.
    warnings.filterwarnings("ignore", ".*eventlet", DeprecationWarning)
    from taskflow import engines, exceptions, formatters, retry
    from taskflow.listeners import capturing, claims, printing, timing
    from taskflow.listeners import logging as logs
    from taskflow.patterns import linear_flow
    from taskflow.task import FunctorTask
    from taskflow.types import notifier
    from taskflow.types.failure import Failure

# TaskFlow 5.9, the last one for Python 3.10; remove with its support.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The asyncore module is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using function/method 'exc.*_unicode:DeprecationWarning"),
]

#: TaskFlow's listeners, by the names that both families have.
THEIRS = {
    each.__name__: each
    for each in (
        capturing.CaptureListener,
        claims.CheckingClaimListener,
        logs.DynamicLoggingListener,
        logs.LoggingListener,
        printing.PrintingListener,
        timing.DurationListener,
        timing.EventTimeListener,
        timing.PrintingDurationListener,
    )
}
OURS = {name: getattr(ours, name) for name in THEIRS}
FAMILIES = {"ours": OURS, "theirs": THEIRS}

# -- what is played -------------------------------------------------------------------------------


def cat():
    """Return what CatTalk returns on TaskFlow's page."""
    return "cat"


def dog():
    """The same of DogTalk."""
    return "dog"


def boom():
    """Fail."""
    raise RuntimeError("boom")


def succeeds(_):
    """Two tasks, one after the other."""
    return {"CatTalk": cat, "DogTalk": dog}


def fails(_):
    """The second task fails; what has been done is undone, where that can be."""
    return {"CatTalk": cat, "Bad": boom}


def retries(_):
    """The second task fails once."""
    tries = iter([boom, dog])

    def once():
        return next(tries)()

    return {"CatTalk": cat, "Once": once}


def gives_up(_):
    """The second task fails for good, after one more try."""
    return {"CatTalk": cat, "Bad": boom}


def cannot_revert(_):
    """What the first task did cannot be undone."""

    def revert(*args, **kwargs):
        raise ValueError("no way back")

    def cat_for_good():
        return cat()

    cat_for_good.revert = revert
    return {"CatTalk": cat_for_good, "Bad": boom}


def suspends(play):
    """The first task suspends its engine, which then goes on."""

    def cat_that_suspends():
        play.engine.suspend()
        return cat()

    return {"CatTalk": cat_that_suspends, "DogTalk": dog}


def suspends_late(play):
    """The last task suspends its engine: too late, there is nothing left to be done."""

    def dog_that_suspends():
        play.engine.suspend()
        return dog()

    return {"CatTalk": cat, "DogTalk": dog_that_suspends}


def loses_claim(play):
    """The job is somebody else's while the first task runs."""

    def cat_that_is_slow():
        play.board.claim(play.job, "somebody else")
        return cat()

    return {"CatTalk": cat_that_is_slow, "DogTalk": dog}


def loses_claim_late(play):
    """The job is nobody's while the last task runs."""

    def dog_that_is_slow():
        play.board.abandon(play.job)
        return dog()

    return {"CatTalk": cat, "DogTalk": dog_that_is_slow}


def loses_board(play):
    """The board is down from the first task on."""

    def cat_that_is_slow():
        play.board.down = play.down
        return cat()

    return {"CatTalk": cat_that_is_slow, "DogTalk": dog}


def reports(_):
    """The second task says how far it has come; TaskFlow's engines do not tell of that."""

    def rows():
        observer = Observer(current_task)
        for number in range(2):
            observer.update("Row %d", number, total=2)

    return {"CatTalk": cat, "Rows": rows}


#: Scenes that are tried once more.
RETRIED = (retries, gives_up)


class Play:
    """A scene on one of the sides, with a job that it is for."""

    def __init__(self, scene):
        self.scene = scene
        self.board = ours.FakeClaimBoard()
        self.job = self.board.post("talk")
        self.board.claim(self.job, "me")
        self.down = None

    @property
    def tasks(self):
        """Name of each task -> what it does."""
        return self.scene(self)

    def to_the_end(self):
        """Run it, and go on where it is suspended."""
        self.run()
        if self.engine.storage.get_flow_state() == "SUSPENDED":
            self.go_on()


class OnTaskFlow(Play):
    """A scene as a linear flow on TaskFlow's serial engine."""

    def __init__(self, scene, undo):
        super().__init__(scene)
        controller = retry.Times(2, "again") if scene in RETRIED else None
        flow = linear_flow.Flow("talk", retry=controller)
        for name, body in self.tasks.items():
            flow.add(FunctorTask(body, name=name, revert=getattr(body, "revert", None)))
        self.engine = engines.load(flow)

    def run(self):
        """Run it until it has come to an end, or is suspended."""
        with suppress(RuntimeError, ValueError):
            self.engine.run()

    go_on = run

    def metadata(self):
        """What was recorded of the flow (under None), and of each atom by its name."""
        storage = self.engine.storage
        with closing(storage.backend.get_connection()) as connection:
            atoms = list(connection.get_atoms_for_flow(storage.flow_uuid))
        found = {each.name: dict(each.meta) for each in atoms}
        for each in found.values():
            each.pop("progress", None)  # by the engine
        return {None: dict(storage.flow_meta), **found}


class OnCelery(Play):
    """A scene as a chain on the eager engine."""

    def __init__(self, scene, undo):
        super().__init__(scene)
        app = IsolatedApp("parity", backend="redis://nowhere", set_as_current=False)
        options = {"base": AbortableTask, "default_retry_delay": 5, "max_retries": 1}
        if scene in RETRIED:
            options["autoretry_for"] = (RuntimeError,)
        tasks = [app.task(name=name, **options)(body) for name, body in self.tasks.items()]
        self.canvas = chain(each.si() for each in tasks)
        self.engine = undo.enter_context(EagerEngine(app))

    def run(self):
        """Run it until it has come to an end, or is suspended."""
        self.engine.run(self.canvas)

    def go_on(self):
        """Go on where it was suspended."""
        self.engine.resume()

    def metadata(self):
        """What was recorded of the flow (under None), and of each task by its name."""
        storage = self.engine.storage
        found = {each.name: storage.get_atom_metadata(each.uuid) for each in storage.known()}
        return {None: storage.get_flow_metadata(), **found}


SIDES = {"taskflow": OnTaskFlow, "celery": OnCelery}
SHARED = (succeeds, fails, retries, gives_up, suspends, suspends_late)
PLAYS = [
    *((side, scene) for side in SIDES for scene in SHARED),
    ("taskflow", cannot_revert),
    ("celery", reports),
]
every_play = pytest.mark.parametrize(
    ("side", "scene"), PLAYS, ids=[f"{side}-{scene.__name__}" for side, scene in PLAYS]
)
every_side = pytest.mark.parametrize("side", SIDES)
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def new(caplog):
    """Get a new play: a scene on a side. What a listener raises fails the test."""
    with ExitStack() as undo:
        yield lambda side, scene: SIDES[side](scene, undo)
    logged = [each.name for each in caplog.get_records("call")]
    assert "taskflow.types.notifier" not in logged, caplog.text


def told(listener):
    """What a capturing listener of either family was told, as plain values."""
    return [(kind, state, dict(details)) for kind, state, details in listener.values]


def essence(listener):
    """The same without ids, without the name of the flow, and without the keys of one side."""
    return [
        (
            kind,
            state,
            None if kind == "flow" else details[f"{kind}_name"],
            details["old_state"],
            plain(details.get("result", "none")),
        )
        for kind, state, details in listener.values
    ]


def plain(result):
    """A result that can be compared; a failure of ours passes for one of theirs."""
    if isinstance(result, Failure):
        raised_type, raised, _ = result.exc_info
        return "Failure", raised_type, str(raised)
    return result


def without_report(message):
    """A message of ours without what it says of a report: theirs does not say it."""
    if "into state 'PROGRESS'" not in message:
        return message
    found = re.fullmatch(r"(.*): (?:50|100) %, Row [01]", message)
    assert found, message
    return found[1]


def without_suspending(events):
    """What TaskFlow's side tells without SUSPENDING, which ours does not know."""
    for kind, state, name, old_state, result in events:
        if state != "SUSPENDING":
            yield kind, state, name, "RUNNING" if old_state == "SUSPENDING" else old_state, result


# -- capturing ------------------------------------------------------------------------------------


@every_play
def test_capture_listeners_of_both_families_are_told_the_same(new, side, scene):
    """On one engine, ours and theirs capture the same events with equal details."""
    play = new(side, scene)
    with (
        OURS["CaptureListener"](play.engine) as mine,
        THEIRS["CaptureListener"](play.engine) as other,
    ):
        play.to_the_end()

    assert told(mine) == told(other)
    assert len(mine.values) >= 4


@every_side
@pytest.mark.parametrize(
    "arguments",
    [
        {"task_listen_for": ("SUCCESS",)},
        {"task_listen_for": ()},
        {"flow_listen_for": None},
        {"flow_listen_for": ["SUCCESS", "NEVER"], "retry_listen_for": None},
        {"capture_flow": False},
        {"capture_task": False},
        {"capture_retry": False},
        {"skip_tasks": ["CatTalk"]},
        {"skip_retries": ["again", "Once"]},
        {"skip_flows": ["talk", "celery.chain"], "skip_tasks": []},
    ],
    ids="-".join,
)
def test_arguments_of_capture_listeners_mean_the_same(new, side, arguments):
    """What a constructor argument leaves out is the same in both families."""
    play, values = new(side, retries), []
    with (
        OURS["CaptureListener"](play.engine) as everything,
        OURS["CaptureListener"](play.engine, values=values, **arguments) as mine,
        THEIRS["CaptureListener"](play.engine, **arguments) as other,
    ):
        play.to_the_end()

    assert mine.values is values
    assert told(mine) == told(other)
    assert 0 < len(mine.values) < len(everything.values)


@every_family
@pytest.mark.parametrize("scene", [succeeds, suspends, suspends_late], ids=lambda it: it.__name__)
def test_both_sides_tell_the_same(new, family, scene):
    """A flow and the chain that does the same tell the same; SUSPENDING is TaskFlow's own."""
    captured = {}
    for side in SIDES:
        play = new(side, scene)
        with FAMILIES[family]["CaptureListener"](play.engine) as listener:
            play.to_the_end()
        captured[side] = essence(listener)

    assert captured["celery"] == list(without_suspending(captured["taskflow"]))


@every_family
def test_cat_and_dog(new, family):
    """What is told of the example of TaskFlow's page, in full; the same on both sides."""
    for side in SIDES:
        play = new(side, succeeds)
        with FAMILIES[family]["CaptureListener"](play.engine) as listener:
            play.to_the_end()
        assert essence(listener) == [
            ("flow", "RUNNING", None, "PENDING", "none"),
            ("task", "RUNNING", "CatTalk", "PENDING", "none"),
            ("task", "SUCCESS", "CatTalk", "RUNNING", "cat"),
            ("task", "RUNNING", "DogTalk", "PENDING", "none"),
            ("task", "SUCCESS", "DogTalk", "RUNNING", "dog"),
            ("flow", "SUCCESS", None, "RUNNING", "none"),
        ]


@every_family
def test_both_sides_tell_the_same_of_a_failure(new, family):
    """Up to the failure; then TaskFlow reverts what was done, and ours has come to its end."""
    captured = {}
    for side in SIDES:
        play = new(side, fails)
        with FAMILIES[family]["CaptureListener"](play.engine) as listener:
            play.to_the_end()
        captured[side] = essence(listener)

    mine, other = captured["celery"], captured["taskflow"]
    assert mine[:-1] == other[: len(mine) - 1]
    assert mine[-2] == ("task", "FAILURE", "Bad", "RUNNING", ("Failure", RuntimeError, "boom"))
    assert mine[-1] == ("flow", "FAILURE", None, "RUNNING", "none")
    assert other[-1] == ("flow", "REVERTED", None, "RUNNING", "none")


@pytest.mark.parametrize(
    ("at", "runs"),
    [
        (("notifier", "RUNNING", None), 1 + 2),  # and goes on to be suspended again
        (("atom_notifier", "RUNNING", "CatTalk"), 2),
        (("atom_notifier", "SUCCESS", "CatTalk"), 2),
        (("atom_notifier", "RUNNING", "DogTalk"), 1),
        (("atom_notifier", "SUCCESS", "DogTalk"), 1),
        (("notifier", "SUCCESS", None), 1),
    ],
    ids=lambda at: "-".join(map(str, at)) if isinstance(at, tuple) else None,
)
def test_suspended_at_any_event_both_sides_tell_the_same(new, at, runs):
    """A callback that suspends stops the same tasks on both sides, and they go on alike."""
    notifier_name, state, name = at
    captured = {}
    for side in SIDES:
        play = new(side, succeeds)

        def suspend(state, details, play=play):
            if details.get("task_name") == name:
                play.engine.suspend()

        with OURS["CaptureListener"](play.engine) as listener:
            with ours.register_deregister(getattr(play.engine, notifier_name), state, suspend):
                play.to_the_end()
            if play.engine.storage.get_flow_state() == "SUSPENDED":
                play.go_on()
        captured[side] = list(without_suspending(essence(listener)))

    assert captured["celery"] == captured["taskflow"]
    assert [event[:2] for event in captured["celery"]].count(("flow", "RUNNING")) == runs
    assert captured["celery"][-1][:2] == ("flow", "SUCCESS")


@pytest.mark.parametrize("scene", [succeeds, fails, suspends], ids=lambda scene: scene.__name__)
def test_our_details_have_their_keys(new, scene):
    """An event that both sides know has TaskFlow's keys, in its order, and three of ours."""
    captured = {}
    for side in SIDES:
        play = new(side, scene)
        with THEIRS["CaptureListener"](play.engine) as listener:
            play.to_the_end()
        captured[side] = {(kind, state): details for kind, state, details in told(listener)}

    shared = set(captured["celery"]) & set(captured["taskflow"])
    assert {("flow", "RUNNING"), ("task", "RUNNING"), ("task", "SUCCESS")} <= shared
    for event in shared:
        mine, other = captured["celery"][event], captured["taskflow"][event]
        assert list(mine) == [*other, "meta", "progress", "transition"]
        assert mine.pop("engine", None) is (play.engine if event[0] == "flow" else None)
        assert all(isinstance(mine[key], type(other[key])) for key in other if key != "engine")


# -- printing -------------------------------------------------------------------------------------


@every_play
def test_printing_listeners_of_both_families_print_the_same(new, side, scene, capsys):
    """Line by line, tracebacks too; only ours says what a report tells. Theirs knows no retries."""
    play = new(side, scene)
    with (
        OURS["PrintingListener"](play.engine, retry_listen_for=()),
        THEIRS["PrintingListener"](play.engine, stderr=True),
    ):
        play.to_the_end()

    printed = capsys.readouterr()
    mine, other = printed.out.splitlines(), printed.err.splitlines()
    assert [*map(without_report, mine)] == other
    assert len(mine) >= 6


@every_side
def test_printing_listener_tells_of_retries(new, side, capsys):
    """Ours prints what theirs leaves out."""
    play = new(side, retries)
    with THEIRS["PrintingListener"](play.engine):
        play.to_the_end()
    assert " has moved retry " not in capsys.readouterr().out

    play = new(side, retries)
    with OURS["PrintingListener"](play.engine):
        play.to_the_end()
    printed = re.findall(r" has moved retry '(\w+)' .* into state '(\w+)'", capsys.readouterr().out)
    assert (
        printed
        == {
            "taskflow": [
                ("again", "RUNNING"),
                ("again", "SUCCESS"),
                ("again", "RETRYING"),
                ("again", "RUNNING"),
                ("again", "SUCCESS"),
            ],
            "celery": [("Once", "RETRY")],
        }[side]
    )


# -- logging --------------------------------------------------------------------------------------


@pytest.fixture
def logged(caplog):
    """Get what was logged by listeners that have the logger of a family."""
    caplog.set_level(logging.DEBUG)
    return lambda family: [each for each in caplog.records if each.name == f"parity.{family}"]


def logger(family):
    """The logger of a family."""
    return logging.getLogger(f"parity.{family}")


def raised(record):
    """The exception that a record has; None if it has none."""
    return record.exc_info[1] if record.exc_info else None


@every_play
def test_logging_listeners_of_both_families_log_the_same(new, side, scene, logged):
    """Level, message and traceback; only ours says what a report tells. Theirs knows no retries."""
    play = new(side, scene)
    mine = OURS["LoggingListener"](
        play.engine, retry_listen_for=(), log=logger("ours"), level=logging.INFO
    )
    other = THEIRS["LoggingListener"](play.engine, log=logger("theirs"), level=logging.INFO)
    with mine, other:
        play.to_the_end()

    for mine, other in zip(logged("ours"), logged("theirs"), strict=True):
        assert without_report(mine.getMessage()) == other.getMessage()
        assert (mine.levelno, raised(mine)) == (other.levelno, raised(other))
    assert {each.levelno for each in logged("ours")} == {logging.INFO}


@every_play
def test_dynamic_logging_listeners_of_both_families_log_the_same(new, side, scene, logged):
    """Level, traceback, and the first line; the story below it is longer on our engines."""
    play = new(side, scene)
    levels = {"level": logging.INFO, "failure_level": logging.ERROR}
    mine = OURS["DynamicLoggingListener"](
        play.engine, retry_listen_for=(), log=logger("ours"), **levels
    )
    other = THEIRS["DynamicLoggingListener"](play.engine, log=logger("theirs"), **levels)
    with mine, other:
        play.to_the_end()

    for mine, other in zip(logged("ours"), logged("theirs"), strict=True):
        message, theirs = without_report(mine.getMessage()), other.getMessage()
        assert message.startswith(theirs) if side == "celery" else message == theirs
        assert message.partition("\n")[0] == theirs.partition("\n")[0]
        assert (mine.levelno, raised(mine)) == (other.levelno, raised(other))
    failed = [each for each in logged("ours") if "into state 'FAILURE'" in each.getMessage()]
    assert {each.levelno for each in failed} <= {logging.ERROR}
    if scene is fails:
        assert str(raised(failed[0])) == "boom"
        assert "'CatTalk'" in failed[0].getMessage()


@every_side
def test_dynamic_logging_listener_tells_of_retries(new, side, logged):
    """At the failure level, with the exception that was the reason; theirs says nothing of them."""
    play = new(side, retries)
    with (
        OURS["DynamicLoggingListener"](play.engine, log=logger("ours")),
        THEIRS["DynamicLoggingListener"](play.engine, log=logger("theirs")),
    ):
        play.to_the_end()

    state = {"taskflow": "RETRYING", "celery": "RETRY"}[side]
    (record,) = [each for each in logged("ours") if f"into state '{state}'" in each.getMessage()]
    assert record.levelno == logging.WARNING
    if side == "celery":
        assert "RuntimeError: boom" in logging.Formatter().format(record)
    assert not [each for each in logged("theirs") if f"into state '{state}'" in each.getMessage()]


@every_side
def test_dynamic_logging_listener_hides_what_it_should(new, side, logged):
    """What a hidden task returned is in no message of ours, on either engine."""
    play = new(side, fails)
    hidden = {"hide_inputs_outputs_of": ["CatTalk"]}
    with (
        OURS["DynamicLoggingListener"](play.engine, log=logger("ours"), **hidden),
        THEIRS["DynamicLoggingListener"](play.engine, log=logger("theirs"), **hidden),
    ):
        play.to_the_end()

    messages = [each.getMessage() for each in logged("ours")]
    assert any("into state 'FAILURE'" in each for each in messages)
    assert not [each for each in messages if "'cat'" in each]
    assert not [each for each in logged("theirs") if "'cat'" in each.getMessage()]


@pytest.mark.parametrize("names", [(), ("CatTalk",)], ids=["all", "hidden"])
def test_failure_formatters_tell_the_same_story_on_their_engine(new, names):
    """Ours leaves TaskFlow's tasks to theirs; where something is hidden, so is the traceback."""
    play, stories = new("taskflow", fails), {}

    def on_failure(state, details):
        def matcher(node):
            return node.item.name == "Bad"

        for family, module in (("ours", ours), ("theirs", formatters)):
            formatter = module.FailureFormatter(play.engine, hide_inputs_outputs_of=names)
            stories[family] = formatter.format(details["result"], matcher)

    with ours.register_deregister(play.engine.atom_notifier, "FAILURE", on_failure):
        play.run()

    (mine, my_story), (other, their_story) = stories["ours"], stories["theirs"]
    assert other is not None
    assert "Atom 'CatTalk'" in their_story
    if names:
        assert mine is None
        assert my_story.endswith(their_story)
        assert "RuntimeError: boom" in my_story
    else:
        assert (mine, my_story) == (other, their_story)


def test_their_failure_formatter_on_our_engine(new):
    """It tells no story, and gives the exception."""
    play, stories = new("celery", fails), []

    def on_failure(state, details):
        formatter = formatters.FailureFormatter(play.engine)
        stories.append(formatter.format(details["result"], lambda node: True))

    with notifier.register_deregister(play.engine.atom_notifier, "FAILURE", on_failure):
        play.run()

    ((exc_info, story),) = stories
    assert str(exc_info[1]) == "boom"
    assert story == ""


# -- timing ---------------------------------------------------------------------------------------


@every_play
@pytest.mark.parametrize("name", ["DurationListener", "EventTimeListener"])
def test_timing_listeners_of_both_families_record_the_same(new, side, scene, name):
    """Of the same flows, tasks and retries, under the same keys, as floats."""
    before, recorded = int(time.time()), {}
    for family, classes in FAMILIES.items():
        play = new(side, scene)
        with classes[name](play.engine):
            play.to_the_end()
        recorded[family] = play.metadata()

    mine, other = recorded["ours"], recorded["theirs"]
    assert {name: set(each) for name, each in mine.items()} == {
        name: set(each) for name, each in other.items()
    }
    found = {key: value for each in mine.values() for key, value in each.items()}
    assert {type(value) for value in found.values()} == {float}
    if name == "DurationListener":
        assert set(found) == {"duration"}
        assert all(0 <= value < 60 for value in found.values())
    else:
        assert {"RUNNING-timestamp", "SUCCESS-timestamp"} <= set(found)
        # The virtual clock begins at a whole second, and moves on by the delay of a retry.
        assert all(before <= value <= time.time() + 5 for value in found.values())


@every_side
def test_duration_of_a_retried_task_is_that_of_its_last_attempt(new, side):
    """In both families; nothing is recorded of the retry."""
    for family, classes in FAMILIES.items():
        play = new(side, retries)
        with classes["DurationListener"](play.engine):
            play.to_the_end()
        assert play.metadata()["Once"]["duration"] < 1, family
        assert play.metadata().get("again", {}) == {}, family


@every_side
def test_duration_listeners_say_what_has_not_ended(new, side, caplog):
    """Whoever leaves while the flow is suspended is warned, by both families."""
    play = new(side, suspends)
    with OURS["DurationListener"](play.engine), THEIRS["DurationListener"](play.engine):
        play.run()

    mine, other = (
        [each.getMessage() for each in caplog.records if each.name == logger]
        for logger in ("pytest_taskprogress.listeners.timing", "taskflow.listeners.timing")
    )
    assert len(mine) == len(other) == 1
    assert mine[0].startswith("1 flow(s) did not enter ")
    assert other[0].startswith("1 flow(s) did not enter ")


@every_play
def test_printing_duration_listeners_of_both_families_print_the_same(new, side, scene):
    """Apart from the seconds."""
    play, mine, other = new(side, scene), [], []
    with (
        OURS["PrintingDurationListener"](play.engine, printer=mine.append),
        THEIRS["PrintingDurationListener"](play.engine, printer=other.append),
    ):
        play.to_the_end()

    assert [re.sub(r"\d+\.\d\d", "?", line) for line in mine] == [
        re.sub(r"\d+\.\d\d", "?", line) for line in other
    ]
    assert mine[1] == "'CatTalk' task started."


# -- claims ---------------------------------------------------------------------------------------

CLAIM_PLAYS = [(side, scene) for side in SIDES for scene in (loses_claim, loses_claim_late)]
every_claim_play = pytest.mark.parametrize(
    ("side", "scene"), CLAIM_PLAYS, ids=[f"{side}-{scene.__name__}" for side, scene in CLAIM_PLAYS]
)


def checking(family, play, *args):
    """A claim listener of a family, for the job of a play."""
    return FAMILIES[family]["CheckingClaimListener"](play.engine, play.job, play.board, "me", *args)


@every_family
@every_claim_play
def test_a_lost_claim_suspends(new, family, side, scene, caplog):
    """After the task that runs; claimed again, it goes on. Too late: it has come to its end."""
    play = new(side, scene)
    with (
        OURS["CaptureListener"](play.engine, flow_listen_for=()) as listener,
        checking(family, play),
    ):
        play.run()
        states = [play.engine.storage.get_flow_state()]
        begun = [event[2] for event in essence(listener) if event[1] == "RUNNING"]
        play.board.claim(play.job, "me")
        if states == ["SUSPENDED"]:
            play.go_on()
        states.append(play.engine.storage.get_flow_state())

    late = scene is loses_claim_late
    assert states == ["SUCCESS" if late else "SUSPENDED", "SUCCESS"]
    assert begun == (["CatTalk", "DogTalk"] if late else ["CatTalk"])
    assert [event[1:3] for event in essence(listener)] == [
        ("RUNNING", "CatTalk"),
        ("SUCCESS", "CatTalk"),
        ("RUNNING", "DogTalk"),
        ("SUCCESS", "DogTalk"),
    ]
    assert "Job 'talk' has lost its claim (previously owned by 'me')" in caplog.text


@every_side
def test_claim_listeners_of_both_families_have_the_same_effect(new, side):
    """All events of a run that was suspended, and of the one that goes on, are the same."""
    captured = {}
    for family in FAMILIES:
        play = new(side, loses_claim)
        with OURS["CaptureListener"](play.engine) as listener, checking(family, play):
            play.run()
            play.board.claim(play.job, "me")
            play.go_on()
        captured[family] = essence(listener)

    assert captured["ours"] == captured["theirs"]


@every_side
def test_on_job_loss_is_called_with_the_same(new, side):
    """The engine, the state and the details of the first event after the loss; ours once."""
    calls = {"ours": [], "theirs": []}
    play = new(side, loses_claim)
    with ExitStack() as listening:
        for family, called in calls.items():

            def on_job_loss(engine, state, details, called=called):
                called.append((engine, state, dict(details)))

            listening.enter_context(checking(family, play, on_job_loss))
        play.run()

    assert len(calls["ours"]) == 1 < len(calls["theirs"])
    assert calls["ours"][0] == calls["theirs"][0]
    engine, state, details = calls["ours"][0]
    assert (engine, state, details["task_name"]) == (play.engine, "SUCCESS", "CatTalk")


@every_family
@every_side
def test_a_board_that_knows_no_such_job(new, family, side):
    """TaskFlow's NotFound counts as lost, in both families."""
    play = new(side, loses_board)
    play.down = exceptions.NotFound("no such job")
    with checking(family, play):
        play.run()
        assert play.engine.storage.get_flow_state() == "SUSPENDED"
        play.board.down = None
        play.go_on()
    assert play.engine.storage.get_flow_state() == "SUCCESS"


@every_side
def test_a_board_that_is_down(new, side, caplog):
    """Ours counts it as lost and says so; theirs would go on."""
    play = new(side, loses_board)
    play.down = ConnectionError("down for maintenance")
    with checking("ours", play):
        play.run()

    assert play.engine.storage.get_flow_state() == "SUSPENDED"
    assert "the board cannot be asked: ConnectionError: down for maintenance" in caplog.text


# -- what only our engine does ---------------------------------------------------------------------


def test_their_listeners_on_a_run_that_is_aborted(new, capsys):
    """They are told of ABORTED, a state that they do not know, and print it."""
    play = new("celery", reports)
    with (
        THEIRS["CaptureListener"](play.engine) as other,
        THEIRS["PrintingListener"](play.engine),
        OURS["CaptureListener"](play.engine) as mine,
    ):
        play.engine.under(Abort(at_percent(50))).run(play.canvas)

    assert told(mine) == told(other)
    assert essence(other)[-1][:4] == ("flow", "ABORTED", None, "RUNNING")
    assert "into state 'ABORTED'" in capsys.readouterr().out


def test_their_listeners_on_progress(new):
    """They listen for PROGRESS, and find in the details how far the task has come."""
    play = new("celery", reports)
    listener = THEIRS["CaptureListener"](
        play.engine, task_listen_for=("PROGRESS",), flow_listen_for=()
    )
    with listener:
        play.run()

    assert [details["progress"].percent for _, _, details in listener.values] == [50.0, 100.0]
    assert [details["meta"]["description"] for _, _, details in listener.values] == [
        "Row 0",
        "Row 1",
    ]


# -- failures -------------------------------------------------------------------------------------


@pytest.fixture
def failures():
    """The same failure as both families have it: ours, theirs."""
    try:
        boom()
    except RuntimeError as error:
        return ours.Failure.of_exception(error), Failure.from_exception(error)


def test_a_failure_of_ours_passes_for_one_of_theirs(failures):
    """Their listeners know it by its type; what they read of it is the same."""
    mine, other = failures

    assert isinstance(mine, Failure)
    assert isinstance(mine, ours.Failure)
    assert not isinstance(other, ours.Failure)
    assert mine.exc_info == other.exc_info
    assert mine.exception is other.exception
    assert (str(mine), mine.exception_str) == (str(other), other.exception_str)
    assert other.traceback_str in mine.traceback_str  # theirs is without a first and a last line
    for asked in (RuntimeError, KeyError, "RuntimeError", "KeyError"):
        assert mine.check(asked) == other.check(asked)


def test_failures_of_both_families_can_be_compared(failures):
    """To ask is no error: pytest can show what is different in what was captured."""
    mine, other = failures

    assert isinstance(mine == other, bool)
    assert mine == ours.Failure.of_exception(mine.exception)


def test_a_failure_of_ours_can_be_pickled(failures):
    """Though it says that it is of another class."""
    mine, _ = failures

    assert pickle.loads(pickle.dumps(mine)) == mine  # noqa: S301 - our own bytes


# -- notifiers ------------------------------------------------------------------------------------


@every_side
@pytest.mark.parametrize("module", [ours, notifier], ids=["ours", "theirs"])
def test_callbacks_registered_for_a_while(new, side, module):
    """`register_deregister` of each family works on the notifiers of both."""
    play, called = new(side, succeeds), []

    def callback(state, word, details, *, mark):
        called.append((state, word, mark, details["task_name"]))

    registered = module.register_deregister(
        play.engine.atom_notifier,
        "SUCCESS",
        callback,
        args=("word",),
        kwargs={"mark": "!"},
        details_filter=lambda details: details["task_name"] == "DogTalk",
    )
    with registered:
        play.run()

    assert called == [("SUCCESS", "word", "!", "DogTalk")]
    assert not list(play.engine.atom_notifier.listeners_iter()) or side == "celery"


@every_family
@every_side
@pytest.mark.parametrize("name", sorted({*THEIRS} - {"CheckingClaimListener"}))
def test_listeners_leave_nothing_behind(new, family, side, name):
    """Registering and leaving, twice each, leave a notifier as it was."""
    engine = new(side, succeeds).engine
    engine_has = len(engine.notifier), len(engine.atom_notifier)
    listener = FAMILIES[family][name](engine)
    listener.register()
    listener.register()
    assert len(engine.atom_notifier) > engine_has[1]
    listener.deregister()
    listener.deregister()
    assert (len(engine.notifier), len(engine.atom_notifier)) == engine_has
