"""Sentences for what a flow cannot hold: the line, what stands there, and what to write instead."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Final

from orchestration_nb.errors import FlowSyntaxError


def refusal(line: int, what: str, hint: str) -> FlowSyntaxError:
    """The error for what stands on a line, which is put before ``what``."""
    return FlowSyntaxError(f"Line {line}: {what}", hint=hint, line=line)


def misspelt(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest of the ``known`` names, or the list of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."


_FUNCTION: Final = "Put it into a function under @step, whose parameters are what it needs."
_STATEMENTS: Final[dict[type[ast.stmt], tuple[str, str]]] = {
    ast.For: ("`for` is no step.", "Write a comprehension: answers = [llm(...) for x in xs]."),
    ast.AsyncFor: ("`async for` is no step.", "Write a comprehension: answers = [x async for x in xs]."),
    ast.While: ("`while` is no step.", _FUNCTION),
    ast.If: ("`if` is no step.", "Write a conditional expression: answer = llm(...) if condition else None."),
    ast.With: ("`with` is no step.", _FUNCTION),
    ast.AsyncWith: ("`async with` is no step.", _FUNCTION),
    ast.Try: ("`try` is no step.", _FUNCTION + " For a model that fails there is llm(..., default=...)."),
    ast.TryStar: ("`try` is no step.", _FUNCTION),
    ast.Match: ("`match` is no step.", _FUNCTION),
    ast.Raise: ("`raise` is no step.", _FUNCTION),
    ast.Assert: ("`assert` is no step.", _FUNCTION),
    ast.Delete: ("`del` is no step.", "Leave it out: the values of an item are let go when the item is done."),
    ast.Return: ("`return` stands outside a function.", "Give the value a name: answer = ..."),
    ast.Pass: ("`pass` is no step.", "Leave it out."),
    ast.Global: ("`global` is no step.", "Leave it out: a step reads notebook variables by their names."),
    ast.Nonlocal: ("`nonlocal` is no step.", "Leave it out."),
    ast.Break: ("`break` stands outside a loop.", "Leave it out."),
    ast.Continue: ("`continue` stands outside a loop.", "Leave it out."),
}


def refused_statement(statement: ast.stmt) -> FlowSyntaxError:
    """The error for a statement that is neither step nor prelude."""
    if isinstance(statement, ast.AugAssign):
        target = ast.unparse(statement.target)
        return refusal(
            statement.lineno,
            f"`{target}` cannot be changed in place: a step is made once.",
            f"Write it under a new name: {target}_2 = {target} + ...",
        )
    if isinstance(statement, ast.Expr):
        return refusal(
            statement.lineno,
            "an expression without a name.",
            "Give it a name: answer = ...; only the last line may be bare, and names the steps to show.",
        )
    what, hint = _STATEMENTS.get(
        type(statement), (f"`{type(statement).__name__}` is no step.", "Put it into a cell of its own above.")
    )
    return refusal(statement.lineno, what, hint)


def refused_target(target: ast.expr) -> FlowSyntaxError:
    """The error for something other than one plain name on the left of ``=``."""
    text = ast.unparse(target)
    if isinstance(target, ast.Tuple | ast.List):
        first = next((ast.unparse(each) for each in target.elts), "a")
        return refusal(
            target.lineno,
            f"`{text}` are several names; a step has one.",
            f"Write: pair = ..., and below it: {first} = pair[0].",
        )
    if isinstance(target, ast.Attribute):
        return refusal(
            target.lineno, f"`{text}` is an attribute, not a name.", "Give the value a name of its own: value = ..."
        )
    return refusal(
        target.lineno,
        f"`{text}` is an element, not a name.",
        "Make a new value: table = {**old, key: value}.",
    )
