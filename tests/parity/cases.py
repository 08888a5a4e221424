"""The table of cases: what is run on a live worker and on the engine, and compared.

`python -m tests.parity.cases` writes it into docs/parity.md.
"""

from __future__ import annotations

from pathlib import Path

from tests.parity import aborts, canvases, messages, outcomes
from tests.parity.record import LEFT_OUT

CASES = [*messages.CASES, *canvases.CASES, *outcomes.CASES, *aborts.CASES]

POINTS = {
    1: "Tasks and messages",
    2: "Canvases",
    3: "Outcomes",
    4: "Aborts with Celery's own AbortableTask",
}
PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
#: What is between two of these lines in the page is written by this module.
BEGIN, END = "<!-- begin: {} -->", "<!-- end: {} -->"


def states(case):
    """The states of a case as the page has them, with those of older versions."""
    text = f"`{case.states}`"
    if case.before:
        (major, minor), older = case.before
        text += f"; before Celery {major}.{minor}: `{older}`"
    return text


def cases_text():
    """A heading and a table for each point."""
    lines = []
    for point, title in POINTS.items():
        rows = [case for case in CASES if case.name.startswith(f"{point} · ")]
        lines += [f"### {point}. {title}: {len(rows)} cases", ""]
        lines += ["| case | what happens, and is compared | states written |", "|---|---|---|"]
        lines += [
            f"| {case.name.partition(' · ')[2]} | {case.what} | {states(case)} |" for case in rows
        ]
        lines += [""]
    return "\n".join(lines)


def left_out_text():
    """A table of what is not compared."""
    lines = ["| left out | why |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {why} |" for name, why in LEFT_OUT.items()), ""])


def updated(page):
    """The text of the page with the tables as they should be."""
    for name, text in (("cases", cases_text()), ("left out", left_out_text())):
        begin, end = BEGIN.format(name), END.format(name)
        head, _, rest = page.partition(begin)
        page = f"{head}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
