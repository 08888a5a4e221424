"""Point 1: every kind of task and of message."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery import shared_task
from celery.worker.request import Request

from tests.parity.table import Cases, shared_tasks_forgotten

CASES = Cases(1)


# -- kinds of tasks -------------------------------------------------------------------------------


@CASES.add("plain task", "add: SUCCESS")
def plain(side):
    """A function with positional, keyword and default arguments is called."""

    @side.task(base=side.Handlers)
    def add(x, y=1, *, z=0):
        return x + y + z

    return side.get(add.delay(1, z=2))


@CASES.add("bound task", "whoami: SUCCESS")
def bound(side):
    """A bound task returns fields of its request and its name."""

    @side.task(bind=True, base=side.Handlers)
    def whoami(self, *args, **kwargs):
        request = self.request
        return [request.id, request.called_directly, request.is_eager, request.retries, self.name]

    return side.get(whoami.delay(1, two=2))


@CASES.add("shared task", "shared_add: SUCCESS x2")
def shared(side):
    """A shared task is called by itself, and by the app's own registry."""
    with shared_tasks_forgotten("shared_add"):

        @shared_task(name="shared_add")
        def add(x, y):
            return x + y

        side.learn(side.app.tasks["shared_add"])
        with side.current():
            by_itself = add.delay(1, 2)
        by_registry = side.app.tasks["shared_add"].delay(3, 4)
        return side.get(by_itself), side.get(by_registry)


@CASES.add("class-based task", "adder: SUCCESS x2")
def class_based(side):
    """A task class with state and handlers of its own, registered as an instance."""

    class Adder(side.Handlers):
        name = "adder"

        def __init__(self):
            self.calls = 0

        def run(self, x):
            self.calls += 1
            return [x, self.calls]

    adder = side.learn(side.app.register_task(Adder()))
    return side.get(adder.delay(1)), side.get(adder.delay(2))


@CASES.add("task of a task class", "add: SUCCESS")
def task_of_a_class(side):
    """A function on a base class with attributes and options of its own."""

    class Base(side.Handlers):
        abstract = True
        ignore_result = False
        greeting = "hello"

    @side.task(bind=True, base=Base, greeting="good morning")
    def add(self, x):
        return [self.greeting, x]

    return side.get(add.delay(1))


@CASES.add("pydantic task", "greet: FAILURE; greet: SUCCESS", needs="pydantic")
def pydantic_task(side):
    """Arguments become models, a model becomes a dict; what is no model fails."""
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int = 7

    def greet(person, *, loud=False):
        return Person(name=person.name.upper() if loud else person.name, age=person.age + 1)

    # Postponed annotations would be looked up in the globals of the module.
    greet.__annotations__ = {"person": Person, "loud": bool, "return": Person}
    task = side.task(greet, pydantic=True)
    good = side.get(task.delay({"name": "ann"}, loud=True))
    state, (raises, (kind, _)) = side.get(task.delay({"age": 1}))
    return good, state, raises, kind


@CASES.add("custom Request class", "again: RETRY SUCCESS; fails: FAILURE; works: SUCCESS")
def custom_request(side):
    """Its hooks are called with what the pool tells of the task."""

    class Telling(Request):
        def on_accepted(self, pid, time_accepted):
            side.called(self.id, "request.on_accepted", self.task_name)
            return super().on_accepted(pid, time_accepted)

        def on_success(self, failed__retval__runtime, **kwargs):
            failed, retval, _ = failed__retval__runtime
            side.called(self.id, "request.on_success", failed, retval)
            return super().on_success(failed__retval__runtime, **kwargs)

        def on_failure(self, exc_info, send_failed_event=True, return_ok=False):  # noqa: FBT002
            side.called(self.id, "request.on_failure", exc_info, send_failed_event, return_ok)
            return super().on_failure(exc_info, send_failed_event, return_ok)

        def on_retry(self, exc_info):
            side.called(self.id, "request.on_retry", exc_info)
            return super().on_retry(exc_info)

        def acknowledge(self):
            side.called(self.id, "request.acknowledge", self.acknowledged)
            return super().acknowledge()

    class Base(side.Handlers):
        abstract = True
        Request = Telling

    @side.task(base=Base)
    def works(x):
        return x

    @side.task(base=Base)
    def fails():
        raise ValueError("no")

    @side.task(base=Base, bind=True)
    def again(self):
        if not self.request.retries:
            raise self.retry(countdown=0)
        return "done"

    return [side.get(each) for each in (works.delay("good"), fails.delay(), again.delay())]


