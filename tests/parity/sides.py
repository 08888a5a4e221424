"""The two sides of a comparison: a live worker of Celery's own, and the engine."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import contextmanager, nullcontext, suppress

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery import Celery, Task, _state
from celery.app import trace
from celery.backends.cache import CacheBackend
from celery.backends.redis import RedisBackend
from celery.concurrency.thread import TaskPool
from celery.contrib.testing.worker import start_worker
from celery.result import allow_join_result
from celery.worker import state as worker_state
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES, memory

from pytest_taskprogress import EagerEngine
from tests.parity.record import WAKE, Recorder, freeze, has_effect, outcome
from tests.servers import close_client

#: Seconds after which a run has failed, not finished; nothing comes near it.
PATIENCE = 20


def make_app(name, settings):
    """An app with the settings that both sides have, and some of its own."""
    app = Celery("parity", set_as_current=False, broker="parity://")
    app.conf.update(
        task_default_queue=name,
        task_queues=[
            Queue(name, Exchange(name), routing_key=name),
            Queue(f"{name}-other", Exchange(f"{name}-topics", "topic"), routing_key="other.#"),
        ],
        control_exchange=f"{name}-control",
        broker_transport_options={"polling_interval": 0.005},
        # No limit: before 5.7 a worker thread that has reached it waits two seconds.
        worker_prefetch_multiplier=0,
        worker_hijack_root_logger=False,
        **settings,
    )
    return app


class Side:
    """One side: where a case defines its tasks, publishes them, and sees what comes of it.

    Attributes:
        app: The app of the run.
        recorder: What the run leaves behind.
        Handlers: A task base whose handlers are recorded.
    """

    def __init__(self, app, recorder):
        self.app = app
        self.recorder = recorder
        self.Handlers = handlers(recorder)
        self.called = recorder.called

    def task(self, function=None, **options):
        """Define a task of the case; `app.task` with a short name, known to the worker."""
        if function is None:
            return lambda function: self.task(function, **options)
        options = {"name": function.__name__, "shared": False, **options}
        return self.learn(self.app.task(**options)(function))

    def learn(self, task):
        """Let the worker know a task that was defined after its start."""
        raise NotImplementedError

    def settle(self):
        """Wait until nothing is left to be done."""
        raise NotImplementedError

    def holding(self):
        """Let what is published wait while the block runs, for a worker that is still busy."""
        raise NotImplementedError

    def step(self, result):
        """Let one task run while others are held: the one of a result."""
        raise NotImplementedError

    def tell(self, command, *args):
        """Send a remote-control command, and wait until the worker has done it."""
        raise NotImplementedError

    def current(self):
        """Make the app the current one: what a client's thread does once."""
        return _current(self.app)

    def get(self, result):
        """State and value of a result, as its client gets them when all has been done."""
        self.settle()
        with allow_join_result():
            return outcome(result)

    def joining(self):
        """Let results be waited for, here or in a task, in a process where a worker runs."""
        return allow_join_result()

    def tree(self, result):
        """What a result knows of its relatives."""
        self.settle()
        return {
            "result": freeze(result),
            "parent": None if result.parent is None else self.tree(result.parent),
            "children": [freeze(each) for each in result.children or ()],
        }

    def graph(self, result):
        """The results that come of a result, and what comes of each."""
        self.settle()
        return {each.id: [child.id for child in found] for each, found in result.graph.items()}


@contextmanager
def _current(app):
    before = _state._tls.current_app
    app.set_current()
    try:
        yield
    finally:
        _state._tls.current_app = before


def handlers(recorder):
    """A task base whose handlers are recorded."""

    class Handlers(Task):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            recorder.called(task_id, "before_start", args, kwargs)

        def on_success(self, retval, task_id, args, kwargs):
            recorder.called(task_id, "on_success", retval, args, kwargs)

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            recorder.called(task_id, "on_retry", exc, args, kwargs, einfo)

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            recorder.called(task_id, "on_failure", exc, args, kwargs, einfo)

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            recorder.called(task_id, "after_return", status, retval, args, kwargs, einfo)

    return Handlers


# -- the engine -----------------------------------------------------------------------------------


class Eager(Side):
    """The engine."""

    def __init__(self, app, recorder, engine):
        super().__init__(app, recorder)
        self.engine = engine

    def learn(self, task):
        """Do nothing: the engine finds it."""
        return task

    def settle(self):
        """Run what waits."""
        self.engine.drain()

    def holding(self):
        """Pause the engine."""
        return self.engine.paused()

    def step(self, result):
        """Run one message."""
        self.engine.step()
        assert result.ready()

    def tell(self, command, *args):
        """Send the command: the engine does it at once."""
        command(*args)


@contextmanager
def eager_side(name, settings):
    """The engine on an app of its own."""
    app = make_app(name, settings)
    app.conf.result_backend = "cache+memory://"
    recorder = Recorder()
    with EagerEngine(app) as engine, recorder.connected():
        yield Eager(app, recorder, engine)
        for each in engine.history:
            recorder.wrote(each.uuid, each.state, kept=each.stored)


