"""Who waits for which result: what a deadlock looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

__all__ = ["Wait", "Waits"]

#: How many of the ids that somebody waits for a message has.
_SHOWN: Final = 10


class Wait(NamedTuple):
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
        self._stack: list[Wait] = []

    @contextmanager
    def waiting(self, name: str | None, uuid: str, ids: tuple[str, ...]) -> Iterator[Wait]:
        """Tell that a task waits, until left."""
        wait = Wait(name, uuid, ids)
        self._stack.append(wait)
        try:
            yield wait
        finally:
            # Not always the last one: a task may wait in several threads.
            self._stack.remove(wait)

    def forget_tasks(self) -> None:
        """The tasks are dead, and wait no more."""
        self._stack = [each for each in self._stack if not each.name]

    def cycle(self, wait: Wait) -> str | None:
        """The tasks that wait for each other, the one that waits at both ends.

        Returns:
            `a[1] -> b[2] -> a[1]`; None if it waits for no task that waits itself.
        """
        waits = {each.uuid: each for each in self._stack if each.name}
        path = self._path(wait, wait.uuid, waits, ())
        return " -> ".join(map(str, path)) if path else None

    def _path(
        self, wait: Wait, target: str, waits: dict[str, Wait], seen: tuple[Wait, ...]
    ) -> tuple[Wait, ...]:
        for uuid in wait.ids:
            if uuid == target:
                return (*seen, wait, waits[uuid])
            if uuid in waits and waits[uuid] not in (*seen, wait):
                found = self._path(waits[uuid], target, waits, (*seen, wait))
                if found:
                    return found
        return ()

    def below(self, wait: Wait) -> list[str]:
        """The tasks that a task waits for, and that wait themselves: it runs on top of them."""
        return [str(each) for each in self._stack if each.name and each.uuid in wait.ids]

    def explained(self, wait: Wait, state_of: Callable[[str], str]) -> str:
        """Say why somebody will wait for ever, and who waits for what.

        Args:
            wait: Who.
            state_of: Tells the state of a task.
        """
        cycle, below = self.cycle(wait), self.below(wait)
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

    def _line(self, wait: Wait, state_of: Callable[[str], str]) -> str:
        ids = ", ".join(f"{uuid} ({state_of(uuid)})" for uuid in wait.ids[:_SHOWN])
        more = f" and {len(wait.ids) - _SHOWN} more" if len(wait.ids) > _SHOWN else ""
        return f"  {wait} waits for {ids}{more}"
