"""The figures of a month: a task that waits for others, and two that wait for each other."""

from celery import group, shared_task
from celery.result import allow_join_result

HOUR = 60 * 60
TURNOVER = {"Graz": 1200, "Linz": 800, "Wels": 500}


@shared_task
def turnover(branch):
    """Look up what a branch has sold."""
    return TURNOVER[branch]


@shared_task
def close_month(branches, due=0):
    """Add up what the branches report; they close their books so many seconds from now."""
    reports = group(turnover.s(branch).set(countdown=due) for branch in branches).delay()
    with allow_join_result():
        return sum(reports.get(timeout=HOUR))


@shared_task
def ship(order):
    """Let the goods go as soon as they are paid."""
    with allow_join_result():
        return pay.AsyncResult(f"pay-{order}").get()


@shared_task
def pay(order):
    """Take the money as soon as the goods are on their way."""
    with allow_join_result():
        return ship.AsyncResult(f"ship-{order}").get()


def check_out(order):
    """Start both."""
    ship.apply_async((order,), task_id=f"ship-{order}")
    pay.apply_async((order,), task_id=f"pay-{order}")
