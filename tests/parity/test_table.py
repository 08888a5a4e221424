"""The table of cases, and its copy in the documentation."""

from __future__ import annotations

from tests.parity.cases import CASES, PAGE, POINTS, updated


def test_the_page_lists_the_cases():
    """docs/parity.md has exactly the cases that are run, with their states."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page), "run: python -m tests.parity.cases"


def test_every_case_has_a_name_of_its_own():
    """A name stands for one case, and fits into the page's table."""
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert not [text for case in CASES for text in (case.name, case.what) if "|" in text]


def test_every_point_has_cases():
    """There are at least 40 cases, and none of the points is empty."""
    assert len(CASES) >= 40
    assert {int(case.name[0]) for case in CASES} == set(POINTS)
