"""Pack a folder into a ZIP file: a whole one, or none. Whoever ordered it may change his mind."""

import logging
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from celery import shared_task

from pytest_taskprogress import AbortableTask, Observer

logger = logging.getLogger(__name__)


class PackingTask(AbortableTask):
    """Notes in the log how far an archive was that nobody wants any more."""

    def on_abort(self, exc, task_id, args, kwargs, einfo):
        """Note it; the worker calls this when ABORTED is stored."""
        logger.warning("%s given up: %s", Path(args[1]).name, exc.meta.get("description", "unused"))


@shared_task(bind=True, base=PackingTask)
def pack(self, folder, archive):
    """Write the archive under another name, and give it its own when it is whole."""
    observer = Observer(self)
    files = sorted(path for path in Path(folder).rglob("*.py") if path.is_file())
    half = Path(f"{archive}.part")
    try:
        with ZipFile(half, "w", ZIP_DEFLATED) as zipped:
            for number, path in enumerate(files, start=1):
                name = path.relative_to(folder).as_posix()
                zipped.write(path, name)
                observer.update("Packed %s", name, current=number, total=len(files))
        half.replace(archive)
    finally:
        half.unlink(missing_ok=True)
    _, meta = observer.success("Packed %d files", len(files))
    return meta


def cancel(task_id):
    """What a web view calls; False if there is nothing to cancel any more."""
    return pack.AsyncResult(task_id).abort()
