"""Golden histories: what the tasks of a test did once, kept in files to be compared with later."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from pytest_taskprogress.checks.comparing import (
    Change,
    Golden,
    GoldenRun,
    Recorded,
    Verdict,
    compare,
    golden_run,
)
from pytest_taskprogress.checks.snapshots import as_json_line
from pytest_taskprogress.core.errors import GoldenError
from pytest_taskprogress.core.messages import as_repr, as_text
from pytest_taskprogress.core.transitions import History

__all__ = [
    "Change",
    "Golden",
    "GoldenError",
    "GoldenRun",
    "Recorded",
    "Verdict",
    "compare",
    "golden_path",
    "read_golden",
    "write_golden",
]

#: Raised by one with each change of what the lines mean.
_VERSION: Final = 1
_FORMAT: Final = "pytest-taskprogress golden histories"
_LONGEST_SLUG: Final = 80


def golden_path(directory: str | os.PathLike[str], nodeid: str) -> Path:
    """The file of a test: what can be read of its node id, and what makes it unique.

    Args:
        directory: Where golden histories are kept.
        nodeid: Of the test.
    """
    file, _, test = nodeid.partition("::")
    name = f"{file.rpartition('/')[2].removesuffix('.py')}-{test}".lower()
    slug = re.sub(r"[^a-z0-9]+", "-", name)[:_LONGEST_SLUG].strip("-") or "test"
    digest = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(directory) / f"{slug}-{digest[:10]}.jsonl"


def write_golden(
    directory: str | os.PathLike[str],
    nodeid: str,
    runs: Iterable[tuple[History, Sequence[Mapping[str, Any]], str]],
) -> Path:
    """Keep the runs of a test, in place of what was kept of it.

    Whoever reads at the same time reads either; a directory that is not there is made.

    Args:
        directory: Where.
        nodeid: Of the test.
        runs: A `Recorded` each.

    Returns:
        The file.

    Raises:
        GoldenError: If the file cannot be written.
    """
    path = golden_path(directory, nodeid)
    lines = [{"format": _FORMAT, "version": _VERSION, "nodeid": nodeid}]
    for number, run in enumerate((golden_run(*each) for each in runs), start=1):
        findings = [
            {"rule": rule, "task": task, "message": text} for rule, task, text in run.findings
        ]
        head = {"run": number, "state": run.state, "transitions": len(run.transitions)}
        lines += [{**head, "findings": findings}, *map(dict, run.transitions)]
    text = "".join(f"{_in_order(each)}\n" for each in lines)
    # Beside it, since only then it takes its place at once; of a name that nobody else has.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        message = (
            f"the golden histories of {nodeid} cannot be written to {path}:"
            f" {error.strerror or as_text(error)}; is {directory} a directory that can be written?"
        )
        raise GoldenError(message) from error
    return path


def read_golden(directory: str | os.PathLike[str], nodeid: str) -> Golden | None:
    """Read what was kept of a test.

    Args:
        directory: Where.
        nodeid: Of the test.

    Returns:
        It; None if nothing was.

    Raises:
        GoldenError: If there is no such directory, or the file is not what was written.
    """
    path = golden_path(directory, nodeid)
    if not path.parent.is_dir():
        what = "is no directory" if path.parent.exists() else "does not exist"
        message = (
            f"{directory} {what}: there are no golden histories; record them with"
            f" --taskprogress-record={directory}"
        )
        raise GoldenError(message)
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        _broken(path, error.object.count(b"\n", 0, error.start) + 1, f"no UTF-8: {error.reason}")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or as_text(error)}"
        raise GoldenError(message) from error
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return _Reader(path, lines).golden(nodeid)


class _Reader:
    """Reads a file of golden histories.

    Args:
        path: The file.
        lines: Its lines.
    """

    def __init__(self, path: Path, lines: Sequence[str]) -> None:
        self._path = path
        self._lines = lines
        self._at = 0

    def golden(self, nodeid: str) -> Golden:
        head = self._next()
        if head.get("format") != _FORMAT:
            self._wrong(f'expected {{"format": "{_FORMAT}", ...}}, got {as_repr(head)}')
        version = head.get("version")
        if not isinstance(version, int) or version > _VERSION:
            message = (
                f"{self._path}, line 1: written in version {as_repr(version)} of the format, and"
                f" this pytest-taskprogress knows {_VERSION}: update it, or record again with"
                f" --taskprogress-record={self._path.parent}"
            )
            raise GoldenError(message)
        if head.get("nodeid") != nodeid:
            self._wrong(f"it is that of nodeid={as_repr(head.get('nodeid'))}, and not of {nodeid}")
        runs: list[GoldenRun] = []
        while self._at < len(self._lines):
            runs.append(self._run(len(runs) + 1))
        return Golden(nodeid, tuple(runs), self._path)

    def _run(self, number: int) -> GoldenRun:
        head = self._next()
        count, findings = head.get("transitions"), head.get("findings")
        is_head = head.get("run") == number and isinstance(head.get("state"), str)
        if not is_head or not isinstance(count, int) or not isinstance(findings, list):
            self._wrong(f"expected the beginning of run {number}, got {as_repr(head)}")
        kept = []
        for each in findings:
            if not isinstance(each, dict):
                self._wrong(f"expected findings that are objects, got {as_repr(each)}")
            kept.append(tuple(as_text(each.get(key, "")) for key in ("rule", "task", "message")))
        transitions = []
        for _ in range(count):
            transitions.append(self._next())
            if "state" not in transitions[-1] or "old_state" not in transitions[-1]:
                self._wrong(f"expected a transition, got {as_repr(transitions[-1])}")
        return GoldenRun(head["state"], tuple(sorted(kept)), tuple(transitions))  # type: ignore[arg-type]

    def _next(self) -> dict[str, Any]:
        self._at += 1
        if self._at > len(self._lines):
            self._wrong("the file ends before it should")
        line = self._lines[self._at - 1]
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            self._wrong(f"no JSON: {as_text(error)}, in {as_repr(line)}")
        if not isinstance(value, dict):
            self._wrong(f"expected an object, got {as_repr(value)}")
        return value

    def _wrong(self, what: str) -> NoReturn:
        _broken(self._path, self._at, what)


def _broken(path: Path, line: int, what: str) -> NoReturn:
    message = (
        f"{path}, line {line}: {what}; these are no golden histories as they were written. Restore"
        f" the file, or delete it and record again with --taskprogress-record={path.parent}"
    )
    raise GoldenError(message) from None


def _in_order(value: Mapping[str, Any]) -> str:
    """JSON on one line: keys in the order in which a person wants to read them, the rest sorted."""
    parts = (f"{as_json_line(key)}: {as_json_line(each)}" for key, each in value.items())
    return f"{{{', '.join(parts)}}}"
