"""`python -m pytest_taskprogress explore`, and explore() in a test of a user."""

import subprocess
import sys

import pytest

from pytest_taskprogress import Contract
from pytest_taskprogress.engines.judging import process
from pytest_taskprogress.properties.exploring import console
from pytest_taskprogress.properties.exploring.console import main

TASKS = """
from celery import Celery
from pytest_taskprogress import Observer

app = Celery("{name}", broker="redis://nowhere", backend="redis://nowhere", set_as_current=False)
number = 7

@app.task(bind=True, shared=False)
def good(self, rows: list[str]):
    for row in Observer(self).track(rows, "Importing"):
        pass

@app.task(bind=True, shared=False)
def falling(self, rows: list[str]):
    for percent in (100, 99, 100) if rows else ():
        self.update_state(state="PROGRESS", meta={{"percent": percent}})

@app.task(shared=False)
def unhinted(rows):
    pass
"""


@pytest.fixture
def shop(tmp_path, monkeypatch, request):
    """A module of tasks; returns its name."""
    name = f"shop_{abs(hash(request.node.name)):x}"
    tmp_path.joinpath(f"{name}.py").write_text(TASKS.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture(autouse=True)
def _as_a_user(monkeypatch, _lenient, no_shared_tasks):
    """Tasks are judged as a user's are; and there are no others."""
    monkeypatch.setattr(process, "contract", Contract())


def run(capsys, *arguments):
    """Run the command; returns the exit code, what was printed, and what was said of errors."""
    code = main(["explore", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_fault(shop, capsys):
    """Exit code 1, and the finding with a test to paste."""
    code, out, err = run(capsys, f"{shop}:app", "falling", "--examples", "20")

    assert (code, err) == (1, "")
    assert out.startswith(f"{shop}.falling: 1 fault found in ")
    assert "1. monotonic: 99 % after 100 %" in out
    assert f"from {shop} import falling" in out
    assert '.run(falling, [""])' in out
    assert "1 task explored in " in out
    assert out.endswith(" s: 1 fault found\n")


def test_nothing(shop, capsys):
    """Exit code 0, and a line."""
    code, out, _ = run(capsys, shop, f"{shop}.good", "--examples=20", "--seed=5")

    assert code == 0
    assert out.startswith(f"{shop}.good: nothing found in 20 examples, ")
    assert "(seed=5)" in out


def test_all_tasks(shop, capsys):
    """Those without hints are left out, and named: with the argument, and what to do."""
    code, out, _ = run(capsys, f"{shop}:app", "--examples=20")

    assert code == 1
    assert f"{shop}.good: nothing found" in out
    assert f"{shop}.unhinted: left out: {shop}.unhinted: nothing is known of the parameter" in out
    assert "'rows'" in out
    assert "2 tasks explored" in out
    assert out.endswith(f"left out: {shop}.unhinted\n")


def test_only_tasks_without_hints(shop, capsys):
    """To leave one out is no finding; but where nothing is left, nothing was shown."""
    code, out, err = run(capsys, shop, "unhinted")

    assert (code, err) == (2, "error: nothing was explored\n")
    assert "0 tasks explored" in out
    assert run(capsys, shop, "unhinted", "good", "--examples=5")[0] == 0


def test_interrupted(shop, capsys, monkeypatch):
    """Ctrl-C is no traceback, and no clean end: 130, as shells say it."""

    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "examine", interrupt)
    code, _, err = run(capsys, shop, "good")

    assert (code, err) == (130, "interrupted: what is above was explored\n")


def test_a_rule_that_is_ignored(shop, capsys):
    """What is known of a project need not end each search; a name must be one."""
    code, out, _ = run(capsys, shop, "falling", "--examples=20", "--ignore=monotonic")

    assert code == 0
    assert f"{shop}.falling: nothing found in 20 examples" in out
    with pytest.raises(SystemExit):
        run(capsys, shop, "falling", "--ignore=determinstic")
    assert "did you mean 'deterministic'?" in capsys.readouterr().err


def test_how_to_ignore_it(shop, capsys):
    """What was found says how it is allowed; and that is what the command takes."""
    _, out, _ = run(capsys, shop, "falling", "--examples=20")
    allowed = next(line for line in out.split("\n") if line.startswith("To allow it: "))
    options = allowed.partition("on the command line ")[2].split()

    assert options == ["--ignore", "monotonic"]
    assert run(capsys, shop, "falling", "--examples=20", *options)[0] == 0


def test_in_time(shop, capsys):
    """The seconds are for all tasks together."""
    code, out, _ = run(capsys, shop, "good", "--examples=1000000", "--seconds=0.2")

    assert code == 0
    assert "which is all the time that there was" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_module:app"], "cannot load the app 'no_such_module:app': No module named"),
        (["{shop}:ap"], "has no attribute 'ap'. There is {shop}:app"),
        (
            ["{shop}:number"],
            "'{shop}:number' is no Celery app, it is of type int. There is {shop}:app",
        ),
        (["{shop}:app", "faling"], "there is no task 'faling': did you mean {shop}.falling?"),
        (["{shop}:app", "x"], "there is no task 'x': there are {shop}.falling, {shop}.good"),
    ],
)
def test_what_there_is_not(shop, capsys, arguments, said):
    """Exit code 2, and why, and what there is."""
    code, out, err = run(capsys, *(each.format(shop=shop) for each in arguments))

    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said.format(shop=shop) in err


