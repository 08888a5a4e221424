"""`@pytest.mark.taskprogress(...)`: what it takes, and what is said of mistakes."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

MARKED = """
    @pytest.mark.taskprogress({})
    def test_it(taskprogress):
        taskprogress.run(add, 1, 2)

    def test_other():
        pass
    """

KNOWN = (
    "limit, seed, strict, ignore, abort_honoured, first_report, max_gap, write_budget, described*"
)


#: Arguments of a marker, and what is said of them.
MISTAKES = [
    ("limt=3", f"has no argument 'limt': expected {KNOWN}; did you mean limit?"),
    ("max_gp=3", f"has no argument 'max_gp': expected {KNOWN}; did you mean max_gap?"),
    ("**{'max-gap': 3}", f"has no argument 'max-gap': expected {KNOWN}; did you mean max_gap?"),
    ("ignored=['complete']", "has no argument 'ignored': expected * did you mean ignore?"),
    ("monotonic=3", "the rule 'monotonic' has no figure: expected True or False, got 3"),
    ("monotonous=False", "has no argument 'monotonous': * did you mean monotonic?"),
    ("report='page.html'", "has no argument 'report': expected *"),
    ("engine='eager'", "has no argument 'engine': expected *"),
    ("30", f"takes keyword arguments only ({KNOWN}), got (30,)"),
    ("limit=0", "(limit=...): expected a whole number of 1 or more, got 0"),
    ("limit=2.5", "(limit=...): expected a whole number of 1 or more, got 2.5"),
    ("limit=True", "(limit=...): expected a whole number of 1 or more, got True"),
    ("strict='maybe'", "(strict=...): expected true or false, got 'maybe'"),
    ("strict=None", "(strict=...): expected true or false, got None"),
    ("ignore=None", "(ignore=...): expected names of rules, got None"),
    ("ignore=[3]", "(ignore=...): expected names of rules, got [[]3]"),
    ("ignore=True", "(ignore=...): expected names of rules, got True"),
    ("ignore=['monotonous']", "there is no rule 'monotonous': did you mean 'monotonic'? *"),
    ("ignore=['max gap']", "there is no rule *"),
    ("ignore=['*']", "there is no rule '[*]': There are monotonic, *"),
    ("max_gap='x'", "(max_gap=...): expected seconds, 0 or more, got 'x'"),
    ("max_gap=-1", "(max_gap=...): expected seconds, 0 or more, got -1"),
    ("max_gap=True", "(max_gap=...): expected seconds, 0 or more, got True"),
    ("max_gap=[1]", "(max_gap=...): expected seconds, 0 or more, got [[]1]"),
    ("first_report=float('inf')", "(first_report=...): expected seconds, 0 or more, got inf"),
    ("abort_honoured=-1", "(abort_honoured=...): expected a whole number, 0 or more, got -1"),
    ("described=0", "(described=...): expected a whole number, 1 or more, got 0"),
    ("write_budget=(1, 2, 3)", "(write_budget=...): expected how many reports at most, *"),
    ("write_budget=float('nan')", "(write_budget=...): expected how many reports at most, *"),
]


def test_mistakes(user):
    """Each ends the session before any test runs; it says where it is, and what is nearest."""
    tests = [
        f"@pytest.mark.taskprogress({arguments})\ndef test_{number}(taskprogress): pass\n"
        for number, (arguments, _) in enumerate(MISTAKES)
    ]
    told = user("\n".join([*tests, "def test_other(): pass\n"]))
    assert told.ret == pytest.ExitCode.INTERRUPTED
    assert "passed" not in told.text
    for number, (arguments, message) in enumerate(MISTAKES):
        where = f"test_it.py::test_{number}: "
        [said] = [line for line in told.text.split("\n") if line.startswith(where)]
        assert fnmatchcase(said.replace("@pytest.mark.taskprogress", ""), f"*{message}*"), arguments


def test_all_mistakes_at_once(user, project):
    """Every mistake of every file is told."""
    source = "\n".join(line[4:] for line in MARKED.format("max_gap='x'").split("\n"))
    told = user(
        MARKED.format("limt=3") + MARKED.format("strict=7").replace("test_it", "test_more"),
        test_second=f"import pytest\nfrom {project} import add\n{source}",
    )
    for where in ("test_it.py::test_it", "test_it.py::test_more", "test_second.py::test_it"):
        assert f"{where}: @pytest.mark.taskprogress" in told.text


def test_under_xdist(user):
    """In processes of their own it is told just as well."""
    told = user(MARKED.format("ignore=['monotonous']"), "-n", "2", plugins=["xdist"])
    assert "test_it.py::test_it: taskprogress: there is no rule 'monotonous'" in told.text
    assert "INTERNALERROR" not in told.text
    assert told.ret != pytest.ExitCode.OK
    assert "passed" not in told.text


def test_a_module_that_has_a_mistake(user):
    """On a module, or a class, it is told for the tests that use the engine."""
    told = user(
        """
        pytestmark = pytest.mark.taskprogress(limt=3)

        class TestIt:
            def test_it(self, taskprogress):
                pass
        """
    )
    assert told.ret == pytest.ExitCode.INTERRUPTED
    assert "test_it.py::TestIt::test_it: @pytest.mark.taskprogress has no argument" in told.text


def test_a_marker_that_comes_late(user, pytester, project):
    """One that a hook adds after the collection fails its test, and no other."""
    conftest = pytester.path / "conftest.py"
    conftest.write_text(
        conftest.read_text(encoding="utf-8")
        + """
