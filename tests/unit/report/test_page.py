from __future__ import annotations

import sys
import time
from html.parser import HTMLParser
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.report.page import render, write
from tests.browser.example_data import (
    SCRIPT,
    Recorder,
    aborted_run,
    case,
    chord_run,
    many,
    nasty,
    reach_table,
    session,
    simple_run,
)

NASTY = {
    "script": SCRIPT,
    "end of script": "</script><script>alert(1)</script>",
    "end of style": "</style><img src=x onerror=alert(1)>",
    "attribute": "\"'> onmouseover=alert(1) x='",
    "entity": "&lt;b&gt; &amp;quot; &#x3c;",
    "template": "{{ 7 * 7 }} {% raw %} {# #}",
    "control": "\x00\x07\x1b[31m\x7f\x9b\u2028\u202e\ufeff",
    "surrogates": "\ud800 \udc80",
    "newlines": "a\r\nb\tc",
    "empty": "",
    "long": "x" * 1_000_000,
}


class Reader(HTMLParser):
    """What there is in a page: its text, its elements with their attributes' names."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.elements, self.ids = [], set(), []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):  # noqa: D102 - HTMLParser's
        names = tuple(sorted(name for name, _ in attrs))
        self.elements.add((tag, names))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):  # noqa: D102 - as above
        if self.lasttag not in {"style", "script"}:
            self.texts.append(data)

    @property
    def text(self):
        """What is read, in words."""
        return " ".join(" ".join(self.texts).split())


def read(data):
    """The page of some data, read."""
    return Reader(render(data))


def test_page_says_what_happened():
    """Every part of the record is in the text of the page."""
    text = read(session()).text
    for expected in (
        "Shop: task progress",
        "2025-11-03 celery 5.7.0 pytest 9.2.0",
        "tests/test_shop.py:: test_book_is_bound",
        "CheckFailed: the run ended in FAILURE",
        "9 tasks · 42 writes · 0 s",
        "terminal PROGRESS was written after SUCCESS, and dropped by the backend",
        "shop.tasks.upload_image · shop/tasks.py:73",
        "OSError: image-3.png is truncated",
        "Abort(at_percent(50))",
        "abort asked for",
        "↻ 2 retries",
        "by time, from 0 s to 58.5 s",
        "… 9,942 more",
        "64 alike",
        "PROGRESS → ABORTED",
        "62.5 % of the lines that report were reached",
        "9 of 39 steps from state to state were seen",
        "shop.tasks.close_shop shop/tasks.py:120 never never",
        "an abort was honoured",
    ):
        assert expected in text


def test_failed_tests_come_first_then_findings():
    """What went wrong is seen first: failures, findings, the rest in its own order."""
    page = render(session())
    names = ("test_book_is_bound", "test_counts_every_shelf", "test_reports_every_row")
    positions = [page.index(f"::</small>{name}") for name in names]
    assert positions == sorted(positions)


def test_failed_tests_are_open():
    """A failed test and the runs of it that went wrong are open, others are not."""
    page = render(
        {
            "tests": [
                case("bad", simple_run(), chord_run(), simple_run(), outcome="failed"),
                case("good", simple_run(), simple_run()),
            ]
        }
    )
    assert page.count(" open>") == 2
    assert page.index(" open>") < page.index("::</small>bad")


def test_last_run_of_a_failed_test_is_open():
    """A failed test whose runs went well shows its last one."""
    page = render({"tests": [case("bad", simple_run(), simple_run(), outcome="failed")]})
    assert 'id=r2 data-k="ss" open>' in page
    assert 'id=r1 data-k="ss">' in page


def test_summary_counts_runs_that_are_alike():
    """A record that stands for several runs counts as so many."""
    text = read({"tests": [case("a", simple_run(3, alike=40), aborted_run())]}).text
    assert "tests 1 runs 41 tasks 41 writes 207 findings 0 aborts asked for 1 retries 0" in text


def test_needs_no_network():
    """The page names no address, and forbids what it does not hold."""
    page = render(session())
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page


def test_script_is_the_one_that_is_allowed():
    """The policy names the hash of the page's only script."""
    page = render(session())
    assert page.count("<script") == 1
    assert "script-src 'sha256-" in page
    assert "unsafe-inline'; script-src" in page  # styles only


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_whatever_tasks_write_is_text(text, tmp_path):
    """No text adds an element or an attribute, and any can be stored."""
    path = tmp_path / "report.html"
    write(path, nasty(text))
    page = path.read_text(encoding="utf-8")
    allowed = read(nasty("harmless")).elements | read(nasty("")).elements
    found = Reader(page)
    assert found.elements <= allowed
    assert len(found.ids) == len(set(found.ids))
    assert len(page) < 400_000
    assert not set(page) & set("\x00\x07\x1b\x7f\x9b\u202e\ufeff")


def test_script_in_a_message_is_read_as_text():
    """What a task wrote is read as it was written."""
    assert SCRIPT in read({"tests": [case("a", simple_run(message=SCRIPT))]}).text


