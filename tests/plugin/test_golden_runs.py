"""`--taskprogress-record` and `--taskprogress-replay`, and their ini keys."""

from __future__ import annotations

import json
import re

import pytest

TWO = """
    def test_users(taskprogress):
        taskprogress.run(import_users, [1, 2])

    def test_faulty(taskprogress):
        taskprogress.run(report, {"percent": 60}, {"percent": 30}, {"percent": 100})
    """


def verdicts(told):
    """What the summary says of tests: node id and verdict."""
    lines = re.findall(r"^  ([A-Z]+) (\S+::.*?): ", told.text, re.MULTILINE)
    return {nodeid: verdict for verdict, nodeid in lines}


def summary(told):
    """The line that counts."""
    [line] = re.findall(r"^taskprogress: golden histories in .*$", told.text, re.MULTILINE)
    return line


# -- in the user's project, with and without processes -----------------------------------------


def test_recorded(session):
    """Each test that passed has a file, from whichever process, with a line each transition."""
    files = sorted((session.path / "golden").iterdir())
    assert all(each.suffix == ".jsonl" for each in files)
    heads = [json.loads(each.read_text(encoding="utf-8").split("\n")[0]) for each in files]
    passed = {nodeid for nodeid, outcome in session.outcomes.items() if outcome == "passed"}
    recorded = {each["nodeid"].replace("☃", "\\u2603") for each in heads}
    assert recorded <= passed | {"test_failing.py::test_teardown"}
    # Those with nothing to record: no engine, no run, or runs of Hypothesis.
    left = {"test_without_engine", "test_no_run", "test_given"}
    assert {nodeid.rpartition("::")[2] for nodeid in passed - recorded} <= left


def test_what_is_the_same(later):
    """A test whose tasks do what they did passes, and nothing is said of it."""
    assert later.of("test_elsewhere") == "passed"
    assert later.of("test_fixture") == "passed"
    assert not {nodeid for nodeid in verdicts(later) if "test_fixture" in nodeid}


@pytest.mark.parametrize("name", ["test_twice", "test_parametrized[1]"])
def test_what_changed(later, name):
    """A test whose tasks do something else fails, and shows the difference."""
    assert later.of(name) == "failed"
    failure = later.failure(name)
    assert "CHANGED: " in failure
    assert re.search(r"recorded: .*Importing users", failure)
    assert re.search(r"now: .*Importing people", failure)
    assert "--taskprogress-record=golden" in failure


def test_what_is_fixed(later):
    """A test whose task is right now passes, and the summary says what was wrong."""
    assert later.of("test_faulty") == "passed"
    assert verdicts(later)["test_runs.py::test_faulty"] == "FIXED"
    assert "no more: monotonic (shop.falls)" in later.text


def test_what_is_new(later):
    """A test that was not recorded passes, and the summary says so."""
    assert later.of("test_new") == "passed"
    assert verdicts(later)["test_runs.py::test_new"] == "NEW"


def test_hypothesis(later):
    """A test of Hypothesis is left out: its runs are others every time."""
    assert later.of("test_given") == "passed"
    assert "test_runs.py::test_given" not in verdicts(later)


def test_it_is_not_recorded_again(session, later):
    """A replay changes nothing of what was recorded."""
    for path in (session.path / "golden").iterdir():
        assert (later.path / "golden" / path.name).read_bytes() == path.read_bytes()
    assert len(list((later.path / "golden").iterdir())) == len(
        list((session.path / "golden").iterdir())
    )


def test_summary(later):
    """The summary counts them, of all processes."""
    assert summary(later).endswith(": 4 CHANGED, 1 FIXED, 8 NEW, 3 SAME")


# -- by themselves ------------------------------------------------------------------------------


def test_again_and_again(user, pytester):
    """What is recorded twice is the same to the byte, and a replay of it says nothing is wrong."""
    user(TWO, "--taskprogress-record=golden")
    first = {path.name: path.read_bytes() for path in (pytester.path / "golden").iterdir()}
    assert len(first) == 2
    told = user(TWO, "--taskprogress-record=golden")
    assert {path.name: path.read_bytes() for path in (pytester.path / "golden").iterdir()} == first
    assert "2 recorded" in summary(told)
    told = user(TWO, "--taskprogress-replay=golden")
    assert set(told.outcomes.values()) == {"passed"}
    assert verdicts(told) == {}


