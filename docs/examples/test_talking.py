"""The three examples of TaskFlow's page "Notifications and listeners", with what they print."""

from talking import cat_dog, flow_transition, task_transition

from pytest_taskprogress import Notifier, PrintingListener

ANY = Notifier.ANY


def test_flow_notifications(taskprogress, capsys):
    """Whoever registers with `notifier` is told of the canvas."""
    taskprogress.notifier.register(ANY, flow_transition)
    taskprogress.run(cat_dog())

    assert capsys.readouterr().out.splitlines() == [
        "Flow 'celery.chain' transition to state RUNNING",
        "meow",
        "woof",
        "Flow 'celery.chain' transition to state SUCCESS",
    ]


def test_task_notifications(taskprogress, capsys):
    """Whoever registers with `atom_notifier` is told of its tasks."""
    taskprogress.atom_notifier.register(ANY, task_transition)
    taskprogress.run(cat_dog())

    assert capsys.readouterr().out.splitlines() == [
        "Task 'talking.cat_talk' transition to state RUNNING",
        "meow",
        "Task 'talking.cat_talk' transition to state SUCCESS",
        "Task 'talking.dog_talk' transition to state RUNNING",
        "woof",
        "Task 'talking.dog_talk' transition to state SUCCESS",
    ]


def test_listeners(taskprogress, capsys):
    """A listener is told of both, as long as the `with` block lasts."""
    with PrintingListener(taskprogress):
        run = taskprogress.run(cat_dog())
    taskprogress.run(cat_dog())

    cat, dog = (each.uuid for each in run.history)
    flow = f"{taskprogress} has moved flow 'celery.chain' ({run.task_id})"
    cat = f"{taskprogress} has moved task 'talking.cat_talk' ({cat})"
    dog = f"{taskprogress} has moved task 'talking.dog_talk' ({dog})"
    ended = "into state 'SUCCESS' from state 'RUNNING'"
    assert capsys.readouterr().out.splitlines() == [
        f"{flow} into state 'RUNNING' from state 'PENDING'",
        f"{cat} into state 'RUNNING' from state 'PENDING'",
        "meow",
        f"{cat} {ended} with result 'cat' (failure=False)",
        f"{dog} into state 'RUNNING' from state 'PENDING'",
        "woof",
        f"{dog} {ended} with result 'dog' (failure=False)",
        f"{flow} {ended}",
        "meow",
        "woof",
    ]
