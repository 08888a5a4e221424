"""Colours of what a failing test shows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_taskprogress.report.colours import Colours, coloured

RED, DIM, OFF = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"


@pytest.mark.parametrize(
    ("line", "style"),
    [
        ("> 2   0.000 PROGRESS -> SUCCESS", RED),
        (">  50   0.000 PROGRESS -> PROGRESS", RED),
        ("> (nothing more)", RED),
        ("Expected: PROGRESS* SUCCESS", RED),
        ("Instead of SUCCESS came PROGRESS", RED),
        ("  -- asked to abort, at shop.py:3", DIM),
        ("  ... 1,490 more ...", DIM),
        ("before: shop.add[1] SUCCESS after 0 s", DIM),
        ("  # seconds old -> new  message", DIM),
        ("     # seconds old -> new  message", DIM),
        ("  2   0.000 PROGRESS -> SUCCESS", None),
        ("shop.add[1] SUCCESS after 0 s", None),
        (">no mark", None),
        ("", None),
    ],
)
def test_a_line(line, style):
    """The marked line and what was expected are red, what is beside it is dim."""
    assert coloured(line) == (line if style is None else f"{style}{line}{OFF}")


def test_lines_stay():
    """Nothing but colours is added."""
    text = "a\n> b\n\n  ... 3 more ...\n"
    assert coloured(text).replace(RED, "").replace(DIM, "").replace(OFF, "") == text
    assert coloured(text).split("\n")[1] == f"{RED}> b{OFF}"


def report(*, failed=True):
    """A report of a test, with a section of ours and one of somebody's."""
    sections = [("taskprogress", "> a"), ("Captured stdout call", "> a")]
    return SimpleNamespace(failed=failed, sections=sections)


def terminal(*, hasmarkup):
    """A config of pytest with a terminal."""
    plugins = {"terminalreporter": SimpleNamespace(hasmarkup=hasmarkup)}
    return SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get))


def test_where_the_terminal_has_it():
    """Our own sections are coloured, and nobody else's."""
    given = report()
    Colours(terminal(hasmarkup=True)).pytest_runtest_logreport(given)
    assert given.sections == [("taskprogress", f"{RED}> a{OFF}"), ("Captured stdout call", "> a")]


@pytest.mark.parametrize("config", ["a pipe", "none"])
def test_where_it_has_not(config):
    """Without a terminal, or colours in it, nothing is changed."""
    given = report()
    nowhere = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda _: None))
    colours = Colours(nowhere if config == "none" else terminal(hasmarkup=False))
    colours.pytest_runtest_logreport(given)
    assert given.sections == report().sections


def test_a_test_that_passed():
    """A report of a test that passed is not looked at."""
    given = report(failed=False)
    Colours(terminal(hasmarkup=True)).pytest_runtest_logreport(given)
    assert given.sections == report().sections
