"""The notifier: who is told, and what they cannot do; as TaskFlow's wherever that is the same."""

from __future__ import annotations

import copy
import functools
import logging
import time
from collections import OrderedDict, UserDict, UserList, defaultdict, deque
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple

import pytest

from pytest_taskprogress import ListenerError, Notifier, RestrictedNotifier, register_deregister
from pytest_taskprogress.listeners import Registered

theirs = pytest.importorskip("taskflow.types.notifier", reason="pip install taskflow")

OURS = SimpleNamespace(
    Notifier=Notifier,
    RestrictedNotifier=RestrictedNotifier,
    Registered=Registered,
    register_deregister=register_deregister,
    logger="pytest_taskprogress.listeners.notifier",
)
THEIRS = SimpleNamespace(
    Notifier=theirs.Notifier,
    RestrictedNotifier=theirs.RestrictedNotifier,
    Registered=theirs.Listener,
    register_deregister=theirs.register_deregister,
    logger="taskflow.types.notifier",
)


class Pair(NamedTuple):
    """Two values."""

    first: object
    second: object


@pytest.fixture(params=[OURS, THEIRS], ids=["ours", "taskflow"])
def either(request):
    """Our names, and TaskFlow's."""
    return request.param


@pytest.fixture
def notifier(either):
    """A notifier, ours or TaskFlow's."""
    return either.Notifier()


@pytest.fixture
def mine():
    """A notifier of ours."""
    return Notifier()


@pytest.fixture
def heard():
    """What was heard, in order."""
    return []


@pytest.fixture
def hear(heard):
    """A callback that keeps all that it is called with."""

    def hear(*args, **kwargs):
        heard.append((args, kwargs))

    return hear


def broken(event, details):
    """A callback that raises."""
    raise ZeroDivisionError(event)


class TestBeingTold:
    def test_by_event_type(self, notifier, hear, heard):
        """A callback is told of the events of its type, with the keyword `details`."""
        notifier.register("SUCCESS", hear)
        notifier.notify("FAILURE", {"a": 1})
        notifier.notify("SUCCESS", {"a": 2})
        assert heard == [(("SUCCESS",), {"details": {"a": 2}})]

    def test_args_and_kwargs(self, notifier, hear, heard):
        """What it was registered with stands between the event type and the details."""
        notifier.register("X", hear, args=[1, 2], kwargs={"z": 3})
        notifier.notify("X", {})
        assert heard == [(("X", 1, 2), {"details": {}, "z": 3})]

    @pytest.mark.parametrize("args", [None, (), [], iter(())], ids=type)
    def test_no_args(self, notifier, hear, heard, args):
        """None and what is empty are no arguments."""
        notifier.register("X", hear, args=args, kwargs=None)
        notifier.notify("X", {})
        assert heard == [(("X",), {"details": {}})]

    def test_args_are_taken_when_registered(self, notifier, hear, heard):
        """What is done to the lists and dicts later changes nothing."""
        args, kwargs = [1], {"z": 2}
        notifier.register("X", hear, args=args, kwargs=kwargs)
        args.append(2)
        kwargs["y"] = 3
        notifier.notify("X", {})
        assert heard == [(("X", 1), {"details": {}, "z": 2})]

    def test_kwargs_of_a_listener_are_a_copy(self, notifier, hear, heard):
        """Who looks at what is registered cannot change it."""
        notifier.register("X", hear, kwargs={"z": 2})
        ((_, (registered,)),) = notifier.listeners_iter()
        registered.kwargs["z"] = 9
        notifier.notify("X", {})
        assert heard == [(("X",), {"details": {}, "z": 2})]

    def test_any_is_told_first(self, notifier):
        """Those of ANY come first, then those of the type; each in the order of registration."""
        order = []
        for name, event in (("x1", "X"), ("any1", "*"), ("x2", "X"), ("any2", "*")):
            notifier.register(event, lambda _, name, details: order.append(name), args=[name])
        notifier.notify("X", {})
        assert order == ["any1", "any2", "x1", "x2"]

    def test_any_is_told_of_all(self, notifier, hear, heard):
        """ANY is told of events that nobody else is registered for."""
        notifier.register(notifier.ANY, hear)
        for event in ("X", "Y", None, 3):
            notifier.notify(event, {})
        assert [args[0] for args, _ in heard] == ["X", "Y", None, 3]

    def test_for_any_and_for_its_type(self, notifier, hear, heard):
        """Who is registered for both is told twice."""
        notifier.register("*", hear)
        notifier.register("X", hear)
        notifier.notify("X", {})
        assert len(heard) == 2

    def test_filter(self, notifier, hear, heard):
        """The filter is called with the details, and says whether the callback is."""
        notifier.register("X", hear, details_filter=lambda details: details.get("n"))
        for details in ({"n": 0}, {"n": 1}, {}, {"n": 2}):
            notifier.notify("X", details)
        assert [kwargs["details"] for _, kwargs in heard] == [{"n": 1}, {"n": 2}]

    @pytest.mark.parametrize("details", [None, {}, [], ""], ids=repr)
    def test_no_details(self, notifier, hear, heard, details):
        """Nothing is told as an empty dict."""
        notifier.register("X", hear)
        notifier.notify("X", details)
        assert heard == [(("X",), {"details": {}})]

    def test_returns_nothing(self, notifier, hear):
        """Whoever notifies gets nothing back."""
        notifier.register("X", hear)
        assert notifier.notify("X", {}) is None
        assert notifier.notify("nobody", {}) is None

    def test_the_event_any(self, notifier, hear, heard, either, caplog):
        """ANY is no event that happens: it is dropped, and logged for whoever debugs."""
        notifier.register("*", hear)
        with caplog.at_level(logging.DEBUG, either.logger):
            assert notifier.notify("*", {}) is None
        assert heard == []
        assert "'*' is not allowed to trigger notifications" in caplog.text
        assert [each.levelname for each in caplog.records] == ["DEBUG"]

    def test_an_event_that_is_no_key(self, notifier):
        """An event type that cannot be looked up is a TypeError."""
        with pytest.raises(TypeError, match="unhashable"):
            notifier.notify([], {})

    def test_details_are_asked_for(self, notifier):
        """Details have no default."""
        with pytest.raises(TypeError, match="details"):
            notifier.notify("X")

    def test_deregistered_meanwhile(self, notifier, hear, heard):
        """Who is deregistered by one that is told before it is told once more."""
        notifier.register("X", lambda _, details: notifier.deregister("X", hear))
        notifier.register("X", hear)
        notifier.notify("X", {})
        notifier.notify("X", {})
        assert len(heard) == 1

    def test_registered_meanwhile(self, notifier, hear, heard):
        """Who is registered by one that is told is told from the next event on."""
        notifier.register("X", lambda _, details: notifier.register("X", hear))
        notifier.notify("X", {})
        assert heard == []
        assert len(notifier) == 2

    def test_reset_meanwhile(self, notifier, hear, heard):
        """A reset by one that is told leaves those who are told of this event."""
        notifier.register("X", lambda _, details: notifier.reset())
        notifier.register("X", hear)
        notifier.notify("X", {})
        notifier.notify("X", {})
        assert len(heard) == 1

    def test_notifies_in_a_callback(self, notifier, heard):
        """A callback may notify: what it tells is told before the next one hears of the first."""
        notifier.register("X", lambda _, details: notifier.notify("Y", {}))
        notifier.register("*", lambda event, details: heard.append(event))
        notifier.register("X", lambda event, details: heard.append("last"))
        notifier.notify("X", {})
        assert heard == ["X", "Y", "last"]


