"""Shrink pictures, each in a task of its own, and add up what came of it: a chord."""

import shutil
from pathlib import Path

from celery import chord, shared_task

from pytest_taskprogress import Observer, ProgressTask


class NotAPicture(ValueError):
    """A file that is no binary PGM (grey, a byte a pixel)."""


@shared_task(bind=True, base=ProgressTask)
def shrink(self, source, target, factor):
    """Write a smaller picture; progress is in rows of pixels."""
    observer = Observer(self)
    rows = read_pgm(source)
    small = [
        averages(rows[top : top + factor], factor)
        for top in observer.track(range(0, len(rows), factor), f"Shrinking {Path(source).name}")
    ]
    path = Path(target, Path(source).name)
    write_pgm(path, small)
    _, meta = observer.success("%s is %d x %d", path.name, len(small[0]), len(small))
    return {**meta, "pixels": len(small) * len(small[0]), "bytes": path.stat().st_size}


@shared_task(bind=True, base=ProgressTask)
def add_up(self, pictures):
    """Sum what the chord's header returned."""
    observer = Observer(self)
    pixels = sum(picture["pixels"] for picture in observer.track(pictures, "Adding up"))
    _, meta = observer.success("%d pictures, %d pixels", len(pictures), pixels)
    return {**meta, "pixels": pixels, "bytes": sum(picture["bytes"] for picture in pictures)}


@shared_task
def clean_up(request, exc, traceback, target):
    """Remove what there is of a gallery that cannot be finished: the errback."""
    shutil.rmtree(target)


def gallery(sources, target, factor=4):
    """Give the canvas that makes thumbnails of all pictures; run it with `delay()`."""
    header = [shrink.s(str(source), str(target), factor) for source in sources]
    return chord(header, add_up.s().on_error(clean_up.s(str(target))))


def read_pgm(path):
    """Read a picture: a list of rows, a byte a pixel."""
    magic, size, _, pixels = (Path(path).read_bytes() + b"\n\n\n").split(b"\n", 3)
    if magic != b"P5":
        raise NotAPicture(f"{path} is no PGM, it begins with {magic[:8]!r}")
    width, height = map(int, size.split())
    return [pixels[row * width : (row + 1) * width] for row in range(height)]


def write_pgm(path, rows):
    """Write a picture."""
    header = f"P5\n{len(rows[0])} {len(rows)}\n255\n".encode()
    Path(path).write_bytes(header + b"".join(rows))


def averages(rows, factor):
    """Make one row of pixels from some: each the average of a square."""
    squares = (
        b"".join(row[left : left + factor] for row in rows)
        for left in range(0, len(rows[0]), factor)
    )
    return bytes(sum(square) // len(square) for square in squares)
