"""The text of a ``%%orchestrate`` cell -> a graph, or an error that says what to write instead.

Nothing of the cell is executed here.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from orchestration_nb.errors import DuplicateStepError, FlowSyntaxError, StepOrderError, UsageError
from orchestration_nb.flow.compiling import compile_statements
from orchestration_nb.flow.drafts import draft_expression, draft_function, names_of_statement
from orchestration_nb.flow.graph import Definition, Graph, Prelude, Step
from orchestration_nb.flow.refusals import refusal, refused_statement, refused_target
from orchestration_nb.flow.source import nested_too_deeply, read, syntax_error

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
RESERVED: Final[Mapping[str, str]] = {
    "item": "`item` is the row itself",
    "llm": "`llm` asks a model",
    "_score": "the results have a column of that name",
    "_status": "the results have a column of that name",
    "_error": "the results have a column of that name",
    "_cost_usd": "the results have a column of that name",
    "_latency_ms": "the results have a column of that name",
}
"""Names that no step may have, and why."""


@dataclass(slots=True)
class _Cell:
    """The statements of a cell, sorted."""

    text: str
    filename: str
    future: bool
    description: str = ""
    show: ast.Expr | None = None
    prelude: list[ast.stmt] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    drafts: list[Step] = field(default_factory=list)


def parse(text: str, *, name: str) -> Graph:
    """Reads a flow; nothing is executed.

    Args:
        text: The cell, without its magic line.
        name: The flow's name, a Python identifier.

    Raises:
        FlowSyntaxError: Not Python, or a statement that a flow cannot hold.
        DuplicateStepError: One name is made twice.
        StepOrderError: A step is used above the line that makes it.
        UsageError: The flow's name cannot be used.
    """
    if not (isinstance(name, str) and name.isidentifier()) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a flow.", hint="Use letters, digits and _, for example triage.")
    filename = f"<flow {name}>"
    module, text = read(text, filename)
    try:
        cell = _sort(module, text, filename)
        prelude = Prelude(
            definitions=tuple(cell.definitions),
            code=compile_statements(cell.prelude, filename=filename, future=cell.future),
        )
        steps = _link(cell)
    except SyntaxError as error:
        raise syntax_error(error, text) from None
    except RecursionError:
        raise nested_too_deeply() from None
    return Graph(
        name=name,
        source=text,
        description=cell.description,
        prelude=prelude,
        steps=steps,
        show=None if cell.show is None else _shown(cell.show),
        show_line=0 if cell.show is None else cell.show.lineno,
    )


def _sort(module: ast.Module, text: str, filename: str) -> _Cell:
    cell = _Cell(text, filename, future=any(_is_future(statement) for statement in module.body))
    statements = module.body
    first = statements[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        cell.description = first.value.value.strip()
        statements = statements[1:]
    if len(statements) > 1 and isinstance(statements[-1], ast.Expr):
        cell.show = statements[-1]
        statements = statements[:-1]
    for statement in statements:
        _place(statement, cell)
    if not cell.drafts:
        raise FlowSyntaxError("The cell holds no step.", hint='Give it one: answer = llm("...").', line=1)
    return cell


def _is_future(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.ImportFrom) or statement.module != "__future__":
        return False
    return any(alias.name == "annotations" for alias in statement.names)


def _place(statement: ast.stmt, cell: _Cell) -> None:
    if isinstance(statement, ast.Assign):
        if len(statement.targets) > 1:
            names = " = ".join(ast.unparse(target) for target in statement.targets)
            raise refusal(statement.lineno, f"`{names} = ...` makes several steps at once.", "Write one line for each.")
        cell.drafts.append(_draft(statement.targets[0], statement.value, None, statement, cell))
    elif isinstance(statement, ast.AnnAssign):
        if statement.value is None:
            target = ast.unparse(statement)
            raise refusal(statement.lineno, f"`{target}` has no value.", f"Write: {target} = ...")
        cell.drafts.append(_draft(statement.target, statement.value, statement.annotation, statement, cell))
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and _step_marks(statement):
        cell.drafts.append(_function(statement, cell))
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        cell.prelude.append(statement)
        cell.definitions.append(_definition(statement, cell))
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        cell.prelude.append(statement)
        imported = tuple(alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        cell.definitions.append(Definition(names=imported, line=statement.lineno, what="import", free=frozenset()))
    else:
        raise refused_statement(statement)


def _draft(target: ast.expr, value: ast.expr, annotation: ast.expr | None, statement: ast.stmt, cell: _Cell) -> Step:
    if not isinstance(target, ast.Name):
        raise refused_target(target)
    _check_name(target.id, statement)
    return draft_expression(target.id, value, annotation, statement, text=cell.text, filename=cell.filename)


def _function(function: _Function, cell: _Cell) -> Step:
    _check_name(function.name, function)
    marks = _step_marks(function)
    if any(isinstance(mark, ast.Call) for mark in marks):
        raise refusal(function.lineno, "`@step` takes no arguments.", "Write @step.")
    function.decorator_list = [each for each in function.decorator_list if each not in marks]
    return draft_function(function, text=cell.text, filename=cell.filename, future=cell.future)


def _step_marks(function: _Function) -> list[ast.expr]:
    marks = []
    for decorator in function.decorator_list:
        mark = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = mark.id if isinstance(mark, ast.Name) else mark.attr if isinstance(mark, ast.Attribute) else ""
        if name == "step":
            marks.append(decorator)
    return marks


def _check_name(name: str, statement: ast.stmt) -> None:
    if name in RESERVED:
        raise refusal(statement.lineno, f"a step cannot be called `{name}`: {RESERVED[name]}.", "Choose another name.")
    if name.startswith("__"):
        raise refusal(
            statement.lineno,
            f"a step cannot be called `{name}`: Python keeps such names for itself.",
            "Choose another.",
        )


def _definition(statement: _Function | ast.ClassDef, cell: _Cell) -> Definition:
    names = names_of_statement(statement, cell.text, future=cell.future)
    what: Literal["function", "class"] = "class" if isinstance(statement, ast.ClassDef) else "function"
    return Definition(names=(statement.name,), line=statement.lineno, what=what, free=names)


def _link(cell: _Cell) -> tuple[Step, ...]:
    """Checks the names of the cell against each other, and makes the steps."""
    lines = _lines_of_names(cell)
    _check_prelude(cell)
    asking = _asking(cell)
    return tuple(_step(draft, lines, cell, asking) for draft in cell.drafts)


def _lines_of_names(cell: _Cell) -> dict[str, int]:
    """The line that makes each step; no name may be made twice."""
    made: dict[str, int] = {name: each.line for each in cell.definitions for name in each.names}
    steps: dict[str, int] = {}
    for draft in cell.drafts:
        if draft.name in made:
            first, second = sorted((made[draft.name], draft.line))
            raise DuplicateStepError(
                f"`{draft.name}` is made twice: on line {first} and on line {second}.",
                hint=f"Give one of them another name, for example {draft.name}_2.",
                line=second,
            )
        made[draft.name] = steps[draft.name] = draft.line
    return steps


def _check_prelude(cell: _Cell) -> None:
    steps = {draft.name: draft.line for draft in cell.drafts}
    for definition in cell.definitions:
        for name in sorted(definition.free & steps.keys()):
            raise FlowSyntaxError(
                f"Line {definition.line}: the {definition.what} `{definition.names[0]}` uses the step `{name}` of line "
                f"{steps[name]}.",
                hint=f"Make `{name}` a parameter and pass it in the step that calls `{definition.names[0]}`.",
                line=definition.line,
            )


def _asking(cell: _Cell) -> frozenset[str]:
    """``llm`` and the functions of the prelude that reach it."""
    asking = {"llm"}
    grew = True
    while grew:
        found = {each.names[0] for each in cell.definitions if each.free & asking} - asking
        asking |= found
        grew = bool(found)
    return frozenset(asking)


def _step(draft: Step, lines: Mapping[str, int], cell: _Cell, asking: frozenset[str]) -> Step:
    _check_order(draft, lines, cell)
    for name in sorted(draft.assigned & lines.keys()):
        raise refusal(draft.line, f"`{name} :=` hides the step of line {lines[name]}.", "Choose another name.")
    needs = frozenset(each.name for each in draft.inputs) & lines.keys()
    asks = (draft.outer | {each.name for each in draft.inputs}) & asking
    return replace(draft, kind="llm" if asks else "plain", needs=needs)


def _check_order(draft: Step, lines: Mapping[str, int], cell: _Cell) -> None:
    own = {each.name for each in draft.inputs} | draft.outer
    if draft.name in own:
        raise StepOrderError(
            f"Line {draft.line}: the step `{draft.name}` uses its own name.",
            hint=f"Give the step another name, for example {draft.name}_2.",
            line=draft.line,
        )
    for name in sorted(own & lines.keys()):
        if lines[name] > draft.line:
            raise StepOrderError(
                f"Line {draft.line}: `{draft.name}` uses `{name}`, made below it on line {lines[name]}.",
                hint=f"Move line {lines[name]} above line {draft.line}.",
                line=draft.line,
            )
    for name in sorted(draft.outer & lines.keys()):
        raise refusal(draft.line, f"`{draft.name}` uses the step `{name}` inside.", f"Make `{name}` a parameter.")
    for definition in cell.definitions:
        for name in sorted(own.intersection(definition.names)):
            if definition.line > draft.line:
                raise StepOrderError(
                    f"Line {draft.line}: `{draft.name}` uses `{name}`, made below it on line {definition.line}.",
                    hint=f"Move the {definition.what} above line {draft.line}.",
                    line=draft.line,
                )


def _shown(statement: ast.Expr) -> tuple[str, ...]:
    value = statement.value
    nodes = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    if len(names) != len(nodes) or not names:
        raise refusal(
            statement.lineno,
            "the last line may only name what to show.",
            "Give the expression a name, and end the cell with the names to show: queue, reply.",
        )
    return tuple(names)
