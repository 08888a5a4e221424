"""Who waits for which result: what a deadlock looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

__all__ = ["Waits"]

#: How many of the ids that somebody waits for a message has.
_SHOWN: Final = 10


class _Wait(NamedTuple):
    """A task that waits.

    Attributes:
        name: Name of the task; None for the test itself.
        uuid: Its id.
        ids: What it waits for.
    """

    name: str | None
    uuid: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}[{self.uuid}]" if self.name else "the test"


class Waits:
    """The tasks that wait now; each one began while the one before it waited."""

    def __init__(self) -> None:
        self._stack: list[_Wait] = []

    @contextmanager
    def waiting(self, name: str | None, uuid: str, ids: tuple[str, ...]) -> Iterator[None]:
        """Tell that a task waits, until left."""
        wait = _Wait(name, uuid, ids)
        self._stack.append(wait)
        try:
            yield
        finally:
            # Not always the last one: a task may wait in several threads.
            self._stack.remove(wait)

    def cycle(self) -> str | None:
        """The tasks that wait for each other, the one that began to wait last at both ends.

        Returns:
            `a[1] -> b[2] -> a[1]`; None if the last wait is for no task that waits itself.
        """
        last = self._stack[-1]
        waits = {each.uuid: each for each in self._stack if each.name}
        path = self._path(last, last.uuid, waits, ())
        return " -> ".join(map(str, path)) if path else None

    def _path(
        self, wait: _Wait, target: str, waits: dict[str, _Wait], seen: tuple[_Wait, ...]
    ) -> tuple[_Wait, ...]:
        for uuid in wait.ids:
            if uuid == target:
                return (*seen, wait, waits[uuid])
            if uuid in waits and waits[uuid] not in (*seen, wait):
                found = self._path(waits[uuid], target, waits, (*seen, wait))
                if found:
                    return found
        return ()

    def below(self) -> list[str]:
        """The tasks that the last wait is for, and that wait themselves: it runs on top of them."""
        ids = self._stack[-1].ids
        return [str(each) for each in self._stack[:-1] if each.uuid in ids and each.name]

    def explained(self, state_of: Callable[[str], str]) -> str:
        """Say why the last wait will not end, and who waits for what.

        Args:
            state_of: Tells the state of a task.
        """
        cycle, below = self.cycle(), self.below()
        if cycle:
            reason = f"tasks wait for each other: {cycle}"
        elif below:
            reason = (
                f"{below[0]} waits itself, and a worker with one process has none left to go on"
                " with it"
            )
        else:
            reason = (
                "a result is waited for that nothing will produce: its task was never published to"
                " this engine, has expired or was thrown away, or ended without a result (Ignore,"
                " ignore_result)"
            )
        return "\n".join(
            [f"{reason}.", *(self._line(each, state_of) for each in self._stack[::-1])]
        )

    def _line(self, wait: _Wait, state_of: Callable[[str], str]) -> str:
        ids = ", ".join(f"{uuid} ({state_of(uuid)})" for uuid in wait.ids[:_SHOWN])
        more = f" and {len(wait.ids) - _SHOWN} more" if len(wait.ids) > _SHOWN else ""
        return f"  {wait} waits for {ids}{more}"
