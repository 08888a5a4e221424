from __future__ import annotations

import subprocess
import sys
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from pytest_taskprogress.checks.snapshots import line_of, normalised, snapshot
from pytest_taskprogress.core.transitions import History, Source, Transition

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"


def a_write(state: str = "PROGRESS", uuid: str = ONE, **changes: Any) -> Transition:
    """Make a transition."""
    parts: dict[str, Any] = {"index": 0, "kind": "task", "name": "app.load", "old_state": "STARTED"}
    return Transition(**{**parts, "uuid": uuid, "state": state, **changes})


def meta_of(meta: Any, uuid: str = ONE, **changes: Any) -> Any:
    """What becomes of a meta."""
    return normalised([a_write(uuid=uuid, meta=meta, **changes)])[0]["meta"]


def text_of(text: str, uuid: str = ONE) -> str:
    """What becomes of a text."""
    return meta_of({"x": text}, uuid)["x"]


def a_run(one: str, two: str, host: str, at: float, directory: str) -> History:
    """Two tasks, as a machine writes them."""
    report = {"pending": False, "description": f"{one} began {two}", "current": 1, "percent": 25.0}
    source = Source(f"{directory}tasks.py", int(at) + 3)
    return History(
        [
            a_write("STARTED", one, old_state="PENDING", meta={"pid": len(host), "hostname": host}),
            a_write(
                uuid=one, meta={**report, "percent": 25.0, "elapsed": at}, source=source, at=at
            ),
            a_write("SUCCESS", two, result=[one, OTHER], at=at),
            a_write(uuid=one, old_state="SUCCESS", stored=False, meta={"description": host}),
        ]
    )


def test_snapshot_is_a_line_each_transition() -> None:
    """Task, name, step, percentage, message, the rest, result, and file."""
    assert snapshot(a_run(ONE, TWO, "celery@vm", 0.5, "/home/me/")).splitlines() == [
        "task-1  app.load  PENDING -> STARTED",
        'task-1  app.load  STARTED -> PROGRESS  25.0 %  "task-1 began task-2"  {"current": 1, "pending": false}  at tasks.py',  # noqa: E501
        'task-2  app.load  STARTED -> SUCCESS  result=["task-1", "id-1"]',
        'task-1  app.load  SUCCESS -> PROGRESS  "<hostname>"  (dropped by the backend)',
    ]


def test_snapshot_is_the_same_on_every_machine() -> None:
    """Ids, times, hosts, processes and directories differ; the text does not."""
    here = a_run(ONE, TWO, "celery@vm", 0.5, "/home/me/")
    there = a_run(str(uuid4()), str(uuid4()), "worker@ip-10-0-0-7.local", 17.25, "C:\\src\\")
    assert snapshot(here) == snapshot(there)
    assert normalised(here) == normalised(there)


def test_snapshot_of_nothing_says_so() -> None:
    """An empty string would look as if it had been forgotten."""
    assert snapshot(History()) == "(nothing was written)"
    assert normalised(History()) == []


def test_snapshot_can_leave_out_more() -> None:
    """What only its author knows to be volatile, and the files."""
    write = a_write(meta={"elapsed": 1, "temperature": 21.5, "x": 1}, source=Source("/a/b.py", 1))
    assert snapshot([write], volatile=["temperature"], sources=False) == (
        'task-1  app.load  STARTED -> PROGRESS  {"x": 1}'
    )


def test_lines_without_a_task_or_a_name() -> None:
    """Metas from elsewhere have neither; a line from a file may lack anything."""
    assert snapshot([a_write(name=None, uuid="")]) == "STARTED -> PROGRESS"
    assert line_of({}) == "None -> None"
    assert line_of({"state": "A", "old_state": "B", "meta": 3, "source": 4}) == "B -> A  at 4"


def test_percentages_that_are_none_stay_with_the_rest() -> None:
    """A text, or a truth value, is not shown as a number."""
    assert '{"percent": "half"}' in snapshot([a_write(meta={"percent": "half"})])
    assert '{"percent": true}' in snapshot([a_write(meta={"percent": True})])
    assert '{"description": 3}' in snapshot([a_write(meta={"description": 3})])


# -- ids -------------------------------------------------------------------------------------------


def test_ids_are_numbered_as_they_appear() -> None:
    """Also where a child is named before it writes, as a value, a key, and inside of text."""
    history = [
        a_write(uuid=TWO, meta={"made": {ONE: f"/jobs/{OTHER}/log"}}),
        a_write(uuid=ONE),
    ]
    first, second = normalised(history)
    assert (first["task"], second["task"]) == ("task-1", "task-2")
    assert first["meta"] == {"made": {"task-2": "/jobs/id-1/log"}}