#: What register() refuses: arguments, TaskFlow's error type, and what the message says.
MISUSE = {
    "no callable": (("X", None), {}, ValueError, "Event callback must be callable"),
    "a name": (("X", "name"), {}, ValueError, "Event callback must be callable"),
    "no callable filter": (
        ("X", print),
        {"details_filter": 3},
        ValueError,
        "Details filter must be callable",
    ),
    "a false filter": (
        ("X", print),
        {"details_filter": False},
        ValueError,
        "Details filter must be callable",
    ),
    "a reserved key": (
        ("X", print),
        {"kwargs": {"details": 1}},
        KeyError,
        "Reserved key 'details' not allowed in kwargs",
    ),
    "no arguments": (("X", print), {"args": 5}, TypeError, "'int' object is not iterable"),
    "no keywords": (("X", print), {"kwargs": 5}, TypeError, "'int' is not iterable|not a mapping"),
    "an event that is no key": (([], print), {}, TypeError, "unhashable type: 'list'"),
    "no callable, before all others": (
        ([], None),
        {"details_filter": 3, "kwargs": {"details": 1}},
        ValueError,
        "Event callback must be callable",
    ),
    "no filter, before a reserved key": (
        ("X", print),
        {"details_filter": 3, "kwargs": {"details": 1}},
        ValueError,
        "Details filter must be callable",
    ),
}


