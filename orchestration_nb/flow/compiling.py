"""A step -> the code of a function whose keyword-only parameters are what it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from types import CodeType
from typing import Final

_FUTURE_FLAG: Final = annotations.compiler_flag


def compile_expression(
    name: str, node: ast.expr, parameters: Iterable[str], *, filename: str, is_async: bool
) -> CodeType:
    """Code that makes the function ``name(*, parameters)`` returning the expression.

    The nodes keep their places, so that a traceback shows the line of the cell.

    Raises:
        SyntaxError: The expression cannot stand there.
    """
    shell = ast.parse("async def step(): return 0" if is_async else "def step(): return 0")
    (function,) = shell.body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    for inner in ast.walk(function):
        ast.copy_location(inner, node)
    function.name = name
    function.args.kwonlyargs = [ast.copy_location(ast.arg(arg=parameter), node) for parameter in parameters]
    function.args.kw_defaults = [None] * len(function.args.kwonlyargs)
    function.body = [ast.copy_location(ast.Return(value=node), node)]
    code: CodeType = compile(shell, filename, "exec", dont_inherit=True)
    return code


def compile_statements(statements: list[ast.stmt], *, filename: str, future: bool) -> CodeType:
    """Code that executes the statements at the top of a module.

    Args:
        statements: In their order.
        filename: What tracebacks call it.
        future: Whether ``from __future__ import annotations`` holds.

    Raises:
        SyntaxError: A statement cannot stand there.
    """
    module = ast.Module(body=statements, type_ignores=[])
    code: CodeType = compile(module, filename, "exec", flags=_FUTURE_FLAG if future else 0, dont_inherit=True)
    return code
