"""Aborts at random times: a loop of reports in one process, who asks in another.

    python -m tests.stress.aborts --runs 2000 --backend redis --classes both

A child process (for the fake backend, which is in the memory of one process: a thread) executes a
task by Celery's tracer, which reports in a loop. After a random part of the time that a run takes,
the parent asks it to abort. Both note the machine's monotonic time, which is the same in all
processes, so that what was lost is a fact: a check that began after `abort()` had returned True,
and saw nothing.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import logging
import multiprocessing
import multiprocessing.dummy
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import uuid4

from celery import Celery
from celery.app.trace import build_tracer
from celery.contrib import abortable
from celery.exceptions import Ignore
from celery.exceptions import TimeoutError as CeleryTimeoutError
from kombu.exceptions import DecodeError

from pytest_taskprogress import AbortableTask, Observer, TaskAborted
from tests.servers import POSTGRES, REDIS, close_client, database, served

__all__ = ["BACKENDS", "CLASSES", "Tally", "asked_at_random", "main"]

#: Reports of a task that is not aborted.
REPORTS: Final = 12

#: Seconds after which a result is stuck.
PATIENCE: Final = 20.0


class Classes(NamedTuple):
    """What a task is made of.

    Attributes:
        base: Of the task.
        check: What it does before each report, to leave if it was asked.
        waits: Whether the end of an aborted task is one that `get()` waits for.
    """

    base: type
    check: Callable[[Any], object]
    waits: bool


def _report_checks(task: Any) -> None:
    """Do nothing: a report of ours checks by itself."""


def _leave_if_asked(task: Any) -> None:
    """Look, and leave as Celery's documentation does to keep a state."""
    if task.is_aborted():
        raise Ignore


CLASSES: Final = {
    "ours": Classes(AbortableTask, _report_checks, waits=True),
    "celery": Classes(abortable.AbortableTask, _leave_if_asked, waits=False),
}


# -- who works -------------------------------------------------------------------------------------


class Record(NamedTuple):
    """What a task noted, in nanoseconds of the machine's monotonic time.

    Attributes:
        checks: When each check began, and whether it saw the request.
        ended: When all was stored.
    """

    checks: list[tuple[int, bool]]
    ended: int


@functools.cache
def app_of(url: str, prefix: str) -> Any:
    """The app of a backend; one a process."""
    app = Celery(prefix, set_as_current=False, broker="memory://", backend=url)
    app.conf.result_backend_transport_options = {"global_keyprefix": prefix}
    for sessions in _sessions(app):
        sessions.forked = True
    return app


def _sessions(app: Any) -> list[Any]:
    """What connects to a database: to be told that it is in a forked process, as in a worker.

    Else it connects anew for each read and write. Before Celery 5.7 it cannot be told.
    """
    return [found] if (found := getattr(app.backend, "session_manager", None)) else []


@functools.cache
def task_of(app: Any, name: str) -> Any:
    """The task of some classes; one an app."""
    classes = CLASSES[name]

    @app.task(bind=True, base=classes.base, name=name, shared=False)
    def reports(self: Any, checks: list[tuple[int, bool]]) -> str:
        observer = Observer(self)
        for n in range(1, REPORTS + 1):
            began = time.monotonic_ns()
            try:
                classes.check(self)
                observer.update("part %d", n, current=n, total=REPORTS)
            except (TaskAborted, Ignore):
                checks.append((began, True))
                raise
            checks.append((began, False))
        return "done"

    return reports


def work(pipe: Any, url: str, prefix: str, name: str) -> None:
    """Execute each task whose id comes, and send what it noted; until None comes."""
    if multiprocessing.parent_process() is not None:
        logging.disable()
        warnings.simplefilter("ignore")
    app = app_of(url, prefix)
    app.set_current()
    task = task_of(app, name)
    trace = build_tracer(task.name, task, app=app)
    pipe.send(None)
    for task_id in iter(pipe.recv, None):
        checks: list[tuple[int, bool]] = []
        with suppress(DecodeError):  # a torn record, see `Tally.broken`: a worker would die of it
            trace(task_id, (checks,), {}, {"id": task_id, "delivery_info": {}})
        pipe.send(Record(checks, time.monotonic_ns()))
    _close(app)


