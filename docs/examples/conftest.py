"""Show what was captured: `make demo` prints it below the name of each test."""

from pathlib import Path

import pytest

SHOWN = 12  # lines of a history; of a longer one the first and the last
HERE = f"{Path(__file__).parent}/"


@pytest.fixture(autouse=True)
def show_what_was_captured(request):
    """Print the history of the engine, if the test uses it."""
    if "taskprogress" not in request.fixturenames:
        yield
        return
    engine = request.getfixturevalue("taskprogress")
    yield
    history = shortened(str(engine.history).replace(HERE, ""))
    print(f"\n  {request.node.obj.__doc__.strip()}\n{history}")


def shortened(text):
    """Leave out the middle of a long text."""
    lines = text.splitlines()
    left_out = len(lines) - SHOWN
    if left_out > 1:
        lines[SHOWN // 2 : -SHOWN // 2] = [f"     ... and {left_out} more ..."]
    return "\n".join(lines)
