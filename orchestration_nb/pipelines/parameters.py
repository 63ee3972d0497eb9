"""The parameters of a notebook, by papermill's conventions.

The first cell that is tagged ``parameters`` holds them with their defaults. It is read as a syntax tree, never
executed. What a run is given stands in a new cell tagged ``injected-parameters`` right after it, so that the notebook
in the executed copy runs as it is.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.files import INJECTED, tagged
from orchestration_nb.pipelines.kinds import ANY, Kind, fits, kind_of_annotation, kind_of_value
from orchestration_nb.pipelines.values import Typed, as_python, value_of

PARAMETERS: Final = "parameters"
"""The tag of the cell that holds the defaults."""


class UnreadableParametersError(UsageError):
    """A parameters cell is not Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a notebook."""

    name: str
    kind: Kind
    """What its values may be."""
    default: str
    """As Python text; empty: it has none and must be given."""
    comment: str
    """What stands behind it in its line."""


def declared(notebook: Any) -> list[Parameter] | None:
    """The parameters that a notebook declares, in their order; ``None`` where no cell is tagged ``parameters``.

    Raises:
        UnreadableParametersError: If that cell is not Python.
    """
    cell = next((cell for cell in notebook.cells if _is_parameters(cell)), None)
    return None if cell is None else parameters_in(cell.source)


def parameters_in(source: str) -> list[Parameter]:
    """The parameters that a cell declares: ``name = value``, annotated or not, and ``name: type``.

    Raises:
        UnreadableParametersError: If it is not Python.
    """
    text = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        where = f"line {error.lineno}" if error.lineno else "it"
        raise UnreadableParametersError(
            f"The notebook's parameters cell is not Python: {where}: {error.msg}."
        ) from None
    comments = _comments(text)
    found = {one.name: one for node in tree.body for one in _declared_by(node, comments)}
    return list(found.values())


def checked(parameters: list[Parameter] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a notebook is given, each fit for its parameter.

    Args:
        parameters: Those that the notebook declares; ``None``: it declares nothing, and takes any.
        given: Name to value, or to a :class:`Typed` text.

    Raises:
        UsageError: If there is no such parameter, a value is not of its type, or a needed one is missing.
    """
    known = {one.name: one for one in parameters or ()}
    values = {}
    for name, value in given.items():
        if parameters is not None and name not in known:
            raise _unknown(name, list(known))
        if not name.isidentifier():
            raise UsageError(f"{name!r} cannot be the name of a parameter.", hint="Write a Python name.")
        values[name] = _fit(name, value, known[name].kind if name in known else None)
    missing = next((one.name for one in known.values() if not one.default and one.name not in values), None)
    if missing is not None:
        raise UsageError(f"The parameter {missing!r} has no default.", hint=f"Give it: -p {missing}=VALUE.")
    return values


def inject(notebook: Any, values: Mapping[str, Any]) -> None:
    """Puts the cell that holds the values into a notebook; one that an earlier run put there is replaced."""
    if not values:
        return
    from nbformat.v4 import new_code_cell  # noqa: PLC0415 - only headless runs need it

    lines = ["# Parameters", *(f"{name} = {as_python(value)}" for name, value in values.items())]
    cell = new_code_cell("\n".join(lines), metadata={"tags": [INJECTED]})  # type: ignore[no-untyped-call]
    cell.id = INJECTED  # the same in each run, so that two runs can be compared
    places = [place for place, each in enumerate(notebook.cells) if INJECTED in tagged(each)]
    if places:
        notebook.cells[places[0]] = cell
        return
    after = next((place for place, each in enumerate(notebook.cells) if _is_parameters(each)), -1)
    notebook.cells.insert(after + 1, cell)


def _is_parameters(cell: Any) -> bool:
    return cell.cell_type == "code" and PARAMETERS in tagged(cell)


def _declared_by(node: ast.stmt, comments: Mapping[int, str]) -> Iterator[Parameter]:
    comment = comments.get(node.end_lineno or node.lineno, "")
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        default = "" if node.value is None else ast.unparse(node.value)
        yield Parameter(name=node.target.id, kind=kind_of_annotation(node.annotation), default=default, comment=comment)
    elif isinstance(node, ast.Assign):
        kind, comment = _kind_and_comment(node.value, comment)
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield Parameter(name=target.id, kind=kind, default=ast.unparse(node.value), comment=comment)


def _kind_and_comment(value: ast.expr, comment: str) -> tuple[Kind, str]:
    """The type by the default, else by a comment ``# type: int``, which is no part of what the comment says."""
    said = comment.removeprefix("type:")
    if said != comment:
        name, _, comment = said.strip().partition(" ")
        try:
            return kind_of_annotation(ast.parse(name, mode="eval").body), comment.strip()
        except SyntaxError:
            pass
    return kind_of_value(value), comment


def _comments(text: str) -> dict[int, str]:
    """Line to what the comment at its end says."""
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("#").strip()
    except tokenize.TokenError:  # pragma: no cover - what ast has parsed has tokens
        pass
    return found


def _fit(name: str, value: Any, kind: Kind | None) -> Any:
    if isinstance(value, Typed):
        value = _read(value, kind or ANY)
    if kind is not None and not fits(value, kind):
        raise UsageError(
            f"The parameter {name!r} takes {kind.text}, not {as_python(value)[:80]}.",
            hint="`orchestrate inspect NOTEBOOK` lists the parameters of a notebook with their types.",
        )
    as_python(value, name=name)  # refuses what no cell can hold
    return value


def _read(typed: Typed, kind: Kind) -> Any:
    """What was typed, in the light of what is wanted: ``007`` is a text where the default is one."""
    if kind.takes_text_alone:
        return typed.text
    text_fits = kind.origin != "Any" and fits(typed.text, kind)
    try:
        value = value_of(typed)
    except UsageError:
        if text_fits:
            return typed.text
        raise
    # Read as YAML, a text would lose its quotes and all behind a #.
    cut = "#" in typed.text and not isinstance(value, list | dict)
    return typed.text if text_fits and (cut or isinstance(value, str) or not fits(value, kind)) else value


def _unknown(name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    listing = f"There are: {', '.join(known)}." if known else "It declares none in its parameters cell."
    hint = f"Did you mean {near[0]!r}? {listing}" if near else listing
    return UsageError(f"The notebook has no parameter {name!r}.", hint=hint)
