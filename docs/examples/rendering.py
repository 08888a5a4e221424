"""Films: rendered on a farm that is asked every minute, then encoded frame by frame."""

import zlib

from celery import shared_task

from pytest_taskprogress import AbortableTask, Observer, TaskAborted

MINUTE = 60


class Farm:
    """Stands in for the service that renders: films are done some minutes after their order."""

    def __init__(self):
        self.minutes_left = {}
        self.cancelled = []

    def order(self, film, minutes):
        """Begin to render."""
        self.minutes_left.setdefault(film, minutes)

    def is_done(self, film):
        """A minute later."""
        self.minutes_left[film] -= 1
        return self.minutes_left[film] < 0

    def cancel(self, film):
        """Stop; what has been rendered is paid for, what has not is not."""
        self.cancelled.append(film)


farm = Farm()


class RenderTask(AbortableTask):
    """Nobody pays for a film that nobody wants."""

    def on_abort(self, exc, task_id, args, kwargs, einfo):
        """Stop the farm: here, because an abort during the countdown never enters the task."""
        farm.cancel(args[0])


@shared_task(bind=True, base=RenderTask, max_retries=None)
def render(self, film, minutes):
    """Order a film, and ask every minute whether it is there."""
    farm.order(film, minutes)
    if not farm.is_done(film):
        raise self.retry(countdown=MINUTE)
    return f"{film}.raw"


@shared_task(bind=True, base=AbortableTask, abort_check_interval=1.0)
def encode(self, frames):
    """Compress every frame; a loop this tight asks the result backend once in a second."""
    size = 0
    for frame in frames:
        self.raise_if_aborted()
        size += len(zlib.compress(draw(frame)))
    return size


@shared_task(bind=True, base=AbortableTask)
def preview(self, frames):
    """Draw as many frames as there is time for: whoever aborts gets those that are done."""
    observer = Observer(self)
    drawn = 0
    try:
        for frame in observer.track(frames, "Drawing"):
            draw(frame)
            drawn += 1
    except TaskAborted:
        return {"frames": drawn, "whole": False}
    return {"frames": drawn, "whole": True}


def draw(frame):
    """Give the pixels of a frame."""
    return bytes((frame + pixel) % 256 for pixel in range(1024))
