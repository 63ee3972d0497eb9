"""A flow whose every name has a meaning: ready to be evaluated, item by item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from orchestration_nb.calls import OutputSchema
from orchestration_nb.errors import AnnotationError
from orchestration_nb.flow.adapters import checked

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import Graph, Kind, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundStep:
    """A step that can be evaluated."""

    step: Step
    kind: Kind
    columns: frozenset[str]
    """The columns that it reads by name."""
    uses_item: bool
    """Whether it reads the row itself."""
    once: bool
    """It reaches no column and no ``item``, straight or through other steps: one evaluation serves the run."""
    builds_requests: bool
    """Evaluating it only puts requests together: quick enough for the event loop."""
    schema: OutputSchema | None
    """The form of a reply that is the step's value."""
    element_schema: OutputSchema | None
    """The form of each reply in a container that is the step's value."""
    function: Callable[..., Any]
    inputs: tuple[tuple[str, str], ...]
    """Parameter of the function, and the key of its value in the scope."""
    constants: Mapping[str, Any]
    """Parameters whose value is a notebook variable or a builtin."""
    checker: TypeAdapter[Any] | None

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    @property
    def line(self) -> int:
        """The line in the cell, from 1."""
        return self.step.line

    @property
    def needs(self) -> frozenset[str]:
        """The steps above that it uses."""
        return self.step.needs

    @property
    def is_async(self) -> bool:
        """Whether it awaits something itself, so that it must be evaluated on the event loop."""
        return self.step.is_async

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Evaluates the step.

        Args:
            scope: Values of the steps and columns that it reads, and of ``"item"``.

        Returns:
            Its value, in which pending replies may stand, or an awaitable that leads to it.
        """
        return self.function(**self.constants, **{parameter: scope[key] for parameter, key in self.inputs})

    def check(self, value: Any) -> Any:
        """``value`` as the annotation says it; as it stands where there is none.

        Raises:
            AnnotationError: It does not fit.
        """
        if self.checker is None:
            return value
        try:
            return checked(self.checker, value)
        except ValueError as error:
            assert self.step.annotation is not None
            hint = "Widen the annotation, for example with `| None`, or change the expression."
            if isinstance(value, str) and self.is_async and self.kind == "llm":
                hint = "A reply that a step awaits itself is text, unless it says llm(..., output=...)."
            raise AnnotationError(
                f"Line {self.line}: the value of `{self.name}` does not fit `{self.step.annotation.text}`: {error}.",
                hint=hint,
            ) from None

    def describe(self) -> Mapping[str, Any]:
        """What the ledger keeps of the step."""
        return {
            "name": self.name,
            "kind": self.kind,
            "line": self.line,
            "needs": sorted(self.needs),
            "once": self.once,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundFlow:
    """A flow that can be run."""

    graph: Graph
    steps: tuple[BoundStep, ...]
    """In the order of their lines."""
