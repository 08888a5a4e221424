# ruff: noqa: D103 - what each is for its name says
"""Tests that pass: what is reported, and recorded, of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import add, falls, import_users, odd


def test_twice(taskprogress):
    taskprogress.run(import_users, [1, 2])
    taskprogress.run(add, 1, 2)


@pytest.mark.parametrize("number", [1, 2, "a/b ☃"])
def test_parametrized(taskprogress, number):
    taskprogress.run(import_users, [number])


def test_no_run(taskprogress):
    pass


def test_without_engine():
    pass


@pytest.fixture
def ran(taskprogress):
    return taskprogress.run(add, 1, 2)


def test_fixture(ran):
    assert ran.result == 3


def test_elsewhere(taskprogress, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taskprogress.run(add, 1, 2)


@settings(max_examples=5, derandomize=True, database=None)
@given(number=st.integers())
def test_given(taskprogress, number):
    taskprogress.run(add, number, 1)


@pytest.mark.filterwarnings("ignore::pytest_taskprogress.TaskProgressWarning")
def test_faulty(taskprogress):
    taskprogress.run(falls)


def test_odd(taskprogress):
    taskprogress.run(odd)


def test_skipped(taskprogress):
    pytest.skip("not today")
