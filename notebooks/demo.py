"""Runs the quickstart notebook in the terminal: ``make demo``.

Simulated models answer, so it needs no key and no network. The executed notebook is left beside the other build
products, to be opened in JupyterLab.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from orchestration_nb.cli import printable

HERE = Path(__file__).resolve().parent
EXECUTED = HERE.parent / "build" / "demo" / "01_quickstart.ipynb"
MOST_LINES = 14
QUESTION = """\
SELECT model, count(*) AS calls, sum(output_tokens) AS tokens_out, round(sum(cost_usd), 4) AS cost_usd,
       round(median(latency_ms)) AS p50_ms
FROM calls GROUP BY model ORDER BY cost_usd DESC"""


def _text(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    return str(output.get("data", {}).get("text/plain", ""))


def _show(cell: Any, cell_index: int, **_: Any) -> None:
    """Prints what a cell printed or drew, its first lines."""
    lines = [line for output in cell.outputs for line in printable(_text(output)).rstrip().splitlines()]
    for line in lines[:MOST_LINES]:
        print(f"    {line[:116]}")
    if len(lines) > MOST_LINES:
        print(f"    ... and {len(lines) - MOST_LINES} more lines")
    print(flush=True)


def _announce(cell: Any, cell_index: int, **_: Any) -> None:
    if cell.cell_type == "markdown":
        heading = next((line for line in cell.source.splitlines() if line.startswith("#")), "")
        if heading:
            print(f"{heading}\n", flush=True)
    elif cell.source.strip():
        print("\n".join(f"  > {line}" for line in cell.source.splitlines()), flush=True)


def _run_notebook() -> None:
    notebook = nbformat.read(HERE / "01_quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(HERE)}},
        on_cell_start=_announce,
        on_cell_executed=_show,
    )
    try:
        client.execute()
    finally:
        EXECUTED.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, EXECUTED)  # type: ignore[no-untyped-call]


def _ask_ledger(*command: str) -> None:
    print(f"$ orchestrate {' '.join(command)}\n", flush=True)
    subprocess.run([sys.executable, "-m", "orchestration_nb.cli", *command], cwd=HERE, check=True)
    print(flush=True)


def main() -> int:
    """Runs the notebook, then asks the ledger what it cost."""
    begun = time.monotonic()
    try:
        _run_notebook()
    except CellExecutionError as error:
        print(printable(str(error)), file=sys.stderr)
        print(f"The notebook stopped; what it did until then is in {os.path.relpath(EXECUTED)}.", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - begun:.0f} s. What was run, and what it cost:\n")
    _ask_ledger("runs", "--limit", "3")
    _ask_ledger("sql", QUESTION)
    print("Simulated models answered, so nothing was spent; the dollars are what real ones would have cost.")
    print(f"The executed notebook: {os.path.relpath(EXECUTED)}. To do the same by hand: make lab.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
