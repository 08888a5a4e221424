"""What holds for any input: of tasks, of those who read progress, and of state machines.

::

    from pytest_taskprogress.properties import check_consumer

    def test_the_view():
        check_consumer(lambda result: json.loads(progress_view(result.id).content))
"""

from __future__ import annotations

from pytest_taskprogress.properties.consuming.answers import Unanswered
from pytest_taskprogress.properties.consuming.consumers import check_consumer
from pytest_taskprogress.properties.consuming.results import as_group_results, as_results
from pytest_taskprogress.properties.consuming.watching import ConsumerFailed
from pytest_taskprogress.properties.exploring.exploration import explore
from pytest_taskprogress.properties.exploring.findings import Exploration, FaultsFound, Finding
from pytest_taskprogress.properties.machines import AbortableMachine, ObserverMachine

__all__ = [
    "AbortableMachine",
    "ConsumerFailed",
    "Exploration",
    "FaultsFound",
    "Finding",
    "ObserverMachine",
    "Unanswered",
    "as_group_results",
    "as_results",
    "check_consumer",
    "explore",
]
