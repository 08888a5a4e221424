"""A chord that shrinks pictures and adds up their pixels."""

from math import ceil

import pytest
from celery import Celery
from celery.exceptions import ChordError
from hypothesis import given
from hypothesis import strategies as st
from thumbnails import gallery, read_pgm, shrink, write_pgm

SIZES = {"gradient.pgm": (96, 64), "rings.pgm": (64, 64), "board.pgm": (33, 20)}


@pytest.fixture(scope="session")
def taskprogress_app():
    """An app with a result backend, as chords need one; the engine's takes its place."""
    return Celery("gallery", backend="redis://results.example", set_as_current=False)


@pytest.fixture
def target(tmp_path):
    """The folder of the thumbnails."""
    folder = tmp_path / "thumbnails"
    folder.mkdir()
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Three pictures that can be looked at."""
    drawn = {
        "gradient.pgm": lambda x, _: 255 * x // 95,
        "rings.pgm": lambda x, y: ((x - 32) ** 2 + (y - 32) ** 2) // 8 % 256,
        "board.pgm": lambda x, y: 255 * ((x + y) % 2),
    }
    for name, pixel in drawn.items():
        width, height = SIZES[name]
        write_pgm(
            tmp_path / name, [bytes(pixel(x, y) for x in range(width)) for y in range(height)]
        )
    return [tmp_path / name for name in drawn]


def test_a_gallery(taskprogress, taskprogress_capture, pictures, target):
    """The header's tasks report, then the body does; the run stands for the body."""
    run = taskprogress.run(gallery(pictures, target))

    assert (run.name, run.state) == ("thumbnails.add_up", "SUCCESS")
    assert run.result["pixels"] == 24 * 16 + 16 * 16 + 9 * 5
    assert run.result["bytes"] == sum(path.stat().st_size for path in target.iterdir())
    assert run.percents == [33.33, 66.67, 100.0]

    assert [child.name for child in run.children] == ["thumbnails.shrink"] * 3
    for child in run.children:
        assert child.percents[-1] == 100.0
        assert child.percents == sorted(child.percents)
    of_header = taskprogress_capture.history.of("thumbnails.shrink")
    assert len(of_header.progress) == 16 + 16 + 5
    assert of_header[-1].index < run.progress[0].index


def test_what_a_thumbnail_looks_like(taskprogress, pictures, target):
    """A gradient goes on rising, and a chess board is grey from afar."""
    taskprogress.run(gallery(pictures, target, factor=2))

    for row in read_pgm(target / "gradient.pgm"):
        assert list(row) == sorted(row)
    board = read_pgm(target / "board.pgm")
    assert {pixel for row in board for pixel in row[:16]} == {127}


def test_one_bad_picture(taskprogress, pictures, target):
    """The body never runs: its state is FAILURE by ChordError, and the errback cleans up."""
    pictures[1].write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
    run = taskprogress.run(gallery(pictures, target))

    assert run.state == "FAILURE"
    assert run.progress == []
    assert isinstance(run.exception, ChordError)
    assert "rings.pgm is no PGM" in str(run.exception)
    assert [child.state for child in run.children] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert not target.exists()


def test_a_page_waits_for_its_gallery(taskprogress, pictures, target):
    """step() runs one task of the canvas at a time; the body is published after the last one."""
    with taskprogress.paused():
        result = gallery(pictures, target).delay()
        assert [each.name for each in taskprogress.pending] == ["thumbnails.shrink"] * 3

        for done in range(1, 4):
            taskprogress.step()
            assert result.parent.completed_count() == done
        assert [each.name for each in taskprogress.pending] == ["thumbnails.add_up"]

        taskprogress.drain()
    assert result.get()["description"] == "3 pictures, 685 pixels"


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    factor=st.integers(1, 4),
)
def test_pictures_of_any_size(taskprogress, tmp_path_factory, sizes, factor):
    """The pixels add up, and every task ends at 100 %."""
    folder = tmp_path_factory.mktemp("any")
    sources = [folder / f"{number}.pgm" for number in range(len(sizes))]
    for source, (width, height) in zip(sources, sizes, strict=True):
        write_pgm(source, [bytes(width)] * height)
    (folder / "small").mkdir()

    run = taskprogress.run(gallery(sources, folder / "small", factor))

    assert run.result["pixels"] == sum(ceil(w / factor) * ceil(h / factor) for w, h in sizes)
    assert [each.percents[-1] for each in (run, *run.children)] == [100.0] * (1 + len(sizes))


def test_shrink_as_a_function(pictures, target):
    """Called as a plain function, outside any engine, the task works and stores nothing."""
    assert shrink(str(pictures[0]), str(target), 4)["pixels"] == 24 * 16
