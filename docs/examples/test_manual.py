"""A chord that describes modules of the standard library, and is aborted in the middle."""

import manual
import pytest
from celery.exceptions import ChordError
from manual import cancel, manual_of, order, write_page

from pytest_taskprogress import TaskAborted
from pytest_taskprogress.scenario import Abort, at_report, before_start, when

MODULES = ["json", "textwrap", "shelve"]


@pytest.fixture(scope="session")
def taskprogress_app():
    """The tasks under test belong to this app."""
    return manual.app


@pytest.fixture
def folder(tmp_path):
    """Where the manual goes."""
    folder = tmp_path / "manual"
    folder.mkdir()
    return folder


def test_a_manual(taskprogress, folder):
    """A page for each module, then the index."""
    run = taskprogress.run(manual_of(MODULES, folder))

    assert (run.name, run.result) == ("manual.write_index", 3)
    pages = sorted(f"{module}.html" for module in [*MODULES, "index"])
    assert sorted(path.name for path in folder.iterdir()) == pages


def test_aborted_in_the_middle(taskprogress, folder):
    """One page is done, one ends at its next report, one never begins; the errback cleans up."""
    in_textwrap = when(lambda write: write.message == "Describing textwrap")
    run = taskprogress.under(Abort(in_textwrap)).run(manual_of(MODULES, folder))

    assert [page.state for page in run.children] == ["SUCCESS", "ABORTED", "ABORTED"]
    assert [len(page.progress) for page in run.children[1:]] == [1, 0]
    # The index fails, as in any chord in which a page has no result.
    assert run.state == "FAILURE"
    assert isinstance(run.exception, ChordError)
    assert not folder.exists()
    assert "no manual" in folder.with_suffix(".txt").read_text()


def test_cancelled(taskprogress, folder):
    """What the page keeps of its order is enough to abort all of it."""
    with taskprogress.paused():
        ordered = order(MODULES, folder)
        taskprogress.step()
        assert (folder / "json.html").exists()
        assert cancel(ordered)
        assert not cancel(ordered)

    assert taskprogress.history.of("manual.write_page")[-3:] == ["SUCCESS", "ABORTED", "ABORTED"]
    assert not folder.exists()
    assert "no manual" in folder.with_suffix(".txt").read_text()
    assert not cancel(ordered)


def test_one_page_is_aborted(taskprogress, folder):
    """Whoever aborts one task of a chord lets the others go on; there is no index all the same."""
    with taskprogress.under(Abort(before_start(2))):
        index = manual_of(MODULES, folder).delay()

    assert [page.state for page in index.parent] == ["SUCCESS", "ABORTED", "SUCCESS"]
    assert index.state == "FAILURE"
    with pytest.raises(TaskAborted):
        index.get()


def test_aborted_at_any_moment(taskprogress, folder, tmp_path):
    """Whenever it is aborted, there is a manual with its index, or only the note."""
    sweep = taskprogress.sweep(Abort, manual_of(MODULES, folder), at_most=12)

    for run in sweep:
        left = {path.name for path in tmp_path.iterdir()}
        assert left == ({"manual"} if run.state == "SUCCESS" else {"manual.txt"})
        if run.state == "SUCCESS":
            assert (folder / "index.html").exists()
        (tmp_path / "manual.txt").unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)


def test_a_page_as_its_reader_sees_it(taskprogress, folder):
    """A page that is aborted has no file."""
    run = taskprogress.under(Abort(at_report(3))).run(write_page, "json", str(folder))

    assert isinstance(run.exception, TaskAborted)
    assert run.exception.meta["description"] == "Describing json"
    assert list(folder.iterdir()) == []
