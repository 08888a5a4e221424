"""For each rule of the contract the smallest task that breaks it, and the same task, repaired."""

from celery import Task, shared_task
from celery.contrib import abortable
from celery.exceptions import Ignore

from pytest_taskprogress import AbortableTask, Observer, ProgressTask


class Parts:
    """Stands in for all that takes time: tests let it pass on the engine's clock."""

    def load(self, name):
        """Load a part of something."""
        return [name]


parts = Parts()

# -- monotonic ------------------------------------------------------------------------------------


@shared_task(bind=True)
def import_files(self, files):
    """Count the rows of each file anew."""
    for rows in files:
        for row in range(rows):
            self.update_state(state="PROGRESS", meta={"percent": (row + 1) / rows * 100})


@shared_task(bind=True)
def import_files_as_one(self, files):
    """Count over all files."""
    done, total = 0, sum(files)
    for rows in files:
        for _ in range(rows):
            done += 1
            self.update_state(state="PROGRESS", meta={"percent": done / total * 100})


# -- bounded --------------------------------------------------------------------------------------


@shared_task(bind=True)
def export(self, pages, expected):
    """Take the number of pages from an index that is out of date."""
    for page in range(pages):
        percent = round((page + 1) / expected * 100, 2)
        self.update_state(state="PROGRESS", meta={"percent": percent})


@shared_task(bind=True)
def export_counted(self, pages):
    """Count them first; and where there are none, nothing is left to do."""
    self.update_state(state="PROGRESS", meta={"percent": 0 if pages else 100})
    for page in range(pages):
        self.update_state(state="PROGRESS", meta={"percent": (page + 1) / pages * 100})


@shared_task(bind=True)
def catch_up(self, behind, lag):
    """Begin below 0: what is behind grows, while it is caught up with."""
    for percent in (-lag / behind * 100, 50, 100):
        self.update_state(state="PROGRESS", meta={"percent": round(percent, 2)})


@shared_task(bind=True)
def clean(self, rows):
    """Report before the loop, so that there is always a report: 0 of 0."""
    for row in range(rows + 1):
        self.update_state(state="PROGRESS", meta={"current": row, "total": rows})


# -- consistent -----------------------------------------------------------------------------------


@shared_task(bind=True)
def upload(self, sizes):
    """Give the percentage of the files, and count their bytes."""
    done, total = 0, sum(sizes)
    for number, size in enumerate(sizes, start=1):
        done += size
        percent = round(number / len(sizes) * 100)
        meta = {"percent": percent, "current": done, "total": total}
        self.update_state(state="PROGRESS", meta=meta)


@shared_task(bind=True)
def upload_bytes(self, sizes):
    """An observer gives the percentage of what it counts."""
    observer, done = Observer(self), 0
    for size in sizes:
        done += size
        observer.update("Uploading", current=done, total=sum(sizes))


# -- complete -------------------------------------------------------------------------------------


@shared_task(bind=True)
def send(self, letters):
    """Report before the work, as the documentation of Celery does."""
    for number, _ in enumerate(letters):
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(letters)})


@shared_task(bind=True)
def send_all(self, letters):
    """Report after it."""
    for _ in Observer(self).track(letters, "Sending"):
        pass


# -- stable-total ---------------------------------------------------------------------------------


@shared_task(bind=True)
def crawl(self, links):
    """Follow links, and find more of them on the way."""
    found, done = ["/"], 0
    while done < len(found):
        found += links.get(found[done], [])
        done += 1
        self.update_state(state="PROGRESS", meta={"current": done, "total": len(found)})


@shared_task(bind=True)
def crawl_unknown(self, links):
    """Nobody knows how many there will be: the total is None."""
    observer, found, done = Observer(self), ["/"], 0
    while done < len(found):
        observer.update("At %s", found[done], total=None)
        found += links.get(found[done], [])
        done += 1


# -- serializable ---------------------------------------------------------------------------------


@shared_task(bind=True)
def copy_files(self, rows):
    """Tell the seconds that are left: without end, as long as nothing is done."""
    for row in range(rows + 1):
        left = (rows - row) / row if row else float("inf")
        self.update_state(state="PROGRESS", meta={"current": row, "total": rows, "left": left})


