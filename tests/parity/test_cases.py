"""The engine and a live worker, case by case: equal states, results, callbacks and signals."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

import pytest

from tests.parity.cases import CASES
from tests.parity.record import differences
from tests.parity.sides import LiveWorker, eager_side
from tests.parity.table import WORKERS


@pytest.fixture(scope="module")
def live_worker(request):
    """Get a live worker by its name in `WORKERS`; it is started once, when a case needs it.

    Not for the session: one worker of a process that stops tells all of them to stop.
    """
    running = {}
    with ExitStack() as undo:

        def get(name):
            if name not in running:
                kind = WORKERS[name]
                url = request.getfixturevalue("redis_url") if kind.redis else None
                worker = LiveWorker(f"parity-{name}", kind, url)
                running[name] = undo.enter_context(worker.running())
            return running[name]

        yield get


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" · ", "-"))
def test_parity(case, live_worker):
    """Both sides leave the same behind, and write the states that the table says."""
    if case.needs:
        pytest.importorskip(case.needs)
    settings = WORKERS[case.worker].settings
    with warnings.catch_warnings():
        if case.warns:
            warnings.filterwarnings("ignore", message=case.warns)
        with live_worker(case.worker).side(case.settings) as live:
            on_worker = case.run(live)
        with eager_side(f"parity-{case.worker}", {**settings, **case.settings}) as eager:
            on_engine = case.run(eager)
            eager.settle()
    report, other = live.recorder.report(on_worker), eager.recorder.report(on_engine)
    found = differences(report, other)
    assert not found, "\n".join([case.name, *found])
    assert live.recorder.states() == case.expected
    assert case.signals <= live.recorder.sent
