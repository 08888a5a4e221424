"""Values that are written as code, whoever shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["AsCode"]


class AsCode:
    """Lets Hypothesis, and IPython, show a value as its `repr`, and no list of its fields.

    ::

        @dataclass(frozen=True, repr=False)
        class Moment:
            _repr_pretty_ = AsCode()

    Of the class itself there is none: they would call it without a value.
    """

    def __get__(self, value: object, owner: type) -> Callable[[Any, bool], None] | None:
        if value is None:
            return None

        def show(printer: Any, cycle: bool) -> None:  # noqa: ANN401, ARG001, FBT001 - theirs
            printer.text(repr(value))

        return show
