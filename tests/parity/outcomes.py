"""Point 3: every way in which a task can end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery import chain, group
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from tests.parity.table import Cases

CASES = Cases(3)

#: From Celery 5.6 on a worker stores REVOKED when it is told, and once more when the task comes.
REVOKED_ONCE = ((5, 6), "works: REVOKED; works: SUCCESS")


class Unpicklable(Exception):
    """An exception that cannot be pickled."""

    def __init__(self, message, function):
        super().__init__(message)
        self.function = function


class Strange(Exception):
    """An exception whose arguments JSON does not know."""


# -- retries --------------------------------------------------------------------------------------


@CASES.add("retry", "again: RETRY RETRY SUCCESS", signals=["task_retry"])
def retry(side):
    """Two retries with a countdown, then a result."""

    @side.task(bind=True, base=side.Handlers)
    def again(self, x):
        if self.request.retries < 2:
            raise self.retry(countdown=0.01)
        return [x, self.request.retries]

    result = again.delay(1)
    return side.get(result), side.tree(result)


@CASES.add("retry with other arguments and options", "again: RETRY SUCCESS")
def retry_changed(side):
    """A retry may change arguments, queue and priority; links and headers are kept."""

    @side.task(bind=True, base=side.Handlers)
    def again(self, x, y=0):
        if not self.request.retries:
            queue = f"{self.app.conf.task_default_queue}-other"
            raise self.retry(args=(2,), kwargs={"y": 3}, countdown=0, queue=queue, priority=5)
        return [x, y, self.request.delivery_info["priority"], self.request.headers]

    return side.get(again.apply_async((1,), headers={"trace": "abc"}))


@CASES.add("retry with eta and an exception", "again: RETRY SUCCESS")
def retry_eta(side):
    """RETRY is stored with the exception that was its reason."""

    @side.task(bind=True, base=side.Handlers)
    def again(self):
        if not self.request.retries:
            raise self.retry(eta=datetime.now(timezone.utc), exc=KeyError("reason"))
        return "done"

    return side.get(again.delay())


@CASES.add("max_retries exceeded", "again: RETRY FAILURE; because: RETRY FAILURE; never: FAILURE")
def retries_exceeded(side):
    """With MaxRetriesExceededError, with the exception given, and with no retry allowed."""

    @side.task(bind=True, base=side.Handlers, max_retries=1, default_retry_delay=0)
    def again(self):
        raise self.retry()

    @side.task(bind=True, base=side.Handlers, max_retries=1, default_retry_delay=0)
    def because(self):
        raise self.retry(exc=ValueError("because"))

    @side.task(bind=True, base=side.Handlers, max_retries=0)
    def never(self):
        raise self.retry(countdown=0)

    return [side.get(each.delay()) for each in (again, because, never)]


@CASES.add("retry that is not thrown", "again: RETRY SUCCESS")
def retry_not_thrown(side):
    """With `throw=False` the task goes on, and may raise what it got."""

    @side.task(bind=True, base=side.Handlers)
    def again(self):
        if self.request.retries:
            return "done"
        retry = self.retry(countdown=0, throw=False)
        side.called(self.request.id, "goes on", retry)
        raise retry

    return side.get(again.delay())


@CASES.add("autoretry_for", "excluded: FAILURE; other: FAILURE; tries: RETRY RETRY FAILURE")
def autoretry(side):
    """Listed exceptions are retried; others, and those of `dont_autoretry_for`, are not."""
    options = {
        "base": side.Handlers,
        "autoretry_for": (LookupError,),
        "dont_autoretry_for": (IndexError,),
        "default_retry_delay": 0,
        "retry_kwargs": {"max_retries": 2},
    }

    @side.task(**options)
    def tries():
        raise KeyError("again")

    @side.task(**options)
    def excluded():
        raise IndexError("not again")

    @side.task(**options)
    def other():
        raise ValueError("other")

    return [side.get(each.delay()) for each in (tries, excluded, other)]


@CASES.add("autoretry with backoff", "tries: RETRY SUCCESS")
def backoff(side):
    """The delay is the backoff's: one second, without jitter."""

    @side.task(
        base=side.Handlers,
        bind=True,
        autoretry_for=(KeyError,),
        retry_backoff=8,
        retry_backoff_max=1,
        retry_jitter=False,
    )
    def tries(self):
        if not self.request.retries:
            raise KeyError("again")
        return self.request.retries

    return side.get(tries.delay())


