from __future__ import annotations

import math
import time
from typing import Any

import pytest

from pytest_taskprogress.core.messages import columns
from pytest_taskprogress.core.timeline import MARK, timeline
from pytest_taskprogress.core.transitions import History, Source, Transition

MILLION = 1_000_000


def transition(index: int = 0, **changes: Any) -> Transition:
    """A report, with whatever a test is about."""
    values: dict[str, Any] = {
        "index": index,
        "kind": "task",
        "name": "shop.tasks.import_users",
        "uuid": "id-1",
        "old_state": "PROGRESS",
        "state": "PROGRESS",
        "meta": {"current": index, "total": 100, "description": "Importing"},
        "at": index / 10,
        "source": Source("/home/ann/shop/tasks.py", 12),
    }
    return Transition(**{**values, **changes})


def many(count: int) -> list[Transition]:
    """As many reports."""
    return [transition(index) for index in range(count)]


def indices(lines: list[str]) -> list[int | str]:
    """What is shown: positions, and lines that are none."""
    words = [line.replace(MARK, " ").split()[0] if line.strip() else "" for line in lines[1:]]
    return [int(word) if word.isdecimal() else word for word in words]


# -- what is in a line ----------------------------------------------------------------------------


def test_columns() -> None:
    """Index, seconds, states, a bar, the percentage, the message, and the line."""
    start = transition(0, old_state="PENDING", state="STARTED", meta={}, source=None)
    done = transition(2, state="SUCCESS", meta={"description": "All in", "percent": 100})
    assert timeline([start, transition(1, meta={"percent": 12.5}), done]) == [
        "  # seconds old -> new           progress       message line",
        "  0   0.000 PENDING -> STARTED",
        "  1   0.100 PROGRESS -> PROGRESS #------- 12.5%         tasks.py:12",
        "  2   0.200 PROGRESS -> SUCCESS  ########  100% All in  tasks.py:12",
    ]


def test_nothing() -> None:
    """A history of nothing says so, marked or not."""
    assert timeline([]) == timeline(History(), at=[0], width=0) == ["(nothing was written)"]


def test_names_of_tasks() -> None:
    """Where there are several; the last word of each; the id where there is no name."""
    history = [transition(0), transition(1, name=None, uuid="2"), transition(2, name="", uuid="3")]
    lines = timeline(history)
    assert [line.split()[2] for line in lines] == ["task", "import_users", "2", "3"]
    assert "import_users" not in "".join(timeline([transition(0), transition(1)]))


def test_tasks_of_one_name() -> None:
    """They are numbered: by their ids nobody knows them. One may go on as another: `replace()`."""
    names = [("1", "a.load"), ("2", "b.load"), ("1", "a.load"), ("1", "save")]
    history = [transition(i, uuid=uuid, name=name) for i, (uuid, name) in enumerate(names)]
    lines = timeline(history)
    assert [line.split()[2] for line in lines] == ["task", "load-1", "load-2", "load-1", "save"]


def test_the_new_state_is_seen() -> None:
    """Where there is no room for both, it is the old one that is cut."""
    long = "UPLOADING_THE_PICTURES_OF_ALL_USERS"
    history = [
        transition(0, name="a", old_state=long, state="SUCCESS"),
        transition(1, name="b", uuid="2", state=long[:12]),
    ]
    lines = timeline(history)
    assert max(map(columns, lines)) <= 80
    assert "... -> SUCCESS" in lines[1]


def test_no_bars() -> None:
    """Where nothing has a percentage there is no column for it."""
    lines = timeline([transition(0, meta={"description": "Busy"})])
    assert lines == [
        "  # seconds old -> new           message line",
        "  0   0.000 PROGRESS -> PROGRESS Busy    tasks.py:12",
    ]


@pytest.mark.parametrize(
    ("percent", "bar", "text"),
    [
        (0, "--------", "0%"),
        (-33.333333, "--------", "-33.333%"),
        (0.0001, "#-------", "0.0001%"),
        (5e-324, "#-------", "4.9407e-324%"),
        (50, "####----", "50%"),
        (99.99, "#######-", "99.99%"),
        (100, "########", "100%"),
        (166.67, "########", "166.67%"),
        (1e300, "########", "1e+300%"),
        (math.inf, "########", "inf%"),
        (-math.inf, "--------", "-inf%"),
        (math.nan, "--------", "nan%"),
        (True, "#-------", "1%"),
    ],
)
def test_bars(percent: float, bar: str, text: str) -> None:
    """Begun with the first step, and full only at the end; whatever was stored."""
    line = timeline([transition(0, meta={"percent": percent})])[1]
    assert line.split()[5:7] == [bar, text]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"meta": {"exc_type": "ValueError", "exc_message": ["no\nrow"]}}, r"ValueError: no\nrow"),
        ({"stored": False, "meta": {}}, "(dropped by the backend)"),
        ({"result": KeyError("k"), "state": "FAILURE", "meta": {}}, "KeyError: 'k'"),
    ],
    ids=["error", "dropped", "exception"],
)
def test_notes_of_a_transition(changes: dict[str, Any], text: str) -> None:
    """What it ended with, and whether it was stored."""
    assert text in timeline([transition(0, **changes)])[1]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (Source("C:\\shop\\tasks.py", 5), "tasks.py:5"),
        (Source("<string>", 5), "<string>:5"),
        (Source("", 0), ":0"),
        (None, "Importing"),
    ],
    ids=str,
)
def test_the_line(source: Source | None, shown: str) -> None:
    """The name of the file is enough, on Windows too."""
    assert timeline([transition(0, source=source)])[1].split()[-1] == shown


# -- how long it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 39, 40])
def test_short_ones_are_whole(count: int) -> None:
    """Up to 40 transitions, all are shown."""
    assert indices(timeline(many(count))) == list(range(count))