@shared_task(bind=True)
def copy_files_carefully(self, rows):
    """What is not known is None."""
    for row in range(rows + 1):
        left = (rows - row) / row if row else None
        self.update_state(state="PROGRESS", meta={"current": row, "total": rows, "left": left})


# -- readable -------------------------------------------------------------------------------------


@shared_task(bind=True)
def convert(self, name):
    """Store a FAILURE by hand."""
    self.update_state(state="FAILURE", meta={"why": f"{name} is no picture"})
    raise Ignore


@shared_task(bind=True, base=ProgressTask)
def convert_or_fail(self, name):
    """Fail: by raising, or by an observer's fail()."""
    Observer(self).fail("%s is no picture", ValueError, name)


# -- terminal -------------------------------------------------------------------------------------


@shared_task(bind=True)
def synchronise(self, changes):
    """Leave early, when there is nothing to do."""
    self.update_state(state="PROGRESS", meta={"description": "Looking for changes"})
    if not changes:
        raise Ignore


@shared_task(bind=True)
def synchronise_to_the_end(self, changes):
    """Return: that is an end, too."""
    self.update_state(state="PROGRESS", meta={"description": "Looking for changes"})
    if not changes:
        return "nothing to do"
    return f"{len(changes)} changes"


# -- no-zombie ------------------------------------------------------------------------------------


class TidyTask(Task):
    """Tidies up when it has failed, and says so."""

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        """FAILURE is stored by now."""
        self.update_state(state="PROGRESS", meta={"description": "Removing files"})


@shared_task(bind=True, base=TidyTask)
def unpack(self, archive):
    """Fail."""
    raise ValueError(f"{archive} is broken")


@shared_task(bind=True)
def unpack_tidily(self, archive):
    """Tidy up before the end."""
    try:
        raise ValueError(f"{archive} is broken")
    finally:
        self.update_state(state="PROGRESS", meta={"description": "Removing files"})


# -- abort-survives, abort-honoured ---------------------------------------------------------------


@shared_task(bind=True, base=abortable.AbortableTask)
def backup(self, files):
    """Celery's own AbortableTask: a report erases the request, if it comes before the next look."""
    for number, _ in enumerate(files, start=1):
        if number % 2 and self.is_aborted():
            return "stopped"
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(files)})
    return "all"


@shared_task(bind=True, base=AbortableTask)
def backup_in_the_end(self, files):
    """The request is kept, and looked at only after the loop."""
    for number, _ in enumerate(files, start=1):
        self.update_state(state="PROGRESS", meta={"current": number, "total": len(files)})
    self.raise_if_aborted()


@shared_task(bind=True, base=AbortableTask)
def backup_abortable(self, files):
    """Each report of an observer looks whether somebody has asked."""
    for _ in Observer(self).track(files, "Saving"):
        pass


# -- first-report, max-gap ------------------------------------------------------------------------


@shared_task(bind=True)
def index(self, names):
    """Load everything, and then report."""
    loaded = [parts.load(name) for name in names]
    for _ in Observer(self).track(loaded, "Indexing"):
        pass


@shared_task(bind=True)
def index_soon(self, names):
    """Say at once that something happens, though nobody knows for how long."""
    observer = Observer(self)
    observer.update("Loading", total=None)
    for name in observer.track(names, "Indexing"):
        parts.load(name)


@shared_task(bind=True)
def merge(self, names):
    """Report each tenth part."""
    for number, name in enumerate(names, start=1):
        parts.load(name)
        if number % 10 == 0:
            update = {"current": number, "total": len(names)}
            self.update_state(state="PROGRESS", meta=update)


@shared_task(bind=True)
def merge_with_reports(self, names):
    """Report each part; `throttle` is by time, and not by number."""
    for name in Observer(self, throttle=5).track(names, "Merging"):
        parts.load(name)


# -- write-budget, described ----------------------------------------------------------------------


@shared_task(bind=True)
def load_rows(self, rows):
    """A write for each row."""
    for row in range(rows):
        self.update_state(state="PROGRESS", meta={"current": row + 1, "total": rows})


@shared_task(bind=True, base=ProgressTask)
def load_rows_throttled(self, rows):
    """Two reports a second are as many as people see."""
    for _ in Observer(self, throttle=0.5).track(range(rows), "Loading rows"):
        pass
