"""What a name in a cell means, and the error where it means nothing or two things."""

from __future__ import annotations

import ast
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestration_nb.errors import FlowSyntaxError, UnknownNameError, UsageError
from orchestration_nb.flow.names import AT_HAND, BUILTINS
from orchestration_nb.flow.near import Candidates
from orchestration_nb.flow.pending import llm

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import AnnotationText, Definition, Graph, Step


@dataclass(slots=True)
class Found:
    """Where the inputs of one step come from."""

    columns: dict[str, str] = field(default_factory=dict)
    """Name in the cell, and the column's own name."""
    items: list[str] = field(default_factory=list)
    """``["item"]`` where the row itself is read."""
    constants: dict[str, Any] = field(default_factory=dict)
    """Notebook variables, names of the prelude and builtins, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanings:
    """The names that surround the steps of one run."""

    graph: Graph
    columns: Mapping[str, str]
    """Columns that can be written as a name: as Python reads the name, and the column's own."""
    all_columns: Sequence[str]
    variables: dict[str, Any]
    """Notebook variables; the prelude's names are added when it has run."""
    prelude: Mapping[str, Definition]
    item: bool

    @classmethod
    def of(cls, graph: Graph, columns: Sequence[str], namespace: Mapping[str, Any], *, item: bool) -> Meanings:
        """The names around ``graph``.

        Raises:
            UsageError: The columns cannot be told apart from each other or from the steps.
        """
        _check_columns(graph, columns)
        texts = [name for name in columns if isinstance(name, str)]  # a table may have numbers and dates for names
        return cls(
            graph=graph,
            # Python reads names in their composed form (NFKC), a table need not
            columns={unicodedata.normalize("NFKC", name): name for name in texts if name.isidentifier()},
            all_columns=texts,
            variables=dict(namespace),
            prelude={name: each for each in graph.prelude.definitions for name in each.names},
            item=item,
        )

    def inputs(self, step: Step) -> Found:
        """Where the inputs of a step come from; what is found nowhere was refused by :meth:`check_step`."""
        found = Found()
        for name in (each.name for each in step.inputs if each.name not in step.needs):
            if name == "llm":
                found.constants[name] = llm
            elif name == "item" and self.item:
                found.items.append(name)
            elif name in self.columns:
                found.columns[name] = self.columns[name]
            elif self._is_known_to(step, name):
                found.constants[name] = self.value(name)
        return found

    def is_known(self, name: str) -> bool:
        """Whether a name means something without any item."""
        return name in self.variables or name in self.prelude or name in BUILTINS or name in AT_HAND

    def _is_known_to(self, step: Step, name: str) -> bool:
        """The same for an input of a step: nobody makes a parameter for a builtin."""
        return self.is_known(name) and not (step.is_function and name not in self.variables)

    def value(self, name: str) -> Any:
        """The value of a name that needs no item: notebook variable or prelude, builtin, at hand."""
        for names in (self.variables, BUILTINS, AT_HAND):
            if name in names:
                return names[name]
        raise KeyError(name)

    def check_step(self, step: Step) -> None:
        """Refuses a step whose names mean nothing, or not one thing.

        Raises:
            FlowError: With the line of the step.
        """
        for each in step.inputs:
            if each.name in step.needs or each.optional:
                continue
            self._check_one(each.name, step)
        if self.item and "item" in self.columns and _takes_the_row(step):
            raise _refusal(
                step.line,
                f"`{step.name}` uses `item`, which is the whole row, and the table has a column `item`.",
                'Write item["item"] for the column, or rename it: frame.rename(columns={"item": "article"}).',
            )
        for name in sorted(step.assigned & self.columns.keys()):
            raise _refusal(step.line, f"`{name} :=` hides the column {name!r}.", "Choose another name.")
        for name in sorted(step.outer):
            if self._is_of_the_item(name):
                raise _refusal(
                    step.line, f"`{step.name}` uses `{name}` inside.", f"Make `{name}` a parameter" + _own(name)
                )
            if not self.is_known(name):
                raise self._unknown(name, step)

    def _is_of_the_item(self, name: str) -> bool:
        return (name in self.columns and name not in self.prelude) or (name == "item" and self.item)

    def _check_one(self, name: str, step: Step) -> None:
        if name == "llm" or (name == "item" and self.item):
            return
        if name in self.columns:
            if name in self.prelude:
                made = self.prelude[name]
                raise _refusal(
                    step.line,
                    f"`{name}` is both the {made.what} of line {made.line} and a column.",
                    f'Rename the {made.what}, or write item["{self.columns[name]}"] for the column.',
                )
            return
        if not self._is_known_to(step, name):
            raise self._unknown(name, step, is_parameter=step.is_function)

    def check_definition(self, definition: Definition) -> None:
        """Refuses a function or class of the prelude that reads a column, or a name that means nothing.

        Raises:
            FlowError: With the line of the definition.
        """
        what = f"the {definition.what} `{definition.names[0]}`"
        for name in sorted(definition.free - self.prelude.keys()):
            if name in self.columns:
                raise _refusal(
                    definition.line,
                    f"{what} uses the column `{name}`.",
                    f"Make `{name}` a parameter and pass it in the step that calls `{definition.names[0]}`"
                    + _own(name),
                )
            if not self.is_known(name):
                known = Candidates(names=self._names())
                raise _unknown(definition.line, f"{what} uses", name, "is defined nowhere", known)

    def check_annotation(self, annotation: AnnotationText) -> None:
        """Refuses an annotation that names a step, or a name that means nothing.

        Raises:
            FlowError: With the line of the annotation.
        """
        steps = {step.name for step in self.graph.steps}
        for name in sorted(annotation.names):
            if name in steps:
                raise _refusal(
                    annotation.line,
                    f"the annotation `{annotation.text}` names the step `{name}`.",
                    f"Make `{name}` in a cell above: a type must be there before the first step is evaluated.",
                )
            if not self.is_known(name):
                known = Candidates(names=self._names())
                raise _unknown(annotation.line, "the annotation uses", name, "is nothing that is defined", known)

    def check_shown(self) -> None:
        """Refuses a last line that shows what is no step and no column.

        Raises:
            UnknownNameError: With the line.
        """
        steps = [step.name for step in self.graph.steps]
        for name in self.graph.show or ():
            if name not in steps and name not in self.columns:
                known = Candidates(steps=steps, columns=self.all_columns)
                raise _unknown(self.graph.show_line, "the last line shows", name, "is no step and no column", known)

    def _unknown(self, name: str, step: Step, *, is_parameter: bool = False) -> UnknownNameError:
        known = Candidates(
            steps=[each.name for each in self.graph.steps if each.line < step.line],
            columns=self.all_columns,
            item=self.item,
            otherwise="Define it in a cell above" + ("." if self.item else ", or give the flow a table with --over."),
            names=[*self.variables, *self.prelude] if is_parameter else self._names(),
        )
        what = "is no step above, no column and no notebook variable"
        if name == "item":
            what = "means the row, and there are no rows without --over"
        elif not is_parameter:
            what = "is no step above, no column, no notebook variable and no builtin"
        return _unknown(step.line, f"`{step.name}` uses", name, what, known)

    def _names(self) -> list[str]:
        return [*(name for name in self.variables if not name.startswith("_")), *self.prelude, *BUILTINS, *AT_HAND]


