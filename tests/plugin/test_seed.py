"""--taskprogress-seed: another one for each test, the same in every process; told, and repeated."""

from __future__ import annotations

import re

import pytest

from pytest_taskprogress.options import Options, seed_of

pytestmark = pytest.mark.usefixtures("few_plugins")

#: A group whose tasks run beside each other, as the seed says; each test writes down what it saw.
GROUP = """
    from celery import group
    from pathlib import Path

    def seen_by(taskprogress, name):
        tasks = group(import_users.s([1, 2, 3]) for _ in range(3))
        run = taskprogress.run(tasks)
        ids = [each.uuid for each in run.history]
        text = f"{taskprogress.seed}\\n{ids}\\n{run.history!r}\\n{run.snapshot()}"
        Path(f"{name}.txt").write_text(text, encoding="utf-8")

    def test_one(taskprogress):
        seen_by(taskprogress, "one")

    def test_two(taskprogress):
        seen_by(taskprogress, "two")
    """


@pytest.fixture
def in_a_group(user, pytester, monkeypatch):
    """Runs the group in a process of its own; returns what the tests wrote down."""

    def run(*flags, hashseed="0", **options):
        monkeypatch.setenv("PYTHONHASHSEED", hashseed)
        monkeypatch.setattr(pytester, "runpytest_inprocess", pytester.runpytest_subprocess)
        told = user(GROUP, *flags, **options)
        assert set(told.outcomes.values()) == {"passed"}, told.text
        found = {}
        for name in ("one", "two"):
            path = pytester.path / f"{name}.txt"
            found[name] = path.read_text(encoding="utf-8")
            path.unlink()
        return found

    return run


# -- what it is -----------------------------------------------------------------------------------


def test_the_seed_of_a_test_is_stable():
    """It is of the number and the test's id, by a digest: it never changes."""
    options = Options(seed=7)
    assert seed_of(options, "test_it.py::test_one") == (7, 383299431)
    assert seed_of(options, "test_it.py::test_two") != seed_of(options, "test_it.py::test_one")
    assert seed_of(Options(seed=8), "test_it.py::test_one") != seed_of(
        options, "test_it.py::test_one"
    )
    assert seed_of(Options(), "test_it.py::test_one") is None
    given, own = seed_of(Options(seed="random"), "test_it.py::test_one")
    assert seed_of(Options(seed=given), "test_it.py::test_one") == (given, own)


def test_the_same_seed_is_the_same_history(in_a_group):
    """In two processes, whatever their hashes: the same histories, ids too, byte for byte."""
    first = in_a_group("--taskprogress-seed=7", hashseed="1")
    assert in_a_group("--taskprogress-seed=7", hashseed="2") == first
    assert first["one"] != first["two"]
    other = in_a_group("--taskprogress-seed=8", hashseed="1")
    assert other["one"] != first["one"]
    assert other["two"] != first["two"]


def test_a_test_is_the_same_alone_and_in_another_process(in_a_group):
    """Neither the tests before it nor the processes of xdist change the history of a test."""
    pytest.importorskip("xdist", reason="pip install pytest-xdist")
    first = in_a_group("--taskprogress-seed=7")
    assert in_a_group("--taskprogress-seed=7", "-pxdist", "-n2") == first


# -- how it is given ------------------------------------------------------------------------------

ASKS = """
    def test_plain(taskprogress):
        print("seed is", taskprogress.seed)

    @pytest.mark.taskprogress(seed=5)
    def test_marked(taskprogress):
        print("seed is", taskprogress.seed)

    def test_again(taskprogress):
        print("seed is", taskprogress.seed)
    """


def seeds_of(told):
    """The seeds of the tests, in their order."""
    return re.findall(r"^seed is (\w+)$", told.text, re.MULTILINE)


def own(number, name):
    """The seed of a test, as text."""
    return str(seed_of(Options(seed=number), f"test_it.py::{name}")[1])


def test_without_it_nothing_is_random(user):
    """Only a test that is marked has a seed; the one after it has none."""
    told = user(ASKS)
    assert seeds_of(told) == ["None", own(5, "test_marked"), "None"]
    assert "taskprogress: seed" not in told.text


