"""Rules about what is stored: whether those who read it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pytest_taskprogress.checks.rules.base import Found, Rule
from pytest_taskprogress.checks.subjects import JudgedTask
from pytest_taskprogress.core.keypaths import culprit
from pytest_taskprogress.core.messages import as_repr
from pytest_taskprogress.core.states import EXCEPTION_STATES, FAILURE, RETRY, SUCCESS

__all__ = ["READABLE", "SERIALIZABLE"]

#: Of these every value is JSON.
_JSON: Final = frozenset({str, int, bool, type(None)})
#: What Celery carries as JSON, and the encoders of web frameworks do.
_CARRIED: Final = (date, time, Decimal, UUID)


_NO_JSON: Final = "which is no JSON: a browser refuses it all"


def _encode(value: Any) -> str:  # noqa: ANN401 - whatever was stored
    return json.dumps(value, allow_nan=False, default=_carried)


def _carried(value: object) -> str:
    if isinstance(value, _CARRIED):
        return str(value)
    message = f"{type(value).__name__} is no JSON"
    raise TypeError(message)


def _serializable(task: JudgedTask, _: object) -> Iterator[Found]:
    for each in task.transitions:
        meta = each.meta
        if not meta or not each.stored or each.state in EXCEPTION_STATES:
            continue
        for value in meta.values():
            # Only what is not JSON at a glance is encoded: a float may be NaN.
            if value.__class__ not in _JSON and not _is_json(value):
                path, part = culprit(meta, _encode, "meta")
                yield each, f"{path} is {as_repr(part)}, {_NO_JSON}"
                break
    end = task.transitions[-1]
    if not end.meta and end.state == SUCCESS and not _is_json(end.result):
        path, part = culprit(end.result, _encode, "result")
        yield end, f"{path} is {as_repr(part)}, {_NO_JSON}"


def _is_json(value: object) -> bool:
    if value.__class__ is float:
        return value - value == 0.0
    try:
        _encode(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _readable(task: JudgedTask, _: object) -> Iterator[Found]:
    for each in task.transitions:
        if not each.stored or each.state not in (FAILURE, RETRY) or each.error is not None:
            continue
        # `self.retry()` without an exception stores none, and that can be read.
        if each.state == FAILURE or each.meta or each.result is not None:
            message = (
                f"{each.state} was stored without an exception, so that everybody who reads the"
                " result gets a ValueError: raise one in the task, or use Observer.fail()"
            )
            yield each, message


SERIALIZABLE: Final = Rule(
    "serializable",
    "what is stored must be JSON that a browser reads: no NaN, no Infinity",
    _serializable,
    of_reports=True,
)
READABLE: Final = Rule(
    "readable",
    "FAILURE and RETRY read back as exceptions, or every later read raises",
    _readable,
)