@CASES.add("autoretry with backoff and jitter", "tries: RETRY SUCCESS")
def jitter(side):
    """The delay is drawn between nothing and the backoff, which has an upper limit."""

    @side.task(
        base=side.Handlers,
        bind=True,
        autoretry_for=(KeyError,),
        retry_backoff=True,
        retry_backoff_max=0,
        retry_jitter=True,
    )
    def tries(self):
        if not self.request.retries:
            raise KeyError("again")
        return self.request.retries

    return side.get(tries.delay())


@CASES.add("retries in a chord", "again: RETRY SUCCESS x2; total: SUCCESS")
def retries_in_chord(side):
    """A header waits for its tasks' retries."""

    @side.task(bind=True, base=side.Handlers)
    def again(self, x):
        if not self.request.retries:
            raise self.retry(countdown=0)
        return x

    @side.task(base=side.Handlers)
    def total(numbers):
        return sum(numbers)

    return side.get((group(again.s(1), again.s(2)) | total.s()).apply_async())


# -- failures -------------------------------------------------------------------------------------


@CASES.add("failure", "fails: FAILURE", signals=["task_failure"])
def failure(side):
    """An exception is stored, and raised by `get`."""

    @side.task(base=side.Handlers)
    def fails(x):
        raise ValueError("no", x)

    result = fails.delay(1)
    return side.get(result), side.tree(result)


@CASES.add("errbacks, old and new style", "fails: FAILURE; old_style: SUCCESS")
def errbacks(side):
    """One gets the id in a message, the other request, exception and traceback at once."""

    @side.task(base=side.Handlers)
    def fails():
        raise ValueError("no")

    @side.task
    def old_style(task_id):
        return task_id

    @side.task
    def new_style(request, error, traceback):
        side.called(request.id, "new_style", request.task, error, bool(traceback))

    return side.get(fails.apply_async(link_error=[old_style.s(), new_style.s()]))


@CASES.add(
    "exceptions that cannot be pickled", "hidden: FAILURE; nested: FAILURE; strange: FAILURE"
)
def unpicklable(side):
    """What a client gets of one with a function, of a local class, and with odd arguments."""

    class Local(Exception):
        pass

    @side.task(base=side.Handlers)
    def hidden():
        raise Unpicklable("broken", lambda: None)

    @side.task(base=side.Handlers)
    def nested():
        raise Local("broken")

    @side.task(base=side.Handlers)
    def strange():
        raise Strange({1, 2}, 3j)

    return [side.get(each.delay()) for each in (hidden, nested, strange)]


@CASES.add(
    "exceptions that cannot be pickled, in pickle",
    "hidden: FAILURE; nested: FAILURE",
    worker="all",
    settings={"result_serializer": "pickle"},
)
def unpicklable_in_pickle(side):
    """The same where results are pickled: a wrapper or a stand-in comes back."""

    class Local(Exception):
        pass

    @side.task(base=side.Handlers)
    def hidden():
        raise Unpicklable("broken", lambda: None)

    @side.task(base=side.Handlers)
    def nested():
        raise Local("broken")

    return [side.get(each.delay()) for each in (hidden, nested)]


@CASES.add("task_remote_tracebacks", "fails: FAILURE", settings={"task_remote_tracebacks": True})
def remote_tracebacks(side):
    """The setting is read; without tblib an exception comes back as without it."""

    @side.task(base=side.Handlers)
    def fails():
        raise ValueError("no")

    result = fails.delay()
    return side.get(result), "ValueError: no" in result.traceback