@CASES.add("custom __call__", "double: SUCCESS")
def custom_call(side):
    """The worker calls the task object, and it calls on to `run`."""

    class Doubling(side.Handlers):
        abstract = True

        def __call__(self, *args, **kwargs):
            side.called(self.request.id, "__call__", args, kwargs)
            return 2 * super().__call__(*args, **kwargs)

    @side.task(base=Doubling)
    def double(x):
        return x

    return side.get(double.delay(3)), double(4)


@CASES.add("typing off", "loose: FAILURE")
def typing_off(side):
    """With `typing=False` wrong arguments are published, and fail on the worker."""

    @side.task(typing=False, base=side.Handlers)
    def loose(x):
        return x

    return side.get(loose.delay(1, 2, 3))


@CASES.add("arguments that do not fit", "nothing", signals=())
def wrong_arguments(side):
    """With typing on they are refused where the task is published."""

    @side.task
    def strict(x):
        return x

    try:
        strict.delay(1, 2, 3)
    except TypeError as error:
        return str(error).replace(strict.run.__qualname__, "strict")
    return None


# -- options of apply_async -----------------------------------------------------------------------


def telling(side, **options):
    """Define a task that returns how it was delivered."""

    @side.task(bind=True, base=side.Handlers, **options)
    def tell(self, *args):
        request = self.request
        delivery = request.delivery_info
        keys = ("exchange", "routing_key", "priority", "redelivered")
        return {
            "delivery": {key: delivery.get(key) for key in keys},
            "limits": request.timelimit,
            "shadow": request.shadow,
            "eta": bool(request.eta),
            "expires": bool(request.expires),
            "headers": request.headers,
            "stamps": request.stamps,
            "group": request.group,
        }

    return tell


@CASES.add("queue, exchange, routing key, priority", "tell: SUCCESS x4")
def routing(side):
    """A message goes where it is sent, and says so on the worker."""
    tell = telling(side)
    name = side.app.conf.task_default_queue
    sent = [
        tell.apply_async((1,), queue=f"{name}-other"),
        tell.apply_async((2,), exchange=f"{name}-topics", routing_key="other.two"),
        tell.apply_async((3,), queue=f"{name}-other", routing_key="other.three"),
        tell.apply_async((4,), priority=7),
    ]
    return [side.get(each) for each in sent]


@CASES.add(
    "task_routes and options of the task",
    "tell: SUCCESS",
    settings={"task_routes": {"tell": {"routing_key": "other.tell", "queue": "parity-json-other"}}},
)
def routes(side):
    """A route of the settings, and limits that the task declares."""
    return side.get(telling(side, time_limit=90, soft_time_limit=60).delay())


@CASES.add("countdown and eta", "tell: SUCCESS x4")
def countdown(side):
    """What is due later runs, and knows that it waited."""
    tell = telling(side)
    now = datetime.now(timezone.utc)
    sent = [
        tell.apply_async((1,), countdown=0.05),
        tell.apply_async((2,), eta=now + timedelta(seconds=0.05)),
        tell.apply_async((3,), eta=now - timedelta(days=1)),
        tell.apply_async((4,), countdown=0),
    ]
    return [side.get(each) for each in sent]


@CASES.add("expires in time", "tell: SUCCESS x2")
def expires_in_time(side):
    """A task that runs before it expires knows that it would have."""
    tell = telling(side)
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    return [side.get(tell.apply_async((n,), expires=at)) for n, at in enumerate((3600, later))]


@CASES.add("link and link_error", "add: SUCCESS x4; fails: FAILURE; sorry: SUCCESS x2")
def link(side):
    """One link and a list of them; an errback and a list of them."""

    @side.task(base=side.Handlers)
    def add(x, y):
        return x + y

    @side.task(base=side.Handlers)
    def fails():
        raise ValueError("no")

    @side.task
    def sorry(task_id):
        return task_id

    sent = [
        add.apply_async((1, 1), link=add.s(10)),
        add.apply_async((2, 2), link=[add.s(20)], link_error=sorry.s()),
        fails.apply_async(link=add.s(1), link_error=[sorry.s(), sorry.si("fixed")]),
    ]
    return [side.get(each) for each in sent], [side.tree(each) for each in sent]


@CASES.add("headers and stamps", "tell: SUCCESS x3")
def headers(side):
    """Headers of one's own, stamps given by name, and stamps of a signature."""
    tell = telling(side)
    stamped = tell.s(3)
    stamped.stamp(customer="ann", area=["north", "south"])
    sent = [
        tell.apply_async((1,), headers={"trace": "abc"}),
        tell.apply_async((2,), stamped_headers=["job"], job=["seven"]),
        stamped.apply_async(),
    ]
    return [side.get(each) for each in sent]


