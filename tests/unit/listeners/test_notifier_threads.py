"""The notifier when threads notify, register and deregister at once."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_taskprogress import Notifier, RestrictedNotifier

THREADS = 8
NOTIFICATIONS = 100_000


@pytest.fixture
def often():
    """Lets threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work, threads=THREADS):
    """Let threads work at the same time, each with its number; returns what each returned."""
    barrier = threading.Barrier(threads)

    def begin(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_nothing_lost_and_nothing_twice(often):
    """Those who stay are told of every notification, once, while others come and go."""
    notifier = Notifier()
    told = {"*": [], "X": []}
    for event, heard in told.items():
        notifier.register(event, lambda _, heard, details: heard.append(details["n"]), args=[heard])
    each = NOTIFICATIONS // THREADS
    passers_by = []

    def work(number):
        for count in range(each):
            if count % 25 == 0:
                mine = []

                def hear(event, details, mine=mine):
                    mine.append(details["n"])

                event = ("*", "X", "Y")[count % 3]
                notifier.register(event, hear, args=[], kwargs={})
                notifier.notify("X", {"n": (number, count)})
                assert notifier.is_registered(event, hear)
                assert notifier.deregister(event, hear)
                assert not notifier.deregister(event, hear)
                passers_by.append((event, (number, count), mine))
            else:
                notifier.notify("X", {"n": (number, count)})

    together(work)
    expected = {(number, count) for number in range(THREADS) for count in range(each)}
    for heard in told.values():
        assert len(heard) == NOTIFICATIONS
        assert set(heard) == expected
    for event, own, heard in passers_by:
        # What was told between registering and deregistering it heard, its own thread's for sure.
        assert Counter(heard)[own] == (event != "Y")
        assert len(set(heard)) == len(heard)
    assert notifier.errors == []
    assert len(notifier) == 2


def test_a_thread_hears_its_own_in_order(often):
    """Of each thread, what it told is heard in the order in which it told it."""
    notifier = Notifier()
    heard = []
    notifier.register("X", lambda _, details: heard.append(details["n"]))
    together(lambda number: [notifier.notify("X", {"n": (number, n)}) for n in range(1_000)])
    for number in range(THREADS):
        assert [n for who, n in heard if who == number] == list(range(1_000))


def test_one_of_those_who_register_the_same(often):
    """Of threads that register the same callback at once, one can; so it is with deregistering."""
    notifier = Notifier()

    def hear(event, details):
        """Do nothing."""

    def register(number):
        try:
            notifier.register("X", hear)
        except ValueError:
            return False
        return True

    for _ in range(200):
        assert sum(together(register, threads=4)) == 1
        assert len(notifier) == 1
        assert sum(together(lambda _: notifier.deregister("X", hear), threads=4)) == 1
        assert len(notifier) == 0


def test_counted_once(often):
    """Who is deregistered by event type is counted by one thread."""
    notifier = Notifier()
    for _ in range(100):
        for number in range(10):
            notifier.register("X", lambda event, details: None, args=[number])
        assert sum(together(lambda _: notifier.deregister_event("X"), threads=4)) == 10


def test_all_the_rest_at_once(often):
    """Copying, iterating, resetting and asking never raise while others change it."""
    notifier = RestrictedNotifier(["X", "Y"])

    def work(number):
        for _ in range(300):

            def hear(event, details):
                """Do nothing."""

            notifier.register("X", hear)
            copy = notifier.copy()
            assert all(listeners for _, listeners in copy.listeners_iter())
            assert all(listeners for _, listeners in notifier.listeners_iter())
            assert len(copy) == sum(len(listeners) for _, listeners in copy.listeners_iter())
            notifier.notify("Y", {})
            notifier.is_registered("Y", hear)
            if number == 0:
                notifier.reset()
            notifier.deregister("X", hear)

    together(work)
    assert len(notifier) == 0
    assert notifier.errors == []


def test_errors_of_all(often):
    """What callbacks raise in several threads is all kept, up to the bound."""
    notifier = Notifier()

    def broken(event, details):
        raise ZeroDivisionError(details["n"])

    notifier.register("X", broken)
    together(lambda number: [notifier.notify("X", {"n": (number, n)}) for n in range(50)])
    assert {each.args[0] for each in notifier.errors} == {
        (number, n) for number in range(THREADS) for n in range(50)
    }
    assert len(notifier.errors) == THREADS * 50


def test_registering_in_a_callback_while_others_do(often):
    """A callback may register and deregister, in whichever thread it is told: nothing blocks."""
    notifier = Notifier()

    def changes(event, details):
        def hear(event, details):
            """Do nothing."""

        notifier.register("Y", hear)
        notifier.notify("Y", {})
        assert notifier.deregister("Y", hear)

    notifier.register("X", changes)
    together(lambda _: [notifier.notify("X", {}) for _ in range(500)])
    assert notifier.errors == []
    assert len(notifier) == 1
