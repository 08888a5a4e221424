"""Orders, reminders and canvases: what the page on the engine talks about."""

from celery import chain, group, shared_task

DAY = 24 * 60 * 60


@shared_task
def price(article):
    """Look up a price."""
    return {"pen": 2, "ink": 5}[article]


@shared_task
def with_tax(amount):
    """Add the tax."""
    return amount * 1.2


@shared_task
def mail(text):
    """Send a mail."""
    return f"sent: {text}"


@shared_task
def order(article):
    """Publish from inside a task: a mail now, and a reminder tomorrow."""
    mail.delay(f"You ordered {article}")
    mail.apply_async((f"Please pay for {article}",), countdown=DAY)
    return "ordered"


def quote(article):
    """One after the other."""
    return chain(price.s(article), with_tax.s())


def prices(*articles):
    """Side by side."""
    return group(price.s(article) for article in articles)