# -- the live worker ------------------------------------------------------------------------------


class Recording:
    """A result backend that tells what it was asked to store."""

    #: Of the run; there is one at a time.
    recorder = None

    def get_many(self, task_ids, **options):
        """Celery's, which before 5.7 sleeps for half a second after each look."""
        return super().get_many(task_ids, **{**options, "interval": 0.005})

    def store_result(self, task_id, result, state, *args, **kwargs):
        """Store, and tell whether it had an effect."""
        kept = has_effect(self, task_id)
        value = super().store_result(task_id, result, state, *args, **kwargs)
        if task_id is not None:
            Recording.recorder.wrote(task_id, state, kept=kept)
        return value


class RecordingCache(Recording, CacheBackend):
    """Celery's backend in memory."""

    def __init__(self, app, **options):
        """Take the memory store."""
        super().__init__(app, **{**options, "backend": "memory://"})


class RecordingRedis(Recording, RedisBackend):
    """Celery's backend for Redis; there is one a thread."""

    instances: list[RedisBackend] = []  # noqa: RUF012 - of all threads

    def __init__(self, *args, **options):
        """Remember it, so that it is closed."""
        super().__init__(*args, **options)
        self.instances.append(self)


class Channel(memory.Channel):
    """Kombu's in-memory broker, which marks what it delivers again, as an AMQP broker does."""

    def _restore(self, message):
        message.delivery_info["redelivered"] = True
        super()._restore(message)


class Transport(memory.Transport):
    """The transport of such channels."""

    Channel = Channel


TRANSPORT_ALIASES["parity"] = f"{__name__}:{Transport.__name__}"


class Threads(TaskPool):
    """Celery's thread pool, which knows whether it is at work."""

    def __init__(self, *args, **kwargs):
        """Make the pool."""
        super().__init__(*args, **kwargs)
        self.futures = []
        self.gate = threading.Event()
        #: Exceptions that a thread swallowed: requests that will have no end.
        self.lost = []

    def on_apply(self, *args, **kwargs):
        """Remember what is being done."""
        result = super().on_apply(*args, **kwargs)
        self.futures.append(result.f)
        return result

    def hold(self):
        """Begin no task until `release`."""
        self.gate.clear()
        for _ in range(self.limit):
            self.executor.submit(self.gate.wait)

    def release(self):
        """Go on with what has come."""
        self.gate.set()

    @property
    def is_idle(self):
        """Whether all that was given to it is done, callbacks included."""
        self.lost += [each.exception() for each in self.futures if each.done() and each.exception()]
        self.futures = [each for each in self.futures if not each.done()]
        return not self.futures


class LikeProcesses(Threads):
    """Threads that tell of their end as the processes of the prefork pool do.

    Source:
        `billiard.pool.Worker.workloop` and `Pool.mark_as_worker_lost`, for what a request is told.
    """

    def on_apply(self, target, args=None, kwargs=None, callback=None, **options):
        """Tell the request's error callback of what left the target."""
        error_callback = options["error_callback"]

        def tell(result):
            # As `billiard.pool.ApplyResult.safe_apply_callback`, which logs what they raise.
            with suppress(Exception):
                (error_callback if isinstance(result, ExceptionInfo) else callback)(result)

        def guarded(*args, **kwargs):
            try:
                return target(*args, **kwargs)
            except SystemExit as exit_:
                error = WorkerLostError(f"Worker exited prematurely: exitcode {exit_.code}.")
                return ExceptionInfo((WorkerLostError, error, exit_.__traceback__))
            except Exception:  # noqa: BLE001 - whatever it is
                return ExceptionInfo()

        return super().on_apply(guarded, args, kwargs, tell, **options)


