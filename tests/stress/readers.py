"""Readers of progress, by a hundred thousand sequences: `python -m tests.stress.readers`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, given, settings

from pytest_taskprogress.properties import as_group_results, as_results, check_consumer
from pytest_taskprogress.tasks.reading import group_progress, read_progress
from tests.property.test_reading_properties import hostile, hostile_groups


def _any_record() -> None:
    @given(hostile)
    def read(sequence):
        for result in as_results(sequence, torn=True, app=_app()):
            read_progress(result)

    read()


def _any_group() -> None:
    @given(hostile_groups)
    def read(sequence):
        shown = 0.0
        for result in as_group_results(sequence, torn=True, keep=True, app=_app()):
            percent = group_progress(result).percent
            assert percent is not None
            assert percent >= shown
            shown = percent

    read()


def _app():
    from tests.property.test_reading_properties import APP

    APP.backend.clear()
    return APP


#: What is read by whom.
CHECKS: Final[dict[str, Callable[[], None]]] = {
    "read_progress, what keeps the contract": lambda: check_consumer(read_progress),
    "group_progress, what keeps the contract": lambda: check_consumer(
        group_progress, groups=True, keep=True
    ),
    "read_progress, anything": _any_record,
    "group_progress, anything": _any_group,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the program; a reader that fails raises."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.stress.readers")
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--check", type=int, action="append", choices=range(len(CHECKS)))
    options = parser.parse_args(arguments)
    # On a machine that is busy drawing is slow, and that is no fault of a reader.
    settings.register_profile(
        "stress",
        max_examples=options.examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("stress")
    for number, (name, check) in enumerate(CHECKS.items()):
        if options.check and number not in options.check:
            continue
        began = time.perf_counter()
        check()
        seconds = time.perf_counter() - began
        print(f"{name}: {options.examples:,} examples, {seconds:.1f} s", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
