"""What a session leaves for the page, made up: as from real tests, and as from the worst ones."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from pytest_taskprogress.core.states import TRANSITIONS

Record = dict[str, Any]

SCRIPT: Final = "<script>alert(1)</script>"


class Recorder:
    """Writes a run down as the plugin would: one index for all of its tasks."""

    def __init__(self) -> None:
        self.indices = count()
        self.tasks: dict[str, Record] = {}
        self.now = 0.0

    def task(self, name: str, parent: str | None = None) -> str:
        """Begin a task; its id."""
        task_id = f"{name}-{len(self.tasks)}"
        self.tasks[task_id] = {
            "id": task_id,
            "name": f"shop.tasks.{name}",
            "parent": parent,
            "state": "PENDING",
            "writes": [],
            "left_out": 0,
            "aborts": [],
        }
        return task_id

    def write(self, task_id: str, state: str, **values: Any) -> None:
        """One write."""
        task = self.tasks[task_id]
        task["writes"].append(
            {
                "index": next(self.indices),
                "at": self.now,
                "old": task["state"],
                "state": state,
                "kind": "retry" if state == "RETRY" else "task",
                "percent": None,
                "message": None,
                "error": None,
                "source": None,
                "stored": True,
                **values,
            }
        )
        if values.get("stored", True):
            task["state"] = state

    def report(self, task_id: str, percent: float, message: str, line: int = 12) -> None:
        """A report of progress."""
        source = f"shop/tasks.py:{line}"
        self.write(task_id, "PROGRESS", percent=percent, message=message, source=source)

    def abort(self, task_id: str) -> None:
        """Ask a task to abort."""
        index = 1 + max(
            (each["index"] for task in self.tasks.values() for each in task["writes"]), default=-1
        )
        self.tasks[task_id]["aborts"].append(
            {"at": self.now, "index": index, "source": "tests/test_shop.py:88"}
        )

    def run(
        self, state: str, name: str | None = "shop.tasks.import_users", **values: Any
    ) -> Record:
        """The record."""
        return {
            "name": name,
            "id": next(iter(self.tasks), "none"),
            "state": state,
            "elapsed": self.now,
            "under": [],
            "error": None,
            "tasks": list(self.tasks.values()),
            "findings": [],
            "alike": 1,
            **values,
        }


def simple_run(steps: int = 3, message: str = "Importing users", **values: Any) -> Record:
    """One task that succeeds, after so many reports."""
    recorder = Recorder()
    task = recorder.task("import_users")
    recorder.write(task, "STARTED")
    for step in range(1, steps + 1):
        recorder.report(task, 100.0 * step / steps, message)
    recorder.write(task, "SUCCESS", percent=100.0)
    return recorder.run("SUCCESS", **values)


def aborted_run() -> Record:
    """A task that is aborted at 50 %."""
    recorder = Recorder()
    task = recorder.task("import_users")
    recorder.write(task, "STARTED")
    for percent in (12.5, 25.0, 37.5, 50.0):
        recorder.report(task, percent, "Importing users")
    recorder.abort(task)
    recorder.report(task, 62.5, "Importing users")
    recorder.write(task, "ABORTED", message="Aborted at 5 of 8", source="shop/tasks.py:14")
    return recorder.run("ABORTED", under=["Abort(at_percent(50))"])


def retried_run() -> Record:
    """A task that fails twice, and takes its time."""
    recorder = Recorder()
    task = recorder.task("fetch_prices")
    for attempt, reach in enumerate((3, 6, 10)):
        recorder.write(task, "STARTED")
        for step in range(1, reach + 1):
            recorder.now += 1.5
            recorder.report(task, 10.0 * step, f"Page {step} of 10", 31)
        if attempt < 2:
            recorder.write(task, "RETRY", error="ConnectionError: prices.example: reset by peer")
            recorder.now += 10.0 * 2**attempt
    recorder.write(task, "SUCCESS", percent=100.0)
    return recorder.run(
        "SUCCESS", "shop.tasks.fetch_prices", under=["Advance(at_report(4), seconds=1.5)"]
    )


def chord_run() -> Record:
    """A chord, one of whose tasks starts a group of its own; one of those fails."""
    recorder = Recorder()
    pages = [recorder.task("render_page") for _ in range(3)]
    for number, page in enumerate(pages):
        recorder.write(page, "STARTED")
        for step in range(1, 5):
            recorder.report(page, 25.0 * step, f"Page {number + 1}, layer {step}", 44)
        recorder.write(page, "SUCCESS", percent=100.0)
    images = [recorder.task("resize_image", pages[1]) for _ in range(4)]
    for each in images:
        recorder.write(each, "STARTED")
    for step in range(1, 4):
        for number, each in enumerate(images):
            if number != 2 or step < 3:
                recorder.report(each, 100.0 * step / 3, f"Image {number + 1}", 58)
    recorder.write(images[2], "FAILURE", error="OSError: image-3.png is truncated")
    for number in (0, 1, 3):
        recorder.write(images[number], "SUCCESS", percent=100.0)
    upload = recorder.task("upload_image", images[0])
    recorder.write(upload, "STARTED")
    recorder.write(upload, "UPLOADING", percent=40.0, message="1.2 MB", source="shop/tasks.py:71")
    recorder.write(upload, "SUCCESS", percent=100.0)
    recorder.write(upload, "PROGRESS", percent=41.0, message="too late", stored=False)
    body = recorder.task("bind_book")
    recorder.write(body, "FAILURE", error="ChordError: resize_image raised OSError")
    return recorder.run(
        "FAILURE",
        "shop.tasks.bind_book",
        error="ChordError: Dependency resize_image raised OSError('image-3.png is truncated')",
        findings=[
            {
                "rule": "terminal",
                "task": upload,
                "message": "PROGRESS was written after SUCCESS, and dropped by the backend",
                "source": "shop/tasks.py:73",
            },
            {
                "rule": "described",
                "task": images[2],
                "message": "2 of 5 writes say nothing: expected a description with every report",
                "source": "shop/tasks.py:58",
            },
        ],
    )


def falling_run() -> Record:
    """A long run, whose percentage falls; its middle is left out."""
    recorder = Recorder()
    task = recorder.task("count_stock")
    recorder.write(task, "STARTED")
    for step in range(1, 161):
        recorder.now += 0.25
        percent = step / 1.6 if step < 100 else step / 1.6 - 30 * (step < 120)
        recorder.report(task, round(percent, 2), f"Shelf {step}", 92)
    recorder.write(task, "SUCCESS", percent=100.0)
    run = recorder.run(
        "SUCCESS",
        "shop.tasks.count_stock",
        findings=[
            {
                "rule": "monotonic",
                "task": task,
                "message": "percent fell from 61.88 to 32.5: expected no less than before",
                "source": "shop/tasks.py:92",
            }
        ],
    )
    record = run["tasks"][0]
    record["left_out"] = 9_840
    for each in record["writes"][80:]:
        each["index"] += 9_840
    return run


def reach_table() -> Record:
    """Transition coverage of these tests."""
    seen = {
        ("PENDING", "STARTED"): 412,
        ("STARTED", "PROGRESS"): 409,
        ("PROGRESS", "PROGRESS"): 3_120,
        ("PROGRESS", "SUCCESS"): 377,
        ("PROGRESS", "RETRY"): 2,
        ("RETRY", "STARTED"): 2,
        ("PROGRESS", "FAILURE"): 1,
        ("PROGRESS", "ABORTED"): 31,
        ("PENDING", "FAILURE"): 1,
    }
    return {
        "edges": [
            {"old": old, "state": state, "cause": cause, "count": seen.get((old, state), 0)}
            for (old, state), cause in TRANSITIONS.items()
        ],
        "sites": [
            _site("import_users", 12, 1_204, 31),
            _site("fetch_prices", 31, 19, 0),
            _site("render_page", 44, 12, None),
            _site("resize_image", 58, 11, None),
            _site("count_stock", 92, 160, None),
            _site("close_shop", 120, 0, 0),
        ],
        "edges_reached": len(seen),
        "percent": 62.5,
    }


def _site(task: str, line: int, reached: int, aborted: int | None) -> Record:
    source = f"shop/tasks.py:{line}"
    return {"task": f"shop.tasks.{task}", "source": source, "reached": reached, "aborted": aborted}


def case(name: str, *runs: Record, outcome: str = "passed", **values: Any) -> Record:
    """A test with its runs."""
    return {
        "nodeid": f"tests/test_shop.py::{name}",
        "outcome": outcome,
        "duration": 0.034,
        "runs": list(runs),
        "failure": None,
        **values,
    }


FAILURE: Final = """\
    def test_book_is_bound(taskprogress):
        run = taskprogress.run(book(3))
