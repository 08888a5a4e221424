"""A failure, as listeners are told: what was stored of it, and what is at hand."""

from __future__ import annotations

import pickle
import sys
import traceback
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest

from pytest_taskprogress import Failure, Transition
from pytest_taskprogress.core.transitions import Source
from pytest_taskprogress.listeners.failure import is_failure

STORED = {"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"}


def write(state="FAILURE", meta=None, result=None, **more):
    """A write of a task."""
    kind = "retry" if state == "RETRY" else "task"
    return Transition(0, kind, "add", "1", "PENDING", state, meta or {}, result, **more)


def raised(error):
    """An exception that has been raised."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


class TestOfAWrite:
    def test_without_the_exception(self):
        """What was stored: the type's name, the message and the traceback."""
        failure = Failure.of(write(meta=STORED, traceback="Traceback: it"))
        assert failure.exc_type_names == ("ValueError",)
        assert failure.exception_str == "bad"
        assert failure.traceback_str == "Traceback: it"
        assert failure.exception is None
        assert failure.exc_info is None

    def test_with_the_exception(self):
        """The exception that it is about is at hand, with its bases."""
        error = raised(ValueError("bad"))
        failure = Failure.of(write(meta=STORED), error)
        assert failure.exception is error
        assert failure.exc_info == (ValueError, error, error.__traceback__)
        assert failure.exc_type_names == ("ValueError", "Exception", "BaseException")

    @pytest.mark.parametrize(
        "error", [KeyError("bad"), ValueError("worse"), ValueError("bad", 1)], ids=repr
    )
    def test_with_another_exception(self, error):
        """What is handled meanwhile and is not what was stored is not the exception."""
        by_a_task = Source("tasks.py", 3)
        failure = Failure.of(write(meta=STORED, source=by_a_task), raised(error))
        assert failure.exception is None
        assert str(failure) == "Failure: ValueError: bad"

    @pytest.mark.parametrize("place", ["meta", "result"])
    def test_of_a_pickled_exception(self, place):
        """Where the serialiser carries exceptions, the stored one is at hand."""
        stored = ValueError("bad")
        failure = Failure.of(write(**{place: stored}))
        assert failure.exception is stored
        assert str(failure) == "Failure: ValueError: bad"

    def test_of_a_pickled_exception_and_the_one_that_was_raised(self):
        """The one that was raised has a traceback, and is preferred."""
        error = raised(ValueError("bad"))
        assert Failure.of(write(result=ValueError("bad")), error).exception is error
        assert Failure.of(write(result=ValueError("bad")), raised(KeyError())).exception != error

    def test_of_a_retry(self):
        """A retry has what was stored as its reason in its result."""
        failure = Failure.of(write("RETRY", result=STORED))
        assert str(failure) == "Failure: ValueError: bad"

    @pytest.mark.parametrize(
        ("meta", "text"),
        [
            ({"exc_type": "E", "exc_message": []}, "Failure: E: "),
            ({"exc_type": "E", "exc_message": ["a", "b"]}, "Failure: E: "),
            ({"exc_type": "E", "exc_message": "a: b"}, "Failure: E: a: b"),
            ({"exc_type": "E: F", "exc_message": "a"}, "Failure: E"),
            ({"exc_type": "E"}, "Failure: E: "),
            ({"current": 1}, "Failure: "),
            ({}, "Failure: "),
        ],
        ids=str,
    )
    def test_of_whatever_was_stored(self, meta, text):
        """Whatever was stored, there is a failure that can be shown."""
        failure = Failure.of(write(meta=meta))
        assert str(failure).startswith(text)
        assert failure.pformat(traceback=True)


class TestOfAnException:
    def test_an_exception(self):
        """What an exception tells, with its traceback as text."""
        error = raised(KeyError("key"))
        failure = Failure.of_exception(error)
        assert failure.exc_info == (KeyError, error, error.__traceback__)
        assert failure.exc_type_names == (
            *("KeyError", "LookupError", "Exception", "BaseException"),
        )
        assert failure.traceback_str.endswith("KeyError: 'key'\n")
        assert "test_failure.py" in failure.traceback_str
        assert str(failure) == "Failure: KeyError: 'key'"

    def test_that_was_never_raised(self):
        """An exception without a traceback is one too."""
        failure = Failure.of_exception(KeyError("key"))
        assert failure.exc_info[2] is None
        assert failure.traceback_str == "KeyError: 'key'\n"

    @pytest.mark.parametrize("value", [None, "text", 3], ids=repr)
    def test_something_else(self, value):
        """What is no exception is shown."""
        failure = Failure.of_exception(value)
        assert failure.exc_info is None
        assert failure.exception_str == str(value)

    def test_whose_text_cannot_be_had(self):
        """An exception that cannot be shown is a failure all the same."""

        class Rude(Exception):
            def __str__(self):
                raise RuntimeError

        failure = Failure.of_exception(raised(Rude()))
        assert "Rude" in str(failure)


