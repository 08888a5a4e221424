from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_taskprogress.checks.golden import (
    Change,
    GoldenError,
    Recorded,
    Verdict,
    compare,
    golden_path,
    read_golden,
    write_golden,
)
from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.core.transitions import History, Source, Transition

NODEID = "tests/unit/test_load.py::TestLoad::test_rows[3-\xe9]"
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


def a_history(
    *percents: float, end: str = "SUCCESS", uuid: str = ONE, text: str = "Row"
) -> History:
    """A task that starts, reports, and ends."""
    states = ["PENDING", "STARTED", *["PROGRESS"] * len(percents), end]
    metas: list[dict[str, Any]] = [
        {"pid": len(uuid), "hostname": "celery@vm"},
        *({"percent": each, "description": text, "elapsed": 0.5} for each in percents),
        {},
    ]
    source = Source(f"/home/{uuid}/tasks.py", 7)
    return History(
        Transition(
            *(index, "task", "app.load", uuid, states[index], states[index + 1], meta),
            source=source if meta.get("percent") else None,
        )
        for index, meta in enumerate(metas)
    )


def finding(rule: str, task: str | None = "app.load", message: str = "why") -> dict[str, Any]:
    """A violation of the contract."""
    return {"rule": rule, "task": task, "message": message, "source": "/a/tasks.py:3"}


def a_run(*percents: float, end: str = "SUCCESS", rules: str = "", **changes: Any) -> Recorded:
    """A run that is kept."""
    return Recorded(
        a_history(*percents, end=end, **changes), [finding(each) for each in rules.split()], end
    )


def compared(tmp_path: Path, old: list[Recorded], new: list[Recorded]) -> Verdict:
    """What became of runs since others were recorded."""
    write_golden(tmp_path, NODEID, old)
    return compare(read_golden(tmp_path, NODEID), new)


# -- verdicts --------------------------------------------------------------------------------------


def test_same_runs_are_the_same_elsewhere(tmp_path: Path) -> None:
    """Ids, directories and what a finding says in detail are another machine's."""
    there = Recorded(
        a_history(50.0, uuid=TWO), [finding("complete", message="other words")], "SUCCESS"
    )
    verdict = compared(tmp_path, [a_run(50.0, rules="complete")], [there])
    assert verdict == Verdict(Change.SAME)
    assert str(verdict) == "SAME"


def test_runs_without_golden_ones_are_new(tmp_path: Path) -> None:
    """A test that was written since."""
    verdict = compare(read_golden(tmp_path, NODEID), [a_run()])
    assert str(verdict) == "NEW: nothing was recorded of this test"


def test_a_change_shows_the_first_difference(tmp_path: Path) -> None:
    """Both lines, and which transition of which run."""
    old, new = [a_run(1), a_run(25.0, 50.0)], [a_run(1), a_run(25.0, 75.0)]
    assert str(compared(tmp_path, old, new)).splitlines() == [
        "CHANGED: run 2 of 2: transition 3 differs",
        '  recorded: task-1  app.load  PROGRESS -> PROGRESS  50.0 %  "Row"  at tasks.py',
        '  now:      task-1  app.load  PROGRESS -> PROGRESS  75.0 %  "Row"  at tasks.py',
    ]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            [Recorded(a_history(1)[:2], (), "")],
            [Recorded(a_history(1)[:1], (), "")],
            [
                "transition 2 differs (2 were recorded, there were 1 now)",
                '  recorded: task-1  app.load  STARTED -> PROGRESS  1 %  "Row"  at tasks.py',
                "  now:      (nothing more)",
            ],
        ),
        (
            [Recorded(History(), (), "PENDING")],
            [Recorded(History(), (), "SUCCESS")],
            ["it ended in SUCCESS, and not in PENDING as recorded"],
        ),
        (
            [a_run(1, rules="complete described")],
            [a_run(1, rules="described bounded")],
            ["no more: complete (app.load); now: bounded (app.load)"],
        ),
        (
            [a_run(1)],
            [a_run(1, rules="bounded bounded")],
            ["now: bounded (app.load), bounded (app.load)"],
        ),
        ([a_run(1)], [a_run(1), a_run(1)], ["1 runs were recorded, there were 2 now"]),
        (
            [a_run(1), a_run(1)],
            [a_run(1)],
            ["2 runs were recorded, there were 1 now"],
        ),
    ],
    ids=["shorter", "state", "findings", "a finding", "more runs", "fewer runs"],
)
def test_changes(tmp_path: Path, old: list[Recorded], new: list[Recorded], text: list[str]) -> None:
    """Whatever differs is said."""
    assert compared(tmp_path, old, new) == Verdict(Change.CHANGED, "\n".join(text))


