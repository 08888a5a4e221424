"""What one run of a case leaves behind, in a form in which two runs can be compared.

Ids, times, hosts and processes differ from run to run, and tasks of one canvas may run in any
order. So all that was recorded is kept per task, and a task is known by its name and arguments.
"""

from __future__ import annotations

import re
import textwrap
import threading
from collections import defaultdict
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery import Task, signals
from celery.app.task import Context
from celery.exceptions import Retry
from celery.result import AsyncResult, ResultBase
from celery.worker.consumer.consumer import Consumer
from celery.worker.request import Request
from kombu import Exchange, Message, Queue
from kombu.exceptions import EncodeError

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d|Z)?")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")

#: What is left out of all that is compared, with the reason.
LEFT_OUT = {
    "signal": "the signal object itself",
    "hostname": "a worker in a thread names its node otherwise; test_facts.py compares it",
    "origin": "names the client's process",
    "runtime": "seconds",
    "traceback": "has the file names of the side that ran; whether there is one is in the result",
    "delivery_tag": "a number of the transport",
    "body_encoding": "how the transport carries bytes; both sides get the same bytes",
    "reply_to": "a random queue name for the rpc backend, which is not in use",
    "retry_policy": "what publishing does when the broker is away",
    "properties": "of a request: the message's, whose parts are compared where they are published",
    "_children": "as result objects; their ids are compared by what the client sees",
    "loglevel": "of the worker",
    "logfile": "of the worker",
}

#: What stands in the table for the name of a task that has results, and was not published.
UNPUBLISHED = "not published"

#: Name of the messages by which the live side asks its worker whether it is idle.
WAKE = "parity.wake"

#: Signals of tasks, by who sends them: three threads, each of which has an order of its own. A
#: worker may receive a message before its publisher says that it is published.
SIGNALS = {
    "before_task_publish": "publisher",
    "after_task_publish": "publisher",
    "task_received": "consumer",
    "task_unknown": "consumer",
    "task_rejected": "consumer",
    "task_revoked": "consumer",
    "task_prerun": "pool",
    "task_success": "pool",
    "task_retry": "pool",
    "task_failure": "pool",
    "task_internal_error": "pool",
    "task_postrun": "pool",
}


def freeze(value):
    """A copy of plain values, taken now: what a task or Celery goes on to change is not changed."""
    for kinds, form in FORMS:
        if isinstance(value, kinds):
            return form(value)
    return freeze(
        getattr(value, "__name__", type(value).__name__ if callable(value) else repr(value))
    )


def _unwrapped(error):
    """An exception as it is; billiard wraps it until it has been through the pipe of a process."""
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


#: What stands for a value, by its type; the first that fits.
FORMS = (
    ((type(None), bool, int, float, bytes), lambda value: value),
    (str, lambda text: TIME.sub("<time>", ADDRESS.sub("", text))),
    (dict, lambda each: {freeze(k): freeze(v) for k, v in each.items() if k not in LEFT_OUT}),
    (tuple, lambda values: tuple(map(freeze, values))),
    (list, lambda values: [*map(freeze, values)]),
    ((set, frozenset), lambda values: sorted(map(freeze, values))),
    ((date, datetime, timedelta), lambda _: "<time>"),
    # The engine raises a subclass of it, with the path to the value in its message.
    (EncodeError, lambda _: ("EncodeError", "...")),
    (Retry, lambda retry: ("Retry", freeze([retry.message, retry.exc, retry.when]))),
    (BaseException, lambda error: (type(error).__name__, freeze(error.args))),
    (ExceptionInfo, lambda info: ("ExceptionInfo", freeze(_unwrapped(info.exception)))),
    ((Task, Queue, Exchange), lambda named: named.name),
    (Consumer, lambda _: "<consumer>"),
    (Request, lambda each: ("Request", freeze([each.request_dict, each.args, each.kwargs]))),
    (Context, lambda context: ("Context", freeze(vars(context)))),
    (Message, lambda message: ("Message", freeze([message.headers, message.delivery_info]))),
    (ResultBase, lambda result: ("Result", result.id)),
)


def outcome(result):
    """How a result ended, as its client gets it: the state, and the value or what `get` raises.

    Called when all has been done: what is not there then never comes.
    """
    if not result.ready():
        return freeze((result.state if isinstance(result, AsyncResult) else None, "never ready"))
    try:
        value = result.get(timeout=20, interval=0.01)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same on both sides
        value = ("raises", error)
    state = result.state if isinstance(result, AsyncResult) else None
    return freeze((state, value))


def differences(on_worker, on_engine, path=""):
    """Each place where two reports differ, a line each."""
    if isinstance(on_worker, dict) and isinstance(on_engine, dict):
        keys = sorted({*on_worker, *on_engine}, key=str)
        pairs = [(key, on_worker.get(key, "(none)"), on_engine.get(key, "(none)")) for key in keys]
    elif (
        isinstance(on_worker, (list, tuple))
        and type(on_worker) is type(on_engine)
        and len(on_worker) == len(on_engine)
    ):
        pairs = list(zip(range(len(on_worker)), on_worker, on_engine, strict=True))
    else:
        if on_worker == on_engine and type(on_worker) is type(on_engine):
            return []
        texts = [textwrap.shorten(repr(each), 400) for each in (on_worker, on_engine)]
        return [f"{path}:\n  worker: {texts[0]}\n  engine: {texts[1]}"]
    return [line for key, *both in pairs for line in differences(*both, f"{path}/{key}")]


