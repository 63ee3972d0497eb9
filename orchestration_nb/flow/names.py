"""Which names a piece of a cell reads: Python's own symbol table says it."""

from __future__ import annotations

import builtins
import symtable
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typing_extensions

from orchestration_nb.flow.pending import llm, step

_FUTURE: Final = "from __future__ import annotations\n"


def _at_hand() -> dict[str, Any]:
    names = {name: getattr(typing, name) for name in typing.__all__}
    if sys.version_info < (3, 12):  # pydantic reads only this one there
        names["TypedDict"] = typing_extensions.TypedDict
    return {**names, "llm": llm, "step": step}


AT_HAND: Final[Mapping[str, Any]] = _at_hand()
"""What a cell may name without importing it: ``llm``, ``step`` and the names of ``typing``."""
BUILTINS: Final[Mapping[str, Any]] = vars(builtins)


def names_of_expression(text: str, *, first_line: int) -> frozenset[str]:
    """The names that an expression reads and does not make itself, as the body of a function would read them.

    Args:
        text: The expression.
        first_line: The line of the cell on which it begins.

    Raises:
        SyntaxError: With the line of the cell.
    """
    module = _table(f"async def expression():\n return (\n{text}\n)", first_line - 2)
    return _globals(module)


def names_of_definition(text: str, *, future: bool, first_line: int) -> frozenset[str]:
    """The names that a ``def`` or ``class`` at the top of a cell reads: body, defaults, decorators and annotations.

    Its own name is among them where it uses it; a name that it makes by ``global`` is not.

    Args:
        text: The definition.
        future: Whether ``from __future__ import annotations`` holds, so that annotations are not read.
        first_line: The line of the cell on which it begins.

    Raises:
        SyntaxError: With the line of the cell.
    """
    module = _table(_FUTURE + text, first_line - 1) if future else _table(text, first_line)
    read = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_referenced()}
    made = {
        symbol.get_name()
        for table in _tables(module)
        for symbol in table.get_symbols()
        if symbol.is_declared_global() and symbol.is_assigned()
    }
    return frozenset((read | _globals(module)) - made)


def _table(text: str, first_line: int) -> symtable.SymbolTable:
    try:
        return symtable.symtable(text, "<flow>", "exec")
    except SyntaxError as error:
        error.lineno = (error.lineno or 1) + first_line - 1
        raise


def _globals(table: symtable.SymbolTable) -> frozenset[str]:
    return frozenset(
        symbol.get_name()
        for inner in _tables(table)
        if inner.get_type() != "module"
        for symbol in inner.get_symbols()
        if symbol.is_global() and symbol.is_referenced() and symbol.get_name() != "__debug__"
    )


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
