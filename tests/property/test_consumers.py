from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.states import EXCEPTION_STATES, READY_STATES
from celery_progress.backend import GroupProgress, Progress
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_taskprogress import CheckFailed
from pytest_taskprogress.properties import (
    ConsumerFailed,
    Unanswered,
    as_group_results,
    as_results,
    check_consumer,
)
from pytest_taskprogress.properties.consuming.watching import FAULTS
from pytest_taskprogress.strategies import ProgressSequence, Write, histories, progress_sequences
from pytest_taskprogress.tasks.reading import read_progress
from tests.conftest import IsolatedApp

HALF = ("PROGRESS", {"percent": 50.0})
ENDS = sorted({*READY_STATES, "ABORTED"})


@pytest.fixture
def app():
    """An app whose results are Celery's own."""
    return IsolatedApp("theirs", backend="taskprogress://", set_as_current=False)


def failure(fn, **options):
    """How a reader fails."""
    with pytest.raises(ConsumerFailed) as caught:
        check_consumer(fn, **options)
    return caught.value


def careful(result):
    """A reader as one would write it, and get it right."""
    record = result._get_task_meta()
    state, meta = record["status"], record["result"]
    percent = 100 if state == "SUCCESS" else None
    if state not in EXCEPTION_STATES | {"SUCCESS"} and isinstance(meta, dict):
        percent = meta.get("percent")
    return {"percent": percent, "ended": state in ENDS}


class TestCorrectReaders:
    """What keeps all of it passes."""

    def test_mapping(self):
        """A reader that looks at one record, and at all states, is right."""
        check_consumer(careful)

    def test_number(self):
        """A number alone says by 100 that it has ended."""
        check_consumer(lambda result: careful(result)["percent"])

    def test_end_alone(self):
        """Who asks for the end alone is told when it is there."""
        check_consumer(lambda result: result.ready(), max_examples=30)
        check_consumer(lambda result: result.ready(), groups=True, max_examples=30)

    def test_object(self):
        """An answer may be an object."""
        check_consumer(lambda result: SimpleNamespace(**careful(result)), max_examples=30)

    def test_extractors(self):
        """What is said where nobody would look is taken from there."""

        def text(result):
            answer = careful(result)
            return f"{answer['percent']};{answer['ended']}"

        def percent(answer):
            number = answer.partition(";")[0]
            return None if number == "None" else float(number)

        check_consumer(
            text, percent=percent, ended=lambda answer: answer.endswith("True"), max_examples=30
        )

    def test_by_id(self, app):
        """A view gets an id, and finds the result by its app."""

        def view(task_id):
            return careful(app.AsyncResult(task_id))

        check_consumer(lambda result: view(result.id), app=app, sequences=progress_sequences())

    def test_own_histories(self, engine):
        """Runs of one's own are read as they were."""

        @engine.app.task(bind=True, shared=False)
        def work(self):
            self.update_state(state="PROGRESS", meta={"percent": 30})

        check_consumer(careful, sequences=[engine.run(work), ["PROGRESS", "SUCCESS"]])

    def test_reader_of_one_sequence(self):
        """A reader that remembers is made for each sequence."""
        made = []

        def make():
            shown = []
            made.append(shown)

            def bar(result):
                shown.append(careful(result)["percent"] or 0)
                return max(shown)

            return bar

        check_consumer(make, per_sequence=True, max_examples=10)
        assert len(made) == 10

    def test_same_object(self):
        """Some readers get one object for all polls, and can remember by it."""
        seen = set()

        def reader(result):
            seen.add(result)
            return careful(result)

        for keep in (True, False):
            polls = []
            check_consumer(
                lambda result, polls=polls: polls.append(result) or careful(result),
                sequences=[ProgressSequence(HALF, "SUCCESS")],
                keep=keep,
                torn=False,
                vanishing=False,
                max_examples=1,
            )
            assert len({id(each) for each in polls}) == (1 if keep else 3)