class TestRegistering:
    @pytest.mark.parametrize("misuse", MISUSE)
    def test_misuse(self, notifier, misuse):
        """Misuse has TaskFlow's error types, and changes nothing."""
        args, kwargs, error, message = MISUSE[misuse]
        if error is TypeError and "kwargs" in kwargs:
            message = "not iterable"
        with pytest.raises(error, match=message):
            notifier.register(*args, **kwargs)
        assert len(notifier) == 0

    def test_returns_nothing(self, notifier, hear):
        """Registering gives nothing back."""
        assert notifier.register("X", hear) is None

    def test_twice(self, notifier, hear):
        """The same callback with the same filter is refused, whatever its arguments are."""
        notifier.register("X", hear)
        for options in ({}, {"args": (1,)}, {"kwargs": {"z": 1}}):
            with pytest.raises(ValueError, match=r"already registered .*equivalent details filter"):
                notifier.register("X", hear, **options)
        assert len(notifier) == 1

    def test_twice_before_a_reserved_key(self, notifier, hear):
        """That it is there already is said first."""
        notifier.register("X", hear)
        with pytest.raises(ValueError, match="already registered"):
            notifier.register("X", hear, kwargs={"details": 1})

    def test_twice_with_a_filter(self, notifier, hear):
        """Another filter makes another listener; the same one does not."""
        notifier.register("X", hear)
        notifier.register("X", hear, details_filter=bool)
        notifier.register("X", hear, details_filter=len)
        with pytest.raises(ValueError, match="already registered"):
            notifier.register("X", hear, details_filter=len)
        assert len(notifier) == 3

    def test_methods(self, notifier):
        """A method is the same one whenever it is asked for; of another object it is another."""

        class Equal:
            def __eq__(self, other):
                return True

            __hash__ = None

            def hear(self, event, details):
                """Do nothing."""

        one, other = Equal(), Equal()
        notifier.register("X", one.hear)
        assert notifier.is_registered("X", one.hear)
        assert not notifier.is_registered("X", other.hear)
        notifier.register("X", other.hear)
        assert notifier.deregister("X", other.hear)
        assert notifier.is_registered("X", one.hear)

    def test_equal_callables(self, notifier):
        """Callables that are equal are the same; partials and lambdas are not equal."""

        class Callable:
            def __call__(self, event, details):
                """Do nothing."""

            def __eq__(self, other):
                return isinstance(other, Callable)

            __hash__ = None

        notifier.register("X", Callable())
        with pytest.raises(ValueError, match="already registered"):
            notifier.register("X", Callable())
        notifier.register("X", functools.partial(print))
        notifier.register("X", functools.partial(print))
        notifier.register("X", lambda: 1)
        notifier.register("X", lambda: 1)
        assert len(notifier) == 5

    def test_strange_event_types(self, notifier, hear, heard):
        """Whatever can be a key is an event type."""
        for event in (None, 3, ("a", "b")):
            notifier.register(event, hear)
            notifier.notify(event, {})
        assert [args[0] for args, _ in heard] == [None, 3, ("a", "b")]

    def test_can(self, notifier):
        """Everything can be registered for; everything but ANY can be told."""
        assert [notifier.can_be_registered(each) for each in ("*", "X", None)] == [True] * 3
        triggers = [notifier.can_trigger_notification(each) for each in ("*", "X", None)]
        assert triggers == [False, True, True]
        with pytest.raises(TypeError, match="unhashable"):
            THEIRS.Notifier().can_trigger_notification([])

    def test_a_subclass_that_refuses(self, either, hear, heard):
        """What a subclass refuses is refused when it is registered, and when it happens."""

        class Picky(either.Notifier):
            def can_be_registered(self, event_type):
                return event_type != "no"

            def can_trigger_notification(self, event_type):
                return event_type != "quiet"

        notifier = Picky()
        with pytest.raises(ValueError, match="Disallowed event type 'no' can not have a callback"):
            notifier.register("no", hear)
        notifier.register("quiet", hear)
        notifier.notify("quiet", {})
        assert heard == []

    def test_constants(self, either):
        """ANY and the reserved keys are TaskFlow's."""
        assert either.Notifier.ANY == "*"
        assert either.Notifier.RESERVED_KEYS == ("details",)

    def test_reserved_keys_of_a_subclass(self, either, hear):
        """A subclass may reserve more."""

        class Reserving(either.Notifier):
            RESERVED_KEYS = ("details", "engine")

        with pytest.raises(KeyError, match="Reserved key 'engine' not allowed in kwargs"):
            Reserving().register("X", hear, kwargs={"engine": 1})


