"""What is told of the sweeps of all tests."""

from __future__ import annotations

from types import SimpleNamespace

from pytest_taskprogress.report.sweeps import PROPERTY, told


def report(nodeid, *sweeps, when="call"):
    """A report of a test that swept."""
    properties = [("other", 3), *((PROPERTY, each) for each in sweeps)]
    return SimpleNamespace(nodeid=nodeid, when=when, user_properties=properties)


def test_none():
    """Without a sweep nothing is told; what is no report of a test is not looked at."""
    assert told([], verbose=True) == []
    assert told([report("a"), SimpleNamespace(nodeid="warning")], verbose=True) == []


def test_one():
    """One is told in the singular."""
    assert told([report("a", "4 runs of x")], verbose=False) == ["taskprogress: 4 runs in a sweep"]


def test_many():
    """Runs of all of them are counted, each once: a test has three reports."""
    reports = [
        report("a", "4 runs of x", when="setup"),
        report("a", "4 runs of x", "1 of 9 runs of y"),
        report("a", "4 runs of x", when="teardown"),
        report("b", "3 runs of x"),
    ]
    assert told(reports, verbose=True) == [
        "taskprogress: 8 runs in 3 sweeps",
        "  a: 4 runs of x",
        "  a: 1 of 9 runs of y",
        "  b: 3 runs of x",
    ]
