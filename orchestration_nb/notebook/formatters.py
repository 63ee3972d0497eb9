"""How a flow, a plan and a run look in a notebook; registered with IPython, so that no room below knows of HTML."""

from __future__ import annotations

from typing import Any

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.what_if import WhatIf
from orchestration_nb.flow import draw
from orchestration_nb.flows import Flow
from orchestration_nb.ledger import RunDetails
from orchestration_nb.notebook.compare_screen import show_comparison
from orchestration_nb.notebook.details import details_card, details_text
from orchestration_nb.notebook.planned import plan_card, plan_text
from orchestration_nb.notebook.screen import account_bundle, progress_bundle
from orchestration_nb.notebook.session import is_under_way
from orchestration_nb.notebook.what_if_magic import show_what_if
from orchestration_nb.pages import markup
from orchestration_nb.plan import Plan
from orchestration_nb.runs import Run


def run_bundle(run: Run) -> dict[str, str]:
    """A run as HTML and text: how far it is, or how it ended."""
    return progress_bundle(run) if is_under_way(run) else account_bundle(run)


def _flow_card(flow: Flow) -> str:
    about = f'<div class="dim">{markup.esc(flow.graph.description)}</div>' if flow.graph.description else ""
    return f'<div class="head"><span class="name">{markup.esc(flow.name)}</span></div>{about}{draw(flow.graph)}'


def flow_bundle(flow: Flow) -> dict[str, str]:
    """A flow as HTML (its graph, drawn) and text."""
    steps = ", ".join(step.name for step in flow.graph.steps)
    return {"text/html": markup.page(_flow_card(flow)), "text/plain": f"{flow.name}: {steps}"}


def plan_bundle(plan: Plan) -> dict[str, str]:
    """A plan as HTML (the graph, the cost as intervals, a line a step) and text."""
    return {"text/html": markup.page(plan_card(plan)), "text/plain": plan_text(plan)}


def register(shell: Any) -> None:
    """Shows flows, plans, runs and what the ledger knows of a run in their own way."""
    # It is more than one output: a table, a figure, and what can be clicked.
    shell.display_formatter.ipython_display_formatter.for_type(Comparison, lambda one: show_comparison(shell, one))
    shell.display_formatter.ipython_display_formatter.for_type(WhatIf, lambda told: show_what_if(shell, told))
    html, text = (shell.display_formatter.formatters[kind] for kind in ("text/html", "text/plain"))
    html.for_type(Flow, lambda flow: flow_bundle(flow)["text/html"])
    html.for_type(Plan, lambda plan: plan_bundle(plan)["text/html"])
    html.for_type(Run, lambda run: run_bundle(run)["text/html"])
    html.for_type(RunDetails, lambda details: markup.page(details_card(details)))
    text.for_type(RunDetails, lambda details, printer, _cycle: printer.text(details_text(details)))


def unregister(shell: Any) -> None:
    """Takes them away again."""
    for shown_whole in (Comparison, WhatIf):
        shell.display_formatter.ipython_display_formatter.type_printers.pop(shown_whole, None)
    for kind in ("text/html", "text/plain"):
        formatter = shell.display_formatter.formatters[kind]
        for shown in (Flow, Plan, Run, RunDetails):
            formatter.type_printers.pop(shown, None)
