"""Ways to report: what the page on the observer talks about."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from celery import shared_task

from pytest_taskprogress import Observer, ProgressTask


@shared_task(bind=True, base=ProgressTask)
def deploy(self, version):
    """Some steps of different weight."""
    observer = Observer(self)
    observer.update("Building %s", version, step=60)
    observer.update("Uploading", step=30)
    observer.update("Restarting", meta={"hosts": 3}, step=10)
    observer.success("%s is live", version)


@shared_task(bind=True, base=ProgressTask)
def check(self, path):
    """End with an outcome, whichever way it ends."""
    observer = Observer(self)
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        observer.exception(error, "Cannot read %s", path)
        return
    if size == 0:
        observer.fail("%s is empty", ValueError, path)
        return
    observer.success("%s has %d bytes", path, size)


@shared_task(bind=True)
def upload(self, parts):
    """A plain task: `with` reports what the body of the loop raises."""
    observer = Observer(self)
    with observer.track(parts, "Uploading") as tracked:
        for part in tracked:
            if part is None:
                raise ValueError("a part is missing")


@shared_task(bind=True, base=ProgressTask)
def resize(self, names):
    """Helper threads report for the task that started them."""
    observer = Observer(self)

    def work(name):
        observer.update("Resized %s", name, total=len(names))

    with ThreadPoolExecutor() as threads:
        list(threads.map(work, names))


@shared_task(bind=True, base=ProgressTask)
def miscounted(self, total):
    """Count one too many."""
    observer = Observer(self)
    for number in range(total + 2):
        observer.update("Part %d", number, current=number, total=total)


@shared_task(bind=True)
def forgetful(self):
    """A plain task, whose FAILURE Celery replaces when the function returns."""
    Observer(self).fail("The disk is full", OSError)


class StagedObserver(Observer):
    """An observer whose reports have a key more."""

    stage = "start"

    def create_meta(self):
        """Add the stage."""
        return {**super().create_meta(), "stage": self.stage}


@shared_task(bind=True, base=ProgressTask)
def staged(self):
    """Report with an observer of one's own."""
    observer = StagedObserver(self)
    observer.stage = "middle"
    observer.update("Half way", current=50)
    observer.stage = "end"
    observer.update("There", current=100)
