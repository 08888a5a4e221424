"""A cat and a dog talk, as on TaskFlow's page "Notifications and listeners"; two callbacks listen.

https://docs.openstack.org/taskflow/latest/user/notifications.html
"""

from celery import chain, shared_task


@shared_task
def cat_talk(meow):
    """Say it."""
    print(meow)
    return "cat"


@shared_task
def dog_talk(woof):
    """Say it."""
    print(woof)
    return "dog"


def cat_dog():
    """First the cat, then the dog, whatever the cat has returned."""
    return chain(cat_talk.si("meow"), dog_talk.si("woof"))


def flow_transition(state, details):
    """Is told of flows."""
    print(f"Flow '{details['flow_name']}' transition to state {state}")


def task_transition(state, details):
    """Is told of tasks."""
    print(f"Task '{details['task_name']}' transition to state {state}")
