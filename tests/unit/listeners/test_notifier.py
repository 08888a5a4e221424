"""The notifier: who is told, and what they cannot do."""

from __future__ import annotations

import pytest

from pytest_taskprogress import Notifier, Transition
from pytest_taskprogress.listeners import Details


@pytest.fixture
def heard():
    """What was heard."""
    return []


@pytest.fixture
def notifier():
    """A notifier."""
    return Notifier()


def test_by_event_type(notifier, heard):
    """A callback is told of the events of its type, with their details."""
    notifier.register("SUCCESS", lambda *args: heard.append(args))
    notifier.notify("FAILURE", {"a": 1})
    notifier.notify("SUCCESS", {"a": 2})
    assert heard == [("SUCCESS", {"a": 2})]


def test_any(notifier, heard):
    """ANY is told of all events, after those who asked for the type."""
    notifier.register(Notifier.ANY, lambda state, _: heard.append(("any", state)))
    notifier.register("SUCCESS", lambda state, _: heard.append(("one", state)))
    notifier.notify("SUCCESS", {})
    assert heard == [("one", "SUCCESS"), ("any", "SUCCESS")]


def test_an_error_disturbs_nobody(notifier, heard, caplog):
    """What a callback raises is logged and kept; the next one is called."""

    def broken(state, details):
        raise ZeroDivisionError(state)

    notifier.register("SUCCESS", broken)
    notifier.register("SUCCESS", lambda *args: heard.append(args))
    notifier.notify("SUCCESS", {})
    assert len(heard) == 1
    assert [type(each) for each in notifier.errors] == [ZeroDivisionError]
    assert "failed on SUCCESS" in caplog.text


def test_deregister(notifier, heard):
    """A callback that is deregistered is told no more; one that never was is no error."""
    callback = heard.append
    notifier.register("SUCCESS", callback)
    assert notifier.is_registered("SUCCESS", callback)
    assert len(notifier) == 1
    assert notifier.deregister("SUCCESS", callback)
    assert not notifier.deregister("SUCCESS", callback)
    assert not notifier.deregister("FAILURE", callback)
    assert len(notifier) == 0


@pytest.mark.parametrize("callback", [None, 3, "name"])
def test_not_callable(notifier, callback):
    """What cannot be called is refused."""
    with pytest.raises(ValueError, match="must be callable"):
        notifier.register("SUCCESS", callback)


def test_twice(notifier, heard):
    """The same callback for the same type is refused."""
    notifier.register("SUCCESS", heard.append)
    with pytest.raises(ValueError, match="already"):
        notifier.register("SUCCESS", heard.append)


def test_reset(notifier, heard):
    """A reset forgets callbacks and errors."""
    notifier.register("SUCCESS", heard.append)
    notifier.notify("SUCCESS", {})
    assert notifier.errors
    notifier.reset()
    assert (len(notifier), notifier.errors) == (0, [])


def test_details():
    """Details have TaskFlow's keys and ours, by the kind of the transition; read-only."""
    transition = Transition(0, "task", "add", "1", "PENDING", "SUCCESS", {"a": 1}, 3)
    details = Details(transition)
    assert dict(details) == {
        "task_name": "add",
        "task_uuid": "1",
        "old_state": "PENDING",
        "result": 3,
        "meta": {"a": 1},
        "transition": transition,
    }
    assert len(details) == 6
    assert "retry_name" not in details
    assert details.get("nothing") is None
    assert "SUCCESS" in repr(details)
    with pytest.raises(TypeError):
        details["result"] = 4


def test_details_of_a_retry():
    """A retry's details name the retry."""
    details = Details(Transition(0, "retry", "add", "1", "STARTED", "RETRY"))
    assert (details["retry_name"], details["retry_uuid"]) == ("add", "1")
    assert "task_name" not in details
