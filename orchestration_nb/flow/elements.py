"""The type of the elements of a container type."""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import Any, Final

_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_MANY: Final = (
    list, set, frozenset, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Iterable,
    collections.abc.Collection, collections.abc.Set,
)  # fmt: skip


def element_type(annotation: Any, depth: int) -> Any:
    """What stands ``depth`` containers deep: ``int`` for ``(list[int], 1)`` and ``(dict[str, list[int]], 2)``.

    Returns:
        The type, or ``Any`` where the annotation does not say it.
    """
    for _ in range(depth):
        annotation = _element(annotation)
    return annotation


def _element(annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _element(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        rest = [each for each in arguments if each is not type(None)]
        return _element(rest[0]) if len(rest) == 1 else Any
    if origin in _MAPPINGS and len(arguments) == 2:
        return arguments[1]
    if origin in _MANY and len(arguments) == 1:
        return arguments[0]
    if origin is tuple:
        kinds = {each for each in arguments if each is not ...}
        return kinds.pop() if len(kinds) == 1 else Any
    return Any
