"""`--taskprogress-strict`, its ini key, and `taskprogress(strict=...)`."""

from __future__ import annotations

import pytest

FALLS = """
    def test_it(taskprogress):
        run = taskprogress.run(report, {"percent": 60}, {"percent": 30}, {"percent": 100})
        assert run.violations
    """


@pytest.mark.parametrize("name", ["test_strict", "test_gap", "test_quiet"])
def test_on_the_command_line(later, name):
    """What breaks the contract fails its test, and does not warn."""
    assert later.of(name) == "failed"
    assert "ContractViolated: shop." in later.failure(name)
    assert later.warnings(name) == []


def test_a_marker_takes_it_back(later):
    """A test that is lenient warns, where all others are strict."""
    assert later.of("test_lenient") == "passed"
    [warning] = later.warnings("test_lenient")
    assert "bounded: percent=166.67 is more than 100" in warning


@pytest.mark.parametrize(
    ("ini", "flags", "strict"),
    [
        ("", (), False),
        ("taskprogress_strict = true", (), True),
        ("taskprogress_strict = 1", (), True),
        ("taskprogress_strict = false", (), False),
        ("taskprogress_strict = false", ("--taskprogress-strict",), True),
    ],
)
def test_where_it_is_said(user, ini, flags, strict):
    """The command line comes before the ini file; without either runs only warn."""
    told = user(FALLS, *flags, ini=ini)
    assert told.of("test_it") == ("failed" if strict else "passed")
    assert len(told.warnings()) == (0 if strict else 1)


def test_the_closest_marker_wins(user):
    """A marker may be on a module, a class and a test."""
    told = user(
        """
        pytestmark = pytest.mark.taskprogress(strict=True)

        def test_module(taskprogress):
            taskprogress.run(report, {"percent": 90})

        @pytest.mark.taskprogress(strict=False)
        class TestIt:
            def test_class(self, taskprogress):
                taskprogress.run(report, {"percent": 90})

            @pytest.mark.taskprogress(strict=True)
            def test_function(self, taskprogress):
                taskprogress.run(report, {"percent": 90})
        """
    )
    assert told.of("test_module") == "failed"
    assert told.of("test_class") == "passed"
    assert told.of("test_function") == "failed"
    assert len(told.warnings()) == 1


def test_of_what_fixtures_run(user):
    """A test's fixtures are judged as the test is, whatever the one before it was."""
    told = user(
        """
        @pytest.fixture
        def before(taskprogress):
            taskprogress.run(report, {"percent": 90})

        @pytest.fixture
        def after(taskprogress):
            yield
            taskprogress.run(report, {"percent": 90})

        @pytest.mark.taskprogress(strict=True)
        def test_strict(before):
            pass

        def test_lenient(before, after):
            pass

        @pytest.mark.taskprogress(strict=True)
        def test_strict_later(after):
            pass
        """
    )
    assert told.of("test_strict") == "error"
    assert told.of("test_lenient") == "passed"
    assert told.of("test_strict_later") == "error"
    assert "complete: SUCCESS at 90 %" in told.failure("test_strict")
    assert "complete: SUCCESS at 90 %" in told.failure("test_strict_later")


def test_of_what_is_published(user):
    """What `delay()` breaks is raised at the end of the test, which goes on undisturbed."""
    told = user(
        """
        done = []

        @pytest.mark.taskprogress(strict=True)
        def test_it(taskprogress):
            result = report.delay({"percent": 90})
            done.append(result.state)

        def test_after():
            assert done == ["SUCCESS"]
        """
    )
    assert told.of("test_it") == "failed"
    assert told.of("test_after") == "passed"
    told_once = told.failure("test_it")
    assert told_once.count("complete: SUCCESS at 90 %") == 1


def test_it_can_be_expected(user):
    """A test may expect a task to break its contract."""
    told = user(
        """
        from pytest_taskprogress import ContractViolated

        @pytest.mark.taskprogress(strict=True)
        def test_it(taskprogress):
            with pytest.raises(ContractViolated) as caught:
                taskprogress.run(report, {"percent": 90}, {"percent": 80})
            assert [each.rule for each in caught.value.violations] == ["monotonic", "complete"]
            assert caught.value.run.state == "SUCCESS"
        """
    )
    assert told.of("test_it") == "passed"


def test_all_of_it_is_in_one_message(user):
    """A run that breaks several rules says so once, each with its line."""
    told = user(
        """
        @pytest.mark.taskprogress(strict=True, described=3)
        def test_it(taskprogress):
            taskprogress.run(report, {"percent": 120}, {"percent": 80})
        """
    )
    failure = told.failure("test_it")
    assert failure.count("breaks its contract:") == 1
    for rule in ("monotonic: 80 % after 120 %", "bounded: percent=120", "complete: SUCCESS at 80"):
        assert rule in failure
    assert failure.count("described: no description") == 2
    assert "ignore=['bounded', 'complete', 'described', 'monotonic']" in failure
    assert failure.count(".py:") >= 5


def test_many_alike(user):
    """Of what is broken a thousand times a few are told, and how many there are."""
    told = user(
        """
        @pytest.mark.taskprogress(strict=True)
        def test_it(taskprogress):
            taskprogress.run(report, *[{"percent": 101}] * 1_000)
        """
    )
    failure = told.failure("test_it")
    assert failure.count("bounded: percent=101") == 5
    assert "bounded: and 995 more in " in failure
    assert failure.count("\n") < 80


def test_warnings_as_errors(user):
    """Where warnings are errors a run fails its test as it does where the contract is strict."""
    told = user(
        """
        done = []

        def test_run(taskprogress):
            taskprogress.run(report, {"percent": 90})

        def test_delay(taskprogress):
            report.delay({"percent": 90})
            done.append(1)

        def test_after():
            assert done == [1]
        """,
        "-W",
        "error",
    )
    assert told.of("test_run") == "failed"
    assert told.of("test_delay") == "failed"
    assert told.of("test_after") == "passed"
    for name in ("test_run", "test_delay"):
        assert "complete: SUCCESS at 90 %" in told.failure(name)
        assert "judging.py:" not in told.failure(name)


@pytest.mark.parametrize(
    ("ini", "flags"),
    [("taskprogress_strict = maybe", ()), ("", ("--taskprogress-strict=yes",))],
)
def test_a_bad_value(user, ini, flags):
    """It is true or false; on the command line it has no value."""
    told = user(FALLS, *flags, ini=ini)
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    assert "strict" in told.text


def test_the_first_test_of_all(user):
    """Also engines that a test loads while it runs are judged by what it is marked with."""
    told = user(
        """
        def test_one():
            from pytest_taskprogress import EagerEngine
            with EagerEngine(app) as engine:
                engine.run(report, {"percent": 60}, {"percent": 30}, {"percent": 100})
        """,
        "--taskprogress-strict",
    )
    assert told.of("test_one") == "failed"


def test_beside_a_failure_of_its_own(user):
    """What was published and broke the contract is told there, and fails no teardown."""
    told = user(
        """
        def test_it(taskprogress):
            report.delay({"percent": 60}, {"percent": 30}, {"percent": 100})
            assert taskprogress.history == []
        """,
        "--taskprogress-strict",
    )
    assert told.outcomes == {"test_it.py::test_it": "failed"}
    assert "- taskprogress contract -" in told.text
    assert "30 % after 60 %" in told.text
