"""The Observer under any arguments at all.

A script, a list of calls of members, runs inside a real task on the engine. Whatever the arguments
are, only the errors of the docstrings leave a call, and what was stored keeps its promises.
`TASKPROGRESS_EXAMPLES` says how many scripts are tried.
"""

from __future__ import annotations

import enum
import itertools
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from kombu.exceptions import EncodeError

from pytest_taskprogress.core.errors import ProgressValueError, TaskProgressWarning
from pytest_taskprogress.core.states import EXCEPTION_STATES, TERMINAL_STATES
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.engines.eager import EagerEngine
from pytest_taskprogress.engines.run import TaskRun
from pytest_taskprogress.tasks.base import ProgressTask
from pytest_taskprogress.tasks.observer import Observer

#: What they say of hostile values is of no use here.
LOGGERS = [
    "celery.app.trace",
    "celery.worker.request",
    "pytest_taskprogress.engines.consumer",
    "pytest_taskprogress.tasks.base",
    "pytest_taskprogress.tasks.observer",
]
EXAMPLES = int(os.environ.get("TASKPROGRESS_EXAMPLES", "500"))


# -- hostile values -------------------------------------------------------------------------------


class HostileError(Exception):
    """What the hostile values raise: if it leaves a call of the Observer, that is a bug."""


def _raise(*_: object, **__: object) -> Any:
    raise HostileError


class Unprintable:
    """Has no text of any kind."""

    __str__ = __repr__ = __format__ = _raise


class ReturnsNoText:
    """Its text is no text."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - that is its point

    __repr__ = __str__


class LoudText(str):
    """A text of its own type, whose repr and formatting raise."""

    __slots__ = ()
    __repr__ = __format__ = __mod__ = _raise  # type: ignore[assignment]


class ReturnsLoudText:
    """Its text is a text of another type."""

    def __str__(self) -> str:
        return LoudText("loud %s")

    __repr__ = __str__


class UnreadableFloat(float):
    """A float that cannot be read as one."""

    __float__ = __repr__ = _raise  # type: ignore[assignment]


class Rows(int):
    """An int of its own type."""


class Level(enum.IntEnum):
    """A level of one's own, as an enum."""

    LOUD = 35


class TextEnum(str, enum.Enum):
    """A state, and a key, as an enum."""

    UPLOADING = "UPLOADING"


# -- hostile exceptions ---------------------------------------------------------------------------


