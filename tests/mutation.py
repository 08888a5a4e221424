"""Is every line of what keeps aborts and ends looked at by a property test? Run by hand.

A copy of the repository is made. Of the modules below one statement at a time is removed there, and
the tests in `tests/property` that are about it run, without shrinking. What none of them notices is
a survivor: a line that may be missing, or a property that is::

    python tests/mutation.py --sample 20 --seed 1
    python tests/mutation.py --only tasks/aborting.py
    python tests/mutation.py --only tasks/attempt.py:40 --keep /tmp/copy

It ends with 1 if there are survivors.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "pytest_taskprogress"
MODULES: Final = (
    "tasks/aborting.py",
    "tasks/abortable.py",
    "tasks/attempt.py",
    "tasks/base.py",
    "tasks/observer.py",
    "tasks/knowing.py",
    "tasks/results.py",
    "checks/rules/endings.py",
)
TESTS: Final = (
    "test_abort_canvas_properties.py",
    "test_abort_properties.py",
    "test_machines.py",
    "test_engine_machine.py",
    "test_sequence_strategies.py",
    "test_observer_properties.py",
    "test_ends_properties.py",
    "test_result_properties.py",
)
#: A test that finds something need not find the smallest; and what ran once must run again.
PROFILE: Final = """
from hypothesis import Phase as _Phase
settings.register_profile(
    "mutation",
    derandomize=True,
    deadline=None,
    database=None,
    phases=[_Phase.explicit, _Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile("mutation")
"""
#: Seconds after which a mutant is one that does not come to its end: it is noticed.
PATIENCE: Final = 300
#: What a statement begins with that says something, and does nothing.
TALK: Final = ("logger.", "message =", "message: ", "warnings.warn(", "warn(", "__tracebackhide__")


class Mutant(NamedTuple):
    """A statement that is removed.

    Attributes:
        module: Where, below the package.
        first: Its first line, from 1.
        last: Its last one.
        text: The first line.
    """

    module: str
    first: int
    last: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.first}: {self.text}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Each statement in a function, the larger ones as a whole too."""
    source = (ROOT / PACKAGE / module).read_text()
    lines = source.splitlines()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if node is function or not isinstance(node, ast.stmt):
                continue
            text = lines[node.lineno - 1].strip()
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Pass, ast.Nonlocal)):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            if isinstance(node, ast.Try) or text.startswith(TALK):
                continue
            yield Mutant(module, node.lineno, node.end_lineno or node.lineno, text)


def mutated(source: str, mutant: Mutant) -> str:
    """The source without a statement."""
    lines = source.splitlines(keepends=True)
    line = lines[mutant.first - 1]
    indent = line[: len(line) - len(line.lstrip())]
    lines[mutant.first - 1 : mutant.last] = [f"{indent}pass\n"]
    return "".join(lines)


def survives(copy: Path, tests: list[str]) -> bool:
    """Whether the tests of the copy pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TASKPROGRESS_EXAMPLES": "60",
    }
    environment.pop("HYPOTHESIS_PROFILE", None)
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return process.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """The statements that are to be removed."""
    mutants = sorted({mutant for module in MODULES for mutant in mutants_of(module)})
    if options.only:
        mutants = [
            each
            for each in mutants
            if any(f"{each.module}:{each.first}:".startswith(part) for part in options.only)
        ]
    if options.sample is not None and options.sample < len(mutants):
        mutants = sorted(random.Random(options.seed).sample(mutants, options.sample))  # noqa: S311
    return mutants


def say(*lines: object) -> None:
    """Write lines, at once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def main() -> int:
    """Remove one after the other; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, help="how many; all if it is not given")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--only", nargs="+", help="modules, or MODULE:LINE")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files of tests/property")
    parser.add_argument("--list", action="store_true", help="say what would be removed")
    options = parser.parse_args()
    mutants = chosen(options)
    if options.list:
        say(*mutants, f"{len(mutants)} statements")
        return 0
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".*_cache")
        shutil.copytree(ROOT, copy, ignore=ignored)
        with (copy / "conftest.py").open("a") as conftest:
            conftest.write(PROFILE)
        tests = [f"tests/property/{each}" for each in options.tests]
        if not survives(copy, tests):
            say("the tests fail before anything is removed")
            return 2
        for number, mutant in enumerate(mutants, 1):
            path = copy / PACKAGE / mutant.module
            source = path.read_text()
            path.write_text(mutated(source, mutant))
            began = time.monotonic()
            try:
                survived = survives(copy, tests)
            finally:
                path.write_text(source)
            if survived:
                survivors.append(mutant)
            what = "SURVIVED" if survived else "noticed"
            took = time.monotonic() - began
            say(f"{number}/{len(mutants)} {what} {took:.0f} s  {mutant}")
    say(f"{len(survivors)} of {len(mutants)} survived", *survivors)
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
