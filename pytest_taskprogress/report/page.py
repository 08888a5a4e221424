"""The page: one HTML file, which needs neither a network nor, to be read, a script."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_taskprogress.core.errors import TaskProgressError
from pytest_taskprogress.report.cases import cases_of
from pytest_taskprogress.report.cuts import Gap
from pytest_taskprogress.report.reached import reach_of
from pytest_taskprogress.report.summary import summary_of
from pytest_taskprogress.report.untrusted import mapping, text

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:
    message = (
        "The HTML report is made by Jinja2, which is not installed:"
        " pip install 'pytest-taskprogress[report]'"
    )
    raise TaskProgressError(message) from error

__all__ = ["render", "write"]

_TITLE: Final = "Task progress"
#: A page of no more runs is printed with everything open.
_PRINTED_IN_FULL: Final = 200
#: Of a page of more, only what is on the screen is laid out.
_LAID_OUT: Final = 2_000


def render(data: Mapping[str, Any]) -> str:
    """Make the page.

    Args:
        data: `title`, `tests`, `reach`, `versions` and `created`; whatever is missing or of another
            type than expected is left out.
    """
    return "".join(_parts(data))


def write(path: str | Path, data: Mapping[str, Any]) -> None:
    """Make the page, and store it.

    Args:
        path: The file; folders that do not exist are made.
        data: As for `render`.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that half a page never takes the place of a whole one.
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with half.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_parts(data))
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _parts(data: Mapping[str, Any]) -> Iterator[str]:
    environment = _environment()
    versions = mapping(data.get("versions"))
    cases = cases_of(data)
    summary = summary_of(cases)
    listed = sum(max(len(case.runs), 1) for case in cases)
    style, script = _source(environment, "page.css"), _source(environment, "page.js")
    return environment.get_template("page.html.jinja").generate(
        title=text(data.get("title")) or _TITLE,
        created=text(data.get("created")),
        versions=[(text(name), text(value)) for name, value in versions.items()],
        cases=cases,
        summary=summary,
        reach=reach_of(data.get("reach")),
        printed_in_full=listed <= _PRINTED_IN_FULL,
        is_large=listed > _LAID_OUT,
        # Ours, and no template: what a task wrote never comes into them.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_taskprogress.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["gap"] = lambda value: isinstance(value, Gap)
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader  # noqa: S101 - for the type checker: it was given one
    return environment.loader.get_source(environment, name)[0]
