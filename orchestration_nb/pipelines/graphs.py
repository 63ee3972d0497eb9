"""Graphs of notebooks, ``[dags.NAME.NODE]`` of the settings: read and checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from orchestration_nb.config import DagNodeSettings, load_settings
from orchestration_nb.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One notebook that is to be run."""

    name: str
    path: Path
    after: frozenset[str] = frozenset()
    """Names of those that must be done before."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def nodes_of(folder: Path, name: str) -> tuple[Node, ...]:
    """The notebooks of a graph, each after those that it is after.

    Args:
        folder: The workspace.
        name: Of the graph in its settings.

    Raises:
        UsageError: If there is no such graph, a node is after one that is not there, they go in a circle, or a
            notebook is missing.
        ConfigError: If the settings are wrong.
    """
    dags = load_settings(folder).dags
    if name not in dags:
        raise UsageError(f"There is no graph of notebooks {name!r}.", hint=_known(name, dags, "graph"))
    settings = dags[name]
    for node, said in settings.items():
        for other in said.after:
            if other not in settings:
                raise UsageError(
                    f"dags.{name}.{node} is after {other!r}, which is not there.", hint=_known(other, settings, "node")
                )
    try:
        order = tuple(TopologicalSorter({node: said.after for node, said in settings.items()}).static_order())
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise UsageError(f"The graph dags.{name} goes in a circle: {circle}.", hint="Take one `after` away.") from None
    return tuple(_node(folder, name, node, settings[node]) for node in order)


def _node(folder: Path, dag: str, name: str, said: DagNodeSettings) -> Node:
    path = (folder / said.notebook).resolve()
    if not path.is_file():
        raise UsageError(
            f"dags.{dag}.{name}: there is no notebook {said.notebook!r}.", hint=f"It is sought in {folder}."
        )
    return Node(name=name, path=path, after=frozenset(said.after), parameters=_without_dates(said.parameters))


def _without_dates(value: Any) -> Any:
    """The same with dates and times as texts, which is what they are in a file of parameters."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list):
        return [_without_dates(each) for each in value]
    return {name: _without_dates(each) for name, each in value.items()} if isinstance(value, dict) else value


def _known(name: str, known: Mapping[str, Any], what: str) -> str:
    if not known:
        return "orchestrate.toml names them: [dags.NAME.NODE] notebook = ..., after = [...]."
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"It knows the {what}s {', '.join(sorted(known))}."
