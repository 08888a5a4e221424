"""Fetch a document from a service that is not always there."""

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from celery import shared_task

from pytest_taskprogress import Observer, ProgressTask

CHUNK = 16 * 1024


class Unavailable(Exception):
    """The service cannot answer now."""


@shared_task(bind=True, base=ProgressTask, max_retries=4)
def fetch(self, url):
    """Download; ask again after 60 s, 120 s, 240 s, 480 s."""
    observer = Observer(self)
    observer.update("Asking for %s", urlsplit(url).path, current=0, total=None)
    try:
        document = download(url, observer)
    except Unavailable as error:
        raise self.retry(exc=error, countdown=60 * 2**self.request.retries) from error
    _, meta = observer.success("Fetched %d bytes", len(document))
    return {**meta, "document": document.decode()}


@shared_task(bind=True, max_retries=None)
def wait_for(self, url):
    """Ask every ten seconds until there is an answer, however long that takes."""
    try:
        return len(download(url))
    except Unavailable as error:
        raise self.retry(exc=error, countdown=10) from error


def download(url, observer=None):
    """Get a document in chunks."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.request("GET", parts.path)
        with connection.getresponse() as response:
            if response.status == 503:
                raise Unavailable(f"{parts.path}: {response.status} {response.reason}")
            size, document = response.length, b""
            while chunk := response.read(CHUNK):
                document += chunk
                if observer:
                    observer.update("Downloading", current=len(document), total=size)
            return document