class TestFaults:
    """Each fault is found, by its smallest sequence."""

    def test_raises(self):
        """A reader that expects a report where there may be none."""
        failed = failure(lambda result: result.info["percent"])
        assert (failed.fault, failed.answers) == ("raises", ())
        assert str(failed).startswith("reader raised TypeError: 'NoneType' object is not")
        assert isinstance(failed.__cause__, TypeError)
        assert isinstance(failed, CheckFailed)

    def test_torn_read(self):
        """State and meta that are read apart do not belong together."""

        def reader(result):
            if result.state == "PROGRESS":
                return {"percent": result.info.get("percent"), "ended": False}
            return {"ended": result.state in ENDS}

        failed = failure(reader, keep=False, vanishing=False)
        assert "AttributeError: 'NoneType' object has no attribute 'get'" in str(failed)
        assert "PROGRESS" in failed.sequence.states
        assert "as_results(sequence, torn=True)" in str(failed)
        check_consumer(reader, torn=False)

    def test_vanished(self):
        """A record may be gone."""
        known = []

        def make():
            known.clear()

            def reader(result):
                state = result.state
                assert not known or state != "PENDING", "gone"
                known.append(state)
                return {"ended": state in ENDS}

            return reader

        failed = failure(make, per_sequence=True, torn=False)
        assert "AssertionError: gone" in str(failed)
        assert "vanishing=True" in str(failed)
        check_consumer(make, per_sequence=True, vanishing=False, torn=False)

    @pytest.mark.parametrize("value", [101, -1, math.nan, math.inf, "50", 10**400, [50]])
    def test_bounds(self, value):
        """A percentage is one."""
        failed = failure(lambda result: {"percent": value}, max_examples=5)
        assert failed.fault == "bounds"
        assert str(failed).startswith("reader answered percent=")

    def test_backwards(self):
        """A bar that shows nothing when the task has failed goes back."""

        def reader(result):
            record = careful(result)
            return {**record, "percent": record["percent"] or 0}

        failed = failure(reader, keep=False)
        assert failed.fault == "backwards"
        before, now = failed.answers[-2:]
        assert now["percent"] < before["percent"]

    def test_backwards_after_silence(self):
        """An answer without a percentage does not make one forget the last."""
        failed = failure(
            careful,
            sequences=[[HALF, "PROGRESS", ("PROGRESS", {"percent": 40.0}), "SUCCESS"]],
            torn=False,
            vanishing=False,
        )
        assert failed.fault == "backwards"
        assert "Poll 2, after write 1:" in str(failed)
        assert "Poll 4, after write 3:" in str(failed)
        assert "went backwards: 40 % after 50 %" in str(failed)

    def test_another_attempt(self):
        """Another attempt may begin at 0, and only that."""
        check_consumer(careful, sequences=[[HALF, "RETRY", ("PROGRESS", {"percent": 0.0})]])
        check_consumer(careful, sequences=[[HALF, "STARTED", ("PROGRESS", {"percent": 0.0})]])
        check_consumer(careful, sequences=[[HALF, ("IMPORTING", {"percent": 0.0})]])

    def test_early(self):
        """Whoever takes an attempt for the end stops polling too early."""

        def reader(result):
            return {"ended": result.state in {*ENDS, "RETRY"}}

        failed = failure(reader, torn=False)
        assert failed.fault == "early"
        assert "RETRY" in failed.sequence.states

    def test_endless(self):
        """Whoever does not know an end polls for ever."""

        def reader(result):
            return {"ended": result.state in {"SUCCESS", "FAILURE"}}

        failed = failure(reader)
        assert failed.fault == "endless"
        assert failed.sequence.states == ["REVOKED"]

    def test_number_that_does_not_end(self):
        """A number that stays below 100 is shown for ever."""
        failed = failure(lambda result: 0)
        assert failed.fault == "endless"
        assert failed.sequence.states == ["SUCCESS"]
        assert "percent=0 when the task had succeeded" in str(failed)

    def test_groups(self):
        """Readers of groups have the same faults."""

        def reader(result):
            return {"ended": any(each.ready() for each in result.children)}

        failed = failure(reader, groups=True, torn=False)
        assert failed.fault == "early"
        assert "the group has ended, and it has not" in str(failed)
        assert "as_group_results" in str(failed)

    def test_policy_of_groups(self):
        """A group may end with the first that failed, or with the last that ends."""

        def first(result):
            return any(each.failed() or each.state in {"REVOKED", "ABORTED"} for each in result)

        def either(result):
            return first(result) or result.ready()

        check_consumer(either, groups=True, torn=False, max_examples=50)

    def test_request_of_celerys_own_class(self):
        """ABORTED without a meta is a request: it may be taken for the end, or not."""
        asked = [[HALF, "ABORTED"], [HALF, "ABORTED", HALF, "SUCCESS"]]
        for ends in (ENDS, sorted(READY_STATES)):
            check_consumer(
                lambda result, ends=ends: {"ended": result._get_task_meta()["status"] in ends},
                sequences=asked,
            )

    def test_allowed(self):
        """A fault that is none is passed over, and the next one is found."""

        def reader(result):
            state = result.state
            if state == "REVOKED":
                raise KeyError(state)
            return {"ended": state == "SUCCESS"}

        assert failure(reader).fault in {"raises", "endless"}
        assert failure(reader, allow=["raises"]).fault == "endless"
        assert failure(reader, allow="endless").fault == "raises"
        check_consumer(reader, allow=["raises", "endless"])
        check_consumer(lambda result: {"percent": "5"}, allow=FAULTS, max_examples=5)