def test_a_fault_that_is_new(user):
    """What a test breaks now and did not break is a change, named by its rule."""
    user(TWO, "--taskprogress-record=golden")
    told = user(
        TWO.replace("import_users, [1, 2]", 'report, {"percent": 90}'),
        "--taskprogress-replay=golden",
    )
    assert told.of("test_users") == "failed"
    assert "CHANGED: " in told.failure("test_users")
    assert "complete" in told.failure("test_users")
    assert told.of("test_faulty") == "passed"


def test_a_run_more(user):
    """A test that runs more tasks, or fewer, has changed."""
    user(TWO, "--taskprogress-record=golden")
    twice = TWO.replace(
        "taskprogress.run(import_users, [1, 2])",
        "taskprogress.run(import_users, [1, 2]); taskprogress.run(add, 1, 2)",
    )
    told = user(twice, "--taskprogress-replay=golden")
    assert "1 runs were recorded, there were 2 now" in told.failure("test_users")
    none = TWO.replace("taskprogress.run(import_users, [1, 2])", "pass")
    told = user(none, "--taskprogress-replay=golden")
    assert told.of("test_users") == "failed"
    assert "1 runs were recorded, there were 0 now" in told.failure("test_users")


def test_both_at_once(user):
    """To record and to replay at once is a mistake, also of the ini file."""
    for flags, ini in (
        (("--taskprogress-record=golden", "--taskprogress-replay=."), ""),
        (("--taskprogress-replay=.",), "taskprogress_record = golden"),
    ):
        told = user(TWO, *flags, ini=ini)
        assert told.ret == pytest.ExitCode.USAGE_ERROR
        assert told.errors == ["--taskprogress-record and --taskprogress-replay: one at a time"]


def test_nothing_was_recorded(user):
    """A directory that does not exist is a mistake, told before any test runs."""
    told = user(TWO, "--taskprogress-replay=golden")
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    assert told.errors[0].startswith("--taskprogress-replay: expected a directory")
    assert "--taskprogress-record=" in told.errors[0]
    assert told.outcomes == {}


def test_ini(user, pytester):
    """The directory may be in the ini file, and is relative to that."""
    user(TWO, ini="taskprogress_record = golden")
    assert len(list((pytester.path / "golden").iterdir())) == 2
    told = user(TWO.replace("[1, 2]", "[1]"), ini="taskprogress_replay = golden")
    assert told.of("test_users") == "failed"


def test_a_failing_test_is_not_recorded(user, pytester):
    """What a test runs that fails is no golden history; what was recorded before stays."""
    user(TWO, "--taskprogress-record=golden")
    before = {path.name: path.read_bytes() for path in (pytester.path / "golden").iterdir()}
    told = user(TWO.replace("[1, 2])", "[1]); raise ValueError"), "--taskprogress-record=golden")
    assert told.of("test_users") == "failed"
    assert {path.name: path.read_bytes() for path in (pytester.path / "golden").iterdir()} == before


def test_a_file_that_is_broken(user, pytester):
    """It fails its test, says which line, and what to do; no line of our own code is shown."""
    user(TWO, "--taskprogress-record=golden")
    [path] = (pytester.path / "golden").glob("*users*")
    path.write_text("garbage\n", encoding="utf-8")
    told = user(TWO, "--taskprogress-replay=golden")
    assert told.of("test_users") == "failed"
    assert told.of("test_faulty") == "passed"
    failure = told.failure("test_users")
    assert f"{path}, line 1: no JSON" in failure
    assert "record again with --taskprogress-record=" in failure
    assert "golden.py:" not in failure


def test_a_directory_that_cannot_be_written(user, pytester):
    """Each test that has something to record fails, and says why."""
    pytester.makefile(".txt", taken="")
    told = user(TWO, "--taskprogress-record=taken.txt")
    assert set(told.outcomes.values()) == {"failed"}
    failure = told.failure("test_users")
    assert "cannot be written to" in failure
    assert "is a directory that can be written?" in failure or "taken.txt" in failure


def test_of_fixtures(user):
    """What the fixtures of a test run before it belongs to it."""
    tests = """
        @pytest.fixture
        def users(taskprogress):
            taskprogress.run(import_users, [1, 2])

        def test_it(users):
            pass
        """
    told = user(tests, "--taskprogress-record=golden")
    assert "1 recorded" in summary(told)
    told = user(tests.replace("[1, 2]", "[1]"), "--taskprogress-replay=golden")
    assert told.of("test_it") == "failed"
