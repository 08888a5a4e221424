"""What passed on a prefork worker, recorded by version of Celery: `baseline-5.7.txt`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).resolve().parent


class Baseline(NamedTuple):
    """A record of prefork runs.

    Attributes:
        version: Of Celery.
        passed: Names of the tests that passed in one of them.
        seconds: How long pytest ran.
    """

    version: str
    passed: set[str]
    seconds: float


def read(version):
    """The record of a version of Celery, or of another of its minor; None if there is none."""
    path = _path(version)
    if not path.exists():
        return None
    first, *names = path.read_text(encoding="utf-8").splitlines()
    recorded, seconds = first.removeprefix("# Celery ").removesuffix(" s").split(": ")
    return Baseline(recorded, set(names), float(seconds))


def write(baseline):
    """Record what passed."""
    first = f"# Celery {baseline.version}: {baseline.seconds:.1f} s"
    lines = [first, *sorted(baseline.passed), ""]
    _path(baseline.version).write_text("\n".join(lines), encoding="utf-8")


def merged(recorded, version, results):
    """A new record. Some tests race the worker: what passed once, with this version, can pass.

    Args:
        recorded: The record so far, or None.
        version: Of Celery, in the run.
        results: Of a prefork run.
    """
    again = recorded is not None and recorded.version == version
    before = recorded.passed if again else set()
    return Baseline(version, before | results.passed, results.seconds)


def _path(version):
    minor = ".".join(version.split(".")[:2])
    return _HERE / f"baseline-{minor}.txt"