def test_an_app_that_breaks(tmp_path, shop, capsys):
    """What its module raises is said."""
    tmp_path.joinpath("broken_shop.py").write_text("raise RuntimeError('no database')")
    code, _, err = run(capsys, "broken_shop:app")

    assert code == 2
    assert err == "error: cannot load the app 'broken_shop:app': RuntimeError: no database\n"


def test_an_app_without_tasks(tmp_path, shop, capsys):
    """There is nothing to explore."""
    tmp_path.joinpath("empty_shop.py").write_text(
        "import celery\napp = celery.Celery('e', set_as_current=False)"
    )
    code, _, err = run(capsys, "empty_shop:app")

    assert code == 2
    assert "has no tasks: are their modules in its `include`?" in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["explore"], ["explore", "x", "--examples=0"], ["explore", "x", "--seconds=-1"]],
)
def test_bad_usage(capsys, arguments):
    """Exit code 2, as argparse says it."""
    with pytest.raises(SystemExit) as left:
        main(arguments)

    assert left.value.code == 2
    assert "usage: python -m pytest_taskprogress" in capsys.readouterr().err


def test_a_bar(shop, capsys, monkeypatch):
    """On a terminal there is tqdm's bar, below what is found."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run(capsys, f"{shop}:app", "good", "falling", "--examples", "20")

    assert code == 1
    assert "/40" in err
    assert f"{shop}.good" in err
    assert "1. monotonic" in out


def test_without_tqdm(shop, capsys, monkeypatch):
    """Where it is not installed, there are lines."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    code, out, err = run(capsys, f"{shop}:app", "good", "--examples", "5")

    assert (code, err) == (0, "")
    assert "nothing found" in out


def test_the_command_itself(shop, tmp_path):
    """Same seed, same words, whatever the hashes of the process: but for the seconds."""
    told = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "pytest_taskprogress", "explore", f"{shop}:app", "falling"]
        done = subprocess.run(
            [*command, "--examples=15"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, "")
        told.append([line for line in done.stdout.splitlines() if " s (seed=" not in line][:-1])
    assert told[0] == told[1]


def test_in_a_test(pytester, few_plugins, shop):
    """The finding is all that a failing test shows; the engine of the fixture is used."""
    pytester.makeconftest(
        f"""
        import pytest
        from {shop} import app

        @pytest.fixture(scope="session")
        def taskprogress_app():
            return app
        """
    )
    pytester.makepyfile(
        f"""
        from {shop} import app, falling, good
        from pytest_taskprogress.properties import explore

        def test_falling(taskprogress):
            explore(falling, max_examples=20)

        def test_good(taskprogress):
            runs = []
            taskprogress.on_run.append(runs.append)
            assert explore(good, max_examples=20).runs == len(runs)
            assert taskprogress.run(good, ["a"]).state == "SUCCESS"

        def test_without_the_fixture():
            explore(good, max_examples=20)
        """
    )
    result = pytester.runpytest_inprocess("-Werror", "-rN", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2, failed=1)
    text = result.stdout.str()
    assert "1. monotonic: 99 % after 100 %" in text
    assert "other runs" not in text
    assert text.count("seconds old -> new") == 1
