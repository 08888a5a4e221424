"""`explore()` finds the fault of each task from the task alone, and gives a test that shows it."""

import faults
import pytest

from pytest_taskprogress import TaskProgressWarning
from pytest_taskprogress.properties import FaultsFound, explore

FOUND = {
    faults.back_up: "abort-survives",
    faults.import_files: "monotonic",
    faults.unpack: "no-zombie",
    faults.copy_rows: "bounded",
    faults.pay_in: "idempotent",
    faults.convert: "no-zombie",
    faults.clean_up: "bounded",
    faults.build_index: "first-report",
    faults.render: "serializable",
    faults.transfer: "deadlock",
}


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return faults.app


@pytest.mark.parametrize(("task", "rule"), FOUND.items(), ids=[each.__name__ for each in FOUND])
def test_each_fault_is_found(taskprogress, monkeypatch, task, rule):
    """The finding names the rule; its code, pasted, is a test that fails."""
    with pytest.raises(FaultsFound) as found:
        explore(task, max_findings=1)

    (finding,) = found.value.findings
    print(f"\n{finding.headline}\n\n{finding.code}")
    assert finding.rule == rule
    # As small as can be: at most one event, and values of a few characters.
    assert len(finding.scenario) <= 1
    assert len(repr(finding.arguments)) < 100
    with pytest.raises((AssertionError, TaskProgressWarning)):
        paste(finding.code, taskprogress=taskprogress, monkeypatch=monkeypatch)


def paste(code, **fixtures):
    """Run a test as if it were pasted below."""
    names = {}
    exec(code, names)  # noqa: S102
    (test,) = (each for name, each in names.items() if name.startswith("test_"))
    wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
    test(**{name: fixtures[name] for name in wanted})
