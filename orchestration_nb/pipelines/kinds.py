"""What values a parameter takes, read from its annotation or its default; nothing of the notebook is executed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A set of values."""

    text: str
    """As its notebook writes it."""
    origin: str
    """``str``, ``int``, ``float``, ``bool``, ``None``, ``list``, ``dict``, ``Literal``, ``Union`` or ``Any``."""
    parts: tuple[Kind, ...] = ()
    """Of a list its elements, of a dict its keys and values, of a union what it unites."""
    values: tuple[Any, ...] = ()
    """Of a ``Literal``."""

    @property
    def takes_text_alone(self) -> bool:
        """Whether every value is a text, so that ``123`` is meant as one too."""
        if self.origin == "Literal":
            return all(isinstance(value, str) for value in self.values)
        return self.origin == "str"


ANY: Final = Kind(text="Any", origin="Any")
_NAMES: Final[Mapping[str, str]] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "None": "None",
    "list": "list",
    "List": "list",
    "Sequence": "list",
    "tuple": "list",
    "Tuple": "list",
    "set": "list",
    "dict": "dict",
    "Dict": "dict",
    "Mapping": "dict",
    "Any": "Any",
    "Optional": "Union",
    "Union": "Union",
    "Literal": "Literal",
}
_TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "None": lambda value: value is None,
    "list": lambda value: isinstance(value, list | tuple),
    "dict": lambda value: isinstance(value, Mapping),
    "Any": lambda _: True,
}


def fits(value: Any, kind: Kind) -> bool:
    """Whether a value is one of a kind; a whole number is a float as well, and a bool is no number."""
    if kind.origin == "Literal":
        return any(value == one and type(value) is type(one) for one in kind.values)
    if kind.origin == "Union":
        return any(fits(value, part) for part in kind.parts)
    if not _TESTS[kind.origin](value):
        return False
    if kind.origin == "list" and kind.parts:
        return all(fits(each, kind.parts[0]) for each in value)
    if kind.origin == "dict" and len(kind.parts) == 2:
        return all(fits(key, kind.parts[0]) and fits(held, kind.parts[1]) for key, held in value.items())
    return True


def kind_of_annotation(node: ast.expr) -> Kind:
    """The kind that an annotation names; what is not known here takes any value, as nobody can check it."""
    text = ast.unparse(node)
    if isinstance(node, ast.Constant):
        return _of_constant(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts = (kind_of_annotation(node.left), kind_of_annotation(node.right))
        return Kind(text=text, origin="Union", parts=parts)
    if isinstance(node, ast.Subscript):
        return _of_subscript(node, text)
    origin = _NAMES.get(_last_name(node), "Any")
    if origin in {"Union", "Literal"}:  # bare, they say nothing
        origin = "Any"
    return Kind(text=text, origin=origin)


def kind_of_value(node: ast.expr) -> Kind:
    """The kind of a default: that of its type. ``None``, and what is no literal, takes any value."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ANY
    origin = _NAMES.get(type(value).__name__, "Any")
    return ANY if value is None or origin == "Any" else Kind(text=type(value).__name__, origin=origin)


def _of_constant(node: ast.Constant) -> Kind:
    if node.value is None:
        return Kind(text="None", origin="None")
    if isinstance(node.value, str):  # an annotation in quotes
        try:
            return kind_of_annotation(ast.parse(node.value, mode="eval").body)
        except (SyntaxError, RecursionError):
            return ANY
    return ANY


def _of_subscript(node: ast.Subscript, text: str) -> Kind:
    origin = _NAMES.get(_last_name(node.value), "Any")
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if origin == "Literal":
        try:
            return Kind(text=text, origin=origin, values=tuple(ast.literal_eval(one) for one in inner))
        except ValueError:
            return Kind(text=text, origin="Any")
    parts = tuple(kind_of_annotation(one) for one in inner)
    if _last_name(node.value) == "Optional":
        parts = (*parts, Kind(text="None", origin="None"))
    if _last_name(node.value) in {"tuple", "Tuple"}:
        parts = parts[:1] if isinstance(inner[-1], ast.Constant) and inner[-1].value is ... else ()
    return Kind(text=text, origin=origin, parts=parts)


def _last_name(node: ast.expr) -> str:
    """``List`` of ``List`` and of ``typing.List``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