class LiveWorker:
    """A worker of Celery's own in a thread of this process, for many runs.

    Args:
        name: Of its queue.
        kind: What it is like: a row of `WORKERS`.
        redis_url: Where its results go; None: into memory.
    """

    def __init__(self, name, kind, redis_url=None):
        self.kind = kind
        self.app = make_app(name, kind.settings)
        backend = RecordingRedis if redis_url else RecordingCache
        url = f"+{redis_url}" if redis_url else ""
        self.app.conf.result_backend = f"{__name__}:{backend.__name__}{url}"
        self._answers = queue.Queue()

    @contextmanager
    def running(self):
        """Start it, and stop it; nothing of it stays behind in Celery's globals."""
        with _globals_restored():
            Recording.recorder = Recorder()
            with start_worker(
                self.app,
                pool=LikeProcesses if self.kind.prefork else Threads,
                concurrency=self.kind.threads,
                perform_ping_check=False,
                loglevel="CRITICAL",
            ) as worker:
                self.consumer = worker.consumer
                self.consumer.strategies[WAKE] = self._on_wake
                yield self
                # Its loop would else wait two seconds for a message before it sees that it is over,
                # and two for another.
                worker_state.should_terminate = 0
                self._wake()
                self._wake()
            while RecordingRedis.instances:
                close_client(RecordingRedis.instances.pop())

    @contextmanager
    def side(self, settings):
        """Let it work for one run, with settings that are read while it runs."""
        app, consumer = self.app, self.consumer
        changes, tasks = dict(app.conf.changes), dict(app.tasks)
        strategies = dict(consumer.strategies)
        recorder = Recording.recorder = Recorder()
        with _globals_restored(), recorder.connected():
            # Both are what `celery worker` does, and `start_worker` leaves out or undoes.
            trace.setup_worker_optimizations(app, consumer.hostname)
            _state._set_task_join_will_block(True)  # noqa: FBT003
            consumer.pool.lost.clear()
            app.conf.update(settings)
            _forget_cached(app)
            try:
                consumer.pool.hold()
                yield Live(app, recorder, self)
                self.settle()
                lost = consumer.pool.lost
                assert not lost, f"a thread swallowed {lost!r}: run it on the worker 'prefork'"
            finally:
                consumer.pool.release()
                for mapping, before in (
                    (app.conf.changes, changes),
                    (app.tasks, tasks),
                    (consumer.strategies, strategies),
                ):
                    mapping.clear()
                    mapping.update(before)
                _forget_cached(app)
                worker_state.revoked.clear()
                worker_state.revoked_stamps.clear()

    def _wake(self):
        self.app.send_task(WAKE, ignore_result=True)

    def _on_wake(self, message, payload, ack, reject, callbacks):
        """Say whether the worker is idle; called by its consumer, between two other messages.

        A message is unacknowledged, then with the pool, and what it publishes is in the queue
        before the pool is done with it: looked at in this order, nothing is missed.
        """
        message.ack()
        channel = self.consumer.task_consumer.channel
        waiting = len(channel.qos._delivered) - len(channel.qos._dirty)
        names = [each.name for each in self.app.conf.task_queues]
        idle = not waiting and self.consumer.pool.is_idle
        self._answers.put(idle and not any(channel._size(name) for name in names))

    def settle(self):
        """Wait until the worker has nothing to do."""
        self.consumer.pool.release()
        deadline = time.monotonic() + PATIENCE
        idle = False
        while not idle:
            assert time.monotonic() < deadline, "the live worker does not come to rest"
            self._wake()
            idle = self._answers.get(timeout=PATIENCE)
        if self.consumer.timer.is_alive():
            # The timer's thread may still be at the end of the call that emptied it.
            done = threading.Event()
            self.consumer.timer.call_after(0, done.set)
            assert done.wait(PATIENCE)


def _forget_cached(app):
    """Let the app look up settings again that it looks up once."""
    for name in ("create_task_message", "router", "_rtable"):
        vars(app.amqp).pop(name, None)
    app.amqp.flush_routes()
    # Result backends, one a thread, have the serialiser that they were made with.
    app._local = threading.local()


@contextmanager
def _globals_restored():
    """Put back what a worker changes in this process; other tests have workers too."""
    level = logging.getLogger().level
    localized, protected = list(trace._localized), hasattr(Task, "_stackprotected")
    blocks, default = _state._task_join_will_block, _state.default_app
    current, terminate = _state._tls.current_app, worker_state.should_terminate
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
        trace._localized[:] = localized
        if not protected:
            trace.reset_worker_optimizations()
        _state._set_task_join_will_block(blocks)
        _state.default_app, _state._tls.current_app = default, current
        worker_state.should_terminate = terminate


class Live(Side):
    """A live worker."""

    def __init__(self, app, recorder, worker):
        """Take the worker."""
        super().__init__(app, recorder)
        self.worker = worker

    def learn(self, task):
        """Do for one task what a worker does for all of them at its start."""
        consumer = self.worker.consumer
        consumer.strategies[task.name] = task.start_strategy(self.app, consumer)
        task.__trace__ = trace.build_tracer(
            task.name, task, self.app.loader, consumer.hostname, app=self.app
        )
        return task

    def settle(self):
        """Wait until the worker has nothing to do; it does not begin with what comes then.

        So it is always behind its client, as the engine is, which runs the messages of a canvas
        when all of them have been published.
        """
        self.worker.settle()
        self.worker.consumer.pool.hold()

    def joining(self):
        """Let the worker go on, too."""
        self.worker.consumer.pool.release()
        return super().joining()

    def holding(self):
        """Do nothing: what is held has a countdown, and the worker keeps time."""
        return nullcontext()

    def step(self, result):
        """Wait for the result."""
        with self.joining():
            result.get(timeout=PATIENCE, interval=0.005)

    def tell(self, command, *args):
        """Send the command, and one after it that the worker answers."""
        command(*args)
        replies = self.app.control.ping(timeout=PATIENCE, limit=1)
        assert replies, "the live worker does not answer"
