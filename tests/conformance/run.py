"""Run Celery's own tests on the engine, and on a prefork worker, and compare.

    python tests/conformance/run.py [--celery 5.7.0] [--update]
        [--engine-only | --prefork-only | --aborts-only]

Celery's sdist carries its tests. It is downloaded from the package index by pip, to a folder that
is removed afterwards; nothing of it is part of this repository.

* t/integration/test_tasks.py runs with Celery's own session worker (prefork, Redis as broker and
  backend), and with the engine in its place (see on_engine.py).
* t/unit/backends/test_base.py and test_cache.py run with the fake backend in place of those that
  they make (see on_backend.py).
* t/unit/contrib/test_abortable.py runs with our classes in place of Celery's (see on_aborts.py).

A test that passes on Celery's own parts and not on ours is named with its reason (differences.py).
Exit code 1: one has no reason, or has one and passes, or fewer than 95 % pass on the engine.
Exit code 3: the package index is out of reach; nothing was run. Without a redis-server the first
part is skipped; with CI=true that is exit code 1, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import baseline
import differences
from results import FLOOR, compare, run_pytest
from scratch import IndexOutOfReachError, Scratch, redis_server

OUT_OF_REACH = 3

TASKS = "t/integration/test_tasks.py"
BACKENDS = ("t/unit/backends/test_base.py", "t/unit/backends/test_cache.py")
ABORTS = "t/unit/contrib/test_abortable.py"


def main():
    """Run what was asked for; returns the exit code."""
    options = parsed()
    began = time.perf_counter()
    with ExitStack() as undo:
        folder = options.keep or undo.enter_context(tempfile.TemporaryDirectory())
        scratch = Scratch(folder, options.celery)
        try:
            scratch.set_up()
        except IndexOutOfReachError as error:
            sys.stderr.write(str(error))
            say("0 passed: SKIPPED, the package index is out of reach", began=began)
            return OUT_OF_REACH
        say(f"Celery {options.celery}")
        parts = []
        if not options.aborts_only:
            parts.append(integration(scratch, options))
        if not (options.aborts_only or options.prefork_only):
            parts.append(backends(scratch))
        if not options.prefork_only:
            parts.append(aborts(scratch))
    say("\n" + ", ".join(part.summary for part in parts), began=began)
    return 0 if all(part.good for part in parts) else 1


class Part(NamedTuple):
    """What came of one of the comparisons.

    Attributes:
        good: Whether all is as it should be.
        summary: In some words.
    """

    good: bool
    summary: str


def parsed():
    """What the command line says."""
    try:
        installed = version("celery")
    except PackageNotFoundError:
        installed = None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--celery",
        metavar="VERSION",
        default=installed,
        required=installed is None,
        help=f"default: the one that is installed, {installed}",
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument(
        "--engine-only",
        action="store_true",
        help="compare with what is recorded of a prefork worker, which takes minutes",
    )
    parts.add_argument("--prefork-only", action="store_true", help="run the prefork worker only")
    parts.add_argument(
        "--aborts-only", action="store_true", help="run the tests of aborts only: seconds"
    )
    parser.add_argument(
        "--update", action="store_true", help="record what passes on the prefork worker"
    )
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="where to download to; used again by the next run"
    )
    return parser.parse_args()


def integration(scratch, options):
    """Run the integration tests, on a prefork worker and on the engine."""
    say(f"\n{TASKS}")
    recorded = baseline.read(options.celery)
    with redis_server(scratch.folder) as redis:
        if redis is None:
            say("  SKIPPED: these tests talk to a Redis, on the engine too: install redis-server")
            in_ci = os.environ.get("CI", "").lower() in {"1", "true"}
            return Part(good=not in_ci, summary=f"{TASKS} SKIPPED: no redis-server")
        if options.engine_only:
            if recorded is None:
                say(f"  nothing is recorded of Celery {options.celery}: run with --update")
                return Part(good=False, summary=f"{TASKS} not run")
            expected, passed = recorded, len(recorded.passed)
            how = f"recorded with Celery {recorded.version}"
        else:
            prefork = run_pytest(scratch, TASKS, **environment(redis))
            expected = baseline.merged(recorded, options.celery, prefork)
            passed, how = len(prefork.passed), "run now"
            tell_news(recorded, prefork)
            if options.update:
                baseline.write(expected)
        say(f"  prefork  {passed:4} passed  {expected.seconds:7.1f} s  ({how})")
        if options.prefork_only:
            return Part(good=True, summary=f"{passed} passed on a prefork worker")
        # Attempts are for a worker that is slow to answer: here, the first one counts.
        alone = ("-p", "on_engine", "-p", "no:rerunfailures")
        engine = run_pytest(scratch, TASKS, *alone, **environment(redis))
    say(f"  engine   {len(engine.passed):4} passed  {engine.seconds:7.1f} s")
    wanted = expected.passed
    if expected.version != options.celery:
        wanted = wanted & set(engine.tests)  # a patch release may have lost a test
    found = compare(wanted, engine, differences.flat(differences.ENGINE))
    say(
        f"  {len(found.passing)} of the {len(found.wanted)} that pass on a prefork worker pass on"
        f" the engine: {found.share:.1f} %"
    )
    enough = found.share >= FLOOR
    if not enough:
        say(f"  FEWER than {FLOOR:g} %")
    summary = f"{len(found.passing)} passed of {len(found.wanted)} on the engine"
    return Part(good=tell(found) and enough, summary=summary)


def environment(redis):
    """What Celery's tests read: where a Redis is, and how much the worker logs."""
    host, _, port = redis.partition(":")
    url = f"redis://{redis}/0"
    return {
        "TEST_BROKER": url,
        "TEST_BACKEND": url,
        "REDIS_HOST": host,
        "REDIS_PORT": port,
        "WORKER_LOGLEVEL": "INFO",  # some tests read what it logs
    }