@CASES.add("throws", "fails: FAILURE")
def throws(side):
    """An exception that a task declares is a failure all the same."""

    @side.task(base=side.Handlers, throws=(KeyError,))
    def fails():
        raise KeyError("expected")

    return side.get(fails.delay())


@CASES.add("a result that cannot be encoded", "odd: FAILURE")
def result_not_encodable(side):
    """It is a failure of the task."""

    @side.task(base=side.Handlers)
    def odd():
        return object()

    return side.get(odd.delay())


# -- Ignore and Reject ----------------------------------------------------------------------------


@CASES.add("Ignore", "ignores: PROGRESS")
def ignore(side):
    """The last state that the task wrote stays; no handler is called."""

    @side.task(bind=True, base=side.Handlers)
    def ignores(self):
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Ignore("enough")

    result = ignores.delay()
    return side.get(result), result.info


@CASES.add(
    "Reject without requeue", "rejects: PROGRESS FAILURE", before=((5, 7), "rejects: PROGRESS")
)
def reject(side):
    """The message is thrown away; from Celery 5.7 on that is a FAILURE."""

    @side.task(bind=True, base=side.Handlers, acks_late=True)
    def rejects(self):
        self.update_state(state="PROGRESS", meta={"current": 1})
        raise Reject("no good", requeue=False)

    return side.get(rejects.delay())


@CASES.add("Reject with requeue", "rejects: SUCCESS")
def reject_requeue(side):
    """The message comes again, marked as redelivered."""

    @side.task(bind=True, base=side.Handlers, acks_late=True)
    def rejects(self):
        if not self.request.delivery_info["redelivered"]:
            raise Reject("once more", requeue=True)
        return self.request.delivery_info["redelivered"]

    return side.get(rejects.delay())


@CASES.add("Reject after an early acknowledgement", "rejects: nothing")
def reject_early(side):
    """Without `acks_late` the message is gone already: a requeue has no effect."""

    @side.task(base=side.Handlers)
    def rejects():
        raise Reject("too late", requeue=True)

    return side.get(rejects.delay())


# -- acknowledgement ------------------------------------------------------------------------------


@CASES.add("acks_late", "fails: FAILURE; works: SUCCESS")
def acks_late(side):
    """A message is acknowledged after its task, whether it worked or failed."""

    @side.task(base=side.Handlers, acks_late=True)
    def works():
        return 1

    @side.task(base=side.Handlers, acks_late=True)
    def fails():
        raise ValueError("no")

    return [side.get(each.delay()) for each in (works, fails)]


@CASES.add("acks_on_failure_or_timeout", "fails: FAILURE")
def acks_on_failure(side):
    """Off, a failed task's message is rejected, and does not come again."""

    @side.task(base=side.Handlers, acks_late=True, acks_on_failure_or_timeout=False)
    def fails():
        raise ValueError("no")

    return side.get(fails.delay())


@CASES.add("worker lost", "early: FAILURE; late: FAILURE", worker="prefork")
def worker_lost(side):
    """The process of a task ends: WorkerLostError, told by the pool."""

    @side.task(base=side.Handlers)
    def early():
        raise SystemExit(3)

    @side.task(base=side.Handlers, acks_late=True)
    def late():
        raise SystemExit(3)

    return [side.get(each.delay()) for each in (early, late)]


@CASES.add("reject_on_worker_lost", "lost: SUCCESS", worker="prefork")
def reject_on_worker_lost(side):
    """The message comes again, and the second process lives."""

    @side.task(bind=True, base=side.Handlers, acks_late=True, reject_on_worker_lost=True)
    def lost(self):
        if not self.request.delivery_info["redelivered"]:
            raise SystemExit(3)
        return "alive"

    return side.get(lost.delay())


@CASES.add(
    "worker_deduplicate_successful_tasks",
    "counts: SUCCESS",
    settings={"worker_deduplicate_successful_tasks": True},
)
def deduplicate(side):
    """A message whose acknowledgement is lost comes again, and is not run again."""
    runs = []

    class Losing(Request):
        def acknowledge(self):
            if self.delivery_info["redelivered"]:
                return super().acknowledge()
            return self.reject(requeue=True)

    class Lost(side.Handlers):
        abstract = True
        Request = Losing

    @side.task(base=Lost, acks_late=True)
    def counts():
        runs.append(1)
        return len(runs)

    return side.get(counts.delay()), len(runs)


