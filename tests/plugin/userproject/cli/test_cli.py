# ruff: noqa: D103 - what each is for its name says
"""On the command line: strict, ignore complete, a max-gap of 60. And rules by a hook."""

from __future__ import annotations

import pytest
from shop import import_users, overshoots, pauses, send_letters, stops_short


def test_strict(taskprogress):
    taskprogress.run(overshoots)


@pytest.mark.taskprogress(strict=False)
def test_lenient(taskprogress):
    taskprogress.run(overshoots)


@pytest.mark.taskprogress(ignore=["bounded"])
def test_ignored_too(taskprogress):
    taskprogress.run(overshoots)
    taskprogress.run(stops_short)


def test_ignored(taskprogress):
    taskprogress.run(stops_short)


def test_gap(taskprogress):
    taskprogress.run(pauses)


@pytest.mark.taskprogress(max_gap=300)
def test_longer_gap(taskprogress):
    taskprogress.run(pauses)


@pytest.mark.taskprogress(max_gap=False)
def test_no_gap(taskprogress):
    taskprogress.run(pauses)


def test_quiet(taskprogress):
    taskprogress.run(send_letters, ["HELLO"])


@pytest.mark.taskprogress(ignore=["quiet"])
def test_loud(taskprogress):
    taskprogress.run(send_letters, ["HELLO"])


@pytest.mark.taskprogress(few_writes=2)
def test_few(taskprogress):
    taskprogress.run(import_users, [1, 2])


def test_many(taskprogress):
    taskprogress.run(import_users, [1, 2])