class TestMessages:
    def test_story(self):
        """It says what is wrong, shows the polls, and has the code to see it again."""

        def my_view(result):
            return {"percent": 10 if result.state == "PROGRESS" else 5}

        failed = failure(
            my_view, sequences=[ProgressSequence(HALF, "SUCCESS")], torn=False, vanishing=False
        )
        text = str(failed)
        assert text.startswith("my_view went backwards: 5 % after 10 %\nExpected: ")
        assert "> 1   0.000 PROGRESS -> SUCCESS" in text
        assert "Poll 2, after write 1: {'percent': 10}" in text
        assert "Poll 3, after write 2: {'percent': 5}" in text
        assert "for result in as_results(sequence" in text
        assert "        print(my_view(result))" in text
        assert 'check_consumer(..., allow=["backwards"])' in text

    @pytest.mark.parametrize("torn", [True, False])
    @pytest.mark.parametrize("per_sequence", [True, False])
    @pytest.mark.parametrize(
        "sequence",
        [
            ProgressSequence("SUCCESS"),
            ProgressSequence("STARTED", Write(*HALF, after=2.0), ("FAILURE", OSError(28, "full"))),
            [HALF, ("ABORTED", {"pending": False})],
        ],
    )
    def test_code(self, sequence, torn, per_sequence):
        """The code shows the same answers."""
        answers = []

        def bad(result=None):
            if result is None:
                return bad
            answers.append(result._get_task_meta()["status"])
            return {"percent": 101}

        failed = failure(
            bad,
            sequences=[sequence],
            torn=torn,
            vanishing=False,
            keep=False,
            per_sequence=per_sequence,
            max_examples=1,
        )
        lines = str(failed).partition("To see it again:\n\n")[2].partition("\n\nTo go on")[0]
        told = answers[: len(failed.answers)]
        answers.clear()
        code = "\n".join(line.removeprefix("    ") for line in lines.splitlines())
        exec(code, {"bad": bad, "print": lambda *_: None})  # noqa: S102 - it is what is tested
        assert answers[: len(told)] == told

    def test_code_of_other_histories(self, app):
        """What was no sequence is written down as one, with its tasks and its seconds."""
        runs = [list(ProgressSequence(Write(*HALF, after=1.5, task="a"), Write("X", task="b")))]
        text = str(failure(lambda result: -1, sequences=runs, groups=True, app=app, keep=True))
        assert "Write('PROGRESS', {'percent': 50.0}, after=1.5, task='a')" in text
        assert "import ProgressSequence, Write\n" in text
        assert ", keep=True, app=app):" in text

    def test_torn_poll(self):
        """A poll while which something was written says so."""
        failed = failure(
            lambda result: {"percent": -1, "state": result.state, "info": result.info},
            sequences=[[HALF, "SUCCESS"]],
            torn=True,
            vanishing=False,
        )
        begun = "Poll 1, begun before the first write, answered after write 1: {'percent': -1,"
        assert begun in str(failed)

    def test_names(self):
        """A reader without a name of its own has one in messages."""

        class Bar:
            def __call__(self, result):
                return -1

        assert str(failure(Bar())).startswith("Bar answered percent=-1")
        assert str(failure(lambda result: -1)).startswith("reader answered percent=-1")


class TestBadInput:
    def test_no_function(self):
        """What cannot be called is no reader."""
        with pytest.raises(TypeError, match="takes a function of a result, got 3"):
            check_consumer(3)

    def test_no_fault(self):
        """A fault that there is not is a mistake."""
        with pytest.raises(ValueError, match=r"backwards, bounds, .* got allow='slow'"):
            check_consumer(careful, allow="slow")

    @pytest.mark.parametrize("sequences", [[], 3, "SUCCESS", ProgressSequence("SUCCESS"), ()])
    def test_no_sequences(self, sequences):
        """What gives no histories is an error, and no check that finds nothing."""
        with pytest.raises(InvalidArgument, match="Expected a strategy, or a list of histories"):
            check_consumer(careful, sequences=sequences)

    def test_several_tasks(self):
        """Histories of several tasks are for readers of groups."""
        with pytest.raises(InvalidArgument, match="without groups=True"):
            check_consumer(careful, sequences=histories(min_tasks=2))

    def test_unanswered(self):
        """An answer that nobody understands is no fault of the reader."""
        with pytest.raises(Unanswered, match="say where it is"):
            check_consumer(lambda result: "50%")

    def test_interrupt(self):
        """Whoever presses Control-C is heard."""

        def reader(result):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check_consumer(reader)


