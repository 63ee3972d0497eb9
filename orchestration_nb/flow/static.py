"""What the text of a step shows before it is evaluated: its questions, its fan-out, whether it only builds requests."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Final

from orchestration_nb.flow.graph import Question
from orchestration_nb.flow.pending import llm
from orchestration_nb.flow.refusals import misspelt, refusal

LLM_ARGUMENTS: Final = tuple(inspect.signature(llm).parameters)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_CONTAINERS: Final = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_HARMLESS: Final = (
    ast.Constant, ast.Name, ast.JoinedStr, ast.FormattedValue, ast.Attribute, ast.Subscript, ast.Slice, ast.IfExp,
    ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Starred, ast.keyword, ast.comprehension, ast.expr_context, ast.cmpop,
    ast.boolop, ast.unaryop, ast.BinOp, ast.Add, ast.ListComp, ast.SetComp, ast.DictComp, *_CONTAINERS,
)  # fmt: skip


def is_llm_call(node: ast.AST) -> bool:
    """Whether ``node`` is ``llm(...)``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "llm"


def builds_requests(node: ast.expr) -> bool:
    """Whether an expression, by its text, only puts requests together: quick, and without side effects.

    Only ``llm`` is called; the rest are names, constants, f-strings, ``+``, attributes and subscripts, conditions,
    containers and comprehensions.
    """
    return all(
        is_llm_call(each) if isinstance(each, ast.Call) else isinstance(each, _HARMLESS) for each in ast.walk(node)
    )


def fan_out_depth(node: ast.expr) -> int | None:
    """How many containers stand around the first ``llm(...)`` in the value, or ``None`` where the text does not say."""
    if is_llm_call(node):
        return 0
    if isinstance(node, ast.IfExp):
        inside = [fan_out_depth(node.body), fan_out_depth(node.orelse)]
        return next((depth for depth in inside if depth is not None), None)
    elements: list[ast.expr] = []
    if isinstance(node, ast.ListComp | ast.SetComp):
        elements = [node.elt]
    elif isinstance(node, ast.DictComp):
        elements = [node.value]
    elif isinstance(node, ast.Dict):
        elements = node.values
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        elements = node.elts
    depths = [depth for element in elements if (depth := fan_out_depth(element)) is not None]
    return depths[0] + 1 if depths else None


def questions(node: ast.AST) -> tuple[Question, ...]:
    """The ``llm(...)`` calls in the text of a step."""
    return tuple(_questions(node, repeated=False, conditional=False))


def _questions(node: ast.AST, *, repeated: bool, conditional: bool) -> Iterator[Question]:
    if isinstance(node, ast.Call) and is_llm_call(node):
        yield Question(
            line=node.lineno,
            model=_constant(node, "model"),
            strategy=_constant(node, "strategy"),
            repeated=repeated,
            conditional=conditional,
        )
    repeated = repeated or isinstance(node, (*_COMPREHENSIONS, ast.For, ast.AsyncFor, ast.While))
    conditional = conditional or isinstance(node, ast.IfExp | ast.BoolOp | ast.If | ast.Try | ast.Match | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _questions(child, repeated=repeated, conditional=conditional)


def _constant(call: ast.Call, argument: str) -> str | None:
    for keyword in call.keywords:
        if keyword.arg == argument and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            return keyword.value.value
    return None


def check_llm_calls(node: ast.AST) -> None:
    """Refuses an ``llm(...)`` that could not be called, before anything is asked.

    Raises:
        FlowSyntaxError: No prompt, two of them, or an argument that does not exist.
    """
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not is_llm_call(call):
            continue
        if len(call.args) > 1:
            raise refusal(call.lineno, "llm(...) takes one prompt.", 'Put it together: llm(f"...{a}...{b}").')
        named = [keyword.arg for keyword in call.keywords]
        if not call.args and "prompt" not in named and None not in named:
            raise refusal(call.lineno, "llm(...) has no prompt.", 'Write llm("...").')
        for name in named:
            if name is not None and name not in LLM_ARGUMENTS:
                raise refusal(call.lineno, f"llm(...) has no argument {name!r}.", misspelt(name, LLM_ARGUMENTS))
