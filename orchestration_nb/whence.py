"""Who runs, and from where: what budgets, quotas and the ledger tell users and notebooks apart by."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestration_nb.ids import PipelineId

FILE_NAME: Final = "orchestrate.toml"
"""What makes a folder a workspace."""


def find_workspace(start: Path) -> Path:
    """The nearest folder from ``start`` upward that holds ``orchestrate.toml``, else ``start`` itself."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    return start


def user_name(configured: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Whose money is spent: the setting ``user``, else ``ORCHESTRATE_USER``, else the login name."""
    named = configured or environ.get("ORCHESTRATE_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user id has no name
        return str(os.getuid())


def resumption(environ: Mapping[str, str] = os.environ) -> tuple[str, float | None] | None:
    """The run that a headless runner goes on with, and its new budget in US dollars, or ``None``.

    ``ORCHESTRATE_RESUME`` is the run's id, and where the budget is raised a colon and the amount: ``0198c2...:4.50``.
    """
    run, _, amount = environ.get("ORCHESTRATE_RESUME", "").partition(":")
    return (run, float(amount) if amount else None) if run else None


def pipeline_id(environ: Mapping[str, str] = os.environ) -> PipelineId | None:
    """The headless run of a notebook that this process is the kernel of: ``ORCHESTRATE_PIPELINE``, or ``None``."""
    return PipelineId(environ["ORCHESTRATE_PIPELINE"]) if environ.get("ORCHESTRATE_PIPELINE") else None


def pipeline_root(environ: Mapping[str, str] = os.environ) -> PipelineId | None:
    """The first of the headless runs that this one goes on with; itself where it goes on with none.

    They share one budget: ``ORCHESTRATE_PIPELINE_ROOT``, else ``ORCHESTRATE_PIPELINE``.
    """
    root = environ.get("ORCHESTRATE_PIPELINE_ROOT")
    return PipelineId(root) if root else pipeline_id(environ)


def pipeline_budget_usd(environ: Mapping[str, str] = os.environ) -> float | None:
    """What all runs of the headless run may spend together, in US dollars: ``ORCHESTRATE_PIPELINE_BUDGET``."""
    said = environ.get("ORCHESTRATE_PIPELINE_BUDGET")
    return float(said) if said else None


def pipeline_tags(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The tags that each run of the headless run gets: ``ORCHESTRATE_PIPELINE_TAGS``, a JSON object of texts."""
    said = environ.get("ORCHESTRATE_PIPELINE_TAGS")
    return {str(name): str(value) for name, value in json.loads(said).items()} if said else {}


def models_are_simulated(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether every model is to be answered by a simulated one: ``ORCHESTRATE_MODELS=sim``."""
    return environ.get("ORCHESTRATE_MODELS") == "sim"


def restored_cells(environ: Mapping[str, str] = os.environ) -> frozenset[int]:
    """The code cells that a resumed pipeline run does not run: numbers from 1 in ``ORCHESTRATE_PIPELINE_RESTORED``."""
    return frozenset(map(int, filter(None, environ.get("ORCHESTRATE_PIPELINE_RESTORED", "").split(","))))


def notebook_path(folder: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """The notebook or script that runs, relative to the workspace ``folder`` where it lies within.

    A headless runner says it in ``ORCHESTRATE_NOTEBOOK``, VS Code in a variable of the notebook, JupyterLab in
    ``JPY_SESSION_NAME``; a script is the file that Python was started with. ``None`` where nobody knows, such as in a
    terminal.
    """
    main = sys.modules.get("__main__")  # in a kernel, its variables are the notebook's
    # Before the session's name: where VS Code works on a Jupyter server, it makes that one up.
    named = environ.get("ORCHESTRATE_NOTEBOOK") or getattr(main, "__vsc_ipynb_file__", None)
    named = named or environ.get("JPY_SESSION_NAME")
    if named is None and "IPython" not in sys.modules:
        named = getattr(main, "__file__", None)
    if not named:
        return None
    path = Path(os.path.abspath(folder / named))  # noqa: PTH100 - resolve() would follow links away from the name
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
