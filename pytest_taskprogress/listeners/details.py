"""What a listener is told of a write: TaskFlow's keys, and ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from itertools import product
from typing import Any, ClassVar, Final

from pytest_taskprogress.core.copies import own
from pytest_taskprogress.core.progress import Progress
from pytest_taskprogress.core.states import FAILURE, RETRY, TERMINAL_STATES
from pytest_taskprogress.core.transitions import Transition
from pytest_taskprogress.listeners.failure import Failure

__all__ = ["Details"]

_FAILED: Final = frozenset({FAILURE, RETRY})
_ENDED: Final = TERMINAL_STATES | {RETRY}


class Details(MutableMapping[str, Any]):
    """What a listener is told: a mapping that makes its values when somebody asks for them.

    Of a task `task_name` and `task_uuid`, of a retry `retry_name` and `retry_uuid`, of a flow
    `flow_name`, `flow_uuid` and `engine`; of all of them `old_state`, `result` (if there is one; of
    a failure or a retry: a `Failure`), `meta`, `progress` (a `Progress`; None if it is no report)
    and `transition`. What a listener changes in it, or in its values, only that listener sees.

    Args:
        transition: What happened.
        old_state: The state that listeners were told before; the transition has the stored one.
        raised: The exception that it is about, if it is at hand.
        extra: Values of other keys.

    Attributes:
        told: The transition itself, which all share; for whoever only reads it.
    """

    __slots__ = ("_extra", "_keys", "_mine", "_old_state", "_raised", "_taken", "told")

    #: Kind, and whether a result is stored -> the keys.
    _KEYS: ClassVar[dict[tuple[str, bool], tuple[str, ...]]] = {
        (kind, ended): (
            *(f"{kind}_name", f"{kind}_uuid", "old_state"),
            *("result",) * ended,
            *("meta", "progress", "transition"),
        )
        for kind, ended in product(("flow", "task", "retry"), (False, True))
    }
    #: Key -> what makes the value.
    _MADE: ClassVar[dict[str, Callable[[Details], Any]]] = {
        **dict.fromkeys(("flow_name", "task_name", "retry_name"), lambda self: self.told.name),
        **dict.fromkeys(("flow_uuid", "task_uuid", "retry_uuid"), lambda self: self.told.uuid),
        "old_state": lambda self: self._old_state,
        "result": lambda self: self._result(),
        "meta": lambda self: own(self.told.meta, deep=True),
        "progress": lambda self: _progress(self.told),
        "transition": lambda self: self.told.copy(),
    }

    told: Transition
    _old_state: str
    _keys: Collection[str]

    def __init__(
        self,
        transition: Transition,
        old_state: str,
        raised: BaseException | None = None,
        extra: dict[str, Any] | None = None,
        keys: Collection[str] | None = None,
    ) -> None:
        self.told = transition
        self._old_state = old_state
        self._raised = raised
        self._extra = extra
        # The values that were made; once something was changed, all there is.
        self._mine: dict[str, Any] | None = extra
        self._taken = False
        self._keys = self._all_keys() if keys is None else keys

    @classmethod
    def of_write(cls, transition: Transition, old_state: str) -> Details:
        """The details of what was written just now, with the exception that is being handled."""
        if transition.state not in _FAILED:
            return cls(transition, old_state)
        raised = sys.exc_info()[1]
        if transition.state == RETRY:
            # It is asked for by an exception of its own, which carries the reason.
            raised = getattr(raised, "exc", None) or raised
        return cls(transition, old_state, raised)

    def copy_for_listener(self) -> Details:
        """Other details of the same, as they were."""
        extra = None if self._extra is None else own(self._extra)
        return Details(self.told, self._old_state, self._raised, extra, self._all)

    def copy(self) -> Details:
        """Other details, as these are now."""
        other = self.copy_for_listener()
        if self._taken:
            other._be(own(self._mine))  # noqa: SLF001 - its own class
        return other

    def to_keep(self) -> Details:
        """Details of the same that keep no exception, and with it the frames of a task, alive."""
        extra = self._extra
        if self._raised is None and not (extra and type(extra.get("result")) is Failure):
            return self
        if extra and "result" in extra:
            extra = {**extra, "result": extra["result"].without_exception()}
        return Details(self.told, self._old_state, None, extra, self._all)

    def _result(self) -> Any:
        if self.told.state in _FAILED:
            return Failure.of(self.told, self._raised)
        return own(self.told.result, deep=True)

    def _all_keys(self) -> Collection[str]:
        told = self.told
        keys = self._KEYS[told.kind, told.index >= 0 and told.state in _ENDED]
        if self._extra is None:
            return keys
        # In TaskFlow's order.
        both = {**dict.fromkeys(keys), **self._extra}
        order = ("engine", *keys[:3], "result", *keys[3:])
        return tuple(dict.fromkeys(key for key in order if key in both))

    @property
    def _all(self) -> Collection[str]:
        """The keys that there were before something was changed."""
        return self._all_keys() if self._taken else self._keys

    def _be(self, values: dict[str, Any]) -> None:
        self._mine, self._taken, self._keys = values, True, values

    def __getitem__(self, key: str) -> Any:
        mine = self._mine
        if mine is not None and key in mine:
            return mine[key]
        if key not in self._keys:
            raise KeyError(key)
        value = self._MADE[key](self)
        if type(value) is not str:
            # It may be changed, and is the same when it is asked for again.
            if mine is None:
                mine = self._mine = {}
            mine[key] = value
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._be({**self, key: value})

    def __delitem__(self, key: str) -> None:
        left = dict(self)
        del left[key]
        self._be(left)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def __repr__(self) -> str:
        return f"Details({dict(self)!r})"


def _progress(transition: Transition) -> Progress | None:
    return Progress.of_meta(transition.meta) if transition.is_report else None