def pytest_collection_modifyitems(items):
    for item in items:
        if "late" in item.name:
            item.add_marker(pytest.mark.taskprogress(limt=3))
""",
        encoding="utf-8",
    )
    told = user(
        """
        def test_late(taskprogress):
            taskprogress.run(add, 1, 2)

        def test_it(taskprogress):
            taskprogress.run(add, 1, 2)
        """
    )
    assert told.of("test_late") == "error"
    assert "did you mean limit?" in told.failure("test_late")
    assert told.of("test_it") == "passed"


def test_rules_without_a_figure(user):
    """They are switched by True and False, whatever is ignored further away."""
    told = user(
        """
        pytestmark = pytest.mark.taskprogress(ignore=["complete", "stable-total"], strict=True)

        @pytest.mark.taskprogress(complete=True)
        def test_on(taskprogress):
            taskprogress.run(report, {"percent": 90})

        @pytest.mark.taskprogress(monotonic=False)
        def test_off(taskprogress):
            taskprogress.run(report, {"percent": 90}, {"percent": 30})

        def test_else(taskprogress):
            taskprogress.run(report, {"percent": 90}, {"percent": 30})
        """
    )
    assert "complete: SUCCESS at 90 %" in told.failure("test_on")
    assert told.of("test_off") == "passed"
    assert "monotonic: 30 % after 90 %" in told.failure("test_else")


def test_on_a_parameter(user):
    """A parameter of a test may have its own."""
    told = user(
        """
        @pytest.mark.parametrize(
            "percent",
            [
                pytest.param(90, marks=pytest.mark.taskprogress(ignore=["complete"])),
                pytest.param(80, marks=pytest.mark.taskprogress(strict=False)),
                70,
            ],
        )
        @pytest.mark.taskprogress(strict=True)
        def test_it(taskprogress, percent):
            taskprogress.run(report, {"percent": percent})
        """
    )
    assert told.of("test_it[90]") == "passed"
    assert told.of("test_it[70]") == "failed"


def test_it_explains_itself(pytester):
    """`pytest --markers` tells of all it takes."""
    result = pytester.runpytest_inprocess("--markers")
    text = " ".join(result.stdout.str().split())
    assert (
        "@pytest.mark.taskprogress(limit=..., seed=..., strict=..., ignore=[...], max_gap=...)"
        in text
    )
    assert "rules of the contract that are off" in text
