"""A user's project, for pytester: an app with tasks, and a conftest that names it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

#: Run by fixtures of this file, and by nobody else.
collect_ignore = ["userproject"]

_NUMBER = itertools.count(1)

TASKS = """
from celery import Celery
from pytest_taskprogress import Observer, ProgressTask

app = Celery("{name}", broker="redis://nowhere", backend="redis://nowhere")

@app.task(bind=True, base=ProgressTask, shared=False)
def import_users(self, rows):
    observer = Observer(self)
    for row in observer.track(rows, "Importing users"):
        pass
    _, meta = observer.success("Imported %d users", len(rows))
    return meta

@app.task(shared=False)
def add(x, y):
    return x + y

@app.task(shared=False)
def again():
    again.delay()

@app.task(bind=True, shared=False)
def report(self, *metas):
    for meta in metas:
        self.update_state(state="PROGRESS", meta=meta)
"""

CONFTEST = """
import pytest
from {name} import app

@pytest.fixture(scope="session")
def taskprogress_app():
    return app
"""


@pytest.fixture
def few_plugins(pytester, monkeypatch):
    """Sessions load the plugins that they need: to load all that are installed takes longer."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-ptaskprogress -pxdist -phypothesispytest")


@pytest.fixture
def project(pytester):
    """A project with a module of tasks; returns its name. Each has another one."""
    name = f"proj{next(_NUMBER)}"
    pytester.makepyfile(**{name: TASKS.format(name=name)})
    pytester.makeconftest(CONFTEST.format(name=name))
    pytester.syspathinsert()
    return name


@pytest.fixture
def user(project, pytester, monkeypatch):
    """Runs a test file in the project, as a user does at a terminal of 80 columns.

    The file begins with the names that most need. It is run in this process, and with few plugins,
    since most of the time of such a run is that of loading them.
    """
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CI", raising=False)

    def run(tests, *flags, ini="", plugins=(), **files):
        if ini:
            pytester.makeini(f"[pytest]\n{ini}")
        begin = f"import pytest\nfrom {project} import add, app, import_users, report\n"
        pytester.makepyfile(test_it=f"{begin}\n{dedent(tests)}", **files)
        loaded = [f"-p{each}" for each in ("taskprogress", *plugins)]
        # As a user has them, whatever is an error in our own tests.
        return Told(pytester.runpytest_inprocess(*loaded, "-rA", "-W", "default", *flags))

    return run


# -- sessions that many tests look at -------------------------------------------------------------

#: Whether tests run in processes of their own: without xdist, and with none and with two of them.
MODES = {"off": ("-pno:xdist",), "0": ("-n", "0"), "2": ("-n", "2")}

_LINES = re.MULTILINE | re.DOTALL
_OUTCOMES = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS"


class Told:
    """What a run of pytest said.

    Attributes:
        ret: Its exit code.
        text: All that it wrote.
        path: Where it was run.
    """

    def __init__(self, result, path=None):
        self.ret = result.ret if hasattr(result, "ret") else result.returncode
        written = [result.stdout, result.stderr]
        self.text = "\n".join(each if isinstance(each, str) else each.str() for each in written)
        self.path = path

    @property
    def outcomes(self):
        """The outcome of each test by its node id; the worst one of its phases."""
        found = {}
        lines = rf"^({_OUTCOMES}) (\S+::[^\n]*?)(?: - .*)?$"
        for outcome, nodeid in re.findall(lines, self.text, re.MULTILINE):
            found[nodeid] = outcome.lower()
        return found

    def of(self, name):
        """The outcome of a test, by the end of its node id."""
        found = {out for nodeid, out in self.outcomes.items() if nodeid.endswith(f"::{name}")}
        assert len(found) == 1, (name, found, self.text)
        return found.pop()

    def failure(self, name):
        """All that is said of a test that failed."""
        title = rf"^_+ (?:ERROR at \w+ of )?{re.escape(name)} _+\n"
        following = r"(?=^(?:_+ [^_\n].* _+|=+ .* =+)$)"
        found = re.findall(rf"{title}(.*?){following}", self.text, _LINES)
        assert found, (name, self.text)
        return "\n".join(found)

    def section(self, title):
        """The lines of a section of the summary."""
        found = re.search(rf"^=+ {title} =+\n(.*?)(?=^=+ .* =+$)", self.text, _LINES)
        return "" if found is None else found[1]

    def warnings(self, name=""):
        """The warnings of a test, or all: each as its text, without the tests that gave it."""
        found = []
        for block in re.split(r"\n\n", self.section("warnings summary").partition("-- Docs:")[0]):
            lines = block.strip("\n").split("\n")
            who = [line for line in lines if not line.startswith(" ")]
            if any(line.endswith(f"::{name}" if name else "") for line in who):
                found.append("\n".join(line for line in lines if line.startswith(" ")))
        return [each for each in found if each]

    @property
    def errors(self):
        """What pytest says of a mistake in options."""
        return re.findall(r"^ERROR: (.*)$", self.text, re.MULTILINE)


@pytest.fixture(scope="session", params=MODES)
def mode(request):
    """Whether tests run in processes of their own."""
    return request.param


@pytest.fixture(scope="session")
def session(mode, tmp_path_factory):
    """All that the user's project has, with every report that can be asked for."""
    path = tmp_path_factory.mktemp(f"session-{mode}") / "shop"
    shutil.copytree(Path(__file__).parent / "userproject", path)
    return _pytest(
        path,
        *MODES[mode],
        "--taskprogress-report=out/report.html",
        "--taskprogress-coverage",
        "--taskprogress-fail-under=99.5",
        "--taskprogress-record=golden",
        "test_contract.py",
        "test_failing.py",
        "test_runs.py",
    )


@pytest.fixture(scope="session")
def later(mode, session):
    """The project after some changes, under other options, compared with what was before."""
    path = session.path.with_name("later")
    shutil.copytree(session.path, path)
    shop = (path / "shop.py").read_text(encoding="utf-8")
    for before, after in (("Importing users", "Importing people"), ("20 if fixed else 50", "20")):
        assert shop.count(before) == 1
        shop = shop.replace(before, after)
    (path / "shop.py").write_text(shop, encoding="utf-8")
    with (path / "test_runs.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef test_new(taskprogress):\n    taskprogress.run(add, 1, 2)\n")
    return _pytest(
        path,
        *MODES[mode],
        "--taskprogress-strict",
        "--taskprogress-ignore=complete",
        "--taskprogress-max-gap=60",
        "--taskprogress-replay=golden",
        "cli",
        "test_runs.py",
    )


def _pytest(path, *flags):
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environ.pop("CI", None)  # where pytest shows all of everything
    # Only those that it needs: loading the others would take most of the time.
    loaded = [f"-p{each}" for each in ("taskprogress", "xdist", "hypothesispytest")]
    command = [sys.executable, "-m", "pytest", *loaded, "-pno:cacheprovider", "-rA", *flags]
    done = subprocess.run(
        command,
        cwd=path,
        env={
            **environ,
            "COLUMNS": "80",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(path),
        },
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    return Told(done, path)