class TestCeleryProgress:
    """celery-progress 0.5, whose faults are known."""

    @pytest.fixture(autouse=True)
    def _quiet(self, caplog):
        caplog.set_level("CRITICAL", logger="celery_progress.backend")

    @staticmethod
    def info(result):
        """What its view answers."""
        return Progress(result).get_info()

    @staticmethod
    def group_info(result):
        """What its view of groups answers."""
        return GroupProgress(result).get_info()

    def test_what_it_is_made_for(self, app):
        """Tasks that report by its recorder, and succeed, are read right."""
        recorded = progress_sequences(total=10, terminal="SUCCESS")
        check_consumer(self.info, sequences=recorded, app=app, max_examples=30)

    def test_aborted(self, app):
        """It does not know ABORTED: the bar falls to 0, and the state is unknown."""
        aborted = progress_sequences(total=10, terminal="ABORTED")
        failed = failure(self.info, sequences=aborted, app=app)
        assert failed.fault == "backwards"
        assert failed.answers[-1]["result"] == "Unknown state ABORTED"
        assert failed.sequence.states[-2:] == ["PROGRESS", "ABORTED"]

    def test_retry(self, app):
        """It takes another attempt for the end."""
        failed = failure(self.info, sequences=progress_sequences(retries=1), app=app)
        assert failed.fault == "early"
        assert "RETRY" in failed.sequence.states

    def test_retry_without_a_traceback(self, app):
        """It crashes on a RETRY that was stored by hand."""
        options = {"sequences": progress_sequences(retries=2), "app": app}
        failed = failure(self.info, allow=["early", "backwards"], **options)
        assert failed.fault == "raises"
        assert "expected string or bytes-like object" in str(failed)
        assert "RETRY" in failed.sequence.states

    def test_state_of_the_users_own(self, app):
        """It takes a state that it does not know for the end."""
        uploading = progress_sequences(report_states=st.just("UPLOADING"))
        failed = failure(self.info, sequences=uploading, app=app)
        assert failed.fault == "early"
        assert failed.answers[-1]["result"] == "Unknown state UPLOADING"

    def test_group_of_nothing(self, app):
        """It divides by zero for a group with nothing to do."""
        nothing = histories(sequences=progress_sequences(total=0, max_size=2))
        failed = failure(self.group_info, groups=True, sequences=nothing, app=app)
        assert isinstance(failed.__cause__, ZeroDivisionError)
        assert "PROGRESS" in failed.sequence.states

    def test_group_with_totals(self, app):
        """It goes backwards when a task with a larger total begins."""
        rows = progress_sequences(
            total=st.sampled_from([1, 1000]),
            min_size=1,
            max_size=1,
            terminal="SUCCESS",
            started=False,
            messages=st.just("rows"),
        )
        two = histories(min_tasks=2, max_tasks=2, sequences=rows)
        failed = failure(self.group_info, groups=True, sequences=two, app=app, torn=False)
        assert failed.fault == "backwards"

    def test_all_that_tasks_write(self, app):
        """Nobody needs to say where to look."""
        failure(self.info, app=app)
        failure(self.group_info, groups=True, app=app)


def test_same_function_of_the_results(app):
    """What a check sees is what as_results gives."""
    polls = []
    sequence = ProgressSequence(HALF, ("SUCCESS", 3))
    check_consumer(
        lambda result: polls.append((result.state, result.info)),
        sequences=[sequence],
        torn=True,
        vanishing=True,
        allow=["endless"],
        max_examples=1,
        keep=False,
    )
    assert polls == [
        (each.state, each.info) for each in as_results(sequence, torn=True, vanishing=True)
    ]


def test_groups_of_the_results():
    """As above, of groups."""
    polls = []
    sequence = ProgressSequence(Write(*HALF, task="a"), Write("SUCCESS", task="b"))

    def states(result):
        return [each.state for each in result.children]

    check_consumer(
        lambda result: polls.append(states(result)),
        sequences=[sequence],
        groups=True,
        torn=True,
        vanishing=False,
        max_examples=1,
    )
    assert polls == [states(each) for each in as_group_results(sequence, torn=True)]


def test_leaves_nothing(app):
    """What was written is gone afterwards, also when it failed."""
    with pytest.raises(ConsumerFailed):
        check_consumer(lambda result: -1, app=app)
    assert not app.backend._store._records
    assert isinstance(app, Celery)


def test_own_reader():
    """The reader of this package has none of these faults."""
    check_consumer(read_progress)