def test_long_ones_are_cut() -> None:
    """Where nothing is marked: the beginning and the end, and how many are left out."""
    lines = timeline(many(1_041))
    assert lines[21] == "  ... 1,001 more ..."
    assert indices(lines) == [*range(20), "...", *range(1_021, 1_041)]


def test_cut_around_a_mark() -> None:
    """The marked place, with five on each side, and both ends."""
    lines = timeline(many(1_000), at=[500])
    assert indices(lines) == [*range(5), "...", *range(495, 506), "...", *range(995, 1_000)]
    (marked,) = (line for line in lines if line.startswith(MARK))
    assert marked.split()[1] == "500"


def test_marks_at_the_ends() -> None:
    """Neighbouring parts are one; after the end there is a line of its own."""
    assert indices(timeline(many(100), at=[0])) == [*range(6), "...", *range(95, 100)]
    lines = timeline(many(100), at=[100])
    assert lines[-1] == "> (nothing more)"
    assert indices(lines[:-1]) == [*range(5), "...", *range(94, 100)]
    assert timeline(many(1), at=[1])[-1] == "> (nothing more)"


def test_only_some_marks_are_shown() -> None:
    """The first three: what is wrong everywhere is told by then."""
    lines = timeline(many(1_000), at=range(0, 1_000, 100))
    assert [line.split()[1] for line in lines if line.startswith(MARK)] == ["0", "100", "200"]


def test_places_that_there_are_not() -> None:
    """They mark nothing."""
    assert timeline(many(3), at=[-1, 9]) == timeline(many(3))


def test_notes() -> None:
    """What happened before a transition, or after the last one, is a line of its own."""
    lines = timeline(many(2), notes={1: "asked to abort, at view.py:5", 2: "after the end"})
    assert lines[2] == "  -- asked to abort, at view.py:5"
    assert lines[-1] == "  -- after the end"
    lines = timeline(many(1_000), at=[900], notes={300: "asked"})
    assert lines[lines.index("  -- asked") + 1].split()[0] == "300"


@pytest.fixture(scope="module")
def million() -> History:
    """The same one a million times: what is not shown need not exist."""
    return History([transition()] * MILLION)


@pytest.mark.parametrize(
    "at", [(), (MILLION // 2,), (MILLION,), range(MILLION)], ids=["none", "one", "end", "all"]
)
def test_a_million(million: History, at: Any) -> None:
    """It takes less than a second, and less than 60 lines."""
    began = time.perf_counter()
    lines = timeline(million, at=at, notes={5: "a", MILLION // 3: "b", MILLION - 7: "c"})
    assert time.perf_counter() - began < 1
    assert len(lines) < 60
    assert any("more ..." in line for line in lines)


def test_what_is_not_shown_is_not_looked_at() -> None:
    """Transitions that are left out need not even be there."""
    looked: list[int] = []

    class Lazy(list[Transition]):
        def __getitem__(self, index: Any) -> Any:
            looked.append(index)
            return transition(index)

        def __len__(self) -> int:
            return MILLION

    timeline(Lazy([transition()]), at=[500])
    assert len(set(looked)) == 5 + 11 + 5


# -- what tasks write -----------------------------------------------------------------------------

UNTRUSTED = [
    "m" * 1_000_000,
    "\x1b[31mred\x1b[0m\x07",
    "two\nlines\r\tand \x00",
    "\u202egnirts\u202c\u2028\x85",
    "\ud800 alone",
    "\u65e5\u672c\u8a9e" * 40,
    "e\u0301" * 200,
    "\U0001f468\u200d\U0001f469" * 30,
    "",
    " ",
]


@pytest.mark.parametrize("width", [120, 80, 76, 40, 12, 3])
@pytest.mark.parametrize("text", UNTRUSTED, ids=lambda text: ascii(text[:6]))
def test_lines_keep_to_the_width(text: str, width: int) -> None:
    """Whatever a task writes, wherever: one line, printable, and no wider than the terminal."""
    history = [
        transition(0, name=text, uuid=text or "id", state=text, old_state=text),
        transition(10**9, meta={"description": text, "percent": 1e300}, at=1e12),
        transition(3, name="b", source=Source(f"/a/{text}.py", 10**6), stored=False),
        transition(4, meta={"exc_type": text, "exc_message": text}),
    ]
    lines = timeline(history, at=[1], notes={2: text}, width=width)
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert max(map(columns, lines)) <= width


def test_several_tasks_fit_into_80_columns() -> None:
    """An ordinary canvas; where there is less, the bars are given up, and not what is said."""
    history = [
        transition(0, name="shop.tasks.import_users"),
        transition(1, name="shop.tasks.send_newsletter", uuid="2", old_state="PENDING"),
        transition(2, name="shop.tasks.import_users", state="SUCCESS", source=None),
    ]
    assert timeline(history) == [
        "  # seconds task          old -> new           progress    message   line",
        "  0   0.000 import_users  PROGRESS -> PROGRESS -------- 0% Importing tasks.py:12",
        "  1   0.100 send_newsl... PENDING -> PROGRESS  #------- 1% Importing tasks.py:12",
        "  2   0.200 import_users  PROGRESS -> SUCCESS  #------- 2% Importing",
    ]
    narrow = timeline(history, width=72)
    assert max(map(columns, narrow)) <= 72
    assert "#--" not in "".join(narrow)
    assert "1% Importing" in narrow[2]


def test_a_long_source_keeps_its_line() -> None:
    """The end of it, with the number, is what one wants to know."""
    source = Source(f"/a/{'long_' * 30}.py", 123)
    assert timeline([transition(0, source=source)])[1].endswith("_.py:123")