class TestDeregistering:
    def test_once(self, notifier, hear, heard):
        """Who is deregistered is told no more; a second time it is not there."""
        notifier.register("X", hear)
        assert notifier.deregister("X", hear) is True
        assert notifier.deregister("X", hear) is False
        notifier.notify("X", {})
        assert heard == []

    @pytest.mark.parametrize(
        ("event", "callback", "options"),
        [
            ("nobody", print, {}),
            ("X", None, {}),
            ("X", len, {}),
            ("X", print, {"details_filter": len}),
            ("*", print, {}),
        ],
    )
    def test_who_is_not_there(self, notifier, event, callback, options):
        """Deregistering, or asking for, who is not there says False."""
        notifier.register("X", print)
        assert notifier.deregister(event, callback, **options) is False
        assert notifier.is_registered(event, callback, **options) is False
        assert notifier.is_registered("X", print) is True

    def test_any_does_not_stand_for_all(self, notifier, hear):
        """Who is registered for ANY is not registered for a type."""
        notifier.register("*", hear)
        assert not notifier.is_registered("X", hear)
        assert not notifier.deregister("X", hear)

    def test_the_one_with_the_filter(self, notifier, hear, heard):
        """Only the one with that filter is deregistered."""
        notifier.register("X", hear)
        notifier.register("X", hear, details_filter=bool)
        assert notifier.deregister("X", hear, details_filter=bool)
        notifier.notify("X", {"a": 1})
        assert len(heard) == 1
        assert notifier.is_registered("X", hear)

    def test_an_event(self, notifier, hear):
        """All of an event are deregistered at once, and counted."""
        notifier.register("X", hear)
        notifier.register("X", print)
        notifier.register("*", print)
        assert notifier.deregister_event("nobody") == 0
        assert notifier.deregister_event("X") == 2
        assert notifier.deregister_event("X") == 0
        assert notifier.deregister_event("*") == 1
        assert len(notifier) == 0

    @pytest.mark.parametrize("method", ["deregister", "is_registered"])
    def test_an_event_that_is_no_key(self, notifier, method):
        """An event type that cannot be looked up is a TypeError."""
        notifier.register("X", print)
        with pytest.raises(TypeError, match="unhashable"):
            getattr(notifier, method)([], print)
        with pytest.raises(TypeError, match="unhashable"):
            notifier.deregister_event([])

    def test_reset(self, notifier, hear, heard):
        """A reset forgets all callbacks."""
        notifier.register("X", hear)
        notifier.register("*", hear)
        assert notifier.reset() is None
        notifier.notify("X", {})
        assert (len(notifier), heard) == (0, [])


class TestLooking:
    def test_length(self, notifier, hear):
        """The length is the number of callbacks; a notifier without any is false."""
        assert not notifier
        for number, event in enumerate(("X", "Y", "*"), start=1):
            notifier.register(event, hear)
            assert len(notifier) == number
        assert notifier

    def test_listeners_iter(self, notifier, hear):
        """Each event that has listeners, with them."""
        notifier.register("X", hear, args=[1], kwargs={"z": 2}, details_filter=bool)
        notifier.register("*", print)
        notifier.register("gone", print)
        notifier.deregister("gone", print)
        found = dict(notifier.listeners_iter())
        assert list(found) == ["X", "*"]
        (one,) = found["X"]
        assert (one.callback, one.args, one.kwargs) == (hear, (1,), {"z": 2})
        assert one.details_filter is bool
        assert one.is_equivalent(hear, bool)
        assert one.is_equivalent(hear, details_filter=bool)
        assert not one.is_equivalent(hear)
        assert "hear" in repr(one)
        assert "bool" in repr(one)

    def test_iterating_while_it_changes(self, mine, hear):
        """What is registered meanwhile does not disturb who iterates."""
        mine.register("X", hear)
        mine.register("Y", hear)
        for event, listeners in mine.listeners_iter():
            mine.register(f"{event}{event}", hear)
            listeners.clear()
        assert len(mine) == 4

    def test_equality_of_listeners(self, either):
        """What is registered is equal if callback and filter are; it is no key."""
        make = either.Registered
        assert make(print) == make(print, args=(1,))
        assert make(print) != make(print, details_filter=bool)
        assert make(print) != make(len)
        with pytest.raises(TypeError, match="unhashable"):
            hash(make(print))

    def test_a_listener_is_nothing_else(self):
        """What is registered equals nothing of another type."""
        assert Registered(print) != 3
        assert not Registered(print) == 3  # noqa: SIM201 - both ways are asked

    def test_calling_a_listener(self, either, hear, heard):
        """What is registered may be called, and asks its filter."""
        listener = either.Registered(hear, (1,), {"z": 2}, lambda details: details["go"])
        listener("X", {"go": True})
        listener("X", {"go": False})
        assert heard == [(("X", 1), {"details": {"go": True}, "z": 2})]

    @pytest.mark.parametrize("name", ["callback", "args", "kwargs", "details_filter"])
    def test_a_listener_does_not_change(self, either, name):
        """What is registered stays what it is."""
        with pytest.raises(AttributeError):
            setattr(either.Registered(print), name, None)

    def test_copy(self, notifier, hear, heard):
        """A copy has the same listeners, and goes its own way."""
        notifier.register("X", hear)
        other = notifier.copy()
        assert type(other) is type(notifier)
        other.register("Y", hear)
        other.deregister("X", hear)
        notifier.register("Z", hear)
        assert [each for each, _ in notifier.listeners_iter()] == ["X", "Z"]
        assert [each for each, _ in other.listeners_iter()] == ["Y"]
        other.notify("X", {})
        assert heard == []

    def test_copy_of_a_subclass(self, either, hear):
        """A copy is of the same class, and has what else it has."""

        class Named(either.Notifier):
            def __init__(self, name):
                super().__init__()
                self.name = name

        assert Named("n").copy().name == "n"

    def test_a_copy_has_no_errors(self, mine):
        """Errors stay where they were raised."""
        mine.register("X", broken)
        mine.notify("X", {})
        other = mine.copy()
        assert (len(mine.errors), len(other.errors)) == (1, 0)
        other.notify("X", {})
        other.notify("X", {})
        assert (len(mine.errors), len(other.errors)) == (1, 2)

    def test_deep_copy(self, notifier):
        """What has a notifier can be copied deeply."""
        notifier.register("X", print)
        other = copy.deepcopy(notifier)
        notifier.reset()
        assert other.is_registered("X", print)