@CASES.add("time limits, shadow, reprs", "tell: SUCCESS")
def recorded(side):
    """Time limits, another name and other representations travel with the message."""
    return side.get(
        telling(side).apply_async(
            ("secret",), time_limit=60, soft_time_limit=30, shadow="other", argsrepr="(***)"
        )
    )


@CASES.add("compression", "echo: SUCCESS x2")
def compression(side):
    """A compressed message, by option and by setting of the task, arrives whole."""

    @side.task(compression="bzip2")
    def echo(x):
        return x

    sent = [echo.apply_async(("a" * 500,), compression="gzip"), echo.delay("b" * 500)]
    return [side.get(each) for each in sent]


@CASES.add("task_id", "add: SUCCESS x2")
def given_id(side):
    """A task has the id that it was given, whatever it looks like."""

    @side.task(base=side.Handlers)
    def add(x):
        return x

    first = side.get(add.apply_async((1,), task_id="my-own-id"))
    other = add.apply_async((2,), task_id="my-other-id")
    return first, other.id, side.get(other)


@CASES.add("the same task_id twice", "add: SUCCESS (SUCCESS)", warns="add breaks")
def same_id(side):
    """The second result of one id is dropped: the first SUCCESS is final."""

    @side.task(base=side.Handlers)
    def add(x):
        return x

    first = side.get(add.apply_async((1,), task_id="my-only-id"))
    return first, side.get(add.apply_async((2,), task_id="my-only-id"))


@CASES.add(
    "ignore_result",
    "noisy: nothing; silent: SUCCESS; silent: nothing",
    before=((5, 6), "noisy: nothing; silent: nothing x2"),
)
def ignored(side):
    """By option, by declaration, and switched back on by option; callbacks come all the same."""

    @side.task(base=side.Handlers)
    def noisy():
        return 1

    @side.task(base=side.Handlers, ignore_result=True)
    def silent(n):
        return n

    sent = [
        noisy.apply_async(ignore_result=True),
        silent.delay(1),
        silent.apply_async((2,), ignore_result=False),
    ]
    side.settle()
    return [each.state for each in sent]


@CASES.add("ignored errors", "fails: nothing; stored: FAILURE")
def ignored_errors(side):
    """A failure without a result, unless errors are stored even then."""

    @side.task(base=side.Handlers, ignore_result=True)
    def fails():
        raise ValueError("no")

    @side.task(base=side.Handlers, ignore_result=True, store_errors_even_if_ignored=True)
    def stored():
        raise ValueError("yes")

    sent = [fails.delay(), stored.delay()]
    side.settle()
    return [each.state for each in sent]


@CASES.add("partial and immutable signatures", "add: SUCCESS x4")
def signatures(side):
    """Arguments of a call are put before those of a signature, unless it is immutable."""

    @side.task(base=side.Handlers)
    def add(x, y, z=0):
        return [x, y, z]

    sent = [
        add.s(2).delay(1),
        add.si(1, 2).delay(3),
        add.s(2, z=3).apply_async((1,), {"z": 4}),
        add.s(1).clone((2,), {"z": 5}).set(priority=2).apply_async(),
    ]
    return [side.get(each) for each in sent]


# -- by name --------------------------------------------------------------------------------------


@CASES.add("send_task by name", "add: SUCCESS x2")
def by_name(side):
    """The publisher knows the name only; a signature by name too."""

    @side.task(base=side.Handlers)
    def add(x, y):
        return x + y

    sent = [
        side.app.send_task("add", (1, 2), priority=4),
        side.app.signature("add", args=(3,), kwargs={"y": 4}).delay(),
    ]
    return [side.get(each) for each in sent]


@CASES.add("unknown name", "nobody: FAILURE", signals=["task_unknown"], warns="a worker threw")
def unknown(side):
    """A name that no task has: the worker says so, and stores FAILURE."""
    return side.get(side.app.send_task("nobody", (1,)))


@CASES.add(
    "unknown name, protocol 1",
    "nobody: FAILURE",
    settings={"task_protocol": 1},
    warns="a worker threw",
)
def unknown_old(side):
    """The same for a message of protocol 1."""
    return side.get(side.app.send_task("nobody", (1,)))


