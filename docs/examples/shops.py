"""Two apps that work together: a shop, and the warehouse that picks what the shop sells."""

from celery import Celery

shop = Celery("shop", backend="redis://results.example/1", set_as_current=False)
warehouse = Celery("warehouse", backend="redis://results.example/2", set_as_current=False)


@warehouse.task
def pick(article):
    """Fetch something from its shelf."""
    return f"{article} is packed"


@shop.task
def sell(article):
    """Ask the warehouse, and do not wait for it."""
    return pick.delay(article).id
