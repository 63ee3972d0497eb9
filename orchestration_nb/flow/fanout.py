"""Fan-out: the pending replies in a value, and the value with the replies in their places.

Lists, tuples, sets and the values of dicts are looked into, nested or not; anything else is a leaf.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from orchestration_nb.errors import StepError
from orchestration_nb.flow.pending import Pending

_CONTAINERS: Final = (list, tuple, set, frozenset, dict)
_ONCE_ONLY: Final = (GeneratorType, AsyncGeneratorType, map, filter, zip)


def collect(value: Any) -> list[Pending]:
    """All pending replies in ``value``, each once, in reading order.

    Raises:
        StepError: There is a generator in it, which could be read once only.
    """
    found: dict[int, Pending] = {}
    seen: set[int] = set()
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, Pending):
            found.setdefault(id(each), each)
        elif isinstance(each, _CONTAINERS):
            if id(each) not in seen:
                seen.add(id(each))
                stack.extend(reversed(list(_children(each))))
        elif isinstance(each, _ONCE_ONLY):
            raise StepError(
                f"The value holds a {type(each).__name__}, which can be read only once.",
                hint="Write a list: [... for ...], or list(...).",
            )
    return list(found.values())


def _children(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def fill(value: Any, answers: Mapping[int, Any]) -> Any:
    """``value`` with an answer in the place of each pending reply.

    Containers that hold none are handed back as they are; the others are copied, cycles included, their types kept.

    Args:
        value: What a step returned.
        answers: Answers by ``id(pending)``.
    """
    return _Filling(answers).fill(value)


class _Filling:
    def __init__(self, answers: Mapping[int, Any]) -> None:
        self.answers = answers
        self.done: dict[int, Any] = {}

    def fill(self, value: Any) -> Any:
        if isinstance(value, Pending):
            return self.answers[id(value)]
        if not isinstance(value, _CONTAINERS) or not collect(value):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, list | dict):
            return self._fill_in_place(value)
        parts = [self.fill(each) for each in value]
        filled = value._make(parts) if hasattr(value, "_make") else type(value)(parts)
        self.done[id(value)] = filled
        return filled

    def _fill_in_place(self, value: list[Any] | dict[Any, Any]) -> Any:
        filled = self.done[id(value)] = copy.copy(value)  # known before its parts, so that a cycle finds it
        if isinstance(filled, dict) and isinstance(value, dict):
            for key, each in value.items():
                filled[key] = self.fill(each)
        elif isinstance(filled, list):
            filled[:] = [self.fill(each) for each in value]
        return filled