# -- revoked, expired, limited --------------------------------------------------------------------


@CASES.add(
    "revoke by id, before the message comes",
    "works: REVOKED REVOKED; works: SUCCESS",
    signals=["task_revoked"],
    before=REVOKED_ONCE,
)
def revoke_by_id(side):
    """The worker that was told discards the task, and stores REVOKED."""

    @side.task(base=side.Handlers)
    def works(x):
        return x

    side.tell(side.app.control.revoke, "revoked-early")
    sent = [works.apply_async((1,), task_id="revoked-early"), works.delay(2)]
    return [side.get(each) for each in sent]


@CASES.add(
    "revoke of several ids, and by a result",
    "works: REVOKED REVOKED x2",
    signals=["task_revoked"],
    before=((5, 6), "works: REVOKED x2"),
)
def revoke_several(side):
    """A list of ids; with links, which do not run."""

    @side.task(base=side.Handlers)
    def works(x):
        return x

    side.tell(side.app.control.revoke, ["revoked-one", "revoked-two"])
    sent = [
        works.apply_async((n,), task_id=f"revoked-{n}", link=works.s(), link_error=works.s())
        for n in ("one", "two")
    ]
    return [side.get(each) for each in sent]


@CASES.add(
    "revoke while the task waits for its eta",
    "works: REVOKED REVOKED; works: SUCCESS",
    signals=["task_revoked"],
    before=REVOKED_ONCE,
)
def revoke_waiting(side):
    """A task that the worker has, and has not begun, is revoked when its time has come."""

    @side.task(base=side.Handlers)
    def works(x):
        return x

    with side.holding():
        result = works.apply_async((1,), countdown=1)
        # Messages come in order: when this one has run, the worker has the other one too.
        side.step(works.delay(2))
        side.tell(result.revoke)
    return side.get(result)


@CASES.add("revoke by stamped header", "works: REVOKED; works: SUCCESS", signals=["task_revoked"])
def revoke_by_stamp(side):
    """Tasks with a stamp are discarded, others are not."""

    @side.task(base=side.Handlers)
    def works(x):
        return x

    side.tell(side.app.control.revoke_by_stamped_headers, {"customer": ["ann"]})
    sent = []
    for name in ("ann", "bob"):
        signature = works.s(name)
        signature.stamp(customer=name)
        sent.append(signature.apply_async())
    return [side.get(each) for each in sent]


@CASES.add("revoked in a chain", "works: REVOKED REVOKED; works: SUCCESS", before=REVOKED_ONCE)
def revoke_in_chain(side):
    """What comes after a revoked task never runs."""

    @side.task(base=side.Handlers)
    def works(*args):
        return list(args)

    side.tell(side.app.control.revoke, "revoked-in-chain")
    result = chain(works.s(1), works.s(2).set(task_id="revoked-in-chain"), works.s(3)).apply_async()
    return side.get(result), side.get(result.parent)


@CASES.add("expired", "works: REVOKED x2", signals=["task_revoked"])
def expired(side):
    """A task that is due after it expires, and one that has expired when it is published."""

    @side.task(base=side.Handlers)
    def works(x):
        return x

    before = datetime.now(timezone.utc) - timedelta(hours=1)
    sent = [
        works.apply_async((1,), expires=before),
        works.apply_async((2,), countdown=0.1, expires=0.05),
    ]
    return [side.get(each) for each in sent]


@CASES.add("rate limit", "limited: SUCCESS x3")
def rate_limit(side):
    """Tasks wait for their turn, and run in order."""
    order = []

    @side.task(base=side.Handlers, rate_limit="50/s")
    def limited(x):
        order.append(x)
        return x

    sent = [limited.delay(n) for n in range(3)]
    return [side.get(each) for each in sent], order


