"""A manual of Python modules: a page for each, side by side, and an index when all are there."""

import inspect
import json
import pydoc
import shutil
from importlib import import_module
from pathlib import Path

from celery import Celery, chord
from celery.result import result_from_tuple

from pytest_taskprogress import AbortableTask, Observer, abort

app = Celery("manual", backend="redis://results.example", set_as_current=False)


@app.task(bind=True, base=AbortableTask)
def write_page(self, module, folder):
    """Write what there is to say about a module; progress is in functions and classes."""
    observer = Observer(self)
    documented = [
        (name, member)
        for name, member in inspect.getmembers(import_module(module))
        if inspect.isroutine(member) or inspect.isclass(member)
    ]
    parts = [
        pydoc.html.document(member, name)
        for name, member in observer.track(documented, f"Describing {module}")
    ]
    path = Path(folder, f"{module}.html")
    path.write_text(pydoc.html.page(module, "\n".join(parts)), encoding="utf-8")
    observer.success("%s is done", module)
    return path.name


@app.task(bind=True, base=AbortableTask)
def write_index(self, pages, folder):
    """Link the pages."""
    links = "".join(f'<p><a href="{page}">{page}</a></p>' for page in pages)
    Path(folder, "index.html").write_text(pydoc.html.page("Manual", links), encoding="utf-8")
    return len(pages)


@app.task
def clean_up(request, exc, traceback, folder):
    """Remove what there is of a manual that will not be finished, and tell whoever ordered it."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}.txt").write_text(f"There will be no manual: {exc}", encoding="utf-8")


def manual_of(modules, folder):
    """Give the canvas that makes a manual."""
    pages = [write_page.s(module, str(folder)) for module in modules]
    return chord(pages, write_index.s(str(folder)).on_error(clean_up.s(str(folder))))


def order(modules, folder):
    """What a web view calls; the text that it returns stands for the whole canvas."""
    return json.dumps(manual_of(modules, folder).delay().as_tuple())


def cancel(ordered):
    """What another web view calls, with that text."""
    return abort(result_from_tuple(json.loads(ordered), app=app))
