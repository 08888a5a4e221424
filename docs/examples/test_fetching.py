"""A real HTTP server that is overloaded for a while, and a task that waits for it in no time."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fetching import CHUNK, Unavailable, fetch, wait_for

from pytest_taskprogress import DrainLimitExceeded

DOCUMENT = b"All work and no play makes Jack a dull boy.\n" * 1000


class Service(ThreadingHTTPServer):
    """Answers 503 some times, then with the document."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = 0
        self.asked = 0

    @property
    def url(self):
        """Where the document is."""
        return f"http://127.0.0.1:{self.server_port}/report.txt"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        """Answer."""
        self.server.asked += 1
        if self.server.asked <= self.server.failures:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(DOCUMENT)))
        self.end_headers()
        self.wfile.write(DOCUMENT)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def service():
    """A server on this machine, for one test."""
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_service_that_is_there(taskprogress, service):
    """One attempt; a report for each chunk."""
    run = taskprogress.run(fetch, service.url)

    assert run.state == "SUCCESS"
    assert run.result["document"].encode() == DOCUMENT
    sizes = [min(CHUNK, len(DOCUMENT)), 2 * CHUNK, len(DOCUMENT)]
    assert [report.meta["current"] for report in run.progress] == [0, *sizes]
    assert run.percents == [None, 37.24, 74.47, 100.0]


def test_two_answers_of_503(taskprogress, service):
    """Two retries, a minute and two minutes later; the clock has moved, the test has not waited."""
    service.failures = 2
    run = taskprogress.run(fetch, service.url)

    assert run.states == [
        *("PROGRESS", "RETRY"),
        *("PROGRESS", "RETRY"),
        *("PROGRESS", "PROGRESS", "PROGRESS", "PROGRESS", "SUCCESS"),
    ]
    assert run.retries == 2
    assert run.elapsed == 60 + 120
    assert [each.at for each in run.history if each.state == "RETRY"] == [0.0, 60.0]
    assert service.asked == 3


def test_a_service_that_never_comes_back(taskprogress, service):
    """After the last retry the task fails, with what the service said."""
    service.failures = 100
    run = taskprogress.run(fetch, service.url)

    assert run.state == "FAILURE"
    assert run.retries == 4
    assert run.elapsed == 60 + 120 + 240 + 480
    with pytest.raises(Unavailable, match="503 Service Unavailable"):
        raise run.exception


def test_between_two_attempts(taskprogress, service):
    """step() stops the world where a user would look at it: while the task waits to try again."""
    service.failures = 1
    with taskprogress.paused():
        result = fetch.delay(service.url)
        taskprogress.step()
        assert result.state == "RETRY"
        assert [(each.name, each.at) for each in taskprogress.pending] == [("fetching.fetch", 60.0)]

        taskprogress.step()
        assert taskprogress.clock.monotonic() == 60.0
        assert result.state == "SUCCESS"


@pytest.mark.taskprogress(limit=30)
def test_for_ever(taskprogress, service):
    """A task that retries without end is stopped by the limit, which the marker sets."""
    service.failures = 1000
    with pytest.raises(DrainLimitExceeded, match="limit=30"):
        taskprogress.run(wait_for, service.url)

    # The first message is the test's own; 30 more came of it.
    assert taskprogress.history.states == ["RETRY"] * 31


def test_an_hour(taskprogress, service):
    """Patience costs nothing: 360 attempts, an hour of the clock."""
    service.failures = 360
    run = taskprogress.run(wait_for, service.url)

    assert run.result == len(DOCUMENT)
    assert run.elapsed == 3600