@pytest.mark.parametrize(
    ("uuid", "text", "expected"),
    [
        (ONE, f"done {ONE}.", "done task-1."),
        (ONE, f"import-{ONE}_x", "import-task-1_x"),
        (ONE, ONE[1:], ONE[1:]),
        (f"import-{ONE}", f"(import-{ONE})", "(task-1)"),
        (f"import-{ONE}", ONE, "id-1"),
        ("user:42:nightly", "of user:42:nightly, again", "of task-1, again"),
        ("user 42 nightly", "user 42 nightly", "task-1"),
        ("nightly-42", "/jobs/nightly-42/log", "/jobs/task-1/log"),
        ("nightly-42", "nightly-421", "nightly-421"),
        ("load", "load", "load"),
        ("1", "1 of 3", "1 of 3"),
        (UUID(ONE).hex, f"key={UUID(ONE).hex}", "key=task-1"),
    ],
)
def test_ids_are_found_in_text(uuid: str, text: str, expected: str) -> None:
    """Ids of any form, if they are whole; a short one is too likely to be a word."""
    assert text_of(text, uuid) == expected


# -- moments and places ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2024-05-01T10:20:30.123456+00:00, ok", "at <time>, ok"),
        ("2024-05-01 10:20:30,5", "<time>"),
        ("2024-05-01T10:20Z", "<time>"),
        ("until 2024-05-01", "until <date>"),
        ("12024-05-011", "12024-05-011"),
        ("<Row object at 0x7f3ccf5366d0>", "<Row object at 0x...>"),
        ("0x1F", "0x1F"),
        ("/tmp/pytest-of-root/pytest-12/test_a0/a.csv", "<tmp>/test_a0/a.csv"),  # noqa: S108
        ("'/tmp/pytest-of-me/pytest-3/popen-gw11/a'", "'<tmp>/a'"),
        (r"file=C:\Temp\pytest-of-me\pytest-3\a", r"file=<tmp>\a"),
        ("3 of 4 rows, 50 %", "3 of 4 rows, 50 %"),
    ],
)
def test_moments_and_places_are_replaced(text: str, expected: str) -> None:
    """What a program writes of when and where it runs; a number that means something stays."""
    assert text_of(text) == expected


@pytest.mark.parametrize(
    ("host", "text", "expected"),
    [
        ("celery@vm-7", "celery@vm-7 on vm-7", "<hostname> on <hostname>"),
        ("celery@build", "celery@build began to build", "<hostname> began to build"),
        (None, "None", "None"),
    ],
)
def test_hosts_are_replaced(host: str | None, text: str, expected: str) -> None:
    """The names that the worker stored; not one that is a word on every other machine."""
    history = [a_write("STARTED", meta={"hostname": host}), a_write(meta={"x": text})]
    assert normalised(history)[1]["meta"]["x"] == expected


# -- values ----------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Opaque:
    def __repr__(self) -> str:
        return "<opaque>"


def circle() -> list[Any]:
    """A list that contains itself."""
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, [2.5, None, True]), [1, [2.5, None, True]]),
        ({1: {"pid": 3}}, {"1": {"pid": 3}}),
        ({"b", "a"}, ["a", "b"]),
        (ValueError(ONE), "ValueError: task-1"),
        (Opaque(), "<opaque>"),
        (b"x", "b'x'"),
        (Text("x"), "x"),
        (10**299, 10**299),
    ],
)
def test_values_become_plain(value: object, expected: object) -> None:
    """Whatever a serializer lets through; keys are volatile only at the top."""
    assert meta_of({"x": value})["x"] == expected


def test_values_that_json_has_not_are_cut() -> None:
    """Circles, and integers that nobody can write."""
    assert "..." in str(meta_of({"x": circle()}))
    assert isinstance(meta_of({"x": 10**5000})["x"], str)
    assert snapshot([a_write(meta={"x": float("nan")})]).endswith('{"x": NaN}')


def test_a_result_is_said_once() -> None:
    """A dict that a task returns is stored as its meta; anything else is shown."""
    same = {"percent": 100.0, "elapsed": 3}
    entries = normalised(
        [
            a_write("SUCCESS", meta=same, result={**same, "elapsed": 4}),
            a_write("SUCCESS", result=7),
            a_write("SUCCESS", result={"a": 1}),
        ]
    )
    assert [each["result"] for each in entries] == [None, 7, {"a": 1}]


@pytest.mark.parametrize("text", ["\x1b[31m", "\n", "\ud800", "\u2028", "\x7f", "\U000e0001", "é"])
def test_snapshots_are_lines_that_any_file_takes(text: str) -> None:
    """No control character, no half of a surrogate pair; what is printable is readable."""
    shown = snapshot([a_write(name=f"a{text}", meta={"description": text, text: text})])
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert (text in shown) == text.isprintable()


