"""The task of the quickstart: import users, and say how far it has come."""

from celery import shared_task

from pytest_taskprogress import AbortableTask, Observer, ProgressTask


@shared_task(bind=True, base=ProgressTask)
def import_users(self, rows):
    """Import every row; report after each."""
    observer = Observer(self)
    for row in observer.track(rows, "Importing users"):
        save(row)
    _, meta = observer.success("Imported %d users", len(rows))
    return meta


@shared_task(bind=True, base=ProgressTask)
def import_checked(self, rows):
    """Import every row, or none: an empty name is refused."""
    observer = Observer(self)
    if "" in rows:
        observer.fail("Row %d has no name", ValueError, rows.index(""))
        return
    for row in observer.track(rows, "Importing users"):
        save(row)


@shared_task(bind=True, base=AbortableTask)
def import_abortable(self, rows):
    """Import rows until somebody has had enough."""
    observer = Observer(self)
    for row in observer.track(rows, "Importing users"):
        save(row)


def save(row):
    """Stand in for the database."""