class TestErrors:
    def test_disturb_nobody(self, notifier, hear, heard, either, caplog):
        """What a callback raises is logged with its traceback; the next one is called."""
        notifier.register("*", broken)
        notifier.register("X", hear)
        assert notifier.notify("X", {"a": 1}) is None
        assert len(heard) == 1
        (record,) = caplog.records
        assert (record.name, record.levelname) == (either.logger, "WARNING")
        assert record.getMessage().startswith("Failure calling listener <")
        assert "to notify about event X" in record.getMessage()
        assert record.exc_info[0] is ZeroDivisionError
        assert "broken" in caplog.text

    def test_of_a_filter(self, notifier, hear, heard, caplog):
        """A filter that raises is as a callback that does: it is not called, the next one is."""
        notifier.register("X", hear, details_filter=lambda details: details["missing"])
        notifier.register("X", hear)
        notifier.notify("X", {"a": 1})
        assert len(heard) == 1
        assert "KeyError" in caplog.text

    def test_of_a_signature(self, notifier, hear, heard, caplog):
        """The details come by the keyword `details`: who calls it otherwise is in error."""
        notifier.register("X", lambda event, info: None)
        notifier.register("X", hear)
        notifier.notify("X", {})
        assert len(heard) == 1
        assert "unexpected keyword argument 'details'" in caplog.text

    @pytest.mark.parametrize("details", ["text", 5, object()], ids=["text", "number", "object"])
    def test_details_that_are_none(self, notifier, caplog, details):
        """Details that cannot be copied are an error of each listener, not of who notifies."""
        notifier.register("X", print)
        notifier.register("*", print)
        assert notifier.notify("X", details) is None
        assert len(caplog.records) == 2

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_what_ends_everything(self, notifier, error):
        """What is no Exception ends more than the notification."""

        def ends(event, details):
            raise error

        notifier.register("X", ends)
        with pytest.raises(error):
            notifier.notify("X", {})

    def test_kept(self, mine):
        """Errors are kept in order, each with the traceback of the line that raised."""

        def other(event, details):
            raise KeyError(event)

        mine.register("X", broken)
        mine.register("*", other)
        mine.notify("X", {})
        mine.notify("Y", {})
        assert [repr(each) for each in mine.errors] == [
            "KeyError('X')",
            "ZeroDivisionError('X')",
            "KeyError('Y')",
        ]
        frames = mine.errors[1].__traceback__
        while frames.tb_next is not None:
            frames = frames.tb_next
        assert frames.tb_frame.f_code.co_name == "broken"

    def test_bounded(self, mine, heard, hear):
        """No more than ERRORS_KEPT are kept, the first ones; all are logged, all others told."""
        mine.ERRORS_KEPT = 3
        mine.register("*", broken)
        mine.register("*", hear)
        for event in range(5):
            mine.notify(event, {})
        assert [each.args for each in mine.errors] == [(0,), (1,), (2,)]
        assert len(heard) == 5
        assert Notifier.ERRORS_KEPT == 1_000

    def test_reset_forgets_them(self, mine):
        """A reset forgets errors too."""
        mine.register("X", broken)
        mine.notify("X", {})
        errors = mine.errors
        mine.reset()
        assert mine.errors == []
        assert mine.errors is errors

    def test_passing(self, heard, hear):
        """What may pass does, to whoever notifies, and is no error; all else does not."""
        mine = Notifier(passing=(TimeoutError,))

        def late(event, details):
            raise TimeoutError(event)

        mine.register("*", broken)
        mine.register("X", late)
        mine.register("X", hear)
        with pytest.raises(TimeoutError):
            mine.notify("X", {})
        assert [type(each) for each in mine.errors] == [ZeroDivisionError]
        assert heard == []

    def test_a_copy_lets_the_same_pass(self):
        """A copy lets the same exceptions through."""
        mine = Notifier(passing=(ZeroDivisionError,)).copy()
        mine.register("X", broken)
        with pytest.raises(ZeroDivisionError):
            mine.notify("X", {})

    def test_a_callback_without_a_repr(self, mine, hear, heard, caplog):
        """An object that cannot even be shown is told of, and its error is logged."""

        class Rude:
            def __call__(self, event, details):
                raise ZeroDivisionError

            def __repr__(self):
                raise RuntimeError

        mine.register("X", Rude())
        mine.register("X", hear)
        mine.notify("X", {})
        assert len(heard) == 1
        assert len(mine.errors) == 1
        assert "Failure calling listener" in caplog.text

    def test_a_group(self, mine):
        """A group of exceptions is one error."""

        def groups(event, details):
            raise ListenerError([ValueError(1), KeyError(2)])

        mine.register("X", groups)
        mine.notify("X", {})
        assert len(mine.errors) == 1


