"""What a type checker knows of the public API: checked by mypy, never run."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from pytest_taskprogress import (
    CaptureListener,
    CeleryEngine,
    Contract,
    DurationListener,
    EagerEngine,
    Engine,
    History,
    Match,
    Notifier,
    Observer,
    Outcome,
    Progress,
    TaskRun,
    Transition,
    Violation,
    VirtualClock,
    assert_final,
    assert_monotonic,
    assert_progress,
    assert_states,
    check_transition,
    progress,
    state,
)


def task(self: Any, rows: list[int]) -> dict[str, Any]:
    """Track keeps the type of the items."""
    observer = Observer(self, throttle=0.5, clock=VirtualClock())
    for row in observer.track(rows, "Importing"):
        assert_type(row, int)
    assert_type(observer.pos, int | float)
    assert_type(observer.increment(), int | float)
    assert_type(observer.update("half", current=50), tuple[str, dict[str, Any]])
    assert_type(observer.fail("bad %s", "luck"), tuple[str, dict[str, Any]])
    assert_type(observer.fail("bad %s", ValueError, "luck"), tuple[str, dict[str, Any]])
    _, meta = observer.success("Imported %d", len(rows))
    return meta


def engine(app: Any) -> Engine:
    """An engine's parts have types, and it is an `Engine`."""
    with EagerEngine(app, limit=10) as engine:
        run = engine.run(task, [1])
        assert_type(run, TaskRun)
        assert_type(run.percents, list[float | None])
        assert_type(run.history, History)
        assert_type(run.history[0], Transition)
        assert_type(run.history[1:], History)
        assert_type(engine.capture, CaptureListener)
        assert_type(engine.clock.monotonic(), float)
        assert_type(engine.notifier, Notifier)
        assert_type(engine.storage.get_flow_state(), str)
        assert_type(engine.resume(), TaskRun | None)
        with engine.paused() as paused:
            assert_type(paused.step(), bool)
    return engine


def judging(run: TaskRun) -> None:
    """What judges a run returns what it found."""
    assert_type(run.matches("PROGRESS* SUCCESS"), Match)
    assert_type(run.matches([state("STARTED"), progress(0, 10), ..., "SUCCESS"]), Match)
    assert_type(run.check("monotonic", max_gap=30), TaskRun)
    assert_type(run.timeline(width=100), str)
    assert_type(run.snapshot(), str)
    assert_type(assert_final(run, "SUCCESS", result=10), Transition)
    assert_type(assert_states(run.history, "PROGRESS*"), History)
    assert_type(assert_monotonic(run), TaskRun)
    assert_type(assert_progress([{"current": 1, "total": 2}], [50.0]), list[Transition])
    assert_type(Contract().having(ignore=["complete"]).violations(run), list[Violation])


def production(app: Any) -> None:
    """A listener takes any engine."""
    with CeleryEngine(app) as engine:
        listener = DurationListener(engine)
        listener.register()
        assert_type(engine.receive(limit=1), int)
    with EagerEngine(app) as eager:
        DurationListener(eager)


def values() -> None:
    """The values of core have types."""
    assert_type(check_transition("FAILURE", "SUCCESS"), Outcome)
    assert_type(Progress(1, 2).percent, float | None)
    assert_type(Progress.clamp(9, 2), Progress)
