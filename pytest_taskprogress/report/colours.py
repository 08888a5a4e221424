"""Colour in what a failing test shows, where the terminal has it."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["Colours", "coloured"]

_RED: Final = "\x1b[1;31m"
_DIM: Final = "\x1b[2m"
_OFF: Final = "\x1b[0m"

#: The beginning of a line, and how the line is shown.
_LINES: Final = (
    (re.compile(r"^(> |Expected: |Instead of )"), _RED),
    (re.compile(r"^(  -- |  \.\.\. |before: | +# )"), _DIM),
)


def coloured(text: str) -> str:
    """Text of a timeline, with colours."""
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    style = next((style for begins, style in _LINES if begins.match(line)), None)
    return line if style is None else f"{style}{line}{_OFF}"


class Colours:
    """A plugin of pytest that colours the sections of reports, wherever they were made.

    Args:
        config: pytest's.
    """

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - pytest's, which is not imported here
        self._config = config

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401
        """Colour what is shown of the runs of a test."""
        if not report.failed:
            return
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and terminal.hasmarkup:
            report.sections = [
                (name, coloured(text) if name == "taskprogress" else text)
                for name, text in report.sections
            ]