class WantsTwo(Exception):
    """Cannot be made of a message."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(one, two)


class Silent(Exception):
    """Has no text."""

    __str__ = __repr__ = _raise


class MakesAnother(Exception):
    """Making one makes something else."""

    def __new__(cls, *_: object) -> Any:  # noqa: D102
        return object()


class RefusesToBeMade(Exception):
    """Its constructor raises."""

    def __init__(self, *_: object) -> None:
        raise HostileError


class Outer:
    """Has an exception inside."""

    class Inner(Exception):
        """Its qualified name has a dot."""


class Shadowed(Exception):
    """Its name in this module is soon that of something else, as under a decorator."""


_Shadowed = Shadowed
Shadowed = object()  # type: ignore[assignment,misc]


def _odd(name: str, module: object) -> type[Exception]:
    return type(name, (Exception,), {"__module__": module})


READABLE_TYPES: list[Any] = [
    ValueError,
    KeyError,
    OSError,
    StopIteration,
    StopAsyncIteration,
    MemoryError,
    RecursionError,
    UnicodeDecodeError,
    SoftTimeLimitExceeded,
    TaskProgressWarning,
    BaseException,
    Exception,
    WantsTwo,
    Silent,
    MakesAnother,
    RefusesToBeMade,
    Outer.Inner,
    _odd("Nowhere", "no.such.module"),
    _odd("", __name__),
    _odd("No.Such", __name__),
    _odd("NoModule", None),
    _odd("NumberAsModule", 5),
]
COMMANDS: list[Any] = [Ignore, Reject, Retry, KeyboardInterrupt, SystemExit, GeneratorExit]
UNREADABLE_TYPES: list[Any] = [_Shadowed, _odd("path", "os"), _odd("ListAsModule", [])]
EXCEPTION_TYPES = READABLE_TYPES + COMMANDS + UNREADABLE_TYPES


def _instances(*args: object) -> list[BaseException]:
    made: list[BaseException] = [WantsTwo(1, Unprintable()), Retry("again", OSError("disk"), 5)]
    for kind in EXCEPTION_TYPES:
        try:
            one = kind(*args)
        except Exception:  # noqa: BLE001, S112
            continue
        if isinstance(one, BaseException):
            made.append(one)
    return made


# -- strategies -----------------------------------------------------------------------------------

hostile = st.sampled_from([Unprintable, ReturnsNoText, ReturnsLoudText, object]).map(lambda k: k())
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4)
)
nested = st.recursive(
    scalars | hostile,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
sane_numbers = st.integers(-3, 12) | st.sampled_from([0.5, 2.5, 100, 101, 1e9])
odd_numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from(
        [
            10**308,
            10**400,
            -(10**400),
            10**5000,
            Fraction(10**400, 3),
            Fraction(1, 3),
            Decimal("sNaN"),
            Decimal("NaN"),
            Decimal("1e400"),
            Decimal("0.1"),
            -0.0,
            5e-324,
            1.7976931348623157e308,
            math.inf,
            Rows(7),
            UnreadableFloat(1.0),
            True,
            1j,
            "5",
            b"5",
            None,
        ]
    ),
)
numbers = st.one_of(sane_numbers, sane_numbers, odd_numbers, nested)
messages = st.one_of(
    st.sampled_from(
        ["row", "%s", "%d of %d", "%(rows)d", "100 %", "%r", "%c", "%", "\ud800", "%.2f", b"%s"]
    ),
    st.text(max_size=8),
    odd_numbers,
    nested,
    st.builds(LoudText, st.just("%s")),
)
message_args = st.lists(
    st.one_of(scalars, nested, odd_numbers, st.just({"rows": 3}), st.just({"rows": Unprintable()})),
    max_size=3,
)
states = st.one_of(
    st.just("PROGRESS"),
    st.just("PROGRESS"),
    st.sampled_from(
        [
            "UPLOADING",
            "PENDING",
            "RECEIVED",
            "STARTED",
            "RETRY",
            "IGNORED",
            TextEnum.UPLOADING,
            "\ud800",
        ]
    ),
    st.sampled_from(sorted(TERMINAL_STATES)),
    st.text(max_size=4),
    nested,
)
meta_keys = st.one_of(
    st.sampled_from(["rows", "current", "percent", "exc_type", "exc_module", TextEnum.UPLOADING]),
    st.text(max_size=4),
    st.integers(),
    st.none(),
    st.binary(max_size=2),
    st.tuples(st.integers()),
    hostile,
)


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["circle"] = circle
    return circle


metas = st.one_of(
    st.none(),
    st.none(),
    st.dictionaries(st.text(max_size=4), scalars, max_size=2),
    st.dictionaries(meta_keys, nested, max_size=2),
    st.builds(_circle),
    # No value that can be encoded and has no repr: Celery's tracer takes the repr of what a task
    # returns, and the meta of an outcome is returned.
    st.sampled_from([{"n": 10**5000}, {"n": [10**5000]}]),
    nested,
)
log_levels = st.one_of(
    st.sampled_from(
        [logging.DEBUG, logging.ERROR, "info", "WARN", Level.LOUD, -5, 10**30, 10**5000]
    ),
    nested,
    st.text(max_size=5),
)
exception_types = st.sampled_from(EXCEPTION_TYPES) | nested
exceptions = st.one_of(
    st.sampled_from(EXCEPTION_TYPES)
    .map(lambda kind: kind)
    .flatmap(
        lambda kind: st.sampled_from(
            [each for each in _instances("bad") if type(each) is kind] or [kind]
        )
    ),
    st.sampled_from(range(len(_instances("bad", Unprintable())))).map(
        lambda index: _instances("bad", Unprintable())[index]
    ),
    nested,
)
QUIET = logging.getLogger("tests.quiet")
QUIET.setLevel(1)
QUIET.addFilter(lambda _: False)  # each record is made, and goes nowhere


class Scan:
    """What is saved when the task ends."""

    def __init__(self, name: object) -> None:
        self.name = name
        self.active = True
        self.saved = 0

    def save(self) -> None:
        """Count."""
        self.saved += 1


fates = st.sampled_from(["exhaust", "exhaust", "leave", "raise in the body"])


class Sized:
    """An iterable that says a length of its own, or cannot, and may break."""

    def __init__(self, items: list[int], size: object, *, breaks: bool) -> None:
        self.items = items
        self.size = size
        self.breaks = breaks

    def __len__(self) -> int:
        return self.size  # type: ignore[return-value]

    def __iter__(self) -> Iterator[int]:
        yield from self.items
        if self.breaks:
            raise HostileError


iterables = st.one_of(
    st.lists(st.integers(), max_size=4),
    st.lists(st.integers(), max_size=4).map(iter),
    st.dictionaries(st.integers(), st.none(), max_size=3),
    st.builds(
        Sized,
        st.lists(st.integers(), max_size=3),
        st.one_of(st.integers(-1, 5), st.sampled_from([10**400, "5", None])),
        breaks=st.booleans(),
    ),
    nested,
)


def _shown(value: object) -> str:
    """A repr for the report of a failure, of hostile values too."""
    if type(value) in {list, tuple}:
        return f"({', '.join(map(_shown, value))},)"  # type: ignore[call-overload]
    if type(value) is dict and "circle" not in value:
        return f"{{{', '.join(f'{_shown(k)}: {_shown(v)}' for k, v in value.items())}}}"
    try:
        return repr(value)
    except Exception:  # noqa: BLE001
        return f"<{type(value).__name__}>"


class Call:
    """A call of a member."""

    def __init__(self, member: str, args: tuple[Any, ...] = (), kwargs: Any = None) -> None:
        self.member = member
        self.args = args
        self.kwargs: dict[str, Any] = kwargs or {}


class Plan:
    """What a task does: makes an Observer, calls its members, and ends."""

    def __init__(self, arguments: dict[str, Any], calls: list[Call], end: object) -> None:
        self.arguments = arguments
        self.calls = calls
        self.end = end

    def __repr__(self) -> str:
        lines = [f"Observer({_shown(self.arguments)})"]
        lines += [f"{each.member} {_shown(each.args)} {_shown(each.kwargs)}" for each in self.calls]
        return "\n".join([*lines, f"end: {_shown(self.end)}"])


def _kwargs(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


calls = st.one_of(
    st.builds(
        lambda msg, args, kwargs: Call("update", (msg, *args), kwargs),
        messages,
        message_args,
        _kwargs(
            current=numbers,
            increment=st.booleans(),
            step=numbers,
            total=numbers | st.sampled_from([None, 0, 5]),
            state=states,
            meta=metas,
            do_log=st.booleans(),
            log_level=log_levels,
        ),
    ),
    # Reports that are right but for one argument, so that scripts get somewhere.
    st.builds(
        lambda current, total: Call("update", ("row",), {"current": current, "total": total}),
        sane_numbers,
        st.sampled_from([None, 5, 10]),
    ),
    st.builds(lambda msg, args: Call("success", (msg, *args)), messages, message_args),
    st.builds(
        lambda msg, kind, args: Call("fail", (msg, kind, *args)),
        messages,
        exception_types,
        message_args,
    ),
    st.builds(lambda msg: Call("fail", (msg,)), messages),
    st.builds(
        lambda error, msg, args: Call("exception", (error, msg, *args)),
        exceptions,
        messages,
        message_args,
    ),
    st.builds(
        lambda iterable, msg, total, fate: Call("track", (iterable, msg, total), {"fate": fate}),
        iterables,
        messages,
        st.none() | numbers,
        fates,
    ),
    st.builds(lambda val: Call("increment", (val,)), numbers),
    st.builds(lambda val: Call("pos", (val,)), numbers),
    st.builds(lambda seconds: Call("advance", (seconds,)), st.sampled_from([0.5, 2.0])),
    st.builds(lambda logger: Call("logger", (logger,)), st.just(QUIET) | nested),
    st.sampled_from([Call("increment"), Call("success"), Call("flush"), Call("create_meta")]),
)
arguments_of_observers = st.one_of(
    st.just({}),
    _kwargs(throttle=st.sampled_from([None, 0, 1.0]), scan_task=st.builds(Scan, nested)),
    _kwargs(
        position=numbers,
        throttle=st.none() | numbers,
        check_abort=st.booleans(),
        scan_task=st.none() | nested | st.builds(Scan, nested),
        _logger=st.none() | nested,
        clock=st.none() | nested,
    ),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any calls, with any arguments; an unprintable one is printed all the same if it fails."""
    return Plan(
        draw(arguments_of_observers),
        draw(st.lists(calls, max_size=6)),
        draw(st.sampled_from([None, None, "returned", OSError("disk"), Silent(), Ignore()])),
    )