@CASES.add("no task in the message", "nothing", signals=["task_rejected"], warns="a worker threw")
def no_task(side):
    """A message that is not a task's is rejected, and the worker says so."""
    name = side.app.conf.task_default_queue
    with side.app.producer_or_acquire() as producer:
        producer.publish({"hello": "world"}, exchange="", routing_key=name, serializer="json")
    side.settle()


# -- protocols and serialisers --------------------------------------------------------------------


@CASES.add(
    "protocol 1", "add: SUCCESS x3; fails: FAILURE; sorry: SUCCESS", settings={"task_protocol": 1}
)
def protocol_1(side):
    """The old message: arguments in a dict, with countdown, links and errbacks."""

    @side.task(base=side.Handlers)
    def add(x, y):
        return x + y

    @side.task(base=side.Handlers)
    def fails():
        raise ValueError("no")

    @side.task
    def sorry(task_id):
        return task_id

    sent = [
        add.apply_async((1,), {"y": 2}, countdown=0.02),
        add.apply_async((3, 4), link=add.s(5)),
        fails.apply_async(link_error=sorry.s()),
    ]
    return [side.get(each) for each in sent]


@CASES.add(
    "protocol 1, retry and chord",
    "add: RETRY SUCCESS x2; total: SUCCESS",
    settings={"task_protocol": 1},
)
def protocol_1_chord(side):
    """A retry and a chord of the old protocol."""
    from celery import chord

    @side.task(base=side.Handlers, bind=True)
    def add(self, x):
        if not self.request.retries:
            raise self.retry(countdown=0)
        return x

    @side.task(base=side.Handlers)
    def total(numbers):
        return sum(numbers)

    return side.get(chord([add.s(1), add.s(2)], total.s()).apply_async())


def echoing(side, **options):
    """Define a task that returns what it got, and its type."""

    @side.task(base=side.Handlers, **options)
    def echo(value):
        return [type(value).__name__, repr(value)]

    return echo


@CASES.add("yaml, where accepted", "echo: SUCCESS x2", worker="all", needs="yaml")
def yaml(side):
    """By option and by declaration; YAML keeps dates."""
    echo = echoing(side, serializer="yaml")
    value = {1: datetime(2024, 1, 2).date()}  # noqa: DTZ001 - a date has no zone
    return side.get(echo.delay(value)), side.get(echo.apply_async(([1],), serializer="yaml"))


@CASES.add("pickle, where accepted", "echo: SUCCESS", worker="all")
def pickle(side):
    """Pickle keeps types that JSON does not know."""
    return side.get(echoing(side).apply_async(((1, {2}, 3j),), serializer="pickle"))


@CASES.add("msgpack, where accepted", "echo: SUCCESS", worker="all", needs="msgpack")
def msgpack(side):
    """Msgpack keeps bytes; a tuple becomes a list."""
    return side.get(echoing(side).apply_async((((1, 2), b"bytes"),), serializer="msgpack"))


@CASES.add(
    "pickle, yaml and msgpack, where not accepted",
    "echo: nothing x3",
    warns="a worker threw",
    needs="yaml",
)
def not_accepted(side):
    """A worker that accepts JSON runs none of them."""
    echo = echoing(side)
    sent = [echo.apply_async((n,), serializer=n) for n in ("pickle", "yaml", "msgpack")]
    return [side.get(each) for each in sent]


@CASES.add(
    "results in pickle",
    "echo: SUCCESS; fails: FAILURE",
    worker="all",
    settings={"result_serializer": "pickle", "task_serializer": "pickle"},
)
def pickled_results(side):
    """Results and exceptions come back as the objects that they were."""

    @side.task(base=side.Handlers)
    def echo(value):
        return (value, {1, 2})

    @side.task(base=side.Handlers)
    def fails():
        raise KeyError("no", 7)

    return side.get(echo.delay((1, 2))), side.get(fails.delay())


@CASES.add("JSON's round trip", "echo: SUCCESS x3")
def json(side):
    """Tuples become lists and keys text; dates, bytes, ids and decimals stay what they are."""
    from datetime import date
    from decimal import Decimal

    echo = echoing(side)
    values = [(1, (2,)), {1: {"a": None}}, [date(2024, 1, 2), b"x", Decimal("1.5")]]
    return [side.get(echo.delay(each)) for each in values]


@CASES.add("arguments that cannot be encoded", "echo: nothing")
def not_encodable(side):
    """They are refused where the task is published, with Kombu's error."""
    from kombu.exceptions import EncodeError

    echo = echoing(side)
    try:
        echo.delay(object())
    except EncodeError:
        return "refused"
    return None
