"""One step of a cell, read by itself: its names, its code, and what its text shows.

What the other steps say about it (``needs``, and whether it reaches ``llm`` through the prelude) is filled in by
:mod:`orchestration_nb.flow.grammar`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from orchestration_nb.flow import static
from orchestration_nb.flow.compiling import compile_expression, compile_statements
from orchestration_nb.flow.graph import AnnotationText, Input, Step
from orchestration_nb.flow.names import names_of_definition, names_of_expression
from orchestration_nb.flow.refusals import refusal

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def draft_expression(
    name: str, value: ast.expr, annotation: ast.expr | None, statement: ast.stmt, *, text: str, filename: str
) -> Step:
    """The draft of ``name: annotation = value``.

    Raises:
        FlowSyntaxError: The expression is none that a step can have.
        SyntaxError: Python itself refuses it.
    """
    _refuse_generators(name, value, statement.lineno)
    static.check_llm_calls(value)
    names = _names(value, text)
    value, waits = _without_last_await(value)
    awaits = any(_awaits(node) for node in ast.walk(value))
    return Step(
        name=name,
        line=statement.lineno,
        source=ast.get_source_segment(text, statement) or "",
        kind="plain",
        needs=frozenset(),
        inputs=tuple(Input(name=each) for each in sorted(names)),
        is_function=False,
        outer=frozenset(),
        assigned=_assigned(value),
        annotation=None if annotation is None else annotation_text(annotation, filename),
        code=compile_expression(name, value, sorted(names), filename=filename, is_async=awaits),
        is_async=awaits or waits,
        builds_requests=not waits and static.builds_requests(value),
        depth=static.fan_out_depth(value),
        questions=static.questions(value),
    )


def draft_function(function: _Function, *, text: str, filename: str, future: bool) -> Step:
    """The draft of a function under ``@step``, its mark taken off.

    Raises:
        FlowSyntaxError: The function is none that can be a step.
        SyntaxError: Python itself refuses it.
    """
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function)):
        raise refusal(function.lineno, f"the step `{function.name}` yields.", "Return a list.")
    static.check_llm_calls(function)
    _leave_last_awaits(function.body)
    source = _lines(function, text)
    names = names_of_definition(source, future=future, first_line=_first_line(function))
    return Step(
        name=function.name,
        line=function.lineno,
        source=source,
        kind="plain",
        needs=frozenset(),
        inputs=_parameters(function),
        is_function=True,
        outer=names,
        assigned=frozenset(),
        annotation=None if function.returns is None else annotation_text(function.returns, filename),
        code=compile_statements([function], filename=filename, future=future),
        is_async=isinstance(function, ast.AsyncFunctionDef),
        builds_requests=False,
        depth=None,
        questions=static.questions(function),
    )


def _refuse_generators(name: str, value: ast.expr, line: int) -> None:
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(value)):
        raise refusal(line, "`yield` stands outside a function.", f"Write a list: {name} = [... for ...].")
    if isinstance(value, ast.GeneratorExp):
        raise refusal(line, f"`{name}` is a generator, which can be read only once.", f"Write {name} = [... for ...].")


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a piece of text, those of functions within it left out."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from _own_nodes(child)


def _names(value: ast.expr, text: str) -> frozenset[str]:
    segment = ast.get_source_segment(text, value)
    assert segment is not None, "an expression of the cell stands in the cell"
    return names_of_expression(segment, first_line=value.lineno)


def _assigned(value: ast.expr) -> frozenset[str]:
    """What ``:=`` makes in the expression, where it hides a name of the same spelling around it."""
    return frozenset(node.target.id for node in _own_nodes(value) if isinstance(node, ast.NamedExpr))


def _without_last_await(value: ast.expr) -> tuple[ast.expr, bool]:
    """The expression without an ``await`` that nothing follows, and whether what is left must still be awaited.

    A step awaits its value anyway; and only a reply that the step itself awaits can be asked for in the form that its
    annotation says.
    """
    if isinstance(value, ast.Await):
        return value.value, not static.is_llm_call(value.value)
    if isinstance(value, ast.IfExp):
        body, body_waits = _without_last_await(value.body)
        orelse, orelse_waits = _without_last_await(value.orelse)
        plain = ast.IfExp(test=value.test, body=body, orelse=orelse)
        return ast.copy_location(plain, value), body_waits or orelse_waits
    return value, False


def _leave_last_awaits(body: Iterable[ast.stmt]) -> None:
    """Does the same for ``return await llm(...)``, save where a ``try`` or ``with`` of the function is around it."""
    for statement in body:
        if isinstance(statement, ast.Return) and statement.value is not None:
            value, waits = _without_last_await(statement.value)
            statement.value = statement.value if waits else value
        elif isinstance(statement, ast.If | ast.For | ast.AsyncFor | ast.While):
            _leave_last_awaits([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Match):
            _leave_last_awaits(inner for case in statement.cases for inner in case.body)


def _awaits(node: ast.AST) -> bool:
    return isinstance(node, ast.Await) or (isinstance(node, ast.comprehension) and bool(node.is_async))


def _first_line(statement: _Function | ast.ClassDef) -> int:
    return min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])


def _lines(statement: _Function | ast.ClassDef, text: str) -> str:
    return "\n".join(text.split("\n")[_first_line(statement) - 1 : statement.end_lineno])


def names_of_statement(statement: _Function | ast.ClassDef, text: str, *, future: bool) -> frozenset[str]:
    """The names that a ``def`` or ``class`` of the cell reads."""
    return names_of_definition(_lines(statement, text), future=future, first_line=_first_line(statement))


def _parameters(function: _Function) -> tuple[Input, ...]:
    arguments = function.args
    for odd, how in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
        if odd is not None:
            raise refusal(
                function.lineno,
                f"the step `{function.name}` takes `{how}{odd.arg}`.",
                "Name each thing that it needs: its parameters are steps, columns and variables.",
            )
    if arguments.posonlyargs:
        raise refusal(function.lineno, f"the step `{function.name}` has a `/`.", "Leave the `/` out.")
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [
        *zip(arguments.args, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return tuple(Input(name=argument.arg, optional=default is not None) for argument, default in pairs)


def annotation_text(annotation: ast.expr, filename: str) -> AnnotationText:
    """An annotation, ready to be evaluated; names in quotes are read like others.

    Raises:
        FlowSyntaxError: The text in quotes is no Python.
    """
    node = _unquoted(annotation)
    text = ast.unparse(node)
    return AnnotationText(
        text=text,
        line=annotation.lineno,
        code=compile(ast.Expression(body=node), filename, "eval", dont_inherit=True),
        names=names_of_expression(text, first_line=annotation.lineno),
    )


def _unquoted(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            inner = ast.parse(node.value.strip(), mode="eval").body
        except SyntaxError:
            raise refusal(node.lineno, f"the annotation {node.value!r} is not Python.", "Write a type.") from None
        for each in ast.walk(inner):
            ast.copy_location(each, node)
        return _unquoted(inner)
    if isinstance(node, ast.Subscript):
        name = ast.unparse(node.value).rpartition(".")[2]
        if name == "Literal":
            return node
        first_only = name == "Annotated" and isinstance(node.slice, ast.Tuple)
        index = _unquoted_elements(node.slice, only_first=first_only)
        return ast.copy_location(ast.Subscript(value=node.value, slice=index, ctx=node.ctx), node)
    if isinstance(node, ast.BinOp):
        both = ast.BinOp(left=_unquoted(node.left), op=node.op, right=_unquoted(node.right))
        return ast.copy_location(both, node)
    return node


def _unquoted_elements(node: ast.expr, *, only_first: bool) -> ast.expr:
    if not isinstance(node, ast.Tuple):
        return _unquoted(node)
    elements = [each if only_first and place else _unquoted(each) for place, each in enumerate(node.elts)]
    return ast.copy_location(ast.Tuple(elts=elements, ctx=node.ctx), node)