# -- who asks --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What came of many runs; the first four are all of them, with those that were lost.

    Attributes:
        aborted: Asked, and ended in ABORTED.
        ended: Ended before it was asked.
        late: Asked after its last check, and came to its own end.
        broken: Ended in neither SUCCESS nor ABORTED, or with a record that nobody can read: on a
            filesystem, that of a task of Celery's class has two writers.
        lost: A check that began when it had been asked saw nothing.
        success_after_noticed: A check saw the request, and the task ended in SUCCESS.
        stuck: The result is not ready when the task has ended, or `get()` waits for ever.
        seconds: Of all runs.
    """

    aborted: int = 0
    ended: int = 0
    late: int = 0
    broken: int = 0
    lost: int = 0
    success_after_noticed: int = 0
    stuck: int = 0
    seconds: float = 0.0

    def add(self, state: str | None, record: Record, began: int, asked: int | None) -> None:
        """Add a run.

        Args:
            state: In which it ended; None if nobody can tell.
            record: What the task noted.
            began: When who asks began to ask.
            asked: When it was asked; None if who asked was told that it had ended.
        """
        saw = any(seen for _, seen in record.checks)
        self.success_after_noticed += state == "SUCCESS" and saw
        if state not in {"SUCCESS", "ABORTED"}:
            self.broken += 1
        elif asked is None or record.ended < began:
            self.ended += 1
        elif any(at > asked and not seen for at, seen in record.checks):
            self.lost += 1
        elif state == "ABORTED":
            self.aborted += 1
        else:
            self.late += 1


def asked_at_random(url: str, name: str, runs: int, seed: int, *, threads: bool = False) -> Tally:
    """Run a task many times, and ask it to abort at a random time of each.

    Args:
        url: Of the result backend.
        name: Of the classes.
        runs: How many.
        seed: Of the times.
        threads: Whether both work in this process.
    """
    context: Any = multiprocessing.dummy if threads else multiprocessing.get_context("spawn")
    prefix = f"stress-{uuid4().hex}"
    pipe, theirs = context.Pipe()
    worker = context.Process(target=work, args=(theirs, url, prefix, name))
    worker.daemon = True
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns in the middle of everything
    app = app_of(url, prefix)
    task = task_of(app, name)  # before a thread asks for both
    worker.start()
    try:
        _receive(pipe)
        return _asked_at_random(pipe, task, CLASSES[name], runs, seed)
    finally:
        pipe.send(None)
        worker.join(PATIENCE)
        pipe.close()
        theirs.close()
        sys.setswitchinterval(switching)
        _clear(app, prefix)
        task_of.cache_clear()
        app_of.cache_clear()


def _asked_at_random(pipe: Any, task: Any, classes: Classes, runs: int, seed: int) -> Tally:
    times = random.Random(seed)  # noqa: S311 - no secret
    usual = statistics.median(_undisturbed(pipe) for _ in range(9))
    tally = Tally()
    start = time.monotonic()
    for _ in range(runs):
        task_id = uuid4().hex
        result = task.AsyncResult(task_id)
        pipe.send(task_id)
        pipe.poll(times.uniform(0, usual))
        began = time.monotonic_ns()
        told, asked = _readable(result.abort, None), time.monotonic_ns()
        stuck = classes.waits and _is_stuck(task.AsyncResult(task_id))
        record = _receive(pipe)
        result = task.AsyncResult(task_id)
        tally.stuck += stuck or not _readable(result.ready, otherwise=False)
        # Celery's abort() says nothing, also if the task had ended.
        asked = None if told is False else asked
        tally.add(_readable(lambda: result.state, None), record, began, asked)  # noqa: B023
    tally.seconds = time.monotonic() - start
    return tally


def _undisturbed(pipe: Any) -> float:
    """Seconds that a task takes that nobody asks for anything."""
    began = time.monotonic_ns()
    pipe.send(uuid4().hex)
    ended: int = _receive(pipe).ended
    return (ended - began) / 1e9


def _readable(read: Callable[[], Any], otherwise: object) -> Any:
    """What is read, if the record can be read."""
    try:
        return read()
    except DecodeError:
        return otherwise


def _receive(pipe: Any) -> Any:
    if not pipe.poll(PATIENCE):
        raise TimeoutError("the worker does not answer")
    return pipe.recv()


def _is_stuck(result: Any) -> bool:
    # A result that is collected while another one subscribes hangs in Celery's Redis backend.
    gc.disable()
    try:
        result.get(timeout=PATIENCE, propagate=False, interval=0.001)
    except CeleryTimeoutError:
        return True
    finally:
        gc.enable()
    return False


def _clear(app: Any, prefix: str) -> None:
    """Leave nothing behind where others are too: databases and directories are the run's own."""
    if app.conf.result_backend.startswith("redis"):
        client = app.backend.client
        if keys := list(client.scan_iter(match=f"{prefix}*", count=10_000)):
            client.delete(*keys)
    _close(app)


def _close(app: Any) -> None:
    for sessions in _sessions(app):
        for engine in sessions._engines.values():
            engine.dispose()
    close_client(app.backend)
    app.close()


# -- the program -----------------------------------------------------------------------------------


@contextmanager
def _on_disk(url: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield url.format(directory)


@contextmanager
def _postgresql() -> Iterator[str]:
    with served(POSTGRES) as url, database(url) as own:
        yield own


#: Where each is.
BACKENDS: Final[dict[str, Callable[[], AbstractContextManager[str]]]] = {
    "fake": lambda: nullcontext("taskprogress://"),
    "filesystem": lambda: _on_disk("file://{}"),
    "sqlite": lambda: _on_disk("db+sqlite:///{}/results.sqlite"),
    "postgresql": _postgresql,
    "redis": lambda: served(REDIS),
}

_COLUMNS: Final = {
    "backend": 10,
    "classes": 7,
    "runs": 5,
    "aborted": 7,
    "ended before": 12,
    "too late": 8,
    "broken": 6,
    "lost": 5,
    "SUCCESS after noticed": 21,
    "stuck": 5,
    "seconds": 7,
}


def _row(*cells: object) -> str:
    widths = _COLUMNS.values()
    return "  ".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns 1 if an abort of ours was lost."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.stress.aborts")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--classes", choices=[*CLASSES, "both"], default="ours")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    names = list(CLASSES) if options.classes == "both" else [options.classes]
    print(f"seed {options.seed}", _row(*_COLUMNS), sep="\n", flush=True)  # noqa: T201
    bad = 0
    for backend, name in itertools.product(options.backend or BACKENDS, names):
        with BACKENDS[backend]() as url:
            found = asked_at_random(
                url, name, options.runs, options.seed, threads=backend == "fake"
            )
        counts = (
            *(found.aborted, found.ended, found.late, found.broken),
            *(found.lost, found.success_after_noticed, found.stuck, round(found.seconds, 1)),
        )
        print(_row(backend, name, options.runs, *counts), flush=True)  # noqa: T201
        bad += name == "ours" and bool(found.lost or found.success_after_noticed or found.stuck)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