@pytest.mark.parametrize(
    ("ini", "flags", "number"),
    [
        ("taskprogress_seed = 7", (), 7),
        ("taskprogress_seed = 7", ("--taskprogress-seed=8",), 8),
        ("", ("--taskprogress-seed=-3",), -3),
    ],
)
def test_the_closest_wins(user, ini, flags, number):
    """The marker comes before the command line, which comes before the ini file; all is told."""
    told = user(ASKS, *flags, ini=ini)
    assert seeds_of(told) == [
        own(number, "test_plain"),
        own(5, "test_marked"),
        own(number, "test_again"),
    ]
    assert f"\ntaskprogress: seed {number}\n" in told.text


def test_random_is_told(user):
    """A random one is told at the beginning, and repeats the run."""
    told = user(ASKS, "--taskprogress-seed=random")
    number = int(re.search(r"^taskprogress: seed (\d+)$", told.text, re.MULTILINE)[1])
    assert seeds_of(told)[0] == own(number, "test_plain")
    assert seeds_of(user(ASKS, f"--taskprogress-seed={number}")) == seeds_of(told)
    assert seeds_of(user(ASKS, "--taskprogress-seed=RANDOM")) != seeds_of(told)


def test_random_in_the_processes_of_xdist(user):
    """The processes of xdist have the number that is told."""
    pytest.importorskip("xdist", reason="pip install pytest-xdist")
    told = user(ASKS, "-pxdist", "-n2", ini="taskprogress_seed = random")
    number = int(re.search(r"^taskprogress: seed (\d+)$", told.text, re.MULTILINE)[1])
    expected = {own(number, "test_plain"), own(5, "test_marked"), own(number, "test_again")}
    assert set(seeds_of(told)) == expected


def test_a_marker_may_be_random(user):
    """A test that is marked so has another seed each time; what fails by it says which."""
    told = user(
        """
        @pytest.mark.taskprogress(seed="random")
        def test_it(taskprogress):
            print("seed is", taskprogress.seed)
            assert 0
        """
    )
    number = int(re.search(r"taskprogress: seed (\d+)\.", told.failure("test_it"))[1])
    assert seeds_of(told)[:1] == [own(number, "test_it")]


def test_a_failing_test_tells_how_to_repeat_it(user):
    """A failing test says the option, and what the engine's own seed is; others say nothing."""
    told = user(
        """
        def test_it(taskprogress):
            taskprogress.run(add, 1, 2)
            assert 0

        def test_without_engine():
            assert 0

        def test_passes(taskprogress):
            pass
        """,
        "--taskprogress-seed=7",
    )
    failure = " ".join(told.failure("test_it").split())
    assert "--taskprogress-seed=7" in failure
    assert f"EagerEngine(app, seed={own(7, 'test_it')})" in failure
    assert "seed" not in told.failure("test_without_engine")


def test_what_it_says_in_code_repeats_it(user):
    """An engine with the seed of a test makes the same history, with the same ids."""
    number = own(7, "test_it")
    told = user(
        f"""
        from pytest_taskprogress import EagerEngine

        kept = []

        def test_it(taskprogress):
            kept.append(repr(taskprogress.run(import_users, [1, 2]).history[0].uuid))

        def test_in_code():
            with EagerEngine(app, seed={number}) as engine:
                kept.append(repr(engine.run(import_users, [1, 2]).history[0].uuid))
            assert kept[0] == kept[1]
        """,
        "--taskprogress-seed=7",
    )
    assert set(told.outcomes.values()) == {"passed"}, told.text


@pytest.mark.parametrize("value", ["many", "", "1.5", "0x10"])
def test_a_bad_seed(pytester, project, value):
    """A seed that is none ends the run before any test."""
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest(f"--taskprogress-seed={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    message = "--taskprogress-seed: expected a whole number, or random, got"
    result.stderr.fnmatch_lines([f"ERROR: {message} '{value}'"])


@pytest.mark.parametrize("value", ["True", "1.5", "'many'", "[1]"])
def test_a_bad_marker(user, value):
    """A marker's seed that is none is an error of its file."""
    told = user(
        f"""
        @pytest.mark.taskprogress(seed={value})
        def test_it(taskprogress):
            pass
        """
    )
    assert "@pytest.mark.taskprogress(seed=...): expected a whole number, or random" in told.text
