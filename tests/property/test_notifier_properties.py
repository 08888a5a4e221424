"""The notifier beside TaskFlow's: whatever is done to both, both do the same."""

from __future__ import annotations

import copy
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from taskflow.types import notifier as theirs

from pytest_taskprogress import Notifier, RestrictedNotifier
from pytest_taskprogress.core.copies import own

EVENTS = st.sampled_from(["RUNNING", "SUCCESS", "FAILURE", "*", "odd"])
CALLBACKS = st.integers(0, 3)
FILTERS = st.sampled_from([None, 0, 1])


class BothNotifiers(RuleBasedStateMachine):
    """One of ours and one of TaskFlow's."""

    ours: type = Notifier
    make_ours = staticmethod(Notifier)
    make_theirs = staticmethod(theirs.Notifier)

    def __init__(self):
        super().__init__()
        self.pair = (self.make_ours(), self.make_theirs())
        self.heard = ([], [])
        self.callbacks = [[self._callback(side, n) for n in range(4)] for side in (0, 1)]
        self.filters = [lambda details: details.get("wanted"), lambda _: True]

    def _callback(self, side, number):
        def callback(event, *args, details, **kwargs):
            self.heard[side].append((number, event, args, dict(details), kwargs))
            details["mine"] = number
            if number == 3:
                raise ZeroDivisionError

        return callback

    def _both(self, do):
        """Do something to both; returns what came of it, which is the same."""
        came = []
        for side, notifier in enumerate(self.pair):
            try:
                came.append(do(notifier, self.callbacks[side]))
            except Exception as error:  # noqa: BLE001 - which it is is the point
                came.append(type(error))
        assert came[0] == came[1]
        return came[0]

    def _filter(self, number):
        return None if number is None else self.filters[number]

    @rule(
        event=EVENTS,
        number=CALLBACKS,
        wanted=FILTERS,
        args=st.lists(st.integers(), max_size=2),
        kwargs=st.dictionaries(st.sampled_from(["a", "details"]), st.integers(), max_size=1),
    )
    def register(self, event, number, wanted, args, kwargs):
        """Register, with whatever arguments."""
        self._both(
            lambda notifier, callbacks: notifier.register(
                event, callbacks[number], args, kwargs, self._filter(wanted)
            )
        )

    @rule(event=EVENTS, number=CALLBACKS, wanted=FILTERS)
    def deregister(self, event, number, wanted):
        """Deregister what is registered, or is not."""
        self._both(lambda n, calls: n.deregister(event, calls[number], self._filter(wanted)))
        self._both(lambda n, calls: n.is_registered(event, calls[number], self._filter(wanted)))

    @rule(event=EVENTS)
    def deregister_event(self, event):
        """Deregister all of an event."""
        self._both(lambda notifier, _: notifier.deregister_event(event))

    @rule(event=EVENTS, wanted=st.booleans())
    def notify(self, event, wanted):
        """Tell them."""
        details = {"wanted": wanted}
        self._both(lambda notifier, _: notifier.notify(event, details))
        assert details == {"wanted": wanted}

    @rule()
    def go_on_with_a_copy(self):
        """Go on with copies; what is done to the others from now on matters no more."""
        copies = tuple(each.copy() for each in self.pair)
        for each in self.pair:
            each.reset()
        self.pair = copies

    @invariant()
    def the_same_was_heard(self):
        """Both have told the same, and have the same callbacks."""
        assert self.heard[0] == self.heard[1]
        assert len(self.pair[0]) == len(self.pair[1])
        found = [{e: len(who) for e, who in each.listeners_iter()} for each in self.pair]
        assert found[0] == found[1]


class BothRestricted(BothNotifiers):
    """The same of notifiers that know which events there are."""

    make_ours = staticmethod(lambda: RestrictedNotifier(["RUNNING", "SUCCESS"]))
    make_theirs = staticmethod(lambda: theirs.RestrictedNotifier(["RUNNING", "SUCCESS"]))


TestNotifiers = BothNotifiers.TestCase
TestRestricted = BothRestricted.TestCase

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.text(max_size=3), values, max_size=3)
        | st.lists(values, max_size=2).map(tuple)
    ),
    max_leaves=12,
)


def change(value):
    """Change each container in a value."""
    if isinstance(value, dict):
        for each in list(value.values()):
            change(each)
        value["changed"] = True
    elif isinstance(value, (list, tuple)):
        for each in value:
            change(each)
        if isinstance(value, list):
            value.append("changed")


@given(details=st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_what_a_listener_changes_nobody_else_sees(details):
    """Each listener is told the same, whatever the others do to it; so is whoever notified."""
    before, heard = copy.deepcopy(details), []

    def callback(event, details, number):
        heard.append(copy.deepcopy(details))
        change(details)

    notifier = Notifier()
    for number in range(3):
        # A callback of its own for each: the same one cannot be registered twice.
        notifier.register("*", partial(callback), kwargs={"number": number})
    notifier.notify("RUNNING", details)
    assert notifier.errors == []
    assert heard == [before] * 3
    assert details == before


@given(value=VALUES)
def test_a_copy_is_equal(value):
    """A copy is equal to what it is of, and of the same types."""
    assert own(value) == value
    assert repr(own(value)) == repr(value)