def tell_news(recorded, prefork):
    """Say what a prefork run shows that the record does not have, or not any more."""
    if recorded is None:
        return
    for name in sorted(prefork.passed - recorded.passed):
        say(f"  passes on the prefork worker and is not recorded (--update): {name}")
    for name in sorted(recorded.passed - prefork.passed):
        say(f"  passed on the prefork worker when it was recorded, and not now: {name}")


def backends(scratch):
    """Run the unit tests of backends, on the fake one and on Celery's own."""
    say(f"\n{' '.join(BACKENDS)}")
    chosen = ("-p", "on_backend", "--on-backend")
    fake = run_pytest(scratch, *BACKENDS, *chosen, "fake")
    cache = run_pytest(scratch, *BACKENDS, *chosen, "cache")
    # A test that makes no backend says nothing about ours; one that is skipped lacks a library.
    applying = {
        name
        for name, test in fake.tests.items()
        if test["makes_backend"] and test["outcome"] != "skipped"
    }
    found = compare(applying, fake, differences.flat(differences.BACKEND))
    passing, celerys = found.passing, applying & cache.passed
    say(f"  {len(applying)} make a backend; in place of it:")
    say(f"  CacheBackend {len(celerys):4} passed  {cache.seconds:7.1f} s  (Celery's own)")
    say(f"  FakeBackend  {len(passing):4} passed  {fake.seconds:7.1f} s")
    say(f"  {len(passing & celerys)} of the {len(celerys)} that pass on Celery's own pass on ours")
    good = tell(found, also=applying - celerys)
    return Part(good, f"{len(passing)} passed of {len(applying)} on the fake backend")


def aborts(scratch):
    """Run the unit tests of abortable tasks, on Celery's classes and on ours."""
    say(f"\n{ABORTS}")
    chosen = ("-p", "on_aborts", "--on-aborts")
    celerys = run_pytest(scratch, ABORTS, *chosen, "celery")
    ours = run_pytest(scratch, ABORTS, *chosen, "ours")
    # All of them: there is no reason for one that does not pass, nor for one that is not on ours.
    found = compare({name for name, test in ours.tests.items() if test["ours"]}, ours, {})
    passing = found.passing & celerys.passed
    say(f"  Celery's AbortableTask {len(celerys.passed):4} passed  {celerys.seconds:7.1f} s")
    say(f"  our AbortableTask      {len(ours.passed):4} passed  {ours.seconds:7.1f} s")
    say(f"  {len(passing)} of the {len(celerys.passed)} that pass on Celery's own pass on ours")
    good = tell(found) and passing == celerys.passed
    return Part(good, f"{len(passing)} passed of {len(celerys.passed)} on our AbortableTask")


def tell(found, also=()):
    """Name each test that does not pass; returns whether each has a reason, and needs it.

    Args:
        found: The comparison.
        also: Names of those that do not pass on Celery's own part in the same place, either.
    """
    by_reason = {}
    for name, reason in found.known.items():
        mark = " (*)" if name in also else ""
        by_reason.setdefault(reason, []).append(name + mark)
    for reason, names in by_reason.items():
        say(f"  {reason}:", *(f"    {name}" for name in names))
    if any(name in also for name in found.known):
        say("  (*) and fails on Celery's own part in the same place, too")
    for name, what in found.surprises.items():
        say(f"  UNEXPECTED {name}", f"    {what}")
    for name in found.stale:
        say(f"  STALE: passes, take it off the list in differences.py: {name}")
    return not (found.surprises or found.stale)


def say(*lines, began=None):
    """Tell the person who runs it; at the end, also how long it took."""
    took = "" if began is None else f" in {time.perf_counter() - began:.1f}s"
    print(*lines, sep="\n", end=took + "\n", flush=True)  # noqa: T201 - a script's output


if __name__ == "__main__":
    sys.exit(main())