def test_long_lines_are_cut_round_the_difference(tmp_path: Path) -> None:
    """A message of a megabyte does not hide where it differs."""
    old, new = ("x" * 5_000 + each + "y" * 10**6 for each in ("old", "new"))
    verdict = compared(tmp_path, [a_run(1, text=old)], [a_run(1, text=new)])
    recorded, now = verdict.text.splitlines()[1:]
    assert recorded.startswith(f"  recorded: ...{'x' * 60}old")
    assert now.startswith(f"  now:      ...{'x' * 60}new")
    assert len(recorded) < 400


def test_a_difference_that_a_line_does_not_show_is_shown_as_json(tmp_path: Path) -> None:
    """`3` as a source and `"3"` read alike."""
    path = write_golden(tmp_path, NODEID, [a_run()])
    path.write_text(path.read_text(encoding="utf-8").replace('"stored": true', '"stored": 1'))
    verdict = compare(read_golden(tmp_path, NODEID), [a_run()])
    assert '"stored": 1' in verdict.text
    assert '"stored": true' in verdict.text


@pytest.mark.parametrize(
    ("old", "new", "change", "text"),
    [
        ("complete", "", Change.FIXED, "no more: complete (app.load)"),
        ("complete bounded", "bounded", Change.FIXED, "no more: complete (app.load)"),
        ("complete complete", "complete", Change.FIXED, "no more: complete (app.load)"),
        (
            "complete",
            "bounded",
            Change.CHANGED,
            "no more: complete (app.load); now: bounded (app.load)",
        ),
    ],
)
def test_findings_that_are_gone_are_fixed(
    tmp_path: Path, old: str, new: str, change: Change, text: str
) -> None:
    """Unless something else became wrong."""
    verdict = compared(tmp_path, [a_run(1, rules=old)], [a_run(1, rules=new)])
    assert verdict.change is change
    assert verdict.text.splitlines()[0] == text


def test_a_failure_that_is_gone_is_fixed(tmp_path: Path) -> None:
    """The first difference is said as well, and of which run."""
    verdict = compared(tmp_path, [a_run(1), a_run(1, end="FAILURE")], [a_run(1), a_run(1)])
    assert str(verdict).splitlines() == [
        "FIXED: run 2 of 2: no more: it ended in FAILURE",
        "transition 3 differs",
        "  recorded: task-1  app.load  PROGRESS -> FAILURE",
        "  now:      task-1  app.load  PROGRESS -> SUCCESS",
    ]


def test_a_change_elsewhere_is_not_hidden_by_a_repair(tmp_path: Path) -> None:
    """One run is fixed, another one changed: somebody has to look."""
    old = [a_run(1, rules="complete"), a_run(1)]
    assert compared(tmp_path, old, [a_run(1), a_run(2)]).change is Change.CHANGED


def test_what_became_wrong_is_said_before_what_differs(tmp_path: Path) -> None:
    """It is what one wants to know first."""
    verdict = compared(tmp_path, [a_run(1)], [a_run(1, end="FAILURE", rules="bounded")])
    assert verdict.text.splitlines()[:2] == [
        "now: bounded (app.load), it ended in FAILURE",
        "transition 3 differs",
    ]


def test_findings_may_lack_anything(tmp_path: Path) -> None:
    """They come from rules of third parties."""
    old = [Recorded(History(), [{}, finding("x", None), finding("x", f"task {ONE}")], "")]
    verdict = compared(tmp_path, old, [Recorded(History(), [], "")])
    assert verdict.text == "no more: None, x, x (task id-1)"


# -- files -----------------------------------------------------------------------------------------


