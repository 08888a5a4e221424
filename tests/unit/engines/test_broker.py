"""The in-memory broker: a Kombu transport that keeps one line of messages."""

from __future__ import annotations

import pytest
from celery.exceptions import Reject
from kombu import Connection, Exchange, Queue
from kombu.common import Broadcast

from pytest_taskprogress import EagerEngine, NeedsRealWorker
from pytest_taskprogress.engines.broker import Broker


@pytest.fixture
def published():
    """How often a publication was over."""
    return []


@pytest.fixture
def broker(published):
    """A broker."""
    return Broker(lambda: published.append(1))


def publish(broker, body="hello", **options):
    """Publish a message as Celery does: with a producer of the pool."""
    with broker.producers.acquire(block=True) as producer:
        producer.publish(body, routing_key="celery", serializer="json", **options)


def test_messages_wait_in_order(broker):
    """Messages are taken in the order of publication, encoded as on the wire."""
    publish(broker, "first")
    publish(broker, {"n": 2})
    first, second = broker.take(), broker.take()
    assert (first.body, first.content_type) == (b'"first"', "application/json")
    assert second.decode() == {"n": 2}
    assert not broker.waiting


def test_the_outermost_publication(broker, published):
    """The end of a publication is told once, when the outermost producer is given back."""
    with broker.producers.acquire() as producer:
        with broker.producers.acquire() as inner:
            assert inner is producer
            inner.publish("a", routing_key="q")
        assert published == []
    assert published == [1]


@pytest.mark.parametrize(("error", "told"), [(ValueError, 1), (KeyboardInterrupt, 0)])
def test_a_publication_that_fails(broker, published, error, told):
    """What was published before an error is run; an interruption runs nothing."""

    def fail():
        with broker.producers.acquire():
            raise error

    with pytest.raises(error):
        fail()
    assert len(published) == told


def test_acknowledging(broker):
    """A message that was taken is unacknowledged until it is acknowledged or rejected."""
    publish(broker)
    message = broker.take()
    assert len(broker.delivered) == 1
    message.ack()
    assert not broker.delivered
    assert not broker.waiting


def test_rejecting(broker):
    """A rejected message is gone; requeued it comes back, marked as redelivered."""
    publish(broker)
    broker.take().requeue()
    again = broker.take()
    assert again.delivery_info["redelivered"]
    again.reject()
    assert not broker.waiting
    assert not broker.delivered


def test_exchanges_route(broker):
    """An exchange with a bound queue brings a message to it, for every connection."""
    queue = Queue("mail", Exchange("letters", type="topic"), routing_key="letters.*")
    with broker.connection() as connection:
        queue(connection.default_channel).declare()
    with broker.producers.acquire() as producer:
        producer.publish("x", exchange="letters", routing_key="letters.blue", declare=[queue])
        producer.publish("y", exchange="letters", routing_key="letters.red", declare=[queue])
    assert [broker.take().decode(), broker.take().decode()] == ["x", "y"]


def test_reset(broker):
    """A reset forgets messages, and the queues and exchanges that were declared."""
    queue = Queue("mail", Exchange("letters", type="topic"), routing_key="letters.*")
    for _ in range(2):
        with broker.producers.acquire() as producer:
            producer.publish("x", exchange="letters", routing_key="letters.blue", declare=[queue])
        assert len(broker.waiting) == 1
        broker.reset()
        assert not broker.waiting
        assert not broker.state.exchanges


def test_connections_of_the_pool_stay_open(broker):
    """A pooled connection survives the block that uses it."""
    with broker.connections.acquire(block=True, timeout=1) as connection:
        assert isinstance(connection, Connection)
    assert broker.connections.connection is connection
    broker.connections.release(connection)
    broker.connections.force_close_all()
    publish(broker)
    assert broker.take().decode() == "hello"


def test_two_brokers_share_nothing(broker):
    """What one has, another has not."""
    other = Broker(lambda: None)
    publish(broker)
    assert not other.waiting


def test_requeue_by_a_task(app):
    """Reject(requeue=True) delivers the message again."""
    attempts = []

    @app.task(bind=True, acks_late=True)
    def once_more(self):
        attempts.append(self.request.delivery_info["redelivered"])
        if len(attempts) < 2:
            raise Reject(requeue=True)

    with EagerEngine(app) as engine:
        assert engine.run(once_more).states == ["SUCCESS"]
    assert attempts == [False, True]


QUEUES = [
    Queue("celery"),
    Queue("fan", Exchange("all", "fanout")),
    Queue("fan2", Exchange("all", "fanout")),
    Broadcast("everybody"),
    Queue("heads", Exchange("heads", "headers")),
    Queue("letters", Exchange("topics", "topic"), routing_key="letter.#"),
]


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({"queue": "fan"}, 2),
        ({"queue": "everybody"}, 1),
        ({"queue": "letters"}, 1),
        ({"exchange": "topics", "routing_key": "letter.blue"}, 1),
    ],
    ids=["fanout", "broadcast", "topic", "by exchange"],
)
def test_exchanges(app, options, runs):
    """A message is run once for each queue that its exchange has for it."""
    app.conf.task_queues = QUEUES
    ran = []

    @app.task(bind=True)
    def task(self):
        ran.append(self.request.id)

    with EagerEngine(app) as engine:
        engine.run(task.s().set(**options))
        assert not engine._turns.broker.delivered
    assert len(ran) == runs


def test_an_exchange_of_another_kind(app):
    """What Kombu's transports do not know says so; other queues go on."""
    app.conf.task_queues = QUEUES

    @app.task
    def task():
        return 1

    with EagerEngine(app) as engine:
        with pytest.raises(NeedsRealWorker, match="'heads' is of type 'headers'"):
            task.apply_async(queue="heads")
        assert engine.run(task.s().set(exchange="topics", routing_key="letter.x")).result == 1


def test_somebody_who_consumes(engine, app):
    """Nobody but the worker takes messages."""
    with app.connection_for_read() as connection, pytest.raises(NeedsRealWorker, match="'mine'"):
        connection.SimpleQueue("mine").get(block=False)
