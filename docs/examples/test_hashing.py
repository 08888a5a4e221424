"""Hashing the Python standard library, all of it."""

import hashlib
import sysconfig
from itertools import pairwise
from pathlib import Path

import hashing
import pytest
from hashing import files_below, hash_tree

from pytest_taskprogress.listeners import Listener

STDLIB = Path(sysconfig.get_path("stdlib"))
JSON = STDLIB / "json"
DISK = 20_000_000  # bytes that a slow disk reads in a second


@pytest.fixture
def slow_disk(taskprogress, monkeypatch):
    """Let every file take its time on the engine's clock, which stands still by itself."""

    def sha256_of(path):
        taskprogress.clock.advance(path.stat().st_size / DISK)
        return fast(path)

    fast = hashing.sha256_of
    monkeypatch.setattr(hashing, "sha256_of", sha256_of)


def sha256(path):
    """Hash a file in another way than the code under test."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def never_falls(percents):
    """Tell whether each percentage is at least the one before."""
    return percents == sorted(percents)


@pytest.mark.usefixtures("slow_disk")
def test_the_whole_standard_library(taskprogress, taskprogress_backend):
    """Thousands of files, one write a second, and every digest is there."""
    run = taskprogress.run(hash_tree, str(STDLIB), throttle=1.0)

    assert run.state == "SUCCESS"
    digests = run.result["digests"]
    assert len(digests) == len(list(files_below(STDLIB))) > 500
    for name in ("os.py", "json/__init__.py", "email/message.py"):
        assert digests[name] == sha256(STDLIB / name)

    assert never_falls(run.percents)
    assert run.percents[-1] == 100.0
    # The first, one for each second that has begun, the complete one, and the outcome.
    assert 3 <= taskprogress_backend.writes[run.task_id] <= run.elapsed + 3
    times = [report.at for report in run.progress[:-1]]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_a_clock_that_stands_still(taskprogress, taskprogress_backend):
    """Where no time passes, a throttle stores the first report, the complete one, the outcome."""
    run = taskprogress.run(hash_tree, str(JSON), throttle=1.0)

    assert run.history == ["PROGRESS", "PROGRESS", "SUCCESS"]
    assert run.messages == ["Hashed __init__.py", "Hashed tool.py"]
    assert run.elapsed == 0.0
    assert taskprogress_backend.writes[run.task_id] == 3


def test_without_a_throttle(taskprogress):
    """Every file is a report; each says how many of all bytes are done."""
    run = taskprogress.run(hash_tree, str(JSON))

    sizes = [path.stat().st_size for path in files_below(JSON)]
    assert [report.meta["current"] for report in run.progress] == [
        sum(sizes[: n + 1]) for n in range(len(sizes))
    ]
    assert {report.meta["total"] for report in run.progress} == {sum(sizes)}
    assert never_falls(run.percents)


def test_an_empty_folder(taskprogress, tmp_path):
    """Nothing to do is done at once."""
    run = taskprogress.run(hash_tree, str(tmp_path))

    assert run.history == ["SUCCESS"]
    assert run.result["digests"] == {}
    assert run.result["percent"] == 100.0


def test_no_folder(taskprogress, tmp_path):
    """The failure that the observer was told is what a client gets."""
    run = taskprogress.run(hash_tree, str(tmp_path / "nowhere"))

    assert run.state == "FAILURE"
    with pytest.raises(NotADirectoryError, match="There is no folder"):
        raise run.exception


class Bar(Listener):
    """Draws a bar for each report, as soon as it is stored."""

    def __init__(self, engine):
        super().__init__(engine, task_listen_for=("PROGRESS",))
        self.lines = []

    def _task_receiver(self, state, details):
        report = details["transition"]
        bar = "#" * int(report.percent / 5)
        self.lines.append(f"{state} |{bar:20}| {report.message}")


def test_a_listener_draws_a_bar(taskprogress):
    """A listener is told of each report while the task runs."""
    with Bar(taskprogress) as bar:
        taskprogress.run(hash_tree, str(JSON))

    assert len(bar.lines) == len(list(files_below(JSON)))
    assert bar.lines[-1] == "PROGRESS |####################| Hashed tool.py"
    print("", *bar.lines, sep="\n")