def test_files_are_json_lines(tmp_path: Path) -> None:
    """A header, then each run with its transitions: what a person reads in a diff."""
    path = write_golden(tmp_path / "new" / "directory", NODEID, [a_run(50.0, rules="complete")])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "format": "pytest-taskprogress golden histories",
        "version": 1,
        "nodeid": NODEID,
    }
    assert lines[1] == {
        "run": 1,
        "state": "SUCCESS",
        "transitions": 3,
        "findings": [{"rule": "complete", "task": "app.load", "message": "why"}],
    }
    assert list(lines[3]) == str.split("task name old_state state stored meta result source")
    assert lines[3]["source"] == "tasks.py"
    assert len(lines) == 5


def test_files_are_written_again_byte_for_byte(tmp_path: Path) -> None:
    """Recording what has not changed leaves nothing to commit; no other files are left."""
    path = write_golden(tmp_path, NODEID, [a_run(50.0)])
    before = path.read_bytes()
    assert write_golden(tmp_path, NODEID, [a_run(50.0, uuid=TWO)]) == path
    assert path.read_bytes() == before
    assert b"\r" not in before
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the order of hashes is there."""
    code = (
        "import sys; from pytest_taskprogress.checks.golden import *\n"
        "from pytest_taskprogress.core.transitions import *\n"
        "meta = {'x': set(map(str, range(20)))}\n"
        "one = Transition(0, 'task', 'a', 'id', 'STARTED', 'PROGRESS', meta)\n"
        "findings = [{'rule': each} for each in set('abcdef')]\n"
        "write_golden(sys.argv[1], 'a.py::test', [(History([one]), findings, 'X')])\n"
    )
    texts = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code, str(tmp_path)]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        texts.add(golden_path(tmp_path, "a.py::test").read_bytes())
    assert len(texts) == 1


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "\n", "\r\n", "\ud800", "\u2028", "\x85", "\ufeff", "é"]
)
def test_any_text_is_kept(tmp_path: Path, text: str) -> None:
    """Also what would end a line, or no encoding takes."""
    nodeid = f"{text}.py::test[{text}]"
    run = Recorded(a_history(1, text=text), [finding(text, text, text)], text)
    path = write_golden(tmp_path, nodeid, [run])
    assert compare(read_golden(tmp_path, nodeid), [run]).change is Change.SAME
    assert len(path.read_bytes().splitlines()) == 5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.1, 1e300, 10**299, -0.0])
def test_any_number_is_kept(tmp_path: Path, number: float) -> None:
    """It equals itself when it is read."""
    run = a_run(number)
    assert compared(tmp_path, [run], [run]).change is Change.SAME


@pytest.mark.parametrize(
    ("nodeid", "slug"),
    [
        (NODEID, "test-load-testload-test-rows-3"),
        ("a/b.py::test[x/y::z]", "b-test-x-y-z"),
        ("../../etc/passwd", "passwd"),
        ("é::é", "test"),
        ("", "test"),
        ("a.py::test[" + "x" * 5_000 + "]", "a-test-" + "x" * 73),
    ],
)
def test_names_of_files_can_be_read(nodeid: str, slug: str) -> None:
    """What the test is called, in letters that every file system has; of bounded length."""
    path = golden_path("golden", nodeid)
    assert path.parent == Path("golden")
    assert re.fullmatch(re.escape(slug) + r"-[0-9a-f]{10}\.jsonl", path.name)


def test_names_of_files_differ_where_case_does_not_count() -> None:
    """`test_A` and `test_a` are two tests."""
    names = {
        golden_path("d", f"a.py::{each}").name.lower() for each in ("test_A", "test_a", "test a")
    }
    assert len(names) == 3


_WRITER = """
import sys
from pytest_taskprogress.checks.golden import write_golden
from pytest_taskprogress.core.transitions import History, Transition

directory, nodeid, text = sys.argv[1:]
report = Transition(0, "task", "a", "id", "PROGRESS", "PROGRESS", {"description": text})
for _ in range(30):
    write_golden(directory, nodeid, [(History([report] * 99), [], "SUCCESS")])