def _cycle():
    inner = [1]
    inner.append(inner)
    return inner


def _tuple_in_itself():
    inner = [1]
    within = (inner,)
    inner.append(within)
    return within


class _Kept(dict):
    """A dict with more than its items."""

    extra = None


class _Point(tuple):
    """A tuple with a name for its first value."""

    __slots__ = ()

    @property
    def x(self):
        """The first value."""
        return self[0]


class _Odd(Pair):
    """A named tuple that is made of something else than its fields."""

    __slots__ = ()

    def __new__(cls, a):
        return super().__new__(cls, a, [a])


def _with_extra():
    kept = _Kept(a=[1])
    kept.extra = "kept"
    return kept


def _innermost(value):
    """What holds the number that every one of the values has in its depth."""
    while True:
        inner = next(iter(value.values())) if hasattr(value, "values") else value[0]
        if isinstance(inner, int):
            return value
        value = inner


#: Values with a list somewhere in them.
VALUES = {
    "list": lambda: [1],
    "list of lists": lambda: [[1]],
    "dict": lambda: {"a": [1]},
    "tuple": lambda: ([1], 2),
    "tuple of tuples": lambda: (([1],),),
    "dict in a tuple in a list": lambda: [({"a": [1]},)],
    "cycle": _cycle,
    "tuple in itself": _tuple_in_itself,
    "OrderedDict": lambda: OrderedDict(a=[1]),
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "dict with more": _with_extra,
    "list subclass": lambda: type("Rows", (list,), {})([[1]]),
    "namedtuple": lambda: Pair([1], 2),
    "deque": lambda: deque([1]),
    "UserDict": lambda: UserDict(a=[1]),
    "UserList": lambda: UserList([1]),
    "proxy": lambda: MappingProxyType({"a": [1]}),
}

#: What the details themselves may be.
MAPPINGS = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "defaultdict": lambda items: defaultdict(list, items),
    "UserDict": UserDict,
    "proxy": MappingProxyType,
    "dict with more": _Kept,
}


