"""A flow as values: its steps, what each needs, and the prelude. Nothing here has been executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal

from orchestration_nb.flow import binding

if TYPE_CHECKING:
    from orchestration_nb.flow.bound import BoundFlow

Kind = Literal["llm", "plain"]
"""Whether a step asks models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A name that a step needs, to be looked up as step, column, notebook variable or builtin."""

    name: str
    optional: bool = False
    """A parameter of a ``@step`` function that has a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One ``llm(...)`` in the text of a step: what a plan can know before anything is evaluated."""

    line: int
    model: str | None
    """The model that is named, or ``None``: the strategy decides."""
    strategy: str | None
    repeated: bool
    """In a comprehension: asked once for each of its elements."""
    conditional: bool
    """On one side of an ``if``, ``and`` or ``or``: perhaps not asked at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationText:
    """What stands behind the colon of a step, not yet looked up."""

    text: str
    line: int
    code: CodeType
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One name and the expression (or ``@step`` function) that makes it."""

    name: str
    line: int
    source: str
    """The step as it was written."""
    kind: Kind
    needs: frozenset[str]
    """The steps above that it uses."""
    inputs: tuple[Input, ...]
    """Its free names, or the parameters of its function."""
    is_function: bool
    """Whether it was written as a function under ``@step``."""
    outer: frozenset[str]
    """Names that the text of a ``@step`` function uses beside its parameters."""
    assigned: frozenset[str]
    """Names made inside the expression by ``:=``."""
    annotation: AnnotationText | None
    code: CodeType
    """Makes the function, under the step's name."""
    is_async: bool
    builds_requests: bool
    """As far as the text shows, the expression only puts requests together."""
    depth: int | None
    """How many containers stand around the ``llm(...)`` in its value: 0 for ``llm(...)`` itself, 1 for a list of them;
    ``None`` where the text does not say."""
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An import, a function or a class of the prelude."""

    names: tuple[str, ...]
    """What it makes."""
    line: int
    what: Literal["import", "function", "class"]
    free: frozenset[str]
    """What it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelude:
    """Imports, functions and classes: run once, before anything else."""

    definitions: tuple[Definition, ...]
    code: CodeType


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A flow: named steps, in the order of their lines."""

    name: str
    source: str
    description: str
    prelude: Prelude
    steps: tuple[Step, ...]
    show: tuple[str, ...] | None
    """The names that the last bare expression shows, or ``None`` where there is none."""
    show_line: int = 0

    @property
    def filename(self) -> str:
        """The name under which tracebacks show the text."""
        return f"<flow {self.name}>"

    def bind(self, columns: Sequence[str], namespace: Mapping[str, Any], *, item: bool) -> BoundFlow:
        """Runs the prelude and gives every name its meaning, before anything is asked.

        Args:
            columns: Names of the columns that each item has.
            namespace: The notebook's variables; they are not changed.
            item: Whether there are items, so that ``item`` means the row.

        Raises:
            FlowError: A name means nothing or two things, or an annotation is no type.
            UsageError: The columns cannot be used with this flow.
        """
        return binding.bind(self, columns, namespace, item=item)