class TestSurface:
    @pytest.fixture
    def failure(self):
        """A failure whose exception is at hand."""
        return Failure.of_exception(raised(KeyError("key")))

    def test_check(self, failure):
        """The first that it is of, by class or by name; also a base."""
        assert failure.check(KeyError) is KeyError
        assert failure.check(ValueError, LookupError, KeyError) is LookupError
        assert failure.check("ValueError", "LookupError") == "LookupError"
        assert failure.check("builtins.KeyError") is None
        assert failure.check(ValueError, "TypeError") is None
        assert failure.check() is None

    def test_check_in_another_process(self):
        """Where only the name is known, that is what is checked."""
        failure = Failure.of(write(meta=STORED))
        assert failure.check(ValueError) is ValueError
        assert failure.check(Exception) is None

    def test_pformat(self, failure):
        """As text, with the stored traceback if that is wanted."""
        assert failure.pformat() == str(failure) == "Failure: KeyError: 'key'"
        text = failure.pformat(traceback=True)
        assert text.startswith("Failure: KeyError: 'key'\nTraceback (most recent call last):")
        no_traceback = Failure.of(write(meta=STORED)).pformat(traceback=True)
        assert no_traceback == "Failure: ValueError: bad\nTraceback not available."

    def test_exc_info_prints(self, failure):
        """`exc_info` is what `traceback` and `logging` take."""
        assert "KeyError: 'key'" in "".join(traceback.format_exception(*failure.exc_info))

    def test_frozen(self, failure):
        """It cannot be changed."""
        with pytest.raises(FrozenInstanceError):
            failure.exception_str = "other"

    def test_equality(self, failure):
        """Failures of the same text are equal, whether the exception is at hand or not."""
        assert failure == Failure(
            failure.exc_type_names, failure.exception_str, failure.traceback_str
        )
        assert failure != Failure.of(write(meta=STORED))

    @pytest.mark.parametrize("loaded", [True, False], ids=["with taskflow", "without"])
    def test_pickle(self, loaded, monkeypatch):
        """It can be sent to another process; the exception goes with it, its traceback as text."""
        if loaded:
            pytest.importorskip("taskflow.types.failure")
        else:
            monkeypatch.delitem(sys.modules, "taskflow.types.failure", raising=False)
        failure = Failure.of_exception(raised(KeyError("key")))
        other = pickle.loads(pickle.dumps(failure))  # noqa: S301 - its own
        assert other == failure
        assert other.check(LookupError)


# TaskFlow 5 calls what oslo.utils has deprecated.
@pytest.mark.filterwarnings("ignore:Using function/method:DeprecationWarning")
class TestBeingOne:
    def test_ours(self):
        """A failure is one."""
        assert is_failure(Failure.of(write(meta=STORED)))
        assert isinstance(Failure.of(write(meta=STORED)), Failure)

    def test_theirs(self):
        """TaskFlow's is one, and ours passes for TaskFlow's where that is loaded."""
        theirs = pytest.importorskip("taskflow.types.failure").Failure
        assert is_failure(theirs.from_exception(raised(ValueError("bad"))))
        ours = Failure.of(write(meta=STORED))
        assert isinstance(ours, theirs)
        assert isinstance(ours, Failure)
        assert type(ours) is Failure

    def test_the_same_text_as_theirs(self):
        """Ours says what TaskFlow's says."""
        theirs = pytest.importorskip("taskflow.types.failure").Failure
        for error in (ValueError("bad"), KeyError("key"), RuntimeError(), OSError(2, "gone")):
            caught = raised(error)
            assert str(Failure.of_exception(caught)) == str(theirs.from_exception(caught))

    def test_beside_theirs(self):
        """Ours and TaskFlow's can be compared, and are never equal."""
        theirs = pytest.importorskip("taskflow.types.failure").Failure
        error = raised(ValueError("bad"))
        ours, other = Failure.of_exception(error), theirs.from_exception(error)
        assert ours != other
        assert other != ours

    def test_without_taskflow(self, monkeypatch):
        """Where TaskFlow is not loaded it is what it is."""
        monkeypatch.delitem(sys.modules, "taskflow.types.failure", raising=False)
        assert Failure.of(write(meta=STORED)).__class__ is Failure

    @pytest.mark.parametrize(
        "value", [None, 3, "Failure", ValueError(), {"exc_info": 1}, SimpleNamespace(pformat=1)]
    )
    def test_nothing_else(self, value):
        """What a task returned is none."""
        assert not is_failure(value)
