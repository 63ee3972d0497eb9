"""The imports, functions and classes of a cell, run once in a copy of the notebook's variables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from traceback import walk_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestration_nb.errors import FlowError, FlowSyntaxError
from orchestration_nb.flow.names import AT_HAND
from orchestration_nb.flow.pending import llm, step, step_scope

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import Graph
    from orchestration_nb.flow.meanings import Meanings


def run_prelude(graph: Graph, namespace: Mapping[str, Any], meanings: Meanings) -> dict[str, Any]:
    """Runs the prelude and lets ``meanings`` know its names.

    It becomes a module of its own, named as tracebacks name the flow: dataclasses and pydantic look the names of
    annotations up in the module of a class.

    Returns:
        The variables in which the steps' functions are made.

    Raises:
        FlowError: A definition reads a column or a name that means nothing, or asks a model.
        Exception: What an import or a class raises.
    """
    module = ModuleType(graph.filename)
    variables = vars(module)
    variables.update(AT_HAND)
    variables.update((name, value) for name, value in namespace.items() if not _is_of_modules(name))
    variables.update(llm=llm, step=step, __file__=graph.filename)
    definitions = graph.prelude.definitions
    opaque = any("*" in definition.names for definition in definitions)
    if not opaque:
        _check(graph, meanings)
    if definitions:
        before = dict(variables)
        _execute(graph, module)
        made = {name: value for name, value in variables.items() if name not in before or before[name] is not value}
        meanings.variables.update(made)
    if opaque:
        _check(graph, meanings)
    return variables


def _failed_import(error: ImportError, graph: Graph) -> FlowError:
    places = [number for frame, number in walk_tb(error.__traceback__) if frame.f_code.co_filename == graph.filename]
    line = places[-1] if places else 1
    hint = f"Install it here: %pip install {error.name}" if isinstance(error, ModuleNotFoundError) else ""
    return FlowError(f"Line {line}: the import failed: {error}.", hint=hint, line=line)


def _is_of_modules(name: str) -> bool:
    return name in {"__name__", "__file__", "__loader__", "__spec__", "__package__", "__doc__", "__builtins__"}


def _check(graph: Graph, meanings: Meanings) -> None:
    for definition in graph.prelude.definitions:
        meanings.check_definition(definition)


def _execute(graph: Graph, module: ModuleType) -> None:
    sys.modules[graph.filename] = module
    with step_scope(None) as scope:
        try:
            exec(graph.prelude.code, vars(module))  # noqa: S102 - the imports and definitions that the analyst wrote
        except ImportError as error:
            raise _failed_import(error, graph) from error
    if scope.pendings:
        raise FlowSyntaxError(
            "llm(...) was called while the imports, functions and classes of the cell were made.",
            hint="Call llm(...) in a step, or in a function that a step calls.",
        )