@pytest.mark.parametrize("value", [None, 7, [], {}, [None, 3, "x"], {"a": [1]}, float("nan")])
def test_nothing_is_trusted(value):
    """Values of any type where others are expected are left out."""
    run = dict.fromkeys(simple_run(), value)
    task = dict.fromkeys(simple_run()["tasks"][0], value)
    write_ = dict.fromkeys(simple_run()["tasks"][0]["writes"][0], value)
    test = dict.fromkeys(case("a"), value)
    for data in (
        dict.fromkeys(session(), value),
        {"tests": [test]},
        {"tests": [{"runs": [run]}]},
        {"tests": [{"runs": [{"tasks": [task], "findings": [{"rule": value, "task": value}]}]}]},
        {"tests": [{"runs": [{"tasks": [{"writes": [write_, write_], "left_out": 2}]}]}]},
        {"reach": {"edges": [{"old": value}], "sites": [{"task": value}], "percent": value}},
    ):
        assert render(data).endswith("</html>")


KEYS = sorted({*session(), *case("a"), *simple_run(), *simple_run()["tasks"][0], "index", "at"})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@settings(max_examples=max(10, settings().max_examples // 3))
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING), ANYTHING, ANYTHING)
def test_any_data_makes_a_page(data, run, task):
    """Whatever JSON can say makes a page that can be stored."""
    data["tests"] = [{"runs": [run, {"tasks": [task, {"writes": [task]}]}], "outcome": run}]
    assert render(data).encode("utf-8")


def test_no_test():
    """A session without tests says so."""
    text = read({}).text
    assert "No test used an engine." in text
    assert "Transition coverage" not in text


def test_test_without_a_run_and_run_without_a_write():
    """Nothing is shown of what did not happen, and it is said."""
    text = read({"tests": [case("a"), case("b", Recorder().run("PENDING", None))]}).text
    assert "a 0 runs" in text
    assert "group 0 tasks · 0 writes" in text
    assert "Nothing was written." in text


def test_reach_without_sites():
    """A table without report sites shows its steps."""
    table = {**reach_table(), "sites": []}
    text = read({"reach": table}).text
    assert "Steps from an old state" in text
    assert "task line reached aborted" not in text


def test_many_findings_are_counted():
    """Of very many findings some are shown, and the others are counted, by rule too."""
    findings = [{"rule": "monotonic", "message": f"number {each}"} for each in range(1_000)]
    page = render({"tests": [case("a", simple_run(findings=findings))]})
    assert "… 950 more findings" in page
    assert "<td class=i>1,000<td class=i>1" in page


def test_many_tasks_are_counted():
    """Of very many tasks the ends and those that went wrong are drawn, the others counted."""
    recorder = Recorder()
    for each in range(2_000):
        recorder.write(recorder.task("each"), "FAILURE" if each == 1_000 else "SUCCESS")
    page = render({"tests": [case("a", recorder.run("SUCCESS"))]})
    assert "… 975 more tasks" in page
    assert "… 974 more tasks" in page
    assert '<b class="c f">FAILURE</b> <span class=m>1 write</span>' in page


def test_many_events_are_counted():
    """A scenario of several events names the first, and says how many there are."""
    page = render({"tests": [case("a", simple_run(under=["Abort(at_write(1))", "Advance()"]))]})
    assert "⚡ Abort(at_write(1)) +1" in page
    assert "<code>Advance()</code>" in page


def test_large_session():
    """A run of 5 writes takes less than 1,500 bytes and 1.5 ms, so that 10,000 make one page."""
    begin = time.process_time()
    page = render(many(10, 200))
    assert time.process_time() - begin < 3  # of 0.4 s on a quiet machine
    assert len(page.encode()) / 2_000 < 1_500
    assert "without detail" not in page


def test_detail_is_left_out_of_a_huge_session(monkeypatch):
    """Beyond a number of writes runs have a headline only, but what went wrong; it is counted."""
    monkeypatch.setattr("pytest_taskprogress.report.cases._MOST_LISTED", 60)
    findings = [{"rule": "bounded", "message": "101 %"}]
    page = render(
        {"tests": [case("a", *[simple_run(alike=2)] * 15, simple_run(findings=findings))]}
    )
    assert "10 runs without anything wrong are shown without detail" in page
    assert page.count("<p class=r ") == 5
    assert page.count("<details class=r ") == 11
    assert "101 %" in page


def test_same_data_makes_the_same_page():
    """The page is a function of its data."""
    assert render(session()) == render(session())


def test_write_makes_folders(tmp_path):
    """A folder that does not exist is made, and the page is all of the file."""
    path = tmp_path / "new" / "report.html"
    write(str(path), session())
    assert path.read_text(encoding="utf-8") == render(session())


def test_path_that_cannot_be_written(tmp_path):
    """A path that is a folder is an error that says so."""
    with pytest.raises(OSError, match=r"directory|denied"):
        write(tmp_path, session())


def test_without_jinja(monkeypatch):
    """Without the library of templates the error says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "pytest_taskprogress.report.page")
    with pytest.raises(TaskProgressError, match=r"pip install 'pytest-taskprogress\[report\]'"):
        import_module("pytest_taskprogress.report.page")