def _takes_the_row(step: Step) -> bool:
    """Whether a step uses the row as a whole, and not only its columns: ``llm(item)``, not ``item["name"]``."""
    if all(each.name != "item" for each in step.inputs):
        return False
    nodes = list(ast.walk(ast.parse(step.source)))
    parts = {id(node.value) for node in nodes if isinstance(node, ast.Subscript | ast.Attribute)}
    return any(isinstance(node, ast.Name) and node.id == "item" and id(node) not in parts for node in nodes)


def _own(name: str) -> str:
    """The end of a hint, for a column that is called like a builtin."""
    return f"; for Python's own `{name}` import builtins and write `builtins.{name}`." if name in BUILTINS else "."


def _refusal(line: int, what: str, hint: str) -> FlowSyntaxError:
    return FlowSyntaxError(f"Line {line}: {what}", hint=hint, line=line)


def _unknown(line: int, who: str, name: str, what: str, known: Candidates) -> UnknownNameError:
    return UnknownNameError(f"Line {line}: {who} `{name}`, which {what}.", hint=known.nearest(name), line=line)


def _check_columns(graph: Graph, columns: Sequence[str]) -> None:
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise UsageError(
            f"The frame has more than one column called {twice[0]!r}.",
            hint="Rename one of them: frame.columns = [...].",
        )
    for step in graph.steps:
        if step.name in columns:
            raise UsageError(
                f"`{step.name}` is both the step of line {step.line} and a column of the frame.",
                hint=f'Rename the step, or the column: frame.rename(columns={{"{step.name}": "{step.name}_given"}}).',
            )