class TestIsolation:
    """No listener can change what another one sees, nor what whoever notifies has."""

    @pytest.fixture
    def seen(self, mine):
        """What each of three listeners sees, of whom each changes it."""
        seen = []

        def changes(event, details):
            found = _innermost(details["value"])
            seen.append([each for each in found if isinstance(each, int)])
            found.append(9)

        for _ in range(3):
            mine.register("X", functools.partial(changes))
        return seen

    @pytest.mark.parametrize("value", VALUES)
    def test_values(self, mine, seen, value):
        """What is nested in the details is each listener's own."""
        made = VALUES[value]()
        mine.notify("X", {"value": made})
        assert seen == [[1], [1], [1]]
        assert 9 not in _innermost(made)
        assert mine.errors == []

    @pytest.mark.parametrize("mapping", MAPPINGS)
    def test_mappings(self, mine, seen, mapping):
        """Whichever mapping the details are."""
        made = [1]
        mine.notify("X", MAPPINGS[mapping]({"value": made}))
        assert seen == [[1], [1], [1]]
        assert made == [1]
        assert mine.errors == []

    def test_the_details_themselves(self, mine, hear, heard):
        """Keys that a listener adds or takes are nobody else's."""
        details = {"a": 1, "b": {"c": 2}}

        def changes(event, details):
            details["new"] = 1
            details.pop("a")
            details["b"].clear()

        mine.register("*", changes)
        mine.register("X", hear)
        mine.notify("X", details)
        assert heard == [(("X",), {"details": {"a": 1, "b": {"c": 2}}})]
        assert details == {"a": 1, "b": {"c": 2}}

    def test_a_filter_cannot_either(self, mine, hear, heard):
        """What a filter changes only its own callback sees."""

        def takes(details):
            details["mine"] = details["b"].pop()
            return True

        mine.register("X", hear, details_filter=takes)
        mine.register("X", hear)
        mine.notify("X", {"b": [1]})
        assert [kwargs["details"] for _, kwargs in heard] == [{"b": [], "mine": 1}, {"b": [1]}]

    @pytest.mark.parametrize("kind", [set, bytearray], ids=lambda kind: kind.__name__)
    def test_sets_and_bytes(self, mine, hear, heard, kind):
        """Sets and byte arrays are copied too."""

        def changes(event, details):
            details["value"].clear()

        mine.register("*", changes)
        mine.register("X", hear)
        mine.notify("X", {"value": kind([1, 2])})
        assert heard[0][1]["details"] == {"value": kind([1, 2])}

    def test_types_are_kept(self, mine, hear, heard):
        """Copies are of the type of what they are copies of, with what it has besides its items."""
        mine.register("X", hear)
        given = {
            "kept": _with_extra(),
            "pair": Pair([1], 2),
            "default": defaultdict(list),
            "ordered": OrderedDict(a=1),
            "time": time.gmtime(0),
            "point": _Point((1, 2)),
            "odd": _Odd(3),
        }
        mine.notify("X", given)
        found = heard[0][1]["details"]
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in given.items()
        }
        assert found["kept"].extra == "kept"
        assert found["pair"].second == 2
        assert found["time"].tm_year == 1970
        assert found["point"].x == 1
        assert found["odd"] == (3, [3])
        assert found["default"]["x"] == []

    def test_objects_are_the_same(self, mine, hear, heard):
        """An engine, or an exception, is not copied."""
        engine = object()
        error = ValueError()
        mine.register("X", hear)
        mine.notify("X", {"engine": engine, "errors": [error]})
        found = heard[0][1]["details"]
        assert found["engine"] is engine
        assert found["errors"][0] is error

    def test_shared_values_stay_shared(self, mine, hear, heard):
        """What is in the details twice is one thing in each copy."""
        rows = [1]
        mine.register("X", hear)
        mine.notify("X", {"a": rows, "b": rows})
        found = heard[0][1]["details"]
        assert found["a"] is found["b"]
        assert found["a"] is not rows

    def test_what_cannot_be_copied(self, mine, hear, heard):
        """A value that refuses to be copied is told of all the same."""

        class Frozen(dict):
            def __setitem__(self, key, value):
                raise TypeError("frozen")

        class Rude(list):
            def __copy__(self):
                raise RuntimeError("no copies")

        mine.register("X", hear)
        mine.notify("X", {"frozen": Frozen(a=1), "rude": Rude([1])})
        assert mine.errors == []
        assert heard[0][1]["details"] == {"frozen": {"a": 1}, "rude": [1]}

    def test_what_is_very_deep(self, mine, hear, heard):
        """A value that is nested deeper than Python's stack is told of all the same."""
        deep = []
        for _ in range(5_000):
            deep = [deep]
        mine.register("X", hear)
        mine.notify("X", {"deep": deep})
        assert mine.errors == []
        assert len(heard) == 1


class TestKept:
    def test_what_was_added_is_dropped(self, mine, hear):
        """On leaving, who was registered meanwhile is gone, and who was there before stays."""
        mine.register("X", hear)
        with mine.kept():
            mine.register("Y", hear)
            mine.register("*", print)
        assert [each for each, _ in mine.listeners_iter()] == ["X"]

    def test_what_was_taken_stays_away(self, mine, hear, heard):
        """Who was deregistered meanwhile does not come back."""
        mine.register("X", hear)
        mine.register("X", print)
        with mine.kept():
            mine.deregister("X", hear)
        mine.notify("X", {})
        assert heard == []
        assert mine.is_registered("X", print)

    def test_also_by_an_error(self, mine, hear):
        """However it is left."""

        def body():
            with mine.kept():
                mine.register("Y", hear)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            body()
        assert len(mine) == 0