# -- what a call may raise ------------------------------------------------------------------------

#: What the docstring of each member names. `update` says ProgressValueError, TypeError, ValueError.
DOCUMENTED: dict[str, tuple[type[BaseException], ...]] = {
    "Observer": (TypeError, ProgressValueError),
    "update": (ProgressValueError, TypeError, ValueError),
    "success": (),
    "fail": (),
    "exception": (TypeError,),
    "track": (TypeError, ValueError),
    "increment": (ProgressValueError,),
    "pos": (ProgressValueError,),
    "logger": (TypeError,),
    "flush": (),
    "create_meta": (),
    "advance": (),
}


def _encodable(value: object) -> bool:
    try:
        json.dumps(value)
    except Exception:  # noqa: BLE001
        return False
    return True


class Script:
    """Carries a plan out in a task, and keeps what left a call that should not have."""

    def __init__(self, engine: EagerEngine, plan: Plan) -> None:
        self.engine = engine
        self.plan = plan
        self.wrong: list[str] = []
        self.made = False
        self.outcomes: list[str] = []
        #: The state that was written last.
        self.last: str | None = None
        #: A meta that JSON cannot carry may make any later write fail that stores it.
        self.meta_is_bad = False

    def __call__(self, task: Any) -> Any:
        """Make the Observer, call its members, and end, as planned."""
        try:
            observer = Observer(task, **{"_logger": QUIET, **self.plan.arguments})
        except DOCUMENTED["Observer"]:
            event("no Observer")
            return None
        except Exception as error:  # noqa: BLE001
            self.wrong.append(f"Observer: {type(error).__name__}")
            return None
        self.made = True
        for call in self.plan.calls:
            self._make(observer, call)
        observer.flush()
        self.last = next((each.state for each in reversed(self.engine.history)), None)
        if isinstance(self.plan.end, Exception):
            raise self.plan.end
        return self.plan.end

    def _make(self, observer: Observer, call: Call) -> None:
        allowed = DOCUMENTED[call.member]
        if call.member == "update" and not _encodable(call.kwargs.get("meta")):
            self.meta_is_bad = True
        if self.meta_is_bad:
            allowed = (*allowed, EncodeError)
        before = observer.pos
        try:
            self._perform(observer, call)
        except allowed as error:
            event(f"{call.member}: {type(error).__name__}")
        except BaseException as error:  # noqa: BLE001
            self.wrong.append(f"{call.member}: {type(error).__name__}")
        assert math.isfinite(observer.pos), before

    def _perform(self, observer: Observer, call: Call) -> None:
        if call.member in {"pos", "logger"}:
            setattr(observer, call.member, call.args[0])
        elif call.member == "advance":
            self.engine.clock.advance(*call.args)
        elif call.member == "track":
            self._track(observer, call)
        else:
            value = getattr(observer, call.member)(*call.args, **call.kwargs)
            if call.member in {"update", "success", "fail", "exception"}:
                state, meta = value
                assert isinstance(state, str)
                assert meta["pending"] is False
                assert type(meta["description"]) is str
                if state in TERMINAL_STATES:
                    self.outcomes.append(state)

    def _track(self, observer: Observer, call: Call) -> None:
        """Go through it; what the iterable or the body raises on its own is let go."""
        fate = call.kwargs["fate"]
        try:
            with observer.track(*call.args) as tracked:
                for index, _ in enumerate(tracked):
                    if index == 1 and fate == "leave":
                        break
                    if index == 1 and fate == "raise in the body":
                        raise HostileError  # noqa: TRY301
                    if index > 5:
                        break
        except HostileError:
            by_itself = isinstance(call.args[0], Sized) and call.args[0].breaks
            if not by_itself and fate != "raise in the body":
                raise
            self.outcomes.append("FAILURE")


