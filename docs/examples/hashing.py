"""Hash every file below a folder, and say how far it has come, in bytes."""

import hashlib
import os
from pathlib import Path

from celery import shared_task

from pytest_taskprogress import Observer, ProgressTask

SKIPPED = {"site-packages", "dist-packages", "__pycache__"}
CHUNK = 1 << 20


@shared_task(bind=True, base=ProgressTask)
def hash_tree(self, folder, throttle=None):
    """Return the SHA-256 of every file; with `throttle`, store one report in so many seconds."""
    observer = Observer(self, throttle=throttle)
    if not Path(folder).is_dir():
        observer.fail("There is no folder %s", NotADirectoryError, folder)
        return None

    sizes = {path: path.stat().st_size for path in files_below(folder)}
    total, done, digests = sum(sizes.values()), 0, {}
    for path, size in sizes.items():
        name = path.relative_to(folder).as_posix()
        digests[name] = sha256_of(path)
        done += size
        # By position, not by step: many a file is empty, and a step is 1 at least.
        observer.update("Hashed %s", name, current=done, total=total)
    _, meta = observer.success("Hashed %d files, %d bytes", len(digests), done)
    return {**meta, "digests": digests}


def files_below(folder):
    """All files, in an order that is the same everywhere; no installed packages, no caches."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - SKIPPED)
        yield from filter(Path.is_file, (Path(parent, name) for name in sorted(names)))


def sha256_of(path):
    """Hash a file, a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
