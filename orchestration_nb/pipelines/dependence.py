"""Which names a cell makes and which it uses, as far as its text tells; where it does not, rather more than less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

_WORD: Final = re.compile(r"[^\W\d]\w*")
_OWN_MAGIC: Final = "%%orchestrate"
_CELL_OF_PYTHON: Final = re.compile(r"%%(time|timeit|capture|prun)\b")
_LINE_MAGIC: Final = re.compile(r"^\s*%(?!%)\w", re.MULTILINE)
_INTO: Final = re.compile(r"--into[ =](\w+)")


def uses(source: str) -> frozenset[str]:
    """Every name that stands in a cell, in texts as well: an f-string may use it."""
    return frozenset(_WORD.findall(source))


def makes(source: str) -> frozenset[str]:
    """The names that a cell binds, or whose values it changes in place; all its names where it is not plain Python."""
    first, _, body = source.lstrip().partition("\n")
    if first.startswith(_OWN_MAGIC):
        words = first.removeprefix(_OWN_MAGIC).split()
        flow = [word for word in words[:1] if word.isidentifier()]
        return frozenset([*flow, *_INTO.findall(first)])
    text = body if _CELL_OF_PYTHON.match(first) else source
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return uses(source)
    return frozenset(_bound(tree))


def loads_into_the_kernel(source: str) -> bool:
    """Whether a line of the cell is a magic: what that does to the kernel, no variable shows."""
    return not source.lstrip().startswith(_OWN_MAGIC) and _LINE_MAGIC.search(source) is not None


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names bound at the top of the cell or within functions of it: ``global`` may stand there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from _root(node)
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
            yield node.name


def _root(node: ast.expr) -> Iterator[str]:
    """The name whose value is changed: ``rows`` of ``rows.loc[0, "x"] = 1``."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Name):
        yield node.id