>       assert_states(run, "PROGRESS* SUCCESS")
E       pytest_taskprogress.core.errors.CheckFailed: the run ended in FAILURE
E       expected: PROGRESS* SUCCESS
E           #  seconds  task          old -> new           progress      message
E          24    0.000  resize_image  STARTED -> PROGRESS  ##------ 33%  Image 3
E          28    0.000  resize_image  PROGRESS -> PROGRESS #####--- 67%  Image 3
E       -> 33    0.000  resize_image  PROGRESS -> FAILURE                OSError: image-3.png

tests/test_shop.py:41: CheckFailed"""


def session() -> Record:
    """A session as a shop's test suite would leave it."""
    return {
        "title": "Shop: task progress",
        "created": "2025-11-03",
        "versions": {"celery": "5.7.0", "pytest": "9.2.0", "pytest-taskprogress": "0.1.0"},
        "tests": [
            case("test_reports_every_row", simple_run()),
            case(
                "test_reports_rows_of_any_file", *(simple_run(n, alike=n * n) for n in range(1, 9))
            ),
            case("test_stops_when_aborted", aborted_run()),
            case("test_retries_while_the_network_is_down", retried_run()),
            case("test_book_is_bound", chord_run(), outcome="failed", failure=FAILURE),
            case("test_counts_every_shelf", falling_run()),
            case("test_message_is_text", simple_run(message=SCRIPT)),
            case("test_closes_the_shop", outcome="skipped"),
        ],
        "reach": reach_table(),
    }


def many(tests: int, runs: int) -> Record:
    """A large session of runs that differ, each of 5 writes."""
    return {
        "title": "Many runs",
        "tests": [
            case(
                f"test_{test}",
                *(simple_run(message=f"Importing file {test}-{run}") for run in range(runs)),
            )
            for test in range(tests)
        ],
    }


def nasty(text: Any) -> Record:
    """A session in which every text is this one."""
    run = chord_run()
    for task in run["tasks"]:
        task["name"] = text
        task["aborts"] = [{"at": text, "index": text, "source": text}]
        for each in task["writes"]:
            each.update(message=text, error=text, source=text, old=text, state=text)
    for finding in run["findings"]:
        finding.update(rule=text, task=text, message=text, source=text)
    run.update(name=text, state=text, error=text, under=[text, text])
    reach = reach_table()
    for each in reach["edges"]:
        each.update(cause=text, old=text)
    for each in reach["sites"]:
        each.update(task=text, source=text)
    return {
        "title": text,
        "created": text,
        "versions": {str(text): text},
        "tests": [case("x", run, nodeid=text, outcome=text, failure=text)],
        "reach": reach,
    }
