"""Every name of a flow gets its meaning, before anything is asked: step above, column, notebook variable, builtin."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from orchestration_nb.calls import OutputSchema
from orchestration_nb.errors import FlowSyntaxError, UsageError
from orchestration_nb.flow.adapters import adapter
from orchestration_nb.flow.bound import BoundFlow, BoundStep
from orchestration_nb.flow.elements import element_type
from orchestration_nb.flow.meanings import Meanings
from orchestration_nb.flow.pending import llm
from orchestration_nb.flow.preludes import run_prelude
from orchestration_nb.flow.schema import output_schema
from orchestration_nb.flow.source import remember

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import AnnotationText, Graph, Step

_QUICK: Final = (str, int, float, bool, type(None), list, tuple, dict, type, ModuleType)
"""What an expression may read from the notebook and still be evaluated on the event loop."""


def bind(graph: Graph, columns: Sequence[str], namespace: Mapping[str, Any], *, item: bool) -> BoundFlow:
    """Does what :meth:`orchestration_nb.flow.graph.Graph.bind` says."""
    remember(graph.filename, graph.source)
    meanings = Meanings.of(graph, columns, namespace, item=item)
    module = run_prelude(graph, namespace, meanings)
    meanings.check_shown()
    steps: dict[str, BoundStep] = {}
    for step in graph.steps:
        steps[step.name] = _bind_step(step, meanings, module, steps)
    return BoundFlow(graph=graph, steps=tuple(steps.values()))


def _bind_step(step: Step, meanings: Meanings, module: dict[str, Any], above: Mapping[str, BoundStep]) -> BoundStep:
    meanings.check_step(step)
    found = meanings.inputs(step)
    typ, checker = (None, None) if step.annotation is None else _annotation(step.annotation, meanings, module)
    schema, element_schema = (None, None) if step.annotation is None else _schemas(step, step.annotation, typ)
    sources = {**found.columns, **dict.fromkeys(found.items, "item"), **{name: name for name in step.needs}}
    made: dict[str, Any] = {}
    exec(step.code, module, made)  # noqa: S102 - makes the function of the analyst's own step, and runs nothing of it
    named = _names_in(step.code)
    reaches_llm = step.kind == "llm" or any(
        _reaches_llm(each) for value in found.constants.values() for each in _called(value, named)
    )
    return BoundStep(
        step=step,
        kind="llm" if reaches_llm else "plain",
        columns=frozenset(found.columns.values()),
        uses_item=bool(found.items),
        once=not found.columns and not found.items and all(above[name].once for name in step.needs),
        builds_requests=step.builds_requests and all(_is_quick(value) for value in found.constants.values()),
        schema=schema,
        element_schema=element_schema,
        function=made[step.name],
        inputs=tuple(sources.items()),
        constants=found.constants,
        checker=checker,
    )


def _annotation(annotation: AnnotationText, meanings: Meanings, module: dict[str, Any]) -> tuple[Any, Any]:
    """The type that an annotation names, and what checks values against it."""
    meanings.check_annotation(annotation)
    try:
        typ = eval(annotation.code, module)  # noqa: S307 - the annotation that the analyst wrote
        return typ, adapter(typ)
    except UsageError as error:
        raise _at(annotation.line, error) from None
    except (TypeError, AttributeError, ValueError, LookupError) as error:
        raise FlowSyntaxError(
            f"Line {annotation.line}: the annotation `{annotation.text}` is no type: {error}.",
            hint='For example Literal["a", "b"], bool, int, float, list[str], a dataclass or a pydantic model.',
            line=annotation.line,
        ) from None


def _at(line: int, error: UsageError) -> FlowSyntaxError:
    return FlowSyntaxError(f"Line {line}: {error}", hint=error.hint, line=line)


def _schemas(step: Step, annotation: AnnotationText, typ: Any) -> tuple[OutputSchema | None, OutputSchema | None]:
    """The forms of a single reply and of each of several.

    A step whose text is plainly ``llm(...)``, or a container of it, must have an annotation that a model can be asked
    for; any other may have one that only its value is checked against.
    """
    element = element_type(typ, step.depth or 1)
    return (
        _schema(step, annotation, typ, required=step.depth == 0),
        _schema(step, annotation, element, required=bool(step.depth)),
    )


def _schema(step: Step, annotation: AnnotationText, typ: Any, *, required: bool) -> OutputSchema | None:
    try:
        return output_schema(typ, name=step.name)
    except UsageError as error:
        if required:
            raise _at(annotation.line, error) from None
        return None


def _is_quick(value: Any) -> bool:
    return value is llm or isinstance(value, _QUICK) or type(value).__module__ == "typing"


def _called(value: Any, named: set[str]) -> Iterator[Any]:
    """What a step may call through a value: itself, what it wraps, and what the step names of a module or a class."""
    inner = value
    while isinstance(inner, functools.partial):
        inner = inner.func
    yield inner.__func__ if isinstance(inner, MethodType) else inner
    owner = value if isinstance(value, ModuleType) else type(value)
    yield from (vars(owner)[name] for name in named & vars(owner).keys())


def _reaches_llm(value: Any) -> bool:
    """Whether it is ``llm``, or a notebook function that calls it, itself or through functions beside it."""
    if value is llm:
        return True
    if not isinstance(value, FunctionType):
        return False
    seen: set[FunctionType] = set()
    queue = [value]
    while queue:
        function = queue.pop()
        seen.add(function)
        named = [function.__globals__.get(name) for name in _names_in(function.__code__)]
        if any(each is llm for each in named):
            return True
        beside = [each for each in named if isinstance(each, FunctionType) and each.__globals__ is value.__globals__]
        queue.extend(each for each in beside if each not in seen)
    return False


def _names_in(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant)
    return names
