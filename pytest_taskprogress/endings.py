"""How a test ends, and each example of one under `@given`: with all that went wrong unnoticed.

What runs of published tasks broke, what listeners raised, and what walks came to that were left
early: nobody raised it to the test, so that it is looked for here.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from pytest_taskprogress.engines.attached import CeleryEngine
    from pytest_taskprogress.engines.eager import EagerEngine

__all__ = ["attached", "check", "each_anew", "is_loaded", "without_lines_of_ours"]

Prepare: TypeAlias = "Callable[[EagerEngine, pytest.Item], object]"


def is_loaded() -> bool:
    """Whether there can be any engine."""
    return "pytest_taskprogress.engines.judging" in sys.modules


def attached() -> list[CeleryEngine]:
    """The engines that listen to plain apps, as production code attaches them."""
    module = sys.modules.get("pytest_taskprogress.engines.attached")
    return [] if module is None else list(module.attached)


def check(engine: EagerEngine | None) -> None:
    """Raise what went wrong unnoticed.

    Args:
        engine: That of the fixture; None if the test does not use it.

    Raises:
        Exception: The first of it.
    """
    __tracebackhide__ = True
    if engine is not None:
        engine.check_walks()
        engine.check_listeners()
    if is_loaded():
        from pytest_taskprogress.engines.showing import check_contracts

        check_contracts()


@contextmanager
def without_lines_of_ours() -> Iterator[None]:
    """Show of errors that say everything their text, and no lines of the plugin."""
    try:
        yield
    except Exception as error:
        from pytest_taskprogress.core.errors import GoldenError, TaskProgressWarning
        from pytest_taskprogress.core.failed import CheckFailed

        if not isinstance(error, (CheckFailed, GoldenError, TaskProgressWarning)):
            raise
        # Hypothesis notes there of which example it is.
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        failed = pytest.fail.Exception(text, pytrace=False)
        failed.shows_runs = getattr(error, "shows_runs", False)  # type: ignore[attr-defined]
        raise failed from None


@contextmanager
def each_anew(item: pytest.Item, engine: EagerEngine | None, prepare: Prepare) -> Iterator[None]:
    """Let each example of a test under `@given` begin and end as a test of its own.

    It is done where Hypothesis lets plugins do it, and undone: the tests of a parametrised
    function, and of the classes that inherit a method, share it.

    Args:
        item: The test.
        engine: That of the fixture; None if the test does not use it: then nothing is done.
        prepare: Sets what the test asks of the engine, which an example may have changed.
    """
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if engine is None or handle is None:
        yield
        return
    with without_lines_of_ours():
        # What fixtures ran is of no example.
        check(engine)
    test, example = handle.inner_test, _Example(engine, partial(prepare, engine, item))
    handle.inner_test = example.of(test)
    try:
        yield
    except Exception as error:
        if error is example.raised and example.came_to_end:
            # Only its end failed: the test itself has no line to show.
            with without_lines_of_ours():
                raise
        raise
    else:
        if example.raised is not None:
            # The last one failed, and the test did not: Hypothesis threw it away.
            example.begin()
    finally:
        handle.inner_test = test


class _Example:
    """An example of a test, which begins and ends as a test of its own.

    Args:
        engine: What runs tasks.
        prepare: Sets what the test asks of it.

    Attributes:
        raised: What was raised by the last one, or at its end; None if nothing was.
        came_to_end: Whether the last one raised nothing itself.
    """

    def __init__(self, engine: EagerEngine, prepare: Callable[[], object]) -> None:
        self.raised: BaseException | None = None
        self.came_to_end = False
        self._engine = engine
        self._prepare = prepare

    def of(self, test: Callable[..., Any]) -> Callable[..., Any]:
        """The function that Hypothesis calls with each example, instead of the test."""
        if inspect.iscoroutinefunction(test):
            # Another plugin runs it, which knows it by that.
            @wraps(test)
            async def example(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with self._alone():
                    return await test(*args, **kwargs)

        else:

            @wraps(test)
            def example(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with self._alone():
                    return test(*args, **kwargs)

        return example

    def begin(self) -> None:
        """Make the engine as new, and let go of what the last example has left."""
        from pytest_taskprogress.engines.judging import process

        self.raised, self.came_to_end = None, False
        _forget_logs()
        self._engine.reset()
        self._engine.told_of_listeners()
        with suppress(Exception):
            self._engine.check_walks()
        for each in list(process.recent):
            with suppress(Exception):
                each.check_contract()
        self._prepare()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        __tracebackhide__ = True
        from pytest_taskprogress.engines.judging import process

        self.begin()
        try:
            yield
            self.came_to_end = True
            # As when a test ends: a run that was left in the midst goes on to its end.
            self._engine.finish_walks()
            check(self._engine)
        except BaseException as error:
            self.raised = error
            # Hypothesis runs it again, and must see the same: a warning that is an error, too.
            process.warned.clear()
            raise


def _forget_logs() -> None:
    """Let go of what the last example logged: of a test that fails pytest shows all that it keeps.

    Celery logs each task that fails, and under drawn scenarios thousands do.
    """
    for handler in logging.getLogger().handlers:
        # Such as pytest's own, whose class is private: what has records to be shown later.
        clear = getattr(handler, "clear", None)
        if callable(clear) and hasattr(handler, "records") and hasattr(handler, "reset"):
            clear()
