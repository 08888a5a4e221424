"""A newsletter: mails by the calendar, and no faster than the mail server takes them."""

from datetime import datetime, timedelta

from celery import Celery
from celery.schedules import crontab

DAY = 24 * 60 * 60
READERS = ["ann@example.org", "bob@example.org", "cyd@example.org"]

app = Celery("newsletter", backend="redis://results.example", set_as_current=False)
app.conf.timezone = "Europe/Vienna"
app.conf.beat_schedule = {
    "digest": {
        "task": "newsletter.digest",
        "schedule": crontab(hour=7, minute=30, day_of_week="mon-fri"),
    },
}


@app.task(rate_limit="30/m")
def send(address, subject):
    """Hand a mail to the server, which takes thirty a minute."""
    return f"{subject} -> {address}"


@app.task
def digest():
    """Tell every reader what there was yesterday."""
    yesterday = datetime.now(app.timezone).date() - timedelta(days=1)
    for address in READERS:
        send.delay(address, f"News of {yesterday}")


def welcome(address):
    """Greet a new reader, and ask how it goes after a day and after a week."""
    send.apply_async((address, "After a week"), countdown=7 * DAY)
    send.apply_async((address, "After a day"), countdown=DAY)
    send.delay(address, "Welcome")