@CASES.add("rate limit and countdown", "limited: SUCCESS x2")
def rate_limit_countdown(side):
    """A task waits for its time first, then for its turn."""

    @side.task(base=side.Handlers, rate_limit="50/s")
    def limited(x):
        return x

    sent = [limited.apply_async((n,), countdown=0.02) for n in range(2)]
    return [side.get(each) for each in sent]


# -- handlers, signals ----------------------------------------------------------------------------


@CASES.add(
    "handlers that raise",
    "before: FAILURE; failing: FAILURE FAILURE FAILURE; success: SUCCESS",
    before=(
        (5, 7),
        "before: FAILURE; failing: FAILURE FAILURE FAILURE; success: SUCCESS (FAILURE)",
    ),
    warns="Exception raised|failing breaks|success breaks",
    worker="prefork",
)
def handlers_raise(side):
    """An error in a handler before, after a success, and after a failure of the task."""

    class Before(side.Handlers):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            raise KeyError("before_start")

    class Success(side.Handlers):
        abstract = True

        def on_success(self, retval, task_id, args, kwargs):
            raise KeyError("on_success")

    class Failing(side.Handlers):
        abstract = True

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            raise KeyError("on_failure")

    @side.task(base=Before)
    def before():
        return 1

    @side.task(base=Success)
    def success():
        return 1

    @side.task(base=Failing)
    def failing():
        raise ValueError("no")

    return [side.get(each.delay()) for each in (before, success, failing)]


@CASES.add(
    "a link that cannot be published",
    "works: FAILURE",
    warns="Exception raised",
    signals=["task_internal_error"],
)
def internal_error(side):
    """An error of the worker's own, after the task: task_internal_error."""

    @side.task(base=side.Handlers)
    def works():
        return 1

    state, (raises, (kind, _)) = side.get(works.apply_async(link=works.s(2)))
    return state, raises, kind


@CASES.add(
    "task_track_started",
    "fails: STARTED FAILURE; works: STARTED SUCCESS",
    settings={"task_track_started": True},
)
def started(side):
    """STARTED is stored before the task's own code runs."""

    @side.task(bind=True, base=side.Handlers)
    def works(self):
        return self.AsyncResult(self.request.id).state

    @side.task(base=side.Handlers)
    def fails():
        raise ValueError("no")

    return [side.get(each.delay()) for each in (works, fails)]


@CASES.add("result_extended", "works: PROGRESS SUCCESS", settings={"result_extended": True})
def extended(side):
    """Name, arguments, queue and retries are stored with a result."""

    @side.task(bind=True, base=side.Handlers)
    def works(self, x, y=0):
        self.update_state(state="PROGRESS", meta={"current": 1})
        return x

    result = works.apply_async((1,), {"y": 2})
    value = side.get(result)
    return value, [result.name, result.args, result.kwargs, result.retries, result.queue]


@CASES.add(
    "states of one's own",
    "reports: PROGRESS BUSY SUCCESS (PROGRESS) (SUCCESS)",
    warns="reports breaks",
)
def own_states(side):
    """Reports replace each other; after SUCCESS none is kept."""

    @side.task(bind=True, base=side.Handlers)
    def reports(self):
        self.update_state(state="PROGRESS", meta={"current": 1})
        self.update_state(state="BUSY", meta={"current": 2})
        self.update_state(state="SUCCESS", meta="early")
        self.update_state(state="PROGRESS", meta={"current": 3})
        return "late"

    return side.get(reports.delay())


@CASES.add("arguments that a task changes", "again: RETRY RETRY SUCCESS; back: SUCCESS")
def changed_arguments(side):
    """A retry carries the arguments as the task left them; a message that comes back does not."""

    @side.task(bind=True, base=side.Handlers)
    def again(self, rows):
        rows.append(self.request.retries)
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return rows

    @side.task(bind=True, base=side.Handlers, acks_late=True)
    def back(self, rows):
        rows.append("changed")
        if not self.request.delivery_info["redelivered"]:
            raise Reject(requeue=True)
        return rows

    return side.get(again.delay([])), side.get(back.delay([]))
