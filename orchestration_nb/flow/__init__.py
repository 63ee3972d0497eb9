"""What the analyst wrote, as a graph: the grammar of the ``%%orchestrate`` cell.

``parse`` reads the text, ``Graph.bind`` gives every name its meaning, and a bound step is evaluated with the values of
what it reads. Nothing here asks a model: ``llm(...)`` inside a step makes a :class:`Pending`, which the engine answers.
"""

from orchestration_nb.flow.bound import BoundFlow, BoundStep
from orchestration_nb.flow.drawing import draw
from orchestration_nb.flow.fanout import collect, fill
from orchestration_nb.flow.grammar import parse
from orchestration_nb.flow.graph import Graph, Step
from orchestration_nb.flow.pending import Pending, StepScope, llm, set_outside, step, step_scope

__all__ = [
    "BoundFlow",
    "BoundStep",
    "Graph",
    "Pending",
    "Step",
    "StepScope",
    "collect",
    "draw",
    "fill",
    "llm",
    "parse",
    "set_outside",
    "step",
    "step_scope",
]
