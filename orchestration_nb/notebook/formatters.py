"""How a flow, a plan and a run look in a notebook; registered with IPython, so that no room below knows of HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestration_nb.notebook import markup
from orchestration_nb.notebook.figures import count
from orchestration_nb.notebook.screen import account_bundle, progress_bundle
from orchestration_nb.notebook.text import table_text

if TYPE_CHECKING:
    from orchestration_nb.flow import Graph
    from orchestration_nb.flows import Flow
    from orchestration_nb.plan import Plan
    from orchestration_nb.runs import Run


def run_bundle(run: Run) -> dict[str, str]:
    """A run as HTML and text: how far it is, or how it ended."""
    return progress_bundle(run) if run.status in {"running", "paused"} else account_bundle(run)


def _drawn(graph: Graph, counts: Mapping[str, str] | None = None) -> str:
    from orchestration_nb.flow import draw  # noqa: PLC0415 - loads what `%load_ext` need not

    return draw(graph, counts=counts)


def _flow_card(flow: Flow) -> str:
    about = f'<div class="dim">{markup.esc(flow.graph.description)}</div>' if flow.graph.description else ""
    return f'<div class="head"><span class="name">{markup.esc(flow.name)}</span></div>{about}{_drawn(flow.graph)}'


def _plan_card(plan: Plan) -> str:
    return (
        f'<div class="head"><span class="name">{markup.esc(plan.flow.name)}</span>'
        f'<span class="chip skipped">plan</span><span>{markup.esc(count(plan.items, "item"))}; no call was made</span>'
        f"</div>{_drawn(plan.flow.graph, plan.counts)}{markup.table(*_plan_table(plan), ('calls',))}"
    )


def _plan_table(plan: Plan) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    rows = [(line.step, line.kind, line.calls if line.model else "–", line.model or "–") for line in plan.lines]
    return ("step", "kind", "calls", "model"), rows


def flow_bundle(flow: Flow) -> dict[str, str]:
    """A flow as HTML (its graph, drawn) and text."""
    steps = ", ".join(step.name for step in flow.graph.steps)
    return {"text/html": markup.page(_flow_card(flow)), "text/plain": f"{flow.name}: {steps}"}


def plan_bundle(plan: Plan) -> dict[str, str]:
    """A plan as HTML (the graph, and how many calls would be made of which model) and text."""
    return {"text/html": markup.page(_plan_card(plan)), "text/plain": table_text(*_plan_table(plan), width=60)}


_BUNDLES: Mapping[tuple[str, str], Callable[[Any], dict[str, str]]] = {
    ("orchestration_nb.flows", "Flow"): flow_bundle,
    ("orchestration_nb.plan", "Plan"): plan_bundle,
    ("orchestration_nb.runs", "Run"): run_bundle,
}


def register(shell: Any) -> None:
    """Shows flows, plans and runs in their own way; nothing is loaded until one is there."""
    html = shell.display_formatter.formatters["text/html"]
    for (module, name), bundle in _BUNDLES.items():
        html.for_type_by_name(module, name, lambda value, bundle=bundle: bundle(value)["text/html"])


def unregister(shell: Any) -> None:
    """Takes them away again."""
    html = shell.display_formatter.formatters["text/html"]
    for module, name in _BUNDLES:
        html.pop(f"{module}.{name}", None)
