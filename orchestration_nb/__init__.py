"""Orchestration of AI models that lives in a notebook.

Load it with ``%load_ext orchestration_nb``; ``%orchestrate help`` says what there is. Without a notebook, begin with
:class:`Flow`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import orchestration_nb.ledger  # noqa: F401 - before the function of that name, which it would replace later
from orchestration_nb.comparing.pages import set_page_writer
from orchestration_nb.loading import names_from
from orchestration_nb.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestration_nb import artifacts
    from orchestration_nb.calls import Reply, Request, Usage
    from orchestration_nb.catalog import Model, Price
    from orchestration_nb.comparing.comparison import Comparison
    from orchestration_nb.comparing.what_if import WhatIf
    from orchestration_nb.errors import OrchestrationError
    from orchestration_nb.flow import llm, step
    from orchestration_nb.flows import Flow, Run
    from orchestration_nb.ledger import Ledger
    from orchestration_nb.messages import Image, Message, Text, Tool
    from orchestration_nb.pipelines import NotebookRun
    from orchestration_nb.routing import fallback, strategy
    from orchestration_nb.workspace import Workspace

__all__ = [
    "Flow",
    "Image",
    "Ledger",
    "Message",
    "Model",
    "OrchestrationError",
    "Price",
    "Reply",
    "Request",
    "Run",
    "Text",
    "Tool",
    "Usage",
    "Workspace",
    "__version__",
    "artifacts",
    "compare",
    "fallback",
    "ledger",
    "llm",
    "load_ipython_extension",
    "run_notebook",
    "step",
    "strategy",
    "what_if",
]


_HOME: Final[Mapping[str, str]] = {
    "Flow": "flows",
    "Image": "messages",
    "Ledger": "ledger.ledger",
    "Message": "messages",
    "Model": "catalog",
    "OrchestrationError": "errors",
    "Price": "catalog",
    "Reply": "calls",
    "Request": "calls",
    "Run": "flows",
    "Text": "messages",
    "Tool": "messages",
    "Usage": "calls",
    "Workspace": "workspace",
    "fallback": "routing",
    "llm": "flows",
    "step": "flow",
    "strategy": "routing",
}
"""Where the public names come from. They are loaded when they are asked for: a command that only starts a notebook
takes a fifth of the time then."""

_find = names_from(__name__, _HOME)


def __getattr__(name: str) -> Any:
    # A module of its own names: artifacts.save, artifacts.load.
    return import_module("orchestration_nb.artifacts") if name == "artifacts" else _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def compare(flow: Flow, **how: Any) -> Comparison:
    """Compares strategies on the same items of a flow: :func:`orchestration_nb.comparing.compare.compare`.

    ::

        compare(triage, over=tickets, strategies=["cascade", "fast"], scorer="queue=label:gold_queue")
    """
    from orchestration_nb.comparing.compare import compare as begin  # noqa: PLC0415 - loads numpy

    return begin(flow, **how)


def ledger() -> Ledger:
    """The current workspace's ledger: ``ledger().sql("SELECT ...")`` answers with a DataFrame."""
    from orchestration_nb.workspace import Workspace  # noqa: PLC0415

    return Workspace.current().ledger


def run_notebook(path: Path | str, **how: Any) -> NotebookRun:
    """Runs a notebook from top to bottom with nobody to ask, and keeps a copy with its outputs.

    ::

        run_notebook("weekly.ipynb", parameters={"day": "2026-01-31"}, budget_usd=2, retries=1)

    Args:
        path: The notebook; it is only read.
        **how: The fields of :class:`orchestration_nb.pipelines.RunOptions`.

    Raises:
        UsageError: If there is no such notebook, it cannot be run here, or it cannot be given that.
        WorkspaceError: If the executed copy cannot be written.
    """
    from orchestration_nb.pipelines.python import run  # noqa: PLC0415 - only headless runs need it

    return run(path, how)


def what_if(flow: Flow, **how: Any) -> WhatIf:
    """Runs strategies against recorded replies, at no cost: :func:`orchestration_nb.comparing.what_if.what_if`.

    ::

        what_if(triage, over=tickets, strategies=["cascade(fast, strong)", "fast"], scorer="queue=label:gold_queue")
    """
    from orchestration_nb.comparing.what_if import what_if as begin  # noqa: PLC0415 - loads numpy

    return begin(flow, **how)


def load_ipython_extension(ipython: object) -> None:
    """``%load_ext orchestration_nb``: registers ``%%orchestrate`` and ``%orchestrate``."""
    from orchestration_nb.notebook import load_ipython_extension as load  # noqa: PLC0415 - only a notebook needs it

    load(ipython)


def _write_page(comparison: Comparison, path: Path) -> int:
    from orchestration_nb.notebook.compare_page import write_page  # noqa: PLC0415 - loads numpy and the notebook's rooms

    return write_page(comparison, path)


set_page_writer(_write_page)