def test_keys_are_sorted() -> None:
    """The order in which a dict was filled does not count."""
    assert snapshot([a_write(meta={"b": 1, "a": 2})]) == snapshot([a_write(meta={"a": 2, "b": 1})])


def test_texts_of_a_megabyte_take_no_time() -> None:
    """Each pattern goes through a text once."""
    texts = ["x" * 10**6, "a." * 10**5, "pytest-of-/" * 10**5, "1234-" * 10**5, "/a" * 10**5]
    start = time.perf_counter()
    snapshot([a_write(meta={"x": each}) for each in texts])
    assert time.perf_counter() - start < 5


def test_many_texts_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of a million messages is not kept twice."""
    monkeypatch.setattr("pytest_taskprogress.checks.snapshots._MOST_TEXTS", 2)
    texts = [f"row {each}" for each in range(9)]
    assert meta_of({"x": texts})["x"] == texts


# -- other people's tools --------------------------------------------------------------------------

_TEST = """
from pytest_taskprogress.checks.snapshots import snapshot as text_of
from pytest_taskprogress.core.transitions import Source, Transition

UUID = {uuid!r}

def a_text(state="PROGRESS"):
    text = 'it\\'s "50 %" \\\\ é \\x1b[31m \\ud800 {{'
    meta = {{"description": text, "percent": 50.0, "id": UUID}}
    first = Transition(0, "task", "app.load", UUID, "PENDING", "STARTED", {{"hostname": "x@y"}})
    second = Transition(1, "task", "app.load", UUID, "STARTED", state, meta,
                        source=Source("/a/tasks.py", 3))
    return text_of([first, second])
"""


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugins but the named one, as the others take their time; no sign of xdist, or of CI."""
    for name in ("CI", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


INLINE = ("-p", "inline_snapshot.pytest_plugin")
SYRUPY = ("-p", "syrupy")


def _outcome(pytester: pytest.Pytester, *options: str) -> dict[str, int]:
    # A process of its own: these plugins patch what the outer run uses.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    return {key: count for key, count in result.parseoutcomes().items() if key != "warnings"}


@pytest.mark.usefixtures("_alone")
def test_inline_snapshot_takes_it(pytester: pytest.Pytester) -> None:
    """It writes the text into the test, which passes from then on, and fails after a change."""
    pytest.importorskip("inline_snapshot")
    use = "\nfrom inline_snapshot import snapshot\n"
    body = f"{use}def test_it():\n    assert a_text() == snapshot()\n"
    test = pytester.makepyfile(_TEST.format(uuid=ONE) + body)
    _outcome(pytester, *INLINE, "--inline-snapshot=create")
    written = test.read_text(encoding="utf-8")
    assert "task-1  app.load  PENDING -> STARTED" in written
    test.write_text(written.replace(ONE, TWO), encoding="utf-8")
    assert _outcome(pytester, *INLINE, "--inline-snapshot=disable") == {"passed": 1}
    test.write_text(written.replace("a_text()", "a_text('UPLOADING')"), encoding="utf-8")
    assert _outcome(pytester, *INLINE, "--inline-snapshot=disable") == {"failed": 1}


@pytest.mark.usefixtures("_alone")
def test_syrupy_takes_it(pytester: pytest.Pytester) -> None:
    """It writes the text beside the test, which passes from then on, and fails after a change."""
    pytest.importorskip("syrupy")
    body = "\ndef test_it(snapshot):\n    assert a_text() == snapshot\n"
    test = pytester.makepyfile(_TEST.format(uuid=ONE) + body)
    assert _outcome(pytester, *SYRUPY, "--snapshot-update") == {"passed": 1}
    written = test.read_text(encoding="utf-8")
    test.write_text(written.replace(ONE, TWO), encoding="utf-8")
    assert _outcome(pytester, *SYRUPY) == {"passed": 1}
    test.write_text(written.replace("a_text()", "a_text('UPLOADING')"), encoding="utf-8")
    assert _outcome(pytester, *SYRUPY) == {"failed": 1}


def test_snapshots_are_the_same_in_every_process() -> None:
    """The order of a set is another one in each process."""
    code = (
        "from pytest_taskprogress.checks.snapshots import snapshot\n"
        "from pytest_taskprogress.core.transitions import Transition\n"
        "meta = {'x': set(map(str, range(20)))}\n"
        "print(snapshot([Transition(0, 'task', 'a', 'id', 'STARTED', 'PROGRESS', meta)]))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
