"""Uploads: an observer and a base of tasks of a project's own."""

from celery import Celery

from pytest_taskprogress import AbortableTask, Observer

app = Celery("uploads", backend="redis://results.example", set_as_current=False)


class UploadObserver(Observer):
    """Reports bytes."""

    def chunk(self, size, total=100):
        """Report that a chunk has come."""
        received = self.pos + size
        self.update("%d of %d bytes", received, total, current=received, total=total)


class CarelessObserver(UploadObserver):
    """Stores what it counts by itself."""

    def chunk(self, size, total=100):
        """Report that a chunk has come."""
        self.pos += size
        meta = {"current": self.pos, "total": total, "percent": 100 * self.pos / total}
        self.task.update_state(state="PROGRESS", meta=meta)


class UploadTask(AbortableTask):
    """A base of tasks that looks for an abort twice a second."""

    abort_check_interval = 0.5


@app.task(bind=True, base=UploadTask, autoretry_for=(ValueError,), default_retry_delay=5)
def upload(self, chunks: list[int]):
    """Take chunks; begin anew where one is negative, up to three times."""
    observer = UploadObserver(self)
    total = sum(map(abs, chunks))
    for size in chunks:
        if size < 0 and not self.request.retries:
            raise ValueError(size)
        observer.chunk(abs(size), total)
