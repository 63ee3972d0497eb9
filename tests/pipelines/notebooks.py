"""Notebooks for headless runs: tickets that simulated models answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
tickets = pd.DataFrame({"body": [f"ticket {number} about a bill" for number in range(40)]})"""
SMALL_USD = 0.0001
"""Covers some of the tickets and not all."""


def flow(flags: str = "", name: str = "triage") -> str:
    return f"%%orchestrate {name} --over tickets {flags}\ntopic = llm(f'What is it about? {{body}}', max_tokens=20)"


def write(folder: Path, *cells: str, name: str = "weekly") -> Path:
    """A notebook of code cells in a workspace whose models answer at once."""
    (folder / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path


def outputs(copy: Path, cell: int) -> str:
    """What a cell of an executed copy put out, as text."""
    read: Any = nbformat.read(copy, as_version=4)  # type: ignore[no-untyped-call]
    return "".join(
        output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", "")
        for output in read.cells[cell].outputs
    )
