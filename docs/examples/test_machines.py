"""State machines: whatever a task, and the world around it, do in whatever order."""

import hypothesis
import machines
import pytest
from celery.contrib import abortable
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from pytest_taskprogress import AbortableMachine, CheckFailed, ObserverMachine

# An older Hypothesis takes other steps, and minutes to make a failing way shorter.
pytestmark = pytest.mark.skipif(
    hypothesis.__version_info__ < (6, 150), reason="Hypothesis >= 6.150"
)


class UploadObserverMachine(ObserverMachine):
    """The code of a task is drawn; it may call `chunk` as well."""

    observer = machines.UploadObserver
    base = machines.UploadTask

    @precondition(ObserverMachine.reports)
    @rule(size=st.integers(0, 30))
    def chunk(self, size):
        """A chunk has come."""
        self.act(lambda observer: observer.chunk(size))


TestUploadObserver = UploadObserverMachine.TestCase
TestUploadObserver.settings = settings(TestUploadObserver.settings, max_examples=25)


class UploadMachine(AbortableMachine):
    """The world around the task is drawn: who publishes it, asks it, and when."""

    task = machines.upload


TestUpload = UploadMachine.TestCase
TestUpload.settings = settings(TestUpload.settings, max_examples=10)


class CarelessMachine(UploadObserverMachine):
    """The same, with an observer that does not ask whether the task has ended."""

    observer = machines.CarelessObserver


class CelerysMachine(AbortableMachine):
    """The world around a task of Celery's own base, whose requests are lost."""

    base = abortable.AbortableTask


@pytest.mark.parametrize("machine", [CarelessMachine, CelerysMachine])
def test_what_is_wrong_is_found(machine):
    """A machine fails; that Hypothesis makes the way there shorter is left out here."""
    # It ends with the first one that fails.
    quickly = settings(max_examples=2_000, phases=[Phase.generate], report_multiple_bugs=False)

    with pytest.raises(CheckFailed):
        run_state_machine_as_test(machine, settings=quickly)