class TestRestricted:
    @pytest.fixture
    def restricted(self, either):
        """A notifier of two events."""
        return either.RestrictedNotifier(["a", "b"])

    def test_declared(self, restricted, hear, heard):
        """Declared events, and ANY, can be registered for."""
        restricted.register("a", hear)
        restricted.register("*", hear)
        restricted.notify("a", {"n": 1})
        assert len(heard) == 2
        assert restricted.is_registered("a", hear)

    def test_undeclared(self, restricted, hear):
        """An undeclared event is a ValueError."""
        with pytest.raises(
            ValueError, match="Disallowed event type 'c' can not have a callback registered"
        ):
            restricted.register("c", hear)
        assert not restricted.can_be_registered("c")

    def test_ours_says_which_there_are(self, hear):
        """Our message names the events that there are."""
        with pytest.raises(ValueError, match=r"expected one of a, b, \*$"):
            RestrictedNotifier(["b", "a"]).register("c", hear)
        with pytest.raises(ValueError, match=r"expected one of a, b$"):
            RestrictedNotifier(["b", "a"], allow_any=False).register("*", hear)

    def test_no_any(self, either, hear):
        """ANY can be disallowed."""
        restricted = either.RestrictedNotifier(["a"], allow_any=False)
        with pytest.raises(ValueError, match=r"Disallowed event type '\*'"):
            restricted.register("*", hear)
        assert not restricted.can_be_registered("*")

    def test_any_as_an_event(self, either, hear):
        """ANY can be declared."""
        restricted = either.RestrictedNotifier(["*"], allow_any=False)
        restricted.register("*", hear)
        assert restricted.is_registered("*", hear)

    def test_the_callback_is_looked_at_first(self, restricted):
        """That a callback is none is said before that the event is none."""
        with pytest.raises(ValueError, match="Event callback must be callable"):
            restricted.register("c", None)

    def test_telling_of_an_undeclared_one(self, restricted, hear, heard):
        """An undeclared event that happens is told to ANY."""
        restricted.register("*", hear)
        restricted.register("a", hear)
        assert restricted.can_trigger_notification("c")
        restricted.notify("c", {"n": 1})
        assert heard == [(("c",), {"details": {"n": 1}})]

    def test_asking_for_an_undeclared_one(self, restricted, hear):
        """Asking for, or deregistering, an undeclared event says that nobody is there."""
        assert not restricted.is_registered("c", hear)
        assert not restricted.deregister("c", hear)
        assert restricted.deregister_event("c") == 0

    def test_events_iter(self, either):
        """The declared events, without ANY, each once."""
        events = either.RestrictedNotifier(["a", "b", "a"]).events_iter()
        assert next(events) in {"a", "b"}
        assert len(list(events)) == 1
        assert sorted(either.RestrictedNotifier("ba").events_iter()) == ["a", "b"]
        assert list(either.RestrictedNotifier(iter(())).events_iter()) == []

    def test_no_events(self, either):
        """What is no collection of events is a TypeError."""
        with pytest.raises(TypeError, match="not iterable"):
            either.RestrictedNotifier(5)

    def test_an_event_that_is_no_key(self, restricted, hear):
        """An event type that cannot be looked up is a TypeError."""
        with pytest.raises(TypeError, match="unhashable"):
            restricted.register([], hear)

    def test_copy(self, restricted, hear):
        """A copy knows the same events."""
        restricted.register("a", hear)
        other = restricted.copy()
        assert sorted(other.events_iter()) == ["a", "b"]
        assert other.is_registered("a", hear)
        with pytest.raises(ValueError, match="Disallowed"):
            other.register("c", hear)


class TestForAWhile:
    def test_inside(self, either, notifier, hear, heard):
        """A callback is registered inside, with all its arguments."""
        with either.register_deregister(
            notifier, "X", hear, args=(1,), kwargs={"z": 2}, details_filter=bool
        ) as value:
            assert value is None
            assert notifier.is_registered("X", hear, details_filter=bool)
            notifier.notify("X", {"a": 1})
        assert len(notifier) == 0
        assert heard == [(("X", 1), {"details": {"a": 1}, "z": 2})]

    def test_nobody(self, either, notifier):
        """None registers nothing; so does leaving it out."""
        with either.register_deregister(notifier, "X", None):
            assert len(notifier) == 0
        with either.register_deregister(notifier, "X"):
            assert len(notifier) == 0

    def test_an_error_inside(self, either, notifier, hear):
        """What is raised inside goes on, and the callback is deregistered."""
        with pytest.raises(ZeroDivisionError), either.register_deregister(notifier, "X", hear):
            raise ZeroDivisionError
        assert len(notifier) == 0

    def test_misuse(self, either, notifier, hear):
        """What register() refuses is refused; who was there before stays."""
        with (
            pytest.raises(ValueError, match="callable"),
            either.register_deregister(notifier, "X", "text"),
        ):
            pass
        notifier.register("X", hear)
        with (
            pytest.raises(ValueError, match="already"),
            either.register_deregister(notifier, "X", hear),
        ):
            pass
        assert notifier.is_registered("X", hear)

    def test_deregistered_inside(self, either, notifier, hear):
        """Who is deregistered inside is no error on leaving."""
        with either.register_deregister(notifier, "X", hear):
            notifier.reset()
        assert len(notifier) == 0

    def test_on_the_others(self, hear):
        """Ours works on TaskFlow's notifier, and TaskFlow's on ours."""
        for notifier, names in ((theirs.Notifier(), OURS), (Notifier(), THEIRS)):
            with names.register_deregister(notifier, "X", hear):
                assert notifier.is_registered("X", hear)
            assert len(notifier) == 0