# -- what is stored -------------------------------------------------------------------------------


def _check_report(write: Transition) -> tuple[Any, Any] | None:
    """A report of the Observer is within its bounds; gives its position and total."""
    if "percent" not in write.meta:  # an outcome that Celery stored: the exception, or the result
        return None
    meta = write.meta
    current, total, percent = meta["current"], meta["total"], meta["percent"]
    assert current >= 0
    assert meta["elapsed"] >= 0
    if total is None:
        assert percent is None
    else:
        assert 0 <= current <= total
        assert 0.0 <= percent <= 100.0
        assert (percent == 100.0) is (current == total)
    return current, total


def _expected(script: Script, *, kept: bool) -> str:
    """How the task ends: as its Observer said, or else as a task without one."""
    ended = script.outcomes[0] if script.outcomes else None
    if ended is not None and (kept or ended == "SUCCESS"):
        return ended
    if not isinstance(script.plan.end, Exception) or not script.made:
        return "SUCCESS"
    if isinstance(script.plan.end, Ignore):
        return ended or script.last or "PENDING"
    return "FAILURE"


def _check_stored(engine: EagerEngine, run: TaskRun, script: Script, *, kept: bool) -> None:
    positions = [position for position in map(_check_report, run.own) if position is not None]
    if not script.meta_is_bad:
        for write in run.own:
            json.dumps(write.meta)
        if script.plan.arguments.get("throttle") is None:
            # Each report is stored, so that no report of another total is between two of these.
            for (before, total), (after, same_total) in itertools.pairwise(positions):
                assert total != same_total or before <= after
    if run.state in EXCEPTION_STATES:
        read = engine.backend.peek(run.task_id)["result"]
        assert isinstance(read, BaseException)
    if not script.meta_is_bad:
        assert run.state == _expected(script, kept=kept)
    scan = script.plan.arguments.get("scan_task")
    if isinstance(scan, Scan):
        assert scan.saved <= 1
        assert scan.active is (scan.saved == 0)
    if not kept:
        return
    # Under a ProgressTask nothing comes after an outcome.
    ended = [write.state for write in run.own if write.state in TERMINAL_STATES]
    assert len(ended) <= 1
    assert run.history.dropped == []


@pytest.mark.parametrize("base", [Task, ProgressTask], ids=["Task", "ProgressTask"])
def test_any_arguments(base: type[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only documented errors leave a call, and what is stored keeps its promises."""
    # What is logged may have lone surrogates, which xdist cannot carry to the terminal.
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    scripts: list[Script] = []

    def body(self: Any) -> Any:
        return scripts[-1](self)

    with EagerEngine(Celery("tests", set_as_current=False)) as engine:
        task = engine.app.task(body, bind=True, base=base, name="tests.body", shared=False)

        @settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(plans())
        def holds(plan: Plan) -> None:
            engine.capture.clear()
            engine.backend.clear()
            script = Script(engine, plan)
            scripts[:] = [script]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                run = engine.run(task)
            assert script.wrong == []
            assert {each.category for each in caught} <= {TaskProgressWarning}
            event(f"ends with {run.state}")
            _check_stored(engine, run, script, kept=base is ProgressTask)

        holds()