class Recorder:
    """Keeps what happens to the tasks of one run.

    Attributes:
        writes: State and whether it was kept, of each call of `store_result`, by task id.
        signals: Signals with their arguments, by who sends them and task id. With `task_prerun`
            comes how often the task had been received then.
        calls: Calls of handlers and errbacks, by task id.
    """

    def __init__(self):
        self.writes = defaultdict(list)
        self.signals = {sender: defaultdict(list) for sender in sorted(set(SIGNALS.values()))}
        self.calls = defaultdict(list)
        self._labels = {}
        self._lock = threading.RLock()

    def wrote(self, task_id, state, *, kept):
        """Remember a call of `store_result`."""
        with self._lock:
            self.writes[task_id].append((state, kept))

    def called(self, task_id, what, *args):
        """Remember a call of a handler or an errback of a task."""
        with self._lock:
            self.calls[task_id].append((what, freeze(args)))

    @contextmanager
    def connected(self):
        """Hear all signals of tasks."""
        receivers = []
        for name in SIGNALS:
            signal = getattr(signals, name)
            receiver = self._receiver(name)
            signal.connect(receiver, weak=False)
            receivers.append((signal, receiver))
        try:
            yield self
        finally:
            for signal, receiver in receivers:
                signal.disconnect(receiver)

    def _receiver(self, name):
        def receive(sender=None, **kwargs):
            if sender == WAKE:
                return
            with self._lock:
                task_id = _task_id(sender, kwargs)
                if name == "before_task_publish":
                    self._label(task_id, kwargs)
                if name == "task_prerun":
                    kwargs["received"] = len(self.signals["consumer"][task_id])
                kept = self.signals[SIGNALS[name]]
                kept[task_id].append((name, freeze({"sender": sender, **kwargs})))

        return receive

    def _label(self, task_id, kwargs):
        """Know a task by its name and arguments; the second of the same by a number too."""
        if task_id in self._labels:
            return
        headers, body = kwargs["headers"], kwargs["body"]
        if isinstance(body, dict):  # protocol 1
            name, args, options = body["task"], body["args"], body["kwargs"]
        else:
            name, (args, options, _) = headers["task"], body
        values = [*map(repr, args), *(f"{key}={value!r}" for key, value in options.items())]
        values = [UUID.sub("<id>", ADDRESS.sub("", each))[:60] for each in values]
        label = f"{name}({', '.join(values)})"
        same = sum(each.partition("#")[0] == label for each in self._labels.values())
        self._labels[task_id] = f"{label}#{same + 1}" if same else label

    def label(self, value):
        """The same value with labels instead of ids."""
        if isinstance(value, str):
            return UUID.sub(lambda found: self._labels.get(found[0], "<id>"), value)
        if isinstance(value, dict):
            return {self.label(key): self.label(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.label, value))
        return value

    def report(self, seen):
        """All that was recorded, and what the client saw, ready to be compared."""
        with self._lock:
            parts = {"writes": self.writes, "calls": self.calls, **self.signals}
            report = {}
            for name, part in parts.items():
                found = report[name] = defaultdict(list)
                for key, sequence in part.items():
                    found[self._labels.get(key) or self.label(key)] += self.label(sequence)
        return {"seen": self.label(freeze(seen)), **report}

    @property
    def sent(self):
        """Names of the signals that were sent."""
        return {
            name
            for part in self.signals.values()
            for sequence in part.values()
            for name, _ in sequence
        }

    def states(self):
        """States by task, as in the table: `add: SUCCESS x3; total: SUCCESS`."""
        with self._lock:
            lines = defaultdict(int)
            # A failed chord's body has a result, and was never published.
            others = {
                task_id: UNPUBLISHED for task_id in self.writes if task_id not in self._labels
            }
            for task_id, label in {**self._labels, **others}.items():
                states = [s if kept else f"({s})" for s, kept in self.writes.get(task_id, ())]
                lines[f"{label.partition('(')[0]}: {' '.join(states) or 'nothing'}"] += 1
        return (
            "; ".join(
                sorted(line if count == 1 else f"{line} x{count}" for line, count in lines.items())
            )
            or "nothing"
        )


def _task_id(sender, kwargs):
    """The id of the task that a signal is about."""
    for key in ("task_id", "id"):
        if kwargs.get(key):
            return kwargs[key]
    headers, body, request = (kwargs.get(key) for key in ("headers", "body", "request"))
    if request is not None:
        return request.id
    if body is not None:
        return body["id"] if isinstance(body, dict) else headers["id"]
    if "message" in kwargs:
        message = kwargs["message"]
        return message.headers.get("id") or message.properties.get("correlation_id")
    return sender.request.id


def has_effect(backend, task_id):
    """Whether a key-value backend will keep what is stored for a task now: SUCCESS is final."""
    try:
        return backend.get_state(task_id) != "SUCCESS"
    except ValueError:  # a record that cannot be read
        return True
