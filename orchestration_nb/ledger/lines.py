"""One line of the journal: an event as a JSON array of its fields, the kind first.

The names of the fields stand once, in the first line of each file (:func:`header`), as in Avro or CSV: naming them in
each line makes it half as long again and doubles the time to write it. Not-a-number and infinite floats become
``null``. What JSON refuses (half surrogate pairs, keys that are no text, integers beyond 64 bits, objects of the
analyst's) is made fit for it, but only once it was refused: nearly no event is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import orjson

from orchestration_nb.events import Event

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy

_WIDEST = 2**63
_HEADER = "fields"


def encode(event: Event, secrecy: Secrecy | None = None) -> bytes:
    """The line of one event, its newline included; with ``[secret NAME]`` where a secret stood."""
    fields = _as_tuple[type(event)](event)
    try:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        line = orjson.dumps(_cleaned(fields), option=orjson.OPT_APPEND_NEWLINE)
    if secrecy is None or not secrecy.finds(line):
        return line
    return orjson.dumps(secrecy.value(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE)


def header() -> bytes:
    """The first line of a file: the names of the fields of each kind of line, and of what is nested in it."""
    return orjson.dumps([_HEADER, _names], option=orjson.OPT_APPEND_NEWLINE)


class LineReader:
    """Reads the lines of one file; starts with the names that this version of the package writes."""

    def __init__(self) -> None:
        self._names: Mapping[str, list[str]] = _names

    @classmethod
    def after(cls, first_line: bytes) -> Self:
        """A reader for a file that begins with ``first_line``, whether that is a whole header or not."""
        reader = cls()
        with contextlib.suppress(ValueError):
            reader.read(first_line)
        return reader

    def read(self, line: bytes) -> dict[str, Any] | None:
        """The event of a line, as a mapping from field to value; ``None`` for a header.

        Raises:
            ValueError: If the line is no whole event; the message says why, without what stands in it.
        """
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise ValueError("is not JSON") from None
        if not isinstance(values, list) or not values or not isinstance(values[0], str):
            raise ValueError("is no event")
        if values[0] == _HEADER:
            self._take_names(values)
            return None
        return self._named(values[0], values)

    def _take_names(self, values: list[Any]) -> None:
        names = values[1] if len(values) == 2 else None
        if not isinstance(names, dict) or not all(isinstance(fields, list) for fields in names.values()):
            raise ValueError("is no list of fields")
        self._names = names

    def _named(self, kind: str, values: Any) -> dict[str, Any]:
        names = self._names.get(kind)
        if names is None:
            raise ValueError("is an event of an unknown kind")
        if not isinstance(values, list) or len(names) != len(values):
            raise ValueError("has too few or too many fields")
        event = dict(zip(names, values, strict=True))
        for name in names:
            if f"{kind}.{name}" in self._names:
                event[name] = [self._named(f"{kind}.{name}", inner) for inner in event[name] or ()]
        return event


def _nested(kind: type) -> dict[str, type]:
    """The fields of a dataclass that hold a tuple of dataclasses."""
    hints = typing.get_type_hints(kind)
    inner = {field.name: next(iter(typing.get_args(hints[field.name])), None) for field in dataclasses.fields(kind)}
    return {name: one for name, one in inner.items() if isinstance(one, type) and dataclasses.is_dataclass(one)}


def _field_names(kind: type, label: str) -> dict[str, list[str]]:
    names = {label: [field.name for field in dataclasses.fields(kind)]}
    for name, inner in _nested(kind).items():
        names |= _field_names(inner, f"{label}.{name}")
    return names


def _tuple_text(kind: type, name: str) -> str:
    """Python text of the tuple of the fields of ``name``, an instance of the dataclass ``kind``."""
    nested = _nested(kind)
    values = []
    for field in dataclasses.fields(kind):
        value = f"{name}.{field.name}"
        if field.name in nested:
            value = f"[{_tuple_text(nested[field.name], name + '_')} for {name}_ in {value}]"
        values.append(value)
    return f"({', '.join(values)})"


_kinds: dict[str, type] = {kind.__dataclass_fields__["event"].default: kind for kind in typing.get_args(Event)}
_names: Mapping[str, list[str]] = {
    label: names for kind, event in _kinds.items() for label, names in _field_names(event, kind).items()
}
# Compiled once a class, as dataclasses compiles __init__: orjson's own walk over a dataclass takes twice the time.
_as_tuple: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    event: eval(f"lambda e: {_tuple_text(event, 'e')}")  # noqa: S307 - our own text
    for event in _kinds.values()
}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if -_WIDEST <= value < _WIDEST else float(value)
    if isinstance(value, Mapping):
        return {_cleaned(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item) for item in value]
    try:
        orjson.dumps(value)
    except TypeError:
        return _cleaned(str(value))
    return value