"""


def test_whoever_reads_while_others_write_reads_one_of_them(tmp_path: Path) -> None:
    """A file takes its place at once, and is never seen half written."""
    nodeid = "a.py::test"
    command = [sys.executable, "-c", _WRITER, str(tmp_path), nodeid]
    writers = [subprocess.Popen([*command, each]) for each in "abc"]
    while any(each.poll() is None for each in writers):
        golden = read_golden(tmp_path, nodeid)
        if golden is not None:
            texts = [each["meta"]["description"] for each in golden.runs[0].transitions]
            assert texts in (["a"] * 99, ["b"] * 99, ["c"] * 99)
    assert [each.wait() for each in writers] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == [golden_path(tmp_path, nodeid)]


# -- bad input -------------------------------------------------------------------------------------


def _lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        (1, "", "no JSON"),
        (1, "[]", "expected an object"),
        (1, '{"hello": "world"}', 'expected {"format": '),
        (1, '{"format": "pytest-taskprogress golden histories", "version": 1}', "nodeid=None"),
        (2, "<<<<<<< HEAD", "no JSON"),
        (2, "{}", "expected the beginning of run 1"),
        (2, '{"run": 2, "state": "X", "transitions": 3, "findings": []}', "beginning of run 1"),
        (2, '{"run": 1, "state": 3, "transitions": 3, "findings": []}', "beginning of run 1"),
        (2, '{"run": 1, "state": "X", "transitions": "3", "findings": []}', "beginning of run 1"),
        (2, '{"run": 1, "state": "X", "transitions": 3, "findings": {}}', "beginning of run 1"),
        (2, '{"run": 1, "state": "X", "transitions": 3, "findings": [1]}', "expected findings"),
        (4, "{}", "expected a transition"),
        (4, '{"x": ' + "[" * 100_000, "no JSON"),
        (4, '{"x": "' + "y" * 100_000, "no JSON"),
        (5, None, "the file ends before it should"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, line: int, text: str | None, expected: str) -> None:
    """File, line, what is wrong, and what to do about it; of a long line not all."""
    path = write_golden(tmp_path, NODEID, [a_run(50.0)])
    lines = _lines_of(path)
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(GoldenError) as caught:
        read_golden(tmp_path, NODEID)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert expected in message
    assert message.endswith(f"record again with --taskprogress-record={tmp_path}")
    assert len(message) < 1_500
    assert isinstance(caught.value, TaskProgressError)


@pytest.mark.parametrize("version", [2, "x", None])
def test_newer_files_say_that_they_are(tmp_path: Path, version: object) -> None:
    """Recorded by a colleague who has updated already."""
    path = write_golden(tmp_path, NODEID, [])
    head = {**json.loads(_lines_of(path)[0]), "version": version}
    path.write_text(json.dumps(head), encoding="utf-8")
    with pytest.raises(GoldenError, match=rf"line 1: written in version {version!r}.*update it"):
        read_golden(tmp_path, NODEID)


def test_files_that_are_no_text_say_where(tmp_path: Path) -> None:
    """Saved in another encoding."""
    path = write_golden(tmp_path, NODEID, [a_run(1)])
    path.write_bytes(path.read_bytes() + b"\xff")
    with pytest.raises(GoldenError, match="line 6: no UTF-8"):
        read_golden(tmp_path, NODEID)


def test_files_that_an_editor_or_git_touched_are_read(tmp_path: Path) -> None:
    """CRLF, a byte order mark, and empty lines at the end mean nothing."""
    path = write_golden(tmp_path, NODEID, [a_run(1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\n")
    assert compare(read_golden(tmp_path, NODEID), [a_run(1)]).change is Change.SAME


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A mistyped option must not say that every test is new."""
    with pytest.raises(GoldenError, match=r"does not exist.*--taskprogress-record="):
        read_golden(tmp_path / "missing", NODEID)
    (tmp_path / "file").touch()
    with pytest.raises(GoldenError, match=r"is no directory.*--taskprogress-record="):
        read_golden(tmp_path / "file", NODEID)


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It names the test, the file, and why; nothing is left."""
    (tmp_path / "file").touch()
    with pytest.raises(GoldenError, match=r"of tests/unit/.* cannot be written to .*: .*exists"):
        write_golden(tmp_path / "file", NODEID, [])
    golden_path(tmp_path, NODEID).mkdir()
    with pytest.raises(GoldenError, match="cannot be written to"):
        write_golden(tmp_path, NODEID, [])
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "file",
        golden_path(tmp_path, NODEID).name,
    ]


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A directory in its place."""
    golden_path(tmp_path, NODEID).mkdir()
    with pytest.raises(GoldenError, match="cannot be read: "):
        read_golden(tmp_path, NODEID)
